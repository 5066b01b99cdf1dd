//! Standard input, or any pipe: read once to its end.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use hb_core::mark::Mark;

use crate::format::Format;
use crate::stream::{More, Stream, readable};
use crate::{Limits, Polled, Rereads, Source, SourceError, wall};

/// Reads a pipe.
#[derive(Debug)]
pub struct StdinSource {
    input: File,
    stream: Stream,
    ended: bool,
}

impl StdinSource {
    /// This process's standard input.
    ///
    /// # Errors
    /// The system's, when the descriptor cannot be duplicated.
    pub fn new(format: Format, limits: Limits) -> io::Result<Self> {
        Ok(Self::of(io::stdin().as_fd().try_clone_to_owned()?, format, limits))
    }

    /// Any other pipe.
    #[must_use]
    pub fn of(input: OwnedFd, format: Format, limits: Limits) -> Self {
        Self { input: input.into(), stream: Stream::new("stdin", "stdin".to_owned(), format, limits), ended: false }
    }
}

impl Source for StdinSource {
    fn next(&mut self, patience: Duration) -> Result<Polled, SourceError> {
        let cannot = |error: io::Error| SourceError::Retry(format!("cannot read standard input: {error}"));
        let deadline = Instant::now() + patience;
        if let Some(gap) = self.stream.gap() {
            return Ok(Polled::Batch(gap));
        }
        loop {
            let looked_at = wall::now();
            if !self.ended {
                let (batch, more) = self.stream.pull(&self.input).map_err(cannot)?;
                self.ended = more == More::Never;
                if let Some(batch) = batch {
                    return Ok(Polled::Batch(batch));
                }
            }
            if self.ended {
                return Ok(match self.stream.last_line() {
                    Some(batch) => Polled::Batch(batch),
                    None => Polled::End { mark: self.stream.mark() },
                });
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Polled::Idle { mark: self.stream.mark(), looked_at });
            }
            readable(&self.input, left).map_err(cannot)?;
        }
    }

    fn seek(&mut self, mark: Option<&Mark>) -> Result<(), SourceError> {
        self.stream.seek(mark)
    }

    fn rereads(&self) -> Rereads {
        Rereads::No
    }
}
