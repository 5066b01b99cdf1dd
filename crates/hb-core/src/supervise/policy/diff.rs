//! What changed between two versions, side by side.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Value, json};

use super::PolicyVersion;

/// One place at which two versions differ.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// Where: `when`, `actions[0].reason`, `variables.limit.value`.
    pub path: String,
    /// What stands in the first; absent when it is only in the second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What stands in the second; absent when it was only in the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// Two versions side by side.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Diff {
    /// The first.
    pub from: u32,
    /// The second.
    pub to: u32,
    /// Where they differ, by path; none when they say the same.
    pub changes: Vec<Change>,
}

/// Compares two versions: description, type, condition (as a whole expression, and comparison by comparison), actions and variables.
#[must_use]
pub fn diff(from: &PolicyVersion, to: &PolicyVersion) -> Diff {
    let mut changes = Vec::new();
    compare("", Some(&document(from)), Some(&document(to)), &mut changes);
    Diff { from: from.version, to: to.version, changes }
}

fn document(version: &PolicyVersion) -> Value {
    json!({
        "description": version.description,
        "policy_type": version.policy_type,
        "when": version.definition.condition.to_string(),
        "condition": version.definition.condition,
        "actions": version.definition.actions,
        "variables": version.variables,
        "dangerous": version.dangerous,
    })
}

/// Documents of accepted versions are as deep as their conditions at most, so this ends early.
fn compare(path: &str, before: Option<&Value>, after: Option<&Value>, changes: &mut Vec<Change>) {
    if before == after {
        return;
    }
    match (before, after) {
        (Some(Value::Object(left)), Some(Value::Object(right))) => {
            let keys: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
            for key in keys {
                let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                compare(&below, left.get(key), right.get(key), changes);
            }
        }
        (Some(Value::Array(left)), Some(Value::Array(right))) => {
            for at in 0..left.len().max(right.len()) {
                compare(&format!("{path}[{at}]"), left.get(at), right.get(at), changes);
            }
        }
        (before, after) => {
            changes.push(Change { path: path.to_owned(), before: before.cloned(), after: after.cloned() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::agent::Origin;
    use super::super::Policy;
    use super::super::testing::policy;
    use super::*;
    use crate::time::Stamp;

    #[test]
    fn changes_are_told_side_by_side() {
        let mut both = Policy::empty("p".into(), Origin::Dynamic);
        both.accept(
            policy(json!({"name": "p", "when": "agent.anomaly_score >= 0.8", "actions": [{"type": "restart_agent"}]})),
            &"ada".into(),
            Stamp(0),
        );
        both.accept(
            policy(json!({
                "name": "p",
                "when": "agent.anomaly_score >= 0.9",
                "actions": [{"type": "restart_agent"}, {"type": "notify"}],
                "variables": {"x": 1},
            })),
            &"ada".into(),
            Stamp(0),
        );
        let found = diff(&both.versions[0], &both.versions[1]);
        let paths: Vec<&str> = found.changes.iter().map(|change| change.path.as_str()).collect();
        assert_eq!(paths, ["actions[1]", "condition.value", "variables.x", "when"]);
        let when = found.changes.last().unwrap();
        assert_eq!(when.before, Some(json!("agent.anomaly_score >= 0.8")));
        assert_eq!(when.after, Some(json!("agent.anomaly_score >= 0.9")));
        assert_eq!(found.changes[0].before, None);
        assert!(diff(&both.versions[0], &both.versions[0]).changes.is_empty());
    }
}
