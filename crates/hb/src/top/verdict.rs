//! What a picture comes to: one word, and the points that lead to it, the worst first.
//!
//! It never says that all is well because it does not know: where nobody answers, nobody is active or nothing has been decided, it says so (W5).

use hb_core::watch::decision::Status;
use serde::Serialize;

use super::picture::{Answer, NodeLine, Picture};
use super::supervised::Supervision;
use super::watches::WatchLine;
use crate::cli::told;
use crate::shown::Shown;

/// Points that are kept (B1); the rest is counted.
const POINTS_MAX: usize = 50;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Well,
    /// Worth a look.
    Look,
    /// Somebody has to do something.
    Trouble,
    /// It cannot be told.
    #[default]
    Unknown,
}

impl Level {
    /// For people.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Well => "WELL",
            Self::Look => "LOOK",
            Self::Trouble => "TROUBLE",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// What it comes to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The worst of its points.
    pub level: Level,
    /// In one sentence.
    pub summary: Shown,
    /// What is not as it should be, the worst first; at most 50.
    pub points: Vec<Point>,
    /// Points that are not among them.
    pub more: usize,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Point {
    /// How bad.
    pub level: Level,
    /// What.
    pub what: Shown,
}

/// Points as they are found.
#[derive(Default)]
struct Points(Vec<Point>);

impl Points {
    fn add(&mut self, level: Level, what: impl AsRef<str>) {
        self.0.push(Point { level, what: Shown::of(what.as_ref()) });
    }
}

impl Verdict {
    /// What a picture comes to.
    #[must_use]
    pub fn of(picture: &Picture) -> Self {
        let mut points = Points::default();
        if let Some(silence) = picture.silent {
            let since = silence.last_answer.map(|at| format!(" since {}: what is shown is old", told::moment(at)));
            points.add(Level::Unknown, format!("no node answers{}", since.unwrap_or_default()));
        } else {
            active(picture, &mut points);
        }
        picture.watches.iter().for_each(|one| watch(one, picture, &mut points));
        picture.nodes.iter().for_each(|one| node(one, &mut points));
        for alarm in &picture.alarms {
            points.add(Level::Trouble, format!("alarm {}: {}", alarm.name, alarm.what));
        }
        if let Some(paused) = &picture.paused {
            points.add(Level::Look, format!("takeovers are paused: {paused}"));
        }
        if let Some(supervision) = &picture.supervision {
            supervised(supervision, &mut points);
        }
        for trouble in &picture.troubles {
            points.add(Level::Look, trouble.as_str());
        }
        Self::come(points, picture)
    }

