//! The report as a JSON document.
//!
//! The keys down to `drift_attribution` are those of the predecessor's reports, with values of the same kind; the rest are
//! ours. Keys may be added; none is renamed or removed.

use hb_core::ids::{CycleNo, Epoch, NodeName, Seq, StreamName, WatchName};
use hb_core::journal::Hash;
use hb_core::time::Stamp;
use hb_core::watch::decision::{BaselineRef, Counts, DataFault, Direction, Driver, Rule, Severity, Status};
use hb_core::watch::summary::SeriesSummary;
use serde::ser::{Serialize, SerializeSeq, Serializer};

use super::evidence::level;
use super::{ROWS_MAX, ReportInput};

/// Version of the document.
const FORMAT: u32 = 1;
/// Most drifts repeated as `top_drifts`.
const TOP_MAX: usize = 10;

/// The document.
pub(super) fn document(input: &ReportInput<'_>) -> String {
    serde_json::to_string(&Report::of(input)).expect("a report is plain data with string keys")
}

#[derive(serde::Serialize)]
struct Report<'a> {
    run_id: String,
    correlation_id: Hash,
    status: Status,
    baseline_run_id: Option<String>,
    baseline_reason: String,
    baseline_warning: Option<String>,
    drift_metrics: Vec<Drift<'a>>,
    top_drifts: Vec<Drift<'a>>,
    fail_metrics: Vec<&'a str>,
    invariant_violations: Vec<Violation<'a>>,
    warnings: Vec<String>,
    drift_attribution: Attribution<'a>,
    primary_issue: &'static str,
    format: u32,
    headline: &'a str,
    watch: &'a WatchName,
    cycle: CycleNo,
    start_utc: Stamp,
    end_utc: Stamp,
    drivers: &'a [Driver],
    drivers_unnamed: u32,
    data_faults: &'a [DataFault],
    counts: &'a Counts,
    accounted: u64,
    baseline: Option<&'a BaselineRef>,
    baseline_stale_sec: Option<u64>,
    learning_left: Option<u32>,
    record: Place<'a>,
    past: Past<'a>,
    series: Series<'a>,
    series_total: usize,
}

#[derive(Clone, serde::Serialize)]
struct Drift<'a> {
    metric: &'a str,
    baseline: Option<f64>,
    current: Option<f64>,
    delta: Option<f64>,
    percent_change: Option<f64>,
    drift_threshold: Option<f64>,
    drift_percent: Option<f64>,
    unit: &'a str,
    severity: &'static str,
    rule: Rule,
}

#[derive(serde::Serialize)]
struct Violation<'a> {
    metric: &'a str,
    current: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    invariant_min: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    invariant_max: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    invariant_eq: Option<f64>,
}

#[derive(serde::Serialize)]
struct Attribution<'a> {
    top_drivers: Vec<Attributed<'a>>,
}

#[derive(serde::Serialize)]
struct Attributed<'a> {
    metric_name: &'a str,
    direction: Direction,
    effect_size: Effect,
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline_stats: Option<BaselineStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_stats: Option<CurrentStats>,
    onset: Onset,
    decision_basis: [&'a str; 2],
    score: f64,
    flagged: bool,
    what_to_do_next: &'a str,
}

#[derive(serde::Serialize)]
struct Effect {
    delta: Option<f64>,
    percent: Option<f64>,
    zscore: Option<f64>,
    p: Option<f64>,
}

#[derive(serde::Serialize)]
struct BaselineStats {
    mean: f64,
    sd: f64,
    min: f64,
    max: f64,
    windows: u32,
}

#[derive(serde::Serialize)]
struct CurrentStats {
    mean: f64,
    sd: f64,
    min: f64,
    max: f64,
    last: f64,
    n: u32,
}

#[derive(serde::Serialize)]
struct Onset {
    cycle: CycleNo,
    utc: Stamp,
    persistence: u32,
}

#[derive(serde::Serialize)]
struct Place<'a> {
    stream: &'a StreamName,
    seq: Seq,
    epoch: Epoch,
    node: &'a NodeName,
    at: Stamp,
    hash: Hash,
    digest: Hash,
    settings: Hash,
}

