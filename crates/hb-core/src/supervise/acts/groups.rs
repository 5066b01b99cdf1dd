//! Which alerts are told as one.
//!
//! Alerts of one agent and kind within the window are one group, and have one evaluation. When many agents fail within a moment, their
//! groups are closed again in favour of one about all of them. All of it is durable: a group that was open at a crash goes on with its
//! first stamp, and is not evaluated a second time (A7).

use std::collections::BTreeSet;

use super::super::alert::{AlertGroup, Concern, Severity};
use super::super::bounds::{GROUP_ALERTS_MAX, GROUPS_CLOSED_MAX, GROUPS_OPEN_MAX};
use super::super::event::About;
use super::super::timers::Timer;
use super::super::{Cause, Supervision};
use super::evaluate::Fires;
use super::{Alert, seconds_ns};
use crate::ids::{AgentId, GroupId, SupervisorId};
use crate::time::Now;

impl Concern {
    /// Whether many of them at once have one cause, and so are told as one.
    fn may_be_mass(self) -> bool {
        matches!(self, Self::Died | Self::Silent | Self::Down | Self::StartFailed)
    }
}

/// The key of a group about many agents. No name has a slash in it, so that it is no agent's.
pub(super) fn mass_key(supervisor: &SupervisorId, concern: Concern) -> String {
    format!("{supervisor}/mass_{}", concern.as_str())
}

impl Supervision {
    /// Something is wrong with an agent: its group grows, or a new one is opened and evaluated.
    pub(in super::super) fn concern(&mut self, alert: Alert, now: Now) {
        self.touched(&alert.agent);
        let Some(supervisor) = self.supervisor_of(&alert.agent) else { return };
        let key = format!("{}_{}", alert.agent, alert.concern.as_str());
        match self.open_group(&supervisor, &key) {
            Some(id) => self.grow(&id, &alert, now),
            None => self.open_new(supervisor, key, &alert, now),
        }
    }

    /// What was wrong with an agent is well again: its open group of this kind is resolved, and one about many once all of them are well.
    pub(in super::super) fn relieved(&mut self, agent: &AgentId, concern: Concern, now: Now) {
        self.touched(agent);
        self.one_less(agent, concern, now);
        let key = format!("{agent}_{}", concern.as_str());
        let Some(id) = self.supervisor_of(agent).and_then(|supervisor| self.open_group(&supervisor, &key)) else {
            return;
        };
        self.resolve(&id, &Cause::own(format!("{agent} is well again")), now);
    }

    fn one_less(&mut self, agent: &AgentId, concern: Concern, now: Now) {
        let mass = self.supervisor_of(agent).and_then(|one| self.open_group(&one, &mass_key(&one, concern)));
        let Some((id, unwell)) = mass.and_then(|id| Some((id.clone(), self.volatile.unwell.get_mut(&id)?))) else {
            return;
        };
        if unwell.remove(agent) && unwell.is_empty() {
            self.resolve(&id, &Cause::own("all of them are well again"), now);
        }
    }

    /// The open group with this key.
    fn open_group(&self, supervisor: &SupervisorId, key: &str) -> Option<GroupId> {
        let id = self.volatile.groups.get(&(supervisor.clone(), key.to_owned()))?;
        self.state.groups.get(id).filter(|group| group.resolved_at.is_none()).map(|group| group.id.clone())
    }

    fn grow(&mut self, id: &GroupId, alert: &Alert, now: Now) {
        let Some(group) = self.state.groups.get_mut(id) else { return };
        let worse = alert.severity > group.severity;
        group.severity = group.severity.max(alert.severity);
        group.count(alert.event);
        group.last_alert_at = now.wall;
        group.correlation_summary.clone_from(&alert.message);
        let evaluated = group.evaluated;
        self.window(id, now);
        // A group is evaluated once; again only when it has become worse than what was evaluated.
        if worse && evaluated {
            self.evaluate_and_tell(id, now);
        }
    }

