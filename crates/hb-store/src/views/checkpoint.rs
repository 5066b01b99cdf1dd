//! `daemon_checkpoint.json`: the newest decided cycle as a document that people and scripts can read.

use std::path::Path;

use hb_core::ids::{CycleNo, Epoch, NodeName, Seq, WatchName};
use hb_core::journal::Hash;
use hb_core::mark::Mark;
use hb_core::node::fact::{CycleDecided, Sealed};
use hb_core::time::Stamp;
use hb_core::watch::decision::Status;
use serde::{Deserialize, Serialize, Serializer};

use super::ViewError;
use crate::atomic::{Disk, Durability};

/// File name, below `output_dir`.
pub const FILE: &str = "daemon_checkpoint.json";
/// Version of the document that this program writes.
pub const FORMAT: u32 = 1;

/// A decided cycle in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// When it was decided, by the writer's wall clock; in documents with `+00:00`.
    #[serde(serialize_with = "with_offset")]
    pub last_cycle_utc: Stamp,
    /// What it came to.
    pub last_status: Status,
    /// Absolute path of the newest report; that of an earlier cycle where this one has none.
    pub last_report_dir: Option<String>,
    /// The watch.
    pub watch: WatchName,
    /// The cycle.
    pub cycle: CycleNo,
    /// Its record.
    pub seq: Seq,
    /// Reign under which it was decided.
    pub epoch: Epoch,
    /// Who decided it.
    pub node: NodeName,
    /// Hash of the record.
    pub hash: Hash,
    /// Where its sources are read on from.
    pub marks: Vec<Mark>,
    /// Version of this document.
    pub format: u32,
}

fn with_offset<S: Serializer>(stamp: &Stamp, serializer: S) -> Result<S::Ok, S::Error> {
    let text = stamp.to_string();
    match text.strip_suffix('Z') {
        Some(civil) => serializer.serialize_str(&format!("{civil}+00:00")),
        None => serializer.serialize_str(&text),
    }
}

impl Checkpoint {
    /// What a record says in short.
    #[must_use]
    pub fn of(sealed: &Sealed, cycle: &CycleDecided, report_dir: Option<&Path>) -> Self {
        Self {
            last_cycle_utc: sealed.record.at,
            last_status: cycle.decision.status,
            last_report_dir: report_dir.map(|dir| dir.to_string_lossy().into_owned()),
            watch: cycle.watch.clone(),
            cycle: cycle.decision.cycle,
            seq: sealed.record.seq,
            epoch: sealed.record.epoch,
            node: sealed.record.node.clone(),
            hash: sealed.hash,
            marks: vec![cycle.resume.mark.clone()],
            format: FORMAT,
        }
    }

    /// Whether both are about the same record and say the same, wherever its report stands.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        let other = Self { last_report_dir: self.last_report_dir.clone(), ..other.clone() };
        *self == other
    }

    /// One line of the history, with its newline.
    ///
    /// # Panics
    /// Never: a checkpoint is plain data.
    #[must_use]
    pub fn to_line(&self) -> String {
        let mut line = serde_json::to_string(self).expect("a checkpoint is plain data with string keys");
        line.push('\n');
        line
    }

    fn to_pretty(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("a checkpoint is plain data with string keys");
        bytes.push(b'\n');
        bytes
    }

    /// Reads a document.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let found: Self = serde_json::from_slice(bytes).map_err(|error| format!("not a checkpoint: {error}"))?;
        if found.format > FORMAT {
            return Err(format!("format {} is newer than {FORMAT}: use a newer hb", found.format));
        }
        Ok(found)
    }
}

/// Reads the checkpoint of a folder; nothing when there is none.
///
/// # Errors
/// When it cannot be read or is damaged.
pub fn load(disk: &Disk, dir: &Path) -> Result<Option<Checkpoint>, ViewError> {
    let refused = |what: String| ViewError::new("view.checkpoint", what);
    let path = dir.join(FILE);
    let Some(bytes) = disk.read(&path).map_err(|fault| refused(fault.to_string()))? else { return Ok(None) };
    let parsed = Checkpoint::parse(&bytes);
    parsed.map(Some).map_err(|why| {
        refused(format!("{} is damaged ({why}); a start of the daemon rebuilds it from the journal", path.display()))
    })
}

/// Writes the checkpoint of a folder.
pub(super) fn store(disk: &Disk, dir: &Path, checkpoint: &Checkpoint) -> Result<(), ViewError> {
    let stored = disk.replace(dir, FILE, &checkpoint.to_pretty(), Durability::View);
    stored.map_err(|fault| ViewError::new("view.checkpoint", fault))
}
