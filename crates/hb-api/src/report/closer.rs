//! What the operator's page shows of a cycle: every series beside what the baseline had of it, and how one went over the cycles before. The same
//! reading of baselines as in reports, so that page and report never differ.

use hb_core::ids::CycleNo;
use hb_core::node::fact::CycleDecided;
use hb_core::watch::baseline::{Baseline, BaselineSeries};
use hb_core::watch::decision::Severity;
use hb_core::watch::summary::SeriesSummary;
use serde::{Serialize, Serializer};

use super::Trend;
use super::evidence::{Reading, level, usual};
use super::json::is_zero;

/// The series of a cycle, at most so many, in order of their names.
#[derive(Debug)]
pub(crate) struct Rows<'a> {
    decided: &'a CycleDecided,
    baseline: Option<&'a Baseline>,
    most: usize,
}

impl<'a> Rows<'a> {
    /// The first `most` series of a cycle; `baseline` is the one that it was decided against.
    pub(crate) fn of(decided: &'a CycleDecided, baseline: Option<&'a Baseline>, most: usize) -> Self {
        Self { decided, baseline, most }
    }

    fn row(&self, row: &'a SeriesSummary) -> Row<'a> {
        let known = self.baseline.and_then(|baseline| baseline.series.get(&row.name));
        let level = level(row, known);
        let drives = self.decided.decision.drivers.iter().filter(|driver| *driver.series == *row.name);
        let current = match Reading::of(known) {
            Reading::Mean => (row.n > 0).then_some(row.mean),
            Reading::Speed => row.speed(),
        };
        Row {
            name: &row.name,
            unit: &row.unit,
            n: row.n,
            mean: row.mean,
            sd: row.sd,
            min: row.min,
            max: row.max,
            last: row.last,
            current,
            read_as: if Reading::of(known) == Reading::Speed { "per_second" } else { "mean" },
            usual: usual(known).map(|range| [range.mean, range.inner.0, range.inner.1, range.outer.0, range.outer.1]),
            sigmas: level.sigmas,
            severity: drives.map(|driver| driver.severity).max(),
            not_finite: row.not_finite,
            unit_faults: row.unit_faults,
        }
    }
}

/// One series of a cycle.
#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    unit: &'a str,
    n: u32,
    mean: f64,
    sd: f64,
    min: f64,
    max: f64,
    last: f64,
    /// The figure that is judged.
    current: Option<f64>,
    /// How it is judged: `mean`, or `per_second` for counters.
    read_as: &'static str,
    /// Of the baseline's windows: mean, mean less and plus a standard deviation, smallest, largest.
    usual: Option<[f64; 5]>,
    sigmas: Option<f64>,
    severity: Option<Severity>,
    #[serde(skip_serializing_if = "is_zero")]
    not_finite: u32,
    #[serde(skip_serializing_if = "is_zero")]
    unit_faults: u32,
}

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rows = &self.decided.decision.series.rows;
        serializer.collect_seq(rows.iter().take(self.most).map(|row| self.row(row)))
    }
}

/// The figure of a series that is judged, cycle by cycle, oldest first.
pub(crate) fn past(
    trend: &Trend,
    series: &str,
    known: Option<&BaselineSeries>,
) -> impl Iterator<Item = (CycleNo, f64)> {
    let reading = Reading::of(known);
    trend.points(series).filter_map(move |point| {
        let value = match reading {
            Reading::Mean => Some(point.mean),
            Reading::Speed => point.speed,
        };
        value.map(|value| (point.cycle, value))
    })
}

#[cfg(test)]
mod tests {
    use hb_core::watch::baseline::Figure;
    use hb_core::watch::decision::{Rule, Status};

    use super::super::tests::{baseline, cycle, driver, row};
    use super::*;

    #[test]
    fn a_series_stands_beside_what_the_baseline_had_of_it() {
        let mut decided = cycle(40, Status::Fail, vec![row("bus", 31.0), row("fan", 5.0)]);
        decided.decision.drivers =
            vec![driver("bus", Rule::Level, Severity::Drift), driver("bus", Rule::InvariantMax, Severity::Fail)];
        let figure = Figure { k: 30, mean: 28.0, sd: 0.5, min: 27.0, max: 29.0, memory: 0.0 };
        let known = baseline("bus", figure);
        let rows = serde_json::to_value(Rows::of(&decided, Some(&known), 10)).unwrap();
        assert_eq!(rows[0]["usual"], serde_json::json!([28.0, 27.5, 28.5, 27.0, 29.0]));
        assert_eq!(
            (&rows[0]["sigmas"], &rows[0]["severity"]),
            (&6.0.into(), &"FAIL".into()),
            "the worst of its drivers"
        );
        assert_eq!((&rows[1]["usual"], &rows[1]["severity"]), (&serde_json::Value::Null, &serde_json::Value::Null));
        let cut = serde_json::to_value(Rows::of(&decided, None, 1)).unwrap();
        assert_eq!(cut.as_array().unwrap().len(), 1);
    }

    #[test]
    fn the_past_of_a_series_is_told_in_order() {
        let mut trend = Trend::default();
        for number in 1..5 {
            trend.push(&cycle(number, Status::Pass, vec![row("a", number as f64)]));
        }
        let told: Vec<_> = past(&trend, "a", None).collect();
        assert_eq!(told, [1, 2, 3, 4].map(|number| (CycleNo(number), number as f64)));
        assert_eq!(past(&trend, "b", None).count(), 0);
    }
}
