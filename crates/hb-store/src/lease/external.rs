//! Somebody else says who works: a StatefulSet of one, Pacemaker, systemd. Whoever is started has the lease; the journal still
//! fences by epoch (H1).

use std::time::Duration;

use crate::port::{Holder, Lease, LeaseError, Order, Orders, Waited};

/// A lease that is always granted.
#[derive(Debug, Default)]
pub struct ExternalLease {
    held: Option<Holder>,
}

impl Lease for ExternalLease {
    fn acquire(&mut self, _patience: Duration) -> Result<Waited, LeaseError> {
        Ok(Waited::Granted { how: "external", why: "somebody else decides who is started".into() })
    }

    fn renew(&mut self, me: &Holder) -> Result<(), LeaseError> {
        self.held = Some(me.clone());
        Ok(())
    }

    fn release(&mut self) -> Result<(), LeaseError> {
        self.held = None;
        Ok(())
    }

    fn holder(&mut self) -> Result<Option<Holder>, LeaseError> {
        Ok(self.held.clone())
    }

    fn order(&mut self, order: Order) -> Result<Orders, LeaseError> {
        let what = match order {
            Order::Pause(_) | Order::Resume => "a pause",
            Order::Switchover(_) | Order::Settled(_) => "a switchover",
        };
        Err(LeaseError(format!(
            "{what} is not for hb to keep: lease = external says that whoever starts nodes decides which one works \
             (Pacemaker, a StatefulSet, systemd); ask it there"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_started_is_granted() {
        let mut lease = ExternalLease::default();
        assert!(matches!(lease.acquire(Duration::ZERO), Ok(Waited::Granted { how: "external", .. })));
        assert_eq!(lease.holder(), Ok(None));
        assert!(lease.order(Order::Resume).unwrap_err().0.contains("Pacemaker"));
        assert_eq!(lease.orders(), Ok(Orders::default()));
    }
}
