//! Shows the page and the report with invented telemetry, to look at them and to time them.
//!
//! `gallery report FOLDER` writes reports of each kind there, `gallery serve ADDRESS` serves the page until it is killed,
//! `gallery time` says how long reports of 1,000 series take.
#![expect(clippy::print_stdout, clippy::unwrap_used, clippy::indexing_slicing, reason = "an example for developers")]

use std::sync::Arc;
use std::time::Instant;

use hb_api::report::{ReportInput, Trend, render};
use hb_api::{Check, CycleLine, Liveness, Metrics, Onlooker, ServerLimits, spawn};
use hb_core::cycle::{ClosedBy, Resume};
use hb_core::ids::{CycleNo, Epoch, Seq, WatchName};
use hb_core::journal::{FORMAT, Hash, seal};
use hb_core::mark::Mark;
use hb_core::node::fact::{Body, CycleDecided, Record, Sealed};
use hb_core::node::view::{Alarm, Role, SourceView, Totals, View, WatchView};
use hb_core::time::{SECOND_NS, Span, Stamp};
use hb_core::watch::alert::Episode;
use hb_core::watch::baseline::{BASELINE_FORMAT, Baseline, BaselineSeries, Figure, LearnedKind, Provenance};
use hb_core::watch::decide::Carry;
use hb_core::watch::decision::{BaselineRef, Counts, DataFault, Decision, Direction, Driver, Rule, Severity, Status};
use hb_core::watch::sample::FaultCause;
use hb_core::watch::summary::{SeriesSummary, SeriesTable};

const START: i64 = 1_795_340_000 * SECOND_NS;
const INTERVAL: i64 = 10 * SECOND_NS;

/// Noise in -1..1, the same each time.
fn noise(a: u64, b: u64) -> f64 {
    let mut x = a.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ b.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^= x >> 29;
    x = x.wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^= x >> 32;
    f64::from(u32::try_from(x >> 40).unwrap_or(0)) / f64::from(1 << 23) - 1.0
}

fn name(index: u64) -> String {
    match index {
        0 => "psu.bus_voltage".to_owned(),
        1 => "chamber.temperature".to_owned(),
        2 => "dut.reset_count".to_owned(),
        _ => format!("plant{:02}.line{}.sensor_{index:04}", index / 50, index / 10 % 5),
    }
}

fn usual(index: u64) -> f64 {
    match index {
        0 => 28.0,
        1 => 21.5,
        2 => 0.0,
        _ => 50.0 + noise(index, 7).abs() * 400.0,
    }
}

fn unit(index: u64) -> &'static str {
    match index {
        0 => "V",
        1 => "°C",
        _ => "",
    }
}

fn limit(rule: Rule) -> Option<f64> {
    if rule == Rule::InvariantMax { Some(30.0) } else { (rule == Rule::FailThreshold).then_some(0.0) }
}

fn row(index: u64, cycle: u64) -> SeriesSummary {
    let level = usual(index);
    let drift =
        if index < 2 && cycle > 70 { level * 0.02 * f64::from(u32::try_from(cycle - 70).unwrap().min(8)) } else { 0.0 };
    let mean =
        if index == 2 { f64::from(u8::from(cycle > 76)) } else { level * (1.0 + 0.004 * noise(index, cycle)) + drift };
    let sd = level * 0.01;
    let start = START + i64::try_from(cycle).unwrap() * INTERVAL;
    SeriesSummary {
        name: name(index).into(),
        unit: unit(index).into(),
        n: 100,
        mean,
        sd,
        min: mean - 2.6 * sd,
        max: mean + 2.4 * sd,
        first: mean,
        first_at: Stamp(start),
        last: mean + sd * noise(cycle, index),
        last_at: Stamp(start + INTERVAL - SECOND_NS / 10),
        increase: 0.0,
        changes: 99,
        falls: 48,
        not_finite: u32::from(index == 5),
        unit_faults: 0,
        kept: spread_out(mean, sd, 1.0 + drift / (level + 1.0) * 6.0),
    }
}

/// Readings evenly spread and then pulled apart by `factor`.
fn spread_out(mean: f64, sd: f64, factor: f64) -> Vec<f64> {
    (0..100).map(|k| mean + sd * factor * (f64::from(k) / 33.0 - 1.5)).collect()
}

fn baseline(series: u64) -> Baseline {
    let one = |index: u64| {
        let level = usual(index);
        let figure =
            |mean: f64, sd: f64| Figure { k: 30, mean, sd, min: mean - 2.1 * sd, max: mean + 2.2 * sd, memory: 0.0 };
        let known = BaselineSeries {
            kind: LearnedKind::Gauge,
            unit: "".into(),
            samples: 3_000,
            sd_within: level * 0.01,
            level: figure(level, level * 0.0025),
            speed: None,
            spread: figure((level * 0.01).max(1e-9).ln(), 0.07),
            rate: figure(100.0, 0.4),
            extremes: [level * 0.98, level * 1.02, level],
            distance: None,
            kept: spread_out(level, level * 0.01, 1.0),
            stable: true,
            season: None,
        };
        (name(index).into(), known)
    };
    let span = Span { start: Stamp(START - 30 * INTERVAL), end: Stamp(START) };
    Baseline {
        format: BASELINE_FORMAT,
        provenance: Provenance {
            from: "cycles 0..30 of bench".to_owned(),
            span,
            windows: 30,
            window_ns: INTERVAL,
            samples: 3_000 * series,
            by: "auto".to_owned(),
        },
        series: (0..series).map(one).collect(),
    }
}

