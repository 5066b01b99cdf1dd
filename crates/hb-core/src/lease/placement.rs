//! Who works for which watch, where each watch has a lease of its own.
//!
//! A pure function of what one node sees: the living nodes with their limits, the watches, and the claims that are good. Nodes that see
//! the same come to the same answer, each for itself; nodes that see different things may reach for the same watch, and then its claim
//! is taken by compare-and-set, and its journal by epoch (H1). So nothing here has to be agreed on.
//!
//! **Stable.** A watch stays where it is for as long as its node lives and has room for it: only orphans move, and what is above a limit.
//! Spreading evenly is for an operator to ask ([`Mood::Spread`]); it moves no more than it has to, and at most so many at a time.
//!
//! Orphans are placed by rendezvous hashing with bounded loads: each watch ranks all nodes by a hash of both names, and goes to the first
//! that has room for its even share (Thaler and Ravishankar 1996; Mirrokni, Thorup and Zadimoghaddam 2016). A larger priority goes first.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{NodeName, WatchName};
use crate::journal::Hash;

/// A living node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// Its name.
    pub node: NodeName,
    /// Most watches that it works for.
    pub watches_max: u32,
    /// The largest goes first; 0 works for none.
    pub priority: u8,
}

/// What is wanted besides that every watch is worked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// That nothing moves that need not.
    Keep,
    /// That the watches are spread evenly. A node gives up at most so many at a time.
    Spread {
        /// How many.
        moves_max: usize,
    },
}

/// What a node sees.
#[derive(Debug)]
pub struct Scene<'a> {
    /// The living nodes, the asking one among them.
    pub seats: &'a [Seat],
    /// All watches.
    pub watches: &'a BTreeSet<WatchName>,
    /// Who works for which watch, as far as that node lives.
    pub claims: &'a BTreeMap<WatchName, NodeName>,
    /// What is wanted.
    pub mood: Mood,
}

/// What a node should do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Orphans to claim.
    pub claim: Vec<WatchName>,
    /// Watches to hand over, and to whom.
    pub give_up: Vec<(WatchName, NodeName)>,
    /// Watches of others for which this node is next in line.
    pub next: BTreeSet<WatchName>,
    /// Orphans for which no node has room.
    pub unplaced: usize,
}

/// What `me` should do, by what it sees.
#[must_use]
pub fn plan(me: &NodeName, scene: &Scene<'_>) -> Plan {
    let mut board = Board::new(scene);
    let mut plan = Plan::default();
    let orphans: Vec<&WatchName> = scene.watches.iter().filter(|watch| !board.held.contains_key(*watch)).collect();
    for watch in orphans {
        match board.place(watch, None) {
            Some(node) if node == me => plan.claim.push(watch.clone()),
            Some(_) => {}
            None => plan.unplaced = plan.unplaced.saturating_add(1),
        }
    }
    let limit = scene.seats.iter().find(|seat| seat.node == *me);
    let limit = limit.map_or(0, |seat| if seat.priority == 0 { 0 } else { seat.watches_max });
    board.relieve(me, limit, &mut plan.give_up);
    if let Mood::Spread { moves_max } = scene.mood {
        board.spread(me, moves_max, &mut plan.give_up);
    }
    let leaving: BTreeSet<&WatchName> = plan.give_up.iter().map(|(watch, _)| watch).collect();
    for (watch, holder) in &board.held {
        if *holder != me && !leaving.contains(*watch) && board.first(watch, holder) == Some(me) {
            plan.next.insert((*watch).clone());
        }
    }
    plan
}

/// Loads while watches are being placed.
struct Board<'a> {
    /// Nodes that work at all, in the order of their names.
    seats: Vec<&'a Seat>,
    loads: BTreeMap<&'a NodeName, u32>,
    held: BTreeMap<&'a WatchName, &'a NodeName>,
    /// Of the nodes of each priority: how many watches each is to have.
    share: BTreeMap<u8, u32>,
}

