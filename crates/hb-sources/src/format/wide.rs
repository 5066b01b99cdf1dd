//! Wide CSV: a header, one time column, one column a series. An empty cell is no reading.
//!
//! A column name may end in its unit: `pressure [bar]`.

use hb_core::time::Stamp;
use hb_core::watch::sample::FaultCause;

use super::NoTime;
use super::csv::{cells, is_time};
use super::number;
use super::stamp::{self, TimeUnit};
use crate::items::Items;
use crate::names::{Names, Refused};

/// One column of a series.
#[derive(Debug)]
struct Column {
    name: String,
    unit: Option<String>,
    slot: Option<u32>,
}

/// What the header says.
#[derive(Debug)]
pub(crate) struct Wide {
    columns: Vec<Column>,
    /// Which column is the time.
    time: usize,
}

/// Whether a first line is a header of wide CSV beyond doubt: it names a time column, and none of its cells is a number.
pub(crate) fn is_header(line: &str) -> bool {
    cells(line).is_some_and(|cells| {
        cells.len() >= 2
            && cells.iter().any(|cell| is_time(cell))
            && cells.iter().all(|cell| !cell.is_empty() && number::any(cell.as_bytes()).is_none())
    })
}

impl Wide {
    /// Takes a line as header. Without a column named as a time the first one is the time.
    pub(crate) fn of(line: &str) -> Self {
        let cells = cells(line).unwrap_or_default();
        let time = cells.iter().position(|cell| is_time(cell)).unwrap_or(0);
        let columns = cells.into_iter().map(|cell| Column::of(&cell)).collect();
        Self { columns, time }
    }

    /// Whether rows can be read by this header.
    pub(crate) fn check(&self, names_max: usize) -> Result<(), FaultCause> {
        let fits = self.columns.len() >= 2 && self.columns.len() - 1 <= names_max;
        if fits { Ok(()) } else { Err(FaultCause::Columns) }
    }

    /// The columns of series, by number and name.
    pub(super) fn series(&self) -> impl Iterator<Item = (usize, &str)> {
        let time = self.time;
        self.columns.iter().enumerate().filter(move |(column, _)| *column != time).map(|(n, c)| (n, c.name.as_str()))
    }

    /// Which column is the time.
    pub(super) fn time(&self) -> usize {
        self.time
    }

    /// Voids the slots.
    pub(crate) fn forget(&mut self) {
        for column in &mut self.columns {
            column.slot = None;
        }
    }

    /// Reads a row without quotes whose names are all known, at the front of `bytes`, its end of line among it.
    #[inline]
    pub(crate) fn fast(&self, bytes: &[u8], offset: u32, unit_of_time: TimeUnit, items: &mut Items) -> Option<usize> {
        if self.time != 0 || self.columns.len() < 2 {
            return None;
        }
        let (at, length) = stamp::front(bytes, unit_of_time)?;
        let mut rest = bytes.get(length..)?;
        let before = items.samples.len();
        let read = (|| {
            for column in self.columns.iter().skip(1) {
                let [b',', cell @ ..] = rest else { return None };
                if matches!(cell.first(), Some(b',' | b'\n' | b'\r')) {
                    rest = cell;
                    continue;
                }
                let (value, length) = number::plain(cell)?;
                items.sample(column.slot?, offset, at, value);
                rest = cell.get(length..)?;
            }
            match rest {
                [b'\n', rest @ ..] | [b'\r', b'\n', rest @ ..] => Some(bytes.len() - rest.len()),
                _ => None,
            }
        })();
        if read.is_none() {
            items.samples.truncate(before);
        }
        read
    }

    /// Reads any row: as many samples and faults as it has cells with something in them, or one fault.
    pub(crate) fn row(
        &mut self,
        (line, offset): (&str, u32),
        (unit_of_time, no_time, arrival): (TimeUnit, NoTime, Stamp),
        names: &mut Names,
        items: &mut Items,
    ) -> Result<(), Refused> {
        let row = cells(line).ok_or(Refused::Fault(FaultCause::Malformed))?;
        self.check(names.max()).map_err(Refused::Fault)?;
        if row.len() != self.columns.len() {
            return Err(Refused::Fault(FaultCause::Columns));
        }
        let time = row.get(self.time).map(|cell| cell.as_bytes()).unwrap_or_default();
        let at = match (time.is_empty(), no_time) {
            (false, _) => stamp::any(time, unit_of_time).ok_or(Refused::Fault(FaultCause::BadTime))?,
            (true, NoTime::Arrival) => arrival,
            (true, NoTime::Fault | NoTime::Usual) => return Err(Refused::Fault(FaultCause::NoTime)),
        };
        // All names first: when there is no room for one, nothing of the row may have been delivered yet.
        let time_column = self.time;
        let filled = |&(column, cell): &(usize, &str)| column != time_column && !cell.is_empty();
        let numbered = || row.iter().map(AsRef::as_ref).enumerate().filter(filled);
        for (number, _) in numbered() {
            if let Some(column) = self.columns.get_mut(number).filter(|column| column.slot.is_none()) {
                match names.slot(column.name.as_bytes(), column.unit.as_deref().map(str::as_bytes), &mut items.names) {
                    Ok(slot) => column.slot = Some(slot),
                    Err(Refused::Full) => return Err(Refused::Full),
                    // Told below, once for each cell.
                    Err(Refused::Fault(_)) => {}
                }
            }
        }
        for (number, cell) in numbered() {
            let Some(column) = self.columns.get(number) else { continue };
            match (column.slot, number::any(cell.as_bytes())) {
                (Some(slot), Some(value)) => items.sample(slot, offset, at, value),
                (_, None) => items.fault(offset, FaultCause::NotANumber),
                (None, Some(_)) if column.name.is_empty() => items.fault(offset, FaultCause::NoName),
                (None, Some(_)) => items.fault(offset, FaultCause::NameTooLong),
            }
        }
        Ok(())
    }
}

impl Column {
    fn of(cell: &str) -> Self {
        let split = cell.strip_suffix(']').and_then(|cell| cell.rsplit_once('['));
        match split.map(|(name, unit)| (name.trim_ascii(), unit.trim_ascii())) {
            Some((name, unit)) if !name.is_empty() && !unit.is_empty() => {
                Self { name: name.to_owned(), unit: Some(unit.to_owned()), slot: None }
            }
            Some(_) | None => Self { name: cell.to_owned(), unit: None, slot: None },
        }
    }
}
