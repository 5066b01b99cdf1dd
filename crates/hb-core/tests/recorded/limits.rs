//! Limits of the registry, silence, doubtful readings, recordings side by side.

use std::fmt::Write as _;

use hb_core::time::Span;
use hb_core::watch::compare::{compare, window_length};
use hb_core::watch::decision::Decision;
use hb_core::watch::registry::{Aggregate, DriftDirection, Metric, SeriesKind};
use hb_core::watch::summary::SeriesTable;
use serde_json::json;

use super::ledger::{assert_recorded, digest, plain};
use super::world::{Readings, World, around};

fn tell(text: &mut String, what: &str, decision: &Decision) {
    let drivers: Vec<_> = decision.drivers.iter().map(|one| json!([one.reason, one.next])).collect();
    let faults: Vec<_> = decision.faults.iter().map(|one| json!([one.series, one.what])).collect();
    let whole = digest(&serde_json::to_value(decision).unwrap());
    writeln!(text, "{what} {whole} {} {} {}", decision.headline, plain(&json!(drivers)), plain(&json!(faults)))
        .unwrap();
}

/// Metrics, by the letter of their series.
fn metrics() -> Vec<(&'static str, Metric)> {
    let plain = Metric::default();
    let at_once = Metric { drift_persistence: Some(1), ..Metric::default() };
    vec![
        ("a", Metric { fail_threshold: Some(15.0), unit: Some("C".into()), ..plain.clone() }),
        ("b", Metric { fail_threshold: Some(15.0), aggregate: Aggregate::Max, ..plain.clone() }),
        ("c", Metric { fail_threshold: Some(15.0), aggregate: Aggregate::Last, critical: true, ..plain.clone() }),
        ("d", Metric { drift_threshold: Some(1.0), min_effect: Some(1.5), ..at_once.clone() }),
        ("e", Metric { drift_percent: Some(10.0), drift_direction: DriftDirection::Up, ..at_once.clone() }),
        ("f", Metric { drift_percent: Some(10.0), drift_direction: DriftDirection::Down, ..at_once }),
        ("g", Metric { invariant_min: Some(8.0), invariant_max: Some(12.0), unit: Some("V".into()), ..plain.clone() }),
        ("h", Metric { invariant_eq: Some(10.0), ..plain.clone() }),
        ("i", Metric { critical: true, ..plain.clone() }),
        ("j", Metric { critical: true, invariant_max: Some(20.0), ..plain.clone() }),
        ("k", Metric { kind: SeriesKind::Counter, drift_threshold: Some(2.0), ..plain.clone() }),
        ("l", Metric { kind: SeriesKind::Gauge, ks_threshold: Some(0.3), ..plain.clone() }),
        ("m", Metric { drift_threshold: Some(1.0), drift_percent: Some(30.0), drift_persistence: Some(3), ..plain }),
    ]
}

/// Readings of all of them in one cycle, shifted, and some left out.
fn cycle(window: u64, shift: f64, left_out: &str) -> Vec<Readings<'static>> {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n"];
    let heard = names.into_iter().filter(|name| !left_out.contains(name));
    heard
        .map(|name| {
            let level = if name == "i" { -5.0 } else { 10.0 };
            let readings = around(level + shift, window);
            match name {
                "h" => (name, vec![10.0 + shift; 50]),
                "k" => (name, (0..50_u32).map(|n| window as f64 * 500.0 + f64::from(n) * (10.0 + shift)).collect()),
                _ => (name, readings),
            }
        })
        .collect()
}

#[test]
fn w5_limits_are_told_as_they_were() {
    let mut world = World::with(&metrics()).learn(30, |window| cycle(window, 0.0, ""));
    let mut text = String::new();
    let shifts = [0.0, 0.5, 1.2, 1.6, -1.2, -1.6, 3.0, 6.0, 6.0, 6.0, 0.0, -6.0, 0.0, 0.0, 0.0, 0.0];
    for (window, shift) in (30..).zip(shifts) {
        let decision = world.step(&cycle(window, shift, ""));
        tell(&mut text, &format!("shift {shift}"), &decision);
    }
    for (window, silent) in (50..).zip(["c", "ci", "cj", "abcdefghijklmn", "abdefghjklmn", "", "k", "n", "nn", "n", ""])
    {
        let decision = world.step(&cycle(window, 0.0, silent));
        tell(&mut text, &format!("without {silent:?}"), &decision);
    }
    assert_recorded("limits", include_str!("limits.txt"), &text);
}

#[test]
fn w5_limits_without_a_baseline_and_doubtful_readings_are_told_as_they_were() {
    let mut world = World::with(&metrics());
    let mut text = String::new();
    for (window, shift) in (0..).zip([0.0, 4.0, 6.0, -4.0]) {
        let decision = world.step(&cycle(window, shift, ""));
        tell(&mut text, &format!("shift {shift}"), &decision);
    }
    let mut world = World::with(&metrics()).learn(30, |window| cycle(window, 0.0, ""));
    let doubtful = [
        vec![("a", vec![f64::NAN; 3])],
        vec![("a", vec![f64::NAN, 10.0, 10.5]), ("g", vec![f64::INFINITY, 10.0])],
        vec![("c", vec![f64::NEG_INFINITY]), ("n", vec![])],
        vec![("a", vec![10.0]), ("unknown", vec![1.0, 2.0])],
        vec![],
        vec![("unknown", vec![1.0; 200])],
        vec![("a", vec![1e300, -1e300, 1e300]), ("b", vec![5e-324, 0.0, -0.0])],
    ];
    for (number, readings) in doubtful.iter().enumerate() {
        let decision = world.step(readings);
        tell(&mut text, &format!("doubtful {number}"), &decision);
    }
    assert_recorded("doubtful", include_str!("doubtful.txt"), &text);
}

#[test]
fn recordings_side_by_side_are_compared_as_they_were() {
    let mut text = String::new();
    let world = World::with(&metrics());
    for (windows, shift, length) in
        [(1_u64, 0.0, 4_u64), (4, 0.0, 4), (8, 3.0, 5), (30, 0.0, 30), (30, 0.3, 30), (30, 1.2, 3), (30, -4.0, 30)]
    {
        let recording = |from: u64, count: u64, shift: f64| -> Vec<(Span, SeriesTable)> {
            let mut world = World::with(&metrics());
            let one = |window: u64| {
                world.cycle = window;
                (world.span(), world.table(&cycle(window, shift, if window % 7 == 3 { "fk" } else { "" })))
            };
            (from..from + count).map(one).collect()
        };
        let (before, after) = (recording(0, windows, 0.0), recording(windows, length, shift));
        let decision = compare(&before, &after, (&world.settings, world.settings.hash()));
        tell(&mut text, &format!("{windows} windows, then {length} shifted by {shift}"), &decision);
        let whole = Span { start: before[0].0.start, end: after.last().unwrap().0.end };
        let lengths: Vec<i64> = [1, 2, 7, 100].iter().map(|count| window_length(whole, *count)).collect();
        writeln!(text, "windows of it: {lengths:?}").unwrap();
    }
    assert_recorded("compared", include_str!("compared.txt"), &text);
}
