//! Asks the nodes, once a round, and puts together what they said.
//!
//! **Invariants.** A round ends within [`ROUND_MAX`] and some: nodes are asked at once, each for a bounded time, and one that still owes an answer is
//! not asked again. What has not changed is not asked for again: cycles once per watch, agents and events when an event has happened.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use hb_core::time::Stamp;
use serde_json::Value;

use super::happenings::{self, EVENTS_PAGE, Happening};
use super::past::Past;
use super::picture::{AlarmLine, Answer, NODES_MAX, NodeLine, Picture, Silence, TakeoverLine};
use super::supervised::{AGENTS_MAX, AGENTS_PAGE, INTERVENTIONS_MAX, InterventionLine, Supervision, TeamLine, teams};
use super::verdict::Verdict;
use super::watches::watches;
use crate::ask::{self, Call, Place};
use crate::cli::status::now;
use crate::cli::told::Doc as _;
use crate::config::Config;
use crate::nodes;
use crate::shown::Shown;

/// How long a node may take to answer one question.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long all nodes together may take to say what they are.
const ROUND_MAX: Duration = Duration::from_millis(2_500);
/// How long lists may take in a round, all together.
const LISTS_MAX: Duration = Duration::from_secs(3);
/// How often the board of nodes is looked at while an active node answers.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often agents are asked for although no event has happened: their tasks and beats make none.
const AGENTS_EVERY: Duration = Duration::from_secs(15);
/// Most nodes that are asked (B1).
const ASKED_MAX: usize = 64;

/// A node that is asked.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its name, where that is known before it answers.
    name: Option<String>,
    /// `HOST:PORT`, or `http://HOST:PORT`.
    at: String,
    /// Set while an answer is owed.
    busy: Arc<AtomicBool>,
}

impl Target {
    /// A node at a place.
    #[must_use]
    pub fn at(place: &str) -> Self {
        Self { name: None, at: place.to_owned(), busy: Arc::default() }
    }
}

/// Where nodes are looked for.
#[derive(Debug)]
pub enum Targets {
    /// At these places, and no others.
    Named(Vec<Target>),
    /// On the board of nodes of a configuration.
    Board(Box<Config>),
}

/// What one node said.
#[derive(Debug, Default)]
struct Said {
    status: Value,
    /// Why its work loop is not alive.
    hangs: Option<String>,
    failing: Vec<Shown>,
    /// What its supervisor is; none where it has none.
    supervises: Option<Result<Value, String>>,
}

/// What was asked for when the newest event was that one.
#[derive(Debug, Default)]
struct Lists {
    node: String,
    next_event: Option<u64>,
    at: Option<Instant>,
    teams: Vec<TeamLine>,
    interventions: Vec<InterventionLine>,
    events: Vec<Happening>,
}

/// Asks round after round.
#[derive(Debug)]
pub struct Reader {
    targets: Targets,
    token: Option<String>,
    /// Found on the board.
    found: Vec<Target>,
    /// The board as it was seen last.
    cards: Vec<NodeLine>,
    looked: Option<Instant>,
    trouble: Option<String>,
    past: Past,
    lists: Lists,
    last: Option<Picture>,
}

impl Reader {
    /// Nothing is asked yet.
    #[must_use]
    pub fn new(targets: Targets, token: Option<String>) -> Self {
        Self {
            targets,
            token,
            found: Vec::new(),
            cards: Vec::new(),
            looked: None,
            trouble: None,
            past: Past::default(),
            lists: Lists::default(),
            last: None,
        }
    }

    /// Asks, and gives the picture.
    pub fn round(&mut self) -> Picture {
        self.look();
        let targets = match &self.targets {
            Targets::Named(targets) => targets.clone(),
            Targets::Board(_) => self.found.clone(),
        };
        let answers = ask_all(&targets, self.token.as_deref());
        let mut picture = self.put(&targets, &answers);
        picture.verdict = Verdict::of(&picture);
        if picture.active().is_none() {
            // Somebody else may be active by now: the board says who there is.
            self.looked = None;
        }
        if picture.silent.is_none() {
            self.last = Some(picture.clone());
        }
        picture
    }

