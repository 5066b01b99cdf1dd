//! A recorded file, paced by its own event times.
//!
//! Marks are those of the file. Where the recording pauses for longer than [`PAUSE_MAX`] of event time, the pause is skipped:
//! a sample dated a century ahead must not stop the replay.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use hb_core::mark::Mark;
use hb_core::time::Stamp;
use hb_core::watch::sample::Batch;

use crate::file::{Begin, FileSpec, Follow};
use crate::format::Format;
use crate::spec::of_file;
use crate::{Limits, Polled, Rereads, Source, SourceError, wall};

/// How fast a recording is replayed.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Speed {
    /// As it was recorded.
    #[default]
    Own,
    /// So many times as fast; must be positive.
    Factor(f64),
    /// As fast as it is taken.
    Unpaced,
}

/// A recording to replay.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplaySpec {
    /// Where it is.
    pub path: PathBuf,
    /// How its lines are read.
    pub format: Format,
    /// How fast.
    pub speed: Speed,
}

/// Longest pause between two samples that is kept, in event time.
pub const PAUSE_MAX: Duration = Duration::from_secs(3600);

/// Replays a file.
pub struct ReplaySource {
    file: Box<dyn Source>,
    /// Nanoseconds of event time per nanosecond; `None` when unpaced.
    factor: Option<f64>,
    /// Read, but not yet due.
    pending: Option<Batch>,
    /// An event time and when it was due.
    anchor: Option<(Stamp, Instant)>,
}

impl ReplaySource {
    /// A replay from the beginning.
    ///
    /// # Errors
    /// [`SourceError::Invalid`] when the speed is not a positive number.
    pub fn new(spec: ReplaySpec, limits: Limits) -> Result<Self, SourceError> {
        let factor = match spec.speed {
            Speed::Own => Some(1.0),
            Speed::Unpaced => None,
            Speed::Factor(factor) if factor.is_finite() && factor > 0.0 => Some(factor),
            Speed::Factor(factor) => {
                return Err(SourceError::Invalid(format!("a replay's speed is a positive number, not {factor}")));
            }
        };
        let spec = FileSpec { path: spec.path, format: spec.format, follow: Follow::Complete, begin: Begin::Start };
        Ok(Self { file: of_file(spec, limits), factor, pending: None, anchor: None })
    }

    /// When a sample of event time `at` is due; sets the pace by it when there is none yet or after a long pause.
    fn due(&mut self, at: Stamp, factor: f64) -> Instant {
        let now = Instant::now();
        if let Some((event, since)) = self.anchor {
            let ahead = Duration::from_nanos(u64::try_from(at.since_ns(event)).unwrap_or(0));
            #[expect(clippy::cast_precision_loss, reason = "nanoseconds of pacing")]
            let wait = Duration::try_from_secs_f64(ahead.as_nanos() as f64 / factor / 1e9).ok();
            if let Some(due) = wait.and_then(|wait| since.checked_add(wait)) {
                let early = due.saturating_duration_since(now).as_secs_f64() * factor;
                if early <= PAUSE_MAX.as_secs_f64() {
                    return due;
                }
            }
        }
        self.anchor = Some((at, now));
        now
    }
}

/// Takes the items before sample number `cut` off the front of a batch, if there are any, and gives the rest beside them.
fn split(mut batch: Batch, cut: usize) -> (Option<Batch>, Batch) {
    let Some(at) = batch.samples.get(cut).map(|sample| sample.offset) else { return (Some(batch), Batch::default()) };
    // Cells of one row share a mark: they stay together.
    let cut = batch.samples.partition_point(|sample| sample.offset < at);
    let fault_cut = batch.faults.partition_point(|fault| fault.offset < at);
    if cut == 0 && fault_cut == 0 {
        return (None, batch);
    }
    let middle = Mark { position: batch.start.position + u64::from(at), token: Arc::clone(&batch.start.token) };
    let mut rest = Batch {
        reset: false,
        names: Vec::new(),
        start: middle.clone(),
        samples: batch.samples.split_off(cut),
        faults: batch.faults.split_off(fault_cut),
        end: std::mem::replace(&mut batch.end, middle),
    };
    rest.samples.iter_mut().for_each(|sample| sample.offset -= at);
    rest.faults.iter_mut().for_each(|fault| fault.offset -= at);
    (Some(batch), rest)
}

impl Source for ReplaySource {
    fn next(&mut self, patience: Duration) -> Result<Polled, SourceError> {
        let deadline = Instant::now() + patience;
        loop {
            let looked_at = wall::now();
            let batch = match self.pending.take() {
                Some(batch) => batch,
                None => match self.file.next(Duration::ZERO)? {
                    Polled::Batch(batch) => batch,
                    other @ (Polled::Idle { .. } | Polled::End { .. }) => return Ok(other),
                },
            };
            let Some(factor) = self.factor else { return Ok(Polled::Batch(batch)) };
            let mut first_due = None;
            let mut cut = 0;
            for sample in &batch.samples {
                let due = self.due(sample.at, factor);
                if due > Instant::now() {
                    first_due = Some(due);
                    break;
                }
                cut += 1;
            }
            let Some(due) = first_due else { return Ok(Polled::Batch(batch)) };
            let (ready, rest) = split(batch, cut);
            let mark = rest.start.clone();
            self.pending = Some(rest);
            if let Some(ready) = ready {
                return Ok(Polled::Batch(ready));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Polled::Idle { mark, looked_at });
            }
            thread::sleep(left.min(due.saturating_duration_since(Instant::now())));
        }
    }

    fn seek(&mut self, mark: Option<&Mark>) -> Result<(), SourceError> {
        self.pending = None;
        self.anchor = None;
        self.file.seek(mark)
    }

    fn rereads(&self) -> Rereads {
        self.file.rereads()
    }
}
