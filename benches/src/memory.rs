//! Resident memory at its highest, as the kernel counts it: with very many series, and with nothing much to do.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::child::{Kept, until};
use crate::{Bench, Found, web, workload};

/// Very many series: learned, with a baseline in force, and decided against it.
pub(crate) fn series(bench: &Bench) -> Result<Found, String> {
    let count: usize = bench.size.pick(1_000, 100_000);
    let per_cycle = 2;
    let cycles: u64 = bench.size.pick(6, 14);
    let lines = u64::try_from(count).unwrap_or(0) * per_cycle * cycles;
    let file = workload::json_lines(&bench.data, lines, count)?;
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let address = web::free_port()?;
    let interval = if count > 1_000 { 20.0 } else { 0.2 };
    let learn = bench.size.pick(3, 10);
    let text = format!(
        "source: file\npath: {}\ninterval_sec: {interval}\nlearn: {{cycles: {learn}, samples_min: 1}}\n",
        file.display()
    );
    let process = start(bench, folder.path(), address, &text)?;
    let patience = Duration::from_secs(600);
    until("all cycles but the last", patience, || {
        let status = web::get(address, "/v1/status")?;
        (status.pointer("/watches/0/cycle")?.as_u64()? + 2 >= cycles).then_some(())
    })?;
    // The views of the last cycles are made beside.
    std::thread::sleep(Duration::from_secs(bench.size.pick(0, 5)));
    let peak = megabytes(&process, "VmHWM")?;
    let now = megabytes(&process, "VmRSS")?;
    let status = web::get(address, "/v1/status").unwrap_or_default();
    let decided = status.pointer("/watches/0/status").and_then(Value::as_str).unwrap_or("?").to_owned();
    Ok(Found {
        figures: json!({"series": count, "cycles": cycles, "peak_mb": peak, "now_mb": now, "status": decided}),
        told: format!(
            "{count} series, {cycles} cycles, newest {decided}: {peak:.0} MB at the highest, {now:.0} MB now"
        ),
    })
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
