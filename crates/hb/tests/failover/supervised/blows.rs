//! What goes wrong with a pair of supervisors, and with what they supervise.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rusqlite::Connection;

use super::site::signal;
use super::twins::Twins;
use crate::room::{Room, Small};
use crate::support::random::Random;

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Blow {
    /// `kill -9` of the active node.
    Kill,
    /// `kill -9` of both.
    KillAll,
    /// `kill -9` of the active node at a random moment after an agent has died: amid what that leads to.
    KillAmid,
    KillStandby,
    /// SIGSTOP of the active node until the other has taken over, and a while longer.
    Stop,
    /// SIGSTOP of the active node for a moment.
    Nap,
    /// An agent is killed.
    KillAgent,
    /// All nodes are killed, and agents die while nobody looks.
    DieUnseen,
    /// The database has no room, and an agent dies meanwhile.
    Fill,
    /// Somebody else holds the database for a while.
    Lock,
    /// The wall clock of a node jumps.
    JumpClock,
    /// The configuration changes.
    Reload,
}

use Blow::*;

const ALL: [Blow; 12] =
    [Kill, KillAll, KillAmid, KillStandby, Stop, Nap, KillAgent, DieUnseen, Fill, Lock, JumpClock, Reload];

impl Blow {
    pub(crate) fn drawn(random: &mut Random, room: Room) -> Self {
        let drawn = ALL[random.between(0, ALL.len() as u64) as usize];
        if drawn == Fill && room == Room::Ample { Kill } else { drawn }
    }

    /// Lets it fall; gives how long a takeover took where that is what it asks for.
    pub(crate) fn fall(self, twins: &mut Twins, random: &mut Random) -> Option<Duration> {
        twins.tend();
        let (active, epoch) = twins.active().unwrap_or((0, hb_core::ids::Epoch(0)));
        let while_ = Duration::from_millis(random.between(20, 1_800));
        twins.timeline.note(format!("{self:?}, for {while_:?} where it lasts; {} works", twins.nodes[active].name));
        let began = Instant::now();
        match self {
            Kill => {
                twins.nodes[active].kill();
                return twins.taken_over(active, epoch, began);
            }
            KillAmid => {
                hurt(twins, random);
                std::thread::sleep(Duration::from_millis(random.between(0, 200)));
                twins.nodes[active].kill();
                return twins.taken_over(active, epoch, began);
            }
            KillAll => twins.nodes.iter_mut().for_each(|node| node.kill()),
            DieUnseen => {
                twins.nodes.iter_mut().for_each(|node| node.kill());
                (0..random.between(1, 4)).for_each(|_| hurt(twins, random));
            }
            KillStandby => twins.nodes[1 - active].kill(),
            Stop => return stop(twins, active, epoch, while_, random),
            Nap => {
                pause(twins, active, Signal::SIGSTOP);
                std::thread::sleep(while_ / 2);
                pause(twins, active, Signal::SIGCONT);
            }
            KillAgent => hurt(twins, random),
            Fill => fill(twins, random, while_),
            Lock => lock(twins, while_ / 2),
            JumpClock => {
                const TO: [i64; 7] = [0, 60, -60, 600, -600, 3_600, -3_600];
                let (place, to) = (random.between(0, 2) as usize, TO[random.between(0, 7) as usize]);
                twins.timeline.note(format!("the wall clock of {} is {to} s ahead now", twins.nodes[place].name));
                twins.walls[place].iter_mut().for_each(|wall| wall.set(to));
            }
            Reload => twins.reload(),
        }
        None
    }
}

/// Kills an agent that lives.
fn hurt(twins: &mut Twins, random: &mut Random) {
    let agents = twins.site.agents();
    let up: Vec<_> = agents.iter().filter(|agent| agent.lifecycle.is_up()).collect();
    let Some(agent) = up.get(random.between(0, up.len().max(1) as u64) as usize) else { return };
    let Some(identity) = agent.process.identity() else { return };
    twins.timeline.note(format!("kill -9 {}, process {}", agent.id(), identity.pid));
    signal(identity, Signal::SIGKILL);
}

/// Takes all room from the database for a while; meanwhile an agent dies, and somebody asks for a change, who has to wait for the answer.
fn fill(twins: &mut Twins, random: &mut Random, while_: Duration) {
    if !twins.small.as_ref().is_some_and(Small::fill) {
        return;
    }
    hurt(twins, random);
    let address = twins.active().and_then(|(active, _)| twins.address(active));
    let (wishes, site, small) = (&mut twins.wishes, &twins.site, &twins.small);
    std::thread::scope(|scope| {
        scope.spawn(|| address.map(|address| wishes.ask(site, address, random)));
        std::thread::sleep(while_);
        small.iter().for_each(Small::empty);
    });
}

fn pause(twins: &mut Twins, place: usize, how: Signal) {
    if twins.nodes[place].has_ended().is_none() {
        twins.nodes[place].signal(how);
    }
}

/// Stops the active node until the other one has taken over. An agent may die meanwhile, which the one that wakes may not act on.
fn stop(
    twins: &mut Twins,
    active: usize,
    epoch: hb_core::ids::Epoch,
    longer: Duration,
    random: &mut Random,
) -> Option<Duration> {
    let since = Instant::now();
    pause(twins, active, Signal::SIGSTOP);
    if random.one_in(2) {
        hurt(twins, random);
    }
    // One that was stopped amid a transaction holds the kernel's locks, and nobody can take over until it goes on: see SEMANTICS.md.
    let took = twins.taken_over(active, epoch, since);
    if took.is_some() {
        std::thread::sleep(longer / 2);
    }
    pause(twins, active, Signal::SIGCONT);
    took
}

/// Holds the database as somebody else's program might.
fn lock(twins: &Twins, while_: Duration) {
    let Ok(other) = Connection::open(twins.site.db()) else { return };
    // Where somebody else holds it at this moment, it is held by them.
    drop(other.busy_timeout(Duration::from_millis(500)));
    if other.execute_batch("BEGIN IMMEDIATE").is_ok() {
        std::thread::sleep(while_);
        // Nothing was written.
        drop(other.execute_batch("ROLLBACK"));
    }
}
