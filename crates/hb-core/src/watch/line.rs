//! One name of a cycle, and everything that goes by it: four sorted sources, walked side by side.

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::iter::Peekable;
use std::slice;
use std::sync::Arc;

use super::baseline::{Baseline, BaselineSeries};
use super::detect::hysteresis::Track;
use super::registry::{Metric, SeriesKind};
use super::summary::SeriesSummary;
use crate::time::Stamp;

/// One name, and everything that goes by it.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// The series' name.
    pub name: &'a str,
    /// Its cycle, where anything of it arrived.
    pub row: Option<&'a SeriesSummary>,
    /// What it was, and its place in the baseline.
    pub base: Option<(usize, &'a BaselineSeries)>,
    /// What is known beforehand.
    pub metric: Option<&'a Metric>,
    /// Its open tracks.
    pub tracks: &'a [Track],
    /// Newest reading of an earlier cycle, where this one has too few for a rise.
    pub before: Option<(f64, Stamp)>,
}

impl<'a> Line<'a> {
    /// Its cycle, where that has readings to judge.
    #[must_use]
    pub fn usable(&self) -> Option<&'a SeriesSummary> {
        self.row.filter(|row| row.n > 0)
    }

    /// Whether it is a counter with a single reading in this cycle, so that the next one needs that.
    #[must_use]
    pub fn reads_once(&self) -> bool {
        let once = self.row.is_some_and(|row| row.n == 1);
        once && self.base.is_some_and(|(_, base)| base.by_speed(self.said()))
    }

    /// What the registry says of its kind.
    #[must_use]
    pub fn said(&self) -> SeriesKind {
        self.metric.map_or(SeriesKind::Auto, |metric| metric.kind)
    }
}

/// All names of a cycle in order: four sorted sources, walked side by side.
#[derive(Debug)]
pub struct Lines<'a> {
    rows: Peekable<slice::Iter<'a, SeriesSummary>>,
    base: Peekable<std::iter::Enumerate<btree_map::Iter<'a, Arc<str>, BaselineSeries>>>,
    metrics: Peekable<btree_map::Iter<'a, String, Metric>>,
    tracks: Peekable<btree_map::Iter<'a, String, Vec<Track>>>,
}

impl<'a> Lines<'a> {
    /// The names of a cycle's rows, a baseline, a registry and the open tracks.
    #[must_use]
    pub fn of(
        rows: &'a [SeriesSummary],
        baseline: Option<&'a Baseline>,
        metrics: &'a BTreeMap<String, Metric>,
        tracks: &'a BTreeMap<String, Vec<Track>>,
    ) -> Self {
        static NONE: BTreeMap<Arc<str>, BaselineSeries> = BTreeMap::new();
        Self {
            rows: rows.iter().peekable(),
            base: baseline.map_or(&NONE, |baseline| &baseline.series).iter().enumerate().peekable(),
            metrics: metrics.iter().peekable(),
            tracks: tracks.iter().peekable(),
        }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        let heads: [Option<&'a str>; 4] = [
            self.rows.peek().map(|row| &*row.name),
            self.base.peek().map(|(_, (name, _))| &***name),
            self.metrics.peek().map(|(name, _)| name.as_str()),
            self.tracks.peek().map(|(name, _)| name.as_str()),
        ];
        let name = heads.into_iter().flatten().min()?;
        Some(Line {
            name,
            row: self.rows.next_if(|row| &*row.name == name),
            base: self.base.next_if(|(_, (other, _))| &***other == name).map(|(place, (_, base))| (place, base)),
            metric: self.metrics.next_if(|(other, _)| other.as_str() == name).map(|(_, metric)| metric),
            tracks: self.tracks.next_if(|(other, _)| other.as_str() == name).map_or(&[], |(_, tracks)| tracks),
            before: None,
        })
    }
}
