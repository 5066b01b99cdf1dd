//! A supervisor without a database or processes, behind a real server on loopback.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use hb_api::v1::seam::{Answered, ConfigStanding, Elsewhere, Look, NotTaken, Standing, Supervisors};
use hb_api::{
    Access, Anonymous, Api, Check, CycleLine, Liveness, Metrics, Onlooker, ServerHandle, ServerLimits, spawn_with_api,
};
use hb_core::ids::{GroupId, InterventionId, StreamName, WatchName};
use hb_core::node::view::View;
use hb_core::supervise::Supervision;
use hb_core::supervise::agent::{Identity, Process};
use hb_core::supervise::alert::AlertGroup;
use hb_core::supervise::event::{ACKNOWLEDGED, Acknowledged, Event};
use hb_core::supervise::history::{EvaluationFilter, EventFilter, GroupFilter, InterventionFilter, Order, Page};
use hb_core::supervise::input::{Beat, Command, Input, OnStop, Person, Ticket};
use hb_core::supervise::intervention::Intervention;
use hb_core::supervise::policy::Evaluation;
use hb_core::supervise::step::{Effect, Step};
use hb_core::time::{Moment, Now, Stamp};
use serde_json::Value;

/// The owner's token.
pub(crate) const OWNER: &str = "0123456789abcdef0123456789abcdef";
/// Somebody else who may everything.
pub(crate) const TOKENS: &str = "owner ADMIN 0123456789abcdef0123456789abcdef\nsecond ADMIN second-0123456789\n\
    op OPERATOR operator-0123456789\ndev DEVELOPER developer-0123456789\nr1 AGENT agent-r1-0123456789\n* AGENT agent-any-0123456789\n";

struct Inside {
    supervision: Supervision,
    events: Vec<Event>,
    evaluations: Vec<Evaluation>,
    interventions: BTreeMap<InterventionId, Intervention>,
    groups: BTreeMap<GroupId, AlertGroup>,
    pids: u32,
    shutdowns: Vec<(OnStop, String)>,
    reloads: u32,
}

/// The supervisor: each message is a turn of its own.
pub(crate) struct Room {
    inside: Mutex<Inside>,
    wall: AtomicU64,
    pub(crate) elsewhere: Option<Elsewhere>,
    pub(crate) broken: Mutex<Option<String>>,
}

impl Room {
    pub(crate) fn new() -> Self {
        let supervision = Supervision::new("a".into(), StreamName::supervisor("main"));
        let inside = Inside {
            supervision,
            events: Vec::new(),
            evaluations: Vec::new(),
            interventions: BTreeMap::new(),
            groups: BTreeMap::new(),
            pids: 1000,
            shutdowns: Vec::new(),
            reloads: 0,
        };
        Self { inside: inside.into(), wall: 1_800_000_000.into(), elsewhere: None, broken: Mutex::new(None) }
    }

    /// One at work.
    pub(crate) fn open() -> Self {
        let room = Self::new();
        {
            let mut inside = room.inside();
            let step = inside.supervision.open("test", "first start", room.now());
            room.carry_out(&mut inside, step);
        }
        room
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap()
    }

    pub(crate) fn shutdowns(&self) -> Vec<(OnStop, String)> {
        self.inside().shutdowns.clone()
    }

    pub(crate) fn reloads(&self) -> u32 {
        self.inside().reloads
    }

    /// Forgets events below a number, as a database does in time.
    pub(crate) fn trim_events(&self, below: u64) {
        self.inside().events.retain(|event| event.id >= below);
    }

    pub(crate) fn events_so_far(&self) -> u64 {
        self.inside().supervision.state().counters.event
    }

