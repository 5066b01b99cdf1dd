//! What is supervised: `supervisors`, `agents`, `teams` and `policies`, each a mapping of names to documents.
//!
//! The documents are those of the API (docs/supervisor.md). Of each document all faults are told with their place in the file: what the form
//! of it forbids, one for each document, and what its values forbid, all.

use std::collections::BTreeSet;
use std::sync::Arc;

use hb_api::v1::list_for_mapping;
use hb_core::supervise::input::{Declared, NewMember, NewSupervisor, NewTeam};
use hb_core::supervise::policy::document::PolicyDocument;
use hb_core::supervise::spec::AgentSpec;
use serde::de::DeserializeOwned;
use serde_json::{Map, Number, Value as Json};

use super::fault::{Findings, Place, SourceFile};
use super::raw::{Entry, Node, Value, Written, at};
use super::reader::is_name;

/// Keys of the file that are about supervision.
pub const GROUPS: [&str; 4] = ["supervisors", "agents", "teams", "policies"];

/// Whether the file supervises anything.
#[must_use]
pub fn is_meant(root: &Node) -> bool {
    GROUPS.iter().any(|group| root.get(group).is_some_and(|entry| entry.value.null().is_none()))
}

/// Reads everything that is supervised.
pub fn read(file: &SourceFile, root: &Node, watches: &BTreeSet<String>, findings: &mut Findings) -> Declared {
    let mut reader = Reader { file, findings };
    let declared = Declared {
        supervisors: reader.supervisors(root),
        agents: reader.agents(root),
        teams: reader.teams(root),
        policies: reader.policies(root),
    };
    reader.references(root, &declared, watches);
    declared
}

/// The schema of a group's documents, as the API has it.
fn schema(group: &str) -> &'static str {
    match group {
        "agents" => "AgentSpec",
        "teams" => "NewTeam",
        _ => "NewSupervisor",
    }
}

struct Reader<'a> {
    file: &'a SourceFile,
    findings: &'a mut Findings,
}

