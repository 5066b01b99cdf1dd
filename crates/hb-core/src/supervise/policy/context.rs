//! What a condition finds when it looks: values of fields, live or supposed.
//!
//! **Invariants.** Looking changes nothing and asks no clock: the same context gives the same value however often it is asked. What is
//! not known is null, never a number that stands for it; a figure that is not finite is null.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Number, Value};

use super::super::Supervision;
use super::super::agent::{Agent, Exit, Process};
use super::super::alert::{AlertGroup, Concern, Severity};
use super::super::input::Usage;
use super::super::spec::{AgentRole, Wanted};
use super::super::state::State;
use super::super::tree::{Supervisor, Team};
use super::fault::Fault;
use super::fields::{Field, Kind, Known, nearest_field};
use crate::ids::SupervisorId;
use crate::time::{SECOND_NS, Stamp};

/// Mappings within one another that supposed values may have; no field has more parts.
const GIVEN_DEPTH_MAX: usize = 8;

/// A value that a field has.
#[derive(Debug, Clone, PartialEq)]
pub enum Figure<'a> {
    /// None, or it is not known.
    Null,
    /// True or false.
    Truth(bool),
    /// A number; always finite.
    Number(f64),
    /// A text.
    Text(Cow<'a, str>),
    /// Several texts.
    List(Vec<Cow<'a, str>>),
}

impl<'a> Figure<'a> {
    fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self::Text(text.into())
    }

    fn number(number: Option<f64>) -> Self {
        number.filter(|number| number.is_finite()).map_or(Self::Null, Self::Number)
    }

    #[expect(clippy::cast_precision_loss, reason = "counts beyond 2^53 are compared as their nearest float")]
    fn count(count: u64) -> Self {
        Self::Number(count as f64)
    }

    fn size(size: usize) -> Self {
        Self::count(u64::try_from(size).unwrap_or(u64::MAX))
    }

    fn optional<T: Into<Cow<'a, str>>>(text: Option<T>) -> Self {
        text.map_or(Self::Null, Self::text)
    }

    fn list<T: Into<Cow<'a, str>>>(texts: impl IntoIterator<Item = T>) -> Self {
        Self::List(texts.into_iter().map(Into::into).collect())
    }

    /// As a document has it.
    #[must_use]
    pub fn to_value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Truth(truth) => Value::Bool(*truth),
            Self::Number(number) => {
                let whole = super::expression::whole(*number);
                whole.or_else(|| Number::from_f64(*number)).map_or(Value::Null, Value::Number)
            }
            Self::Text(text) => Value::String(text.clone().into_owned()),
            Self::List(texts) => texts.iter().map(|text| Value::String(text.clone().into_owned())).collect(),
        }
    }

    /// For people; none for null.
    #[must_use]
    pub fn in_words(&self) -> Option<String> {
        match self {
            Self::Null => None,
            Self::Truth(truth) => Some(truth.to_string()),
            Self::Number(_) => Some(self.to_value().to_string()),
            Self::Text(text) => Some(text.clone().into_owned()),
            Self::List(texts) => Some(texts.join(", ")),
        }
    }

    /// What it holds; none for null.
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        match self {
            Self::Null => None,
            Self::Truth(_) => Some(Kind::Truth),
            Self::Number(_) => Some(Kind::Number),
            Self::Text(_) => Some(Kind::Text),
            Self::List(_) => Some(Kind::List),
        }
    }
}

/// Something in which a condition can look.
pub trait Lookup {
    /// The value of a field; null when there is none.
    fn value(&self, field: &Field) -> Figure<'_>;
}

/// Figures of an agent that are measured or told, and not in the state.
#[derive(Debug, Clone, Copy, Default)]
pub struct Figures<'a> {
    /// What its process used when last measured.
    pub usage: Option<Usage>,
    /// What it said of itself in its newest beat.
    pub metrics: Option<&'a BTreeMap<String, f64>>,
}

/// What set an evaluation off.
#[derive(Debug, Clone, Copy)]
pub enum Occasion<'a> {
    /// The turn of the supervisor's sweep.
    Sweep,
    /// A group of alerts.
    Alert(&'a AlertGroup),
    /// A decision of the agent's watch.
    Decision,
    /// Somebody wants to know what would be.
    Question,
}

