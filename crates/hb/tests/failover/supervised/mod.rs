//! A supervisor on SQLite under faults: two nodes on one host, programs that they start, people who ask for changes, and what may not be lost,
//! doubled or forgotten of it (S1, S2, S3, S4, S7).

#[expect(dead_code, reason = "the tests of supervising use the rest of it")]
#[path = "../../binary/supervise/asking.rs"]
mod asking;
mod blows;
#[expect(dead_code, reason = "the tests of supervising use the rest of it")]
#[path = "../../binary/supervise/site.rs"]
mod site;
#[expect(dead_code, reason = "the tests of supervising use the rest of it")]
#[path = "../../binary/supervise/sound.rs"]
mod sound;
mod twins;
mod wishes;
mod witness;

use std::collections::BTreeMap;
use std::time::Instant;

use hb_core::supervise::state::Fold;

use crate::room::Room;
use crate::support::random::Random;
use crate::support::{setting, spread};
use crate::teller::Teller;
use blows::Blow;
use site::Site;
use twins::Twins;

/// So many blows, and the judgement of what is left.
pub(crate) fn bear(room: Room, goal: usize, teller: &mut Teller) {
    let mut random = Random::told("supervisor");
    let mut twins = Twins::start(room);
    let began = Instant::now();
    let (mut takeovers, mut counts) = (Vec::new(), BTreeMap::<Blow, usize>::new());
    for number in 0..goal {
        if teller.is_enough() {
            break;
        }
        if number == 0 || !random.one_in(3) {
            twins.warm();
        }
        twins.wish(&mut random);
        let blow = if number == 0 { Blow::Kill } else { Blow::drawn(&mut random, room) };
        *counts.entry(blow).or_default() += 1;
        let took = blow.fall(&mut twins, &mut random);
        takeovers.extend(took);
        teller.fault(&format!("{blow:?}"), took);
    }
    let took = began.elapsed();
    let (fold, records, restarts) = twins.finish();
    let interventions = fold.state.interventions.len();
    teller.done(interventions, records, fold.epoch.0, fold.state.counters.event as usize);
    println!(
        "supervisor: {} faults in {took:.1?}, {records} records, {} epochs, {interventions} interventions, {restarts} nodes started again; \
         takeover: {}; {counts:?}",
        counts.values().sum::<usize>(),
        fold.epoch,
        spread(takeovers)
    );
}

/// What must hold at the end, whatever was done.
fn assert_held(site: &Site, fold: &Fold) {
    sound::assert_sound(site, fold);
    let mut begun = std::collections::BTreeSet::new();
    for event in site.events().iter().filter(|event| event.kind == "agent.starting") {
        let agent = event.about.agent.clone().expect("it is about an agent");
        assert!(begun.insert((agent, event.message.clone())), "S2: an incarnation was begun twice: {event:?}");
    }
}

#[test]
fn s1_s2_s3_s4_s7_a_supervisor_bears_faults() {
    bear(Room::Ample, setting("HB_FAILOVER_FAULTS", 8), &mut Teller::default());
}
