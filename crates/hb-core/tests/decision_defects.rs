//! Each decision defect that was proven in the original has a test here that shows that `hb` does not have it, and W5.

#[path = "support/world.rs"]
mod world;

use hb_core::watch::decision::{Direction, Rule, Severity, Status};
use hb_core::watch::registry::{Aggregate, DriftDirection, Metric};
use world::{World, around, find, named};

fn ms(metric: Metric) -> Metric {
    Metric { unit: Some("ms".into()), ..metric }
}

#[test]
fn w5_no_baseline_is_never_pass() {
    let mut world = World::new();
    let decision = world.step(&[("a", vec![1.0, 2.0])]);
    assert_eq!(decision.status, Status::NoBaseline);
    assert!(decision.headline.contains("no baseline `golden`"), "{}", decision.headline);
}

#[test]
fn w5_no_baseline_does_not_hide_a_failure() {
    let mut world = World::with(&[("a", Metric { invariant_max: Some(1.0), ..Metric::default() })]);
    assert_eq!(world.step(&[("a", vec![0.5, 1.5])]).status, Status::Fail);
}

#[test]
fn w5_everything_missing_is_no_pass() {
    let mut world = World::new().learn(30, |w| vec![("a", around(10.0, w)), ("b", around(5.0, w))]);
    assert_eq!(world.step(&[]).status, Status::NoData);
    // Only a stranger talks: there is nothing to judge by, which is told at once.
    let decision = world.step(&[("stranger", vec![1.0])]);
    assert_eq!(decision.status, Status::PassWithDrift);
    assert_eq!(named(&decision, Severity::Drift), ["a", "b"]);
    assert!(decision.faults.iter().any(|fault| fault.what.contains("stranger")));
}

#[test]
fn w5_a_baseline_of_which_nothing_is_heard_is_no_baseline() {
    // Heard in every other window only, so its silence says nothing; but neither does the stranger's presence.
    let sometimes = |w| vec![(if w % 2 == 0 { "a" } else { "b" }, around(10.0, w))];
    let mut world = World::new().learn(30, sometimes);
    let decision = world.step(&[("stranger", vec![1.0])]);
    assert_eq!(decision.status, Status::NoBaseline);
    assert!(decision.headline.contains("none of which the baseline knows"), "{}", decision.headline);
    assert_eq!(world.step(&[("a", around(10.0, 31))]).status, Status::Pass);
}

#[test]
fn w5_a_silent_critical_series_fails() {
    let critical = Metric { critical: true, fail_threshold: Some(100.0), ..Metric::default() };
    let mut world = World::with(&[("a", critical)]).learn(30, |w| vec![("a", around(10.0, w)), ("b", around(5.0, w))]);
    let decision = world.step(&[("b", around(5.0, 40))]);
    assert_eq!((decision.status, named(&decision, Severity::Fail)), (Status::Fail, vec!["a"]));
    assert_eq!(decision.drivers[0].rule, Rule::CriticalSilent);
    // NaN is no life sign either.
    let decision = world.step(&[("a", vec![f64::NAN; 3]), ("b", around(5.0, 41))]);
    assert_eq!((decision.status, decision.drivers[0].persistence), (Status::Fail, 2));
    assert!(decision.drivers[0].reason.contains("3 NaN or infinite"), "{}", decision.drivers[0].reason);
    assert_eq!(world.step(&[("a", around(10.0, 42)), ("b", around(5.0, 42))]).status, Status::Pass);
    // When all is silent, the cycle is NO_DATA and names it.
    let decision = world.step(&[]);
    assert_eq!((decision.status, named(&decision, Severity::Notice)), (Status::NoData, vec!["a"]));
}

