//! Shows this node's session, looks at the others', and takes, gives and keeps claims by the plan.
//!
//! **Invariants.** A claim is taken by compare-and-set on what was just read; where somebody else was quicker at the cell, the same
//! claims are put into what stands there now, but for those that are not any more as they were when the plan was made. Who lives is
//! judged by [`super::sight`]. Whatever goes wrong here, the journal fences (H1).
//!
//! Bounds (B1): two requests for each round, [`ROUNDS_PER_TTL`] rounds in a TTL ([`ROUNDS_PER_TTL_MOVING`] while operators let watches
//! move), and one for each cell of claims that changes, at most [`TRIES`] where others change it too; at most
//! [`MOVES_MAX`] watches of a node are on the move at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hb_core::ids::{NodeName, WatchName};
use hb_core::lease::placement::{Mood, Plan, Scene, Seat, plan};
use hb_store::port::Switchover;
use hb_store::register::{Register, Swapped};

use super::claims::{
    Claim, PREFIX, SESSIONS_MAX, SHARDS, Session, Shard, WISHES, Wishes, bytes, claim_cell, session_cell,
};
use super::hall::{Hall, Held};
use super::sight::{ROUNDS_PER_TTL, Seen, Sight, good_for};
use crate::clock::{self, ns};

/// Most watches of a node that are on the move at a time.
const MOVES_MAX: usize = 64;
/// Rounds in a TTL while watches are on the move.
const ROUNDS_PER_TTL_MOVING: u32 = 20;
/// Tries at one cell in a round.
const TRIES: u32 = 16;
/// How long a watch whose loop hung or ended with an error is not claimed again by the same node.
const SICK_FOR: Duration = Duration::from_secs(30);

/// What a warden needs to know.
pub(super) struct Warden {
    register: Box<dyn Register>,
    hall: Arc<Hall>,
    watches: BTreeSet<WatchName>,
    me: Session,
    ttl: Duration,
    sight: Sight,
    /// When this node's session was last shown.
    shown_at: Instant,
    /// Nothing is claimed before: nodes that start together share out.
    claim_after: Instant,
    sick: BTreeMap<WatchName, Instant>,
    /// When somebody was last missed, or about to leave.
    missed_at: Option<Instant>,
    moves: u64,
    /// Operators let watches move.
    moving: bool,
}

/// A change of one claim.
struct Change {
    watch: WatchName,
    claim: Option<Claim>,
    /// Why it was free.
    why: String,
}

/// Changes of claims, by cell.
type Changes = BTreeMap<String, Vec<Change>>;

impl Warden {
    pub(super) fn new(
        register: Box<dyn Register>,
        hall: &Arc<Hall>,
        watches: BTreeSet<WatchName>,
        me: Session,
        ttl: Duration,
    ) -> Self {
        Self {
            register,
            hall: Arc::clone(hall),
            watches,
            me,
            ttl,
            sight: Sight::new(ttl),
            shown_at: Instant::now(),
            claim_after: Instant::now() + ttl,
            sick: BTreeMap::new(),
            missed_at: None,
            moves: 0,
            moving: false,
        }
    }

    /// Rounds until the end; then everything is handed on, and the session is taken down.
    pub(super) fn run(mut self) {
        loop {
            let begun = Instant::now();
            let done = self.round();
            if let Err(why) = &done {
                tracing::warn!("the register of claims cannot be used: {why}");
            }
            self.hall.note(|state| {
                state.trouble = done.err();
                state.rounds = state.rounds.saturating_add(1);
                state.round_at = clock::moment();
            });
            let rounds = if self.moving { ROUNDS_PER_TTL_MOVING } else { ROUNDS_PER_TTL };
            let left = (self.ttl / rounds).saturating_sub(begun.elapsed());
            let left = left.min(self.sight.next_change(clock::moment()));
            let state =
                self.hall.wait_while(left, |state| state.released.is_empty() && state.asked.is_empty() && !state.quit);
            if state.quit {
                break;
            }
        }
        let left = self.round().and_then(|()| self.leave());
        if let Err(why) = left {
            tracing::warn!("this node's session could not be taken down: {why}; others take over once it has run out");
        }
    }

    fn leave(&mut self) -> Result<(), String> {
        let name = session_cell(&self.me.node);
        let Some(cell) = self.register.read(&name).map_err(|error| error.0)? else { return Ok(()) };
        match self.register.remove(&name, &cell.version) {
            Swapped::Done(_) | Swapped::Lost(_) => Ok(()),
            Swapped::Unknown(why) | Swapped::Failed(why) => Err(why),
        }
    }