impl Reader<'_> {
    /// The named documents of a group.
    fn group<'n>(&mut self, root: &'n Node, group: &str) -> Vec<&'n Entry> {
        let Some(entry) = root.get(group).filter(|entry| entry.value.null().is_none()) else { return Vec::new() };
        let Some(entries) = entry.value.entries() else {
            let what = format!("`{group}` is {}", entry.value.describe());
            self.fault(entry.value.place, group, &what, "it takes a mapping of names to documents");
            return Vec::new();
        };
        let mut good = Vec::new();
        for entry in entries {
            if is_name(&entry.key) {
                good.push(entry);
            } else {
                let what = format!("`{}` is no name", super::raw::cut(&entry.key));
                let help = "at most 64 letters, digits, `.`, `_`, `-`, the first a letter or digit";
                self.fault(entry.place, group, &what, help);
            }
        }
        good
    }

    fn fault(&mut self, place: Place, key: &str, what: &str, help: &str) {
        self.findings.fault(at(self.file, place, key, what, help));
    }

    /// A document with its own name put in, read into its form.
    fn read<T: DeserializeOwned>(&mut self, group: &str, entry: &Entry, put: &[(&str, Json)]) -> Option<T> {
        let mut document = json(&entry.value, "");
        let Some(map) = as_map(&mut document) else {
            let what = format!("`{group}.{}` is {}", entry.key, entry.value.describe());
            self.fault(entry.value.place, group, &what, "it takes a mapping");
            return None;
        };
        for (key, value) in put {
            if map.insert((*key).to_owned(), value.clone()).is_some() && *key == "id" {
                let place = entry.value.get("id").map_or(entry.place, |id| id.place);
                self.fault(place, group, "`id` is the name before the colon", "leave it out");
                return None;
            }
        }
        // Read as a list of the fields in their order it would be somebody's luck.
        if let Some(path) = list_for_mapping(schema(group), &document) {
            let (node, place) = walk(entry, &path);
            let what = format!("`{group}.{}.{path}` is {}", entry.key, node.describe());
            self.fault(place, &format!("{group}.{}.{path}", entry.key), &what, "it takes a mapping");
            return None;
        }
        match serde_path_to_error::deserialize(document) {
            Ok(read) => Some(read),
            Err(error) => {
                let path = error.path().to_string();
                let what = error.into_inner().to_string();
                let place = self.place_of(entry, &path, &what);
                self.fault(
                    place,
                    &format!("{group}.{}.{path}", entry.key),
                    &what,
                    "docs/supervisor.md lists every key",
                );
                None
            }
        }
    }

    /// Where a path of a document stands; the unknown field that a message names, where there is one.
    fn place_of(&self, entry: &Entry, path: &str, what: &str) -> Place {
        let (node, place) = walk(entry, path);
        let unknown = what.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next());
        unknown.and_then(|key| node.get(key)).map_or(place, |entry| entry.place)
    }

    fn supervisors(&mut self, root: &Node) -> Vec<NewSupervisor> {
        let mut read: Vec<NewSupervisor> = Vec::new();
        for entry in self.group(root, "supervisors") {
            let mut put = vec![("id", Json::from(entry.key.as_str()))];
            if entry.value.get("name").is_none() {
                put.push(("name", Json::from(entry.key.as_str())));
            }
            read.extend(self.read::<NewSupervisor>("supervisors", entry, &put));
        }
        self.parents_first(root, read)
    }

    /// Parents before children; faults for parents that are not there or go in a circle.
    fn parents_first(&mut self, root: &Node, mut left: Vec<NewSupervisor>) -> Vec<NewSupervisor> {
        let mut ordered: Vec<NewSupervisor> = Vec::new();
        loop {
            let known: BTreeSet<_> = ordered.iter().filter_map(|one| one.id.clone()).collect();
            let (ready, rest): (Vec<_>, Vec<_>) =
                left.into_iter().partition(|one| one.parent_id.as_ref().is_none_or(|parent| known.contains(parent)));
            left = rest;
            if ready.is_empty() {
                break;
            }
            ordered.extend(ready);
        }
        for one in &left {
            let (Some(id), Some(parent)) = (&one.id, &one.parent_id) else { continue };
            let place = root.get("supervisors").and_then(|group| group.value.get(id.as_str())).map(|entry| entry.place);
            let what =
                format!("supervisor {id} names {parent} as the one above it, which is not declared or is below it");
            self.fault(
                place.unwrap_or_default(),
                &format!("supervisors.{id}.parent"),
                &what,
                "declare it, or leave `parent` out",
            );
        }
        ordered
    }

    fn agents(&mut self, root: &Node) -> Vec<Arc<AgentSpec>> {
        let mut read = Vec::new();
        for entry in self.group(root, "agents") {
            let put = [("id", Json::from(entry.key.as_str()))];
            let Some(spec) = self.read::<AgentSpec>("agents", entry, &put) else { continue };
            for (path, what) in spec.faults() {
                let (_, place) = walk(entry, &path);
                self.fault(place, &format!("agents.{}.{path}", entry.key), &what, "");
            }
            read.push(Arc::new(spec));
        }
        read
    }

    fn teams(&mut self, root: &Node) -> Vec<NewTeam> {
        let mut read = Vec::new();
        for entry in self.group(root, "teams") {
            let mut put = vec![("id", Json::from(entry.key.as_str()))];
            if entry.value.get("name").is_none() {
                put.push(("name", Json::from(entry.key.as_str())));
            }
            read.extend(self.read::<NewTeam>("teams", entry, &put));
        }
        read
    }

    fn policies(&mut self, root: &Node) -> Vec<hb_core::supervise::input::DeclaredPolicy> {
        let mut read = Vec::new();
        for entry in self.group(root, "policies") {
            let mut document = json(&entry.value, "");
            if let Some(map) = as_map(&mut document) {
                map.insert("name".into(), Json::from(entry.key.as_str()));
            }
            match PolicyDocument::read(&document) {
                Ok(policy) => read.push(policy.into_declared()),
                Err(faults) => {
                    for fault in faults {
                        let (node, place) = walk(entry, &fault.path);
                        let place = inside(node, place, fault.place);
                        let help =
                            [fault.expected.map(|what| format!("expected {what}")), fault.help.map(String::from)];
                        let help = help.into_iter().flatten().collect::<Vec<_>>().join("; ");
                        let key = format!("policies.{}.{}", entry.key, fault.path);
                        self.fault(place, &key, &fault.message, &help);
                    }
                }
            }
        }
        read
    }

    /// Names that must lead somewhere.
    fn references(&mut self, root: &Node, declared: &Declared, watches: &BTreeSet<String>) {
        let agents: BTreeSet<&str> = declared.agents.iter().map(|agent| agent.id.as_str()).collect();
        let supervisors: BTreeSet<&str> =
            declared.supervisors.iter().filter_map(|one| one.id.as_ref()).map(|id| id.as_str()).collect();
        let place = |group: &str, name: &str, path: &str| {
            root.get(group)
                .and_then(|entry| entry.value.get(name))
                .map_or_else(Place::default, |entry| walk(entry, path).1)
        };
        let mut missing: Vec<(Place, String, String)> = Vec::new();
        for agent in &declared.agents {
            let id = agent.id.as_str();
            for other in agent.depends_on.iter().filter(|other| !agents.contains(other.as_str())) {
                let what = format!("agent {id} depends on {other}, which is not declared");
                missing.push((place("agents", id, "depends_on"), format!("agents.{id}.depends_on"), what));
            }
            if let Some(watch) =
                agent.watch.as_ref().filter(|watch| !watches.is_empty() && !watches.contains(watch.as_str()))
            {
                let what = format!("agent {id} names watch {watch}, which this file does not have");
                missing.push((place("agents", id, "watch"), format!("agents.{id}.watch"), what));
            }
        }
        let mut member_of: std::collections::BTreeMap<&str, &str> = std::collections::BTreeMap::new();
        for team in &declared.teams {
            let Some(id) = team.id.as_ref().map(|id| id.as_str()) else { continue };
            for agent in team.members.iter().map(NewMember::agent) {
                if !agents.contains(agent.as_str()) {
                    let what = format!("team {id} has the member {agent}, which is not declared");
                    missing.push((place("teams", id, "members"), format!("teams.{id}.members"), what));
                } else if let Some(other) = member_of.insert(agent.as_str(), id) {
                    let what = format!("agent {agent} is a member of {other} and of {id}; an agent is in one team");
                    missing.push((place("teams", id, "members"), format!("teams.{id}.members"), what));
                }
            }
            if let Some(one) =
                team.supervisor_id.as_ref().filter(|one| !supervisors.contains(one.as_str()) && one.as_str() != "main")
            {
                let what = format!("team {id} belongs to supervisor {one}, which is not declared");
                missing.push((place("teams", id, "supervisor"), format!("teams.{id}.supervisor"), what));
            }
        }
        for policy in &declared.policies {
            let name = policy.policy.name.as_str();
            for one in
                policy.supervisors.iter().filter(|one| !supervisors.contains(one.as_str()) && one.as_str() != "main")
            {
                let what = format!("policy {name} is on duty for supervisor {one}, which is not declared");
                missing.push((place("policies", name, "supervisors"), format!("policies.{name}.supervisors"), what));
            }
        }
        for (place, key, what) in missing {
            self.fault(place, &key, &what, "");
        }
    }
}