impl<'a> Board<'a> {
    fn new(scene: &'a Scene<'_>) -> Self {
        let mut seats: Vec<&Seat> =
            scene.seats.iter().filter(|seat| seat.priority > 0 && seat.watches_max > 0).collect();
        seats.sort_by(|a, b| a.node.cmp(&b.node));
        seats.dedup_by(|a, b| a.node == b.node);
        let mut loads: BTreeMap<&NodeName, u32> = seats.iter().map(|seat| (&seat.node, 0)).collect();
        let mut held = BTreeMap::new();
        for (watch, node) in scene.claims {
            // One that is to work for none any more still works, until it has handed over.
            let lives = scene.seats.iter().any(|seat| seat.node == *node);
            if let Some(watch) = scene.watches.get(watch).filter(|_| lives) {
                held.insert(watch, node);
            }
            if let Some(load) = loads.get_mut(node).filter(|_| lives) {
                *load = load.saturating_add(1);
            }
        }
        let share = shares(&seats, u32::try_from(scene.watches.len()).unwrap_or(u32::MAX));
        Self { seats, loads, held, share }
    }

    fn load(&self, node: &NodeName) -> u32 {
        self.loads.get(node).copied().unwrap_or(0)
    }

    /// How many a node is to have, of those that are to be spread.
    fn share_of(&self, seat: &Seat) -> u32 {
        self.share.get(&seat.priority).copied().unwrap_or(0).min(seat.watches_max)
    }

    /// The nodes as this watch ranks them.
    fn ranked(&self, watch: &WatchName) -> Vec<&'a Seat> {
        let mut ranked: Vec<(&Seat, Hash)> = self.seats.iter().map(|seat| (*seat, score(watch, &seat.node))).collect();
        ranked.sort_by_key(|(seat, score)| (Reverse(seat.priority), Reverse(*score)));
        ranked.into_iter().map(|(seat, _)| seat).collect()
    }

    /// Puts a watch down somewhere else than at `without`, and gives where: within the even shares if that can be, else within limits.
    fn place(&mut self, watch: &WatchName, without: Option<&NodeName>) -> Option<&'a NodeName> {
        let ranked = self.ranked(watch);
        let fits = |bound: &dyn Fn(&Seat) -> u32| {
            let mut others = ranked.iter().filter(|seat| Some(&seat.node) != without);
            others.find(|seat| self.load(&seat.node) < bound(seat)).copied()
        };
        let seat = fits(&|seat| self.share_of(seat)).or_else(|| fits(&|seat| seat.watches_max))?;
        if let Some(load) = self.loads.get_mut(&seat.node) {
            *load = load.saturating_add(1);
        }
        Some(&seat.node)
    }

    /// Who is first in line for a watch of that holder.
    fn first(&self, watch: &WatchName, holder: &NodeName) -> Option<&'a NodeName> {
        let others = self.seats.iter().filter(|seat| seat.node != *holder);
        others.max_by_key(|seat| (seat.priority, score(watch, &seat.node))).map(|seat| &seat.node)
    }

    /// My watches, those first that would rather be elsewhere.
    fn mine(&self, me: &NodeName) -> Vec<&'a WatchName> {
        let mut mine: Vec<&WatchName> =
            self.held.iter().filter(|(_, node)| **node == me).map(|(watch, _)| *watch).collect();
        mine.sort_by_key(|watch| (score(watch, me), *watch));
        mine
    }

    /// What is above my limit goes to whoever has room.
    fn relieve(&mut self, me: &NodeName, limit: u32, give_up: &mut Vec<(WatchName, NodeName)>) {
        let held = u32::try_from(self.mine(me).len()).unwrap_or(u32::MAX);
        let excess = held.saturating_sub(limit);
        for watch in self.mine(me).into_iter().take(usize::try_from(excess).unwrap_or(usize::MAX)) {
            if let Some(to) = self.place(watch, Some(me)) {
                self.moved(watch, me, to, give_up);
            }
        }
    }

    /// What is above my even share goes to whoever is below its own. All who give at the same time divide the room among themselves, so
    /// that none is given more than its share.
    fn spread(&mut self, me: &NodeName, moves_max: usize, give_up: &mut Vec<(WatchName, NodeName)>) {
        let Some(seat) = self.seats.iter().find(|seat| seat.node == *me).copied() else { return };
        let givers: Vec<&NodeName> = self
            .seats
            .iter()
            .filter(|seat| self.load(&seat.node) > self.share_of(seat))
            .map(|seat| &seat.node)
            .collect();
        let Some(place) = givers.iter().position(|node| *node == me) else { return };
        let mut room: BTreeMap<&NodeName, u32> = BTreeMap::new();
        for other in &self.seats {
            let free = self.share_of(other).saturating_sub(self.load(&other.node));
            room.insert(&other.node, part(free, givers.len(), place));
        }
        for watch in self.mine(me) {
            if give_up.len() >= moves_max || self.load(me) <= self.share_of(seat) {
                return;
            }
            let ranked = self.ranked(watch);
            let to = ranked.into_iter().find(|seat| room.get(&seat.node).is_some_and(|room| *room > 0));
            let Some(to) = to.map(|seat| &seat.node) else { return };
            if let Some(room) = room.get_mut(to) {
                *room = room.saturating_sub(1);
            }
            if let Some(load) = self.loads.get_mut(to) {
                *load = load.saturating_add(1);
            }
            self.moved(watch, me, to, give_up);
        }
    }

    fn moved(&mut self, watch: &WatchName, me: &NodeName, to: &NodeName, give_up: &mut Vec<(WatchName, NodeName)>) {
        if let Some(load) = self.loads.get_mut(me) {
            *load = load.saturating_sub(1);
        }
        self.held.remove(watch);
        give_up.push((watch.clone(), to.clone()));
    }
}