    fn round(&mut self) -> Result<(), String> {
        let mut seen = self.look()?;
        self.show(&mut seen)?;
        self.take_wishes(&mut seen)?;
        self.know(&seen);
        self.hand_on(&mut seen)?;
        let plan = self.plan(&seen);
        self.claim(&mut seen, &plan)?;
        self.know(&seen);
        self.move_away(&seen, &plan);
        self.foresee(&seen, plan);
        self.moving = seen.wishes.moves();
        self.settle_leave(&seen)?;
        self.settle_rebalance(&seen)
    }

    // ------------------------------------------------------------------ looking

    fn look(&mut self) -> Result<Seen, String> {
        let most = SESSIONS_MAX.saturating_add(usize::try_from(SHARDS).unwrap_or(usize::MAX)).saturating_add(1);
        let cells = self.register.list(PREFIX, most).map_err(|error| error.0)?;
        Ok(self.sight.take_in(cells, clock::moment()))
    }

    /// Shows this node's session, unless another living process goes by its name.
    fn show(&mut self, seen: &mut Seen) -> Result<(), String> {
        let name = session_cell(&self.me.node);
        if let Some(other) = seen.sessions.get(&self.me.node).filter(|other| other.session != self.me.session)
            && seen.living.contains(&self.me.node)
        {
            return Err(format!("another process goes by the name {}: give this node a name of its own", other.node));
        }
        self.me.progress = self.me.progress.saturating_add(1);
        if self.hall.look().stopping {
            self.me.priority = 0;
        }
        let (asked, begun) = (clock::moment(), Instant::now());
        match self.register.swap(&name, seen.versions.get(&name), &bytes(&self.me)) {
            Swapped::Done(version) => {
                self.sight.shown(&name, version.clone(), asked);
                self.shown_at = begun;
                seen.versions.insert(name, version);
                seen.sessions.insert(self.me.node.clone(), self.me.clone());
                seen.living.insert(self.me.node.clone());
                self.hall.good_until(asked.plus_ns(ns(good_for(self.ttl))));
                Ok(())
            }
            Swapped::Lost(_) => Err("this node's session was changed by somebody else".into()),
            Swapped::Unknown(why) | Swapped::Failed(why) => Err(why),
        }
    }

    /// A round that takes long for the sake of many claims does not cost the session that they name.
    fn keep_shown(&mut self, seen: &mut Seen) -> Result<(), String> {
        if self.shown_at.elapsed() < self.ttl / ROUNDS_PER_TTL { Ok(()) } else { self.show(seen) }
    }

    /// Tells the hall what is this node's by now, if that has changed.
    fn know(&mut self, seen: &Seen) {
        let mine: BTreeMap<&WatchName, &Claim> = seen
            .claims()
            .filter(|(watch, claim)| {
                claim.node == self.me.node && claim.session == self.me.session && self.watches.contains(*watch)
            })
            .collect();
        let good = seen.claims().filter(|(_, claim)| seen.good(claim));
        let holders: BTreeMap<WatchName, NodeName> =
            good.map(|(watch, claim)| (watch.clone(), claim.node.clone())).collect();
        let (fresh, same) = {
            let state = self.hall.look();
            let fresh: Vec<(&WatchName, &Claim)> =
                mine.iter().filter(|(watch, _)| !state.held.contains_key(**watch)).map(|(w, c)| (*w, *c)).collect();
            let same = fresh.is_empty()
                && (state.held.len(), state.released.keys().all(|watch| mine.contains_key(watch)))
                    == (mine.len(), true)
                && (&state.holders, &state.pause, &state.leave) == (&holders, &seen.wishes.pause, &seen.wishes.leave);
            (fresh, same)
        };
        if same {
            return;
        }
        self.hall.change(|state| {
            state.held.retain(|watch, _| mine.contains_key(watch));
            state.released.retain(|watch, _| mine.contains_key(watch));
            for (watch, claim) in &fresh {
                let from = claim.from.as_ref();
                let why = from.map_or_else(|| "it was nobody's".to_owned(), |from| format!("{from} handed it over"));
                state.held.insert((*watch).clone(), Held { why, progress: Instant::now(), moving: None });
            }
            state.holders = holders;
            state.pause.clone_from(&seen.wishes.pause);
            state.leave.clone_from(&seen.wishes.leave);
        });
        fresh.iter().for_each(|(watch, _)| self.hall.knock(watch));
    }

