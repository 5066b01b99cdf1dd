//! A writer that is killed at random.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hb_core::supervise::state::Fold;
use hb_store::port::Appended;
use hb_store::supervisor::SupervisorDb;
use hb_store::verify::{Places, verify};

use super::support::{Chain, Place, agent, agents};

const PATH: &str = "HB_TEST_SUPERVISOR_DB";
const NAME: &str = "HB_TEST_SUPERVISOR_WRITER";

/// Not a test of its own: a holder that opens a reign and changes things until it is killed, or until somebody else does.
#[test]
fn writer_process() {
    let (Ok(path), Ok(name)) = (std::env::var(PATH), std::env::var(NAME)) else { return };
    let mut db = SupervisorDb::open(Path::new(&path)).unwrap();
    'reign: loop {
        let mut chain = Chain::taking_over(&mut db, &name);
        let mut records = vec![chain.open()];
        for number in 0_u64.. {
            match db.commit(&records) {
                Appended::Committed => {
                    for record in &records {
                        println!("acknowledged {} {name} {}", record.record.seq, record.hash);
                    }
                }
                Appended::Refused(_) => continue 'reign,
                // The other one holds the lock.
                Appended::Failed(_) => continue,
                other @ (Appended::Unknown(_) | Appended::Stopped(_)) => panic!("{other:?}"),
            }
            records = vec![chain.change_with(agents([agent(&format!("agent-{}", number % 20))]), 2, 3)];
            if number % 10 == 9 {
                records.push(chain.snapshot());
                records.push(chain.change_with(agents([agent("with-the-snapshot")]), 1, 1));
            }
        }
    }
}

pub(crate) struct Writer {
    child: Child,
}

impl Writer {
    pub(crate) fn start(path: &Path, name: &str) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::writer_process", "--nocapture"])
            .env(PATH, path)
            .env(NAME, name)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self { child }
    }

    /// Kills it and gives back what was acknowledged to it: number and hash.
    pub(crate) fn kill(mut self) -> Vec<(u64, String)> {
        self.child.kill().unwrap();
        let lines = BufReader::new(self.child.stdout.take().unwrap()).lines();
        let acknowledged = lines
            .map_while(Result::ok)
            .filter_map(|line| {
                let (_, rest) = line.split_once("acknowledged ")?;
                let mut words = rest.split(' ');
                let (seq, _, hash) = (words.next()?.parse().ok()?, words.next()?, words.next()?);
                // A line that was cut by the kill says less than a whole hash.
                (hash.len() == 64).then(|| (seq, hash.to_owned()))
            })
            .collect();
        self.child.wait().unwrap();
        acknowledged
    }
}

/// Whether all that was acknowledged stands, and the tables with it.
pub(crate) fn all_stands(path: &Path, acknowledged: &[(u64, String)]) {
    let mut db = SupervisorDb::open(path).unwrap();
    let mut fold = Fold::default();
    db.restore(&mut |sealed| fold.push(sealed)).unwrap();
    for (seq, hash) in acknowledged {
        let bytes = db.record(hb_core::ids::Seq(*seq)).unwrap().unwrap_or_else(|| panic!("J3: record {seq} is lost"));
        assert_eq!(hb_core::journal::sound_hash(&bytes).unwrap().to_string(), *hash, "J1: record {seq}");
    }
    drop(db);
    let places = Places {
        journal: path.with_file_name("none"),
        output_dirs: Vec::new(),
        documents: None,
        db: None,
        supervisor: Some(path.to_path_buf()),
    };
    let report = verify(&places).unwrap();
    assert!(report.sound(), "S1: {:#?}", report.findings().collect::<Vec<_>>());
}

#[test]
fn a1_s1_j3_a_writer_that_is_killed_at_random_loses_nothing_that_was_acknowledged() {
    let place = Place::new();
    let mut acknowledged = Vec::new();
    for round in 0..25_u64 {
        let writer = Writer::start(&place.path(), &format!("w{round}"));
        std::thread::sleep(Duration::from_millis(40 + 13 * (round % 7)));
        acknowledged.extend(writer.kill());
        if round % 5 == 4 {
            all_stands(&place.path(), &acknowledged);
        }
    }
    assert!(acknowledged.len() > 50, "only {} records", acknowledged.len());
    println!("{} records acknowledged over 25 kills", acknowledged.len());
}