/// The part of the one at that place when so many divide `whole`.
fn part(whole: u32, parts: usize, place: usize) -> u32 {
    let (parts, place) = (u32::try_from(parts).unwrap_or(u32::MAX).max(1), u32::try_from(place).unwrap_or(u32::MAX));
    whole / parts + u32::from(place < whole % parts)
}

/// How many watches each node of a priority is to have: those of the largest priority share all of them as far as they have room, those
/// of the next what is left.
fn shares(seats: &[&Seat], watches: u32) -> BTreeMap<u8, u32> {
    let mut left = watches;
    let mut shares = BTreeMap::new();
    let priorities: BTreeSet<u8> = seats.iter().map(|seat| seat.priority).collect();
    for priority in priorities.into_iter().rev() {
        let limits: Vec<u32> =
            seats.iter().filter(|seat| seat.priority == priority).map(|seat| seat.watches_max).collect();
        let share = even(&limits, left);
        shares.insert(priority, share);
        let taken = limits.iter().fold(0_u32, |sum, limit| sum.saturating_add(share.min(*limit)));
        left = left.saturating_sub(taken);
    }
    shares
}

/// The smallest share at which nodes of those limits take `watches` together; the largest limit if they cannot.
fn even(limits: &[u32], watches: u32) -> u32 {
    let mut sorted = limits.to_vec();
    sorted.sort_unstable();
    let (mut left, mut nodes) = (watches, u32::try_from(sorted.len()).unwrap_or(u32::MAX));
    for limit in sorted {
        let share = left.div_ceil(nodes.max(1));
        if share <= limit {
            return share;
        }
        left = left.saturating_sub(limit);
        nodes = nodes.saturating_sub(1);
    }
    limits.iter().copied().max().unwrap_or(0)
}

