//! The laws of orders and places.

use std::time::{Duration, Instant};

use hb_core::time::Stamp;

use super::{Stage, granted, held_for, holding, pause, renew, show, switchover};
use crate::port::{Lease, Order, Orders, Settled, SwitchoverEnd, Waited};

fn order(lease: &mut dyn Lease, order: Order) -> Orders {
    lease.order(order.clone()).unwrap_or_else(|error| panic!("{order:?} was refused: {error}"))
}

fn orders(lease: &mut dyn Lease) -> Orders {
    lease.orders().unwrap_or_else(|error| panic!("orders cannot be told: {error}"))
}

fn settled(id: &str) -> Order {
    let (what, by, at) = ("c works".to_owned(), "c".into(), Stamp(0));
    Order::Settled(Settled { id: id.to_owned(), end: SwitchoverEnd::Done, what, by, at })
}

/// During a pause nobody takes over: not after a release, not after a crash. The last holder's node may come back. Ending the
/// pause lets things go their way.
pub fn a_pause_keeps_everybody_but_the_last_holder_away(stage: &dyn Stage) {
    let ttl = stage.ttl();
    let mut a = holding(stage, "a", 1);
    let (mut b, mut operator) = (stage.open("b"), stage.open("operator"));
    held_for(&mut *b, ttl / 4, "somebody works");
    order(&mut *operator, Order::Pause(pause()));
    renew(&mut *a, &show("a", 1, 2));
    assert_eq!(orders(&mut *a).pause, Some(pause()), "the holder sees it with its next renewal");
    a.release().expect("it can be given back");
    held_for(&mut *b, ttl * 2, "a pause");
    assert_eq!(orders(&mut *b).pause, Some(pause()), "whoever waits sees it");
    granted(&mut *a, stage);
    renew(&mut *a, &show("a", 2, 1));
    stage.crash(a);
    held_for(&mut *b, ttl * 3, "a pause");
    order(&mut *operator, Order::Resume);
    granted(&mut *b, stage);
    assert_eq!(orders(&mut *b).pause, None);
    renew(&mut *b, &show("b", 3, 1));
}

/// A switchover to a node: it is granted the lease after the release, and nobody else, whatever their places; the old holder does not
/// come back meanwhile.
pub fn a_switchover_goes_to_the_named_node(stage: &dyn Stage) {
    let ttl = stage.ttl();
    let mut a = holding(stage, "a", 1);
    let (mut b, mut c) = (stage.open("b"), stage.open("c"));
    c.stand_behind(5);
    held_for(&mut *b, ttl / 8, "somebody works");
    held_for(&mut *c, ttl / 8, "somebody works");
    order(&mut *b, Order::Switchover(switchover("a", Some("c"))));
    renew(&mut *a, &show("a", 1, 2));
    assert_eq!(orders(&mut *a).switchover, Some(switchover("a", Some("c"))), "the holder sees it");
    let released = Instant::now();
    a.release().expect("it can be given back");
    // In turn; each for so short that the two TTLs for which they hold back do not pass.
    let mut granted_to_c = false;
    while !granted_to_c && released.elapsed() < ttl * 2 {
        for lease in [&mut a, &mut b] {
            let waited = lease.acquire(Duration::from_millis(20)).expect("the lease can be told");
            let wrongly = waited != Waited::Held && released.elapsed() < ttl * 2;
            assert!(!wrongly, "it was granted to another node than the one that was named");
        }
        granted_to_c = c.acquire(Duration::from_millis(50)).expect("the lease can be told") != Waited::Held;
    }
    if !granted_to_c {
        // A machine that was too busy for it; nobody else asks any more.
        granted(&mut *c, stage);
    }
    renew(&mut *c, &show("c", 2, 1));
    assert_eq!(order(&mut *c, settled("a-1")).switchover, None);
    renew(&mut *c, &show("c", 2, 2));
    assert_eq!(orders(&mut *c).settled.map(|settled| settled.id), Some("a-1".to_owned()));
    c.release().expect("it can be given back");
    granted(&mut *a, stage);
}

/// Where the named node does not come, others take the lease after two TTLs and not before. Where none was named, the old
/// holder holds back and another one takes it at once.
pub fn others_take_what_the_named_node_does_not(stage: &dyn Stage) {
    let ttl = stage.ttl();
    let mut a = holding(stage, "a", 1);
    let mut b = stage.open("b");
    held_for(&mut *b, ttl / 8, "somebody works");
    order(&mut *b, Order::Switchover(switchover("a", Some("nobody"))));
    renew(&mut *a, &show("a", 1, 2));
    let released = Instant::now();
    a.release().expect("it can be given back");
    let (_, why, _) = granted(&mut *b, stage);
    assert!(released.elapsed() >= ttl * 2, "others hold back for two TTLs, not {:?}", released.elapsed());
    assert!(why.contains("a gave it back"), "{why}");
    renew(&mut *b, &show("b", 2, 1));
    order(&mut *b, Order::Switchover(switchover("b", None)));
    renew(&mut *b, &show("b", 2, 2));
    b.release().expect("it can be given back");
    held_for(&mut *b, ttl / 4, "it shall go elsewhere");
    granted(&mut *a, stage);
}

/// Each place waits a step longer, from when the lease is free, and then takes it.
pub fn each_place_waits_longer(stage: &dyn Stage) {
    let mut a = holding(stage, "a", 1);
    let mut b = stage.open("b");
    b.stand_behind(3);
    held_for(&mut *b, stage.ttl() / 8, "somebody works");
    let released = Instant::now();
    a.release().expect("it can be given back");
    granted(&mut *b, stage);
    let took = released.elapsed();
    assert!(took >= stage.place_step() * 3, "the fourth in line took it after {took:?}");
    renew(&mut *b, &show("b", 2, 1));
    let mut c = stage.open("c");
    c.stand_behind(2);
    held_for(&mut *c, stage.ttl() / 8, "somebody works");
    let crashed = Instant::now();
    stage.crash(b);
    granted(&mut *c, stage);
    let took = crashed.elapsed();
    assert!(took >= stage.place_step() * 2, "the third in line took it after {took:?}");
}

/// Orders outlive whoever held the lease when they were given, and do not get lost between changes and renewals at one moment.
pub fn orders_survive_holders(stage: &dyn Stage) {
    let mut operator = stage.open("operator");
    assert_eq!(orders(&mut *operator), Orders::default());
    order(&mut *operator, Order::Pause(pause()));
    assert_eq!(orders(&mut *stage.open("x")).pause, Some(pause()), "also before anybody ever held the lease");
    let mut a = holding(stage, "a", 1);
    assert_eq!(orders(&mut *a).pause, Some(pause()), "nobody is kept from the first start of all");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut other = stage.open("other");
            for round in 0..10 {
                let switchover = switchover("a", Some(&format!("b-{round}")));
                order(&mut *other, Order::Switchover(switchover));
            }
        });
        scope.spawn(|| {
            for _ in 0..5 {
                order(&mut *operator, Order::Resume);
                order(&mut *operator, Order::Pause(pause()));
            }
        });
        for progress in 2..20 {
            renew(&mut *a, &show("a", 1, progress));
        }
    });
    let given = Orders { pause: Some(pause()), switchover: Some(switchover("a", Some("b-9"))), settled: None };
    renew(&mut *a, &show("a", 1, 20));
    assert_eq!(orders(&mut *a), given, "no order was lost between those at one moment");
    stage.crash(a);
    assert_eq!(orders(&mut *stage.open("y")), given, "orders outlive the holder");
}
