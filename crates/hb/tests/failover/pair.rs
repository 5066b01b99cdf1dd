//! Nodes on their hosts, the stores that they share, and everything that is known of what they did.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hb_core::ids::{Seq, StreamName};
use hb_core::node::fact::Sealed;
use hb_core::time::Stamp;
use hb_daemon::clock;
use hb_store::port::{Journal, JournalError};
use hb_store::reader::Follower;
use nix::sys::signal::Signal;

use crate::history::{Fact, Heard, History};
use crate::patience::Patience;
use crate::rack::{DESK, Host, Rack};
use crate::room::{Room, Small};
use crate::stores::{KEY, Pair, Stores};
use crate::support::http;
use crate::support::journal;
use crate::support::node::Node;
use crate::support::project::{Project, told};
use crate::support::webhook::Webhook;
use crate::support::{telemetry, within};
use crate::tape::Tape;
use crate::timeline::Timeline;
use crate::wall::Wall;

/// How long anything may take that does happen.
pub(crate) const BOUND: Duration = Duration::from_secs(90);
/// Ends of a node that a service manager answers by starting it again: replaced, nothing to ask yet, and what could not be written in time.
const STARTED_AGAIN: [i32; 3] = [75, UNAVAILABLE, 73];
/// Exit of a command that got no answer.
const UNAVAILABLE: i32 = 69;
/// How often the journal is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// Most that a wall clock which drifts is off, in nanoseconds.
const DRIFTED: i64 = 500_000_000;
/// Where nodes listen.
const PORT: u16 = 9090;

/// How nodes are set up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) nodes: usize,
    /// Of the lease, beside its address.
    pub(crate) lease: &'static str,
    /// Beside these, for one node each.
    pub(crate) priorities: [u8; 3],
    /// Lines of the configuration.
    pub(crate) more: &'static str,
    /// Cycles a second.
    pub(crate) pace: u64,
    /// How much the stores can hold, and whether wall clocks can be set.
    pub(crate) room: Room,
    pub(crate) clocks: Clocks,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            nodes: 2,
            lease: "ttl_sec: 1",
            priorities: [50; 3],
            more: "",
            pace: 6,
            room: Room::Ample,
            clocks: Clocks::Real,
        }
    }
}

/// What nodes take for the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clocks {
    /// The machine's.
    Real,
    /// Each has a wall clock of its own, which can be set; and where each has a host of its own, these were booted at different times.
    Own,
}

/// One node and where it lives.
pub(crate) struct Member {
    pub(crate) node: Option<Node>,
    pub(crate) name: &'static str,
    pub(crate) project: Arc<Project>,
    pub(crate) host: Arc<Host>,
    /// None: the machine's.
    pub(crate) wall: Option<Wall>,
    /// How much earlier than the machine it was booted, in seconds.
    booted: u64,
}

/// How much was judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Judged {
    pub(crate) cycles: usize,
    pub(crate) records: usize,
    /// What the webhook was told, repetitions too.
    pub(crate) told: usize,
}

/// All of it. Nodes end before the stores, those before the hosts.
pub(crate) struct Site {
    pub(crate) members: Vec<Member>,
    pub(crate) stores: Stores,
    pub(crate) records: Vec<Sealed>,
    /// When something happened by which the answer to an alert could be lost.
    pub(crate) disturbed: Vec<Stamp>,
    pub(crate) timeline: Timeline,
    /// Starts of nodes that had ended by themselves.
    pub(crate) restarts: usize,
    seen: BTreeMap<u64, String>,
    journal: Box<dyn Journal>,
    follower: Follower,
    settings: String,
    webhook: Webhook,
    tape: Tape,
    /// A folder that can be full, where nodes share one.
    small: Option<Small>,
    /// Last: only then may the next test have the desk.
    rack: Rack,
}

fn stream() -> StreamName {
    StreamName::from("watch/default")
}