    /// Tells the hall what may be this node's next. While somebody is missed, that is everything which would be claimed if it had gone: the
    /// loops are made ready meanwhile, and not when all of them are waited for.
    fn foresee(&mut self, seen: &Seen, plan: Plan) {
        let going = seen.going();
        let mut soon = BTreeSet::new();
        if !going.is_empty() && seen.wishes.pause.is_none() && !going.contains(&self.me.node) {
            self.missed_at = Some(Instant::now());
            soon.extend(self.plan_without(&self.me.node, seen, Mood::Keep, &going).claim);
        } else if self.missed_at.is_some_and(|at| at.elapsed() < self.ttl) {
            // Who is missed now and then does not let loops be started and ended all the time.
            soon.clone_from(&self.hall.look().soon);
        }
        let (next, unplaced) = (plan.next, plan.unplaced);
        let same = {
            let state = self.hall.look();
            (&state.next, &state.soon, state.unplaced) == (&next, &soon, unplaced)
        };
        if !same {
            self.hall.change(|state| (state.next, state.soon, state.unplaced) = (next, soon, unplaced));
        }
    }

    // ------------------------------------------------------------------ claims

    fn plan_of(&self, node: &NodeName, seen: &Seen, mood: Mood) -> Plan {
        self.plan_without(node, seen, mood, &BTreeSet::new())
    }

    /// What that node should do if those had gone.
    fn plan_without(&self, node: &NodeName, seen: &Seen, mood: Mood, gone: &BTreeSet<NodeName>) -> Plan {
        let lives = |node: &NodeName| seen.living.contains(node) && !gone.contains(node);
        let seats: Vec<Seat> = seen
            .sessions
            .values()
            .filter(|session| lives(&session.node))
            .map(|session| Seat {
                node: session.node.clone(),
                watches_max: session.watches_max,
                priority: if seen.leaves(&session.node) { 0 } else { session.priority },
            })
            .collect();
        let good = seen.claims().filter(|(_, claim)| seen.good(claim) && lives(&claim.node));
        let claims = good.map(|(watch, claim)| (watch.clone(), claim.node.clone())).collect();
        plan(node, &Scene { seats: &seats, watches: &self.watches, claims: &claims, mood })
    }

    fn plan(&self, seen: &Seen) -> Plan {
        let on_the_move = self.hall.look().held.values().filter(|held| held.moving.is_some()).count();
        let moves_max = MOVES_MAX.saturating_sub(on_the_move);
        let mood = if seen.wishes.rebalance.is_some() { Mood::Spread { moves_max } } else { Mood::Keep };
        let mut plan = self.plan_of(&self.me.node, seen, mood);
        if let Some(to) =
            seen.wishes.leave.as_ref().filter(|leave| leave.from == self.me.node).and_then(|leave| leave.to.as_ref())
        {
            let room = seen.sessions.get(to).filter(|to| seen.living.contains(&to.node) && to.priority > 0);
            let has = seen.claims().filter(|(_, claim)| claim.node == *to).count();
            let room = room.map_or(0, |to| usize::try_from(to.watches_max).unwrap_or(usize::MAX)).saturating_sub(has);
            plan.give_up.iter_mut().take(room).for_each(|(_, next)| next.clone_from(to));
        }
        {
            let state = self.hall.look();
            plan.give_up.retain(|(watch, _)| state.held.get(watch).is_some_and(|held| held.moving.is_none()));
        }
        plan.give_up.truncate(moves_max);
        plan
    }

    /// Takes orphans: those of a dead node at once, those that were nobody's once others have had the time to come up.
    fn claim(&mut self, seen: &mut Seen, plan: &Plan) -> Result<(), String> {
        self.sick.retain(|_, until| *until > Instant::now());
        let was = |watch: &WatchName| seen.shards.get(&claim_cell(watch)).and_then(|shard| shard.claims.get(watch));
        let early = Instant::now() < self.claim_after;
        let mut changes = Changes::new();
        for watch in plan.claim.iter().filter(|watch| !self.sick.contains_key(*watch)) {
            let before = was(watch);
            let paused = seen.wishes.pause.is_some() && before.is_some_and(|claim| claim.node != self.me.node);
            if paused || (early && before.is_none()) {
                continue;
            }
            let why = before.map_or_else(|| "it was nobody's".to_owned(), |claim| self.why_free(claim, seen));
            let claim = Claim { node: self.me.node.clone(), session: self.me.session.clone(), from: None };
            let change = Change { watch: watch.clone(), claim: Some(claim), why };
            changes.entry(claim_cell(watch)).or_default().push(change);
        }
        self.swap(seen, changes)
    }

