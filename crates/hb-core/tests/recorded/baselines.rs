//! What a baseline is learned to be, and which gates stop one.

use std::fmt::Write as _;

use hb_core::time::{SECOND_NS, Span, Stamp};
use hb_core::watch::baseline::{Learner, Material};
use hb_core::watch::settings::LearnSettings;
use serde_json::json;

use super::ledger::{assert_recorded, digest, plain};
use super::world::{Readings, World, around, wobble};

fn learn(
    text: &mut String,
    what: &str,
    settings: &LearnSettings,
    windows: u64,
    of: impl Fn(u64) -> Vec<Readings<'static>>,
) {
    let (mut world, mut learner) = (World::new(), Learner::default());
    for window in 0..windows {
        let series = world.table(&of(window));
        learner.push(Material { span: world.span(), series: &series, failed: window % 11 == 10 });
        world.cycle += 1;
    }
    let (baseline, gates) = learner.finish("file", "ada", settings);
    let gates: Vec<String> = gates.iter().map(|gate| format!("{gate:?}")).collect();
    let document = serde_json::to_value(&baseline).unwrap();
    writeln!(text, "{what}: {} {}", digest(&document), plain(&json!(gates))).unwrap();
    for series in document["series"].as_array().into_iter().flatten().take(3) {
        writeln!(text, "  {}", plain(series).chars().take(400).collect::<String>()).unwrap();
    }
}

#[test]
fn baselines_are_learned_as_they_were() {
    let mut text = String::new();
    let usual = LearnSettings::default();
    let stepped = |at: u64| move |window: u64| vec![("a", around(if window < at { 10.0 } else { 14.0 }, window))];
    for windows in [0, 1, 2, 3, 7, 8, 9, 20, 30, 50, 120] {
        learn(&mut text, &format!("{windows} windows"), &usual, windows, |window| vec![("a", around(10.0, window))]);
    }
    for at in [1, 5, 15, 25, 29] {
        learn(&mut text, &format!("a step at {at}"), &usual, 30, stepped(at));
    }
    learn(&mut text, "drifting", &usual, 40, |window| vec![("a", around(10.0 + window as f64 * 0.1, window))]);
    learn(&mut text, "once a cycle", &usual, 40, |window| {
        vec![("a", vec![5.0 + wobble(window)]), ("b", vec![window as f64])]
    });
    learn(&mut text, "constant", &usual, 40, |_| vec![("a", vec![3.0; 20]), ("z", vec![0.0; 20])]);
    learn(&mut text, "seldom", &usual, 40, |window| {
        if window % 4 == 0 {
            vec![("a", around(10.0, window)), ("b", vec![1.0])]
        } else {
            vec![("a", around(10.0, window))]
        }
    });
    learn(&mut text, "spiky", &usual, 40, |window| {
        let mut readings = around(10.0, window);
        if window % 13 == 5 {
            readings[7] = 500.0;
        }
        vec![("a", readings)]
    });
    learn(&mut text, "waves", &usual, 90, |window| {
        let wave = (window as f64 / 12.0 * std::f64::consts::TAU).sin();
        vec![("a", around(10.0 + 3.0 * wave, window)), ("b", vec![wave])]
    });
    learn(&mut text, "not finite", &usual, 12, |window| {
        vec![("a", [around(10.0, window), vec![f64::NAN; 3]].concat())]
    });
    assert_recorded("baselines", include_str!("baselines.txt"), &text);
}

#[test]
fn gates_stop_what_they_stopped() {
    let mut text = String::new();
    let gates: [(&str, LearnSettings); 5] = [
        ("many samples", LearnSettings { samples_min: 1_501, ..LearnSettings::default() }),
        ("just enough", LearnSettings { samples_min: 1_500, ..LearnSettings::default() }),
        ("a long span", LearnSettings { span_min_ns: 300 * SECOND_NS + 1, ..LearnSettings::default() }),
        ("just as long", LearnSettings { span_min_ns: 300 * SECOND_NS, ..LearnSettings::default() }),
        ("nothing unstable", LearnSettings { unstable_share_max: 0.0, ..LearnSettings::default() }),
    ];
    for (what, settings) in &gates {
        learn(&mut text, what, settings, 30, |window| vec![("a", around(10.0, window))]);
        learn(&mut text, what, settings, 30, |window| {
            vec![("a", around(if window < 15 { 10.0 } else { 20.0 }, window)), ("b", around(5.0, window))]
        });
    }
    let one = Span { start: Stamp(0), end: Stamp(10 * SECOND_NS) };
    writeln!(text, "{}", one.seconds()).unwrap();
    assert_recorded("gates", include_str!("gates.txt"), &text);
}
