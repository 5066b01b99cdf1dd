//! A folder with a configuration, telemetry and state of its own.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use super::node::Node;

/// The binary under test.
pub(crate) const HB: &str = env!("CARGO_BIN_EXE_hb");

pub(crate) struct Project {
    dir: TempDir,
    /// Where the file source reads.
    pub(crate) telemetry: PathBuf,
    /// `output_dir`.
    pub(crate) output: PathBuf,
}

impl Project {
    /// A flat configuration with the source `file`, and `more` lines of YAML.
    pub(crate) fn new(more: &str) -> Self {
        Self::reading("telemetry.jsonl", more)
    }

    /// The same with another name of the telemetry file.
    pub(crate) fn reading(telemetry: &str, more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (telemetry, output) = (dir.path().join(telemetry), dir.path().join("out"));
        let project = Self { dir, telemetry, output };
        project.configure(more);
        project
    }

    /// Writes the configuration anew.
    pub(crate) fn configure(&self, more: &str) {
        let Self { telemetry, output, .. } = self;
        let text = format!(
            "source: file\npath: {}\noutput_dir: {}\ndb_path: {}\n{more}",
            telemetry.display(),
            output.display(),
            self.db().display()
        );
        fs::write(self.config(), text).unwrap();
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.dir.path().join("hb.yaml")
    }

    pub(crate) fn db(&self) -> PathBuf {
        self.dir.path().join("runs.db")
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Path of a record.
    pub(crate) fn record(&self, seq: u64) -> PathBuf {
        self.output.join("journal").join("watch").join("default").join(format!("{seq:020}.rec"))
    }

    /// Adds bytes at the end of the telemetry.
    pub(crate) fn feed(&self, bytes: impl AsRef<[u8]>) {
        let mut file = OpenOptions::new().create(true).append(true).open(&self.telemetry).unwrap();
        file.write_all(bytes.as_ref()).unwrap();
    }

    /// `hb ARGS`, with nothing of this process's environment that hb listens to.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        // A long run is not disturbed by a build meanwhile: it has a copy.
        let mut command = Command::new(std::env::var_os("HB_TORTURE_BINARY").unwrap_or_else(|| HB.into()));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HB_")) {
            command.env_remove(name);
        }
        command.current_dir(self.dir()).args(args).stdin(Stdio::null());
        command
    }

    /// `hb ARGS --config …`, to its end.
    pub(crate) fn hb(&self, args: &[&str]) -> Output {
        self.command(args).arg("--config").arg(self.config()).output().unwrap()
    }

    /// `hb daemon --once`, to its end, which must be a good one.
    pub(crate) fn once(&self, node: &str) -> Output {
        let output = self.hb(&["daemon", "--once", "--listen", "none", "--node", node]);
        assert!(output.status.success(), "--once ended with {}:\n{}", output.status, told(&output));
        output
    }

    /// `hb daemon` on a free port.
    pub(crate) fn start(&self, node: &str) -> Node {
        Node::start(self, node)
    }
}

/// What a command said.
pub(crate) fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
