//! Many watches on three nodes: what that costs at rest, and how soon the watches of a killed node are worked for again.
//!
//! Each watch reads a file of its own, in which readings are numbered; a fifth of the files fall silent. The journal is read from outside.
//! For each watch of the killed node: how long until a record of another node stands, and how late that node's first cycle is, from the
//! cycle's end, or from the death where that was later. In the end every journal is looked through (`witness.rs`). `HB_BENCH_WATCHES` asks
//! for another number of watches, `HB_LOG` lets nodes say more.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::json;

use super::engines::{self, Engine, Kind, Way};
use super::shelf::{Head, Shelf, head, open};
use super::site::unix;
use super::witness::Witness;
use super::{Sheet, Spread, TTLS, found};
use crate::child::{Kept, said, until};
use crate::supervise::stage::now;
use crate::supervise::{load, usage};
use crate::{Bench, Found, web};

/// The nodes.
const NODES: [&str; 3] = ["n0", "n1", "n2"];
/// How long anything may take, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at the journal while a takeover is measured.
const LOOK: Duration = Duration::from_millis(20);
/// Seconds of a cycle.
const INTERVAL: u64 = 5;
/// One of so many files falls silent.
const SILENT: usize = 5;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
struct Scale {
    watches: usize,
    kills: usize,
    rest: Duration,
}

/// Measures on a shared folder, and on PostgreSQL.
pub(crate) fn measure(bench: &Bench) -> Result<Found, String> {
    let before = load();
    let watches = std::env::var("HB_BENCH_WATCHES").ok().and_then(|count| count.parse().ok()).unwrap_or(1_000);
    let small = Scale { watches: 30, kills: 1, rest: Duration::from_secs(1) };
    let full = Scale { watches, kills: 5, rest: Duration::from_secs(30) };
    let scale = bench.size.pick(small, full);
    let mut sheet = Sheet::default();
    for kind in [Kind::File, Kind::Postgres] {
        let engine = match engines::start(kind, None) {
            Ok(engine) => engine,
            Err(why) => {
                sheet.missing(kind.title(), &why);
                continue;
            }
        };
        on(bench, &*engine, scale, &mut sheet)?;
    }
    let title = format!("{} watches on three nodes, cycles of {INTERVAL} s", scale.watches);
    Ok(found(&title, sheet, before))
}

fn on(bench: &Bench, engine: &dyn Engine, scale: Scale, sheet: &mut Sheet) -> Result<(), String> {
    let name = if engine.kind() == Kind::Postgres { "postgres" } else { "file" };
    let mut site = Site::new(bench, engine, scale.watches)?;
    for place in 0..NODES.len() {
        site.start(place)?;
    }
    site.even()?;
    site.rest(scale.rest, (name, sheet));
    let (mut records, mut cycles) = (Spread::default(), Spread::default());
    for kill in 0..scale.kills {
        let victim = kill % NODES.len();
        let took = site.kill(victim)?;
        sheet.spread(&format!("{name}, kill {} of {}, record", kill + 1, scale.kills), &took.0);
        records.0.extend(took.0.0);
        cycles.0.extend(took.1.0);
        site.start(victim)?;
        site.even()?;
    }
    sheet.spread(&format!("{name}, ttl {} s, to the first record", TTLS[0]), &records);
    sheet.spread(&format!("{name}, ttl {} s, first cycle late", TTLS[0]), &cycles);
    let sound = site.judge()?;
    sheet.put(&format!("{name}, journals"), json!(sound), &format!("{sound} whole: nothing lost, nothing twice"));
    Ok(())
}

/// A running node.
struct Node {
    process: Kept,
    address: SocketAddr,
}

struct Site<'a> {
    bench: &'a Bench,
    engine: &'a dyn Engine,
    folder: tempfile::TempDir,
    watches: Vec<String>,
    nodes: BTreeMap<usize, Node>,
    shelf: Box<dyn Shelf>,
    _writer: Writer,
}

