//! Control groups (v2): limits of a whole agent with all its descendants, and the end of all of them at once.
//!
//! They are used for agents whose limits ask for it. hb needs a part of the tree that it may write to: the root, or what systemd gives with
//! `Delegate=yes` and `DelegateSubgroup=hb`. A group that holds processes may not hand controllers on, so agents live beside hb's own group when that
//! is called `hb`, and else below it: in `hb-NODE/AGENT`.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use hb_core::supervise::spec::Limits;

/// Period of `cpu.max` in microseconds: the kernel's own choice.
const CPU_PERIOD_US: u64 = 100_000;

/// Whether any of the limits needs a control group.
pub(super) fn asked(limits: &Limits) -> bool {
    limits.memory_mb.is_some() || limits.cpu_percent.is_some() || limits.tasks.is_some()
}

/// Where the groups of agents are, or would be.
#[derive(Debug)]
pub(super) struct Cgroups {
    /// `…/hb-NODE`, or why there is none.
    home: Result<PathBuf, String>,
}

/// A group that is ready for its program.
#[derive(Debug)]
pub(super) struct Ready {
    /// Its folder.
    pub(super) dir: PathBuf,
    /// Its `cgroup.procs`, open for writing.
    pub(super) procs: OwnedFd,
}

impl Cgroups {
    /// Looks where they are. Nothing is created before it is needed.
    pub(super) fn find(node: &str) -> Self {
        Self { home: own().map(|own| beside(&own).join(format!("hb-{node}"))) }
    }

    /// Where an agent's group is, if it has one.
    pub(super) fn of(&self, agent: &str, limits: &Limits) -> Option<PathBuf> {
        let home = self.home.as_ref().ok().filter(|_| asked(limits))?;
        Some(home.join(agent))
    }

    /// Makes the group of an agent, with its limits; what an incarnation before left in it is ended.
    ///
    /// # Errors
    /// What cannot be enforced, why, and what to do.
    pub(super) fn prepare(&self, agent: &str, limits: &Limits) -> Result<Ready, String> {
        let home = self.home.as_ref().map_err(|why| advice(limits, why))?;
        let prepared = prepare(home, agent, limits);
        prepared.map_err(|fault| advice(limits, &format!("{}: {fault}", home.join(agent).display())))
    }
}

fn prepare(home: &Path, agent: &str, limits: &Limits) -> io::Result<Ready> {
    let parent = home.parent().unwrap_or(home);
    fs::create_dir_all(home)?;
    let wanted = [
        limits.memory_mb.map(|mb| ("memory", "memory.max", mb.saturating_mul(1 << 20).to_string())),
        limits.cpu_percent.map(|percent| ("cpu", "cpu.max", cpu_max(percent))),
        limits.tasks.map(|tasks| ("pids", "pids.max", tasks.to_string())),
    ];
    for (controller, ..) in wanted.iter().flatten() {
        enable(parent, controller)?;
        enable(home, controller)?;
    }
    let dir = home.join(agent);
    match fs::create_dir(&dir) {
        Err(fault) if fault.kind() == io::ErrorKind::AlreadyExists => kill(&dir)?,
        other => other?,
    }
    for (_, file, value) in wanted.iter().flatten() {
        write(&dir.join(file), value)?;
    }
    if limits.memory_mb.is_some() {
        // All or nothing: half an agent is worse than none.
        write(&dir.join("memory.oom.group"), "1")?;
    }
    let procs = OpenOptions::new().write(true).open(dir.join("cgroup.procs"))?;
    Ok(Ready { dir, procs: procs.into() })
}

/// Lets groups below have a controller, unless they may already.
fn enable(dir: &Path, controller: &str) -> io::Result<()> {
    let control = dir.join("cgroup.subtree_control");
    if fs::read_to_string(&control)?.split_ascii_whitespace().any(|enabled| enabled == controller) {
        return Ok(());
    }
    if !fs::read_to_string(dir.join("cgroup.controllers"))?.split_ascii_whitespace().any(|there| there == controller) {
        let text = format!("the controller `{controller}` is not given to {}", dir.display());
        return Err(io::Error::new(io::ErrorKind::Unsupported, text));
    }
    write(&control, &format!("+{controller}"))
}

fn cpu_max(percent: u32) -> String {
    format!("{} {CPU_PERIOD_US}", u64::from(percent).saturating_mul(CPU_PERIOD_US / 100).max(1000))
}

