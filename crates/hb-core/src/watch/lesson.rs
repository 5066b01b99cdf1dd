//! What a learner knows of one series: running sums over the windows, and what the series turns out to be.

use std::sync::Arc;

use super::baseline::{BaselineSeries, LearnedKind};
use super::detect::figure;
use super::detect::season::{self, Season};
use super::pool::Pool;
use super::summary::SeriesSummary;
use super::tally::{Path, Tally, steady};
use super::window::held;
use crate::time::{Span, Stamp};

/// Windows in which a counter that never falls must rise.
const RISING_MIN: u32 = 3;

/// What is known of one series so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Lesson {
    unit: Arc<str>,
    level: Path,
    speed: Path,
    spread: Tally,
    rate: Tally,
    within: f64,
    freedom: f64,
    samples: u64,
    extremes: [f64; 3],
    newest: Option<(f64, Stamp)>,
    changes: u64,
    falls: u64,
    /// Windows in which it rose.
    rising: u32,
    fractions: u32,
    pub(super) pool: Option<Box<Pool>>,
    course: Course,
}

/// What a course is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Of {
    /// The rise per second, of what only rises so far.
    #[default]
    Rise,
    /// The mean, of all else.
    Level,
}

/// A figure window by window, to look for a season in.
#[derive(Debug, Clone, Default)]
struct Course {
    of: Of,
    origin: f64,
    values: Vec<f32>,
}

impl Course {
    /// Takes the window number `at` in. A level once is a level for ever.
    #[expect(clippy::cast_possible_truncation, reason = "a distance from the first value needs seven digits, no more")]
    fn push(&mut self, at: usize, x: f64, of: Of) {
        if self.of == Of::Rise && of == Of::Level {
            *self = Self { of, ..Self::default() };
        }
        if of != self.of || at < self.values.len() || at >= season::WINDOWS_MAX {
            return;
        }
        if self.values.is_empty() {
            self.origin = x;
        }
        self.values.resize(at, f32::NAN);
        self.values.push((x - self.origin) as f32);
    }
}

impl Lesson {
    pub(super) fn with(mut self, row: &SeriesSummary, window: usize) -> Self {
        self.push(row, window);
        self
    }

    /// Takes a window in, by its number since the first one.
    pub(super) fn push(&mut self, row: &SeriesSummary, window: usize) {
        if self.unit.is_empty() && !row.unit.is_empty() {
            self.unit = Arc::clone(&row.unit);
        }
        self.level.push(row.mean);
        self.rate.push(f64::from(row.n));
        let speed = row.speed_since(self.newest);
        if let Some(speed) = speed {
            self.speed.push(speed);
            self.rising = self.rising.saturating_add(u32::from(speed > 0.0));
        }
        // What happens between two windows counts like what happens within one.
        if let Some((before, _)) = self.newest {
            self.changes = self.changes.saturating_add(u64::from(row.first.total_cmp(&before).is_ne()));
            self.falls = self.falls.saturating_add(u64::from(row.first < before));
        }
        self.newest = Some((row.last, row.last_at));
        if let Some(spread) = row.ln_spread() {
            self.spread.push(spread);
        }
        if row.n > 1 {
            let freedom = f64::from(row.n - 1);
            self.within = held(self.within + row.sd * row.sd * freedom);
            self.freedom += freedom;
        }
        self.samples = self.samples.saturating_add(u64::from(row.n));
        let k = f64::from(self.level.tally.k);
        for (mean, x) in self.extremes.iter_mut().zip([row.min, row.max, row.last]) {
            *mean = held(*mean + (x - *mean) / k);
        }
        self.changes = self.changes.saturating_add(u64::from(row.changes));
        self.falls = self.falls.saturating_add(u64::from(row.falls));
        match (self.few_falls(), speed) {
            (true, Some(speed)) => self.course.push(window, speed, Of::Rise),
            (true, None) => {}
            (false, _) => self.course.push(window, row.mean, Of::Level),
        }
        let whole = [row.min, row.max, row.first, row.last].iter().all(|x| x.fract() == 0.0);
        self.fractions = self.fractions.saturating_add(u32::from(!whole));
        if !row.kept.is_empty() {
            self.pool.get_or_insert_default().push(&row.kept);
        }
    }

    /// What was learned; `first` is the span of the first window.
    pub(super) fn finish(&self, name: &str, first: Option<Span>) -> BaselineSeries {
        let kind = self.kind(name);
        let sd_within = if self.freedom > 0.0 { held((self.within / self.freedom).sqrt()) } else { 0.0 };
        let stable = match kind {
            LearnedKind::Counter => steady(&self.speed, 0.0),
            LearnedKind::Constant | LearnedKind::Gauge | LearnedKind::Discrete => steady(&self.level, sd_within),
        };
        let upwards = self.rising > 0 && self.few_falls();
        BaselineSeries {
            kind,
            unit: Arc::clone(&self.unit),
            samples: self.samples,
            sd_within,
            level: self.level.figure(),
            speed: upwards.then(|| self.speed.figure()),
            spread: self.spread.figure(0.0),
            rate: self.rate.figure(0.0),
            extremes: self.extremes,
            distance: self.pool.as_ref().map(|pool| pool.distances.figure(0.0)),
            kept: self.pool.as_ref().map(|pool| pool.sorted()).unwrap_or_default(),
            stable,
            season: self.season(kind, first).map(Box::new),
        }
    }

    /// A season, looked for only in what does not stay where it is.
    fn season(&self, kind: LearnedKind, first: Option<Span>) -> Option<Season> {
        let (of, path) = match kind {
            LearnedKind::Counter => (Of::Rise, &self.speed),
            LearnedKind::Constant | LearnedKind::Gauge | LearnedKind::Discrete => (Of::Level, &self.level),
        };
        let wanders = figure::wander(&path.figure()) > 1.0;
        let course = Some(&self.course).filter(|course| wanders && course.of == of)?;
        season::find(&course.values, course.origin, first?)
    }

    fn few_falls(&self) -> bool {
        self.falls.saturating_mul(50) <= self.changes && self.level.tally.min >= 0.0
    }

    /// A counter hardly ever falls, is never negative and ends above where it began (unless it started again); it rises
    /// in most windows, or, when it never falls, in some. It counts: its readings are whole numbers. One that is named as such
    /// (`…_total`) needs to rise only once and may count in fractions; a level that creeps up while it is learned (the fill
    /// of a disk in per cent) is still a level.
    fn kind(&self, name: &str) -> LearnedKind {
        let windows = self.level.tally.k;
        if self.changes == 0 && self.level.tally.min >= self.level.tally.max {
            return LearnedKind::Constant;
        }
        let named = name.ends_with("_total");
        let often = self.rising.saturating_mul(2) > windows || (self.rising >= RISING_MIN && self.falls == 0);
        let rising = (often && (named || self.fractions == 0)) || (self.rising > 0 && named);
        let climbs = self.level.previous > self.level.first || self.falls > 0;
        if rising && self.few_falls() && climbs {
            return LearnedKind::Counter;
        }
        if self.fractions == 0 { LearnedKind::Discrete } else { LearnedKind::Gauge }
    }
}
