//! The kernel's files, read leniently: a line of another form is passed over, a file that is missing gives nothing.
//!
//! Formats: `proc(5)`, and `Documentation/accounting/psi.rst` and `Documentation/admin-guide/iostats.rst` of the kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use super::{Cpus, Readings, slurp};

/// Most devices, interfaces or mounts of one kind.
const KIND_MAX: usize = 256;

/// Counters that only ever grow, and levels, at one moment.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    /// CPU time by mode, in ticks: `cpu` for all, `cpu0` … for each.
    pub(crate) cpus: BTreeMap<String, Vec<u64>>,
    /// Per disk: reads, sectors read, writes, sectors written, milliseconds busy.
    pub(crate) disks: BTreeMap<String, [u64; 5]>,
    /// Per interface: bytes, packets, errors and drops received; the same sent.
    pub(crate) nets: BTreeMap<String, [u64; 6]>,
    /// Pressure stall time, in microseconds, by `cpu.some` …
    pub(crate) stalls: BTreeMap<String, u64>,
    /// Other counters by series name.
    pub(crate) counters: BTreeMap<&'static str, u64>,
    levels: Readings,
}

impl Snapshot {
    /// Hands the levels over.
    pub(crate) fn levels(&self, out: &mut Readings) {
        out.list.extend(self.levels.list.iter().cloned());
    }
}

/// Reads everything but filesystems.
///
/// # Errors
/// When `stat`, which every kernel has, cannot be read.
pub(crate) fn read(root: &Path, cpus: Cpus) -> io::Result<Snapshot> {
    let mut snapshot = Snapshot::default();
    stat(&slurp(root, "stat")?, cpus, &mut snapshot);
    let optional = |name: &str| slurp(root, name).unwrap_or_default();
    load(&optional("loadavg"), &mut snapshot.levels);
    memory(&optional("meminfo"), &mut snapshot.levels);
    disks(&optional("diskstats"), &mut snapshot);
    // Interfaces as this process's network namespace has them.
    nets(&optional("net/dev"), &mut snapshot);
    for resource in ["cpu", "io", "memory"] {
        pressure(resource, &optional(&format!("pressure/{resource}")), &mut snapshot);
    }
    Ok(snapshot)
}

fn numbers<'a>(fields: impl Iterator<Item = &'a str>) -> Option<Vec<u64>> {
    fields.map(|field| field.parse().ok()).collect()
}

fn stat(text: &str, cpus: Cpus, snapshot: &mut Snapshot) {
    for line in text.lines() {
        let mut fields = line.split_ascii_whitespace();
        let Some(key) = fields.next() else { continue };
        let first = || line.split_ascii_whitespace().nth(1).and_then(|field| field.parse::<u64>().ok());
        match key {
            "cpu" => insert(&mut snapshot.cpus, key, numbers(fields)),
            "ctxt" => put_counter(snapshot, "procs.context_switches", first()),
            "processes" => put_counter(snapshot, "procs.forks", first()),
            "procs_running" => level(&mut snapshot.levels, "procs.running", first()),
            "procs_blocked" => level(&mut snapshot.levels, "procs.blocked", first()),
            _ if cpus == Cpus::Each && key.starts_with("cpu") => insert(&mut snapshot.cpus, key, numbers(fields)),
            _ => {}
        }
    }
}

fn insert<V>(map: &mut BTreeMap<String, V>, key: &str, value: Option<V>) {
    if let Some(value) = value.filter(|_| map.len() < KIND_MAX) {
        map.insert(key.to_owned(), value);
    }
}

fn put_counter(snapshot: &mut Snapshot, name: &'static str, value: Option<u64>) {
    if let Some(value) = value {
        snapshot.counters.insert(name, value);
    }
}

fn level(levels: &mut Readings, name: &str, value: Option<u64>) {
    if let Some(value) = value {
        levels.put(name, "", float(value));
    }
}

fn load(text: &str, levels: &mut Readings) {
    for (name, field) in ["load.1m", "load.5m", "load.15m"].into_iter().zip(text.split_ascii_whitespace()) {
        if let Some(value) = finite(field) {
            levels.put(name, "", value);
        }
    }
}

fn memory(text: &str, levels: &mut Readings) {
    let found: BTreeMap<&str, f64> = text
        .lines()
        .filter_map(|line| {
            let (key, rest) = line.split_once(':')?;
            // The kernel's kB are 1024 bytes.
            let value: u64 = rest.split_ascii_whitespace().next()?.parse().ok()?;
            Some((key, float(value) * 1024.0))
        })
        .collect();
    let get = |key: &str| found.get(key).copied();
    let names = [
        ("mem.available", "MemAvailable"),
        ("mem.free", "MemFree"),
        ("mem.cached", "Cached"),
        ("mem.dirty", "Dirty"),
        ("mem.writeback", "Writeback"),
        ("mem.slab", "Slab"),
    ];
    for (name, key) in names {
        if let Some(value) = get(key) {
            levels.put(name, "B", value);
        }
    }
    if let (Some(total), Some(available)) = (get("MemTotal"), get("MemAvailable")) {
        levels.put("mem.used", "B", (total - available).max(0.0));
        if total > 0.0 {
            levels.put("mem.used_share", "%", (total - available).max(0.0) / total * 100.0);
        }
    }
    if let (Some(total), Some(free)) = (get("SwapTotal"), get("SwapFree")) {
        levels.put("swap.used", "B", (total - free).max(0.0));
    }
}

