//! Nodes that work on one watch, the telemetry that they read, and the witness of their journal.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::engines::{Engine, Way};
use super::host::Host;
use super::witness::{Whole, Witness};
use crate::child::{Kept, said, until};
use crate::supervise::stage::now;
use crate::{Bench, web};

/// Name of the watch.
pub(crate) const WATCH: &str = "w";
/// How long anything may take, on a machine that does other things too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Between two readings.
const PACE: Duration = Duration::from_millis(10);

/// How nodes of a site are set up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    pub(crate) ttl: f64,
    /// Length of a cycle in seconds.
    pub(crate) interval: f64,
}

/// A running node.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: &'static str,
    pub(crate) process: Kept,
    address: SocketAddr,
}

impl Node {
    /// What it says that it is.
    pub(crate) fn role(&self) -> Option<String> {
        Some(web::get(self.address, "/v1/status")?.get("role")?.as_str()?.to_owned())
    }

    fn has_ended(&mut self) -> bool {
        self.process.0.try_wait().is_ok_and(|status| status.is_some())
    }
}

/// Where nodes work.
pub(crate) struct Site<'a> {
    bench: &'a Bench,
    engine: &'a dyn Engine,
    folder: tempfile::TempDir,
    /// Name of this site among those of the engine.
    place: String,
    manner: Manner,
    pub(crate) witness: Witness,
    _telemetry: Telemetry,
    /// Whose machine is another one.
    far: Option<&'a Host>,
    /// Takeovers that nothing had been done for.
    needless: usize,
}

