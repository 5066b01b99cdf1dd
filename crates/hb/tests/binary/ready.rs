//! Does `/ready` know? It falls, naming the check, for everything that is not usable, and comes back when it is; meanwhile and
//! afterwards the watch goes on. And `/live` knows when the work loop hangs.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hb_core::journal::Hash;
use nix::sys::signal::Signal;
use rusqlite::Connection;

use crate::support::http;
use crate::support::hung::Hung;
use crate::support::journal;
use crate::support::mount::{Mount, not_run};
use crate::support::node::Node;
use crate::support::project::Project;
use crate::support::steady::Steady;
use crate::support::{GENEROUS, until, within};

// ---------------------------------------------------------------------- the database

fn aside(path: &Path) -> PathBuf {
    path.with_extension("aside")
}

/// The files of a database: itself, its log and the log's index.
fn files(db: &Path) -> Vec<PathBuf> {
    let beside = |ending: &str| PathBuf::from(format!("{}{ending}", db.display()));
    vec![db.to_owned(), beside("-wal"), beside("-shm")]
}

/// Rows of decided cycles in a database.
fn rows(db: &Path) -> Option<usize> {
    let connection = Connection::open(db).ok()?;
    let count: i64 = connection.query_row("SELECT count(*) FROM runs", [], |row| row.get(0)).ok()?;
    usize::try_from(count).ok()
}

/// Waits until every cycle of the journal so far has its row.
fn caught_up(steady: &mut Steady) {
    steady.reader.poll();
    let cycles = steady.reader.cycles();
    let db = steady.project.db();
    until("every cycle has its row in the database", || (rows(&db)? >= cycles).then_some(()));
}

#[test]
fn ready_falls_for_garbage_in_place_of_the_database() {
    let mut steady = Steady::start("");
    let db = steady.project.db();
    fs::rename(&db, aside(&db)).unwrap();
    fs::write(&db, b"this is no database at all, whatever its name says".repeat(300)).unwrap();
    let what = steady.not_ready("db");
    assert!(what.contains("runs.db"), "{what}");
    steady.cycles(3);
    fs::rename(aside(&db), &db).unwrap();
    steady.ready();
    caught_up(&mut steady);
    println!("garbage: {what}");
    steady.finish();
}

#[test]
fn ready_falls_for_a_truncated_database() {
    let mut steady = Steady::start("");
    let db = steady.project.db();
    let whole = fs::read(&db).unwrap();
    fs::rename(&db, aside(&db)).unwrap();
    fs::write(&db, &whole[..whole.len() / 2 - 100]).unwrap();
    let what = steady.not_ready("db");
    assert!(what.contains("runs.db"), "{what}");
    fs::write(&db, b"").unwrap();
    until("an empty file is told as such", || steady.not_ready("db").contains("0 bytes").then_some(()));
    steady.cycles(3);
    fs::rename(aside(&db), &db).unwrap();
    steady.ready();
    caught_up(&mut steady);
    println!("truncated: {what}");
    steady.finish();
}

#[test]
fn ready_falls_for_a_locked_database() {
    let mut steady = Steady::start("");
    let other = Connection::open(steady.project.db()).unwrap();
    // A write lock: an exclusive one is not to be had while hb holds its own, which is as it should be.
    other.execute_batch("PRAGMA busy_timeout=5000; BEGIN IMMEDIATE").unwrap();
    let what = steady.not_ready("db");
    assert!(what.contains("locked"), "{what}");
    steady.cycles(3);
    other.execute_batch("COMMIT").unwrap();
    drop(other);
    steady.ready();
    caught_up(&mut steady);
    println!("locked: {what}");
    steady.finish();
}

#[test]
fn somebody_who_reads_the_database_does_no_harm() {
    let mut steady = Steady::start("");
    let db = steady.project.db();
    // Looked at a few times by the node itself, every two seconds, and then by somebody else, as any script does.
    for _ in 0..3 {
        std::thread::sleep(Duration::from_secs(3));
        assert!(rows(&db).is_some());
        steady.cycles(2);
    }
    caught_up(&mut steady);
    steady.ready();
    let log = steady.node.log();
    assert!(!log.contains("WARN view") && !log.contains("disk I/O"), "{log}");
    steady.finish();
}

#[test]
fn ready_falls_for_a_missing_database_which_is_then_made_anew() {
    let mut steady = Steady::start("");
    let db = steady.project.db();
    for file in files(&db) {
        drop(fs::remove_file(file));
    }
    let what = steady.not_ready("db");
    assert!(what.contains("missing"), "{what}");
    steady.cycles(3);
    // It is waited for; then it is rebuilt from the journal.
    steady.ready();
    caught_up(&mut steady);
    println!("missing: {what}");
    steady.finish();
}

