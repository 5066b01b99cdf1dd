//! The lease from the loop's side: what its keeper tells, and what happens when nobody can tell.
//!
//! **Invariants.** Nothing is appended once the lease may have run out, unless the journal has just shown that nobody else writes
//! (H1 rests on the journal alone; this keeps two nodes from both saying that they are active). What the keeper has told is looked at
//! before the clock is, so a loop that was held up itself does not take its own delay for a lost lease.

use std::time::Duration;

use hb_core::ids::WatchName;
use hb_core::node::step::Input;
use hb_core::node::view::Role;
use hb_core::time::Moment;
use hb_store::port::{Holder, JournalError};

use super::Loop;
use crate::clock::{self, ns};
use crate::committer::stream_of;
use crate::keeper::Told;
use crate::parts::OnLost;

/// Which part of a TTL before its end the lease counts as run out: an append that is under way then is over by the end.
const MARGIN: u32 = 8;
/// For which part of a TTL a look at the journal stands in for the lease.
const PROOF: u32 = 2;
/// How many streams beside the first one such a look reads the head of (B1): each may cost a request to the store.
const PROOF_LOOKS: usize = 8;

/// How long the loop waits for events at most while somebody waits for a switchover.
const ASKED_TURN: Duration = Duration::from_millis(50);

/// What is known of the lease.
#[derive(Debug, Default)]
pub(super) struct Leasing {
    /// Until when this node may take it for its own.
    until: Moment,
    /// When it was granted.
    pub(super) granted_at: Option<Moment>,
    /// Since when it is out of sight.
    lost: Option<Moment>,
    /// Nothing is sought until then: it was given back because nothing could be done with it.
    pub(super) rest_until: Option<Moment>,
    told_standby: bool,
    /// How many watches beside the first have been looked at in turn for proof.
    proven: usize,
    /// Why it was given back for want of a journal, as it was last told.
    unreadable: Option<String>,
}

/// What the journal says of who works.
enum Proof {
    /// Nobody has written since.
    Mine,
    /// Somebody else has.
    Taken,
    /// It cannot be read.
    None(JournalError),
}

impl Loop {
    /// How long a renewal is good for in this node's own eyes.
    fn good_for(&self) -> u64 {
        ns(self.bounds.lease_ttl - self.bounds.lease_ttl / MARGIN)
    }

    /// Takes in what the keeper has told so far.
    pub(super) fn hear(&mut self) {
        while let Some(told) = self.inbox.told() {
            self.told(told);
        }
    }

    pub(super) fn told(&mut self, told: Told) {
        let working = matches!(self.node.role(), Role::TakingOver | Role::Active | Role::Draining);
        match told {
            Told::Granted { how, why, since } => self.granted(how, &why, since),
            Told::Held { holder } => {
                self.shared.check("lease", Ok(()));
                self.say_that_it_stands_by(holder);
            }
            Told::OutOfSight { why } => self.shared.check("lease", Err(why)),
            Told::Renewed { asked } if working => {
                if let Some(since) = self.leasing.lost.take() {
                    tracing::info!("the lease is in sight again, after {:.1} s", clock::since(since).as_secs_f64());
                }
                self.shared.check("lease", Ok(()));
                self.good_until(asked.plus_ns(self.good_for()));
            }
            Told::NotRenewed { why } if working => {
                if self.leasing.lost.is_none() {
                    tracing::warn!("the lease cannot be renewed: {why}");
                    self.leasing.lost = Some(clock::moment());
                }
                self.shared.check("lease", Err(why));
            }
            Told::Superseded { by } if working => {
                let step = self.node.handle(Input::Superseded { by }, clock::now());
                self.carry_out_later(step);
            }
            // Of a lease that has been given back meanwhile.
            Told::Renewed { .. } | Told::NotRenewed { .. } | Told::Superseded { .. } => {}
            // The turn that has just heard it is what was asked for.
            Told::Due => {}
            Told::Released => tracing::debug!("the lease is given back"),
            Told::Orders(orders) => self.ordered(*orders),
        }
    }

    fn granted(&mut self, how: &'static str, why: &str, since: Moment) {
        if self.node.role() != Role::Standby || self.ended.is_some() || self.stopping.is_some() || !self.may_seek() {
            self.keeper.release();
            return;
        }
        self.leasing.told_standby = false;
        self.leasing.lost = None;
        self.leasing.granted_at = Some(since);
        // Its first renewal comes at once; until then, less than the lease may be good for.
        self.leasing.until = since.plus_ns(self.good_for() / 2);
        match self.read_along() {
            Ok(()) => {
                self.leasing.unreadable = None;
                self.take_over(how, why, since, self.leasing.until);
            }
            Err(error) => self.unreadable(&error),
        }
    }

    fn good_until(&mut self, until: Moment) {
        if until > self.leasing.until {
            self.leasing.until = until;
            let step = self.node.handle(Input::Renewed { until }, clock::now());
            self.carry_out_later(step);
        }
    }

