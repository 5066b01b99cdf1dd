//! How two streams of one name stand to one another: told by hashes, never by numbers alone.
//!
//! The hash of a record covers the hash of the one before, so two streams that agree at a number agree below it, as far as both
//! still stand; the last record in common is found by halving.

use std::fmt;

use hb_core::ids::{Seq, StreamName};
use serde::Serialize;
use serde::de::IgnoredAny;

use super::{Side, Standing, SyncError, Written};
use crate::reader::decode;

/// How often a source that moves on is compared again (B1).
const TRIES_MAX: usize = 8;

/// What is to be done about a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Relation {
    /// Nothing.
    Even,
    /// The records from this one on are to be appended.
    Behind(Seq),
    /// The same, and the copy begins with that record: those before do not stand any more.
    From(Seq),
}

/// One side of a divergence: what it has that the other has not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tail {
    /// Which side.
    pub side: String,
    /// The first record of its own, as far as it still stands.
    pub first: Option<Written>,
    /// Its newest.
    pub newest: Written,
}

/// Two histories under one name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Divergence {
    /// The stream.
    pub stream: StreamName,
    /// The last record that both have; none where that cannot be told any more.
    pub common: Option<Seq>,
    /// What was to be copied.
    pub source: Tail,
    /// What it was to be copied to.
    pub target: Tail,
}

/// A copy that has gone on by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ahead {
    /// The stream.
    pub stream: StreamName,
    /// Newest record of the source, which the copy has too.
    pub source: Option<Written>,
    /// What the copy has beyond.
    pub target: Tail,
    /// What people call the source.
    pub source_side: String,
}

impl fmt::Display for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.first.as_ref().unwrap_or(&self.newest);
        write!(
            f,
            "{} has records {} to {}, by node {} in epoch {} since {}",
            self.side, first.seq, self.newest.seq, first.node, first.epoch, first.at
        )?;
        if (first.epoch, &first.node) == (self.newest.epoch, &self.newest.node) {
            return Ok(());
        }
        write!(f, ", now by node {} in epoch {}", self.newest.node, self.newest.epoch)
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let common = match self.common {
            Some(common) => format!("have gone different ways after record {common}"),
            None => "have gone different ways, longer ago than both still know".to_owned(),
        };
        write!(f, "{}: {} and {} {common}; nothing was changed: ", self.stream, self.source.side, self.target.side)?;
        write!(f, "{}; {}", self.source, self.target)
    }
}

impl fmt::Display for Ahead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = self.source.as_ref().map_or("has nothing".to_owned(), |head| format!("ends with {}", head.seq));
        write!(f, "{}: {} {source}, and beyond that {}: it went on", self.stream, self.source_side, self.target)
    }
}

impl Divergence {
    /// The side whose newest record has the higher epoch: the one that was given the right to go on last. None where both have
    /// the same.
    #[must_use]
    pub fn newer(&self) -> Option<&Tail> {
        match self.source.newest.epoch.cmp(&self.target.newest.epoch) {
            std::cmp::Ordering::Greater => Some(&self.source),
            std::cmp::Ordering::Less => Some(&self.target),
            std::cmp::Ordering::Equal => None,
        }
    }
}

/// Compares the two sides.
///
/// # Errors
/// [`SyncError::Ahead`], [`SyncError::Diverged`], or a side cannot be read.
pub fn relate(source: &mut dyn Side, target: &mut dyn Side, stream: &StreamName) -> Result<Relation, SyncError> {
    for _ in 0..TRIES_MAX {
        let from = source.standing(stream)?;
        match relate_once(source, target, stream, from.clone()) {
            // What it had when it was looked at may have been copied, with more, before the copy was looked at.
            Err(SyncError::Ahead(_) | SyncError::Diverged(_)) if source.standing(stream)? != from => {}
            told => return told,
        }
    }
    let from = source.standing(stream)?;
    relate_once(source, target, stream, from)
}

fn relate_once(
    source: &mut dyn Side,
    target: &mut dyn Side,
    stream: &StreamName,
    from: Standing,
) -> Result<Relation, SyncError> {
    let to = target.standing(stream)?;
    let Some(newest) = from.head.clone() else {
        return match to.head {
            None => Ok(Relation::Even),
            Some(newest) => Err(ahead(source, target, stream, None, newest)),
        };
    };
    let Some(copied) = to.head.clone() else {
        if to.floor > newest.seq {
            return Err(SyncError::Refused(format!(
                "{}: {stream} begins with record {} there, and {} ends with {}: it was the copy of another journal; give the \
                 copy a new place",
                target.name(),
                to.floor,
                source.name(),
                newest.seq
            )));
        }
        return Ok(if to.floor < from.floor { Relation::From(from.floor) } else { Relation::Behind(to.floor) });
    };
    if copied.seq < newest.seq {
        return behind(Sides { source, target, stream }, (from.floor, newest), (to.floor, copied));
    }
    let there = at(target, stream, newest.seq)?;
    if there.is_some_and(|there| there.hash == newest.hash) {
        return if copied.seq == newest.seq {
            Ok(Relation::Even)
        } else {
            Err(ahead(source, target, stream, Some(newest), copied))
        };
    }
    Err(Sides { source, target, stream }.diverged((from.floor, newest), (to.floor, copied)))
}