// ---------------------------------------------------------------------- the configuration

fn settings_in_force(steady: &mut Steady) -> Hash {
    steady.cycles(2);
    journal::cycles(&steady.reader.records).last().unwrap().decision.settings
}

#[test]
fn ready_falls_for_a_configuration_that_a_reload_refuses() {
    let mut steady = Steady::start("");
    let before = settings_in_force(&mut steady);
    let text = fs::read_to_string(steady.project.config()).unwrap();
    for (bad, says) in [
        (text.replace("interval_sec: 10", "interval_secs: 10"), "interval_sec"),
        (text.replace("lateness_sec: 2", "lateness_sec: [2"), "hb.yaml"),
        (text.replace("/out\n", "/elsewhere\n"), "output_dir"),
        (text.replace("lateness_sec: 2", "lateness_sec: minus two"), "lateness_sec"),
    ] {
        fs::write(steady.project.config(), &bad).unwrap();
        steady.node.signal(Signal::SIGHUP);
        let what = until("the refusal", || Some(steady.not_ready("config")).filter(|what| what.contains(says)));
        assert_eq!(settings_in_force(&mut steady), before, "the old settings stay in force");
        println!("config: {what}");
        fs::write(steady.project.config(), &text).unwrap();
        steady.node.signal(Signal::SIGHUP);
        steady.ready();
    }
    fs::remove_file(steady.project.config()).unwrap();
    steady.node.signal(Signal::SIGHUP);
    steady.not_ready("config");
    assert_eq!(settings_in_force(&mut steady), before);
    fs::write(steady.project.config(), &text).unwrap();
    steady.node.signal(Signal::SIGHUP);
    steady.ready();
    steady.finish();
}

#[test]
fn a_reload_of_a_valid_configuration_applies() {
    let mut steady = Steady::start("");
    let before = settings_in_force(&mut steady);
    let text = fs::read_to_string(steady.project.config()).unwrap();
    let other = text.replace("fail_threshold: 30", "fail_threshold: 10");
    fs::write(steady.project.config(), &other).unwrap();
    steady.node.signal(Signal::SIGHUP);
    until("the new settings", || (settings_in_force(&mut steady) != before).then_some(()));
    // The first cycle under the new settings that heard the series: a slow machine closes some by the clock, with nothing in them.
    let driver = until("20 C is above 10 C now", || {
        steady.cycles(1);
        let cycles = journal::cycles(&steady.reader.records);
        let mut anew = cycles.iter().filter(|cycle| cycle.decision.settings != before);
        anew.find_map(|cycle| {
            let mut drivers = cycle.decision.drivers.iter();
            drivers.find(|driver| driver.series == "temperature.0" && driver.current.is_some()).cloned()
        })
    });
    assert_eq!(driver.limit, Some(10.0), "{driver:?}");
    assert_eq!(steady.node.get("/ready").status, 200);
    assert_eq!(steady.node.stop(), 0);
    steady.reader.poll();
    journal::assert_whole(&steady.reader.records);
}

#[test]
fn the_sidecar_is_not_ready_for_a_missing_or_wrong_configuration() {
    let steady = Steady::start("");
    let text = fs::read_to_string(steady.project.config()).unwrap();
    let sidecar = Sidecar::start(&steady.project);
    let says = |wanted: &str| {
        until(wanted, || {
            let answer = http::get(sidecar.address, "/ready").ok()?;
            let config = answer.json()["checks"]["config"].as_str()?.to_owned();
            (config == wanted || wanted != "ok" && config.contains(wanted) && answer.status == 503).then_some(answer)
        })
    };
    says("ok");
    until("the sidecar is ready", || (http::get(sidecar.address, "/ready").ok()?.status == 200).then_some(()));
    fs::write(steady.project.config(), text.replace("output_dir", "output_dri")).unwrap();
    says("output_dri");
    fs::remove_file(steady.project.config()).unwrap();
    says("hb.yaml");
    fs::write(steady.project.config(), text).unwrap();
    says("ok");
    // A dead daemon is seen from outside, which it could not tell itself.
    let mut node = steady.node;
    node.kill();
    until("a dead daemon", || (http::get(sidecar.address, "/live").ok()?.status == 503).then_some(()));
    until("a dead daemon", || (http::get(sidecar.address, "/ready").ok()?.status == 503).then_some(()));
}

/// `hb health serve`.
struct Sidecar {
    child: std::process::Child,
    address: std::net::SocketAddr,
}

