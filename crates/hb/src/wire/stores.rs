//! Where things stand that outlive a process: journal, baseline documents and lease, by what the configuration says.

use std::time::Duration;

use hb_core::ids::NodeName;
use hb_engines::target::{Kind, Manner, TargetError};
use hb_store::baselines::Baselines;
use hb_store::blobs::DirBlobs;
use hb_store::journal::dir::DirJournal;
use hb_store::lease::external::ExternalLease;
use hb_store::lease::file::FileLease;
use hb_store::lease::register::{Names, RegisterLease};
use hb_store::port::{Blobs, Journal, Lease};
use hb_store::probe::Check;
use hb_store::register::Register;
use hb_store::register::dir::DirRegister;

use crate::cli::Failure;
use crate::config::Config;
use crate::config::checked::{LeaseBackend, Place, Server};
use crate::exit::Exit;

/// Folder of the register, below `output_dir`.
pub const REGISTER_DIR: &str = "register";

/// Whether an address has the form that its kind takes.
///
/// # Errors
/// What is wrong with it.
pub fn check(server: &Server) -> Result<(), String> {
    hb_engines::open::check(server.kind, &server.url).map_err(|error| error.to_string())
}

fn unusable(server: &Server, error: &TargetError) -> Failure {
    Failure::new(Exit::Unavailable, format!("{server}: {error}")).help("`hb doctor` says what is wrong with it")
}

/// Shortest patience with a store: connecting to a busy one takes a while.
const PATIENCE_MIN: Duration = Duration::from_secs(1);
/// Longest patience with a store.
const PATIENCE_MAX: Duration = Duration::from_secs(5);

/// How long one question may take: with usual TTLs nobody waits longer than a third of it for a store that does not answer.
fn manner(config: &Config) -> Manner {
    Manner { patience: (config.lease.ttl / 3).clamp(PATIENCE_MIN, PATIENCE_MAX) }
}

/// The journal of watches.
///
/// # Errors
/// It cannot be opened.
pub fn journal(config: &Config) -> Result<Box<dyn Journal>, Failure> {
    match &config.journal {
        Place::Folder => Ok(Box::new(DirJournal::open(&config.journal_dir())?)),
        Place::Server(server) => hb_engines::open::journal(server.kind, &server.url, manner(config))
            .map_err(|error| unusable(server, &error)),
    }
}

/// Where documents are kept beside the journal.
///
/// # Errors
/// It cannot be reached.
pub fn blobs(config: &Config) -> Result<Box<dyn Blobs>, Failure> {
    match &config.journal {
        Place::Folder => Ok(Box::new(DirBlobs::open(&config.output_dir))),
        Place::Server(server) => {
            hb_engines::open::blobs(server.kind, &server.url, manner(config)).map_err(|error| unusable(server, &error))
        }
    }
}

/// The documents of baselines.
///
/// # Errors
/// They cannot be reached.
pub fn baselines(config: &Config) -> Result<Baselines, Failure> {
    blobs(config).map(Baselines::over)
}

/// Asks what a node is to work with, before it does, whether it keeps its word.
///
/// # Errors
/// What does not, or cannot be asked.
pub fn trust(config: &Config) -> Result<(), Failure> {
    for server in servers(config) {
        let trusted = hb_engines::open::trust(server.kind, &server.url, manner(config));
        trusted.map_err(|error| unusable(server, &error))?;
    }
    Ok(())
}

/// What its own ways of asking find about a place, for people.
#[must_use]
pub fn examine(config: &Config) -> Vec<Check> {
    let of = |server: &Server| hb_engines::open::examine(server.kind, &server.url, manner(config));
    servers(config).into_iter().flat_map(of).collect()
}

/// Every server that the configuration names, once.
fn servers(config: &Config) -> Vec<&Server> {
    let journal = match &config.journal {
        Place::Server(server) => Some(server),
        Place::Folder => None,
    };
    let lease = match &config.lease.backend {
        LeaseBackend::Server(server) => Some(server).filter(|server| Some(*server) != journal),
        LeaseBackend::File | LeaseBackend::External => None,
    };
    journal.into_iter().chain(lease).collect()
}

/// How often a standby asks the journal for what is new: a folder costs nothing, a request to a server does. Whoever takes over reads
/// the rest first, which is no more than so much.
#[must_use]
pub fn follow_every(config: &Config) -> Duration {
    match &config.journal {
        Place::Folder => Duration::from_millis(200),
        Place::Server(_) => Duration::from_secs(2),
    }
}

/// The register that lease and cards of nodes stand in.
///
/// # Errors
/// It cannot be opened.
pub fn register(config: &Config) -> Result<Box<dyn Register>, Failure> {
    match &config.lease.backend {
        LeaseBackend::Server(server) => hb_engines::open::register(server.kind, &server.url, manner(config))
            .map_err(|error| unusable(server, &error)),
        LeaseBackend::File | LeaseBackend::External => {
            let opened = DirRegister::open(&config.output_dir.join(REGISTER_DIR));
            opened
                .map(|register| Box::new(register) as Box<dyn Register>)
                .map_err(|error| Failure::new(Exit::CannotWrite, error.to_string()))
        }
    }
}

/// The lease of watches.
///
/// # Errors
/// It cannot be asked.
pub fn lease(config: &Config) -> Result<Box<dyn Lease>, Failure> {
    let node: &NodeName = &config.node;
    match &config.lease.backend {
        LeaseBackend::File => FileLease::open(&config.output_dir, node, config.lease.ttl)
            .map(|lease| Box::new(lease) as Box<dyn Lease>)
            .map_err(|error| Failure::new(Exit::CannotWrite, error.to_string())),
        LeaseBackend::External => Ok(Box::new(ExternalLease::default())),
        LeaseBackend::Server(server) => {
            let lease = RegisterLease::new(register(config)?, node, config.lease.ttl, names(server.kind));
            Ok(Box::new(lease))
        }
    }
}

fn names(kind: Kind) -> Names {
    match kind {
        Kind::Postgres => Names::POSTGRES,
        Kind::Object => Names::OBJECT,
        Kind::Etcd => Names::ETCD,
        Kind::Kubernetes => Names::KUBERNETES,
    }
}
