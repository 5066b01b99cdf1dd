//! The folder journal between processes: writers that are killed, and writers that race.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers as well")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hb_core::ids::{Seq, StreamName};
use hb_core::journal::{Hash, Record};
use hb_core::node::fact::Body;
use hb_store::conformance::sample;
use hb_store::journal::dir::DirJournal;
use hb_store::port::{Appended, Journal};
use hb_store::reader::read_sound;

const DIR: &str = "HB_TEST_JOURNAL_DIR";
const NAME: &str = "HB_TEST_JOURNAL_WRITER";

fn stream() -> StreamName {
    "watch/killed".into()
}

/// Not a test of its own: a writer that appends until it is killed, and says what was acknowledged.
#[test]
fn writer_process() {
    let (Ok(dir), Ok(name)) = (std::env::var(DIR), std::env::var(NAME)) else { return };
    let mut journal = DirJournal::open(Path::new(&dir)).unwrap();
    let mut prev = Hash::ZERO;
    loop {
        let head = journal.head(&stream()).unwrap();
        if let Some(head) = head {
            let bytes = journal.read(&stream(), head, 1).unwrap().remove(0).1;
            prev = Record::<Body>::decode(&bytes).unwrap().hash;
        }
        let seq = head.map_or(Seq(0), Seq::next);
        match journal.append(&stream(), seq, &sample(&stream(), seq, &name, prev).bytes) {
            Appended::Committed => println!("acknowledged {seq} {name}"),
            Appended::Refused(_) => {}
            other @ (Appended::Unknown(_) | Appended::Failed(_) | Appended::Stopped(_)) => panic!("{other:?}"),
        }
    }
}

struct Writer {
    child: Child,
}

impl Writer {
    fn start(dir: &Path, name: &str) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "writer_process", "--nocapture"])
            .env(DIR, dir)
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
        let acknowledged = lines
            .map_while(Result::ok)
            .filter_map(|line| {
                let (_, rest) = line.split_once("acknowledged ")?;
                rest.split_once(' ')?.0.parse().ok()
            })
            .collect();
        self.child.wait().unwrap();
        acknowledged
    }
}

#[test]
fn j1_j3_racing_writers_that_are_killed_leave_a_sound_stream_with_all_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut winners: BTreeMap<u64, String> = BTreeMap::new();
    for round in 0..12_u64 {
        let names = [format!("a{round}"), format!("b{round}")];
        let writers = names.each_ref().map(|name| Writer::start(dir.path(), name));
        std::thread::sleep(Duration::from_millis(60 + 7 * round));
        for (writer, name) in writers.into_iter().zip(names) {
            for seq in writer.kill() {
                let before = winners.insert(seq, name.clone());
                assert_eq!(before, None, "J1: record {seq} was acknowledged twice");
            }
        }
    }
    assert!(winners.len() > 100, "only {} records", winners.len());
    let mut journal = DirJournal::open(dir.path()).unwrap();
    let records = read_sound(&mut journal, &stream(), Seq(0), usize::MAX - 1).unwrap();
    assert_eq!(journal.head(&stream()).unwrap(), records.last().map(|sealed| sealed.record.seq));
    for (seq, winner) in winners {
        let found = records.get(usize::try_from(seq).unwrap()).unwrap_or_else(|| panic!("J3: record {seq} is lost"));
        assert_eq!(found.record.node.as_str(), winner, "J1: record {seq}");
    }
}
