//! What can a condition look at? The table of every field with its kind, unit and meaning.

use std::sync::Arc;

use super::fault::nearest;

/// What a field holds, when it holds something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A number.
    Number,
    /// A text.
    Text,
    /// True or false.
    Truth,
    /// Several texts: `in` asks whether one of them is in the list.
    List,
}

impl Kind {
    /// In words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Text => "text",
            Self::Truth => "true or false",
            Self::List => "list of texts",
        }
    }
}

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Whatever its owner means by it, or it is no number.
    Plain,
    /// How many.
    Count,
    /// 0 to 1; `50%` is 0.5.
    Share,
    /// Per cent; `50%` is 50.
    Percent,
    /// Seconds; `5m` is 300.
    Seconds,
    /// Megabytes.
    Megabytes,
}

impl Unit {
    /// In words; empty for [`Unit::Plain`].
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Count => "count",
            Self::Share => "0 to 1",
            Self::Percent => "per cent",
            Self::Seconds => "seconds",
            Self::Megabytes => "MB",
        }
    }
}

/// Whether a field changes without anything being told: then a sweep looks at every agent, not only at those that changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Only with a recorded change.
    WithEvents,
    /// With time, beats or measurements.
    ByItself,
    /// Only groups of alerts have it: policies that look at it are evaluated for groups alone, and not swept.
    OfOccasion,
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FieldInfo {
    /// Which.
    pub known: Known,
    /// As it stands in conditions.
    pub path: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// What it counts.
    pub unit: Unit,
    /// When it changes.
    pub pace: Pace,
    /// Every word that it can be, where there is a list of them.
    pub words: &'static [&'static str],
    /// What it means, and when it is null.
    pub meaning: &'static str,
}

/// The fields that stand in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each has its meaning in the table below, where people read it")]
pub enum Known {
    AgentId,
    AgentType,
    AgentKind,
    AgentWanted,
    AgentStatus,
    AgentHealthStatus,
    AgentAnomalyScore,
    AgentConsecutiveAnomalousReadings,
    AgentConsecutiveMissedHeartbeats,
    AgentRestartCount,
    AgentRestartsLastHour,
    AgentGivenUp,
    AgentExitStatus,
    AgentExitSignal,
    AgentUptimeSeconds,
    AgentProbeUp,
    AgentTeam,
    AgentTags,
    AgentCapabilities,
    AgentCapacity,
    AgentPhase,
    AgentMemoryMb,
    AgentCpuPercent,
    AgentOpenFilesPercent,
    AlertKind,
    AlertSeverity,
    AlertSeverityLevel,
    AlertCount,
    AlertAffectedAgents,
    AlertAffectedCount,
    WatchName,
    WatchStatus,
    WatchCycle,
    WatchDrivers,
    SupervisorId,
    SupervisorName,
    SupervisorLevel,
    TeamId,
    TeamName,
    TeamMemberCount,
    TeamActiveCount,
    EscalationChild,
    EscalationIssue,
}

/// A field that a condition looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// One of the table.
    Known(Known),
    /// `agent.metrics.NAME`: a figure that the agent put into its newest beat.
    Metric(Arc<str>),
}

/// What stands before the name of a figure of the agent's own.
pub const METRICS: &str = "agent.metrics.";