impl<'a> Report<'a> {
    fn of(input: &ReportInput<'a>) -> Self {
        let (record, decided) = (&input.sealed.record, input.decided);
        let decision = &decided.decision;
        let drift_metrics: Vec<_> = decision.drivers.iter().filter_map(drift).collect();
        Self {
            run_id: input.run_id(),
            correlation_id: decided.digest,
            status: decision.status,
            baseline_run_id: decision
                .baseline
                .as_ref()
                .map(|baseline| format!("{}@{}", baseline.tag, baseline.version)),
            baseline_reason: reason(decision.baseline.as_ref(), decision.learning_left),
            baseline_warning: decision.baseline_stale_sec.map(|age| format!("the baseline is stale: {age} s old")),
            top_drifts: drift_metrics.iter().take(TOP_MAX).cloned().collect(),
            drift_metrics,
            fail_metrics: failing(&decision.drivers),
            invariant_violations: decision.drivers.iter().filter_map(violation).collect(),
            warnings: decision.faults.iter().map(warning).collect(),
            drift_attribution: Attribution {
                top_drivers: decision.drivers.iter().take(TOP_MAX).map(|driver| attributed(input, driver)).collect(),
            },
            primary_issue: issue(decision.status),
            format: FORMAT,
            headline: &decision.headline,
            watch: &decided.watch,
            cycle: decision.cycle,
            start_utc: decision.span.start,
            end_utc: decision.span.end,
            drivers: &decision.drivers,
            drivers_unnamed: decision.drivers_unnamed,
            data_faults: &decision.faults,
            counts: &decision.counts,
            accounted: decision.counts.accounted(),
            baseline: decision.baseline.as_ref(),
            baseline_stale_sec: decision.baseline_stale_sec,
            learning_left: decision.learning_left,
            record: Place {
                stream: &record.stream,
                seq: record.seq,
                epoch: record.epoch,
                node: &record.node,
                at: record.at,
                hash: input.sealed.hash,
                digest: decided.digest,
                settings: decision.settings,
            },
            past: Past(*input),
            series: Series(*input),
            series_total: decision.series.rows.len(),
        }
    }
}

fn reason(baseline: Option<&BaselineRef>, learning_left: Option<u32>) -> String {
    match (baseline, learning_left) {
        (Some(baseline), _) => format!("tag {}, version {}", baseline.tag, baseline.version),
        (None, Some(left)) => format!("none yet: {left} more cycles with data until one can be learned"),
        (None, None) => "none: the tag has no promoted version".to_owned(),
    }
}

fn issue(status: Status) -> &'static str {
    match status {
        Status::Pass => "ok",
        Status::PassWithDrift => "drift",
        Status::Fail => "fail",
        Status::NoData => "no_data",
        Status::NoBaseline => "no_baseline",
    }
}

fn drift(driver: &Driver) -> Option<Drift<'_>> {
    let severity = match driver.severity {
        Severity::Fail => "FAIL",
        Severity::Drift => "DRIFT",
        Severity::Notice => return None,
    };
    Some(Drift {
        metric: &driver.series,
        baseline: driver.baseline,
        current: driver.current,
        delta: driver.delta,
        percent_change: driver.percent,
        drift_threshold: driver.limit.filter(|_| driver.rule == Rule::DriftThreshold),
        drift_percent: driver.limit.filter(|_| driver.rule == Rule::DriftPercent),
        unit: &driver.unit,
        severity,
        rule: driver.rule,
    })
}

/// Each failing series once, the worst first.
fn failing(drivers: &[Driver]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for driver in drivers.iter().filter(|driver| driver.severity == Severity::Fail) {
        if !names.contains(&driver.series.as_str()) {
            names.push(&driver.series);
        }
    }
    names
}

fn violation(driver: &Driver) -> Option<Violation<'_>> {
    let limit = |rule| driver.limit.filter(|_| driver.rule == rule);
    matches!(driver.rule, Rule::InvariantEq | Rule::InvariantMin | Rule::InvariantMax).then(|| Violation {
        metric: &driver.series,
        current: driver.current,
        invariant_min: limit(Rule::InvariantMin),
        invariant_max: limit(Rule::InvariantMax),
        invariant_eq: limit(Rule::InvariantEq),
    })
}

fn warning(fault: &DataFault) -> String {
    if fault.series.is_empty() { fault.what.clone() } else { format!("{}: {}", fault.series, fault.what) }
}

fn attributed<'a>(input: &ReportInput<'a>, driver: &'a Driver) -> Attributed<'a> {
    let level = input.known(&driver.series).map(|known| known.level);
    let row = input.decided.decision.series.get(&driver.series).filter(|row| row.n > 0);
    Attributed {
        metric_name: &driver.series,
        direction: driver.direction,
        effect_size: Effect { delta: driver.delta, percent: driver.percent, zscore: driver.sigmas, p: driver.p },
        baseline_stats: level.map(|level| BaselineStats {
            mean: level.mean,
            sd: level.sd,
            min: level.min,
            max: level.max,
            windows: level.k,
        }),
        current_stats: row.map(|row| CurrentStats {
            mean: row.mean,
            sd: row.sd,
            min: row.min,
            max: row.max,
            last: row.last,
            n: row.n,
        }),
        onset: Onset { cycle: driver.onset, utc: driver.onset_utc, persistence: driver.persistence },
        decision_basis: [driver.rule.as_str(), &driver.reason],
        score: driver.score,
        flagged: driver.severity != Severity::Notice,
        what_to_do_next: &driver.next,
    }
}

