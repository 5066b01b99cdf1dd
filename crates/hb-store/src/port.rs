//! What the daemon needs of a store, and the laws that every backend obeys (checked by `conformance`).

use std::time::Duration;

use hb_core::ids::{Epoch, NodeName, Seq, StreamName};
use hb_core::journal::Hash;
use hb_core::time::Stamp;

/// What became of an append. There is no fourth end (J5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    /// It is durable.
    Committed,
    /// The number is taken by other bytes, or lies below the floor: nothing was changed (J2).
    Refused(Standing),
    /// It may or may not be there. Read the number back before anything else.
    Unknown(String),
    /// It was certainly not done, and may be tried again: no space, read-only, no permission.
    Failed(String),
    /// It was not acknowledged, and this handle will never append again: an fsync failed, and what such a disk says later is
    /// not believed. The node has to end, so that another one goes on.
    Stopped(String),
}

/// What stands in the way of an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Other bytes stand at that number.
    Taken(Vec<u8>),
    /// The number has been trimmed away (J6).
    BelowFloor(Seq),
}

/// Why a journal could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// It may work later.
    #[error("{0}")]
    Unavailable(String),
    /// What is stored is damaged; names the file and record.
    #[error("{0}")]
    Corrupt(String),
    /// This handle has stopped for good ([`Appended::Stopped`]).
    #[error("{0}")]
    Stopped(String),
}

/// A record's number and bytes.
pub type Entry = (Seq, Vec<u8>);

/// What became of a new beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// It stands, and is durable.
    Done,
    /// Another head stands than was seen, this one: nothing was changed.
    Moved(Option<Seq>),
}

/// The floor of a new beginning, see [`Journal::begin`].
///
/// # Errors
/// The records do not go together, or leave nothing out.
pub fn new_floor(stream: &StreamName, seen: Option<Seq>, first: &[Entry]) -> Result<Seq, JournalError> {
    let floor = first.first().map(|(seq, _)| *seq);
    let risen = first.iter().zip(first.iter().skip(1)).all(|((seq, _), (next, _))| seq.next() == *next);
    match floor.filter(|floor| risen && seen.is_none_or(|seen| *floor > seen.next())) {
        Some(floor) => Ok(floor),
        None => Err(JournalError::Unavailable(format!(
            "{stream}: a new beginning has records without gaps, above the newest one and not right behind it: nothing was changed"
        ))),
    }
}

/// A stream of numbered records, appended by compare-and-set.
///
/// The journal moves bytes; that they are a sound record is checked by its callers (`hb_core::journal`).
pub trait Journal: Send {
    /// Number of the newest record, if there is one.
    ///
    /// # Errors
    /// [`JournalError`].
    fn head(&mut self, stream: &StreamName) -> Result<Option<Seq>, JournalError>;

    /// Puts `bytes` at number `seq` if nobody has (J1, J2, J3). `seq` is the caller's head plus one.
    fn append(&mut self, stream: &StreamName, seq: Seq, bytes: &[u8]) -> Appended;

    /// Up to `most` records from `from` on, in order, without gaps; empty when there is nothing from there on.
    ///
    /// # Errors
    /// [`JournalError::Corrupt`] when a record between `from` and the head is missing.
    fn read(&mut self, stream: &StreamName, from: Seq, most: usize) -> Result<Vec<(Seq, Vec<u8>)>, JournalError>;

    /// Removes everything below `floor`, which is durable before anything goes (J6). Returns how many records went.
    ///
    /// # Errors
    /// [`JournalError`].
    fn trim(&mut self, stream: &StreamName, floor: Seq) -> Result<u64, JournalError>;

    /// The floor: the smallest number that may still stand.
    ///
    /// # Errors
    /// [`JournalError`].
    fn floor(&mut self, stream: &StreamName) -> Result<Seq, JournalError>;