    /// Keeps what is recorded, and starts and stops processes that are none.
    fn carry_out(&self, inside: &mut Inside, first: Step) -> Vec<(Ticket, hb_core::supervise::step::Reply)> {
        let (mut step, mut replies) = (first, Vec::new());
        loop {
            if let Some(record) = &step.record {
                let body = &record.record.body;
                inside.events.extend(body.events().iter().cloned());
                body.events().iter().for_each(|note| take_note(&mut inside.events, note));
                inside.evaluations.extend(body.evaluations().iter().cloned());
                let changes = body.changes();
                let kept = changes.interventions.iter().filter_map(|(id, one)| Some((id.clone(), one.clone()?)));
                inside.interventions.extend(kept);
                let kept = changes.groups.iter().filter_map(|(id, one)| Some((id.clone(), one.clone()?)));
                inside.groups.extend(kept);
            }
            replies.extend(step.replies);
            let inputs: Vec<Input> =
                step.effects.into_iter().filter_map(|effect| self.happens(inside, effect)).collect();
            if inputs.is_empty() {
                return replies;
            }
            for input in inputs {
                inside.supervision.handle(input, self.now());
            }
            step = inside.supervision.take(self.now());
        }
    }

    fn happens(&self, inside: &mut Inside, effect: Effect) -> Option<Input> {
        if let Effect::Spawn { agent, incarnation, .. } = effect {
            inside.pids += 1;
            let identity = Identity { pid: inside.pids, start_ticks: 7, boot: "b".into() };
            return Some(Input::Spawned { agent, incarnation, identity });
        }
        if let Effect::Signal { agent, identity, .. } = effect {
            let alive =
                inside.supervision.state().agents.get(&agent).is_some_and(|agent| agent.process != Process::Absent);
            return alive.then_some(Input::Exited {
                agent,
                identity,
                exit: hb_core::supervise::agent::Exit::Signal(15),
            });
        }
        None
    }

    fn asked(&self) -> Result<MutexGuard<'_, Inside>, String> {
        match self.broken.lock().unwrap().clone() {
            Some(why) => Err(why),
            None => Ok(self.inside()),
        }
    }

    fn told(&self, input: impl FnOnce(Ticket) -> Input, answered: Answered) {
        let mut inside = self.inside();
        inside.supervision.handle(input(Ticket(1)), self.now());
        let step = inside.supervision.take(self.now());
        let replies = self.carry_out(&mut inside, step);
        drop(inside);
        if let Some((_, reply)) = replies.into_iter().next() {
            answered(reply);
        }
    }
}

/// An event that says that another one was taken note of, as the tables have it.
fn take_note(events: &mut [Event], note: &Event) {
    let number = note.details.get(ACKNOWLEDGED.1).and_then(Value::as_u64).filter(|_| note.kind == ACKNOWLEDGED.0);
    let noted = events.iter_mut().find(|event| Some(event.id) == number && event.acknowledged.is_none());
    if let Some(event) = noted {
        event.acknowledged = Some(Acknowledged { by: note.by.clone(), at: note.at });
    }
}

fn paged<T: Clone>(all: impl Iterator<Item = T>, page: Page, number: impl Fn(&T) -> u64) -> Vec<T> {
    let mut all: Vec<T> = all.collect();
    all.sort_by_key(&number);
    if page.order == Order::NewestFirst {
        all.reverse();
    }
    let after = |one: &T| match (page.after, page.order) {
        (None, _) => true,
        (Some(after), Order::NewestFirst) => number(one) < after,
        (Some(after), Order::OldestFirst) => number(one) > after,
    };
    all.into_iter().filter(after).take(page.limit).collect()
}

fn number(id: &str) -> u64 {
    id.rsplit_once('-').unwrap().1.parse().unwrap()
}

fn fits<T: PartialEq>(wanted: Option<&T>, found: Option<&T>) -> bool {
    wanted.is_none_or(|wanted| found == Some(wanted))
}

impl Supervisors for Room {
    fn now(&self) -> Now {
        let seconds = self.wall.load(Ordering::SeqCst);
        Now { moment: Moment(seconds * 1_000_000_000), wall: Stamp(i64::try_from(seconds).unwrap() * 1_000_000_000) }
    }

