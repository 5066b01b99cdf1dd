//! Named faults of hosts, cables and stores, one at a time, with what is promised for each.

use std::time::{Duration, Instant};

use hb_daemon::clock;
use nix::sys::signal::Signal;

use crate::pair::{Plan, Site};
use crate::rack::Way;
use crate::stores::{Pair, Refuses};

/// Longer than any lease here lasts.
const LONG: Duration = Duration::from_secs(4);
/// Exit of a node that was replaced.
const FENCED: i32 = 75;

#[test]
fn h1_h2_an_active_node_that_was_stopped_is_replaced_and_ends_as_fenced_when_it_wakes() {
    let Some(mut site) = Site::start("stopped", Pair::PostgresPostgres, &Plan::default()) else { return };
    let active = site.warm();
    let (since, at) = (Instant::now(), clock::wall());
    site.signal(active, Signal::SIGSTOP);
    let (_, took) = site.taken_over(active, since, at);
    let standing = site.records.len();
    site.signal(active, Signal::SIGCONT);
    assert_eq!(site.node(active).exit_code(), FENCED);
    site.poll();
    let name = site.members[active].name;
    assert!(site.records[standing..].iter().all(|sealed| sealed.record.node.as_str() != name), "{name} went on");
    println!("stopped: takeover after {took:.1?}");
    site.finish();
}

/// What the active node sends, or what it is sent, is lost; the other one takes over.
fn one_way(test: &str, pair: Pair, way: Way) {
    let Some(mut site) = Site::start(test, pair, &Plan::default()) else { return };
    let active = site.warm();
    let (since, at) = (Instant::now(), clock::wall());
    site.timeline.note(format!("cut from everything, {way:?}"));
    for store in &site.stores.all {
        site.members[active].host.cut(&store.host, way);
    }
    let (_, took) = site.taken_over(active, since, at);
    site.look_on(LONG);
    for store in &site.stores.all {
        site.members[active].host.heal(&store.host);
    }
    println!("{test}: takeover after {took:.1?}");
    site.finish();
}

#[test]
fn h1_w1_questions_that_never_arrive_cost_a_takeover_and_no_cycle() {
    one_way("questions lost", Pair::PostgresPostgres, Way::There);
}

#[test]
fn h1_w1_answers_that_never_arrive_cost_a_takeover_and_no_cycle() {
    one_way("answers lost", Pair::PostgresPostgres, Way::Back);
}

#[test]
fn h1_w1_answers_of_a_bucket_and_a_lease_that_never_arrive_cost_a_takeover_and_no_cycle() {
    one_way("answers of a bucket lost", Pair::ObjectKubernetes, Way::Back);
}

#[test]
fn h1_w1_a_machine_that_is_gone_costs_a_takeover_and_no_cycle() {
    let Some(mut site) = Site::start("machine gone", Pair::PostgresEtcd, &Plan::default()) else { return };
    let active = site.warm();
    let (since, at) = (Instant::now(), clock::wall());
    site.members[active].host.unplug();
    let (_, took) = site.taken_over(active, since, at);
    println!("machine gone: takeover after {took:.1?}");
    site.members[active].host.plug();
    site.finish();
}

#[test]
fn h1_with_keep_a_node_works_on_while_the_lease_cannot_be_seen() {
    let plan = Plan { lease: "ttl_sec: 1, on_lost: keep", ..Plan::default() };
    let Some(mut site) = Site::start("keep", Pair::PostgresEtcd, &plan) else { return };
    let active = site.warm();
    let lease = site.stores.lease.unwrap();
    site.timeline.note("etcd ends");
    site.stores.all[lease].crash();
    let epoch = site.records.last().unwrap().record.epoch;
    let end = Instant::now() + LONG;
    while Instant::now() < end {
        site.works_on(active, 1);
    }
    assert_eq!(site.records.last().unwrap().record.epoch, epoch, "it works on in the same epoch");
    site.stores.all[lease].start_again();
    site.finish();
}

