//! Servers and processes that are killed.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hb_core::ids::{Seq, StreamName};
use hb_core::journal::{Hash, Record};
use hb_core::node::fact::Body;
use hb_engines::postgres::PostgresJournal;
use hb_store::conformance::sample;
use hb_store::port::{Appended, Journal};
use hb_store::reader::read_sound;
use nix::sys::signal::Signal;

use crate::server::{Server, patient, target};

const URL: &str = "HB_TEST_POSTGRES_URL";
const NAME: &str = "HB_TEST_POSTGRES_WRITER";

fn stream() -> StreamName {
    "watch/killed".into()
}

/// Not a test of its own: a writer that appends until it is killed, and says what was acknowledged. What is unknown or not done
/// it reads back and tries again.
#[test]
fn writer_process() {
    let (Ok(url), Ok(name)) = (std::env::var(URL), std::env::var(NAME)) else { return };
    let mut journal = PostgresJournal::open(&patient(&url, Duration::from_secs(5))).unwrap();
    loop {
        let Ok(head) = journal.head(&stream()) else { continue };
        let prev = match head {
            None => Hash::ZERO,
            Some(head) => match journal.read(&stream(), head, 1).ok().and_then(|mut page| page.pop()) {
                Some((_, bytes)) => Record::<Body>::decode(&bytes).unwrap().hash,
                None => continue,
            },
        };
        let seq = head.map_or(Seq(0), Seq::next);
        match journal.append(&stream(), seq, &sample(&stream(), seq, &name, prev).bytes) {
            Appended::Committed => println!("acknowledged {seq} {name}"),
            Appended::Refused(_) | Appended::Unknown(_) | Appended::Failed(_) => {}
            other @ Appended::Stopped(_) => panic!("{other:?}"),
        }
    }
}

struct Writer {
    child: Child,
}

impl Writer {
    fn start(url: &str, name: &str) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "deaths::writer_process", "--nocapture"])
            .env(URL, url)
            .env(NAME, name)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self { child }
    }

    /// Kills it and gives back what was acknowledged to it.
    fn kill(mut self) -> Vec<u64> {
        self.child.kill().unwrap();
        let lines = BufReader::new(self.child.stdout.take().unwrap()).lines();
        let acknowledged = lines.map_while(Result::ok).filter_map(|line| {
            let (_, rest) = line.split_once("acknowledged ")?;
            rest.split_once(' ')?.0.parse().ok()
        });
        let acknowledged = acknowledged.collect();
        self.child.wait().unwrap();
        acknowledged
    }
}

/// Waits until the stream has grown by so many records.
fn grow(server: &Server, schema: &str, by: u64) {
    let count = format!("SELECT count(*) FROM {schema}.records");
    let now: u64 = server.sql("ops", &count).parse().unwrap();
    while server.sql("ops", &count).parse::<u64>().unwrap() < now + by {
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn check(server: &Server, winners: &BTreeMap<u64, String>) {
    let mut journal = PostgresJournal::open(&target(&server.url("hb"))).unwrap();
    let records = read_sound(&mut journal, &stream(), Seq(0), usize::MAX >> 1).unwrap();
    assert_eq!(journal.head(&stream()).unwrap(), records.last().map(|sealed| sealed.record.seq));
    for (seq, winner) in winners {
        let found = records.get(usize::try_from(*seq).unwrap()).unwrap_or_else(|| panic!("J3: record {seq} is lost"));
        assert_eq!(found.record.node.as_str(), winner, "J1: record {seq}");
    }
}

fn add(winners: &mut BTreeMap<u64, String>, writer: Writer, name: &str) {
    for seq in writer.kill() {
        let before = winners.insert(seq, name.to_owned());
        assert_eq!(before, None, "J1: record {seq} was acknowledged twice");
    }
}

#[test]
fn j1_j3_racing_processes_that_are_killed_leave_a_sound_stream_with_all_that_was_acknowledged() {
    let Some(server) = Server::start("") else { return };
    PostgresJournal::open(&target(&server.url("hb"))).unwrap();
    let mut winners = BTreeMap::new();
    for round in 0..6_u64 {
        let names = [format!("a{round}"), format!("b{round}")];
        let writers = names.each_ref().map(|name| Writer::start(&server.url("hb"), name));
        grow(&server, "hb", 10 + round);
        for (writer, name) in writers.into_iter().zip(names) {
            add(&mut winners, writer, &name);
        }
    }
    assert!(winners.len() > 30, "only {} records", winners.len());
    check(&server, &winners);
}

#[test]
fn j1_j3_a_server_that_is_killed_amid_appends_loses_nothing_that_it_acknowledged() {
    let Some(server) = Server::start("") else { return };
    PostgresJournal::open(&target(&server.url("hb"))).unwrap();
    let mut winners = BTreeMap::new();
    let names = ["a", "b"];
    let writers = names.map(|name| Writer::start(&server.url("hb"), name));
    for round in 0..6 {
        grow(&server, "hb", 20);
        let signal = match round % 3 {
            0 => Signal::SIGKILL,
            1 => Signal::SIGQUIT,
            _ => Signal::SIGINT,
        };
        if signal == Signal::SIGKILL {
            // One of its processes: it takes all sessions down and recovers, as after a power failure.
            let victim =
                "SELECT pid FROM pg_stat_activity WHERE query LIKE '%.append(%' AND pid <> pg_backend_pid() LIMIT 1";
            // A writer may just be connecting again.
            let pid: i32 = (0..3_000)
                .find_map(|_| {
                    std::thread::sleep(Duration::from_millis(10));
                    server.sql("ops", victim).parse().ok()
                })
                .expect("somebody appends");
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).unwrap();
            server.wait_until_up();
        } else {
            server.end(signal);
            assert!(server.run(), "{}", server.log());
        }
    }
    grow(&server, "hb", 20);
    for (writer, name) in writers.into_iter().zip(names) {
        add(&mut winners, writer, name);
    }
    assert!(winners.len() > 60, "only {} records", winners.len());
    check(&server, &winners);
}
