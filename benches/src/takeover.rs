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
    let mut figures = json!({"kills": rounds, "median_ms": middle, "worst_ms": most});
    let mut told =
        format!("kill -9 to the standby's first record, {rounds} times: median {middle:.1} ms, worst {most:.1} ms");
    match peer(folder.path(), rounds) {
        Ok(peer) => {
            let (middle, most) = (median(&peer), worst(&peer));
            if let Value::Object(map) = &mut figures {
                map.insert("flock_median_ms".into(), json!(middle));
                map.insert("flock_worst_ms".into(), json!(most));
            }
            told.push_str(&format!("; `flock` starting `touch`: median {middle:.1} ms, worst {most:.1} ms"));
        }
        Err(why) => told.push_str(&format!("; no peer beside it: {why}")),
    }
    Ok(Found { figures, told })
}

/// The least that takes over at all: util-linux' `flock` waits for a lock and then starts a program that makes a file. It records
/// nothing, fences nobody, and has no program that is warm.
fn peer(folder: &Path, rounds: u32) -> Result<Vec<f64>, String> {
    let lock = folder.join("peer.lock");
    let flock = |program: &str, argument: &Path, log: &str| {
        let mut command = Command::new("flock");
        Kept::start(command.arg("--no-fork").arg(&lock).arg(program).arg(argument), &folder.join(log))
    };
    let mut took = Vec::new();
    for round in 0..rounds {
        let made = folder.join(format!("peer-{round}"));
        let mut holder = flock("sleep", Path::new("100"), "peer-holder.log")?;
        until("the lock to be held", PATIENCE, || in_locks(holder.0.id(), "FLOCK").then_some(()))?;
        // Kept until the file is there; the kernel shows who waits in a line of its own with an arrow.
        let waiter = flock("touch", &made, "peer-waiter.log")?;
        until("a waiter", PATIENCE, || in_locks(waiter.0.id(), "->").then_some(()))?;
        let begun = Instant::now();
        holder.kill();
        until("the file of the waiter", PATIENCE, || made.is_file().then_some(()))?;
        took.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    Ok(took)
}

/// Whether a line of `/proc/locks` with `mark` in it names the process.
fn in_locks(pid: u32, mark: &str) -> bool {
    let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    let pid = format!(" {pid} ");
    locks.lines().any(|line| line.contains(mark) && line.contains(&pid))
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
