//! What a disk holds, and what of it would survive power loss.
//!
//! **Invariants.** A file's bytes and length are durable once the file was fsynced, a name once its folder was. Until then every name
//! is, by itself, what it was when the folder was last fsynced or anything that it has been since; only a rename never takes the old
//! name without having given the new one. What a failed fsync covered is never durable, whatever a later one claims.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path};
use std::sync::Arc;

const ENOENT: i32 = 2;
const EEXIST: i32 = 17;
const ENOTDIR: i32 = 20;
const EISDIR: i32 = 21;
const EINVAL: i32 = 22;
const ENOTEMPTY: i32 = 39;

/// Number of a file or folder.
pub(super) type Ino = usize;
/// The folder that everything is in.
pub(super) const ROOT: Ino = 0;

/// An error with the system's number.
pub(super) fn errno(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

/// Whether a later fsync makes something durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It does.
    Waits,
    /// It does not: an fsync that covered it failed.
    Doomed,
}

/// A file.
#[derive(Debug, Clone)]
pub(super) struct FileNode {
    /// As whoever reads it now sees it.
    pub(super) now: Arc<Vec<u8>>,
    /// As it was when it was last fsynced.
    pub(super) durable: Arc<Vec<u8>>,
    pub(super) fate: Fate,
}

/// A folder: names and what they stand for.
#[derive(Debug, Clone, Default)]
pub(super) struct Folder {
    pub(super) now: BTreeMap<String, Ino>,
    pub(super) durable: BTreeMap<String, Ino>,
}

/// A file or folder.
#[derive(Debug, Clone)]
pub(super) enum Node {
    File(FileNode),
    Folder(Folder),
}

/// How the two halves of a rename hang together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bond {
    /// The new name may be there without the old one being gone.
    Loose,
    /// Both or neither, and durable at once.
    Twin,
}

/// A name that was given or taken since its folder was last fsynced.
#[derive(Debug, Clone)]
pub(super) struct Change {
    id: u64,
    pub(super) folder: Ino,
    pub(super) name: String,
    pub(super) to: Option<Ino>,
    /// The change without which this one cannot be there.
    pub(super) needs: Option<u64>,
    /// Whether that one cannot be there without this one either: a folder is never in two places.
    pub(super) bond: Bond,
    fate: Fate,
}

impl Change {
    pub(super) fn id(&self) -> u64 {
        self.id
    }
}

/// Everything on one disk.
#[derive(Debug, Clone)]
pub struct Tree {
    pub(super) nodes: Vec<Arc<Node>>,
    pub(super) pending: Vec<Change>,
    changes: u64,
    /// Nodes below this number were there when it was mounted.
    pub(super) mounted: usize,
}

impl Default for Tree {
    fn default() -> Self {
        Self { nodes: vec![Arc::new(Node::Folder(Folder::default()))], pending: Vec::new(), changes: 0, mounted: 1 }
    }
}

/// A folder's node and the last name of a path.
type Place = (Ino, String);

impl Tree {
    pub(super) fn node(&self, ino: Ino) -> io::Result<&Node> {
        self.nodes.get(ino).map(|node| &**node).ok_or_else(|| errno(ENOENT))
    }

    fn node_mut(&mut self, ino: Ino) -> io::Result<&mut Node> {
        self.nodes.get_mut(ino).map(Arc::make_mut).ok_or_else(|| errno(ENOENT))
    }

    pub(super) fn folder(&self, ino: Ino) -> io::Result<&Folder> {
        match self.node(ino)? {
            Node::Folder(folder) => Ok(folder),
            Node::File(_) => Err(errno(ENOTDIR)),
        }
    }

    fn folder_mut(&mut self, ino: Ino) -> io::Result<&mut Folder> {
        match self.node_mut(ino)? {
            Node::Folder(folder) => Ok(folder),
            Node::File(_) => Err(errno(ENOTDIR)),
        }
    }

    pub(super) fn file(&self, ino: Ino) -> io::Result<&FileNode> {
        match self.node(ino)? {
            Node::File(file) => Ok(file),
            Node::Folder(_) => Err(errno(EISDIR)),
        }
    }

