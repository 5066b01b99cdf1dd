//! The way into the journal in memory, which a test can shut.

use std::sync::Arc;
use std::time::Duration;

use hb_core::ids::{Seq, StreamName};
use hb_core::journal::{FORMAT, Hash, seal};
use hb_core::node::fact::{Body, Record};
use hb_core::time::Stamp;
use hb_store::journal::memory::MemoryJournal;
use hb_store::port::{Appended, Journal, JournalError};
use hb_store::reader::newest;

use super::{Cell, DEADLINE};

/// What becomes of a node's appends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    Go,
    /// No space.
    Full,
    /// They do not come back until the gate is set to something else.
    Hang,
    /// They take so long.
    Slow(Duration),
    /// The disk has failed for good.
    Stopped,
    /// Another node opens an epoch just before, once.
    Usurped,
    /// The same, and the answer is lost.
    UsurpedInSilence,
}

/// One node's gate.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    journal: MemoryJournal,
    pass: Arc<Cell<Pass>>,
    /// Appends that wait in the gate.
    waiting: Arc<Cell<usize>>,
}

impl Gate {
    pub(crate) fn new(journal: MemoryJournal) -> Self {
        Self { journal, pass: Arc::new(Cell::new(Pass::Go)), waiting: Arc::default() }
    }

    pub(crate) fn set(&self, pass: Pass) {
        self.pass.change(|now| *now = pass);
    }

    pub(crate) fn waiting(&self) -> usize {
        *self.waiting.look()
    }

    pub(crate) fn journal(&self) -> impl Journal + use<> {
        Gated(self.clone())
    }
}

/// Writes as another node: opens the next epoch of a stream.
pub(crate) fn usurp(journal: &mut MemoryJournal, stream: &StreamName) {
    let last = newest(journal, stream, 1).unwrap().pop();
    let record = Record {
        format: FORMAT,
        stream: stream.clone(),
        seq: last.as_ref().map_or(Seq(0), |last| last.record.seq.next()),
        epoch: last.as_ref().map(|last| last.record.epoch).unwrap_or_default().next(),
        at: Stamp(0),
        node: "usurper".into(),
        prev: last.as_ref().map_or(Hash::ZERO, |last| last.hash),
        body: Body::EpochOpened { lease: "stage".into(), reason: "it was quicker".into() },
    };
    let sealed = seal(record);
    assert_eq!(journal.append(stream, sealed.record.seq, &sealed.bytes), Appended::Committed);
}

struct Gated(Gate);

impl Journal for Gated {
    fn head(&mut self, stream: &StreamName) -> Result<Option<Seq>, JournalError> {
        self.0.journal.head(stream)
    }

    fn append(&mut self, stream: &StreamName, seq: Seq, bytes: &[u8]) -> Appended {
        let Gate { journal, pass, waiting } = &mut self.0;
        waiting.change(|count| *count += 1);
        let now = *pass.wait_while(DEADLINE * 2, |pass| *pass == Pass::Hang);
        waiting.change(|count| *count -= 1);
        match now {
            Pass::Go | Pass::Hang => journal.append(stream, seq, bytes),
            Pass::Slow(pause) => {
                std::thread::sleep(pause);
                journal.append(stream, seq, bytes)
            }
            Pass::Full => Appended::Failed("no space left on the stage".into()),
            Pass::Stopped => Appended::Stopped("the stage's disk has failed".into()),
            Pass::Usurped => {
                pass.change(|pass| *pass = Pass::Go);
                usurp(journal, stream);
                journal.append(stream, seq, bytes)
            }
            Pass::UsurpedInSilence => {
                pass.change(|pass| *pass = Pass::Go);
                usurp(journal, stream);
                Appended::Unknown("the answer was lost".into())
            }
        }
    }

    fn read(&mut self, stream: &StreamName, from: Seq, most: usize) -> Result<Vec<(Seq, Vec<u8>)>, JournalError> {
        self.0.journal.read(stream, from, most)
    }

    fn trim(&mut self, stream: &StreamName, floor: Seq) -> Result<u64, JournalError> {
        self.0.journal.trim(stream, floor)
    }

    fn floor(&mut self, stream: &StreamName) -> Result<Seq, JournalError> {
        self.0.journal.floor(stream)
    }
}
