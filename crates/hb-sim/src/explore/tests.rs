//! What exploring promises: every planted fault is found, and the same seed says the same.

use super::*;

/// Worlds that are tried until a planted fault is found.
const WORLDS: u64 = 1_000;

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
    let found = explore(Expedition { from: 1_000_000, seeds: 40, jobs: 2, planted: None }, &|_| ());
    assert_eq!(found.broken, None);
    assert_eq!(found.worlds, 40);
}

/// W4: samples owed after a takeover; W6: an alert recorded twice by a node that lapsed and went on.
#[test]
fn w4_w6_worlds_that_found_a_fault_hold() {
    for seed in [22, 130, 157, 296] {
        assert_eq!(run(&Plan::of(seed), Words::Left).breaches, [], "seed {seed}");
    }
}

#[test]
fn every_planted_fault_is_found_by_name() {
    for planted in Planted::ALL {
        let found = explore(Expedition { from: 0, seeds: WORLDS, jobs: 2, planted: Some(*planted) }, &|_| ());
        let Some((_, breach)) = found.broken else {
            panic!("{} was not found in {WORLDS} worlds; it struck {:?}", planted.word(), found.reached.get("planted"))
        };
        assert!(planted.breaks().contains(&breach.promise), "{}: {breach}", planted.word());
    }
}