    fn open_new(&mut self, supervisor: SupervisorId, key: String, alert: &Alert, now: Now) {
        let id = self.new_group(&supervisor, key, alert.concern, now);
        let Some(group) = self.state.groups.get_mut(&id) else { return };
        group.severity = alert.severity;
        group.count(alert.event);
        group.affected_agents.insert(alert.agent.clone());
        group.correlation_summary.clone_from(&alert.message);
        self.window(&id, now);
        let window = self.state.supervisors.get(&supervisor).map_or(0.0, |one| one.config.mass_window);
        if alert.concern.may_be_mass() && window > 0.0 {
            let timer = Timer::Mass(supervisor);
            if self.volatile.timers.when(&timer).is_none() {
                self.volatile.timers.set(timer, now.moment.plus_ns(seconds_ns(window)));
            }
        } else {
            self.evaluate_and_tell(&id, now);
        }
    }

    /// An empty group.
    pub(super) fn new_group(&mut self, supervisor: &SupervisorId, key: String, concern: Concern, now: Now) -> GroupId {
        self.make_room_for_group(now);
        let number = self.state.counters.group;
        self.state.counters.group = number.saturating_add(1);
        let id = GroupId::from(format!("g-{number}"));
        self.volatile.groups.insert((supervisor.clone(), key.clone()), id.clone());
        let group = AlertGroup {
            id: id.clone(),
            supervisor: supervisor.clone(),
            group_key: key,
            concern,
            severity: Severity::Info,
            alert_count: 0,
            alert_ids: Vec::new(),
            affected_agents: BTreeSet::new(),
            correlation_summary: String::new(),
            first_alert_at: now.wall,
            last_alert_at: now.wall,
            resolved_at: None,
            evaluated: false,
            unlooked: false,
        };
        self.state.groups.insert(id.clone(), group);
        id
    }

    /// Beyond the bound the oldest open group is closed, which its event tells.
    fn make_room_for_group(&mut self, now: Now) {
        if self.volatile.groups.len() < GROUPS_OPEN_MAX {
            return;
        }
        let open = |group: &&AlertGroup| group.resolved_at.is_none();
        let oldest = self.state.groups.values().filter(open).min_by_key(|group| group.last_alert_at);
        if let Some(oldest) = oldest.map(|group| group.id.clone()) {
            self.resolve(&oldest, &Cause::own(format!("closed for want of room: {GROUPS_OPEN_MAX} are open")), now);
        }
    }

    /// The window begins anew.
    pub(super) fn window(&mut self, id: &GroupId, now: Now) {
        let supervisor = self.state.groups.get(id).and_then(|group| self.state.supervisors.get(&group.supervisor));
        let window = supervisor.map_or(300.0, |supervisor| supervisor.config.alert_correlation_window);
        self.volatile.timers.set(Timer::Group(id.clone()), now.moment.plus_ns(seconds_ns(window)));
    }

    /// Closes a group.
    pub(in super::super) fn resolve(&mut self, id: &GroupId, cause: &Cause, now: Now) {
        let Some(group) = self.state.groups.get_mut(id).filter(|group| group.resolved_at.is_none()) else { return };
        group.resolved_at = Some(now.wall);
        group.unlooked = false;
        let (supervisor, key) = (group.supervisor.clone(), group.group_key.clone());
        let about = About { supervisor: Some(supervisor.clone()), group: Some(id.clone()), ..About::default() };
        self.volatile.timers.clear(&Timer::Group(id.clone()));
        self.volatile.groups.remove(&(supervisor, key));
        self.volatile.unlooked.remove(id);
        self.volatile.unwell.remove(id);
        self.volatile.closed_groups.push_back(id.clone());
        self.event("alert.resolved", Severity::Info, about, cause, now);
        if self.volatile.closed_groups.len() > GROUPS_CLOSED_MAX
            && let Some(oldest) = self.volatile.closed_groups.pop_front()
        {
            self.state.groups.remove(&oldest);
        }
    }

    /// The window has passed without another alert.
    pub(super) fn window_passed(&mut self, id: &GroupId, now: Now) {
        self.resolve(id, &Cause::own("no alert for the length of the window"), now);
    }

