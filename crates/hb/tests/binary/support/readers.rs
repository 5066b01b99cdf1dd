//! Somebody who opens every document that hb shows, all the time: none may ever be unreadable.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

/// What was read.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Read {
    pub(crate) checkpoints: u64,
    pub(crate) histories: u64,
    pub(crate) reports: u64,
}

pub(crate) struct Readers {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Read, String>>>,
}

impl Readers {
    pub(crate) fn start(output: &Path) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (ended, output) = (Arc::clone(&stop), output.to_owned());
        let thread = std::thread::spawn(move || {
            let mut read = Read::default();
            while !ended.load(Ordering::Acquire) {
                look(&output, &mut read)?;
                // Leaves some of the machine to those who write.
                std::thread::sleep(Duration::from_micros(500));
            }
            Ok(read)
        });
        Self { stop, thread: Some(thread) }
    }

    /// Ends it.
    ///
    /// # Panics
    /// With the first document that could not be read.
    pub(crate) fn finish(mut self) -> Read {
        self.stop.store(true, Ordering::Release);
        let ended = self.thread.take().unwrap().join().unwrap();
        ended.unwrap_or_else(|what| panic!("a reader met an unreadable document: {what}"))
    }
}

fn bytes(path: &Path) -> Option<Vec<u8>> {
    // Not there yet, or pruned in between.
    fs::read(path).ok()
}

fn json(path: &Path, bytes: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(bytes)
        .map_err(|error| format!("{}: {error}: {:?}", path.display(), String::from_utf8_lossy(bytes)))
}

fn look(output: &Path, read: &mut Read) -> Result<(), String> {
    let checkpoint = output.join("daemon_checkpoint.json");
    if let Some(bytes) = bytes(&checkpoint) {
        let document = json(&checkpoint, &bytes)?;
        for key in
            ["last_cycle_utc", "last_status", "watch", "cycle", "seq", "epoch", "node", "hash", "marks", "format"]
        {
            if document.get(key).is_none_or(Value::is_null) {
                return Err(format!("{} has no {key}: {document}", checkpoint.display()));
            }
        }
        read.checkpoints += 1;
    }
    let history = output.join("checkpoint_history").join("checkpoints.jsonl");
    if let Some(bytes) = bytes(&history) {
        if !bytes.is_empty() && bytes.last() != Some(&b'\n') {
            return Err(format!("{} ends within a line", history.display()));
        }
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            json(&history, line)?;
        }
        read.histories += 1;
    }
    for dir in newest_reports(output) {
        let (document, page) = (dir.join("report.json"), dir.join("report.html"));
        if let Some(bytes) = bytes(&document) {
            json(&document, &bytes)?;
            read.reports += 1;
        }
        if let Some(bytes) = bytes(&page)
            && !bytes.trim_ascii_end().ends_with(b"</html>")
        {
            return Err(format!("{} is cut", page.display()));
        }
    }
    Ok(())
}

fn newest_reports(output: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(output.join("reports").join("default")) else { return Vec::new() };
    let mut dirs: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    dirs.sort();
    dirs.split_off(dirs.len().saturating_sub(2))
}
