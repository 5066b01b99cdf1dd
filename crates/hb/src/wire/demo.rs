//! `hb demo`: a pair on this machine's own telemetry, in under a minute. It learns what normal is, decides, has its active node
//! killed, and goes on; what happened is printed cycle by cycle, read from the journal, and checked at the end.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hb_core::ids::{Seq, StreamName};
use hb_core::node::fact::{Body, CycleDecided, Sealed};
use hb_core::time::Stamp;
use hb_daemon::clock;
use hb_store::journal::dir::DirJournal;
use hb_store::reader::Follower;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::cli::{Failure, Out, demo as args};
use crate::exit::Exit;

/// Cycles that the baseline is learned from; then so many are decided, by the first node, by the second, and under load.
const LEARN: u64 = 30;
const BEFORE: u64 = 6;
const AFTER: u64 = 6;
const LOADED: u64 = 8;
/// How long the whole may take before it is given up.
const LIMIT: Duration = Duration::from_secs(90);

const CONFIG: &str = "\
# What `hb demo` runs: this machine, twice a second.
name: host
source: host
interval_sec: 0.5
silence_grace_sec: 0.5
learn: {cycles: 30, unstable_share_max: 1}
alert_sinks: [file]
reports: changes
lease: {ttl_sec: 1}
";

/// `hb demo`.
///
/// # Errors
/// What did not go as it should.
pub fn demo(args: &args::Args, out: &mut Out) -> Result<Exit, Failure> {
    let folder = Folder::new(args.keep.as_deref())?;
    let shape = if args.json { Shape::Json } else { Shape::Text };
    let mut play = Play::begin(&folder.path, shape)?;
    let ended = play.run(out);
    play.stop();
    ended?;
    let verdict = play.verdict(out);
    if args.keep.is_some() {
        let path = folder.path.display();
        out.line(format_args!("kept in {path}: hb checkpoint list --config {path}/hb.yaml"))?;
    }
    verdict
}

/// Where the demo keeps its state.
struct Folder {
    path: PathBuf,
    temporary: bool,
}

impl Folder {
    fn new(keep: Option<&Path>) -> Result<Self, Failure> {
        let temporary = keep.is_none();
        let path = match keep {
            Some(path) => path.to_path_buf(),
            None => std::env::temp_dir().join(format!("hb-demo-{}", std::process::id())),
        };
        let failed = |error: std::io::Error| Failure::new(Exit::CannotWrite, format!("{}: {error}", path.display()));
        if path.join("hb.yaml").try_exists().map_err(failed)? {
            return Err(Failure::new(Exit::Usage, format!("{} holds a demo already", path.display()))
                .help("name another folder"));
        }
        std::fs::create_dir_all(&path).map_err(failed)?;
        let keys = format!("output_dir: {0}/state\ndb_path: {0}/state/runs.db\n", path.display());
        std::fs::write(path.join("hb.yaml"), format!("{CONFIG}{keys}")).map_err(failed)?;
        Ok(Self { path, temporary })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.temporary
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            tracing::warn!("{} could not be removed: {error}", self.path.display());
        }
    }
}

/// How what happened is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

struct Node {
    name: &'static str,
    child: Child,
}

struct Play {
    folder: PathBuf,
    nodes: Vec<Node>,
    journal: DirJournal,
    follower: Follower,
    shape: Shape,
    began: Instant,
    cycles: Vec<(u64, String, u64)>,
    killed: Option<Stamp>,
    takeover_ms: Option<f64>,
}

impl Play {
    fn begin(folder: &Path, shape: Shape) -> Result<Self, Failure> {
        let journal = DirJournal::open(&folder.join("state/journal"))?;
        let mut play = Self {
            folder: folder.to_path_buf(),
            nodes: Vec::new(),
            journal,
            follower: Follower::new(StreamName::from("watch/host"), Seq(0)),
            shape,
            began: Instant::now(),
            cycles: Vec::new(),
            killed: None,
            takeover_ms: None,
        };
        play.start("anna")?;
        play.start("ben")?;
        Ok(play)
    }

