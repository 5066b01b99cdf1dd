//! All of one row, and what the keys do: lines that are broken where they do not fit.

use ratatui::layout::Rect;

use super::super::happenings;
use super::super::picture::{NodeLine, Picture};
use super::super::rows::{Section, age, agent_state, moment, paint, role, short, status};
use super::super::supervised::{AgentLine, InterventionLine, TeamLine};
use super::super::watches::WatchLine;
use super::pen::{Pen, width};
use crate::cli::out::Paint;

/// A line and its colour.
pub(super) type Line = (String, Paint);

/// Cycles that a watch's page lists.
const CYCLES_MAX: usize = 60;

fn plain(text: impl Into<String>) -> Line {
    (text.into(), Paint::Plain)
}

/// A name and a value; nothing where there is no value.
fn field(name: &str, value: impl ToString) -> Option<Line> {
    let value = value.to_string();
    (!value.is_empty()).then(|| plain(format!("{name:<14} {value}")))
}

/// What the keys do, and what the shapes mean.
pub(super) fn help() -> Vec<Line> {
    [
        "hb top asks the nodes and shows what they say; it changes nothing.",
        "",
        "q, Ctrl-C      quit                      Tab, 1-4       another list",
        "j k, arrows    another row               g G, Home End  the first, the last",
        "Space, PgDn    ten rows on               Enter          all of a row",
        "/              filter the lists          Esc            take the filter back, go back",
        "p              hold the picture          Ctrl-Z         to the background",
        "",
        "WELL     a node is active, every watch passes, every agent is as it should be",
        "LOOK     something is worth a look: drift, a node that is down, an agent that starts",
        "TROUBLE  somebody has to do something: FAIL, NO_DATA, nobody active, an agent failed",
        "UNKNOWN  no node answers; what is shown is what was said last, and STALE",
        "",
        "past, a column for each cycle, the newest at the right: low as it should be, middle",
        "drift, full FAIL, a cross NO_DATA, shaded no baseline (ASCII: . d F x b)",
        "lag is how far the newest decided cycle is behind its source.",
    ]
    .into_iter()
    .map(plain)
    .collect()
}

/// All of a row.
pub(super) fn of(picture: &Picture, section: Section, id: &str) -> Vec<Line> {
    let found = match section {
        Section::Nodes => picture.nodes.iter().find(|one| one.node.as_str() == id).map(|one| of_node(picture, one)),
        Section::Watches => {
            picture.watches.iter().find(|one| one.watch.as_str() == id).map(|one| of_watch(picture, one))
        }
        Section::Agents => of_supervised(picture, id),
        Section::Happenings => {
            let found = picture.happenings.iter().find(|one| one.id.as_str() == id);
            found.map(|one| {
                let fields = [
                    field("what", &one.message),
                    field("whom", &one.about),
                    field("kind", &one.kind),
                    field("how bad", &one.severity),
                    field("when", moment(one.at)),
                ];
                fields.into_iter().flatten().collect()
            })
        }
    };
    found.unwrap_or_else(|| vec![(format!("{id} is not there any more"), Paint::Faint)])
}

fn of_node(picture: &Picture, node: &NodeLine) -> Vec<Line> {
    let (mark, word) = role(node);
    let mut lines = vec![(format!("node {}: {word}", node.node), mark.paint())];
    lines.extend(
        [
            field("role", &node.role),
            field("supervises", &node.supervises),
            field("epoch", node.epoch),
            field("host", &node.host),
            field("serves at", &node.listen),
            field("behind", format!("{} records, {}", node.behind_records, short(node.behind_seconds))),
            field("last contact", format!("{} ago", short(node.last_contact_seconds))),
            field("trouble", &node.trouble),
        ]
        .into_iter()
        .flatten(),
    );
    lines.extend(node.failing.iter().map(|check| (format!("not ready: {check}"), Paint::Warn)));
    let takeover = picture.takeover.as_ref().filter(|one| one.node == node.node || one.from == node.node);
    if let Some(takeover) = takeover {
        lines.push(plain(""));
        lines.push(plain(format!("{} {}", moment(takeover.at), happenings::sentence(takeover))));
    }
    let decides = picture.watches.iter().filter(|watch| watch.node == node.node).map(|watch| watch.watch.as_str());
    let decides: Vec<&str> = decides.collect();
    lines.extend(field("decides", decides.join(", ")));
    lines
}