impl Sidecar {
    fn start(project: &Project) -> Self {
        let log = project.dir().join("sidecar.log");
        let mut command = project.command(&["health", "serve", "--port", "0", "--config"]);
        command.arg(project.config()).stderr(File::create(&log).unwrap());
        let child = command.spawn().unwrap();
        let address = until("the sidecar's address", || {
            let text = fs::read_to_string(&log).ok()?;
            let (_, rest) = text.split_once("http://")?;
            rest.split_once('/')?.0.parse().ok()
        });
        Self { child, address }
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

// ---------------------------------------------------------------------- the output folder

/// Writes until nothing more fits.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    let mut size = 1 << 16;
    while size > 0 {
        if file.write_all(&vec![7; size]).is_err() {
            size /= 16;
        }
    }
}

#[test]
fn ready_falls_for_a_full_output_dir_and_the_watch_goes_on_with_space() {
    let small = |project: &Project| Mount::small(&project.output, 64);
    let probe = Project::new("");
    if let Err(why) = small(&probe) {
        return not_run("ready_falls_for_a_full_output_dir", &why);
    }
    let mount = RefCell::new(None);
    let make = |settings: &str| {
        let project = Project::new(settings);
        mount.replace(Some(small(&project).unwrap()));
        project
    };
    let mut steady = Steady::on(make, "");
    steady.mount = mount.take();
    let filler = steady.project.output.join("filler");
    fill(&filler);
    let what = steady.not_ready("output_dir");
    let journal = steady.not_ready("journal");
    steady.reader.poll();
    let before = steady.reader.records.len();
    assert_eq!(http::get(steady.node.address(), "/live").unwrap().status, 200, "it waits for space, it does not hang");
    steady.reader.poll();
    assert_eq!(steady.reader.records.len(), before, "nothing can be written, so nothing is");
    fs::remove_file(filler).unwrap();
    steady.ready();
    steady.cycles(5);
    println!("full: output_dir: {what}; journal: {journal}");
    steady.finish();
}

#[test]
fn ready_falls_for_a_read_only_output_dir_and_the_watch_goes_on() {
    let test = "ready_falls_for_a_read_only_output_dir";
    let mut steady = Steady::start("");
    let mount = match Mount::read_only(&steady.project.output) {
        Ok(mount) => mount,
        Err(why) => return not_run(test, &why),
    };
    let what = steady.not_ready("output_dir");
    let journal = steady.not_ready("journal");
    steady.reader.poll();
    let before = steady.reader.records.len();
    assert_eq!(http::get(steady.node.address(), "/live").unwrap().status, 200);
    steady.reader.poll();
    assert_eq!(steady.reader.records.len(), before, "nothing can be written, so nothing is");
    drop(mount);
    steady.ready();
    steady.cycles(5);
    println!("read-only: output_dir: {what}; journal: {journal}");
    steady.finish();
}

// ---------------------------------------------------------------------- the source

/// A watch of telemetry of now, so that the wall clock says when a cycle is over.
struct Live {
    project: Project,
    node: Node,
    reader: journal::Reader,
}

impl Live {
    fn start(feed: Option<&str>) -> Self {
        let project = Project::new("interval_sec: 0.5\nsilence_grace_sec: 0.5\nalert_sinks: [file]\n");
        if let Some(line) = feed {
            project.feed(line);
        }
        let node = project.start("a");
        let reader = journal::Reader::open(&project.output);
        Self { project, node, reader }
    }

    fn line() -> String {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        format!("{{\"ts\":{now:.3},\"metric\":\"m\",\"value\":1}}\n")
    }

    fn cycles(&mut self, more: usize) {
        self.reader.poll();
        let goal = self.reader.cycles() + more;
        until("cycles go on", || {
            self.reader.poll();
            (self.reader.cycles() >= goal).then_some(())
        });
    }

    /// Waits for this answer of `/ready`; gives what it says of the source.
    fn ready(&mut self, status: u16) -> String {
        let answer = until("/ready", || Some(self.node.get("/ready")).filter(|answer| answer.status == status));
        answer.json()["checks"]["source.default"].as_str().unwrap_or_default().to_owned()
    }

