//! B against A.

use std::collections::BTreeSet;
use std::sync::Arc;

use hb_core::watch::decision::Severity;
use hb_core::watch::detect::{discovery, distribution, student};
use hb_core::watch::registry::{DriftDirection, Metric, Registry, SeriesKind};
use hb_core::watch::settings::DriftSettings;
use serde::Serialize;

use super::side::{Read, Side};
use super::{Comparison, Row, status};

/// Fewest blocks on either side for a test.
const BLOCKS_MIN: usize = 10;
/// Version of the document.
const FORMAT: u32 = 1;

/// Which rule B broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// `invariant_eq`, `invariant_min` or `invariant_max`.
    Invariant,
    /// `fail_threshold`, or above zero for a critical series without any limit.
    FailThreshold,
    /// A critical series is not in B.
    CriticalSilent,
    /// A series of A is not in B.
    Silent,
    /// A series of B is not in A.
    New,
    /// `drift_threshold`.
    DriftThreshold,
    /// `drift_percent`.
    DriftPercent,
    /// The mean, by t test over blocks.
    Level,
    /// `distribution_drift.ks_threshold`.
    Distribution,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// The series.
    pub series: String,
    /// The rule.
    pub rule: Rule,
    /// What that makes of B.
    pub severity: Severity,
    /// The reason in one sentence.
    pub reason: String,
    /// Rank: larger is worse.
    pub score: f64,
}

/// Compares.
#[must_use]
pub fn compare(a: Side, b: Side, registry: &Registry, settings: &DriftSettings) -> Comparison {
    let known = registry.metrics.iter().filter(|(_, metric)| metric.critical).map(|(name, _)| Arc::from(name.as_str()));
    let names: BTreeSet<Arc<str>> = a.series.keys().chain(b.series.keys()).cloned().chain(known).collect();
    let unknown = Metric::default();
    let mut findings = Vec::new();
    let mut rows = Vec::with_capacity(names.len());
    for name in &names {
        let metric = registry.metrics.get(&**name).unwrap_or(&unknown);
        let pair = Pair { name, metric, a: a.series.get(name), b: b.series.get(name) };
        pair.hard(&mut findings);
        pair.limits(&mut findings);
        rows.push(pair.row());
    }
    let rules = Rules { registry, settings };
    findings.extend(rules.levels(&a, &b, &rows));
    findings
        .sort_by(|x, y| y.severity.cmp(&x.severity).then(y.score.total_cmp(&x.score)).then(x.series.cmp(&y.series)));
    let status = status(&findings, &a, &b);
    let headline = headline(&findings, rows.len());
    Comparison { format: FORMAT, status, headline, a: a.recording, b: b.recording, findings, series: rows }
}

fn headline(findings: &[Finding], series: usize) -> String {
    let different: BTreeSet<&str> = findings.iter().map(|finding| finding.series.as_str()).collect();
    match findings.first() {
        None => format!("no difference in {series} series"),
        Some(first) => format!("{} of {series} series differ; first: {}", different.len(), first.reason),
    }
}

/// One series on both sides.
struct Pair<'a> {
    name: &'a str,
    metric: &'a Metric,
    a: Option<&'a Read>,
    b: Option<&'a Read>,
}

