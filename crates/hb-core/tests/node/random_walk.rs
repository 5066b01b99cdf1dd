//! Random nodes on one journal: crashes, handing over and lapsed leases between any two steps, two that think they may write,
//! commits that come late, batches cut anywhere. Whatever happens, the journal holds each cycle once, decided as an undisturbed node decides it.
//!
//! `SEED=42 cargo test -p hb-core --test node` replays one walk.

use std::collections::BTreeSet;
use std::env;

use super::stage::{Actor, Disk, Item, watch};
use hb_core::journal::{ChainCheck, Hash};
use hb_core::node::fact::{Body, Record};
use hb_core::node::step::{Effect, Input};

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

fn recording(dice: &mut Dice) -> Vec<Item> {
    let mut at = 0;
    (0..400)
        .map(|_| {
            at += i64::try_from(dice.roll(3)).unwrap();
            let value = dice.roll(1_000) as f64 / 10.0;
            match dice.roll(40) {
                0 => Item::Nonsense,
                1 => Item::At(at + 10_000_000, value),
                2 => Item::At(at - 9, value),
                3 => Item::At(at, f64::NAN),
                4 => {
                    at += 45;
                    Item::At(at, value)
                }
                5..=9 => Item::At(at - 1, value),
                _ => Item::At(at, value),
            }
        })
        .collect()
}

/// What an undisturbed node decides.
fn undisturbed(source: &[Item]) -> Disk {
    let mut disk = Disk::default();
    let mut actor = Actor::new("quiet");
    actor.granted(&disk, 2_000);
    while !actor.under_way.is_empty() {
        actor.commit_one(&mut disk, 2_000);
    }
    actor.read(source, source.len(), 2_000);
    actor.handle(Input::Ended(&watch()), 2_000);
    while !actor.under_way.is_empty() {
        actor.commit_one(&mut disk, 2_000);
    }
    disk
}

#[test]
fn w1_w2_w4_w6_h1_hold_on_every_walk() {
    let one = env::var("SEED").ok().map(|seed| seed.parse().expect("SEED is a number"));
    let seeds = one.map_or(1..=40, |seed: u64| seed..=seed);
    for seed in seeds {
        walk(seed);
    }
}

fn walk(seed: u64) {
    let mut dice = Dice(seed);
    let source = recording(&mut dice);
    let expected = undisturbed(&source);
    let cycles = decided(&expected);
    let mut disk = Disk::default();
    let mut actors = [Actor::new("a"), Actor::new("b")];
    let mut told: BTreeSet<String> = BTreeSet::new();
    for step in 0..6_000 {
        let who = usize::try_from(dice.roll(2)).unwrap();
        let standing = disk.0.len();
        let effects = act(&mut actors[who], &mut disk, &source, &mut dice);
        for effect in &effects {
            if let Effect::Deliver(_, under_way) = effect {
                let key = &under_way.alert.key;
                let durable = disk.0.iter().any(|sealed| match &sealed.record.body {
                    Body::CycleDecided(decided) => decided.alert.as_ref().is_some_and(|alert| alert.key == *key),
                    Body::EpochOpened { .. }
                    | Body::AlertDelivered(_)
                    | Body::BaselineAdopted(_)
                    | Body::BaselineEvent(_)
                    | Body::EpochClosed { .. } => false,
                });
                assert!(durable, "seed {seed}, step {step}: {key} was told before its record stood (W6)");
                told.insert(key.clone());
            }
        }
        assert!(disk.0.len() <= standing + 1);
        if decided(&disk) == cycles {
            break;
        }
    }
    if digests(&disk) != digests(&expected) {
        let mut text = String::new();
        for (title, disk) in [("undisturbed", &expected), ("disturbed", &disk)] {
            text += &format!("{title}:\n");
            for sealed in &disk.0 {
                text += &format!("  {} {:?}\n", super::stage::describe(sealed), digest(sealed));
            }
            disk.0.iter().filter_map(decision).for_each(|decision| text += &format!("    {decision}\n"));
        }
        panic!("seed {seed}: decided otherwise than without disturbance (W2)\n{text}");
    }
    let (mut counted, mut last) = (0, None);
    for sealed in &disk.0 {
        let Body::CycleDecided(decided) = &sealed.record.body else { continue };
        counted += decided.decision.counts.accounted();
        last = Some(decided.decision.counts.clone());
    }
    let last = last.unwrap();
    assert_eq!(last.delivered_total, counted + last.pending, "seed {seed}: the counts do not add up (W4)");
    assert_eq!(last.delivered_total, source.len() as u64, "seed {seed}");
}

/// The digests of all decided cycles, in order; the chain and the cycle numbers are checked on the way (J1, W1, H1).
fn digests(disk: &Disk) -> Vec<Hash> {
    let mut check = ChainCheck::default();
    let mut digests = Vec::new();
    for sealed in &disk.0 {
        check.push(sealed).unwrap();
        assert_eq!(Record::decode(&sealed.bytes).unwrap(), **sealed);
        if let Body::CycleDecided(decided) = &sealed.record.body {
            assert_eq!(decided.decision.cycle.0, digests.len() as u64, "cycles are numbered without gaps");
            digests.push(decided.digest);
        }
    }
    digests
}

fn decided(disk: &Disk) -> usize {
    disk.0.iter().filter(|sealed| digest(sealed).is_some()).count()
}

fn decision(sealed: &std::sync::Arc<hb_core::node::fact::Sealed>) -> Option<String> {
    let Body::CycleDecided(decided) = &sealed.record.body else { return None };
    Some(serde_json::to_string(&decided.decision).unwrap())
}

fn digest(sealed: &hb_core::node::fact::Sealed) -> Option<Hash> {
    if let Body::CycleDecided(decided) = &sealed.record.body { Some(decided.digest) } else { None }
}

fn act(actor: &mut Actor, disk: &mut Disk, source: &[Item], dice: &mut Dice) -> Vec<Effect> {
    let at = 2_000;
    match dice.roll(100) {
        0 => match dice.roll(4) {
            0 => actor.handle(Input::HandOver { reason: "switchover" }, at),
            1 => actor.handle(Input::Lapsed, at),
            // The same, and a record had become durable without an answer.
            2 => {
                if let Some(sealed) = actor.under_way.front() {
                    disk.append(sealed);
                }
                actor.handle(Input::Lapsed, at)
            }
            _ => {
                *actor = Actor::new(if dice.roll(2) == 0 { "a" } else { "b" });
                Vec::new()
            }
        },
        // A lease that lies: granted although the other holds it.
        1..=2 => {
            if actor.node.role() == hb_core::node::view::Role::Standby {
                actor.granted(disk, at)
            } else {
                Vec::new()
            }
        }
        3 => {
            if actor.node.role() == hb_core::node::view::Role::Fenced {
                *actor = Actor::new("again");
            }
            Vec::new()
        }
        4..=39 => actor.commit_one(disk, at),
        40..=95 => {
            if actor.under_way.is_empty() {
                let most = usize::try_from(dice.roll(60)).unwrap() + 1;
                let effects = actor.read(source, most, at);
                if actor.reading == Some(source.len()) && actor.node.may_work(super::stage::now(at).moment) {
                    return effects.into_iter().chain(actor.handle(Input::Ended(&watch()), at)).collect();
                }
                effects
            } else {
                actor.commit_one(disk, at)
            }
        }
        _ => {
            if actor.node.role() == hb_core::node::view::Role::Standby {
                actor.follow(disk, at);
            }
            Vec::new()
        }
    }
}