impl<'a> Site<'a> {
    /// A site of its own on an engine; with `far`, the node `a` is on that machine.
    ///
    /// # Errors
    /// No folder can be made.
    pub(crate) fn new(
        bench: &'a Bench,
        engine: &'a dyn Engine,
        manner: Manner,
        far: Option<&'a Host>,
    ) -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("hb-bench-").tempdir().map_err(|error| error.to_string())?;
        let place = fresh();
        let witness = Witness::new(engine.journal(&place, folder.path())?);
        let telemetry = Telemetry::start(folder.path().join("telemetry.jsonl"))?;
        Ok(Self { bench, engine, folder, place, manner, witness, _telemetry: telemetry, far, needless: 0 })
    }

    fn config(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.yaml"))
    }

    fn far(&self, name: &str) -> Option<&'a Host> {
        self.far.filter(|_| name == "a")
    }

    /// `hb …` as the node would be called.
    fn hb(&self, name: &str) -> Command {
        let mut command =
            self.far(name).map_or_else(|| Command::new(&self.bench.hb), |host| host.command(&self.bench.hb));
        command.env("HB_LOG", "info");
        for (key, value) in self.engine.environment() {
            command.env(key, value);
        }
        command
    }

    /// Starts a node; one that has been there before goes on in its own folder.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn start(&self, name: &'static str) -> Result<Node, String> {
        let (from, address) = match self.far(name) {
            Some(host) => (IpAddr::V4(host.near), SocketAddr::new(IpAddr::V4(host.far), 9090)),
            None => (IpAddr::V4(Ipv4Addr::LOCALHOST), web::free_port()?),
        };
        let folder = self.folder.path();
        let shared = if self.engine.kind().shares_a_folder() { "shared" } else { name };
        let way =
            Way { at: self.engine.address().map(|known| SocketAddr::new(from, known.port())), place: &self.place };
        let text = format!(
            "source: file\npath: {folder}/telemetry.jsonl\nname: {WATCH}\ninterval_sec: {interval}\nlearn: {{auto: false}}\n\
             output_dir: {folder}/{shared}\ndb_path: {folder}/{name}.db\nalert_sinks: [file]\nreports: none\n{engine}",
            folder = folder.display(),
            interval = self.manner.interval,
            engine = self.engine.settings(way, self.manner.ttl),
        );
        fs::write(self.config(name), text).map_err(|error| error.to_string())?;
        let mut command = self.hb(name);
        command.args(["daemon", "--node", name, "--listen", &address.to_string(), "--config"]).arg(self.config(name));
        let process = Kept::start(&mut command, &folder.join(format!("{name}.log")))?;
        Ok(Node { name, process, address })
    }

    /// `hb switchover --to NAME`.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn switchover(&self, to: &str) -> Result<Kept, String> {
        // From the machine that the node is on: where that is another one, its own is asked.
        let mut command = self.hb("b");
        command.args(["switchover", "--to", to, "--reason", "measured", "--config"]).arg(self.config("b"));
        Kept::start(&mut command, &self.folder.path().join("switchover.log"))
    }

    /// What a node or a command has said last, for whoever looks for the reason of a failure.
    pub(crate) fn log(&self, name: &str) -> String {
        let text = fs::read_to_string(self.folder.path().join(format!("{name}.log"))).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(12).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Starts one node, and once that works the other one.
    ///
    /// # Errors
    /// One of them cannot be started, or the first one never works.
    pub(crate) fn pair(&self) -> Result<[Node; 2], String> {
        let first = self.start("a")?;
        is(first.address, "active").map_err(|error| format!("{error}\n{}", self.log("a")))?;
        Ok([first, self.start("b")?])
    }

    /// Waits until one of both is active and the other stands by, warm; gives the place of the active one. A node that has ended although
    /// nothing had been done to it is started again, and counted.
    ///
    /// # Errors
    /// They never are, with what they said.
    pub(crate) fn ready(&mut self, nodes: &mut [Node; 2]) -> Result<usize, String> {
        let end = now() + PATIENCE.as_secs_f64();
        let active = loop {
            for node in &mut *nodes {
                if node.has_ended() {
                    self.needless += 1;
                    *node = self.start(node.name)?;
                }
            }
            self.witness.look()?;
            let writer = self.witness.writer().map(str::to_owned);
            let roles: Vec<Option<String>> = nodes.iter().map(Node::role).collect();
            let is = |place: usize, role: &str| roles.get(place).and_then(Option::as_deref) == Some(role);
            let works = |place: usize| writer.as_deref() == nodes.get(place).map(|node| node.name);
            if let Some(active) = [0, 1].into_iter().find(|at| works(*at) && is(*at, "active") && is(1 - at, "standby"))
            {
                break active;
            }
            if now() > end {
                return Err(format!("no pair: {roles:?}\na:\n{}\nb:\n{}", self.log("a"), self.log("b")));
            }
        };
        let before = self.witness.cycles();
        self.until("another cycle", |site| (site.witness.cycles() > before).then_some(()))?;
        Ok(active)
    }

    /// Reads along for a while.
    ///
    /// # Errors
    /// As [`Witness::look`].
    pub(crate) fn pass(&mut self, pause: f64) -> Result<(), String> {
        let end = now() + pause;
        while now() < end {
            self.witness.look()?;
            std::thread::sleep(Duration::from_micros(500));
        }
        Ok(())
    }

    /// Reads along until something is so.
    ///
    /// # Errors
    /// It never was, with what the nodes said.
    pub(crate) fn until<T>(&mut self, what: &str, mut ask: impl FnMut(&mut Self) -> Option<T>) -> Result<T, String> {
        let end = now() + PATIENCE.as_secs_f64();
        loop {
            self.witness.look()?;
            if let Some(answer) = ask(self) {
                return Ok(answer);
            }
            if now() > end {
                return Err(format!("waited for {what} in vain\na:\n{}\nb:\n{}", self.log("a"), self.log("b")));
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Ends the nodes, lets hb check the chain of all records, and looks at every one of them.
    ///
    /// # Errors
    /// Something was lost, doubled, damaged, or written by whom it should not.
    pub(crate) fn close(mut self, mut nodes: [Node; 2]) -> Result<Whole, String> {
        for node in &mut nodes {
            node.process.kill();
        }
        self.witness.look()?;
        said(self.hb("b").args(["journal", "verify", "--config"]).arg(self.config("b")))?;
        let mut whole = self.witness.judge();
        whole.needless = self.needless;
        whole.sound()?;
        Ok(whole)
    }
}

/// A name that no other site of this program has.
fn fresh() -> String {
    use std::sync::atomic::AtomicU32;
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("s{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Somebody who appends numbered readings to a file, each dated with the moment of its writing.
#[derive(Debug)]
struct Telemetry {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Telemetry {
    fn start(path: PathBuf) -> Result<Self, String> {
        let mut file = File::create(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let stop = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            for number in 0_u64.. {
                if ended.load(Ordering::Acquire) {
                    return;
                }
                let at = unix();
                let line = format!("{{\"metric\":\"n\",\"value\":{number},\"timestamp\":{at:.6}}}\n");
                if file.write_all(line.as_bytes()).is_err() {
                    return;
                }
                std::thread::sleep(PACE);
            }
        });
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // It does nothing that panics.
            drop(thread.join());
        }
    }
}

/// Seconds of Unix time.
pub(crate) fn unix() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(f64::NAN, |since| since.as_secs_f64())
}

/// Waits for a role, for nodes that nobody reads the journal of.
///
/// # Errors
/// It never has it.
pub(crate) fn is(address: SocketAddr, role: &str) -> Result<(), String> {
    until(&format!("a node to be {role}"), PATIENCE, || {
        let status = web::get(address, "/v1/status")?;
        (status.get("role")?.as_str()? == role).then_some(())
    })
}
