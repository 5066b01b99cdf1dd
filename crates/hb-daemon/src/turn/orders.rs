//! What operators ask of the nodes: switchovers and pauses.
//!
//! An order stands beside the lease, so every node sees it, whoever was asked. The active node hands over when the other one can go
//! on; whoever works afterwards settles the order, with what came of it.
//!
//! Bounds (B1): `Bounds::switchover_max` for the node that is to go on to be ready; after handing over a node seeks the lease again
//! no sooner than in one TTL; [`QUIET_MAX`] for a moment in which no cycle is about to close; [`SWITCHOVER_LAPSES`] for an order that
//! no node was there to do.

use std::time::Duration;

use hb_core::ids::NodeName;
use hb_core::node::step::Input;
use hb_core::node::view::Role;
use hb_core::time::Moment;
use hb_store::board::Card;
use hb_store::port::{Order, Orders, Pause, SWITCHOVER_LAPSES, Settled, Switchover, SwitchoverEnd};

use super::Loop;
use crate::clock;
use crate::inbox::{Answer, Control};

/// How long a switchover waits for a cycle to be decided, after which there is most time until the next.
const QUIET_MAX: Duration = Duration::from_secs(1);
/// How often it is tried to settle a switchover that stays asked for.
const SETTLE_EVERY: Duration = Duration::from_secs(1);

/// What is known of what operators ask.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// The orders; none until they are known.
    orders: Option<Orders>,
    /// When the switchover was first seen.
    since: Option<Moment>,
    /// Since when all is ready for it.
    ready: Option<Moment>,
    /// A cycle was decided since then.
    pub(super) decided: Decided,
    /// Which switchover this node has handed over for, and when.
    handed_over: Option<(String, Moment)>,
    /// When it was last tried to settle it.
    settled: Option<Moment>,
}

/// Whether a cycle has been decided since all is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Decided {
    #[default]
    NotYet,
    Just,
}

impl Asked {
    /// Whether somebody waits for a switchover.
    pub(super) fn pending(&self) -> bool {
        self.orders.as_ref().is_some_and(|orders| orders.switchover.is_some())
    }
}

impl Loop {
    fn switchover(&self) -> Option<&Switchover> {
        self.asked.orders.as_ref()?.switchover.as_ref()
    }

    /// Why nobody takes over, if that is asked for.
    pub(super) fn paused(&self) -> Option<String> {
        let pause = self.asked.orders.as_ref()?.pause.as_ref()?;
        Some(format!(
            "paused by {} since {}: {}; nobody takes over until it is resumed",
            pause.by, pause.at, pause.reason
        ))
    }

    /// Takes in orders that have changed.
    pub(super) fn ordered(&mut self, orders: Orders) {
        let before = self.asked.orders.take().unwrap_or_default();
        if before.switchover.as_ref().map(|one| &one.id) != orders.switchover.as_ref().map(|one| &one.id) {
            (self.asked.ready, self.asked.settled) = (None, None);
            self.asked.since = orders.switchover.as_ref().map(|_| clock::moment());
            if let Some(Switchover { from, to, by, reason, .. }) = &orders.switchover {
                let to = to.as_ref().map_or("whoever stands first in line", NodeName::as_str);
                tracing::info!("{by} asks that {from} hands over to {to}: {reason}");
            }
        }
        if let Some(settled) = orders.settled.as_ref().filter(|settled| before.settled.as_ref() != Some(settled)) {
            tracing::info!("the switchover {}: {}", settled.id, settled.what);
        }
        let was = before.pause;
        self.asked.orders = Some(orders);
        self.tell_pause(was.as_ref());
    }

    fn tell_pause(&mut self, before: Option<&Pause>) {
        match self.paused() {
            Some(what) => {
                if before != self.asked.orders.as_ref().and_then(|orders| orders.pause.as_ref()) {
                    tracing::warn!("{what}");
                }
                self.shared.note("pause", what);
            }
            None => {
                if before.is_some() {
                    tracing::warn!("the pause is over: standbys take over again");
                }
                self.shared.forget("pause");
            }
        }
    }