    /// How long the loop may wait for events before it looks around: no longer than the lease is good for.
    pub(super) fn idle_turn(&self) -> Duration {
        let most = if self.asked.pending() { ASKED_TURN } else { self.bounds.turn_every };
        let lease = clock::until(self.leasing.until);
        (self.bounds.lease_ttl / 4).min(most).min(lease).max(Duration::from_millis(1))
    }

    /// Whether the lease is this node's for the time being, as far as can be told.
    pub(super) fn lease_is_good(&self) -> bool {
        clock::moment() < self.leasing.until
    }

    /// When the lease may have run out: the journal is asked who works, or this node stands by.
    pub(super) fn keep(&mut self) {
        if self.lease_is_good() || !matches!(self.node.role(), Role::TakingOver | Role::Active | Role::Draining) {
            return;
        }
        match self.bounds.on_lost {
            OnLost::Yield => self.lapse("the lease could not be renewed in time (lease.on_lost: yield)"),
            OnLost::Keep => match self.proof() {
                Proof::Mine => {
                    self.shared.count(|stats| stats.lease_proofs = stats.lease_proofs.saturating_add(1));
                    let since = *self.leasing.lost.get_or_insert_with(clock::moment);
                    let seconds = clock::since(since).as_secs_f64();
                    let what =
                        format!("degraded: out of sight for {seconds:.0} s; the journal shows that nobody else works");
                    self.shared.check("lease", Err(what));
                    self.good_until(clock::moment().plus_ns(ns(self.bounds.lease_ttl / PROOF)));
                }
                Proof::Taken => {
                    let by = "another node has written in the journal".into();
                    let step = self.node.handle(Input::Superseded { by }, clock::now());
                    self.carry_out_later(step);
                }
                Proof::None(error) => {
                    self.shared.check("journal", Err(error.to_string()));
                    self.lapse(&format!("neither the lease nor the journal can be seen: {error}"));
                }
            },
        }
    }

    /// A takeover opens an epoch in every stream, in the order of their names: the first one tells. A node of another configuration may
    /// not have that one, so some of the others are looked at as well, by turns.
    fn proof(&mut self) -> Proof {
        let others = self.watches.len().saturating_sub(1);
        let turn = std::mem::take(&mut self.leasing.proven).checked_rem(others).unwrap_or(0);
        self.leasing.proven = turn.saturating_add(PROOF_LOOKS);
        let by_turns = self.watches.keys().skip(1).cycle().skip(turn).take(PROOF_LOOKS.min(others));
        let looked_at: Vec<WatchName> = self.watches.keys().take(1).chain(by_turns).cloned().collect();
        looked_at
            .iter()
            .map(|watch| self.proof_of(watch))
            .find(|proof| !matches!(proof, Proof::Mine))
            .unwrap_or(Proof::Mine)
    }

    fn proof_of(&mut self, watch: &WatchName) -> Proof {
        let known = self.node.fold(watch).and_then(|fold| fold.head).map(|head| head.seq);
        match self.journal.head(&stream_of(watch)) {
            Ok(head) if head == known => Proof::Mine,
            // It may be a record of this node's own, whose end is not known yet: that is read back before anything else.
            Ok(_) if self.committer.has_of(watch) => Proof::Mine,
            Ok(_) => Proof::Taken,
            Err(error) => Proof::None(error),
        }
    }

    fn lapse(&mut self, why: &str) {
        tracing::warn!("node {} stands by: {why}", self.name);
        self.shared.count(|stats| stats.lease_lapses = stats.lease_lapses.saturating_add(1));
        let step = self.node.handle(Input::Lapsed, clock::now());
        self.carry_out_later(step);
    }

    /// Once, when it begins to.
    fn say_that_it_stands_by(&mut self, holder: Option<Holder>) {
        if self.node.role() != Role::Standby || std::mem::replace(&mut self.leasing.told_standby, true) {
            return;
        }
        let holder = holder.map_or_else(|| "another node".into(), |one| format!("{} (process {})", one.node, one.pid));
        tracing::info!("node {} stands by: {holder} is active", self.name);
    }

    /// With the lease but without a readable journal nobody can work: give the lease back, or end if it never will.
    fn unreadable(&mut self, error: &JournalError) {
        self.keeper.release();
        match error {
            JournalError::Corrupt(what) => self.ended = Some(super::Ended::Corrupt(what.clone())),
            JournalError::Stopped(what) => self.ended = Some(super::Ended::Unfinished(what.clone())),
            JournalError::Unavailable(what) => {
                if self.leasing.unreadable.as_ref() != Some(what) {
                    tracing::warn!("node {} has the lease and cannot work, it gives it back: {what}", self.name);
                    self.leasing.unreadable = Some(what.clone());
                }
                self.rest();
            }
        }
    }

    /// Seeks the lease no sooner than whoever works now can be seen: what could not be done just now would not be done at once either.
    pub(super) fn rest(&mut self) {
        self.leasing.rest_until = Some(clock::after(self.bounds.follow_every));
    }

    /// Rests no longer once it is time.
    pub(super) fn rested(&mut self) -> bool {
        self.leasing.rest_until.take_if(|until| *until <= clock::moment());
        self.leasing.rest_until.is_none()
    }
}
