//! The alert as a JSON document: the same for every sink, and the same however often it is delivered.

use hb_core::ids::{CycleNo, WatchName};
use hb_core::time::Stamp;
use hb_core::watch::alert::{Alert, AlertCause, Urgency};
use hb_core::watch::decision::Status;
use serde::Serialize;

/// What is sent. The first seven fields keep the names and meanings that users of the predecessor know.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AlertDoc<'a> {
    /// End of the cycle. Not the time of sending: a repetition has the same bytes.
    pub ts: Stamp,
    /// `INFO`, `WARN`, `FAIL`.
    pub severity: Urgency,
    /// Status of the cycle.
    pub status: Status,
    /// `WATCH/CYCLE`.
    pub run_id: &'a str,
    /// `fail`, `drift`, `no_data`, `no_baseline`, `baseline_stale`, `ok`.
    pub primary_issue: &'static str,
    /// The cycle's report, where there is one.
    pub report_path: Option<&'a str>,
    /// Series that drive it, each once, the worst first; at most ten.
    pub drift_metrics: Vec<&'a str>,
    /// The same for every delivery of this alert: `WATCH/CYCLE`.
    pub key: &'a str,
    /// Watch.
    pub watch: &'a WatchName,
    /// Cycle.
    pub cycle: CycleNo,
    /// Start of the cycle.
    pub start_utc: Stamp,
    /// End of the cycle.
    pub end_utc: Stamp,
    /// Why it was made.
    pub cause: AlertCause,
    /// Status of the cycle before.
    pub before: Option<Status>,
    /// One sentence.
    pub headline: &'a str,
    /// Since when the status stands.
    pub since: Stamp,
}

impl<'a> AlertDoc<'a> {
    /// The document of an alert.
    #[must_use]
    pub fn new(alert: &'a Alert, report: Option<&'a str>) -> Self {
        Self {
            ts: alert.span.end,
            severity: alert.severity,
            status: alert.status,
            run_id: &alert.key,
            primary_issue: issue(alert),
            report_path: report,
            drift_metrics: once(&alert.series),
            key: &alert.key,
            watch: &alert.watch,
            cycle: alert.cycle,
            start_utc: alert.span.start,
            end_utc: alert.span.end,
            cause: alert.cause,
            before: alert.before,
            headline: &alert.headline,
            since: alert.since,
        }
    }

    /// One line of JSON, without its end.
    ///
    /// # Panics
    /// Never: the document is plain data.
    #[must_use]
    pub fn to_line(&self) -> String {
        serde_json::to_string(self).expect("an alert is plain data with string keys")
    }
}

/// A series that breaks two rules is still one series; the predecessor named it twice.
fn once(series: &[String]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::with_capacity(series.len());
    for name in series {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    names
}

fn issue(alert: &Alert) -> &'static str {
    match (alert.status, alert.cause) {
        (Status::Fail, _) => "fail",
        (Status::PassWithDrift, _) => "drift",
        (Status::NoData, _) => "no_data",
        (Status::NoBaseline, _) => "no_baseline",
        (Status::Pass, AlertCause::BaselineStale) => "baseline_stale",
        (Status::Pass, AlertCause::Changed | AlertCause::Worsened | AlertCause::Cycle) => "ok",
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use hb_core::time::Span;

    pub(crate) fn alert(cycle: u64) -> Alert {
        Alert {
            key: format!("bench/{cycle}"),
            cause: AlertCause::Changed,
            severity: Urgency::Fail,
            watch: "bench".into(),
            cycle: CycleNo(cycle),
            span: Span { start: Stamp(1_700_000_000_000_000_000), end: Stamp(1_700_000_010_000_000_000) },
            status: Status::Fail,
            before: Some(Status::Pass),
            headline: "FAIL: \"bus\"\nvoltage".to_owned(),
            series: ["bus.voltage", "fan", "bus.voltage"].map(str::to_owned).into(),
            since: Stamp(1_700_000_000_000_000_000),
        }
    }

    #[test]
    fn keeps_the_known_names_and_is_one_line() {
        let alert = alert(7);
        let line = AlertDoc::new(&alert, Some("/out/reports/7")).to_line();
        assert!(!line.contains('\n'));
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        for (key, expected) in [
            ("ts", "2023-11-14T22:13:30Z"),
            ("severity", "FAIL"),
            ("status", "FAIL"),
            ("run_id", "bench/7"),
            ("primary_issue", "fail"),
            ("report_path", "/out/reports/7"),
            ("key", "bench/7"),
            ("watch", "bench"),
            ("cause", "changed"),
            ("before", "PASS"),
            ("headline", "FAIL: \"bus\"\nvoltage"),
            ("since", "2023-11-14T22:13:20Z"),
        ] {
            assert_eq!(value[key], expected, "{key}");
        }
        assert_eq!(value["drift_metrics"], serde_json::json!(["bus.voltage", "fan"]));
        assert_eq!(value["cycle"], 7);
    }

    #[test]
    fn each_status_has_its_issue() {
        let told = |status, cause| issue(&Alert { status, cause, ..alert(1) });
        assert_eq!(told(Status::Pass, AlertCause::Changed), "ok");
        assert_eq!(told(Status::Pass, AlertCause::BaselineStale), "baseline_stale");
        assert_eq!(told(Status::PassWithDrift, AlertCause::Cycle), "drift");
        assert_eq!(told(Status::NoData, AlertCause::Changed), "no_data");
        assert_eq!(told(Status::NoBaseline, AlertCause::Changed), "no_baseline");
    }
}
