//! The laws of registers and leases, and what `kubectl` sees.

use std::path::Path;
use std::time::Duration;

use hb_engines::kubernetes::{KubernetesRegister, KubernetesTarget, Surroundings};
use hb_engines::target::Manner;
use hb_store::conformance::leases::{self, OverRegister};
use hb_store::conformance::registers;
use hb_store::lease::register::Names;
use hb_store::register::{Register, Swapped};
use serde_json::json;

use crate::api::Api;

/// A register for a port, under a name.
pub(crate) fn at(port: u16, name: &str, patience: Duration) -> KubernetesRegister {
    open(&format!("kubernetes://lab/{name}?server=http://127.0.0.1:{port}"), patience)
}

/// The same with a token.
pub(crate) fn with_token(port: u16, token: &Path, patience: Duration) -> KubernetesRegister {
    open(&format!("kubernetes://lab/hb?server=http://127.0.0.1:{port}&token_file={}", token.display()), patience)
}

fn open(url: &str, patience: Duration) -> KubernetesRegister {
    let target = KubernetesTarget::parse_in(url, &Surroundings::default()).unwrap();
    KubernetesRegister::open(&target, Manner { patience }).unwrap()
}

#[test]
fn every_law_of_registers_is_kept() {
    registers::all(|| {
        let api = Api::start();
        move || {
            // The whole server moves in, not its port alone.
            let api = &api;
            Box::new(at(api.port, "laws", Duration::from_secs(20))) as Box<dyn Register>
        }
    });
}

#[test]
fn deployments_in_one_namespace_do_not_meet() {
    let api = Api::start();
    let patience = Duration::from_secs(20);
    let (mut one, mut other) = (at(api.port, "one", patience), at(api.port, "other", patience));
    assert!(matches!(one.swap("lease", None, b"1"), Swapped::Done(_)));
    assert_eq!(other.read("lease"), Ok(None));
    assert!(matches!(other.swap("lease", None, b"2"), Swapped::Done(_)));
    assert_eq!(one.list("", 10).unwrap().len(), 1);
    assert_eq!(one.read("lease").unwrap().unwrap().bytes, b"1");
}

#[test]
fn kubectl_sees_the_lease() {
    let api = Api::start();
    let mut register = at(api.port, "hb", Duration::from_secs(20));
    let lease = |node: &str, session: &str, progress: u64| {
        let holder =
            json!({"node": node, "pid": 1, "session": session, "epoch": 1, "progress": progress, "shown_ms": 1});
        serde_json::to_vec(&json!({"format": 1, "holder": holder, "ttl_ms": 3000, "how": "x", "released": false}))
            .unwrap()
    };
    let Swapped::Done(first) = register.swap("lease/watch/Bench", None, &lease("a", "s", 1)) else {
        panic!("not made")
    };
    let Swapped::Done(_) = register.swap("lease/watch/Bench", Some(&first), &lease("b", "t", 1)) else {
        panic!("not changed")
    };
    let Ok(object) = api.inner().store.get("hb.lease.watch.zcbench") else { panic!("no such object") };
    assert_eq!(object["spec"]["holderIdentity"], "b");
    assert_eq!(object["spec"]["leaseDurationSeconds"], 3);
    assert_eq!(object["spec"]["leaseTransitions"], 1);
    assert_eq!(object["metadata"]["labels"]["hb/deployment"], "hb");
}

#[test]
fn every_law_of_leases_is_kept() {
    leases::all(|| {
        let api = Api::start();
        let open = move || {
            let api = &api;
            Box::new(at(api.port, "leases", Duration::from_secs(20))) as Box<dyn Register>
        };
        OverRegister::new(open, Names::KUBERNETES)
    });
}