    /// For copies alone: puts `first` in the place of all that stands, and lets the stream go on behind it although the record before
    /// it does not stand here. What was copied has been trimmed at its source meanwhile, further than the copy had come.
    ///
    /// `seen` is the head that the caller has seen: where another one stands by now, nothing is changed ([`Begun::Moved`]). `first` are
    /// records with rising numbers without gaps, above `seen`; the first one's number becomes the floor, which is durable before
    /// anything below it goes (J6). Whenever it is cut short, what stood before stands, or `first` does.
    ///
    /// # Errors
    /// [`JournalError`]; a journal that cannot do this says so and changes nothing.
    fn begin(&mut self, stream: &StreamName, seen: Option<Seq>, first: &[Entry]) -> Result<Begun, JournalError> {
        let floor = new_floor(stream, seen, first)?;
        let what = format!("{stream}: this kind of journal cannot go on at record {floor} above its newest one");
        Err(JournalError::Unavailable(what))
    }
}

impl<J: Journal + ?Sized> Journal for Box<J> {
    fn head(&mut self, stream: &StreamName) -> Result<Option<Seq>, JournalError> {
        (**self).head(stream)
    }

    fn append(&mut self, stream: &StreamName, seq: Seq, bytes: &[u8]) -> Appended {
        (**self).append(stream, seq, bytes)
    }

    fn read(&mut self, stream: &StreamName, from: Seq, most: usize) -> Result<Vec<(Seq, Vec<u8>)>, JournalError> {
        (**self).read(stream, from, most)
    }

    fn trim(&mut self, stream: &StreamName, floor: Seq) -> Result<u64, JournalError> {
        (**self).trim(stream, floor)
    }

    fn floor(&mut self, stream: &StreamName) -> Result<Seq, JournalError> {
        (**self).floor(stream)
    }

    fn begin(&mut self, stream: &StreamName, seen: Option<Seq>, first: &[Entry]) -> Result<Begun, JournalError> {
        (**self).begin(stream, seen, first)
    }
}

/// Documents under the hash of their bytes: baselines, which records only name.
pub trait Blobs: Send {
    /// Makes a document durable. Putting it again changes nothing, but for mending a damaged copy.
    ///
    /// # Errors
    /// [`JournalError`].
    fn put(&mut self, hash: Hash, bytes: &[u8]) -> Result<(), JournalError>;

    /// The document of that hash, checked; none where there is none.
    ///
    /// # Errors
    /// [`JournalError::Corrupt`] when what stands there has another hash.
    fn get(&mut self, hash: Hash) -> Result<Option<Vec<u8>>, JournalError>;
}

/// What waiting for a lease came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waited {
    /// It is ours.
    Granted {
        /// What gave it: `file`, `file-ttl`, `external`.
        how: &'static str,
        /// Why it was free, in words: `first start`, `the holder ended`, `no progress for 3.0 s`.
        why: String,
    },
    /// Somebody else has it.
    Held,
}

/// Who holds a lease, by their own account.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Holder {
    /// The node.
    pub node: NodeName,
    /// Its process.
    pub pid: u32,
    /// Largest epoch that it has opened.
    pub epoch: Epoch,
    /// Grows with every turn of its work loop.
    pub progress: u64,
}

/// What operators ask of the nodes that share a lease. It stands beside the lease and outlives its holders.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Orders {
    /// Nobody takes over: the holder works on, and may come back after a restart; everybody else stands by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<Pause>,
    /// The holder hands over; it stays here until another node works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switchover: Option<Switchover>,
    /// How the newest switchover ended, for whoever asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<Settled>,
}

/// After how long a switchover lapses that nobody has settled: whoever asked for it does not expect it any more. Wall clocks of two
/// nodes are compared here, so it is far longer than they should differ, and than a switchover ever takes.
pub const SWITCHOVER_LAPSES: Duration = Duration::from_secs(3600);

/// How long ago a moment was by the wall clock; nothing where that clock says that it is yet to come.
fn age(at: Stamp, now: Stamp) -> Duration {
    Duration::from_nanos(u64::try_from(now.since_ns(at)).unwrap_or(0))
}

impl Pause {
    /// For how long it has held, by the wall clock of whoever asks. However long that is, it holds until it is resumed.
    #[must_use]
    pub fn age(&self, now: Stamp) -> Duration {
        age(self.at, now)
    }
}

