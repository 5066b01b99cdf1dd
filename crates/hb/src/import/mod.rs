//! Agents of other supervisors as a configuration of ours. What has no place in it is told with the line it stands in, never left out in
//! silence.
//!
//! | question | file |
//! |---|---|
//! | How is a `supervisord.conf` taken apart? | `ini.rs`, `words.rs` |
//! | What does it come to? | `supervisord.rs`, `program.rs` |
//! | What does a Procfile come to? | `procfile.rs` |
//! | How is it written down? | `yaml.rs` |

pub mod ini;
pub mod procfile;
mod program;
pub mod supervisord;
mod words;
pub mod yaml;

use std::collections::{BTreeMap, BTreeSet};

use hb_core::ids::AgentId;
use hb_core::supervise::spec::{
    AgentRole, AgentSpec, Limits, Output, ProcessSpec, Ready, ResourceRule, RestartRule, StopRule, Wanted,
};
use serde::Serialize;

/// Most agents that a file may come to (B1): as many as a supervisor has room for.
pub const AGENTS_MAX: usize = hb_core::supervise::bounds::AGENTS_MAX;
/// Longest name of an agent or team, in characters.
const NAME_MAX: usize = 64;

/// A place in what is imported, and what is to be known about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// File.
    pub file: String,
    /// Line, from 1; 0 for the file as a whole.
    pub line: usize,
    /// Whether something was lost.
    pub grade: Grade,
    /// In words.
    pub what: String,
}

/// How much a note is to be minded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// It is there, in another way than it was.
    Differs,
    /// It is not there.
    Lost,
}

/// An agent and where it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Agent {
    /// What it is.
    pub spec: AgentSpec,
    /// File.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
}

/// A team and its members, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Team {
    /// Its name.
    pub name: String,
    /// Names of agents.
    pub members: Vec<String>,
}

/// What a file came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Imported {
    /// Agents in the order of the file.
    pub agents: Vec<Agent>,
    /// Teams in the order of the file.
    pub teams: Vec<Team>,
    /// What is to be known, in the order of the file.
    pub notes: Vec<Note>,
}

impl Imported {
    /// Notes something.
    pub fn note(&mut self, (file, line): (&str, usize), grade: Grade, what: impl Into<String>) {
        let note = Note { file: file.to_owned(), line, grade, what: what.into() };
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// A name that hb takes and that nobody has yet, told when it is another.
    fn name(&mut self, place: (&str, usize), wanted: &str, taken: &BTreeSet<String>) -> String {
        let fine = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' };
        let mut name: String = wanted.chars().map(fine).take(NAME_MAX).collect();
        if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            name = format!("a{name}").chars().take(NAME_MAX).collect();
        }
        let base: String = name.chars().take(NAME_MAX.saturating_sub(6)).collect();
        let mut number = 2_u32;
        while taken.contains(&name) {
            name = format!("{base}-{number}");
            number = number.saturating_add(1);
        }
        if name != wanted {
            let what = format!("`{}` cannot be a name here: it is `{name}` now", wanted.escape_debug());
            self.note(place, Grade::Differs, what);
        }
        name
    }

    fn names(&self) -> BTreeSet<String> {
        self.agents.iter().map(|agent| agent.spec.id.to_string()).collect()
    }
}

/// A process of which nothing but its command is known.
fn process_of(command: Vec<String>) -> ProcessSpec {
    ProcessSpec {
        command,
        env: BTreeMap::new(),
        cwd: None,
        user: None,
        limits: Limits::default(),
        ready: Ready::default(),
        stop: StopRule::default(),
        output: Output::default(),
        resources: ResourceRule::default(),
        watchdog_sec: None,
    }
}

/// An agent of which nothing but its process is known.
fn agent_of(id: &str, process: ProcessSpec) -> AgentSpec {
    AgentSpec {
        id: AgentId::from(id),
        role: AgentRole::default(),
        process: Some(Box::new(process)),
        heartbeat: None,
        probe: None,
        restart: RestartRule::default(),
        beats: None,
        depends_on: Vec::new(),
        watch: None,
        wanted: Wanted::default(),
        phase: None,
        capabilities: Vec::new(),
        capacity: 1,
        tags: Vec::new(),
        metadata: BTreeMap::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_fit_and_told_apart() {
        let mut imported = Imported::default();
        let taken = BTreeSet::from(["web".to_owned(), "web-2".to_owned()]);
        let at = ("f", 3);
        assert_eq!(imported.name(at, "web", &taken), "web-3");
        assert_eq!(imported.name(at, "a b:c", &taken), "a-b-c");
        assert_eq!(imported.name(at, "_x", &taken), "a_x");
        assert_eq!(imported.name(at, "fine", &taken), "fine");
        assert_eq!(imported.name(at, &"é".repeat(100), &taken).len(), NAME_MAX);
        assert_eq!(imported.notes.len(), 4);
    }
}