impl Occasion<'_> {
    /// As it stands in the log of evaluations.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sweep => "sweep",
            Self::Alert(group) if group.concern == Concern::Escalation => "escalation",
            Self::Alert(_) => "alert",
            Self::Decision => "decision",
            Self::Question => "question",
        }
    }
}

/// The context of one evaluation, live.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    state: &'a State,
    supervisor: Option<&'a Supervisor>,
    agent: Option<&'a Agent>,
    team: Option<&'a Team>,
    figures: Figures<'a>,
    occasion: Occasion<'a>,
    now: Stamp,
}

impl<'a> Context<'a> {
    /// One without an agent.
    #[must_use]
    pub fn new(state: &'a State, supervisor: &SupervisorId, occasion: Occasion<'a>, now: Stamp) -> Self {
        let supervisor = state.supervisors.get(supervisor);
        Self { state, supervisor, agent: None, team: None, figures: Figures::default(), occasion, now }
    }

    /// About this agent, and its team.
    #[must_use]
    pub fn about(self, agent: &'a Agent, figures: Figures<'a>) -> Self {
        let team = agent.team.as_ref().and_then(|team| self.state.teams.get(team));
        Self { agent: Some(agent), team, figures, ..self }
    }

    /// About this team.
    #[must_use]
    pub fn of_team(self, team: &'a Team) -> Self {
        Self { team: Some(team), ..self }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the caller hands over the fields of an agent; a test looks all of them up"
    )]
    fn of_agent(&self, known: Known, agent: &'a Agent) -> Figure<'a> {
        use Known as K;
        let spec = agent.spec.as_ref();
        match known {
            K::AgentId => Figure::text(spec.id.as_str()),
            K::AgentType => Figure::text(role(spec.role)),
            K::AgentKind => Figure::text(spec.kind().as_str()),
            K::AgentWanted => Figure::text(match agent.wanted {
                Wanted::Up => "up",
                Wanted::Down => "down",
            }),
            K::AgentStatus => Figure::text(agent.lifecycle.as_str()),
            K::AgentHealthStatus => Figure::text(agent.health().as_str()),
            K::AgentAnomalyScore => Figure::number(Some(agent.anomaly.score)),
            K::AgentConsecutiveAnomalousReadings => Figure::count(agent.anomaly.consecutive.into()),
            K::AgentConsecutiveMissedHeartbeats => Figure::count(agent.beats.missed.into()),
            K::AgentRestartCount => Figure::count(agent.restarts.total),
            K::AgentRestartsLastHour => {
                let begin = self.now.plus_ns(-3600 * SECOND_NS);
                Figure::size(agent.restarts.recent.iter().filter(|at| **at > begin).count())
            }
            K::AgentGivenUp => Figure::Truth(agent.restarts.given_up),
            K::AgentExitStatus => match agent.exit {
                Some(Exit::Status(status)) => Figure::Number(status.into()),
                Some(Exit::Signal(_) | Exit::Unknown) | None => Figure::Null,
            },
            K::AgentExitSignal => match agent.exit {
                Some(Exit::Signal(signal)) => Figure::Number(signal.into()),
                Some(Exit::Status(_) | Exit::Unknown) | None => Figure::Null,
            },
            K::AgentUptimeSeconds => Figure::number(self.uptime(agent)),
            K::AgentProbeUp => agent.probes.up.map_or(Figure::Null, Figure::Truth),
            K::AgentTeam => Figure::optional(agent.team.as_ref().map(|team| team.as_str())),
            K::AgentTags => Figure::list(&spec.tags),
            K::AgentCapabilities => Figure::list(&spec.capabilities),
            K::AgentCapacity => Figure::count(spec.capacity.into()),
            K::AgentPhase => Figure::optional(spec.phase.as_deref()),
            K::AgentMemoryMb => Figure::number(self.figures.usage.map(|usage| usage.memory_mb)),
            K::AgentCpuPercent => Figure::number(self.figures.usage.map(|usage| usage.cpu_percent)),
            K::AgentOpenFilesPercent => Figure::number(self.figures.usage.map(|usage| usage.open_files_percent)),
            K::WatchName => Figure::optional(spec.watch.as_ref().map(|watch| watch.as_str())),
            K::WatchStatus => Figure::optional(agent.anomaly.status.as_deref()),
            K::WatchDrivers => match agent.anomaly.cycle {
                Some(_) => Figure::list(&agent.anomaly.drivers),
                None => Figure::Null,
            },
            K::WatchCycle => agent.anomaly.cycle.map_or(Figure::Null, |cycle| Figure::count(cycle.0)),
            _ => Figure::Null,
        }
    }

    fn uptime(&self, agent: &Agent) -> Option<f64> {
        let since = match &agent.process {
            Process::Alive { since, .. } => *since,
            Process::Absent if agent.lifecycle.is_up() => agent.since,
            Process::Absent | Process::Starting { .. } | Process::Stopping { .. } => return None,
        };
        // A wall clock that was set back makes it zero, not negative.
        Some((self.now.as_seconds() - since.as_seconds()).max(0.0))
    }

    fn of_occasion(&self, known: Known) -> Figure<'a> {
        use Known as K;
        match (self.occasion, known) {
            (Occasion::Alert(group), K::AlertKind) => Figure::text(group.concern.as_str()),
            (Occasion::Alert(group), K::AlertSeverity) => Figure::text(group.severity.as_str()),
            (Occasion::Alert(group), K::AlertSeverityLevel) => Figure::Number(level(group.severity)),
            (Occasion::Alert(group), K::AlertCount) => Figure::count(group.alert_count),
            (Occasion::Alert(group), K::AlertAffectedAgents) => {
                Figure::list(group.affected_agents.iter().map(|agent| agent.as_str()))
            }
            (Occasion::Alert(group), K::AlertAffectedCount) => Figure::size(group.affected_agents.len()),
            (Occasion::Alert(group), K::EscalationChild | K::EscalationIssue) => handed_up(group, known),
            (Occasion::Sweep | Occasion::Alert(_) | Occasion::Decision | Occasion::Question, _) => Figure::Null,
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the caller hands over the four fields of a team")]
    fn of_team_figures(&self, known: Known, team: &'a Team) -> Figure<'a> {
        let up = |agent| self.state.agents.get(agent).is_some_and(|agent| agent.lifecycle.is_up());
        match known {
            Known::TeamId => Figure::text(team.id.as_str()),
            Known::TeamName => Figure::text(&team.name),
            Known::TeamMemberCount => Figure::size(team.open().count()),
            Known::TeamActiveCount => Figure::size(team.open().filter(|member| up(&member.agent)).count()),
            _ => Figure::Null,
        }
    }
}

impl Lookup for Context<'_> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "all that is left is of the agent")]
    fn value(&self, field: &Field) -> Figure<'_> {
        use Known as K;
        let known = match field {
            Field::Metric(name) => {
                return Figure::number(self.figures.metrics.and_then(|metrics| metrics.get(name.as_ref())).copied());
            }
            Field::Known(known) => *known,
        };
        match known {
            K::SupervisorId => Figure::optional(self.supervisor.map(|supervisor| supervisor.id.as_str())),
            K::SupervisorName => Figure::optional(self.supervisor.map(|supervisor| supervisor.name.as_str())),
            K::SupervisorLevel => {
                self.supervisor.map_or(Figure::Null, |supervisor| Figure::count(supervisor.level.into()))
            }
            K::TeamId | K::TeamName | K::TeamMemberCount | K::TeamActiveCount => {
                self.team.map_or(Figure::Null, |team| self.of_team_figures(known, team))
            }
            // Alerts about several agents of one team have a team and no agent.
            K::AgentTeam if self.agent.is_none() => Figure::optional(self.team.map(|team| team.id.as_str())),
            K::AlertKind
            | K::AlertSeverity
            | K::AlertSeverityLevel
            | K::AlertCount
            | K::AlertAffectedAgents
            | K::AlertAffectedCount
            | K::EscalationChild
            | K::EscalationIssue => self.of_occasion(known),
            _ => self.agent.map_or(Figure::Null, |agent| self.of_agent(known, agent)),
        }
    }
}

