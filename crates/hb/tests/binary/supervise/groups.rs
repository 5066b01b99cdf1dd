//! A7: does a group of alerts that was open at the crash go on, and is it evaluated once?

use std::collections::BTreeMap;

use hb_core::supervise::state::Body;
use nix::sys::signal::Signal;

use super::site::{Site, signal};
use super::sound::assert_sound;

#[test]
fn a7_an_open_group_goes_on_with_its_first_alert_and_is_evaluated_once() {
    let site = Site::new(
        "supervisors:\n  main: {config: {alert_correlation_window: 3600, mass_window: 0}}\n\
         agents:\n  \
         a: {process: {command: [PROGRAM, sleep, 600]}, restart: {max_restarts: 100, backoff_sec: 0.02, backoff_max_sec: 0.02}}\n  \
         other: {process: {command: [PROGRAM, sleep, 600]}}\n\
         policies:\n  once:\n    when: alert.kind == 'died'\n    actions: [{type: restart_agent, target: other}]\n",
    );
    let mut node = site.start("a");
    site.calm(&mut node);
    let mut first = None;
    for deaths in 1..=6 {
        signal(&site.up("a"), Signal::SIGKILL);
        site.agent_is("a", "restarted", |agent| agent.restarts.total >= deaths && agent.lifecycle.is_up());
        let fold = site.calm(&mut node);
        let groups: Vec<_> = fold.state.groups.values().collect();
        let [group] = groups[..] else { panic!("one group: {groups:#?}") };
        assert_eq!(*first.get_or_insert(group.first_alert_at), group.first_alert_at, "death {deaths}");
        assert_eq!((group.alert_count, group.evaluated, group.resolved_at), (deaths, true, None), "{group:#?}");
        node.kill();
        node = site.start("a");
        site.calm(&mut node);
    }
    let mut evaluated = BTreeMap::new();
    for sealed in site.records() {
        let Body::Changed { evaluations, .. } = &sealed.record.body else { continue };
        for evaluation in evaluations {
            *evaluated.entry((evaluation.policy.clone(), evaluation.group.clone())).or_insert(0) += 1;
        }
    }
    assert_eq!(evaluated.values().collect::<Vec<_>>(), [&1], "{evaluated:?}");
    assert_eq!(site.agent("other").unwrap().incarnation, 2, "its policy acted once");
    assert_eq!(node.stop(), 0);
    assert_sound(&site, &site.state().unwrap());
}
