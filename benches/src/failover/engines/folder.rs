//! No engine at all: a folder that all nodes see.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::{Engine, Kind, Place, Way};
use crate::failover::peers::Peer;
use crate::failover::site::WATCH;
use crate::supervise::stage::now;

/// A folder for the lock of the peer.
pub(super) struct Folder(tempfile::TempDir);

impl Folder {
    pub(super) fn new() -> Result<Self, String> {
        tempfile::tempdir().map(Self).map_err(|error| error.to_string())
    }
}

impl Engine for Folder {
    fn kind(&self) -> Kind {
        Kind::File
    }

    fn address(&self) -> Option<SocketAddr> {
        None
    }

    fn settings(&self, _way: Way<'_>, ttl: f64) -> String {
        format!("lease: {{ttl_sec: {ttl}}}\n")
    }

    fn journal(&self, _place: &str, folder: &Path) -> Result<Box<dyn Place>, String> {
        Ok(Box::new(Records::of(folder)))
    }

    fn peers(&self) -> Vec<Peer> {
        let lock = self.0.path().join("lock").display().to_string();
        vec![Peer::new("flock FILE cmd", ["flock", &lock])]
    }
}

/// The journal of a site as files.
pub(super) struct Records(PathBuf);

impl Records {
    pub(super) fn of(folder: &Path) -> Self {
        Self(folder.join("shared").join("journal").join("watch").join(WATCH))
    }
}

impl Place for Records {
    fn from(&mut self, seq: u64) -> Result<Vec<(Vec<u8>, f64)>, String> {
        let mut found = Vec::new();
        for seq in seq.. {
            let path = self.0.join(format!("{seq:020}.rec"));
            match std::fs::read(&path) {
                Ok(bytes) => found.push((bytes, now())),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => break,
                Err(error) => return Err(format!("{}: {error}", path.display())),
            }
        }
        Ok(found)
    }
}