    fn start(&mut self, name: &'static str) -> Result<(), Failure> {
        let failed =
            |error: std::io::Error| Failure::new(Exit::Error, format!("node {name} could not be started: {error}"));
        let log = std::fs::File::create(self.folder.join(format!("{name}.log"))).map_err(failed)?;
        let child = Command::new(std::env::current_exe().map_err(failed)?)
            .arg("daemon")
            .arg("--config")
            .arg(self.folder.join("hb.yaml"))
            .args(["--node", name, "--listen", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(failed)?;
        self.nodes.push(Node { name, child });
        Ok(())
    }

    fn run(&mut self, out: &mut Out) -> Result<(), Failure> {
        self.say(out, "two nodes, anna and ben, watch this machine twice a second; one decides, the other stands by")?;
        self.say(out, &format!("first they learn what normal is, from {LEARN} cycles"))?;
        self.follow(out, |play| play.decided() >= LEARN + BEFORE)?;
        self.kill_active(out)?;
        self.follow(out, |play| play.takeover_ms.is_some() && play.decided() >= LEARN + BEFORE + AFTER)?;
        self.say(out, "now every processor is made busy: the machine no longer behaves as it did")?;
        let load = Load::start();
        let until = self.decided() + LOADED;
        self.follow(out, |play| play.decided() >= until)?;
        drop(load);
        Ok(())
    }

    fn decided(&self) -> u64 {
        self.cycles.len() as u64
    }

    /// Prints what the journal says until `enough`.
    fn follow(&mut self, out: &mut Out, enough: impl Fn(&Self) -> bool) -> Result<(), Failure> {
        while !enough(self) {
            if self.began.elapsed() > LIMIT {
                let what = format!("the demo did not come to its end within {} s", LIMIT.as_secs());
                return Err(Failure::new(Exit::Error, what).help("see the nodes' logs: run it with --keep DIR"));
            }
            for sealed in self.follower.poll(&mut self.journal)? {
                self.show(&sealed, out)?;
            }
            out.finish()?;
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    fn show(&mut self, sealed: &Sealed, out: &mut Out) -> Result<(), Failure> {
        let record = &sealed.record;
        match &record.body {
            Body::EpochOpened { reason, .. } => {
                let mut text = format!("{} opens epoch {}: {reason}", record.node, record.epoch);
                if let Some(killed) = self.killed.filter(|_| self.takeover_ms.is_none()) {
                    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
                    let ms = record.at.since_ns(killed) as f64 / 1e6;
                    self.takeover_ms = Some(ms);
                    text.push_str(&format!(" ({ms:.1} ms after the kill)"));
                }
                self.say(out, &text)
            }
            Body::CycleDecided(decided) => {
                self.cycles.push((decided.decision.cycle.0, record.node.to_string(), record.epoch.0));
                self.cycle(sealed, decided, out)
            }
            Body::BaselineAdopted(adopted) => {
                self.say(out, &format!("{}: a baseline is {}", record.node, adopted.reason))
            }
            Body::EpochClosed { reason } => self.say(out, &format!("{} closes its epoch: {reason}", record.node)),
            Body::AlertDelivered(_) | Body::BaselineEvent(_) => Ok(()),
        }
    }

    fn cycle(&self, sealed: &Sealed, decided: &CycleDecided, out: &mut Out) -> Result<(), Failure> {
        let decision = &decided.decision;
        if self.shape == Shape::Json {
            let line = json!({
                "what": "cycle", "cycle": decision.cycle, "status": decision.status, "node": sealed.record.node,
                "epoch": sealed.record.epoch, "samples": decision.counts.window.samples, "headline": decision.headline,
                "drivers": decision.drivers.len(),
            });
            return self.line(out, &line);
        }
        let (cycle, node, epoch) = (decision.cycle, &sealed.record.node, sealed.record.epoch);
        out.line(format_args!("  {cycle:>3}  {node:<4}  epoch {epoch}  {}", decision.headline))
    }

    fn say(&self, out: &mut Out, text: &str) -> Result<(), Failure> {
        if self.shape == Shape::Json {
            self.line(out, &json!({ "what": "event", "text": text }))
        } else {
            out.line(format_args!("{text}"))
        }
    }

    fn line(&self, out: &mut Out, value: &Value) -> Result<(), Failure> {
        out.line(format_args!("{value}"))
    }

    fn kill_active(&mut self, out: &mut Out) -> Result<(), Failure> {
        let active = self.cycles.last().map(|(_, node, _)| node.clone()).unwrap_or_default();
        let Some(place) = self.nodes.iter().position(|node| node.name == active) else {
            return Err(Failure::new(Exit::Error, format!("no node called {active:?} was started here")));
        };
        let mut node = self.nodes.remove(place);
        self.say(out, &format!("kill -9 {} (the active one)", node.name))?;
        out.finish()?;
        self.killed = Some(clock::wall());
        let failed =
            |error: std::io::Error| Failure::new(Exit::Error, format!("{} could not be killed: {error}", node.name));
        node.child.kill().map_err(failed)?;
        node.child.wait().map_err(failed)?;
        Ok(())
    }

    fn stop(&mut self) {
        for node in &mut self.nodes {
            let pid = i32::try_from(node.child.id()).map(Pid::from_raw);
            if let Ok(pid) = pid
                && let Err(error) = kill(pid, Signal::SIGTERM)
            {
                tracing::warn!("node {} could not be told to stop: {error}", node.name);
            }
            if let Err(error) = node.child.wait() {
                tracing::warn!("node {}: {error}", node.name);
            }
        }
        self.nodes.clear();
    }

    /// Whether every cycle was decided exactly once, in order, over both nodes.
    fn verdict(&mut self, out: &mut Out) -> Result<Exit, Failure> {
        for sealed in self.follower.poll(&mut self.journal)? {
            self.show(&sealed, out)?;
        }
        let numbers: Vec<u64> = self.cycles.iter().map(|(cycle, _, _)| *cycle).collect();
        let sound = numbers.iter().copied().eq(0..numbers.len() as u64);
        let last = numbers.last().copied().unwrap_or_default();
        let took = self.takeover_ms.unwrap_or(f64::NAN);
        if !sound {
            return Err(Failure::new(Exit::Error, format!("cycles were lost or decided twice: {numbers:?}")));
        }
        let text = format!(
            "cycles 0 to {last}: each decided exactly once, none lost; the other node took over in {took:.1} ms"
        );
        self.say(out, &text)?;
        Ok(Exit::Ok)
    }
}

/// Keeps every processor busy until it is dropped.
struct Load(Arc<AtomicBool>);

impl Load {
    fn start() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        for _ in 0..processors {
            let over = Arc::clone(&over);
            std::thread::spawn(move || {
                let until = Instant::now() + LIMIT;
                while !over.load(Ordering::Relaxed) && Instant::now() < until {
                    std::hint::spin_loop();
                }
            });
        }
        Self(over)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
