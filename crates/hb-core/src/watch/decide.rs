//! The decision of a cycle: hard rules first, then statistics with control of false alarms, then hysteresis.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::baseline::Baseline;
use super::decision::{BaselineRef, Counts, DataFault, Decision, Driver, NAMED_MAX, Rule, Severity, Status};
use super::detect::finding::{Finding, Strength};
use super::detect::hysteresis::{Pace, Seen, Track};
use super::detect::recent::{self, Recent};
use super::detect::{discovery, student, trend};
use super::judge::Judge;
use super::line::{Line, Lines};
use super::settings::{DriftSettings, WatchSettings};
use super::summary::SeriesTable;
use super::{notes, wording};
use crate::ids::CycleNo;
use crate::journal::Hash;
use crate::time::{SECOND_NS, Span, Stamp};

/// With fewer tests than this in a cycle the share of false discoveries is kept as if there were so many: with a handful of
/// series it would bound no rate of false alarms, since every one of them may be false.
const TESTS_MIN: usize = 100;

/// Everything that a decision depends on.
#[derive(Debug)]
pub struct Case<'a> {
    /// The cycle.
    pub cycle: CycleNo,
    /// Its span.
    pub span: Span,
    /// Its series.
    pub series: SeriesTable,
    /// What became of its samples.
    pub counts: Counts,
    /// Faults that the intake found (aliases that clash, unknown units), at most [`super::decision::NAMED_MAX`].
    pub faults: Vec<DataFault>,
    /// The baseline in force, with its reference.
    pub baseline: Option<(&'a Baseline, BaselineRef)>,
    /// The baseline in force, where its document cannot be had.
    pub missing: Option<&'a BaselineRef>,
    /// Cycles still to be seen before a baseline can be learned, while learning.
    pub learning_left: Option<u32>,
    /// Settings and their hash.
    pub settings: (&'a WatchSettings, Hash),
}

/// What detectors carry from cycle to cycle. Bounded by series; in every cycle's record, so that the newest one is enough.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Carry {
    /// Baseline that the tracks and sums were made against; another one starts them afresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Hash>,
    /// Rules that are broken or were until lately, by series, in order of rules.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub series: BTreeMap<String, Vec<Track>>,
    /// Newest readings of counters that are read once a cycle, by series: without them there is no rise to judge.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub before: BTreeMap<String, (f64, Stamp)>,
    /// Sums of the trend, upwards and downwards, in the order of the baseline's series; empty where none is kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trend: Vec<trend::Sums>,
    /// Distances of the levels in the newest cycles, in the order of the baseline's series; empty where none are kept.
    #[serde(default, skip_serializing_if = "Recent::is_empty")]
    pub recent: Recent,
}

/// Decides a cycle.
#[must_use]
pub fn decide(case: Case<'_>, carry: &Carry) -> (Decision, Carry) {
    decide_averages(case, carry, None)
}

/// Decides a table whose rows are averages of several windows; `averaged` says of how many.
pub(super) fn decide_averages(
    case: Case<'_>,
    carry: &Carry,
    averaged: Option<&BTreeMap<Arc<str>, u32>>,
) -> (Decision, Carry) {
    let baseline = case.baseline.as_ref().map(|(baseline, _)| *baseline).filter(|baseline| !baseline.series.is_empty());
    let hash = case.baseline.as_ref().map(|(_, reference)| reference.hash);
    let fresh;
    let carry = if carry.baseline == hash {
        carry
    } else {
        fresh = carried_over(carry, hash);
        &fresh
    };
    let silent = case.series.rows.is_empty();
    let (drivers, next) = if silent {
        (wording::all_silent(&case), carry.clone())
    } else {
        Cycle::of(&case, baseline, averaged, carry).run(carry)
    };
    let status = status(&drivers, &case.series, baseline);
    let stale_after = case.settings.0.learn.stale_after_ns;
    let age = case.baseline.as_ref().map(|(baseline, _)| baseline.age_ns(case.span.end));
    let stale =
        age.filter(|age| stale_after > 0 && *age > stale_after).and_then(|age| u64::try_from(age / SECOND_NS).ok());
    let faults = notes::faults(&case, baseline);
    let headline = wording::headline(&case, status, &drivers);
    let unnamed = drivers.len().saturating_sub(NAMED_MAX);
    let decision = Decision {
        cycle: case.cycle,
        span: case.span,
        status,
        headline,
        drivers: drivers.into_iter().take(NAMED_MAX).collect(),
        drivers_unnamed: u32::try_from(unnamed).unwrap_or(u32::MAX),
        faults,
        counts: case.counts,
        baseline: case.baseline.map(|(_, reference)| reference),
        baseline_stale_sec: stale,
        learning_left: case.learning_left,
        settings: case.settings.1,
        series: case.series,
    };
    (decision, next)
}