    fn come(Points(mut points): Points, picture: &Picture) -> Self {
        points.sort_by_key(|point| std::cmp::Reverse(point.level));
        let level = points.first().map_or(Level::Well, |point| point.level);
        let more = points.len().saturating_sub(POINTS_MAX);
        points.truncate(POINTS_MAX);
        Self { level, summary: Shown::of(&summary(picture)), points, more }
    }
}

/// Who is active, who stands by, and what the watches and agents add up to.
fn summary(picture: &Picture) -> String {
    let mut parts = Vec::new();
    let actives: Vec<&NodeLine> =
        picture.nodes.iter().filter(|node| node.answers() && node.role.as_str() == "active").collect();
    match actives.as_slice() {
        [] => parts.push("nobody active".to_owned()),
        [one] => parts.push(format!("{} active (epoch {})", one.node, one.epoch)),
        many => parts.push(format!("{} nodes active", many.len())),
    }
    let standing = picture.nodes.iter().filter(|node| node.answers() && node.role.as_str() == "standby").count();
    if standing > 0 {
        parts.push(format!("{standing} standing by"));
    }
    let count = |status: Status| picture.watches.iter().filter(|watch| watch.status == Some(status)).count();
    let pass = count(Status::Pass);
    if !picture.watches.is_empty() {
        parts.push(format!("{pass} of {} watches pass", picture.watches.len()));
    }
    if let Some(supervision) = picture.supervision.as_ref().filter(|one| one.unknown.is_empty()) {
        parts.push(format!("{} of {} agents up", supervision.count("up"), supervision.count("all")));
    }
    parts.join(", ")
}

fn active(picture: &Picture, points: &mut Points) {
    let with = |role: &str| picture.nodes.iter().find(|node| node.answers() && node.role.as_str() == role);
    let supervises = picture.supervision.as_ref().is_some_and(|one| one.presence.as_str() == "active");
    if with("active").is_some() || picture.watches.is_empty() && supervises {
        return;
    }
    match with("taking_over").or_else(|| with("draining")) {
        Some(node) => points.add(Level::Look, format!("{} is {}", node.node, node.role.as_str().replace('_', " "))),
        None => points.add(Level::Trouble, "no node is active: nothing is decided"),
    }
}

fn node(node: &NodeLine, points: &mut Points) {
    let name = &node.node;
    let why = |what: &str| if node.trouble.is_empty() { what.to_owned() } else { format!("{what}: {}", node.trouble) };
    match (node.answer, node.role.as_str()) {
        (Answer::Hangs, _) => points.add(Level::Trouble, format!("{name} {}", why("hangs"))),
        (_, "down") => points.add(Level::Look, format!("{name} is down: it cannot take over")),
        (_, "fenced") => points.add(Level::Look, format!("{name} has been replaced and does nothing any more")),
        (Answer::Silent, _) => points.add(Level::Look, format!("{name} {}", why("does not answer"))),
        (Answer::Answers | Answer::NotAsked, _) if !node.trouble.is_empty() => {
            points.add(Level::Look, format!("{name}: {}", node.trouble));
        }
        (Answer::Answers | Answer::NotAsked, _) => {}
    }
    for failing in &node.failing {
        points.add(Level::Look, format!("{name} is not ready: {failing}"));
    }
}

fn watch(watch: &WatchLine, picture: &Picture, points: &mut Points) {
    let name = &watch.watch;
    let since = watch.since.map(|at| format!(" since {}", told::moment(at))).unwrap_or_default();
    let says = |word: &str| format!("{name} {word}{since}: {}", watch.headline);
    match watch.status {
        Some(status @ (Status::Fail | Status::NoData)) => points.add(Level::Trouble, says(status.as_str())),
        Some(Status::PassWithDrift) => points.add(Level::Look, says("drifts")),
        Some(Status::NoBaseline) => points.add(Level::Look, says("has no baseline")),
        None => points.add(Level::Look, format!("{name} has decided nothing yet")),
        Some(Status::Pass) => {}
    }
    if watch.source.as_str() == "failed" {
        points.add(Level::Trouble, format!("{name}: its source cannot be read: {}", watch.source_fault));
    }
    if watch.node.is_empty() && picture.active().is_some() {
        points.add(Level::Trouble, format!("{name} is decided by nobody"));
    }
    if watch.undelivered > 0 {
        points.add(Level::Look, format!("{name}: {} alerts have not reached every sink", watch.undelivered));
    }
}

fn supervised(supervision: &Supervision, points: &mut Points) {
    if !supervision.unknown.is_empty() {
        points.add(Level::Look, format!("agents are not known: {}", supervision.unknown));
    }
    match supervision.presence.as_str() {
        "active" | "" => {}
        "paused" => points.add(Level::Look, "the supervisor is paused"),
        "degraded" => {
            let reasons: Vec<&str> = supervision.reasons.iter().map(Shown::as_str).collect();
            points.add(Level::Trouble, format!("the supervisor is degraded: {}", reasons.join("; ")));
        }
        "standby" => points.add(Level::Trouble, "no node supervises: each of them stands by"),
        other => points.add(Level::Look, format!("the supervisor is {other}")),
    }
    if supervision.teams.is_empty() {
        // Where agents are not told one by one, their number is.
        for (state, level) in [
            ("failed", Level::Trouble),
            ("quarantined", Level::Trouble),
            ("degraded", Level::Look),
            ("spawning", Level::Look),
        ] {
            let count = supervision.count(state);
            if count > 0 {
                points.add(level, format!("agents {state}: {count}"));
            }
        }
    }
    for agent in supervision.agents().filter(|agent| agent.rank() < 2) {
        let level = if agent.rank() == 0 { Level::Trouble } else { Level::Look };
        let given_up = if agent.given_up { ", given up" } else { "" };
        let said = if agent.said.is_empty() { String::new() } else { format!(": {}", agent.said) };
        points.add(level, format!("agent {} {}{given_up}{said}", agent.agent, agent.status));
    }
    for intervention in &supervision.interventions {
        let (what, target) = (&intervention.what, &intervention.target);
        match intervention.status.as_str() {
            "IN_DOUBT" => points.add(Level::Trouble, format!("in doubt: {what} of {target}; say what it came to")),
            _ if intervention.waits => {
                points.add(Level::Look, format!("waits for somebody who agrees: {what} of {target}"));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use hb_core::time::Stamp;
    use serde_json::json;

    use super::super::picture::{AlarmLine, Silence};
    use super::*;

    fn node_of(name: &str, role: &str) -> NodeLine {
        let document = json!({"node": name, "role": role, "epoch": 4});
        let mut line = NodeLine::of(&document);
        line.says(&document);
        line
    }

    fn watch_of(status: &str) -> WatchLine {
        let document = json!({"name": "press", "cycle": 9, "status": status, "headline": "temperature.0 up"});
        WatchLine::of(&document, &"a".into())
    }

    fn well() -> Picture {
        Picture {
            silent: None,
            nodes: vec![node_of("a", "active"), node_of("b", "standby")],
            watches: vec![watch_of("PASS")],
            ..Picture::empty(Stamp(0))
        }
    }

    #[test]
    fn w5_nothing_is_called_well_that_is_not_known_to_be() {
        let verdict = Verdict::of(&well());
        assert_eq!((verdict.level, verdict.points.len()), (Level::Well, 0), "{:?}", verdict.points);
        assert_eq!(verdict.summary.as_str(), "a active (epoch 4), 1 standing by, 1 of 1 watches pass");
        type Spoilt = (&'static str, Level, fn(&mut Picture));
        let spoilt: [Spoilt; 15] = [
            ("no node answers", Level::Unknown, |one| one.silent = Some(Silence { last_answer: Some(Stamp(0)) })),
            ("no node is active", Level::Trouble, |one| one.nodes = vec![node_of("b", "standby")]),
            ("is taking over", Level::Look, |one| one.nodes = vec![node_of("b", "taking_over")]),
            ("a hangs", Level::Trouble, |one| one.nodes[0].answer = Answer::Hangs),
            ("b does not answer", Level::Look, |one| one.nodes[1].answer = Answer::Silent),
            ("b is down", Level::Look, |one| one.nodes[1].role = "down".into()),
            ("b is not ready: journal", Level::Look, |one| one.nodes[1].failing = vec!["journal".into()]),
            ("press FAIL", Level::Trouble, |one| one.watches = vec![watch_of("FAIL")]),
            ("press NO_DATA", Level::Trouble, |one| one.watches = vec![watch_of("NO_DATA")]),
            ("press drifts", Level::Look, |one| one.watches = vec![watch_of("PASS_WITH_DRIFT")]),
            ("no baseline", Level::Look, |one| one.watches = vec![watch_of("NO_BASELINE")]),
            ("nothing yet", Level::Look, |one| one.watches = vec![watch_of("")]),
            ("decided by nobody", Level::Trouble, |one| one.watches[0].node = "".into()),
            ("paused", Level::Look, |one| one.paused = Some("by anna".into())),
            ("alarm journal", Level::Trouble, |one| one.alarms.push(AlarmLine::of(&json!({"name": "journal"})))),
        ];
        for (what, level, spoil) in spoilt {
            let mut picture = well();
            spoil(&mut picture);
            let verdict = Verdict::of(&picture);
            assert_eq!(verdict.level, level, "{what}: {:?}", verdict.points);
            assert!(verdict.points.iter().any(|point| point.what.as_str().contains(what)), "{what}: {verdict:?}");
        }
    }

    #[test]
    fn the_worst_comes_first_and_b1_points_have_a_bound() {
        let mut picture = well();
        picture.watches = std::iter::repeat_with(|| watch_of("PASS_WITH_DRIFT")).take(100).collect();
        picture.watches.push(watch_of("FAIL"));
        let verdict = Verdict::of(&picture);
        assert_eq!((verdict.points.len(), verdict.more), (POINTS_MAX, 51));
        assert!(verdict.points[0].what.as_str().starts_with("press FAIL"));
    }
}
