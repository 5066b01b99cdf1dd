//! Looks: at the nodes' processes, at what they say, at the folder, and at the machine itself.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

use super::wire::{ask, figure};

/// Figures of a look, by name.
pub(crate) type Figures = Vec<(String, f64)>;
/// Bytes of a megabyte.
const MB: f64 = 1_048_576.0;
/// Files that a folder may have before counting them is given up: the run would have failed by then.
const FILES_MAX: u32 = 1_000_000;

/// Counters of one process, as they were at the look before: sum and number of a histogram.
#[derive(Debug, Default)]
pub(crate) struct Before(BTreeMap<&'static str, (f64, f64)>);

/// Histograms of `/metrics` whose mean between two looks is told.
const MEANS: [(&str, &str); 2] =
    [("commit_ms", "hb_commit_latency_seconds"), ("supervisor_commit_ms", "hb_supervisor_commit_latency_seconds")];

/// What the kernel knows of a process; nothing where it has ended.
pub(crate) fn process(pid: u32) -> Option<Figures> {
    let folder = format!("/proc/{pid}");
    let status = fs::read_to_string(format!("{folder}/status")).ok()?;
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse::<f64>().ok()
    };
    let descriptors = fs::read_dir(format!("{folder}/fd")).ok()?.count();
    Some(vec![
        ("rss_mb".into(), of("VmRSS")? / 1_024.0),
        ("anon_mb".into(), of("RssAnon")? / 1_024.0),
        ("threads".into(), of("Threads")?),
        ("descriptors".into(), f64::from(u32::try_from(descriptors).ok()?)),
    ])
}

/// What a node says, and how long it takes to.
pub(crate) fn node(address: SocketAddr, before: &mut Before) -> Figures {
    let mut figures = Figures::new();
    let begun = Instant::now();
    if ask(address, "GET", "/api/v1/agents", "").is_ok_and(|answer| answer.status == 200) {
        figures.push(("api_ms".into(), milliseconds(begun)));
    }
    let Ok(answer) = ask(address, "GET", "/metrics", "") else { return figures };
    let metrics = answer.body;
    if let Some(active) = figure(&metrics, "hb_role{role=\"active\"}") {
        figures.push(("active".into(), active));
    }
    for (name, histogram) in MEANS {
        let of = |what: &str| figure(&metrics, &format!("{histogram}_{what}")).unwrap_or(0.0);
        let (sum, count) = (of("sum"), of("count"));
        let (old_sum, old_count) = before.0.insert(name, (sum, count)).unwrap_or_default();
        if count > old_count && sum >= old_sum {
            figures.push((name.into(), (sum - old_sum) / (count - old_count) * 1_000.0));
        }
    }
    figures
}

/// What lies in the folder of the pair.
pub(crate) fn folder(out: &Path, stream: &Path) -> Figures {
    let mut sizes: BTreeMap<String, f64> = BTreeMap::new();
    for entry in fs::read_dir(out).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        // With a database go its log and its index, with a file those before it.
        let part = [".db", "alerts"].iter().find_map(|part| {
            let at = name.find(part)? + part.len();
            name.get(..at).map(str::to_owned)
        });
        let mut left = FILES_MAX;
        *sizes.entry(part.unwrap_or(name)).or_default() += size(&entry.path(), &mut left);
    }
    let records = fs::read_dir(stream).into_iter().flatten().flatten();
    let records = records.filter(|entry| entry.path().extension().is_some_and(|end| end == "rec")).count();
    let mut figures: Figures = sizes
        .into_iter()
        .filter(|(_, size)| *size > 0.01)
        .map(|(part, size)| (format!("disk.{part}_mb"), size))
        .collect();
    figures.push(("records".into(), u32::try_from(records).map_or(f64::MAX, f64::from)));
    figures
}

/// Megabytes of a file, or of everything in a folder. What goes meanwhile does not count.
fn size(path: &Path, left: &mut u32) -> f64 {
    let Ok(about) = path.symlink_metadata() else { return 0.0 };
    *left = left.saturating_sub(1);
    if !about.is_dir() || *left == 0 {
        return if about.is_file() { f64::from(u32::try_from(about.len()).unwrap_or(u32::MAX)) / MB } else { 0.0 };
    }
    fs::read_dir(path).into_iter().flatten().flatten().map(|entry| size(&entry.path(), left)).sum()
}

/// The machine itself: how long it takes to make 4 kB durable in that folder, and its load.
pub(crate) fn machine(folder: &Path) -> Figures {
    let mut figures = Figures::new();
    let begun = Instant::now();
    let written = File::create(folder.join("control")).and_then(|mut file| {
        file.write_all(&[7; 4_096])?;
        file.sync_all()
    });
    if written.is_ok() {
        figures.push((super::judge::CONTROL.into(), milliseconds(begun)));
    }
    let load = fs::read_to_string("/proc/loadavg").ok();
    if let Some(load) = load.and_then(|text| text.split(' ').next()?.parse().ok()) {
        figures.push(("machine.load".into(), load));
    }
    figures
}

/// Since then.
pub(crate) fn milliseconds(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_threads_and_descriptors() {
        let figures: BTreeMap<String, f64> = process(std::process::id()).unwrap().into_iter().collect();
        assert!(figures["rss_mb"] > 0.5 && figures["rss_mb"] >= figures["anon_mb"], "{figures:?}");
        assert!(figures["threads"] >= 1.0 && figures["descriptors"] >= 3.0, "{figures:?}");
        assert_eq!(process(u32::MAX), None);
    }

    #[test]
    fn a_folder_is_told_by_its_parts() {
        let out = std::env::temp_dir().join(format!("hb-soak-folder-{}", std::process::id()));
        let stream = out.join("journal/watch/plant");
        fs::create_dir_all(&stream).unwrap();
        fs::write(stream.join("1.rec"), vec![0; 524_288]).unwrap();
        fs::write(stream.join(".half"), vec![0; 524_288]).unwrap();
        for (name, size) in [
            ("runs.db", 1_048_576),
            ("runs.db-wal", 1_048_576),
            ("alerts.jsonl", 1_048_576),
            ("alerts.jsonl.1", 1_048_576),
        ] {
            fs::write(out.join(name), vec![0; size]).unwrap();
        }
        let figures: BTreeMap<String, f64> = folder(&out, &stream).into_iter().collect();
        let told = [("disk.journal_mb", 1.0), ("disk.runs.db_mb", 2.0), ("disk.alerts_mb", 2.0), ("records", 1.0)];
        for (name, value) in told {
            assert!((figures[name] - value).abs() < 1e-9, "{figures:?}");
        }
        assert_eq!(figures.len(), 4, "{figures:?}");
        fs::remove_dir_all(out).unwrap();
    }
}
