//! JSON lines: `{"ts": 1700000000.5, "metric": "cpu", "value": 1.5, "unit": "%"}`, keys in any order.
//!
//! Every line may be read by [`careful`]. Lines of the usual shape are read by [`fast`] instead, which gives up (`None`)
//! rather than decide anything that it is not sure about, so that both always agree.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use hb_core::time::Stamp;
use hb_core::watch::sample::FaultCause;
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::stamp::{self, Before, TimeUnit};
use super::{Event, number};
use crate::names::Names;

/// What a line of the usual shape says.
#[derive(Debug, PartialEq)]
pub(crate) struct Plain<'a> {
    /// The slot that was guessed, when the guess was right for the name.
    pub(crate) guess: Option<u32>,
    pub(crate) name: &'a [u8],
    pub(crate) unit: Option<&'a [u8]>,
    pub(crate) value: f64,
    pub(crate) at: Stamp,
    /// Bytes read, the end of the line among them.
    pub(crate) length: usize,
}

#[derive(Clone, Copy)]
enum Key {
    Time,
    Name,
    Value,
    Unit,
}

/// The key at the front, behind its opening quote, and what follows its colon.
#[inline]
fn key(rest: &[u8]) -> Option<(Key, &[u8])> {
    match rest {
        [b't', b's', b'"', b':', rest @ ..] => Some((Key::Time, rest)),
        [b'm', b'e', b't', b'r', b'i', b'c', b'"', b':', rest @ ..] => Some((Key::Name, rest)),
        [b'v', b'a', b'l', b'u', b'e', b'"', b':', rest @ ..] => Some((Key::Value, rest)),
        [b'u', b'n', b'i', b't', b'"', b':', rest @ ..] => Some((Key::Unit, rest)),
        [b'n', b'a', b'm', b'e', b'"', b':', rest @ ..] => Some((Key::Name, rest)),
        [b't', b'i', b'm', b'e', b'"', b':', rest @ ..] => Some((Key::Time, rest)),
        [b't', b'i', b'm', b'e', b's', b't', b'a', b'm', b'p', b'"', b':', rest @ ..]
        | [b'e', b'v', b'e', b'n', b't', b'_', b't', b'i', b'm', b'e', b'"', b':', rest @ ..] => {
            Some((Key::Time, rest))
        }
        _ => None,
    }
}

#[inline]
fn skip_blank(rest: &[u8]) -> &[u8] {
    match rest {
        [b' ', rest @ ..] => rest,
        rest => rest,
    }
}

/// A string without escapes, behind its opening quote, and what follows its closing one.
#[inline]
fn string(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b'"', rest)?;
    let text = rest.get(..end)?;
    let plain = text.iter().all(|b| *b >= b' ' && *b != b'\\');
    plain.then_some((text, rest.get(end + 1..)?))
}

/// The name behind its opening quote: most likely the one guessed.
#[inline]
fn name<'a>(rest: &'a [u8], names: &Names) -> Option<(Option<u32>, &'a [u8], &'a [u8])> {
    if let Some((slot, guessed)) = names.guess()
        && let Some((text, [b'"', after @ ..])) = rest.split_at_checked(guessed.len())
        && stamp::same(text, guessed)
    {
        return Some((Some(slot), text, after));
    }
    let (text, after) = string(rest)?;
    Some((None, text, after))
}

#[inline]
fn time(rest: &[u8], unit: TimeUnit) -> Option<(Stamp, &[u8])> {
    if let Some((stamp, length)) = stamp::plain(rest, unit) {
        return Some((stamp, rest.get(length..)?));
    }
    let [b'"', text @ ..] = rest else { return None };
    let (stamp, length) = stamp::rfc3339(text)?;
    let [b'"', after @ ..] = text.get(length..)? else { return None };
    Some((stamp, after))
}

/// Reads one whole line of the usual shape at the front of `bytes`, which may hold more: what stands behind the
/// line's end changes nothing.
#[inline]
pub(crate) fn fast<'a>(
    bytes: &'a [u8],
    names: &Names,
    unit_of_time: TimeUnit,
    before: &mut Before,
) -> Option<Plain<'a>> {
    straight(bytes, names, unit_of_time, before).or_else(|| any_order(bytes, names, unit_of_time))
}

