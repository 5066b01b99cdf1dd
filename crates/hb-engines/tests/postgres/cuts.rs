//! Links that lose, delay and cut; servers that are slow, stopped, full.

use std::time::Duration;

use hb_core::ids::{Seq, StreamName};
use hb_core::journal::Hash;
use hb_core::node::fact::Sealed;
use hb_engines::postgres::{PostgresJournal, PostgresRegister};
use hb_store::conformance::{fill, sample};
use hb_store::port::{Appended, Journal, JournalError};
use hb_store::register::{Register, Swapped};
use nix::sys::signal::Signal;

use crate::proxy::{Mode, Proxy};
use crate::server::{Server, fresh_schema, patient, shared, target};

/// Short, but long enough for a busy machine to answer in.
const SHORT: Duration = Duration::from_secs(3);

fn name() -> StreamName {
    "watch/cut".into()
}

/// A journal over a link, with three records in it; the fourth.
fn linked(server: &Server, schema: &str) -> (Proxy, PostgresJournal, Sealed) {
    let proxy = Proxy::to(server.port);
    let url = format!("postgres://hb@127.0.0.1:{}/ops?sslmode=disable&schema={schema}", proxy.port);
    let mut journal = PostgresJournal::open(&patient(&url, SHORT)).unwrap();
    let records = fill(&mut journal, &name(), 3);
    let next = sample(&name(), Seq(3), "a", records[2].hash);
    (proxy, journal, next)
}

#[test]
fn j5_an_append_whose_answer_is_lost_is_unknown_and_reads_back_as_done() {
    let Some(server) = shared() else { return };
    let (proxy, mut journal, next) = linked(server, &fresh_schema());
    proxy.set(Mode::LoseAnswer);
    assert!(matches!(journal.append(&name(), Seq(3), &next.bytes), Appended::Unknown(_)), "J5");
    assert_eq!(proxy.mode(), Mode::Whole, "an answer was lost");
    assert_eq!(journal.head(&name()), Ok(Some(Seq(3))), "J5: it was done");
    assert_eq!(journal.append(&name(), Seq(3), &next.bytes), Appended::Committed, "J5: equal bytes are our own");
    let after = sample(&name(), Seq(4), "a", next.hash);
    assert_eq!(journal.append(&name(), Seq(4), &after.bytes), Appended::Committed);
}

#[test]
fn j5_an_append_that_does_not_get_there_is_unknown_and_reads_back_as_not_done() {
    let Some(server) = shared() else { return };
    let (proxy, mut journal, next) = linked(server, &fresh_schema());
    proxy.set(Mode::LoseQuestion);
    assert!(matches!(journal.append(&name(), Seq(3), &next.bytes), Appended::Unknown(_)), "J5");
    assert_eq!(journal.head(&name()), Ok(Some(Seq(2))), "J5: it was not done");
    assert_eq!(journal.append(&name(), Seq(3), &next.bytes), Appended::Committed);
}

#[test]
fn j5_a_link_that_carries_one_way_only_ends_within_the_patience() {
    let Some(server) = shared() else { return };
    for (mode, done) in [(Mode::Mute, Seq(3)), (Mode::Deaf, Seq(2))] {
        let (proxy, mut journal, next) = linked(server, &fresh_schema());
        proxy.set(mode);
        assert!(matches!(journal.append(&name(), Seq(3), &next.bytes), Appended::Unknown(_)), "J5: {mode:?}");
        assert!(matches!(journal.head(&name()), Err(JournalError::Unavailable(_))), "J5: {mode:?}");
        proxy.set(Mode::Whole);
        proxy.cut();
        assert_eq!(journal.head(&name()), Ok(Some(done)), "J5: {mode:?}");
        assert_eq!(journal.append(&name(), Seq(3), &next.bytes), Appended::Committed, "{mode:?}");
    }
}

#[test]
fn a_slow_link_is_no_fault_and_a_broken_one_is_made_again() {
    let Some(server) = shared() else { return };
    let (proxy, mut journal, next) = linked(server, &fresh_schema());
    proxy.set(Mode::Slow);
    assert_eq!(journal.append(&name(), Seq(3), &next.bytes), Appended::Committed);
    proxy.set(Mode::Whole);
    proxy.cut();
    let after = sample(&name(), Seq(4), "a", next.hash);
    // That nothing stands is seen before anything is sent, unless the cut has not come through yet.
    match journal.append(&name(), Seq(4), &after.bytes) {
        Appended::Committed => {}
        Appended::Unknown(_) => assert_eq!(journal.append(&name(), Seq(4), &after.bytes), Appended::Committed),
        other @ (Appended::Refused(_) | Appended::Failed(_) | Appended::Stopped(_)) => panic!("{other:?}"),
    }
    proxy.set(Mode::Closed);
    proxy.cut();
    let last = sample(&name(), Seq(5), "a", after.hash);
    let refused = loop {
        match journal.append(&name(), Seq(5), &last.bytes) {
            // The cut was seen only on sending.
            Appended::Unknown(_) => {}
            other @ (Appended::Committed | Appended::Refused(_) | Appended::Failed(_) | Appended::Stopped(_)) => {
                break other;
            }
        }
    };
    assert!(matches!(refused, Appended::Failed(_)), "nothing was sent: {refused:?}");
    proxy.set(Mode::Whole);
    assert_eq!(journal.append(&name(), Seq(5), &last.bytes), Appended::Committed);
}

