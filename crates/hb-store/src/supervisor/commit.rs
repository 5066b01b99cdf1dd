//! Appending: records and tables, in one transaction.

use std::sync::Arc;

use hb_core::ids::{Seq, StreamName};
use hb_core::journal::{Hash, Head};
use hb_core::supervise::state::{Body, Sealed};
use rusqlite::Transaction;

use super::tables::Tables;
use super::{Applied, SupervisorDb, applied, history, restore};
use crate::journal::sqlite::{IsSnapshot, Rows};
use crate::port::{Appended, Standing};
use crate::sqlite::Halt;

/// What one transaction did.
struct Written {
    head: Option<Head>,
    records: Vec<(IsSnapshot, u64)>,
}

impl SupervisorDb {
    /// Makes records durable, and the tables with them: all or none, in one transaction with one fsync.
    ///
    /// - `Committed`: all of them stand. Records that stood already, with the same bytes, count as committed: so after `Unknown` the same
    ///   call is the reading back that J5 asks for.
    /// - `Refused`: another holder is at work (H1). The number is taken, or the newest record has another hash or a larger epoch than the first of
    ///   these knows of; `Standing::Taken` holds the record that stands in the way.
    /// - `Failed`: nothing was changed; no room, read-only, or locked for longer than a second. It may be tried again.
    /// - `Stopped`: nothing was acknowledged, and this handle will never write again: a failed fsync, damaged tables, a file that was removed.
    /// - `Unknown`: commit the same records again before anything else.
    pub fn commit(&mut self, sealed: &[Arc<Sealed>]) -> Appended {
        let Some(first) = sealed.first() else { return Appended::Committed };
        if let Some(misplaced) = self.misplaced(sealed, &first.record.stream) {
            return misplaced;
        }
        self.seen = None;
        let (tables, known, kept) = (&mut self.tables, self.head, &self.kept);
        match self.handle.transact(|tx| put(tx, tables, (known, kept), sealed)) {
            Ok(written) => {
                self.stream = Some(first.record.stream.clone());
                self.head = written.head;
                for (snapshot, bytes) in written.records {
                    self.count(snapshot, bytes);
                }
                Appended::Committed
            }
            Err(ended) => {
                // What was not committed is not in the tables either.
                self.tables.forget();
                self.head = None;
                ended
            }
        }
    }

    /// Records that could not follow one another, or belong elsewhere: refused before anything is tried.
    fn misplaced(&self, sealed: &[Arc<Sealed>], stream: &StreamName) -> Option<Appended> {
        let mut before: Option<Head> = None;
        for one in sealed {
            let record = &one.record;
            if record.stream != *stream || self.stream.as_ref().is_some_and(|own| own != stream) {
                let own = self.stream.as_ref().unwrap_or(stream);
                let what = format!(
                    "{} belongs to {own}: record {} of {} has no place in it",
                    self.path().display(),
                    record.seq,
                    record.stream
                );
                return Some(Appended::Failed(what));
            }
            if let Some(before) = before.filter(|before| before.seq.next() != record.seq || before.hash != record.prev)
            {
                let what = format!(
                    "record {} does not follow record {} that it was to be committed with",
                    record.seq, before.seq
                );
                return Some(Appended::Failed(what));
            }
            before = Some(one.head());
        }
        None
    }

    pub(super) fn count(&mut self, snapshot: IsSnapshot, bytes: u64) {
        let since = &mut self.since_snapshot;
        match snapshot {
            IsSnapshot::Yes => *since = super::SinceSnapshot { records: 0, bytes: 0, snapshot_bytes: bytes },
            IsSnapshot::No => {
                since.records = since.records.saturating_add(1);
                since.bytes = since.bytes.saturating_add(bytes);
            }
        }
    }
}

