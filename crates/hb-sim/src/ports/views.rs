//! What people look at: the newest cycle of each watch that was shown to them.

use hb_core::ids::{StreamName, WatchName};
use hb_core::node::fact::{Body, Sealed};
use hb_core::node::view::View;
use hb_core::watch::baseline::Baseline;
use hb_daemon::{ViewFault, Views};
use hb_store::port::Journal as _;

use super::line::Line;
use crate::fault::Fault;
use crate::kernel::MS;
use crate::stage::here;

/// A process's screen.
#[derive(Debug)]
pub(crate) struct Port {
    line: Line,
}

impl Port {
    pub(crate) fn new(line: Line) -> Self {
        Self { line }
    }

    fn takes_its_time(&self) -> Result<(), ViewFault> {
        let stage = here();
        let fault = |what: &str| Err(ViewFault { view: "screen".into(), what: what.into() });
        if !self.line.lives() {
            return fault("the process has ended");
        }
        let long = stage.kernel.chance.borrow_mut().wait(MS);
        stage.kernel.rest(long);
        if !self.line.lives() || stage.strikes(Fault::ViewFails) {
            return fault("it is dark");
        }
        Ok(())
    }
}

impl Views for Port {
    fn catch_up(&mut self, watch: &WatchName) -> Vec<ViewFault> {
        if let Err(fault) = self.takes_its_time() {
            return vec![fault];
        }
        let stage = here();
        let head = stage.journal.borrow_mut().head(&StreamName::watch(watch));
        if let Ok(Some(head)) = head {
            stage.ledger.borrow_mut().views.caught_up(watch, head);
            stage.reached("view caught up");
        }
        Vec::new()
    }

    fn show(&mut self, watch: &WatchName, sealed: &Sealed, baseline: Option<&Baseline>) -> Vec<ViewFault> {
        if let Err(fault) = self.takes_its_time() {
            return vec![fault];
        }
        let stage = here();
        let found = {
            let mut ledger = stage.ledger.borrow_mut();
            let stands = ledger.streams.stands(&sealed.record.stream, sealed.record.seq, sealed.hash);
            ledger.views.shown(watch, sealed, baseline, stands.into())
        };
        stage.judge(found);
        if matches!(sealed.record.body, Body::CycleDecided(_)) {
            stage.reached("cycle shown");
        }
        Vec::new()
    }

    fn node(&mut self, _: &View) {}

    fn check(&mut self) -> Vec<(String, Result<(), String>)> {
        Vec::new()
    }
}
