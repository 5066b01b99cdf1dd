//! `checkpoint_history/checkpoints.jsonl`: the newest checkpoints, oldest first.
//!
//! **Invariants.** The file is replaced as a whole, so a reader never sees half a line or half a history. Rewriting takes
//! at most a twentieth of the time: when cycles come faster than that, the newest ones are held back until `flush`, the
//! next `settle` that is due, or the end of this object. The checkpoint itself is never held back.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hb_core::ids::Seq;

use super::ViewError;
use super::checkpoint::Checkpoint;
use crate::atomic::{Disk, Durability};

/// Folder, below `output_dir`.
pub const DIR: &str = "checkpoint_history";
/// File within it.
pub const FILE: &str = "checkpoints.jsonl";
const SHARE: u32 = 20;

/// The history of one folder.
#[derive(Debug)]
pub struct History {
    disk: Disk,
    dir: PathBuf,
    max: usize,
    lines: VecDeque<(Seq, String)>,
    held_back: bool,
    written: Option<Instant>,
    cost: Duration,
}

/// A line of a stored history.
pub(crate) type Line = Result<Checkpoint, String>;

/// Reads a stored history line by line; none when there is no file.
pub(crate) fn read_lines(disk: &Disk, dir: &Path) -> Result<Option<Vec<Line>>, ViewError> {
    let path = dir.join(DIR).join(FILE);
    let bytes = disk.read(&path).map_err(|fault| ViewError::new("view.history", fault))?;
    Ok(bytes.map(|bytes| {
        let mut lines: Vec<Line> = bytes.split(|byte| *byte == b'\n').map(Checkpoint::parse).collect();
        // What stands after the last newline is nothing, unless the file was cut.
        if bytes.last().is_none_or(|last| *last == b'\n') {
            lines.pop();
        }
        lines
    }))
}

impl History {
    /// Opens the history below `output_dir`, keeping the sound lines that stand there.
    ///
    /// # Errors
    /// When the folder cannot be made or read.
    pub fn open(disk: Disk, output_dir: &Path, max: usize) -> Result<Self, ViewError> {
        let dir = output_dir.join(DIR);
        disk.create_dirs(&dir).map_err(|fault| ViewError::new("view.history", fault))?;
        disk.sweep(&dir).map_err(|fault| ViewError::new("view.history", fault))?;
        let max = max.max(1);
        let mut lines: VecDeque<(Seq, String)> =
            read_lines(&disk, output_dir)?.unwrap_or_default().iter().flatten().map(numbered).collect();
        lines.drain(..lines.len().saturating_sub(max));
        Ok(Self { disk, dir, max, lines, held_back: false, written: None, cost: Duration::ZERO })
    }

    /// Adds the newest checkpoint, to be written when it is time.
    pub fn push(&mut self, checkpoint: &Checkpoint) {
        // Shown again after a crash or a fault: it takes the place of its like.
        while self.lines.back().is_some_and(|(seq, _)| *seq >= checkpoint.seq) {
            self.lines.pop_back();
        }
        self.lines.push_back(numbered(checkpoint));
        while self.lines.len() > self.max {
            self.lines.pop_front();
        }
        self.held_back = true;
    }

    /// Writes what was held back, if it is time.
    ///
    /// # Errors
    /// When it cannot be written; it is with the next push.
    pub fn settle(&mut self) -> Result<(), ViewError> {
        let due = self.written.is_none_or(|at| at.elapsed() >= self.cost.saturating_mul(SHARE));
        if due { self.flush() } else { Ok(()) }
    }

    /// Writes what was held back.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn flush(&mut self) -> Result<(), ViewError> {
        if !self.held_back {
            return Ok(());
        }
        let begun = Instant::now();
        let bytes: Vec<u8> = self.lines.iter().flat_map(|(_, line)| line.bytes()).collect();
        let stored = self.disk.replace(&self.dir, FILE, &bytes, Durability::View);
        stored.map_err(|fault| ViewError::new("view.history", fault))?;
        self.held_back = false;
        self.cost = begun.elapsed();
        self.written = Some(Instant::now());
        Ok(())
    }

    /// Makes the history end with these checkpoints, oldest first; sound older lines stay while there is room.
    pub(super) fn rebuild(&mut self, truth: &[Checkpoint]) -> Result<Option<String>, ViewError> {
        let output_dir = self.dir.parent().unwrap_or(&self.dir).to_path_buf();
        let stored = read_lines(&self.disk, &output_dir)?;
        let first = truth.first().map(|checkpoint| checkpoint.seq);
        let sound = stored.iter().flatten().flatten();
        let older = sound.filter(|line| first.is_some_and(|first| line.seq < first));
        let wanted: Vec<&Checkpoint> = older.chain(truth).collect();
        let wanted = wanted.get(wanted.len().saturating_sub(self.max)..).unwrap_or_default();
        let why = match &stored {
            _ if wanted.is_empty() => return Ok(None),
            None => "was missing".to_owned(),
            Some(lines) if lines.iter().any(Result::is_err) => {
                let at = lines.iter().position(Result::is_err).unwrap_or_default().saturating_add(1);
                format!("had a damaged line {at}")
            }
            Some(lines) if lines.iter().flatten().ne(wanted.iter().copied()) => "was not up to date".to_owned(),
            Some(_) => return Ok(None),
        };
        self.lines = wanted.iter().copied().map(numbered).collect();
        self.held_back = true;
        self.flush()?;
        Ok(Some(format!("{DIR}/{FILE} {why}: rebuilt with {} checkpoints", self.lines.len())))
    }
}

fn numbered(checkpoint: &Checkpoint) -> (Seq, String) {
    (checkpoint.seq, checkpoint.to_line())
}

impl Drop for History {
    fn drop(&mut self) {
        if let Err(error) = self.flush() {
            tracing::warn!(%error, "the newest checkpoints are not in the history; the next start rebuilds it");
        }
    }
}