/// How much a watch likes a node.
fn score(watch: &WatchName, node: &NodeName) -> Hash {
    // No name has a zero byte in it.
    Hash::of(format!("{watch}\0{node}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct World {
        seats: Vec<Seat>,
        watches: BTreeSet<WatchName>,
        claims: BTreeMap<WatchName, NodeName>,
    }

    fn seat(node: &str, watches_max: u32, priority: u8) -> Seat {
        Seat { node: node.into(), watches_max, priority }
    }

    impl World {
        fn new(seats: &[Seat], watches: usize) -> Self {
            let watches = (0..watches).map(|number| format!("watch-{number}").into()).collect();
            Self { seats: seats.to_vec(), watches, claims: BTreeMap::new() }
        }

        fn plans(&self, mood: Mood) -> Vec<(NodeName, Plan)> {
            let scene = Scene { seats: &self.seats, watches: &self.watches, claims: &self.claims, mood };
            self.seats.iter().map(|seat| (seat.node.clone(), plan(&seat.node, &scene))).collect()
        }

        /// Everybody does what its plan says. Gives how many watches moved from one node to another, and how many are unplaced.
        fn step(&mut self, mood: Mood) -> (usize, usize) {
            let (mut moves, mut unplaced) = (0, 0);
            for (node, plan) in self.plans(mood) {
                for watch in plan.claim {
                    assert_eq!(self.claims.insert(watch, node.clone()), None, "two nodes reached for one watch");
                }
                for (watch, to) in plan.give_up {
                    assert_eq!(self.claims.insert(watch, to), Some(node.clone()));
                    moves += 1;
                }
                unplaced = plan.unplaced;
            }
            (moves, unplaced)
        }

        fn loads(&self) -> Vec<usize> {
            let load = |seat: &Seat| self.claims.values().filter(|node| **node == seat.node).count();
            self.seats.iter().map(load).collect()
        }

        fn dies(&mut self, node: &str) {
            self.seats.retain(|seat| seat.node.as_str() != node);
            self.claims.retain(|_, holder| holder.as_str() != node);
        }
    }

    fn three() -> World {
        World::new(&[seat("a", 1_000, 50), seat("b", 1_000, 50), seat("c", 1_000, 50)], 1_000)
    }

    #[test]
    fn watches_are_shared_out_evenly_once_and_then_stay() {
        let mut world = three();
        assert_eq!(world.step(Mood::Keep), (0, 0));
        assert_eq!(world.loads().iter().sum::<usize>(), 1_000);
        assert!(world.loads().iter().all(|load| (332..=334).contains(load)), "{:?}", world.loads());
        let before = world.claims.clone();
        assert_eq!(world.step(Mood::Keep), (0, 0));
        assert_eq!(world.step(Mood::Spread { moves_max: 10 }), (0, 0), "nothing to even out");
        assert_eq!(world.claims, before);
    }

    #[test]
    fn a_death_moves_the_watches_of_the_dead_alone_and_evenly() {
        let mut world = three();
        world.step(Mood::Keep);
        let before = world.claims.clone();
        world.dies("b");
        assert_eq!(world.step(Mood::Keep), (0, 0));
        assert_eq!(world.loads(), [500, 500]);
        for (watch, node) in before.iter().filter(|(_, node)| node.as_str() != "b") {
            assert_eq!(world.claims.get(watch), Some(node));
        }
    }

    #[test]
    fn most_of_what_a_death_orphans_is_taken_by_who_was_next_in_line() {
        let mut world = three();
        world.step(Mood::Keep);
        let next: BTreeMap<NodeName, BTreeSet<WatchName>> =
            world.plans(Mood::Keep).into_iter().map(|(node, plan)| (node, plan.next)).collect();
        let held = |watch: &WatchName| next.values().filter(|watches| watches.contains(watch)).count();
        assert!(world.watches.iter().all(|watch| held(watch) == 1), "one node is next in line for each");
        world.dies("b");
        let plans = world.plans(Mood::Keep);
        let (mut warm, mut all) = (0, 0);
        for (node, plan) in plans {
            all += plan.claim.len();
            warm += plan.claim.iter().filter(|watch| next[&node].contains(*watch)).count();
        }
        assert!(warm * 10 >= all * 8, "{warm} of {all}");
    }

    #[test]
    fn a_node_that_comes_gets_nothing_until_a_spread_is_asked_for_and_then_no_more_than_it_has_to() {
        let mut world = three();
        world.step(Mood::Keep);
        world.dies("b");
        world.step(Mood::Keep);
        world.seats.push(seat("b", 1_000, 50));
        assert_eq!(world.step(Mood::Keep), (0, 0));
        let (mut moved, mut rounds) = (0, 0);
        loop {
            let (moves, _) = world.step(Mood::Spread { moves_max: 20 });
            assert!(moves <= 40, "each of the two gives up at most 20 at a time");
            if moves == 0 {
                break;
            }
            (moved, rounds) = (moved + moves, rounds + 1);
            assert!(rounds < 30, "it does not come to rest");
        }
        let loads = world.loads();
        assert!(loads.iter().all(|load| (332..=334).contains(load)), "{loads:?}");
        assert!((332..=334).contains(&moved), "{moved} moves for a third of a thousand");
    }

    #[test]
    fn limits_hold_and_what_no_node_has_room_for_is_told() {
        let mut world = World::new(&[seat("a", 10, 50), seat("b", 300, 50), seat("c", 1_000, 50)], 1_000);
        world.step(Mood::Keep);
        assert_eq!(world.loads(), [10, 300, 690]);
        world.dies("c");
        assert_eq!(world.step(Mood::Keep), (0, 690));
        assert_eq!(world.loads(), [10, 300]);
        // A limit that is lowered is kept as soon as somebody else has room.
        world.seats[1].watches_max = 100;
        assert_eq!(world.step(Mood::Keep).0, 0);
        world.seats.push(seat("d", 150, 50));
        let (moves, unplaced) = world.step(Mood::Keep);
        assert_eq!((moves + 690 - unplaced, world.loads()[2]), (150, 150));
    }

    #[test]
    fn a_larger_priority_goes_first_and_0_never() {
        let mut world = World::new(&[seat("a", 60, 90), seat("b", 1_000, 50), seat("c", 1_000, 0)], 100);
        world.step(Mood::Keep);
        assert_eq!(world.loads(), [60, 40, 0]);
        world.dies("a");
        world.step(Mood::Keep);
        assert_eq!(world.loads(), [100, 0]);
        world.seats.push(seat("a", 60, 90));
        let mut moved = 0;
        for _ in 0..10 {
            moved += world.step(Mood::Spread { moves_max: 7 }).0;
        }
        assert_eq!((moved, world.loads()), (60, vec![40, 0, 60]));
    }

    #[test]
    fn a_node_that_is_to_work_no_more_hands_over_and_is_not_robbed() {
        let mut world = three();
        world.step(Mood::Keep);
        world.seats[1].priority = 0;
        let plans = world.plans(Mood::Keep);
        assert!(plans.iter().all(|(_, plan)| plan.claim.is_empty()), "it still works for them");
        let (moves, unplaced) = world.step(Mood::Keep);
        assert!(moves >= 332 && unplaced == 0);
        assert_eq!(world.loads()[1], 0);
    }

    #[test]
    fn no_node_at_all_and_claims_of_watches_that_are_gone_do_no_harm() {
        let mut world = World::new(&[], 3);
        assert!(world.plans(Mood::Keep).is_empty());
        world.seats.push(seat("a", 10, 50));
        world.claims.insert("gone".into(), "a".into());
        let stranger = Scene { seats: &[], watches: &world.watches, claims: &world.claims, mood: Mood::Keep };
        assert_eq!(plan(&"x".into(), &stranger), Plan { unplaced: 3, ..Plan::default() });
        world.step(Mood::Keep);
        assert_eq!(world.loads(), [4]);
    }
}
