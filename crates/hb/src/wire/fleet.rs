//! A node of a fleet (`lease.scope: watch`): the parts of each of its watches, made when the node works for it or is next in line.
//!
//! What a loop takes of backends is shared by all of them where that is possible: one database of runs, one connection to a server of each
//! kind of use (`hb_engines`), one file of each watch's own views.

use std::collections::BTreeMap;
use std::sync::Arc;

use hb_core::ids::WatchName;
use hb_daemon::fleet::{FleetBounds, FleetOffice, FleetParts, Ledger, MemberParts};
use hb_daemon::poster::Desk;
use hb_daemon::{Mode, Parts};
use hb_store::port::Lease;

use super::stores;
use super::views::{NodeViews, SharedDb};
use crate::cli::Failure;
use crate::config::Config;
use crate::config::checked::{LeaseBackend, LeaseScope, WatchConfig};
use crate::exit::Exit;

/// Most watches of others for which a node holds a loop ready, warm: four threads each. Others are started when they become its own.
const WARM_MAX: usize = 64;

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
    let db = SharedDb::of(config);
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
        parts(&config, lease, &db).map_err(|failure| failure.what)
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

fn parts(config: &Config, lease: Box<dyn Lease>, db: &Arc<SharedDb>) -> Result<Parts, Failure> {
    let watches =
        config.watches.iter().map(|watch| super::watch_parts(watch, Mode::Serve)).collect::<Result<_, _>>()?;
    let baselines = stores::baselines(config)?;
    Ok(Parts {
        node: config.node.clone(),
        watches,
        journal: stores::journal(config)?,
        lease,
        board: None,
        documents: Box::new(super::Kept(baselines.clone())),
        views: Box::new(NodeViews::open_on(config, baselines, Arc::clone(db))),
        mode: Mode::Serve,
        bounds: super::bounds(config),
    })
}
