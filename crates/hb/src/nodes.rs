//! Who runs here: one small file per node in `output_dir/nodes`, written by the daemon, read by `hb status`.
//!
//! A file only says where to ask; what a node is, it says itself.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use hb_core::ids::NodeName;
use hb_core::node::view::Role;
use hb_core::time::Stamp;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// Folder below `output_dir`.
pub const DIR: &str = "nodes";
/// Most files that are read (B1).
const NODES_MAX: usize = 64;

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFile {
    /// Its name.
    pub node: NodeName,
    /// Its process.
    pub pid: u32,
    /// Where it serves health; none where it does not.
    pub listen: Option<SocketAddr>,
    /// What it was when it wrote this.
    pub role: Role,
    /// When it wrote this.
    pub updated: Stamp,
}

/// Where a node's file stands.
#[must_use]
pub fn path(output_dir: &Path, node: &NodeName) -> PathBuf {
    output_dir.join(DIR).join(format!("{node}.json"))
}

/// Writes a node's file, whole or not at all.
///
/// # Errors
/// The file system's.
pub fn announce(output_dir: &Path, file: &NodeFile) -> io::Result<()> {
    fs::create_dir_all(output_dir.join(DIR))?;
    let path = path(output_dir, &file.node);
    let beside = path.with_extension(format!("{}.tmp", file.pid));
    fs::write(&beside, serde_json::to_vec(file)?)?;
    fs::rename(&beside, &path)
}

/// Removes a node's file when it ends of its own will, unless another process of that name has taken it over.
///
/// # Errors
/// The file system's.
pub fn leave(output_dir: &Path, node: &NodeName, pid: u32) -> io::Result<()> {
    let path = path(output_dir, node);
    match read(&path) {
        Some(file) if file.pid == pid => fs::remove_file(path),
        Some(_) | None => Ok(()),
    }
}

/// Every node that has a readable file, by name.
#[must_use]
pub fn list(output_dir: &Path) -> Vec<NodeFile> {
    let Ok(entries) = fs::read_dir(output_dir.join(DIR)) else { return Vec::new() };
    let paths = entries.flatten().map(|entry| entry.path());
    let documents = paths.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    let mut files: Vec<NodeFile> = documents.take(NODES_MAX).filter_map(|path| read(&path)).collect();
    files.sort_by(|a, b| a.node.cmp(&b.node));
    files
}

fn read(path: &Path) -> Option<NodeFile> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// The name, or with a number behind it where another live process of this host announces itself by it: two nodes of one
/// configuration must be told apart.
#[must_use]
pub fn free_name(output_dir: &Path, wanted: &NodeName) -> NodeName {
    let taken = |name: &NodeName| {
        let pid = read(&path(output_dir, name)).filter(|file| file.pid != std::process::id()).map(|file| file.pid);
        pid.and_then(|pid| i32::try_from(pid).ok()).is_some_and(|pid| kill(Pid::from_raw(pid), None).is_ok())
    };
    let numbered = (2..NODES_MAX).map(|number| NodeName::from(format!("{wanted}-{number}")));
    std::iter::once(wanted.clone()).chain(numbered).find(|name| !taken(name)).unwrap_or_else(|| wanted.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_announces_itself_and_leaves_only_its_own_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = NodeFile {
            node: "a".into(),
            pid: 7,
            listen: Some("127.0.0.1:9090".parse().unwrap()),
            role: Role::Active,
            updated: Stamp(5),
        };
        announce(dir.path(), &file).unwrap();
        fs::write(dir.path().join(DIR).join("b.json"), "garbage").unwrap();
        assert_eq!(list(dir.path()), [file]);
        leave(dir.path(), &"a".into(), 8).unwrap();
        assert_eq!(list(dir.path()).len(), 1);
        leave(dir.path(), &"a".into(), 7).unwrap();
        assert!(list(dir.path()).is_empty());
    }
}
