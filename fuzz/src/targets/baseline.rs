//! Documents of baselines.

use std::hint::black_box;

use hb_core::journal::Hash;
use hb_core::time::Stamp;
use hb_core::watch::baseline::Baseline;

/// A document, with the hash that belongs to it.
///
/// # Panics
/// When a document that was read is not what is written, or differs from itself.
pub fn run(data: &[u8]) {
    assert!(Baseline::from_bytes(data, Hash::ZERO).is_err(), "another hash");
    match Baseline::from_bytes(data, Hash::of(data)) {
        Ok(baseline) => {
            let bytes = baseline.to_bytes();
            let again = Baseline::from_bytes(&bytes, Hash::of(&bytes)).expect("what is written is read");
            assert_eq!(again, baseline);
            let added = baseline.diff(&again).len();
            // Figures that are none of a sound summary compare with nothing, themselves included.
            assert!(added <= baseline.series.len());
            black_box(baseline.age_ns(Stamp(0)));
        }
        Err(why) => assert!(!why.is_empty()),
    }
}