    fn why_free(&self, claim: &Claim, seen: &Seen) -> String {
        let Claim { node, session, .. } = claim;
        match seen.sessions.get(node) {
            Some(now) if now.session != *session => format!("{node} was started anew"),
            Some(_) => format!("{node} showed no progress for {:.1} s", self.ttl.as_secs_f64()),
            None => format!("{node} has left"),
        }
    }

    /// Hands on what loops have let go, and takes from loops that hang what they hold.
    fn hand_on(&mut self, seen: &mut Seen) -> Result<(), String> {
        let (released, hung) = {
            let state = self.hall.look();
            let hangs = |held: &Held| held.progress.elapsed() > self.ttl * 3;
            let hung: Vec<WatchName> =
                state.held.iter().filter(|(_, held)| hangs(held)).map(|(watch, _)| watch.clone()).collect();
            (state.released.clone(), hung)
        };
        let mut leaving = released;
        for watch in hung {
            tracing::warn!("watch {watch} makes no progress here: its claim is handed on");
            self.sick.insert(watch.clone(), Instant::now() + SICK_FOR);
            leaving.entry(watch).or_insert(None);
        }
        if leaving.is_empty() {
            return Ok(());
        }
        let lines = self.lines(seen);
        let mut changes = Changes::new();
        for (watch, to) in leaving {
            let to = to.or_else(|| lines.iter().find(|(_, next)| next.contains(&watch)).map(|(node, _)| node.clone()));
            let next = to.and_then(|to| seen.sessions.get(&to).filter(|_| seen.living.contains(&to)));
            let claim = next.map(|next| Claim {
                node: next.node.clone(),
                session: next.session.clone(),
                from: Some(self.me.node.clone()),
            });
            changes.entry(claim_cell(&watch)).or_default().push(Change { watch, claim, why: String::new() });
        }
        self.swap(seen, changes)?;
        self.know(seen);
        Ok(())
    }

    /// For which watches each of the others is next in line.
    fn lines(&self, seen: &Seen) -> Vec<(NodeName, BTreeSet<WatchName>)> {
        let others = seen.living.iter().filter(|node| **node != self.me.node);
        others.map(|node| (node.clone(), self.plan_of(node, seen, Mood::Keep).next)).collect()
    }

    /// Changes cells of claims, each by one compare-and-set. Living nodes begin with different ones, so that those who share out what a
    /// dead one had seldom meet.
    fn swap(&mut self, seen: &mut Seen, changes: Changes) -> Result<(), String> {
        let mut changes: Vec<(String, Vec<Change>)> = changes.into_iter().collect();
        let place = seen.living.iter().position(|node| *node == self.me.node).unwrap_or(0);
        let cells = changes.len();
        let begin = cells.saturating_mul(place).checked_div(seen.living.len()).unwrap_or(0);
        changes.rotate_left(begin.min(cells));
        for (name, wanted) in changes {
            self.keep_shown(seen)?;
            self.swap_cell(seen, &name, &wanted)?;
        }
        Ok(())
    }

    fn swap_cell(&mut self, seen: &mut Seen, name: &str, wanted: &[Change]) -> Result<(), String> {
        let planned = seen.shards.get(name).cloned().unwrap_or_default();
        for _ in 0..TRIES {
            let now = seen.shards.get(name).cloned().unwrap_or_default();
            // What somebody else has changed since belongs to the next plan.
            let as_planned = |change: &&Change| now.claims.get(&change.watch) == planned.claims.get(&change.watch);
            let wanted: Vec<&Change> = wanted.iter().filter(as_planned).collect();
            if wanted.is_empty() {
                return Ok(());
            }
            let mut shard = Shard::clone(&now);
            for Change { watch, claim, .. } in &wanted {
                match claim {
                    Some(claim) => shard.claims.insert(watch.clone(), claim.clone()),
                    None => shard.claims.remove(watch),
                };
            }
            match self.register.swap(name, seen.versions.get(name), &bytes(&shard)) {
                Swapped::Done(version) => {
                    seen.versions.insert(name.to_owned(), version);
                    seen.shards.insert(name.to_owned(), Arc::new(shard));
                    self.taken(&wanted);
                    return Ok(());
                }
                Swapped::Lost(cell) => seen.put(name, cell),
                Swapped::Unknown(why) => {
                    tracing::debug!("cell {name} is read back: {why}");
                    seen.put(name, self.register.read(name).map_err(|error| error.0)?);
                }
                Swapped::Failed(why) => return Err(why),
            }
        }
        // Others change it all the time: the next round tries again.
        Ok(())
    }