    fn command(&self, person: Person, command: Command, answered: Answered) -> Result<(), NotTaken> {
        self.told(|ticket| Input::Command { ticket, person, command: Box::new(command) }, answered);
        Ok(())
    }

    fn beat(&self, beat: Beat, answered: Answered) -> Result<(), NotTaken> {
        self.told(|ticket| Input::Beat { ticket, beat }, answered);
        Ok(())
    }

    fn look(&self, look: Look) -> Result<(), NotTaken> {
        look(&self.inside().supervision);
        Ok(())
    }

    fn standing(&self) -> Standing {
        let inside = self.inside();
        let state = inside.supervision.state();
        Standing {
            node: "a".into(),
            presence: inside.supervision.presence(),
            epoch: inside.supervision.epoch(),
            agents: [("up", 0), ("degraded", 0), ("spawning", 0), ("failed", 0), ("quarantined", 0), ("terminated", 0)],
            supervisors: 0,
            paused: 0,
            interventions_open: 0,
            groups_open: 0,
            restarts: state.counters.restarts,
            evaluations: state.counters.evaluation,
            events: state.counters.event,
            notifications_dropped: 0,
            troubles: self.broken.lock().unwrap().iter().map(|why| ("database".to_owned(), why.clone())).collect(),
            takeover_seconds: 0.0,
            recovered_seconds: None,
            commit_latency: hb_api::Latency::default(),
            commits: 0,
            uptime_seconds: 1.0,
            hung_seconds: None,
        }
    }

    fn next_event(&self) -> u64 {
        self.events_so_far()
    }

    fn shutdown(&self, agents: OnStop, reason: &str) {
        self.inside().shutdowns.push((agents, reason.to_owned()));
    }

    fn config(&self) -> ConfigStanding {
        let refused = self.broken.lock().unwrap().clone();
        ConfigStanding { file: Some("hb.yaml".into()), hash: Some("abc".into()), refused }
    }

    fn reload(&self) -> Result<(), String> {
        self.asked()?.reloads += 1;
        Ok(())
    }

    fn elsewhere(&self) -> Option<Elsewhere> {
        self.elsewhere.clone()
    }

    fn events(&self, filter: &EventFilter, page: Page) -> Result<Vec<Event>, String> {
        let inside = self.asked()?;
        let holds = |event: &&Event| {
            let kind = filter.kind.as_ref().is_none_or(|kind| match kind.strip_suffix('*') {
                Some(prefix) => event.kind.starts_with(prefix),
                None => event.kind == *kind,
            });
            kind && filter.severity.is_none_or(|least| event.severity >= least)
                && fits(filter.agent.as_ref(), event.about.agent.as_ref())
                && fits(filter.supervisor.as_ref(), event.about.supervisor.as_ref())
                && fits(filter.team.as_ref(), event.about.team.as_ref())
                && fits(filter.intervention.as_ref(), event.about.intervention.as_ref())
        };
        Ok(paged(inside.events.iter().filter(holds).cloned(), page, |event| event.id))
    }

    fn event(&self, id: u64) -> Result<Option<Event>, String> {
        Ok(self.asked()?.events.iter().find(|event| event.id == id).cloned())
    }

    fn evaluations(&self, filter: &EvaluationFilter, page: Page) -> Result<Vec<Evaluation>, String> {
        let inside = self.asked()?;
        let holds = |one: &&Evaluation| {
            fits(filter.supervisor.as_ref(), Some(&one.supervisor))
                && fits(filter.policy.as_ref(), Some(&one.policy))
                && fits(filter.agent.as_ref(), one.agent.as_ref())
                && fits(filter.decision.as_ref(), Some(&one.decision))
        };
        Ok(paged(inside.evaluations.iter().filter(holds).cloned(), page, |one| one.id))
    }

    fn evaluation(&self, id: u64) -> Result<Option<Evaluation>, String> {
        Ok(self.asked()?.evaluations.iter().find(|one| one.id == id).cloned())
    }

