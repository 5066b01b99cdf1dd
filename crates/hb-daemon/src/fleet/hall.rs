//! Where the warden, the loops' leases and the fleet meet: what this node holds, and what is asked of it.
//!
//! **Invariants.** Only the warden says what is held, and until when its session is good. A lease of one watch only tells the hall that
//! its loop makes progress, and that it has let go. Each lease waits at a door of its own: a change of one watch's claim wakes nobody
//! else, so that hundreds of loops that wait cost nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hb_core::ids::{Epoch, NodeName, WatchName};
use hb_core::time::Moment;
use hb_store::port::{Holder, Lease, LeaseError, Order, Orders, Pause, Switchover, Waited};

use super::claims::{Rebalance, Wishes};
use crate::clock;

/// A watch that this node works for, by its claim.
#[derive(Debug)]
pub(super) struct Held {
    /// Why it was free.
    pub(super) why: String,
    /// When its loop last showed progress.
    pub(super) progress: Instant,
    /// To whom it is to go, with what tells one such order from the next.
    pub(super) moving: Option<Switchover>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) held: BTreeMap<WatchName, Held>,
    /// Let go by their loops; the warden hands them on.
    pub(super) released: BTreeMap<WatchName, Option<NodeName>>,
    /// Watches of others for which this node is next in line.
    pub(super) next: BTreeSet<WatchName>,
    /// Watches that will be this node's when whoever shows no sign of life, or is to leave, has gone.
    pub(super) soon: BTreeSet<WatchName>,
    /// Who works for which watch, as last seen.
    pub(super) holders: BTreeMap<WatchName, NodeName>,
    /// Until when this node's session is good in everybody's eyes.
    pub(super) good_until: Moment,
    pub(super) pause: Option<Pause>,
    /// Wishes of operators that are not yet in the register, at most [`ASKED_MAX`].
    pub(super) asked: Vec<Wish>,
    /// Whose watches are all to move, if that is asked for.
    pub(super) leave: Option<Switchover>,
    /// Orphans for which no node has room.
    pub(super) unplaced: usize,
    /// What is wrong with the register, if anything.
    pub(super) trouble: Option<String>,
    pub(super) rounds: u64,
    /// When the last round was over.
    pub(super) round_at: Moment,
    /// Grows with every change that somebody waits for.
    pub(super) changes: u64,
    /// Where the leases of watches wait.
    doors: BTreeMap<WatchName, Arc<Condvar>>,
    /// Nothing more is taken.
    pub(super) stopping: bool,
    pub(super) quit: bool,
}

/// What an operator asks of a fleet.
#[derive(Debug, Clone)]
pub(super) enum Wish {
    Pause(Pause),
    Resume,
    Rebalance { by: String, reason: String },
    Leave(Switchover),
}

impl Wish {
    /// Puts it among what is asked already.
    pub(super) fn add_to(&self, wishes: &mut Wishes) {
        match self {
            Self::Pause(pause) => wishes.pause = Some(pause.clone()),
            Self::Resume => wishes.pause = None,
            Self::Rebalance { by, reason } => {
                wishes.rebalance = Some(Rebalance { by: by.clone(), reason: reason.clone(), at: clock::wall() });
            }
            Self::Leave(leave) => wishes.leave = Some(leave.clone()),
        }
    }
}

/// Most wishes of operators that wait for the register (B1).
pub(super) const ASKED_MAX: usize = 16;

/// Shared by all of them.
#[derive(Debug, Default)]
pub(super) struct Hall {
    state: Mutex<State>,
    changed: Condvar,
}

impl Hall {
    pub(super) fn look(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what the warden and the tender wait for.
    pub(super) fn change(&self, change: impl FnOnce(&mut State)) {
        {
            let mut state = self.look();
            change(&mut state);
            state.changes = state.changes.wrapping_add(1);
        }
        self.changed.notify_all();
    }

    /// Changes what nobody waits for.
    pub(super) fn note(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.look());
    }

    /// Opens a watch's door: its claim is this node's, or may be.
    pub(super) fn knock(&self, watch: &WatchName) {
        let door = self.look().doors.get(watch).cloned();
        if let Some(door) = door {
            door.notify_all();
        }
    }

    /// Opens all of them.
    pub(super) fn knock_all(&self) {
        let doors: Vec<Arc<Condvar>> = self.look().doors.values().cloned().collect();
        doors.iter().for_each(|door| door.notify_all());
    }

    /// Until when this node's session is good by now. Those that hold a claim go on where it had run out.
    pub(super) fn good_until(&self, until: Moment) {
        let had_run_out = {
            let mut state = self.look();
            let before = std::mem::replace(&mut state.good_until, until);
            before <= clock::moment()
        };
        if had_run_out {
            self.knock_all();
        }
    }

    /// Takes a wish that goes to the register with the next round.
    ///
    /// # Errors
    /// Too many wait already.
    pub(super) fn ask(&self, wish: Wish) -> Result<(), String> {
        if self.look().asked.len() >= ASKED_MAX {
            return Err(format!("{ASKED_MAX} orders wait for the register already: it does not answer"));
        }
        self.change(|state| state.asked.push(wish));
        Ok(())
    }

    /// What is asked of the nodes, as last seen.
    pub(super) fn orders(&self) -> Orders {
        let state = self.look();
        Orders { pause: state.pause.clone(), switchover: state.leave.clone(), settled: None }
    }

