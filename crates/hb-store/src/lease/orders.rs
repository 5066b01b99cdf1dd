//! Who may take a free lease, and how long it has to hold back: places, a pause, a switchover. The same for every lease.

use std::time::Duration;

use hb_core::ids::NodeName;

use crate::port::{LeaseError, Order, Orders};

/// Longest text of an operator that is kept, in bytes (B1).
pub(super) const TEXT_MAX: usize = 1000;
/// How many TTLs a lease that was given back for a switchover waits for the node that was named.
const SWITCHOVER_TTLS: u32 = 2;

/// One that would take a free lease.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate<'a> {
    pub(super) node: &'a NodeName,
    /// Whose it was last.
    pub(super) last: Option<&'a NodeName>,
    /// Nodes that go first.
    pub(super) place: u32,
    /// How much longer each place waits.
    pub(super) step: Duration,
    pub(super) ttl: Duration,
}

/// How the last holder ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It gave the lease back.
    Released,
    /// It died or hangs, or there was none.
    Other,
}

/// How long to hold back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hold {
    /// So long after the lease became free.
    For(Duration),
    /// Until operators change their orders; why, in words.
    Paused(String),
}

/// How long a candidate holds back from a lease that is free.
pub(super) fn hold(orders: &Orders, me: &Candidate<'_>, end: End) -> Hold {
    if let Some(pause) = &orders.pause
        && let Some(last) = me.last
        && last != me.node
    {
        return Hold::Paused(format!(
            "{} paused takeovers ({}): only {last} may come back; `hb resume` ends it",
            pause.by, pause.reason
        ));
    }
    let place = me.step.saturating_mul(me.place);
    // A switchover from somebody else than the last holder is over.
    let Some(switchover) = orders.switchover.as_ref().filter(|switchover| Some(&switchover.from) == me.last) else {
        return Hold::For(place);
    };
    let named = switchover.to.as_ref();
    if named == Some(me.node) {
        return Hold::For(Duration::ZERO);
    }
    let after = match end {
        End::Released if named.is_some() || switchover.from == *me.node => me.ttl.saturating_mul(SWITCHOVER_TTLS),
        End::Other if named.is_some() => me.step,
        End::Released | End::Other => Duration::ZERO,
    };
    Hold::For(after.saturating_add(place))
}

/// Whether this node is one of those that a switchover waits for.
pub(super) fn is_next(orders: &Orders, me: &Candidate<'_>) -> bool {
    orders.switchover.as_ref().is_some_and(|switchover| {
        Some(&switchover.from) == me.last
            && switchover.from != *me.node
            && switchover.to.as_ref().is_none_or(|to| to == me.node)
    })
}

/// Refuses an order whose texts are too long.
pub(super) fn check(order: &Order) -> Result<(), LeaseError> {
    let texts: &[&str] = match order {
        Order::Pause(pause) => &[&pause.by, &pause.reason],
        Order::Switchover(switchover) => &[&switchover.id, &switchover.by, &switchover.reason],
        Order::Settled(settled) => &[settled.id.as_str(), settled.what.as_str()],
        Order::Resume => &[],
    };
    match texts.iter().find(|text| text.len() > TEXT_MAX) {
        Some(text) => {
            Err(LeaseError(format!("a text of {} bytes is longer than the {TEXT_MAX} that are kept", text.len())))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use hb_core::time::Stamp;

    use super::*;
    use crate::port::{Pause, Switchover};

    const TTL: Duration = Duration::from_secs(3);
    const STEP: Duration = Duration::from_millis(200);

    fn held(orders: &Orders, (me, last, place): (&str, Option<&str>, u32), end: End) -> Hold {
        let (node, last) = (me.into(), last.map(NodeName::from));
        hold(orders, &Candidate { node: &node, last: last.as_ref(), place, step: STEP, ttl: TTL }, end)
    }

    #[test]
    fn each_place_waits_a_step_longer() {
        let none = Orders::default();
        assert_eq!(held(&none, ("a", None, 0), End::Other), Hold::For(Duration::ZERO));
        assert_eq!(held(&none, ("a", Some("b"), 3), End::Other), Hold::For(STEP * 3));
    }

    #[test]
    fn a_pause_lets_only_the_last_holder_back() {
        let pause = Pause { by: "operator:ada".into(), reason: "new disks".into(), at: Stamp(0) };
        let paused = Orders::default().after(Order::Pause(pause));
        assert_eq!(held(&paused, ("a", Some("a"), 0), End::Other), Hold::For(Duration::ZERO));
        assert_eq!(held(&paused, ("a", None, 0), End::Other), Hold::For(Duration::ZERO), "the first start of all");
        match held(&paused, ("b", Some("a"), 0), End::Released) {
            Hold::Paused(why) => assert!(why.contains("operator:ada") && why.contains("new disks"), "{why}"),
            Hold::For(time) => panic!("{time:?}"),
        }
    }

    #[test]
    fn a_switchover_lets_the_named_node_go_first() {
        let to = |to: Option<&str>| {
            let to = to.map(NodeName::from);
            let (id, by, reason) = ("1".into(), "operator:ada".into(), "kernel".into());
            Orders::default().after(Order::Switchover(Switchover {
                id,
                from: "a".into(),
                to,
                by,
                reason,
                at: Stamp(0),
            }))
        };
        let (named, open) = (to(Some("b")), to(None));
        assert_eq!(held(&named, ("b", Some("a"), 2), End::Released), Hold::For(Duration::ZERO), "whatever its place");
        assert_eq!(held(&named, ("c", Some("a"), 0), End::Released), Hold::For(TTL * 2));
        assert_eq!(held(&named, ("a", Some("a"), 1), End::Released), Hold::For(TTL * 2 + STEP));
        assert_eq!(held(&named, ("c", Some("a"), 0), End::Other), Hold::For(STEP), "a crash meanwhile is a crash");
        assert_eq!(held(&open, ("c", Some("a"), 1), End::Released), Hold::For(STEP));
        assert_eq!(held(&open, ("a", Some("a"), 0), End::Released), Hold::For(TTL * 2), "it shall go elsewhere");
        assert_eq!(held(&named, ("c", Some("b"), 0), End::Released), Hold::For(Duration::ZERO), "it is over");
    }
}
