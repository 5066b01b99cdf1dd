//! Many watches on many nodes: each watch has a lease of its own, and nodes share the watches out.
//!
//! Each watch that this node works for, or is next in line for, has a work loop of its own ([`crate::turn`]), as if it were the only
//! one: taking over, handing over, being fenced and standing by are the same code as for a whole node. Its lease is its claim
//! ([`claims`]), which one warden per node takes, keeps and gives up by a plan that every node makes for itself
//! ([`hb_core::lease::placement`]). For all other watches nothing runs: no source is opened and no record is read.
//!
//! Bounds (B1): `FleetBounds::watches_max` watches at work and `FleetBounds::warm_max` standing by; each takes a work loop, a
//! thread for its lease, its source, its views and each of its sinks.

pub mod claims;
mod gathered;
mod hall;
mod member;
mod office;
mod sight;
mod tender;
mod warden;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hb_core::ids::{NodeName, WatchName};
use hb_core::node::view::View;
use hb_core::watch::settings::WatchSettings;
use hb_store::port::{Lease, Pause};
use hb_store::register::Register;

use crate::clock;
use crate::inbox::Control;
use crate::parts::Parts;
use crate::shared::Shared;
use crate::turn::{Ended, Running};
use claims::Session;
use gathered::Past;
use hall::{Hall, Wish};
pub use member::{MemberParts, run};
pub use office::{Ask, FleetOffice, Ledger, Member};
use tender::Tender;
use warden::Warden;

/// How long a fleet that ends waits for its loops.
const DRAIN_MAX: Duration = Duration::from_secs(30);

/// Makes the parts of one watch, with that lease.
pub type MakeParts = Box<dyn Fn(&WatchName, Box<dyn Lease>) -> Result<Parts, String> + Send + Sync>;

/// Bounds of a fleet's node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FleetBounds {
    /// How long a session may show no life. Each watch's own bounds have to say the same.
    pub lease_ttl: Duration,
    /// Most watches that this node works for.
    pub watches_max: u32,
    /// Most watches that it stands by for, warm.
    pub warm_max: usize,
    /// Whose turn it is first: the largest; 0 works for no watch.
    pub priority: u8,
}

/// What a fleet's node is built from.
pub struct FleetParts {
    /// Its name.
    pub node: NodeName,
    /// All watches.
    pub watches: BTreeSet<WatchName>,
    /// Makes the parts of one of them.
    pub make: MakeParts,
    /// Where sessions and claims stand.
    pub register: Box<dyn Register>,
    /// Its bounds.
    pub bounds: FleetBounds,
}

impl fmt::Debug for FleetParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FleetParts({}, {} watches, {:?})", self.node, self.watches.len(), self.bounds)
    }
}

/// What a fleet's node is at, for onlookers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seats {
    /// Who works for which watch, as this node last saw it.
    pub holders: BTreeMap<WatchName, NodeName>,
    /// What this node works for.
    pub held: BTreeSet<WatchName>,
    /// What it is next in line for.
    pub next: BTreeSet<WatchName>,
    /// Watches that no node has room for.
    pub unplaced: usize,
    /// Why nobody takes over, if that is asked for.
    pub paused: Option<String>,
    /// What is wrong with the register, if anything.
    pub trouble: Option<String>,
    /// Rounds of the warden since the start.
    pub rounds: u64,
}

type Loops = Arc<Mutex<BTreeMap<WatchName, Running>>>;
/// Settings that were read again since the start.
type Newest = Arc<Mutex<BTreeMap<WatchName, Arc<WatchSettings>>>>;

/// A node of a fleet at work.
#[derive(Debug)]
pub struct Fleet {
    hall: Arc<Hall>,
    loops: Loops,
    past: Arc<Past>,
    newest: Newest,
    warden: Option<JoinHandle<()>>,
    keeper: Option<JoinHandle<()>>,
}