fn put(
    tx: &Transaction<'_>,
    tables: &mut Tables,
    (known, kept): (Option<Head>, &history::Kept),
    sealed: &[Arc<Sealed>],
) -> Result<Written, Halt> {
    let Some(first) = sealed.first() else { return Ok(Written { head: known, records: Vec::new() }) };
    let rows = Rows(tx, &first.record.stream);
    let floor = rows.floor()?;
    if first.record.seq < floor {
        return Err(Halt::Ended(Appended::Refused(Standing::BelowFloor(floor))));
    }
    let stands = rows.head()?;
    let mut rest = sealed.iter();
    while let Some(one) = rest.as_slice().first().filter(|one| stands.is_some_and(|head| one.record.seq <= head)) {
        stands_already(rows, one)?;
        rest.next();
    }
    let Some(next) = rest.as_slice().first() else {
        return Ok(Written { head: known.filter(|head| Some(head.seq) == stands), records: Vec::new() });
    };
    follows(rows, (floor, stands), known, next)?;
    step_tables(tx, tables, rows, stands)?;
    let mut written = Written { head: None, records: Vec::new() };
    for one in rest {
        let snapshot = match one.record.body {
            Body::Snapshot { .. } => IsSnapshot::Yes,
            Body::EpochOpened { .. } | Body::Changed { .. } | Body::EpochClosed { .. } => IsSnapshot::No,
        };
        rows.insert(one.record.seq, &one.bytes, snapshot)?;
        tables.apply(tx, &one.record, one.hash)?;
        written.records.push((snapshot, u64::try_from(one.bytes.len()).unwrap_or(u64::MAX)));
        written.head = Some(one.head());
    }
    history::trim(tx, kept, sealed)?;
    Ok(written)
}

/// A number that is taken: by the same bytes it is our own success, by others somebody else's.
fn stands_already(rows: Rows<'_>, one: &Sealed) -> Result<(), Halt> {
    match rows.record(one.record.seq)? {
        Some(there) if there == one.bytes => Ok(()),
        Some(there) => Err(Halt::Ended(Appended::Refused(Standing::Taken(there)))),
        None => {
            let what = format!("record {} is missing although later ones stand: run hb verify", one.record.seq);
            Err(Halt::Ended(Appended::Failed(what)))
        }
    }
}

/// Whether a record may come next: by number, by hash, and under an epoch that has not been surpassed.
fn follows(
    rows: Rows<'_>,
    (floor, stands): (Seq, Option<Seq>),
    known: Option<Head>,
    next: &Sealed,
) -> Result<(), Halt> {
    let record = &next.record;
    if record.seq != stands.map_or(floor, Seq::next) {
        let what = format!("record {} would leave a gap in {}", record.seq, record.stream);
        return Err(Halt::Ended(Appended::Failed(what)));
    }
    let Some(stands) = stands else {
        if record.prev != Hash::ZERO {
            let what = format!("record {} names a predecessor, and there is none in {}", record.seq, record.stream);
            return Err(Halt::Ended(Appended::Failed(what)));
        }
        return Ok(());
    };
    // A number never changes what it holds (J1), so what was known of it still holds.
    if known.is_some_and(|head| head.seq == stands && head.hash == record.prev && head.epoch <= record.epoch) {
        return Ok(());
    }
    let there = rows.record(stands)?.unwrap_or_default();
    let found = restore::epoch_and_hash(&there);
    match found {
        Ok((epoch, hash)) if hash == record.prev && epoch <= record.epoch => Ok(()),
        Ok(_) => Err(Halt::Ended(Appended::Refused(Standing::Taken(there)))),
        Err(damage) => {
            let what = format!("record {stands} of {} is damaged, nothing can follow it: {damage}", record.stream);
            Err(Halt::Ended(Appended::Failed(what)))
        }
    }
}

/// Brings tables that are behind their records up to them: those were appended by something that knows no tables.
fn step_tables(tx: &Transaction<'_>, tables: &mut Tables, rows: Rows<'_>, stands: Option<Seq>) -> Result<(), Halt> {
    let at = applied(tx, rows.1)?;
    if at.as_ref().map(|at| at.seq) == stands {
        return Ok(());
    }
    if at.as_ref().is_some_and(|at| stands.is_none_or(|stands| at.seq > stands)) {
        let what =
            format!("the newest records of {} are missing, the tables were written from them: run hb verify", rows.1);
        return Err(Halt::Ended(Appended::Failed(what)));
    }
    let behind = at.map_or(Seq(0), |Applied { seq, .. }| seq.next());
    tables.forget();
    for (seq, bytes) in rows.read(behind.max(rows.floor()?), usize::MAX)? {
        match restore::decode(rows.1, seq, bytes) {
            Ok(one) => tables.apply(tx, &one.record, one.hash)?,
            Err(damage) => return Err(Halt::Ended(Appended::Failed(damage))),
        }
    }
    Ok(())
}
