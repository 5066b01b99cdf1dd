//! A10: a byte that is flipped in the middle of the database, and a file system that turns read-only under a node at work.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use hb_core::ids::Seq;
use nix::sys::signal::Signal;
use rusqlite::Connection;

use super::site::{Site, lives, signal};
use super::sound::assert_sound;
use crate::support::mount::{Failing, not_run};
use crate::support::project::told;

const CORRUPT: i32 = 65;
const PAGE: usize = 4_096;
const AGENT: &str =
    "agents:\n  a: {process: {command: [PROGRAM, sleep, 600]}, restart: {backoff_sec: 0.1, max_restarts: 100}}\n";

/// Everything below a folder that is nobody's note of being alive.
fn files(dir: &Path, but: &[&str]) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if but.contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            all.extend(files(&path, but));
        } else {
            all.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    all
}

/// A site whose supervisor has worked and was killed, its agent alive, and all of its database in the one file.
fn used() -> Site {
    let site = Site::new(AGENT);
    let mut node = site.start("a");
    site.calm(&mut node);
    for times in 1..5 {
        site.started("a", times);
        let process = site.up("a");
        signal(&process, Signal::SIGKILL);
        site.started("a", times + 1);
    }
    site.calm(&mut node);
    node.kill();
    Connection::open(site.db()).unwrap().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    site
}

fn find(all: &[u8], wanted: &[u8]) -> usize {
    all.windows(wanted.len()).position(|window| window == wanted).expect("a record stands in the file as it is")
}

#[test]
fn a10_j4_a_flipped_byte_in_a_record_is_refused_named_and_nothing_is_lost() {
    let site = used();
    let agent = site.up("a");
    let records = site.records();
    let (newest, middle) = (records.last().unwrap(), &records[records.len() / 2]);
    let whole = fs::read(site.db()).unwrap();
    for sealed in [newest, middle] {
        let seq: Seq = sealed.record.seq;
        let mut bytes = whole.clone();
        // In the text of the record, so that the page itself stays one.
        let at = find(&bytes, &sealed.bytes[..60]) + 40;
        bytes[at] ^= 1;
        fs::write(site.db(), &bytes).unwrap();
        let known = ["supervisor.db-wal", "supervisor.db-shm", "register", "hb.lease", "hb.lease.stamp", "hb.lock"];
        let before = files(&site.project.output, &known);
        let mut node = site.start("refused");
        assert_eq!(node.exit_code(), CORRUPT, "{}", node.log());
        let said = node.log();
        assert!(said.contains("supervisor.db") && said.contains(&format!("record {seq}")), "named: {said}");
        let verified = site.project.hb(&["verify"]);
        assert!(!verified.status.success() && told(&verified).contains(&format!("{seq}")), "{}", told(&verified));
        let after = files(&site.project.output, &known);
        assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
        for (path, bytes) in &before {
            assert!(after[path] == *bytes, "{} is left as it was", path.display());
        }
        assert!(lives(Some(&agent)), "nobody's agent is ended for that");
        fs::remove_file(site.project.dir().join("refused.log")).unwrap();
    }
    fs::write(site.db(), &whole).unwrap();
    let starts = site.starts().len();
    let mut node = site.start("a");
    let fold = site.calm(&mut node);
    assert_eq!(site.starts().len(), starts, "its agent was adopted");
    assert_eq!(node.stop(), 0);
    assert_sound(&site, &fold);
}

#[test]
fn a10_j4_no_flipped_byte_of_any_page_is_read_as_another_state() {
    let site = used();
    let before = site.state().unwrap();
    let whole = fs::read(site.db()).unwrap();
    let (mut named, mut harmless) = (0, 0);
    for page in 0..whole.len() / PAGE {
        let mut bytes = whole.clone();
        bytes[page * PAGE + PAGE / 2] ^= 0x10;
        fs::write(site.db(), &bytes).unwrap();
        let verified = site.project.hb(&["verify"]);
        let said = told(&verified);
        if verified.status.success() {
            // Free room: what is read is what was written.
            harmless += 1;
            assert_eq!(site.state().as_ref(), Some(&before), "page {page}");
        } else {
            named += 1;
            assert_eq!(verified.status.code(), Some(CORRUPT), "page {page}: {said}");
            assert!(said.contains("supervisor.db"), "page {page}: {said}");
        }
    }
    println!(
        "a10: of {} pages with a flipped byte {named} were named and {harmless} were free room",
        whole.len() / PAGE
    );
    assert!(named > 5, "{named}");
    fs::write(site.db(), &whole).unwrap();
}

