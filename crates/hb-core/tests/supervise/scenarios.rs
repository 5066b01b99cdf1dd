//! Plays every `scenarios/*.txt`: commands, `----`, what comes of them.
//!
//! `UPDATE=1 cargo test -p hb-core --test supervise scenarios` rewrites the answers; read the diff before committing it.
//!
//! Commands begin with the time in seconds. World: `spawned A`, `unspawnable A`, `found A`, `not_found A`, `adopted A`, `exits A STATUS` or
//! `exits A SIGNAL` as `-9`, `gone A` (nobody knows how), `ready A`, `watchdog A`, `trigger A`, `up A`, `not_up A`, `good A`, `bad A`,
//! `beat A SEQUENCE [STATUS]`, `uses A MEGABYTES`, `wait`. People: `agent A JSON`, `change A JSON`, `supervisor S`, `team T S A …`, `pause S`,
//! `unpause S`, `start A`, `stop A`, `release A`, `restart A`, `quarantine A`, `delete A`, `leave`, `shutdown`. Process: `open`, `crash`, and `skew SECONDS`
//! which steps the wall clock. Every record is durable at once; the answer tells events, effects, replies and the agents that changed.

use std::collections::BTreeMap;
use std::time::Duration;
use std::{env, fs, path::Path};

use super::stage::{Disk, ask, effect, event, in_one_line, intervention, now, reply, spec, supervisor, team};
use hb_core::ids::AgentId;
use hb_core::supervise::Supervision;
use hb_core::supervise::agent::{Exit, Identity, Lifecycle};
use hb_core::supervise::input::{Beat, Command, Input, Notified, OnStop, Ticket, Usage};
use hb_core::supervise::step::Step;
use hb_core::time::{Now, SECOND_NS};

#[test]
fn a2_a3_a5_a6_a8_a13_scenarios() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/supervise/scenarios");
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
    it: Supervision,
    pids: u32,
    skew: i64,
    lines: BTreeMap<AgentId, String>,
}

fn play(text: &str) -> String {
    let disk = Disk::default();
    let mut scene = Scene { it: disk.reader(), disk, pids: 100, skew: 0, lines: BTreeMap::new() };
    let (mut out, mut answering) = (String::new(), false);
    for line in text.lines() {
        if line.is_empty() || line.starts_with('#') {
            answering = false;
            out.push_str(line);
            out.push('\n');
        } else if !answering {
            answering = true;
            out.push_str(&format!("{line}\n----\n{}", scene.play(line)));
        }
    }
    out
}

impl Scene {
    fn play(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        let ns = u64::try_from(Duration::from_secs_f64(words[0].parse().unwrap()).as_nanos()).unwrap();
        let (verb, first, rest) = (words[1], words.get(2).copied().unwrap_or(""), words.get(3).copied().unwrap_or(""));
        let now = now(ns, self.skew);
        let mut answer = String::new();
        match verb {
            "open" => {
                let step = self.it.open("granted", "free", now);
                self.tell(&mut answer, step);
            }
            "crash" => {
                self.it = self.disk.reader();
                return "nothing\n".into();
            }
            "skew" => {
                self.skew += first.parse::<i64>().unwrap() * SECOND_NS;
                return "nothing\n".into();
            }
            "wait" => {}
            _ => self.handle(verb, first, rest, now),
        }
        let step = self.it.take(now);
        self.tell(&mut answer, step);
        assert_eq!(self.disk.fold().state.supervisors, self.it.state().supervisors);
        if answer.is_empty() { "nothing\n".into() } else { answer }
    }

    fn handle(&mut self, verb: &str, first: &str, rest: &str, now: Now) {
        let input = self.happens(verb, first, rest).unwrap_or_else(|| ask(1, wanted(verb, first, rest)));
        self.it.handle(input, now);
    }

