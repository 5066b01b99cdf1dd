//! When is a record durable, and what is trimmed?

use std::sync::Arc;
use std::time::{Duration, Instant};

use hb_core::ids::Seq;
use hb_core::supervise::state::Sealed;
use hb_store::port::Appended;

use super::parts::{Bounds, Keeper};
use super::picture::Pictured;

/// Bytes of records after which memory is given back.
const GIVE_BACK: u64 = 1 << 20;
/// How long it waits before it tries again to make something durable.
const HELD: Duration = Duration::from_millis(100);

/// How making something durable ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kept {
    /// It is durable.
    Durable,
    /// Somebody else writes by now.
    Fenced(String),
    /// It cannot be made durable by this process.
    Stopped(String),
}

/// The database from the loop's side.
pub(super) struct Keeping {
    keeper: Box<dyn Keeper>,
    picture: Arc<Pictured>,
    bounds: Bounds,
    /// Bytes of records since the last snapshot.
    since: u64,
    /// Bytes of that snapshot.
    snapshot: u64,
    /// Bytes of records since memory was given back.
    kept_back: u64,
}

impl Keeping {
    pub(super) fn new(keeper: Box<dyn Keeper>, picture: Arc<Pictured>, bounds: Bounds) -> Self {
        Self { keeper, picture, bounds, since: 0, snapshot: 0, kept_back: GIVE_BACK }
    }

    pub(super) fn keeper(&mut self) -> &mut dyn Keeper {
        &mut *self.keeper
    }

    /// Makes a record durable. Tries again for as long as it takes when the disk is full or the database locked; `still` says
    /// whether to, and is called between two tries.
    pub(super) fn keep(&mut self, record: &Arc<Sealed>, mut still: impl FnMut() -> bool) -> Kept {
        let mut told: Option<String> = None;
        loop {
            let begun = Instant::now();
            match self.keeper.commit(std::slice::from_ref(record)) {
                Appended::Committed => {
                    self.committed(record, begun.elapsed());
                    if told.is_some() {
                        tracing::info!("what waited is durable");
                    }
                    return Kept::Durable;
                }
                Appended::Refused(standing) => {
                    let what = format!("record {} is not this node's to write: {standing:?}", record.record.seq);
                    return Kept::Fenced(what.chars().take(300).collect());
                }
                Appended::Stopped(why) => return Kept::Stopped(why),
                Appended::Failed(why) | Appended::Unknown(why) => {
                    // A record that may be there already is found there by the next try, which the keeper tells apart (J5).
                    if told.as_ref() != Some(&why) {
                        tracing::warn!("a record of the supervisor waits to become durable: {why}");
                        self.picture.change(|picture| picture.trouble("database", Err(why.clone())));
                    }
                    told = Some(why.clone());
                    if !still() {
                        return Kept::Stopped(why);
                    }
                    std::thread::sleep(HELD);
                }
            }
        }
    }

    fn committed(&mut self, record: &Sealed, took: Duration) {
        let bytes = record.bytes.len() as u64;
        self.since = self.since.saturating_add(bytes);
        self.kept_back = self.kept_back.saturating_add(bytes);
        self.picture.change(|picture| {
            picture.commits = picture.commits.saturating_add(1);
            picture.commit_latency.record(took.as_secs_f64());
            picture.trouble("database", Ok(()));
        });
    }

    /// Whether it is time to write everything as one: a start shall read little more than the state itself.
    pub(super) fn wants_snapshot(&self) -> bool {
        self.since > self.bounds.snapshot_bytes.max(self.snapshot.saturating_mul(2))
    }

    /// The same when nobody waits for anything: then it need not grow so far.
    pub(super) fn wants_snapshot_at_rest(&self) -> bool {
        self.since > (self.bounds.snapshot_bytes / 4).max(self.snapshot)
    }

    /// Whether reading and writing may have used much memory meanwhile.
    pub(super) fn wants_give_back(&self) -> bool {
        self.kept_back >= GIVE_BACK
    }

    /// Gives back what is not used of it.
    pub(super) fn give_back(&mut self) {
        self.kept_back = 0;
        hb_sys::memory::give_back();
    }

    /// A snapshot stands: what lies well before it may go.
    pub(super) fn snapshot_kept(&mut self, record: &Sealed) {
        self.snapshot = record.bytes.len() as u64;
        self.since = 0;
        let floor = Seq(record.record.seq.0.saturating_sub(self.bounds.keep_records));
        if floor > Seq(0) {
            let trimmed = self.keeper.trim(floor).map(drop).map_err(|error| error.to_string());
            self.picture.change(|picture| picture.trouble("trim", trimmed));
        }
    }
}
