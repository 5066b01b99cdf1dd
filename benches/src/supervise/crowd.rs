//! A thousand children: what the supervisor of so many needs, how soon all have begun, and what it does while nothing happens.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::kits::{self, Kit, PEERS};
use super::stage::{self, Stage};
use super::{load, usage};
use crate::child::median;
use crate::{Bench, Found, Size};

const PATIENCE: Duration = Duration::from_secs(150);

/// What one supervisor needs.
#[derive(Debug)]
struct Needs {
    started_ms: f64,
    memory: usage::Memory,
    processes: usize,
    idle_percent: f64,
    wakeups: f64,
}

pub(crate) fn measure(bench: &Bench) -> Result<Found, String> {
    let count = bench.size.pick(10, 1_000);
    let rounds = bench.size.pick(1, 3);
    let mut figures = Map::new();
    figures.insert("children".into(), json!(count));
    figures.insert("load".into(), json!(load()));
    let idle = hb(bench, 0)?;
    let mut starts = Vec::new();
    let mut needs = hb(bench, count)?;
    starts.push(needs.started_ms);
    for _ in 1..rounds {
        let again = hb(bench, count)?;
        starts.push(again.started_ms);
        needs = if again.memory.pss > needs.memory.pss { again } else { needs };
    }
    needs.started_ms = median(&starts);
    let beyond = (needs.memory.pss - idle.memory.pss, needs.memory.rss - idle.memory.rss);
    let mut told = vec![
        format!("hb alone: {:.1} MB PSS, {:.1} MB RSS", idle.memory.pss, idle.memory.rss),
        line("hb", count, &needs),
        format!("hb beyond that: {:.1} MB PSS, {:.1} MB RSS", beyond.0, beyond.1),
    ];
    figures.insert("hb_alone".into(), document(&idle));
    figures.insert("hb".into(), document(&needs));
    figures.insert("hb_beyond".into(), json!({"pss_mb": beyond.0, "rss_mb": beyond.1}));
    let peers: &[Kit] = if bench.size == Size::Small { &PEERS[..1] } else { &PEERS };
    for kit in peers {
        let measured = peer(bench, kit, count);
        told.push(
            measured.as_ref().map_or_else(|why| format!("{}: {why}", kit.name), |needs| line(kit.name, count, needs)),
        );
        figures.insert(kit.name.into(), measured.map_or_else(|why| json!({"absent": why}), |needs| document(&needs)));
    }
    Ok(Found { figures: Value::Object(figures), told: told.join("\n") })
}

fn line(name: &str, count: usize, needs: &Needs) -> String {
    let Needs { started_ms, memory, processes, idle_percent, wakeups } = needs;
    format!(
        "{name}: {count} children begun after {started_ms:.0} ms; {:.1} MB PSS, {:.1} MB RSS in {processes} processes; idle {idle_percent:.3} % of a core, {wakeups:.1} wakeups a second",
        memory.pss, memory.rss
    )
}

fn document(needs: &Needs) -> Value {
    let Needs { started_ms, memory, processes, idle_percent, wakeups } = needs;
    json!({
        "started_ms": started_ms, "pss_mb": memory.pss, "rss_mb": memory.rss, "processes": processes,
        "idle_percent": idle_percent, "idle_wakeups_per_second": wakeups,
    })
}

fn hb(bench: &Bench, count: usize) -> Result<Needs, String> {
    let mut stage = Stage::new(&bench.child, count)?;
    let begun = stage::now();
    let process = kits::hb(bench, &stage, "listen: none\n")?;
    let needs = needs(bench, &mut stage, begun);
    stage.forget_notes(&process);
    needs
}

fn peer(bench: &Bench, kit: &Kit, count: usize) -> Result<Needs, String> {
    if !kit.is_there() {
        return Err("absent".to_owned());
    }
    let mut stage = Stage::new(&bench.child, count)?;
    let begun = stage::now();
    let _process = kit.start(&stage)?;
    needs(bench, &mut stage, begun)
}

fn needs(bench: &Bench, stage: &mut Stage, begun: f64) -> Result<Needs, String> {
    stage.wait(stage.services.len(), PATIENCE)?;
    let last = stage.starts.iter().map(|start| start.at).fold(begun, f64::max);
    std::thread::sleep(Duration::from_millis(bench.size.pick(300, 5_000)));
    let own = stage.supervisor();
    let before = usage::work(&own);
    let rest = Duration::from_secs(bench.size.pick(1, 20));
    std::thread::sleep(rest);
    let after = usage::work(&own);
    Ok(Needs {
        started_ms: (last - begun) * 1e3,
        memory: usage::memory(&own),
        processes: own.len(),
        idle_percent: (after.seconds - before.seconds) / rest.as_secs_f64() * 100.0,
        wakeups: (after.wakeups - before.wakeups) / rest.as_secs_f64(),
    })
}
