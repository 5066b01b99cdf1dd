//! A lease with a time to live, nodes whose clocks drift, and requests that arrive late: whether two nodes may ever act at once.
//!
//! This is the part that rests on time: the journal keeps two writers apart whatever the lease says (`protocol.rs`), but what cannot be
//! refused by a journal, a program that is started, is done under a permit. Who holds one is decided by hb's own
//! [`Lease::permit`], on the node's own clock.
//!
//! The rules are those of `hb_store::lease::register`: a holder acts until one TTL after it *began* the renewal that went through, less
//! a margin; whoever waits counts a whole TTL from the moment at which it first *saw* the newest renewal, on its own clock. Clocks here run
//! through every pause, are set by nobody, and drift by at most one tick against one another within a TTL of four. Wall clocks are set
//! at will: nothing may depend on them.
//!
//! Everything is kept relative to the moment (how long ago something was seen, how long a permit is yet good), and no longer than it
//! matters. So there are finitely many states, and all of time is searched.

use std::hash::{Hash, Hasher};

use hb_core::lease::{Lease, LeaseEvent};
use hb_core::time::Moment;

use super::search::Model;

/// How long a holder may show no progress, in ticks.
const TTL: u8 = 4;
/// How much sooner it stops acting by itself.
const MARGIN: u8 = 1;
/// Ticks between two drifts, of whichever clock: more than any stretch that two clocks measure against one another.
const DRIFT_EVERY: u8 = 6;
/// How far a wall clock is set ahead.
const LEAP: i8 = 3;
/// Wall clocks do not matter beyond so many ticks around the expiry that a lease carries.
const WALL_MAX: i8 = 8;

/// The rules as they are, and ways in which they could be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rules {
    /// As they are.
    Sound,
    /// The lease carries until when it holds, by the holder's wall clock; others compare it with theirs.
    WallClockTtl,
    /// The holder acts until its TTL is over to the tick.
    NoMargin,
    /// The holder counts from the answer to its renewal, not from when it asked.
    CountedFromAnswer,
    /// Whoever waits counts on when it sees that the holder showed progress.
    CountedOn,
}

/// A world of so many nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clocks {
    /// Sound, or how not.
    pub rules: Rules,
    /// Nodes.
    pub nodes: u8,
}

/// hb's own lease; until when it is good is counted from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place(Lease);

const NOW: Moment = Moment(0);

impl Hash for Place {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(&self.0).hash(state);
        left(self.0).hash(state);
    }
}

fn left(lease: Lease) -> Option<u64> {
    match lease {
        Lease::Opening { until } | Lease::Held { until } | Lease::Draining { until } | Lease::HandingOver { until } => {
            Some(until.0)
        }
        Lease::Standby | Lease::Fenced => None,
    }
}

fn later(lease: Lease, ticks: u8) -> Lease {
    let later = |until: Moment| Moment(until.0.saturating_sub(ticks.into()));
    match lease {
        Lease::Opening { until } => Lease::Opening { until: later(until) },
        Lease::Held { until } => Lease::Held { until: later(until) },
        Lease::Draining { until } => Lease::Draining { until: later(until) },
        Lease::HandingOver { until } => Lease::HandingOver { until: later(until) },
        Lease::Standby => Lease::Standby,
        Lease::Fenced => Lease::Fenced,
    }
}

/// Whether a version is the one that stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Version {
    Stands,
    Old,
}

/// A swap of the lease's cell that was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Swap {
    /// How long ago, on the node's clock.
    age: u8,
    expects: Version,
    /// By the node's wall clock, where that matters, as the lease's expiry is kept.
    expiry: i8,
    /// Once it arrived: the version it made, or none where it was refused.
    arrived: Option<Option<Version>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Wall {
    AsItWas,
    SetAhead,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Node {
    place: Place,
    /// The version seen last, and how long ago it was first seen.
    seen: (Version, u8),
    /// The version that is its own.
    own: Option<Version>,
    swap: Option<Swap>,
    wall: Wall,
    /// Until the lease's expiry by this node's wall clock, where that matters.
    wall_left: i8,
}

/// Everything at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    taken: bool,
    /// Ticks since a clock drifted.
    steady: u8,
    nodes: Vec<Node>,
}

