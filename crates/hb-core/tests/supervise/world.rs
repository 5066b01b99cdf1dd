//! The world of a walk: programs that start slowly, die, hang and ignore signals; remote agents that beat; services that answer; and the
//! shell of hb, which carries out effects and loses what it holds when it is killed.

use std::collections::BTreeMap;

use super::stage::{Disk, now};
use hb_core::ids::AgentId;
use hb_core::supervise::Supervision;
use hb_core::supervise::agent::{Exit, Identity, Process};
use hb_core::supervise::input::{Input, Notified, Usage};
use hb_core::supervise::state::Fold;
use hb_core::supervise::step::{Effect, Step};
use hb_core::time::Now;

/// One second.
pub(crate) const SECOND: u64 = 1_000_000_000;

pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    pub(crate) fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        let sides = u64::try_from(all.len()).unwrap();
        if sides == 0 { None } else { all.get(usize::try_from(self.roll(sides)).unwrap()) }
    }
}

/// How the world is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Anything happens.
    Wild,
    /// What is started runs, what is asked answers, what is stopped ends.
    Kind,
}

#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) agent: AgentId,
    key: String,
    identity: Identity,
    /// How it ended.
    pub(crate) exit: Option<Exit>,
    /// When it will end of a signal that it got.
    ends_at: Option<u64>,
    ignores_term: bool,
}

