//! Shows: health, metrics, the small page of health, and the report of a cycle.
//!
//! Nothing here decides or waits. Handlers read snapshots through [`Onlooker`]; a client that is slow, or never finishes
//! its request, holds nobody up: not the other clients, and never the daemon. Whatever comes from telemetry, settings or
//! the network is escaped where it is shown.

mod connection;
mod documents;
mod exposition;
mod figure;
mod guard;
mod metrics;
mod onlooker;
mod page;
mod process;
pub mod report;
mod routes;
mod server;
mod svg;

pub use documents::{ActiveDoc, CyclesDoc, LiveDoc, ReadyDoc, StatusDoc, WatchDoc, status};
pub use hb_core::node::cycle_line::CycleLine;
pub use hb_core::node::latency::Latency;
pub use metrics::{AlertOutcome, BuildInfo, Metrics, QueueDepth, WatchMetrics, exposition};
pub use onlooker::{Check, Liveness, Onlooker};
pub use routes::router;
pub use server::{ServerCounters, ServerHandle, ServerLimits, serve, spawn};
