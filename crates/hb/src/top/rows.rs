//! What stands in the lists of the screen: a row for each node, watch, team and happening.

use hb_core::time::Stamp;
use hb_core::watch::decision::Status;

use super::happenings::Happening;
use super::picture::{Answer, NodeLine, Picture};
use super::supervised::{AgentLine, TeamLine};
use super::watches::WatchLine;
use crate::cli::out::{self, Paint};
use crate::cli::told;

/// A list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Section {
    Nodes,
    Watches,
    Agents,
    Happenings,
}

impl Section {
    pub(super) const ALL: [Self; 4] = [Self::Nodes, Self::Watches, Self::Agents, Self::Happenings];
}

/// A shape, so that nothing is told by colour alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Good,
    Warn,
    Bad,
    Idle,
    Unknown,
}

impl Mark {
    pub(super) fn paint(self) -> Paint {
        match self {
            Self::Good => Paint::Good,
            Self::Warn => Paint::Warn,
            Self::Bad => Paint::Bad,
            Self::Idle => Paint::Faint,
            Self::Unknown => Paint::Warn,
        }
    }
}

/// A cell of a list.
#[derive(Debug, Clone)]
pub(super) enum Cell {
    /// Text, to the left.
    Text(String, Paint),
    /// A figure, to the right.
    Figure(String, Paint),
    /// A shape and a word.
    Marked(Mark, &'static str),
    /// The newest cycles, oldest first.
    Past(Vec<Status>),
}

/// A row.
#[derive(Debug, Clone)]
pub(super) struct Row {
    /// Names what it is about for as long as that is there.
    pub(super) id: String,
    pub(super) cells: Vec<Cell>,
    /// What a filter looks at beside the cells.
    pub(super) more: String,
}

/// A column: no narrower than `least`, no wider than `most`; where there is no room, the one with the smallest `keep` goes first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    pub(super) head: &'static str,
    pub(super) least: u16,
    pub(super) most: u16,
    pub(super) keep: u8,
}

const fn column(head: &'static str, (least, most): (u16, u16), keep: u8) -> Column {
    Column { head, least, most, keep }
}

const NODES: &[Column] = &[
    column("NODE", (6, 20), 9),
    column("role", (9, 14), 8),
    column("epoch", (5, 8), 6),
    column("behind", (6, 16), 5),
    column("contact", (7, 10), 2),
    column("where", (8, 30), 3),
    column("what", (8, 200), 7),
];

const WATCHES: &[Column] = &[
    column("WATCH", (8, 24), 9),
    column("status", (8, 9), 8),
    column("cycle", (5, 10), 3),
    column("lag", (5, 8), 4),
    column("since", (6, 8), 5),
    column("past", (8, 60), 6),
    column("by", (2, 12), 2),
    column("what", (10, 200), 7),
];

const AGENTS: &[Column] = &[
    column("TEAM / AGENT", (10, 28), 9),
    column("state", (8, 14), 8),
    column("up", (4, 9), 7),
    column("restarts", (8, 9), 6),
    column("since", (6, 8), 3),
    column("what", (10, 200), 5),
];

const HAPPENINGS: &[Column] = &[
    column("EVENT", (8, 12), 8),
    column("how bad", (7, 10), 6),
    column("kind", (8, 24), 3),
    column("whom", (4, 20), 7),
    column("what", (10, 400), 9),
];

/// The columns of a list.
pub(super) fn columns(section: Section) -> &'static [Column] {
    match section {
        Section::Nodes => NODES,
        Section::Watches => WATCHES,
        Section::Agents => AGENTS,
        Section::Happenings => HAPPENINGS,
    }
}

/// The rows of a list that have the filter's words in them.
pub(super) fn rows(picture: &Picture, section: Section, filter: &str) -> Vec<Row> {
    let at = picture.at;
    let rows: Vec<Row> = match section {
        Section::Nodes => picture.nodes.iter().map(of_node).collect(),
        Section::Watches => {
            let mut watches: Vec<&WatchLine> = picture.watches.iter().collect();
            watches.sort_by_key(|watch| watch.rank());
            watches.into_iter().map(|watch| of_watch(watch, at)).collect()
        }
        Section::Agents => {
            let teams = picture.supervision.iter().flat_map(|one| &one.teams);
            teams.flat_map(|team| of_team(team, at, filter)).collect()
        }
        Section::Happenings => picture.happenings.iter().map(|one| of_happening(one, at)).collect(),
    };
    if filter.is_empty() {
        return rows;
    }
    let wanted = filter.to_lowercase();
    rows.into_iter().filter(|row| row.text().to_lowercase().contains(&wanted)).collect()
}