/// The remembered cycles as `[cycle, status]`, oldest first.
struct Past<'a>(ReportInput<'a>);

impl Serialize for Past<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.past().map(|past| (past.cycle, past.status)))
    }
}

/// The first [`ROWS_MAX`] series, sorted by name.
struct Series<'a>(ReportInput<'a>);

#[derive(serde::Serialize)]
struct Row<'a> {
    name: &'a str,
    unit: &'a str,
    n: u32,
    mean: f64,
    sd: f64,
    min: f64,
    max: f64,
    last: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sigmas: Option<f64>,
    #[serde(skip_serializing_if = "is_zero")]
    not_finite: u32,
    #[serde(skip_serializing_if = "is_zero")]
    unit_faults: u32,
}

pub(super) fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl Serialize for Series<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rows: &[SeriesSummary] = &self.0.decided.decision.series.rows;
        let mut out = serializer.serialize_seq(Some(rows.len().min(ROWS_MAX)))?;
        for row in rows.iter().take(ROWS_MAX) {
            let level = level(row, self.0.known(&row.name));
            out.serialize_element(&Row {
                name: &row.name,
                unit: &row.unit,
                n: row.n,
                mean: row.mean,
                sd: row.sd,
                min: row.min,
                max: row.max,
                last: row.last,
                baseline: level.baseline,
                sigmas: level.sigmas,
                not_finite: row.not_finite,
                unit_faults: row.unit_faults,
            })?;
        }
        out.end()
    }
}

#[cfg(test)]
mod tests {
    use hb_core::watch::decision::{DataFault, Rule, Severity, Status};

    use super::super::tests::{cycle, driver, row, sealed};
    use super::super::{ReportInput, Trend};
    use super::*;

    fn read(input: &ReportInput<'_>) -> serde_json::Value {
        serde_json::from_str(&document(input)).unwrap()
    }

    #[test]
    fn keeps_the_known_keys() {
        let mut decided = cycle(40, Status::Fail, vec![row("bus", 31.25)]);
        decided.decision.drivers = vec![
            driver("bus", Rule::InvariantMax, Severity::Fail),
            driver("bus", Rule::FailThreshold, Severity::Fail),
            driver("fan", Rule::DriftThreshold, Severity::Drift),
            driver("fan", Rule::Trend, Severity::Notice),
        ];
        decided.decision.faults = vec![DataFault { series: "bus".to_owned(), what: "2 readings were NaN".to_owned() }];
        let trend = Trend::default();
        let sealed = sealed(decided);
        let value = read(&ReportInput::new(&sealed, None, &trend).unwrap());
        for key in [
            "run_id",
            "correlation_id",
            "status",
            "baseline_run_id",
            "baseline_reason",
            "baseline_warning",
            "drift_metrics",
            "top_drifts",
            "fail_metrics",
            "invariant_violations",
            "warnings",
            "drift_attribution",
        ] {
            assert!(value.get(key).is_some(), "{key}");
        }
        assert_eq!(value["run_id"], "bench/40");
        // The predecessor named a series twice when it broke two limits.
        assert_eq!(value["fail_metrics"], serde_json::json!(["bus"]));
        assert_eq!(value["invariant_violations"].as_array().unwrap().len(), 1);
        assert_eq!(value["invariant_violations"][0]["invariant_max"], 30.0);
        assert_eq!(value["drift_metrics"].as_array().unwrap().len(), 3, "notices are no drift");
        assert_eq!(value["drift_metrics"][2]["drift_threshold"], 30.0);
        assert_eq!(value["warnings"][0], "bus: 2 readings were NaN");
        let top = &value["drift_attribution"]["top_drivers"][0];
        assert_eq!((&top["metric_name"], &top["direction"]), (&"bus".into(), &"up".into()));
        assert_eq!(top["onset"]["persistence"], 3);
        assert_eq!(top["current_stats"]["mean"], 31.25);
        assert_eq!(value["record"]["seq"], 41);
        assert_eq!(value["series"][0]["name"], "bus");
    }

    #[test]
    fn b1_lists_are_cut_and_say_so() {
        let rows = (0..ROWS_MAX + 5).map(|index| row(&format!("s{index:05}"), 1.0)).collect();
        let trend = Trend::default();
        let sealed = sealed(cycle(1, Status::NoBaseline, rows));
        let value = read(&ReportInput::new(&sealed, None, &trend).unwrap());
        assert_eq!(value["series"].as_array().unwrap().len(), ROWS_MAX);
        assert_eq!(value["series_total"], ROWS_MAX + 5);
    }
}
