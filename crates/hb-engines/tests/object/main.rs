//! The object store engine against a store in memory, a server of our own with faults and lies, and a real S3-compatible server.
#![cfg(feature = "object")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::unwrap_in_result,
    reason = "a test fails by panicking"
)]

mod crash;
mod journal;
mod moto;
mod probe;
mod register;
mod server;

use std::time::Duration;

use hb_engines::object::{Bucket, Keys, ObjectJournal};
use hb_engines::target::Manner;
use hb_store::port::Journal;

/// Long enough for a loaded machine: nothing here is to end by the clock.
const PATIENT: Duration = Duration::from_secs(40);

/// A place with connections of its own, as another node has them.
fn bucket(target: &str) -> Bucket {
    bucket_for(target, PATIENT)
}

fn bucket_for(target: &str, patience: Duration) -> Bucket {
    let keys = Keys { id: "test".into(), secret: "test".into() };
    Bucket::open_as(&target.parse().unwrap(), &Manner { patience }, &keys).unwrap()
}

fn journal(target: &str) -> Box<dyn Journal> {
    Box::new(ObjectJournal::new(bucket(target)))
}
