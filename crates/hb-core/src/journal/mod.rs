//! The journal's form: what a record's bytes are and how records chain. What records say stands in `node::fact`.

mod chain;
mod hash;
mod record;

pub use chain::{Break, ChainCheck};
pub use hash::Hash;
pub use record::{Damage, FORMAT, Head, Record, Sealed, room, seal, seal_about, sound_hash};
