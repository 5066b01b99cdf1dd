//! A10: what if the database is bad, newer, locked, full or read-only? A clear word, nothing lost, and on it goes.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use rusqlite::Connection;

use super::site::{Site, lives, signal};
use super::sound::assert_sound;
use crate::support::mount::{Mount, not_run};
use crate::support::node::Node;
use crate::support::{until, within};

const CORRUPT: i32 = 65;
const CANNOT_WRITE: i32 = 73;
/// A schema that this program does not know yet.
const NEXT_YEARS: &str = "CREATE TEMP TABLE one AS SELECT * FROM migrations WHERE version = 1; UPDATE one SET version = 1000; INSERT INTO migrations SELECT * FROM one";
const AGENT: &str =
    "agents:\n  a: {process: {command: [PROGRAM, sleep, 600]}, restart: {backoff_sec: 0.1, max_restarts: 100}}\n";

/// A site whose supervisor has worked and was killed, with its agent still alive.
fn used() -> Site {
    let site = Site::new(AGENT);
    let mut node = site.start("a");
    site.calm(&mut node);
    site.started("a", 1);
    node.kill();
    site
}

/// A start that must fail; gives what was said.
fn refused(site: &Site, code: i32) -> String {
    let mut node = site.start("refused");
    assert_eq!(node.exit_code(), code, "{}", node.log());
    let said = node.log();
    fs::remove_file(site.project.dir().join("refused.log")).unwrap();
    assert!(said.contains("supervisor.db"), "{said}");
    println!(
        "a10: {}",
        said.lines().filter(|line| line.starts_with("hb:") || line.starts_with("    ")).collect::<Vec<_>>().join(" ")
    );
    said
}

fn files(db: &Path) -> Vec<PathBuf> {
    ["", "-wal", "-shm"].iter().map(|ending| PathBuf::from(format!("{}{ending}", db.display()))).collect()
}

/// Takes the files of the database away, and puts them back.
struct Aside(Vec<(PathBuf, Vec<u8>)>);

impl Aside {
    fn take(db: &Path) -> Self {
        let there = files(db).into_iter().filter_map(|file| fs::read(&file).ok().map(|bytes| (file, bytes)));
        let all = there.collect();
        files(db).iter().for_each(|file| fs::remove_file(file).unwrap_or_default());
        Self(all)
    }

    fn put_back(self, db: &Path) {
        files(db).iter().for_each(|file| fs::remove_file(file).unwrap_or_default());
        self.0.into_iter().for_each(|(file, bytes)| fs::write(file, bytes).unwrap());
    }
}

/// With the database as it was, the agent is found where it was left.
fn goes_on(site: &Site) {
    let mut node = site.start("a");
    let fold = site.calm(&mut node);
    assert_eq!(site.starts().len(), 1, "its agent was adopted");
    assert_eq!(node.stop(), 0);
    assert_sound(site, &fold);
}

#[test]
fn a10_garbage_truncated_and_newer_databases_are_refused_and_left_as_they_are() {
    let site = used();
    let agent = site.up("a");
    let aside = Aside::take(&site.db());
    // The file alone, as it is when its log was moved into it.
    let whole = {
        aside.0.iter().for_each(|(file, bytes)| fs::write(file, bytes).unwrap());
        Connection::open(site.db()).unwrap().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        let whole = fs::read(site.db()).unwrap();
        files(&site.db()).iter().for_each(|file| fs::remove_file(file).unwrap_or_default());
        whole
    };
    let newer = {
        let file = site.project.dir().join("newer.db");
        fs::write(&file, &whole).unwrap();
        Connection::open(&file).unwrap().execute_batch(NEXT_YEARS).unwrap();
        fs::read(&file).unwrap()
    };
    let half = whole.len() / 2;
    let bad = [
        ("garbage", b"this is no database at all, whatever its name says".repeat(300)),
        ("truncated", whole[..half - 100].to_vec()),
        ("newer", newer),
    ];
    for (what, bytes) in bad {
        files(&site.db()).iter().for_each(|file| fs::remove_file(file).unwrap_or_default());
        fs::write(site.db(), &bytes).unwrap();
        println!("a10: {what}");
        refused(&site, CORRUPT);
        assert_eq!(fs::read(site.db()).unwrap(), bytes, "{what}: the file is left as it is");
        assert!(lives(Some(&agent)), "{what}: nobody's agent is ended for that");
    }
    aside.put_back(&site.db());
    goes_on(&site);
}