impl<'a> Site<'a> {
    fn new(bench: &'a Bench, engine: &'a dyn Engine, watches: usize) -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("hb-bench-").tempdir().map_err(|error| error.to_string())?;
        let watches: Vec<String> = (0..watches).map(|number| format!("w{number:04}")).collect();
        let writer = Writer::start(folder.path(), &watches)?;
        let shelf = open(engine, folder.path())?;
        Ok(Self { bench, engine, folder, watches, nodes: BTreeMap::new(), shelf, _writer: writer })
    }

    fn config(&self, place: usize) -> PathBuf {
        self.folder.path().join(format!("{place}.yaml"))
    }

    fn start(&mut self, place: usize) -> Result<(), String> {
        let (folder, address) = (self.folder.path().display(), web::free_port()?);
        let shared = if self.engine.kind().shares_a_folder() { "shared".to_owned() } else { format!("own{place}") };
        let way = Way { at: self.engine.address(), place: "many" };
        let engine = self.engine.settings(way, TTLS[0]).replace("lease: {", "lease: {scope: watch, ");
        let mut text = format!(
            "source: file\ninterval_sec: {INTERVAL}\nlearn: {{auto: false}}\noutput_dir: {folder}/{shared}\n\
             db_path: {folder}/{place}.db\nalert_sinks: [file]\nreports: none\n{engine}watches:\n"
        );
        for watch in &self.watches {
            writeln!(text, "  {watch}: {{path: {folder}/{watch}.jsonl}}").map_err(|error| error.to_string())?;
        }
        let config = self.config(place);
        fs::write(&config, text).map_err(|error| error.to_string())?;
        let name = NODES.get(place).copied().unwrap_or_default();
        let mut command = Command::new(&self.bench.hb);
        command.env("HB_LOG", std::env::var("HB_LOG").unwrap_or_else(|_| "warn".into()));
        command.args(["daemon", "--node", name, "--listen", &address.to_string(), "--config"]).arg(&config);
        let log = self.folder.path().join(format!("{name}-{}.log", unix()));
        self.nodes.insert(place, Node { process: Kept::start(&mut command, &log)?, address });
        Ok(())
    }

    /// Who works for which watch, by a node's word.
    fn holders(&self, place: usize) -> Option<BTreeMap<String, String>> {
        let status = web::get(self.nodes.get(&place)?.address, "/v1/status")?;
        let holders = status.get("holders")?.as_object()?;
        Some(holders.iter().filter_map(|(watch, node)| Some((watch.clone(), node.as_str()?.to_owned()))).collect())
    }

    /// Waits until all watches are worked for, by three nodes evenly, and each has decided a cycle more.
    fn even(&mut self) -> Result<(), String> {
        let shares = |site: &Self| {
            let holders = site.holders(0)?;
            let of = |node: &str| holders.values().filter(|holder| *holder == node).count();
            Some((holders.len(), NODES.map(of)))
        };
        let all = self.watches.len();
        // A node that has just come up knows of all once its session stands there.
        let knows = |site: &Self| (0..NODES.len()).all(|place| site.holders(place).is_some_and(|all| !all.is_empty()));
        until("all nodes to know of each other", PATIENCE, || knows(self).then_some(()))?;
        let whole = |shares: &(usize, [usize; 3])| shares.0 == all;
        until("all watches to be worked for", PATIENCE, || shares(self).filter(whole))?;
        let spread = |shares: &(usize, [usize; 3])| {
            whole(shares) && shares.1.iter().all(|count| count.abs_diff(all / NODES.len()) <= 1)
        };
        if shares(self).filter(spread).is_none() {
            let mut command = Command::new(&self.bench.hb);
            command.args(["rebalance", "--wait", "120", "--reason", "measured", "--config"]).arg(self.config(0));
            said(&mut command)?;
            until("watches to be spread evenly", PATIENCE, || shares(self).filter(spread))?;
        }
        self.all_go_on()
    }

    /// Waits until each watch has a cycle that was not there.
    fn all_go_on(&mut self) -> Result<(), String> {
        let mut waited: BTreeMap<String, u64> = self.watches.iter().map(|watch| (watch.clone(), 0)).collect();
        for (watch, seq, _) in self.shelf.from(&waited)? {
            waited.insert(watch, seq + 1);
        }
        let end = now() + PATIENCE.as_secs_f64();
        while !waited.is_empty() {
            for (watch, seq, bytes) in self.shelf.from(&waited)? {
                if head(&bytes).is_some_and(|head| head.end.is_some()) {
                    waited.remove(&watch);
                } else if let Some(next) = waited.get_mut(&watch) {
                    *next = seq + 1;
                }
            }
            if now() > end {
                return Err(format!("{} watches do not go on: {:?}", waited.len(), waited.keys().next()));
            }
            std::thread::sleep(Duration::from_millis(300));
        }
        Ok(())
    }

    /// What the nodes use while nothing happens but cycles.
    fn rest(&self, span: Duration, (name, sheet): (&str, &mut Sheet)) {
        let pids: Vec<u32> = self.nodes.values().map(|node| node.process.0.id()).collect();
        let before: Vec<f64> = pids.iter().map(|pid| usage::processor(&[*pid])).collect();
        std::thread::sleep(span);
        for ((pid, before), node) in pids.iter().zip(before).zip(self.nodes.values()) {
            let share = (usage::processor(&[*pid]) - before) / span.as_secs_f64() * 100.0;
            let (memory, threads) = (usage::memory(&[*pid]).rss, node.process.kilobytes("Threads:").unwrap_or(0));
            let figures = json!({"core_percent": share, "rss_mb": memory, "threads": threads});
            let told = format!("{share:.1} % of a core, {memory:.0} MB (RSS), {threads} threads");
            sheet.put(&format!("{name}, a node at rest ({pid})"), figures, &told);
        }
    }

    /// Kills a node. Gives how long it took in milliseconds, for each of its watches: to a record of another one, and how late the first
    /// cycle of that was.
    fn kill(&mut self, victim: usize) -> Result<(Spread, Spread), String> {
        let name = NODES.get(victim).copied().unwrap_or_default();
        let holders = self.holders((victim + 1) % NODES.len()).ok_or("a node does not answer")?;
        let mut waited: BTreeMap<String, u64> =
            holders.into_iter().filter(|(_, node)| node == name).map(|(watch, _)| (watch, 0)).collect();
        for (watch, seq, _) in self.shelf.from(&waited)? {
            waited.insert(watch, seq + 1);
        }
        // Somewhere between two signs of life.
        std::thread::sleep(Duration::from_secs_f64(unix().fract()));
        let Some(mut node) = self.nodes.remove(&victim) else { return Err(format!("there is no {name}")) };
        let (death, died) = (now(), unix());
        node.process.kill();
        let (mut records, mut cycles) = (BTreeMap::new(), Spread::default());
        while !waited.is_empty() {
            for (watch, seq, bytes) in self.shelf.from(&waited)? {
                let took = (now() - death) * 1e3;
                let Head { node, end } = head(&bytes).ok_or_else(|| format!("record {seq} of {watch} is none"))?;
                if node != name {
                    records.entry(watch.clone()).or_insert(took);
                }
                let Some(next) = waited.get_mut(&watch) else { continue };
                *next = seq + 1;
                if let Some(end) = end.filter(|_| node != name) {
                    cycles.0.push((unix() - end.max(died)) * 1e3);
                    waited.remove(&watch);
                }
            }
            if now() - death > PATIENCE.as_secs_f64() {
                return Err(format!("{} watches are worked for by nobody: {:?}", waited.len(), waited.keys().next()));
            }
            std::thread::sleep(LOOK);
        }
        Ok((Spread(records.into_values().collect()), cycles))
    }

    /// Looks through all journals.
    fn judge(mut self) -> Result<usize, String> {
        self.nodes.clear();
        for watch in &self.watches {
            let mut witness = Witness::new(self.shelf.stream(watch)?);
            witness.look()?;
            witness.judge().sound().map_err(|why| format!("{watch}: {why}"))?;
        }
        Ok(self.watches.len())
    }
}

