//! The laws of sources, checked on any source. For tests of sources, here and elsewhere.

use std::time::{Duration, Instant};

use hb_core::mark::Mark;
use hb_core::watch::sample::{Batch, FaultCause, NewName};

use crate::{Limits, Polled, Rereads, Source, SourceError};

/// One thing that a source delivered, where slots and batches no longer matter.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Where.
    pub position: u64,
    /// What.
    pub what: What,
}

/// A sample or a fault.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// Name, unit, time in nanoseconds, bits of the value.
    Sample(String, Option<String>, i64, u64),
    /// Cause.
    Fault(FaultCause),
}

/// All that was delivered, and marks from which it can be read again.
#[derive(Debug, Default)]
pub struct Delivered {
    names: Vec<NewName>,
    /// Samples, in order.
    pub samples: Vec<Item>,
    /// Faults, in order.
    pub faults: Vec<Item>,
    /// Quotes of faults, in order.
    pub quotes: Vec<String>,
    /// Marks of batches and of items in them.
    pub marks: Vec<Mark>,
    /// Where the next batch must start, once there was one.
    pub end: Option<Mark>,
    /// Whether the source said that it is complete.
    pub complete: bool,
}

impl Delivered {
    /// The values of the samples, in order.
    #[must_use]
    pub fn values(&self) -> Vec<f64> {
        let value = |item: &Item| match item.what {
            What::Sample(_, _, _, bits) => Some(f64::from_bits(bits)),
            What::Fault(_) => None,
        };
        self.samples.iter().filter_map(value).collect()
    }

    /// The causes of the faults, in order.
    #[must_use]
    pub fn causes(&self) -> Vec<FaultCause> {
        let cause = |item: &Item| match item.what {
            What::Fault(cause) => Some(cause),
            What::Sample(..) => None,
        };
        self.faults.iter().filter_map(cause).collect()
    }

    /// Takes a batch in, and checks laws 1, 3 and 4 on it.
    ///
    /// # Errors
    /// The law that it breaks.
    pub fn take(&mut self, batch: Batch, limits: Limits) -> Result<(), String> {
        if let Some(end) = self.end.as_ref().filter(|end| end.position != batch.start.position) {
            return Err(format!(
                "law 1: a batch starts at {}, the one before ended at {}",
                batch.start.position, end.position
            ));
        }
        if batch.reset {
            self.names.clear();
        }
        self.names.extend(batch.names);
        if self.names.len() > limits.names_max {
            return Err(format!("law 4: {} names", self.names.len()));
        }
        let mut last = 0;
        for sample in &batch.samples {
            let name =
                self.names.get(sample.slot as usize).ok_or(format!("slot {} was never announced", sample.slot))?;
            let unit = name.unit.as_deref().map(str::to_owned);
            let what = What::Sample(name.name.to_string(), unit, sample.at.0, sample.value.to_bits());
            let item = self.item(&batch.start, &batch.end, (sample.offset, &mut last), what)?;
            self.samples.push(item);
        }
        let mut last = 0;
        let mut quoted = Vec::new();
        for fault in &batch.faults {
            let what = What::Fault(fault.cause);
            let item = self.item(&batch.start, &batch.end, (fault.offset, &mut last), what)?;
            self.faults.push(item);
            if fault.quote.is_some() == quoted.contains(&fault.cause) {
                return Err(format!("law 3: the first fault of a cause has a quote, and only it: {fault:?}"));
            }
            quoted.push(fault.cause);
            self.quotes.extend(fault.quote.as_deref().map(str::to_owned));
        }
        self.marks.push(batch.start);
        self.marks.push(batch.end.clone());
        self.end = Some(batch.end);
        Ok(())
    }

    fn item(&mut self, start: &Mark, end: &Mark, (offset, last): (u32, &mut u32), what: What) -> Result<Item, String> {
        let position = start.position.saturating_add(u64::from(offset));
        if offset < *last || position >= end.position {
            return Err(format!("law 1: offset {offset} after {last}, in a batch from {start:?} to {end:?}"));
        }
        *last = offset;
        self.marks.push(Mark { position, token: start.token.clone() });
        Ok(Item { position, what })
    }
}