fn role(role: AgentRole) -> &'static str {
    match role {
        AgentRole::Worker => "worker",
        AgentRole::Monitor => "monitor",
        AgentRole::Watchdog => "watchdog",
        AgentRole::Guardian => "guardian",
    }
}

/// Who hands something up stands in the key of the group, and what it is in its summary.
fn handed_up(group: &AlertGroup, known: Known) -> Figure<'_> {
    let suffix = format!("_{}", Concern::Escalation.as_str());
    match group.group_key.strip_suffix(&suffix).filter(|_| group.concern == Concern::Escalation) {
        Some(child) if known == Known::EscalationChild => Figure::text(child),
        Some(_) => Figure::text(&group.correlation_summary),
        None => Figure::Null,
    }
}

fn level(severity: Severity) -> f64 {
    match severity {
        Severity::Info => 0.0,
        Severity::Warning => 1.0,
        Severity::Error => 2.0,
        Severity::Critical => 3.0,
    }
}

impl Supervision {
    /// The context of an evaluation by this supervisor, with what is known of the agent beside the state.
    #[must_use]
    pub fn context<'a>(
        &'a self,
        supervisor: &SupervisorId,
        agent: Option<&'a Agent>,
        occasion: Occasion<'a>,
        now: Stamp,
    ) -> Context<'a> {
        let context = Context::new(&self.state, supervisor, occasion, now);
        match agent {
            Some(agent) => {
                let (usage, metrics) = self.figures(agent.id());
                context.about(agent, Figures { usage, metrics })
            }
            None => context,
        }
    }
}

