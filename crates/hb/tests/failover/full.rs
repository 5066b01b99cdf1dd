//! Stores that are full to the last byte, one at a time: everything waits, and goes on when there is room.

use std::time::Duration;

use hb_daemon::clock;

use crate::pair::{Plan, Site};
use crate::room::Room;
use crate::stores::{Full, Pair};

/// Longer than any lease here lasts.
const LONG: Duration = Duration::from_secs(3);

fn site(test: &str, pair: Pair) -> Option<Site> {
    Site::start(test, pair, &Plan { room: Room::Small, ..Plan::default() })
}

/// Nothing more can be written for a while; then somebody goes on where it was.
fn waits(test: &str, mut site: Site, fill: impl FnOnce(&mut Site) -> bool, empty: impl FnOnce(&mut Site)) {
    site.warm();
    if !fill(&mut site) {
        println!("NOT RUN {test}: it cannot be filled");
        return;
    }
    site.timeline.note("it is full");
    site.look_on(LONG);
    let head = site.records.len();
    empty(&mut site);
    site.timeline.note("it has room");
    site.decided_since(clock::wall());
    println!("{test}: {} records before there was room again, {} now", head, site.records.len());
    site.finish();
}

#[test]
fn j3_j5_w1_a_folder_without_room_is_waited_for() {
    let test = "a full folder";
    let Some(site) = site(test, Pair::DirFile) else { return };
    waits(test, site, |site| site.fill_folder(), |site| site.empty_folder());
}

#[test]
fn j3_j5_w1_a_postgres_without_room_for_its_log_ends_and_is_waited_for() {
    let test = "a full database";
    let Some(site) = site(test, Pair::PostgresPostgres) else { return };
    waits(test, site, |site| site.stores.all[0].fill(Full::Log), |site| site.stores.all[0].empty());
}

#[test]
fn h1_w1_an_etcd_without_room_is_a_lease_out_of_sight_and_somebody_works_on() {
    let test = "a full etcd";
    let Some(site) = site(test, Pair::DirEtcd) else { return };
    waits(test, site, |site| site.stores.all[0].fill(Full::Data), |site| site.stores.all[0].empty());
}