impl Site {
    /// Nodes at work and standing by; none, told, where something is missing that this needs.
    pub(crate) fn start(test: &str, pair: Pair, plan: &Plan) -> Option<Self> {
        let mut rack = Rack::open(test)?;
        let stores = Stores::start(pair, &mut rack, plan.room)?;
        let webhook = Webhook::start_at(DESK, 7);
        let tape = Tape::start(plan.pace);
        let settings = format!(
            "{}{}alert_sinks: [webhook]\nwebhook_url: http://{}/hook\n",
            telemetry::SETTINGS,
            plan.more,
            webhook.address
        );
        let mut members: Vec<Member> = Vec::new();
        for (name, priority) in ["a", "b", "c"].into_iter().zip(plan.priorities).take(plan.nodes) {
            let lease = stores.settings(&format!("{}, priority: {priority}", plan.lease));
            let shared = members.first().filter(|_| pair.shares_folder());
            let project = match shared {
                Some(first) => Arc::clone(&first.project),
                None => Arc::new(Project::reading(tape.path.to_str().unwrap(), &format!("{settings}{lease}"))),
            };
            let host = match shared {
                Some(first) if pair == Pair::DirFile => Arc::clone(&first.host),
                _ => Arc::new(rack.host(name)),
            };
            let wall = (plan.clocks == Clocks::Own).then(|| Wall::right(project.dir(), name)).flatten();
            // On one machine there is one such clock.
            let booted = if wall.is_some() && shared.is_none() { 50_000 * members.len() as u64 } else { 0 };
            members.push(Member { node: None, name, project, host, wall, booted });
        }
        let small = (plan.room == Room::Small && pair.shares_folder()).then(|| Small::at(&members[0].project.output));
        let journal = stores.reader(&members[0].project.output);
        let mut site = Self {
            members,
            stores,
            records: Vec::new(),
            disturbed: Vec::new(),
            timeline: Timeline::new(format!("{test}, {}", pair.name())),
            restarts: 0,
            seen: BTreeMap::new(),
            journal,
            follower: Follower::new(stream(), Seq(0)),
            settings,
            webhook,
            tape,
            small,
            rack,
        };
        for place in 0..site.members.len() {
            site.launch(place);
        }
        site.decided_since(clock::wall());
        Some(site)
    }

    /// Starts a node, in its host.
    pub(crate) fn launch(&mut self, place: usize) {
        let listen = self.address(place).to_string();
        let member = &mut self.members[place];
        let mut command = keyed(member.project.command(&["daemon", "--listen", &listen]));
        if let Some(wall) = &member.wall {
            wall.give(&mut command);
            command = booted_earlier(&command, member.booted);
        }
        let node = member.host.within(|| Node::launch(&member.project, member.name, command));
        self.timeline.note(format!("{} starts as process {}", member.name, node.pid()));
        member.node = Some(node);
    }

    /// Where a node listens.
    pub(crate) fn address(&self, place: usize) -> SocketAddr {
        SocketAddr::new(self.members[place].host.address.into(), PORT + u16::try_from(place).unwrap())
    }

    /// What a node answers, if it does.
    pub(crate) fn ask(&self, place: usize, path: &str) -> Option<http::Answer> {
        http::get(self.address(place), path).ok()
    }

    /// What a node says that it is.
    pub(crate) fn role(&self, place: usize) -> Option<String> {
        Some(self.ask(place, "/v1/status")?.json()["role"].as_str()?.to_owned())
    }

    /// One more host of the same rack.
    pub(crate) fn more(&mut self, name: &str) -> Host {
        self.rack.host(name)
    }

    /// `hb ARGS` on a node's host, with its configuration.
    pub(crate) fn hb(&self, place: usize, args: &[&str]) -> Output {
        let member = &self.members[place];
        let mut command = keyed(member.project.command(args));
        command.arg("--config").arg(member.project.config());
        member.host.within(move || command.output().unwrap())
    }

    pub(crate) fn node(&mut self, place: usize) -> &mut Node {
        self.members[place].node.as_mut().expect("it was started")
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self, place: usize) {
        self.disturb();
        self.timeline.note(format!("kill -9 {}", self.members[place].name));
        self.node(place).kill();
    }

    pub(crate) fn signal(&mut self, place: usize, signal: Signal) {
        self.timeline.note(format!("{signal} to {}", self.members[place].name));
        self.disturb();
        if self.node(place).has_ended().is_none() {
            self.node(place).signal(signal);
        }
    }

    /// Starts again what has ended, as a service manager does. Nobody ends for a reason that restarts cannot help.
    pub(crate) fn tend(&mut self) {
        self.tend_all_but(usize::MAX);
    }

    /// The same, but one of them stays as it is.
    fn tend_all_but(&mut self, left: usize) {
        for place in (0..self.members.len()).filter(|place| *place != left) {
            let Some(status) = self.node(place).has_ended() else { continue };
            self.timeline.note(format!("{} has ended with {status}", self.members[place].name));
            if let Some(code) = status.code() {
                let log = self.node(place).log();
                assert!(STARTED_AGAIN.contains(&code), "{} ended with {code}:\n{log}", self.members[place].name);
                self.restarts += 1;
            }
            self.launch(place);
        }
    }