/// Values that somebody supposes, alone or over a live context.
#[derive(Default, Clone)]
pub struct Given<'a> {
    values: BTreeMap<String, Value>,
    below: Option<&'a dyn Lookup>,
}

impl std::fmt::Debug for Given<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Given").field("values", &self.values).finish_non_exhaustive()
    }
}

impl<'a> Given<'a> {
    /// These values, taken as they are.
    #[must_use]
    pub fn of<'t>(values: impl IntoIterator<Item = (&'t str, Value)>) -> Self {
        Self { values: values.into_iter().map(|(path, value)| (path.to_owned(), value)).collect(), below: None }
    }

    /// Reads `{"agent": {"anomaly_score": 0.9}}` or `{"agent.anomaly_score": 0.9}`.
    ///
    /// # Errors
    /// Every field that does not exist, or that cannot hold the value.
    pub fn read(document: &Value) -> Result<Self, Vec<Fault>> {
        let (mut given, mut faults) = (Self::default(), Vec::new());
        match document {
            Value::Null => {}
            Value::Object(_) => given.take("", document, &mut faults),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                faults.push(Fault::new("context", "this is no mapping").expected("fields with their values"));
            }
        }
        if faults.is_empty() { Ok(given) } else { Err(faults) }
    }

    /// What is not supposed is looked up there.
    #[must_use]
    pub fn over(self, below: &'a dyn Lookup) -> Self {
        Self { below: Some(below), ..self }
    }

    fn take(&mut self, path: &str, value: &Value, faults: &mut Vec<Fault>) {
        match value {
            Value::Object(inner) if path.split('.').count() <= GIVEN_DEPTH_MAX => {
                for (key, value) in inner {
                    let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    self.take(&below, value, faults);
                }
            }
            Value::Object(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                self.put(path, value, faults)
            }
        }
    }

    fn put(&mut self, path: &str, value: &Value, faults: &mut Vec<Fault>) {
        let Some(field) = Field::find(path) else {
            let help = nearest_field(path).map(|known| format!("did you mean `{known}`?"));
            let path = format!("context.{}", super::lexer::shortened(path));
            faults.push(Fault::new(path, "there is no such field").help(help));
            return;
        };
        let fits = match (value, field.kind()) {
            (Value::Null, _)
            | (Value::Bool(_), Kind::Truth)
            | (Value::Number(_), Kind::Number)
            | (Value::String(_), Kind::Text) => true,
            (Value::Array(items), Kind::List) => items.iter().all(Value::is_string),
            (
                Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_),
                Kind::Number | Kind::Text | Kind::Truth | Kind::List,
            ) => false,
        };
        if fits {
            self.values.insert(path.to_owned(), value.clone());
        } else {
            let fault = Fault::new(format!("context.{path}"), "it cannot have this value");
            faults.push(fault.expected(format!("{} or null", field.kind().as_str())));
        }
    }
}

impl Lookup for Given<'_> {
    fn value(&self, field: &Field) -> Figure<'_> {
        let found = match field {
            Field::Known(_) => field.info().and_then(|info| self.values.get(info.path)),
            Field::Metric(name) => self.values.get(&format!("{}{name}", super::fields::METRICS)),
        };
        match (found, self.below) {
            (Some(value), _) => figure(value),
            (None, Some(below)) => below.value(field),
            (None, None) => Figure::Null,
        }
    }
}

