//! Reading beside the writer.

use hb_core::supervise::alert::Severity;
use hb_core::supervise::history::{EvaluationFilter, EventFilter, GroupFilter, InterventionFilter, PAGE_MAX, Page};
use hb_core::supervise::intervention::InterventionStatus;
use hb_store::supervisor::read::SupervisorReader;

use super::support::{Place, agent, agents, commit, group, intervention};

#[test]
fn what_was_recorded_is_read_back_as_it_was_while_the_writer_writes() {
    let place = Place::new();
    let mut chain = place.filled();
    let mut db = place.open();
    let reader = SupervisorReader::open(&place.path()).unwrap();
    assert_eq!(reader.state().unwrap(), chain.fold);
    let record = chain.change_with(agents([agent("new")]), 2, 2);
    commit(&mut db, std::slice::from_ref(&record));
    let body = &record.record.body;
    assert_eq!(reader.event(body.events()[1].id).unwrap().as_ref(), body.events().last());
    assert_eq!(reader.evaluation(body.evaluations()[0].id).unwrap().as_ref(), body.evaluations().first());
    let i1 = intervention(1, InterventionStatus::Executing);
    assert_eq!(reader.intervention(&i1.id).unwrap(), Some(i1));
    assert_eq!(reader.group(&"g-2".into()).unwrap(), Some(group(2, Some(9))));
    assert_eq!(reader.agent(&"new".into()).unwrap(), Some(agent("new")));
    assert_eq!(reader.agent(&"none".into()).unwrap(), None);
    let names: Vec<_> =
        reader.agents(Some(&"agent-8".into()), 5).unwrap().iter().map(|one| one.id().to_string()).collect();
    assert_eq!(names, ["agent-9", "new"]);
    let counts = reader.counts().unwrap();
    assert_eq!((counts.supervisors, counts.agents["RUNNING"], counts.open_groups), (2, 11, 1));
    assert_eq!(reader.supervisors().unwrap()[1].health_metrics["active_interventions"], 1);
    assert_eq!(reader.state().unwrap(), chain.fold);
}

#[test]
fn pages_and_filters() {
    let place = Place::new();
    place.filled();
    let reader = SupervisorReader::open(&place.path()).unwrap();
    let ids = |filter: &EventFilter, page: Page| -> Vec<u64> {
        reader.events(filter, page).unwrap().iter().map(|event| event.id).collect()
    };
    let all = EventFilter::default();
    assert_eq!(ids(&all, Page::newest(3)), [24, 23, 22]);
    assert_eq!(ids(&all, Page { after: Some(22), ..Page::newest(3) }), [21, 20, 19]);
    assert_eq!(ids(&all, Page::since(Some(22), 10)), [23, 24]);
    assert_eq!(ids(&all, Page::since(None, 2)), [0, 1]);
    assert_eq!(ids(&all, Page::newest(PAGE_MAX * 9)).len(), 25);
    let severe = EventFilter { severity: Some(Severity::Error), ..all.clone() };
    assert_eq!(ids(&severe, Page::newest(3)), [23, 22, 19]);
    let agent = EventFilter { agent: Some("agent-4".into()), ..all.clone() };
    assert_eq!(ids(&agent, Page::newest(9)), [24, 14, 4]);
    let kind = EventFilter { kind: Some("agent.*".into()), supervisor: Some("root".into()), ..all.clone() };
    assert_eq!(ids(&kind, Page::since(None, 3)), [0, 3, 6]);
    let both = EventFilter { kind: Some("agent.started".into()), intervention: Some("i-1".into()), ..all };
    assert_eq!(ids(&both, Page::newest(9)), [15, 0]);
    let held = EvaluationFilter { decision: Some(true), policy: Some("drift".into()), ..EvaluationFilter::default() };
    let held: Vec<u64> = reader.evaluations(&held, Page::newest(2)).unwrap().iter().map(|one| one.id).collect();
    assert_eq!(held, [19, 17]);
    let done = InterventionFilter { status: Some(InterventionStatus::Completed), ..InterventionFilter::default() };
    assert_eq!(reader.interventions(&done, Page::newest(9)).unwrap(), [intervention(2, InterventionStatus::Completed)]);
    let open = GroupFilter { open: Some(true), severity: Some(Severity::Warning), ..GroupFilter::default() };
    assert_eq!(reader.groups(&open, Page::newest(9)).unwrap(), [group(1, None)]);
}