    /// Looks at the board of nodes, where there is one and it is time.
    fn look(&mut self) {
        let Targets::Board(config) = &self.targets else { return };
        if self.looked.is_some_and(|at| at.elapsed() < LOOK_EVERY) {
            return;
        }
        self.looked = Some(Instant::now());
        let roster = match nodes::look(config) {
            Ok(roster) => roster,
            Err(failure) => {
                self.trouble = Some(failure.what);
                return;
            }
        };
        self.trouble = None;
        let documents = nodes::documents(&roster);
        let values = documents.iter().filter_map(|document| serde_json::to_value(document).ok());
        self.cards = values.take(NODES_MAX).map(|value| NodeLine::of(&value)).collect();
        let before = std::mem::take(&mut self.found);
        for card in roster.alive().take(ASKED_MAX) {
            let name = card.node.to_string();
            match nodes::address(card) {
                Ok(at) => {
                    let known = before.iter().find(|one| one.name.as_deref() == Some(&name) && one.at == at);
                    let new = || Target { name: Some(name.clone()), ..Target::at(&at) };
                    self.found.push(known.cloned().unwrap_or_else(new));
                }
                Err(why) => {
                    let lines = self.cards.iter_mut().filter(|line| line.node == Shown::of(&name));
                    lines.filter(|line| line.trouble.is_empty()).for_each(|line| line.trouble = Shown::of(&why));
                }
            }
        }
    }

    fn put(&mut self, targets: &[Target], answers: &BTreeMap<usize, Result<Said, String>>) -> Picture {
        let at = now();
        let said = || answers.iter().filter_map(|(index, answer)| Some((*index, answer.as_ref().ok()?)));
        let best = said().min_by_key(|(_, one)| rank(&one.status));
        let Some((index, best)) = best else { return self.silence(at, targets, answers) };
        let status = &best.status;
        let all: Vec<&Value> = said().map(|(_, one)| &one.status).collect();
        let mut watches = watches(status, &all);
        let begun = Instant::now();
        let (place, token) = (targets.get(index).map_or("", |target| target.at.as_str()), self.token.as_deref());
        self.past.round(&mut watches, at, &mut |path| {
            if begun.elapsed() > LISTS_MAX { None } else { get(&Place::of_url(place).ok()?, path, token).ok()?.found() }
        });
        let supervision = self.supervision(targets, answers);
        let takeover = said().map(|(_, one)| one.status.sub("takeover")).filter_map(TakeoverLine::of);
        // The node that took over knows most of it.
        let takeover = takeover.max_by_key(|one| (one.epoch, one.took_seconds.is_some()));
        let happenings = happenings::all(&watches, takeover.as_ref(), &self.lists.events);
        let paused = status.text("paused");
        Picture {
            silent: None,
            told_by: Some(Shown::of(&status.text("node"))),
            nodes: self.nodes(status, targets, answers),
            takeover,
            paused: Some(Shown::of(&paused)).filter(|text| !text.is_empty()),
            watches,
            alarms: alarms(&all),
            supervision,
            happenings,
            troubles: self.trouble.iter().map(|text| Shown::of(text)).collect(),
            ..Picture::empty(at)
        }
    }

    /// Nobody answers: what was known stays to be seen, and is told to be old.
    fn silence(&self, at: Stamp, targets: &[Target], answers: &BTreeMap<usize, Result<Said, String>>) -> Picture {
        let last_answer = self.last.as_ref().map(|last| last.at);
        let known = self.last.clone().unwrap_or_else(|| Picture::empty(at));
        let mut troubles: Vec<Shown> = self.trouble.iter().map(|text| Shown::of(text)).collect();
        if targets.is_empty() && self.trouble.is_none() {
            troubles.push(Shown::of("no node is known: `hb run` starts one"));
        }
        Picture {
            at,
            silent: Some(Silence { last_answer }),
            nodes: self.nodes(&Value::Null, targets, answers),
            troubles,
            ..known
        }
    }

