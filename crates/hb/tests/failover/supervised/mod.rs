//! A supervisor on SQLite under faults.

use crate::teller::Teller;

pub(crate) fn bear(_goal: usize, _teller: &mut Teller) {
    panic!("not yet");
}
