//! What exploring promises: every planted fault is found, and the same seed says the same.

use super::*;

/// Worlds that are tried until a planted fault is found.
const WORLDS: u64 = 1_000;

/// Worlds that every change has to hold in; `HB_SIM_SEEDS` says another number. An unoptimized build runs about 15 a second on two processors.
const SEEDS: u64 = 500;

fn sought(from: u64, seeds: u64, planted: Option<Planted>) -> Expedition {
    Expedition { from, seeds, jobs: 2, planted, at_breach: AtBreach::Stop }
}

#[test]
fn the_same_seed_gives_the_same_trace_byte_for_byte() {
    for seed in 0..4 {
        let (one, other) = (run(&Plan::of(seed), Words::Kept), run(&Plan::of(seed), Words::Kept));
        assert!(one.words.len() > 100, "much happens: {}", one.words.len());
        assert_eq!(one, other, "seed {seed}");
        assert_eq!(run(&Plan::of(seed), Words::Left).trace, one.trace, "keeping words changes nothing");
    }
}

#[test]
fn j1_j2_j3_j4_j5_j6_w1_w2_w3_w4_w6_h1_h2_h3_b1_hold_in_many_worlds() {
    let given = std::env::var("HB_SIM_SEEDS").ok().map(|text| text.parse().expect("HB_SIM_SEEDS is a number"));
    let seeds = given.unwrap_or(SEEDS);
    let found = explore(sought(1_000_000, seeds, None), &|_| ());
    assert_eq!(found.broken, BTreeMap::new());
    assert_eq!(found.worlds, seeds);
}

/// W4: samples owed after a takeover; W6: an alert recorded twice by a node that lapsed and went on; a cycle shown without its baseline
/// by one that ended; W2: a baseline that could not be read; a reload after long silence; H3: silence told late after a takeover.
#[test]
fn w4_w6_worlds_that_found_a_fault_hold() {
    for seed in [22, 130, 157, 296, 375, 558, 3_317, 3_509] {
        assert_eq!(run(&Plan::of(seed), Words::Left).breaches, [], "seed {seed}");
    }
}

/// W4: a standby's batch that began before the place from which it went on.
#[test]
fn w4_long_worlds_that_found_a_fault_hold() {
    assert_eq!(run(&Plan::long(7, 1), Words::Left).breaches, []);
}

#[test]
fn every_planted_fault_is_found_by_name() {
    for planted in Planted::ALL {
        let found = explore(sought(0, WORLDS, Some(*planted)), &|_| ());
        let Some((_, breach)) = found.first_broken() else {
            panic!("{} was not found in {WORLDS} worlds; it struck {:?}", planted.word(), found.reached.get("planted"))
        };
        assert!(planted.breaks().contains(&breach.promise), "{}: {breach}", planted.word());
    }
}

#[test]
fn who_goes_on_after_a_breach_names_every_broken_world() {
    let plan = Expedition { at_breach: AtBreach::GoOn, ..sought(0, 60, Some(Planted::MarkOff)) };
    let found = explore(plan, &|_| ());
    assert_eq!(found.worlds, 60);
    assert!(found.broken_worlds > 1, "{:?}", found.broken);
    assert_eq!(found.broken.len() as u64, found.broken_worlds);
    assert!(found.broken.values().all(|breach| breach.promise == Promise::W4), "{:?}", found.broken);
}

/// B1: an expedition of a million worlds needs no more memory than one of a few.
#[test]
fn b1_a_world_leaves_nothing_behind() {
    for seed in 0..12 {
        let left = crate::run::left_behind(&Plan::of(seed));
        assert_eq!(left, (0, 0), "seed {seed}: handles on the stage and on its kernel");
    }
}