#[test]
fn w5_nan_is_a_fault_that_is_told() {
    let mut world = World::new().learn(30, |w| vec![("a", around(10.0, w)), ("b", around(5.0, w))]);
    let some = world.step(&[("a", [vec![f64::NAN], around(10.0, 40)].concat()), ("b", around(5.0, 40))]);
    assert_eq!(some.status, Status::Pass);
    assert_eq!(some.faults.len(), 1);
    assert!(some.faults[0].what.starts_with("1 of 51 readings are NaN"), "{:?}", some.faults);
    let all = world.step(&[("a", vec![f64::NAN, f64::INFINITY]), ("b", around(5.0, 41))]);
    assert_eq!((all.status, all.drivers[0].rule), (Status::PassWithDrift, Rule::DataFault));
    let nothing_else = world.step(&[("a", vec![f64::NAN]), ("b", vec![f64::NAN])]);
    assert_eq!((nothing_else.status, nothing_else.drivers.len()), (Status::NoData, 2));
}

#[test]
fn a_failing_series_is_named_once_per_rule() {
    let metric = Metric { critical: true, invariant_max: Some(0.0), ..Metric::default() };
    let mut world = World::with(&[("reset_count", metric)]);
    let decision = world.step(&[("reset_count", vec![3.0])]);
    assert_eq!(named(&decision, Severity::Fail), ["reset_count"]);
}

#[test]
fn a_critical_series_without_limits_fails_above_zero() {
    let mut world = World::with(&[("resets", Metric { critical: true, ..Metric::default() })]);
    assert_eq!(world.letters("resets", &[vec![0.0, 0.0], vec![0.0, 1.0], vec![-1.0]]), "UFU");
}

#[test]
fn every_reading_counts_for_invariants() {
    let metric = Metric { invariant_min: Some(0.0), invariant_max: Some(10.0), ..Metric::default() };
    let mut world = World::with(&[("a", metric)]);
    let decision = world.step(&[("a", vec![5.0, 11.0, 5.0, -1.0, 5.0])]);
    assert_eq!(decision.drivers.iter().map(|d| d.current).collect::<Vec<_>>(), [Some(-1.0), Some(11.0)]);
    assert_eq!(find(&decision, Rule::InvariantMin).unwrap().direction, Direction::Down);
    let mut world = World::with(&[("a", Metric { invariant_eq: Some(7.0), ..Metric::default() })]);
    assert_eq!(world.letters("a", &[vec![7.0, 7.0], vec![7.0, 7.0, 6.0], vec![8.0, 7.0]]), "UFF");
}

#[test]
fn the_fail_threshold_looks_at_the_aggregate() {
    let of = |aggregate| Metric { fail_threshold: Some(4.0), aggregate, ..Metric::default() };
    let readings = vec![5.0, 1.0, 3.0];
    for (aggregate, expected) in
        [(Aggregate::Mean, "U"), (Aggregate::Last, "U"), (Aggregate::Min, "U"), (Aggregate::Max, "F")]
    {
        let mut world = World::with(&[("a", of(aggregate))]);
        assert_eq!(world.letters("a", std::slice::from_ref(&readings)), expected, "{aggregate:?}");
    }
}

/// Only the registry's own limits, to see them alone.
fn limited(metric: Metric) -> World {
    let mut world = World::with(&[("a", metric)]);
    world.settings.drift.statistics = false;
    world.learn(30, |_| vec![("a", vec![10.0; 50])])
}

#[test]
fn either_threshold_is_enough_and_both_are_strict() {
    let at_once = |metric| limited(Metric { drift_persistence: Some(1), ..metric });
    let absolute = Metric { drift_threshold: Some(1.0), drift_percent: Some(50.0), ..Metric::default() };
    assert_eq!(at_once(absolute).letters("a", &[vec![11.0], vec![11.5], vec![8.9]]), "PDD");
    let percent = Metric { drift_threshold: Some(100.0), drift_percent: Some(10.0), ..Metric::default() };
    assert_eq!(at_once(percent).letters("a", &[vec![11.0], vec![11.1]]), "PD");
    let held_back = Metric { drift_threshold: Some(1.0), min_effect: Some(2.0), ..Metric::default() };
    assert_eq!(at_once(held_back).letters("a", &[vec![11.9], vec![12.0]]), "PD");
    let upwards = Metric { drift_threshold: Some(1.0), drift_direction: DriftDirection::Up, ..Metric::default() };
    assert_eq!(at_once(upwards).letters("a", &[vec![5.0], vec![15.0]]), "PD");
}