#[test]
fn h1_with_yield_a_node_stops_before_another_may_try_and_somebody_works_when_the_lease_is_back() {
    let plan = Plan { lease: "ttl_sec: 1, on_lost: yield", ..Plan::default() };
    let Some(mut site) = Site::start("yield", Pair::PostgresEtcd, &plan) else { return };
    let active = site.warm();
    let lease = site.stores.lease.unwrap();
    site.timeline.note("etcd ends");
    site.stores.all[lease].crash();
    site.until("it yields", |site| {
        site.tend();
        (site.role(active)? != "active").then_some(())
    });
    site.poll();
    let head = site.records.len();
    site.look_on(LONG);
    assert_eq!(site.records.len(), head, "something was written without a lease");
    site.stores.all[lease].start_again();
    site.decided_since(clock::wall());
    site.finish();
}

/// The journal takes nothing for a while; everything waits, and goes on.
fn refusing(test: &str, pair: Pair) {
    let Some(mut site) = Site::start(test, pair, &Plan::default()) else { return };
    let active = site.warm();
    let store = site.stores.journal.unwrap();
    assert!(site.stores.all[store].refuse(Refuses::Everything));
    site.timeline.note("the journal takes nothing");
    // What was on its way may still arrive.
    site.look_on(Duration::from_secs(1));
    let head = site.records.len();
    let said = site.until("/ready names the journal or the lease", |site| {
        site.tend();
        let answer = site.ask(active, "/ready")?;
        (answer.status == 503).then_some(answer.body)
    });
    println!("{test}: /ready says {said}");
    site.look_on(LONG);
    assert_eq!(site.records.len(), head, "something was written that was refused");
    site.stores.all[store].refuse(Refuses::Nothing);
    site.timeline.note("the journal takes everything again");
    site.decided_since(clock::wall());
    site.finish();
}

#[test]
fn j3_j5_a_postgres_that_takes_nothing_is_waited_for() {
    refusing("postgres takes nothing", Pair::PostgresEtcd);
}

#[test]
fn j3_j5_a_bucket_that_takes_nothing_is_waited_for() {
    refusing("a bucket takes nothing", Pair::ObjectKubernetes);
}

#[test]
fn j3_j5_w1_a_store_that_crashes_and_comes_back_costs_no_cycle() {
    let Some(mut site) = Site::start("restart", Pair::PostgresPostgres, &Plan::default()) else { return };
    site.warm();
    for _ in 0..2 {
        site.timeline.note("postgres crashes");
        site.stores.all[0].crash();
        site.look_on(Duration::from_millis(700));
        site.stores.all[0].start_again();
        let (back, at) = (Instant::now(), clock::wall());
        site.decided_since(at);
        println!("restart: the first cycle {:.1?} after postgres answers again", back.elapsed());
    }
    site.finish();
}

/// A cable that carries so much, seen for a while; none, told, where the kernel cannot.
fn slow(test: &str, rate: &str, plan: &Plan) -> Option<Site> {
    let mut site = Site::start(test, Pair::PostgresPostgres, plan)?;
    site.warm();
    if let Err(why) = site.stores.all[0].host.slow(rate) {
        println!("NOT RUN {test}: {why}");
        return None;
    }
    site.timeline.note(format!("the cable carries {rate}"));
    Some(site)
}

#[test]
fn j3_j5_w1_a_store_behind_a_slow_cable_is_waited_for() {
    let plan = Plan { lease: "ttl_sec: 6", pace: 3, ..Plan::default() };
    let Some(mut site) = slow("a slow cable", "512kbit", &plan) else { return };
    for _ in 0..3 {
        site.decided_since(clock::wall());
    }
    site.stores.all[0].host.fast();
    site.finish();
}

#[test]
fn j3_j5_w1_a_cable_too_slow_for_the_ttl_costs_no_cycle_once_it_is_fast_again() {
    let Some(mut site) = slow("a cable too slow", "96kbit", &Plan::default()) else { return };
    site.look_on(LONG);
    site.stores.all[0].host.fast();
    site.decided_since(clock::wall());
    site.finish();
}
