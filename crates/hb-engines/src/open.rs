//! From an address to an engine: the one place that knows which scheme is which engine, and which engines are built in.

use hb_store::port::{Blobs, Journal};
use hb_store::probe::Check;
#[cfg(feature = "object")]
use hb_store::probe::Verdict;
use hb_store::register::Register;

use crate::target::{Kind, Manner, TargetError};

/// Whether an address has the form that its kind takes. Nothing is asked of the server.
///
/// # Errors
/// What is wrong with it, or that the engine is not built in.
pub fn check(kind: Kind, url: &str) -> Result<(), TargetError> {
    match kind {
        #[cfg(feature = "postgres")]
        Kind::Postgres => crate::postgres::PostgresTarget::parse(url, Manner::default()).map(drop),
        #[cfg(feature = "object")]
        Kind::Object => crate::object::ObjectTarget::parse(url).map(drop),
        #[cfg(feature = "etcd")]
        Kind::Etcd => crate::etcd::EtcdTarget::parse(url).map(drop),
        #[cfg(feature = "kubernetes")]
        Kind::Kubernetes => crate::kubernetes::KubernetesTarget::check(url),
        #[cfg(not(all(feature = "postgres", feature = "object", feature = "etcd", feature = "kubernetes")))]
        other => Err(left_out(other, url)),
    }
}

/// A journal at an address.
///
/// # Errors
/// Why it cannot be used.
#[cfg_attr(
    not(any(feature = "postgres", feature = "object")),
    expect(unused_variables, reason = "no engine keeps journals")
)]
pub fn journal(kind: Kind, url: &str, manner: Manner) -> Result<Box<dyn Journal>, TargetError> {
    match kind {
        #[cfg(feature = "postgres")]
        Kind::Postgres => {
            let target = crate::postgres::PostgresTarget::parse(url, manner)?;
            Ok(Box::new(crate::postgres::PostgresJournal::open(&target)?))
        }
        #[cfg(feature = "object")]
        Kind::Object => Ok(Box::new(crate::object::ObjectJournal::new(bucket(url, manner)?))),
        other => Err(no_journal(other, url)),
    }
}

/// The documents beside that journal.
///
/// # Errors
/// Why they cannot be used.
#[cfg_attr(
    not(any(feature = "postgres", feature = "object")),
    expect(unused_variables, reason = "no engine keeps journals")
)]
pub fn blobs(kind: Kind, url: &str, manner: Manner) -> Result<Box<dyn Blobs>, TargetError> {
    match kind {
        #[cfg(feature = "postgres")]
        Kind::Postgres => {
            let target = crate::postgres::PostgresTarget::parse(url, manner)?;
            Ok(Box::new(crate::postgres::PostgresBlobs::open(&target)?))
        }
        #[cfg(feature = "object")]
        Kind::Object => Ok(Box::new(crate::object::ObjectBlobs::new(bucket(url, manner)?))),
        other => Err(no_journal(other, url)),
    }
}

/// A register at an address.
///
/// # Errors
/// Why it cannot be used.
#[cfg_attr(
    not(any(feature = "postgres", feature = "object", feature = "etcd", feature = "kubernetes")),
    expect(unused_variables, reason = "no engine is built in")
)]
pub fn register(kind: Kind, url: &str, manner: Manner) -> Result<Box<dyn Register>, TargetError> {
    match kind {
        #[cfg(feature = "postgres")]
        Kind::Postgres => {
            let target = crate::postgres::PostgresTarget::parse(url, manner)?;
            Ok(Box::new(crate::postgres::PostgresRegister::open(&target)?))
        }
        #[cfg(feature = "object")]
        Kind::Object => Ok(Box::new(crate::object::ObjectRegister::new(bucket(url, manner)?))),
        #[cfg(feature = "etcd")]
        Kind::Etcd => Ok(Box::new(crate::etcd::EtcdRegister::open(&crate::etcd::EtcdTarget::parse(url)?, manner)?)),
        #[cfg(feature = "kubernetes")]
        Kind::Kubernetes => {
            let target = crate::kubernetes::KubernetesTarget::parse(url)?;
            Ok(Box::new(crate::kubernetes::KubernetesRegister::open(&target, manner)?))
        }
        #[cfg(not(all(feature = "postgres", feature = "object", feature = "etcd", feature = "kubernetes")))]
        other => Err(left_out(other, url)),
    }
}

#[cfg(feature = "object")]
fn bucket(url: &str, manner: Manner) -> Result<crate::object::Bucket, TargetError> {
    crate::object::Bucket::open(&crate::object::ObjectTarget::parse(url)?, &manner)
}

fn no_journal(kind: Kind, url: &str) -> TargetError {
    if kind.keeps_journals() {
        return left_out(kind, url);
    }
    TargetError(format!("{} is for leases, it keeps no journal", kind.as_str()))
}

fn left_out(kind: Kind, url: &str) -> TargetError {
    let scheme = url.split(':').next().unwrap_or_default();
    TargetError(format!("this hb was built without {}, so `{scheme}:` cannot be used", kind.as_str()))
}

/// Asks a place, before a node works with it, whether it keeps its word: shortly, and only places of which some do not.
///
/// # Errors
/// What it did that makes it useless, or why it cannot be told.
#[cfg_attr(not(feature = "object"), expect(unused_variables, reason = "only buckets are asked"))]
pub fn trust(kind: Kind, url: &str, manner: Manner) -> Result<(), TargetError> {
    match kind {
        #[cfg(feature = "object")]
        Kind::Object => {
            crate::object::probe::trust(&bucket(url, manner)?).map_err(|untrusted| TargetError(untrusted.to_string()))
        }
        other => check(other, url),
    }
}

/// The same at length, for people.
#[must_use]
#[cfg_attr(not(feature = "object"), expect(unused_variables, reason = "only buckets are asked"))]
pub fn examine(kind: Kind, url: &str, manner: Manner) -> Vec<Check> {
    match kind {
        #[cfg(feature = "object")]
        Kind::Object => match bucket(url, manner) {
            Ok(bucket) => crate::object::probe::probe(&bucket, crate::object::probe::Depth::Full)
                .checks
                .into_iter()
                .map(|check| Check {
                    what: format!("bucket: {}, {}", check.name.replace('-', " "), check.done),
                    verdict: match check.verdict {
                        crate::object::probe::Verdict::Sound => Verdict::Good,
                        crate::object::probe::Verdict::NotKnown => Verdict::Doubtful,
                        crate::object::probe::Verdict::Unsound => Verdict::Bad,
                    },
                    found: check.found,
                    advice: check.advice,
                })
                .collect(),
            Err(error) => vec![Check::bad("bucket", error.to_string(), "see docs/engines/object.md")],
        },
        Kind::Postgres | Kind::Etcd | Kind::Kubernetes => Vec::new(),
        #[cfg(not(feature = "object"))]
        Kind::Object => vec![Check::bad("bucket", left_out(kind, url).to_string(), "use another build")],
    }
}