/// Every field but `agent.metrics.NAME`, in the order in which people read them.
pub const FIELDS: &[FieldInfo] = &[
    text(Known::AgentId, "agent.id", "name of the agent"),
    text(Known::AgentType, "agent.type", "what it does among the others")
        .one_of(&["worker", "monitor", "watchdog", "guardian"]),
    text(Known::AgentKind, "agent.kind", "how it is reached").one_of(&["process", "heartbeat", "probe"]),
    text(Known::AgentWanted, "agent.wanted", "whether it is to run").one_of(&["up", "down"]),
    text(Known::AgentStatus, "agent.status", "where its incarnation stands").one_of(&[
        "SPAWNING",
        "IDLE",
        "RUNNING",
        "DEGRADED",
        "FAILED",
        "QUARANTINED",
        "TERMINATED",
    ]),
    text(Known::AgentHealthStatus, "agent.health_status", "how it looks from outside").one_of(&[
        "healthy",
        "stale",
        "degraded",
        "unresponsive",
        "quarantined",
        "down",
        "unknown",
    ]),
    number(Known::AgentAnomalyScore, "agent.anomaly_score", "what its watch makes of it: 0 as always, 1 surely not")
        .unit(Unit::Share),
    number(
        Known::AgentConsecutiveAnomalousReadings,
        "agent.consecutive_anomalous_readings",
        "anomalous readings of its watch in a row",
    )
    .unit(Unit::Count),
    number(
        Known::AgentConsecutiveMissedHeartbeats,
        "agent.consecutive_missed_heartbeats",
        "beats missed in a row; hb's own downtime does not count",
    )
    .unit(Unit::Count),
    number(Known::AgentRestartCount, "agent.restart_count", "restarts since the agent is known").unit(Unit::Count),
    number(
        Known::AgentRestartsLastHour,
        "agent.restarts_last_hour",
        "restarts within the last hour, as far as its restart rule keeps them (`max_restarts`, `within_sec`)",
    )
    .unit(Unit::Count)
    .by_itself(),
    truth(Known::AgentGivenUp, "agent.given_up", "whether its restart limit was reached, so that it is left alone"),
    number(Known::AgentExitStatus, "agent.exit_status", "exit status of its newest process; null when it has not ended so")
        .unit(Unit::Plain),
    number(Known::AgentExitSignal, "agent.exit_signal", "signal that ended its newest process; null when none did")
        .unit(Unit::Plain),
    number(
        Known::AgentUptimeSeconds,
        "agent.uptime_seconds",
        "seconds since its process began, for the other kinds since it is in its present status; null while it is not up",
    )
    .unit(Unit::Seconds)
    .by_itself(),
    truth(Known::AgentProbeUp, "agent.probe_up", "whether probes find it up; null without probes"),
    text(Known::AgentTeam, "agent.team", "team that it is an open member of; null without one"),
    list(Known::AgentTags, "agent.tags", "its tags"),
    list(Known::AgentCapabilities, "agent.capabilities", "what it can do"),
    number(Known::AgentCapacity, "agent.capacity", "tasks that it can have at once").unit(Unit::Count),
    text(Known::AgentPhase, "agent.phase", "phase of the work that it belongs to; null without one"),
    number(Known::AgentMemoryMb, "agent.memory_mb", "resident memory when last measured; null before")
        .unit(Unit::Megabytes)
        .by_itself(),
    number(Known::AgentCpuPercent, "agent.cpu_percent", "processor use in per cent of one core when last measured")
        .unit(Unit::Percent)
        .by_itself(),
    number(
        Known::AgentOpenFilesPercent,
        "agent.open_files_percent",
        "open files in per cent of its limit when last measured",
    )
    .unit(Unit::Percent)
    .by_itself(),
    text(Known::AlertKind, "alert.kind", "what is wrong; null unless alerts set the evaluation off")
        .one_of(&[
            "anomaly",
            "died",
            "silent",
            "down",
            "start_failed",
            "gave_up",
            "resources",
            "in_doubt",
            "escalation",
            "mass",
        ])
        .of_occasion(),
    text(Known::AlertSeverity, "alert.severity", "the highest severity of the group")
        .one_of(&["INFO", "WARNING", "ERROR", "CRITICAL"])
        .of_occasion(),
    number(Known::AlertSeverityLevel, "alert.severity_level", "the same as a number: 0 INFO, 1 WARNING, 2 ERROR, 3 CRITICAL")
        .of_occasion(),
    number(Known::AlertCount, "alert.count", "alerts in the group so far").unit(Unit::Count).of_occasion(),
    list(Known::AlertAffectedAgents, "alert.affected_agents", "agents that the group is about").of_occasion(),
    number(Known::AlertAffectedCount, "alert.affected_count", "how many these are").unit(Unit::Count).of_occasion(),
    text(Known::WatchName, "watch.name", "the watch that speaks about the agent; null without one"),
    text(Known::WatchStatus, "watch.status", "status of its newest cycle").one_of(&[
        "PASS",
        "PASS_WITH_DRIFT",
        "FAIL",
        "NO_DATA",
        "NO_BASELINE",
    ]),
    number(Known::WatchCycle, "watch.cycle", "number of that cycle"),
    list(Known::WatchDrivers, "watch.drivers", "series that caused it, the worst first; null before the first cycle"),
    text(Known::SupervisorId, "supervisor.id", "the supervisor that evaluates"),
    text(Known::SupervisorName, "supervisor.name", "its name for people"),
    number(Known::SupervisorLevel, "supervisor.level", "levels above it: 0 for a root").unit(Unit::Count),
    text(Known::TeamId, "team.id", "team of the agent; null without one"),
    text(Known::TeamName, "team.name", "its name for people"),
    number(Known::TeamMemberCount, "team.member_count", "its open members").unit(Unit::Count),
    number(Known::TeamActiveCount, "team.active_count", "those of them that are up").unit(Unit::Count).by_itself(),
    text(Known::EscalationChild, "escalation.child", "supervisor below that hands something up; null otherwise")
        .of_occasion(),
    text(Known::EscalationIssue, "escalation.issue", "what it hands up, in words").of_occasion(),
];

