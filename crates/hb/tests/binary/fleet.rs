//! What are three nodes worth that share sixty watches out? One is killed, comes back, is asked to hand over, and ends; every
//! watch goes on, and each of its cycles is decided once.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use hb_core::ids::{Seq, StreamName};
use hb_core::node::fact::Sealed;
use hb_store::journal::dir::DirJournal;
use hb_store::reader::Follower;

use crate::support::node::Node;
use crate::support::project::{Project, told};
use crate::support::{journal, until};

/// Watches that are shared out.
const WATCHES: usize = 60;

fn name(watch: usize) -> String {
    format!("w{watch:02}")
}

/// Sixty watches over small files, each with cycles of a second.
fn project() -> Project {
    let project = Project::new("");
    let watches: String = (0..WATCHES)
        .map(|watch| {
            let path = project.dir().join(format!("{}.jsonl", name(watch)));
            format!("  {}: {{path: {}}}\n", name(watch), path.display())
        })
        .collect();
    let text = format!(
        "output_dir: {}\ndb_path: {}\nlease: {{scope: watch, ttl_sec: 2}}\nsource: file\ninterval_sec: 1\n\
         silence_grace_sec: 3600\nlearn: {{auto: false}}\nreports: none\nalert_sinks: []\nwatches:\n{watches}",
        project.output.display(),
        project.db().display(),
    );
    fs::write(project.config(), text).unwrap();
    project
}

/// Somebody who writes a reading into every file, several times a second.
struct Writers {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Writers {
    fn start(project: &Project) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let open = |watch| {
            let path = project.dir().join(format!("{}.jsonl", name(watch)));
            OpenOptions::new().create(true).append(true).open(path).unwrap()
        };
        let mut files: Vec<_> = (0..WATCHES).map(open).collect();
        let ended = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !ended.load(Ordering::Acquire) {
                let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
                let line = format!("{{\"ts\":{now:.3},\"metric\":\"x\",\"value\":1}}\n");
                files.iter_mut().for_each(|file| file.write_all(line.as_bytes()).unwrap());
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // A writer that panicked has said so.
            drop(thread.join());
        }
    }
}

/// Everything that stands in the journals of all watches.
fn read(project: &Project) -> Vec<Vec<Sealed>> {
    let mut journal = DirJournal::open(&project.output.join("journal")).unwrap();
    (0..WATCHES)
        .map(|watch| {
            let stream = StreamName::from(format!("watch/{}", name(watch)).as_str());
            let mut follower = Follower::new(stream, Seq(0));
            let mut records = Vec::new();
            loop {
                let more = follower.poll(&mut journal).unwrap();
                if more.is_empty() {
                    return records;
                }
                records.extend(more);
            }
        })
        .collect()
}

/// Waits until every watch has decided so many cycles more.
fn all_go_on(project: &Project, more: usize) {
    let counts = || read(project).iter().map(|records| journal::cycles(records).len()).collect::<Vec<_>>();
    let before = counts();
    until("every watch goes on", || counts().iter().zip(&before).all(|(now, then)| *now >= then + more).then_some(()));
}

/// How many watches each node works for, by any node's word.
fn loads(node: &mut Node) -> BTreeMap<String, usize> {
    let status = node.get("/v1/status").json();
    let mut loads = BTreeMap::new();
    for holder in status["holders"].as_object().unwrap().values() {
        *loads.entry(holder.as_str().unwrap().to_owned()).or_insert(0) += 1;
    }
    loads
}

fn shared(loads: &[(&str, usize)]) -> BTreeMap<String, usize> {
    loads.iter().map(|(node, count)| ((*node).to_owned(), *count)).collect()
}

fn reaches(node: &mut Node, wanted: &[(&str, usize)]) {
    let wanted = shared(wanted);
    let mut last = BTreeMap::new();
    until(&format!("{wanted:?}"), || {
        last = loads(node);
        (last == wanted).then_some(())
    });
}

#[test]
fn w1_h1_sixty_watches_on_three_nodes_one_is_killed_comes_back_hands_over_and_ends() {
    let project = project();
    let writers = Writers::start(&project);
    let mut a = project.start("a");
    let mut b = project.start("b");
    let mut c = project.start("c");
    reaches(&mut a, &[("a", 20), ("b", 20), ("c", 20)]);
    all_go_on(&project, 2);
    assert_eq!(a.get("/active").status, 200, "it works for some");
    let holders = a.get("/v1/status").json()["holders"].clone();
    let holder = holders["w00"].as_str().unwrap().to_owned();
    for node in [&mut a, &mut b, &mut c] {
        let wanted = if node.name == holder { 200 } else { 503 };
        assert_eq!(node.get("/active?watch=w00").status, wanted, "{} of w00, which {holder} has", node.name);
    }
    let told_of = told(&project.hb(&["status"]));
    assert_eq!(
        told_of
            .lines()
            .filter(|line| line.starts_with('w') && line.contains("PASS") || line.contains("NO_BASELINE"))
            .count(),
        WATCHES,
        "{told_of}"
    );

    // Killed: the others have its watches, evenly.
    a.kill();
    reaches(&mut b, &[("b", 30), ("c", 30)]);
    all_go_on(&project, 2);

    // Back again it gets nothing but what it is asked to take.
    let mut a = project.start("a");
    until("it stands by and knows the others", || {
        (a.get("/ready").status == 200 && a.get("/standby").status == 200).then_some(())
    });
    let done = project.hb(&["rebalance", "--json", "--reason", "a is back"]);
    assert!(done.status.success(), "{}", told(&done));
    reaches(&mut a, &[("a", 20), ("b", 20), ("c", 20)]);
    all_go_on(&project, 2);

    // By plan, all that one has.
    let refused = project.hb(&["switchover", "--reason", "which?"]);
    assert!(!refused.status.success() && told(&refused).contains("--from"), "{}", told(&refused));
    let done = project.hb(&["switchover", "--from", "b", "--reason", "new kernel"]);
    assert!(done.status.success(), "{}", told(&done));
    reaches(&mut a, &[("a", 30), ("c", 30)]);
    all_go_on(&project, 2);

    // Ends: hands over.
    assert_eq!(c.stop(), 0, "{}", c.log());
    until("the others have all", || {
        let loads = loads(&mut a);
        (loads.values().sum::<usize>() == WATCHES && !loads.contains_key("c")).then_some(())
    });
    all_go_on(&project, 2);
    drop(writers);
    assert_eq!(a.stop(), 0, "{}", a.log());
    assert_eq!(b.stop(), 0, "{}", b.log());
    for records in read(&project) {
        journal::assert_whole(&records);
    }
    // What people look at shows the last cycle of each.
    for (watch, records) in read(&project).iter().enumerate() {
        let last = journal::cycles(records).last().unwrap().decision.cycle.0;
        let path = project.output.join("watches").join(name(watch)).join("daemon_checkpoint.json");
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let checkpoint: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(checkpoint["cycle"].as_u64(), Some(last), "{}", name(watch));
    }
}

#[test]
fn a_fleet_is_refused_where_it_makes_no_sense() {
    let project = project();
    let once = project.hb(&["daemon", "--once", "--listen", "none"]);
    assert!(!once.status.success() && told(&once).contains("lease.scope"), "{}", told(&once));
    let alone = Project::new("");
    let refused = alone.hb(&["rebalance"]);
    assert!(!refused.status.success() && told(&refused).contains("scope: watch"), "{}", told(&refused));
    let nobody = project.hb(&["rebalance"]);
    assert!(!nobody.status.success() && told(&nobody).contains("no node runs"), "{}", told(&nobody));
}
