//! What normal was: learned from cycles, versioned, with its provenance and quality.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::detect::season::Season;
use super::detect::student;
pub use super::learner::{Gate, Learner, Material};
use super::registry::{Aggregate, SeriesKind};
use crate::journal::Hash;
use crate::time::{Span, Stamp};

/// Version of the baseline document that this program writes.
pub const BASELINE_FORMAT: u32 = 2;

/// Where a baseline comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// `auto`, `cycles A..B of WATCH`, `file PATH` …
    pub from: String,
    /// Span of event time that it was learned over.
    pub span: Span,
    /// Windows that it was learned from.
    pub windows: u32,
    /// Length of each of them, in nanoseconds.
    pub window_ns: i64,
    /// Samples in them.
    pub samples: u64,
    /// Who made it.
    pub by: String,
}

/// What one figure (mean, spread, rate …) was over the baseline's windows.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Figure {
    /// Windows that had it.
    pub k: u32,
    /// Mean over the windows.
    pub mean: f64,
    /// Standard deviation over the windows.
    pub sd: f64,
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
    /// Correlation of each window with the one before (lag 1), 0 where it is not known. A wandering series has much of
    /// it, and then a few windows say less about the next ones than their number suggests.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub memory: f64,
}

fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

fn is_empty(text: &Arc<str>) -> bool {
    text.is_empty()
}

/// What a series was found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LearnedKind {
    /// Never changed.
    Constant,
    /// Only rises, starts again at zero: judged by its rise per second.
    Counter,
    /// A level.
    Gauge,
    /// A level of whole numbers.
    Discrete,
}

/// One series of a baseline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BaselineSeries {
    /// What it was found to be.
    pub kind: LearnedKind,
    /// Unit of its figures; empty where none is known.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub unit: Arc<str>,
    /// Samples behind it.
    pub samples: u64,
    /// Standard deviation of the readings themselves, pooled over the windows.
    pub sd_within: f64,
    /// Level: means of the windows.
    pub level: Figure,
    /// Rise per second of the windows; only of what looks like a counter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed: Option<Figure>,
    /// Spread: logarithm of the windows' standard deviations.
    pub spread: Figure,
    /// Readings per window.
    pub rate: Figure,
    /// Mean over the windows of their smallest, largest and newest readings.
    pub extremes: [f64; 3],
    /// KS distance of windows to the samples pooled before them; only where samples were kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distance: Option<Figure>,
    /// Pooled kept samples, sorted; only where samples were kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<f64>,
    /// Whether its earlier and later windows agree.
    pub stable: bool,
    /// The season of its level, or of a counter's rise, where one was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub season: Option<Box<Season>>,
}

impl BaselineSeries {
    /// Whether the series is judged by its rise per second, given what the registry says of it.
    #[must_use]
    pub fn by_speed(&self, said: SeriesKind) -> bool {
        match said {
            SeriesKind::Auto => self.kind == LearnedKind::Counter,
            SeriesKind::Gauge => false,
            SeriesKind::Counter => true,
        }
    }

    /// The figure of the windows that stands for the level: their means, or the rise per second of a counter. Nothing
    /// where a counter's rise could not be learned.
    #[must_use]
    pub fn judged(&self, said: SeriesKind) -> Option<&Figure> {
        if self.by_speed(said) { self.speed.as_ref() } else { Some(&self.level) }
    }

    /// [`BaselineSeries::judged`] at the phase of a cycle, where there is a season that says what it is then.
    #[must_use]
    pub fn expected(&self, said: SeriesKind, span: Span) -> Option<Figure> {
        let as_learned = self.by_speed(said) == (self.kind == LearnedKind::Counter);
        let season = self.season.as_ref().filter(|_| as_learned);
        season.and_then(|season| season.at(span)).or_else(|| self.judged(said).copied())
    }

    /// What limits on `aggregate` compare with.
    #[must_use]
    pub fn usual(&self, said: SeriesKind, aggregate: Aggregate) -> Option<f64> {
        if self.by_speed(said) {
            return self.speed.map(|speed| speed.mean);
        }
        let [low, high, newest] = self.extremes;
        Some(match aggregate {
            Aggregate::Mean => self.level.mean,
            Aggregate::Last => newest,
            Aggregate::Min => low,
            Aggregate::Max => high,
        })
    }
}

/// What normal was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// Version of the document.
    pub format: u32,
    /// Where it comes from.
    pub provenance: Provenance,
    /// By series name.
    #[serde(deserialize_with = "dense")]
    pub series: BTreeMap<Arc<str>, BaselineSeries>,
}