/// The most usual line of all, `{"ts":T,"metric":"N","value":V}`: compared with what is expected instead of looked through.
#[inline]
fn straight<'a>(bytes: &'a [u8], names: &Names, unit_of_time: TimeUnit, before: &mut Before) -> Option<Plain<'a>> {
    let rest = bytes.strip_prefix(br#"{"ts":"#)?;
    let (at, rest) = match before.again(rest) {
        Some(found) => found,
        None => {
            let (at, after) = time(rest, unit_of_time)?;
            before.note(rest, after, at);
            (at, after)
        }
    };
    let (guess, name, rest) = name(rest.strip_prefix(br#","metric":""#)?, names)?;
    let rest = rest.strip_prefix(br#","value":"#)?;
    let (value, length) = number::plain(rest)?;
    let [b'}', b'\n', after @ ..] = rest.get(length..)? else { return None };
    Some(Plain { guess, name, unit: None, value, at, length: bytes.len() - after.len() })
}

/// Any keys in any order.
fn any_order<'a>(bytes: &'a [u8], names: &Names, unit_of_time: TimeUnit) -> Option<Plain<'a>> {
    let [b'{', rest @ ..] = bytes else { return None };
    let mut rest = rest;
    let (mut at, mut found, mut value, mut unit) = (None, None, None, None);
    loop {
        let [b'"', inner @ ..] = skip_blank(rest) else { return None };
        let (key, after) = key(inner)?;
        let after = skip_blank(after);
        match key {
            Key::Time if at.is_none() => {
                let (stamp, after) = time(after, unit_of_time)?;
                at = Some(stamp);
                rest = after;
            }
            Key::Value if value.is_none() => {
                let (number, length) = number::plain(after)?;
                value = Some(number);
                rest = after.get(length..)?;
            }
            Key::Name if found.is_none() => {
                let [b'"', text @ ..] = after else { return None };
                let (guess, text, after) = name(text, names)?;
                found = Some((guess, text));
                rest = after;
            }
            Key::Unit if unit.is_none() => {
                let [b'"', text @ ..] = after else { return None };
                let (text, after) = string(text)?;
                unit = Some(text);
                rest = after;
            }
            // A key that comes twice.
            Key::Time | Key::Value | Key::Name | Key::Unit => return None,
        }
        match rest {
            [b',', after @ ..] => rest = after,
            [b'}', b'\n', after @ ..] | [b'}', b'\r', b'\n', after @ ..] => {
                let (guess, name) = found?;
                let length = bytes.len() - after.len();
                return Some(Plain { guess, name, unit, value: value?, at: at?, length });
            }
            _ => return None,
        }
    }
}

/// Reads any line. Of a key that comes twice the last one counts; `null` is as good as absent; of several names for one
/// thing the first of `metric, name` and of `timestamp, ts, event_time, time` counts.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn careful(line: &str, unit_of_time: TimeUnit) -> Result<Event<'_>, FaultCause> {
    named(line, unit_of_time, None)
}

/// As [`careful`]; an object that names no metric is called `usual`.
pub(crate) fn named<'a>(
    line: &'a str,
    unit_of_time: TimeUnit,
    usual: Option<&'a str>,
) -> Result<Event<'a>, FaultCause> {
    let keep = |cow: Cow<'_, str>| Cow::<'static, str>::Owned(cow.into_owned());
    if let Ok(fields) = fields(line) {
        return fields.event(unit_of_time, usual);
    }
    // Writers of Python's `json` put NaN and Infinity bare.
    let quoted = quote_bare_numbers(line).ok_or(FaultCause::Malformed)?;
    let event = fields(&quoted).map_err(|()| FaultCause::Malformed)?.event(unit_of_time, usual)?;
    Ok(Event { name: keep(event.name), unit: event.unit.map(keep), value: event.value, at: event.at })
}