fn driver(index: u64, cycle: u64, rule: Rule, severity: Severity) -> Driver {
    let (now, before) = (row(index, cycle).mean, usual(index));
    let delta = now - before;
    Driver {
        series: name(index),
        rule,
        severity,
        direction: Direction::Up,
        unit: unit(index).to_owned(),
        current: Some(now),
        baseline: Some(before),
        delta: Some(delta),
        percent: (before > 0.0).then(|| delta / before * 100.0),
        sigmas: (before > 0.0).then(|| delta / (before * 0.0025)),
        p: (rule == Rule::Level).then_some(3.1e-9),
        limit: limit(rule),
        onset: CycleNo(72),
        onset_utc: Stamp(START + 72 * INTERVAL),
        persistence: u32::try_from(cycle.saturating_sub(71)).unwrap(),
        score: delta,
        reason: format!(
            "its mean of {now:.2} stands {delta:.2} above the {before:.2} that the baseline's 30 windows had on average"
        ),
        next: "compare with psu.bus_current, which moved in the same cycle, and with what was changed at 10:12"
            .to_owned(),
    }
}

fn status(cycle: u64) -> Status {
    match cycle {
        0..30 => Status::NoBaseline,
        48..51 => Status::NoData,
        72..77 => Status::PassWithDrift,
        77.. => Status::Fail,
        _ => Status::Pass,
    }
}

fn drivers(cycle: u64) -> Vec<Driver> {
    match status(cycle) {
        Status::Fail => vec![
            driver(2, cycle, Rule::FailThreshold, Severity::Fail),
            driver(0, cycle, Rule::InvariantMax, Severity::Fail),
            driver(0, cycle, Rule::Level, Severity::Drift),
            driver(1, cycle, Rule::Distribution, Severity::Drift),
        ],
        Status::PassWithDrift => {
            vec![driver(0, cycle, Rule::Level, Severity::Drift), driver(1, cycle, Rule::Trend, Severity::Notice)]
        }
        Status::Pass | Status::NoData | Status::NoBaseline => Vec::new(),
    }
}

fn headline(cycle: u64, series: u64) -> String {
    match status(cycle) {
        Status::Pass => format!("{series} series behave as the baseline did"),
        Status::PassWithDrift => "psu.bus_voltage has been rising since cycle 72".to_owned(),
        Status::Fail => "dut.reset_count is above its limit of 0, psu.bus_voltage above its maximum of 30 V".to_owned(),
        Status::NoData => "nothing has arrived for 30 s".to_owned(),
        Status::NoBaseline => format!("learning, {} more cycles", 30 - cycle.min(30)),
    }
}

fn decided(cycle: u64, series: u64) -> CycleDecided {
    let status = status(cycle);
    let start = START + i64::try_from(cycle).unwrap() * INTERVAL;
    let mut rows: Vec<_> = (0..series).map(|index| row(index, cycle)).collect();
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    if status == Status::NoData {
        rows.clear();
    }
    let mut counts = Counts {
        delivered_total: (cycle + 1) * 100 * series,
        pending: 250,
        late: 12,
        late_max_ns: 3_200_000_000,
        ..Counts::default()
    };
    counts.window.samples = 100 * rows.len() as u64;
    counts.window.not_finite = 3;
    counts.faults.insert(FaultCause::Malformed, 2);
    let faults = if status == Status::Fail {
        vec![DataFault { series: name(5), what: "1 reading was not a number".to_owned() }]
    } else {
        Vec::new()
    };
    let reference = BaselineRef { tag: "golden".to_owned(), version: 3, hash: Hash::of(b"baseline") };
    let end = Stamp(start + INTERVAL);
    CycleDecided {
        watch: "bench".into(),
        decision: Decision {
            cycle: CycleNo(cycle),
            span: Span { start: Stamp(start), end },
            status,
            headline: headline(cycle, series),
            drivers: drivers(cycle),
            drivers_unnamed: 0,
            faults,
            counts,
            baseline: (cycle >= 30).then(|| reference.clone()),
            baseline_stale_sec: None,
            learning_left: (cycle < 30).then(|| u32::try_from(30 - cycle).unwrap()),
            settings: Hash::of(b"settings"),
            series: SeriesTable { rows },
        },
        digest: Hash::of(b"digest"),
        closed_by: ClosedBy::Watermark,
        resume: Resume {
            mark: Mark::default(),
            closed: 0,
            lag_ns: 0,
            anchored: true,
            next_start: end,
            horizons: Vec::new(),
            ended: false,
            reread: None,
            reopened: None,
        },
        carry: Carry::default(),
        learning: None,
        baseline: (cycle >= 30).then_some(reference),
        alert: None,
        episode: Episode { status, since: Stamp(START + 72 * INTERVAL), seen: Vec::new(), stale_told: false },
        undelivered: Vec::new(),
    }
}

