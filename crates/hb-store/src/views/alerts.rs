//! `alerts.jsonl`: every alert once, oldest first.
//!
//! **Invariants.** An alert whose key stands in the file or in the one rotated before it is not written again, so
//! applying the same records after a crash adds nothing. The two files together are bounded.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use hb_core::watch::alert::Alert;
use serde::Deserialize;

use super::ViewError;
use crate::atomic::{Disk, Fault};

/// File name, below `output_dir`.
pub const FILE: &str = "alerts.jsonl";
/// Bytes after which the file is rotated to `alerts.jsonl.1` (B1).
pub const ROTATE_BYTES: u64 = 8 << 20;

/// The log of alerts.
#[derive(Debug)]
pub struct AlertLog {
    disk: Disk,
    path: PathBuf,
    bytes: u64,
    /// Keys in the file, and in the rotated one.
    keys: BTreeSet<String>,
    old_keys: BTreeSet<String>,
    /// The file ends within a line: a write was cut.
    torn: bool,
}

#[derive(Deserialize)]
struct KeyOnly {
    key: String,
}

fn refused(fault: &Fault) -> ViewError {
    ViewError::new("view.alerts", fault)
}

fn keys_of(bytes: &[u8]) -> BTreeSet<String> {
    let lines = bytes.split(|byte| *byte == b'\n');
    lines.filter_map(|line| serde_json::from_slice::<KeyOnly>(line).ok()).map(|line| line.key).collect()
}

impl AlertLog {
    /// Opens the log, reading which alerts stand in it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(disk: Disk, path: &Path) -> Result<Self, ViewError> {
        let bytes = disk.read(path).map_err(|fault| refused(&fault))?.unwrap_or_default();
        let old = disk.read(&rotated(path)).map_err(|fault| refused(&fault))?.unwrap_or_default();
        Ok(Self {
            disk,
            path: path.to_path_buf(),
            bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            keys: keys_of(&bytes),
            old_keys: keys_of(&old),
            torn: bytes.last().is_some_and(|last| *last != b'\n'),
        })
    }

    /// Writes an alert, unless it stands there; whether it was written.
    ///
    /// # Errors
    /// When it cannot be written; call again with the same alert.
    ///
    /// # Panics
    /// Never: an alert is plain data.
    pub fn append(&mut self, alert: &Alert) -> Result<bool, ViewError> {
        if self.keys.contains(&alert.key) || self.old_keys.contains(&alert.key) {
            return Ok(false);
        }
        if self.bytes >= ROTATE_BYTES {
            self.disk.rename(&self.path, &rotated(&self.path)).map_err(|fault| refused(&fault))?;
            self.bytes = 0;
            self.torn = false;
            self.old_keys = std::mem::take(&mut self.keys);
        }
        let mut line = Vec::new();
        if self.torn {
            line.push(b'\n');
        }
        line.extend(alert_line(alert));
        self.torn = true;
        self.disk.append(&self.path, &line).map_err(|fault| refused(&fault))?;
        self.torn = false;
        self.bytes = self.bytes.saturating_add(u64::try_from(line.len()).unwrap_or(u64::MAX));
        self.keys.insert(alert.key.clone());
        Ok(true)
    }
}

fn alert_line(alert: &Alert) -> Vec<u8> {
    let mut line = serde_json::to_vec(alert).expect("an alert is plain data with string keys");
    line.push(b'\n');
    line
}

fn rotated(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    PathBuf::from(name)
}
