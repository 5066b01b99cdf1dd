//! Series of every kind, healthy and with faults, through windows, learning and decisions.

use std::fmt::Write as _;

use hb_core::watch::settings::WatchSettings;
use hb_core::watch::window::Keep;
use serde_json::json;

use super::ledger::{assert_recorded, digest, plain};
use super::nulls::{Bench, Fault, Kind};

const FAULTS: [Fault; 6] =
    [Fault::None, Fault::Step(1.2), Fault::Step(-3.0), Fault::Noise(2.5), Fault::Noise(0.0), Fault::Ramp(0.15)];

fn settings(keep: Keep) -> WatchSettings {
    let mut settings = WatchSettings::named("w", 40_000_000_000);
    settings.drift.distribution = keep == Keep::Samples;
    settings.learn.cycles = 60;
    settings
}

/// A change of settings.
type Change = fn(&mut WatchSettings);

/// Learns, then decides some cycles that are well, some with the fault, and some that are well again.
fn run(text: &mut String, kind: Kind, fault: Fault, settings: WatchSettings) {
    let mut bench = Bench::new(kind, 4, 40, 11, settings);
    bench.learn();
    let baseline = serde_json::to_value(bench.baseline()).unwrap();
    writeln!(text, "{} {fault:?}: baseline {}", kind.name(), digest(&baseline)).unwrap();
    for cycle in 0..14 {
        let (now, since) = if (3..9).contains(&cycle) { (fault, cycle - 2) } else { (Fault::None, 0) };
        let decision = bench.step(now, 2, since);
        let drivers: Vec<_> = decision.drivers.iter().map(|driver| driver.reason.as_str()).collect();
        let whole = digest(&json!([decision, bench.carry()]));
        writeln!(text, "  {cycle} {whole} {} {}", decision.headline, plain(&json!(drivers))).unwrap();
    }
}

fn of_kinds(kinds: &[Kind], keep: Keep) -> String {
    let mut text = String::new();
    for kind in kinds {
        FAULTS.iter().for_each(|fault| run(&mut text, *kind, *fault, settings(keep)));
    }
    text
}

#[test]
fn w2_series_of_noise_are_decided_as_they_were() {
    let run = of_kinds(&[Kind::Iid, Kind::Ar5, Kind::Ar9, Kind::NearZero], Keep::Moments);
    assert_recorded("decisions_noise", include_str!("decisions_noise.txt"), &run);
}

#[test]
fn w2_series_of_other_shapes_are_decided_as_they_were() {
    let run = of_kinds(&[Kind::Lognormal, Kind::Poisson, Kind::Constant, Kind::Counter], Keep::Moments);
    assert_recorded("decisions_shapes", include_str!("decisions_shapes.txt"), &run);
}

#[test]
fn w2_series_with_a_season_or_that_wander_are_decided_as_they_were() {
    let run = of_kinds(&[Kind::Season, Kind::Load], Keep::Moments);
    assert_recorded("decisions_seasons", include_str!("decisions_seasons.txt"), &run);
}

#[test]
fn w2_distributions_are_compared_as_they_were() {
    let run = of_kinds(&[Kind::Iid, Kind::Lognormal, Kind::Poisson, Kind::Counter], Keep::Samples);
    assert_recorded("decisions_distributions", include_str!("decisions_distributions.txt"), &run);
}

#[test]
fn w2_drift_settings_change_what_they_changed() {
    let mut text = String::new();
    let changes: [(&str, Change); 10] = [
        ("m 1 of 1", |it| (it.drift.raise_m, it.drift.raise_of) = (1, 1)),
        ("m 3 of 5", |it| (it.drift.raise_m, it.drift.raise_of) = (3, 5)),
        ("m 2 of 9", |it| (it.drift.raise_m, it.drift.raise_of) = (2, 9)),
        ("clear 1", |it| it.drift.clear_after = 1),
        ("effect 2 sd", |it| it.drift.effect_sd = 2.0),
        ("effect 50 %", |it| it.drift.effect_percent = 50.0),
        ("range 3", |it| it.drift.range_factor = 3.0),
        ("fdr", |it| it.drift.fdr_q = 0.000_01),
        ("no trend", |it| it.drift.trend = false),
        ("no statistics", |it| it.drift.statistics = false),
    ];
    for (name, change) in changes {
        let mut settings = settings(Keep::Moments);
        change(&mut settings);
        writeln!(text, "{name}").unwrap();
        for fault in [Fault::Step(0.8), Fault::Noise(1.6), Fault::Ramp(0.15)] {
            run(&mut text, Kind::Ar5, fault, settings.clone());
        }
    }
    assert_recorded("decisions_settings", include_str!("decisions_settings.txt"), &text);
}
