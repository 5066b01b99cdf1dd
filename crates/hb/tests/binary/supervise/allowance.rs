//! A5: do restart counts, the end of them and waits survive hb?

use std::time::Duration;

use hb_core::supervise::agent::Lifecycle;

use super::site::Site;
use super::sound::{assert_recorded, assert_sound};
use crate::support::random::Random;
use crate::support::within;

#[test]
fn a5_s5_a_crash_loop_gets_no_fresh_allowance_by_kills_of_hb() {
    let mut random = Random::told("supervise allowance");
    let site = Site::new(
        "agents:\n  loops: {process: {command: [PROGRAM, sh, -c, 'exit 7']}, \
         restart: {max_restarts: 8, backoff_sec: 0.03, backoff_max_sec: 0.1, jitter: 0}}\n",
    );
    let mut kills = 0;
    loop {
        let mut node = site.start("a");
        std::thread::sleep(Duration::from_millis(random.between(20, 200)));
        let over = site.agent("loops").is_some_and(|agent| agent.restarts.given_up);
        node.kill();
        if over {
            break;
        }
        kills += 1;
        assert!(kills < 300, "it is restarted for ever");
    }
    // Given up is given up, also by the next ones.
    for _ in 0..3 {
        let mut node = site.start("a");
        site.reign();
        let begun = site.told("loops", "agent.starting").len();
        let again =
            within(Duration::from_millis(200), || (site.told("loops", "agent.starting").len() > begun).then_some(()));
        assert!(again.is_none(), "{:#?}", site.starts());
        node.kill();
    }
    let agent = site.agent("loops").unwrap();
    // A start that hb itself cut short is not held against the agent: it waits for the next.
    let lost = site.told("loops", "agent.lost").len() as u64;
    assert_eq!((agent.restarts.total, agent.restarts.given_up), (8 + lost, true), "{lost} lost: {agent:#?}");
    assert_eq!(agent.lifecycle, Lifecycle::Quarantined);
    let starts = site.starts().len() as u64;
    assert!((9..=9 + lost).contains(&starts), "{starts} starts, {lost} lost");
    assert_eq!(site.told("loops", "agent.gave_up").len(), 1);
    println!("a5: {kills} kills of hb, {starts} starts, 8 restarts allowed, {lost} starts cut short by the kills");
    assert_sound(&site, &site.state().unwrap());
}

#[test]
fn a5_s5_a_wait_is_kept_across_kills_of_hb() {
    let site = Site::new(
        "agents:\n  waits: {process: {command: [PROGRAM, sh, -c, 'exit 7']}, \
         restart: {max_restarts: 10, backoff_sec: 4, backoff_max_sec: 4, jitter: 0}}\n",
    );
    let mut node = site.start("a");
    // The first restart may be at once; then it waits.
    let waiting = |times: usize| {
        let waits = site.agent_is("waits", "made to wait", |agent| {
            agent.restarts.total >= times as u64 && agent.restarts.not_before.is_some()
        });
        waits.restarts.not_before.unwrap()
    };
    let not_before = waiting(1);
    let level = site.agent("waits").unwrap().restarts.level;
    for _ in 0..5 {
        node.kill();
        node = site.start("a");
        site.reign();
        let now = site.agent("waits").unwrap().restarts;
        if now.not_before != Some(not_before) {
            break;
        }
        assert_eq!(now.level, level, "the wait is neither longer nor shorter: {now:?}");
    }
    // The next start is not before its time, by whatever clock it was told.
    site.agent_is("waits", "started again", |agent| agent.restarts.not_before != Some(not_before));
    let begun = site.told("waits", "agent.starting");
    let early = begun.iter().skip(2).find(|event| event.at < not_before);
    assert!(early.is_none(), "begun before {not_before:?}: {early:?}\n{:#?}", site.events());
    assert_eq!(node.stop(), 0);
    assert_recorded(&site);
}
