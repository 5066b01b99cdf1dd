//! Requests to a web server as tab-separated values, the form in which NASA's logs of 1995 are passed around:
//! `host logname time method url response bytes`, with a line of names or without, times as numbers or RFC 3339.
//!
//! Each line is one reading of `http_requests` (1), `http_errors` and `http_server_errors` (1 where the response was 400 or
//! 500 and above, else 0), and of `http_bytes` where the size is said.

use hb_core::time::Stamp;
use hb_core::watch::sample::FaultCause;

use super::{TimeUnit, number, stamp};
use crate::items::Items;
use crate::names::{Names, Refused};

/// Which column is what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HttpLog {
    time: usize,
    response: usize,
    bytes: usize,
    columns: usize,
}

/// Columns of a file without names: at least these, in this order.
const USUAL: HttpLog = HttpLog { time: 2, response: 5, bytes: 6, columns: 7 };

impl HttpLog {
    /// The columns that a line names, if it is a line of names.
    pub(crate) fn of_header(line: &str) -> Option<Self> {
        let names: Vec<&str> = line.split('\t').map(str::trim).collect();
        let find = |known: &[&str]| names.iter().position(|name| known.contains(name));
        let time = find(&["time", "timestamp", "ts"])?;
        let response = find(&["response", "status", "code"])?;
        Some(Self { time, response, bytes: find(&["bytes", "size"])?, columns: names.len() })
    }

    /// The usual columns.
    pub(crate) fn usual() -> Self {
        USUAL
    }

    /// Reads a line: several samples, or one fault.
    pub(crate) fn row(
        self,
        (line, offset): (&str, u32),
        unit: TimeUnit,
        names: &mut Names,
        items: &mut Items,
    ) -> Result<(), Refused> {
        let cells: Vec<&str> = line.split('\t').map(str::trim).collect();
        if cells.len() < self.columns {
            return Err(Refused::Fault(FaultCause::Columns));
        }
        let cell = |column: usize| cells.get(column).copied().unwrap_or_default();
        let at = match cell(self.time) {
            "" | "-" => return Err(Refused::Fault(FaultCause::NoTime)),
            time => stamp::any(time.as_bytes(), unit).ok_or(Refused::Fault(FaultCause::BadTime))?,
        };
        let at = super::syslog::apart(at, line);
        let response: u16 = cell(self.response).parse().map_err(|_| Refused::Fault(FaultCause::NotANumber))?;
        let size = match cell(self.bytes) {
            "" | "-" => None,
            text => Some(number::any(text.as_bytes()).ok_or(Refused::Fault(FaultCause::NotANumber))?),
        };
        let share = |broken: bool| if broken { 1.0 } else { 0.0 };
        let readings = [
            ("http_requests", Some(1.0)),
            ("http_errors", Some(share(response >= 400))),
            ("http_server_errors", Some(share(response >= 500))),
            ("http_bytes", size),
        ];
        deliver(&readings, (at, offset), names, items)
    }
}

/// Hands on the readings of one line, all or none.
fn deliver(
    readings: &[(&str, Option<f64>)],
    (at, offset): (Stamp, u32),
    names: &mut Names,
    items: &mut Items,
) -> Result<(), Refused> {
    // All names first: when there is no room for one, nothing of the line may have been delivered yet.
    let mut slots = Vec::with_capacity(readings.len());
    for (name, _) in readings {
        slots.push(names.slot(name.as_bytes(), None, &mut items.names)?);
    }
    for (slot, value) in slots.into_iter().zip(readings).filter_map(|(slot, (_, value))| Some((slot, (*value)?))) {
        items.sample(slot, offset, at, value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{Decoder, Format, FormatChoice};

    fn read(lines: &[&str]) -> (Vec<String>, Vec<FaultCause>) {
        let mut decoder = Decoder::new(Format { choice: FormatChoice::NasaHttp, ..Format::default() }, 10);
        let mut items = Items::default();
        for (line, number) in lines.iter().zip(0..) {
            decoder.line(line.as_bytes(), number, &mut items).unwrap();
        }
        let name = |slot: u32| &items.names[usize::try_from(slot).unwrap()].name;
        let told =
            |s: &hb_core::watch::sample::Sample| format!("{} {}={}", s.at.0 / 1_000_000_000, name(s.slot), s.value);
        (items.samples.iter().map(told).collect(), items.faults.iter().map(|fault| fault.cause).collect())
    }

    #[test]
    fn with_names_and_without() {
        let row = "199.72.81.55\t-\t804571201\tGET\t/history/apollo/\t200\t6245\t\t";
        let wanted = [
            "804571201 http_requests=1",
            "804571201 http_errors=0",
            "804571201 http_server_errors=0",
            "804571201 http_bytes=6245",
        ];
        let header = "host\tlogname\ttime\tmethod\turl\tresponse\tbytes\treferer\tuseragent";
        assert_eq!(read(&[header, row]), (wanted.map(str::to_owned).to_vec(), vec![]));
        assert_eq!(read(&[row]).0, wanted);
        let missing = "host\t-\t1995-07-01T00:00:07-04:00\tGET\t/x\t404\t-";
        assert_eq!(
            read(&[missing]).0,
            ["804571207 http_requests=1", "804571207 http_errors=1", "804571207 http_server_errors=0"]
        );
    }

    #[test]
    fn lines_that_are_none_have_their_cause() {
        let lines = ["a\tb", "h\t-\tnoon\tGET\t/\t200\t1", "h\t-\t-\tGET\t/\t200\t1", "h\t-\t1\tGET\t/\tok\t1"];
        let causes = [FaultCause::Columns, FaultCause::BadTime, FaultCause::NoTime, FaultCause::NotANumber];
        assert_eq!(read(&lines), (vec![], causes.to_vec()));
    }
}