/// Under another baseline, episodes against the old one are over; those against fixed limits go on.
fn carried_over(carry: &Carry, baseline: Option<Hash>) -> Carry {
    let mut series = BTreeMap::new();
    for (name, tracks) in &carry.series {
        let kept: Vec<Track> = tracks.iter().filter(|track| is_fixed(track.rule)).cloned().collect();
        if !kept.is_empty() {
            series.insert(name.clone(), kept);
        }
    }
    Carry { baseline, series, before: carry.before.clone(), ..Carry::default() }
}

/// Whether a rule needs no baseline.
fn is_fixed(rule: Rule) -> bool {
    severity(rule) == Severity::Fail || rule == Rule::DataFault
}

/// What a rule makes of the cycle.
pub(super) fn severity(rule: Rule) -> Severity {
    match rule {
        Rule::InvariantEq | Rule::InvariantMin | Rule::InvariantMax | Rule::FailThreshold | Rule::CriticalSilent => {
            Severity::Fail
        }
        Rule::Trend => Severity::Notice,
        Rule::Silent
        | Rule::DataFault
        | Rule::DriftThreshold
        | Rule::DriftPercent
        | Rule::Level
        | Rule::Spread
        | Rule::Rate
        | Rule::Distribution => Severity::Drift,
    }
}

fn status(drivers: &[Driver], series: &SeriesTable, baseline: Option<&Baseline>) -> Status {
    let worst = drivers.iter().map(|driver| driver.severity).max();
    let known =
        |baseline: &Baseline| series.rows.iter().any(|row| row.n > 0 && baseline.series.contains_key(&row.name));
    match worst {
        Some(Severity::Fail) => Status::Fail,
        _ if series.rows.iter().all(|row| row.n == 0) => Status::NoData,
        Some(Severity::Drift) if baseline.is_some() => Status::PassWithDrift,
        // A baseline of which nothing was heard is none: there was nothing to compare (W5).
        _ if !baseline.is_some_and(known) => Status::NoBaseline,
        Some(Severity::Drift | Severity::Notice) | None => Status::Pass,
    }
}

/// One cycle being decided.
struct Cycle<'a> {
    case: &'a Case<'a>,
    judge: Judge<'a>,
    baseline: Option<&'a Baseline>,
    /// Lines with something to them, and where their findings start.
    busy: Vec<(Line<'a>, usize)>,
    findings: Vec<Finding>,
    tests: usize,
    /// Series of the baseline that were heard.
    heard: usize,
    /// Sums of the trend; empty where none is kept.
    sums: Vec<trend::Sums>,
    /// Series whose newest cycles were judged together.
    together: usize,
    /// Distances of the cycles before, and how many of them there are of each series.
    recent: (Recent, usize),
    /// Newest readings of counters read once a cycle.
    before: BTreeMap<String, (f64, Stamp)>,
}

impl<'a> Cycle<'a> {
    fn of(
        case: &'a Case<'a>,
        baseline: Option<&'a Baseline>,
        averaged: Option<&'a BTreeMap<Arc<str>, u32>>,
        carry: &'a Carry,
    ) -> Self {
        let settings = case.settings.0;
        let window_ns = baseline.map_or(0, |baseline| baseline.provenance.window_ns);
        let judge = Judge {
            drift: &settings.drift,
            span: case.span,
            stretch: stretch(case.span, window_ns),
            // A little below the critical value of the normal distribution, which is below that of every t.
            sieve: student::critical(settings.drift.fdr_q, 1000.0) * 0.99,
            windows: baseline.map_or(0, |baseline| baseline.provenance.windows),
            averaged,
        };
        let mut cycle = Self {
            case,
            judge,
            baseline,
            busy: Vec::new(),
            findings: Vec::new(),
            tests: 0,
            heard: 0,
            sums: sums(baseline, &settings.drift, carry),
            together: 0,
            recent: recent(baseline, &settings.drift, carry),
            before: carry.before.clone(),
        };
        cycle.look(carry);
        cycle
    }

