//! Runs every `scenarios/*.txt`: commands, `----`, what the node answers.
//!
//! `UPDATE=1 cargo test -p hb-core --test node scenarios` rewrites the answers; read the diff before committing it.
//!
//! Commands begin with the time in seconds: `granted`, `commit` (all under way) or `commit N`, `read A B …` (event times in
//! seconds, `?` is nonsense) which adds to the source and reads it, `reread` which reads what is there, `idle`, `ended`, `delivered CYCLE`,
//! `drain`, `hand_over`, `lapsed`, `superseded`, `usurp`, `follow` (reads along), `takeover` (what is told of it),
//! `reload` (under other settings),
//! `hide` and `unhide` (baseline documents cannot be read, or can), `documents` (asks for those that lack), and `crash`, after which a new node has only the journal and the source.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::{env, fs, path::Path};

use super::stage::{Actor, Disk, Item, describe, effect, settings, usurp, watch};
use hb_core::ids::CycleNo;
use hb_core::journal::Hash;
use hb_core::node::step::{Effect, Input};
use hb_core::time::{SECOND_NS, Stamp};
use hb_core::watch::baseline::Baseline;

#[test]
fn scenarios() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut paths: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty());
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        let actual = play(&text);
        if env::var("UPDATE").is_ok() {
            fs::write(&path, &actual).unwrap();
        } else {
            assert_eq!(actual, text, "{}", path.display());
        }
    }
}

struct Scene {
    disk: Disk,
    source: Vec<Item>,
    actor: Actor,
    told: usize,
    hidden: BTreeMap<Hash, Arc<Baseline>>,
}

fn play(text: &str) -> String {
    let mut scene =
        Scene { disk: Disk::default(), source: Vec::new(), actor: Actor::new("a"), told: 0, hidden: BTreeMap::new() };
    let (mut out, mut answering) = (String::new(), false);
    for line in text.lines() {
        if line.is_empty() || line.starts_with('#') {
            answering = false;
            out.push_str(line);
            out.push('\n');
        } else if !answering {
            answering = true;
            out.push_str(&format!("{line}\n----\n{}", scene.command(line)));
        }
    }
    out
}

impl Scene {
    fn command(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (at, rest): (i64, &[&str]) = (words.first().unwrap().parse().unwrap(), words.get(2..).unwrap_or_default());
        let mut answer = String::new();
        let effects = match *words.get(1).unwrap() {
            "granted" => self.actor.granted(&self.disk, at),
            "commit" => return self.commit(at, rest),
            "read" => {
                self.source.extend(rest.iter().map(|word| item(word)));
                self.actor.read(&self.source, usize::MAX / 2, at)
            }
            "reread" => self.actor.read(&self.source, usize::MAX / 2, at),
            "idle" => self.actor.handle(Input::Idle(&watch(), Stamp(at * SECOND_NS)), at),
            "ended" => self.actor.handle(Input::Ended(&watch()), at),
            "delivered" => {
                let cycle = CycleNo(rest.first().unwrap().parse().unwrap());
                let watch = watch();
                self.actor.handle(Input::Delivered { watch: &watch, cycle, sink: "page", tries: 1, given_up: None }, at)
            }
            "hand_over" => self.actor.handle(Input::HandOver { reason: "switchover by ada: new kernel" }, at),
            "lapsed" => self.actor.handle(Input::Lapsed, at),
            "follow" => {
                self.actor.follow(&self.disk, at);
                Vec::new()
            }
            "hide" => {
                self.hidden = std::mem::take(&mut self.disk.1);
                Vec::new()
            }
            "unhide" => {
                self.disk.1.append(&mut self.hidden);
                Vec::new()
            }
            "documents" => {
                self.actor.documents(&self.disk, at);
                Vec::new()
            }
            "reload" => self.actor.handle(Input::Reload(settings()), at),
            "takeover" => return self.takeover(),
            "drain" => self.actor.handle(Input::Drain { reason: "SIGTERM" }, at),
            "superseded" => self.actor.handle(Input::Superseded { by: "node b".into() }, at),
            "usurp" => {
                usurp(&mut self.disk, at);
                Vec::new()
            }
            "crash" => {
                self.actor = Actor::new("b");
                self.told = 0;
                Vec::new()
            }
            other => panic!("unknown command {other}"),
        };
        self.answer(&mut answer, &effects);
        if answer.is_empty() { "nothing\n".into() } else { answer }
    }

    fn takeover(&self) -> String {
        let Some(one) = self.actor.node.takeover() else { return "none\n".into() };
        let from = one.from.map_or_else(|| "nobody".into(), |from| format!("{} e{}", from.node, from.epoch));
        let (took, gap) = (one.took_seconds, one.gap_seconds);
        format!("{} e{} from {from} by {} ({}): took {took:?} gap {gap:?}\n", one.node, one.epoch, one.how, one.why)
    }

    fn commit(&mut self, at: i64, rest: &[&str]) -> String {
        let most = rest.first().map_or(usize::MAX, |word| word.parse().unwrap());
        let mut answer = String::new();
        for _ in 0..most {
            if self.actor.under_way.is_empty() {
                break;
            }
            self.told = self.told.saturating_sub(1);
            let effects = self.actor.commit_one(&mut self.disk, at);
            self.answer(&mut answer, &effects);
        }
        if answer.is_empty() { "nothing\n".into() } else { answer }
    }

    fn answer(&mut self, answer: &mut String, effects: &[Effect]) {
        for sealed in self.actor.under_way.iter().skip(self.told) {
            answer.push_str(&format!("{}\n", describe(sealed)));
        }
        self.told = self.actor.under_way.len();
        effects.iter().for_each(|one| answer.push_str(&format!("do {}\n", effect(one))));
    }
}

fn item(word: &str) -> Item {
    if word == "?" { Item::Nonsense } else { Item::At(word.parse().unwrap(), 1.0) }
}
