//! What a test found in one series in one cycle, before hysteresis makes a driver of it.

use crate::watch::decision::{Direction, Rule};

/// How much a finding says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strength {
    /// The rule is broken, whatever other series do.
    Broken,
    /// The newest cycles, taken together, leave no doubt: it is raised without a further vote.
    Proven,
    /// The rule is broken if the finding's p is a discovery among all tests of the cycle; else it lingers.
    IfDiscovered,
    /// Too little to raise, too much to clear.
    Lingering,
    /// Nothing; figures for an episode that is being cleared.
    Clean,
}

/// What a test found. Small and without allocation, because most of them are thrown away.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Finding {
    /// The rule tested.
    pub rule: Rule,
    /// How much it says.
    pub strength: Strength,
    /// Which way.
    pub direction: Direction,
    /// Figure of the cycle.
    pub current: Option<f64>,
    /// What it was compared with.
    pub baseline: Option<f64>,
    /// The limit.
    pub limit: Option<f64>,
    /// Distance in standard deviations of the baseline's windows.
    pub sigmas: Option<f64>,
    /// Probability without any change.
    pub p: Option<f64>,
    /// The same of the newest cycles taken together, where these lie far enough off.
    pub together: Option<f64>,
    /// Rank: larger is worse.
    pub score: f64,
}

impl Finding {
    /// A finding without figures.
    #[must_use]
    pub fn plain(rule: Rule, strength: Strength) -> Self {
        Self {
            rule,
            strength,
            direction: Direction::None,
            current: None,
            baseline: None,
            limit: None,
            sigmas: None,
            p: None,
            together: None,
            score: 1.0,
        }
    }

    /// A finding that compares two figures.
    #[must_use]
    pub fn of(rule: Rule, strength: Strength, current: f64, expected: f64) -> Self {
        Self {
            direction: direction(current, expected),
            current: Some(current),
            baseline: Some(expected),
            ..Self::plain(rule, strength)
        }
    }
}

/// Which way `current` lies from `expected`.
#[must_use]
pub fn direction(current: f64, expected: f64) -> Direction {
    if current > expected {
        Direction::Up
    } else if current < expected {
        Direction::Down
    } else {
        Direction::None
    }
}

/// How far beyond, as a ratio that stays finite: 1 at the limit.
#[must_use]
pub fn excess(distance: f64, limit: f64) -> f64 {
    let ratio = distance.abs() / limit.abs().max(f64::MIN_POSITIVE);
    if ratio.is_nan() { 1.0 } else { ratio.clamp(0.0, SCORE_MAX) }
}

/// Largest score.
pub const SCORE_MAX: f64 = 1e9;
