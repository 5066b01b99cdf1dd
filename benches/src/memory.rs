//! Resident memory at its highest, as the kernel counts it: with very many series, and with nothing much to do.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::child::{Kept, until};
use crate::{Bench, Found, web, workload};

/// Very many series: learned, with a baseline in force, and decided against it; once as they would come from a plant, a cycle every
/// two seconds; once as fast as the file can be read; and once started again where that was killed, with more in the file.
pub(crate) fn series(bench: &Bench) -> Result<Found, String> {
    let count: usize = bench.size.pick(1_000, 100_000);
    let cycles: u64 = bench.size.pick(6, 14);
    let more: u64 = bench.size.pick(4, 8);
    let learn = bench.size.pick(3, 10);
    let interval = bench.size.pick(0.2, 20.0);
    let per_cycle = u64::try_from(count).unwrap_or(0) * 2;
    let whole = workload::json_lines(&bench.data, per_cycle * (cycles + more), count)?;
    let place = Place::new()?;
    let begun = place.folder.path().join("telemetry.jsonl");
    let mut rest = workload::begin_with(&whole, &begun, per_cycle * cycles)?;
    let text = |source: &str| {
        let path = begun.display();
        format!("{source}\npath: {path}\ninterval_sec: {interval}\nlearn: {{cycles: {learn}, samples_min: 1}}\n")
    };
    let paced = one(bench, &Place::new()?, &text("source: replay\nspeed: 10"), cycles)?;
    let flat_out = one(bench, &place, &text("source: file"), cycles)?;
    rest.append_to(&begun)?;
    let again = one(bench, &place, &text("source: file"), cycles + more)?;
    let told =
        |run: &Run| format!("{:.0} MB at the highest, {:.0} MB at the end (newest {})", run.peak, run.now, run.status);
    Ok(Found {
        figures: json!({
            "series": count, "cycles": cycles, "peak_mb": paced.peak, "now_mb": paced.now, "status": paced.status,
            "flat_out_peak_mb": flat_out.peak, "flat_out_now_mb": flat_out.now,
            "again_peak_mb": again.peak, "again_now_mb": again.now, "again_cycles": more,
        }),
        told: format!(
            "{count} series, {cycles} cycles: {}; read flat out {}; killed and started again, {more} cycles more: {}",
            told(&paced),
            told(&flat_out),
            told(&again)
        ),
    })
}

/// Where one daemon, or one after the other, keeps what it makes.
#[derive(Debug)]
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Result<Self, String> {
        tempfile::tempdir().map(|folder| Self { folder }).map_err(|error| error.to_string())
    }
}

#[derive(Debug)]
struct Run {
    peak: f64,
    now: f64,
    status: String,
}

/// Runs a daemon until all cycles but the last are decided, and kills it.
fn one(bench: &Bench, place: &Place, text: &str, cycles: u64) -> Result<Run, String> {
    let address = web::free_port()?;
    let process = start(bench, place.folder.path(), address, text)?;
    until("all cycles but the last", Duration::from_secs(600), || {
        let status = web::get(address, "/v1/status")?;
        (status.pointer("/watches/0/cycle")?.as_u64()? + 2 >= cycles).then_some(())
    })?;
    // The views of the last cycles are made beside.
    std::thread::sleep(Duration::from_secs(bench.size.pick(0, 5)));
    let status = web::get(address, "/v1/status").unwrap_or_default();
    let status = status.pointer("/watches/0/status").and_then(Value::as_str).unwrap_or("?").to_owned();
    Ok(Run { peak: megabytes(&process, "VmHWM")?, now: megabytes(&process, "VmRSS")?, status })
}

/// This machine's own telemetry, every ten seconds.
pub(crate) fn idle(bench: &Bench) -> Result<Found, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let address = web::free_port()?;
    let text = format!("source: host\ninterval_sec: {}\n", bench.size.pick(0.2, 2.0));
    let process = start(bench, folder.path(), address, &text)?;
    let cycles = bench.size.pick(2, 20);
    until("some cycles", Duration::from_secs(120), || {
        let status = web::get(address, "/v1/status")?;
        (status.pointer("/watches/0/cycle")?.as_u64()? >= cycles).then_some(())
    })?;
    let (peak, now) = (megabytes(&process, "VmHWM")?, megabytes(&process, "VmRSS")?);
    Ok(Found {
        figures: json!({"peak_mb": peak, "now_mb": now, "cycles": cycles}),
        told: format!("a daemon that watches its host: {now:.1} MB, {peak:.1} MB at the highest"),
    })
}

fn start(bench: &Bench, folder: &Path, address: SocketAddr, text: &str) -> Result<Kept, String> {
    let config = folder.join("hb.yaml");
    let text = format!(
        "{text}output_dir: {out}\ndb_path: {out}/runs.db\nlisten: {address}\nalert_sinks: [file]\n",
        out = folder.join("out").display()
    );
    std::fs::write(&config, text).map_err(|error| error.to_string())?;
    let mut command = Command::new(&bench.hb);
    Kept::start(command.args(["daemon", "--config"]).arg(&config), &folder.join("log"))
}

fn megabytes(process: &Kept, name: &str) -> Result<f64, String> {
    let kilobytes = process.kilobytes(name).ok_or_else(|| format!("the daemon has ended, or shows no {name}"))?;
    Ok(u32::try_from(kilobytes).map_or(f64::NAN, f64::from) / 1024.0)
}
