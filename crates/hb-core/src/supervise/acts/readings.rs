//! What does a watch's decision say about the agent that the watch speaks for? (the join)
//!
//! A decision is a reading from 0 (PASS) to 1 (FAIL). The score is their exponential mean with weight one half, so that three FAIL in a
//! row give 0.875; readings of at least one half count as anomalous. NO_BASELINE says nothing and is no reading; NO_DATA says that nothing
//! was heard, which is not well (W5). Each decision is taken in once: its position is part of the state.

use super::super::agent::Anomaly;
use super::super::alert::{Concern, Severity};
use super::super::event::About;
use super::super::input::Decision;
use super::super::state::Cursor;
use super::super::{Cause, Supervision};
use crate::ids::{AgentId, CycleNo, Seq, WatchName};
use crate::time::Now;

/// Weight of the newest reading.
const WEIGHT: f64 = 0.5;
/// From here on a reading is anomalous.
const ANOMALOUS: f64 = 0.5;

/// What a status is worth.
fn reading(status: &str) -> Option<(f64, Severity)> {
    match status {
        "PASS" => Some((0.0, Severity::Info)),
        "PASS_WITH_DRIFT" => Some((0.6, Severity::Warning)),
        "NO_DATA" => Some((0.8, Severity::Warning)),
        "FAIL" => Some((1.0, Severity::Error)),
        _ => None,
    }
}

impl Supervision {
    /// A watch is followed from here on: known before its first decision comes, so that none is skipped when hb ends in between.
    pub(in super::super) fn following(&mut self, watch: WatchName, after: Seq) {
        if !self.state.cursors.contains(&watch) {
            self.state.cursors.insert(watch, Cursor { seq: after, cycle: CycleNo(0) });
        }
    }

    /// Nobody names this watch any more: what it decides until somebody does again will not be held against them.
    pub(in super::super) fn unfollow(&mut self, watch: &WatchName) {
        if !self.state.agents.values().any(|agent| agent.spec.watch.as_ref() == Some(watch)) {
            self.state.cursors.remove(watch);
        }
    }

    /// A watch decided a cycle.
    pub(in super::super) fn decided(&mut self, decision: &Decision, now: Now) {
        if self.state.cursors.get(&decision.watch).is_some_and(|cursor| cursor.seq >= decision.seq) {
            return;
        }
        self.state.cursors.insert(decision.watch.clone(), Cursor { seq: decision.seq, cycle: decision.cycle });
        let speaks_for = |agent: &&super::super::agent::Agent| agent.spec.watch.as_ref() == Some(&decision.watch);
        let agents: Vec<AgentId> = self.state.agents.values().filter(speaks_for).map(|one| one.id().clone()).collect();
        let Some((worth, severity)) = reading(&decision.status) else { return };
        for id in agents {
            self.read(&id, decision, worth, severity, now);
        }
    }

    /// Another watch speaks for an agent, or none: what the one before said of it is over.
    pub(in super::super) fn forget_readings(&mut self, id: &AgentId, now: Now) {
        let Some(agent) = self.state.agents.get(id).filter(|agent| agent.anomaly != Anomaly::default()) else { return };
        let id = agent.id().clone();
        if let Some(agent) = self.state.agents.get_mut(&id) {
            agent.anomaly = Anomaly::default();
        }
        let cause = Cause::own("another watch speaks for it, or none: what was read before is forgotten");
        self.event("agent.anomaly.over", Severity::Info, About::agent(&id), &cause, now);
        self.relieved(&id, Concern::Anomaly, now);
    }

    #[expect(clippy::too_many_arguments, reason = "a reading has these parts")]
    fn read(&mut self, id: &AgentId, decision: &Decision, worth: f64, severity: Severity, now: Now) {
        let Some(agent) = self.state.agents.get_mut(id) else { return };
        let anomalous = worth >= ANOMALOUS;
        let before = agent.anomaly.clone();
        agent.anomaly = Anomaly {
            score: WEIGHT.mul_add(worth, (1.0 - WEIGHT) * before.score),
            consecutive: if anomalous { before.consecutive.saturating_add(1) } else { 0 },
            cycle: Some(decision.cycle),
            status: Some(decision.status.clone()),
            drivers: decision.drivers.clone(),
        };
        let readings = agent.anomaly.consecutive;
        let evaluations = self.state.counters.evaluation;
        if anomalous {
            let drivers =
                if decision.drivers.is_empty() { String::new() } else { format!(" ({})", decision.drivers.join(", ")) };
            let watch = (&decision.watch, decision.cycle, &decision.status);
            let why =
                format!("watch {} decided cycle {} as {}{drivers}; {readings} in a row", watch.0, watch.1, watch.2);
            self.alert(id, Concern::Anomaly, severity, &Cause::own(why), now);
        } else if before.consecutive > 0 {
            let why = format!("watch {} decided cycle {} as {}", decision.watch, decision.cycle, decision.status);
            self.event("agent.anomaly.over", Severity::Info, About::agent(id), &Cause::own(why), now);
            self.relieved(id, Concern::Anomaly, now);
        }
        // A group that was opened for it has had the policies look at the agent already.
        if self.state.counters.evaluation == evaluations {
            self.evaluate_agent(id, now);
        }
    }
}
