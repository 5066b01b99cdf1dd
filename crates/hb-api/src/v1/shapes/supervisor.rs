//! A supervisor, a team, and the tree with what it adds up to.

use std::collections::{BTreeMap, BTreeSet};

use hb_core::ids::{SupervisorId, TeamId};
use hb_core::supervise::Supervision;
use hb_core::supervise::agent::{Agent, Health, Origin};
use hb_core::supervise::alert::Severity;
use hb_core::supervise::policy::Assignment;
use hb_core::supervise::tree::{Membership, Supervisor, SupervisorConfig, SupervisorStatus, Team, WantedLifecycle};
use hb_core::time::Stamp;
use serde::Serialize;

/// Levels of the tree that an answer shows at most; the tree itself has at most ten (B1).
const DEPTH_MAX: usize = 16;

/// A supervisor.
#[derive(Debug, Serialize)]
pub(crate) struct SupervisorDoc {
    id: SupervisorId,
    name: String,
    description: String,
    status: SupervisorStatus,
    wanted: WantedLifecycle,
    origin: Origin,
    parent_id: Option<SupervisorId>,
    hierarchy_level: u32,
    config: SupervisorConfig,
    pub(crate) config_version: u64,
    policies: Vec<Assignment>,
    teams: Vec<TeamId>,
    failure_reason: Option<String>,
    created_at: Stamp,
    updated_at: Stamp,
    last_heartbeat: Option<Stamp>,
    last_policy_evaluation: Option<Stamp>,
}

impl SupervisorDoc {
    pub(crate) fn of(supervision: &Supervision, one: &Supervisor) -> Self {
        let teams = supervision.state().teams.values().filter(|team| team.supervisor == one.id);
        Self {
            id: one.id.clone(),
            name: one.name.clone(),
            description: one.description.clone(),
            status: one.status,
            wanted: one.wanted,
            origin: one.origin,
            parent_id: one.parent.clone(),
            hierarchy_level: one.level,
            config: one.config.clone(),
            config_version: one.config_version,
            policies: one.policies.clone(),
            teams: teams.map(|team| team.id.clone()).collect(),
            failure_reason: one.failure_reason.clone(),
            created_at: one.created_at,
            updated_at: one.updated_at,
            last_heartbeat: one.last_heartbeat,
            last_policy_evaluation: one.last_policy_evaluation,
        }
    }
}

/// A team.
#[derive(Debug, Serialize)]
pub(crate) struct TeamDoc {
    id: TeamId,
    supervisor_id: SupervisorId,
    name: String,
    description: String,
    objective: String,
    origin: Origin,
    member_count: usize,
    active_count: usize,
    members: Vec<Membership>,
}

impl TeamDoc {
    pub(crate) fn of(supervision: &Supervision, team: &Team) -> Self {
        let agents = &supervision.state().agents;
        let up = |member: &&Membership| agents.get(&member.agent).is_some_and(|agent| agent.lifecycle.is_up());
        Self {
            id: team.id.clone(),
            supervisor_id: team.supervisor.clone(),
            name: team.name.clone(),
            description: team.description.clone(),
            objective: team.objective.clone(),
            origin: team.origin,
            member_count: team.open().count(),
            active_count: team.open().filter(up).count(),
            members: team.open().cloned().collect(),
        }
    }
}

/// What a part of the tree adds up to.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Aggregate {
    supervisors: usize,
    agents: usize,
    agents_by_health: BTreeMap<&'static str, usize>,
    open_interventions: usize,
    open_alert_groups: usize,
    worst_severity: Option<Severity>,
}

impl Aggregate {
    fn add(&mut self, other: &Self) {
        self.supervisors = self.supervisors.saturating_add(other.supervisors);
        self.agents = self.agents.saturating_add(other.agents);
        for (health, count) in &other.agents_by_health {
            let held = self.agents_by_health.entry(health).or_default();
            *held = held.saturating_add(*count);
        }
        self.open_interventions = self.open_interventions.saturating_add(other.open_interventions);
        self.open_alert_groups = self.open_alert_groups.saturating_add(other.open_alert_groups);
        self.worst_severity = self.worst_severity.max(other.worst_severity);
    }

    fn count(&mut self, agent: &Agent) {
        let health: Health = agent.health();
        self.agents = self.agents.saturating_add(1);
        let held = self.agents_by_health.entry(health.as_str()).or_default();
        *held = held.saturating_add(1);
    }
}

/// A supervisor in the tree, with what it and everything below it adds up to.
#[derive(Debug, Serialize)]
pub(crate) struct Branch {
    id: SupervisorId,
    name: String,
    status: SupervisorStatus,
    hierarchy_level: u32,
    own: Aggregate,
    total: Aggregate,
    children: Vec<Self>,
}

/// A supervisor with those above and below it.
#[derive(Debug, Serialize)]
pub(crate) struct HierarchyDoc {
    ancestors: Vec<SupervisorId>,
    #[serde(flatten)]
    branch: Branch,
}

impl HierarchyDoc {
    pub(crate) fn of(supervision: &Supervision, id: &SupervisorId) -> Option<Self> {
        let own = own(supervision);
        let branch = branch(supervision, id, &own, DEPTH_MAX)?;
        let mut ancestors = Vec::new();
        let mut seen = BTreeSet::from([id.clone()]);
        let above = |id: &SupervisorId| supervision.state().supervisors.get(id).and_then(|one| one.parent.clone());
        let mut at = above(id);
        while let Some(parent) = at.filter(|parent| seen.insert(parent.clone())) {
            at = above(&parent);
            ancestors.push(parent);
        }
        Some(Self { ancestors, branch })
    }
}

/// What each supervisor looks after itself, in one pass over everything.
fn own(supervision: &Supervision) -> BTreeMap<SupervisorId, Aggregate> {
    let state = supervision.state();
    let mut all: BTreeMap<SupervisorId, Aggregate> = BTreeMap::new();
    for agent in state.agents.values() {
        if let Some(supervisor) = supervision.supervisor_of(agent.id()) {
            all.entry(supervisor).or_default().count(agent);
        }
    }
    for one in state.interventions.values().filter(|one| !one.status.is_over()) {
        let held = all.entry(one.supervisor.clone()).or_default();
        held.open_interventions = held.open_interventions.saturating_add(1);
    }
    for group in state.groups.values().filter(|group| group.resolved_at.is_none()) {
        let held = all.entry(group.supervisor.clone()).or_default();
        held.open_alert_groups = held.open_alert_groups.saturating_add(1);
        held.worst_severity = held.worst_severity.max(Some(group.severity));
    }
    all
}

fn branch(
    supervision: &Supervision,
    id: &SupervisorId,
    all: &BTreeMap<SupervisorId, Aggregate>,
    depth: usize,
) -> Option<Branch> {
    let supervisors = &supervision.state().supervisors;
    let one = supervisors.get(id)?;
    let own = Aggregate { supervisors: 1, ..all.get(id).cloned().unwrap_or_default() };
    let below = depth.checked_sub(1);
    let children: Vec<Branch> = supervisors
        .values()
        .filter(|child| child.parent.as_ref() == Some(id))
        .filter_map(|child| branch(supervision, &child.id, all, below?))
        .collect();
    let mut total = own.clone();
    for child in &children {
        total.add(&child.total);
    }
    let (id, name) = (id.clone(), one.name.clone());
    Some(Branch { id, name, status: one.status, hierarchy_level: one.level, own, total, children })
}
