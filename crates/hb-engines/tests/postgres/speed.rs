//! How long an append takes: a measurement, which asks for a quiet machine.

use std::time::{Duration, Instant};

use hb_core::ids::{Seq, StreamName};
use hb_core::journal::Hash;
use hb_engines::postgres::{PostgresJournal, PostgresRegister};
use hb_store::conformance::sample;
use hb_store::port::{Appended, Journal};
use hb_store::register::{Register, Swapped};

use crate::server::{Server, target};

const COUNT: u64 = 2000;

fn said(what: &str, times: &mut [Duration]) {
    times.sort();
    let at = |share: usize| times[(times.len() - 1) * share / 1000];
    println!("{what}: median {:?}, p99 {:?}, worst {:?} of {}", at(500), at(990), at(1000), times.len());
}

#[test]
#[ignore = "a measurement"]
fn how_long_an_append_and_a_swap_take() {
    let Some(server) = Server::start("") else { return };
    let mut journal = PostgresJournal::open(&target(&server.url("hb"))).unwrap();
    let name: StreamName = "watch/speed".into();
    let mut prev = Hash::ZERO;
    let mut times = Vec::new();
    for seq in (0..COUNT).map(Seq) {
        let record = sample(&name, seq, "a", prev);
        prev = record.hash;
        let begun = Instant::now();
        assert_eq!(journal.append(&name, seq, &record.bytes), Appended::Committed);
        times.push(begun.elapsed());
    }
    said("append", &mut times);
    let mut register = PostgresRegister::open(&target(&server.url("hb"))).unwrap();
    let mut seen = None;
    times.clear();
    for _ in 0..COUNT {
        let begun = Instant::now();
        match register.swap("lease", seen.as_ref(), b"renewed") {
            Swapped::Done(version) => seen = Some(version),
            other @ (Swapped::Lost(_) | Swapped::Unknown(_) | Swapped::Failed(_)) => panic!("{other:?}"),
        }
        times.push(begun.elapsed());
    }
    said("swap", &mut times);
    times.clear();
    for _ in 0..COUNT {
        let begun = Instant::now();
        register.read("lease").unwrap();
        times.push(begun.elapsed());
    }
    said("read", &mut times);
}
