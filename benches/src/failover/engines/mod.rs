//! Engines that nodes share: started for one measurement, and ended with it. Where a program is not installed, that is told.

mod bucket;
mod etcd;
mod folder;
mod http;
mod leases;
mod postgres;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::peers::Peer;
use super::witness::Place;

/// What nodes share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Postgres,
    Etcd,
    Object,
    Kubernetes,
}

impl Kind {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::File => "a folder with lease and journal",
            Self::Postgres => "PostgreSQL with lease and journal",
            Self::Etcd => "lease in etcd, journal in a folder",
            Self::Object => "bucket with lease and journal (a server of the bench, in memory)",
            Self::Kubernetes => "lease in Kubernetes (a server of the bench), journal in a folder",
        }
    }

    /// Whether the end of a process is noticed only by its silence.
    pub(crate) fn waits_for_ttl(self) -> bool {
        matches!(self, Self::Etcd | Self::Object | Self::Kubernetes)
    }

    /// Whether it is reached over the network.
    pub(crate) fn by_network(self) -> bool {
        self != Self::File
    }

    /// Whether the journal is in a folder that the nodes share.
    pub(crate) fn shares_a_folder(self) -> bool {
        matches!(self, Self::File | Self::Etcd | Self::Kubernetes)
    }
}

/// How a node gets there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way<'a> {
    /// The address that it uses; none where there is no server.
    pub(crate) at: Option<SocketAddr>,
    /// Name of what it shares with its like.
    pub(crate) place: &'a str,
}

/// An engine that runs.
pub(crate) trait Engine {
    fn kind(&self) -> Kind;

    /// Where it listens on the loopback; none where there is no server.
    fn address(&self) -> Option<SocketAddr>;

    /// The lines about journal and lease in a node's configuration.
    fn settings(&self, way: Way<'_>, ttl: f64) -> String;

    /// What a node needs in its environment.
    fn environment(&self) -> Vec<(&'static str, &'static str)> {
        Vec::new()
    }

    /// A reader of the journal of a site.
    ///
    /// # Errors
    /// It cannot be started.
    fn journal(&self, place: &str, folder: &Path) -> Result<Box<dyn Place>, String>;

    /// What an operator would use instead.
    fn peers(&self) -> Vec<Peer>;
}

/// Starts an engine, which also listens on another address.
///
/// # Errors
/// It is not installed, or does not come up.
pub(crate) fn start(kind: Kind, near: Option<Ipv4Addr>) -> Result<Box<dyn Engine>, String> {
    Ok(match kind {
        Kind::File => Box::new(folder::Folder::new()?),
        Kind::Postgres => Box::new(postgres::Postgres::start(near)?),
        Kind::Etcd => Box::new(etcd::Etcd::start(near)?),
        Kind::Object => Box::new(bucket::Bucket::start(near)?),
        Kind::Kubernetes => Box::new(leases::Leases::start(near)?),
    })
}

/// The loopback, and the other address where there is one.
fn listening(near: Option<Ipv4Addr>) -> Vec<IpAddr> {
    std::iter::once(Ipv4Addr::LOCALHOST).chain(near).map(IpAddr::V4).collect()
}

/// Where a program is.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file())
}
