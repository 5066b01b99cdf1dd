//! Does the checker notice? Histories that break each law, one at a time.

use crate::history::{Fact, Heard, History, What};

fn fact(seq: u64, epoch: u64, node: &str, what: What) -> Fact {
    let hash = |seq: u64| format!("hash {seq}");
    let prev = if seq == 0 { "zero".to_owned() } else { hash(seq - 1) };
    Fact { seq, epoch, node: node.to_owned(), prev, hash: hash(seq), at: seq as i64 * 10, what }
}

fn decided(cycle: u64, alert: Option<&str>) -> What {
    What::Decided { cycle, span: (cycle as i64, cycle as i64 + 1), alert: alert.map(str::to_owned) }
}

/// Two nodes, three cycles, a takeover, an alert that was told twice.
fn sound() -> History {
    let facts = vec![
        fact(0, 1, "a", What::Opened),
        fact(1, 1, "a", decided(0, None)),
        fact(2, 1, "a", decided(1, Some("w/1"))),
        fact(3, 2, "b", What::Opened),
        fact(4, 2, "b", What::Settled { cycle: 1 }),
        fact(5, 2, "b", decided(2, None)),
        fact(6, 2, "b", What::Closed),
        fact(7, 3, "a", What::Opened),
        fact(8, 3, "a", decided(3, None)),
    ];
    let seen = facts.iter().map(|fact| (fact.seq, fact.hash.clone())).collect();
    let heard = |at| Heard { key: "w/1".into(), at, said: "it is ill".into() };
    History { facts, seen, heard: vec![heard(21), heard(35)], disturbed: Vec::new(), slack: 0 }
}

#[track_caller]
fn breaks(law: &str, spoil: impl FnOnce(&mut History)) {
    let mut history = sound();
    spoil(&mut history);
    let breaches = history.breaches();
    assert!(breaches.iter().any(|breach| breach.law == law), "{law} is not among {breaches:?}");
}

/// Numbers and links are made anew, so that only what is meant is broken.
fn number(history: &mut History) {
    for (seq, fact) in history.facts.iter_mut().enumerate() {
        let Fact { epoch, node, what, .. } = fact.clone();
        *fact = self::fact(seq as u64, epoch, &node, what);
    }
    history.seen.clear();
}

#[test]
fn a_sound_history_breaks_nothing() {
    assert_eq!(sound().breaches(), []);
}

#[test]
fn j1_j3_j4_lost_changed_and_unlinked_records_are_noticed() {
    breaks("J1", |history| drop(history.facts.remove(4)));
    breaks("J1", |history| history.facts.insert(5, history.facts[4].clone()));
    breaks("J1", |history| drop(history.seen.insert(5, "another".into())));
    breaks("J3", |history| drop(history.facts.pop()));
    breaks("J4", |history| history.facts[5].prev = "another".into());
}

#[test]
fn h1_h3_writers_that_were_replaced_and_reigns_that_nobody_opened_are_noticed() {
    breaks("H1", |history| history.facts[5].epoch = 1);
    breaks("H1", |history| history.facts[5].node = "a".into());
    breaks("H1", |history| {
        history.facts.swap(5, 6);
        number(history);
    });
    breaks("H3", |history| history.facts[3].what = What::Other);
}

#[test]
fn w1_w3_cycles_that_are_lost_doubled_and_swapped_are_noticed() {
    breaks("W1", |history| {
        history.facts.remove(5);
        number(history);
    });
    breaks("W1", |history| {
        history.facts.insert(6, history.facts[5].clone());
        number(history);
    });
    breaks("W1", |history| history.facts[5].what = decided(1, None));
    breaks("W3", |history| history.facts[5].what = What::Decided { cycle: 2, span: (3, 4), alert: None });
}

#[test]
fn w6_alerts_that_are_lost_early_unrecorded_and_two_tongued_are_noticed() {
    breaks("W6", |history| history.heard.clear());
    breaks("W6", |history| history.heard[0].at = 19);
    breaks("W6", |history| history.heard.push(Heard { key: "w/2".into(), at: 99, said: String::new() }));
    breaks("W6", |history| history.heard[1].said = "all is well".into());
    breaks("W6", |history| history.facts[5].what = decided(2, Some("w/1")));
    breaks("W6", |history| history.facts[4].what = What::Settled { cycle: 0 });
}

/// Told twice more.
fn again(history: &mut History) {
    let heard = Heard { at: 36, ..history.heard[1].clone() };
    history.heard.extend([heard.clone(), heard]);
}

#[test]
fn w6_alerts_that_are_told_again_without_a_reason_are_noticed() {
    // One reign began since the alert was made: it may not know what the one before has told.
    breaks("W6", again);
    let mut history = sound();
    again(&mut history);
    history.disturbed = vec![22, 30];
    assert_eq!(history.breaches(), [], "with two reasons more it is as promised");
}
