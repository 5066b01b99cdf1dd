//! What the records of a watch add up to: each line is what one says, sealed one after the other.

use hb_core::ids::{Epoch, Seq};
use hb_core::journal::{ChainCheck, FORMAT, Hash, Record, seal};
use hb_core::node::fact::Body;
use hb_core::node::fold::Fold;
use hb_core::time::Stamp;

/// Most lines that are taken.
const LINES_MAX: usize = 64;

/// Lines of JSON.
///
/// # Panics
/// When the chain of what was sealed does not hold, or a fold depends on how it was read.
pub fn run(data: &[u8]) {
    let (mut chain, mut fold, mut again) = (ChainCheck::default(), Fold::default(), Fold::default());
    let mut prev = Hash::ZERO;
    let bodies = data.split(|byte| *byte == b'\n').take(LINES_MAX);
    let bodies = bodies.filter_map(|line| serde_json::from_slice::<Body>(line).ok());
    for (seq, body) in (0..).zip(bodies) {
        let record = Record {
            format: FORMAT,
            stream: "watch/w".into(),
            seq: Seq(seq),
            epoch: Epoch(1 + seq / 4),
            at: Stamp(1_700_000_000_000_000_000),
            node: "a".into(),
            prev,
            body,
        };
        let sealed = seal(record);
        prev = sealed.hash;
        chain.push(&sealed).expect("what was sealed in order follows in order");
        assert!(chain.push(&sealed).is_err(), "no record stands twice");
        let read = Record::<Body>::decode(&sealed.bytes).expect("what was sealed is read");
        assert_eq!(read.record, sealed.record);
        fold.push(&sealed);
        again.push(&read);
    }
    assert_eq!(format!("{fold:?}"), format!("{again:?}"), "a fold is of what stands there");
}
