//! A standby that has nothing to do: what it costs, and what it asks of its engine. Cycles of ten seconds, as a watch of a machine has.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::engines::{Engine, Way};
use super::gate::{Gate, Speech, about_records};
use super::site::is;
use super::{Sheet, TTLS, faults};
use crate::child::Kept;
use crate::supervise::usage;
use crate::{Bench, web};

/// A pair, each with a door of its own.
struct Pair {
    folder: tempfile::TempDir,
    gates: [Option<Gate>; 2],
    nodes: Vec<Kept>,
}

/// Measures both nodes of a pair at rest.
///
/// # Errors
/// They never come to be one active and one standby.
pub(crate) fn measure(bench: &Bench, engine: &dyn Engine, sheet: &mut Sheet) -> Result<(), String> {
    for ttl in TTLS.into_iter().take(bench.size.pick(1, 2)) {
        one(bench, engine, ttl, sheet)?;
    }
    Ok(())
}

fn one(bench: &Bench, engine: &dyn Engine, ttl: f64, sheet: &mut Sheet) -> Result<(), String> {
    let mut pair = Pair {
        folder: tempfile::Builder::new().prefix("hb-bench-").tempdir().map_err(|error| error.to_string())?,
        gates: [gate(engine)?, gate(engine)?],
        nodes: Vec::new(),
    };
    let place = format!("idle{ttl}");
    for (index, role) in ["active", "standby"].into_iter().enumerate() {
        let address = pair.start(bench, engine, (index, &place), ttl)?;
        is(address, role)?;
    }
    let (settle, seconds) = if faults::tried(bench) { (1, 1) } else { (12, 30) };
    std::thread::sleep(Duration::from_secs(settle));
    let [works, stands] = pair.nodes.as_slice() else { return Err("a pair is two".into()) };
    pair.gates.iter().flatten().for_each(|gate| drop(gate.asked()));
    let pids = [works.0.id(), stands.0.id()];
    let before = pids.map(|pid| usage::processor(&[pid]));
    std::thread::sleep(Duration::from_secs(seconds));
    let after = pids.map(|pid| usage::processor(&[pid]));
    let span = Duration::from_secs(seconds).as_secs_f64();
    let asked: Vec<_> = pair.gates.iter().map(|gate| gate.as_ref().map(Gate::asked)).collect();
    for (at, name) in ["active", "standby"].into_iter().enumerate() {
        let (Some(pid), Some(from), Some(to)) = (pids.get(at), before.get(at), after.get(at)) else { continue };
        let share = (to - from) / span * 100.0;
        let memory = usage::memory(&[*pid]);
        let mut figures = json!({"core_percent": share, "rss_mb": memory.rss, "pss_mb": memory.pss, "seconds": span});
        let mut told = format!("{share:.2} % of a core over {span:.0} s, {:.1} MB (RSS)", memory.rss);
        if let (Some(requests), Value::Object(map)) = (asked.get(at).and_then(Option::as_ref), &mut figures) {
            let (records, lease) = requests.iter().fold((0, 0), |(records, lease), (question, count)| {
                if about_records(question) { (records + count, lease) } else { (records, lease + count) }
            });
            let [records, lease] =
                [records, lease].map(|count| f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / span);
            map.insert("lease_requests_per_second".into(), json!(lease));
            map.insert("journal_requests_per_second".into(), json!(records));
            map.insert("asked".into(), json!(requests));
            told.push_str(&format!("; {lease:.2} requests/s for lease and board, {records:.2} for the journal"));
        }
        sheet.put(&format!("idle {name}, ttl {ttl} s"), figures, &told);
    }
    Ok(())
}

fn gate(engine: &dyn Engine) -> Result<Option<Gate>, String> {
    let speech = if engine.kind() == super::engines::Kind::Postgres { Speech::Sql } else { Speech::Http };
    engine.address().map(|address| Gate::open(address, speech)).transpose()
}

impl Pair {
    fn start(
        &mut self,
        bench: &Bench,
        engine: &dyn Engine,
        (index, place): (usize, &str),
        ttl: f64,
    ) -> Result<SocketAddr, String> {
        let address = web::free_port()?;
        let folder = self.folder.path();
        let shared = if engine.kind().shares_a_folder() { "shared".to_owned() } else { format!("n{index}") };
        let at = self.gates.get(index).and_then(Option::as_ref).map(|gate| gate.address);
        let text = format!(
            "source: host\ninterval_sec: 10\noutput_dir: {folder}/{shared}\ndb_path: {folder}/{index}.db\nalert_sinks: [file]\n{engine}",
            folder = folder.display(),
            engine = engine.settings(Way { at, place }, ttl),
        );
        let config = folder.join(format!("{index}.yaml"));
        std::fs::write(&config, text).map_err(|error| error.to_string())?;
        let mut command = Command::new(&bench.hb);
        for (key, value) in engine.environment() {
            command.env(key, value);
        }
        command.args(["daemon", "--node", &format!("n{index}"), "--listen", &address.to_string(), "--config"]);
        self.nodes.push(Kept::start(command.arg(&config), &folder.join(format!("{index}.log")))?);
        Ok(address)
    }
}