/// What is durable, what runs, and the hb process of the moment.
pub(crate) struct World {
    pub(crate) dice: Dice,
    pub(crate) mood: Mood,
    pub(crate) ns: u64,
    skew: i64,
    pub(crate) disk: Disk,
    /// What the records add up to, kept beside the process so that both can be compared.
    pub(crate) fold: Fold,
    pub(crate) it: Supervision,
    pub(crate) programs: Vec<Program>,
    /// Answers on their way to hb; lost when it is killed.
    inbox: Vec<(u64, Input)>,
    /// Programs whose end hb would hear of, and with which delay.
    watched: BTreeMap<u32, u64>,
    pub(crate) left: bool,
    next_ticks: u64,
    pub(crate) kills: u64,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let disk = Disk::default();
        Self {
            dice: Dice(seed),
            mood: Mood::Wild,
            ns: 0,
            skew: 0,
            fold: disk.fold(),
            it: disk.reader(),
            disk,
            programs: Vec::new(),
            inbox: Vec::new(),
            watched: BTreeMap::new(),
            left: false,
            next_ticks: 1,
            kills: 0,
        }
    }

    pub(crate) fn now(&self) -> Now {
        now(self.ns, self.skew)
    }

    pub(crate) fn alive(&self) -> impl Iterator<Item = &Program> {
        self.programs.iter().filter(|program| program.exit.is_none())
    }

    pub(crate) fn skew(&mut self, ns: i64) {
        self.skew += ns;
    }

    /// hb is killed with all that it held; another process reads the records and begins a reign.
    pub(crate) fn kill_hb(&mut self) {
        self.kills += 1;
        self.inbox.clear();
        self.watched.clear();
        self.left = false;
        self.it = self.disk.reader();
    }

    pub(crate) fn open(&mut self) {
        let step = self.it.open("granted", "free", self.now());
        self.carry_out(step);
    }

    /// Hands in what has arrived, up to so many at once, and carries out what comes of it.
    pub(crate) fn turn(&mut self, most: usize, extra: Vec<Input>) {
        let now = self.now();
        let mut due: Vec<Input> = extra;
        while due.len() < most {
            let Some(at) = self.inbox.iter().position(|(at, _)| *at <= self.ns) else { break };
            due.push(self.inbox.remove(at).1);
        }
        due.into_iter().for_each(|input| self.it.handle(input, now));
        let step = self.it.take(now);
        self.carry_out(step);
    }

    /// Makes the record durable, then carries out the effects; hb may be killed before, between and after.
    fn carry_out(&mut self, step: Step) {
        let wild = self.mood == Mood::Wild;
        if wild && self.dice.one_in(60) {
            return self.kill_hb_and_open();
        }
        if let Some(record) = step.record {
            self.fold.push((*record).clone());
            self.disk.0.push((*record).clone());
        }
        for effect in step.effects {
            if wild && self.dice.one_in(120) {
                return self.kill_hb_and_open();
            }
            self.execute(effect);
        }
        if wild && self.dice.one_in(60) {
            self.kill_hb_and_open();
        }
    }

    fn kill_hb_and_open(&mut self) {
        self.kill_hb();
        // Nothing is listened to for a while.
        let away = self.dice.roll(120) * SECOND;
        self.pass(away);
        self.open();
    }

    fn later(&mut self, within: u64, input: Input) {
        let at = self.ns + if self.mood == Mood::Wild { self.dice.roll(within.max(1)) } else { 0 };
        // What is said of one agent is said in order.
        let at = self.inbox.iter().map(|(at, _)| *at).max().unwrap_or(0).max(at);
        self.inbox.push((at, input));
    }

    fn execute(&mut self, effect: Effect) {
        let wild = self.mood == Mood::Wild;
        match effect {
            Effect::Spawn { agent, incarnation, key, .. } => self.spawn(agent, incarnation, key),
            Effect::Look { agent, incarnation, key, .. } => {
                let found = self.alive().find(|program| program.key == key).map(|program| program.identity.clone());
                found.iter().for_each(|identity| self.watch(identity.pid));
                self.later(SECOND, Input::Found { agent, incarnation, identity: found });
            }
            Effect::Adopt { agent, identity, .. } => {
                let program = self.programs.iter().find(|program| program.identity == identity);
                let exit = program.map_or(Some(Exit::Unknown), |program| program.exit);
                let input = match exit {
                    None => Input::Adopted { agent, identity: identity.clone() },
                    Some(_) => Input::Exited { agent, identity: identity.clone(), exit: Exit::Unknown },
                };
                self.watch(identity.pid);
                self.later(SECOND, input);
            }
            Effect::Signal { agent, identity, signal } => self.signal(&agent, &identity, &signal),
            Effect::CheckReady { agent, incarnation, .. } => {
                let up = !wild || self.dice.one_in(2);
                self.later(SECOND, Input::ReadyChecked { agent, incarnation, up, said: "looked".into() });
            }
            Effect::Probe { agent, .. } => {
                let good = !wild || !self.dice.one_in(3);
                self.later(SECOND, Input::Probed { agent, good, said: "asked".into() });
            }
            Effect::Measure(all) => {
                let memory = if wild { 90 + self.dice.roll(15) } else { 1 };
                let usage = Usage { memory_mb: memory as f64, ..Usage::default() };
                self.later(SECOND, Input::Used(all.into_iter().map(|(agent, _)| (agent, usage)).collect()));
            }
            Effect::Leave => self.left = true,
            Effect::Call { .. } | Effect::Notify { .. } | Effect::Forget(_) => {}
        }
    }

    fn spawn(&mut self, agent: AgentId, incarnation: u64, key: String) {
        let running: Vec<_> = self.alive().filter(|program| program.agent == agent).collect();
        assert!(running.is_empty(), "S2: {agent} is started while it runs: {running:?}");
        let wild = self.mood == Mood::Wild;
        if wild && self.dice.one_in(10) {
            return self.later(SECOND, Input::SpawnFailed { agent, incarnation, error: "no such program".into() });
        }
        // Few numbers, so that they are used again; the ticks tell them apart.
        let taken: Vec<u32> = self.alive().map(|program| program.identity.pid).collect();
        let pid = (2..).find(|pid| !taken.contains(pid)).unwrap();
        let identity = Identity { pid, start_ticks: self.next_ticks, boot: "boot".into() };
        self.next_ticks += 1;
        let exit = (wild && self.dice.one_in(15)).then_some(Exit::Status(7));
        let ignores_term = wild && self.dice.one_in(6);
        self.programs.push(Program {
            agent: agent.clone(),
            key,
            identity: identity.clone(),
            exit,
            ends_at: None,
            ignores_term,
        });
        self.watch(pid);
        self.later(2 * SECOND, Input::Spawned { agent: agent.clone(), incarnation, identity: identity.clone() });
        if let Some(exit) = exit {
            self.later(SECOND, Input::Exited { agent, identity, exit });
        } else if !wild || !self.dice.one_in(5) {
            self.later(5 * SECOND, Input::Notified { agent, what: Notified::Ready });
        }
    }

    fn watch(&mut self, pid: u32) {
        self.watched.insert(pid, self.next_ticks);
    }

    fn signal(&mut self, agent: &AgentId, identity: &Identity, signal: &str) {
        let recorded = self.fold.state.agents.get(agent).and_then(|agent| agent.process.identity());
        assert_eq!(recorded, Some(identity), "S2: {agent} gets SIG{signal}, and is recorded as somebody else");
        let (wild, ns) = (self.mood == Mood::Wild, self.ns);
        let soon = if wild { self.dice.roll(15 * SECOND) } else { 0 };
        let stays = wild && self.dice.one_in(10);
        let Some(program) = self.programs.iter_mut().find(|program| program.identity == *identity) else {
            panic!("S2: a signal to nobody: {identity:?}");
        };
        assert_eq!(&program.agent, agent, "S2: a signal to a stranger");
        if signal == "KILL" && !stays {
            program.ends_at = Some(ns);
        } else if !program.ignores_term || !wild {
            program.ends_at = Some(program.ends_at.map_or(ns + soon, |at| at.min(ns + soon)));
        }
    }

    /// Time goes by: programs that got their signal end.
    pub(crate) fn pass(&mut self, ns: u64) {
        self.ns += ns;
        let now = self.ns;
        let ending: Vec<usize> = (0..self.programs.len())
            .filter(|index| {
                let program = &self.programs[*index];
                program.exit.is_none() && program.ends_at.is_some_and(|at| at <= now)
            })
            .collect();
        ending.into_iter().for_each(|index| self.end(index, Exit::Signal(15)));
    }

    /// A program ends; hb hears of it when it watches.
    pub(crate) fn end(&mut self, index: usize, exit: Exit) {
        let program = &mut self.programs[index];
        program.exit = Some(exit);
        let (agent, identity) = (program.agent.clone(), program.identity.clone());
        if self.watched.remove(&identity.pid).is_some() {
            self.later(SECOND, Input::Exited { agent, identity, exit });
        }
    }

    /// hb hears a second time, and late, of the end of some program.
    pub(crate) fn stale_word(&mut self) -> Option<Input> {
        let over: Vec<Program> = self.programs.iter().filter(|program| program.exit.is_some()).cloned().collect();
        let program = self.dice.pick(&over)?.clone();
        // What it has not heard of yet is no second time.
        let heard = self.processes(&program.agent).0.as_ref() != Some(&program.identity);
        let exit = program.exit.filter(|_| heard)?;
        Some(Input::Exited { agent: program.agent, identity: program.identity, exit })
    }

    /// Some running program ends of its own accord.
    pub(crate) fn somebody_dies(&mut self) {
        let alive: Vec<usize> = (0..self.programs.len()).filter(|index| self.programs[*index].exit.is_none()).collect();
        let exits = [Exit::Status(0), Exit::Status(1), Exit::Signal(9)];
        let exit = *self.dice.pick(&exits).unwrap();
        if let Some(index) = self.dice.pick(&alive).copied() {
            self.end(index, exit);
        }
    }

    /// The program that is on record as running for an agent, and the one that runs.
    pub(crate) fn processes(&self, agent: &AgentId) -> (Option<Identity>, Vec<Identity>) {
        let recorded = self.fold.state.agents.get(agent).map(|agent| &agent.process);
        let recorded = match recorded {
            Some(Process::Alive { identity, .. }) => Some(identity.clone()),
            _ => None,
        };
        let running = self.alive().filter(|program| program.agent == *agent);
        (recorded, running.map(|program| program.identity.clone()).collect())
    }
}