/// The raw values of the keys that matter.
#[derive(Default)]
struct Fields<'a> {
    names: [Option<&'a RawValue>; 2],
    times: [Option<&'a RawValue>; 4],
    value: Option<&'a RawValue>,
    unit: Option<&'a RawValue>,
}

impl<'a> Fields<'a> {
    fn place(&mut self, key: &str) -> Option<&mut Option<&'a RawValue>> {
        let [metric, name] = &mut self.names;
        let [timestamp, ts, event_time, time] = &mut self.times;
        match key {
            "metric" => Some(metric),
            "name" => Some(name),
            "timestamp" => Some(timestamp),
            "ts" => Some(ts),
            "event_time" => Some(event_time),
            "time" => Some(time),
            "value" => Some(&mut self.value),
            "unit" => Some(&mut self.unit),
            _ => None,
        }
    }

    fn event(&self, unit_of_time: TimeUnit, usual: Option<&'a str>) -> Result<Event<'a>, FaultCause> {
        let name = match (present(&self.names), usual) {
            (Some(said), _) => text(said).ok_or(FaultCause::NoName)?,
            (None, usual) => Cow::Borrowed(usual.ok_or(FaultCause::NoName)?),
        };
        let value = self.value.filter(|raw| raw.get() != "null").ok_or(FaultCause::NoValue)?.get();
        let value = match text_or_number(value) {
            Some(text) => number::any(text.as_bytes()).ok_or(FaultCause::NotANumber)?,
            None => return Err(FaultCause::NotANumber),
        };
        let at = match present(&self.times) {
            None => None,
            Some(raw) => {
                let text = text_or_number(raw.get()).ok_or(FaultCause::BadTime)?;
                Some(stamp::any(text.as_bytes(), unit_of_time).ok_or(FaultCause::BadTime)?)
            }
        };
        let unit = match self.unit.filter(|raw| raw.get() != "null") {
            None => None,
            Some(raw) => Some(text(raw).ok_or(FaultCause::Malformed)?),
        };
        Ok(Event { name, unit, value, at })
    }
}

/// The name in a line, where its value and where its time stand.
pub(crate) fn spans(line: &str) -> Option<(String, Range<usize>, Option<Range<usize>>)> {
    let fields = fields(line).ok()?;
    let range = |raw: &RawValue| {
        let start = raw.get().as_ptr().addr().checked_sub(line.as_ptr().addr())?;
        Some(start..start + raw.get().len())
    };
    let name = text(present(&fields.names)?)?.into_owned();
    Some((name, range(fields.value?)?, present(&fields.times).and_then(range)))
}

fn present<'a>(raws: &[Option<&'a RawValue>]) -> Option<&'a RawValue> {
    raws.iter().flatten().find(|raw| raw.get() != "null").copied()
}

fn text(raw: &RawValue) -> Option<Cow<'_, str>> {
    string_of(raw.get())
}

fn string_of(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str::<String>(raw).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

/// The text of a string or of a number; `None` for everything else.
fn text_or_number(raw: &str) -> Option<Cow<'_, str>> {
    match raw.as_bytes().first()? {
        b'"' => string_of(raw),
        b'-' | b'0'..=b'9' => Some(Cow::Borrowed(raw)),
        _ => None,
    }
}

fn fields(line: &str) -> Result<Fields<'_>, ()> {
    struct Keys;
    impl<'de> Visitor<'de> for Keys {
        type Value = Fields<'de>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
            let mut fields = Fields::default();
            while let Some(key) = map.next_key::<KeyText<'de>>()? {
                match fields.place(&key.0) {
                    Some(place) => *place = Some(map.next_value()?),
                    None => {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
            }
            Ok(fields)
        }
    }
    let mut reader = serde_json::Deserializer::from_str(line);
    let fields = reader.deserialize_map(Keys).map_err(|_| ())?;
    reader.end().map_err(|_| ())?;
    Ok(fields)
}

/// A key, borrowed where it can be.
#[derive(serde::Deserialize)]
struct KeyText<'a>(#[serde(borrow)] Cow<'a, str>);

/// The line with each bare `NaN`, `Infinity` and `-Infinity` in quotes; `None` when there is none.
fn quote_bare_numbers(line: &str) -> Option<String> {
    const BARE: [&str; 3] = ["NaN", "-Infinity", "Infinity"];
    let mut out = String::with_capacity(line.len() + 16);
    let mut rest = line;
    let (mut in_string, mut escaped, mut found) = (false, false, false);
    while let Some(c) = rest.chars().next() {
        if let Some(word) = BARE.iter().find(|word| !in_string && rest.starts_with(**word)) {
            out.push('"');
            out.push_str(word);
            out.push('"');
            rest = rest.get(word.len()..).unwrap_or_default();
            found = true;
            continue;
        }
        match c {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' => in_string = !in_string,
            _ => {}
        }
        out.push(c);
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
    }
    found.then_some(out)
}