    fn interventions(&self, filter: &InterventionFilter, page: Page) -> Result<Vec<Intervention>, String> {
        let inside = self.asked()?;
        let holds = |one: &&Intervention| {
            fits(filter.supervisor.as_ref(), Some(&one.supervisor))
                && fits(filter.target.as_ref(), Some(&one.target_id))
                && fits(filter.status.as_ref(), Some(&one.status))
                && fits(filter.policy.as_ref(), one.policy.as_ref().map(|(name, _)| name))
        };
        Ok(paged(inside.interventions.values().filter(holds).cloned(), page, |one| number(one.id.as_str())))
    }

    fn intervention(&self, id: &InterventionId) -> Result<Option<Intervention>, String> {
        Ok(self.asked()?.interventions.get(id).cloned())
    }

    fn groups(&self, filter: &GroupFilter, page: Page) -> Result<Vec<AlertGroup>, String> {
        let inside = self.asked()?;
        let holds = |group: &&AlertGroup| {
            fits(filter.supervisor.as_ref(), Some(&group.supervisor))
                && filter.open.is_none_or(|open| group.resolved_at.is_none() == open)
                && filter.severity.is_none_or(|least| group.severity >= least)
        };
        Ok(paged(inside.groups.values().filter(holds).cloned(), page, |one| number(one.id.as_str())))
    }

    fn group(&self, id: &GroupId) -> Result<Option<AlertGroup>, String> {
        Ok(self.asked()?.groups.get(id).cloned())
    }
}

struct Nothing;

impl Onlooker for Nothing {
    fn view(&self) -> Arc<View> {
        Arc::new(View::default())
    }

    fn checks(&self) -> Vec<Check> {
        vec![Check::passed("supervisor")]
    }

    fn liveness(&self) -> Liveness {
        Liveness { alive: true, reason: None, since_progress_ms: 0, bound_ms: 1 }
    }

    fn metrics(&self) -> Metrics {
        Metrics::default()
    }

    fn recent(&self, _watch: &WatchName, _newest: usize) -> Vec<CycleLine> {
        Vec::new()
    }
}

/// A server with the API, and its room.
pub(crate) struct Served {
    pub(crate) room: Arc<Room>,
    pub(crate) api: Api,
    pub(crate) server: ServerHandle,
    token: Option<String>,
}

impl Served {
    /// On loopback with the owner's token only.
    pub(crate) fn owned() -> Self {
        Self::with(Room::open(), Access::owner(OWNER, Anonymous::Reads))
    }

    /// With a `tokens_file`.
    pub(crate) fn with_tokens() -> Self {
        Self::with(Room::open(), Access::read(TOKENS).unwrap())
    }

    pub(crate) fn with(room: Room, access: Access) -> Self {
        let room = Arc::new(room);
        let supervisors: Arc<dyn Supervisors> = Arc::clone(&room) as Arc<dyn Supervisors>;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let onlooker = Arc::new(Nothing);
        let api = Api::new(supervisors, access);
        let server = spawn_with_api(listener, onlooker, Some(api.clone()), ServerLimits::default());
        Self { room, api, server: server.unwrap(), token: Some(OWNER.to_owned()) }
    }

