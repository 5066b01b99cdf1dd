//! Where things stand that outlive a process: journal, baseline documents, lease and board of nodes, by what the configuration says.

use hb_store::baselines::Baselines;
use hb_store::journal::dir::DirJournal;
use hb_store::lease::external::ExternalLease;
use hb_store::lease::file::FileLease;
use hb_store::port::{Journal, Lease};

use crate::cli::Failure;
use crate::config::Config;
use crate::config::checked::{LeaseBackend, Place, Server};
use crate::exit::Exit;

/// Whether an address has the form that its kind takes.
///
/// # Errors
/// What is wrong with it.
pub fn check(_server: &Server) -> Result<(), String> {
    Ok(())
}

/// The journal of watches.
///
/// # Errors
/// It cannot be opened.
pub fn journal(config: &Config) -> Result<Box<dyn Journal>, Failure> {
    match &config.journal {
        Place::Folder => Ok(Box::new(DirJournal::open(&config.journal_dir())?)),
        Place::Server(server) => Err(Failure::new(Exit::Unavailable, format!("{server}: not yet"))),
    }
}

/// The documents of baselines.
///
/// # Errors
/// They cannot be reached.
pub fn baselines(config: &Config) -> Result<Baselines, Failure> {
    match &config.journal {
        Place::Folder => Ok(Baselines::open(&config.output_dir)),
        Place::Server(server) => Err(Failure::new(Exit::Unavailable, format!("{server}: not yet"))),
    }
}

/// The lease of watches.
///
/// # Errors
/// It cannot be asked.
pub fn lease(config: &Config) -> Result<Box<dyn Lease>, Failure> {
    match &config.lease.backend {
        LeaseBackend::File => FileLease::open(&config.output_dir, &config.node, config.lease.ttl)
            .map(|lease| Box::new(lease) as Box<dyn Lease>)
            .map_err(|error| Failure::new(Exit::CannotWrite, error.to_string())),
        LeaseBackend::External => Ok(Box::new(ExternalLease::default())),
        LeaseBackend::Server(server) => Err(Failure::new(Exit::Unavailable, format!("{server}: not yet"))),
    }
}
