//! The report of one cycle: a self-contained HTML page and a JSON document.
//!
//! The page needs nothing from anywhere: no script, no font, no picture that it does not hold. It is made for every cycle, so
//! it is lean: what is drawn is drawn for drivers and the few series furthest from the baseline; all others are a table.

mod closer;
mod evidence;
mod html;
mod json;
mod rows;
mod trend;

use hb_core::node::fact::{Body, CycleDecided, Sealed};
use hb_core::watch::baseline::{Baseline, BaselineSeries};

pub(crate) use closer::{Rows, past};
pub(crate) use html::POLICY_HEADER;
pub use trend::{Past, Trend};

/// What a report is made of.
#[derive(Debug, Clone, Copy)]
pub struct ReportInput<'a> {
    sealed: &'a Sealed,
    decided: &'a CycleDecided,
    baseline: Option<&'a Baseline>,
    trend: &'a Trend,
}

impl<'a> ReportInput<'a> {
    /// The report of a record, if it decides a cycle. `baseline` is the one decided against; `trend` holds the cycles before,
    /// and best this one too (cycles after it are not shown).
    #[must_use]
    pub fn new(sealed: &'a Sealed, baseline: Option<&'a Baseline>, trend: &'a Trend) -> Option<Self> {
        match &sealed.record.body {
            Body::CycleDecided(decided) => Some(Self { sealed, decided, baseline, trend }),
            Body::EpochOpened { .. }
            | Body::AlertDelivered(_)
            | Body::BaselineAdopted(_)
            | Body::BaselineEvent(_)
            | Body::EpochClosed { .. } => None,
        }
    }

    /// What the baseline knows of a series.
    fn known(&self, series: &str) -> Option<&'a BaselineSeries> {
        self.baseline.and_then(|baseline| baseline.series.get(series))
    }

    /// `WATCH/CYCLE`.
    fn run_id(&self) -> String {
        format!("{}/{}", self.decided.watch, self.decided.decision.cycle)
    }

    /// The remembered cycles up to this one, oldest first.
    fn past(&self) -> impl Iterator<Item = &'a Past> + Clone {
        let newest = self.decided.decision.cycle;
        self.trend.past().filter(move |past| past.cycle <= newest)
    }
}

/// A report, ready to be stored as `report.html` and `report.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// One self-contained page.
    pub html: String,
    /// The same for programs.
    pub json: String,
}

/// Most series that a report lists; the table says so when there are more.
pub const ROWS_MAX: usize = 2_000;

/// Renders a report.
#[must_use]
pub fn render(input: &ReportInput<'_>) -> Rendered {
    Rendered { html: html::page(input), json: json::document(input) }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use hb_core::cycle::{ClosedBy, Resume};
    use hb_core::ids::{CycleNo, Epoch, Seq};
    use hb_core::journal::{FORMAT, Hash, seal};
    use hb_core::mark::Mark;
    use hb_core::node::fact::Record;
    use hb_core::time::{SECOND_NS, Span, Stamp};
    use hb_core::watch::alert::Episode;
    use hb_core::watch::baseline::{BASELINE_FORMAT, Figure, LearnedKind, Provenance};
    use hb_core::watch::decide::Carry;
    use hb_core::watch::decision::{Counts, Decision, Direction, Driver, Rule, Severity, Status};
    use hb_core::watch::summary::{SeriesSummary, SeriesTable};

    use super::*;

    pub(crate) const START: i64 = 1_800_000_000 * SECOND_NS;

    pub(crate) fn row(name: &str, mean: f64) -> SeriesSummary {
        SeriesSummary {
            name: name.into(),
            unit: "V".into(),
            n: 100,
            mean,
            sd: 0.5,
            min: mean - 1.2,
            max: mean + 1.3,
            first: mean,
            first_at: Stamp(START),
            last: mean + 0.1,
            last_at: Stamp(START + 9 * SECOND_NS),
            increase: 45.0,
            changes: 99,
            falls: 40,
            not_finite: 0,
            unit_faults: 0,
            kept: Vec::new(),
        }
    }

    pub(crate) fn driver(series: &str, rule: Rule, severity: Severity) -> Driver {
        Driver {
            series: series.to_owned(),
            rule,
            severity,
            direction: Direction::Up,
            unit: "V".to_owned(),
            current: Some(31.25),
            baseline: Some(28.0),
            delta: Some(3.25),
            percent: Some(11.607),
            sigmas: Some(32.5),
            p: None,
            limit: Some(30.0),
            onset: CycleNo(38),
            onset_utc: Stamp(START),
            persistence: 3,
            score: 32.5,
            reason: "the mean of 31.25 V is 3.25 V above the baseline".to_owned(),
            next: "look at what changed at 10:00".to_owned(),
        }
    }

    pub(crate) fn cycle(number: u64, status: Status, rows: Vec<SeriesSummary>) -> CycleDecided {
        let start = START + i64::try_from(number).unwrap() * 10 * SECOND_NS;
        let mut counts = Counts { delivered_total: 4_100, pending: 100, ..Counts::default() };
        counts.window.samples = 100 * rows.len() as u64;
        CycleDecided {
            watch: "bench".into(),
            decision: Decision {
                cycle: CycleNo(number),
                span: Span { start: Stamp(start), end: Stamp(start + 10 * SECOND_NS) },
                status,
                headline: format!("{status}: as told"),
                drivers: Vec::new(),
                drivers_unnamed: 0,
                faults: Vec::new(),
                counts,
                baseline: None,
                baseline_stale_sec: None,
                learning_left: None,
                settings: Hash::of(b"settings"),
                series: SeriesTable { rows },
            },
            digest: Hash::of(b"digest"),
            closed_by: ClosedBy::Watermark,
            resume: Resume {
                mark: Mark::default(),
                closed: 0,
                lag_ns: 0,
                anchored: true,
                next_start: Stamp(start + 10 * SECOND_NS),
                horizons: Vec::new(),
                ended: false,
                reread: None,
                reopened: None,
            },
            carry: Carry::default(),
            learning: None,
            baseline: None,
            alert: None,
            episode: Episode { status, since: Stamp(START), seen: Vec::new(), stale_told: false },
            undelivered: Vec::new(),
        }
    }

    pub(crate) fn sealed(decided: CycleDecided) -> Sealed {
        let seq = Seq(decided.decision.cycle.0 + 1);
        seal(Record {
            format: FORMAT,
            stream: "watch/bench".into(),
            seq,
            epoch: Epoch(2),
            at: Stamp(START),
            node: "a".into(),
            prev: Hash::of(b"x"),
            body: Body::CycleDecided(Arc::new(decided)),
        })
    }

    /// A baseline that knows one series, with one figure for everything.
    pub(crate) fn baseline(series: &str, figure: Figure) -> Baseline {
        let span = Span { start: Stamp(0), end: Stamp(START) };
        let known = BaselineSeries {
            kind: LearnedKind::Gauge,
            unit: "V".into(),
            samples: 300,
            sd_within: 1.0,
            level: figure,
            speed: Some(figure),
            spread: figure,
            rate: figure,
            extremes: [figure.mean; 3],
            distance: None,
            kept: vec![figure.min, figure.mean, figure.max],
            stable: true,
            season: None,
        };
        Baseline {
            format: BASELINE_FORMAT,
            provenance: Provenance {
                from: "auto".to_owned(),
                span,
                windows: figure.k,
                window_ns: 10 * SECOND_NS,
                samples: 300,
                by: "auto".to_owned(),
            },
            series: [(series.into(), known)].into(),
        }
    }
}