/// The copy has fewer records.
fn behind(
    sides: Sides<'_>,
    (floor, newest): (Seq, Written),
    (copy_floor, copied): (Seq, Written),
) -> Result<Relation, SyncError> {
    let Sides { source, target, stream } = sides;
    let next = copied.seq.next();
    if copied.seq >= floor
        && let Some(there) = at(source, stream, copied.seq)?
        && there.seq == copied.seq
    {
        if there.hash == copied.hash {
            return Ok(Relation::Behind(next));
        }
    } else if prev(source, stream, next)?.is_some_and(|(seq, prev)| seq == next && prev == copied.hash) {
        return Ok(Relation::Behind(next));
    } else if target.note()?.and_then(|note| note.heads.get(stream).cloned()).is_some_and(|noted| noted == copied) {
        // It has fallen below the source's floor, and has written nothing of its own since it was copied.
        return Ok(Relation::From(source.standing(stream)?.floor));
    }
    Err(Sides { source, target, stream }.diverged((floor, newest), (copy_floor, copied)))
}

fn ahead(
    source: &dyn Side,
    target: &mut dyn Side,
    stream: &StreamName,
    newest: Option<Written>,
    beyond: Written,
) -> SyncError {
    let from = newest.as_ref().map_or(Seq(0), |newest| newest.seq.next());
    // What cannot be read is told at the next look; who went on is told by the newest record.
    let first = first_from(target, stream, from).unwrap_or_default();
    let tail = Tail { side: target.name().to_owned(), first, newest: beyond };
    let source_side = source.name().to_owned();
    SyncError::Ahead(Box::new(Ahead { stream: stream.clone(), source: newest, target: tail, source_side }))
}

/// The two sides of a stream.
struct Sides<'a> {
    source: &'a mut dyn Side,
    target: &'a mut dyn Side,
    stream: &'a StreamName,
}

impl Sides<'_> {
    /// Finds out where the two part.
    fn diverged(self, (floor, newest): (Seq, Written), (copy_floor, copied): (Seq, Written)) -> SyncError {
        let Self { source, target, stream } = self;
        let bounds = (floor.max(copy_floor), newest.seq.min(copied.seq));
        let common = match last_common(source, target, stream, bounds) {
            Ok(common) => common,
            Err(error) => return error,
        };
        let from = common.map_or(bounds.0, Seq::next);
        let tail = |side: &mut dyn Side, newest: Written| -> Result<Tail, SyncError> {
            Ok(Tail { first: first_from(side, stream, from)?, side: side.name().to_owned(), newest })
        };
        match (tail(source, newest), tail(target, copied)) {
            (Ok(source), Ok(target)) => {
                SyncError::Diverged(Box::new(Divergence { stream: stream.clone(), common, source, target }))
            }
            (Err(error), _) | (_, Err(error)) => error,
        }
    }
}

/// The largest number within the bounds at which both have the same.
fn last_common(
    source: &mut dyn Side,
    target: &mut dyn Side,
    stream: &StreamName,
    (low, high): (Seq, Seq),
) -> Result<Option<Seq>, SyncError> {
    let mut same = |seq: Seq| -> Result<bool, SyncError> {
        let (ours, theirs) = (at(source, stream, seq)?, at(target, stream, seq)?);
        Ok(ours.zip(theirs).is_some_and(|(ours, theirs)| ours.seq == theirs.seq && ours.hash == theirs.hash))
    };
    if low > high || !same(low)? {
        return Ok(None);
    }
    let (mut known, mut beyond) = (low.0, high.0.saturating_add(1));
    while beyond.saturating_sub(known) > 1 {
        let middle = known.saturating_add(beyond.saturating_sub(known) / 2);
        if same(Seq(middle))? {
            known = middle;
        } else {
            beyond = middle;
        }
    }
    Ok(Some(Seq(known)))
}

/// The record at a number, where it stands.
fn at(side: &mut dyn Side, stream: &StreamName, seq: Seq) -> Result<Option<Written>, SyncError> {
    Ok(first_from(side, stream, seq)?.filter(|found| found.seq == seq))
}

/// The first record from a number on.
fn first_from(side: &mut dyn Side, stream: &StreamName, from: Seq) -> Result<Option<Written>, SyncError> {
    let Some(raw) = side.read(stream, from, 1)?.pop() else { return Ok(None) };
    written(side.name(), stream, raw.seq, raw.bytes).map(|(written, _)| Some(written))
}

/// Number and predecessor of the first record from a number on.
fn prev(
    side: &mut dyn Side,
    stream: &StreamName,
    from: Seq,
) -> Result<Option<(Seq, hb_core::journal::Hash)>, SyncError> {
    let Some(raw) = side.read(stream, from, 1)?.pop() else { return Ok(None) };
    written(side.name(), stream, raw.seq, raw.bytes).map(|(written, prev)| Some((written.seq, prev)))
}

/// Which record some bytes are, checked, and which they name as the one before.
pub(super) fn written(
    side: &str,
    stream: &StreamName,
    seq: Seq,
    bytes: Vec<u8>,
) -> Result<(Written, hb_core::journal::Hash), SyncError> {
    let sealed =
        decode::<IgnoredAny>(stream, seq, bytes).map_err(|error| SyncError::Corrupt(format!("{side}: {error}")))?;
    let record = sealed.record;
    let found = Written { seq, hash: sealed.hash, epoch: record.epoch, node: record.node, at: record.at };
    Ok((found, record.prev))
}
