//! The journal's port of a process, over a line to the store that all share.

use hb_core::ids::{Seq, StreamName};
use hb_core::journal::{Head, Record, seal};
use hb_core::node::fact::{self, Body};
use hb_store::port::{Appended, Journal, JournalError, Standing};

use super::line::{Answer, Does, Line};
use crate::planted::Planted;
use crate::stage::{Stage, here};

/// A process's handle on the journal.
#[derive(Debug)]
pub(crate) struct Port {
    line: Line,
}

impl Port {
    pub(crate) fn new(line: Line) -> Self {
        Self { line }
    }

    fn read_by<T: 'static>(
        &self,
        read: impl Fn(&mut dyn Journal) -> Result<T, JournalError> + 'static,
    ) -> Result<T, JournalError> {
        match self.line.ask(Does::Reads, move |stage| read(&mut *stage.journal.borrow_mut())) {
            Answer::Told(given) => given,
            Answer::Unknown(why) | Answer::Refused(why) => Err(JournalError::Unavailable(why.into())),
        }
    }

    fn append_once(&self, stream: &StreamName, seq: Seq, bytes: &[u8]) -> Appended {
        let (by, of, what) = (self.line, stream.clone(), bytes.to_vec());
        let answer = self.line.ask(Does::Changes, move |stage| put(stage, by, &of, seq, &what));
        let appended = match answer {
            Answer::Told(appended) => appended,
            Answer::Unknown(why) => Appended::Unknown(why.into()),
            Answer::Refused(why) => Appended::Failed(why.into()),
        };
        let stage = here();
        if self.line.lives() {
            stage.say(|| format!("n{} append {stream} {seq}: {}", self.line.machine, word(&appended)));
            stage.judge(stage.ledger.borrow_mut().streams.answered(self.line, (stream, seq), bytes, &appended));
        }
        appended
    }
}

fn word(appended: &Appended) -> String {
    match appended {
        Appended::Committed => "committed".into(),
        Appended::Refused(Standing::Taken(_)) => "refused, taken".into(),
        Appended::Refused(Standing::BelowFloor(floor)) => format!("refused, below {floor}"),
        Appended::Unknown(why) => format!("unknown: {why}"),
        Appended::Failed(why) => format!("failed: {why}"),
        Appended::Stopped(why) => format!("stopped: {why}"),
    }
}

/// What the store does with an append, however late.
fn put(stage: &Stage, by: Line, stream: &StreamName, seq: Seq, bytes: &[u8]) -> Appended {
    if stage.full.get() {
        return Appended::Failed("no space left on the store".into());
    }
    if stage.planted(Planted::EarlyAck) && stage.kernel.chance.borrow_mut().hits(30_000) {
        stage.reached("planted");
        return Appended::Committed;
    }
    let appended = stage.journal.borrow_mut().append(stream, seq, bytes);
    let appended = match appended {
        Appended::Refused(Standing::Taken(_)) if stage.planted(Planted::NoCompare) => {
            stage.reached("planted");
            stage.journal.borrow_mut().damage(stream, seq, Some(bytes.to_vec()));
            Appended::Committed
        }
        Appended::Refused(Standing::Taken(_)) if stage.planted(Planted::NextFree) => {
            next_free(stage, by, stream, bytes)
        }
        other @ (Appended::Committed
        | Appended::Refused(_)
        | Appended::Unknown(_)
        | Appended::Failed(_)
        | Appended::Stopped(_)) => other,
    };
    if appended == Appended::Committed {
        stage.kernel.trace.note_bytes(6, bytes);
        let found = stage.ledger.borrow_mut().appended(stage, by, (stream, seq), bytes);
        stage.judge(found);
    }
    appended
}

/// A planted fault: what meets a taken number goes to the next free one.
fn next_free(stage: &Stage, by: Line, stream: &StreamName, bytes: &[u8]) -> Appended {
    let mut journal = stage.journal.borrow_mut();
    let newest = hb_store::reader::newest(&mut *journal, stream, 1).ok().and_then(|mut newest| newest.pop());
    let (Some(newest), Ok(wanted)) = (newest, fact::Record::decode(bytes)) else {
        return Appended::Failed("nothing to go after".into());
    };
    let Head { seq, hash, .. } = newest.head();
    let record: Record<Body> = Record { seq: seq.next(), prev: hash, ..wanted.record };
    let sealed = seal(record);
    let appended = journal.append(stream, sealed.record.seq, &sealed.bytes);
    drop(journal);
    stage.reached("planted");
    let found = stage.ledger.borrow_mut().appended(stage, by, (stream, sealed.record.seq), &sealed.bytes);
    stage.judge(found);
    appended
}

impl Journal for Port {
    fn head(&mut self, stream: &StreamName) -> Result<Option<Seq>, JournalError> {
        let of = stream.clone();
        self.read_by(move |journal| journal.head(&of))
    }

