//! The conformance suites.

use hb_core::journal::Hash;
use hb_engines::postgres::{PostgresBlobs, PostgresJournal, PostgresRegister};
use hb_store::conformance;
use hb_store::conformance::leases::{self, OverRegister};
use hb_store::lease::register::Names;
use hb_store::port::{Blobs, Journal, JournalError};
use hb_store::register::Register;

use crate::server::{fresh_schema, shared, target};

#[test]
fn the_journal_obeys_every_law() {
    let Some(server) = shared() else { return };
    conformance::all(|| {
        let target = target(&server.url(&fresh_schema()));
        move || Box::new(PostgresJournal::open(&target).unwrap()) as Box<dyn Journal>
    });
    conformance::of_copies(|| {
        let target = target(&server.url(&fresh_schema()));
        move || Box::new(PostgresJournal::open(&target).unwrap()) as Box<dyn Journal>
    });
}

#[test]
fn the_register_obeys_every_law() {
    let Some(server) = shared() else { return };
    let fresh = || {
        let target = target(&server.url(&fresh_schema()));
        move || Box::new(PostgresRegister::open(&target).unwrap()) as Box<dyn Register>
    };
    conformance::registers::all(fresh);
    conformance::registers::abandonment_is_told(&fresh());
}

#[test]
fn the_lease_obeys_every_law() {
    let Some(server) = shared() else { return };
    leases::all(|| {
        let target = target(&server.url(&fresh_schema()));
        let open = move || Box::new(PostgresRegister::open(&target).unwrap()) as Box<dyn Register>;
        OverRegister::new(open, Names::POSTGRES)
    });
}

#[test]
fn a_document_is_kept_under_its_hash_and_damage_is_told_and_mended() {
    let Some(server) = shared() else { return };
    let schema = fresh_schema();
    let target = target(&server.url(&schema));
    let mut blobs = PostgresBlobs::open(&target).unwrap();
    let bytes = b"a document".as_slice();
    let hash = Hash::of(bytes);
    assert_eq!(blobs.get(hash), Ok(None));
    assert!(blobs.put(Hash::of(b"another"), bytes).is_err());
    blobs.put(hash, bytes).unwrap();
    blobs.put(hash, bytes).unwrap();
    assert_eq!(PostgresBlobs::open(&target).unwrap().get(hash).unwrap().unwrap(), bytes);
    server.sql("ops", &format!("UPDATE {schema}.blobs SET bytes = 'b document'"));
    assert!(matches!(blobs.get(hash), Err(JournalError::Corrupt(_))));
    blobs.put(hash, bytes).unwrap();
    assert_eq!(blobs.get(hash).unwrap().unwrap(), bytes);
}

#[test]
fn j4_a_missing_record_is_named() {
    let Some(server) = shared() else { return };
    let schema = fresh_schema();
    let mut journal = PostgresJournal::open(&target(&server.url(&schema))).unwrap();
    let name = "watch/a".into();
    conformance::fill(&mut journal, &name, 6);
    server.sql("ops", &format!("DELETE FROM {schema}.records WHERE seq = 3"));
    let error = journal.read(&name, hb_core::ids::Seq(0), 10).unwrap_err();
    assert!(matches!(error, JournalError::Corrupt(_)), "{error}");
    assert!(error.to_string().contains("record 3") && error.to_string().contains(&schema), "{error}");
    assert_eq!(journal.read(&name, hb_core::ids::Seq(4), 10).unwrap().len(), 2);
}