    /// Reads on; gives how many records there were.
    pub(crate) fn poll(&mut self) -> usize {
        let more = match self.follower.poll(&mut *self.journal) {
            Ok(more) => more,
            Err(JournalError::Unavailable(_)) => return 0,
            Err(error) => panic!("the journal: {error}"),
        };
        for sealed in &more {
            let record = &sealed.record;
            self.seen.insert(record.seq.0, sealed.hash.to_string());
            self.timeline.note(format!(
                "    record {} of {} in epoch {}: {}",
                record.seq,
                record.node,
                record.epoch,
                journal::decided(sealed)
                    .map_or(record.body.kind().to_owned(), |cycle| format!("cycle {}", cycle.decision.cycle))
            ));
        }
        let count = more.len();
        self.records.extend(more);
        count
    }

    /// Place of the node that wrote last.
    pub(crate) fn active(&mut self) -> usize {
        self.poll();
        let newest = self.records.last().expect("somebody has written").record.node.to_string();
        self.members.iter().position(|member| member.name == newest).unwrap()
    }

    /// Waits, while nodes are tended, until `look` gives something.
    pub(crate) fn until<T>(&mut self, what: &str, mut look: impl FnMut(&mut Self) -> Option<T>) -> T {
        let mut patience = Patience::default();
        loop {
            self.poll();
            if let Some(found) = look(self) {
                return found;
            }
            if patience.is_over() {
                let logs: Vec<String> = self.stores.all.iter().map(crate::stores::Store::log).collect();
                panic!("{}: {what}\n{}", patience.said(), logs.concat());
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Waits until somebody has decided a cycle later than this; gives who.
    pub(crate) fn decided_since(&mut self, since: Stamp) -> usize {
        self.until("somebody decides", |site| {
            site.tend();
            site.decider(since, |_| true)
        })
    }

    /// Who has decided a cycle later than this, among those that are wanted.
    pub(crate) fn decider(&self, since: Stamp, wanted: impl Fn(usize) -> bool) -> Option<usize> {
        let later = self.records.iter().rev().take_while(|sealed| self.written(sealed).1 > since);
        let mut deciders = later
            .filter(|sealed| journal::decided(sealed).is_some())
            .filter_map(|sealed| self.members.iter().position(|member| member.name == sealed.record.node.as_str()));
        deciders.find(|place| wanted(*place))
    }

    /// When a record was written at the earliest and at the latest, by the clock of the test.
    fn written(&self, sealed: &Sealed) -> (Stamp, Stamp) {
        let by = self.members.iter().find(|member| member.name == sealed.record.node.as_str());
        let (wall, at) = (by.and_then(|member| member.wall.as_ref()), sealed.record.at);
        let times = wall.map(|wall| wall.true_time(at.0));
        times.map_or((at, at), |(first, last)| (Stamp(first), Stamp(last)))
    }

    /// Whether wall clocks can be set here.
    pub(crate) fn has_clocks(&self) -> bool {
        self.members.iter().all(|member| member.wall.is_some())
    }

    /// Takes all room from the folder that nodes share; false where that has no bound.
    pub(crate) fn fill_folder(&self) -> bool {
        self.small.as_ref().is_some_and(Small::fill)
    }

    /// Gives it back.
    pub(crate) fn empty_folder(&self) {
        self.small.iter().for_each(Small::empty);
    }

    /// From now on an answer to an alert may have been lost.
    pub(crate) fn disturb(&mut self) {
        self.disturbed.push(clock::wall());
    }

    /// Waits until another than `place` decides; gives who, and how long that took from `since` on.
    pub(crate) fn taken_over(&mut self, place: usize, since: Instant, at: Stamp) -> (usize, Duration) {
        let (other, took) = self.until("another node takes over", |site| {
            // One that had been replaced just before ends now, and is wanted.
            site.tend_all_but(place);
            site.decider(at, |decider| decider != place).map(|other| (other, since.elapsed()))
        });
        self.timeline.note(format!("{} has taken over after {took:.1?}", self.members[other].name));
        (other, took)
    }

    /// Waits until all run, one of them is active and the others stand by; gives which is active.
    pub(crate) fn warm(&mut self) -> usize {
        let active = self.until("one is active and the others stand by", |site| {
            site.tend();
            let active = site.active();
            let all = (0..site.members.len()).all(|place| {
                let role = if place == active { "active" } else { "standby" };
                site.role(place).is_some_and(|is| is == role)
            });
            all.then_some(active)
        });
        self.decided_since(clock::wall());
        active
    }

    /// Sees that cycles are decided for a while by the same node.
    pub(crate) fn works_on(&mut self, place: usize, cycles: usize) {
        for _ in 0..cycles {
            let decider = self.decided_since(clock::wall());
            assert_eq!(decider, place, "{} took over from {}", self.members[decider].name, self.members[place].name);
        }
    }

    /// Looks on for a while.
    pub(crate) fn look_on(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.poll();
            std::thread::sleep(LOOK);
        }
    }

    /// Ends all, decides what is left, and judges the whole of it.
    pub(crate) fn finish(mut self) -> Judged {
        // Whoever decides the rest goes by the right time.
        self.members.iter_mut().filter_map(|member| member.wall.as_mut()).for_each(|wall| wall.set(0));
        self.warm();
        self.tape.finish();
        for place in 0..self.members.len() {
            let code = self.node(place).stop();
            assert!([0, 75].contains(&code), "{} ended with {code}", self.members[place].name);
        }
        self.timeline.note("all have ended; the rest is decided");
        for place in 0..self.members.len() {
            let said = self.node(place).log();
            self.timeline.note(format!("what {} said:\n{said}", self.members[place].name));
        }
        self.patiently(0, &["daemon", "--once", "--listen", "none", "--node", "a"]);
        self.patiently(0, &["verify"]);
        self.poll();
        let records = self.read_again();
        self.judge(&records);
        journal::assert_whole(&records);
        // Another webhook, which never refuses: what is told is not what is compared.
        let patient = Webhook::start_at(DESK, usize::MAX);
        let settings = self.settings.replace(&self.webhook.address.to_string(), &patient.address.to_string());
        let undisturbed = Project::reading(self.tape.path.to_str().unwrap(), &settings);
        undisturbed.once("a");
        journal::assert_same_decisions(&records, &journal::read(&undisturbed.output));
        Judged { cycles: journal::cycles(&records).len(), records: records.len(), told: self.webhook.told().len() }
    }

    /// `hb ARGS`, again while a store does not answer in time: a busy machine is slower than a short TTL allows.
    fn patiently(&mut self, place: usize, args: &[&str]) {
        let end = Instant::now() + BOUND;
        loop {
            let output = self.hb(place, args);
            if output.status.success() {
                return;
            }
            let away = output.status.code() == Some(UNAVAILABLE) && Instant::now() < end;
            assert!(away, "{args:?} ended with {}:\n{}", output.status, told(&output));
            self.timeline.note(told(&output));
        }
    }

    /// The whole stream, as a reader finds it who has seen nothing of it.
    fn read_again(&mut self) -> Vec<Sealed> {
        let mut follower = Follower::new(stream(), Seq(0));
        let mut records = Vec::new();
        let read = within(BOUND, || match follower.poll(&mut *self.journal) {
            Ok(more) if more.is_empty() => Some(()),
            Ok(more) => {
                records.extend(more);
                None
            }
            Err(JournalError::Unavailable(_)) => None,
            Err(error) => panic!("the journal: {error}"),
        });
        read.expect("the journal can be read");
        records
    }

    fn judge(&self, records: &[Sealed]) {
        let heard = self.webhook.told().into_iter().map(|told| {
            let mut said = told.body;
            // Reports are where the node is.
            said.as_object_mut().unwrap().remove("report_path");
            Heard { key: told.key.replace("%2F", "/"), at: told.at.0, said: said.to_string() }
        });
        let facts = records.iter().map(|sealed| Fact { at: self.written(sealed).0.0, ..Fact::from(sealed) }).collect();
        let history = History {
            facts,
            seen: self.seen.clone(),
            heard: heard.collect(),
            disturbed: self.disturbed.iter().map(|at| at.0).collect(),
            slack: if self.has_clocks() { DRIFTED } else { 0 },
        };
        let breaches: Vec<String> = history.breaches().iter().map(ToString::to_string).collect();
        assert!(breaches.is_empty(), "the history breaks laws:\n{}", breaches.join("\n"));
        assert!(!history.heard.is_empty(), "nothing was told at all");
    }
}

/// The same command on a machine that was booted so much earlier.
fn booted_earlier(command: &Command, seconds: u64) -> Command {
    if seconds == 0 || !std::path::Path::new("/proc/self/ns/time").try_exists().unwrap_or_default() {
        return keep(command, Command::new(command.get_program()));
    }
    let mut wrapped = Command::new("unshare");
    let seconds = seconds.to_string();
    wrapped.args(["--time", "--boottime", &seconds, "--monotonic", &seconds, "--"]).arg(command.get_program());
    keep(command, wrapped)
}

/// Arguments, folder and environment of one command for another.
fn keep(of: &Command, mut to: Command) -> Command {
    to.args(of.get_args());
    for (name, value) in of.get_envs() {
        match value {
            Some(value) => to.env(name, value),
            None => to.env_remove(name),
        };
    }
    of.get_current_dir().map(|folder| to.current_dir(folder));
    to
}

/// With the key of the bucket.
fn keyed(mut command: Command) -> Command {
    command.env("AWS_ACCESS_KEY_ID", KEY).env("AWS_SECRET_ACCESS_KEY", KEY);
    command
}