#[test]
fn drift_persistence_really_persists() {
    let metric = ms(Metric { drift_threshold: Some(1.0), drift_persistence: Some(5), ..Metric::default() });
    let mut world = limited(metric);
    let far = || vec![20.0];
    let near = || vec![10.0];
    assert_eq!(world.letters("a", &[far(), far(), far(), far(), near(), far(), far(), far(), far()]), "PPPPPPPPP");
    let decision = world.step(&[("a", far())]);
    assert_eq!(decision.status, Status::PassWithDrift);
    let driver = &decision.drivers[0];
    assert_eq!((driver.persistence, driver.onset.0), (5, 35));
    assert!(driver.reason.contains("10 ms (100 %) above the baseline's 10 ms"), "{}", driver.reason);
    assert!(driver.reason.contains("for 5 cycles in a row"), "{}", driver.reason);
    assert_eq!((driver.delta, driver.percent, driver.limit), (Some(10.0), Some(100.0), Some(1.0)));
}

#[test]
fn without_persistence_m_of_n_raises_and_clean_cycles_clear() {
    let mut world = limited(Metric { drift_threshold: Some(1.0), ..Metric::default() });
    let far = || vec![20.0];
    let near = || vec![10.0];
    let cycles = [far(), near(), far(), near(), near(), near(), near(), far(), near(), near(), near(), far()];
    assert_eq!(world.letters("a", &cycles), "PPDDDPPPPPPP");
}

#[test]
fn a_baseline_of_zero_has_no_per_cent_but_any_change_is_beyond_it() {
    let metric = Metric { drift_percent: Some(10.0), drift_persistence: Some(1), ..Metric::default() };
    let mut world = World::with(&[("a", metric)]);
    world.settings.drift.statistics = false;
    let mut world = world.learn(30, |_| vec![("a", vec![0.0; 50])]);
    assert_eq!(world.step(&[("a", vec![0.0])]).status, Status::Pass);
    let decision = world.step(&[("a", vec![0.5])]);
    let driver = find(&decision, Rule::DriftPercent).unwrap();
    assert_eq!((decision.status, driver.percent, driver.delta), (Status::PassWithDrift, None, Some(0.5)));
}

#[test]
fn identical_discrete_data_is_no_drift_of_the_distribution() {
    let mut world = World::with(&[("a", Metric { ks_threshold: Some(0.2), ..Metric::default() })]);
    world.settings.drift.distribution = true;
    let three = || [1.0, 2.0, 3.0].repeat(17);
    let mut world = world.learn(30, |_| vec![("a", three()), ("b", vec![1.0; 50])]);
    for _ in 0..5 {
        let decision = world.step(&[("a", three()), ("b", vec![1.0; 50])]);
        assert_eq!(decision.status, Status::Pass, "{}", decision.headline);
    }
}

#[test]
fn a_distribution_that_changes_shape_is_found() {
    let mut world = World::with(&[("a", Metric { ks_threshold: Some(0.2), ..Metric::default() })])
        .learn(30, |w| vec![("a", around(10.0, w))]);
    // The same mean and the same standard deviation, but two values.
    let two = || [10.0 - 0.577, 10.0 + 0.577].repeat(25);
    let statuses = world.letters("a", &[two(), two(), two()]);
    assert_eq!(statuses, "PDD");
}