#[test]
fn j5_a_stopped_server_is_unknown_and_nothing_is_read_until_it_has_settled() {
    let Some(server) = Server::start("") else { return };
    let mut journal = PostgresJournal::open(&patient(&server.url("hb"), SHORT)).unwrap();
    let records = fill(&mut journal, &name(), 3);
    let next = sample(&name(), Seq(3), "a", records[2].hash);
    server.signal_all(Signal::SIGSTOP);
    assert!(matches!(journal.append(&name(), Seq(3), &next.bytes), Appended::Unknown(_)), "J5");
    assert!(matches!(journal.head(&name()), Err(JournalError::Unavailable(_))), "J5");
    server.signal_all(Signal::SIGCONT);
    let mut fresh = PostgresJournal::open(&target(&server.url("hb"))).unwrap();
    // What the stopped session had been sent it may still do.
    match fresh.append(&name(), Seq(3), &sample(&name(), Seq(3), "b", records[2].hash).bytes) {
        Appended::Committed => {
            let late = journal.append(&name(), Seq(3), &next.bytes);
            assert!(matches!(late, Appended::Refused(_)), "J2: {late:?}");
        }
        Appended::Refused(_) => assert_eq!(journal.append(&name(), Seq(3), &next.bytes), Appended::Committed, "J5"),
        other @ (Appended::Unknown(_) | Appended::Failed(_) | Appended::Stopped(_)) => panic!("{other:?}"),
    }
}

#[test]
fn a_locked_stream_ends_as_not_done() {
    let Some(server) = shared() else { return };
    let schema = fresh_schema();
    let mut journal = PostgresJournal::open(&patient(&server.url(&schema), SHORT)).unwrap();
    let records = fill(&mut journal, &name(), 3);
    let next = sample(&name(), Seq(3), "a", records[2].hash);
    let lock = format!("BEGIN; LOCK TABLE {schema}.records; SELECT pg_sleep(600)");
    let mut locked = server.sql_until_killed(&lock);
    let held = format!(
        "SELECT count(*) FROM pg_locks WHERE granted AND relation = '{schema}.records'::regclass \
                        AND mode = 'AccessExclusiveLock'"
    );
    while server.sql("ops", &held) != "1" {
        std::thread::sleep(Duration::from_millis(10));
    }
    let ended = journal.append(&name(), Seq(3), &next.bytes);
    assert!(matches!(&ended, Appended::Failed(what) if what.contains("57014")), "{ended:?}");
    server.sql(
        "ops",
        &format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'BEGIN; LOCK TABLE {schema}%'"
        ),
    );
    locked.wait().unwrap();
    assert_eq!(journal.append(&name(), Seq(3), &next.bytes), Appended::Committed);
}

#[test]
fn a_session_that_an_administrator_ends_is_made_again() {
    let Some(server) = shared() else { return };
    let url = format!("{}&application_name=ended", server.url(&fresh_schema()));
    let mut journal = PostgresJournal::open(&target(&url)).unwrap();
    fill(&mut journal, &name(), 3);
    let ended = "SELECT count(pg_terminate_backend(pid, 60000)) FROM pg_stat_activity WHERE application_name = 'ended'";
    assert_eq!(server.sql("ops", ended), "1");
    assert_eq!(journal.head(&name()), Ok(Some(Seq(2))));
}

#[test]
fn a_swap_whose_answer_is_lost_is_unknown_and_reads_back_as_done() {
    let Some(server) = shared() else { return };
    let proxy = Proxy::to(server.port);
    let url = format!("postgres://hb@127.0.0.1:{}/ops?sslmode=disable&schema={}", proxy.port, fresh_schema());
    let mut register = PostgresRegister::open(&patient(&url, SHORT)).unwrap();
    proxy.set(Mode::LoseAnswer);
    assert!(matches!(register.swap("lease", None, b"1"), Swapped::Unknown(_)));
    let cell = register.read("lease").unwrap().unwrap();
    assert_eq!(cell.bytes, b"1");
    proxy.set(Mode::LoseQuestion);
    assert!(matches!(register.swap("lease", Some(&cell.version), b"2"), Swapped::Unknown(_)));
    assert_eq!(register.read("lease").unwrap().unwrap(), cell);
    assert!(matches!(register.swap("lease", Some(&cell.version), b"2"), Swapped::Done(_)));
}

