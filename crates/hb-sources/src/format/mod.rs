//! What lines mean: JSON lines, CSV events, wide CSV.
//!
//! The first line that can be read decides the layout, unless the settings do. A line is read the same way wherever a chunk
//! of input happens to end, and after seeking as in one go.

#[cfg(test)]
mod agreement;
pub(crate) mod csv;
mod http_log;
pub(crate) mod json;
pub(crate) mod locate;
pub(crate) mod number;
pub(crate) mod stamp;
pub(crate) mod syslog;
mod wide;

use std::borrow::Cow;

use hb_core::time::Stamp;
use hb_core::watch::sample::FaultCause;

pub use stamp::TimeUnit;

use crate::items::Items;
use crate::names::{Names, Refused};
use csv::Columns;
use http_log::HttpLog;
use stamp::Before;
use syslog::Syslog;
use wide::Wide;

/// Which format a source has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FormatChoice {
    /// Told by the first line: `{` begins JSON lines; a header with `metric` and `value` or plain cells are CSV events; a
    /// header with a time column is wide CSV.
    #[default]
    Auto,
    /// One JSON object a line.
    Jsonl,
    /// One event a row.
    Csv,
    /// A header, one time column, one column a series.
    WideCsv,
    /// Lines of syslog.
    Syslog,
    /// Requests to a web server, separated by tabs.
    NasaHttp,
    /// A table that is read as a whole.
    Table(TableForm),
}

/// Files that are tables with a form of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableForm {
    /// Metrics with their current values, as a workbook or as CSV.
    PbaExcel,
    /// A channel of the SMAP and MSL telemetry, as an array or as CSV.
    SmapMsl,
    /// Engines over their lives: unit, cycle, three settings, 21 sensors.
    Cmapss,
}

/// What to do with an event that has no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NoTime {
    /// What suits the source: [`NoTime::Arrival`] where it cannot be read again. Where it can, arrival for a layout that has no
    /// time at all (`metric,value`, or a first JSON event without one), and a fault for an event that lacks what others have.
    #[default]
    Usual,
    /// It is a fault: a second reading would give it another time, and so another decision.
    Fault,
    /// It happened when it arrived.
    Arrival,
}

/// How lines are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Format {
    /// Which one.
    pub choice: FormatChoice,
    /// What numbers mean as times.
    pub time_unit: TimeUnit,
    /// What to do without a time.
    pub no_time: NoTime,
}

impl Format {
    /// With the usual treatment of events without time made definite.
    pub(crate) fn with_usual(mut self, usual: NoTime) -> Self {
        if self.no_time == NoTime::Usual {
            self.no_time = usual;
        }
        self
    }
}

/// One event as it stands in a line.
#[derive(Debug, PartialEq)]
pub(crate) struct Event<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) unit: Option<Cow<'a, str>>,
    pub(crate) value: f64,
    pub(crate) at: Option<Stamp>,
}

/// How the lines of one file are laid out.
#[derive(Debug)]
enum Layout {
    Json,
    Events(Columns),
    Wide(Wide),
    /// Syslog.
    Syslog(Syslog),
    /// Requests.
    Http(HttpLog),
}

/// A line that found no room for its names: finish the batch, forget the names, read it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NamesFull;

/// Reads lines.
#[derive(Debug)]
pub(crate) struct Decoder {
    format: Format,
    layout: Option<Layout>,
    pub(crate) names: Names,
    /// The time of the line before.
    before: Before,
    /// The time of events without one, where that is allowed.
    pub(crate) arrival: Stamp,
    /// Whether the layout has no time at all: no time column, or a first JSON event without one.
    timeless: bool,
}

impl Decoder {
    pub(crate) fn new(format: Format, names_max: usize) -> Self {
        let (names, before) = (Names::new(names_max), Before::default());
        Self { format, layout: None, names, before, arrival: Stamp(0), timeless: false }
    }

    /// Another file begins: the next line decides the layout.
    pub(crate) fn restart(&mut self) {
        self.layout = None;
    }

    /// Voids the slots of all names.
    pub(crate) fn forget_names(&mut self) {
        self.names.forget();
        if let Some(Layout::Wide(wide)) = &mut self.layout {
            wide.forget();
        }
    }

    /// Whether the layout is known.
    pub(crate) fn settled(&self) -> bool {
        self.layout.is_some()
    }

    /// Lets a line decide the layout without delivering it: for seeking into the middle.
    pub(crate) fn prime(&mut self, line: &[u8]) {
        if let Ok(text) = clean(line)
            && !text.trim_ascii().is_empty()
        {
            self.lay_out(text);
        }
    }

