//! Whatever arrives, a decision is finite, says the same twice, and reads back from its record as it was.

#![expect(clippy::unwrap_used, reason = "only tests use this")]

#[path = "support/world.rs"]
mod world;

use std::sync::Arc;

use hb_core::time::Stamp;
use hb_core::watch::baseline::{Baseline, Learner, Material};
use hb_core::watch::compare::compare;
use hb_core::watch::decide::Carry;
use hb_core::watch::decision::{Decision, NAMED_MAX, Severity, Status};
use hb_core::watch::registry::{Aggregate, DriftDirection, Metric, SeriesKind};
use hb_core::watch::summary::{SeriesSummary, SeriesTable};
use hb_core::watch::window::{Admission, Keep, Window};
use proptest::prelude::*;
use world::World;

/// Plain numbers, and all the edges of what a float can be.
fn value() -> impl Strategy<Value = f64> {
    let edges = vec![
        0.0,
        -0.0,
        1.0,
        -1.0,
        f64::MAX,
        f64::MIN,
        f64::MIN_POSITIVE,
        5e-324,
        f64::EPSILON,
        1e300,
        -1e300,
        1e-300,
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
    ];
    prop_oneof![4 => -10.0..10.0, 2 => prop::sample::select(edges), 1 => any::<f64>()]
}

/// Up to four series with up to a dozen readings.
fn cycle() -> impl Strategy<Value = Vec<(usize, Vec<f64>)>> {
    prop::collection::vec((0..5_usize, prop::collection::vec(value(), 0..12)), 0..5)
}

fn limit() -> impl Strategy<Value = Option<f64>> {
    prop::option::weighted(0.3, value().prop_filter("limits are finite", |value| value.is_finite()))
}

prop_compose! {
    fn metric()(
        levels in [limit(), limit(), limit(), limit()],
        distances in [limit(), limit(), limit(), limit()],
        critical in any::<bool>(),
        persistence in prop::option::of(0..40_u32),
        kind in prop::sample::select(vec![SeriesKind::Auto, SeriesKind::Gauge, SeriesKind::Counter]),
        aggregate in prop::sample::select(vec![Aggregate::Mean, Aggregate::Last, Aggregate::Min, Aggregate::Max]),
        way in prop::sample::select(vec![DriftDirection::Both, DriftDirection::Up, DriftDirection::Down]),
    ) -> Metric {
        let [fail_threshold, invariant_min, invariant_max, invariant_eq] = levels;
        let [drift_threshold, drift_percent, min_effect, ks_threshold] = distances;
        Metric {
            fail_threshold, invariant_min, invariant_max, invariant_eq, critical, kind, aggregate,
            drift_threshold, drift_percent, min_effect, ks_threshold,
            drift_persistence: persistence, drift_direction: way, unit: critical.then(|| "ms".to_owned()),
            ..Metric::default()
        }
    }
}

const NAMES: [&str; 5] = ["a", "b", "c", "d_total", "e"];

fn table(series: &[(usize, Vec<f64>)], start: Stamp) -> SeriesTable {
    let mut window = Window::default();
    for (index, values) in series {
        for (tick, value) in (0_i64..).zip(values) {
            let rule = Admission { series_max: 4, keep: Keep::Samples };
            window.push(*index, start.plus_ns(tick * 1_000_000), *value, rule);
            if value.is_nan() {
                window.push_unit_fault(*index, rule);
            }
        }
    }
    let row = |(index, name): (usize, &&str)| {
        let unit: Arc<str> = if index == 1 { "s".into() } else { "".into() };
        window.get(index).map(|moments| SeriesSummary::of((*name).into(), unit, moments))
    };
    SeriesTable { rows: NAMES.iter().enumerate().filter_map(row).collect() }
}

/// JSON cannot hold what is not finite: serde_json writes `null` for it, which does not read back.
fn check(decision: &Decision, carry: &Carry) {
    let text = serde_json::to_string(decision).unwrap();
    let back: Decision = serde_json::from_str(&text).unwrap();
    assert_eq!(&back, decision);
    let text = serde_json::to_string(carry).unwrap();
    assert_eq!(&serde_json::from_str::<Carry>(&text).unwrap(), carry);
    assert!(decision.drivers.len() <= NAMED_MAX && decision.faults.len() <= NAMED_MAX);
    let fails = decision.drivers.iter().any(|driver| driver.severity == Severity::Fail);
    assert_eq!(fails, decision.status == Status::Fail);
    for driver in &decision.drivers {
        let figures =
            [driver.current, driver.baseline, driver.delta, driver.percent, driver.sigmas, driver.p, driver.limit];
        assert!(figures.into_iter().flatten().all(f64::is_finite) && driver.score.is_finite(), "{driver:?}");
        assert!(!driver.reason.is_empty() && !driver.next.is_empty());
    }
    if decision.status == Status::Pass {
        assert!(decision.baseline.is_some(), "a PASS without anything to compare with");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_arrives_the_decision_is_finite_and_reads_back(
        normal in prop::collection::vec(cycle(), 0..40),
        live in prop::collection::vec(cycle(), 1..8),
        metrics in prop::collection::vec(metric(), 0..4),
        distribution in any::<bool>(),
        windows in 1..60_u32,
    ) {
        let mut world = World::new();
        for (name, metric) in NAMES.iter().zip(&metrics) {
            world.settings.registry.metrics.insert((*name).to_owned(), metric.clone());
        }
        world.settings.drift.distribution = distribution;
        let mut learner = Learner::default();
        for series in normal.iter().cycle().take(normal.len().max(usize::try_from(windows).unwrap()).min(normal.len() * 60)) {
            let table = table(series, world.span().start);
            learner.push(Material { span: world.span(), series: &table, failed: false });
            world.cycle += 1;
        }
        let (baseline, gates) = learner.finish("x", "x", &world.settings.learn);
        prop_assert_eq!(gates.len(), 5);
        if let Some(baseline) = baseline {
            let bytes = baseline.to_bytes();
            let hash = hb_core::journal::Hash::of(&bytes);
            prop_assert_eq!(&Baseline::from_bytes(&bytes, hash).unwrap(), &baseline);
            prop_assert!(baseline.diff(&baseline).is_empty());
            world.baseline = Some((baseline, hb_core::watch::decision::BaselineRef { tag: "t".into(), version: 1, hash }));
        }
        for series in &live {
            let table = table(series, world.span().start);
            let (decision, carry) = world.try_table(table.clone());
            prop_assert_eq!(&world.try_table(table), &(decision.clone(), carry.clone()));
            check(&decision, &carry);
            // Going on from a record is going on from memory.
            world.carry = serde_json::from_str(&serde_json::to_string(&carry).unwrap()).unwrap();
            world.cycle += 1;
        }
        let tables = |cycles: &[Vec<(usize, Vec<f64>)>]| {
            cycles.iter().map(|series| (world.span(), table(series, world.span().start))).collect::<Vec<_>>()
        };
        let compared = compare(&tables(&normal), &tables(&live), (&world.settings, world.settings.hash()));
        check(&compared, &Carry::default());
    }
}
