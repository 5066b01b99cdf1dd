//! May I? Whether this node may append and act.
//!
//! The lease only picks who tries; that two never succeed is the journal's doing (H1). So this machine is small: it
//! remembers what the lease said, and until when that is good on this node's own clock.
//!
//! **Invariants.** Only [`Lease::permit`] makes a [`Permit`], and only while held and in time. `Fenced` is terminal.

pub mod placement;

use crate::time::Moment;

/// Where this node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    /// Somebody else has it, or nobody.
    Standby,
    /// Granted; the epochs are being opened.
    Opening {
        /// Good until.
        until: Moment,
    },
    /// Granted, and every epoch is open.
    Held {
        /// Good until.
        until: Moment,
    },
    /// Stopping of its own will; the epochs are being closed.
    Draining {
        /// Good until.
        until: Moment,
    },
    /// Giving the lease to somebody else, to stand by afterwards; the epochs are being closed.
    HandingOver {
        /// Good until.
        until: Moment,
    },
    /// A larger epoch exists.
    Fenced,
}

/// What can happen to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseEvent {
    /// The lease was granted.
    Granted {
        /// Good until.
        until: Moment,
    },
    /// Progress was shown.
    Renewed {
        /// Good until.
        until: Moment,
    },
    /// Every epoch is open.
    Opened,
    /// Somebody else was quicker while the epochs were being opened.
    Overtaken,
    /// A larger epoch was met.
    Fenced,
    /// The operator, or a signal, asks to stop.
    Drain,
    /// The operator asks that another node goes on.
    HandOver,
    /// The lease has run out, as far as can be told, and somebody else may have it: stand by again.
    Lapsed,
    /// Everything is written; stand by again (or end).
    Released,
}

/// The right to act, now. Cannot be kept: it borrows from nothing but must be asked for again, and it cannot be copied.
#[derive(Debug)]
pub struct Permit {
    until: Moment,
}

impl Permit {
    /// Whether it is still good.
    #[must_use]
    pub fn good(&self, now: Moment) -> bool {
        now < self.until
    }
}

impl Lease {
    /// The transition table. `None`: impossible here, to be raised as an alarm.
    #[must_use]
    pub fn on(self, event: LeaseEvent) -> Option<Self> {
        use Lease as L;
        use LeaseEvent as E;
        match (self, event) {
            (L::Fenced, _) | (_, E::Fenced) => Some(L::Fenced),
            (L::Standby, E::Granted { until }) => Some(L::Opening { until }),
            (L::Standby, E::Drain | E::HandOver | E::Released | E::Lapsed) => Some(L::Standby),
            (L::Standby, E::Renewed { .. } | E::Opened | E::Overtaken) => None,

            (L::Opening { .. }, E::Granted { until } | E::Renewed { until }) => Some(L::Opening { until }),
            (L::Opening { until }, E::Opened) => Some(L::Held { until }),
            (L::Opening { .. }, E::Overtaken | E::Released | E::Lapsed) => Some(L::Standby),
            // Asked too early: it has to be asked again once the epochs are open.
            (L::Opening { until }, E::HandOver) => Some(L::Opening { until }),
            (L::Opening { until }, E::Drain) => Some(L::Draining { until }),

            (L::Held { .. }, E::Granted { until } | E::Renewed { until }) => Some(L::Held { until }),
            (L::Held { until }, E::Drain) => Some(L::Draining { until }),
            (L::Held { until }, E::Opened) => Some(L::Held { until }),
            (L::Held { until }, E::HandOver) => Some(L::HandingOver { until }),
            (L::Held { .. }, E::Released | E::Lapsed) => Some(L::Standby),
            (L::Held { .. }, E::Overtaken) => None,

            (L::Draining { .. }, E::Granted { until } | E::Renewed { until }) => Some(L::Draining { until }),
            (L::Draining { until }, E::Opened | E::Drain | E::HandOver) => Some(L::Draining { until }),
            (L::Draining { .. }, E::Released | E::Overtaken | E::Lapsed) => Some(L::Standby),

            (L::HandingOver { .. }, E::Granted { until } | E::Renewed { until }) => Some(L::HandingOver { until }),
            (L::HandingOver { until }, E::Opened | E::HandOver) => Some(L::HandingOver { until }),
            // What is being closed stays closed; the process ends afterwards instead of standing by.
            (L::HandingOver { until }, E::Drain) => Some(L::Draining { until }),
            (L::HandingOver { .. }, E::Released | E::Overtaken | E::Lapsed) => Some(L::Standby),
        }
    }

    /// The right to act, if there is one at `now`.
    #[must_use]
    pub fn permit(self, now: Moment) -> Option<Permit> {
        match self {
            Self::Opening { until } | Self::Held { until } | Self::Draining { until } | Self::HandingOver { until }
                if now < until =>
            {
                Some(Permit { until })
            }
            Self::Opening { .. }
            | Self::Held { .. }
            | Self::Draining { .. }
            | Self::HandingOver { .. }
            | Self::Standby
            | Self::Fenced => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h1_fenced_is_terminal_and_permits_end() {
        let until = Moment(10);
        let held = Lease::Standby.on(LeaseEvent::Granted { until }).and_then(|l| l.on(LeaseEvent::Opened)).unwrap();
        assert!(held.permit(Moment(9)).is_some_and(|permit| permit.good(Moment(9)) && !permit.good(Moment(10))));
        assert!(held.permit(Moment(10)).is_none());
        let fenced = held.on(LeaseEvent::Fenced).unwrap();
        for event in [LeaseEvent::Granted { until }, LeaseEvent::Renewed { until }, LeaseEvent::Opened] {
            assert_eq!(fenced.on(event), Some(Lease::Fenced));
        }
        assert!(fenced.permit(Moment(0)).is_none());
    }

    #[test]
    fn h3_a_lease_that_is_handed_over_or_lapses_can_be_granted_again() {
        let until = Moment(10);
        let held = Lease::Held { until };
        let handing = held.on(LeaseEvent::HandOver).unwrap();
        assert_eq!(handing, Lease::HandingOver { until });
        assert!(handing.permit(Moment(9)).is_some(), "the epochs still have to be closed");
        assert_eq!(handing.on(LeaseEvent::Drain), Some(Lease::Draining { until }));
        for end in [handing.on(LeaseEvent::Released), handing.on(LeaseEvent::Lapsed), held.on(LeaseEvent::Lapsed)] {
            assert_eq!(end, Some(Lease::Standby));
            assert_eq!(end.unwrap().on(LeaseEvent::Granted { until }), Some(Lease::Opening { until }));
        }
        assert_eq!(Lease::Standby.on(LeaseEvent::HandOver), Some(Lease::Standby), "there is nothing to hand over");
    }
}
