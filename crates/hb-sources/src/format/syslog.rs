//! Lines of syslog: RFC 5424, RFC 3164 and what files have, `TIME HOST PROGRAM[PID]: TEXT`.
//!
//! Each line is one reading of the series `syslog_PROGRAM` with the value 1, so that the number of readings in a cycle is how
//! often the program spoke. The pid is no part of the name.

use hb_core::time::Stamp;
use hb_core::watch::sample::FaultCause;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::{Event, stamp};
use crate::format::TimeUnit;

/// Where the system says which time zone is its own.
const ZONE_FILE: &str = "/etc/localtime";
/// How far ahead of its arrival a time without a year may be before it is last year's, in nanoseconds: a day.
const AHEAD_NS: i64 = 86_400_000_000_000;
/// What a program is called that does not say its name.
const NAMELESS: &str = "unknown";

/// Times of RFC 3164 have neither year nor zone: the year is that of their arrival or the one before, the zone the machine's.
#[derive(Debug, Clone)]
pub(crate) struct Syslog {
    zone: TimeZone,
}

impl Syslog {
    /// With the zone of this machine.
    pub(crate) fn new() -> Self {
        let read = std::fs::read(ZONE_FILE).ok().and_then(|bytes| TimeZone::tzif("local", &bytes).ok());
        Self { zone: read.unwrap_or(TimeZone::UTC) }
    }

    /// Reads a line.
    ///
    /// # Errors
    /// [`FaultCause::Malformed`] when it is no line of syslog.
    pub(crate) fn event(&self, line: &str, arrival: Stamp) -> Result<Event<'static>, FaultCause> {
        let text = after_priority(line.trim_end())?;
        let read = match text.strip_prefix("1 ") {
            Some(rest) if text.len() < line.trim_end().len() => modern(rest),
            Some(_) | None => self.classic(text, arrival),
        };
        let (at, program) = read.ok_or(FaultCause::Malformed)?;
        let at = at.map(|at| apart(at, line));
        Ok(Event { name: format!("syslog_{program}").into(), unit: None, value: 1.0, at })
    }

    /// `[TIME] [HOST] PROGRAM[PID]: TEXT`.
    fn classic<'a>(&self, text: &'a str, arrival: Stamp) -> Option<(Option<Stamp>, &'a str)> {
        if let Some((at, rest)) = self.month_first(text, arrival) {
            return Some((Some(at), tag(rest)?));
        }
        if let Some((first, rest)) = text.split_once(' ')
            && first.contains('T')
            && let Some(at) = stamp::any(first.as_bytes(), TimeUnit::Seconds)
        {
            return Some((Some(at), tag(rest)?));
        }
        // Without a time there must be a program with its colon, or any line would do.
        let first = text.split(' ').next().filter(|first| is_tag(first))?;
        Some((None, program(first)))
    }

    /// `Mmm dd hh:mm:ss `, the day with a blank or without.
    fn month_first<'a>(&self, text: &'a str, arrival: Stamp) -> Option<(Stamp, &'a str)> {
        const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let (month, rest) = text.split_once(' ')?;
        let month = i8::try_from(MONTHS.iter().position(|name| *name == month)?).ok()? + 1;
        let (day, rest) = rest.trim_start().split_once(' ')?;
        let day: i8 = day.parse().ok()?;
        let (clock, rest) = rest.split_once(' ')?;
        let (whole, fraction) = clock.split_once('.').unwrap_or((clock, ""));
        let mut parts = whole.split(':').map(|part| part.parse::<i8>().ok().filter(|_| part.len() == 2));
        let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
        if parts.next().is_some() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) || fraction.len() > 9 {
            return None;
        }
        let nanosecond = format!("{fraction:0<9}").parse().ok()?;
        let now = jiff::Timestamp::from_nanosecond(i128::from(arrival.0)).ok()?.to_zoned(self.zone.clone());
        let of_year = |year: i16| -> Option<Stamp> {
            let civil = DateTime::new(year, month, day, hour, minute, second, nanosecond).ok()?;
            let at = civil.to_zoned(self.zone.clone()).ok()?.timestamp().as_nanosecond();
            i64::try_from(at).ok().map(Stamp)
        };
        // The 29th of February exists in some years only.
        let near = |at: &Stamp| at.0 <= arrival.0.saturating_add(AHEAD_NS);
        let years = (0..8).map(|back| now.year() - back);
        let at = years.filter_map(of_year).find(near)?;
        Some((at, rest.trim_start()))
    }
}

/// Moves a time of whole seconds or milliseconds within its first thousandth by what its line says, the same whenever it is
/// read: lines of one second are different readings, and would else be taken for one that is repeated.
pub(crate) fn apart(at: Stamp, line: &str) -> Stamp {
    const SECOND_NS: i64 = 1_000_000_000;
    const MILLISECOND_NS: i64 = 1_000_000;
    let room = if at.0 % SECOND_NS == 0 {
        MILLISECOND_NS
    } else if at.0 % MILLISECOND_NS == 0 {
        1_000
    } else {
        return at;
    };
    // FNV-1a, 64 bits.
    let hash = line
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    at.plus_ns(i64::try_from(hash % room.unsigned_abs()).unwrap_or(0))
}

/// What stands behind `<PRI>`, where there is one.
fn after_priority(line: &str) -> Result<&str, FaultCause> {
    let Some(rest) = line.strip_prefix('<') else { return Ok(line) };
    let (priority, rest) = rest.split_once('>').ok_or(FaultCause::Malformed)?;
    let sound = (1..=3).contains(&priority.len()) && priority.parse::<u16>().is_ok_and(|number| number <= 191);
    if sound { Ok(rest) } else { Err(FaultCause::Malformed) }
}