impl Row {
    fn text(&self) -> String {
        let mut text = self.more.clone();
        for cell in &self.cells {
            text.push(' ');
            match cell {
                Cell::Text(cell, _) | Cell::Figure(cell, _) => text.push_str(cell),
                Cell::Marked(_, word) => text.push_str(word),
                Cell::Past(_) => {}
            }
        }
        text
    }
}

fn text(text: impl ToString) -> Cell {
    Cell::Text(text.to_string(), Paint::Plain)
}

fn figure(text: impl ToString) -> Cell {
    Cell::Figure(text.to_string(), Paint::Plain)
}

/// How long ago something was, seen at a moment.
pub(super) fn age(then: Option<Stamp>, at: Stamp) -> String {
    let Some(then) = then else { return "-".to_owned() };
    short((at.as_seconds() - then.as_seconds()).max(0.0))
}

/// A span in four or five letters.
pub(super) fn short(seconds: f64) -> String {
    match seconds {
        s if s < 10.0 => format!("{s:.1}s"),
        s if s < 100.0 => format!("{s:.0}s"),
        s if s < 6_000.0 => format!("{:.0}m", s / 60.0),
        s if s < 172_800.0 => format!("{:.0}h", s / 3_600.0),
        s => format!("{:.0}d", s / 86_400.0),
    }
}

/// The shape and the word of a node's role.
pub(super) fn role(node: &NodeLine) -> (Mark, &'static str) {
    match (node.answer, node.role.as_str()) {
        (Answer::Hangs, _) => (Mark::Bad, "hangs"),
        (_, "down") => (Mark::Bad, "down"),
        (Answer::Silent, _) => (Mark::Bad, "no answer"),
        (_, "active") => (Mark::Good, "active"),
        (_, "standby") => (Mark::Idle, "standby"),
        (_, "taking_over") => (Mark::Warn, "taking over"),
        (_, "draining") => (Mark::Warn, "draining"),
        (_, "fenced") => (Mark::Bad, "fenced"),
        _ => (Mark::Unknown, "unknown"),
    }
}

fn of_node(node: &NodeLine) -> Row {
    let (mark, word) = role(node);
    let behind = match node.role.as_str() {
        "standby" => format!("{} ({})", node.behind_records, short(node.behind_seconds)),
        _ => "-".to_owned(),
    };
    let failing = node.failing.iter().map(crate::shown::Shown::as_str);
    let what: Vec<&str> = std::iter::once(node.trouble.as_str()).chain(failing).filter(|one| !one.is_empty()).collect();
    let contact = if node.answers() { "now".to_owned() } else { short(node.last_contact_seconds) };
    let place = if node.listen.is_empty() { node.host.as_str() } else { node.listen.as_str() };
    Row {
        id: node.node.to_string(),
        cells: vec![
            text(&node.node),
            Cell::Marked(mark, word),
            figure(node.epoch),
            figure(behind),
            figure(contact),
            text(place),
            Cell::Text(what.join("; "), Paint::Warn),
        ],
        more: node.host.to_string(),
    }
}

/// The shape and the word of a status.
pub(super) fn status(status: Option<Status>) -> (Mark, &'static str) {
    match status {
        Some(Status::Pass) => (Mark::Good, "pass"),
        Some(Status::PassWithDrift) => (Mark::Warn, "DRIFT"),
        Some(Status::Fail) => (Mark::Bad, "FAIL"),
        Some(Status::NoData) => (Mark::Bad, "NODATA"),
        Some(Status::NoBaseline) => (Mark::Idle, "nobase"),
        None => (Mark::Unknown, "nothing"),
    }
}

fn of_watch(watch: &WatchLine, at: Stamp) -> Row {
    let (mark, word) = status(watch.status);
    let dash = || "-".to_owned();
    let what = match watch.source_fault.as_str() {
        "" => watch.headline.to_string(),
        fault => format!("source: {fault}"),
    };
    Row {
        id: watch.watch.to_string(),
        cells: vec![
            text(&watch.watch),
            Cell::Marked(mark, word),
            figure(watch.cycle.map_or_else(dash, |cycle| cycle.to_string())),
            figure(watch.lag_seconds.map_or_else(dash, short)),
            figure(age(watch.since, at)),
            Cell::Past(watch.past.iter().map(|past| past.status).collect()),
            text(&watch.node),
            text(what),
        ],
        more: watch.drivers.iter().map(|driver| format!(" {driver}")).collect(),
    }
}

