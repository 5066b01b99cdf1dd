//! Lines a second, end to end: `hb daemon --once` on a file of 1,000 series in 10 s cycles, on one processor, beside Polars on the same
//! file with one thread.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::child::{Cost, cost, pinned, said};
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
    let runs = if lines > 1_000_000 { 3 } else { bench.size.pick(1, 20) };
    let ours = hb(bench, &file, lines, runs)?;
    let count = u32::try_from(lines).map_or(f64::NAN, f64::from);
    let rate = |cost: Cost| [count / cost.cpu, count / cost.wall];
    let [by_cpu, by_wall] = rate(ours);
    let mut figure = json!({"lines": lines, "hb_per_cpu_second": by_cpu.round(), "hb_per_second": by_wall.round()});
    let mut line = format!("{lines} lines: {by_cpu:.0} lines a processor second ({by_wall:.0} a second on the clock)");
    match peer(&file, lines) {
        Ok(queries) => {
            let queries = queries.into_iter().map(|(name, cost)| (name, rate(cost)[0]));
            for (name, theirs) in queries {
                let ratio = by_cpu / theirs;
                if let Value::Object(map) = &mut figure {
                    map.insert(format!("polars_{name}_per_cpu_second"), json!(theirs.round()));
                    map.insert(format!("polars_{name}_ratio"), json!((ratio * 100.0).round() / 100.0));
                }
                line.push_str(&format!("; Polars, {name} groups, one thread {theirs:.0}: {ratio:.2} x"));
            }
        }
        Err(why) => line.push_str(&format!("; no peer beside it: {why}")),
    }
    Ok((figure, line))
}

fn hb(bench: &Bench, file: &Path, lines: u64, runs: usize) -> Result<Cost, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut configs = Vec::new();
    for run in 0..runs {
        let config = folder.path().join(format!("{run}.yaml"));
        let text = format!(
            "source: file\npath: {}\ninterval_sec: 10\noutput_dir: {out}\ndb_path: {out}/runs.db\nlisten: none\nalert_sinks: [file]\n",
            file.display(),
            out = folder.path().join(run.to_string()).display()
        );
        std::fs::write(&config, text).map_err(|error| error.to_string())?;
        configs.push(config);
    }
    let command = |config: &PathBuf| {
        let mut command = pinned(&bench.hb);
        command.args(["daemon", "--once", "--config"]).arg(config);
        command
    };
    let mut commands: Vec<Command> = configs.iter().map(command).collect();
    let spent = cost(&mut commands)?;
    configs.iter().try_for_each(|config| all_are_counted(bench, config, lines))?;
    Ok(spent)
}

/// A fast run that lost a line is no run: the cycles' own counts must add up to the file.
fn all_are_counted(bench: &Bench, config: &Path, lines: u64) -> Result<(), String> {
    let list = said(Command::new(&bench.hb).args(["checkpoint", "list", "--json", "--config"]).arg(config))?;
    let mut counted = 0;
    for line in list.lines() {
        let cycle: Value = serde_json::from_str(line).map_err(|error| format!("checkpoint list: {error}"))?;
        counted += ["samples", "late", "dropped"].iter().filter_map(|key| cycle.get(*key)?.as_u64()).sum::<u64>();
    }
    if counted == lines { Ok(()) } else { Err(format!("{counted} of {lines} lines are counted in cycles")) }
}

/// What the peer's queries cost by its own account: without the start of the interpreter and the loading of its library.
fn peer(file: &Path, lines: u64) -> Result<Vec<(String, Cost)>, String> {
    let python = std::env::var("HB_BENCH_PYTHON").unwrap_or_else(|_| "python3".into());
    let mut command = pinned(Path::new(&python));
    command.args(["-c", PEER]).arg(file).env("POLARS_MAX_THREADS", "1");
    let told = said(&mut command)
        .map_err(|_| "not installed: pip install polars, or name a python that has it in HB_BENCH_PYTHON".to_owned())?;
    told.lines().map(|line| query(line, lines)).collect()
}

fn query(line: &str, lines: u64) -> Result<(String, Cost), String> {
    let told: Value = serde_json::from_str(line).map_err(|error| format!("the peer said {line:?}: {error}"))?;
    let figure = |key: &str| told.get(key).and_then(Value::as_f64);
    match (told.get("groups").and_then(Value::as_str), figure("cpu"), figure("wall")) {
        (Some(groups), Some(cpu), Some(wall)) if told.get("lines").and_then(Value::as_u64) == Some(lines) => {
            Ok((groups.to_owned(), Cost { cpu, wall }))
        }
        _ => Err(format!("the peer counted otherwise: {line}")),
    }
}
