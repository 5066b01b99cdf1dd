//! The wall clock of one node, which a test sets: back, forth, and a little at a time.
//!
//! **Invariants.** Only what a person, NTP or a hypervisor could do to a machine is done: the clock since boot is never set, but stands still
//! while the machine is paused from outside. What the test itself reads is never touched.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use hb_core::time::Stamp;
use hb_daemon::clock;

/// What is loaded into the node.
const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/failover/wall.c");

/// How long a setting may take to be in force everywhere, with what a drift amounts to, in nanoseconds.
const SLACK: i64 = 500_000_000;
const SECOND: i64 = 1_000_000_000;

/// One wall clock.
pub(crate) struct Wall {
    file: File,
    path: PathBuf,
    library: PathBuf,
    /// What it is set to, in nanoseconds ahead of the right time.
    now: i64,
    /// For how long it stood still in all, in nanoseconds.
    still: i64,
    /// All that it was set to, and when.
    settings: Vec<(Stamp, i64)>,
}

impl Wall {
    /// A clock that goes right, with its file in a folder; none, told, where nothing can be compiled.
    pub(crate) fn right(folder: &Path, name: &str) -> Option<Self> {
        let library = library().as_ref().map_err(|why| println!("NOT RUN clocks that jump: {why}")).ok()?;
        let path = folder.join(format!("wall.{name}"));
        let file = File::options().create(true).truncate(true).write(true).open(&path).unwrap();
        file.write_all_at(&[0; 16], 0).unwrap();
        Some(Self { file, path, library: library.clone(), now: 0, still: 0, settings: vec![(clock::wall(), 0)] })
    }

    /// From now on it is so many seconds ahead, or behind.
    pub(crate) fn set(&mut self, seconds: i64) {
        self.now = seconds * SECOND;
        self.put(self.now);
        self.settings.push((clock::wall(), self.now));
    }

    /// It is so many milliseconds further ahead than what it was set to, as a clock is that drifts.
    pub(crate) fn drift(&self, milliseconds: i64) {
        self.put(self.now + milliseconds * (SECOND / 1_000));
    }

    /// All its clocks stood still for so many seconds. The wall clock is as it was then until it is set.
    pub(crate) fn stood_still(&mut self, seconds: i64) {
        self.still += seconds * SECOND;
        self.file.write_all_at(&(-self.still).to_ne_bytes(), 8).unwrap();
        self.set(self.now / SECOND - seconds);
    }

    fn put(&self, nanoseconds: i64) {
        self.file.write_all_at(&nanoseconds.to_ne_bytes(), 0).unwrap();
    }

    /// A node that is started so asks this clock.
    pub(crate) fn give(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library).env("TEST_WALL_CLOCK", &self.path);
    }

    /// When a node wrote something, by the clock of the test: by those settings that were in force at that time. A clock that was set back has
    /// shown some times twice: the first and the last that it can be.
    pub(crate) fn true_time(&self, written: i64) -> (i64, i64) {
        let ends = self.settings.iter().skip(1).map(|(at, _)| at.0).chain([i64::MAX]);
        let fits: Vec<i64> = self
            .settings
            .iter()
            .zip(ends)
            .map(|((since, ahead), end)| (since.0 - SLACK..=end.saturating_add(SLACK), written - ahead))
            .filter_map(|(in_force, at)| in_force.contains(&at).then_some(at))
            .collect();
        let bounds = fits.iter().min().zip(fits.iter().max());
        bounds.map_or((written, written), |(first, last)| (*first, *last))
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