fn sealed(cycle: u64, series: u64) -> Sealed {
    seal(Record {
        format: FORMAT,
        stream: "watch/bench".into(),
        seq: Seq(cycle + 1),
        epoch: Epoch(2),
        at: Stamp(START + i64::try_from(cycle + 1).unwrap() * INTERVAL),
        node: "bench-a".into(),
        prev: Hash::of(b"before"),
        body: Body::CycleDecided(Arc::new(decided(cycle, series))),
    })
}

fn trend(to: u64, series: u64) -> Trend {
    let mut trend = Trend::default();
    (0..=to).for_each(|cycle| trend.push(&decided(cycle, series)));
    trend
}

fn report(folder: &str) {
    let baseline = baseline(60);
    for (cycle, what) in [(78, "fail"), (74, "drift"), (60, "pass"), (49, "no_data"), (3, "no_baseline")] {
        let (sealed, trend) = (sealed(cycle, 60), trend(cycle, 60));
        let input = ReportInput::new(&sealed, (cycle >= 30).then_some(&baseline), &trend).unwrap();
        let rendered = render(&input);
        std::fs::write(format!("{folder}/{what}.html"), &rendered.html).unwrap();
        std::fs::write(format!("{folder}/{what}.json"), &rendered.json).unwrap();
        println!("{what}: {} bytes of HTML, {} of JSON", rendered.html.len(), rendered.json.len());
    }
}

fn time() {
    let (baseline, trend) = (baseline(1_000), trend(78, 1_000));
    for cycle in [60, 78] {
        let sealed = sealed(cycle, 1_000);
        let input = ReportInput::new(&sealed, Some(&baseline), &trend).unwrap();
        let mut times: Vec<_> = (0..200)
            .map(|_| {
                let start = Instant::now();
                let rendered = render(&input);
                (start.elapsed(), rendered.html.len() + rendered.json.len())
            })
            .collect();
        times.sort();
        println!("{}: median {:?}, p95 {:?}, {} bytes", status(cycle), times[100].0, times[190].0, times[100].1);
    }
    let (mut trend, newest) = (trend, decided(79, 1_000));
    let start = Instant::now();
    trend.push(&newest);
    println!("remembering a cycle: {:?}", start.elapsed());
}

struct Invented(Arc<View>);

impl Onlooker for Invented {
    fn view(&self) -> Arc<View> {
        Arc::clone(&self.0)
    }

    fn checks(&self) -> Vec<Check> {
        let full = "/var/lib/hb/runs.db: no space left on device: free some, the watch goes on meanwhile";
        vec![
            Check::passed("config"),
            Check::passed("journal"),
            Check::failed("db", full),
            Check::passed("source.bench"),
        ]
    }

    fn liveness(&self) -> Liveness {
        Liveness { alive: true, reason: None, since_progress_ms: 12, bound_ms: 5_000 }
    }

    fn metrics(&self) -> Metrics {
        Metrics::default()
    }

    fn recent(&self, watch: &WatchName, newest: usize) -> Vec<CycleLine> {
        let last = if watch.as_str() == "bench" { 78 } else { 70 };
        let from = (last + 1) - u64::try_from(newest).unwrap().min(last + 1);
        (from..=last).filter_map(|cycle| CycleLine::of(&sealed(cycle, 3))).collect()
    }
}

fn view() -> View {
    let watch = |name: &str, cycle: u64, source: SourceView| {
        let last = decided(cycle, 60);
        WatchView {
            name: name.into(),
            cycle: Some(CycleNo(cycle)),
            status: Some(last.decision.status),
            baseline: last.baseline.clone(),
            last: Some(Arc::new(last)),
            seq: Some(Seq(cycle + 1)),
            epoch: Epoch(2),
            lag_seconds: 1.4,
            source,
            undelivered: u64::from(cycle == 78),
            totals: Totals::default(),
        }
    };
    View {
        node: Some("bench-a".into()),
        role: Role::Active,
        epoch: Epoch(2),
        watches: vec![
            watch("bench", 78, SourceView::Open),
            watch("chamber", 70, SourceView::Open),
            watch(
                "host",
                50,
                SourceView::Failed {
                    reason: "/proc/pressure/cpu cannot be read: start the kernel with psi=1".to_owned(),
                },
            ),
        ],
        alarms: vec![Alarm {
            name: "view.db".to_owned(),
            what: "runs.db cannot be written: no space left on device".to_owned(),
            since: Stamp(START + 76 * INTERVAL),
            count: 3,
        }],
        ..View::default()
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["report", folder] => report(folder),
        ["time"] => time(),
        ["serve", address] => {
            let listener = std::net::TcpListener::bind(address).unwrap();
            let server = spawn(listener, Arc::new(Invented(Arc::new(view()))), ServerLimits::default()).unwrap();
            println!("http://{}/", server.addr());
            std::thread::park();
        }
        _ => println!("gallery report FOLDER | time | serve ADDRESS"),
    }
}
