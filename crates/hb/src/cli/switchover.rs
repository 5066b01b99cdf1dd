//! `hb switchover`: the active node hands over, by plan.

use std::thread;
use std::time::{Duration, Instant};

use hb_core::ids::NodeName;
use hb_daemon::clock;
use hb_daemon::fleet::Ask;
use hb_store::board::Roster;
use hb_store::port::{Holder, Lease, LeaseError, Order, Switchover, SwitchoverEnd};
use serde::Serialize;

use super::baseline::Who;
use super::{ConfigArgs, Failure, Out, rebalance};
use crate::config::Config;
use crate::exit::Exit;
use crate::nodes;
use crate::wire::{fleet, stores};

/// How often it is looked whether it is done.
const LOOK: Duration = Duration::from_millis(100);

/// `hb switchover`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Which node is to hand over: all its watches move. Needed where nodes share watches out (`lease.scope: watch`).
    #[arg(long, value_name = "NODE")]
    from: Option<String>,
    /// Which node is to take over; whichever stands first in line where not given.
    #[arg(long, value_name = "NODE")]
    to: Option<String>,
    #[command(flatten)]
    who: Who,
    /// How long to wait until another node works, in seconds; 0 only asks for it.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    wait: u64,
    /// What became of it as one JSON object.
    #[arg(long)]
    json: bool,
}

/// What became of it.
#[derive(Debug, Serialize)]
struct Done {
    id: String,
    from: NodeName,
    to: Option<NodeName>,
    done: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    waited_ms: Option<u64>,
}

impl From<LeaseError> for Failure {
    fn from(error: LeaseError) -> Self {
        Self::new(Exit::Unavailable, format!("the lease cannot be asked: {error}"))
    }
}

/// Asks for it, and waits until it is done.
///
/// # Errors
/// Nobody is active; the lease cannot be asked; it was given up, or is not done in time.
pub fn run(args: &Args, out: &mut Out) -> Result<Exit, Failure> {
    let config = args.config.load()?.config;
    if fleet::is_meant(&config) {
        return of_fleet(args, &config, out);
    }
    let mut lease = stores::lease(&config)?;
    let holder = holder(&mut *lease)?;
    if let Some(from) = args.from.as_ref().filter(|from| **from != *holder.node.as_str()) {
        let what = format!("{from} is not active, {} is", holder.node);
        return Err(Failure::new(Exit::Refused, what).help("leave --from out, or name the active node"));
    }
    let to = args.to.as_deref().map(NodeName::from);
    if to.as_ref() == Some(&holder.node) {
        return Err(Failure::new(Exit::Refused, format!("{} is active already", holder.node)));
    }
    if let Some(to) = &to {
        is_there(to, &nodes::look(&config)?)?;
    }
    let asked = Switchover {
        id: format!("{}-{}", holder.epoch, clock::wall().0),
        from: holder.node,
        to,
        by: args.who.name(),
        reason: args.who.reason().to_owned(),
        at: clock::wall(),
    };
    lease.order(Order::Switchover(asked.clone()))?;
    if args.wait == 0 {
        return tell(&Done { id: asked.id, from: asked.from, to: asked.to, done: false, waited_ms: None }, args, out);
    }
    let begun = Instant::now();
    let now_active = follow(&mut *lease, &asked, Duration::from_secs(args.wait))?;
    let waited_ms = u64::try_from(begun.elapsed().as_millis()).ok();
    tell(&Done { id: asked.id, from: asked.from, to: Some(now_active), done: true, waited_ms }, args, out)
}

