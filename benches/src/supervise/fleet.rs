//! 5,000 agents in 50 supervisors that beat every ten seconds: what hb needs for them, how soon it answers, and how soon it watches over them again
//! after `kill -9`.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::stage::{self, Stage};
use super::{kits, load, quantile, usage};
use crate::child::{median, until, worst};
use crate::{Bench, Found, web};

const PATIENCE: Duration = Duration::from_secs(60);
/// Connections that beats come over, each kept open.
const SENDERS: usize = 4;
/// How often each agent beats.
const BEAT_EVERY: Duration = Duration::from_secs(10);
/// Questions a second beside the beats.
const ASKED: Duration = Duration::from_millis(20);

pub(crate) fn measure(bench: &Bench) -> Result<Found, String> {
    let (agents, supervisors) = bench.size.pick((20, 2), (5_000, 50));
    let window = Duration::from_secs(bench.size.pick(2, 40));
    let mut stage = Stage::new(&bench.child, 0)?;
    let address = web::free_port()?;
    let mut process = kits::hb(bench, &stage, &declared(address, agents, supervisors)?)?;
    until("the supervisor", PATIENCE, || is_running(address).then_some(()))?;
    let beats = Beats::start(address, agents);
    // Each has beaten once before anything is measured.
    until("a beat of each", PATIENCE, || (beats.sent.load(Ordering::Relaxed) >= agents as u64).then_some(()))?;
    let own = vec![process.0.id()];
    let (before, begun) = (usage::processor(&own), Instant::now());
    let waits = ask(address, supervisors, agents, window)?;
    let used = (usage::processor(&own) - before) / begun.elapsed().as_secs_f64() * 100.0;
    let memory = usage::memory(&own);
    let load = load();
    let (sent, refused) = beats.end();
    if refused > 0 {
        return Err(format!("{refused} of {sent} beats were not taken"));
    }
    let resumed = resume(bench, &stage, &mut process, address)?;
    stage.forget_notes(&process);
    Ok(Found {
        figures: json!({
            "agents": agents, "supervisors": supervisors, "beats": sent, "load": load, "questions": waits.len(),
            "status_median_ms": median(&waits), "status_p99_ms": quantile(&waits, 0.99), "status_worst_ms": worst(&waits),
            "core_percent": used, "rss_mb": memory.rss, "pss_mb": memory.pss,
            "resumed_median_ms": median(&resumed), "resumed_worst_ms": worst(&resumed),
        }),
        told: format!(
            "{agents} agents in {supervisors} supervisors, a beat every 10 s each: {} questions after the health of a supervisor or an agent answered in {:.2} ms (median), {:.2} ms (p99); \
             {used:.1} % of a core; {:.1} MB RSS\nkilled and started again {} times: from exec until all are monitored {:.0} ms (median), {:.0} ms (worst)",
            waits.len(),
            median(&waits),
            quantile(&waits, 0.99),
            memory.rss,
            resumed.len(),
            median(&resumed),
            worst(&resumed)
        ),
    })
}

fn declared(address: SocketAddr, agents: usize, supervisors: usize) -> Result<String, String> {
    let mut text = format!("listen: {address}\nagents:\n");
    let told = |error: std::fmt::Error| error.to_string();
    for agent in 0..agents {
        writeln!(text, "  a{agent:05}: {{heartbeat: {{}}}}").map_err(told)?;
    }
    text.push_str("supervisors:\n");
    for number in 0..supervisors {
        writeln!(text, "  s{number}: {{name: s{number}}}").map_err(told)?;
    }
    text.push_str("teams:\n");
    for number in 0..supervisors {
        let members: Vec<String> =
            (0..agents).filter(|agent| agent % supervisors == number).map(|agent| format!("a{agent:05}")).collect();
        writeln!(text, "  t{number}: {{supervisor: s{number}, members: [{}]}}", members.join(", ")).map_err(told)?;
    }
    text.push_str("policies:\n  tell:\n    when: agent.anomaly_score >= 0.8\n    actions: [{type: notify}]\n");
    Ok(text)
}

/// Whether the first supervisor says that it is at work.
fn is_running(address: SocketAddr) -> bool {
    let health = web::get(address, "/api/v1/supervisors/s0/health");
    health.is_some_and(|health| health.pointer("/presence/state").and_then(Value::as_str) == Some("active"))
}

/// `kill -9` and another start: milliseconds from exec until it is said that everything is monitored again (S8).
fn resume(
    bench: &Bench,
    stage: &Stage,
    process: &mut crate::child::Kept,
    address: SocketAddr,
) -> Result<Vec<f64>, String> {
    let mut took = Vec::new();
    for _ in 0..bench.size.pick(1, 10) {
        process.kill();
        let begun = stage::now();
        *process = kits::again(bench, stage)?;
        until("monitoring to be resumed", PATIENCE, || is_running(address).then_some(()))?;
        took.push((stage::now() - begun) * 1e3);
        std::thread::sleep(Duration::from_millis(300));
    }
    Ok(took)
}

