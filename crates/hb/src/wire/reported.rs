//! Tells with an alert where the report of its cycle stands.

use std::path::PathBuf;

use hb_actuators::{AlertSink, Delivery};
use hb_core::watch::alert::Alert;
use hb_core::watch::decision::Status;
use hb_store::views::reports;

use crate::config::checked::{Reports, WatchConfig};

/// A sink that is told of reports.
pub(super) struct Reported {
    inner: Box<dyn AlertSink>,
    dir: PathBuf,
    reports: Reports,
}

impl Reported {
    pub(super) fn new(inner: Box<dyn AlertSink>, watch: &WatchConfig) -> Self {
        let dir = std::path::absolute(&watch.view_dir).unwrap_or_else(|_| watch.view_dir.clone());
        Self { inner, dir, reports: watch.reports }
    }

    fn report(&self, alert: &Alert) -> Option<String> {
        let written = match self.reports {
            Reports::Every | Reports::Changes => true,
            Reports::Failures => alert.status == Status::Fail,
            Reports::None => false,
        };
        written.then(|| reports::page(&self.dir, &alert.watch, alert.cycle).to_string_lossy().into_owned())
    }
}

impl AlertSink for Reported {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn deliver(&mut self, alert: &Alert, report: Option<&str>) -> Delivery {
        let own = self.report(alert);
        self.inner.deliver(alert, report.or(own.as_deref()))
    }
}
