//! CSV, one event a row.
//!
//! A first line whose cells are all known column names, `metric` and `value` among them, is a header and says which column
//! is what. Without a header: two columns are `metric,value`, three are `ts,metric,value` (or `metric,value,unit` when the
//! first row's first cell is no time and its second is a number), four and more are `ts,metric,value,unit`.
//!
//! Quoting is that of RFC 4180, but a quoted cell cannot hold an end of line.

use std::borrow::Cow;
use std::ops::Range;

use hb_core::time::Stamp;
use hb_core::watch::sample::FaultCause;

use super::stamp::{self, TimeUnit};
use super::{Event, number};
use crate::names::Names;

/// Which column is what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Columns {
    pub(super) time: Option<usize>,
    pub(super) name: usize,
    pub(super) value: usize,
    unit: Option<usize>,
    width: Width,
}

/// How many cells a row must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    /// As many as the header.
    Exactly(usize),
    /// The first row said which form; a row may leave its unit out, and more than four cells are let pass.
    AtLeast(usize),
}

/// What a row of the usual shape says.
pub(crate) struct PlainRow<'a> {
    pub(crate) guess: Option<u32>,
    pub(crate) name: &'a [u8],
    pub(crate) unit: Option<&'a [u8]>,
    pub(crate) value: f64,
    pub(crate) at: Stamp,
    pub(crate) length: usize,
}

/// Names that a time column may have.
pub(crate) fn is_time(cell: &str) -> bool {
    const NAMES: [&str; 9] =
        ["timestamp", "ts", "event_time", "time", "datetime", "date_time", "date", "_time", "timestamp_utc"];
    NAMES.iter().any(|name| cell.eq_ignore_ascii_case(name))
}

impl Columns {
    /// The columns that a header names; `None` when the line is no header.
    pub(crate) fn of_header(line: &str) -> Option<Self> {
        let cells = cells(line)?;
        let (mut time, mut name, mut value, mut unit) = (None, None, None, None);
        for (column, cell) in cells.iter().enumerate() {
            let is = |names: &[&str]| names.iter().any(|name| cell.eq_ignore_ascii_case(name));
            let place = if is_time(cell) {
                &mut time
            } else if is(&["metric", "name"]) {
                &mut name
            } else if is(&["value", "current"]) {
                &mut value
            } else if is(&["unit", "units"]) {
                &mut unit
            } else if is(&["tags"]) {
                continue;
            } else {
                return None;
            };
            // Two columns for one thing: the header of something else.
            if place.replace(column).is_some() {
                return None;
            }
        }
        Some(Self { time, name: name?, value: value?, unit, width: Width::Exactly(cells.len()) })
    }

    /// The columns of a file without header, by its first row; `None` when the row is none that could be read. A row of
    /// numbers only is none: it would be wide CSV without its header.
    pub(crate) fn of_row(line: &str, unit_of_time: TimeUnit) -> Option<Self> {
        let cells = cells(line)?;
        let cell = |column: usize| cells.get(column).map_or(&b""[..], |cell| cell.as_bytes());
        let is_number = |column: usize| number::any(cell(column)).is_some();
        let timed = stamp::any(cell(0), unit_of_time).is_some() || !is_number(1);
        let columns = match cells.len() {
            0 | 1 => return None,
            2 => Self { time: None, name: 0, value: 1, unit: None, width: Width::Exactly(2) },
            3 if !timed => Self { time: None, name: 0, value: 1, unit: Some(2), width: Width::AtLeast(2) },
            _ => Self { time: Some(0), name: 1, value: 2, unit: Some(3), width: Width::AtLeast(3) },
        };
        (is_number(columns.value) && !is_number(columns.name)).then_some(columns)
    }