const fn row(known: Known, path: &'static str, kind: Kind, meaning: &'static str) -> FieldInfo {
    FieldInfo { known, path, kind, unit: Unit::Plain, pace: Pace::WithEvents, words: &[], meaning }
}

const fn text(known: Known, path: &'static str, meaning: &'static str) -> FieldInfo {
    row(known, path, Kind::Text, meaning)
}

const fn number(known: Known, path: &'static str, meaning: &'static str) -> FieldInfo {
    row(known, path, Kind::Number, meaning)
}

const fn truth(known: Known, path: &'static str, meaning: &'static str) -> FieldInfo {
    row(known, path, Kind::Truth, meaning)
}

const fn list(known: Known, path: &'static str, meaning: &'static str) -> FieldInfo {
    row(known, path, Kind::List, meaning)
}

impl FieldInfo {
    const fn unit(self, unit: Unit) -> Self {
        Self { unit, ..self }
    }

    const fn one_of(self, words: &'static [&'static str]) -> Self {
        Self { words, ..self }
    }

    const fn by_itself(self) -> Self {
        Self { pace: Pace::ByItself, ..self }
    }

    const fn of_occasion(self) -> Self {
        Self { pace: Pace::OfOccasion, ..self }
    }
}

impl Field {
    /// The field of this path; none when there is no such.
    #[must_use]
    pub fn find(path: &str) -> Option<Self> {
        match path.strip_prefix(METRICS) {
            Some(name) => metric_name(name).then(|| Self::Metric(name.into())),
            None => FIELDS.iter().find(|info| info.path == path).map(|info| Self::Known(info.known)),
        }
    }

    /// Its row; none for a figure of the agent's own.
    #[must_use]
    pub fn info(&self) -> Option<&'static FieldInfo> {
        match self {
            Self::Known(known) => FIELDS.iter().find(|info| info.known == *known),
            Self::Metric(_) => None,
        }
    }

    /// What it holds.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.info().map_or(Kind::Number, |info| info.kind)
    }

    /// What it counts.
    #[must_use]
    pub fn unit(&self) -> Unit {
        self.info().map_or(Unit::Plain, |info| info.unit)
    }

    /// When it changes.
    #[must_use]
    pub fn pace(&self) -> Pace {
        self.info().map_or(Pace::ByItself, |info| info.pace)
    }
}

/// Whether a figure of this name can stand in a condition.
fn metric_name(name: &str) -> bool {
    let fine = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-' | '.' | '/' | ':');
    !name.is_empty() && name.chars().all(fine) && !name.ends_with('.')
}

/// The field that was probably meant.
#[must_use]
pub fn nearest_field(typed: &str) -> Option<&'static str> {
    nearest(typed, FIELDS.iter().map(|info| info.path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_stands_once_and_is_found() {
        for (at, info) in FIELDS.iter().enumerate() {
            assert_eq!(Field::find(info.path), Some(Field::Known(info.known)));
            assert_eq!(Field::Known(info.known).info(), Some(info));
            assert!(FIELDS.iter().skip(at + 1).all(|other| other.path != info.path && other.known != info.known));
            assert!(info.words.is_empty() || info.kind == Kind::Text);
            assert!(info.unit == Unit::Plain || info.kind == Kind::Number);
        }
    }

    #[test]
    fn figures_of_the_agents_own_are_numbers_of_any_name() {
        let field = Field::find("agent.metrics.queue_depth").unwrap();
        assert_eq!((field.kind(), field.unit()), (Kind::Number, Unit::Plain));
        assert_eq!(Field::find("agent.metrics."), None);
        assert_eq!(Field::find("agent.metrics.a b"), None);
        assert_eq!(Field::find("agent"), None);
        assert_eq!(nearest_field("agent.anomaly_scor"), Some("agent.anomaly_score"));
    }
}
