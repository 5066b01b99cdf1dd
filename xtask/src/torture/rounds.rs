//! One round: a process of the test binary in namespaces of its own, and what it tells.
//!
//! **Invariants.** Everything that a round starts lives in its process namespace and is killed by the kernel when the first process of that
//! ends; that one ends when its input ends, which is this process's. Mounts go with the mount namespace.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::Bench;

/// How long a round may take beside a minute for each of its faults, before it is taken for hung.
const LONGEST: Duration = Duration::from_secs(900);
/// The first process of the namespace: it waits for all orphans, as the first process of a machine does. Shared memory that servers
/// leave behind goes with the namespace, too.
const INIT: &str = r#"mount -t tmpfs tmpfs /dev/shm && "$@"; exit $?"#;

/// What the violation of a round begins with that is none: see the module `patience` of the tests.
const STARVED: &str = "STARVED";

/// What a round is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) pair: String,
    pub(crate) nodes: usize,
    pub(crate) ttl: usize,
    pub(crate) faults: usize,
    pub(crate) seed: u64,
}

impl Plan {
    /// What to type to have it again.
    pub(crate) fn command(&self) -> String {
        let Self { pair, nodes, ttl, faults, seed } = self;
        format!(
            "cargo xtask torture --pair {pair} --nodes {nodes} --ttl {ttl} --faults {faults} --seed {seed} --lanes 1"
        )
    }
}

/// A line that a round told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// A fault was borne, and how long a takeover took, in milliseconds.
    Fault {
        kind: String,
        took: Option<u64>,
    },
    /// All was judged: cycles, records, epochs, what the webhook was told.
    Done([u64; 4]),
    Violation(String),
}

/// One that is under way.
pub(crate) struct Round {
    pub(crate) plan: Plan,
    pub(crate) folder: PathBuf,
    child: Child,
    began: Instant,
    /// How much of what it told was read.
    read: usize,
    pub(crate) done: Option<[u64; 4]>,
    pub(crate) violation: Option<String>,
    status: Option<ExitStatus>,
}

impl Round {
    /// Starts it.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn start(plan: Plan, number: usize, bench: &Bench) -> Result<Self, String> {
        let folder = bench.folder.join(format!("round-{number:04}"));
        let temporary = folder.join("tmp");
        std::fs::create_dir_all(&temporary).map_err(|error| format!("{}: {error}", temporary.display()))?;
        // PostgreSQL's user has to get through.
        let log = File::create(folder.join("log")).map_err(|error| format!("{}: {error}", folder.display()))?;
        let again = log.try_clone().map_err(|error| error.to_string())?;
        let child = Command::new("unshare")
            .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--", "sh", "-c", INIT, "round"])
            .arg(&bench.test)
            .args(["--exact", "torture::round", "--ignored", "--nocapture", "--test-threads", "1"])
            .env("TMPDIR", &temporary)
            .env("HB_TORTURE_FOLDER", &folder)
            .env("HB_TORTURE_BINARY", &bench.hb)
            .env("HB_TORTURE_PAIR", &plan.pair)
            .env("HB_TORTURE_NODES", plan.nodes.to_string())
            .env("HB_TORTURE_TTL", plan.ttl.to_string())
            .env("HB_TORTURE_FAULTS", plan.faults.to_string())
            .env("HB_TEST_SEED", plan.seed.to_string())
            .stdin(Stdio::piped())
            .stdout(log)
            .stderr(again)
            // Ctrl-C is for this process alone: its end is theirs, and a node that is told to stop has not failed.
            .process_group(0)
            .spawn()
            .map_err(|error| format!("unshare: {error} (torture needs Linux, root and util-linux)"))?;
        let began = Instant::now();
        Ok(Self { plan, folder, child, began, read: 0, done: None, violation: None, status: None })
    }

    /// No further fault is wanted.
    pub(crate) fn enough(&self) {
        // It is looked for between faults; that it cannot be made shows in the time that it takes.
        drop(File::create(self.folder.join("enough")));
    }

    /// What it has told since the last look; whether it has ended is known afterwards.
    pub(crate) fn look(&mut self) -> Vec<(String, Told)> {
        // First: what it tells before its end is read after this.
        let status = self.child.try_wait().ok().flatten();
        let text = std::fs::read_to_string(self.folder.join("told")).unwrap_or_default();
        let fresh = text.get(self.read..).unwrap_or_default();
        let whole = fresh.rfind('\n').map_or("", |end| &fresh[..=end]);
        self.read += whole.len();
        let told: Vec<Told> = whole.lines().filter_map(Told::read).collect();
        for one in &told {
            match one {
                Told::Done(figures) => self.done = Some(*figures),
                Told::Violation(what) => {
                    self.violation.get_or_insert_with(|| what.clone());
                }
                Told::Fault { .. } => {}
            }
        }
        self.status = status;
        if status.is_none() && self.began.elapsed() > LONGEST + Duration::from_secs(60 * self.plan.faults as u64) {
            self.violation.get_or_insert_with(|| "it hangs".to_owned());
            // It may have ended at this very moment.
            drop(self.child.kill());
        }
        told.into_iter().map(|one| (self.plan.pair.clone(), one)).collect()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.status.is_some()
    }

    /// Why it is no good, if it is none.
    pub(crate) fn fault(&self) -> Option<String> {
        if let Some(what) = &self.violation {
            return Some(what.clone());
        }
        let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let missing = log.lines().find(|line| line.starts_with("NOT RUN"));
        match (self.status, self.done) {
            (Some(status), Some(_)) if status.success() => None,
            (Some(status), _) => Some(missing.map_or_else(|| format!("the round ended with {status}"), str::to_owned)),
            (None, _) => Some("it has not ended".to_owned()),
        }
    }

    /// Whether the machine gave it too little time to come to a judgement.
    pub(crate) fn was_starved(&self) -> bool {
        self.violation.as_ref().is_some_and(|what| what.starts_with(STARVED))
    }

    /// The end of its timeline.
    pub(crate) fn timeline(&self, lines: usize) -> String {
        tail(&self.folder.join("timeline"), lines)
    }
}

impl Drop for Round {
    fn drop(&mut self) {
        // It may have ended by itself; everything in its namespace goes with it.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Told {
    fn read(line: &str) -> Option<Self> {
        let (word, rest) = line.split_once(' ')?;
        match word {
            "fault" => {
                let (kind, took) = rest.split_once(' ')?;
                Some(Self::Fault { kind: kind.to_owned(), took: took.parse().ok() })
            }
            "done" => {
                let mut figures = rest.split(' ').map(|figure| figure.parse().unwrap_or(0));
                Some(Self::Done(std::array::from_fn(|_| figures.next().unwrap_or(0))))
            }
            "violation" => Some(Self::Violation(rest.to_owned())),
            _ => None,
        }
    }
}

/// The last lines of a file.
fn tail(path: &Path, lines: usize) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all.get(all.len().saturating_sub(lines)..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::Told;

    #[test]
    fn what_a_round_tells_is_understood() {
        assert_eq!(Told::read("fault Kill 120"), Some(Told::Fault { kind: "Kill".into(), took: Some(120) }));
        assert_eq!(Told::read("fault Nap -"), Some(Told::Fault { kind: "Nap".into(), took: None }));
        assert_eq!(Told::read("done 1 2 3 4"), Some(Told::Done([1, 2, 3, 4])));
        assert_eq!(Told::read("violation W1: twice"), Some(Told::Violation("W1: twice".into())));
        assert_eq!(Told::read("anything else"), None);
    }
}
