//! This machine, from /proc: CPU, memory, disks, network, pressure, filesystems.
//!
//! It is looked at on a grid of wall-clock time, so that every node looks at the same instants. Position: milliseconds since
//! 1970 of the tick, or one more than the last one when the clock has been set back. Rates are differences between two ticks;
//! the first tick has none. Ticks that were not taken (a suspended machine, a stalled process) are told as one gap.

mod proc;
mod rates;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use hb_core::mark::Mark;
use hb_core::time::Stamp;
use hb_core::watch::sample::{Batch, FaultCause};

use crate::items::Items;
use crate::names::{Names, Refused};
use crate::{Limits, Polled, Rereads, Source, SourceError, wall};
use rates::Rates;

/// How the machine is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostSpec {
    /// Time between two looks, in nanoseconds; at least one millisecond, and whole milliseconds.
    pub step_ns: i64,
    /// Whether each CPU has series of its own.
    pub cpus: Cpus,
    /// Whether filesystems are asked for their usage.
    pub filesystems: Filesystems,
    /// Where the kernel's files are: `/proc`.
    pub proc_root: PathBuf,
}

/// Series of CPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cpus {
    /// All together.
    #[default]
    Together,
    /// All together, and each by itself.
    Each,
}

/// Usage of filesystems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Filesystems {
    /// Of those on block devices. Network filesystems are never asked: they may hang.
    #[default]
    Local,
    /// Of none.
    None,
}

impl Default for HostSpec {
    fn default() -> Self {
        Self {
            step_ns: 1_000_000_000,
            cpus: Cpus::default(),
            filesystems: Filesystems::default(),
            proc_root: PathBuf::from("/proc"),
        }
    }
}

/// What one look gave.
#[derive(Debug, Default)]
pub(crate) struct Readings {
    list: Vec<(String, &'static str, f64)>,
}

impl Readings {
    pub(crate) fn put(&mut self, name: impl Into<String>, unit: &'static str, value: f64) {
        self.list.push((name.into(), unit, value));
    }
}

const MS_NS: i64 = 1_000_000;
const TOKEN: &str = r#"{"kind":"host"}"#;

/// Looks at this machine.
#[derive(Debug)]
pub struct HostSource {
    spec: HostSpec,
    names: Names,
    rates: Rates,
    /// Position behind the last tick; `None` before the first look.
    end: Option<u64>,
    /// The last tick taken or given up, in milliseconds since 1970.
    last: i64,
    reset: bool,
}

impl HostSource {
    /// A source that begins with the next tick.
    ///
    /// # Errors
    /// [`SourceError::Invalid`] when the step is not a positive number of milliseconds.
    pub fn new(spec: HostSpec, limits: Limits) -> Result<Self, SourceError> {
        if spec.step_ns < MS_NS || spec.step_ns % MS_NS != 0 {
            return Err(SourceError::Invalid(format!(
                "the host can be looked at every so many whole milliseconds, not every {} ns",
                spec.step_ns
            )));
        }
        let names = Names::new(limits.names_max);
        Ok(Self { spec, names, rates: Rates::default(), end: None, last: 0, reset: false })
    }

    fn step_ms(&self) -> i64 {
        self.spec.step_ns / MS_NS
    }

    fn mark(&self, position: u64) -> Mark {
        Mark { position, token: Arc::from(TOKEN) }
    }

    /// The newest tick at or before `now`.
    fn tick_at(&self, now: Stamp) -> i64 {
        let ms = now.0.div_euclid(MS_NS);
        ms - ms.rem_euclid(self.step_ms())
    }

    /// What is to be done at wall-clock time `now`.
    fn due(&mut self, now: Stamp) -> Due {
        let tick = self.tick_at(now);
        let Some(end) = self.end else {
            self.last = tick;
            self.end = Some(u64::try_from(tick).unwrap_or(0).saturating_add(1));
            return Due::At(tick + self.step_ms());
        };
        if tick < self.last {
            // The clock was set back: go on from where it is now.
            self.last = tick;
            return Due::At(tick + self.step_ms());
        }
        if tick == self.last {
            return Due::At(tick + self.step_ms());
        }
        let missed = (tick - self.last) / self.step_ms() - 1;
        if missed > 0 {
            self.last = tick - self.step_ms();
            return Due::Missed(missed, end);
        }
        Due::Now(tick, end)
    }

