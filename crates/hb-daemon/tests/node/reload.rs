//! Other settings while a node works.

use std::sync::Arc;

use hb_core::watch::settings::WatchSettings;
use hb_daemon::{Control, Ended};

use super::stage::{Pass, Stage, settings, until};

fn others() -> Arc<WatchSettings> {
    let mut settings = settings("w");
    settings.drift.raise_m = 1;
    Arc::new(settings)
}

#[test]
fn h3_reloaded_settings_hold_from_the_newest_decided_cycle_on_and_no_sample_is_lost() {
    let stage = Stage::new(settings("w"));
    stage.tape().change(|reel| reel.batch = Some(2));
    let node = stage.start_active("a");
    stage.tape().cycles(0..4);
    stage.decided(3);
    until("the open cycle is read", || stage.tape().read_by("a") == stage.tape().len());
    node.control(Control::Reload(vec![others()]));
    // Under the old settings or the new: a reload is taken before data.
    stage.tape().cycles(4..8);
    stage.decided(7);
    assert_eq!(node.stop(), Ended::Drained);
    let (old, new) = (stage.watches[0].0.hash(), others().hash());
    assert_ne!(old, new);
    let cycles = stage.cycles();
    let under: Vec<_> = cycles.iter().map(|cycle| cycle.decision.settings).collect();
    assert_eq!(under, [old, old, old, new, new, new, new]);
    assert!(cycles.iter().all(|cycle| cycle.decision.counts.window.samples == 3));
    assert_eq!(cycles.last().unwrap().decision.counts.delivered_total, 21, "nothing is counted twice");
    // The same reign: nothing but cycles between its two ends.
    assert_eq!(stage.records().len(), 9);
}

#[test]
fn w4_many_reloads_amid_a_flood_lose_and_double_nothing() {
    let stage = Stage::new(settings("w"));
    stage.tape().change(|reel| reel.batch = Some(1));
    let node = stage.start_active("a");
    stage.tape().cycles(0..400);
    for _ in 0..40 {
        let before = stage.tape().given_to("a");
        node.control(Control::Reload(vec![others()]));
        until("it reads on", || stage.tape().given_to("a") > before);
    }
    until("everything is decided", || node.cycle().is_some_and(|cycle| cycle.0 == 398));
    assert_eq!(node.stop(), Ended::Drained);
    let cycles = stage.cycles();
    assert!(cycles.iter().all(|cycle| cycle.decision.counts.window.samples == 3));
    assert!(cycles.iter().all(|cycle| cycle.decision.counts.late == 0));
}

#[test]
fn h3_a_reload_while_the_disk_is_full_waits_its_turn() {
    let stage = Stage::new(settings("w"));
    let node = stage.start_active("a");
    stage.tape().cycles(0..3);
    stage.decided(2);
    node.gate.set(Pass::Full);
    stage.tape().cycles(3..5);
    until("appends fail", || node.appends("failed") >= 2);
    node.control(Control::Reload(vec![others()]));
    let failed = node.appends("failed");
    until("appends fail on", || node.appends("failed") >= failed + 2);
    node.gate.set(Pass::Go);
    stage.tape().cycles(5..8);
    stage.decided(7);
    assert_eq!(node.stop(), Ended::Drained);
    let cycles = stage.cycles();
    assert_eq!(cycles[6].decision.settings, others().hash());
    assert!(cycles.iter().all(|cycle| cycle.decision.counts.window.samples == 3));
}
