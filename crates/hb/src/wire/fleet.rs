//! A node of a fleet (`lease.scope: watch`): the parts of each of its watches, made when the node works for it or is next in line.
//!
//! What a loop takes of backends is shared by all of them where that is possible: one database of runs, [`JOURNALS`]
//! connections to the journal's server, one to that of the documents.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hb_core::ids::{Seq, StreamName, WatchName};
use hb_daemon::fleet::{FleetBounds, FleetOffice, FleetParts, Ledger, MemberParts};
use hb_daemon::poster::Desk;
use hb_daemon::{Bounds, Mode, Parts};
use hb_store::baselines::Baselines;
use hb_store::port::{Appended, Begun, Entry, Journal, JournalError, Lease};

use super::stores;
use super::views::{NodeViews, SharedDb};
use crate::cli::Failure;
use crate::config::Config;
use crate::config::checked::{LeaseBackend, LeaseScope, Place, WatchConfig};
use crate::exit::Exit;

/// Most watches of others for which a node holds a loop ready all the time, for moves that come without notice: four threads each. Those of a
/// node that is missed, or about to leave, are made ready then.
const WARM_MAX: usize = 8;

/// How long a feeder rests that has found nothing: this part of a cycle, …
const SOURCE_RESTS: u64 = 10;
/// … within these bounds.
const SOURCE_REST: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(1)];
/// Connections to the journal's server that all watches share.
const JOURNALS: usize = 8;

/// Journals on a server, shared by all watches of this node; in a folder each has a handle of its own, which costs nothing.
pub(super) struct Journals {
    config: Config,
    open: Vec<Shelf>,
    next: AtomicUsize,
}

type Shelf = Arc<Mutex<Box<dyn Journal>>>;

impl Journals {
    /// # Errors
    /// It cannot be opened.
    pub(super) fn open(config: &Config) -> Result<Arc<Self>, Failure> {
        let count = if config.journal == Place::Folder { 0 } else { JOURNALS };
        let open = (0..count).map(|_| stores::journal(config).map(|one| Arc::new(Mutex::new(one))));
        let open = open.collect::<Result<_, _>>()?;
        Ok(Arc::new(Self { config: config.clone(), open, next: AtomicUsize::new(0) }))
    }

    /// A handle for one watch.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(super) fn one(&self) -> Result<Box<dyn Journal>, Failure> {
        let place = self.next.fetch_add(1, Ordering::Relaxed).checked_rem(self.open.len());
        match place.and_then(|place| self.open.get(place)) {
            Some(shelf) => Ok(Box::new(Borrowed(Arc::clone(shelf)))),
            None => stores::journal(&self.config),
        }
    }
}

/// One of several that use the same handle, one after the other.
struct Borrowed(Shelf);

impl Borrowed {
    fn of(&self) -> MutexGuard<'_, Box<dyn Journal>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal for Borrowed {
    fn head(&mut self, stream: &StreamName) -> Result<Option<Seq>, JournalError> {
        self.of().head(stream)
    }

    fn append(&mut self, stream: &StreamName, seq: Seq, bytes: &[u8]) -> Appended {
        self.of().append(stream, seq, bytes)
    }

    fn read(&mut self, stream: &StreamName, from: Seq, most: usize) -> Result<Vec<(Seq, Vec<u8>)>, JournalError> {
        self.of().read(stream, from, most)
    }

    fn trim(&mut self, stream: &StreamName, floor: Seq) -> Result<u64, JournalError> {
        self.of().trim(stream, floor)
    }

    fn floor(&mut self, stream: &StreamName) -> Result<Seq, JournalError> {
        self.of().floor(stream)
    }

    fn begin(&mut self, stream: &StreamName, seen: Option<Seq>, first: &[Entry]) -> Result<Begun, JournalError> {
        self.of().begin(stream, seen, first)
    }
}

/// What all watches of a node share.
struct Common {
    db: Arc<SharedDb>,
    journals: Arc<Journals>,
    baselines: Mutex<Baselines>,
}

/// Whether nodes share the watches of this configuration out.
pub fn is_meant(config: &Config) -> bool {
    config.lease.scope == LeaseScope::Watch
}

