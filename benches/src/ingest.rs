//! Lines a second, end to end: `hb daemon --once` on a file of 1,000 series in 10 s cycles, on one processor, beside Polars on the same
//! file with one thread.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::child::{Cost, cost, median, pinned};
use crate::{Bench, Found, workload};

/// Our own few lines of Polars.
const PEER: &str = include_str!("../peers/polars_ndjson.py");

pub(crate) fn measure(bench: &Bench) -> Result<Found, String> {
    let sizes: &[u64] = bench.size.pick(&[20_000], &[1_000_000, 10_000_000]);
    let mut figures = Vec::new();
    let mut told = Vec::new();
    for lines in sizes {
        let (figure, line) = one(bench, *lines)?;
        figures.push(figure);
        told.push(line);
    }
    Ok(Found { figures: Value::Array(figures), told: told.join("\n        ") })
}

fn one(bench: &Bench, lines: u64) -> Result<(Value, String), String> {
    let file = workload::json_lines(&bench.data, lines, 1_000)?;
    let mut ours = Vec::new();
    let mut theirs = Vec::new();
    for _ in 0..bench.size.pick(1, 3) {
        ours.push(hb(bench, &file, lines)?);
        theirs.push(peer(&file, lines));
    }
    let ours = rates(&ours, lines);
    let mut figure = json!({"lines": lines, "hb_per_cpu_second": ours.0.round(), "hb_per_second": ours.1.round()});
    let mut line =
        format!("{lines} lines: {:.0} lines a processor second ({:.0} a second on the clock)", ours.0, ours.1);
    match theirs.into_iter().collect::<Result<Vec<Cost>, String>>() {
        Ok(theirs) => {
            let theirs = rates(&theirs, lines);
            let ratio = ours.0 / theirs.0;
            if let Value::Object(map) = &mut figure {
                map.insert("polars_per_cpu_second".into(), json!(theirs.0.round()));
                map.insert("ratio".into(), json!((ratio * 100.0).round() / 100.0));
            }
            line.push_str(&format!("; Polars on one thread {:.0}: {ratio:.2} x", theirs.0));
        }
        Err(why) => line.push_str(&format!("; no peer beside it: {why}")),
    }
    Ok((figure, line))
}

fn rates(costs: &[Cost], lines: u64) -> (f64, f64) {
    let lines = u32::try_from(lines).map_or(f64::NAN, f64::from);
    let cpu: Vec<f64> = costs.iter().map(|cost| cost.cpu).collect();
    let wall: Vec<f64> = costs.iter().map(|cost| cost.wall).collect();
    (lines / median(&cpu).max(0.01), lines / median(&wall))
}

fn hb(bench: &Bench, file: &Path, lines: u64) -> Result<Cost, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let config = folder.path().join("hb.yaml");
    let text = format!(
        "source: file\npath: {}\ninterval_sec: 10\noutput_dir: {out}\ndb_path: {out}/runs.db\nlisten: none\nalert_sinks: [file]\n",
        file.display(),
        out = folder.path().join("out").display()
    );
    std::fs::write(&config, text).map_err(|error| error.to_string())?;
    let (spent, _) = cost(pinned(&bench.hb).args(["daemon", "--once", "--config"]).arg(&config))?;
    all_are_counted(bench, &config, lines)?;
    Ok(spent)
}

/// A fast run that lost a line is no run: the cycles' own counts must add up to the file.
fn all_are_counted(bench: &Bench, config: &Path, lines: u64) -> Result<(), String> {
    let (_, list) = cost(Command::new(&bench.hb).args(["checkpoint", "list", "--json", "--config"]).arg(config))?;
    let mut counted = 0;
    for line in list.lines() {
        let cycle: Value = serde_json::from_str(line).map_err(|error| format!("checkpoint list: {error}"))?;
        counted += ["samples", "late", "dropped"].iter().filter_map(|key| cycle.get(*key)?.as_u64()).sum::<u64>();
    }
    if counted == lines { Ok(()) } else { Err(format!("{counted} of {lines} lines are counted in cycles")) }
}

fn peer(file: &Path, lines: u64) -> Result<Cost, String> {
    let python = std::env::var("HB_BENCH_PYTHON").unwrap_or_else(|_| "python3".into());
    let mut command = pinned(Path::new(&python));
    command.args(["-c", PEER]).arg(file).env("POLARS_MAX_THREADS", "1");
    let (mut spent, said) = cost(&mut command)
        .map_err(|_| "not installed: pip install polars, or name a python that has it in HB_BENCH_PYTHON".to_owned())?;
    let said: Value = serde_json::from_str(said.trim()).map_err(|error| format!("the peer said {said:?}: {error}"))?;
    if said.get("lines").and_then(Value::as_u64) != Some(lines) {
        return Err(format!("the peer counted otherwise: {said}"));
    }
    // Its own account, without the start of the interpreter and the loading of its library.
    let figure = |key: &str| said.get(key).and_then(Value::as_f64);
    if let (Some(cpu), Some(wall)) = (figure("cpu"), figure("wall")) {
        spent = Cost { cpu, wall };
    }
    Ok(spent)
}