fn of_watch(picture: &Picture, watch: &WatchLine) -> Vec<Line> {
    let (mark, word) = status(watch.status);
    let mut lines = vec![(format!("watch {}: {word}, {}", watch.watch, watch.headline), mark.paint())];
    let drivers: Vec<&str> = watch.drivers.iter().map(crate::shown::Shown::as_str).collect();
    let since = watch.since.map(|_| format!("{} ({} ago)", moment(watch.since), age(watch.since, picture.at)));
    lines.extend(
        [
            field("since", since.unwrap_or_default()),
            field("driven by", drivers.join(", ")),
            field("decided by", &watch.node),
            field("cycle", watch.cycle.map(|cycle| cycle.to_string()).unwrap_or_default()),
            field("lag", watch.lag_seconds.map(short).unwrap_or_default()),
            field("source", format!("{} {}", watch.source, watch.source_fault).trim()),
            field("baseline", if watch.baseline.is_empty() { "none" } else { watch.baseline.as_str() }),
            field("delivered", watch.delivered),
            field("late", watch.late_since_start),
            field("dropped", watch.dropped_since_start),
            field("alerts owed", watch.undelivered),
        ]
        .into_iter()
        .flatten(),
    );
    lines.push(plain(""));
    lines.extend(watch.past.iter().rev().take(CYCLES_MAX).map(|past| {
        let at = moment(past.at);
        (
            format!("{:>8}  {:<15} {at:<24} {}  {}", past.cycle, past.status, past.node, past.headline),
            paint(past.status),
        )
    }));
    lines
}

fn of_supervised(picture: &Picture, id: &str) -> Option<Vec<Line>> {
    let supervision = picture.supervision.as_ref()?;
    if let Some(name) = id.strip_prefix("team ") {
        let team = supervision.teams.iter().find(|team| team.team.as_str() == name)?;
        return Some(of_team(picture, team));
    }
    let name = id.strip_prefix("agent ")?;
    let agent = supervision.agents().find(|agent| agent.agent.as_str() == name)?;
    let interventions = supervision.interventions.iter().filter(|one| one.target == agent.agent);
    Some(of_agent(picture, agent).into_iter().chain(interventions.map(of_intervention)).collect())
}

fn of_team(picture: &Picture, team: &TeamLine) -> Vec<Line> {
    let name = if team.team.is_empty() { "no team" } else { team.team.as_str() };
    let mut lines = vec![plain(format!("{name}: {} agents, the worst first", team.agents.len())), plain("")];
    lines.extend(team.agents.iter().map(|agent| {
        let paint = [Paint::Bad, Paint::Warn].get(usize::from(agent.rank())).copied().unwrap_or(Paint::Plain);
        let state = agent_state(agent);
        let since = age(agent.since, picture.at);
        (format!("{:<24} {state:<12} {since:>6}  {} restarts  {}", agent.agent, agent.restarts, agent.said), paint)
    }));
    lines
}

fn of_agent(picture: &Picture, agent: &AgentLine) -> Vec<Line> {
    let since = format!("{} ({} ago)", moment(agent.since), age(agent.since, picture.at));
    let fields = [
        field("agent", &agent.agent),
        field("state", agent_state(agent)),
        field("health", &agent.health),
        field("kind", &agent.kind),
        field("wanted", &agent.wanted),
        field("since", since),
        field("restarts", agent.restarts),
        field("next start", moment(agent.next_start)),
        field("last end", &agent.last_exit),
        field("said", &agent.said),
    ];
    let why = format!("`hb agent why {}` tells all that led to this", agent.agent);
    fields.into_iter().flatten().chain([plain(""), (why, Paint::Faint), plain("")]).collect()
}

fn of_intervention(one: &InterventionLine) -> Line {
    let fault = if one.fault.is_empty() { String::new() } else { format!("; {}", one.fault) };
    let paint = match one.status.as_str() {
        "FAILED" | "IN_DOUBT" => Paint::Bad,
        "COMPLETED" => Paint::Good,
        _ => Paint::Warn,
    };
    let at = moment(one.at);
    (format!("{at} {} {}, {} by {}: {}{fault}", one.intervention, one.what, one.status, one.by, one.reason), paint)
}

/// Draws lines from one of them on; gives how many do not fit.
pub(super) fn page(pen: &mut Pen<'_>, lines: &[Line], area: Rect, from: usize) -> usize {
    let room = usize::from(area.width.saturating_sub(2));
    let broken: Vec<Line> =
        lines.iter().flat_map(|(line, paint)| fold(line, room).map(|part| (part, *paint))).collect();
    let beyond = broken.len().saturating_sub(usize::from(area.height));
    let mut y = area.y;
    for (line, paint) in broken.iter().skip(from.min(beyond)).take(usize::from(area.height)) {
        pen.paint((area.x.saturating_add(1), y), area.width.saturating_sub(1), line, *paint);
        y = y.saturating_add(1);
    }
    beyond
}

/// A text in pieces that fit.
fn fold(text: &str, room: usize) -> impl Iterator<Item = String> {
    let mut pieces = vec![String::new()];
    for word in text.split_inclusive(' ') {
        let last = pieces.last().map_or(0, |piece| width(piece));
        if last > 0 && last.saturating_add(width(word.trim_end())) > room {
            pieces.push("    ".to_owned());
        }
        for letter in word.chars() {
            let full = pieces.last().is_some_and(|piece| width(piece) >= room.max(1));
            if full && !letter.is_whitespace() {
                pieces.push("    ".get(..4.min(room / 2)).unwrap_or_default().to_owned());
            }
            if let Some(piece) = pieces.last_mut() {
                piece.push(letter);
            }
        }
    }
    pieces.into_iter()
}