/// `TIME HOST PROGRAM PID ID …` of RFC 5424; `-` stands for what is not said.
fn modern(rest: &str) -> Option<(Option<Stamp>, &str)> {
    let mut words = rest.split(' ');
    let (time, _host, program) = (words.next()?, words.next()?, words.next()?);
    // The pid, the kind of message and the structured data, which may be `-`, belong to it.
    words.nth(2)?;
    let at = match time {
        "-" => None,
        time => Some(stamp::any(time.as_bytes(), TimeUnit::Seconds).filter(|_| time.contains('T'))?),
    };
    Some((at, if program == "-" || program.is_empty() { NAMELESS } else { program }))
}

/// The program of `[HOST] PROGRAM[PID]: TEXT`. Messages of this machine's own programs name no host.
fn tag(rest: &str) -> Option<&str> {
    let mut words = rest.split_ascii_whitespace();
    let first = words.next()?;
    if is_tag(first) {
        return Some(program(first));
    }
    Some(words.next().map_or(NAMELESS, program))
}

/// Whether a word is `PROGRAM:` or `PROGRAM[PID]:`.
fn is_tag(word: &str) -> bool {
    word.strip_suffix(':').is_some_and(|name| !name.is_empty()) || word.contains('[') && word.ends_with(']')
}

/// The name before pid and colon.
fn program(word: &str) -> &str {
    let name = word.split(['[', ':']).next().unwrap_or_default();
    if name.is_empty() { NAMELESS } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::proptest;

    /// 2026-03-01T00:00:00Z.
    const ARRIVAL: Stamp = Stamp(1_772_323_200_000_000_000);

    fn utc() -> Syslog {
        Syslog { zone: TimeZone::UTC }
    }

    fn read(line: &str) -> Option<(String, Option<String>)> {
        let event = utc().event(line, ARRIVAL).ok()?;
        Some((event.name.into_owned(), event.at.map(second)))
    }

    /// The second in which it lies.
    fn second(at: Stamp) -> String {
        Stamp(at.0 - at.0.rem_euclid(1_000_000_000)).to_string()
    }

    #[test]
    fn lines_of_one_second_are_different_readings_and_always_the_same() {
        let at = |line: &str| utc().event(line, ARRIVAL).unwrap().at.unwrap();
        let (one, other) = ("Feb 28 22:14:15 host su[230]: failed", "Feb 28 22:14:15 host su[231]: failed");
        assert_ne!(at(one), at(other));
        assert_eq!(at(one), at(one));
        assert!(at(one).since_ns(at(other)).abs() < 1_000_000);
        assert_eq!(apart(Stamp(1_001), one), Stamp(1_001), "fine enough already");
    }

    #[test]
    fn every_form_names_its_program_without_the_pid() {
        let feb = Some("2026-02-28T22:14:15Z");
        for (line, name, at) in [
            ("<34>Feb 28 22:14:15 mymachine su[230]: 'su root' failed", "syslog_su", feb),
            ("Feb 28 22:14:15 host su[230]: failed", "syslog_su", feb),
            ("Feb 28 22:14:15 host CRON[7]: (root) CMD", "syslog_CRON", feb),
            ("Feb 28 22:14:15 host kernel: [  0.0] booting", "syslog_kernel", feb),
            ("Feb 28 22:14:15 host postfix/smtpd[12]: connect", "syslog_postfix/smtpd", feb),
            ("<13>Feb 28 22:14:15 logger: from here", "syslog_logger", feb),
            ("<13>Feb  8 22:14:15 app[1]: one digit", "syslog_app", Some("2026-02-08T22:14:15Z")),
            ("2026-02-28T22:14:15Z host app[1]: as files have it", "syslog_app", feb),
            ("2026-02-28T23:14:15+01:00 host app: zone", "syslog_app", feb),
            ("<34>1 2026-02-28T22:14:15Z host su 230 ID47 - failed", "syslog_su", feb),
            ("<165>1 2026-02-28T22:14:15Z host evntslog - ID47 [x@1 a=\"b\"] text", "syslog_evntslog", feb),
            ("<34>1 - - - - - -", "syslog_unknown", None),
            ("<13>app[9]: without a time", "syslog_app", None),
            ("Dec 31 23:59:59 host late: of last year", "syslog_late", Some("2025-12-31T23:59:59Z")),
            ("Feb 29 12:00:00 host leap: of 2024", "syslog_leap", Some("2024-02-29T12:00:00Z")),
        ] {
            let (got, time) = read(line).unwrap_or_else(|| panic!("{line}"));
            assert_eq!((got.as_str(), time.as_deref()), (name, at), "{line}");
        }
    }

    #[test]
    fn what_is_no_syslog_is_a_fault() {
        for line in ["hello", "<999>x: y", "<34", "<34>1 yesterday host app - - -", "Feb 30 22:14:15 host a: b", "ts,v"]
        {
            assert_eq!(read(line), None, "{line}");
        }
    }

    #[test]
    fn a_zone_of_its_own() {
        let berlin = Syslog { zone: TimeZone::fixed(jiff::tz::offset(1)) };
        let event = berlin.event("Feb 28 22:14:15 host su[230]: failed", ARRIVAL).unwrap();
        assert_eq!(second(event.at.unwrap()), "2026-02-28T21:14:15Z");
    }

    proptest! {
        #[test]
        fn no_line_panics(line in "(<[0-9]{0,4}>)?(1 )?(Feb  ?[0-9]{1,2} )?\\PC{0,40}") {
            drop(utc().event(&line, ARRIVAL));
        }
    }
}
