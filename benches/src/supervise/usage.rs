//! What processes use, as `/proc` says it.

use std::fs;
use std::path::Path;

/// Ticks a second of processor time in `/proc`.
const TICKS: f64 = 100.0;

/// Memory of some processes in megabytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Memory {
    /// Shared pages counted once, among those who share them.
    pub(crate) pss: f64,
    /// Shared pages counted for each.
    pub(crate) rss: f64,
}

/// Memory of processes, added up.
pub(crate) fn memory(pids: &[u32]) -> Memory {
    let mut sum = Memory::default();
    for pid in pids {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        sum.pss += megabytes(&text, "Pss:");
        sum.rss += megabytes(&text, "Rss:");
    }
    sum
}

fn megabytes(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|kilobytes| kilobytes.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

/// Processor seconds that processes have used.
pub(crate) fn processor(pids: &[u32]) -> f64 {
    let ticks = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        fields.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>()
    };
    pids.iter().map(ticks).sum::<f64>() / TICKS
}

/// What the threads of some processes have done so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Work {
    /// Seconds on a processor by the scheduler's clock: ticks are too coarse for who does next to nothing.
    pub(crate) seconds: f64,
    /// How often one of them went to sleep of its own accord, which is as often as it was woken.
    pub(crate) wakeups: f64,
}

/// Work of processes, added up over their threads that live.
pub(crate) fn work(pids: &[u32]) -> Work {
    let mut sum = Work::default();
    for pid in pids {
        for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let read = |name: &str| fs::read_to_string(task.path().join(name)).unwrap_or_default();
            let nanoseconds = read("schedstat").split_whitespace().next().and_then(|one| one.parse::<f64>().ok());
            sum.seconds += nanoseconds.unwrap_or(0.0) / 1e9;
            let status = read("status");
            let slept = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            sum.wakeups += slept.and_then(|count| count.trim().parse::<f64>().ok()).unwrap_or(0.0);
        }
    }
    sum
}

/// Every process that has `folder` in its command line or works in it.
pub(crate) fn belonging_to(folder: &Path) -> Vec<u32> {
    let name = folder.as_os_str().as_encoded_bytes();
    let belongs = |pid: u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let named = line.windows(name.len()).any(|part| part == name);
        named || fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(folder))
    };
    all().into_iter().filter(|pid| *pid != std::process::id() && belongs(*pid)).collect()
}

fn all() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The short name of a process.
pub(crate) fn name(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

/// Whether a process runs: one that is dead and waits for its parent does not.
pub(crate) fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
    state.is_some_and(|state| state != 'Z' && state != 'X')
}

/// Descriptors below which hb opens the set that it waits on.
const EARLY: u32 = 64;

/// How many descriptors the largest set has that a process waits on, as the kernel tells it: with hb's hands these are pidfds but for one, so
/// what it would notice the end of.
pub(crate) fn waited_on(pid: u32) -> usize {
    let waited = |number: u32| {
        let link = fs::read_link(format!("/proc/{pid}/fd/{number}")).ok()?;
        let info = || fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).ok();
        let info = (link.as_os_str() == "anon_inode:[eventpoll]").then(info)??;
        Some(info.lines().filter(|line| line.starts_with("tfd:")).count())
    };
    (0..EARLY).filter_map(waited).max().unwrap_or(0)
}
