//! Each pair of journal and lease under faults that are drawn by a seed: nothing lost, nothing twice, nothing by who was replaced, and
//! somebody decides again after each.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hb_daemon::clock;

use crate::faults::{Fault, ON_MANY_HOSTS, ON_ONE_HOST, WITH_A_LEASE};
use crate::pair::{Plan, Site};
use crate::stores::Pair;
use crate::support::random::Random;
use crate::support::{setting, spread};

/// Faults of one pair where nothing else is said.
const FAULTS: usize = 6;

fn torture(test: &str, pair: Pair, faults: &[Fault]) {
    let Some(mut site) = Site::start(test, pair, &Plan::default()) else { return };
    let mut random = Random::told(test);
    let goal = setting("HB_FAILOVER_FAULTS", FAULTS);
    let began = Instant::now();
    let mut takeovers: BTreeMap<Fault, Vec<Duration>> = BTreeMap::new();
    let mut counts: BTreeMap<Fault, usize> = BTreeMap::new();
    for number in 0..goal {
        // Mostly from a state of rest, sometimes on top of what has just been.
        if number == 0 || !random.one_in(4) {
            site.warm();
        }
        std::thread::sleep(Duration::from_millis(random.between(0, 200)));
        // The first one is a kill, so that a short run measures something.
        let fault = if number == 0 { Fault::Kill } else { faults[random.between(0, faults.len() as u64) as usize] };
        *counts.entry(fault).or_default() += 1;
        if let Some(took) = fault.happen(&mut site, &mut random) {
            takeovers.entry(fault).or_default().push(took);
        }
        site.decided_since(clock::wall());
    }
    let (restarts, took) = (site.restarts, began.elapsed());
    let epochs = site.records.last().map(|sealed| sealed.record.epoch).unwrap();
    let cycles = site.finish();
    println!(
        "{}: {goal} faults in {took:.1?}, {cycles} cycles, {epochs} epochs, {restarts} restarts; {counts:?}",
        pair.name()
    );
    for (fault, all) in takeovers {
        println!("{}: takeover after {fault:?}: {}", pair.name(), spread(all));
    }
}

#[test]
fn w1_w6_h1_h2_h3_dir_and_file_bear_faults() {
    torture("dir and file", Pair::DirFile, ON_ONE_HOST);
}

#[test]
fn w1_w6_h1_h2_h3_postgres_bears_faults() {
    torture("postgres", Pair::PostgresPostgres, ON_MANY_HOSTS);
}

#[test]
fn w1_w6_h1_h2_h3_a_bucket_bears_faults() {
    torture("a bucket", Pair::ObjectObject, ON_MANY_HOSTS);
}

#[test]
fn w1_w6_h1_h2_h3_postgres_and_etcd_bear_faults() {
    torture("postgres and etcd", Pair::PostgresEtcd, ON_MANY_HOSTS);
}

#[test]
fn w1_w6_h1_h2_h3_a_shared_folder_and_etcd_bear_faults() {
    torture("a shared folder and etcd", Pair::DirEtcd, WITH_A_LEASE);
}

#[test]
fn w1_w6_h1_h2_h3_a_bucket_and_kubernetes_bear_faults() {
    torture("a bucket and kubernetes", Pair::ObjectKubernetes, ON_MANY_HOSTS);
}
