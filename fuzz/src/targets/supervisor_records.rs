//! What the records of a supervisor add up to, and that it can be opened and goes on from whatever they say.

use hb_core::ids::{Epoch, Seq, StreamName};
use hb_core::journal::{FORMAT, Hash, Record, seal};
use hb_core::supervise::Supervision;
use hb_core::supervise::state::Body;
use hb_core::time::{Moment, Now, Stamp};

/// Most lines that are taken.
const LINES_MAX: usize = 32;
/// Most turns after the opening.
const TURNS_MAX: usize = 8;

/// Lines of JSON.
///
/// # Panics
/// When records that are sound bring a supervisor down, or what it records is not read back.
pub fn run(data: &[u8]) {
    let mut supervision = Supervision::new("b".into(), StreamName::supervisor("main"));
    let mut prev = Hash::ZERO;
    let bodies = data.split(|byte| *byte == b'\n').take(LINES_MAX);
    let bodies = bodies.filter_map(|line| serde_json::from_slice::<Body>(line).ok());
    for (seq, body) in (0..).zip(bodies) {
        let record = Record {
            format: FORMAT,
            stream: StreamName::supervisor("main"),
            seq: Seq(seq),
            epoch: Epoch(1),
            at: Stamp(WALL),
            node: "a".into(),
            prev,
            body,
        };
        let sealed = seal(record);
        prev = sealed.hash;
        let read = Record::<Body>::decode(&sealed.bytes).expect("what was sealed is read");
        assert_eq!(read.record, sealed.record);
        supervision.follow(read);
    }
    let mut step = supervision.open("test", "first start", now(0));
    for turn in 1..=TURNS_MAX {
        if let Some(sealed) = &step.record {
            let read = Record::<Body>::decode(&sealed.bytes).expect("what it records is read");
            assert_eq!(read.record.seq, sealed.record.seq);
        }
        let Some(moment) = supervision.wake_at() else { return };
        step = supervision.take(Now { moment, ..now(turn) });
    }
}

const WALL: i64 = 1_700_000_000_000_000_000;

fn now(turn: usize) -> Now {
    let seconds = i64::try_from(turn).unwrap_or(0);
    let moment = Moment(seconds.unsigned_abs() * 1_000_000_000);
    Now { moment, wall: Stamp(WALL + seconds * 1_000_000_000) }
}