/// Reads until the source is complete, has been idle, or `enough` says so; checks laws 1, 3, 4 and 5 on the way.
///
/// # Errors
/// The law that was broken, or the source's error.
pub fn read(
    source: &mut dyn Source,
    limits: Limits,
    patience: Duration,
    enough: impl FnMut(&Delivered) -> bool,
) -> Result<Delivered, String> {
    let mut delivered = Delivered::default();
    read_on(&mut delivered, source, (limits, patience), enough)?;
    Ok(delivered)
}

/// As [`read`], going on where `delivered` stopped.
///
/// # Errors
/// As [`read`].
pub fn read_on(
    delivered: &mut Delivered,
    source: &mut dyn Source,
    (limits, patience): (Limits, Duration),
    mut enough: impl FnMut(&Delivered) -> bool,
) -> Result<(), String> {
    // A call may read and parse a batch on top of its patience, and a test machine may be slow.
    const SLACK: Duration = Duration::from_secs(5);
    loop {
        let began = Instant::now();
        let polled = source.next(patience).map_err(|error: SourceError| error.to_string())?;
        if began.elapsed() > patience + SLACK {
            return Err(format!("a call with patience {patience:?} took {:?}", began.elapsed()));
        }
        let (mark, complete) = match polled {
            Polled::Batch(batch) => {
                delivered.take(batch, limits)?;
                if enough(delivered) {
                    return Ok(());
                }
                continue;
            }
            Polled::Idle { mark, .. } => (mark, false),
            Polled::End { mark } => (mark, true),
        };
        if let Some(end) = delivered.end.as_ref().filter(|end| end.position != mark.position) {
            return Err(format!("law 5: idle at {}, but delivered up to {}", mark.position, end.position));
        }
        delivered.marks.push(mark.clone());
        delivered.end = Some(mark);
        delivered.complete = complete;
        return Ok(());
    }
}

/// Checks all laws on a source that has all its data already: reads it, and then, if it can be read again, from about
/// `marks_max` of the marks that it gave.
///
/// # Errors
/// The law that was broken, with the mark.
pub fn check(open: &mut dyn FnMut() -> Box<dyn Source>, limits: Limits, marks_max: usize) -> Result<Delivered, String> {
    let mut source = open();
    let all = read(&mut *source, limits, Duration::ZERO, |_| false)?;
    if source.rereads() != Rereads::Yes {
        return Ok(all);
    }
    let step = all.marks.len().div_ceil(marks_max.max(1)).max(1);
    let mut fresh = open();
    for (number, mark) in all.marks.iter().step_by(step).enumerate() {
        // In turns a source that has read on, and one that has not read at all.
        let sought = if number % 2 == 0 { &mut source } else { &mut fresh };
        sought.seek(Some(mark)).map_err(|error| format!("law 2: {mark:?}: {error}"))?;
        let again =
            read(&mut **sought, limits, Duration::ZERO, |_| false).map_err(|error| format!("{mark:?}: {error}"))?;
        let from =
            |items: &[Item]| items.iter().filter(|item| item.position >= mark.position).cloned().collect::<Vec<_>>();
        if from(&all.samples) != again.samples || from(&all.faults) != again.faults {
            return Err(format!("law 2: another delivery from {mark:?}"));
        }
        if all.end.as_ref().map(|end| end.position) != again.end.as_ref().map(|end| end.position) {
            return Err(format!("law 2: another end from {mark:?}"));
        }
        let tokens = |marks: &[Mark]| {
            marks.iter().map(|m| (m.position, m.token.clone())).collect::<std::collections::BTreeSet<_>>()
        };
        // A place has one token, whoever reads it and in whatever steps, so that records of it are the same bytes.
        let known = tokens(&all.marks);
        let strange = tokens(&again.marks).into_iter().find(|mark| !known.contains(mark));
        if let Some((position, token)) =
            strange.filter(|(position, _)| known.iter().any(|(known, _)| known == position))
        {
            return Err(format!("law 2: another token at {position} after seeking {mark:?}: {token}"));
        }
    }
    Ok(all)
}
