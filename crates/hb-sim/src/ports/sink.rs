//! Those outside who are told: what they got, whatever the node believes.

use std::time::Duration;

use hb_actuators::{AlertSink, Delivery};
use hb_core::watch::alert::Alert;

use super::line::Line;
use crate::fault::Fault;
use crate::kernel::{MS, SECOND};
use crate::planted::Planted;
use crate::stage::here;

/// A process's way to the pager.
#[derive(Debug)]
pub(crate) struct Port {
    line: Line,
}

impl Port {
    pub(crate) fn new(line: Line) -> Self {
        Self { line }
    }
}

impl AlertSink for Port {
    fn name(&self) -> &str {
        "pager"
    }

    fn deliver(&mut self, alert: &Alert, _: Option<&str>) -> Delivery {
        let retry = |why: &str| Delivery::Retry { why: why.into(), after: None };
        if !self.line.lives() {
            return retry("the process has ended");
        }
        let stage = here();
        let long = {
            let mut chance = stage.kernel.chance.borrow_mut();
            chance.wait(5 * MS)
        };
        stage.kernel.rest(long);
        if !self.line.lives() || stage.strikes(Fault::SinkFails) {
            return retry("the pager answers with 503");
        }
        if stage.planted(Planted::LostAlert) && stage.kernel.chance.borrow_mut().hits(200_000) {
            stage.reached("planted");
            return Delivery::Done;
        }
        stage.reached("alert delivered");
        stage.kernel.trace.note_bytes(8, alert.key.as_bytes());
        stage.say(|| format!("n{} tells {}: {}", self.line.machine, alert.key, alert.status));
        let found = stage.ledger.borrow_mut().alerts.told(alert);
        stage.judge(found);
        if stage.strikes(Fault::SinkForgets) {
            let late = stage.kernel.chance.borrow_mut().between(MS, 30 * SECOND);
            hb_runtime::thread::sleep(Duration::from_nanos(late));
            return retry("the pager did not answer in time");
        }
        Delivery::Done
    }
}
