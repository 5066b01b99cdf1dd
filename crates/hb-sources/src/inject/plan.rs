//! What is to be done to a recording: the fault, and the rows that it hits.

use super::{InjectError, REORDER_LINES_MAX};
use crate::format::Format;

/// A fault of a sensor, a unit or a path of data.
#[derive(Debug, Clone, PartialEq)]
pub enum InjectedFault {
    /// Noise: of `noise_scale` times the value's size, and an offset.
    ValueCorruption {
        /// Standard deviation, as a share of the value.
        noise_scale: f64,
        /// What is added to every value.
        offset: f64,
    },
    /// The value comes under another key (JSON), or the row has one more cell (CSV).
    SchemaChange,
    /// The clock of the sensor is off.
    TimeSkew {
        /// By how many seconds; negative is slow.
        seconds: f64,
    },
    /// The value does not change any more.
    StuckAt {
        /// The value; the first one of each series when it is not given.
        value: Option<f64>,
    },
    /// One value is too large.
    Spike {
        /// How many times too large.
        scale: f64,
        /// Again after so many rows; once when it is not given.
        every: Option<u64>,
    },
    /// The value moves away, row by row.
    SensorDrift {
        /// How much is added per row.
        per_row: f64,
    },
    /// A row comes several times.
    Duplication {
        /// How many times in all.
        count: u32,
    },
    /// Rows are missing here and there (see [`Selection::share`]).
    Drop,
    /// Rows are missing in one piece.
    Gap {
        /// How many.
        rows: u64,
    },
    /// The value is not a number.
    Nan,
    /// A row comes late.
    Reorder {
        /// By so many lines, at most [`REORDER_LINES_MAX`].
        lines: u32,
    },
    /// The value is in another unit than before, and nobody says so.
    UnitMixup {
        /// How many of the new unit make one of the old.
        factor: f64,
    },
}

/// Which rows a fault hits.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    /// Of this series only.
    pub metric: Option<String>,
    /// Not the first so many rows of those.
    pub skip: u64,
    /// At most so many of the rest.
    pub rows: Option<u64>,
    /// Each with this probability.
    pub share: f64,
}

impl Default for Selection {
    fn default() -> Self {
        Self { metric: None, skip: 0, rows: None, share: 1.0 }
    }
}

/// What is to be done to a recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Injection {
    /// The fault.
    pub fault: InjectedFault,
    /// Which rows it hits.
    pub selection: Selection,
    /// Where chance begins.
    pub seed: u64,
    /// How the lines are read.
    pub format: Format,
}

/// Refuses plans that make no sense.
pub(super) fn check(plan: &Injection) -> Result<(), InjectError> {
    let refuse = |what: &str| Err(InjectError::Plan(what.to_owned()));
    if !(0.0..=1.0).contains(&plan.selection.share) {
        return refuse("the share of rows is between 0 and 1");
    }
    let numbers = match &plan.fault {
        InjectedFault::ValueCorruption { noise_scale, offset } => vec![*noise_scale, *offset],
        InjectedFault::TimeSkew { seconds } => vec![*seconds],
        InjectedFault::StuckAt { value } => value.iter().copied().collect(),
        InjectedFault::Spike { scale, every } => {
            if *every == Some(0) {
                return refuse("a spike can come again after one row at the soonest");
            }
            vec![*scale]
        }
        InjectedFault::SensorDrift { per_row } => vec![*per_row],
        InjectedFault::UnitMixup { factor } => vec![*factor],
        InjectedFault::Duplication { count: 0 } => return refuse("a row cannot come 0 times: use drop"),
        InjectedFault::Reorder { lines } if *lines == 0 || *lines > REORDER_LINES_MAX => {
            return refuse(&format!("a row can be moved by 1 to {REORDER_LINES_MAX} lines"));
        }
        InjectedFault::SchemaChange
        | InjectedFault::Duplication { .. }
        | InjectedFault::Drop
        | InjectedFault::Gap { .. }
        | InjectedFault::Nan
        | InjectedFault::Reorder { .. } => Vec::new(),
    };
    if numbers.iter().all(|number| number.is_finite()) { Ok(()) } else { refuse("the fault's figures must be finite") }
}
