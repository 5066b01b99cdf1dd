//! Rows a second of `hb compare` on two wide tables of six series.

use std::process::Command;

use serde_json::json;

use crate::child::cost;
use crate::{Bench, Found, workload};

pub(crate) fn measure(bench: &Bench) -> Result<Found, String> {
    let rows: u32 = bench.size.pick(2_000, 1_000_000);
    let a = workload::wide_table(&bench.data, rows.into(), 11)?;
    let b = workload::wide_table(&bench.data, rows.into(), 12)?;
    let command = || {
        let mut command = Command::new(&bench.hb);
        command.args(["compare", "--json"]).arg(&a).arg(&b);
        command
    };
    let mut commands: Vec<Command> = (0..bench.size.pick(1, 10)).map(|_| command()).collect();
    let spent = cost(&mut commands)?;
    let both = f64::from(rows) * 2.0;
    let (by_wall, by_cpu) = (both / spent.wall, both / spent.cpu);
    Ok(Found {
        figures: json!({"rows": both, "rows_per_second": by_wall.round(), "rows_per_cpu_second": by_cpu.round()}),
        told: format!("2 x {rows} rows x 6 series: {by_wall:.0} rows a second, {by_cpu:.0} a processor second"),
    })
}
