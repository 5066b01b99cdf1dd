//! The promise about false alarms and detection, shown small on every change; `examples/false_alarms.rs` shows it large.

#[path = "support/nulls.rs"]
mod nulls;

use hb_core::watch::settings::WatchSettings;
use nulls::{Fault, Kind, Size, detection, quiet};

fn settings() -> WatchSettings {
    WatchSettings::named("quality", 100 * 1_000_000_000)
}

#[test]
fn at_most_one_false_alarm_in_a_thousand_on_every_kind_of_healthy_series() {
    let size = Size { runs: 2, series: 50, cycles: 20, samples: 100 };
    for kind in Kind::ALL {
        let sum = quiet(kind, size, 11, &settings());
        assert_eq!(sum.series_cycles, 2000);
        assert!(sum.per_1000() <= 1.0, "{}: {sum:?}", kind.name());
    }
}

#[test]
fn distribution_tests_keep_the_same_promise() {
    let mut settings = settings();
    settings.drift.distribution = true;
    let size = Size { runs: 1, series: 40, cycles: 25, samples: 100 };
    for kind in [Kind::Iid, Kind::Ar9, Kind::Poisson, Kind::Constant] {
        let sum = quiet(kind, size, 5, &settings);
        assert!(sum.per_1000() <= 1.0, "{}: {sum:?}", kind.name());
    }
}

#[test]
fn a_half_sigma_step_is_found_within_three_cycles() {
    let size = Size { runs: 3, series: 100, cycles: 4, samples: 100 };
    let found = detection(Kind::Iid, Fault::Step(0.5), size, 3, &settings());
    // 60 changed series; the large run finds 98 % in three cycles and all within ten.
    assert!(found[1] >= 0.8 && found[2] >= 0.95 && found[3] >= 0.97, "{found:?}");
    let found = detection(Kind::Iid, Fault::Step(1.0), size, 3, &settings());
    assert!(found[1] >= 1.0, "{found:?}");
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