/// Ends everything in a group, also what has left its session.
///
/// # Errors
/// When the group cannot be written to; none when it is gone.
pub(super) fn kill(dir: &Path) -> io::Result<()> {
    match write(&dir.join("cgroup.kill"), "1") {
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Removes a group once it is empty; while it is not, the next start uses it again.
pub(super) fn remove(dir: &Path) {
    if let Err(fault) = fs::remove_dir(dir) {
        tracing::debug!(dir = %dir.display(), %fault, "a control group stays for the next start");
    }
}

fn write(path: &Path, value: &str) -> io::Result<()> {
    use io::Write as _;
    // Opened without creating: in this file system a missing file means a missing feature.
    let opened: io::Result<File> = OpenOptions::new().write(true).open(path);
    opened.and_then(|mut file| file.write_all(value.as_bytes())).map_err(|fault| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        io::Error::new(fault.kind(), format!("{name} = {value}: {fault}"))
    })
}

/// Where the groups of agents may be, for hb in this one.
fn beside(own: &Path) -> &Path {
    own.parent().filter(|_| own.file_name().is_some_and(|name| name == "hb")).unwrap_or(own)
}

/// hb's own group in the tree of version 2.
fn own() -> Result<PathBuf, String> {
    let told = |fault: io::Error| format!("/proc/self: {fault}");
    let groups = fs::read_to_string("/proc/self/cgroup").map_err(told)?;
    let path =
        groups.lines().find_map(|line| line.strip_prefix("0::")).ok_or("this system has no control groups v2")?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").map_err(told)?;
    let mount = mounts.lines().find_map(mount_point).ok_or("control groups v2 are not mounted")?;
    Ok(Path::new(mount).join(path.trim_start_matches('/')))
}

/// The place of a mount of this kind: field 5 of a line of `mountinfo`, whose kind follows ` - `.
fn mount_point(line: &str) -> Option<&str> {
    let (place, kind) = line.split_once(" - ")?;
    if !kind.starts_with("cgroup2 ") {
        return None;
    }
    place.split(' ').nth(4)
}

fn advice(limits: &Limits, why: &str) -> String {
    let named = [
        limits.memory_mb.map(|_| "memory_mb"),
        limits.cpu_percent.map(|_| "cpu_percent"),
        limits.tasks.map(|_| "tasks"),
    ];
    let named: Vec<&str> = named.into_iter().flatten().collect();
    format!(
        "limits.{} cannot be enforced: {why}. They need control groups v2 in a part of the tree that hb may write to: run hb as a service \
         with Delegate=yes and DelegateSubgroup=hb, or take these limits out (address_space_mb and processes need no control group)",
        named.join(", limits.")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_mount_and_says_what_cannot_be_enforced() {
        let line = "33 32 0:28 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate";
        assert_eq!(mount_point(line), Some("/sys/fs/cgroup"));
        assert_eq!(mount_point("33 32 0:28 / /sys/fs/cgroup rw - cgroup cgroup rw,cpu"), None);
        assert_eq!((cpu_max(150), cpu_max(0)), ("150000 100000".to_owned(), "1000 100000".to_owned()));
        assert_eq!(beside(Path::new("/sys/fs/cgroup/hb.service/hb")), Path::new("/sys/fs/cgroup/hb.service"));
        assert_eq!(beside(Path::new("/sys/fs/cgroup")), Path::new("/sys/fs/cgroup"));
        let none = Cgroups { home: Err("there are none".into()) };
        let limits = Limits { memory_mb: Some(1), tasks: Some(2), ..Limits::default() };
        let told = none.prepare("a", &limits).unwrap_err();
        assert!(told.contains("limits.memory_mb, limits.tasks") && told.contains("there are none"), "{told}");
        assert_eq!(none.of("a", &limits), None);
    }

    #[test]
    fn a_missing_controller_is_named() {
        let tree = tempfile::tempdir().unwrap();
        for file in ["cgroup.subtree_control", "cgroup.controllers"] {
            fs::write(tree.path().join(file), "cpu").unwrap();
        }
        let limits = Limits { memory_mb: Some(1), ..Limits::default() };
        let there = Cgroups { home: Ok(tree.path().join("hb-n")) };
        assert!(there.prepare("a", &limits).unwrap_err().contains("the controller `memory` is not given"));
        assert_eq!(there.of("a", &limits), Some(tree.path().join("hb-n/a")));
        assert_eq!(there.of("a", &Limits::default()), None);
    }
}