/// The node behind a path like `process.ready.by` or `condition.conditions[1].field`, as far as it exists, and its place.
pub(crate) fn walk<'n>(entry: &'n Entry, path: &str) -> (&'n Node, Place) {
    let (mut node, mut place) = (&entry.value, entry.place);
    for step in path.split(['.', '[']).map(|step| step.trim_end_matches(']')).filter(|step| !step.is_empty()) {
        let next = match &node.value {
            Value::Map(_) => node.get(step).map(|entry| (&entry.value, entry.value.place)),
            Value::List(items) => {
                step.parse().ok().and_then(|index: usize| items.get(index)).map(|item| (item, item.place))
            }
            Value::Scalar { .. } => None,
        };
        let Some(found) = next else { break };
        (node, place) = found;
    }
    (node, place)
}

/// A place within an expression, when that stands on one line as it was typed.
pub(crate) fn inside(node: &Node, place: Place, within: Option<hb_core::supervise::policy::fault::Place>) -> Place {
    let (Some(within), Value::Scalar { written, .. }) = (within, &node.value) else { return place };
    if within.line > 1 {
        return place;
    }
    let quote = usize::from(*written == Written::Quoted);
    let column = place.column.saturating_add(quote).saturating_add(within.column.saturating_sub(1));
    Place { column, width: within.length.max(1), ..place }
}

fn as_map(document: &mut Json) -> Option<&mut Map<String, Json>> {
    if document.is_null() {
        *document = Json::Object(Map::new());
    }
    document.as_object_mut()
}

/// The tree as JSON. What stands under `env` is text, whatever it looks like: `PORT: 8080` means the text.
pub(crate) fn json(node: &Node, key: &str) -> Json {
    match &node.value {
        Value::Map(entries) => {
            let text = key == "env";
            let value = |entry: &Entry| match (&entry.value.value, text) {
                (Value::Scalar { text, .. }, true) => Json::from(text.as_str()),
                _ => json(&entry.value, &entry.key),
            };
            Json::Object(entries.iter().map(|entry| (entry.key.clone(), value(entry))).collect())
        }
        Value::List(items) => Json::Array(items.iter().map(|item| json(item, key)).collect()),
        Value::Scalar { text, written } => scalar(text, *written, key),
    }
}

/// A scalar by how it was written. The words of a command are text: `sleep 10` is not about the number ten.
fn scalar(text: &str, written: Written, key: &str) -> Json {
    if written == Written::Quoted || matches!(key, "command" | "argv") {
        return Json::from(text);
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Json::Null,
        "true" | "True" | "TRUE" => Json::Bool(true),
        "false" | "False" | "FALSE" => Json::Bool(false),
        _ => number(text).map_or_else(|| Json::from(text), Json::Number),
    }
}

fn number(text: &str) -> Option<Number> {
    if let Ok(whole) = text.parse::<i64>() {
        return Some(Number::from(whole));
    }
    super::reader::finite(text).and_then(Number::from_f64)
}
