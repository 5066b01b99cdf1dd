//! What the nodes said, put together: what the screen shows and `hb top --json` prints.

use hb_core::time::Stamp;
use hb_core::watch::decision::Status;
use serde::Serialize;
use serde_json::Value;

use super::happenings::Happening;
use super::supervised::Supervision;
use super::verdict::Verdict;
use super::watches::{WatchLine, watches};
use crate::cli::told::Doc as _;
use crate::shown::Shown;

/// Most nodes that are shown (B1).
pub(super) const NODES_MAX: usize = 256;

/// Everything at one moment.
#[derive(Debug, Clone, Serialize)]
pub struct Picture {
    /// When it was asked for, by this machine's clock.
    pub at: Stamp,
    /// Set where nobody answers: when the last answer came that this picture shows; null where there never was one.
    pub silent: Option<Silence>,
    /// What it comes to.
    pub verdict: Verdict,
    /// The node whose word the watches are.
    pub told_by: Option<Shown>,
    /// Every node, by name.
    pub nodes: Vec<NodeLine>,
    /// The newest takeover.
    pub takeover: Option<TakeoverLine>,
    /// By whom and why takeovers are paused, where they are.
    pub paused: Option<Shown>,
    /// Every watch, by name.
    pub watches: Vec<WatchLine>,
    /// What should not be.
    pub alarms: Vec<AlarmLine>,
    /// What is supervised, where something is.
    pub supervision: Option<Supervision>,
    /// What happened, the newest first.
    pub happenings: Vec<Happening>,
    /// What could not be asked or told.
    pub troubles: Vec<Shown>,
}

/// Nobody answers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Silence {
    /// When the last answer came.
    pub last_answer: Option<Stamp>,
}

/// What a node said when it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It answers.
    Answers,
    /// It answers, and says that its work loop makes no progress.
    Hangs,
    /// It was asked and does not answer.
    Silent,
    /// It was not asked: this is what its card says.
    NotAsked,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NodeLine {
    /// Its name, or where it was asked for where that is not known.
    pub node: Shown,
    /// `active`, `standby`, `taking_over`, `draining`, `fenced`, `down`; empty where that is not known.
    pub role: Shown,
    /// What its supervisor is; empty where it has none.
    pub supervises: Shown,
    /// How it answered.
    pub answer: Answer,
    /// Epoch.
    pub epoch: u64,
    /// Where it runs, where that is known.
    pub host: Shown,
    /// Where it serves.
    pub listen: Shown,
    /// Records that it is behind the node that has most.
    pub behind_records: u64,
    /// For how many seconds it has been.
    pub behind_seconds: f64,
    /// Seconds since its last sign of life.
    pub last_contact_seconds: f64,
    /// Checks of `/ready` that it fails.
    pub failing: Vec<Shown>,
    /// What keeps it from working, or why it does not answer.
    pub trouble: Shown,
}

/// A takeover.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TakeoverLine {
    /// When.
    pub at: Option<Stamp>,
    /// Who took over.
    pub node: Shown,
    /// Its epoch.
    pub epoch: u64,
    /// From whom; empty at a first start.
    pub from: Shown,
    /// What gave the right to try.
    pub how: Shown,
    /// Why.
    pub why: Shown,
    /// Seconds from the lease to the first record.
    pub took_seconds: Option<f64>,
    /// Seconds between the two writers' records.
    pub gap_seconds: Option<f64>,
}

/// Something that should not be.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AlarmLine {
    /// Its name.
    pub name: Shown,
    /// What is wrong and what to do.
    pub what: Shown,
    /// Since when.
    pub since: Option<Stamp>,
}

impl Picture {
    /// Nothing has been said yet.
    #[must_use]
    pub fn empty(at: Stamp) -> Self {
        Self {
            at,
            silent: Some(Silence { last_answer: None }),
            verdict: Verdict::default(),
            told_by: None,
            nodes: Vec::new(),
            takeover: None,
            paused: None,
            watches: Vec::new(),
            alarms: Vec::new(),
            supervision: None,
            happenings: Vec::new(),
            troubles: Vec::new(),
        }
    }

