//! What is supervised, as it is shown: agents by team, what was done about them, and what they add up to.

use std::collections::BTreeMap;

use hb_core::time::Stamp;
use serde::Serialize;
use serde_json::Value;

use crate::cli::told::Doc as _;
use crate::shown::Shown;

/// Agents that are asked for at once.
pub(super) const AGENTS_PAGE: usize = 1_000;
/// Most agents that are kept (B1).
pub(super) const AGENTS_MAX: usize = 10_000;
/// Most interventions that are kept (B1).
pub(super) const INTERVENTIONS_MAX: usize = 20;

/// Everything that is supervised.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Supervision {
    /// The node whose word this is; empty where none gives it.
    pub told_by: Shown,
    /// `active`, `paused`, `degraded`, `recovering`, `starting`, `stopping`, `standby`.
    pub presence: Shown,
    /// Why it is not as it should be.
    pub reasons: Vec<Shown>,
    /// Why nothing can be told; empty where it can.
    pub unknown: Shown,
    /// Agents by state, and `all`.
    pub states: BTreeMap<Shown, u64>,
    /// Restarts since the first start.
    pub restarts: u64,
    /// Interventions that wait or are under way.
    pub interventions_open: u64,
    /// Groups of alerts that are open.
    pub groups_open: u64,
    /// Teams by name; agents of no team under an empty name, at the end.
    pub teams: Vec<TeamLine>,
    /// The newest interventions, the newest first.
    pub interventions: Vec<InterventionLine>,
}

/// A team.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct TeamLine {
    /// Its name; empty for agents of no team.
    pub team: Shown,
    /// Its agents, the worst first.
    pub agents: Vec<AgentLine>,
}

/// An agent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AgentLine {
    /// Its name.
    pub agent: Shown,
    /// `process`, `heartbeat`, `probe`.
    pub kind: Shown,
    /// Where it stands: `RUNNING`, `FAILED` …
    pub status: Shown,
    /// How it is: `healthy`, `degraded`, `unresponsive` …
    pub health: Shown,
    /// Whether it is wanted to run.
    pub wanted: Shown,
    /// Since when it stands there.
    pub since: Option<Stamp>,
    /// Restarts of it.
    pub restarts: u64,
    /// Whether it is not restarted any more.
    pub given_up: bool,
    /// When it is started next, where it waits for that.
    pub next_start: Option<Stamp>,
    /// What was last said of it.
    pub said: Shown,
    /// How it last ended.
    pub last_exit: Shown,
}

/// An intervention.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InterventionLine {
    /// Its name.
    pub intervention: Shown,
    /// What is done.
    pub what: Shown,
    /// To whom.
    pub target: Shown,
    /// Where it stands.
    pub status: Shown,
    /// Why.
    pub reason: Shown,
    /// Who or which policy asked.
    pub by: Shown,
    /// When it was asked for.
    pub at: Option<Stamp>,
    /// When it was over.
    pub over: Option<Stamp>,
    /// Why it failed.
    pub fault: Shown,
    /// Whether it waits for somebody who agrees.
    pub waits: bool,
}

impl Supervision {
    /// Of a node's status; agents and interventions come later.
    pub(super) fn of(status: &Value) -> Self {
        let presence = status.sub("presence");
        let reasons = presence.items("reasons").iter().filter_map(Value::as_str).map(Shown::of);
        let states = status.sub("agents").as_object().into_iter().flatten();
        Self {
            told_by: Shown::of(&status.text("node")),
            presence: Shown::of(&presence.text("state")),
            reasons: reasons.take(10).collect(),
            states: states.filter_map(|(state, count)| Some((Shown::of(state), count.as_u64()?))).take(32).collect(),
            restarts: status.count("total_restarts"),
            interventions_open: status.count("interventions_open"),
            groups_open: status.count("alert_groups_open"),
            ..Self::default()
        }
    }

    /// Of what `hb status --json` says of it.
    pub(super) fn of_summary(status: &Value) -> Self {
        let (agents, supervisors) = (status.sub("agents"), status.sub("supervisors"));
        let unknown = supervisors.text("unknown");
        if !unknown.is_empty() {
            return Self::unknown(&unknown);
        }
        let presence = serde_json::json!({"state": supervisors.text("presence")});
        Self::of(&serde_json::json!({"node": supervisors.text("node"), "presence": presence, "agents": agents}))
    }