    /// Claims of a cell are this node's: its loops go on at once, while the other cells are still being changed.
    fn taken(&self, done: &[&Change]) {
        let mine = |change: &&&Change| change.claim.as_ref().is_some_and(|claim| claim.node == self.me.node);
        let mine: Vec<&&Change> = done.iter().filter(mine).collect();
        if mine.is_empty() {
            return;
        }
        self.hall.change(|state| {
            for Change { watch, why, .. } in &mine {
                let held = Held { why: why.clone(), progress: Instant::now(), moving: None };
                state.held.insert(watch.clone(), held);
            }
        });
        mine.iter().for_each(|change| self.hall.knock(&change.watch));
    }

    /// Asks loops to hand over what the plan gives up.
    fn move_away(&mut self, seen: &Seen, plan: &Plan) {
        let leave = seen.wishes.leave.as_ref().filter(|leave| leave.from == self.me.node);
        let rebalance = seen.wishes.rebalance.as_ref().map(|rebalance| (&*rebalance.by, &*rebalance.reason));
        let asked = leave.map(|leave| (&*leave.by, &*leave.reason)).or(rebalance);
        let (by, reason) = asked.unwrap_or(("hb", "more watches than this node may have"));
        for (watch, to) in &plan.give_up {
            self.moves = self.moves.saturating_add(1);
            let moving = Switchover {
                id: format!("{}-{}", self.me.session, self.moves),
                from: self.me.node.clone(),
                to: Some(to.clone()),
                by: by.to_owned(),
                reason: reason.to_owned(),
                at: clock::wall(),
            };
            self.hall.change(|state| {
                if let Some(held) = state.held.get_mut(watch).filter(|held| held.moving.is_none()) {
                    held.moving = Some(moving);
                }
            });
        }
    }

    // ------------------------------------------------------------------ wishes

    /// Puts what operators ask where every node sees it.
    fn take_wishes(&mut self, seen: &mut Seen) -> Result<(), String> {
        let asked = self.hall.look().asked.clone();
        if asked.is_empty() {
            return Ok(());
        }
        let mut wishes = seen.wishes.clone();
        for wish in &asked {
            wish.add_to(&mut wishes);
        }
        if self.wish(seen, wishes)? {
            self.hall.change(|state| drop(state.asked.drain(..asked.len())));
        }
        Ok(())
    }

    fn wish(&mut self, seen: &mut Seen, wishes: Wishes) -> Result<bool, String> {
        match self.register.swap(WISHES, seen.versions.get(WISHES), &bytes(&wishes)) {
            Swapped::Done(version) => {
                seen.versions.insert(WISHES.into(), version);
                seen.wishes = wishes;
                Ok(true)
            }
            Swapped::Lost(_) => Ok(false),
            Swapped::Unknown(why) | Swapped::Failed(why) => Err(why),
        }
    }

    /// A node has been left when nothing is its own any more; it says so itself, or somebody else once it has gone.
    fn settle_leave(&mut self, seen: &Seen) -> Result<(), String> {
        let Some(leave) = &seen.wishes.leave else { return Ok(()) };
        let left = seen.claims().all(|(_, claim)| claim.node != leave.from || !seen.good(claim));
        if !left || (leave.from != self.me.node && seen.living.contains(&leave.from)) {
            return Ok(());
        }
        tracing::info!("no watch is left to {}, as {} asked", leave.from, leave.by);
        let mut again = self.look()?;
        let wishes = Wishes { leave: None, ..again.wishes.clone() };
        self.wish(&mut again, wishes).map(|_| ())
    }

    /// A rebalance is over when nobody has anything to give.
    fn settle_rebalance(&mut self, seen: &Seen) -> Result<(), String> {
        if seen.wishes.rebalance.is_none() || self.hall.look().held.values().any(|held| held.moving.is_some()) {
            return Ok(());
        }
        let mood = Mood::Spread { moves_max: 1 };
        if seen.living.iter().any(|node| !self.plan_of(node, seen, mood).give_up.is_empty()) {
            return Ok(());
        }
        tracing::info!("the watches are spread evenly");
        let mut again = self.look()?;
        let wishes = Wishes { rebalance: None, ..again.wishes.clone() };
        self.wish(&mut again, wishes).map(|_| ())
    }
}
