//! What is told to people, and when: on transitions, not on every cycle.

use serde::{Deserialize, Serialize};

use super::decision::{Decision, Severity, Status};
use super::settings::{AlertOn, AlertSettings};
use crate::ids::{CycleNo, WatchName};
use crate::time::{Span, Stamp};

/// Why an alert was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertCause {
    /// The status is another than in the cycle before.
    Changed,
    /// The same status, but with a driver that the episode did not have yet.
    Worsened,
    /// The baseline has become stale.
    BaselineStale,
    /// The settings ask for every cycle.
    Cycle,
}

/// How urgent it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Urgency {
    /// Good news, or none.
    Info,
    /// Drift, missing baseline, staleness.
    Warn,
    /// Failure, silence.
    Fail,
}

/// One alert. It is part of the cycle's record, so that it is neither lost nor made twice (W6).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// `WATCH/CYCLE`: the same however often it is delivered.
    pub key: String,
    /// Why it was made.
    pub cause: AlertCause,
    /// How urgent it is.
    pub severity: Urgency,
    /// Watch.
    pub watch: WatchName,
    /// Cycle.
    pub cycle: CycleNo,
    /// Its span.
    pub span: Span,
    /// Its status.
    pub status: Status,
    /// Status of the cycle before, if there was one.
    pub before: Option<Status>,
    /// One sentence.
    pub headline: String,
    /// Series that drive it, the worst first; at most ten.
    pub series: Vec<String>,
    /// Start of the episode that it belongs to.
    pub since: Stamp,
}

/// The part of an episode that the next decision needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Episode {
    /// Its status.
    pub status: Status,
    /// When it began.
    pub since: Stamp,
    /// `SERIES rule` of all drivers that it has had, sorted; at most [`super::decision::NAMED_MAX`].
    pub seen: Vec<String>,
    /// Whether staleness of the baseline has been told.
    pub stale_told: bool,
}

const SERIES_MAX: usize = 10;

/// Decides whether a decision is to be told, and what the episode is afterwards.
#[must_use]
pub fn alert(
    watch: &WatchName,
    decision: &Decision,
    before: Option<&Episode>,
    settings: &AlertSettings,
) -> (Option<Alert>, Episode) {
    let (cause, episode) = follow(decision, before, settings.on);
    let alert = cause.map(|cause| Alert {
        key: format!("{watch}/{}", decision.cycle),
        cause,
        severity: urgency(decision.status, cause),
        watch: watch.clone(),
        cycle: decision.cycle,
        span: decision.span,
        status: decision.status,
        before: before.map(|episode| episode.status),
        headline: decision.headline.clone(),
        series: decision.drivers.iter().map(|driver| driver.series.clone()).take(SERIES_MAX).collect(),
        since: episode.since,
    });
    (alert, episode)
}

fn urgency(status: Status, cause: AlertCause) -> Urgency {
    match (status, cause) {
        (Status::Fail | Status::NoData, _) => Urgency::Fail,
        (Status::PassWithDrift | Status::NoBaseline, _) | (Status::Pass, AlertCause::BaselineStale) => Urgency::Warn,
        (Status::Pass, _) => Urgency::Info,
    }
}

fn follow(decision: &Decision, before: Option<&Episode>, on: AlertOn) -> (Option<AlertCause>, Episode) {
    // An early warning does not worsen an episode: it wakes nobody.
    let severe = decision.drivers.iter().filter(|driver| driver.severity != Severity::Notice);
    let drivers = severe.map(|driver| format!("{} {}", driver.series, driver.rule.as_str()));
    let stale = decision.baseline_stale_sec.is_some();
    let same = before.filter(|episode| episode.status == decision.status);
    let mut episode = same.cloned().unwrap_or_else(|| Episode {
        status: decision.status,
        since: decision.span.start,
        seen: Vec::new(),
        stale_told: before.is_some_and(|episode| episode.stale_told),
    });
    let mut fresh = false;
    for driver in drivers {
        if let Err(place) = episode.seen.binary_search(&driver)
            && episode.seen.len() < super::decision::NAMED_MAX
        {
            episode.seen.insert(place, driver);
            fresh = true;
        }
    }
    let newly_stale = stale && !episode.stale_told;
    episode.stale_told = stale;
    let cause = if same.is_none() && (before.is_some() || decision.status != Status::Pass) {
        Some(AlertCause::Changed)
    } else if fresh && decision.status != Status::Pass {
        Some(AlertCause::Worsened)
    } else if newly_stale {
        Some(AlertCause::BaselineStale)
    } else {
        match on {
            AlertOn::Every => Some(AlertCause::Cycle),
            AlertOn::NotPass if decision.status != Status::Pass => Some(AlertCause::Cycle),
            AlertOn::NotPass | AlertOn::Transitions => None,
        }
    };
    (cause, episode)
}