#[test]
fn a10_a_file_system_that_turns_read_only_under_a_node_costs_nothing() {
    let site = Site::new(AGENT);
    let image = site.project.dir().join("image");
    let mut disk = match Failing::mount(&image, &site.project.output) {
        Ok(disk) => disk,
        Err(why) => return not_run("a10 read-only while at work", &why),
    };
    {
        let mut node = site.serve("a");
        site.calm(&mut node);
        site.started("a", 1);
        let records = site.records().len();
        let process = site.up("a");
        disk.fail().unwrap();
        signal(&process, Signal::SIGKILL);
        // A disk that fails is not believed when it succeeds later: it says so and ends, without an act or an acknowledgement.
        let code = node.exit_code();
        assert!(code != 0 && node.log().contains("disk I/O error"), "{code}: {}", node.log());
        assert_eq!(site.starts().len(), 1, "nothing is started that is not recorded");
        disk.heal().unwrap();
        assert!(site.records().len() >= records, "j3: what was acknowledged is there");
        let mut node = site.serve("a");
        site.started("a", 2);
        let fold = site.calm(&mut node);
        assert_eq!((site.starts().len(), site.told("a", "agent.exited").len()), (2, 1), "s3: handled once");
        assert_eq!(node.stop(), 0);
        assert_sound(&site, &fold);
    }
    site.end_all();
    drop(disk);
}

#[test]
fn a10_an_operator_goes_on_from_the_last_sound_record_and_is_told_what_is_forgotten() {
    let site = used();
    let records = site.records();
    let newest = records.last().unwrap();
    let mut bytes = fs::read(site.db()).unwrap();
    let sound = site.project.hb(&["supervisor", "repair", "--yes"]);
    assert!(sound.status.success() && told(&sound).contains("nothing to repair"), "{}", told(&sound));
    let at = find(&bytes, &newest.bytes[..60]) + 40;
    bytes[at] ^= 1;
    fs::write(site.db(), &bytes).unwrap();

    let shown = site.project.hb(&["supervisor", "repair"]);
    let said = told(&shown);
    assert_eq!(shown.status.code(), Some(CORRUPT), "{said}");
    assert!(said.contains(&format!("record {}", newest.record.seq)) && said.contains("nothing was changed"), "{said}");
    for event in newest.record.body.events() {
        assert!(said.contains(&event.message), "what is forgotten is named: {said}");
    }
    assert!(fs::read(site.db()).unwrap() == bytes, "nothing was changed");

    let done = site.project.hb(&["supervisor", "repair", "--yes"]);
    assert!(done.status.success(), "{}", told(&done));
    println!("a10: {}", told(&done));
    let kept = PathBuf::from(format!("{}.before-repair-1", site.db().display()));
    assert!(fs::read(kept).unwrap() == bytes, "the file as it was stands beside");
    let aside: Vec<u8> = site.sql().unwrap().query_row("SELECT bytes FROM set_aside", [], |row| row.get(0)).unwrap();
    assert_eq!(aside.len(), newest.bytes.len(), "and the record in it");
    assert_eq!(site.records(), records[..records.len() - 1]);

    let mut node = site.start("a");
    let fold = site.calm(&mut node);
    let refused = site.project.hb(&["supervisor", "repair", "--yes"]);
    assert!(!refused.status.success() && told(&refused).contains("stop every node"), "{}", told(&refused));
    assert_eq!(node.stop(), 0);
    assert_sound(&site, &fold);
}

#[test]
fn a10_tables_that_say_something_else_are_made_again_by_the_same_command() {
    let site = used();
    let spoil = "UPDATE agents SET status = 'IDLE'; DELETE FROM supervisor_events WHERE id = 2";
    site.sql().unwrap().execute_batch(spoil).unwrap();
    assert_eq!(site.project.hb(&["verify"]).status.code(), Some(CORRUPT));
    let shown = site.project.hb(&["supervisor", "repair"]);
    assert_eq!(shown.status.code(), Some(CORRUPT), "{}", told(&shown));
    let done = site.project.hb(&["supervisor", "repair", "--yes", "--json"]);
    assert!(done.status.success(), "{}", told(&done));
    let document: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(document["repaired"], true, "{document}");
    assert!(site.project.hb(&["verify"]).status.success());
    let mut node = site.start("a");
    let fold = site.calm(&mut node);
    assert_eq!(node.stop(), 0);
    assert_sound(&site, &fold);
}
