//! Agents and policies for the tests of these rooms.

use std::sync::Arc;

use serde_json::Value;

use super::super::agent::{Agent, Lifecycle, Origin, Process};
use super::super::input::NewPolicy;
use super::super::spec::AgentSpec;
use super::document::PolicyDocument;
use crate::time::Stamp;

/// An agent that is up and was never anything else.
pub(crate) fn agent(spec: AgentSpec) -> Agent {
    Agent {
        wanted: spec.wanted,
        spec: Arc::new(spec),
        spec_version: 1,
        origin: Origin::Dynamic,
        lifecycle: Lifecycle::Running,
        since: Stamp(0),
        incarnation: 1,
        process: Process::Absent,
        next: super::super::agent::Next::default(),
        exit: None,
        restarts: super::super::agent::Restarts::default(),
        beats: super::super::agent::Beats::default(),
        probes: super::super::agent::Probes::default(),
        anomaly: super::super::agent::Anomaly::default(),
        quarantine: None,
        said: String::new(),
        team: None,
        latched: std::collections::BTreeSet::new(),
    }
}

/// A policy from its document.
pub(crate) fn policy(document: Value) -> NewPolicy {
    PolicyDocument::read(&document).unwrap().into_new()
}
