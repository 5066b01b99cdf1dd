//! From `kill -9` of the active node to the standby's first record, as an onlooker sees it in the folder.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::child::{Kept, median, until, worst};
use crate::{Bench, Found, web};

const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug)]
struct Node {
    process: Kept,
    address: SocketAddr,
}

pub(crate) fn measure(bench: &Bench) -> Result<Found, String> {
    let rounds = bench.size.pick(2, 100);
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let config = folder.path().join("hb.yaml");
    let text = format!(
        "source: host\nname: w\ninterval_sec: 0.5\noutput_dir: {out}\ndb_path: {out}/runs.db\nalert_sinks: [file]\n",
        out = folder.path().join("out").display()
    );
    std::fs::write(&config, text).map_err(|error| error.to_string())?;
    let stream = folder.path().join("out/journal/watch/w");
    let mut active = start(bench, folder.path(), &config, 0)?;
    is(&active, "active")?;
    let mut took = Vec::new();
    for round in 1..=rounds {
        let standby = start(bench, folder.path(), &config, round)?;
        is(&standby, "standby")?;
        // Kills at any point of a cycle, not always at the same one.
        std::thread::sleep(Duration::from_millis(100 + u64::from(round) * 37 % 500));
        let head = newest(&stream).ok_or("the journal is empty")?;
        let begun = Instant::now();
        active.process.kill();
        took.push(first_record_of_another(&stream, head, begun)? * 1e3);
        is(&standby, "active")?;
        active = standby;
    }
    let (middle, most) = (median(&took), worst(&took));
    Ok(Found {
        figures: json!({"kills": rounds, "median_ms": middle, "worst_ms": most}),
        told: format!(
            "kill -9 to the standby's first record, {rounds} times: median {middle:.1} ms, worst {most:.1} ms"
        ),
    })
}

fn start(bench: &Bench, folder: &Path, config: &Path, round: u32) -> Result<Node, String> {
    let address = web::free_port()?;
    let mut command = Command::new(&bench.hb);
    command.args(["daemon", "--node", &format!("n{round}"), "--listen", &address.to_string(), "--config"]).arg(config);
    let process = Kept::start(&mut command, &folder.join(format!("{round}.log")))?;
    Ok(Node { process, address })
}

fn is(node: &Node, role: &str) -> Result<(), String> {
    until(&format!("a node to be {role}"), PATIENCE, || {
        let status = web::get(node.address, "/v1/status")?;
        (status.get("role")?.as_str()? == role).then_some(())
    })
}

fn record(stream: &Path, seq: u64) -> PathBuf {
    stream.join(format!("{seq:020}.rec"))
}

fn newest(stream: &Path) -> Option<u64> {
    let names = std::fs::read_dir(stream).ok()?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    names.filter_map(|name| name.strip_suffix(".rec")?.parse().ok()).max()
}

/// Seconds from `begun` until a record stands that opens an epoch.
fn first_record_of_another(stream: &Path, head: u64, begun: Instant) -> Result<f64, String> {
    let mut next = head + 1;
    until("a standby to take over", PATIENCE, || {
        let bytes = std::fs::read(record(stream, next)).ok()?;
        let seen = begun.elapsed().as_secs_f64();
        let line = bytes.split(|byte| *byte == b'\n').next()?;
        let kind = serde_json::from_slice::<Value>(line).ok()?;
        if kind.pointer("/body/kind")?.as_str()? == "epoch_opened" {
            return Some(seen);
        }
        // The last words of the one that was killed.
        next += 1;
        None
    })
}