/// All watches of a node move.
fn of_fleet(args: &Args, config: &Config, out: &mut Out) -> Result<Exit, Failure> {
    let mut office = fleet::office(config)?;
    let ledger = office.look().map_err(|why| fleet::unusable(&why))?;
    let refused =
        |what: String| Failure::new(Exit::Refused, what).help("`hb status` shows the nodes and their watches");
    let Some(from) = args.from.as_deref().map(NodeName::from) else {
        return Err(refused("nodes share the watches out: --from says whose watches are to move".into()));
    };
    let known = |node: &NodeName| ledger.members.iter().find(|member| member.node == *node);
    if known(&from).is_none() {
        return Err(refused(format!("no node is called {from}")));
    }
    let to = args.to.as_deref().map(NodeName::from);
    match to.as_ref().map(|to| (to, known(to))) {
        Some((to, None)) => return Err(refused(format!("no node is called {to}"))),
        Some((to, Some(member))) if member.priority == 0 => {
            return Err(refused(format!("{to} never takes over (its priority is 0)")));
        }
        Some((to, _)) if *to == from => return Err(refused(format!("{to} has them already"))),
        _ => {}
    }
    if !ledger.members.iter().any(|member| member.node != from && member.priority > 0) {
        return Err(refused("no other node could take its watches".into()));
    }
    let at = clock::wall();
    let (by, reason) = (args.who.name(), args.who.reason().to_owned());
    let asked = Switchover { id: format!("{from}-{}", at.0), from, to, by, reason, at };
    office.ask(Ask::Leave(asked.clone())).map_err(|why| fleet::unusable(&why))?;
    let begun = Instant::now();
    let done = if args.wait == 0 {
        Done { id: asked.id, from: asked.from, to: asked.to, done: false, waited_ms: None }
    } else {
        rebalance::follow(&mut office, Duration::from_secs(args.wait), |ledger| {
            ledger.orders.switchover.as_ref().is_none_or(|open| open.id != asked.id)
        })?;
        let waited_ms = u64::try_from(begun.elapsed().as_millis()).ok();
        Done { id: asked.id, from: asked.from, to: asked.to, done: true, waited_ms }
    };
    if args.json {
        out.json(&done)?;
        return Ok(Exit::Ok);
    }
    match (&done.to, done.waited_ms) {
        (Some(to), Some(ms)) => {
            out.line(format_args!("the watches of {} have moved, to {to} as far as it had room ({ms} ms)", done.from))?;
        }
        (None, Some(ms)) => out.line(format_args!("the watches of {} have moved ({ms} ms)", done.from))?,
        _ => out.line(format_args!("{} was asked to hand its watches over", done.from))?,
    }
    Ok(Exit::Ok)
}

fn holder(lease: &mut dyn Lease) -> Result<Holder, Failure> {
    lease.holder()?.ok_or_else(|| {
        Failure::new(Exit::Unavailable, "no node is active, so none can hand over")
            .help("`hb status` shows who stands by")
    })
}

/// A name that nobody has is told at once: the nodes would wait for it.
fn is_there(to: &NodeName, roster: &Roster) -> Result<(), Failure> {
    let names: Vec<&str> = roster.nodes.iter().map(|entry| entry.card.node.as_str()).collect();
    if names.contains(&to.as_str()) {
        return Ok(());
    }
    let what = format!("there is no node {to}; there are {}", names.join(", "));
    Err(Failure::new(Exit::Refused, what).help("nothing was asked for; `hb status` shows who stands by"))
}

/// Waits until a node says how it ended.
fn follow(lease: &mut dyn Lease, asked: &Switchover, patience: Duration) -> Result<NodeName, Failure> {
    let begun = Instant::now();
    while begun.elapsed() < patience {
        thread::sleep(LOOK);
        // Looks at the lease anew; what is asked stands beside it.
        let holder = lease.holder()?;
        let Some(settled) = lease.orders()?.settled.filter(|settled| settled.id == asked.id) else { continue };
        match settled.end {
            SwitchoverEnd::Done => return Ok(holder.map_or(settled.by, |holder| holder.node)),
            SwitchoverEnd::GivenUp => {
                let what = format!("the switchover was given up: {}", settled.what);
                return Err(Failure::new(Exit::Refused, what).help("`hb status` shows who could take over"));
            }
        }
    }
    let what = format!("no node has said within {} s how it ended", patience.as_secs());
    Err(Failure::new(Exit::Unavailable, what).help("it stays asked for; `hb status` shows how it goes on"))
}

fn tell(done: &Done, args: &Args, out: &mut Out) -> Result<Exit, Failure> {
    if args.json {
        out.json(done)?;
        return Ok(Exit::Ok);
    }
    match (&done.to, done.waited_ms) {
        (Some(to), Some(ms)) => out.line(format_args!("{to} is active, {} has handed over ({ms} ms)", done.from))?,
        _ => out.line(format_args!("{} was asked to hand over", done.from))?,
    }
    Ok(Exit::Ok)
}
