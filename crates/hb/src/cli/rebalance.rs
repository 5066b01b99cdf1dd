//! `hb rebalance`: nodes that share watches out spread them evenly.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use hb_core::ids::NodeName;
use hb_daemon::fleet::{Ask, FleetOffice, Ledger};
use serde::Serialize;

use super::baseline::Who;
use super::{ConfigArgs, Failure, Out};
use crate::exit::Exit;
use crate::wire::fleet;

/// How often it is looked whether it is done.
pub(super) const LOOK: Duration = Duration::from_millis(200);

/// `hb rebalance`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    who: Who,
    /// How long to wait until the watches are spread, in seconds; 0 only asks for it.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait: u64,
    /// What became of it as one JSON object.
    #[arg(long)]
    json: bool,
}

/// What became of it.
#[derive(Debug, Serialize)]
struct Done {
    done: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    waited_ms: Option<u64>,
    /// Watches that each node works for.
    nodes: BTreeMap<NodeName, usize>,
}

/// How many watches each node works for.
pub(super) fn loads(ledger: &Ledger) -> BTreeMap<NodeName, usize> {
    let mut loads: BTreeMap<NodeName, usize> = ledger.members.iter().map(|member| (member.node.clone(), 0)).collect();
    for holder in ledger.holders.values() {
        let load = loads.entry(holder.clone()).or_insert(0);
        *load = load.saturating_add(1);
    }
    loads
}

/// Watches `office` until `over` says that it is, at most so long; gives what stood there last.
pub(super) fn follow(
    office: &mut FleetOffice,
    patience: Duration,
    over: impl Fn(&Ledger) -> bool,
) -> Result<Ledger, Failure> {
    let begun = Instant::now();
    loop {
        let ledger = office.look().map_err(|why| fleet::unusable(&why))?;
        if over(&ledger) {
            return Ok(ledger);
        }
        if begun.elapsed() >= patience {
            let nodes: BTreeSet<String> = ledger.members.iter().map(|member| member.node.to_string()).collect();
            let nodes = nodes.into_iter().collect::<Vec<_>>().join(", ");
            let what = format!("it is not done within {} s; nodes: {nodes}", patience.as_secs());
            return Err(
                Failure::new(Exit::Unavailable, what).help("it stays asked for; `hb status` shows how it goes on")
            );
        }
        thread::sleep(LOOK);
    }
}

/// Asks for it, and waits until it is done.
///
/// # Errors
/// Nodes share nothing out here, or none runs; the register cannot be used; it is not done in time.
pub fn run(args: &Args, out: &mut Out) -> Result<Exit, Failure> {
    let config = args.config.load()?.config;
    let mut office = fleet::office(&config)?;
    let ledger = office.look().map_err(|why| fleet::unusable(&why))?;
    if ledger.members.is_empty() {
        return Err(Failure::new(Exit::Unavailable, "no node runs, so there is nothing to spread"));
    }
    let ask = Ask::Rebalance { by: args.who.name(), reason: args.who.reason().to_owned() };
    office.ask(ask).map_err(|why| fleet::unusable(&why))?;
    let begun = Instant::now();
    let done = match args.wait {
        0 => Done { done: false, waited_ms: None, nodes: loads(&ledger) },
        seconds => {
            let ledger = follow(&mut office, Duration::from_secs(seconds), |ledger| ledger.rebalance.is_none())?;
            let waited_ms = u64::try_from(begun.elapsed().as_millis()).ok();
            Done { done: true, waited_ms, nodes: loads(&ledger) }
        }
    };
    if args.json {
        out.json(&done)?;
        return Ok(Exit::Ok);
    }
    let told: Vec<String> = done.nodes.iter().map(|(node, count)| format!("{node} {count}")).collect();
    let told = told.join(", ");
    match done.waited_ms {
        Some(ms) => out.line(format_args!("the watches are spread evenly: {told} ({ms} ms)"))?,
        None => out.line(format_args!("the nodes were asked to spread the watches evenly: {told}"))?,
    }
    Ok(Exit::Ok)
}
