//! What a report remembers of the cycles before: bounded, and only for show.

use std::collections::VecDeque;
use std::sync::Arc;

use hb_core::ids::CycleNo;
use hb_core::node::fact::CycleDecided;
use hb_core::time::Stamp;
use hb_core::watch::decision::Status;
use hb_core::watch::summary::SeriesSummary;

/// Most cycles whose status is remembered.
const STATUSES_MAX: usize = 200;
/// Most series whose figures are remembered.
const SERIES_MAX: usize = 1_000;
/// Most cycles whose figures are remembered, per series.
const POINTS_MAX: usize = 60;

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
    /// What it rose by per second, where it was read more than once.
    pub(crate) speed: Option<f64>,
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
        let oldest = CycleNo(decision.cycle.0.saturating_sub(POINTS_MAX as u64 - 1));
        self.forget(oldest);
        self.merge(&decision.series.rows, decision.cycle);
    }

    /// The remembered cycles, oldest first.
    pub fn past(&self) -> impl ExactSizeIterator<Item = &Past> + Clone {
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
    fn merge(&mut self, series: &[SeriesSummary], cycle: CycleNo) {
        let mut known = std::mem::take(&mut self.rows).into_iter().peekable();
        let kept = known.len();
        let mut room = SERIES_MAX.saturating_sub(kept);
        let mut rows = Vec::with_capacity(kept.max(series.len().min(SERIES_MAX)));
        for summary in series {
            while let Some(row) = known.next_if(|(name, _)| **name < *summary.name) {
                rows.push(row);
            }
            let point = (summary.n > 0).then_some(Point { cycle, mean: summary.mean, speed: summary.speed() });
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{cycle, row};

    #[test]
    fn b1_memory_is_bounded_and_silent_series_make_room() {
        let mut trend = Trend::default();
        for number in 0..500 {
            // Each cycle has 1,500 series, and every tenth cycle other ones.
            let rows = (0..1_500).map(|index| row(&format!("s{}.{index:04}", number / 10), 1.0)).collect();
            trend.push(&cycle(number, Status::Pass, rows));
        }
        assert_eq!(trend.past().len(), STATUSES_MAX);
        assert_eq!(trend.past().next().unwrap().cycle, CycleNo(300));
        assert!(trend.rows.len() <= SERIES_MAX && trend.rows.iter().all(|(_, points)| points.len() <= POINTS_MAX));
        assert!(trend.rows.windows(2).all(|pair| pair[0].0 < pair[1].0), "sorted, each once");
        assert!(trend.rows.iter().all(|(_, points)| points.back().unwrap().cycle.0 >= 440), "nothing forgotten stays");
    }

    #[test]
    fn keeps_every_series_own_figures_through_gaps() {
        let mut trend = Trend::default();
        trend.push(&cycle(0, Status::Pass, vec![row("a", 1.0), row("c", 3.0)]));
        trend.push(&cycle(1, Status::Fail, vec![row("b", 2.0), row("c", 4.0)]));
        trend.push(&cycle(1, Status::Pass, vec![row("c", 99.0)]));
        trend.push(&cycle(2, Status::Pass, vec![row("a", 5.0)]));
        let means = |name| trend.points(name).map(|point| (point.cycle.0, point.mean)).collect::<Vec<_>>();
        assert_eq!(means("a"), [(0, 1.0), (2, 5.0)]);
        assert_eq!(means("b"), [(1, 2.0)]);
        assert_eq!(means("c"), [(0, 3.0), (1, 4.0)]);
        assert_eq!(means("d"), []);
        assert_eq!(
            trend.past().map(|past| past.status).collect::<Vec<_>>(),
            [Status::Pass, Status::Fail, Status::Pass]
        );
    }
}
