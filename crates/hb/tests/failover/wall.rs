//! The wall clock of one node, which a test sets: back, forth, and a little at a time.
//!
//! **Invariants.** Clocks that cannot be set (`CLOCK_BOOTTIME`, `CLOCK_MONOTONIC`) are left alone: only what a person or NTP could do to a
//! machine is done. What the test itself reads is never touched.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// What is loaded into the node.
const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/failover/wall.c");

/// Clocks are set to whole steps of these; what they are between is how records can be told apart. See [`Wall::true_time`].
const SECOND: i64 = 1_000_000_000;

/// One wall clock.
pub(crate) struct Wall {
    file: File,
    path: PathBuf,
    library: PathBuf,
    /// What it is set to, in nanoseconds ahead of the right time.
    now: i64,
    /// All that it was set to.
    ahead: Vec<i64>,
}

impl Wall {
    /// A clock that goes right, with its file in a folder; none, told, where nothing can be compiled.
    pub(crate) fn right(folder: &Path, name: &str) -> Option<Self> {
        let library = library().as_ref().map_err(|why| println!("NOT RUN clocks that jump: {why}")).ok()?;
        let path = folder.join(format!("wall.{name}"));
        let file = File::options().create(true).truncate(true).write(true).open(&path).unwrap();
        file.write_all_at(&[0; 8], 0).unwrap();
        Some(Self { file, path, library: library.clone(), now: 0, ahead: vec![0] })
    }

    /// From now on it is so many seconds ahead, or behind.
    pub(crate) fn set(&mut self, seconds: i64) {
        self.now = seconds * SECOND;
        self.put(self.now);
        if !self.ahead.contains(&self.now) {
            self.ahead.push(self.now);
        }
    }

    /// It is so many milliseconds further ahead than what it was set to, as a clock is that drifts.
    pub(crate) fn drift(&self, milliseconds: i64) {
        self.put(self.now + milliseconds * (SECOND / 1_000));
    }

    fn put(&self, nanoseconds: i64) {
        self.file.write_all_at(&nanoseconds.to_ne_bytes(), 0).unwrap();
    }

    /// A node that is started so asks this clock.
    pub(crate) fn give(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library).env("TEST_WALL_CLOCK", &self.path);
    }

    /// When a node wrote a record, by the clock of the test: that of the clock's settings which comes nearest to when the record was seen.
    pub(crate) fn true_time(&self, written: i64, seen: i64) -> i64 {
        let all = self.ahead.iter().map(|ahead| written - ahead);
        all.min_by_key(|at| at.abs_diff(seen)).unwrap_or(written)
    }
}

/// The library, compiled once for the process.
fn library() -> &'static Result<PathBuf, String> {
    static LIBRARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let into = std::env::temp_dir().join(format!("hb-wall-{}.so", std::process::id()));
        let output = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&into).arg(SOURCE).output();
        let output = output.map_err(|error| format!("cc: {error}"))?;
        if output.status.success() { Ok(into) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    })
}
