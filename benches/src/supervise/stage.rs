//! Where supervisors are measured: a folder, the children that run in it, and the file in which each child writes when it began.

use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

use super::usage;
use crate::child::{Kept, until};

/// Name of the program that is supervised, as the kernel has it.
pub(crate) const CHILD: &str = "hb-bench-child";

/// A child to be kept running.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    /// Its name.
    pub(crate) name: String,
    /// Program and arguments.
    pub(crate) command: Vec<String>,
}

/// One start of a child.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    /// Seconds on the clock that does not jump.
    pub(crate) at: f64,
    /// Who it is.
    pub(crate) pid: u32,
    /// Of which service.
    pub(crate) name: String,
}

/// A folder with everything that one supervisor and its children make.
#[derive(Debug)]
pub(crate) struct Stage {
    folder: tempfile::TempDir,
    /// What is supervised.
    pub(crate) services: Vec<Service>,
    /// All starts so far, in the order in which they were written.
    pub(crate) starts: Vec<Start>,
    read: u64,
    notes: Option<PathBuf>,
}

impl Stage {
    /// With so many services, none of them running.
    ///
    /// # Errors
    /// No folder can be made, or the program is not built.
    pub(crate) fn new(child: &Path, count: usize) -> Result<Self, String> {
        if !child.is_file() {
            return Err(format!("{} is missing: build hb-benches whole", child.display()));
        }
        let folder = tempfile::Builder::new().prefix("hb-bench-").tempdir().map_err(|error| error.to_string())?;
        let log = folder.path().join("starts");
        let command = |name: &str| vec![shown(child), shown(&log), name.to_owned()];
        let services = (0..count).map(|number| {
            let name = format!("s{number:04}");
            Service { command: command(&name), name }
        });
        Ok(Self { services: services.collect(), folder, starts: Vec::new(), read: 0, notes: None })
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Reads what children have written since.
    pub(crate) fn look(&mut self) {
        let mut text = String::new();
        if let Ok(mut file) = std::fs::File::open(self.path().join("starts"))
            && file.seek(SeekFrom::Start(self.read)).is_ok()
            && file.read_to_string(&mut text).is_ok()
        {
            let whole = text.rfind('\n').map_or(0, |end| end + 1);
            self.read += u64::try_from(whole).unwrap_or(0);
            self.starts.extend(text.lines().take_while(|_| whole > 0).filter_map(start));
        }
    }

    /// Waits until there are so many starts in all.
    ///
    /// # Errors
    /// There are not, in time.
    pub(crate) fn wait(&mut self, count: usize, patience: Duration) -> Result<(), String> {
        let told = until(&format!("{count} starts"), patience, || {
            self.look();
            (self.starts.len() >= count).then_some(())
        });
        told.map_err(|error| format!("{error}: there are {}", self.starts.len()))
    }

    /// The newest start of each service.
    pub(crate) fn newest(&self) -> BTreeMap<String, Start> {
        self.starts.iter().map(|start| (start.name.clone(), start.clone())).collect()
    }

    /// Processes of the supervisor itself: everything here that is not a child.
    pub(crate) fn supervisor(&self) -> Vec<u32> {
        usage::belonging_to(self.path()).into_iter().filter(|pid| usage::name(*pid) != CHILD).collect()
    }

    /// Children that run.
    pub(crate) fn children(&self) -> Vec<u32> {
        let here = usage::belonging_to(self.path()).into_iter();
        here.filter(|pid| usage::name(*pid) == CHILD && usage::runs(*pid)).collect()
    }

    /// What hb keeps of its children outside of this folder is removed with it.
    pub(crate) fn forget_notes(&mut self, hb: &Kept) {
        self.notes = run_dir(hb.0.id()).or_else(|| self.notes.take());
    }

    /// Ends everything that was started here.
    fn clear(&self) {
        for _ in 0..100 {
            let left: Vec<u32> = usage::belonging_to(self.path()).into_iter().filter(|pid| usage::runs(*pid)).collect();
            if left.is_empty() {
                return;
            }
            // Supervisors first, so that nobody is started again.
            let (children, supervisors): (Vec<u32>, Vec<u32>) =
                left.into_iter().partition(|pid| usage::name(*pid) == CHILD);
            supervisors.into_iter().chain(children).for_each(end);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.clear();
        if let Some(notes) = &self.notes {
            // What stays behind is small, and goes with the machine's next start.
            drop(std::fs::remove_dir_all(notes));
        }
    }
}

/// SIGKILL; one that is gone already is as good.
pub(crate) fn end(pid: u32) {
    if let Ok(pid) = i32::try_from(pid) {
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap_or_default();
    }
}

/// Seconds on the clock that children use.
pub(crate) fn now() -> f64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(f64::NAN, |at| Duration::from(at).as_secs_f64())
}

fn start(line: &str) -> Option<Start> {
    let mut fields = line.split(' ');
    let (at, pid, name) = (fields.next()?, fields.next()?, fields.next()?);
    Some(Start { at: at.parse().ok()?, pid: pid.parse().ok()?, name: name.to_owned() })
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Where hb keeps notes of running programs, so that it can be removed with the rest: beside the lock that it holds open.
fn run_dir(pid: u32) -> Option<PathBuf> {
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten();
    let lock =
        open.filter_map(|entry| std::fs::read_link(entry.path()).ok()).find(|link| link.ends_with("starting.lock"));
    lock?.parent().map(Path::to_owned)
}
