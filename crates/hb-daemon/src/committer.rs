//! Appends what the node decided, and finds out what became of it (J5).
//!
//! **Invariants.** Records leave in the order in which they were decided. While one of them is neither durable nor refused,
//! nothing after it is appended and no new work is taken.
//!
//! Bound (B1): what waits here is what one input gave; the loop takes no further data while anything waits.

use std::collections::VecDeque;
use std::sync::Arc;

use hb_core::ids::{Seq, StreamName, WatchName};
use hb_core::node::fact::Sealed;
use hb_core::node::step::Blob;
use hb_store::port::{Appended, Journal, JournalError, Standing};

use crate::clock;
use crate::parts::Documents;
use crate::shared::Shared;

/// One thing to make durable.
#[derive(Debug)]
enum Work {
    Blob(Blob),
    Record(WatchName, Arc<Sealed>),
    /// Its end is not known: read back before anything else.
    ReadBack(WatchName, Arc<Sealed>),
}

/// What became of the oldest work.
#[derive(Debug)]
pub(crate) enum End {
    Committed(WatchName, Arc<Sealed>),
    Refused(WatchName, Seq),
    /// A blob is durable; nobody waits for it.
    Stored,
    /// Not done; to be tried again later.
    Held(String),
    /// The journal will never take anything from this process again.
    Stopped(String),
    Nothing,
}

#[derive(Debug, Default)]
pub(crate) struct Committer {
    queue: VecDeque<Work>,
}

impl Committer {
    pub(crate) fn push(&mut self, blobs: Vec<Blob>, records: Vec<(WatchName, Arc<Sealed>)>) {
        self.queue.extend(blobs.into_iter().map(Work::Blob));
        self.queue.extend(records.into_iter().map(|(watch, sealed)| Work::Record(watch, sealed)));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether a record of that watch waits here, or one whose end is not known.
    pub(crate) fn has_of(&self, watch: &WatchName) -> bool {
        self.queue.iter().any(|work| match work {
            Work::Record(of, _) | Work::ReadBack(of, _) => of == watch,
            Work::Blob(_) => false,
        })
    }

    /// Forgets everything: the node has given way.
    pub(crate) fn clear(&mut self) {
        self.queue.clear();
    }

    /// Works the oldest one off.
    pub(crate) fn advance(&mut self, journal: &mut dyn Journal, documents: &mut dyn Documents, shared: &Shared) -> End {
        match self.queue.pop_front() {
            None => End::Nothing,
            Some(Work::Blob(blob)) => match documents.put(blob.hash, &blob.bytes) {
                Ok(()) => End::Stored,
                Err(why) => {
                    self.queue.push_front(Work::Blob(blob));
                    End::Held(why)
                }
            },
            Some(Work::Record(watch, sealed)) => self.append(watch, sealed, journal, shared),
            Some(Work::ReadBack(watch, sealed)) => self.read_back(watch, sealed, journal),
        }
    }

    fn append(&mut self, watch: WatchName, sealed: Arc<Sealed>, journal: &mut dyn Journal, shared: &Shared) -> End {
        let begun = clock::moment();
        let seq = sealed.record.seq;
        let appended = journal.append(&sealed.record.stream, seq, &sealed.bytes);
        let took = clock::since(begun);
        let end = match &appended {
            Appended::Committed => "committed",
            Appended::Refused(_) => "refused",
            Appended::Unknown(_) => "unknown",
            Appended::Failed(_) => "failed",
            Appended::Stopped(_) => "stopped",
        };
        shared.count(|stats| {
            *stats.appends.entry(end).or_insert(0) += 1;
            stats.commit_latency.record(took.as_secs_f64());
        });
        match appended {
            Appended::Committed => End::Committed(watch, sealed),
            Appended::Refused(standing) => {
                tracing::warn!("record {seq} of {watch} was refused: {}", describe(&standing));
                End::Refused(watch, seq)
            }
            Appended::Unknown(why) => {
                self.queue.push_front(Work::ReadBack(watch, sealed));
                End::Held(why)
            }
            Appended::Failed(why) => {
                self.queue.push_front(Work::Record(watch, sealed));
                End::Held(why)
            }
            Appended::Stopped(why) => End::Stopped(why),
        }
    }

    fn read_back(&mut self, watch: WatchName, sealed: Arc<Sealed>, journal: &mut dyn Journal) -> End {
        let seq = sealed.record.seq;
        match journal.read(&sealed.record.stream, seq, 1) {
            Ok(found) => match found.first() {
                Some((at, bytes)) if *at == seq && *bytes == sealed.bytes => End::Committed(watch, sealed),
                Some(_) => End::Refused(watch, seq),
                None => {
                    self.queue.push_front(Work::Record(watch, sealed));
                    End::Held("the append was not done after all; it is tried again".into())
                }
            },
            Err(JournalError::Stopped(why)) => End::Stopped(why),
            Err(error) => {
                self.queue.push_front(Work::ReadBack(watch, sealed));
                End::Held(error.to_string())
            }
        }
    }
}

fn describe(standing: &Standing) -> String {
    match standing {
        Standing::Taken(bytes) => match hb_core::node::fact::Record::decode(bytes) {
            Ok(other) => format!("{} of epoch {} stands there", other.record.node, other.record.epoch),
            Err(damage) => format!("what stands there is damaged: {damage}"),
        },
        Standing::BelowFloor(floor) => format!("the journal has been trimmed up to {floor}"),
    }
}

/// The stream of a watch, for messages.
pub(crate) fn stream_of(watch: &WatchName) -> StreamName {
    StreamName::watch(watch)
}
