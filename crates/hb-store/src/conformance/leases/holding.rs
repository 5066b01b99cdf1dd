//! The laws of holding and losing a lease.

use std::time::{Duration, Instant};

use super::{Stage, granted, held_for, holding, renew, show};
use crate::port::Waited;

/// How often a check is begun anew because the machine did not let the holder work in time.
const TRIES: usize = 5;

/// While the holder shows progress, nobody else is granted the lease, for many TTLs; the others see who holds it.
pub fn one_holder_while_it_works(stage: &dyn Stage) {
    let ttl = stage.ttl();
    let mut a = holding(stage, "a", 1);
    let mut b = stage.open("b");
    for attempt in 1..=TRIES {
        // Both in turn: b can only be granted wrongly while a renews in time.
        let (mut slowest, mut wrongly) = (Duration::ZERO, None);
        let mut last = Instant::now();
        for progress in 0..16_u64 {
            renew(&mut *a, &show("a", 1, 100 * attempt as u64 + progress));
            slowest = slowest.max(last.elapsed());
            last = Instant::now();
            if let Waited::Granted { how, why } = b.acquire(ttl / 5).expect("the lease can be told") {
                wrongly = Some(format!("{how}: {why}"));
                break;
            }
        }
        match wrongly {
            None => {
                assert_eq!(b.holder().expect("the lease can be told").map(|holder| holder.node), Some("a".into()));
                return;
            }
            Some(_) if slowest.max(last.elapsed()) > ttl / 2 => {
                b.release().expect("it was granted");
                a.release().ok();
                granted(&mut *a, stage);
            }
            Some(why) => panic!("H2: two hold the lease although one showed progress: {why}"),
        }
    }
    panic!("this machine is too busy for a TTL of {ttl:?}");
}

/// A lease that was given back is granted to whoever waits, without waiting for the TTL to pass where the engine tells, and says so.
pub fn a_release_is_seen(stage: &dyn Stage) {
    let mut a = holding(stage, "a", 1);
    let mut b = stage.open("b");
    held_for(&mut *b, stage.ttl() / 4, "somebody works");
    a.release().expect("it can be given back");
    let (how, why, _) = granted(&mut *b, stage);
    assert!(!how.ends_with("-ttl") && why.contains("a gave it back"), "{how}: {why}");
    renew(&mut *b, &show("b", 2, 1));
    held_for(&mut *a, stage.ttl() / 4, "somebody else works");
    assert_eq!(a.holder().expect("the lease can be told"), Some(show("b", 2, 1)));
    // Giving back twice, or what somebody else holds, changes nothing.
    a.release().expect("there is nothing to give back");
    held_for(&mut *stage.open("c"), stage.ttl() / 4, "somebody works");
    b.release().expect("it can be given back");
    assert_eq!(b.holder().expect("the lease can be told"), None);
}

/// When the holder's process ends without a word, whoever waits is granted the lease.
pub fn a_crash_is_seen(stage: &dyn Stage) {
    let a = holding(stage, "a", 1);
    let mut b = stage.open("b");
    held_for(&mut *b, stage.ttl() / 4, "somebody works");
    stage.crash(a);
    let (how, why, _) = granted(&mut *b, stage);
    assert!(why.contains("a (process"), "{how}: {why}");
    renew(&mut *b, &show("b", 2, 1));
    assert_eq!(stage.open("c").holder().expect("the lease can be told"), Some(show("b", 2, 1)));
}

/// H2: a holder that shows nothing, or the same progress again and again, is replaced after one TTL and not before; when it comes
/// back it is told by whom.
pub fn a_holder_that_stands_still_loses_it(stage: &dyn Stage) {
    let ttl = stage.ttl();
    let mut a = holding(stage, "a", 1);
    let mut b = stage.open("b");
    held_for(&mut *b, ttl / 4, "somebody works");
    let shown = Instant::now();
    renew(&mut *a, &show("a", 1, 2));
    let (how, why) = loop {
        match b.acquire(ttl / 10).expect("the lease can be told") {
            Waited::Granted { how, why } => break (how, why),
            // A renewal without progress shows no life. After the takeover it may be refused.
            Waited::Held => drop(a.renew(&show("a", 1, 2))),
        }
        assert!(shown.elapsed() < ttl * super::PATIENCE_TTLS, "H2: it keeps the lease without progress");
    };
    assert!(shown.elapsed() >= ttl, "H2: it lost the lease after {:?}", shown.elapsed());
    assert!(how.ends_with("-ttl") && why.contains("no progress"), "{how}: {why}");
    renew(&mut *b, &show("b", 2, 1));
    let told = a.renew(&show("a", 1, 3)).expect_err("somebody else works in a larger epoch").to_string();
    assert!(told.contains('b') && told.contains("epoch 2"), "{told}");
    assert_eq!(b.holder().expect("the lease can be told").map(|holder| holder.node), Some("b".into()));
    renew(&mut *b, &show("b", 2, 2));
    a.release().expect("there is nothing to give back");
    assert_eq!(b.holder().expect("the lease can be told"), Some(show("b", 2, 2)), "its release changed nothing");
}

/// What cannot be read counts as held for one TTL, and then no longer.
pub fn what_cannot_be_read_never_blocks(stage: &dyn Stage) {
    let a = holding(stage, "a", 1);
    if !stage.garble() {
        return;
    }
    let begun = Instant::now();
    let mut b = stage.open("b");
    let (how, why, _) = granted(&mut *b, stage);
    assert!(begun.elapsed() >= stage.ttl(), "{how}: {why}: after {:?}", begun.elapsed());
    assert!(why.contains("cannot be read"), "{how}: {why}");
    renew(&mut *b, &show("b", 2, 1));
    assert_eq!(stage.open("c").holder().expect("the lease can be told"), Some(show("b", 2, 1)));
    drop(a);
}
