//! What a report remembers of the cycles before: bounded, and only for show.

use std::collections::VecDeque;
use std::sync::Arc;

use hb_core::ids::CycleNo;
use hb_core::node::fact::CycleDecided;
use hb_core::time::Stamp;
use hb_core::watch::decision::Status;
use hb_core::watch::summary::SeriesSummary;

/// Most cycles whose status is remembered.
pub const STATUSES_MAX: usize = 200;
/// Most series whose figures are remembered.
pub const SERIES_MAX: usize = 1_000;
/// Most cycles whose figures are remembered, per series.
pub const POINTS_MAX: usize = 60;

/// A cycle gone by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Past {
    /// The cycle.
    pub cycle: CycleNo,
    /// What it came to.
    pub status: Status,
    /// Its end.
    pub end: Stamp,
}

/// Figures of one series in one cycle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Point {
    /// The cycle.
    pub(crate) cycle: CycleNo,
    /// Mean of the readings.
    pub(crate) mean: f64,
    /// What it rose by per second, for counters.
    pub(crate) rate: f64,
}

/// The newest cycles of a watch: the status of 200, the figures of at most 1,000 series over 60.
#[derive(Debug, Clone, Default)]
pub struct Trend {
    past: VecDeque<Past>,
    /// Sorted by name.
    rows: Vec<(Arc<str>, VecDeque<Point>)>,
}

impl Trend {
    /// Takes a decided cycle. Cycles that are not newer than the newest one change nothing.
    pub fn push(&mut self, decided: &CycleDecided) {
        let decision = &decided.decision;
        if self.past.back().is_some_and(|newest| newest.cycle >= decision.cycle) {
            return;
        }
        self.past.push_back(Past { cycle: decision.cycle, status: decision.status, end: decision.span.end });
        while self.past.len() > STATUSES_MAX {
            self.past.pop_front();
        }
        let seconds = decision.span.seconds();
        let oldest = CycleNo(decision.cycle.0.saturating_sub(POINTS_MAX as u64 - 1));
        self.forget(oldest);
        self.merge(&decision.series.rows, decision.cycle, seconds);
    }

    /// The remembered cycles, oldest first.
    pub fn past(&self) -> impl ExactSizeIterator<Item = &Past> {
        self.past.iter()
    }

    /// The remembered figures of a series, oldest first; empty where none are.
    pub(crate) fn points(&self, series: &str) -> impl Iterator<Item = &Point> {
        let found = self.rows.binary_search_by(|(name, _)| (**name).cmp(series)).ok();
        found.and_then(|at| self.rows.get(at)).into_iter().flat_map(|(_, points)| points)
    }

    fn forget(&mut self, oldest: CycleNo) {
        for (_, points) in &mut self.rows {
            while points.front().is_some_and(|point| point.cycle < oldest) {
                points.pop_front();
            }
        }
        self.rows.retain(|(_, points)| !points.is_empty());
    }

    /// Walks both sorted lists at once: a thousand series need no thousand searches.
    fn merge(&mut self, series: &[SeriesSummary], cycle: CycleNo, seconds: f64) {
        let mut known = std::mem::take(&mut self.rows).into_iter().peekable();
        let kept = known.len();
        let mut room = SERIES_MAX.saturating_sub(kept);
        let mut rows = Vec::with_capacity(kept.max(series.len().min(SERIES_MAX)));
        for summary in series {
            while let Some(row) = known.next_if(|(name, _)| **name < *summary.name) {
                rows.push(row);
            }
            let rate = if seconds > 0.0 { summary.increase / seconds } else { 0.0 };
            let point = (summary.n > 0).then_some(Point { cycle, mean: summary.mean, rate });
            match (known.next_if(|(name, _)| **name == *summary.name), point) {
                (Some((name, mut points)), point) => {
                    points.extend(point);
                    rows.push((name, points));
                }
                (None, Some(point)) if room > 0 => {
                    room -= 1;
                    rows.push((Arc::clone(&summary.name), VecDeque::from([point])));
                }
                (None, _) => {}
            }
        }
        rows.extend(known);
        self.rows = rows;
    }
}