#[test]
fn a_full_disk_is_not_done_and_goes_on_when_there_is_room() {
    let Some(server) = shared() else { return };
    let Some(disk) = SmallDisk::mount(server) else { return };
    let ballast = disk.0.join("ballast");
    std::fs::write(&ballast, vec![1; 1 << 20]).unwrap();
    let schema = fresh_schema();
    let mut journal = PostgresJournal::open(&target(&server.url(&schema))).unwrap();
    server.sql("postgres", &format!("CREATE TABLESPACE {schema} LOCATION '{}'", disk.0.display()));
    server.sql("ops", &format!("ALTER TABLE {schema}.records SET TABLESPACE {schema}"));
    server.sql("ops", &format!("ALTER TABLE {schema}.records ALTER bytes SET STORAGE EXTERNAL"));
    let record = |seq: u64| {
        (seq..seq + 25_000).flat_map(|at| at.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes()).collect::<Vec<u8>>()
    };
    let mut seq = 0;
    let ended = loop {
        assert!(seq < 1000, "the disk is never full");
        match journal.append(&name(), Seq(seq), &record(seq)) {
            Appended::Committed => seq += 1,
            other @ (Appended::Refused(_) | Appended::Unknown(_) | Appended::Failed(_) | Appended::Stopped(_)) => {
                break other;
            }
        }
    };
    assert!(
        matches!(&ended, Appended::Failed(what) if what.contains("53100") && what.contains("make room")),
        "{ended:?}"
    );
    assert!(seq > 1, "some went in");
    assert_eq!(journal.head(&name()), Ok(Some(Seq(seq - 1))), "J1");
    assert_eq!(journal.trim(&name(), Seq(seq - 1)), Ok(seq - 1), "J6");
    std::fs::remove_file(&ballast).unwrap();
    assert_eq!(journal.append(&name(), Seq(seq), &record(seq)), Appended::Committed, "there is room again");
    server.sql("ops", &format!("DROP SCHEMA {schema} CASCADE"));
    server.sql("postgres", &format!("DROP TABLESPACE {schema}"));
}

/// A file system of 4 MB; it is unmounted with the value.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn mount(server: &Server) -> Option<Self> {
        let path = server.folder().join("small");
        std::fs::create_dir(&path).unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m,mode=0777", "tmpfs"])
            .arg(&path)
            .output()
            .unwrap();
        if !mounted.status.success() {
            eprintln!("NOT RUN: no file system can be mounted here: {}", String::from_utf8_lossy(&mounted.stderr));
            return None;
        }
        server.own("small");
        Some(Self(path))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        std::process::Command::new("umount").arg("-l").arg(&self.0).status().unwrap();
    }
}

#[test]
fn j3_a_record_that_an_older_copy_of_the_server_has_not_stops_the_handle() {
    let Some(server) = shared() else { return };
    let schema = fresh_schema();
    let mut journal = PostgresJournal::open(&target(&server.url(&schema))).unwrap();
    let records = fill(&mut journal, &name(), 3);
    // As if a replica had taken over that the last record had not reached.
    server.sql("ops", &format!("DELETE FROM {schema}.records WHERE seq = 2"));
    let next = sample(&name(), Seq(3), "a", records[2].hash);
    let ended = journal.append(&name(), Seq(3), &next.bytes);
    assert!(
        matches!(&ended, Appended::Stopped(what) if what.contains("record 2") && what.contains("newest is 1")),
        "{ended:?}"
    );
    assert!(matches!(journal.append(&name(), Seq(2), &records[2].bytes), Appended::Stopped(_)));
    assert!(matches!(journal.head(&name()), Err(JournalError::Stopped(_))));
    let mut fresh = PostgresJournal::open(&target(&server.url(&schema))).unwrap();
    let again = sample(&name(), Seq(2), "b", records[1].hash);
    assert_eq!(fresh.append(&name(), Seq(2), &again.bytes), Appended::Committed, "it goes on from what stands");
    let gap = fresh.append(&name(), Seq(9), &sample(&name(), Seq(9), "b", Hash::ZERO).bytes);
    assert!(matches!(gap, Appended::Failed(_)), "{gap:?}");
}
