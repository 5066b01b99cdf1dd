//! Standing by, warm, until the lease is this node's own; and taking over.

use std::time::Duration;

use hb_core::ids::WatchName;
use hb_core::node::step::Input;
use hb_core::time::Moment;
use hb_store::port::JournalError;

use super::Loop;
use crate::clock;
use crate::feeder::Order;
use crate::inbox::Next;

impl Loop {
    /// Reads along, and meanwhile hears what becomes of the lease.
    pub(super) fn stand_by(&mut self) {
        self.line_up();
        let left = self.follow_at.map_or(Duration::ZERO, clock::until);
        match self.inbox.control_only(left) {
            Next::Told(told) => self.told(told),
            Next::Control(control) => self.obey(control),
            Next::Data(_) | Next::Nothing => {}
        }
        let due = self.follow_at.is_none_or(|at| at <= clock::moment());
        if due && self.ended.is_none() && self.node.role() == hb_core::node::view::Role::Standby {
            self.follow_at = Some(clock::after(self.bounds.follow_every));
            // What is wrong with it is told; with the lease in hand it decides.
            if self.read_along().is_ok() {
                self.make_ready();
            }
        }
    }

    /// What a takeover would have to fetch: fetched before.
    fn make_ready(&mut self) {
        self.load_documents();
        self.read_tags_ahead();
    }

    pub(super) fn read_along(&mut self) -> Result<(), JournalError> {
        let names: Vec<WatchName> = self.watches.keys().cloned().collect();
        let read = names.iter().try_for_each(|watch| self.read_stream(watch));
        self.shared.check("journal", read.clone().map_err(|error| error.to_string()));
        if read.is_ok() {
            self.read_at = Some(clock::moment());
        }
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

    pub(super) fn take_over(&mut self, how: &'static str, why: &str, since: Moment, until: Moment) {
        let why = self.reason(why);
        tracing::info!("node {} takes over ({how}): {why}", self.name);
        self.load_documents();
        // The number of the next version counts only where a baseline may be learned at once; the others are read before data.
        let learning = |watch: &WatchName| {
            self.node.fold(watch).and_then(|fold| fold.last.as_ref()).is_none_or(|last| last.learning.is_some())
        };
        let names: Vec<WatchName> = self.watches.keys().filter(|watch| learning(watch)).cloned().collect();
        for watch in names {
            if let Err(why) = self.read_versions(&watch) {
                self.shared.check(&format!("baseline.{watch}"), Err(why));
            }
        }
        self.tags_at = Moment(0);
        let step = self.node.handle(Input::Granted { how, why, since, until }, clock::now());
        self.carry_out(step);
    }
}
