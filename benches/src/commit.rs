//! Calls of fsync that a record of the journal costs, counted by `strace`.

use std::process::Command;

use serde_json::json;

use crate::child::said;
use crate::{Bench, Found, workload};

pub(crate) fn measure(bench: &Bench) -> Result<Found, String> {
    if !Command::new("strace").arg("-V").output().is_ok_and(|answer| answer.status.success()) {
        return Ok(Found {
            figures: json!({"skipped": "no strace"}),
            told: "strace is not installed: not counted".into(),
        });
    }
    let file = workload::json_lines(&bench.data, bench.size.pick(20_000, 1_000_000), 1_000)?;
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let (config, trace) = (folder.path().join("hb.yaml"), folder.path().join("trace"));
    let text = format!(
        "source: file\npath: {}\ninterval_sec: {}\noutput_dir: {out}\ndb_path: {out}/runs.db\nlisten: none\nalert_sinks: [file]\n",
        file.display(),
        bench.size.pick(0.5, 2.0),
        out = folder.path().join("out").display()
    );
    std::fs::write(&config, text).map_err(|error| error.to_string())?;
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-e", "trace=fsync,fdatasync,sync_file_range,syncfs,sync", "-o"]).arg(&trace);
    said(strace.arg(&bench.hb).args(["daemon", "--once", "--config"]).arg(&config))?;
    let calls = std::fs::read_to_string(&trace).map_err(|error| error.to_string())?;
    let begun = |line: &&str| line.contains("sync(") && !line.contains("resumed");
    let stream = "/journal/watch/default";
    let journal = count(calls.lines().filter(begun).filter(|line| line.contains(stream)).count());
    let all = count(calls.lines().filter(begun).count());
    let records = std::fs::read_dir(folder.path().join("out/journal/watch/default"))
        .map_err(|error| error.to_string())?
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|ending| ending == "rec"))
        .count();
    if records == 0 {
        return Err("nothing was recorded".into());
    }
    let per_record = journal / count(records);
    Ok(Found {
        figures: json!({"records": records, "journal_fsyncs_per_record": per_record, "all_fsyncs": all}),
        told: format!(
            "{records} records, {per_record:.2} calls of fsync each; with all views {all:.0} calls in the run"
        ),
    })
}

fn count(of: usize) -> f64 {
    u32::try_from(of).map_or(f64::NAN, f64::from)
}
