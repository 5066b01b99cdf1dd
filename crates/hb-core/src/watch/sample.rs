//! What a source delivers: samples and faults, in order, each at its position.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::mark::Mark;
use crate::time::Stamp;

/// One reading. 24 bytes, because there are millions of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Which name of the source: an index into the names announced so far.
    pub slot: u32,
    /// Position, as a distance from the batch's start.
    pub offset: u32,
    /// When it was read, by the source's own account.
    pub at: Stamp,
    /// The reading. NaN and infinities come through as they are; the window counts them as faults.
    pub value: f64,
}

/// A name that a source meets for the first time. Its slot is the number of names announced before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewName {
    /// The name as it stands in the source, at most [`NAME_BYTES_MAX`] long.
    pub name: Arc<str>,
    /// The unit as it stands in the source. The same name with another unit is another slot.
    pub unit: Option<Arc<str>>,
}

/// Longest name or unit that a source passes on, in bytes.
pub const NAME_BYTES_MAX: usize = 512;

/// Why something that a source met is not a sample. The causes are few, so that each can be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultCause {
    /// Neither JSON nor a row of the expected form.
    Malformed,
    /// A row with more or fewer columns than its header.
    Columns,
    /// No metric name, or an empty one.
    NoName,
    /// A name or unit of more than [`NAME_BYTES_MAX`] bytes.
    NameTooLong,
    /// No value, or `null`.
    NoValue,
    /// A value that is not a number.
    NotANumber,
    /// No timestamp where one is needed.
    NoTime,
    /// A timestamp that cannot be read, or outside 1677 to 2262.
    BadTime,
    /// A line longer than the bound; the rest of it is skipped.
    LineTooLong,
    /// Bytes that are not UTF-8.
    NotUtf8,
    /// A NUL byte.
    NulByte,
    /// The last line of a complete source has no end and cannot be read.
    CutShort,
    /// Readings that the source knows to have lost itself (a rotated file that is gone, ticks not taken).
    Gap,
}

impl FaultCause {
    /// Every cause, in the order of the documents.
    pub const ALL: [Self; 13] = [
        Self::Malformed,
        Self::Columns,
        Self::NoName,
        Self::NameTooLong,
        Self::NoValue,
        Self::NotANumber,
        Self::NoTime,
        Self::BadTime,
        Self::LineTooLong,
        Self::NotUtf8,
        Self::NulByte,
        Self::CutShort,
        Self::Gap,
    ];

    /// The cause as it stands in documents and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Columns => "columns",
            Self::NoName => "no_name",
            Self::NameTooLong => "name_too_long",
            Self::NoValue => "no_value",
            Self::NotANumber => "not_a_number",
            Self::NoTime => "no_time",
            Self::BadTime => "bad_time",
            Self::LineTooLong => "line_too_long",
            Self::NotUtf8 => "not_utf8",
            Self::NulByte => "nul_byte",
            Self::CutShort => "cut_short",
            Self::Gap => "gap",
        }
    }
}

/// Something in a source that is not a sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Position, as a distance from the batch's start.
    pub offset: u32,
    /// Why.
    pub cause: FaultCause,
    /// Where and what, for people: `FILE:LINE: TEXT`. Given for the first of each cause in a batch, at most 200 bytes.
    pub quote: Option<Arc<str>>,
}

/// What a source delivers at once. Items stand in order of position; of a row with several cells all share one offset.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Batch {
    /// All names announced before are void: slots start again from 0 with this batch's names.
    pub reset: bool,
    /// Names met for the first time, before their first sample.
    pub names: Vec<NewName>,
    /// Where it starts; every position in it can be sought with this token.
    pub start: Mark,
    /// Samples, in order of offset.
    pub samples: Vec<Sample>,
    /// Faults, in order of offset.
    pub faults: Vec<Fault>,
    /// Where the next batch starts.
    pub end: Mark,
}