#[test]
fn statistics_raise_in_the_second_cycle_and_clear_after_three_clean_ones() {
    let mut world = World::new().learn(30, |w| vec![("a", around(10.0, w))]);
    let normal = |w| around(10.0, w);
    let shifted = |w| around(12.0, w);
    let cycles = [normal(30), shifted(31), shifted(32), shifted(33), normal(34), normal(35), normal(36), normal(37)];
    assert_eq!(world.letters("a", &cycles), "PPDDDDPP");
    assert!(world.carry.series.is_empty());
}

#[test]
fn a_level_driver_carries_its_figures() {
    let mut world = World::with(&[("a", ms(Metric::default()))]).learn(30, |w| vec![("a", around(10.0, w))]);
    world.step(&[("a", around(12.0, 30))]);
    let decision = world.step(&[("a", around(12.0, 31))]);
    let driver = find(&decision, Rule::Level).unwrap();
    assert_eq!((driver.direction, driver.unit.as_str(), driver.persistence), (Direction::Up, "ms", 2));
    assert_eq!((driver.onset.0, driver.onset_utc.0), (30, 300 * world::SECOND));
    assert!((driver.delta.unwrap() - 2.0).abs() < 0.4 && driver.sigmas.unwrap() > 10.0 && driver.p.unwrap() < 1e-6);
    assert!(driver.next.contains("1970-01-01T00:05:00Z"), "{}", driver.next);
    assert!(decision.headline.starts_with("PASS_WITH_DRIFT: a: mean 1"), "{}", decision.headline);
}

#[test]
fn a_stuck_sensor_is_found_by_its_spread() {
    let mut world = World::new().learn(30, |w| vec![("a", around(10.0, w))]);
    world.step(&[("a", vec![10.0; 50])]);
    let decision = world.step(&[("a", vec![10.0; 50])]);
    let driver = find(&decision, Rule::Spread).unwrap();
    assert_eq!((driver.direction, driver.current), (Direction::Down, Some(0.0)));
    assert!(driver.next.contains("stuck"));
}

#[test]
fn lost_readings_and_silence_are_found() {
    let mut world = World::new().learn(30, |w| vec![("a", around(10.0, w)), ("b", around(5.0, w))]);
    let half = |w| around(10.0, w).into_iter().step_by(2).collect::<Vec<_>>();
    world.step(&[("a", half(30)), ("b", around(5.0, 30))]);
    let decision = world.step(&[("a", half(31)), ("b", around(5.0, 31))]);
    assert_eq!(find(&decision, Rule::Rate).unwrap().current, Some(25.0));
    let mut world = World::new().learn(30, |w| vec![("a", around(10.0, w)), ("b", around(5.0, w))]);
    let silent: Vec<Status> = (0..3).map(|w| world.step(&[("b", around(5.0, 40 + w))]).status).collect();
    assert_eq!(silent, [Status::Pass, Status::PassWithDrift, Status::PassWithDrift]);
}

#[test]
fn silence_never_resolves_a_failure_by_itself() {
    let metric = Metric { invariant_max: Some(20.0), ..Metric::default() };
    let mut world = World::with(&[("a", metric)]).learn(30, |w| vec![("a", around(10.0, w)), ("b", around(5.0, w))]);
    assert_eq!(world.step(&[("a", vec![30.0]), ("b", around(5.0, 30))]).status, Status::Fail);
    assert_eq!(world.step(&[]).status, Status::NoData);
    let held = world.step(&[("b", around(5.0, 32))]);
    assert_eq!(held.status, Status::Fail);
    assert!(held.drivers[0].reason.contains("nothing usable was heard since"), "{}", held.drivers[0].reason);
    let silent = world.step(&[("b", around(5.0, 33))]);
    assert_eq!(silent.status, Status::PassWithDrift);
    assert_eq!(silent.drivers[0].rule, Rule::Silent);
}