    /// Tests every series; keeps the few that something was found in.
    fn look(&mut self, carry: &'a Carry) {
        let case = self.case;
        for mut line in Lines::of(&case.series.rows, self.baseline, &case.settings.0.registry.metrics, &carry.series) {
            if let Some(row) = line.row.filter(|_| line.reads_once()) {
                line.before = self.before.insert(line.name.to_owned(), (row.last, row.last_at));
            }
            let start = self.findings.len();
            let findings = &mut self.findings;
            let place = line.base.map_or(usize::MAX, |(place, _)| place);
            let (recent, before) = &mut self.recent;
            let judged = self.judge.judge(&line, recent.get(place, *before), |finding| findings.push(finding));
            recent.push(place, *before, judged.distance);
            self.tests += judged.tests;
            self.together += usize::from(judged.together);
            let sums = self.sums.get_mut(place);
            if let Some((sums, t)) = sums.zip(judged.t) {
                let (stepped, warning) = trend::step(*sums, t);
                *sums = stepped;
                self.findings.extend(warning);
            }
            self.heard += usize::from(line.base.is_some() && line.usable().is_some());
            if self.findings.len() > start || !line.tracks.is_empty() {
                self.busy.push((line, start));
            }
        }
    }

    /// Which findings are discoveries: among the tests of this cycle, and among those of the newest cycles together.
    fn discover(&mut self) {
        let share = self.case.settings.0.drift.fdr_q;
        let threshold = |p: &mut dyn Iterator<Item = f64>, tests: usize| {
            let mut small: Vec<f64> = p.filter(|p| *p <= share).collect();
            discovery::threshold(&mut small, tests, share)
        };
        // Recordings are compared once: there is no rate over cycles to bound.
        let least = if self.judge.averaged.is_none() { TESTS_MIN } else { 0 };
        let single = threshold(&mut self.findings.iter().filter_map(|finding| finding.p), self.tests.max(least));
        let together = threshold(
            &mut self.findings.iter().filter_map(|finding| finding.together),
            self.together.max(recent::TESTS_MIN),
        );
        let discovered = |p: Option<f64>, threshold: Option<f64>| p.zip(threshold).is_some_and(|(p, most)| p <= most);
        for finding in &mut self.findings {
            if discovered(finding.together, together) {
                (finding.strength, finding.p) = (Strength::Proven, finding.together);
            } else if finding.strength == Strength::IfDiscovered {
                let found = discovered(finding.p, single);
                finding.strength = if found { Strength::Broken } else { Strength::Lingering };
            }
        }
    }

    /// Discoveries, then tracks, then drivers.
    fn run(mut self, carry: &Carry) -> (Vec<Driver>, Carry) {
        self.discover();
        let mut next = Carry {
            baseline: carry.baseline,
            series: BTreeMap::new(),
            before: std::mem::take(&mut self.before),
            trend: std::mem::take(&mut self.sums),
            recent: std::mem::take(&mut self.recent.0),
        };
        let mut drivers = Vec::new();
        let ends = self.busy.iter().skip(1).map(|(_, start)| *start).chain([self.findings.len()]);
        for ((line, start), end) in self.busy.iter().zip(ends) {
            let findings = self.findings.get(*start..end).unwrap_or_default();
            let tracks = self.step(line, findings);
            let level = tracks.iter().any(|track| track.raised && track.rule == Rule::Level);
            // An early warning is of no use once the level itself is told.
            for track in tracks.iter().filter(|track| track.raised && !(level && track.rule == Rule::Trend)) {
                let finding = findings.iter().find(|finding| finding.rule == track.rule);
                drivers.push(wording::driver(self.case, line, track, finding));
            }
            if !tracks.is_empty() {
                next.series.insert(line.name.to_owned(), tracks);
            }
        }
        drivers.sort_by(wording::worst_first);
        (drivers, next)
    }