    /// Every node: by the cards, and by what each says itself.
    fn nodes(
        &self,
        best: &Value,
        targets: &[Target],
        answers: &BTreeMap<usize, Result<Said, String>>,
    ) -> Vec<NodeLine> {
        let cards = best.items("nodes");
        let cards = if cards.is_empty() { self.cards.clone() } else { cards.iter().map(NodeLine::of).collect() };
        let mut lines: BTreeMap<Shown, NodeLine> = BTreeMap::new();
        for card in cards.into_iter().take(NODES_MAX) {
            lines.insert(card.node.clone(), card);
        }
        for (index, target) in targets.iter().enumerate() {
            match answers.get(&index) {
                Some(Ok(said)) => {
                    let name = Shown::of(&said.status.text("node"));
                    let line = lines.entry(name.clone()).or_insert_with(|| NodeLine::nameless(name.as_str()));
                    line.says(&said.status);
                    line.failing.clone_from(&said.failing);
                    if let Some(why) = &said.hangs {
                        (line.answer, line.trouble) = (Answer::Hangs, Shown::of(why));
                    }
                    if line.listen.is_empty() {
                        line.listen = Shown::of(&target.at);
                    }
                }
                Some(Err(why)) => {
                    let name = self.known_as(target).unwrap_or_else(|| Shown::of(&target.at));
                    let line = lines.entry(name.clone()).or_insert_with(|| NodeLine::nameless(name.as_str()));
                    (line.answer, line.trouble) = (Answer::Silent, Shown::of(why));
                }
                None => {}
            }
        }
        lines.into_values().collect()
    }

    /// The name of a node that does not answer, where it answered there before.
    fn known_as(&self, target: &Target) -> Option<Shown> {
        if let Some(name) = &target.name {
            return Some(Shown::of(name));
        }
        let bare = |text: &str| text.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let nodes = self.last.as_ref().map(|last| last.nodes.as_slice()).unwrap_or_default();
        nodes.iter().find(|node| bare(node.listen.as_str()) == bare(&target.at)).map(|node| node.node.clone())
    }

    /// What the supervisor says, of whoever says most.
    fn supervision(
        &mut self,
        targets: &[Target],
        answers: &BTreeMap<usize, Result<Said, String>>,
    ) -> Option<Supervision> {
        let told =
            answers.iter().filter_map(|(index, answer)| Some((*index, answer.as_ref().ok()?.supervises.as_ref()?)));
        let rank = |answer: &Result<Value, String>| match answer {
            Ok(status) => match status.sub("presence").text("state").as_str() {
                "active" | "paused" | "degraded" => 0,
                "recovering" | "starting" => 1,
                "stopping" => 2,
                _ => 3,
            },
            Err(_) => 4,
        };
        let (index, best) = told.min_by_key(|(_, answer)| rank(answer))?;
        let status = match best {
            Ok(status) => status,
            Err(why) => return Some(Supervision::unknown(why)),
        };
        let mut supervision = Supervision::of(status);
        if let Some(target) = targets.get(index)
            && let Err(why) = self.lists.refresh(status, target, self.token.as_deref())
        {
            supervision.unknown = Shown::of(&why);
        }
        supervision.teams.clone_from(&self.lists.teams);
        supervision.interventions.clone_from(&self.lists.interventions);
        Some(supervision)
    }
}

impl Lists {
    /// Asks again for what may have changed.
    fn refresh(&mut self, status: &Value, target: &Target, token: Option<&str>) -> Result<(), String> {
        let next_event = status.get("next_event").and_then(Value::as_u64);
        let node = status.text("node");
        let fresh = self.at.is_some_and(|at| at.elapsed() < AGENTS_EVERY);
        if fresh && self.next_event == next_event && self.node == node {
            return Ok(());
        }
        let place = Place::of_url(&target.at)?;
        let begun = Instant::now();
        let list = |path: &str| -> Result<Value, String> {
            get(&place, &format!("/api/v1{path}"), token)?.found().ok_or_else(|| format!("{path} cannot be had"))
        };
        let events = list(&format!("/events?limit={EVENTS_PAGE}"))?;
        let interventions = list(&format!("/interventions?limit={INTERVENTIONS_MAX}"))?;
        let mut agents = Vec::new();
        loop {
            let part = list(&format!("/agents?limit={AGENTS_PAGE}&skip={}", agents.len()))?;
            let before = agents.len();
            agents.extend(part.items("items").iter().cloned());
            let more = part.get("next").is_some_and(Value::is_u64) && agents.len() > before;
            if !more || agents.len() >= AGENTS_MAX || begun.elapsed() > LISTS_MAX {
                break;
            }
        }
        let interventions = interventions.items("items").iter().map(InterventionLine::of);
        *self = Self {
            node,
            next_event,
            at: Some(Instant::now()),
            teams: teams(&agents),
            interventions: interventions.take(INTERVENTIONS_MAX).collect(),
            events: events.items("items").iter().take(EVENTS_PAGE).map(Happening::of_event).collect(),
        };
        Ok(())
    }
}

