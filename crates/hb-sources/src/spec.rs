//! What a configuration can say of a source, and how it is opened.

use crate::file::{FileSource, FileSpec, Follow};
use crate::{Limits, Source, SourceError};

/// Where telemetry is to come from.
#[derive(Debug, Clone, PartialEq)]
pub enum SourceSpec {
    /// A file.
    File(FileSpec),
}

impl SourceSpec {
    /// The source in a few words: `file metrics.jsonl (growing)`.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::File(file) => {
                let follow = match file.follow {
                    Follow::Growing => "growing",
                    Follow::Complete => "complete",
                };
                format!("file {} ({follow})", file.path.display())
            }
        }
    }
}

/// Opens a source at the place where a new watch begins. What is not there yet is told by [`Source::next`].
///
/// # Errors
/// [`SourceError::Invalid`] when it can never be read.
pub fn open(spec: &SourceSpec, limits: Limits) -> Result<Box<dyn Source>, SourceError> {
    match spec {
        SourceSpec::File(file) => Ok(Box::new(FileSource::new(file.clone(), limits))),
    }
}
