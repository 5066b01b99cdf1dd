//! Shows: health, metrics, the operator's page, the report of a cycle, and the API of watches and a supervisor.
//!
//! Nothing here decides. Handlers of health read snapshots through [`Onlooker`] and wait for nothing; those of the API ([`v1`]) leave a message
//! for the supervisor, and wait for its answer without holding up anybody else. A client that is slow, or never finishes
//! its request, holds nobody up: not the other clients, and never the daemon. Whatever comes from telemetry, settings or
//! the network is escaped where it is shown.

mod connection;
mod copying;
mod documents;
mod exposition;
mod figure;
mod front;
mod guard;
mod live;
mod metrics;
mod onlooker;
mod page;
mod pieces;
mod process;
pub mod report;
mod roster;
mod routes;
mod server;
mod supervised;
mod svg;
pub mod v1;

pub use copying::Copying;
pub use documents::{ActiveDoc, CyclesDoc, LiveDoc, ReadyDoc, StatusDoc, WatchDoc, status};
pub use hb_core::node::cycle_line::CycleLine;
pub use hb_core::node::latency::Latency;
pub use metrics::{AlertOutcome, BuildInfo, Metrics, QueueDepth, WatchMetrics, exposition};
pub use onlooker::{Check, Liveness, Onlooker};
pub use roster::NodeDoc;
pub use routes::router;
pub use server::{
    Rooms, ServerCounters, ServerHandle, ServerLimits, families, serve, spawn, spawn_with, spawn_with_api,
};
pub use v1::{Access, Anonymous, Api};