#[test]
fn counters_are_judged_by_their_rise() {
    let counter = |w: u64, rise: f64| (0..50_u32).map(|n| w as f64 * 500.0 + f64::from(n) * rise).collect::<Vec<_>>();
    let mut world = World::new().learn(30, |w| vec![("requests", counter(w, 10.0))]);
    // The level is far beyond all that was, the rise is not; nor does a restart from zero matter.
    let cycles: Vec<Vec<f64>> = (40..44).map(|w| counter(w, 10.0)).chain([counter(0, 10.0)]).collect();
    assert_eq!(world.letters("requests", &cycles), "PPPPP");
    let faster: Vec<Vec<f64>> = (50..53).map(|w| counter(w, 20.0)).collect();
    assert_eq!(world.letters("requests", &faster), "PDD");
}

#[test]
fn counters_read_once_a_cycle_are_judged_by_their_rise() {
    let mut world = World::new().learn(30, |w| vec![("requests", vec![w as f64 * 100.0])]);
    let cycles: Vec<Vec<f64>> = (30..35).map(|w| vec![f64::from(w) * 100.0]).collect();
    assert_eq!(world.letters("requests", &cycles), "PPPPP");
    assert_eq!(world.carry.before.len(), 1);
    let faster: Vec<Vec<f64>> = (0..3).map(|w| vec![3400.0 + f64::from(w + 1) * 300.0]).collect();
    assert_eq!(world.letters("requests", &faster), "PDD");
}

#[test]
fn a_new_baseline_ends_episodes_against_the_old_one_but_not_failures() {
    let metric = Metric { invariant_max: Some(11.5), ..Metric::default() };
    let mut world = World::with(&[("a", metric)]).learn(30, |w| vec![("a", around(10.0, w)), ("b", around(5.0, w))]);
    for w in 30..32 {
        world.step(&[("a", around(12.0, w)), ("b", around(7.0, w))]);
    }
    let before = world.step(&[("a", around(12.0, 32)), ("b", around(7.0, 32))]);
    assert_eq!((before.status, before.drivers.len()), (Status::Fail, 3));
    let learned = World::new().learn(30, |w| vec![("a", around(12.0, w)), ("b", around(7.0, w))]);
    world.baseline = learned.baseline;
    let after = world.step(&[("a", around(12.0, 33)), ("b", around(7.0, 33))]);
    assert_eq!(after.drivers.len(), 1);
    assert_eq!((after.drivers[0].rule, after.drivers[0].persistence), (Rule::InvariantMax, 4));
}

#[test]
fn a_stale_baseline_is_told() {
    let mut world = World::new();
    world.settings.learn.stale_after_ns = 100 * world::SECOND;
    let mut world = world.learn(30, |w| vec![("a", around(10.0, w))]);
    world.cycle = 39;
    assert_eq!(world.step(&[("a", around(10.0, 31))]).baseline_stale_sec, None);
    assert_eq!(world.step(&[("a", around(10.0, 32))]).baseline_stale_sec, Some(110));
}

#[test]
fn b1_drivers_and_faults_beyond_the_bound_are_counted() {
    let mut world = World::new();
    let names: Vec<String> = (0..150).map(|n| format!("s{n:03}")).collect();
    for name in &names {
        let metric = Metric { invariant_max: Some(0.0), ..Metric::default() };
        world.settings.registry.metrics.insert(name.clone(), metric);
    }
    let series: Vec<_> = names.iter().map(|name| (name.as_str(), vec![1.0, f64::NAN])).collect();
    let decision = world.step(&series);
    assert_eq!((decision.drivers.len(), decision.drivers_unnamed, decision.faults.len()), (100, 50, 100));
    assert!(decision.faults[99].what.contains("51 more"), "{}", decision.faults[99].what);
}

#[test]
fn w2_deciding_again_gives_the_same_bytes() {
    let run = || {
        let mut world = World::new().learn(30, |w| vec![("a", around(10.0, w)), ("b", around(5.0, w))]);
        let step = |w| {
            let decision = world.step(&[("a", around(11.0, w)), ("b", around(5.0, w))]);
            (serde_json::to_vec(&decision).unwrap(), serde_json::to_vec(&world.carry).unwrap())
        };
        (30..36).map(step).collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}