    /// Reads a row `ts,metric,value` without quotes at the front of `bytes`, its end of line among it.
    #[inline]
    pub(crate) fn fast<'a>(&self, bytes: &'a [u8], names: &Names, unit_of_time: TimeUnit) -> Option<PlainRow<'a>> {
        if self.time != Some(0) || self.name != 1 || self.value != 2 {
            return None;
        }
        match self.width {
            Width::Exactly(3) | Width::AtLeast(_) => {}
            Width::Exactly(_) => return None,
        }
        let (at, length) = stamp::front(bytes, unit_of_time)?;
        let [b',', rest @ ..] = bytes.get(length..)? else { return None };
        let (guess, name, rest) = cell(rest, names)?;
        let (value, length) = number::plain(rest)?;
        let ([b'\n', rest @ ..] | [b'\r', b'\n', rest @ ..]) = rest.get(length..)? else { return None };
        Some(PlainRow { guess, name, unit: None, value, at, length: bytes.len() - rest.len() })
    }

    /// Reads any row.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn event<'a>(&self, line: &'a str, unit_of_time: TimeUnit) -> Result<Event<'a>, FaultCause> {
        let mut cells = cells(line).ok_or(FaultCause::Malformed)?;
        let fits = match self.width {
            Width::Exactly(width) => cells.len() == width,
            Width::AtLeast(width) => cells.len() >= width,
        };
        if !fits {
            // A line without any comma is no row at all.
            return Err(if cells.len() < 2 { FaultCause::Malformed } else { FaultCause::Columns });
        }
        let mut take = |column: usize| cells.get_mut(column).map(std::mem::take).unwrap_or_default();
        let time = self.time.map(&mut take);
        let (name, value, unit) = (take(self.name), take(self.value), self.unit.map(take));
        if name.is_empty() {
            return Err(FaultCause::NoName);
        }
        if value.is_empty() {
            return Err(FaultCause::NoValue);
        }
        let value = number::any(value.as_bytes()).ok_or(FaultCause::NotANumber)?;
        let at = match time {
            None => None,
            Some(text) if text.is_empty() => None,
            Some(text) => Some(stamp::any(text.as_bytes(), unit_of_time).ok_or(FaultCause::BadTime)?),
        };
        Ok(Event { name, unit: unit.filter(|unit| !unit.is_empty()), value, at })
    }
}

/// A name up to its comma: most likely the one guessed.
#[inline]
fn cell<'a>(rest: &'a [u8], names: &Names) -> Option<(Option<u32>, &'a [u8], &'a [u8])> {
    if let Some((slot, guessed)) = names.guess()
        && let Some([b',', after @ ..]) = rest.strip_prefix(guessed)
    {
        return Some((Some(slot), rest.get(..guessed.len())?, after));
    }
    let end = memchr::memchr(b',', rest)?;
    let text = rest.get(..end)?;
    let plain = text.iter().all(|b| *b > b' ' && *b != b'"' && *b < 0x7f);
    (plain && !text.is_empty()).then_some((None, text, rest.get(end + 1..)?))
}

/// The cells of a row, blanks around unquoted ones removed; `None` when its quotes are wrong.
pub(crate) fn cells(line: &str) -> Option<Vec<Cow<'_, str>>> {
    let mut cells = Vec::new();
    let mut rest = Some(line);
    while let Some(text) = rest {
        let (cell, after) = next_cell(text)?;
        cells.push(cell);
        rest = after;
    }
    Some(cells)
}

/// Where the cells of a row stand, blanks around them left out.
pub(super) fn ranges(line: &str) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let (mut start, mut quoted) = (0, false);
    let mut push = |start: usize, end: usize| {
        let cell = line.get(start..end).unwrap_or_default();
        let start = start + (cell.len() - cell.trim_ascii_start().len());
        ranges.push(start..start + cell.trim_ascii().len());
    };
    for (at, byte) in line.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                push(start, at);
                start = at + 1;
            }
            _ => {}
        }
    }
    push(start, line.len());
    ranges
}

/// The first cell of a text and what follows its comma, if there is one.
fn next_cell(text: &str) -> Option<(Cow<'_, str>, Option<&str>)> {
    let Some(inner) = text.trim_start_matches([' ', '\t']).strip_prefix('"') else {
        return Some(match text.split_once(',') {
            Some((cell, after)) => (Cow::Borrowed(cell.trim_ascii()), Some(after)),
            None => (Cow::Borrowed(text.trim_ascii()), None),
        });
    };
    let mut out = String::new();
    let mut rest = inner;
    loop {
        let (part, after) = rest.split_once('"')?;
        out.push_str(part);
        match after.strip_prefix('"') {
            Some(after) => {
                out.push('"');
                rest = after;
            }
            None => {
                let after = after.trim_start_matches([' ', '\t', '\r']);
                return match after.strip_prefix(',') {
                    Some(after) => Some((Cow::Owned(out), Some(after))),
                    None if after.is_empty() => Some((Cow::Owned(out), None)),
                    None => None,
                };
            }
        }
    }
}