    fn append(&mut self, stream: &StreamName, seq: Seq, bytes: &[u8]) -> Appended {
        let stage = here();
        if self.line.lives() {
            stage.judge(stage.ledger.borrow_mut().streams.asked(self.line, stream, seq));
            act_first(&stage, stream, seq, bytes);
        }
        let appended = self.append_once(stream, seq, bytes);
        match appended {
            Appended::Unknown(_) if stage.planted(Planted::UnknownIsDone) && self.line.lives() => {
                stage.reached("planted");
                stage.judge(stage.ledger.borrow_mut().streams.answered(
                    self.line,
                    (stream, seq),
                    bytes,
                    &Appended::Committed,
                ));
                Appended::Committed
            }
            Appended::Unknown(_) if stage.planted(Planted::UnknownAgain) && self.line.lives() => {
                stage.reached("planted");
                self.append_again(stream, seq, bytes)
            }
            other @ (Appended::Committed
            | Appended::Refused(_)
            | Appended::Unknown(_)
            | Appended::Failed(_)
            | Appended::Stopped(_)) => other,
        }
    }

    fn read(&mut self, stream: &StreamName, from: Seq, most: usize) -> Result<Vec<(Seq, Vec<u8>)>, JournalError> {
        let (by, of) = (self.line, stream.clone());
        let read = self.line.ask(Does::Reads, move |stage| {
            let mut read = stage.journal.borrow_mut().read(&of, from, most);
            // What is read along is cut short; what is read back is not.
            if stage.planted(Planted::ShortRead) && !stage.ledger.borrow().streams.is_unknown(by, &of, from) {
                short(stage, &of, &mut read);
            }
            read
        });
        let read = match read {
            Answer::Told(given) => given,
            Answer::Unknown(why) | Answer::Refused(why) => Err(JournalError::Unavailable(why.into())),
        };
        if read.is_ok() {
            here().ledger.borrow_mut().streams.read(by, stream, from, most);
        }
        read
    }

    fn trim(&mut self, stream: &StreamName, floor: Seq) -> Result<u64, JournalError> {
        let of = stream.clone();
        let answer = self.line.ask(Does::Changes, move |stage| {
            let trimmed = stage.journal.borrow_mut().trim(&of, floor);
            if trimmed.is_ok() {
                stage.reached("journal trimmed");
                let mut journal = stage.journal.borrow_mut();
                if stage.planted(Planted::FloorForgets) {
                    stage.reached("planted");
                    let head = journal.head(&of).ok().flatten();
                    head.into_iter().for_each(|head| journal.damage(&of, head, None));
                }
                let (head, floor) = (journal.head(&of), journal.floor(&of));
                drop(journal);
                let found =
                    stage.ledger.borrow_mut().streams.trimmed(&of, head.ok().flatten(), floor.unwrap_or_default());
                stage.judge(found);
            }
            trimmed
        });
        match answer {
            Answer::Told(given) => given,
            Answer::Unknown(why) | Answer::Refused(why) => Err(JournalError::Unavailable(why.into())),
        }
    }

    fn floor(&mut self, stream: &StreamName) -> Result<Seq, JournalError> {
        let of = stream.clone();
        self.read_by(move |journal| journal.floor(&of))
    }
}

impl Port {
    /// A planted fault: an append again without a look.
    fn append_again(&self, stream: &StreamName, seq: Seq, bytes: &[u8]) -> Appended {
        let stage = here();
        stage.judge(stage.ledger.borrow_mut().streams.asked(self.line, stream, seq));
        self.append_once(stream, seq, bytes)
    }
}

/// Planted faults: what a record tells leaves before the record is durable.
fn act_first(stage: &Stage, stream: &StreamName, seq: Seq, bytes: &[u8]) {
    if !stage.planted(Planted::TellFirst) && !stage.planted(Planted::ShowFirst) {
        return;
    }
    let Ok(sealed) = fact::Record::decode(bytes) else { return };
    let Body::CycleDecided(decided) = &sealed.record.body else { return };
    let mut ledger = stage.ledger.borrow_mut();
    let found = match &decided.alert {
        _ if stage.planted(Planted::ShowFirst) => {
            let stands = ledger.streams.stands(stream, seq, sealed.hash);
            ledger.views.shown(&decided.watch, &sealed, None, stands.into())
        }
        Some(alert) => ledger.alerts.told(alert),
        None => Ok(()),
    };
    drop(ledger);
    stage.reached("planted");
    stage.judge(found);
}

/// A planted fault: the newest record of a stream is not seen.
fn short(stage: &Stage, stream: &StreamName, read: &mut Result<Vec<(Seq, Vec<u8>)>, JournalError>) {
    let head = stage.journal.borrow_mut().head(stream).ok().flatten();
    if let Ok(records) = read
        && !records.is_empty()
        && records.last().map(|(seq, _)| *seq) == head
    {
        stage.reached("planted");
        records.pop();
    }
}
