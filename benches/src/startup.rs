//! From the start of the process to its first record, and to the first cycle that it has read, decided and made durable: a bound from
//! above for its first reading.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::child::{Kept, median, until, worst};
use crate::{Bench, Found, web};

const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn measure(bench: &Bench) -> Result<Found, String> {
    let rounds = bench.size.pick(2, 20);
    let (mut records, mut readings) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (record, reading) = once(bench)?;
        records.push(record * 1e3);
        readings.push(reading * 1e3);
    }
    Ok(Found {
        figures: json!({
            "starts": rounds,
            "first_record_median_ms": median(&records),
            "first_record_worst_ms": worst(&records),
            "first_cycle_median_ms": median(&readings),
            "first_cycle_worst_ms": worst(&readings),
        }),
        told: format!(
            "{rounds} starts in an empty folder: first record after {:.1} ms (worst {:.1}), first cycle read, decided and durable after {:.1} ms (worst {:.1})",
            median(&records),
            worst(&records),
            median(&readings),
            worst(&readings)
        ),
    })
}

fn once(bench: &Bench) -> Result<(f64, f64), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let lines = folder.path().join("telemetry.jsonl");
    // The second reading is a cycle later, so that the first cycle is decided as soon as both have been read.
    let readings =
        "{\"ts\":1700000000,\"metric\":\"a\",\"value\":1}\n{\"ts\":1700000019,\"metric\":\"a\",\"value\":1}\n";
    std::fs::write(&lines, readings).map_err(|error| error.to_string())?;
    let config = folder.path().join("hb.yaml");
    let address = web::free_port()?;
    let text = format!(
        "source: file\npath: {}\nname: w\ninterval_sec: 10\noutput_dir: {out}\ndb_path: {out}/runs.db\nlisten: {address}\nalert_sinks: [file]\n",
        lines.display(),
        out = folder.path().join("out").display()
    );
    std::fs::write(&config, text).map_err(|error| error.to_string())?;
    let stream = folder.path().join("out/journal/watch/w");
    let (epoch, cycle) = (stream.join("00000000000000000000.rec"), stream.join("00000000000000000001.rec"));
    let begun = Instant::now();
    let mut command = Command::new(&bench.hb);
    let process = Kept::start(command.args(["daemon", "--config"]).arg(&config), &folder.path().join("log"))?;
    let (mut record, mut reading) = (None, None);
    until("a first record and cycle", PATIENCE, || {
        let now = || begun.elapsed().as_secs_f64();
        if record.is_none() && epoch.is_file() {
            record = Some(now());
        }
        if reading.is_none() && cycle.is_file() {
            reading = Some(now());
        }
        record.zip(reading)
    })
    .inspect(|_| drop(process))
}