/// Reads the series into a list first: a map that grows entry by entry in order of names leaves its nodes half empty, which for
/// 100,000 series is 30 MB more than one that is made of all of them.
fn dense<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<Arc<str>, BaselineSeries>, D::Error> {
    struct Entries;
    impl<'de> Visitor<'de> for Entries {
        type Value = Vec<(Arc<str>, BaselineSeries)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("series by name")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut entries = Vec::new();
            while let Some(entry) = map.next_entry()? {
                entries.push(entry);
            }
            Ok(entries)
        }
    }
    deserializer.deserialize_map(Entries).map(|entries| entries.into_iter().collect())
}

impl Baseline {
    /// The document's bytes.
    ///
    /// # Panics
    /// Never: a baseline is plain data.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // A series takes about 400 bytes: of many series the document is too large to be copied again and again as it grows.
        let mut bytes = Vec::with_capacity(self.series.len().saturating_mul(420).saturating_add(1_024));
        serde_json::to_writer(&mut bytes, self).expect("a baseline is plain data with string keys");
        bytes
    }

    /// Reads a document, checking its hash.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn from_bytes(bytes: &[u8], hash: Hash) -> Result<Self, String> {
        if Hash::of(bytes) != hash {
            return Err(format!("the baseline's bytes do not match its hash {}", hash.short()));
        }
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let version: Version = serde_json::from_slice(bytes).map_err(|e| format!("not a baseline: {e}"))?;
        if version.format > BASELINE_FORMAT {
            return Err(format!("baseline format {} is newer than {BASELINE_FORMAT}: use a newer hb", version.format));
        }
        serde_json::from_slice(bytes).map_err(|e| format!("not a baseline: {e}"))
    }

    /// Age at `now` in nanoseconds, counted from the end of the span that it was learned over.
    #[must_use]
    pub fn age_ns(&self, now: Stamp) -> i64 {
        now.since_ns(self.provenance.span.end)
    }

    /// What differs in `other`: series added and removed, and levels, spreads and rates that differ by more than chance
    /// (Welch's t over the windows, p < 0.01), in order of names.
    #[must_use]
    pub fn diff(&self, other: &Self) -> Vec<SeriesDiff> {
        let mut names: Vec<&Arc<str>> = self.series.keys().chain(other.series.keys()).collect();
        names.sort_unstable();
        names.dedup();
        let of = |name: &Arc<str>| match (self.series.get(name), other.series.get(name)) {
            (None, _) => Some(Change::Added),
            (_, None) => Some(Change::Removed),
            (Some(before), Some(after)) => changed(before, after),
        };
        names.into_iter().filter_map(|name| Some(SeriesDiff { series: name.to_string(), change: of(name)? })).collect()
    }
}

/// One series that differs between two baselines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeriesDiff {
    /// The series.
    pub series: String,
    /// How.
    #[serde(flatten)]
    pub change: Change,
}

/// How a series differs between two baselines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "change")]
pub enum Change {
    /// Only in the newer one.
    Added,
    /// Only in the older one.
    Removed,
    /// In both, with other figures.
    Changed {
        /// What it was found to be, before and after.
        kind: [LearnedKind; 2],
        /// Level (rise per second of a counter), before and after.
        level: [f64; 2],
        /// The level's change in per cent, where it was not zero.
        percent: Option<f64>,
        /// Probability of so large a change of level by chance.
        p: f64,
        /// Spread within the windows, before and after: geometric means of their standard deviations.
        spread: [f64; 2],
        /// Readings per window, before and after.
        rate: [f64; 2],
    },
}

const DIFF_P: f64 = 0.01;

fn changed(before: &BaselineSeries, after: &BaselineSeries) -> Option<Change> {
    let judged = |series: &BaselineSeries| series.judged(SeriesKind::Auto).copied().unwrap_or(series.level);
    let (old, new) = (judged(before), judged(after));
    let p = welch(&old, &new);
    let told = p < DIFF_P
        || before.kind != after.kind
        || welch(&before.spread, &after.spread) < DIFF_P
        || welch(&before.rate, &after.rate) < DIFF_P;
    let percent = (old.mean != 0.0).then(|| (new.mean - old.mean) / old.mean.abs() * 100.0).filter(|x| x.is_finite());
    told.then(|| Change::Changed {
        kind: [before.kind, after.kind],
        level: [old.mean, new.mean],
        percent,
        p,
        spread: [before.spread, after.spread].map(|figure| if figure.k == 0 { 0.0 } else { figure.mean.exp() }),
        rate: [before.rate.mean, after.rate.mean],
    })
}

