//! Failover over many hosts, on the real binary: hosts are network namespaces, stores are real servers (PostgreSQL, etcd) or servers
//! that keep their protocol (S3, Kubernetes), and what goes wrong is drawn by a seed or made on purpose.
//!
//! What nodes did is judged by [`history`]: from the journal and from what a webhook was told. Wall time is printed, never asserted.
//!
//! `HB_FAILOVER_FAULTS` (6) says how many faults each pair of journal and lease has to bear; `HB_TEST_SEED` repeats a run that
//! failed. Namespaces need root and iproute2; where they cannot be had, tests that need them say `NOT RUN`.
//!
//! Namespaces belong to no name: they go with the threads and processes of the test, however those end.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_in_result,
    clippy::cast_possible_truncation,
    reason = "a test that cannot go on says so by panicking, and prints its figures"
)]

mod clocks;
mod door;
#[expect(dead_code, reason = "the tests of the engine use the rest of it")]
#[path = "../../../hb-engines/tests/etcd/server.rs"]
mod etcd;
mod faults;
mod full;
mod haproxy;
mod history;
mod ill_stores;
#[expect(dead_code, reason = "the tests of the engine use the rest of it")]
#[path = "../../../hb-engines/tests/kubernetes/api.rs"]
mod kubernetes;
mod laws;
mod lost;
#[expect(dead_code, reason = "the tests of the engine use the rest of it")]
#[path = "../../../hb-engines/tests/object/server.rs"]
mod object;
mod pair;
mod patience;
mod planned;
#[expect(dead_code, reason = "the tests of the engine use the rest of it")]
#[path = "../../../hb-engines/tests/postgres/server.rs"]
mod postgres;
mod rack;
mod room;
mod runbook;
#[expect(dead_code, reason = "the tests of the engine use the rest of it")]
#[path = "../../../hb-engines/tests/kubernetes/store.rs"]
mod store;
mod stores;
mod supervised;
#[expect(dead_code, reason = "the other tests of the binary use the rest of it")]
#[path = "../binary/support/mod.rs"]
mod support;
mod tape;
mod teller;
mod timeline;
mod torture;
mod wall;
