//! What must be true of a site whatever was done to it.

use std::collections::{BTreeMap, BTreeSet};

use hb_core::supervise::agent::Lifecycle;
use hb_core::supervise::intervention::{InterventionStatus, StepState};
use hb_core::supervise::state::Fold;

use super::site::{Site, lives};
use crate::support::project::told;

/// Records, tables, events, starts and interventions agree, and each happened once.
pub(crate) fn assert_sound(site: &Site, fold: &Fold) {
    assert_recorded(site);
    assert_starts(site, fold);
    assert_interventions(site, fold);
}

/// Records and tables agree, and no event is missing.
pub(crate) fn assert_recorded(site: &Site) {
    let verified = site.project.hb(&["verify"]);
    assert!(verified.status.success(), "{}", told(&verified));
    assert_events(site);
}

/// One gapless sequence of events.
fn assert_events(site: &Site) {
    for (number, event) in (0_u64..).zip(site.events()) {
        assert_eq!(event.id, number, "events are numbered without gaps: {event:?}");
    }
}

/// No incarnation was started twice, none beside another, and what is recorded to live is what was started last.
pub(crate) fn assert_starts(site: &Site, fold: &Fold) {
    assert_eq!(site.twice(), "", "agents that were alive twice at once");
    let mut newest: BTreeMap<String, (u64, u32)> = BTreeMap::new();
    for start in site.starts() {
        let before = newest.insert(start.agent.clone(), (start.incarnation, start.pid));
        let later = before.is_none_or(|(incarnation, _)| start.incarnation > incarnation);
        assert!(later, "an incarnation was started twice or out of order, after {before:?}: {start:?}");
    }
    for agent in fold.state.agents.values().filter(|agent| agent.lifecycle.is_up()) {
        let identity = agent.process.identity();
        assert!(lives(identity), "{} is recorded as up: {identity:?}", agent.id());
        if let Some((incarnation, pid)) = newest.get(agent.id().as_str()) {
            let lag = "its program has not written this start down yet";
            assert!(*incarnation <= agent.incarnation, "{}: {incarnation} > {}", agent.id(), agent.incarnation);
            if *incarnation == agent.incarnation {
                assert_eq!(Some(*pid), identity.map(|identity| identity.pid), "{}: {lag}", agent.id());
            }
        }
    }
}

/// Every number given out was planned once and ended once; no two steps brought up one incarnation, nothing hangs.
pub(crate) fn assert_interventions(site: &Site, fold: &Fold) {
    let mut planned = BTreeMap::new();
    let mut ended = BTreeMap::new();
    for event in site.events() {
        let Some(id) = event.about.intervention.clone().filter(|_| event.kind.starts_with("intervention.")) else {
            continue;
        };
        match event.kind.as_str() {
            "intervention.planned" => *planned.entry(id.to_string()).or_insert(0) += 1,
            "intervention.completed" | "intervention.failed" | "intervention.rejected" => {
                *ended.entry(id.to_string()).or_insert(0) += 1;
            }
            _ => {}
        }
    }
    let given = fold.state.counters.intervention;
    assert_eq!(planned.len() as u64, given, "each intervention was planned: {planned:?}");
    assert!(planned.values().all(|times| *times == 1), "planned twice: {planned:?}");
    assert!(ended.values().all(|times| *times == 1), "ended twice: {ended:?}");
    assert_eq!(planned.len(), ended.len(), "each came to one end: {planned:?} {ended:?}");
    let mut brought_up = BTreeSet::new();
    for one in fold.state.interventions.values() {
        assert!(one.status.is_over() && one.status != InterventionStatus::InDoubt, "{one:#?}");
        for step in &one.plan {
            assert!(!matches!(step.state, StepState::Waiting | StepState::Begun | StepState::InDoubt), "{one:#?}");
            // One that failed before its incarnation began has left that number to the next.
            if let Some(incarnation) = step.incarnation.filter(|_| step.state == StepState::Done) {
                let fresh = brought_up.insert((step.act.agent().clone(), incarnation));
                assert!(fresh, "two steps for incarnation {incarnation}: {one:#?}");
            }
        }
    }
}

/// How many agents are set aside.
pub(crate) fn quarantined(fold: &Fold) -> usize {
    fold.state.agents.values().filter(|agent| agent.lifecycle == Lifecycle::Quarantined).count()
}