    fn happens(&mut self, verb: &str, first: &str, rest: &str) -> Option<Input> {
        let agent = AgentId::from(first);
        let known = self.it.state().agents.get(&agent);
        let incarnation = known.map_or(0, |agent| agent.incarnation);
        let identity = known.and_then(|agent| agent.process.identity().cloned());
        let notified = |what| Some(Input::Notified { agent: first.into(), what });
        let exits = |exit| {
            Some(Input::Exited { agent: first.into(), identity: identity.clone().expect("it is on record"), exit })
        };
        match verb {
            "spawned" => Some(Input::Spawned { agent, incarnation, identity: self.new_pid() }),
            "unspawnable" => Some(Input::SpawnFailed { agent, incarnation, error: "no such program".into() }),
            "found" => Some(Input::Found { agent, incarnation, identity: Some(self.new_pid()) }),
            "not_found" => Some(Input::Found { agent, incarnation, identity: None }),
            "adopted" => Some(Input::Adopted { agent, identity: identity.clone()? }),
            "exits" => {
                let code: i32 = rest.parse().expect("a status");
                exits(if code < 0 { Exit::Signal(-code) } else { Exit::Status(code) })
            }
            "gone" => exits(Exit::Unknown),
            "ready" => notified(Notified::Ready),
            "watchdog" => notified(Notified::Watchdog),
            "trigger" => notified(Notified::WatchdogTrigger),
            "up" => Some(Input::ReadyChecked { agent, incarnation, up: true, said: String::new() }),
            "not_up" => Some(Input::ReadyChecked { agent, incarnation, up: false, said: "refused".into() }),
            "good" => Some(Input::Probed { agent, good: true, said: "200".into() }),
            "bad" => Some(Input::Probed { agent, good: false, said: "503".into() }),
            "beat" => Some(Input::Beat { ticket: Ticket(1), beat: beat(agent, rest) }),
            "uses" => {
                let usage = Usage { memory_mb: rest.parse().expect("a number"), ..Usage::default() };
                Some(Input::Used(vec![(agent, usage)]))
            }
            "leave" => Some(Input::Drain { agents: OnStop::Leave, reason: "SIGTERM".into() }),
            "shutdown" => Some(Input::Drain { agents: OnStop::Stop, reason: "hb stop --agents".into() }),
            _ => None,
        }
    }

    fn new_pid(&mut self) -> Identity {
        self.pids += 1;
        Identity { pid: self.pids, start_ticks: u64::from(self.pids), boot: "boot".into() }
    }

    fn tell(&mut self, answer: &mut String, step: Step) {
        if let Some(record) = step.record {
            for one in record.record.body.events() {
                answer.push_str(&format!("{}\n", event(one)));
            }
            self.disk.0.push((*record).clone());
        }
        step.effects.iter().for_each(|one| answer.push_str(&format!("do {}\n", effect(one))));
        step.replies.iter().for_each(|(_, one)| answer.push_str(&format!("{}\n", reply(one))));
        let lines: BTreeMap<_, _> =
            self.it.state().agents.iter().map(|(id, agent)| (id.clone(), in_one_line(agent))).collect();
        for (id, line) in &lines {
            if self.lines.get(id) != Some(line) {
                answer.push_str(&format!("{line}\n"));
            }
        }
        self.lines = lines;
    }
}

fn wanted(verb: &str, first: &str, rest: &str) -> Command {
    match verb {
        "agent" => Command::RegisterAgent(Box::new(spec(first, rest))),
        "change" => Command::RespecifyAgent { spec: Box::new(spec(first, rest)), expect: None },
        "supervisor" => supervisor(first),
        "team" => {
            let mut words = rest.split(' ');
            team(first, words.next().unwrap(), &words.collect::<Vec<_>>())
        }
        "pause" => Command::PauseSupervisor(first.into()),
        "unpause" => Command::ResumeSupervisor(first.into()),
        "start" => Command::StartAgent(first.into()),
        "stop" => Command::StopAgent(first.into()),
        "release" => Command::ReleaseAgent { agent: first.into(), evidence: "looked at it".into() },
        "restart" => intervention("AGENT_RESTART", first),
        "quarantine" => intervention("AGENT_QUARANTINE", first),
        "delete" => intervention("DELETE", first),
        other => panic!("unknown command {other}"),
    }
}

fn beat(agent: AgentId, rest: &str) -> Beat {
    let (sequence, status) = rest.split_once(' ').map_or((rest, None), |(one, two)| (one, Some(two)));
    let status = status.map(|word| serde_json::from_value::<Lifecycle>(word.into()).unwrap());
    Beat { agent, sequence: sequence.parse().unwrap(), status, task: None, metrics: BTreeMap::new() }
}