    /// The same room seen by somebody else.
    pub(crate) fn shows(&mut self, token: Option<&str>) -> &mut Self {
        self.token = token.map(str::to_owned);
        self
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// Asks, and gives status, headers in lower case, and the body.
    pub(crate) fn raw(&self, verb: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut request = format!("{verb} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.addr());
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() || verb != "GET" {
            request.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        if let Some(token) = &self.token {
            request.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        request.push_str("\r\n");
        let mut stream = connect(self.addr());
        stream.write_all(request.as_bytes()).unwrap();
        // A refusal may come, and the connection close, before all of a large body is taken.
        drop(stream.write_all(body));
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer));
        let text = String::from_utf8(answer).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{verb} {path}: no answer: {text:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let lines = head.lines().skip(1).filter_map(|line| line.split_once(": "));
        let headers = lines.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        Answer { status, headers, body: body.to_owned() }
    }

    pub(crate) fn send(&self, verb: &str, path: &str, body: Option<Value>) -> Answer {
        let path = if path.starts_with("/api") { path.to_owned() } else { format!("/api/v1{path}") };
        match body {
            Some(body) => self.raw(verb, &path, &[("Content-Type", "application/json")], body.to_string().as_bytes()),
            None => self.raw(verb, &path, &[], b""),
        }
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        self.send("GET", path, None).must(200)
    }

    pub(crate) fn post(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, Some(body))
    }

    /// A remote agent that is up.
    pub(crate) fn agent(&self, id: &str) {
        self.post("/agents", serde_json::json!({"id": id, "heartbeat": {}})).must(201);
        self.post(&format!("/agents/{id}/beat"), serde_json::json!({"sequence_number": 1, "status": "RUNNING"}))
            .must(200);
    }

    /// A supervisor called `main`.
    pub(crate) fn main(self) -> Self {
        self.post("/supervisors", serde_json::json!({"name": "main"})).must(201);
        self
    }
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Answer {
    /// Its document, when it has this status.
    #[track_caller]
    pub(crate) fn must(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        if self.body.is_empty() { Value::Null } else { serde_json::from_str(&self.body).unwrap() }
    }

    /// Its field at fault, when it is a refusal of this status in the one shape.
    #[track_caller]
    pub(crate) fn refused(self, status: u16) -> String {
        let body = self.must(status);
        assert!(body["error"].is_string() && body["message"].is_string() && body["details"].is_object(), "{body}");
        assert!(!body["message"].as_str().unwrap().is_empty());
        body["details"]["field"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The version in its tag.
    pub(crate) fn version(&self) -> &str {
        self.header("etag").trim_matches('"').split('-').next().unwrap()
    }
}

/// A client that follows events.
pub(crate) struct Follower(BufReader<TcpStream>);

/// A server-sent event.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Sent {
    pub(crate) id: Option<u64>,
    pub(crate) kind: String,
    pub(crate) data: String,
}

impl Follower {
    pub(crate) fn new(served: &Served, query: &str, last: Option<u64>) -> Self {
        Self::begin(served, query, last).unwrap_or_else(|status| panic!("{status}"))
    }

    /// One from now on, if there is a place.
    pub(crate) fn try_new(served: &Served) -> Option<Self> {
        Self::begin(served, "", None).ok()
    }

    fn begin(served: &Served, query: &str, last: Option<u64>) -> Result<Self, String> {
        let mut stream = connect(served.addr());
        let last = last.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
        let request = format!("GET /api/v1/events/stream{query} HTTP/1.1\r\nHost: {}\r\n{last}\r\n", served.addr());
        stream.write_all(request.as_bytes()).unwrap();
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if !line.contains(" 200 ") {
            return Err(line);
        }
        while line != "\r\n" {
            line.clear();
            reader.read_line(&mut line).unwrap();
        }
        // The first words of a stream: from here on nothing that happens is missed.
        while !line.starts_with("retry:") {
            line.clear();
            reader.read_line(&mut line).unwrap();
        }
        Ok(Self(reader))
    }

    /// The next event; `None` when the stream ends.
    pub(crate) fn next(&mut self) -> Option<Sent> {
        let mut sent = Sent::default();
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            let line = line.trim_end();
            if let Some(id) = line.strip_prefix("id: ") {
                sent.id = Some(id.parse().unwrap());
            } else if let Some(kind) = line.strip_prefix("event: ") {
                sent.kind = kind.to_owned();
            } else if let Some(data) = line.strip_prefix("data: ") {
                sent.data = data.to_owned();
            } else if line.is_empty() && !sent.data.is_empty() {
                return Some(sent);
            }
        }
    }
}

/// Waits for what must come soon.
pub(crate) fn until<T>(what: &str, mut holds: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = holds() {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{what} did not come");
        std::thread::sleep(Duration::from_millis(10));
    }
}
