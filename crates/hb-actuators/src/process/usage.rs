//! What a process uses: memory, processor, open files, of `/proc`.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Instant;

use hb_core::supervise::input::Usage;

use super::proc::{self, TICKS_PER_SEC};

/// What was seen last, to tell the processor use since then.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    at: Instant,
    ticks: u64,
}

/// Measures a process; `before` is what was seen of it last. Its own start counts where nothing was.
/// `None` when it is gone or somebody else.
pub(super) fn measure(pid: u32, start_ticks: u64, before: Option<Seen>) -> Option<(Usage, Seen)> {
    let stat = proc::stat(pid).ok().filter(|stat| stat.start_ticks == start_ticks)?;
    let seen = Seen { at: Instant::now(), ticks: stat.ticks };
    let (ticks, seconds) = match before {
        Some(before) => (stat.ticks.saturating_sub(before.ticks), (seen.at - before.at).as_secs_f64()),
        None => (stat.ticks, to_f64(proc::ticks_now().saturating_sub(start_ticks)) / to_f64(TICKS_PER_SEC)),
    };
    let cpu_percent = if seconds > 0.0 { to_f64(ticks) / to_f64(TICKS_PER_SEC) / seconds * 100.0 } else { 0.0 };
    let usage = Usage { memory_mb: memory_mb(pid)?, cpu_percent, open_files_percent: open_files_percent(pid) };
    Some((usage, seen))
}

fn memory_mb(pid: u32) -> Option<f64> {
    let text = fs::read_to_string(proc::folder(pid).join("statm")).ok()?;
    let pages: u64 = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(to_f64(pages) * to_f64(page_bytes()) / 1_048_576.0)
}

fn page_bytes() -> u64 {
    let size = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
    size.and_then(|size| u64::try_from(size).ok()).unwrap_or(4096)
}

/// 0 where we may not know, or where there is no limit.
fn open_files_percent(pid: u32) -> f64 {
    let folder = proc::folder(pid);
    // Since Linux 6.2 the size of the folder is the number of its entries; before, it is 0.
    let open = match fs::metadata(folder.join("fd")).map(|found| found.size()) {
        Ok(0) => fs::read_dir(folder.join("fd")).map_or(0, |entries| entries.count() as u64),
        Ok(count) => count,
        Err(_) => return 0.0,
    };
    let limits = fs::read_to_string(folder.join("limits")).unwrap_or_default();
    let soft = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft: Option<u64> =
        soft.and_then(|rest| rest.split_ascii_whitespace().next()).and_then(|soft| soft.parse().ok());
    soft.filter(|soft| *soft > 0).map_or(0.0, |soft| to_f64(open) / to_f64(soft) * 100.0)
}

#[expect(clippy::cast_precision_loss, reason = "figures for people and thresholds")]
fn to_f64(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_itself() {
        let own = std::process::id();
        let start = proc::stat(own).unwrap().start_ticks;
        let (usage, seen) = measure(own, start, None).unwrap();
        assert!(usage.memory_mb > 0.1 && usage.open_files_percent > 0.0 && usage.cpu_percent >= 0.0, "{usage:?}");
        assert!(measure(own, start, Some(seen)).is_some());
        assert!(measure(own, start + 1, None).is_none());
    }
}