/// The one whose word counts: the active one of the highest epoch first.
fn rank(status: &Value) -> (u8, std::cmp::Reverse<u64>) {
    let role = match status.text("role").as_str() {
        "active" => 0,
        "taking_over" => 1,
        "draining" => 2,
        "standby" => 3,
        _ => 4,
    };
    (role, std::cmp::Reverse(status.count("epoch")))
}

/// What every node says should not be, each once.
fn alarms(all: &[&Value]) -> Vec<AlarmLine> {
    let mut seen = BTreeSet::new();
    let told = all.iter().flat_map(|status| status.items("alarms")).map(AlarmLine::of);
    told.filter(|alarm| seen.insert((alarm.name.clone(), alarm.what.clone()))).take(NODES_MAX).collect()
}

/// An answer in JSON.
struct Told {
    status: u16,
    document: Value,
}

impl Told {
    fn found(self) -> Option<Value> {
        (self.status == 200).then_some(self.document)
    }
}

fn get(place: &Place, path: &str, token: Option<&str>) -> Result<Told, String> {
    let answer = ask::call(place, &Call { path, token, ..Call::default() }, PATIENCE)?;
    let document = serde_json::from_slice(&answer.body).unwrap_or_default();
    Ok(Told { status: answer.status, document })
}

/// Asks every node at once, by its place in the list. One that still owes an answer is not asked again.
fn ask_all(targets: &[Target], token: Option<&str>) -> BTreeMap<usize, Result<Said, String>> {
    let (tell, told) = mpsc::channel();
    let mut answers = BTreeMap::new();
    let mut waiting = 0_usize;
    for (index, target) in targets.iter().enumerate().take(ASKED_MAX) {
        answers.insert(index, Err(format!("it did not answer within {} s", PATIENCE.as_secs())));
        if target.busy.swap(true, Ordering::AcqRel) {
            continue;
        }
        let (tell, one, token) = (tell.clone(), target.clone(), token.map(str::to_owned));
        let asked = std::thread::Builder::new().name("ask".into()).spawn(move || {
            let said = ask_one(&one, token.as_deref());
            one.busy.store(false, Ordering::Release);
            // Nobody waits for an answer that comes too late.
            drop(tell.send((index, said)));
        });
        match asked {
            Ok(_) => waiting = waiting.saturating_add(1),
            Err(_) => target.busy.store(false, Ordering::Release),
        }
    }
    let begun = Instant::now();
    while waiting > 0 {
        let Ok((index, answer)) = told.recv_timeout(ROUND_MAX.saturating_sub(begun.elapsed())) else { break };
        answers.insert(index, answer);
        waiting = waiting.saturating_sub(1);
    }
    answers
}

fn ask_one(target: &Target, token: Option<&str>) -> Result<Said, String> {
    let place = Place::of_url(&target.at)?;
    let told = get(&place, "/v1/status", None)?;
    let status = match told.status {
        200 if told.document.get("role").is_some() => told.document,
        200 => return Err(format!("{}: no node of hb answers there", place.host)),
        other => return Err(format!("{}: it answers {other}", place.host)),
    };
    // Another process may have the port by now.
    if target.name.as_deref().is_some_and(|name| status.get("node").and_then(Value::as_str) != Some(name)) {
        return Err(format!("{}: somebody else answers there", place.host));
    }
    let live = get(&place, "/live", None)?;
    let hangs = (live.status == 503).then(|| live.document.text("reason"));
    let ready = get(&place, "/ready", None)?;
    let checks = ready.document.sub("checks").as_object().into_iter().flatten();
    let failing = checks.filter(|(_, what)| what.as_str() != Some("ok"));
    let failing =
        failing.take(10).map(|(check, what)| Shown::of(&format!("{check}: {}", what.as_str().unwrap_or_default())));
    let failing = failing.collect();
    let supervisor = get(&place, "/api/v1/status", token)?;
    let supervises = match supervisor.status {
        200 => Some(Ok(supervisor.document)),
        404 => None,
        401 | 403 => Some(Err("the node wants a token: --token-file FILE, or HB_API_TOKEN".to_owned())),
        other => Some(Err(format!("the node answers {other}"))),
    };
    Ok(Said { status, hangs, failing, supervises })
}