    // ------------------------------------------------------------------ may this node try?

    /// Whether this node may seek the lease at all. How long it has to hold back then, for a pause, a switchover or its place, the
    /// lease itself knows best: it sees how the holder ended.
    pub(super) fn may_seek(&self) -> bool {
        let Some(orders) = &self.asked.orders else { return false };
        let gave_it_away = match (&orders.switchover, &self.asked.handed_over) {
            (Some(asked), Some((id, at))) => asked.id == *id && clock::since(*at) <= self.bounds.lease_ttl,
            (Some(_) | None, _) => false,
        };
        self.bounds.priority > 0 && !gave_it_away
    }

    /// Who wrote last, by the journal.
    fn writer(&self) -> Option<NodeName> {
        let mut writers = self.watches.keys().filter_map(|watch| self.node.fold(watch)?.writer());
        writers.next().map(|reign| reign.node.clone())
    }

    /// Says to the keeper behind how many others to seek the lease, or not at all.
    pub(super) fn line_up(&mut self) {
        let rested = self.rested();
        let seeks = rested && self.stopping.is_none() && self.may_seek();
        let behind =
            || self.board.as_ref().map_or(0, |board| board.seen().roster.place(&self.name, self.bounds.priority));
        self.keeper.seek(seeks.then(behind));
    }

    /// Why this node took over: the lease's own reason, and what was asked for.
    pub(super) fn reason(&self, why: &str) -> String {
        match self.switchover().filter(|asked| !asked.lapsed(clock::wall())) {
            Some(Switchover { from, by, reason, .. }) if *from != self.name => {
                format!("switchover from {from} by {by}: {reason} ({why})")
            }
            Some(Switchover { .. }) | None => why.to_owned(),
        }
    }

    // ------------------------------------------------------------------ handing over

    /// Does what is asked of an active node.
    pub(super) fn heed(&mut self) {
        if self.node.role() != Role::Active || self.stopping.is_some() || !self.committer.is_empty() {
            return;
        }
        let Some(asked) = self.switchover().cloned() else { return };
        if asked.lapsed(clock::wall()) {
            let (at, me, hours) = (asked.at, &self.name, SWITCHOVER_LAPSES.as_secs() / 3600);
            let what =
                format!("it was asked for at {at}, and nobody did it within {hours} h: it has lapsed; {me} works");
            return self.settle(&asked, SwitchoverEnd::GivenUp, what);
        }
        if asked.from != self.name {
            return self.settle_as_successor(&asked);
        }
        if asked.to.as_ref() == Some(&self.name) {
            return self.settle(&asked, SwitchoverEnd::GivenUp, format!("{} is active already", self.name));
        }
        if self.asked.handed_over.as_ref().is_some_and(|(id, _)| *id == asked.id) {
            let what = match &asked.to {
                Some(to) => format!("{to} did not take over in time; {} goes on", self.name),
                None => format!("nobody took over in time; {} goes on", self.name),
            };
            return self.settle(&asked, SwitchoverEnd::GivenUp, what);
        }
        match self.successor(&asked) {
            Ok(()) => self.hand_over_when_quiet(&asked),
            Err(why) => {
                self.asked.ready = None;
                if self.asked.since.is_some_and(|since| clock::since(since) > self.bounds.switchover_max) {
                    self.settle(&asked, SwitchoverEnd::GivenUp, format!("{why}; {} goes on", self.name));
                }
            }
        }
    }

    /// Whether somebody can go on. Without a board that cannot be told: then the lease decides.
    fn successor(&self, asked: &Switchover) -> Result<(), String> {
        let Some(board) = &self.board else { return Ok(()) };
        let seen = board.seen();
        match &asked.to {
            _ if !seen.known => Err("the board of nodes cannot be read".into()),
            Some(to) => seen.roster.could(to),
            None if seen.roster.anybody_else(&self.name) => Ok(()),
            None => Err("no other node stands by that could go on".into()),
        }
    }