    /// Cycles without a gap, the last ones with what was fed last.
    fn finish(mut self, fed: u64) {
        until("what was fed is decided", || {
            self.cycles(1);
            let last = journal::cycles(&self.reader.records).last()?.decision.counts.clone();
            (last.delivered_total == fed).then_some(())
        });
        assert_eq!(self.node.stop(), 0, "{}", self.node.log());
        self.reader.poll();
        journal::assert_whole(&self.reader.records);
    }
}

#[test]
fn w3_ready_falls_for_a_source_that_is_not_there_yet() {
    let mut live = Live::start(None);
    // At first it may say only that it has just begun.
    let told = |what: &String| what.contains("telemetry.jsonl");
    let what = until("the missing source is told", || Some(live.ready(503)).filter(told));
    // Nothing has ever come, and that is decided too.
    live.cycles(2);
    live.project.feed(Live::line());
    live.ready(200);
    println!("absent source: {what}");
    live.finish(1);
}

#[test]
fn w3_ready_falls_for_a_source_that_becomes_unreadable() {
    let mut live = Live::start(Some(&Live::line()));
    live.cycles(2);
    live.ready(200);
    let (path, aside) = (live.project.telemetry.clone(), live.project.telemetry.with_extension("aside"));
    fs::rename(&path, &aside).unwrap();
    fs::create_dir(&path).unwrap();
    let what = live.ready(503);
    assert!(what.contains("telemetry.jsonl"), "{what}");
    live.cycles(3);
    fs::remove_dir(&path).unwrap();
    fs::rename(&aside, &path).unwrap();
    live.project.feed(Live::line());
    live.ready(200);
    println!("unreadable source: {what}");
    live.finish(2);
}

#[test]
fn w3_ready_falls_for_a_source_that_is_taken_away() {
    let mut live = Live::start(Some(&Live::line()));
    live.cycles(2);
    live.ready(200);
    fs::remove_file(&live.project.telemetry).unwrap();
    let what = live.ready(503);
    assert!(what.contains("telemetry.jsonl"), "{what}");
    live.cycles(3);
    live.project.feed(Live::line());
    live.ready(200);
    println!("source taken away: {what}");
    live.finish(2);
}

// ---------------------------------------------------------------------- liveness

#[test]
fn live_falls_within_its_bound_when_the_work_loop_hangs() {
    let mut steady = Steady::start("lease: {ttl_sec: 0.5}\n");
    let bound = steady.node.get("/live").json()["bound_ms"].as_u64().unwrap();
    let hung = match Hung::seize(steady.node.thread("work")) {
        Ok(hung) => hung,
        Err(why) => return not_run("live_falls_within_its_bound", &format!("no tracing here: {why}")),
    };
    let since = Instant::now();
    let answer = until("/live falls", || Some(steady.node.get("/live")).filter(|answer| answer.status == 503));
    let took = since.elapsed();
    let document = answer.json();
    assert_eq!(document["status"], "hung");
    assert!(document["since_progress_ms"].as_u64().unwrap() >= bound, "{document}");
    assert!(document["reason"].as_str().unwrap().contains("work loop"), "{document}");
    assert!(steady.node.get("/metrics").status == 200, "the other answers come while the loop hangs");
    drop(hung);
    until("/live comes back", || (steady.node.get("/live").status == 200).then_some(()));
    steady.cycles(3);
    println!("hung: /live fell after {took:.1?}, its bound is {bound} ms");
    steady.finish();
}

#[test]
fn h2_a_hung_active_is_replaced_and_steps_down() {
    let mut steady = Steady::start("lease: {ttl_sec: 1}\n");
    let mut other = steady.project.start("b");
    other.wait_role("standby");
    let hung = match Hung::seize(steady.node.thread("work")) {
        Ok(hung) => hung,
        Err(why) => return not_run("h2_a_hung_active_is_replaced", &format!("no tracing here: {why}")),
    };
    other.wait_role("active");
    drop(hung);
    assert_eq!(steady.node.exit_code(), 75, "{}", steady.node.log());
    steady.node = other;
    steady.cycles(3);
    steady.finish();
}

#[test]
fn slow_clients_block_nobody() {
    let mut steady = Steady::start("");
    let address = steady.node.address();
    let half_open: Vec<TcpStream> = (0..100)
        .map(|number| {
            let mut stream = TcpStream::connect(address).unwrap();
            // Half a request, and nothing more; every tenth asks for much and reads nothing.
            let text =
                if number % 10 == 0 { "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n".repeat(50) } else { "GET /li".into() };
            stream.write_all(text.as_bytes()).unwrap();
            stream
        })
        .collect();
    let mut slowest = Duration::ZERO;
    for _ in 0..50 {
        for path in ["/live", "/ready", "/metrics", "/"] {
            let since = Instant::now();
            assert_eq!(steady.node.get(path).status, 200, "{path}");
            slowest = slowest.max(since.elapsed());
        }
    }
    steady.cycles(3);
    // Each of them is got rid of in the end.
    let gone = half_open.iter().filter(|stream| {
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let mut stream = *stream;
        let mut left = [0; 4096];
        within(GENEROUS, || match stream.read(&mut left) {
            Ok(0) => Some(()),
            Ok(_) => None,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => None,
            Err(_) => Some(()),
        })
        .is_some()
    });
    assert_eq!(gone.count(), 100, "half a request is not kept for ever");
    println!("slow clients: the slowest of 200 answers beside 100 half-open requests took {slowest:.1?}");
    steady.finish();
}
