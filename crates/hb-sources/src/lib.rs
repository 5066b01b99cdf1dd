//! Brings in: telemetry sources with resumable marks.
//!
//! A source is read by one thread, which may block in [`Source::next`] for at most the patience that it is given.
//! Laws, checked for every source by `conformance`:
//!
//! 1. Positions grow: a batch starts where the one before it ended, offsets within it do not fall.
//! 2. Sought to any mark that it gave (a batch's start or end, or the start's token with the position of any item in the
//!    batch), a source that can be read again delivers from there exactly what it delivered before, at the same positions.
//! 3. Nothing is lost in silence: what is not a sample is a fault, counted once, with a quote for the first of its cause.
//! 4. Memory is bounded whatever the input is: names ([`Limits::names_max`]), line length ([`Limits::line_bytes_max`]).
//! 5. [`Polled::Idle`] means that everything up to `mark` had been delivered at the time `looked_at`, taken before looking.
//!
//! | source | position | can be read again | module |
//! |---|---|---|---|
//! | a file, growing or complete | bytes, across rotated files | yes | [`file`] |
//! | a table as a file | bytes of its lines, across its versions | yes, the version that is there | [`table`] |
//! | a recording at a speed | as its file | yes | [`replay`] |
//! | standard input | bytes | no | [`stdin`] |
//! | a program's output | bytes, across its runs | no | [`command`] |
//! | messages of an MQTT broker | messages | no; what no record has yet, the broker sends again | [`mqtt`] |
//! | records of a Kafka topic | offsets, added up over partitions | yes | [`kafka`] |
//! | syslog, by socket | messages | no; as a file, yes | [`syslog`] |
//! | this machine | milliseconds since 1970 | each node observes it | [`host`] |
//!
//! Bytes become lines in `feed`, lines become items in [`format`](mod@format), and [`conformance`] checks the laws.

pub mod command;
pub mod conformance;
pub mod file;
pub mod format;
#[doc(hidden)]
pub mod fuzzing;
pub mod host;
pub mod inject;
pub mod kafka;
pub mod mqtt;
pub mod replay;
pub mod spec;
pub mod stdin;
pub mod syslog;
pub mod table;

mod feed;
mod items;
mod messages;
mod names;
mod stream;
mod wall;

pub use spec::{SourceSpec, open};

use std::time::Duration;

use hb_core::mark::Mark;
use hb_core::time::Stamp;
use hb_core::watch::sample::Batch;

/// Whether a source can be read again from an earlier mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rereads {
    /// Yes: files.
    Yes,
    /// No, but any node can observe it for itself at the same positions: the host.
    Observes,
    /// No: what is read is gone. Pipes, a program's output.
    No,
}

/// What a look at a source gave.
#[derive(Debug)]
pub enum Polled {
    /// Something.
    Batch(Batch),
    /// Nothing more at the moment.
    Idle {
        /// Everything before it has been delivered.
        mark: Mark,
        /// Wall clock before looking.
        looked_at: Stamp,
    },
    /// The source is complete; nothing will ever come after `mark`.
    End {
        /// Its end.
        mark: Mark,
    },
}

/// Bounds of a source (B1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Distinct names (with unit) remembered; at the bound all are forgotten and announced anew ([`Batch::reset`]).
    pub names_max: usize,
    /// Longest line in bytes; the rest of a longer one is skipped and counted.
    pub line_bytes_max: usize,
    /// Most samples and faults in one batch; a row of wide CSV is never divided. Few enough for what waits between reading and
    /// deciding to stay in the cache.
    pub batch_samples_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { names_max: 250_000, line_bytes_max: 1 << 20, batch_samples_max: 4_096 }
    }
}

/// Why a source cannot be read. The caller tries again later (`Retry`) or gives up (`Invalid`).
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It may come back: a file that is not there yet, an unreadable mount.
    #[error("{0}")]
    Retry(String),
    /// It never will: a mark of another kind, a format that cannot be.
    #[error("{0}")]
    Invalid(String),
}

/// Where telemetry comes from.
pub trait Source: Send {
    /// Waits at most `patience` for something and gives it. `Idle` when nothing came.
    ///
    /// # Errors
    /// [`SourceError`]; the source stays usable, the next call tries again.
    fn next(&mut self, patience: Duration) -> Result<Polled, SourceError>;

    /// Goes to a mark; without one to where a new watch begins. Names announced before are void afterwards, and the next
    /// batch says so ([`Batch::reset`]).
    ///
    /// # Errors
    /// [`SourceError::Invalid`] when the mark cannot be understood. A mark whose data is gone is not an error: the source
    /// goes to the earliest place after it and reports the loss as a `gap` fault.
    fn seek(&mut self, mark: Option<&Mark>) -> Result<(), SourceError>;

    /// Whether it can be read again.
    fn rereads(&self) -> Rereads;

    /// Told that everything before `mark` is in a durable record and will not be asked for again: a source that keeps
    /// something at its other end until then lets it go.
    fn release(&mut self, _mark: &Mark) {}
}