    /// A moment has passed since the first of several failures: they are told as one, or each for itself.
    pub(super) fn mass_due(&mut self, supervisor: &SupervisorId, now: Now) {
        let fresh: Vec<(GroupId, Concern)> = self
            .volatile
            .groups
            .range((supervisor.clone(), String::new())..)
            .take_while(|((owner, _), _)| owner == supervisor)
            .filter_map(|(_, id)| self.state.groups.get(id))
            .filter(|group| !group.evaluated && group.concern.may_be_mass())
            .map(|group| (group.id.clone(), group.concern))
            .collect();
        let enough = self
            .state
            .supervisors
            .get(supervisor)
            .map_or(usize::MAX, |one| usize::try_from(one.config.mass_agents).unwrap_or(usize::MAX));
        let kinds: BTreeSet<Concern> = fresh.iter().map(|(_, concern)| *concern).collect();
        for kind in kinds {
            let ids: Vec<GroupId> = fresh.iter().filter(|(_, c)| *c == kind).map(|(id, _)| id.clone()).collect();
            if ids.len() >= enough {
                self.tell_as_one(supervisor, kind, &ids, now);
            } else {
                ids.iter().for_each(|id| self.evaluate_and_tell(id, now));
            }
        }
    }

    fn tell_as_one(&mut self, supervisor: &SupervisorId, concern: Concern, ids: &[GroupId], now: Now) {
        let key = mass_key(supervisor, concern);
        let mass = self.open_group(supervisor, &key);
        let told = mass.as_ref().and_then(|id| self.state.groups.get(id)).map(|group| group.severity);
        let mass = mass.unwrap_or_else(|| self.new_group(supervisor, key, Concern::Mass, now));
        let parts: Vec<AlertGroup> = ids.iter().filter_map(|id| self.state.groups.get(id)).cloned().collect();
        let unwell = parts.iter().flat_map(|part| part.affected_agents.iter().cloned());
        self.volatile.unwell.entry(mass.clone()).or_default().extend(unwell);
        let worst = parts.iter().map(|part| part.severity).max();
        if let Some(group) = self.state.groups.get_mut(&mass) {
            for part in &parts {
                group.severity = group.severity.max(part.severity);
                group.alert_count = group.alert_count.saturating_add(part.alert_count);
                group.affected_agents.extend(part.affected_agents.iter().cloned());
                let room = GROUP_ALERTS_MAX.saturating_sub(group.alert_ids.len());
                group.alert_ids.extend(part.alert_ids.iter().copied().take(room));
            }
            group.last_alert_at = now.wall;
            let count = group.affected_agents.len();
            group.correlation_summary = format!("{count} agents within a moment: {}", concern.as_str());
        }
        self.window(&mass, now);
        for id in ids {
            if let Some(group) = self.state.groups.get_mut(id) {
                group.evaluated = true;
            }
            self.resolve(id, &Cause::own(format!("told as part of {mass}")), now);
        }
        // Evaluated once; again only when it has become worse than what was evaluated.
        if told.is_none() || worst > told {
            self.evaluate_and_tell(&mass, now);
        }
    }

    /// The one evaluation of a group, and its notification.
    pub(super) fn evaluate_and_tell(&mut self, id: &GroupId, now: Now) {
        let Some(group) = self.state.groups.get_mut(id) else { return };
        group.evaluated = true;
        let (severity, about) = (group.severity, group.affected_agents.iter().take(20).cloned().collect());
        let summary = group.correlation_summary.clone();
        let title = match group.affected_agents.first() {
            Some(agent) if group.affected_agents.len() == 1 => format!("{agent}: {summary}"),
            Some(_) | None => summary,
        };
        let supervisor = group.supervisor.clone();
        self.evaluate_group(id, Fires::Whenever, now);
        if severity >= Severity::Error {
            let text = format!("group {id} of supervisor {supervisor}");
            self.tell(&format!("group/{id}/{}", severity.as_str()), severity, (title, text), (supervisor, about), now);
        }
    }

    /// Which supervisor looks after an agent: that of its team, else the first root that is not over.
    #[must_use]
    pub fn supervisor_of(&self, agent: &AgentId) -> Option<SupervisorId> {
        let team = self.state.agents.get(agent).and_then(|agent| agent.team.as_ref());
        let of_team = team.and_then(|team| self.state.teams.get(team)).map(|team| team.supervisor.clone());
        of_team.or_else(|| self.first_root())
    }

    /// The first root that is not over.
    pub(in super::super) fn first_root(&self) -> Option<SupervisorId> {
        use super::super::tree::WantedLifecycle;
        let mut supervisors = self.state.supervisors.values();
        supervisors
            .find(|one| one.parent.is_none() && one.wanted != WantedLifecycle::Terminated)
            .map(|one| one.id.clone())
    }
}