/// What a command needs that works on fleets alone.
///
/// # Errors
/// Nodes do not share watches out here, or the register cannot be opened.
pub fn office(config: &Config) -> Result<FleetOffice, Failure> {
    if !is_meant(config) {
        let what = "one node works for all watches here: there is nothing to share out";
        return Err(Failure::new(Exit::Refused, what).help("`lease: {scope: watch}` lets nodes share the watches out"));
    }
    stores::register(config).map(FleetOffice::new)
}

/// What stands in the register of a fleet; none where nodes share nothing out.
///
/// # Errors
/// The register cannot be read.
pub fn ledger(config: &Config) -> Result<Option<Ledger>, Failure> {
    if !is_meant(config) {
        return Ok(None);
    }
    office(config)?.look().map(Some).map_err(|why| unusable(&why))
}

/// The register cannot be used, told.
pub fn unusable(why: &str) -> Failure {
    Failure::new(Exit::Unavailable, format!("the register of claims cannot be used: {why}"))
        .help("`hb doctor` says what is wrong with the place that the leases stand in")
}

/// Starts this node.
///
/// # Errors
/// Why it cannot.
pub(super) fn start(
    config: &Config,
    mode: Mode,
    board: Option<Arc<Desk>>,
) -> Result<hb_daemon::turn::Running, Failure> {
    if mode == Mode::Once {
        let what =
            "`--once` reads all watches to their end, and with `lease.scope: watch` this node may not have them all";
        return Err(Failure::new(Exit::Config, what).help("leave `lease.scope` out for it"));
    }
    if config.lease.backend == LeaseBackend::External {
        let what =
            "with `lease.backend: external` somebody else says which node works: it cannot be shared out by watch";
        return Err(Failure::new(Exit::Config, what).help("leave one of `lease.backend` and `lease.scope` out"));
    }
    let common = Common {
        db: SharedDb::of(config),
        journals: Journals::open(config)?,
        baselines: Mutex::new(stores::baselines(config)?),
    };
    let watches: BTreeMap<WatchName, WatchConfig> =
        config.watches.iter().map(|watch| (watch.settings.name.clone(), watch.clone())).collect();
    // What is wrong with any of them is told at the start, and not when it is its turn.
    for watch in watches.values() {
        super::watch_parts(watch, mode)?;
    }
    let names = watches.keys().cloned().collect();
    let bare = Config { watches: Vec::new(), supervise: None, ..config.clone() };
    let make = move |watch: &WatchName, lease: Box<dyn Lease>| -> Result<Parts, String> {
        let own = watches.get(watch).ok_or("no such watch is configured")?;
        let config = Config { watches: vec![own.clone()], ..bare.clone() };
        parts(&config, lease, &common).map_err(|failure| failure.what)
    };
    let bounds = FleetBounds {
        lease_ttl: config.lease.ttl,
        watches_max: u32::try_from(config.lease.watches_max).unwrap_or(u32::MAX),
        warm_max: WARM_MAX,
        priority: config.lease.priority,
    };
    let register = stores::register(config)?;
    let fleet = FleetParts { node: config.node.clone(), watches: names, make: Box::new(make), register, bounds };
    hb_daemon::fleet::run(MemberParts { fleet, board })
        .map_err(|error| Failure::new(Exit::Error, format!("a thread could not be started: {error}")))
}

fn parts(config: &Config, lease: Box<dyn Lease>, common: &Common) -> Result<Parts, Failure> {
    let watches =
        config.watches.iter().map(|watch| super::watch_parts(watch, Mode::Serve)).collect::<Result<_, _>>()?;
    let baselines = common.baselines.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let views = NodeViews::open(config, baselines.clone()).beside(Arc::clone(&common.db), Arc::clone(&common.journals));
    Ok(Parts {
        node: config.node.clone(),
        watches,
        journal: common.journals.one()?,
        lease,
        board: None,
        documents: Box::new(super::Kept(baselines)),
        views: Box::new(views),
        mode: Mode::Serve,
        bounds: Bounds { source_rest: source_rest(config), ..super::bounds(config) },
    })
}

/// Of hundreds of sources most have nothing new most of the time: looking at all of them more often would be most of what a node does.
fn source_rest(config: &Config) -> Duration {
    let [least, most] = SOURCE_REST;
    let cycles = config.watches.iter().filter_map(|watch| u64::try_from(watch.settings.interval_ns).ok());
    cycles.min().map_or(least, |cycle| Duration::from_nanos(cycle / SOURCE_RESTS).clamp(least, most))
}
