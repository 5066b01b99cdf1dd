//! What several hosts share: where the journal stands, and who says which of them may try.

use std::time::Duration;

use hb_daemon::parts::OnLost;
use hb_engines::target::Kind;

use super::checked::{LeaseBackend, LeaseConfig, LeaseScope, Place, Server, SyncConfig};
use super::reader::Reader;
use crate::wire::stores;
use crate::wire::sync::Target;

/// Where journal and baseline documents stand.
pub fn journal(reader: &mut Reader<'_>) -> Place {
    match server(reader, "journal_url") {
        Some(server) if server.kind.keeps_journals() => Place::Server(server),
        Some(server) => {
            let what = format!("{} is for leases, it keeps no journal", server.kind.as_str());
            wrong(reader, "journal_url", &what, "name a PostgreSQL database or a bucket, and this one as `lease.url`");
            Place::Folder
        }
        None => Place::Folder,
    }
}

/// The lease, by default where the journal is.
pub fn lease(reader: &mut Reader<'_>, journal: &Place) -> LeaseConfig {
    LeaseConfig {
        backend: backend(reader, journal),
        ttl: Duration::from_secs_f64(reader.number("lease.ttl_sec").unwrap_or(3.0)),
        priority: u8::try_from(reader.whole("lease.priority")).unwrap_or(u8::MAX),
        on_lost: if reader.choice("lease.on_lost") == "yield" { OnLost::Yield } else { OnLost::Keep },
        scope: if reader.choice("lease.scope") == "watch" { LeaseScope::Watch } else { LeaseScope::Node },
        watches_max: usize::try_from(reader.whole("lease.watches_max")).unwrap_or(usize::MAX),
    }
}

fn backend(reader: &mut Reader<'_>, journal: &Place) -> LeaseBackend {
    let url = server(reader, "lease.url");
    let typed = reader.choice("lease.backend");
    let beside = match journal {
        Place::Server(server) => Some(server.clone()),
        Place::Folder => None,
    };
    match (typed, url) {
        ("external", None) => LeaseBackend::External,
        ("file", None) => LeaseBackend::File,
        ("external" | "file", Some(_)) => {
            wrong(reader, "lease.url", &format!("the lease `{typed}` has no address"), "leave one of the two out");
            LeaseBackend::File
        }
        ("", None) => beside.map_or(LeaseBackend::File, LeaseBackend::Server),
        ("", Some(server)) => LeaseBackend::Server(server),
        (kind, Some(server)) if server.kind.as_str() == kind => LeaseBackend::Server(server),
        (kind, Some(server)) => {
            let what = format!("{server} is {}, and `lease.backend` says {kind}", server.kind.as_str());
            wrong(reader, "lease.url", &what, "leave `lease.backend` out: the address says what it is");
            LeaseBackend::Server(server)
        }
        (kind, None) => match beside.filter(|server| server.kind.as_str() == kind) {
            Some(server) => LeaseBackend::Server(server),
            None => {
                let what = format!("where is the lease `{kind}`?");
                wrong(
                    reader,
                    "lease.backend",
                    &what,
                    &format!("`lease.url` takes its address, like {}", example(kind)),
                );
                LeaseBackend::File
            }
        },
    }
}

fn example(kind: &str) -> &'static str {
    match kind {
        "etcd" => "etcd://host:2379/hb",
        "kubernetes" => "kubernetes://NAMESPACE/hb",
        "object" => "s3://bucket/hb",
        _ => "postgres://hb@host/hb",
    }
}

/// The copy that is kept up elsewhere, if one is wanted.
pub fn sync(reader: &mut Reader<'_>) -> Option<SyncConfig> {
    let every = Duration::from_secs_f64(reader.number("sync.every_sec").unwrap_or(60.0));
    let typed = reader.text("sync.to")?;
    match Target::parse(&typed) {
        Ok(to) => Some(SyncConfig { to, every }),
        Err(why) => {
            wrong(reader, "sync.to", &format!("nothing that a copy can be kept in: {why}"), "see docs/ops/copy.md");
            None
        }
    }
}

/// The address under a key, if there is one and it can be understood.
fn server(reader: &mut Reader<'_>, key: &str) -> Option<Server> {
    let url = reader.text(key)?;
    let Some(kind) = Kind::of(&url) else {
        let schemes: Vec<&str> = Kind::ALL.iter().filter_map(|(_, schemes)| schemes.first().copied()).collect();
        let help = format!("`{key}` takes an address that begins with one of {}", schemes.join("://, "));
        wrong(reader, key, "no address of a server that hb knows", &format!("{help}://"));
        return None;
    };
    let server = Server { kind, url };
    if let Err(why) = stores::check(&server) {
        wrong(reader, key, &why, "see docs/engines for the form of addresses");
        return None;
    }
    Some(server)
}

fn wrong(reader: &mut Reader<'_>, key: &str, what: &str, help: &str) {
    if let Some(entry) = reader.entry(key) {
        reader.fault(entry, key, what, help);
    }
}
