//! Clocks that jump, and machines that sleep, one at a time, with what is promised for each.

use std::time::Duration;

use crate::faults::{Slept, set, suspend};
use crate::pair::{Clocks, Plan, Site};
use crate::stores::Pair;

/// Exit of a node that was replaced.
const FENCED: i32 = 75;

/// Nodes whose clocks can be set; none, told, where they cannot.
fn site(test: &str, pair: Pair, lease: &'static str) -> Option<Site> {
    let plan = Plan { clocks: Clocks::Own, lease, ..Plan::default() };
    Site::start(test, pair, &plan).filter(Site::has_clocks)
}

#[test]
fn h2_w1_wall_clocks_that_jump_cost_no_lease_and_no_cycle() {
    // Long enough for a busy machine: nobody is to be replaced here.
    let Some(mut site) = site("clocks that jump", Pair::ObjectKubernetes, "ttl_sec: 15") else { return };
    let active = site.warm();
    let epoch = site.records.last().unwrap().record.epoch;
    for (place, seconds) in [(active, 1_800), (1 - active, -1_800), (active, -1_800), (1 - active, 1_800), (active, 0)]
    {
        set(&mut site, place, seconds);
        site.works_on(active, 3);
    }
    assert_eq!(site.records.last().unwrap().record.epoch, epoch, "nobody took over");
    let standby = site.role(1 - active);
    assert_eq!(standby.as_deref(), Some("standby"));
    site.finish();
}

/// A machine sleeps; another one works, and the sleeper learns it when it wakes.
fn sleeps(test: &str, pair: Pair, slept: Slept) {
    let Some(mut site) = site(test, pair, "ttl_sec: 1") else { return };
    let active = site.warm();
    let took = suspend(&mut site, active, Duration::from_secs(2), slept);
    let standing = site.records.len();
    assert_eq!(site.node(active).exit_code(), FENCED);
    site.poll();
    let name = site.members[active].name;
    assert!(site.records[standing..].iter().all(|sealed| sealed.record.node.as_str() != name), "{name} went on");
    println!("{test}: takeover after {took:.1?}");
    site.finish();
}

#[test]
fn h1_h2_w1_a_machine_that_was_suspended_is_fenced_when_it_wakes() {
    sleeps("suspended", Pair::PostgresEtcd, Slept::ByItself);
}

#[test]
fn h1_h2_w1_a_machine_that_was_paused_from_outside_is_fenced_though_its_clocks_stood_still() {
    sleeps("paused", Pair::ObjectObject, Slept::FromOutside);
}