    fn file_mut(&mut self, ino: Ino) -> io::Result<&mut FileNode> {
        match self.node_mut(ino)? {
            Node::File(file) => Ok(file),
            Node::Folder(_) => Err(errno(EISDIR)),
        }
    }

    fn entry(&self, (folder, name): &Place) -> io::Result<Ino> {
        self.folder(*folder)?.now.get(name).copied().ok_or_else(|| errno(ENOENT))
    }

    /// What stands under a path.
    pub(super) fn find(&self, path: &Path) -> io::Result<Ino> {
        let mut at = ROOT;
        for part in path.components() {
            if let Component::Normal(name) = part {
                at = self.entry(&(at, name.to_string_lossy().into_owned()))?;
            }
        }
        Ok(at)
    }

    fn place(&self, path: &Path) -> io::Result<Place> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Err(errno(EINVAL)) };
        let folder = self.find(parent)?;
        self.folder(folder)?;
        Ok((folder, name.to_string_lossy().into_owned()))
    }

    /// Gives or takes a name; it waits for an fsync of its folder.
    fn put(&mut self, (folder, name): Place, to: Option<Ino>, needs: Option<u64>) -> io::Result<u64> {
        let names = &mut self.folder_mut(folder)?.now;
        match to {
            Some(ino) => names.insert(name.clone(), ino),
            None => names.remove(&name),
        };
        self.changes += 1;
        let id = self.changes;
        self.pending.push(Change { id, folder, name, to, needs, bond: Bond::Loose, fate: Fate::Waits });
        Ok(id)
    }

    fn add(&mut self, path: &Path, node: Node) -> io::Result<Ino> {
        let place = self.place(path)?;
        if self.entry(&place).is_ok() {
            return Err(errno(EEXIST));
        }
        let ino = self.nodes.len();
        self.nodes.push(Arc::new(node));
        self.put(place, Some(ino), None)?;
        Ok(ino)
    }

    pub(super) fn create(&mut self, path: &Path) -> io::Result<Ino> {
        let empty = Arc::new(Vec::new());
        self.add(path, Node::File(FileNode { now: Arc::clone(&empty), durable: empty, fate: Fate::Waits }))
    }

    pub(super) fn create_dir(&mut self, path: &Path) -> io::Result<Ino> {
        self.add(path, Node::Folder(Folder::default()))
    }

    pub(super) fn write(&mut self, ino: Ino, bytes: &[u8]) -> io::Result<()> {
        Arc::make_mut(&mut self.file_mut(ino)?.now).extend_from_slice(bytes);
        Ok(())
    }

    pub(super) fn sync_file(&mut self, ino: Ino) -> io::Result<()> {
        let file = self.file_mut(ino)?;
        if file.fate == Fate::Waits {
            file.durable = Arc::clone(&file.now);
        }
        Ok(())
    }

    /// An fsync of the file failed: what it has not yet made durable never will be.
    pub(super) fn doom_file(&mut self, ino: Ino) {
        if let Ok(file) = self.file_mut(ino) {
            file.fate = Fate::Doomed;
        }
    }

    pub(super) fn sync_dir(&mut self, ino: Ino) -> io::Result<()> {
        let own: BTreeSet<u64> = self.pending.iter().filter(|change| change.folder == ino).map(Change::id).collect();
        let twin =
            |change: &&Change| change.bond == Bond::Twin && change.needs.is_some_and(|needed| own.contains(&needed));
        let twins: BTreeSet<u64> = self.pending.iter().filter(twin).map(Change::id).collect();
        let (synced, rest): (Vec<Change>, Vec<Change>) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|change| change.fate == Fate::Waits && (own.contains(&change.id) || twins.contains(&change.id)));
        self.pending = rest;
        for Change { folder, name, to, .. } in synced {
            let names = &mut self.folder_mut(folder)?.durable;
            match to {
                Some(to) => names.insert(name, to),
                None => names.remove(&name),
            };
        }
        Ok(())
    }

    /// An fsync of the folder failed: names that were given and taken in it since the last one are as before after power loss.
    pub(super) fn doom_dir(&mut self, ino: Ino) {
        for change in self.pending.iter_mut().filter(|change| change.folder == ino) {
            change.fate = Fate::Doomed;
        }
    }

    pub(super) fn link(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let ino = self.find(from)?;
        self.file(ino)?;
        let place = self.place(to)?;
        if self.entry(&place).is_ok() {
            return Err(errno(EEXIST));
        }
        self.put(place, Some(ino), None).map(|_| ())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let (source, target) = (self.place(from)?, self.place(to)?);
        let ino = self.entry(&source)?;
        if let Ok(there) = self.entry(&target) {
            match (self.node(ino)?, self.node(there)?) {
                (Node::File(_), Node::File(_)) => {}
                (Node::Folder(_), Node::Folder(folder)) if folder.now.is_empty() => {}
                (Node::Folder(_), Node::Folder(_)) => return Err(errno(ENOTEMPTY)),
                (Node::Folder(_), Node::File(_)) => return Err(errno(ENOTDIR)),
                (Node::File(_), Node::Folder(_)) => return Err(errno(EISDIR)),
            }
        }
        let folder = matches!(self.node(ino)?, Node::Folder(_));
        let given = self.put(target, Some(ino), None)?;
        let taken = self.put(source, None, Some(given))?;
        if folder {
            for change in self.pending.iter_mut().filter(|change| change.id == given || change.id == taken) {
                change.bond = Bond::Twin;
                change.needs = Some(if change.id == given { taken } else { given });
            }
        }
        Ok(())
    }

    pub(super) fn unlink(&mut self, path: &Path) -> io::Result<()> {
        let place = self.place(path)?;
        self.file(self.entry(&place)?)?;
        self.put(place, None, None).map(|_| ())
    }

    pub(super) fn remove_dir(&mut self, path: &Path) -> io::Result<()> {
        let place = self.place(path)?;
        if !self.folder(self.entry(&place)?)?.now.is_empty() {
            return Err(errno(ENOTEMPTY));
        }
        self.put(place, None, None).map(|_| ())
    }

    pub(super) fn names(&self, dir: &Path) -> io::Result<Vec<String>> {
        Ok(self.folder(self.find(dir)?)?.now.keys().cloned().collect())
    }

    /// Makes everything durable as it is.
    pub fn settle(&mut self) {
        self.pending.clear();
        for node in &mut self.nodes {
            match Arc::make_mut(node) {
                Node::File(file) => file.durable = Arc::clone(&file.now),
                Node::Folder(folder) => folder.durable.clone_from(&folder.now),
            }
        }
    }

    /// Every file with its path and bytes, as seen now.
    #[must_use]
    pub fn files(&self) -> Vec<(String, Arc<Vec<u8>>)> {
        let mut out = Vec::new();
        self.walk(ROOT, "", &mut |path, node| {
            if let Node::File(file) = node {
                out.push((path.to_owned(), Arc::clone(&file.now)));
            }
        });
        out
    }

    fn walk(&self, at: Ino, path: &str, see: &mut dyn FnMut(&str, &Node)) {
        let Ok(node) = self.node(at) else { return };
        see(path, node);
        if let Node::Folder(folder) = node {
            for (name, ino) in &folder.now {
                self.walk(*ino, &format!("{path}/{name}"), see);
            }
        }
    }

    /// Flips one bit of a file, in place and durable.
    ///
    /// # Errors
    /// No such file, or it is shorter.
    pub fn flip(&mut self, path: &Path, bit: usize) -> io::Result<()> {
        let ino = self.find(path)?;
        let file = self.file_mut(ino)?;
        let mut bytes = file.now.to_vec();
        *bytes.get_mut(bit / 8).ok_or_else(|| errno(EINVAL))? ^= 1 << (bit % 8);
        file.now = Arc::new(bytes);
        file.durable = Arc::clone(&file.now);
        Ok(())
    }
}
