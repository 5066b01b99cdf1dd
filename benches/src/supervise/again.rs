//! From the death of a child to the first act of the next one: of single children, and of a hundred that die at once.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::kits::{self, Kit, PEERS};
use super::stage::{self, Stage};
use super::{load, quantile};
use crate::child::{Kept, median, worst};
use crate::{Bench, Found, Size};

const PATIENCE: Duration = Duration::from_secs(60);
/// How long a child lives before it is killed, at least: runit and s6 wait after shorter lives.
const LIVED: Duration = Duration::from_millis(1_300);
/// Children that are killed in turn.
const IN_TURN: u32 = 13;
/// How long one supervisor is measured at most.
const BUDGET: Duration = Duration::from_secs(40);

/// Single deaths.
pub(crate) fn one(bench: &Bench) -> Result<Found, String> {
    let kills = bench.size.pick(5, 400);
    let mut figures = Map::new();
    let mut told = Vec::new();
    figures.insert("load".into(), json!(load()));
    let fsync = fsync_ms(bench.size.pick(5, 300))?;
    figures.insert("fsync_median_ms".into(), json!(median(&fsync)));
    told.push(format!("a write of 4 KB with fdatasync beside it: median {:.2} ms", median(&fsync)));
    for (name, measured) in everybody(bench, |stage, process| in_turn(stage, process, kills)) {
        told.push(match &measured {
            Ok(took) => format!(
                "{name}: {} deaths, running again after {:.1} ms (median), {:.1} ms (p99), {:.1} ms (worst)",
                took.len(),
                median(took),
                quantile(took, 0.99),
                worst(took)
            ),
            Err(why) => format!("{name}: {why}"),
        });
        let figure = |took: Vec<f64>| json!({"deaths": took.len(), "median_ms": median(&took), "p99_ms": quantile(&took, 0.99), "worst_ms": worst(&took)});
        if name == "hb" {
            measured.as_ref().map_err(Clone::clone)?;
        }
        figures.insert(name.into(), measured.map_or_else(|why| json!({"absent": why}), figure));
    }
    Ok(Found { figures: Value::Object(figures), told: told.join("\n") })
}

/// A hundred at once.
pub(crate) fn mass(bench: &Bench) -> Result<Found, String> {
    let (count, rounds) = (bench.size.pick(5, 100), bench.size.pick(1, 15));
    let mut figures = Map::new();
    let mut told = Vec::new();
    figures.insert("load".into(), json!(load()));
    for (name, measured) in staged(bench, count, |stage, process| at_once(stage, process, rounds)) {
        told.push(match &measured {
            Ok(took) => format!(
                "{name}: {count} killed at once, all running again after {:.0} ms (median of {}), {:.0} ms (worst)",
                median(took),
                took.len(),
                worst(took)
            ),
            Err(why) => format!("{name}: {why}"),
        });
        if name == "hb" {
            measured.as_ref().map_err(Clone::clone)?;
        }
        let figure =
            |took: Vec<f64>| json!({"rounds": took.len(), "median_ms": median(&took), "worst_ms": worst(&took)});
        figures.insert(name.into(), measured.map_or_else(|why| json!({"absent": why}), figure));
    }
    Ok(Found { figures: Value::Object(figures), told: told.join("\n") })
}

type Took = Result<Vec<f64>, String>;

fn everybody(bench: &Bench, measure: impl Fn(&mut Stage, &Kept) -> Took) -> Vec<(&'static str, Took)> {
    staged(bench, usize::try_from(IN_TURN).unwrap_or(1), measure)
}

/// hb and its peers, one after the other, each over children of its own.
fn staged(bench: &Bench, count: usize, measure: impl Fn(&mut Stage, &Kept) -> Took) -> Vec<(&'static str, Took)> {
    let one = |kit: Option<&Kit>| {
        let mut stage = Stage::new(&bench.child, count)?;
        let process = match kit {
            Some(kit) if !kit.is_there() => return Err("absent".to_owned()),
            Some(kit) => kit.start(&stage)?,
            None => kits::hb(bench, &stage, "listen: none\n")?,
        };
        let took = stage.wait(count, PATIENCE).and_then(|()| measure(&mut stage, &process));
        stage.forget_notes(&process);
        took
    };
    let peers: &[Kit] = if bench.size == Size::Small { &PEERS[..2] } else { &PEERS };
    let peers = peers.iter().map(|kit| (kit.name, one(Some(kit))));
    std::iter::once(("hb", one(None))).chain(peers).collect()
}

fn in_turn(stage: &mut Stage, _: &Kept, kills: usize) -> Took {
    let mut took = Vec::new();
    let begun = Instant::now();
    while took.len() < kills && begun.elapsed() < BUDGET {
        std::thread::sleep(LIVED / IN_TURN);
        // Whoever has lived longest, so that each has lived for a while.
        let newest = stage.newest();
        let Some(oldest) = newest.values().min_by(|a, b| a.at.total_cmp(&b.at)) else {
            return Err("nobody runs".into());
        };
        let age = stage::now() - oldest.at;
        std::thread::sleep(LIVED.saturating_sub(Duration::from_secs_f64(age.max(0.0))));
        let killed = stage::now();
        stage::end(oldest.pid);
        stage.wait(stage.starts.len() + 1, PATIENCE)?;
        let again = stage.starts.last().filter(|start| start.name == oldest.name).ok_or("somebody else was started")?;
        took.push((again.at - killed) * 1e3);
    }
    Ok(took)
}

fn at_once(stage: &mut Stage, _: &Kept, rounds: usize) -> Took {
    let mut took = Vec::new();
    let begun = Instant::now();
    while took.len() < rounds && begun.elapsed() < BUDGET {
        std::thread::sleep(LIVED);
        let newest = stage.newest();
        let before = stage.starts.len();
        let killed = stage::now();
        newest.values().for_each(|start| stage::end(start.pid));
        stage.wait(before + newest.len(), PATIENCE)?;
        let last = stage.starts.iter().map(|start| start.at).fold(0.0, f64::max);
        took.push((last - killed) * 1e3);
    }
    Ok(took)
}

/// What this disk takes for the least that can be durable.
fn fsync_ms(rounds: usize) -> Result<Vec<f64>, String> {
    use std::io::Write as _;
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut file = std::fs::File::create(folder.path().join("file")).map_err(|error| error.to_string())?;
    let mut once = || {
        let begun = Instant::now();
        file.write_all(&[7; 4096]).and_then(|()| file.sync_data()).map_err(|error| error.to_string())?;
        Ok(begun.elapsed().as_secs_f64() * 1e3)
    };
    (0..rounds).map(|_| once()).collect()
}
