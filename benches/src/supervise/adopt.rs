//! `kill -9` of the supervisor over live children, and started again: who is watched again, how soon, and is anybody there twice?

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use super::stage::{self, Stage};
use super::{kits, load, usage};
use crate::child::{median, until, worst};
use crate::{Bench, Found};

const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn measure(bench: &Bench) -> Result<Found, String> {
    let (count, rounds) = (bench.size.pick(10, 1_000), bench.size.pick(2, 10));
    let mut stage = Stage::new(&bench.child, count)?;
    let mut process = kits::hb(bench, &stage, "listen: none\n")?;
    stage.wait(count, PATIENCE)?;
    // All are watched, and that they are is recorded.
    until("all children to be watched", PATIENCE, || (usage::waited_on(process.0.id()) > count).then_some(()))?;
    std::thread::sleep(Duration::from_millis(500));
    let load = load();
    let (mut watched, mut restarts) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let lived: BTreeSet<u32> = stage.children().into_iter().collect();
        process.kill();
        let before = stage.starts.len();
        let begun = stage::now();
        process = kits::again(bench, &stage)?;
        let pid = process.0.id();
        until("all children to be watched again", PATIENCE, || (usage::waited_on(pid) > count).then_some(()))?;
        watched.push((stage::now() - begun) * 1e3);
        std::thread::sleep(Duration::from_millis(500));
        stage.look();
        if stage.starts.len() != before || stage.children().into_iter().collect::<BTreeSet<u32>>() != lived {
            return Err("children were started or lost while the supervisor was away".into());
        }
        restarts.push(dies(&mut stage)?);
    }
    stage.forget_notes(&process);
    Ok(Found {
        figures: json!({
            "children": count, "kills": rounds, "load": load,
            "watched_median_ms": median(&watched), "watched_worst_ms": worst(&watched),
            "then_restarted_median_ms": median(&restarts), "then_restarted_worst_ms": worst(&restarts),
            "duplicated": 0, "lost": 0,
        }),
        told: format!(
            "{count} children, killed and started again {rounds} times: from exec until each is waited on by pidfd {:.0} ms (median), {:.0} ms (worst); none lost, none twice; \
             one of them killed afterwards ran again after {:.1} ms (median)",
            median(&watched),
            worst(&watched),
            median(&restarts)
        ),
    })
}

/// An adopted child dies: milliseconds until it runs again.
fn dies(stage: &mut Stage) -> Result<f64, String> {
    let newest = stage.newest();
    let one = newest.values().min_by(|a, b| a.at.total_cmp(&b.at)).ok_or("nobody runs")?;
    let killed = stage::now();
    stage::end(one.pid);
    stage.wait(stage.starts.len() + 1, PATIENCE)?;
    let again = stage.starts.last().filter(|start| start.name == one.name).ok_or("somebody else was started")?;
    Ok((again.at - killed) * 1e3)
}