    /// Of one document that tells all nodes: what `hb status --json` prints.
    #[must_use]
    pub fn of_status(status: &Value, at: Stamp) -> Self {
        let down = status.text("role") == "down";
        let mut nodes: Vec<NodeLine> = status.items("nodes").iter().take(NODES_MAX).map(NodeLine::of).collect();
        for (line, document) in nodes.iter_mut().zip(status.items("nodes")) {
            let silent = document.text("silent");
            line.answer = match silent.is_empty() {
                true => Answer::Answers,
                false => Answer::Silent,
            };
            if !silent.is_empty() && line.trouble.is_empty() {
                line.trouble = Shown::of(&silent);
            }
        }
        let paused = Shown::of(&status.text("paused"));
        Self {
            silent: down.then_some(Silence { last_answer: None }),
            nodes,
            takeover: TakeoverLine::of(status.sub("takeover")),
            paused: (!paused.is_empty()).then_some(paused),
            watches: watches(status, &[]),
            alarms: status.items("alarms").iter().take(NODES_MAX).map(AlarmLine::of).collect(),
            supervision: status.get("supervisors").map(|_| Supervision::of_summary(status)),
            ..Self::empty(at)
        }
    }

    /// The node that is active by its own word.
    #[must_use]
    pub fn active(&self) -> Option<&NodeLine> {
        self.nodes.iter().find(|node| node.answers() && node.role.as_str() == "active")
    }
}

impl NodeLine {
    /// Of a node's document on the board of nodes.
    pub(super) fn of(document: &Value) -> Self {
        let text = |key: &str| Shown::of(&document.text(key));
        let number = |key: &str| document.get(key).and_then(Value::as_f64).unwrap_or(0.0);
        Self {
            node: text("node"),
            role: text("role"),
            supervises: text("supervises"),
            answer: Answer::NotAsked,
            epoch: document.count("epoch"),
            host: text("host"),
            listen: text("listen"),
            behind_records: document.count("lag_records"),
            behind_seconds: number("lag_seconds"),
            last_contact_seconds: number("last_contact_seconds"),
            failing: Vec::new(),
            trouble: text("trouble"),
        }
    }

    /// Of a node that is known only by where it was asked for.
    pub(super) fn nameless(place: &str) -> Self {
        Self { node: Shown::of(place), ..Self::of(&Value::Null) }
    }

    /// With what it said itself.
    pub(super) fn says(&mut self, status: &Value) {
        self.role = Shown::of(&status.text("role"));
        self.epoch = status.count("epoch");
        self.answer = Answer::Answers;
        self.last_contact_seconds = 0.0;
    }

    /// Whether it answers.
    #[must_use]
    pub fn answers(&self) -> bool {
        matches!(self.answer, Answer::Answers | Answer::Hangs)
    }
}

impl TakeoverLine {
    /// Of a takeover's document; none of null.
    pub(super) fn of(document: &Value) -> Option<Self> {
        let text = |key: &str| Shown::of(&document.text(key));
        document.get("node")?;
        Some(Self {
            at: document.stamp("at"),
            node: text("node"),
            epoch: document.count("epoch"),
            from: Shown::of(&document.sub("from").text("node")),
            how: text("how"),
            why: text("why"),
            took_seconds: document.get("took_seconds").and_then(Value::as_f64),
            gap_seconds: document.get("gap_seconds").and_then(Value::as_f64),
        })
    }
}

impl AlarmLine {
    /// Of an alarm's document.
    pub(super) fn of(document: &Value) -> Self {
        Self {
            name: Shown::of(&document.text("name")),
            what: Shown::of(&document.text("what")),
            since: document.stamp("since"),
        }
    }
}

/// A status by its name in documents.
pub(super) fn status(name: &str) -> Option<Status> {
    Status::ALL.into_iter().find(|status| status.as_str() == name)
}
