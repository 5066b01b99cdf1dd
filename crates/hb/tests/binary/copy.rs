//! What is a copy worth where nothing is shared? Folders and nodes; the original that dies, and the one that comes back.

use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use hb_core::ids::Epoch;
use hb_store::lease::file::FileLease;
use hb_store::port::{Holder, Lease as _, Waited};

use crate::support::journal::{self, Reader};
use crate::support::node::Node;
use crate::support::project::{Project, told};
use crate::support::random::Random;
use crate::support::{telemetry, until};

const REFUSED: i32 = 14;
const FENCED: i32 = 75;

fn settings(more: &str) -> String {
    format!("{}alert_sinks: [file]\n{more}", telemetry::SETTINGS)
}

/// A second house that reads the same telemetry and keeps everything else for itself.
fn neighbour(of: &Project, more: &str) -> Project {
    let mut other = Project::new("");
    other.telemetry.clone_from(&of.telemetry);
    other.configure(&settings(more));
    other
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("ended by a signal: {}", told(output)))
}

fn expect(output: &Output, wanted: i32, says: &[&str]) {
    let text = told(output);
    assert_eq!(code(output), wanted, "{text}");
    for part in says {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
}

fn sync(project: &Project, args: &[&str]) -> Output {
    project.hb(&[["checkpoint", "sync"].as_slice(), args].concat())
}

fn at(path: &Path) -> String {
    path.display().to_string()
}

/// What an undisturbed node makes of the same telemetry.
fn undisturbed(telemetry: &Path) -> Vec<hb_core::node::fact::Sealed> {
    let alone = Project::new(&settings(""));
    alone.feed(fs::read(telemetry).unwrap());
    alone.once("a");
    journal::read(&alone.output)
}

#[test]
fn w1_w2_a_node_that_starts_on_a_copy_decides_again_what_the_copy_lacks_byte_for_byte() {
    let lines = telemetry::recording(60, 40, 11);
    let a = Project::new(&settings(""));
    let b = neighbour(&a, "");
    a.feed(lines[..lines.len() / 3].concat());
    a.once("a");
    expect(&sync(&a, &["--to", &at(&b.output)]), 0, &["watch/default: ", "records", "baseline documents"]);
    let copied = journal::read(&b.output);
    assert_eq!(copied, journal::read(&a.output), "the same records, byte for byte");
    expect(&b.hb(&["verify"]), 0, &["sound"]);
    expect(&b.hb(&["checkpoint", "verify"]), 0, &["shows the newest cycle"]);
    // The original goes on, and is lost with what it has decided since.
    a.feed(lines[lines.len() / 3..].concat());
    a.once("a");
    let lost = journal::read(&a.output);
    let started = b.once("b");
    let said = told(&started);
    assert!(said.contains("this is a copy of") && said.contains("it ends with cycle"), "{said}");
    let records = journal::read(&b.output);
    journal::assert_whole(&records);
    assert!(records.len() > copied.len());
    assert_eq!(records[..copied.len()], copied[..], "what was copied stands as it was");
    journal::assert_same_decisions(&records, &lost);
    expect(&b.hb(&["verify"]), 0, &["sound"]);
    // A second start is on a journal of its own, no copy any more.
    assert!(!told(&b.once("b")).contains("this is a copy of"));
}

#[test]
fn the_original_that_comes_back_is_refused_and_then_rebased_and_nothing_is_lost() {
    let lines = telemetry::recording(40, 30, 12);
    let a = Project::new(&settings(""));
    let b = neighbour(&a, "");
    a.feed(lines[..lines.len() / 2].concat());
    a.once("a");
    expect(&sync(&a, &["--to", &at(&b.output)]), 0, &[]);
    let kept = settings(&format!("sync: {{to: {}, every_sec: 1}}\n", at(&b.output)));
    a.feed(lines[lines.len() / 2..].concat());
    b.once("b");
    let theirs = journal::read(&b.output);
    // It has nothing of its own yet, but its copy has gone on: it does not begin.
    a.configure(&kept);
    let again = a.hb(&["daemon", "--once", "--listen", "none", "--node", "a"]);
    expect(&again, FENCED, &["replaced by its copy", "node b in epoch 2", "checkpoint sync --from"]);
    // Somebody starts it all the same, without asking the copy.
    a.configure(&settings(""));
    a.once("a");
    let ours = journal::read(&a.output);
    a.configure(&kept);
    let again = a.hb(&["daemon", "--once", "--listen", "none", "--node", "a"]);
    expect(&again, FENCED, &["different ways", "by node a in epoch 2", "by node b in epoch 2"]);
    let from = ["--from", &at(&b.output)];
    expect(&sync(&a, &from), REFUSED, &["different ways", "nothing was changed", "--rebase"]);
    expect(&sync(&a, &["--to", &at(&b.output)]), REFUSED, &["different ways"]);
    assert_eq!((journal::read(&a.output), journal::read(&b.output)), (ours.clone(), theirs.clone()));
    // Re-based: the other's history, and its own kept aside.
    expect(&sync(&a, &[from.as_slice(), &["--rebase"]].concat()), 0, &["set aside watch/default"]);
    assert_eq!(journal::read(&a.output), theirs);
    let aside: Vec<_> = fs::read_dir(a.output.join("set-aside")).unwrap().flatten().collect();
    assert_eq!(aside.len(), 1);
    assert_eq!(journal::read(&aside[0].path()), ours, "everything is kept, and read as any journal");
    expect(&a.hb(&["verify"]), 0, &["sound"]);
    expect(&a.hb(&["checkpoint", "verify"]), 0, &["shows the newest cycle"]);
    // From now on it is the copy of its copy.
    expect(&sync(&b, &["--to", &at(&a.output)]), 0, &["up to date"]);
    assert_eq!(code(&sync(&a, &from)), 0);
}

#[test]
fn a_side_whose_epoch_is_the_higher_one_is_not_set_aside() {
    let a = Project::new(&settings(""));
    let b = neighbour(&a, "");
    a.feed(telemetry::recording(12, 20, 13).concat());
    a.once("a");
    expect(&sync(&a, &["--to", &at(&b.output)]), 0, &[]);
    b.once("b");
    b.once("b");
    a.once("a");
    let theirs = journal::read(&b.output);
    expect(&sync(&a, &["--to", &at(&b.output), "--rebase"]), REFUSED, &["higher epoch", "other way round"]);
    assert_eq!(journal::read(&b.output), theirs);
    expect(&sync(&b, &["--from", &at(&a.output)]), REFUSED, &["different ways", "has the higher epoch"]);
    expect(&sync(&a, &["--from", &at(&b.output), "--rebase"]), 0, &["set aside"]);
    assert_eq!(journal::read(&a.output), theirs);
}

#[test]
fn a_folder_in_which_a_node_works_is_not_written_to_and_wrong_targets_are_told() {
    let a = Project::new(&settings(""));
    let b = neighbour(&a, "");
    a.feed(telemetry::recording(12, 20, 14).concat());
    a.once("a");
    let mut works = b.start("b");
    works.wait_role("active");
    let refused = sync(&b, &["--from", &at(&a.output)]);
    assert_eq!(code(&refused), REFUSED, "{}", told(&refused));
    let c = neighbour(&a, "");
    let mut empty = Node::start_with(&c, "c", &["--listen", "127.0.0.1:0"]);
    empty.wait_role("active");
    assert_eq!(works.stop(), 0);
    assert_eq!(empty.stop(), 0);
    expect(&sync(&a, &["--to", &at(&a.output)]), REFUSED, &["a copy stands elsewhere"]);
    expect(&sync(&a, &["--to", "ftp://x"]), 2, &["--to", "nothing that hb copies to"]);
    expect(&sync(&a, &["--to", &at(&b.output), "--token-file", "t"]), 2, &["takes no token"]);
    expect(&sync(&a, &["--to", &at(&b.output), "--watch", "other"]), 2, &["no watch is called `other`"]);
    expect(&sync(&a, &["--to", "http://127.0.0.1:9"]), 69, &["http://127.0.0.1:9"]);
    expect(&sync(&a, &[]), 2, &["--to"]);
}

#[test]
fn j4_damage_at_the_source_is_named_and_the_copy_stays_sound() {
    let a = Project::new(&settings(""));
    let b = neighbour(&a, "");
    let lines = telemetry::recording(40, 20, 15);
    a.feed(lines[..lines.len() / 2].concat());
    a.once("a");
    expect(&sync(&a, &["--to", &at(&b.output)]), 0, &[]);
    let copied = journal::read(&b.output);
    a.feed(lines[lines.len() / 2..].concat());
    a.once("a");
    let damaged = copied.len() as u64 + 4;
    let path = a.record(damaged);
    let mut bytes = fs::read(&path).unwrap();
    let place = bytes.len() / 2;
    bytes[place] ^= 1;
    fs::write(&path, bytes).unwrap();
    expect(&sync(&a, &["--to", &at(&b.output)]), 65, &[&at(&a.output), &format!("record {damaged}"), "hb verify"]);
    assert_eq!(journal::read(&b.output), copied, "nothing of what came after is half there");
    expect(&b.hb(&["verify"]), 0, &["sound"]);
}

/// Holds the lock of a house, as a lease that stands elsewhere would keep its node from working.
struct Elsewhere {
    lease: FileLease,
    me: Holder,
}

impl Elsewhere {
    fn hold(project: &Project) -> Self {
        let ttl = Duration::from_secs(3);
        let mut lease = FileLease::open(&project.output, &"elsewhere".into(), ttl).unwrap();
        assert!(matches!(lease.acquire(ttl), Ok(Waited::Granted { .. })));
        let me = Holder { node: "elsewhere".into(), pid: std::process::id(), epoch: Epoch(0), progress: 0 };
        let mut held = Self { lease, me };
        held.renew();
        held
    }

    fn renew(&mut self) {
        self.me.progress += 1;
        self.lease.renew(&self.me).unwrap();
    }
}

/// A figure of `/metrics`.
fn metric(node: &mut Node, name: &str) -> Option<f64> {
    let text = node.get("/metrics").body;
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

#[test]
fn w1_h4_a_standby_that_shares_nothing_takes_over_from_the_copy_that_was_sent_to_it() {
    let lines = telemetry::recording(60, 30, 16);
    let a = Project::new(&settings(""));
    // A TTL that no busy machine reaches: the test itself is the holder.
    let b = neighbour(&a, "lease: {ttl_sec: 600}\n");
    let mut elsewhere = Elsewhere::hold(&b);
    let mut standby = b.start("b");
    standby.wait_role("standby");
    let peer = format!("http://{}", standby.address());
    let token = b.output.join("api.token");
    until("the token of b", || token.is_file().then_some(()));
    let to = format!("{peer}?token_file={}", at(&token));
    a.configure(&settings(&format!("sync: {{to: \"{to}\", every_sec: 1}}\n")));
    a.feed(lines[..lines.len() / 2].concat());
    let mut active = a.start("a");
    active.wait_role("active");
    let mut reader = Reader::open(&a.output);
    until("half of it is decided, and sent", || {
        elsewhere.renew();
        reader.poll();
        let sent = metric(&mut active, "hb_copy_lag_records") == Some(0.0);
        (reader.cycles() > 25 && sent && reader.poll() == 0).then_some(())
    });
    assert!(metric(&mut active, "hb_copy_runs_total{outcome=\"done\"}").unwrap() >= 1.0);
    let status = active.get("/v1/status").json();
    assert_eq!(status["copy"]["target"], peer.as_str(), "{status}");
    assert_eq!(active.get("/ready").json()["checks"]["sync"], "ok");
    assert!(!active.log().contains(fs::read_to_string(&token).unwrap().trim()), "tokens are not logged");
    // A node that is active takes nothing, and whoever has no token gets nothing.
    let wrong = a.dir().join("wrong");
    fs::write(&wrong, "0123456789abcdef0123456789abcdef\n").unwrap();
    let refused = sync(&b, &["--from", &format!("http://{}", active.address()), "--token-file", &at(&wrong)]);
    expect(&refused, REFUSED, &["not known here", "--token-file"]);
    assert!(!told(&refused).contains("0123456789abcdef"), "{}", told(&refused));
    let copied = journal::read(&b.output).len();
    assert!(copied > 25, "{copied} records");
    // The machine of the active is lost; the lease, wherever it stands, goes to the other.
    active.kill();
    elsewhere.lease.release().unwrap();
    drop(elsewhere);
    standby.wait_role("active");
    a.feed(lines[lines.len() / 2..].concat());
    let mut reader = Reader::open(&b.output);
    until("the rest is decided", || {
        reader.poll();
        (reader.cycles() >= 59).then_some(())
    });
    // The old one comes back, and is not let in; it takes what its successor has, and keeps its own.
    let mut back = a.start("a");
    assert_eq!(back.exit_code(), FENCED, "{}", back.log());
    let shown = ["--from", &peer, "--token-file", &at(&token)];
    expect(&sync(&a, &["--to", &peer, "--token-file", &at(&token)]), REFUSED, &[]);
    let rebased = sync(&a, &[shown.as_slice(), &["--rebase"]].concat());
    expect(&rebased, 0, &["watch/default"]);
    expect(&a.hb(&["verify"]), 0, &["sound"]);
    assert_eq!(standby.stop(), 0, "{}", standby.log());
    b.once("b");
    let records = journal::read(&b.output);
    journal::assert_whole(&records);
    journal::assert_same_decisions(&records, &undisturbed(&a.telemetry));
    let ours = journal::read(&a.output);
    assert_eq!(ours, records[..ours.len()], "the old one has the new one's history");
}

#[test]
fn h1_an_active_node_steps_down_when_its_copy_has_opened_a_higher_epoch() {
    let a = Project::new("");
    let b = neighbour(&a, "");
    a.configure(&settings(&format!("sync: {{to: {}, every_sec: 1}}\n", at(&b.output))));
    a.feed(telemetry::recording(20, 20, 17).concat());
    let mut active = a.start("a");
    active.wait_role("active");
    until("a copy is made", || {
        let done = metric(&mut active, "hb_copy_runs_total{outcome=\"done\"}");
        (done? >= 1.0 && journal::read(&b.output).len() > 15).then_some(())
    });
    // Somebody starts a node on the copy, whatever the reason.
    until("a node has worked on the copy", || {
        let output = b.hb(&["daemon", "--once", "--listen", "none", "--node", "b"]);
        output.status.success().then_some(())
    });
    assert_eq!(active.exit_code(), FENCED, "{}", active.log());
    let log = active.log();
    assert!(log.contains("replaced by its copy") && log.contains("node b in epoch 2"), "{log}");
}

#[test]
fn a_planned_stop_leaves_the_copy_complete() {
    let a = Project::new("");
    let b = neighbour(&a, "");
    a.configure(&settings(&format!("sync: {{to: {}, every_sec: 3600}}\n", at(&b.output))));
    a.feed(telemetry::recording(20, 20, 18).concat());
    let mut active = a.start("a");
    active.wait_role("active");
    until("the first copy is made", || {
        (metric(&mut active, "hb_copy_runs_total{outcome=\"done\"}")? >= 1.0).then_some(())
    });
    a.feed(telemetry::recording(24, 20, 18).concat());
    let mut reader = Reader::open(&a.output);
    until("more is decided", || {
        reader.poll();
        (reader.cycles() >= 22).then_some(())
    });
    assert_eq!(active.stop(), 0, "{}", active.log());
    assert_eq!(journal::read(&b.output), journal::read(&a.output), "the end of the reign goes along");
}

#[test]
fn j3_copying_that_is_killed_again_and_again_comes_to_the_same() {
    let a = Project::new(&settings("reports: none\n").replace("reports: changes\n", ""));
    let b = neighbour(&a, "");
    a.feed(telemetry::recording(400, 5, 19).concat());
    a.once("a");
    let mut random = Random::told("killed copies");
    let mut killed = 0;
    for _ in 0..20 {
        let mut command = a.command(&["checkpoint", "sync", "--to", &at(&b.output), "--config"]);
        let mut child = command.arg(a.config()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(random.between(20, 150)));
        // One that has ended by itself cannot be killed any more.
        drop(child.kill());
        killed += usize::from(!child.wait().unwrap().success());
        if b.output.join("journal").is_dir() {
            expect(&b.hb(&["journal", "verify"]), 0, &[]);
        }
    }
    expect(&sync(&a, &["--to", &at(&b.output)]), 0, &[]);
    assert_eq!(journal::read(&b.output), journal::read(&a.output));
    expect(&b.hb(&["verify"]), 0, &["sound"]);
    println!("copies: {killed} of 20 killed on their way");
    assert!(killed > 0);
}

#[test]
fn j6_a_trimmed_source_gives_a_copy_that_begins_with_its_floor_and_a_node_starts_on_it() {
    // Few alerts: the records are cycles, so that it is known how many of them are trimmed.
    let quiet = settings("journal_keep_cycles: 10\n").replace("not_pass", "transitions").replace("changes", "none");
    let a = Project::new(&quiet);
    let b = neighbour(&a, "");
    b.configure(&quiet);
    // Trims are made every so many cycles.
    let lines = telemetry::recording(1_200, 4, 20);
    a.feed(lines[..lines.len() / 2].concat());
    a.once("a");
    let records = journal::read(&a.output);
    assert!(records[0].record.seq.0 > 0, "it has been trimmed");
    expect(&sync(&a, &["--to", &at(&b.output)]), 0, &["begins with record"]);
    assert_eq!(journal::read(&b.output), records);
    a.feed(lines[lines.len() / 2..].concat());
    a.once("a");
    // The copy has fallen below the floor, and has nothing of its own.
    expect(&sync(&a, &["--to", &at(&b.output)]), 0, &["begins with record"]);
    assert_eq!(journal::read(&b.output), journal::read(&a.output));
    b.once("b");
    expect(&b.hb(&["verify"]), 0, &["sound"]);
    expect(&b.hb(&["checkpoint", "verify"]), 0, &["shows the newest cycle"]);
}
