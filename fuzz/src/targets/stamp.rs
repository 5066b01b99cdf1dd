//! Times as text, and units.

use std::collections::BTreeMap;

use hb_core::journal::Hash;
use hb_core::time::Stamp;
use hb_core::watch::units::{conversion, known};

use crate::input::Input;

/// Text.
///
/// # Panics
/// When a time that was read is not what is written, or a unit does not convert into itself.
pub fn run(data: &[u8]) {
    let text = Input(data).text();
    match Stamp::parse(text) {
        Ok(stamp) => assert_eq!(Stamp::parse(&stamp.to_string()), Ok(stamp), "{text}"),
        Err(why) => assert!(!why.is_empty()),
    }
    if let Some(hash) = Hash::parse(text) {
        assert!(hash.to_string().eq_ignore_ascii_case(text));
    }
    let (from, to) = text.split_once('|').unwrap_or((text, "s"));
    if known(from).is_ok() {
        let same = conversion(from, from, &BTreeMap::new()).expect("a unit becomes itself");
        assert_eq!(same.apply(1.5).to_bits(), 1.5_f64.to_bits(), "{from}");
    }
    match (conversion(from, to, &BTreeMap::new()), conversion(to, from, &BTreeMap::new())) {
        (Ok(there), Ok(back)) => {
            let again = back.apply(there.apply(2.0));
            assert!(!again.is_finite() || (again - 2.0).abs() <= 1e-6, "{from} to {to} and back: {again}");
        }
        (Err(fault), _) | (_, Err(fault)) => assert!(!fault.to_string().is_empty()),
    }
}
