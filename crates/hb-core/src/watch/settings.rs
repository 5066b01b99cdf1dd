//! What a watch decides by. Data only; checked where it is read (crate `hb`, `config/`).

use serde::{Deserialize, Serialize};

use super::registry::Registry;
use crate::ids::WatchName;
use crate::journal::Hash;
use crate::time::SECOND_NS;

/// Settings of one watch. Every one of them is part of [`WatchSettings::hash`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WatchSettings {
    /// Its name.
    pub name: WatchName,
    /// Length of a cycle, in nanoseconds of event time.
    pub interval_ns: i64,
    /// How far behind the newest sample another may be and still be counted, in nanoseconds.
    pub lateness_ns: i64,
    /// How far ahead of the wall clock a sample may be dated, in nanoseconds.
    pub future_ns: i64,
    /// How long after its end a silent cycle is still held open, in nanoseconds.
    pub silence_grace_ns: i64,
    /// A leap in event time of more cycles than this is decided as one NO_DATA cycle of that length.
    pub silent_cycles_max: u32,
    /// Most series in one cycle.
    pub series_max: usize,
    /// Tag of the baseline to decide against.
    pub baseline_tag: String,
    /// Learning of the baseline.
    pub learn: LearnSettings,
    /// Drift over cycles and series.
    pub drift: DriftSettings,
    /// When to tell.
    pub alert: AlertSettings,
    /// What is known of the series.
    pub registry: Registry,
    /// Hash of the telemetry schema that the source is read through, if there is one.
    #[serde(default)]
    pub schema: Option<Hash>,
}

/// When a baseline may be learned, and when it is too old.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LearnSettings {
    /// Learn by itself, from the first cycles with data, where the tag has no version yet.
    pub auto: bool,
    /// Cycles that a baseline is learned from.
    pub cycles: u32,
    /// Quality gate: fewest samples of a series.
    pub samples_min: u64,
    /// Quality gate: shortest span, in nanoseconds of event time.
    pub span_min_ns: i64,
    /// Quality gate: largest share of series whose two halves disagree.
    pub unstable_share_max: f64,
    /// A baseline older than this is stale, in nanoseconds of event time; 0 = never.
    pub stale_after_ns: i64,
}

/// How drift is raised and cleared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DriftSettings {
    /// Statistical tests at all (level, spread, rate); limits of the registry always hold.
    pub statistics: bool,
    /// Share of false discoveries allowed among the series named in one cycle (Benjamini-Hochberg).
    pub fdr_q: f64,
    /// Cycles out of `raise_of` in which a rule must be broken before it is raised.
    pub raise_m: u32,
    /// See `raise_m`; at most 32.
    pub raise_of: u32,
    /// Clean cycles in a row before it is cleared.
    pub clear_after: u32,
    /// Smallest distance that counts, in standard deviations of the readings …
    pub effect_sd: f64,
    /// … or in per cent of the baseline, whichever is reached; a series that moved while it was learned, or that wanders
    /// from window to window, must reach both.
    pub effect_percent: f64,
    /// Distance outside the range that the baseline's own windows had, as a factor of that range; 1 = just outside.
    pub range_factor: f64,
    /// Slow drift by CUSUM, as early warning (a notice, never a status); from baselines of 50 cycles on.
    pub trend: bool,
    /// Compare distributions of every series, not only of those with `ks_threshold`.
    pub distribution: bool,
}

/// When an alert is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlertSettings {
    /// On which cycles.
    pub on: AlertOn,
    /// The sinks, by name, each of which must acknowledge every alert.
    pub sinks: Vec<String>,
}

/// On which cycles an alert is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertOn {
    /// When the status changes, and when an episode worsens.
    Transitions,
    /// Every cycle that is not PASS, and the first PASS after.
    NotPass,
    /// Every cycle.
    Every,
}

impl WatchSettings {
    /// A watch with the defaults of the configuration reference.
    #[must_use]
    pub fn named(name: &str, interval_ns: i64) -> Self {
        Self {
            name: name.into(),
            interval_ns,
            lateness_ns: 0,
            future_ns: 10 * SECOND_NS,
            silence_grace_ns: (interval_ns / 2).clamp(SECOND_NS, 10 * SECOND_NS),
            silent_cycles_max: 1_000,
            series_max: 100_000,
            baseline_tag: "golden".into(),
            learn: LearnSettings::default(),
            drift: DriftSettings::default(),
            alert: AlertSettings { on: AlertOn::Transitions, sinks: vec!["stdout".into()] },
            registry: Registry::default(),
            schema: None,
        }
    }

    /// Hash of all settings that a decision depends on.
    ///
    /// # Panics
    /// Never: settings are plain data.
    #[must_use]
    pub fn hash(&self) -> Hash {
        Hash::of(&serde_json::to_vec(self).expect("settings are plain data with string keys"))
    }
}

impl Default for LearnSettings {
    fn default() -> Self {
        Self {
            auto: true,
            cycles: 30,
            samples_min: 30,
            span_min_ns: 0,
            unstable_share_max: 0.2,
            stale_after_ns: 30 * 86_400 * SECOND_NS,
        }
    }
}

impl Default for DriftSettings {
    fn default() -> Self {
        Self {
            statistics: true,
            fdr_q: 0.05,
            raise_m: 2,
            raise_of: 3,
            clear_after: 3,
            effect_sd: 0.25,
            effect_percent: 5.0,
            range_factor: 1.5,
            trend: true,
            distribution: false,
        }
    }
}