/// Probability of so large a distance of two means by chance: Welch's t with the degrees of freedom of Satterthwaite.
/// 1 where either has too few windows; for two figures without any spread, whether they are equal.
#[must_use]
pub fn welch(a: &Figure, b: &Figure) -> f64 {
    if a.k < 2 || b.k < 2 {
        return 1.0;
    }
    let (na, nb) = (f64::from(a.k), f64::from(b.k));
    let (va, vb) = (a.sd * a.sd / na, b.sd * b.sd / nb);
    let resolution = a.mean.abs().max(b.mean.abs()) * 1e-12;
    let distance = b.mean - a.mean;
    if distance.abs() <= resolution {
        return 1.0;
    }
    let error = (va + vb).sqrt().max(resolution);
    let df = (va + vb).powi(2) / (va * va / (na - 1.0) + vb * vb / (nb - 1.0));
    student::two_sided(distance / error, if df.is_finite() && df > 0.0 { df } else { na + nb - 2.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(level: f64) -> BaselineSeries {
        let figure =
            |mean: f64, sd: f64| Figure { k: 30, mean, sd, min: mean - 2.0 * sd, max: mean + 2.0 * sd, memory: 0.0 };
        BaselineSeries {
            kind: LearnedKind::Gauge,
            unit: "".into(),
            samples: 3000,
            sd_within: 1.0,
            level: figure(level, 0.1),
            speed: None,
            spread: figure(0.0, 0.05),
            rate: figure(100.0, 0.0),
            extremes: [level - 2.0, level + 2.0, level],
            distance: None,
            kept: Vec::new(),
            stable: true,
            season: None,
        }
    }

    fn baseline(levels: &[(&str, f64)]) -> Baseline {
        let span = Span { start: Stamp(0), end: Stamp(1_000) };
        let provenance = Provenance { from: "x".into(), span, windows: 30, window_ns: 10, samples: 1, by: "me".into() };
        let series = levels.iter().map(|(name, level)| (Arc::from(*name), series(*level))).collect();
        Baseline { format: BASELINE_FORMAT, provenance, series }
    }

    #[test]
    fn differences_are_told_with_figures_and_chance_is_not() {
        let before = baseline(&[("gone", 1.0), ("moved", 10.0), ("same", 10.0)]);
        let after = baseline(&[("moved", 11.0), ("new", 1.0), ("same", 10.02)]);
        let diff = before.diff(&after);
        let names: Vec<&str> = diff.iter().map(|diff| diff.series.as_str()).collect();
        assert_eq!(names, ["gone", "moved", "new"]);
        assert_eq!((&diff[0].change, &diff[2].change), (&Change::Removed, &Change::Added));
        let Change::Changed { level, percent, p, .. } = &diff[1].change else { panic!("{diff:?}") };
        assert_eq!((level, percent), (&[10.0, 11.0], &Some(10.0)));
        assert!(*p < 1e-12);
        let text = serde_json::to_string(&diff).unwrap();
        assert!(text.contains(r#""series":"gone","change":"removed""#), "{text}");
        assert_eq!(serde_json::from_str::<Vec<SeriesDiff>>(&text).unwrap(), diff);
    }

    #[test]
    fn j4_a_document_is_read_back_or_refused() {
        let baseline = baseline(&[("a", 0.1)]);
        let bytes = baseline.to_bytes();
        assert_eq!(Baseline::from_bytes(&bytes, Hash::of(&bytes)), Ok(baseline));
        assert!(Baseline::from_bytes(&bytes, Hash::of(b"other")).unwrap_err().contains("do not match"));
        let newer = br#"{"format":99,"shape":"unheard of"}"#;
        assert!(Baseline::from_bytes(newer, Hash::of(newer)).unwrap_err().contains("newer"));
        assert!(Baseline::from_bytes(b"{}", Hash::of(b"{}")).unwrap_err().contains("not a baseline"));
    }

    #[test]
    fn the_registry_has_the_last_word_on_the_kind() {
        let gauge = series(5.0);
        assert_eq!(gauge.judged(SeriesKind::Auto).map(|figure| figure.mean), Some(5.0));
        assert_eq!(gauge.judged(SeriesKind::Counter), None);
        assert_eq!(gauge.usual(SeriesKind::Auto, Aggregate::Max), Some(7.0));
        let counter = BaselineSeries { kind: LearnedKind::Counter, speed: Some(gauge.rate), ..gauge };
        assert_eq!(counter.usual(SeriesKind::Auto, Aggregate::Max), Some(100.0));
        assert_eq!(counter.usual(SeriesKind::Gauge, Aggregate::Min), Some(3.0));
    }
}
