//! Crash points: a process that dies before or after any request that changes something, the answer lost with it (J3, J5, J6).

use hb_core::ids::{Seq, StreamName};
use hb_core::journal::Hash;
use hb_store::conformance::{fill, sample};
use hb_store::port::{Appended, Journal};
use hb_store::reader::read_sound;

use super::server::{Death, Lie, Server};
use super::{bucket_for, journal};
use hb_engines::object::ObjectJournal;
use std::time::Duration;

fn name() -> StreamName {
    "watch/a".into()
}

/// A handle that gives up soon once nobody answers any more.
fn short(server: &Server) -> ObjectJournal {
    ObjectJournal::new(bucket_for(&server.target("p"), Duration::from_millis(400)))
}

#[test]
fn j3_a_process_killed_at_any_point_of_an_append_leaves_it_whole_or_absent() {
    let mut cut = 0;
    for before in [0, 3] {
        for death in [Death::Before, Death::After] {
            for at in 1.. {
                let server = Server::start(Lie::None);
                let records = fill(&mut *journal(&server.target("p")), &name(), before);
                let prev = records.last().map_or(Hash::ZERO, |sealed| sealed.hash);
                let record = sample(&name(), Seq(before), "a", prev);
                server.die_at(at, death);
                let appended = short(&server).append(&name(), Seq(before), &record.bytes);
                let died = server.revive();
                let what = format!("{death:?} change {at} after {before} records: {appended:?}");
                let mut fresh = journal(&server.target("p"));
                let stands = read_sound(&mut *fresh, &name(), Seq(0), 99).unwrap();
                let wanted = usize::try_from(before).unwrap();
                assert_eq!(stands[..wanted], records, "{what}");
                match &appended {
                    Appended::Committed => assert_eq!(stands[wanted..], *std::slice::from_ref(&record), "{what}"),
                    Appended::Failed(_) => assert_eq!(stands.len(), wanted, "{what}"),
                    Appended::Unknown(_) => assert!(stands[wanted..].iter().all(|other| *other == record), "{what}"),
                    Appended::Refused(_) | Appended::Stopped(_) => panic!("{what}"),
                }
                assert_eq!(fresh.append(&name(), Seq(before), &record.bytes), Appended::Committed, "{what}: again");
                let next = sample(&name(), Seq(before + 1), "b", record.hash);
                assert_eq!(fresh.append(&name(), Seq(before + 1), &next.bytes), Appended::Committed, "{what}: next");
                if !died {
                    break;
                }
                cut += 1;
            }
        }
    }
    assert!(cut >= 6, "only {cut} points");
}

#[test]
fn j6_a_process_killed_between_floor_and_deletions_leaves_no_number_open() {
    let mut cut = 0;
    for death in [Death::Before, Death::After] {
        for at in 1.. {
            let server = Server::start(Lie::None);
            let records = fill(&mut *journal(&server.target("p")), &name(), 8);
            server.die_at(at, death);
            let trimmed = short(&server).trim(&name(), Seq(5));
            let died = server.revive();
            let what = format!("{death:?} change {at}: {trimmed:?}");
            let mut fresh = journal(&server.target("p"));
            let floor = fresh.floor(&name()).unwrap();
            assert!(floor == Seq(0) || floor == Seq(5), "{what}");
            let from = usize::try_from(floor.0).unwrap();
            assert_eq!(read_sound(&mut *fresh, &name(), Seq(0), 99).unwrap(), records[from..], "{what}");
            let zombie = sample(&name(), Seq(2), "zombie", Hash::ZERO);
            let appended = short(&server).append(&name(), Seq(2), &zombie.bytes);
            assert!(matches!(appended, Appended::Refused(_)), "{what}: {appended:?}");
            fresh.trim(&name(), Seq(5)).unwrap();
            assert_eq!(server.keys("p/journal/watch/a/0").len(), 3, "{what}: the rest goes with the next trim");
            if !died {
                break;
            }
            cut += 1;
        }
    }
    assert!(cut >= 10, "only {cut} points");
}
