//! A4: does an intervention happen once, whenever hb is killed?

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use hb_core::supervise::agent::Agent;
use hb_core::supervise::intervention::{InterventionStatus, InterventionType};
use hb_core::supervise::state::{Body, Fold};
use nix::sys::signal::Signal;

use super::site::{Site, signal};
use super::sound::{assert_sound, quarantined};
use crate::support::{random::Random, setting, spread};

/// Members of the team: when one of it dies policies restart all of it, one intervention for each.
const MEMBERS: [&str; 3] = ["m1", "m2", "m3"];

/// It takes its time to end, so that most kills find an intervention under way. The lock by which it is told twice is its own alone.
const SLOW: &str = "trap \"sleep 0.08 9>&-; exit 0\" TERM; sleep 600 9>&- & wait";

/// A team that policies restart when one of it dies, and brittle agents that one sets aside. Short windows: most deaths are groups of
/// their own. (A policy that restarts a team by one intervention waits for a person.)
fn configuration(brittle: usize) -> String {
    let restart = "restart: {max_restarts: 1000, backoff_sec: 0.02, backoff_max_sec: 0.05}";
    let members = MEMBERS
        .map(|id| format!("  {id}: {{process: {{command: [PROGRAM, sh, -c, '{SLOW}']}}, {restart}}}\n"))
        .concat();
    let brittle: String = (0..brittle)
        .map(|n| format!("  b{n}: {{process: {{command: [PROGRAM, sleep, 600]}}, phase: brittle, {restart}}}\n"))
        .collect();
    let restarts = MEMBERS
        .map(|id| format!("{id}-again:\n    when: alert.kind == 'died' and agent.team == 't'\n    actions: [{{type: restart_agent, target: {id}}}]\n  "))
        .concat();
    format!(
        "supervisors:\n  main: {{config: {{alert_correlation_window: 1, mass_window: 0, max_interventions_per_hour: 100000, \
         policy_evaluation_interval: 1}}}}\n\
         agents:\n{members}{brittle}\
         teams:\n  t: {{members: [m1, m2, m3]}}\n\
         policies:\n  \
         {restarts}\
         set-aside:\n    when: alert.kind == 'died' and agent.phase == 'brittle'\n    actions: [{{type: quarantine_agent}}]\n"
    )
}

/// Kills a member, or a brittle agent that is still up; gives who.
fn hurt(site: &Site, random: &mut Random) -> Option<String> {
    let brittle = random.one_in(4);
    let mut all = site.agents();
    all.retain(|agent: &Agent| agent.lifecycle.is_up() && agent.spec.phase.is_some() == brittle);
    let agent = all.get(random.between(0, all.len().max(1) as u64) as usize)?;
    signal(agent.process.identity()?, Signal::SIGKILL);
    Some(agent.id().to_string())
}

#[test]
fn a4_s4_kills_of_hb_amid_restarts_and_quarantines_double_nothing() {
    let kills = setting("HB_SUPERVISE_KILLS", 150);
    let mut random = Random::told("supervise interventions");
    let site = Site::new(&configuration(kills / 4 + 2));
    let mut node = site.start("a");
    site.calm(&mut node);
    let began = Instant::now();
    let (mut lives, mut hurts, mut amid) = (Vec::new(), 0, 0);
    for round in 0..kills {
        hurts += usize::from(hurt(&site, &mut random).is_some());
        // From the death of the agent: through finding it, deciding, stopping, starting, waiting for the next of the team.
        let life = Duration::from_millis(random.between(0, 130));
        std::thread::sleep(life);
        node.kill();
        lives.push(life);
        amid += usize::from(site.open_interventions() > 0);
        node = site.start("a");
        if round % 10 == 9 {
            site.calm(&mut node);
        } else {
            // Most of the time it has taken over and gone on before the next blow, sometimes not.
            std::thread::sleep(Duration::from_millis(random.between(20, 150)));
        }
    }
    let fold = site.calm(&mut node);
    let took = began.elapsed();
    assert_eq!(node.stop(), 0, "{}", node.log());
    assert_sound(&site, &fold);
    assert_begun_once(&site);
    assert_evaluated_once(&site, &fold);
    let count = |kind: InterventionType, status: InterventionStatus| {
        let all = fold.state.interventions.values();
        all.filter(|one| one.intervention_type == kind && one.status == status).count()
    };
    let restarts = count(InterventionType::AgentRestart, InterventionStatus::Completed);
    let aside = count(InterventionType::AgentQuarantine, InterventionStatus::Completed);
    assert!(restarts > 0 && aside > 0, "{restarts} {aside}");
    assert_eq!(aside, quarantined(&fold), "each was set aside once");
    println!(
        "supervise: {kills} kills in {took:.1?} (lives {}), {amid} amid an intervention, {hurts} blows, {restarts} agents restarted, {aside} set aside, \
         {} restarts failed, {} starts",
        spread(lives),
        count(InterventionType::AgentRestart, InterventionStatus::Failed),
        site.starts().len()
    );
}

/// An incarnation of an agent is begun by one record only.
fn assert_begun_once(site: &Site) {
    let mut begun = BTreeSet::new();
    for event in site.events().iter().filter(|event| event.kind == "agent.starting") {
        let agent = event.about.agent.clone().unwrap();
        assert!(begun.insert((agent, event.message.clone())), "begun twice: {event:?}");
    }
}

/// A group is evaluated once by a policy; again only after it became worse. What an evaluation set off is there.
fn assert_evaluated_once(site: &Site, fold: &Fold) {
    let mut seen = BTreeMap::new();
    for sealed in site.records() {
        let Body::Changed { evaluations, .. } = &sealed.record.body else { continue };
        for evaluation in evaluations {
            let Some(group) = &evaluation.group else { continue };
            let times = seen.entry((group.clone(), evaluation.policy.clone())).or_insert(0);
            *times += 1;
            assert_eq!(*times, 1, "evaluated a second time: {evaluation:?}");
            for id in &evaluation.interventions {
                let there = fold.state.interventions.get(id);
                assert!(there.is_some_and(|one| one.evaluation == Some(evaluation.id)), "{id} is lost: {evaluation:?}");
            }
        }
    }
    for group in fold.state.groups.values().filter(|group| group.concern.as_str() == "died") {
        assert!(group.evaluated, "never evaluated: {group:?}");
    }
    assert!(!seen.is_empty());
}
