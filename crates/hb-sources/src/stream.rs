//! What a pipe brings: read once, gone afterwards.
//!
//! Position: bytes since the beginning of the stream, going on from the mark sought. Token: names the kind and the run, so
//! that a mark of this very run can be told from one of an earlier process.
//!
//! **Invariants.** Positions never fall; what was delivered before a mark of this run and cannot be read again is told as one
//! gap.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use hb_core::mark::Mark;
use hb_core::watch::sample::{Batch, FaultCause};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::{Deserialize, Serialize};

use crate::feed::{Batching, Drained, Feed};
use crate::format::{Decoder, Format, NoTime};
use crate::items::Items;
use crate::{Limits, SourceError, wall};

/// Whether more may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum More {
    /// Not at once, but later.
    Later,
    /// Never: the other end has closed.
    Never,
}

#[derive(Debug, Serialize, Deserialize)]
struct Token {
    kind: String,
    run: u64,
}

/// The reading side of a pipe.
#[derive(Debug)]
pub(crate) struct Stream {
    feed: Feed,
    decoder: Decoder,
    limits: Limits,
    label: String,
    kind: &'static str,
    run: u64,
    token: Arc<str>,
    /// Where the reader wants to be, when that is behind it.
    gone_from: Option<u64>,
    reset: bool,
}

impl Stream {
    /// A stream of its own run. `label` stands in quotes, `kind` in tokens.
    pub(crate) fn new(kind: &'static str, label: String, format: Format, limits: Limits) -> Self {
        let run = wall::now().0.unsigned_abs() ^ u64::from(std::process::id()).rotate_left(48);
        let token = Token { kind: kind.to_owned(), run };
        let token = serde_json::to_string(&token).expect("a name and a number are always JSON").into();
        Self {
            feed: Feed::new(limits.line_bytes_max),
            decoder: Decoder::new(format.with_usual(NoTime::Arrival), limits.names_max),
            limits,
            label,
            kind,
            run,
            token,
            gone_from: None,
            reset: false,
        }
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark { position: self.feed.position(), token: Arc::clone(&self.token) }
    }

    /// Another program writes now: its first line decides the layout.
    pub(crate) fn restart_layout(&mut self) {
        self.decoder.restart();
    }

    pub(crate) fn seek(&mut self, mark: Option<&Mark>) -> Result<(), SourceError> {
        if let Some(mark) = mark {
            let here = self.feed.position();
            match self.run_of(mark)? {
                Some(run) if run == self.run && mark.position > here => {
                    return Err(SourceError::Invalid(format!(
                        "the mark at {} is ahead of {}, which is at {here}",
                        mark.position, self.label
                    )));
                }
                Some(run) if run == self.run => self.gone_from = (mark.position < here).then_some(mark.position),
                Some(_) | None if here == 0 => self.feed.move_to(mark.position),
                // A mark of an earlier run after reading began: what has been read since is gone.
                Some(_) | None => {
                    self.feed.move_to(here.max(mark.position));
                    self.gone_from = (mark.position < here).then_some(mark.position);
                }
            }
        }
        self.reset = true;
        self.decoder.forget_names();
        Ok(())
    }

    fn run_of(&self, mark: &Mark) -> Result<Option<u64>, SourceError> {
        if mark.token.is_empty() {
            return Ok(None);
        }
        let token: Option<Token> = serde_json::from_str(&mark.token).ok();
        token
            .filter(|token| token.kind == self.kind)
            .map(|token| Some(token.run))
            .ok_or_else(|| SourceError::Invalid(format!("the mark {:?} is none of {}", mark.token, self.label)))
    }

    /// The loss to be told before anything else.
    pub(crate) fn gap(&mut self) -> Option<Batch> {
        let position = self.gone_from.take()?;
        let end = self.mark();
        let mut items = Items::taking(&mut self.reset);
        items.fault(0, FaultCause::Gap);
        let lost = end.position - position;
        items.quote_from(
            0,
            || self.label.clone(),
            format!("{lost} bytes were read before and cannot be read again").as_bytes(),
        );
        Some(items.into_batch(Mark { position, token: Arc::clone(&self.token) }, end))
    }

    /// Takes what is there without waiting.
    pub(crate) fn pull(&mut self, mut input: &File) -> io::Result<(Option<Batch>, More)> {
        let start = self.mark();
        let mut items = Items::default();
        items.reset = self.reset;
        let mut more = More::Later;
        loop {
            let mut place = place(&self.label);
            let mut batching = batching(&mut self.decoder, &mut items, start.position, self.limits, &mut place);
            if self.feed.drain(&mut batching) == Drained::Full || !readable(input, Duration::ZERO)? {
                break;
            }
            self.decoder.arrival = wall::now();
            match self.feed.fill(|room| input.read(room)) {
                Ok(0) => {
                    more = More::Never;
                    break;
                }
                Ok(_) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => break,
                Err(_) if !items.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok((self.close(items, start), more))
    }

    /// The last line, which has no end.
    pub(crate) fn last_line(&mut self) -> Option<Batch> {
        let start = self.mark();
        let mut items = Items::default();
        items.reset = self.reset;
        let drained = {
            let mut place = place(&self.label);
            let mut batching = batching(&mut self.decoder, &mut items, start.position, self.limits, &mut place);
            self.feed.finish(&mut batching)
        };
        debug_assert_eq!(drained, Drained::Dry, "an empty batch has room for a line");
        self.close(items, start)
    }

    fn close(&mut self, items: Items, start: Mark) -> Option<Batch> {
        if items.is_empty() && self.feed.position() == start.position {
            return None;
        }
        self.reset = false;
        Some(items.into_batch(start, self.mark()))
    }
}

fn place(label: &str) -> impl FnMut(u64, u64) -> String + use<'_> {
    move |_, lines| format!("{label}:{}", lines + 1)
}

fn batching<'a>(
    decoder: &'a mut Decoder,
    items: &'a mut Items,
    start: u64,
    limits: Limits,
    place: &'a mut dyn FnMut(u64, u64) -> String,
) -> Batching<'a> {
    Batching { decoder, items, start, stop: u64::MAX, items_max: limits.batch_samples_max.max(1), place }
}

/// Whether something, or the end, can be read within `patience`.
pub(crate) fn readable(input: &File, patience: Duration) -> io::Result<bool> {
    let mut fds = [PollFd::new(input.as_fd(), PollFlags::POLLIN)];
    wait(&mut fds, patience)?;
    let [fd] = fds;
    Ok(fd.revents().is_some_and(|events| !events.is_empty()))
}

/// Waits at most `patience`, rounded up to milliseconds; a signal ends it early.
pub(crate) fn wait(fds: &mut [PollFd<'_>], patience: Duration) -> io::Result<()> {
    let timeout = PollTimeout::try_from(patience.as_nanos().div_ceil(1_000_000)).unwrap_or(PollTimeout::MAX);
    match poll(fds, timeout) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