impl Switchover {
    /// How long ago it was asked for, by the wall clock of whoever asks.
    #[must_use]
    pub fn age(&self, now: Stamp) -> Duration {
        age(self.at, now)
    }

    /// Whether it is too old to be done ([`SWITCHOVER_LAPSES`]).
    #[must_use]
    pub fn lapsed(&self, now: Stamp) -> bool {
        self.age(now) > SWITCHOVER_LAPSES
    }
}

/// A pause for maintenance.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Pause {
    /// Who asked for it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When, by the wall clock of whoever asked.
    pub at: Stamp,
}

/// A planned takeover.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Switchover {
    /// Tells one from the next.
    pub id: String,
    /// From whom.
    pub from: NodeName,
    /// To whom; whoever comes first where none is named.
    pub to: Option<NodeName>,
    /// Who asked for it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When, by the wall clock of whoever asked. What is older than [`SWITCHOVER_LAPSES`] is given up.
    pub at: Stamp,
}

/// How a switchover ended.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Settled {
    /// Which.
    pub id: String,
    /// What came of it.
    pub end: SwitchoverEnd,
    /// Who works now, and why so, in words.
    pub what: String,
    /// Which node says so.
    pub by: NodeName,
    /// When (information only).
    pub at: Stamp,
}

/// What came of a switchover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SwitchoverEnd {
    /// The node that was named works, or any other where none was named.
    Done,
    /// It was not done in time, or cannot be.
    GivenUp,
}

/// A change of the orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Pause.
    Pause(Pause),
    /// Go on after a pause.
    Resume,
    /// Hand over.
    Switchover(Switchover),
    /// The switchover of that id is over, done or given up.
    Settled(Settled),
}

impl Orders {
    /// The orders after a change.
    #[must_use]
    pub fn after(mut self, order: Order) -> Self {
        match order {
            Order::Pause(pause) => self.pause = Some(pause),
            Order::Resume => self.pause = None,
            Order::Switchover(switchover) => self.switchover = Some(switchover),
            Order::Settled(settled) => {
                self.switchover = self.switchover.filter(|switchover| switchover.id != settled.id);
                self.settled = Some(settled);
            }
        }
        self
    }
}

/// Why a lease could not be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LeaseError(pub String);

/// The right to try. It picks who works now and may be wrong; safety rests on the journal alone (H1).
pub trait Lease: Send {
    /// Waits at most `patience` for the lease.
    ///
    /// # Errors
    /// [`LeaseError`] when it cannot be told; counts as held.
    fn acquire(&mut self, patience: Duration) -> Result<Waited, LeaseError>;

    /// Shows progress; called from the work loop only, at least three times per TTL (H2).
    ///
    /// # Errors
    /// [`LeaseError`] when it could not be shown, or when somebody else shows a larger epoch.
    fn renew(&mut self, me: &Holder) -> Result<(), LeaseError>;

    /// Gives it back.
    ///
    /// # Errors
    /// [`LeaseError`].
    fn release(&mut self) -> Result<(), LeaseError>;

    /// Who shows progress at the moment.
    ///
    /// # Errors
    /// [`LeaseError`].
    fn holder(&mut self) -> Result<Option<Holder>, LeaseError>;

    /// What operators ask, as it was last seen: after [`Lease::acquire`] or [`Lease::renew`] it is not older than those.
    ///
    /// # Errors
    /// [`LeaseError`].
    fn orders(&mut self) -> Result<Orders, LeaseError> {
        Ok(Orders::default())
    }

    /// Changes what is asked, whoever holds the lease.
    ///
    /// # Errors
    /// [`LeaseError`] when it was not done, or is not known to be.
    fn order(&mut self, _order: Order) -> Result<Orders, LeaseError> {
        Err(LeaseError("this lease takes no orders".into()))
    }

    /// How many nodes go first when the lease becomes free: this one waits that many steps longer.
    fn stand_behind(&mut self, _others: u32) {}
}
