//! `reports/WATCH/CYCLE/report.{json,html}`, the oldest removed when they take up too much.
//!
//! **Invariants.** A report is whole or not there, also after power loss: nobody makes it again. What is counted is what the disk gives: whole blocks of every file in a report's folder, leftovers
//! included. The folder that the checkpoint points at is never removed. Nothing that is not called like a report is
//! touched or counted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hb_core::ids::{CycleNo, WatchName};

use super::{Rendered, ViewError};
use crate::atomic::{Disk, Durability, Fault};
use crate::journal::names;

/// Folder, below `output_dir`.
pub const DIR: &str = "reports";
const PREFIX: &str = "cycle-";

/// The reports of one folder.
#[derive(Debug)]
pub struct Reports {
    disk: Disk,
    root: PathBuf,
    max_bytes: u64,
    /// Bytes by cycle, then folder of the watch: the oldest come first.
    sizes: BTreeMap<(CycleNo, String), u64>,
    total: u64,
}

fn refused(fault: &Fault) -> ViewError {
    ViewError::new("view.report", fault)
}

fn cycle_dir(cycle: CycleNo) -> String {
    format!("{PREFIX}{:010}", cycle.0)
}

fn cycle_of(name: &str) -> Option<CycleNo> {
    let digits = name.strip_prefix(PREFIX)?;
    let cycle = CycleNo(digits.parse().ok()?);
    (cycle_dir(cycle) == name).then_some(cycle)
}

/// Where the page of a cycle's report stands, or would, below the views of a watch in `output_dir`.
#[must_use]
pub fn page(output_dir: &Path, watch: &WatchName, cycle: CycleNo) -> PathBuf {
    output_dir.join(DIR).join(names::encode(watch.as_str())).join(cycle_dir(cycle)).join("report.html")
}

impl Reports {
    /// Opens the reports below `output_dir` and counts what stands there.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn open(disk: Disk, output_dir: &Path, max_bytes: u64) -> Result<Self, ViewError> {
        let root = output_dir.join(DIR);
        let mut reports = Self { disk, root, max_bytes, sizes: BTreeMap::new(), total: 0 };
        reports.count_all().map_err(|fault| refused(&fault))?;
        Ok(reports)
    }

    fn count_all(&mut self) -> Result<(), Fault> {
        for watch in self.disk.names(&self.root)? {
            let found = match self.disk.names(&self.root.join(&watch)) {
                Ok(found) => found,
                Err(fault) if fault.not_a_folder() => continue,
                Err(fault) => return Err(fault),
            };
            for cycle in found.iter().filter_map(|name| cycle_of(name)) {
                self.count(cycle, &watch)?;
            }
        }
        Ok(())
    }

    fn count(&mut self, cycle: CycleNo, watch: &str) -> Result<(), Fault> {
        let dir = self.root.join(watch).join(cycle_dir(cycle));
        let mut bytes = self.disk.footprint(&dir)?;
        for name in self.disk.names(&dir)? {
            bytes = bytes.saturating_add(self.disk.footprint(&dir.join(name))?);
        }
        let before = self.sizes.insert((cycle, watch.to_owned()), bytes).unwrap_or_default();
        self.total = self.total.saturating_sub(before).saturating_add(bytes);
        Ok(())
    }

    /// Writes the report of a cycle, over an earlier one of the same cycle; gives back its folder.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&mut self, watch: &WatchName, cycle: CycleNo, report: &Rendered) -> Result<PathBuf, ViewError> {
        self.write_files(watch, cycle, report).map_err(|fault| refused(&fault))
    }

    fn write_files(&mut self, watch: &WatchName, cycle: CycleNo, report: &Rendered) -> Result<PathBuf, Fault> {
        let watch = names::encode(watch.as_str());
        let dir = self.root.join(&watch).join(cycle_dir(cycle));
        self.disk.create_view_dirs(&dir)?;
        // Counted first: what a failed write leaves behind is pruned like everything else.
        self.count(cycle, &watch)?;
        self.disk.replace(&dir, "report.json", report.json.as_bytes(), Durability::Whole)?;
        self.disk.replace(&dir, "report.html", report.html.as_bytes(), Durability::Whole)?;
        self.count(cycle, &watch)?;
        Ok(dir)
    }

    /// The folder of a cycle's report, if it has been written whole.
    #[must_use]
    pub fn find(&self, watch: &WatchName, cycle: CycleNo) -> Option<PathBuf> {
        let dir = self.root.join(names::encode(watch.as_str())).join(cycle_dir(cycle));
        // The page is written last.
        self.disk.stands(&dir.join("report.html")).unwrap_or(false).then_some(dir)
    }

    /// Bytes on disk.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.total
    }

    /// Removes the oldest until the bound is kept; never `keep`. Returns how many went.
    ///
    /// # Errors
    /// When one cannot be removed.
    pub fn prune(&mut self, keep: Option<&Path>) -> Result<u64, ViewError> {
        let mut removed = 0_u64;
        if self.max_bytes == 0 || self.total <= self.max_bytes {
            return Ok(removed);
        }
        while self.total > self.max_bytes {
            let place = |key: &(CycleNo, String)| self.root.join(&key.1).join(cycle_dir(key.0));
            let oldest = self.sizes.keys().map(|key| (key.clone(), place(key)));
            let Some((key, dir)) = oldest.into_iter().find(|(_, dir)| keep != Some(dir.as_path())) else { break };
            self.remove(&dir).map_err(|fault| refused(&fault))?;
            self.total = self.total.saturating_sub(self.sizes.remove(&key).unwrap_or_default());
            removed = removed.saturating_add(1);
        }
        Ok(removed)
    }

    fn remove(&self, dir: &Path) -> Result<(), Fault> {
        for name in self.disk.names(dir)? {
            self.disk.remove(&dir.join(name))?;
        }
        self.disk.remove_dir(dir).map(|_| ())
    }
}
