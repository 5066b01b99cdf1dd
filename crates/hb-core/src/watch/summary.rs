//! One cycle of one series in figures, and the table of all of them: what a decision rests on, and what stays of it.

use std::fmt;
use std::sync::Arc;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::ser::{SerializeSeq, SerializeStruct};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::registry::Aggregate;
use super::window::{Moments, held};
use crate::time::{Span, Stamp};

/// One series in one cycle.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesSummary {
    /// The series' own name (after aliases).
    pub name: Arc<str>,
    /// The unit of its figures; empty where none is known.
    pub unit: Arc<str>,
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
    pub fn of(name: Arc<str>, unit: Arc<str>, moments: &Moments) -> Self {
        let mut kept = moments.kept().to_vec();
        kept.sort_by(f64::total_cmp);
        Self {
            name,
            unit,
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

/// Fewest readings of a window that say something about its spread.
const SPREAD_READINGS_MIN: u32 = 4;

impl SeriesSummary {
    /// What a counter rose by per second between its first and newest reading; nothing for fewer than two moments.
    #[must_use]
    pub fn speed(&self) -> Option<f64> {
        let seconds = Span { start: self.first_at, end: self.last_at }.seconds();
        (self.n > 1 && seconds > 0.0).then(|| held(self.increase / seconds))
    }

    /// What a counter rose by per second; where the cycle has one reading only, since `before`, the newest reading of an
    /// earlier cycle. A fall is a start from zero.
    #[must_use]
    pub fn speed_since(&self, before: Option<(f64, Stamp)>) -> Option<f64> {
        self.speed().or_else(|| {
            let (value, at) = before.filter(|_| self.n == 1)?;
            let seconds = Span { start: at, end: self.last_at }.seconds();
            let rise = if self.last >= value { self.last - value } else { self.last.max(0.0) };
            (seconds > 0.0).then(|| held(rise / seconds))
        })
    }

    /// Logarithm of the standard deviation, from four readings on. A window without any spread counts as one with
    /// the smallest spread that there is.
    #[must_use]
    pub fn ln_spread(&self) -> Option<f64> {
        (self.n >= SPREAD_READINGS_MIN).then(|| self.sd.max(f64::MIN_POSITIVE).ln())
    }

    /// The figure that the limits of a metric look at.
    #[must_use]
    pub fn aggregate(&self, aggregate: Aggregate) -> f64 {
        match aggregate {
            Aggregate::Mean => self.mean,
            Aggregate::Last => self.last,
            Aggregate::Min => self.min,
            Aggregate::Max => self.max,
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

const COLUMNS: [&str; 17] = [
    "name",
    "unit",
    "n",
    "mean",
    "sd",
    "min",
    "max",
    "first",
    "first_at_ns",
    "last",
    "last_at_ns",
    "increase",
    "changes",
    "falls",
    "not_finite",
    "unit_faults",
    "kept",
];

impl Serialize for SeriesTable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("SeriesTable", 2)?;
        out.serialize_field("columns", &COLUMNS)?;
        out.serialize_field("rows", &self.rows)?;
        out.end()
    }
}

#[derive(Deserialize)]
struct RawTable {
    columns: Vec<String>,
    rows: Vec<SeriesSummary>,
}

impl<'de> Deserialize<'de> for SeriesTable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = RawTable::deserialize(deserializer)?;
        if raw.columns != COLUMNS {
            return Err(D::Error::custom("the series table has other columns than this version knows"));
        }
        Ok(Self { rows: raw.rows })
    }
}

/// A row is an array in the order of [`COLUMNS`].
impl Serialize for SeriesSummary {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_seq(Some(COLUMNS.len()))?;
        out.serialize_element(&*self.name)?;
        out.serialize_element(&*self.unit)?;
        out.serialize_element(&self.n)?;
        out.serialize_element(&self.mean)?;
        out.serialize_element(&self.sd)?;
        out.serialize_element(&self.min)?;
        out.serialize_element(&self.max)?;
        out.serialize_element(&self.first)?;
        out.serialize_element(&self.first_at.0)?;
        out.serialize_element(&self.last)?;
        out.serialize_element(&self.last_at.0)?;
        out.serialize_element(&self.increase)?;
        out.serialize_element(&self.changes)?;
        out.serialize_element(&self.falls)?;
        out.serialize_element(&self.not_finite)?;
        out.serialize_element(&self.unit_faults)?;
        out.serialize_element(&self.kept)?;
        out.end()
    }
}

impl<'de> Deserialize<'de> for SeriesSummary {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(RowVisitor)
    }
}

struct RowVisitor;

impl<'de> Visitor<'de> for RowVisitor {
    type Value = SeriesSummary;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a row of {} columns", COLUMNS.len())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut row: A) -> Result<Self::Value, A::Error> {
        Ok(SeriesSummary {
            name: cell(&mut row)?,
            unit: cell(&mut row)?,
            n: cell(&mut row)?,
            mean: cell(&mut row)?,
            sd: cell(&mut row)?,
            min: cell(&mut row)?,
            max: cell(&mut row)?,
            first: cell(&mut row)?,
            first_at: Stamp(cell(&mut row)?),
            last: cell(&mut row)?,
            last_at: Stamp(cell(&mut row)?),
            increase: cell(&mut row)?,
            changes: cell(&mut row)?,
            falls: cell(&mut row)?,
            not_finite: cell(&mut row)?,
            unit_faults: cell(&mut row)?,
            kept: cell(&mut row)?,
        })
    }
}

fn cell<'de, A: SeqAccess<'de>, T: Deserialize<'de>>(row: &mut A) -> Result<T, A::Error> {
    row.next_element()?.ok_or_else(|| A::Error::custom("the row ends before its last column"))
}
