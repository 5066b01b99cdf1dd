//! Looks at the board of nodes and asks each of them itself, all at once and for a bounded time.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use hb_api::NodeDoc;
use hb_core::ids::{Epoch, NodeName};
use hb_core::node::view::Takeover;
use hb_store::board::{Board, Card, Life, Roster};
use hb_store::port::Orders;
use serde_json::Value;

use crate::ask::{self, Place};
use crate::config::Config;
use crate::config::checked::LeaseBackend;
use crate::nodes;
use crate::wire::{fleet, stores};

/// How long a node may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long all of them may take, the look-up of their names included.
const PATIENCE_ALL: Duration = Duration::from_millis(2_500);
/// Most nodes that are asked (B1); of more, the cards are shown.
const ASKED_MAX: usize = 64;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// Every node, by name.
    pub(super) nodes: Vec<NodeDoc>,
    /// What nodes said themselves.
    pub(super) answers: BTreeMap<NodeName, Value>,
    /// What operators ask of the nodes.
    pub(super) orders: Orders,
    /// The newest takeover that any of them knows of.
    pub(super) takeover: Option<Takeover>,
    /// Why the register could not be read, if it could not.
    pub(super) trouble: Option<String>,
}

impl Survey {
    /// Looks and asks.
    pub(super) fn of(config: &Config) -> Self {
        let mut survey = Self::default();
        match orders(config) {
            Ok(orders) => survey.orders = orders,
            Err(why) => survey.trouble = Some(format!("what is asked of the nodes cannot be told: {why}")),
        }
        let board = match nodes::reader(config) {
            Ok(Some(board)) => board,
            Ok(None) => return survey,
            Err(failure) => return Self { trouble: Some(failure.what), ..survey },
        };
        match look_and_ask(board) {
            Ok((roster, answers)) => survey.put(&roster, answers),
            Err(why) => survey.trouble = Some(why),
        }
        survey
    }

    fn put(&mut self, roster: &Roster, mut answers: BTreeMap<NodeName, Result<Value, String>>) {
        self.nodes = nodes::documents(roster);
        for doc in &mut self.nodes {
            match answers.remove(&doc.node) {
                Some(Ok(answer)) => {
                    said(doc, &answer);
                    self.answers.insert(doc.node.clone(), answer);
                }
                Some(Err(why)) => doc.silent = Some(why),
                None if doc.life == "gone" => doc.silent = Some("it shows no life".into()),
                None => doc.silent = Some("it was not asked, as there are so many nodes".into()),
            }
        }
        let most = self.nodes.iter().filter(|doc| doc.life != "gone").map(|doc| doc.records).max().unwrap_or(0);
        for doc in &mut self.nodes {
            doc.lag_records = most.saturating_sub(doc.records);
        }
        let known = self.nodes.iter().filter_map(|doc| doc.takeover.as_ref());
        // The node that took over knows most of it.
        self.takeover = known.max_by_key(|one| (one.epoch, one.took_seconds.is_some())).cloned();
    }
}

/// What operators ask; nothing is made where there is nothing yet.
fn orders(config: &Config) -> Result<Orders, String> {
    if !matches!(config.lease.backend, LeaseBackend::Server(_)) && !config.output_dir.is_dir() {
        return Ok(Orders::default());
    }
    if let Some(ledger) = fleet::ledger(config).map_err(|failure| failure.what)? {
        return Ok(ledger.orders);
    }
    let mut lease = stores::lease(config).map_err(|failure| failure.what)?;
    lease.orders().map_err(|error| error.to_string())
}

type Answers = BTreeMap<NodeName, Result<Value, String>>;

/// One look shows who is there, the nodes themselves that they live; a second look is needed only for those that cannot be asked.
fn look_and_ask(mut board: Board) -> Result<(Roster, Answers), String> {
    let begun = Instant::now();
    let roster = board.roster().map_err(|error| nodes::unreadable(error).what)?;
    let answers = ask_all(&roster);
    let answered = |node: &NodeName| answers.get(node).is_some_and(Result::is_ok);
    let unclear =
        |roster: &Roster| roster.nodes.iter().any(|entry| entry.life == Life::Unclear && !answered(&entry.card.node));
    let mut roster = roster;
    if unclear(&roster) {
        std::thread::sleep(nodes::SECOND_LOOK.saturating_sub(begun.elapsed()));
        roster = board.roster().map_err(|error| nodes::unreadable(error).what)?;
    }
    for entry in roster.nodes.iter_mut().filter(|entry| answered(&entry.card.node)) {
        entry.life = Life::Alive;
    }
    Ok((roster, answers))
}

fn ask_all(roster: &Roster) -> Answers {
    let (tell, told) = mpsc::channel();
    let mut answers = Answers::new();
    let mut waiting = 0_usize;
    for card in roster.alive().take(ASKED_MAX) {
        let (tell, card) = (tell.clone(), card.clone());
        answers.insert(card.node.clone(), Err(format!("it did not answer within {} s", PATIENCE.as_secs())));
        let asked = std::thread::Builder::new().name("ask".into()).spawn(move || {
            // Nobody waits for an answer that comes too late.
            drop(tell.send((card.node.clone(), ask(&card))));
        });
        waiting = waiting.saturating_add(usize::from(asked.is_ok()));
    }
    let begun = Instant::now();
    while waiting > 0 {
        let Ok((node, answer)) = told.recv_timeout(PATIENCE_ALL.saturating_sub(begun.elapsed())) else { break };
        answers.insert(node, answer);
        waiting = waiting.saturating_sub(1);
    }
    answers
}

fn ask(card: &Card) -> Result<Value, String> {
    let address = nodes::address(card)?;
    let body = ask::get_of(&Place::of_url(&address)?, "/v1/status", PATIENCE)?;
    let document: Value = serde_json::from_slice(&body).map_err(|error| format!("{address}: {error}"))?;
    // Another process may have the port by now.
    match document.get("node").and_then(Value::as_str) == Some(card.node.as_str()) {
        true => Ok(document),
        false => Err(format!("{address}: somebody else answers there")),
    }
}

/// Of what a node says itself, what is newer than its card.
fn said(doc: &mut NodeDoc, answer: &Value) {
    let field = |key: &str| answer.get(key).cloned().unwrap_or_default();
    let words = ["standby", "taking_over", "active", "draining", "fenced"];
    if let Some(role) = words.into_iter().find(|word| field("role") == *word) {
        doc.role = role;
    }
    if let Some(epoch) = field("epoch").as_u64() {
        doc.epoch = Epoch(epoch);
    }
    if let Ok(Some(takeover)) = serde_json::from_value::<Option<Takeover>>(field("takeover")) {
        doc.takeover = Some(takeover);
    }
    let watches = answer.get("watches").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let all = watches.len() as u64;
    doc.watches_active = if doc.role == "active" { all } else { 0 };
    doc.watches_standing_by = all.saturating_sub(doc.watches_active);
    let seqs = watches.iter().filter_map(|watch| watch.get("seq").and_then(Value::as_u64));
    doc.records = doc.records.max(seqs.map(|seq| seq.saturating_add(1)).sum());
    (doc.last_contact, doc.last_contact_seconds) = (super::now(), 0.0);
}