    /// Waits while it holds, at most so long.
    pub(super) fn wait_while(
        &self,
        patience: Duration,
        holds: impl FnMut(&mut State) -> bool,
    ) -> MutexGuard<'_, State> {
        let waited = self.changed.wait_timeout_while(self.look(), patience, holds);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// The lease of one watch: its claim.
#[derive(Debug)]
pub(super) struct ClaimLease {
    hall: Arc<Hall>,
    watch: WatchName,
    door: Arc<Condvar>,
}

impl ClaimLease {
    pub(super) fn new(hall: &Arc<Hall>, watch: &WatchName) -> Self {
        let door = Arc::<Condvar>::default();
        hall.note(|state| drop(state.doors.insert(watch.clone(), Arc::clone(&door))));
        Self { hall: Arc::clone(hall), watch: watch.clone(), door }
    }
}

impl Drop for ClaimLease {
    fn drop(&mut self) {
        // The next one of that watch may stand there already.
        self.hall.note(|state| {
            if state.doors.get(&self.watch).is_some_and(|door| Arc::ptr_eq(door, &self.door)) {
                state.doors.remove(&self.watch);
            }
        });
    }
}

impl Lease for ClaimLease {
    fn acquire(&mut self, patience: Duration) -> Result<Waited, LeaseError> {
        // What this node knows to hold, others may have by now when its session has run out: it stands by until it has looked again.
        let free = |state: &State| {
            let held = state.held.contains_key(&self.watch) && !state.released.contains_key(&self.watch);
            held && clock::moment() < state.good_until
        };
        let waits = |state: &mut State| !free(state) && !state.quit;
        let waited = self.door.wait_timeout_while(self.hall.look(), patience, waits);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        if !free(&state) {
            return Ok(Waited::Held);
        }
        let Some(held) = state.held.get_mut(&self.watch) else { return Ok(Waited::Held) };
        held.progress = Instant::now();
        Ok(Waited::Granted { how: "claim", why: held.why.clone() })
    }

    fn renew(&mut self, _me: &Holder) -> Result<(), LeaseError> {
        let mut state = self.hall.look();
        let Some(held) = state.held.get_mut(&self.watch) else {
            let holder = state.holders.get(&self.watch).map_or("nobody's", NodeName::as_str);
            return Err(LeaseError(format!("the claim on this watch is {holder}")));
        };
        held.progress = Instant::now();
        if clock::moment() < state.good_until {
            return Ok(());
        }
        let why = state.trouble.clone().unwrap_or_else(|| "it is not shown in time".into());
        Err(LeaseError(format!("this node's session may have run out: {why}")))
    }

    fn release(&mut self) -> Result<(), LeaseError> {
        self.hall.change(|state| {
            if let Some(held) = state.held.get(&self.watch) {
                let to = held.moving.as_ref().and_then(|moving| moving.to.clone());
                state.released.insert(self.watch.clone(), to);
            }
        });
        Ok(())
    }

    fn holder(&mut self) -> Result<Option<Holder>, LeaseError> {
        let holder = self.hall.look().holders.get(&self.watch).cloned();
        // What epoch it has opened stands in the journal alone.
        Ok(holder.map(|node| Holder { node, pid: 0, epoch: Epoch(0), progress: 0 }))
    }

    fn orders(&mut self) -> Result<Orders, LeaseError> {
        let state = self.hall.look();
        let switchover = state.held.get(&self.watch).and_then(|held| held.moving.clone());
        Ok(Orders { pause: state.pause.clone(), switchover, settled: None })
    }

    fn order(&mut self, order: Order) -> Result<Orders, LeaseError> {
        match order {
            Order::Pause(pause) => self.hall.ask(Wish::Pause(pause)).map_err(LeaseError)?,
            Order::Resume => self.hall.ask(Wish::Resume).map_err(LeaseError)?,
            // The warden settles what it has asked for itself.
            Order::Settled(_) => {}
            Order::Switchover(_) => {
                return Err(LeaseError("each watch has a lease of its own: ask for a rebalance instead".into()));
            }
        }
        self.orders()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ns;

    /// Cut off from the register, a node still knows what it held; others may have it by now, and it would take it back for ever.
    #[test]
    fn h1_what_was_held_is_not_granted_again_once_the_session_may_have_run_out() {
        let hall = Arc::new(Hall::default());
        let mut lease = ClaimLease::new(&hall, &"w".into());
        let hour = Duration::from_secs(3_600);
        hall.change(|state| {
            let held = Held { why: "it was nobody's".into(), progress: Instant::now(), moving: None };
            state.held.insert("w".into(), held);
            state.good_until = Moment(0);
        });
        assert_eq!(lease.acquire(Duration::ZERO), Ok(Waited::Held));
        hall.change(|state| state.good_until = clock::moment().plus_ns(ns(hour)));
        assert!(matches!(lease.acquire(hour), Ok(Waited::Granted { .. })));
    }

    #[test]
    fn a_lease_wakes_when_its_claim_is_taken_and_when_the_session_is_good_again() {
        let hall = Arc::new(Hall::default());
        let hour = Duration::from_secs(3_600);
        let waiting = |watch: &'static str| {
            let mut lease = ClaimLease::new(&hall, &watch.into());
            std::thread::spawn(move || lease.acquire(hour))
        };
        let held = || Held { why: "it was nobody's".into(), progress: Instant::now(), moving: None };
        let first = waiting("w");
        hall.good_until(clock::moment().plus_ns(ns(hour)));
        hall.note(|state| drop(state.held.insert("w".into(), held())));
        hall.knock(&"w".into());
        assert!(matches!(first.join(), Ok(Ok(Waited::Granted { .. }))));
        hall.note(|state| {
            state.held.insert("v".into(), held());
            state.good_until = Moment(0);
        });
        let second = waiting("v");
        hall.good_until(clock::moment().plus_ns(ns(hour)));
        assert!(matches!(second.join(), Ok(Ok(Waited::Granted { .. }))));
        assert!(hall.look().doors.is_empty(), "whoever has gone waits no more");
    }
}