    fn hand_over_when_quiet(&mut self, asked: &Switchover) {
        let Some(since) = self.asked.ready else {
            (self.asked.ready, self.asked.decided) = (Some(clock::moment()), Decided::NotYet);
            return;
        };
        if self.asked.decided == Decided::NotYet && clock::since(since) < QUIET_MAX {
            return;
        }
        let to = asked.to.as_ref().map_or("whoever stands first in line", NodeName::as_str);
        let reason = format!("switchover to {to} by {}: {}", asked.by, asked.reason);
        tracing::info!("node {} hands over: {reason}", self.name);
        self.asked.handed_over = Some((asked.id.clone(), clock::moment()));
        self.shared.count(|stats| stats.handovers = stats.handovers.saturating_add(1));
        let step = self.node.handle(Input::HandOver { reason: &reason }, clock::now());
        self.carry_out(step);
    }

    fn settle_as_successor(&mut self, asked: &Switchover) {
        let me = self.name.clone();
        match asked.to.as_ref().filter(|to| **to != me) {
            None => self.settle(asked, SwitchoverEnd::Done, format!("{me} works now")),
            Some(to) => self.settle(asked, SwitchoverEnd::GivenUp, format!("{to} did not take over, {me} did")),
        }
    }

    fn settle(&mut self, asked: &Switchover, end: SwitchoverEnd, what: String) {
        if self.asked.settled.is_some_and(|at| clock::since(at) < SETTLE_EVERY) {
            return;
        }
        if self.asked.settled.is_none() {
            let name = match end {
                SwitchoverEnd::Done => "done",
                SwitchoverEnd::GivenUp => "given_up",
            };
            tracing::info!("the switchover that {} asked for is {}: {what}", asked.by, name.replace('_', " "));
            self.shared.count(|stats| *stats.switchovers.entry(name).or_insert(0) += 1);
        }
        self.asked.settled = Some(clock::moment());
        let settled = Settled { id: asked.id.clone(), end, what, by: self.name.clone(), at: clock::wall() };
        self.keeper.order(Order::Settled(settled), Answer::default());
    }

    // ------------------------------------------------------------------ being asked

    /// Passes on what somebody asks of this node for all of them.
    pub(super) fn pass_on(&mut self, control: Control) {
        let at = clock::wall();
        match control {
            Control::Switchover { to, by, reason, answer } => match self.may_ask(to.as_ref()) {
                Ok(from) => {
                    let id = format!("{}-{}", self.node.epoch(), at.0);
                    self.keeper.order(Order::Switchover(Switchover { id, from, to, by, reason, at }), answer);
                }
                Err(why) => answer.tell(Err(why)),
            },
            Control::Pause { by, reason, answer } => self.keeper.order(Order::Pause(Pause { by, reason, at }), answer),
            Control::Resume { by, answer } => {
                tracing::info!("{by} ends the pause");
                self.keeper.order(Order::Resume, answer);
            }
            Control::Stop { .. } | Control::Reload(_) | Control::Delivered { .. } => {}
        }
    }

    /// From whom a switchover can be asked now.
    fn may_ask(&self, to: Option<&NodeName>) -> Result<NodeName, String> {
        let active = if self.node.role() == Role::Active { Some(self.name.clone()) } else { self.writer() };
        let from = active.ok_or("nobody has worked yet: there is nothing to hand over")?;
        if to == Some(&from) {
            return Err(format!("{from} is active already"));
        }
        // A standby may know of one that is settled by now: asking anew then takes its place.
        if let Some(open) = self.switchover().filter(|_| self.node.role() == Role::Active) {
            return Err(format!("{} has asked for a switchover that is not settled yet", open.by));
        }
        let seen = self.board.as_ref().map(|board| board.seen()).unwrap_or_default();
        let never = |card: &&Card| card.account.priority == 0;
        if let Some(card) = to.and_then(|to| seen.roster.living(to)).filter(never) {
            return Err(format!("{} never takes over (its priority is 0)", card.node));
        }
        Ok(from)
    }
}
