//! Rows a second of `hb compare` on two wide tables of six series.

use std::process::Command;

use serde_json::json;

use crate::child::{cost, median};
use crate::{Bench, Found, workload};

pub(crate) fn measure(bench: &Bench) -> Result<Found, String> {
    let rows: u32 = bench.size.pick(2_000, 1_000_000);
    let a = workload::wide_table(&bench.data, rows.into(), 11)?;
    let b = workload::wide_table(&bench.data, rows.into(), 12)?;
    let (mut wall, mut cpu) = (Vec::new(), Vec::new());
    for _ in 0..bench.size.pick(1, 5) {
        let (spent, _) = cost(Command::new(&bench.hb).args(["compare", "--json"]).arg(&a).arg(&b))?;
        wall.push(spent.wall);
        cpu.push(spent.cpu);
    }
    let both = f64::from(rows) * 2.0;
    let (by_wall, by_cpu) = (both / median(&wall), both / median(&cpu).max(0.01));
    Ok(Found {
        figures: json!({"rows": both, "rows_per_second": by_wall.round(), "rows_per_cpu_second": by_cpu.round()}),
        told: format!("2 x {rows} rows x 6 series: {by_wall:.0} rows a second, {by_cpu:.0} a processor second"),
    })
}