/// Takes a step of a node, in words and as a change of it.
type Offer<'a> = dyn FnMut(&str, &dyn Fn(&mut Node)) + 'a;

impl Clocks {
    fn walls(&self) -> bool {
        self.rules == Rules::WallClockTtl
    }

    fn free(&self, world: &World, node: &Node) -> bool {
        !world.taken || if self.walls() { node.wall_left <= 0 } else { node.seen.1 >= TTL }
    }

    fn good_for(&self, swap: Swap) -> Moment {
        let (age, margin) = match self.rules {
            Rules::CountedFromAnswer => (0, MARGIN),
            Rules::NoMargin => (swap.age, 0),
            Rules::Sound | Rules::WallClockTtl | Rules::CountedOn => (swap.age, MARGIN),
        };
        Moment(u64::from((TTL - margin).saturating_sub(age)))
    }

    fn pass(&self, node: &mut Node, ticks: u8) {
        let wall = i8::try_from(ticks).unwrap_or(i8::MAX);
        node.place = Place(later(node.place.0, ticks));
        node.seen.1 = (node.seen.1 + ticks).min(TTL);
        if self.walls() {
            node.wall_left = (node.wall_left - wall).max(-WALL_MAX);
        }
        if let Some(swap) = &mut node.swap {
            swap.age = (swap.age + ticks).min(TTL);
            if self.walls() {
                swap.expiry = (swap.expiry - wall).max(-WALL_MAX);
            }
        }
    }

    /// Time passes; at most one clock goes wrong by a tick.
    fn ticks(&self, world: &World, out: &mut Vec<(String, World)>) {
        let mut even = world.clone();
        even.nodes.iter_mut().for_each(|node| self.pass(node, 1));
        even.steady = (even.steady + 1).min(DRIFT_EVERY);
        let steady = world.steady >= DRIFT_EVERY;
        for at in (0..world.nodes.len()).filter(|_| steady) {
            for (by, how) in [(0, "stands still"), (2, "runs ahead")] {
                let next = self.drifting(world, (at, by));
                out.push((format!("a tick passes; {}'s clock {how}", letter(at)), next));
            }
        }
        out.push(("a tick passes".to_owned(), even));
    }

    /// A tick by which one clock goes on by so many.
    fn drifting(&self, world: &World, (at, by): (usize, u8)) -> World {
        let mut next = World { steady: 0, ..world.clone() };
        for (other, node) in next.nodes.iter_mut().enumerate() {
            let ticks = if other == at { by } else { 1 };
            self.pass(node, ticks);
        }
        next
    }

    fn of_node(&self, world: &World, at: usize, node: &Node, out: &mut Vec<(String, World)>) {
        let mut step = |what: &str, change: &dyn Fn(&mut World)| {
            let mut next = world.clone();
            change(&mut next);
            if next != *world {
                out.push((format!("{}{what}", letter(at)), next));
            }
        };
        let of = |world: &mut World, change: &dyn Fn(&mut Node)| world.nodes.get_mut(at).into_iter().for_each(change);
        if self.walls() && node.wall == Wall::AsItWas {
            step(" has its wall clock set ahead", &|world| {
                of(world, &|node| (node.wall, node.wall_left) = (Wall::SetAhead, node.wall_left - LEAP));
            });
        }
        match node.swap {
            Some(swap) => match swap.arrived {
                None => {
                    step("'s swap arrives", &|world| self.arrive(world, at, swap));
                    step(" hears nothing of its swap", &|world| of(world, &|node| node.swap = None));
                }
                Some(made) => step(" hears of its swap", &|world| of(world, &|node| self.answered(node, swap, made))),
            },
            None => self.of_idle(world, node, &mut |what, change| step(what, &|world| of(world, change))),
        }
    }

