//! One cycle of one series in figures, and the table of all of them: what a decision rests on, and what stays of it.

use std::sync::Arc;

use serde::de::Error as _;
use serde::ser::{SerializeSeq, SerializeStruct};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::window::{Moments, held};
use crate::time::Stamp;

/// One series in one cycle.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesSummary {
    /// The series' own name (after aliases).
    pub name: Arc<str>,
    /// Finite samples.
    pub n: u32,
    /// Mean, in the series' own unit.
    pub mean: f64,
    /// Sample standard deviation.
    pub sd: f64,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
    /// Value that came first.
    pub first: f64,
    /// Time of that.
    pub first_at: Stamp,
    /// Newest value.
    pub last: f64,
    /// Time of that.
    pub last_at: Stamp,
    /// What a counter rose by.
    pub increase: f64,
    /// Times the value differed from the one before.
    pub changes: u32,
    /// Times the value fell.
    pub falls: u32,
    /// NaN and infinite readings.
    pub not_finite: u32,
    /// Readings dropped for their unit.
    pub unit_faults: u32,
    /// A bounded choice of samples, sorted, where a distribution test asks for them.
    pub kept: Vec<f64>,
}

impl SeriesSummary {
    /// The figures of a window's series. All are finite.
    #[must_use]
    pub fn of(name: Arc<str>, moments: &Moments) -> Self {
        let mut kept = moments.kept().to_vec();
        kept.sort_by(f64::total_cmp);
        Self {
            name,
            n: moments.n,
            mean: moments.mean(),
            sd: moments.sd(),
            min: moments.min,
            max: moments.max,
            first: moments.first,
            first_at: moments.first_at,
            last: moments.last,
            last_at: moments.last_at,
            increase: held(moments.increase),
            changes: moments.changes,
            falls: moments.falls,
            not_finite: moments.not_finite,
            unit_faults: moments.unit_faults,
            kept,
        }
    }
}

/// The series of a cycle, sorted by name. In documents: `{"columns": […], "rows": [[…], …]}`, times as nanoseconds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SeriesTable {
    /// Sorted by name, each name once.
    pub rows: Vec<SeriesSummary>,
}

impl SeriesTable {
    /// The series of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&SeriesSummary> {
        self.rows.binary_search_by(|row| (*row.name).cmp(name)).ok().and_then(|at| self.rows.get(at))
    }
}

const COLUMNS: [&str; 16] = [
    "name", "n", "mean", "sd", "min", "max", "first", "first_at_ns", "last", "last_at_ns", "increase", "changes", "falls",
    "not_finite", "unit_faults", "kept",
];

type Row = (Arc<str>, u32, f64, f64, f64, f64, f64, i64, f64, i64, f64, u32, u32, u32, u32, Vec<f64>);

impl Serialize for SeriesTable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("SeriesTable", 2)?;
        out.serialize_field("columns", &COLUMNS)?;
        out.serialize_field("rows", &Rows(&self.rows))?;
        out.end()
    }
}

struct Rows<'a>(&'a [SeriesSummary]);

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_seq(Some(self.0.len()))?;
        for row in self.0 {
            out.serialize_element(&(
                &*row.name,
                row.n,
                row.mean,
                row.sd,
                row.min,
                row.max,
                row.first,
                row.first_at.0,
                row.last,
                row.last_at.0,
                row.increase,
                row.changes,
                row.falls,
                row.not_finite,
                row.unit_faults,
                row.kept.as_slice(),
            ))?;
        }
        out.end()
    }
}

#[derive(Deserialize)]
struct RawTable {
    columns: Vec<String>,
    rows: Vec<Row>,
}

impl<'de> Deserialize<'de> for SeriesTable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = RawTable::deserialize(deserializer)?;
        if raw.columns != COLUMNS {
            return Err(D::Error::custom("the series table has other columns than this version knows"));
        }
        Ok(Self { rows: raw.rows.into_iter().map(summary).collect() })
    }
}

fn summary(row: Row) -> SeriesSummary {
    let (name, n, mean, sd, min, max, first, first_at, last, last_at, increase, changes, falls, not_finite, unit_faults, kept) =
        row;
    SeriesSummary {
        name,
        n,
        mean,
        sd,
        min,
        max,
        first,
        first_at: Stamp(first_at),
        last,
        last_at: Stamp(last_at),
        increase,
        changes,
        falls,
        not_finite,
        unit_faults,
        kept,
    }
}