/// Writes a numbered reading into each file every second; into some only in the beginning.
struct Writer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    fn start(folder: &Path, watches: &[String]) -> Result<Self, String> {
        let make = |watch: &String| {
            let path = folder.join(format!("{watch}.jsonl"));
            OpenOptions::new()
                .create(true)
                .append(true)
                .open(&path)
                .map_err(|error| format!("{}: {error}", path.display()))
        };
        let mut files = watches.iter().map(make).collect::<Result<Vec<File>, String>>()?;
        let stop = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            for number in 0_u64.. {
                if ended.load(Ordering::Acquire) || write_once(&mut files, number).is_err() {
                    return;
                }
                std::thread::sleep(Duration::from_secs(1));
            }
        });
        Ok(Self { stop, thread: Some(thread) })
    }
}

/// A reading into each file, evenly over a while; some fall silent after ten.
fn write_once(files: &mut [File], number: u64) -> std::io::Result<()> {
    for (place, file) in files.iter_mut().enumerate() {
        if number > 10 && place % SILENT == 0 {
            continue;
        }
        let line = format!("{{\"metric\":\"n\",\"value\":{number},\"timestamp\":{:.6}}}\n", unix());
        file.write_all(line.as_bytes())?;
        if place % 50 == 49 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    Ok(())
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // It does nothing that panics.
            drop(thread.join());
        }
    }
}