impl Pair<'_> {
    fn finding(&self, rule: Rule, severity: Severity, score: f64, reason: String) -> Finding {
        let reason = format!("{} {reason}", self.name);
        Finding { series: self.name.to_owned(), rule, severity, reason, score }
    }

    /// What B must be whatever A was.
    fn hard(&self, findings: &mut Vec<Finding>) {
        let Some(b) = self.b else {
            if self.metric.critical {
                let reason = "is critical and not in B".to_owned();
                findings.push(self.finding(Rule::CriticalSilent, Severity::Fail, f64::MAX, reason));
            } else if self.a.is_some() {
                findings.push(self.finding(Rule::Silent, Severity::Drift, 1e6, "is in A and not in B".to_owned()));
            }
            return;
        };
        if self.a.is_none() {
            findings.push(self.finding(Rule::New, Severity::Notice, 0.0, "is in B and not in A".to_owned()));
        }
        let (low, high) = (b.summary.min, b.summary.max);
        let fail = |rule, reason: String| self.finding(rule, Severity::Fail, 1e9, reason);
        if let Some(limit) = self.metric.invariant_min.filter(|limit| low < *limit) {
            findings.push(fail(Rule::Invariant, format!("goes down to {low}, below invariant_min {limit}")));
        }
        if let Some(limit) = self.metric.invariant_max.filter(|limit| high > *limit) {
            findings.push(fail(Rule::Invariant, format!("goes up to {high}, above invariant_max {limit}")));
        }
        if let Some(limit) = self.metric.invariant_eq.filter(|limit| low < *limit || high > *limit) {
            findings.push(fail(Rule::Invariant, format!("is {low} to {high}, not invariant_eq {limit}")));
        }
        let current = b.summary.aggregate(self.metric.aggregate);
        if let Some(limit) = self.metric.fail_above().filter(|limit| current > *limit) {
            findings.push(fail(Rule::FailThreshold, format!("is {current}, above fail_threshold {limit}")));
        }
    }

    /// What the registry allows between A and B.
    fn limits(&self, findings: &mut Vec<Finding>) {
        let (Some(a), Some(b)) = (self.a, self.b) else { return };
        let by_speed = self.by_speed();
        let figure = |read: &Read| match by_speed {
            true => read.summary.speed(),
            false => Some(read.summary.aggregate(self.metric.aggregate)),
        };
        let (Some(before), Some(after)) = (figure(a), figure(b)) else { return };
        let delta = after - before;
        if !counts(delta, self.metric) {
            return;
        }
        let what = if by_speed { "rises by" } else { "is" };
        let told = format!("{what} {after} in B, {before} in A");
        if let Some(limit) = self.metric.drift_threshold.filter(|limit| delta.abs() > *limit) {
            let reason = format!("{told}: further apart than drift_threshold {limit}");
            findings.push(self.finding(Rule::DriftThreshold, Severity::Drift, ratio(delta, limit), reason));
        }
        let percent = 100.0 * delta / before.abs();
        if let Some(limit) = self.metric.drift_percent.filter(|limit| percent.is_finite() && percent.abs() > *limit) {
            let reason = format!("{told}: {percent:+.1} %, more than drift_percent {limit}");
            findings.push(self.finding(Rule::DriftPercent, Severity::Drift, ratio(percent, limit), reason));
        }
        let distance = self.metric.ks_threshold.zip(distribution::distance(&a.summary.kept, &b.summary.kept));
        if let Some((limit, distance)) = distance.filter(|(limit, distance)| distance > limit) {
            let reason = format!("is distributed otherwise: KS distance {distance:.3}, more than {limit}");
            findings.push(self.finding(Rule::Distribution, Severity::Drift, ratio(distance, limit), reason));
        }
    }

    /// Whether it is judged by its rise: said so, or it rises on both sides and never falls.
    fn by_speed(&self) -> bool {
        let rises =
            |read: &Read| read.summary.falls == 0 && read.summary.n > 10 && read.summary.changes >= read.summary.n / 2;
        match self.metric.kind {
            SeriesKind::Counter => true,
            SeriesKind::Gauge => false,
            SeriesKind::Auto => self.a.is_some_and(rises) && self.b.is_some_and(rises),
        }
    }

    fn row(&self) -> Row {
        let both = self.a.zip(self.b);
        let delta = both.map(|(a, b)| b.summary.mean - a.summary.mean);
        let base = self.a.map(|a| a.summary.mean).filter(|mean| *mean != 0.0);
        let unit = self.b.or(self.a).map_or_else(String::new, |read| read.summary.unit.to_string());
        Row {
            series: self.name.to_owned(),
            unit,
            a: self.a.map(Read::figures),
            b: self.b.map(Read::figures),
            delta,
            percent: delta.zip(base).map(|(delta, base)| 100.0 * delta / base.abs()),
            p: both.filter(|_| !self.by_speed()).and_then(|(a, b)| welch(a.blocks.means(), b.blocks.means())),
            ks: both.and_then(|(a, b)| distribution::distance(&a.summary.kept, &b.summary.kept)),
        }
    }
}

