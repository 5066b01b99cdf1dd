//! Addresses: of databases, buckets, clusters, brokers and nodes.

use std::hint::black_box;

use hb::wire::sync::Target;
use hb_engines::etcd::EtcdTarget;
use hb_engines::kubernetes::KubernetesTarget;
use hb_engines::object::ObjectTarget;
use hb_engines::postgres::PostgresTarget;
use hb_engines::target::Manner;
use hb_sources::mqtt::broker::{Broker, is_filter};

use crate::input::Input;

/// Text.
///
/// # Panics
/// When a fault says nothing, or a password is shown.
pub fn run(data: &[u8]) {
    let text = Input(data).text();
    let told = |why: String| assert!(!why.is_empty(), "{text}");
    drop(EtcdTarget::parse(text).map_err(|fault| told(fault.to_string())));
    if let Err(fault) = KubernetesTarget::check(text) {
        told(fault.to_string());
    }
    drop(ObjectTarget::parse(text).map_err(|fault| told(fault.to_string())));
    if let Ok(target) = PostgresTarget::parse(text, Manner::default()).map_err(|fault| told(fault.to_string())) {
        assert!(!format!("{target} {target:?}").contains("hunter2") || !text.contains(":hunter2@"), "{target:?}");
    }
    drop(Target::parse(text).map_err(told));
    if let Ok(broker) = Broker::parse(text) {
        assert!(broker.port > 0 && !broker.host.is_empty() && broker.place().len() <= text.len() + 6);
    }
    black_box(is_filter(text));
}
