//! What every journal must obey, as checks that any backend can be put through.
//!
//! Each check panics with the id of the law that was bent. A backend is given as a function that opens a fresh handle on
//! the same, at first empty, journal: handles must not share state in memory, as two nodes do not.
#![expect(clippy::indexing_slicing, clippy::panic, clippy::missing_panics_doc, reason = "a check fails by panicking")]

#[cfg(test)]
mod bent;
mod crash;
mod cycles;
mod laws;
pub mod leases;
mod race;
pub mod registers;

pub use crash::{every_crash_point_of_an_append, every_fault_of_an_append};
pub use cycles::{cycles, watch};
pub use laws::{
    appended_records_stand, copies_begin_at_a_floor, follower_keeps_up, numbers_are_given_once, trimming_never_reopens,
};
pub use race::{one_writer_wins, writers_race_with_the_floor};

use crate::port::Journal;
use hb_core::ids::{Epoch, Seq, StreamName};
use hb_core::journal::{FORMAT, Hash, seal};
use hb_core::node::fact::{Body, Record, Sealed};
use hb_core::time::Stamp;

/// Opens a fresh handle on the journal under test.
pub type Open<'a> = &'a (dyn Fn() -> Box<dyn Journal> + Sync);

/// Puts a backend through every law; `open_fresh` makes a new empty journal and gives a function that opens it.
pub fn all<F>(open_fresh: impl Fn() -> F)
where
    F: Fn() -> Box<dyn Journal> + Sync,
{
    appended_records_stand(&open_fresh());
    numbers_are_given_once(&open_fresh());
    trimming_never_reopens(&open_fresh());
    follower_keeps_up(&open_fresh());
    one_writer_wins(&open_fresh());
    writers_race_with_the_floor(&open_fresh());
}

/// Puts a backend through the law for copies, which those need that are copied to.
pub fn of_copies<F>(open_fresh: impl Fn() -> F)
where
    F: Fn() -> Box<dyn Journal> + Sync,
{
    copies_begin_at_a_floor(&open_fresh());
}

/// A sound record to put at `seq`, by `node`, after a record with hash `prev`.
#[must_use]
pub fn sample(stream: &StreamName, seq: Seq, node: &str, prev: Hash) -> Sealed {
    seal(Record {
        format: FORMAT,
        stream: stream.clone(),
        seq,
        epoch: Epoch(1),
        at: Stamp(1_700_000_000_000_000_000),
        node: node.into(),
        prev,
        body: Body::EpochOpened { lease: "file".into(), reason: format!("record {seq} of {node}") },
    })
}

/// Appends `count` sound records to an empty stream.
pub fn fill(journal: &mut dyn Journal, stream: &StreamName, count: u64) -> Vec<Sealed> {
    let mut prev = Hash::ZERO;
    let mut out = Vec::new();
    for number in 0..count {
        let sealed = sample(stream, Seq(number), "a", prev);
        let appended = journal.append(stream, Seq(number), &sealed.bytes);
        assert_eq!(appended, crate::port::Appended::Committed, "J1: record {number}");
        prev = sealed.hash;
        out.push(sealed);
    }
    out
}