/// A value of a document as a figure; what no field can hold is null.
fn figure(value: &Value) -> Figure<'_> {
    match value {
        Value::Null | Value::Object(_) => Figure::Null,
        Value::Bool(truth) => Figure::Truth(*truth),
        Value::Number(number) => Figure::number(number.as_f64()),
        Value::String(text) => Figure::text(text.as_str()),
        Value::Array(items) => Figure::list(items.iter().filter_map(Value::as_str)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::spec::AgentSpec;
    use super::*;
    use serde_json::json;

    fn agent(document: Value) -> Agent {
        let spec: AgentSpec = serde_json::from_value(document).unwrap();
        super::super::testing::agent(spec)
    }

    fn look(context: &dyn Lookup, path: &str) -> Value {
        context.value(&Field::find(path).unwrap()).to_value()
    }

    #[test]
    fn a_live_agent_is_looked_up_field_by_field() {
        let state = State::default();
        let mut one = agent(json!({"id": "a", "tags": ["gpu"], "process": {"command": ["true"]}}));
        one.anomaly.score = 0.75;
        one.exit = Some(Exit::Signal(9));
        one.restarts.recent = [Stamp(0), Stamp(4000 * SECOND_NS)].into();
        let metrics = BTreeMap::from([("lag".into(), 3.5), ("odd".into(), f64::NAN)]);
        let figures = Figures { usage: None, metrics: Some(&metrics) };
        let now = Stamp(5000 * SECOND_NS);
        let context = Context::new(&state, &"root".into(), Occasion::Sweep, now).about(&one, figures);
        assert_eq!(look(&context, "agent.id"), json!("a"));
        assert_eq!(look(&context, "agent.type"), json!("worker"));
        assert_eq!(look(&context, "agent.kind"), json!("process"));
        assert_eq!(look(&context, "agent.anomaly_score"), json!(0.75));
        assert_eq!(look(&context, "agent.tags"), json!(["gpu"]));
        assert_eq!(look(&context, "agent.restarts_last_hour"), json!(1));
        assert_eq!(look(&context, "agent.exit_signal"), json!(9));
        assert_eq!(look(&context, "agent.metrics.lag"), json!(3.5));
        for nothing in
            ["agent.exit_status", "agent.metrics.odd", "agent.memory_mb", "alert.kind", "supervisor.id", "team.id"]
        {
            assert_eq!(look(&context, nothing), Value::Null, "{nothing}");
        }
        one.process = Process::Alive {
            identity: super::super::super::agent::Identity { pid: 1, start_ticks: 1, boot: String::new() },
            since: Stamp(4990 * SECOND_NS),
            adopted: false,
        };
        let context = Context::new(&state, &"root".into(), Occasion::Sweep, now).about(&one, figures);
        assert_eq!(look(&context, "agent.uptime_seconds"), json!(10));
    }

    #[test]
    fn every_field_can_be_looked_up_with_nothing_there() {
        let state = State::default();
        let context = Context::new(&state, &"root".into(), Occasion::Question, Stamp(0));
        for info in super::super::fields::FIELDS {
            assert_eq!(look(&context, info.path), Value::Null, "{}", info.path);
        }
    }

    #[test]
    fn supposed_values_are_checked_and_cover_live_ones() {
        let given = Given::read(&json!({"agent": {"anomaly_score": 0.9, "metrics": {"a": {"b": 2}}}, "agent.id": "x"}))
            .unwrap();
        assert_eq!(look(&given, "agent.anomaly_score"), json!(0.9));
        assert_eq!(look(&given, "agent.metrics.a.b"), json!(2));
        let above = Given::of([("agent.id", json!("y"))]).over(&given);
        assert_eq!((look(&above, "agent.id"), look(&above, "agent.anomaly_score")), (json!("y"), json!(0.9)));
        let faults = Given::read(&json!({"agent": {"anomaly_scor": 1, "id": 3}})).unwrap_err();
        assert_eq!(
            faults[0].to_string(),
            "context.agent.anomaly_scor: there is no such field; did you mean `agent.anomaly_score`?"
        );
        assert_eq!(faults[1].to_string(), "context.agent.id: it cannot have this value; expected text or null");
        let mut deep = json!(1);
        for _ in 0..100 {
            deep = json!({"agent": deep});
        }
        assert!(!Given::read(&deep).unwrap_err().is_empty());
    }
}
