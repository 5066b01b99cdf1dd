//! Telemetry that never ends: a few cycles a second of event time that runs faster than the clock, the same for the same number of cycles.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::support::random::Random;
use crate::support::telemetry::{INTERVAL, START};

/// Readings of one cycle.
const READINGS: u64 = 6;

/// Somebody who writes it, in parts that end anywhere.
pub(crate) struct Tape {
    pub(crate) path: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    _folder: tempfile::TempDir,
}

/// Bytes of one cycle. Of eighteen cycles in a row three are bad ones.
fn cycle(number: u64) -> String {
    let mut random = Random::seeded(number);
    let ill = number >= 12 && (12..15).contains(&(number % 18));
    let mut text = String::new();
    for step in 0..READINGS {
        let at = START + number * INTERVAL + step * INTERVAL / READINGS;
        let value = if ill && step == 0 { 95.0 } else { 20.0 } + random.noise();
        let series = step % 3;
        writeln!(text, r#"{{"ts":{at},"metric":"temperature.{series}","value":{value:.3},"unit":"C"}}"#).unwrap();
    }
    text
}

impl Tape {
    /// Begins to write, about `a_second` cycles each second.
    pub(crate) fn start(a_second: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("telemetry.jsonl");
        std::fs::write(&path, "").unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let (ended, file) = (Arc::clone(&stop), path.clone());
        let thread = std::thread::spawn(move || write(&file, a_second, &ended));
        Self { path, stop, thread: Some(thread), _folder: folder }
    }

    /// Ends it; what is written then is whole lines.
    pub(crate) fn finish(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Tape {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

fn write(path: &Path, a_second: u64, ended: &AtomicBool) {
    let mut file = OpenOptions::new().append(true).open(path).unwrap();
    let pause = Duration::from_micros(500_000 / a_second);
    for number in 0.. {
        let text = cycle(number);
        // Somewhere in the middle of a line.
        let (first, rest) = text.split_at(text.len() / 3 + usize::try_from(number % 7).unwrap());
        for part in [first, rest] {
            file.write_all(part.as_bytes()).unwrap();
            std::thread::sleep(pause);
        }
        if ended.load(Ordering::Acquire) {
            return;
        }
    }
}
