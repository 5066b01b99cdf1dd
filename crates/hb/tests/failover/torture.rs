//! Each pair of journal and lease under faults that are drawn by a seed: nothing lost, nothing twice, nothing by who was replaced, and
//! somebody decides again after each.
//!
//! The tests here are short. `cargo xtask torture` runs [`round`] again and again, many at a time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hb_daemon::clock;

use crate::faults::{Fault, ON_MANY_HOSTS, ON_ONE_HOST, WITH_A_LEASE};
use crate::pair::{Clocks, Plan, Site};
use crate::room::Room;
use crate::stores::Pair;
use crate::support::random::Random;
use crate::support::{setting, spread};
use crate::teller::Teller;

/// Faults of one pair where nothing else is said.
const FAULTS: usize = 6;

fn faults(pair: Pair) -> &'static [Fault] {
    match pair {
        Pair::DirFile => ON_ONE_HOST,
        Pair::DirEtcd => WITH_A_LEASE,
        Pair::PostgresPostgres | Pair::ObjectObject | Pair::PostgresEtcd | Pair::ObjectKubernetes => ON_MANY_HOSTS,
    }
}

fn torture(test: &str, pair: Pair) {
    let plan = Plan { clocks: Clocks::Own, ..Plan::default() };
    bear(test, pair, &plan, setting("HB_FAILOVER_FAULTS", FAULTS), &mut Teller::default());
}

/// So many faults to nodes of such a plan, and the judgement of what they did.
fn bear(test: &str, pair: Pair, plan: &Plan, goal: usize, teller: &mut Teller) {
    let faults = faults(pair);
    let mut random = Random::told(test);
    let Some(mut site) = Site::start(test, pair, plan) else { return };
    let began = Instant::now();
    let mut takeovers: BTreeMap<Fault, Vec<Duration>> = BTreeMap::new();
    let mut counts: BTreeMap<Fault, usize> = BTreeMap::new();
    for number in 0..goal {
        if teller.is_enough() {
            break;
        }
        // Mostly from a state of rest, sometimes on top of what has just been.
        if number == 0 || !random.one_in(4) {
            site.warm();
        }
        std::thread::sleep(Duration::from_millis(random.between(0, 200)));
        // The first one is a kill, so that a short run measures something.
        let fault = if number == 0 { Fault::Kill } else { faults[random.between(0, faults.len() as u64) as usize] };
        *counts.entry(fault).or_default() += 1;
        let took = fault.happen(&mut site, &mut random);
        takeovers.entry(fault).or_default().extend(took);
        site.decided_since(clock::wall());
        teller.fault(&format!("{fault:?}"), took);
    }
    let (restarts, took) = (site.restarts, began.elapsed());
    let epochs = site.records.last().map(|sealed| sealed.record.epoch).unwrap();
    let judged = site.finish();
    teller.done(judged.cycles, judged.records, epochs.0, judged.told);
    println!(
        "{}: {} faults in {took:.1?}, {judged:?}, {epochs} epochs, {restarts} restarts; {counts:?}",
        pair.name(),
        counts.values().sum::<usize>()
    );
    for (fault, all) in takeovers.into_iter().filter(|(_, all)| !all.is_empty()) {
        println!("{}: takeover after {fault:?}: {}", pair.name(), spread(all));
    }
}

/// What `cargo xtask torture` starts: one site, some faults, one judgement. See [`Teller`] for what it is told and what it tells.
#[test]
#[ignore = "cargo xtask torture runs it"]
fn round() {
    let name = std::env::var("HB_TORTURE_PAIR").expect("the name of a pair");
    let goal = setting("HB_TORTURE_FAULTS", FAULTS);
    let mut teller = Teller::of_round();
    if name == "supervisor" {
        return crate::supervised::bear(Room::Small, goal, &mut teller);
    }
    let pair = Pair::ALL.into_iter().find(|pair| pair.name() == name).unwrap_or_else(|| panic!("no pair {name}"));
    let nodes = setting("HB_TORTURE_NODES", 2);
    let lease: &'static str = Box::leak(format!("ttl_sec: {}", setting("HB_TORTURE_TTL", 1)).into_boxed_str());
    let plan = Plan { nodes, lease, clocks: Clocks::Own, room: Room::Small, ..Plan::default() };
    bear("round", pair, &plan, goal, &mut teller);
}

#[test]
fn w1_w6_h1_h2_h3_dir_and_file_bear_faults() {
    torture("dir and file", Pair::DirFile);
}

#[test]
fn w1_w6_h1_h2_h3_postgres_bears_faults() {
    torture("postgres", Pair::PostgresPostgres);
}

#[test]
fn w1_w6_h1_h2_h3_a_bucket_bears_faults() {
    torture("a bucket", Pair::ObjectObject);
}

#[test]
fn w1_w6_h1_h2_h3_postgres_and_etcd_bear_faults() {
    torture("postgres and etcd", Pair::PostgresEtcd);
}

#[test]
fn w1_w6_h1_h2_h3_a_shared_folder_and_etcd_bear_faults() {
    torture("a shared folder and etcd", Pair::DirEtcd);
}

#[test]
fn w1_w6_h1_h2_h3_a_bucket_and_kubernetes_bear_faults() {
    torture("a bucket and kubernetes", Pair::ObjectKubernetes);
}
