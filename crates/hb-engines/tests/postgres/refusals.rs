//! Servers and schemas that are not used, and what is said of them.

use std::time::Duration;

use hb_core::ids::Seq;
use hb_engines::postgres::PostgresJournal;
use hb_store::conformance::fill;
use hb_store::port::{Appended, Journal, JournalError};

use crate::proxy::{Mode, Proxy};
use crate::server::{Server, fresh_schema, patient, shared, target};

fn refused(url: &str) -> String {
    PostgresJournal::open(&target(url)).map(drop).unwrap_err().0
}

#[test]
fn wrong_logins_databases_and_rights_are_told_with_what_to_do() {
    let Some(server) = shared() else { return };
    let port = server.port;
    for (url, said) in [
        (format!("postgres://secretive:wrong@127.0.0.1:{port}/ops?sslmode=disable"), "28P01"),
        (format!("postgres://nobody@127.0.0.1:{port}/ops?sslmode=disable"), "28000"),
        (format!("postgres://hb@127.0.0.1:{port}/nothing?sslmode=disable"), "CREATE DATABASE"),
        (
            format!("postgres://stranger@127.0.0.1:{port}/ops?sslmode=disable&schema=of_nobody"),
            "CREATE SCHEMA of_nobody AUTHORIZATION",
        ),
        (format!("postgres://hb@127.0.0.1:{port}/ops"), "sslmode=disable"),
    ] {
        let told = refused(&url);
        assert!(told.contains(said) && !told.contains("wrong@"), "{url}: {told}");
    }
    let secret = format!("postgres://secretive:open%20sesame@127.0.0.1:{port}/ops?sslmode=disable&schema=of_nobody");
    assert!(refused(&secret).contains("CREATE SCHEMA"), "it got in");
    PostgresJournal::open(&target(&server.url(&fresh_schema()))).unwrap();
}

#[test]
fn a_schema_of_another_program_a_newer_one_and_a_different_one_are_refused() {
    let Some(server) = shared() else { return };
    let foreign = fresh_schema();
    server.sql("ops", &format!("CREATE SCHEMA {foreign} AUTHORIZATION hb CREATE TABLE t (a int)"));
    assert!(refused(&server.url(&foreign)).contains("something else"));
    let newer = fresh_schema();
    PostgresJournal::open(&target(&server.url(&newer))).unwrap();
    server.sql("ops", &format!("INSERT INTO {newer}.migrations VALUES (99, 'x')"));
    assert!(refused(&server.url(&newer)).contains("version 99"));
    server.sql("ops", &format!("DELETE FROM {newer}.migrations; INSERT INTO {newer}.migrations VALUES (1, 'x')"));
    assert!(refused(&server.url(&newer)).contains("another build"));
}

#[test]
fn a_right_that_is_taken_away_is_told_and_nothing_is_done() {
    let Some(server) = shared() else { return };
    let schema = fresh_schema();
    let mut journal = PostgresJournal::open(&target(&server.url(&schema))).unwrap();
    let name = "watch/a".into();
    let records = fill(&mut journal, &name, 1);
    server
        .sql("ops", &format!("ALTER TABLE {schema}.records OWNER TO postgres; GRANT SELECT ON {schema}.records TO hb"));
    let ended = journal.append(&name, Seq(1), &records[0].bytes);
    assert!(matches!(&ended, Appended::Failed(what) if what.contains("42501")), "{ended:?}");
    assert_eq!(journal.head(&name), Ok(Some(Seq(0))));
}

#[test]
fn several_nodes_make_the_tables_at_once() {
    let Some(server) = shared() else { return };
    let target = target(&server.url(&fresh_schema()));
    std::thread::scope(|scope| {
        let opened: Vec<_> = (0..6).map(|_| scope.spawn(|| PostgresJournal::open(&target).map(drop))).collect();
        for opened in opened {
            opened.join().unwrap().unwrap();
        }
    });
}

#[test]
fn a_server_that_is_not_there_is_no_error_of_the_settings_and_is_used_once_it_is() {
    let Some(server) = Server::start("") else { return };
    server.end(nix::sys::signal::Signal::SIGINT);
    let mut journal = PostgresJournal::open(&patient(&server.url("hb"), Duration::from_millis(300))).unwrap();
    assert!(matches!(journal.head(&"watch/a".into()), Err(JournalError::Unavailable(_))));
    assert!(matches!(journal.append(&"watch/a".into(), Seq(0), b"x"), Appended::Failed(_)), "nothing was sent");
    assert!(server.run());
    while journal.head(&"watch/a".into()) != Ok(None) {
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_server_that_does_not_flush_is_refused_and_weak_commits_are_made_strong() {
    let Some(server) = Server::start("fsync=off\nsynchronous_commit=off") else { return };
    assert!(refused(&server.url("hb")).contains("fsync is off"));
    server.end(nix::sys::signal::Signal::SIGINT);
    let Some(server) = Server::start("synchronous_commit=off") else { return };
    let mut journal = PostgresJournal::open(&target(&server.url("hb"))).unwrap();
    fill(&mut journal, &"watch/a".into(), 5);
    // What is not flushed would be lost now.
    server.end(nix::sys::signal::Signal::SIGQUIT);
    assert!(server.run());
    while journal.head(&"watch/a".into()) != Ok(Some(Seq(4))) {
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_replica_is_passed_over_and_told() {
    let Some(server) = Server::start("") else { return };
    server.end(nix::sys::signal::Signal::SIGINT);
    // Recovery that never ends is what a replica is.
    std::fs::write(server.folder().join("data/standby.signal"), "").unwrap();
    assert!(server.run());
    let mut journal = PostgresJournal::open(&patient(&server.url("hb"), Duration::from_secs(2))).unwrap();
    let told = journal.head(&"watch/a".into()).unwrap_err().to_string();
    assert!(told.contains("replica"), "{told}");
    let Some(primary) = shared() else { return };
    let both = format!(
        "postgres://hb@127.0.0.1:{},127.0.0.1:{}/ops?sslmode=disable&schema={}",
        server.port,
        primary.port,
        fresh_schema()
    );
    let mut journal = PostgresJournal::open(&target(&both)).unwrap();
    assert_eq!(journal.head(&"watch/a".into()), Ok(None));
}

#[test]
fn a_pooler_that_does_not_pass_our_options_on_is_told_and_refused() {
    let Some(server) = shared() else { return };
    let proxy = Proxy::to(server.port);
    let url = format!("postgres://hb@127.0.0.1:{}/ops?sslmode=disable&schema={}", proxy.port, fresh_schema());
    proxy.set(Mode::Pooler);
    assert!(refused(&url).contains("pooler"), "{}", refused(&url));
    proxy.set(Mode::Whole);
    PostgresJournal::open(&target(&url)).unwrap();
}