impl Fleet {
    /// Starts a node.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(parts: FleetParts) -> io::Result<Self> {
        let FleetParts { node, watches, make, register, bounds } = parts;
        let hall = Arc::new(Hall::default());
        let session = format!("{}-{}", std::process::id(), hb_store::register::nonce::nonce());
        let session = Session::new(&node, &session, bounds.priority, bounds.watches_max);
        let warden = Warden::new(register, &hall, watches, session, bounds.lease_ttl);
        let warden = thread::Builder::new().name("warden".into()).spawn(move || warden.run())?;
        let (loops, past, newest) = (Loops::default(), Arc::<Past>::default(), Newest::default());
        let tender = Tender::new(&hall, &loops, (&past, &newest), make, bounds.warm_max);
        let keeper = thread::Builder::new().name("fleet".into()).spawn(move || tender.run())?;
        Ok(Self { hall, loops, past, newest, warden: Some(warden), keeper: Some(keeper) })
    }

    /// What this node is at.
    #[must_use]
    pub fn seats(&self) -> Seats {
        let state = self.hall.look();
        Seats {
            holders: state.holders.clone(),
            held: state.held.keys().cloned().collect(),
            next: state.next.clone(),
            unplaced: state.unplaced,
            paused: state.pause.as_ref().map(|pause| format!("paused by {}: {}", pause.by, pause.reason)),
            trouble: state.trouble.clone(),
            rounds: state.rounds,
        }
    }

    /// The pictures of the watches that this node works for or stands by for.
    #[must_use]
    pub fn pictures(&self) -> BTreeMap<WatchName, Arc<Shared>> {
        let loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        loops.iter().map(|(watch, running)| (watch.clone(), Arc::clone(&running.shared))).collect()
    }

    /// The views of all of them in one.
    #[must_use]
    pub fn views(&self) -> BTreeMap<WatchName, Arc<View>> {
        self.pictures().into_iter().map(|(watch, shared)| (watch, shared.view())).collect()
    }

    /// Asks that watches are spread evenly; a few move at a time.
    pub fn rebalance(&self, by: String, reason: String) {
        self.asks(Wish::Rebalance { by, reason });
    }

    /// Asks that nobody takes over.
    pub fn pause(&self, by: String, reason: String) {
        self.asks(Wish::Pause(Pause { by, reason, at: clock::wall() }));
    }

    /// Lets nodes take over again.
    pub fn resume(&self) {
        self.asks(Wish::Resume);
    }

    fn asks(&self, wish: Wish) {
        if let Err(why) = self.hall.ask(wish) {
            tracing::error!("an order is not taken: {why}");
        }
    }

    /// Works on under other settings.
    fn reload(&self, settings: Vec<Arc<WatchSettings>>) {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        for one in settings {
            if let Some(running) = loops.get(&one.name) {
                // Whoever has ended is started anew with them.
                let _listens = running.remote.send(Control::Reload(vec![Arc::clone(&one)]));
            }
            newest.insert(one.name.clone(), one);
        }
    }

    /// Hands everything on and ends. Gives what could not be written to its end, if anything.
    pub fn stop(mut self, reason: &str) -> Option<String> {
        self.hall.change(|state| state.stopping = true);
        {
            let loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
            for running in loops.values() {
                // None is started any more: the fleet looks whether it stops while it has the list of loops.
                // Whoever has ended already needs not be told.
                let _listens = running.remote.send(Control::Stop { reason: reason.to_owned() });
            }
        }
        let until = Instant::now() + DRAIN_MAX;
        let working = || {
            let loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
            loops.values().any(|running| !running.has_ended())
        };
        while working() && Instant::now() < until {
            thread::sleep(Duration::from_millis(2));
        }
        self.hall.change(|state| state.quit = true);
        self.hall.knock_all();
        for thread in [self.keeper.take(), self.warden.take()].into_iter().flatten() {
            if thread.join().is_err() {
                tracing::error!("a thread of the fleet panicked; please report it");
            }
        }
        self.unfinished()
    }

    /// What loops that have ended could not make durable, or have not ended.
    fn unfinished(&self) -> Option<String> {
        let loops = std::mem::take(&mut *self.loops.lock().unwrap_or_else(PoisonError::into_inner));
        let mut wrong = Vec::new();
        for (watch, running) in loops {
            if !running.has_ended() {
                wrong.push(format!("{watch}: it has not ended"));
                continue;
            }
            match running.try_join() {
                Ok(Ended::Drained | Ended::Fenced(_)) => {}
                Ok(Ended::Corrupt(what) | Ended::Unfinished(what)) => wrong.push(format!("{watch}: {what}")),
                Err(()) => wrong.push(format!("{watch}: its loop panicked")),
            }
        }
        let first = wrong.first()?;
        Some(if wrong.len() > 1 { format!("{first}; and {} more", wrong.len() - 1) } else { first.clone() })
    }
}
