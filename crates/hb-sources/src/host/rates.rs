//! Differences between two looks.

use std::collections::BTreeMap;
use std::time::Instant;

use super::Readings;
use super::proc::{Snapshot, float};

/// Bytes of a sector in `/proc/diskstats`, whatever the disk's own are.
const SECTOR_BYTES: f64 = 512.0;

/// The last look.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    before: Option<(Snapshot, Instant)>,
}

impl Rates {
    /// Puts the rates since the last look, if there was one, and keeps this one. A counter that fell has none this time.
    pub(crate) fn put(&mut self, now: Snapshot, at: Instant, out: &mut Readings) {
        if let Some((before, since)) = &self.before {
            between(before, &now, at.saturating_duration_since(*since).as_secs_f64(), out);
        }
        self.before = Some((now, at));
    }
}

fn between(before: &Snapshot, now: &Snapshot, seconds: f64, out: &mut Readings) {
    cpus(&before.cpus, &now.cpus, out);
    if seconds <= 0.0 {
        return;
    }
    disks(&before.disks, &now.disks, seconds, out);
    nets(&before.nets, &now.nets, seconds, out);
    for (name, stall, earlier) in both(&before.stalls, &now.stalls) {
        if let Some(micros) = rise(*earlier, *stall) {
            out.put(format!("pressure.{name}.stall"), "%", micros / seconds / 10_000.0);
        }
    }
    for (name, count, earlier) in both(&before.counters, &now.counters) {
        per_second(out, (*name).to_owned(), "1/s", (*earlier, *count, seconds));
    }
}

/// What both looks have.
fn both<'a, K: Ord, V>(
    before: &'a BTreeMap<K, V>,
    now: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = (&'a K, &'a V, &'a V)> {
    now.iter().filter_map(|(name, value)| Some((name, value, before.get(name)?)))
}

fn rise(before: u64, now: u64) -> Option<f64> {
    now.checked_sub(before).map(float)
}

fn per_second(out: &mut Readings, name: String, unit: &'static str, (before, now, seconds): (u64, u64, f64)) {
    if let Some(count) = rise(before, now) {
        out.put(name, unit, count / seconds);
    }
}

fn cpus(before: &BTreeMap<String, Vec<u64>>, now: &BTreeMap<String, Vec<u64>>, out: &mut Readings) {
    // `guest` and `guest_nice`, the last two, are contained in `user` and `nice`.
    const MODES: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];
    for (cpu, now, before) in both(before, now) {
        let rises: Vec<(&str, f64)> = MODES
            .into_iter()
            .zip(before.iter().zip(now))
            // The kernel lets `idle` and `iowait` fall a little now and then: that is no time at all.
            .map(|(mode, (before, now))| (mode, rise(*before, *now).unwrap_or(0.0)))
            .collect();
        let total: f64 = rises.iter().map(|(_, ticks)| ticks).sum();
        if total <= 0.0 {
            continue;
        }
        let mut busy = 0.0;
        for (mode, ticks) in rises {
            let share = ticks / total * 100.0;
            if !matches!(mode, "idle" | "iowait") {
                busy += share;
            }
            if cpu == "cpu" {
                out.put(format!("cpu.{mode}"), "%", share);
            }
        }
        out.put(format!("{cpu}.busy"), "%", busy);
    }
}

fn disks(before: &BTreeMap<String, [u64; 5]>, now: &BTreeMap<String, [u64; 5]>, seconds: f64, out: &mut Readings) {
    for (disk, now, before) in both(before, now) {
        let [reads, sectors_read, writes, sectors_written, busy] = *now;
        let [reads_0, sectors_read_0, writes_0, sectors_written_0, busy_0] = *before;
        per_second(out, format!("disk.{disk}.reads"), "1/s", (reads_0, reads, seconds));
        per_second(out, format!("disk.{disk}.writes"), "1/s", (writes_0, writes, seconds));
        for (what, before, now) in
            [("read", sectors_read_0, sectors_read), ("write", sectors_written_0, sectors_written)]
        {
            if let Some(sectors) = rise(before, now) {
                out.put(format!("disk.{disk}.{what}"), "B/s", sectors * SECTOR_BYTES / seconds);
            }
        }
        if let Some(ms) = rise(busy_0, busy) {
            out.put(format!("disk.{disk}.util"), "%", (ms / seconds / 10.0).min(100.0));
        }
    }
}

fn nets(before: &BTreeMap<String, [u64; 6]>, now: &BTreeMap<String, [u64; 6]>, seconds: f64, out: &mut Readings) {
    const NAMES: [(&str, &str); 6] = [
        ("rx", "B/s"),
        ("rx_packets", "1/s"),
        ("rx_errors", "1/s"),
        ("tx", "B/s"),
        ("tx_packets", "1/s"),
        ("tx_errors", "1/s"),
    ];
    for (interface, now, before) in both(before, now) {
        for ((name, unit), (before, now)) in NAMES.into_iter().zip(before.iter().zip(now)) {
            per_second(out, format!("net.{interface}.{name}"), unit, (*before, *now, seconds));
        }
    }
}