    /// Reads a line of the usual shape at the front of `bytes`, which may hold more lines, and says how many bytes it took.
    /// `None` leaves it to [`Decoder::line`].
    #[inline]
    pub(crate) fn fast(&mut self, bytes: &[u8], offset: u32, items: &mut Items) -> Option<usize> {
        match self.layout.as_mut()? {
            Layout::Json => {
                let plain = json::fast(bytes, &self.names, self.format.time_unit, &mut self.before)?;
                let unit = plain.unit.filter(|unit| !unit.is_empty());
                let slot = match plain.guess.and_then(|guess| self.names.confirm(guess, unit)) {
                    Some(slot) => slot,
                    None => self.names.slot(plain.name, unit, &mut items.names).ok()?,
                };
                items.sample(slot, offset, plain.at, plain.value);
                Some(plain.length)
            }
            Layout::Events(columns) => {
                let plain = columns.fast(bytes, &self.names, self.format.time_unit)?;
                let slot = match plain.guess.and_then(|guess| self.names.confirm(guess, plain.unit)) {
                    Some(slot) => slot,
                    None => self.names.slot(plain.name, plain.unit, &mut items.names).ok()?,
                };
                items.sample(slot, offset, plain.at, plain.value);
                Some(plain.length)
            }
            Layout::Wide(wide) => wide.fast(bytes, offset, self.format.time_unit, items),
            Layout::Syslog(_) | Layout::Http(_) => None,
        }
    }

    /// Reads any line, without its end.
    pub(crate) fn line(&mut self, line: &[u8], offset: u32, items: &mut Items) -> Result<(), NamesFull> {
        match self.read(line, offset, items) {
            Ok(()) => Ok(()),
            Err(Refused::Full) => Err(NamesFull),
            Err(Refused::Fault(cause)) => {
                items.fault(offset, cause);
                Ok(())
            }
        }
    }

    fn read(&mut self, line: &[u8], offset: u32, items: &mut Items) -> Result<(), Refused> {
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        let text = clean(line).map_err(Refused::Fault)?;
        if text.trim_ascii().is_empty() {
            return Ok(());
        }
        if self.layout.is_none() && self.lay_out(text) == Header::Yes {
            return match &self.layout {
                Some(Layout::Wide(wide)) => wide.check(self.names.max()).map_err(Refused::Fault),
                Some(Layout::Json | Layout::Events(_) | Layout::Syslog(_) | Layout::Http(_)) | None => Ok(()),
            };
        }
        let json = self.format.choice == FormatChoice::Auto && text.trim_start().starts_with('{');
        let unit_of_time = self.format.time_unit;
        let event = match &mut self.layout {
            Some(Layout::Wide(wide)) if !json => {
                return wide.row(
                    (text, offset),
                    (unit_of_time, self.format.no_time, self.arrival),
                    &mut self.names,
                    items,
                );
            }
            Some(Layout::Events(columns)) if !json => columns.event(text, unit_of_time),
            Some(Layout::Syslog(syslog)) => syslog.event(text, self.arrival),
            Some(Layout::Http(columns)) => return columns.row((text, offset), unit_of_time, &mut self.names, items),
            Some(_) | None => json::careful(text, unit_of_time),
        };
        let event = event.map_err(Refused::Fault)?;
        let at = match (event.at, self.format.no_time) {
            (Some(at), _) => at,
            (None, NoTime::Arrival) => self.arrival,
            (None, NoTime::Usual) if self.timeless => self.arrival,
            (None, NoTime::Fault | NoTime::Usual) => return Err(Refused::Fault(FaultCause::NoTime)),
        };
        let unit = event.unit.as_deref().map(str::as_bytes);
        let slot = self.names.slot(event.name.as_bytes(), unit, &mut items.names)?;
        items.sample(slot, offset, at, event.value);
        Ok(())
    }

    fn lay_out(&mut self, line: &str) -> Header {
        let unit = self.format.time_unit;
        let (layout, header) = match self.format.choice {
            FormatChoice::Jsonl => (Layout::Json, Header::No),
            FormatChoice::WideCsv => (Layout::Wide(Wide::of(line)), Header::Yes),
            FormatChoice::Syslog => (Layout::Syslog(Syslog::new()), Header::No),
            FormatChoice::NasaHttp => match HttpLog::of_header(line) {
                Some(columns) => (Layout::Http(columns), Header::Yes),
                None => (Layout::Http(HttpLog::usual()), Header::No),
            },
            FormatChoice::Auto if line.trim_start().starts_with('{') => (Layout::Json, Header::No),
            FormatChoice::Auto | FormatChoice::Csv | FormatChoice::Table(_) => match Columns::of_header(line) {
                Some(columns) => (Layout::Events(columns), Header::Yes),
                None if self.format.choice == FormatChoice::Auto && wide::is_header(line) => {
                    (Layout::Wide(Wide::of(line)), Header::Yes)
                }
                None => match Columns::of_row(line, unit) {
                    Some(columns) => (Layout::Events(columns), Header::No),
                    // Garbage decides nothing.
                    None => return Header::No,
                },
            },
        };
        self.timeless = match &layout {
            Layout::Json => json::careful(line, unit).is_ok_and(|event| event.at.is_none()),
            Layout::Events(columns) => columns.time.is_none(),
            Layout::Wide(_) | Layout::Syslog(_) | Layout::Http(_) => false,
        };
        self.layout = Some(layout);
        header
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Header {
    Yes,
    No,
}

/// The line as text, without byte order mark.
pub(crate) fn clean(line: &[u8]) -> Result<&str, FaultCause> {
    if memchr::memchr(0, line).is_some() {
        return Err(FaultCause::NulByte);
    }
    let text = std::str::from_utf8(line).map_err(|_| FaultCause::NotUtf8)?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}
