//! What the kernel says of this process, under the names that Prometheus' own client libraries use.

use std::fs;

use crate::exposition::{Exposition, Kind};

/// Ticks per second in `/proc/*/stat`. The kernel's ABI to user space fixes it at 100 on every platform that hb runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Figures of this process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Process {
    cpu_seconds: f64,
    resident_bytes: u64,
    virtual_bytes: u64,
    threads: u64,
    open_fds: u64,
    max_fds: Option<u64>,
    started: f64,
}

impl Process {
    /// Reads them; none where there is no `/proc`.
    pub(crate) fn read() -> Option<Self> {
        let stat = Stat::parse(&fs::read_to_string("/proc/self/stat").ok()?)?;
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let boot = fs::read_to_string("/proc/stat").ok()?;
        let limits = fs::read_to_string("/proc/self/limits").ok()?;
        Some(Self {
            cpu_seconds: stat.ticks / TICKS_PER_SECOND,
            resident_bytes: kilobytes(&status, "VmRSS:")?.saturating_mul(1024),
            virtual_bytes: kilobytes(&status, "VmSize:")?.saturating_mul(1024),
            threads: kilobytes(&status, "Threads:")?,
            open_fds: u64::try_from(fs::read_dir("/proc/self/fd").ok()?.count()).ok()?,
            max_fds: limits.lines().find_map(|line| line.strip_prefix("Max open files")).and_then(first_number),
            started: boot_seconds(&boot)? + stat.start_ticks / TICKS_PER_SECOND,
        })
    }

    /// Writes them.
    pub(crate) fn write(&self, out: &mut Exposition) {
        out.family("process_cpu_seconds_total", Kind::Counter, "User and system time spent, in seconds.");
        out.real("process_cpu_seconds_total", &[], self.cpu_seconds);
        out.family("process_resident_memory_bytes", Kind::Gauge, "Resident memory.");
        out.whole("process_resident_memory_bytes", &[], self.resident_bytes);
        out.family("process_virtual_memory_bytes", Kind::Gauge, "Virtual memory.");
        out.whole("process_virtual_memory_bytes", &[], self.virtual_bytes);
        out.family("process_threads", Kind::Gauge, "Threads.");
        out.whole("process_threads", &[], self.threads);
        out.family("process_open_fds", Kind::Gauge, "Open file descriptors.");
        out.whole("process_open_fds", &[], self.open_fds);
        if let Some(max) = self.max_fds {
            out.family("process_max_fds", Kind::Gauge, "Most file descriptors that may be open.");
            out.whole("process_max_fds", &[], max);
        }
        out.family("process_start_time_seconds", Kind::Gauge, "Start of the process, in seconds since 1970.");
        out.real("process_start_time_seconds", &[], self.started);
    }
}

struct Stat {
    ticks: f64,
    start_ticks: f64,
}

impl Stat {
    /// Fields 14, 15 (user and system time) and 22 (start) of proc(5). The name in field 2 may hold anything, so counting
    /// begins after its last parenthesis.
    fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.rsplit_once(')')?;
        let mut fields = rest.split_ascii_whitespace().skip(11);
        let user: f64 = fields.next()?.parse().ok()?;
        let system: f64 = fields.next()?.parse().ok()?;
        let start_ticks: f64 = fields.nth(6)?.parse().ok()?;
        Some(Self { ticks: user + system, start_ticks })
    }
}

fn kilobytes(status: &str, key: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix(key)).and_then(first_number)
}

fn first_number(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}

fn boot_seconds(stat: &str) -> Option<f64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let text = "7 (a) b (c)) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 3 0 12345 1 2 3";
        let stat = Stat::parse(text).unwrap();
        assert!((stat.ticks - 300.0).abs() < f64::EPSILON && (stat.start_ticks - 12345.0).abs() < f64::EPSILON);
    }

    #[test]
    fn this_process_has_figures() {
        let process = Process::read().unwrap();
        assert!(process.resident_bytes > 1 << 20 && process.open_fds > 0 && process.started > 1.6e9);
    }
}