#[test]
fn a10_a_read_only_folder_is_told_and_nothing_is_lost() {
    let site = used();
    let mount = match Mount::read_only(&site.project.output) {
        Ok(mount) => mount,
        Err(why) => return not_run("a10 read-only", &why),
    };
    let mut node = site.start("a");
    assert_eq!(node.exit_code(), CANNOT_WRITE, "{}", node.log());
    drop(mount);
    goes_on(&site);
}

/// Waits until `/ready` names the supervisor's trouble, or until it names none.
fn ready(node: &mut Node, wanted: u16) -> String {
    let mut last = String::new();
    let found = within(crate::support::GENEROUS, || {
        let answer = node.get("/ready");
        last.clone_from(&answer.body);
        (answer.status == wanted).then_some(answer.body)
    });
    found.unwrap_or_else(|| panic!("/ready never was {wanted}: {last}"))
}

/// While it cannot be written nothing is done (S1); afterwards it is, once.
fn acts_when_it_can(site: &Site, node: &mut Node, disturb: impl FnOnce() -> Box<dyn FnOnce()>) {
    ready(node, 200);
    let before = site.up("a");
    let records = site.records().len();
    let undo = disturb();
    signal(&before, Signal::SIGKILL);
    let said = ready(node, 503);
    assert!(said.contains("supervisor.database"), "{said}");
    println!("a10: {said}");
    assert_eq!(node.get("/live").status, 200, "it lives, and tries");
    assert_eq!(site.starts().len(), 1, "nothing is started that is not recorded");
    undo();
    site.started("a", 2);
    ready(node, 200);
    let fold = until("its agent is up again", || {
        site.state().filter(|fold| {
            fold.state.agents.values().all(|agent| agent.lifecycle.is_up() && lives(agent.process.identity()))
        })
    });
    assert!(site.records().len() > records);
    assert_eq!(site.told("a", "agent.exited").len(), 1);
    assert_eq!(node.stop(), 0, "{}", node.log());
    assert_sound(site, &fold);
    assert_eq!(site.starts().len(), 2);
}

#[test]
fn a10_a_locked_database_is_waited_for() {
    let site = Site::new(AGENT);
    let mut node = site.serve("a");
    site.calm(&mut node);
    site.started("a", 1);
    let db = site.db();
    acts_when_it_can(&site, &mut node, || {
        let other = Connection::open(db).unwrap();
        other.execute_batch("PRAGMA busy_timeout=10000; BEGIN IMMEDIATE").unwrap();
        Box::new(move || other.execute_batch("COMMIT").unwrap())
    });
}

#[test]
fn a10_a_full_disk_is_waited_for() {
    let site = Site::new(AGENT);
    let output = site.project.output.clone();
    let mount = match Mount::small(&output, 16) {
        Ok(mount) => mount,
        Err(why) => return not_run("a10 full disk", &why),
    };
    {
        let mut node = site.serve("a");
        site.calm(&mut node);
        site.started("a", 1);
        acts_when_it_can(&site, &mut node, || {
            let ballast = output.join("ballast");
            let mut file = fs::File::create(&ballast).unwrap();
            let mut block = 1 << 20;
            while block > 0 {
                while file.write_all(&vec![1; block]).is_ok() {}
                block /= 2;
            }
            Box::new(move || fs::remove_file(ballast).unwrap())
        });
    }
    site.end_all();
    drop(mount);
}
