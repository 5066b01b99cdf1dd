//! Standing by, warm, until the lease is this node's own; and taking over.

use std::thread;
use std::time::{Duration, Instant};

use hb_core::ids::WatchName;
use hb_core::node::step::Input;
use hb_core::time::Moment;
use hb_store::port::{JournalError, Waited};

use super::{Ended, Loop};
use crate::clock::{self, ns};
use crate::feeder::Order;
use crate::inbox::Next;

impl Loop {
    /// Waits for the lease, and meanwhile reads along.
    pub(super) fn stand_by(&mut self) {
        while let Next::Control(control) = self.inbox.control_only(Duration::ZERO) {
            self.obey(control);
        }
        if self.ended.is_some() {
            return;
        }
        let waited = self.lease.acquire(self.bounds.follow_every);
        let read = self.read_along();
        match (waited, read) {
            (Ok(Waited::Granted { how, why }), Ok(())) => self.take_over(how, why),
            (Ok(Waited::Held), Ok(())) => {
                self.shared.check("lease", Ok(()));
                self.say_that_it_stands_by();
            }
            (Err(error), _) => {
                self.shared.check("lease", Err(error.to_string()));
                // It answered at once: wait here rather than spin.
                if let Next::Control(control) = self.inbox.control_only(self.bounds.follow_every) {
                    self.obey(control);
                }
            }
            (Ok(granted), Err(error)) => {
                if matches!(granted, Waited::Granted { .. }) {
                    self.unreadable(&error);
                }
            }
        }
    }

    /// Once, when it begins to.
    fn say_that_it_stands_by(&mut self) {
        if std::mem::replace(&mut self.told_standby, true) {
            return;
        }
        let holder = self.lease.holder().ok().flatten();
        let holder = holder.map_or_else(|| "another node".into(), |one| format!("{} (process {})", one.node, one.pid));
        tracing::info!("node {} stands by: {holder} is active", self.name);
    }

    /// With the lease but without a readable journal nobody can work: give the lease back, or end if it never will.
    fn unreadable(&mut self, error: &JournalError) {
        if let Err(error) = self.lease.release() {
            tracing::warn!("the lease could not be given back: {error}");
        }
        match error {
            JournalError::Corrupt(what) => self.ended = Some(Ended::Corrupt(what.clone())),
            JournalError::Stopped(what) => self.ended = Some(Ended::Unfinished(what.clone())),
            JournalError::Unavailable(_) => thread::sleep(self.bounds.follow_every),
        }
    }

    fn read_along(&mut self) -> Result<(), JournalError> {
        let names: Vec<WatchName> = self.watches.keys().cloned().collect();
        let read = names.iter().try_for_each(|watch| self.read_stream(watch));
        self.shared.check("journal", read.clone().map_err(|error| error.to_string()));
        read
    }

    fn read_stream(&mut self, watch: &WatchName) -> Result<(), JournalError> {
        let mut moved = false;
        loop {
            let records = self.reading.poll(watch, &mut *self.journal)?;
            if records.is_empty() {
                break;
            }
            moved = true;
            for sealed in &records {
                let step = self.node.handle(Input::Record(watch, sealed), clock::now());
                self.carry_out(step);
            }
        }
        if moved || self.watches.get(watch).is_some_and(|work| !work.open) {
            self.warm(watch);
        }
        Ok(())
    }

    /// Lets the feeder read along, or drop what is decided.
    fn warm(&mut self, watch: &WatchName) {
        let mark = self.node.fold(watch).and_then(|fold| fold.last.as_ref()).map(|last| last.resume.mark.clone());
        let Some(work) = self.watches.get_mut(watch) else { return };
        if work.open {
            if let Some(mark) = mark {
                work.feeder.order(Order::Trim { mark });
            }
        } else {
            work.open = true;
            work.feeder.order(Order::Warm { mark });
        }
    }

    fn take_over(&mut self, how: &'static str, why: String) {
        self.told_standby = false;
        tracing::info!("node {} takes over ({how}): {why}", self.name);
        self.granted_at = Some(Instant::now());
        self.load_documents();
        for watch in self.watches.keys().cloned().collect::<Vec<_>>() {
            if let Err(why) = self.read_versions(&watch) {
                self.shared.check(&format!("baseline.{watch}"), Err(why));
            }
        }
        let now = clock::now();
        let until = now.moment.plus_ns(ns(self.bounds.lease_ttl));
        self.renew_at = Moment(0);
        let step = self.node.handle(Input::Granted { how, why, until }, now);
        self.carry_out(step);
    }
}
