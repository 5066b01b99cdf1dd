//! `alerts.jsonl`: every alert once, oldest first.
//!
//! **Invariants.** An alert whose key stands in the file or in the one rotated before it is not written again, so
//! applying the same records after a crash adds nothing. The two files together are bounded.

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use hb_core::watch::alert::Alert;
use serde::Deserialize;

use super::ViewError;
use crate::atomic::{Disk, Fault};

/// File name, below `output_dir`.
pub const FILE: &str = "alerts.jsonl";
/// Bytes after which the file is rotated to `alerts.jsonl.1` (B1).
pub const ROTATE_BYTES: u64 = 8 << 20;
/// Alerts that wait for a file that cannot be written (B1); beyond that the oldest is left to the next rebuilding.
pub const WAITING_MAX: usize = 1024;

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
    /// A write failed: how the file ends is looked up before the next.
    unsure: bool,
    /// What could not be written yet, with its key.
    waiting: VecDeque<(String, Vec<u8>)>,
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
            bytes: length(&bytes),
            keys: keys_of(&bytes),
            old_keys: keys_of(&old),
            torn: is_torn(&bytes),
            unsure: false,
            waiting: VecDeque::new(),
        })
    }

    /// Writes an alert, unless it stands there; whether it was written. One that could not be written is with the next.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn append(&mut self, alert: &Alert) -> Result<bool, ViewError> {
        let stands = self.keys.contains(&alert.key) || self.old_keys.contains(&alert.key);
        let waits = self.waiting.iter().any(|(key, _)| *key == alert.key);
        if !stands && !waits {
            if self.waiting.len() == WAITING_MAX {
                let dropped = self.waiting.pop_front().map(|(key, _)| key);
                tracing::warn!(
                    ?dropped,
                    "too many alerts wait to be written; the next start adds this one from the journal"
                );
            }
            self.waiting.push_back((alert.key.clone(), alert_line(alert)));
        }
        self.flush()?;
        Ok(!stands)
    }

    /// Writes what waits.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn flush(&mut self) -> Result<(), ViewError> {
        while let Some((key, line)) = self.waiting.front().cloned() {
            self.write(&line).map_err(|fault| refused(&fault))?;
            self.keys.insert(key);
            self.waiting.pop_front();
        }
        Ok(())
    }

    fn write(&mut self, line: &[u8]) -> Result<(), Fault> {
        if self.unsure {
            let bytes = self.disk.read(&self.path)?.unwrap_or_default();
            self.torn = is_torn(&bytes);
            self.bytes = length(&bytes);
            self.unsure = false;
        }
        if self.bytes >= ROTATE_BYTES {
            self.disk.rename(&self.path, &rotated(&self.path))?;
            self.bytes = 0;
            self.torn = false;
            self.old_keys = std::mem::take(&mut self.keys);
        }
        // A line that was cut ends where the next one begins.
        let whole = if self.torn { [b"\n", line].concat() } else { line.to_vec() };
        self.unsure = true;
        self.disk.append(&self.path, &whole)?;
        self.unsure = false;
        self.torn = false;
        self.bytes = self.bytes.saturating_add(length(&whole));
        Ok(())
    }
}

fn is_torn(bytes: &[u8]) -> bool {
    bytes.last().is_some_and(|last| *last != b'\n')
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
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