fn ratio(distance: f64, limit: f64) -> f64 {
    if limit > 0.0 { (distance / limit).abs().min(1e6) } else { 1e6 }
}

/// Whether a distance counts at all, by direction and `min_effect`.
fn counts(delta: f64, metric: &Metric) -> bool {
    let direction = match metric.drift_direction {
        DriftDirection::Both => true,
        DriftDirection::Up => delta > 0.0,
        DriftDirection::Down => delta < 0.0,
    };
    direction && metric.min_effect.is_none_or(|least| delta.abs() >= least)
}

/// What is asked of all series together.
struct Rules<'a> {
    registry: &'a Registry,
    settings: &'a DriftSettings,
}

impl Rules<'_> {
    /// Levels that differ by more than chance, and by enough to matter.
    fn levels(&self, a: &Side, b: &Side, rows: &[Row]) -> Vec<Finding> {
        let settings = self.settings;
        let mut findings = Vec::new();
        let mut small: Vec<f64> = rows.iter().filter_map(|row| row.p).filter(|p| *p <= settings.fdr_q).collect();
        let tests = rows.iter().filter(|row| row.p.is_some()).count();
        let Some(limit) = discovery::threshold(&mut small, tests, settings.fdr_q) else { return findings };
        let unknown = Metric::default();
        for row in rows {
            let (Some(p), Some(delta)) = (row.p, row.delta) else { continue };
            let (Some(before), Some(after)) = (a.series.get(&*row.series), b.series.get(&*row.series)) else {
                continue;
            };
            let metric = self.registry.metrics.get(&row.series).unwrap_or(&unknown);
            let sd = before.summary.sd.max(after.summary.sd);
            let large = delta.abs() >= settings.effect_sd * sd
                || row.percent.is_some_and(|percent| percent.abs() >= settings.effect_percent);
            if p > limit || !large || !counts(delta, metric) {
                continue;
            }
            let sigmas = if sd > 0.0 { format!(", {:.2} sd", delta.abs() / sd) } else { String::new() };
            let reason = format!(
                "{} has a mean of {} in B, {} in A ({delta:+.4}{sigmas}, p {p:.1e})",
                row.series, after.summary.mean, before.summary.mean
            );
            let score = if sd > 0.0 { (delta.abs() / sd).min(1e5) } else { 1e5 };
            findings.push(Finding {
                series: row.series.clone(),
                rule: Rule::Level,
                severity: Severity::Drift,
                reason,
                score,
            });
        }
        findings
    }
}