    /// Something is supervised, and nothing can be told of it.
    pub(super) fn unknown(why: &str) -> Self {
        Self { unknown: Shown::of(why), ..Self::default() }
    }

    /// Agents in a state, by its name in documents: `up`, `failed` …
    #[must_use]
    pub fn count(&self, state: &str) -> u64 {
        self.states.iter().find(|(name, _)| name.as_str() == state).map_or(0, |(_, count)| *count)
    }

    /// Every agent.
    pub(super) fn agents(&self) -> impl Iterator<Item = &AgentLine> {
        self.teams.iter().flat_map(|team| &team.agents)
    }
}

impl AgentLine {
    fn of(document: &Value) -> Self {
        let text = |key: &str| Shown::of(&document.text(key));
        Self {
            agent: text("id"),
            kind: text("kind"),
            status: text("status"),
            health: text("health_status"),
            wanted: text("wanted"),
            since: document.stamp("since"),
            restarts: document.count("restart_count"),
            given_up: document.truth("given_up"),
            next_start: document.stamp("next_start_not_before"),
            said: text("said"),
            last_exit: text("last_exit"),
        }
    }

    /// Worst first: 0 is bad, 1 is worth a look, 2 is as it should be or not wanted.
    pub(super) fn rank(&self) -> u8 {
        match (self.status.as_str(), self.health.as_str()) {
            _ if self.given_up => 0,
            ("FAILED" | "QUARANTINED", _) | (_, "unresponsive") => 0,
            ("SPAWNING" | "DEGRADED", _) | (_, "stale" | "degraded") => 1,
            _ => 2,
        }
    }
}

impl InterventionLine {
    pub(super) fn of(document: &Value) -> Self {
        let text = |key: &str| Shown::of(&document.text(key));
        let policy = document.sub("policy").get(0).and_then(Value::as_str).map(|name| format!("policy {name}"));
        Self {
            intervention: text("id"),
            what: Shown::of(&document.text("intervention_type").to_lowercase().replace('_', " ")),
            target: text("target_id"),
            status: text("status"),
            reason: text("reason"),
            by: policy.map_or_else(|| text("requested_by"), |policy| Shown::of(&policy)),
            at: document.stamp("created_at"),
            over: document.stamp("completed_at"),
            fault: text("error_message"),
            waits: document.text("status") == "PENDING" && document.truth("approval_required"),
        }
    }
}

/// Agents' documents by team, teams by name, those of no team last; in each the worst first.
pub(super) fn teams(agents: &[Value]) -> Vec<TeamLine> {
    let mut teams: BTreeMap<(u8, Shown), Vec<AgentLine>> = BTreeMap::new();
    for document in agents.iter().take(AGENTS_MAX) {
        let team = Shown::of(&document.text("team_id"));
        teams.entry((u8::from(team.is_empty()), team)).or_default().push(AgentLine::of(document));
    }
    let line = |((_, team), mut agents): ((u8, Shown), Vec<AgentLine>)| {
        agents.sort_by(|a, b| (a.rank(), &a.agent).cmp(&(b.rank(), &b.agent)));
        TeamLine { team, agents }
    };
    teams.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn teams_are_told_by_name_with_their_worst_agents_first() {
        let agent = |id: &str, team: Option<&str>, status: &str| json!({"id": id, "team_id": team, "status": status});
        let agents = [
            agent("z", None, "RUNNING"),
            agent("a", Some("web"), "RUNNING"),
            agent("b", Some("web"), "FAILED"),
            agent("c", Some("db"), "IDLE"),
        ];
        let told: Vec<_> = teams(&agents)
            .into_iter()
            .map(|team| {
                (team.team.to_string(), team.agents.iter().map(|one| one.agent.to_string()).collect::<String>())
            })
            .collect();
        assert_eq!(told, [("db".into(), "c".into()), ("web".into(), "ba".to_owned()), (String::new(), "z".into())]);
    }
}
