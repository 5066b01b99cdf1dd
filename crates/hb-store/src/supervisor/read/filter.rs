//! How what is asked of history is said in SQL.

use hb_core::ids::{AgentId, InterventionId, PolicyName, SupervisorId, TeamId};
use hb_core::supervise::alert::Severity;
use hb_core::supervise::history::{
    EvaluationFilter, EventFilter, GroupFilter, InterventionFilter, Order, PAGE_MAX, Page,
};
use hb_core::supervise::intervention::InterventionStatus;
use rusqlite::types::Value;

use crate::sqlite::{count, int};

/// What can be said as conditions of a query.
pub(super) trait Conditions {
    /// As conditions.
    fn conditions(&self) -> Where;
}

impl Conditions for EventFilter {
    fn conditions(&self) -> Where {
        let mut conditions = Where::default();
        conditions.severity(self.severity);
        if let Some(kind) = &self.kind {
            match kind.strip_suffix(".*") {
                // '/' comes after '.': everything that begins with the prefix and its point.
                Some(prefix) => {
                    conditions.push("event_type >= ? || '.'", Value::Text(prefix.to_owned()));
                    conditions.push("event_type < ? || '/'", Value::Text(prefix.to_owned()));
                }
                None => conditions.push("event_type = ?", Value::Text(kind.clone())),
            }
        }
        conditions.equal("process_id", self.agent.as_ref().map(AgentId::as_str));
        conditions.equal("supervisor_id", self.supervisor.as_ref().map(SupervisorId::as_str));
        conditions.equal("team_id", self.team.as_ref().map(TeamId::as_str));
        conditions.equal("intervention_id", self.intervention.as_ref().map(InterventionId::as_str));
        conditions
    }
}

impl Conditions for EvaluationFilter {
    fn conditions(&self) -> Where {
        let mut conditions = Where::default();
        conditions.equal("supervisor_id", self.supervisor.as_ref().map(SupervisorId::as_str));
        conditions.equal("policy_id", self.policy.as_ref().map(PolicyName::as_str));
        conditions.equal("agent_id", self.agent.as_ref().map(AgentId::as_str));
        if let Some(decision) = self.decision {
            conditions.push("decision = ?", Value::Integer(i64::from(decision)));
        }
        conditions
    }
}

impl Conditions for InterventionFilter {
    fn conditions(&self) -> Where {
        let mut conditions = Where::default();
        conditions.equal("supervisor_id", self.supervisor.as_ref().map(SupervisorId::as_str));
        conditions.equal("target_id", self.target.as_deref());
        conditions.equal("status", self.status.map(InterventionStatus::as_str));
        conditions.equal("policy_id", self.policy.as_ref().map(PolicyName::as_str));
        conditions
    }
}

impl Conditions for GroupFilter {
    fn conditions(&self) -> Where {
        let mut conditions = Where::default();
        conditions.equal("supervisor_id", self.supervisor.as_ref().map(SupervisorId::as_str));
        match self.open {
            Some(true) => conditions.sql.push("resolved_at IS NULL".to_owned()),
            Some(false) => conditions.sql.push("resolved_at IS NOT NULL".to_owned()),
            None => {}
        }
        conditions.severity(self.severity);
        conditions
    }
}

/// Conditions of a query with their values.
#[derive(Debug, Default)]
pub(super) struct Where {
    sql: Vec<String>,
    values: Vec<Value>,
}

impl Where {
    fn push(&mut self, condition: &str, value: Value) {
        self.sql.push(condition.to_owned());
        self.values.push(value);
    }

    fn equal(&mut self, column: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.push(&format!("{column} = ?"), Value::Text(value.to_owned()));
        }
    }

    fn severity(&mut self, least: Option<Severity>) {
        use Severity as S;
        // The words of our own enumeration, in the form that an index knows.
        let words = [S::Info, S::Warning, S::Error, S::Critical];
        if let Some(least) = least.filter(|least| *least > S::Info) {
            let worse: Vec<_> =
                words.iter().filter(|word| **word >= least).map(|word| format!("'{}'", word.as_str())).collect();
            self.sql.push(format!("severity IN ({})", worse.join(", ")));
        }
    }

    /// Adds where the page begins; gives what follows the conditions.
    pub(super) fn page(&mut self, number: &str, page: Page) -> String {
        let (compare, order) = match page.order {
            Order::NewestFirst => ("<", "DESC"),
            Order::OldestFirst => (">", "ASC"),
        };
        if let Some(after) = page.after {
            self.push(&format!("{number} {compare} ?"), Value::Integer(int(after)));
        }
        self.values.push(Value::Integer(count(page.limit.clamp(1, PAGE_MAX))));
        format!("ORDER BY {number} {order} LIMIT ?")
    }

    pub(super) fn sql(&self) -> String {
        if self.sql.is_empty() { String::new() } else { format!(" WHERE {}", self.sql.join(" AND ")) }
    }

    pub(super) fn into_values(self) -> Vec<Value> {
        self.values
    }
}