/// Two-sided p of Welch's t test; none for too few blocks.
#[expect(clippy::cast_precision_loss, reason = "at most 64 blocks")]
fn welch(a: &[f64], b: &[f64]) -> Option<f64> {
    if a.len() < BLOCKS_MIN || b.len() < BLOCKS_MIN {
        return None;
    }
    let moments = |means: &[f64]| {
        let n = means.len() as f64;
        let mean = means.iter().sum::<f64>() / n;
        let variance = means.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
        (mean, variance / n, n)
    };
    let ((mean_a, error_a, n_a), (mean_b, error_b, n_b)) = (moments(a), moments(b));
    let error = error_a + error_b;
    let delta = mean_b - mean_a;
    if !delta.is_finite() || !error.is_finite() {
        return None;
    }
    if error <= 0.0 {
        return Some(if delta == 0.0 { 1.0 } else { 0.0 });
    }
    let df = error * error / (error_a * error_a / (n_a - 1.0) + error_b * error_b / (n_b - 1.0));
    Some(student::two_sided(delta / error.sqrt(), df))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hb_core::watch::decision::Status;
    use hb_core::watch::registry::Names;
    use hb_core::watch::settings::WatchSettings;

    /// A recording of one series: noise of a fixed generator around `level`.
    fn recorded(level: f64, seed: u64, extra: &str) -> Side {
        let mut state = seed;
        let mut text = String::from("timestamp,metric,value,unit\n");
        for n in 0..2_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            #[expect(clippy::cast_precision_loss, reason = "noise of a test")]
            let noise = (state >> 40) as f64 / 16_777_216.0 - 0.5;
            text.push_str(&format!("{n},m,{},\n", level + noise));
        }
        text.push_str(extra);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.csv");
        std::fs::write(&path, text).unwrap();
        let names = Names::new(&WatchSettings::named("compare", 1));
        super::super::read(&path, hb_sources::format::Format::default(), &names).unwrap()
    }

    fn compared(a: Side, b: Side, registry: &Registry) -> Comparison {
        compare(a, b, registry, &DriftSettings::default())
    }

    #[test]
    fn the_same_is_pass_and_a_step_is_drift() {
        let registry = Registry::default();
        let same = compared(recorded(5.0, 1, ""), recorded(5.0, 2, ""), &registry);
        assert_eq!((same.status, same.findings.len()), (Status::Pass, 0), "{:?}", same.findings);
        let step = compared(recorded(5.0, 1, ""), recorded(5.2, 2, ""), &registry);
        assert_eq!(step.status, Status::PassWithDrift);
        assert_eq!(step.findings[0].rule, Rule::Level);
    }

    #[test]
    fn w5_nothing_known_is_never_pass() {
        let mut registry = Registry::default();
        registry.metrics.insert("pump".into(), Metric { critical: true, ..Metric::default() });
        let silent = compared(recorded(5.0, 1, ""), recorded(5.0, 2, ""), &registry);
        assert_eq!((silent.status, silent.findings[0].rule), (Status::Fail, Rule::CriticalSilent));
        let gone = compared(recorded(5.0, 1, "1,x,1,\n"), recorded(5.0, 2, ""), &Registry::default());
        assert_eq!((gone.status, gone.findings[0].rule), (Status::PassWithDrift, Rule::Silent));
    }

    #[test]
    fn hard_limits_fail() {
        let mut registry = Registry::default();
        registry.metrics.insert("m".into(), Metric { invariant_max: Some(5.4), ..Metric::default() });
        let broken = compared(recorded(5.0, 1, ""), recorded(5.0, 2, ""), &registry);
        assert_eq!((broken.status, broken.findings[0].rule), (Status::Fail, Rule::Invariant));
    }

    #[test]
    fn welch_agrees_with_a_worked_example() {
        // Two samples of ten with means 1 apart and variances 1: t = sqrt(5), df = 18, p = 0.0382.
        let a: Vec<f64> = [-1.5, -1.0, -0.5, -0.5, 0.0, 0.0, 0.5, 0.5, 1.0, 1.5].to_vec();
        let scale = (9.0 / a.iter().map(|x| x * x).sum::<f64>()).sqrt();
        let a: Vec<f64> = a.iter().map(|x| x * scale).collect();
        let b: Vec<f64> = a.iter().map(|x| x + 1.0).collect();
        let p = welch(&a, &b).unwrap();
        assert!((p - 0.0382).abs() < 0.0005, "{p}");
        assert_eq!(welch(&[1.0; 10], &[1.0; 10]), Some(1.0));
        assert_eq!(welch(&[1.0; 10], &[2.0; 10]), Some(0.0));
        assert_eq!(welch(&[1.0; 3], &[2.0; 10]), None);
    }
}