/// Asks after supervisors and agents in turn, over one connection; gives how long each answer took, in milliseconds.
fn ask(address: SocketAddr, supervisors: usize, agents: usize, window: Duration) -> Result<Vec<f64>, String> {
    let mut line = Line::open(address)?;
    let (mut waits, begun) = (Vec::new(), Instant::now());
    for number in 0.. {
        if begun.elapsed() >= window {
            break;
        }
        let path = match number % 2 {
            0 => format!("/api/v1/supervisors/s{}/health", number / 2 % supervisors),
            _ => format!("/api/v1/agents/a{:05}", number * 7 % agents),
        };
        let asked = Instant::now();
        let status = line.ask(&format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n"))?;
        waits.push(asked.elapsed().as_secs_f64() * 1e3);
        if status != 200 {
            return Err(format!("{path} was answered with {status}"));
        }
        std::thread::sleep(ASKED.saturating_sub(asked.elapsed()));
    }
    Ok(waits)
}

/// Beats of all agents, sent evenly.
struct Beats {
    sent: Arc<AtomicU64>,
    refused: Arc<AtomicU64>,
    go_on: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Beats {
    fn start(address: SocketAddr, agents: usize) -> Self {
        let (sent, refused) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let go_on = Arc::new(AtomicBool::new(true));
        let one = |sender: usize| {
            let counts = (Arc::clone(&sent), Arc::clone(&refused), Arc::clone(&go_on));
            let mine: Vec<usize> = (0..agents).filter(|agent| agent % SENDERS == sender).collect();
            std::thread::spawn(move || send(address, &mine, &counts))
        };
        let threads = (0..SENDERS).map(one).collect();
        Self { sent, refused, go_on, threads }
    }

    /// How many were sent, and how many of them were not taken.
    fn end(self) -> (u64, u64) {
        self.go_on.store(false, Ordering::Relaxed);
        for thread in self.threads {
            // One that has panicked has said so.
            drop(thread.join());
        }
        (self.sent.load(Ordering::Relaxed), self.refused.load(Ordering::Relaxed))
    }
}

/// Beats of some agents, in turn, until told to end.
fn send(address: SocketAddr, mine: &[usize], counts: &(Arc<AtomicU64>, Arc<AtomicU64>, Arc<AtomicBool>)) {
    let (sent, refused, go_on) = counts;
    let share = u32::try_from(mine.len()).unwrap_or(1).max(1);
    let (mut line, begun) = (None, Instant::now());
    for (number, agent) in (0_u32..).zip(mine.iter().cycle()) {
        let due = BEAT_EVERY / share * number;
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
        if !go_on.load(Ordering::Relaxed) {
            return;
        }
        let taken = beat(&mut line, address, *agent, number / share + 1);
        sent.fetch_add(1, Ordering::Relaxed);
        refused.fetch_add(u64::from(taken != Some(200)), Ordering::Relaxed);
    }
}

/// Sends one; connects anew where the connection is gone.
fn beat(line: &mut Option<Line>, address: SocketAddr, agent: usize, sequence: u32) -> Option<u16> {
    let body = json!({"sequence_number": sequence, "status": "RUNNING"}).to_string();
    let request = format!(
        "POST /api/v1/agents/a{agent:05}/beat HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    for _ in 0..2 {
        if line.is_none() {
            *line = Line::open(address).ok();
        }
        match line.as_mut()?.ask(&request) {
            Ok(status) => return Some(status),
            Err(_) => *line = None,
        }
    }
    None
}

/// A connection that is kept.
#[derive(Debug)]
struct Line(TcpStream);

impl Line {
    fn open(address: SocketAddr) -> Result<Self, String> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(|error| error.to_string())?;
        stream
            .set_nodelay(true)
            .and_then(|()| stream.set_read_timeout(Some(PATIENCE)))
            .map_err(|error| error.to_string())?;
        Ok(Self(stream))
    }

    /// Sends a request and reads the whole answer; gives its status.
    fn ask(&mut self, request: &str) -> Result<u16, String> {
        self.0.write_all(request.as_bytes()).map_err(|error| error.to_string())?;
        let mut answer = Vec::new();
        let mut buffer = [0_u8; 16_384];
        loop {
            let read = self.0.read(&mut buffer).map_err(|error| error.to_string())?;
            if read == 0 {
                return Err("the connection was closed".into());
            }
            answer.extend_from_slice(buffer.get(..read).unwrap_or_default());
            let text = String::from_utf8_lossy(&answer);
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
            });
            if body.len() >= length.unwrap_or(0) {
                let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
                return status.ok_or_else(|| format!("not HTTP: {head}"));
            }
        }
    }
}