fn disks(text: &str, snapshot: &mut Snapshot) {
    let rows: Vec<(&str, [u64; 5])> = text
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_ascii_whitespace().skip(2);
            let name = fields.next()?;
            let [reads, _, sectors_read, _, writes, _, sectors_written, _, _, busy, ..] = numbers(fields)?[..] else {
                return None;
            };
            Some((name, [reads, sectors_read, writes, sectors_written, busy]))
        })
        .filter(|(name, _)| !["loop", "ram", "zram", "fd", "sr"].iter().any(|kind| name.starts_with(kind)))
        .collect();
    let names: BTreeSet<&str> = rows.iter().map(|(name, _)| *name).collect();
    for (name, counters) in rows {
        if !is_partition(name, &names) {
            insert(&mut snapshot.disks, name, Some(counters));
        }
    }
}

/// `sda1` beside `sda`, `nvme0n1p1` beside `nvme0n1`.
fn is_partition(name: &str, names: &BTreeSet<&str>) -> bool {
    let disk = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let before_p = disk.strip_suffix('p').filter(|disk| disk.ends_with(|c: char| c.is_ascii_digit()));
    disk.len() < name.len() && (names.contains(disk) || before_p.is_some_and(|disk| names.contains(disk)))
}

fn nets(text: &str, snapshot: &mut Snapshot) {
    for line in text.lines() {
        let Some((name, rest)) = line.split_once(':') else { continue };
        let name = name.trim();
        let Some(fields) = numbers(rest.split_ascii_whitespace()) else { continue };
        let [rx, rx_packets, rx_errors, rx_drops, _, _, _, _, tx, tx_packets, tx_errors, tx_drops, ..] = fields[..]
        else {
            continue;
        };
        if name != "lo" {
            let faults = [rx_errors.saturating_add(rx_drops), tx_errors.saturating_add(tx_drops)];
            insert(&mut snapshot.nets, name, Some([rx, rx_packets, faults[0], tx, tx_packets, faults[1]]));
        }
    }
}

fn pressure(resource: &str, text: &str, snapshot: &mut Snapshot) {
    for line in text.lines() {
        let mut fields = line.split_ascii_whitespace();
        let Some(kind @ ("some" | "full")) = fields.next() else { continue };
        for field in fields {
            match field.split_once('=') {
                Some(("avg10", value)) => {
                    if let Some(value) = finite(value) {
                        snapshot.levels.put(format!("pressure.{resource}.{kind}"), "%", value);
                    }
                }
                Some(("total", value)) => {
                    insert(&mut snapshot.stalls, &format!("{resource}.{kind}"), value.parse().ok());
                }
                Some(_) | None => {}
            }
        }
    }
}

/// Usage of the filesystems on block devices, each once.
pub(crate) fn filesystems(root: &Path, out: &mut Readings) {
    const KINDS: [&str; 8] = ["ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "overlay"];
    let text = slurp(root, "self/mounts").unwrap_or_default();
    let mut seen = BTreeSet::new();
    for line in text.lines() {
        let mut fields = line.split_ascii_whitespace();
        let (Some(device), Some(point), Some(kind)) = (fields.next(), fields.next(), fields.next()) else { continue };
        // Bind mounts show one device in many places: the first is enough.
        let wanted = KINDS.contains(&kind) && (kind != "overlay" || point == "/");
        if !wanted || seen.len() >= KIND_MAX || !seen.insert(device) {
            continue;
        }
        let point = unescape(point);
        let Ok(usage) = nix::sys::statvfs::statvfs(point.as_str()) else { continue };
        let (total, free, available) =
            (float(usage.blocks()), float(usage.blocks_free()), float(usage.blocks_available()));
        let used = total - free;
        if used + available > 0.0 {
            out.put(format!("fs.{point}.used"), "%", used / (used + available) * 100.0);
        }
        let (files, files_free) = (float(usage.files()), float(usage.files_free()));
        if files > 0.0 {
            out.put(format!("fs.{point}.inodes_used"), "%", (files - files_free) / files * 100.0);
        }
    }
}

/// Mount points have blanks and the like as `\040`.
fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut parts = text.split('\\');
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let code = part.get(..3).and_then(|code| u8::from_str_radix(code, 8).ok()).filter(u8::is_ascii);
        match code {
            Some(code) => {
                out.push(char::from(code));
                out.push_str(part.get(3..).unwrap_or_default());
            }
            None => {
                out.push('\\');
                out.push_str(part);
            }
        }
    }
    out
}

fn finite(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|value| value.is_finite())
}

#[expect(clippy::cast_precision_loss, reason = "counters beyond 2^53 lose nothing that matters")]
pub(crate) fn float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop_assert, proptest};

    #[test]
    fn partitions_are_told_from_disks() {
        let names = BTreeSet::from(["sda", "sda1", "nvme0n1", "nvme0n1p2", "dm-0", "md127", "vda"]);
        let disks: Vec<_> = names.iter().filter(|name| !is_partition(name, &names)).copied().collect();
        assert_eq!(disks, ["dm-0", "md127", "nvme0n1", "sda", "vda"]);
    }

    #[test]
    fn mount_points_are_unescaped() {
        assert_eq!(unescape(r"/a\040b\134c\q"), r"/a b\c\q");
    }

    proptest! {
        #[test]
        fn no_file_of_the_kernel_panics(text in "(\\PC{0,40}\n|cpu[0-9]? [0-9 ]{0,60}\n|some avg10=[0-9.]{0,5} total=[0-9]{0,22}\n){0,8}") {
            let mut snapshot = Snapshot::default();
            stat(&text, Cpus::Each, &mut snapshot);
            load(&text, &mut snapshot.levels);
            memory(&text, &mut snapshot.levels);
            disks(&text, &mut snapshot);
            nets(&text, &mut snapshot);
            pressure("io", &text, &mut snapshot);
            prop_assert!(snapshot.levels.list.iter().all(|(_, _, value)| value.is_finite()));
        }
    }
}
