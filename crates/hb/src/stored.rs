//! What a configuration keeps, opened for reading. Works while daemons run.

use std::path::PathBuf;
use std::sync::Arc;

use hb_core::ids::{Seq, StreamName};
use hb_core::node::fact::{Body, CycleDecided, Sealed};
use hb_core::watch::decision::Status;
use hb_store::port::{Journal, JournalError};
use hb_store::reader::{Follower, Look};

use crate::cli::Failure;
use crate::config::Config;
use crate::config::checked::Place;
use crate::exit::Exit;
use crate::wire::stores;

impl Config {
    /// Folder of the journal.
    #[must_use]
    pub fn journal_dir(&self) -> PathBuf {
        self.output_dir.join("journal")
    }

    /// Folder of the baseline documents.
    #[must_use]
    pub fn baselines_dir(&self) -> PathBuf {
        self.output_dir.join("baselines")
    }
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Corrupt(what) => Self::new(Exit::Corrupt, what)
                .help("`hb verify` lists everything that is damaged; docs/ops/repair.md says what can be done"),
            JournalError::Unavailable(what) | JournalError::Stopped(what) => Self::new(Exit::Unavailable, what),
        }
    }
}

/// The cycle that a record decides, if it decides one.
#[must_use]
pub fn decided(sealed: &Sealed) -> Option<&Arc<CycleDecided>> {
    match &sealed.record.body {
        Body::CycleDecided(decided) => Some(decided),
        Body::EpochOpened { .. }
        | Body::AlertDelivered(_)
        | Body::BaselineAdopted(_)
        | Body::BaselineEvent(_)
        | Body::EpochClosed { .. } => None,
    }
}

/// A headline without the status that it begins with, for tables that show the status beside it.
#[must_use]
pub fn without_status(headline: &str) -> &str {
    let begins = |status: &Status| headline.strip_prefix(status.as_str())?.strip_prefix(": ");
    Status::ALL.iter().find_map(begins).unwrap_or(headline)
}

/// Opens the journal; where it is a folder, there has to be one.
///
/// # Errors
/// There is none, or it cannot be read.
pub fn journal(config: &Config) -> Result<Box<dyn Journal>, Failure> {
    if config.journal == Place::Folder && !config.journal_dir().is_dir() {
        let what = format!("there is no journal in {}", config.output_dir.display());
        return Err(Failure::new(Exit::Unavailable, what).help(
            "nothing has been decided yet with this configuration, or `output_dir` is relative to another folder",
        ));
    }
    stores::journal(config)
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// With the next record.
    On,
    /// Not at all.
    Stop,
}

/// Shows every record of a stream from its floor on, oldest first, checked; memory does not grow with their number.
///
/// # Errors
/// Damage, or what `show` says.
pub fn each(
    journal: &mut dyn Journal,
    stream: &StreamName,
    mut show: impl FnMut(&Sealed) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let floor = journal.floor(stream)?;
    each_from(journal, stream, floor, |sealed| show(sealed).map(|()| Next::On))
}

/// The same from a record on, until `show` has enough.
///
/// # Errors
/// As [`each`].
pub fn each_from(
    journal: &mut dyn Journal,
    stream: &StreamName,
    from: Seq,
    mut show: impl FnMut(&Sealed) -> Result<Next, Failure>,
) -> Result<(), Failure> {
    let mut follower = Follower::new(stream.clone(), from);
    loop {
        let records = follower.poll(journal)?;
        if records.is_empty() {
            return Ok(());
        }
        for sealed in &records {
            if show(sealed)? == Next::Stop {
                return Ok(());
            }
        }
    }
}

/// The newest record of a stream that `wanted` takes, looking back page by page.
///
/// # Errors
/// Damage, or an unreadable journal.
pub fn newest<T>(
    journal: &mut dyn Journal,
    stream: &StreamName,
    wanted: impl Fn(&Sealed) -> Option<T>,
) -> Result<Option<T>, Failure> {
    let mut found = None;
    hb_store::reader::look_back(journal, stream, |sealed| {
        found = wanted(sealed);
        if found.is_some() { Look::Enough } else { Look::Further }
    })?;
    Ok(found)
}