    fn of_idle(&self, world: &World, node: &Node, step: &mut Offer<'_>) {
        let begin = |node: &mut Node, expects: Version| {
            // The wall clock's own place against the lease that stands says what the next one will carry.
            let expiry = if self.walls() { TTL.cast_signed() } else { 0 };
            node.swap = Some(Swap { age: 0, expects, expiry, arrived: None });
        };
        if node.place.0 == Lease::Standby {
            if node.seen.0 == Version::Old {
                let counts_on = self.rules == Rules::CountedOn;
                step(" looks", &|node| node.seen = (Version::Stands, if counts_on { node.seen.1 } else { 0 }));
            } else if self.free(world, node) {
                step(" claims the lease", &|node| begin(node, Version::Stands));
            }
            return;
        }
        if let Some(own) = node.own {
            step(" renews", &|node| begin(node, own));
        }
        if left(node.place.0) == Some(0) {
            step(" stands by: its time is over", &|node| {
                node.place = Place(node.place.0.on(LeaseEvent::Lapsed).unwrap_or(Lease::Fenced));
                (node.own, node.seen) = (None, (Version::Old, 0));
            });
        }
    }

    /// A swap reaches the register.
    fn arrive(&self, world: &mut World, at: usize, swap: Swap) {
        let made = (swap.expects == Version::Stands).then_some(Version::Stands);
        if made.is_some() {
            world.taken = true;
            let leaps = |wall: Wall| if wall == Wall::SetAhead { LEAP } else { 0 };
            let own = world.nodes.get(at).map_or(0, |node| leaps(node.wall));
            for node in &mut world.nodes {
                node.seen.0 = Version::Old;
                node.own = node.own.map(|_| Version::Old);
                if self.walls() {
                    // What it carries is by its holder's wall clock; others read it by theirs.
                    node.wall_left = swap.expiry + own - leaps(node.wall);
                }
                if let Some(other) = &mut node.swap {
                    other.expects = Version::Old;
                    other.arrived = other.arrived.map(|made| made.map(|_| Version::Old));
                }
            }
        }
        if let Some(node) = world.nodes.get_mut(at) {
            node.swap = Some(Swap { expects: Version::Old, arrived: Some(made), ..swap });
        }
    }

    fn answered(&self, node: &mut Node, swap: Swap, made: Option<Version>) {
        node.swap = None;
        let Some(version) = made else {
            // Somebody else has it.
            node.place = Place(Lease::Standby);
            (node.own, node.seen) = (None, (Version::Old, 0));
            return;
        };
        node.own = Some(version);
        let until = self.good_for(swap);
        let event = match node.place.0 {
            Lease::Standby => LeaseEvent::Granted { until },
            Lease::Opening { .. }
            | Lease::Held { .. }
            | Lease::Draining { .. }
            | Lease::HandingOver { .. }
            | Lease::Fenced => LeaseEvent::Renewed { until },
        };
        node.place = Place(node.place.0.on(event).unwrap_or(Lease::Fenced));
        node.seen = (Version::Old, 0);
    }
}

fn letter(at: usize) -> char {
    char::from(b'A'.saturating_add(u8::try_from(at).unwrap_or(0)))
}

impl Model for Clocks {
    type State = World;

    fn begin(&self) -> World {
        let (place, seen) = (Place(Lease::Standby), (Version::Stands, 0));
        let node = Node { place, seen, own: None, swap: None, wall: Wall::AsItWas, wall_left: 0 };
        World { taken: false, steady: DRIFT_EVERY, nodes: (0..self.nodes).map(|_| node.clone()).collect() }
    }

    fn steps(&self, world: &World, out: &mut Vec<(String, World)>) {
        for (at, node) in world.nodes.iter().enumerate() {
            self.of_node(world, at, node, out);
        }
        self.ticks(world, out);
    }

    fn check(&self, world: &World) -> Result<(), String> {
        let acting = world.nodes.iter().filter(|node| node.place.0.permit(NOW).is_some()).count();
        if acting > 1 {
            return Err(format!("H2: {acting} nodes have a permit at once"));
        }
        Ok(())
    }
}
