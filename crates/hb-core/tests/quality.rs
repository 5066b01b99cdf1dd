//! The promise about false alarms and detection, shown small on every change; `examples/false_alarms.rs` shows it large.

#[path = "support/bounds.rs"]
mod bounds;
#[path = "support/nulls.rs"]
mod nulls;

use hb_core::watch::settings::WatchSettings;
use nulls::{Fault, Kind, Size, detection, quiet};

fn settings() -> WatchSettings {
    WatchSettings::named("quality", 100 * 1_000_000_000)
}

#[test]
fn at_most_one_false_alarm_in_a_thousand_on_every_kind_of_healthy_series() {
    let size = Size { runs: 2, series: 100, cycles: 60, samples: 100 };
    for kind in Kind::ALL {
        let sum = quiet(kind, size, 11, &settings());
        assert_eq!(sum.series_cycles, 12_000);
        assert!(sum.per_1000() <= 1.0, "{}: {sum:?}", kind.name());
    }
}

#[test]
fn distribution_tests_keep_the_same_promise() {
    let mut settings = settings();
    settings.drift.distribution = true;
    let size = Size { runs: 1, series: 100, cycles: 40, samples: 100 };
    for kind in [Kind::Iid, Kind::Ar9, Kind::Poisson, Kind::Constant] {
        let sum = quiet(kind, size, 5, &settings);
        assert!(sum.per_1000() <= 1.0, "{}: {sum:?}", kind.name());
    }
}

#[test]
fn a_watch_of_a_single_series_keeps_the_promise_too() {
    // There a share of false discoveries bounds nothing: every one of them may be false.
    let size = Size { runs: 100, series: 1, cycles: 60, samples: 50 };
    for kind in [Kind::Ar5, Kind::Ar9, Kind::Lognormal, Kind::Counter] {
        let sum = quiet(kind, size, 11, &settings());
        assert!(sum.per_1000() <= 2.0, "{}: {sum:?}", kind.name());
    }
}

#[test]
fn a_half_sigma_step_is_found_within_three_cycles() {
    let size = Size { runs: 3, series: 100, cycles: 4, samples: 100 };
    // 60 changed series of each kind. The large run finds 84 to 90 % with autocorrelation 0.5, and 99 to 100 % elsewhere.
    let least = [
        (Kind::Iid, 0.97),
        (Kind::Ar5, 0.75),
        (Kind::Lognormal, 0.93),
        (Kind::Poisson, 0.95),
        (Kind::Constant, 1.0),
        (Kind::NearZero, 0.97),
        (Kind::Season, 0.97),
        (Kind::Counter, 0.95),
    ];
    for (kind, share) in least {
        let found = detection(kind, Fault::Step(0.5), size, 3, &settings());
        assert!(found[2] >= share, "{}: {found:?}", kind.name());
    }
    let found = detection(Kind::Iid, Fault::Step(1.0), size, 3, &settings());
    assert!(found[1] >= 1.0, "{found:?}");
    let found = detection(Kind::Ar9, Fault::Step(1.0), size, 3, &settings());
    assert!(found[2] >= 0.45, "{found:?}");
}

#[test]
fn no_rate_is_better_than_the_best_possible_one() {
    let near = |x: f64, y: f64| (x - y).abs() < 0.01;
    // By hand: 300 readings at 0.9 hold (1 + 299 * 0.01) / 0.19 = 21 of information, half a sigma is 2.29 of distance.
    assert!((bounds::autoregressive(0.9, 300.0) - 21.0).abs() < 1e-9);
    assert!(near(bounds::known(Kind::Ar9, 0.5, 100), 0.25) && near(bounds::known(Kind::Ar5, 0.5, 100), 0.98));
    assert!(near(bounds::known(Kind::Iid, 0.5, 100), 1.0) && near(bounds::known(Kind::Iid, 1e-9, 100), 0.003));
    let size = Size { runs: 3, series: 100, cycles: 3, samples: 100 };
    for (kind, learned) in [(Kind::Ar5, 0.93), (Kind::Ar9, 0.13)] {
        let best = bounds::learned(kind, 0.5, size.samples, 30).unwrap();
        assert!(near(best, learned), "{}: {best}", kind.name());
        // A fifth of the series changes here, which they tell one another: still not more than chance above the bound.
        let found = detection(kind, Fault::Step(0.5), size, 3, &settings());
        assert!(found[2] <= best + 0.1, "{}: {found:?}", kind.name());
    }
}

#[test]
fn a_wandering_level_that_hardly_moves_is_no_news() {
    // A load average: it stays within one per cent of two, but in no window where it was in the one before.
    let mut settings = settings();
    settings.learn.cycles = 30;
    let size = Size { runs: 2, series: 50, cycles: 40, samples: 20 };
    let sum = quiet(Kind::Load, size, 7, &settings);
    assert!(sum.per_1000() <= 1.0, "{sum:?}");
}

#[test]
fn a_doubled_variance_is_found_within_four_cycles() {
    let size = Size { runs: 3, series: 100, cycles: 4, samples: 100 };
    let found = detection(Kind::Iid, Fault::Noise(std::f64::consts::SQRT_2), size, 3, &settings());
    assert!(found[2] >= 0.9 && found[3] >= 0.95, "{found:?}");
}

#[test]
fn a_rule_that_never_fires_would_fail_here_and_so_would_one_that_always_does() {
    let mut deaf = settings();
    deaf.drift.statistics = false;
    let size = Size { runs: 1, series: 20, cycles: 4, samples: 50 };
    assert!(detection(Kind::Iid, Fault::Step(5.0), size, 1, &deaf)[3] < 0.5);
    let mut jumpy = settings();
    (jumpy.drift.fdr_q, jumpy.drift.raise_m, jumpy.drift.raise_of) = (10.0, 1, 1);
    (jumpy.drift.effect_sd, jumpy.drift.effect_percent, jumpy.drift.range_factor) = (0.0, 0.0, 0.0);
    let fired = quiet(Kind::Iid, size, 1, &jumpy);
    assert!(fired.per_1000() > 500.0, "{fired:?}");
}