fn rank(rank: u8) -> Mark {
    match rank {
        0 => Mark::Bad,
        1 => Mark::Warn,
        _ => Mark::Good,
    }
}

/// Worst agents of a team that have rows of their own.
const WORST_MAX: usize = 8;

/// A team, and below it its agents that are not well; with a filter, those that have its words in them.
fn of_team(team: &TeamLine, at: Stamp, filter: &str) -> Vec<Row> {
    let wanted = filter.to_lowercase();
    let shown = |agent: &&AgentLine| {
        agent.rank() < 2 || !wanted.is_empty() && agent.agent.as_str().to_lowercase().contains(&wanted)
    };
    let up = |agent: &&AgentLine| matches!(agent.status.as_str(), "IDLE" | "RUNNING" | "DEGRADED");
    let ups = team.agents.iter().filter(up).count();
    let restarts: u64 = team.agents.iter().fold(0, |sum, agent| sum.saturating_add(agent.restarts));
    let worst = team.agents.iter().map(AgentLine::rank).min().unwrap_or(2);
    let count = |rank: u8| team.agents.iter().filter(|agent| agent.rank() == rank).count();
    let (word, what) = match (count(0), count(1)) {
        (0, 0) => ("well", String::new()),
        (0, look) => ("look", format!("{look} not as they should be")),
        (bad, look) => ("bad", format!("{} not as they should be", bad.saturating_add(look))),
    };
    let name = if team.team.is_empty() { "(no team)" } else { team.team.as_str() };
    let head = Row {
        id: format!("team {}", team.team),
        cells: vec![
            text(name),
            Cell::Marked(rank(worst), word),
            figure(format!("{ups}/{}", team.agents.len())),
            figure(restarts),
            text(""),
            text(what),
        ],
        more: String::new(),
    };
    let agents = team.agents.iter().filter(shown).take(WORST_MAX).map(|agent| of_agent(agent, at));
    std::iter::once(head).chain(agents).collect()
}

/// A state of an agent, in a word that can be borrowed.
pub(super) fn agent_state(agent: &AgentLine) -> &'static str {
    match agent.status.as_str() {
        _ if agent.given_up => "GIVEN UP",
        "SPAWNING" => "spawning",
        "IDLE" => "idle",
        "RUNNING" => "running",
        "DEGRADED" => "DEGRADED",
        "FAILED" => "FAILED",
        "QUARANTINED" => "QUARANTINED",
        "TERMINATED" => "terminated",
        _ => "unknown",
    }
}

fn of_agent(agent: &AgentLine, at: Stamp) -> Row {
    let said = [&agent.said, &agent.last_exit].into_iter().find(|said| !said.is_empty());
    Row {
        id: format!("agent {}", agent.agent),
        cells: vec![
            text(format!("  {}", agent.agent)),
            Cell::Marked(rank(agent.rank()), agent_state(agent)),
            figure(""),
            figure(agent.restarts),
            figure(age(agent.since, at)),
            text(said.map(ToString::to_string).unwrap_or_default()),
        ],
        more: agent.health.to_string(),
    }
}

fn of_happening(one: &Happening, at: Stamp) -> Row {
    let (mark, word) = match one.severity.as_str() {
        "WARNING" => (Mark::Warn, "warning"),
        "ERROR" => (Mark::Bad, "error"),
        "CRITICAL" => (Mark::Bad, "CRITICAL"),
        _ => (Mark::Idle, "info"),
    };
    Row {
        id: one.id.to_string(),
        cells: vec![
            Cell::Text(format!("{} ago", age(one.at, at)), Paint::Faint),
            Cell::Marked(mark, word),
            Cell::Text(one.kind.to_string(), Paint::Faint),
            text(&one.about),
            text(&one.message),
        ],
        more: String::new(),
    }
}

/// The colour of a status.
pub(super) fn paint(status: Status) -> Paint {
    out::paint(status)
}

/// A moment for people; nothing where it is not known.
pub(super) fn moment(at: Option<Stamp>) -> String {
    at.map(told::moment).unwrap_or_default()
}