    fn gap(&mut self, missed: i64, start: u64) -> Batch {
        let end = u64::try_from(self.last).unwrap_or(0).saturating_add(1).max(start.saturating_add(1));
        self.end = Some(end);
        let mut items = Items::taking(&mut self.reset);
        items.fault(0, FaultCause::Gap);
        let text = format!("{missed} ticks were not taken: the machine or this process stood still");
        items.quote_from(0, || "host".to_owned(), text.as_bytes());
        items.into_batch(self.mark(start), self.mark(end))
    }

    fn look(&mut self, tick: i64, start: u64) -> Result<Batch, SourceError> {
        let snapshot = proc::read(&self.spec.proc_root, self.spec.cpus)
            .map_err(|error| SourceError::Retry(format!("cannot read {}: {error}", self.spec.proc_root.display())))?;
        let mut readings = Readings::default();
        snapshot.levels(&mut readings);
        self.rates.put(snapshot, Instant::now(), &mut readings);
        if self.spec.filesystems == Filesystems::Local {
            proc::filesystems(&self.spec.proc_root, &mut readings);
        }
        self.last = tick;
        let position = u64::try_from(tick).unwrap_or(0).max(start);
        let end = position.saturating_add(1);
        // The way from the last tick fits 32 bits but after weeks of silence; then the batch begins at the tick.
        let (start, offset) = u32::try_from(position - start).map_or((position, 0), |offset| (start, offset));
        let mut items = Items::taking(&mut self.reset);
        let at = Stamp(tick.saturating_mul(MS_NS));
        for (name, unit, value) in readings.list {
            self.put(&mut items, (&name, unit, value), at, offset);
        }
        self.end = Some(end);
        Ok(items.into_batch(self.mark(start), self.mark(end)))
    }

    fn put(&mut self, items: &mut Items, (name, unit, value): (&str, &str, f64), at: Stamp, offset: u32) {
        let mut slot = self.names.slot(name.as_bytes(), Some(unit.as_bytes()), &mut items.names);
        if slot == Err(Refused::Full) && items.samples.is_empty() {
            self.names.forget();
            items.reset = true;
            items.names.clear();
            slot = self.names.slot(name.as_bytes(), Some(unit.as_bytes()), &mut items.names);
        }
        match slot {
            Ok(slot) => items.sample(slot, offset, at, value),
            // A machine with more devices than there may be names: those beyond are told as without name.
            Err(Refused::Full) => items.fault(offset, FaultCause::NoName),
            Err(Refused::Fault(cause)) => items.fault(offset, cause),
        }
    }
}

enum Due {
    /// Nothing before this tick, in milliseconds since 1970.
    At(i64),
    /// So many ticks were not taken, from this position on.
    Missed(i64, u64),
    /// This tick, whose batch starts at this position.
    Now(i64, u64),
}

impl Source for HostSource {
    fn next(&mut self, patience: Duration) -> Result<Polled, SourceError> {
        let deadline = Instant::now() + patience;
        loop {
            let looked_at = wall::now();
            let next = match self.due(looked_at) {
                Due::Missed(missed, start) => return Ok(Polled::Batch(self.gap(missed, start))),
                Due::Now(tick, start) => return self.look(tick, start).map(Polled::Batch),
                Due::At(next) => next,
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Polled::Idle { mark: self.mark(self.end.unwrap_or(0)), looked_at });
            }
            let until = u64::try_from(next.saturating_mul(MS_NS).saturating_sub(looked_at.0)).unwrap_or(0);
            thread::sleep(left.min(Duration::from_nanos(until)));
        }
    }

    fn seek(&mut self, mark: Option<&Mark>) -> Result<(), SourceError> {
        self.end = match mark {
            None => None,
            Some(mark) if mark.token.is_empty() && mark.position == 0 => None,
            Some(mark) if &*mark.token == TOKEN => {
                let last = i64::try_from(mark.position).unwrap_or(i64::MAX / MS_NS).saturating_sub(1);
                // Ticks at or before the mark's last millisecond are done. A mark ahead of the clock counts as now.
                self.last = self.tick_at(Stamp(last.saturating_mul(MS_NS)));
                Some(mark.position)
            }
            Some(mark) => {
                return Err(SourceError::Invalid(format!("the mark {:?} is none of the host", mark.token)));
            }
        };
        self.names.forget();
        self.rates = Rates::default();
        self.reset = true;
        Ok(())
    }

    fn rereads(&self) -> Rereads {
        Rereads::Observes
    }
}

/// Reads a small file of the kernel.
pub(crate) fn slurp(root: &Path, name: &str) -> std::io::Result<String> {
    let bytes = std::fs::read(root.join(name))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
