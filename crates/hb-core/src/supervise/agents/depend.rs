//! Who waits for whom: an agent is started after those that it depends on are up, and stopped before they are.
//!
//! **Invariants.** Dependencies have no cycle: what would close one is refused when it is made known.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::Supervision;
use super::super::agent::Agent;
use super::super::spec::AgentSpec;
use super::drain::is_over;
use crate::ids::AgentId;

impl Supervision {
    /// What is wrong with the dependencies of an agent that is to be made known or changed: unknown ones, itself, a cycle.
    pub(in crate::supervise) fn depend_faults(&self, spec: &AgentSpec) -> Option<String> {
        let mut seen = BTreeSet::new();
        let mut open: Vec<(AgentId, Vec<AgentId>)> = Vec::new();
        for needed in &spec.depends_on {
            if *needed == spec.id {
                return Some(format!("{} cannot depend on itself", spec.id));
            }
            if !self.state.agents.contains(needed) {
                return Some(format!("it depends on {needed}, which is not known: register that first"));
            }
            open.push((needed.clone(), vec![spec.id.clone(), needed.clone()]));
        }
        while let Some((at, path)) = open.pop() {
            if !seen.insert(at.clone()) {
                continue;
            }
            for next in self.state.agents.get(&at).map_or(&[][..], |agent| &agent.spec.depends_on) {
                let path: Vec<AgentId> = path.iter().chain([next]).cloned().collect();
                if *next == spec.id {
                    let words: Vec<&str> = path.iter().map(AgentId::as_str).collect();
                    return Some(format!("its dependencies go round in a circle: {}", words.join(" needs ")));
                }
                open.push((next.clone(), path));
            }
        }
        None
    }

    /// These agents in an order in which each stands after those of them that it depends on.
    pub(in crate::supervise) fn start_order(&self, ids: &[AgentId]) -> Vec<AgentId> {
        let needs = |id: &AgentId| self.state.agents.get(id).map_or(&[][..], |agent| &agent.spec.depends_on[..]);
        ordered(ids, needs)
    }

    /// Its start waits for these to be up.
    pub(super) fn wait_for(&mut self, missing: &[AgentId], id: &AgentId) {
        self.waits_no_more(id);
        self.volatile.waiting.extend(missing.iter().map(|one| (one.clone(), id.clone())));
    }

    /// Whether its start waits for others.
    pub(super) fn is_waiting(&self, id: &AgentId) -> bool {
        let needs = self.state.agents.get(id).map_or(&[][..], |agent| &agent.spec.depends_on);
        needs.iter().any(|one| self.volatile.waiting.contains(&(one.clone(), id.clone())))
    }

    /// It does not wait for others any more.
    pub(super) fn waits_no_more(&mut self, id: &AgentId) {
        let needs = self.state.agents.get(id).map_or(&[][..], |agent| &agent.spec.depends_on);
        for one in needs {
            self.volatile.waiting.remove(&(one.clone(), id.clone()));
        }
    }

    /// Whose start waits for an agent.
    pub(super) fn waiters(&self, up: &AgentId) -> Vec<AgentId> {
        let from = (up.clone(), AgentId::from(""));
        let waiting = self.volatile.waiting.range(from..).take_while(|(needed, _)| needed == up);
        waiting.map(|(_, id)| id.clone()).collect()
    }

    /// What an agent depends on and is not up.
    pub(super) fn missing(&self, id: &AgentId) -> Vec<AgentId> {
        let Some(agent) = self.state.agents.get(id) else { return Vec::new() };
        let is_up = |one: &AgentId| {
            self.state.agents.get(one).is_some_and(|agent| agent.lifecycle.is_up())
                && !self.volatile.recovering.contains(one)
        };
        agent.spec.depends_on.iter().filter(|one| !is_up(one)).cloned().collect()
    }

    /// What agents depend on whose process runs.
    pub(super) fn needed_by_running(&self) -> BTreeSet<AgentId> {
        self.running().flat_map(|agent| agent.spec.depends_on.iter().cloned()).collect()
    }

    /// Whether an agent depends on it whose process runs.
    pub(super) fn is_needed(&self, id: &AgentId) -> bool {
        self.running().any(|agent| agent.spec.depends_on.contains(id))
    }

    fn running(&self) -> impl Iterator<Item = &Agent> {
        self.state.agents.values().filter(|agent| !is_over(agent))
    }

    /// Who depends on it.
    pub(super) fn dependents(&self, id: &AgentId) -> Vec<AgentId> {
        self.state
            .agents
            .iter()
            .filter(|(_, agent)| agent.spec.depends_on.contains(id))
            .map(|(other, _)| other.clone())
            .collect()
    }
}

/// Specifications in an order in which each stands after those of them that it depends on; what goes round in a circle comes last, to be refused.
pub(in crate::supervise) fn in_start_order(specs: Vec<Arc<AgentSpec>>) -> Vec<Arc<AgentSpec>> {
    let ids: Vec<AgentId> = specs.iter().map(|spec| spec.id.clone()).collect();
    let mut by_id: BTreeMap<AgentId, Vec<Arc<AgentSpec>>> = BTreeMap::new();
    for spec in specs {
        by_id.entry(spec.id.clone()).or_default().push(spec);
    }
    let order =
        ordered(&ids, |id| by_id.get(id).and_then(|specs| specs.first()).map_or(&[][..], |spec| &spec.depends_on));
    order.into_iter().filter_map(|id| by_id.remove(&id)).flatten().collect()
}

fn ordered<'a>(ids: &[AgentId], needs: impl Fn(&AgentId) -> &'a [AgentId]) -> Vec<AgentId> {
    let mut left: BTreeMap<&AgentId, usize> = ids.iter().map(|id| (id, 0)).collect();
    let mut followers: BTreeMap<&AgentId, Vec<&AgentId>> = BTreeMap::new();
    for id in ids {
        let needed: BTreeSet<&AgentId> = needs(id).iter().filter(|one| left.contains_key(one)).collect();
        left.insert(id, needed.len());
        for one in needed {
            followers.entry(one).or_default().push(id);
        }
    }
    let mut free: BTreeSet<&AgentId> = left.iter().filter(|(_, needed)| **needed == 0).map(|(id, _)| *id).collect();
    let mut order = Vec::with_capacity(ids.len());
    while let Some(id) = free.pop_first() {
        order.push(id.clone());
        left.remove(id);
        for follower in followers.get(id).into_iter().flatten() {
            if let Some(needed) = left.get_mut(follower) {
                *needed = needed.saturating_sub(1);
                if *needed == 0 {
                    free.insert(follower);
                }
            }
        }
    }
    order.extend(left.into_keys().cloned());
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(needs: &[(&str, &[&str])]) -> Vec<String> {
        let needs: BTreeMap<AgentId, Vec<AgentId>> =
            needs.iter().map(|(id, on)| ((*id).into(), on.iter().map(|one| (*one).into()).collect())).collect();
        let ids: Vec<AgentId> = needs.keys().cloned().collect();
        ordered(&ids, |id| &needs[id]).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn dependencies_come_first_and_circles_last() {
        assert_eq!(order(&[("api", &["db", "queue"]), ("db", &[]), ("queue", &["db"])]), ["db", "queue", "api"]);
        assert_eq!(order(&[("a", &["elsewhere"]), ("b", &["a", "a"])]), ["a", "b"]);
        assert_eq!(order(&[("a", &["b"]), ("b", &["a"]), ("c", &[])]), ["c", "a", "b"]);
    }
}