    /// The tracks of one series after this cycle.
    fn step(&self, line: &Line<'_>, findings: &[Finding]) -> Vec<Track> {
        let now = (self.case.cycle, self.case.span.start);
        let mut tracks: Vec<Track> = Vec::new();
        for track in line.tracks {
            let finding = findings.iter().find(|finding| finding.rule == track.rule);
            let seen = match finding.map(|finding| (finding.strength, finding.direction)) {
                Some((Strength::Proven, direction)) => Seen::Proven(direction),
                Some((Strength::Broken | Strength::IfDiscovered, direction)) => Seen::Broken(direction),
                // Off on the other side is not what was raised.
                Some((Strength::Lingering, direction)) if direction != track.direction => Seen::Clean,
                Some((Strength::Lingering, _)) => Seen::Lingering,
                Some((Strength::Clean, _)) => Seen::Clean,
                None if can_tell(line, track.rule) => Seen::Clean,
                None => Seen::Held,
            };
            tracks.extend(track.clone().step(seen, self.pace(line, track.rule), now));
        }
        for finding in findings.iter().filter(|finding| !line.tracks.iter().any(|track| track.rule == finding.rule)) {
            let seen = match finding.strength {
                Strength::Proven => Seen::Proven(finding.direction),
                Strength::Broken => Seen::Broken(finding.direction),
                Strength::IfDiscovered | Strength::Lingering | Strength::Clean => continue,
            };
            let track = Track::open(finding.rule, now.0, now.1);
            tracks.extend(track.step(seen, self.pace(line, finding.rule), now));
        }
        tracks.sort_by_key(|track| track.rule);
        tracks
    }

    /// How fast a rule raises and clears.
    fn pace(&self, line: &Line<'_>, rule: Rule) -> Pace {
        let drift = &self.case.settings.0.drift;
        let usual = Pace { raise_m: drift.raise_m, raise_of: drift.raise_of, clear_after: drift.clear_after };
        let own = line.metric.and_then(|metric| metric.drift_persistence);
        match rule {
            Rule::DriftThreshold | Rule::DriftPercent => match own {
                Some(n) => Pace { raise_m: n, raise_of: n, ..usual },
                None => usual,
            },
            // With not one series of the baseline heard there is nothing left to judge by: that is told at once.
            Rule::Silent if self.heard == 0 => Pace::AT_ONCE,
            Rule::Silent | Rule::Level | Rule::Spread | Rule::Rate | Rule::Distribution => usual,
            Rule::InvariantEq
            | Rule::InvariantMin
            | Rule::InvariantMax
            | Rule::FailThreshold
            | Rule::CriticalSilent
            | Rule::DataFault
            | Rule::Trend => Pace::AT_ONCE,
        }
    }
}

/// The sums to go on from: those carried, or none yet, where the baseline is good enough for a trend.
fn sums(baseline: Option<&Baseline>, drift: &DriftSettings, carry: &Carry) -> Vec<trend::Sums> {
    let good =
        |baseline: &&Baseline| drift.statistics && drift.trend && baseline.provenance.windows >= trend::WINDOWS_MIN;
    let Some(baseline) = baseline.filter(good) else { return Vec::new() };
    let mut sums = carry.trend.clone();
    sums.resize(baseline.series.len(), [0, 0]);
    sums
}

/// The distances to go on from, and of how many cycles: where there is a baseline and a watch has some patience.
fn recent(baseline: Option<&Baseline>, drift: &DriftSettings, carry: &Carry) -> (Recent, usize) {
    let before = recent::width(drift.raise_of).saturating_sub(1);
    match baseline.filter(|_| drift.statistics && before > 0) {
        Some(baseline) => (Recent::of(&carry.recent, baseline.series.len(), before), before),
        None => (Recent::default(), 0),
    }
}

/// Whether a cycle without a finding for a rule says that the rule is kept.
fn can_tell(line: &Line<'_>, rule: Rule) -> bool {
    match rule {
        Rule::Silent => line.row.is_some(),
        Rule::InvariantEq
        | Rule::InvariantMin
        | Rule::InvariantMax
        | Rule::FailThreshold
        | Rule::CriticalSilent
        | Rule::DataFault
        | Rule::DriftThreshold
        | Rule::DriftPercent
        | Rule::Level
        | Rule::Spread
        | Rule::Rate
        | Rule::Distribution
        | Rule::Trend => line.usable().is_some(),
    }
}

/// Length of a cycle as a share of that of the baseline's windows; 1 where either is not known.
fn stretch(span: Span, window_ns: i64) -> f64 {
    let window = Span { start: Stamp(0), end: Stamp(window_ns) }.seconds();
    let ratio = span.seconds() / window;
    if ratio.is_finite() && ratio > 0.0 { ratio } else { 1.0 }
}
