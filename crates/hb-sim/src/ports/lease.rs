//! The lease of a process: hb's own, over the register's port; and lies on top of it.

use std::time::Duration;

use hb_core::time::{Moment, Stamp};
use hb_runtime::clock;
use hb_store::lease::register::{LEASE_CELL, Names, RegisterLease};
use hb_store::port::{Holder, Lease, LeaseError, Order, Orders, Waited};
use hb_store::register::Cell;
use serde_json::Value;

use super::cells::Cells;
use super::line::Line;
use super::register::Port as RegisterPort;
use crate::fault::Fault;
use crate::kernel::{MS, SECOND};
use crate::planted::Planted;
use crate::stage::here;

/// A process's lease.
#[derive(Debug)]
pub(crate) struct Port {
    line: Line,
    ttl: Duration,
    /// hb's own.
    real: RegisterLease,
    /// Until when it says that it is granted whatever is true, in the world's own time.
    lies_until: u64,
    /// For planted faults: what was seen in the cell, and when by the wall clock.
    seen: Option<(String, Stamp)>,
}

impl Port {
    pub(crate) fn new(line: Line, node: &str, ttl: Duration) -> Self {
        let real = RegisterLease::new(Box::new(RegisterPort::new(line)), &node.into(), ttl, Names::MEMORY);
        Self { line, ttl, real, lies_until: 0, seen: None }
    }

    fn lies(&self) -> bool {
        here().kernel.now() < self.lies_until
    }

    fn lie(&mut self) -> Waited {
        let stage = here();
        let long = stage.kernel.chance.borrow_mut().between(SECOND, 20 * SECOND);
        self.lies_until = stage.kernel.now().saturating_add(long);
        stage.say(|| format!("n{} is granted the lease by a lie", self.line.machine));
        Waited::Granted { how: "memory", why: "the lease lies".into() }
    }

    /// Planted faults: whether what stands in the cell is wrongly taken for expired.
    fn misjudges(&mut self) -> Option<Cell> {
        let stage = here();
        let cell = stage.cells.borrow().get(LEASE_CELL)?;
        let document: Value = serde_json::from_slice(&cell.bytes).ok()?;
        let holder = document.get("holder").filter(|_| document.get("released") == Some(&Value::Bool(false)))?;
        let (text, now) = (holder.to_string(), clock::wall());
        let since = match &self.seen {
            Some((seen, since)) if *seen == text => *since,
            Some(_) | None => {
                self.seen = Some((text, now));
                now
            }
        };
        let ttl = i64::try_from(self.ttl.as_nanos()).unwrap_or(i64::MAX);
        let by_wall = stage.planted(Planted::WallTtl) && now.since_ns(since) > ttl;
        let shown = holder.get("shown_ms").and_then(Value::as_u64).unwrap_or(u64::MAX).saturating_mul(MS);
        let by_clock = stage.planted(Planted::ForeignClock)
            && clock::moment().since_ns(Moment(shown)) > u64::try_from(ttl).unwrap_or(u64::MAX);
        (by_wall || by_clock).then_some(cell)
    }

    /// Planted faults: puts this node in the place of the holder.
    fn usurp(&mut self, cell: &Cell) -> Option<Waited> {
        let stage = here();
        let mut document: Value = serde_json::from_slice(&cell.bytes).ok()?;
        let session = Value::String(format!("usurper-{}-{}", self.line.machine, stage.kernel.now()));
        *document.get_mut("holder")?.get_mut("session")? = session;
        stage.reached("planted");
        let _swapped =
            Cells::change(&stage, self.line, LEASE_CELL, Some(&cell.version), Some(document.to_string().as_bytes()));
        Some(self.lie())
    }
}

impl Lease for Port {
    fn acquire(&mut self, patience: Duration) -> Result<Waited, LeaseError> {
        if !self.line.lives() {
            return Err(LeaseError("the process has ended".into()));
        }
        if self.lies() {
            return Ok(Waited::Granted { how: "memory", why: "the lease lies on".into() });
        }
        if here().strikes(Fault::LeaseLies) {
            return Ok(self.lie());
        }
        let waited = self.real.acquire(patience)?;
        let judges = here().planted(Planted::WallTtl) || here().planted(Planted::ForeignClock);
        if judges
            && waited == Waited::Held
            && let Some(usurped) = self.misjudges().and_then(|cell| self.usurp(&cell))
        {
            return Ok(usurped);
        }
        if self.line.lives() && matches!(waited, Waited::Granted { .. }) {
            let stage = here();
            stage.reached("lease granted");
            stage.say(|| format!("n{} is granted the lease: {waited:?}", self.line.machine));
            if stage.planted(Planted::IdleRenewal) {
                renew_idly(self.line, self.ttl);
            }
        }
        Ok(waited)
    }

    fn renew(&mut self, me: &Holder) -> Result<(), LeaseError> {
        if !self.line.lives() {
            return Err(LeaseError("the process has ended".into()));
        }
        if self.lies() {
            return Ok(());
        }
        let stage = here();
        if stage.planted(Planted::BlindRenewal) && stage.kernel.chance.borrow_mut().hits(100_000) {
            stage.reached("planted");
            stage.judge(stage.ledger.borrow().lease.renewed(self.line, me));
            return Ok(());
        }
        let renewed = self.real.renew(me);
        if renewed.is_ok() && self.line.lives() {
            stage.judge(stage.ledger.borrow().lease.renewed(self.line, me));
        }
        renewed
    }

    fn release(&mut self) -> Result<(), LeaseError> {
        self.lies_until = 0;
        if self.line.lives() { self.real.release() } else { Ok(()) }
    }

    fn holder(&mut self) -> Result<Option<Holder>, LeaseError> {
        self.real.holder()
    }

    fn orders(&mut self) -> Result<Orders, LeaseError> {
        self.real.orders()
    }

    fn order(&mut self, order: Order) -> Result<Orders, LeaseError> {
        self.real.order(order)
    }

    fn stand_behind(&mut self, others: u32) {
        self.real.stand_behind(others);
    }
}

/// A planted fault: a thread that shows progress by itself.
fn renew_idly(line: Line, ttl: Duration) {
    let renew = move || {
        loop {
            hb_runtime::thread::sleep(ttl / 4);
            let stage = here();
            if !line.lives() {
                return;
            }
            let Some(cell) = stage.cells.borrow().get(LEASE_CELL) else { return };
            let Ok(mut document) = serde_json::from_slice::<Value>(&cell.bytes) else { return };
            let Some(holder) = document.get_mut("holder") else { return };
            if holder.get("pid").and_then(Value::as_u64) != Some(u64::from(hb_runtime::world::pid())) {
                return;
            }
            let progress = holder.get("progress").and_then(Value::as_u64).unwrap_or(0);
            holder["progress"] = (progress + 1).into();
            stage.reached("planted");
            let _swapped =
                Cells::change(&stage, line, LEASE_CELL, Some(&cell.version), Some(document.to_string().as_bytes()));
        }
    };
    // Where no thread can be started, nothing is planted, and the test that looks for it fails.
    drop(hb_runtime::thread::spawn("renewer", renew));
}
