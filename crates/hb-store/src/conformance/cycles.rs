//! Decided cycles to fill a journal with.

use std::sync::Arc;

use hb_core::cycle::{ClosedBy, Resume};
use hb_core::ids::{CycleNo, Epoch, Seq, StreamName, WatchName};
use hb_core::journal::{FORMAT, Hash, seal};
use hb_core::mark::Mark;
use hb_core::node::fact::{Body, CycleDecided, Record, Sealed};
use hb_core::time::{SECOND_NS, Span, Stamp};
use hb_core::watch::alert::{Alert, AlertCause, Episode, Urgency};
use hb_core::watch::decide::Carry;
use hb_core::watch::decision::{Counts, Decision, Direction, Driver, Rule, Severity, Status};
use hb_core::watch::summary::{SeriesSummary, SeriesTable};

/// The watch that [`decided`] decides for.
#[must_use]
pub fn watch() -> WatchName {
    "bench".into()
}

/// The record of cycle `number` of watch `bench` at the same `seq`, after a record with hash `prev`. Every fifth cycle
/// fails and makes an alert; each has two series.
#[must_use]
fn decided(number: u64, prev: Hash) -> Sealed {
    let watch = watch();
    let start = Stamp(1_700_000_000 * SECOND_NS).plus_ns(i64::try_from(number).unwrap_or(0).saturating_mul(SECOND_NS));
    let span = Span { start, end: start.plus_ns(SECOND_NS) };
    let status = if number % 5 == 4 { Status::Fail } else { Status::Pass };
    let decision = decision(CycleNo(number), span, status);
    let body = CycleDecided {
        digest: Hash::of(&serde_json::to_vec(&decision).expect("a decision is plain data")),
        alert: (status == Status::Fail).then(|| alert(&watch, &decision)),
        decision,
        closed_by: ClosedBy::Watermark,
        resume: Resume {
            mark: Mark { position: number.saturating_mul(100), token: "t".into() },
            closed: number,
            lag_ns: 0,
            anchored: true,
            next_start: span.end,
            horizons: Vec::new(),
            ended: false,
            reread: None,
            reopened: None,
        },
        carry: Carry::default(),
        learning: None,
        baseline: None,
        episode: Episode { status, since: start, seen: Vec::new(), stale_told: false },
        undelivered: Vec::new(),
        watch: watch.clone(),
    };
    seal(Record {
        format: FORMAT,
        stream: StreamName::watch(&watch),
        seq: Seq(number),
        epoch: Epoch(1),
        at: span.end.plus_ns(SECOND_NS / 8),
        node: "a".into(),
        prev,
        body: Body::CycleDecided(Arc::new(body)),
    })
}

/// The first `count` decided cycles, chained.
#[must_use]
pub fn cycles(count: u64) -> Vec<Sealed> {
    let mut prev = Hash::ZERO;
    let numbers = 0..count;
    numbers
        .map(|number| {
            let sealed = decided(number, prev);
            prev = sealed.hash;
            sealed
        })
        .collect()
}

fn decision(cycle: CycleNo, span: Span, status: Status) -> Decision {
    let mut counts = Counts::default();
    counts.window.samples = 20;
    counts.late = 1;
    let drivers = if status == Status::Fail { vec![driver(cycle, span)] } else { Vec::new() };
    Decision {
        cycle,
        span,
        status,
        headline: format!("cycle {cycle} is {status}"),
        drivers,
        drivers_unnamed: 0,
        faults: Vec::new(),
        counts,
        baseline: None,
        baseline_stale_sec: None,
        learning_left: None,
        settings: Hash::of(b"settings"),
        series: SeriesTable { rows: vec![series("current", span), series("temperature", span)] },
    }
}

fn driver(cycle: CycleNo, span: Span) -> Driver {
    Driver {
        series: "temperature".to_owned(),
        rule: Rule::FailThreshold,
        severity: Severity::Fail,
        direction: Direction::Up,
        unit: "C".to_owned(),
        current: Some(91.5),
        baseline: None,
        delta: None,
        percent: None,
        sigmas: None,
        p: None,
        limit: Some(90.0),
        onset: cycle,
        onset_utc: span.start,
        persistence: 1,
        score: 1.5,
        reason: "91.5 C is above 90 C".to_owned(),
        next: "look at the fan".to_owned(),
    }
}

fn series(name: &str, span: Span) -> SeriesSummary {
    SeriesSummary {
        name: name.into(),
        unit: "A".into(),
        n: 10,
        mean: 1.25,
        sd: 0.5,
        min: 0.0,
        max: 2.5,
        first: 0.0,
        first_at: span.start,
        last: 2.5,
        last_at: span.start,
        increase: 2.5,
        changes: 3,
        falls: 0,
        not_finite: 0,
        unit_faults: 0,
        kept: Vec::new(),
    }
}

fn alert(watch: &WatchName, decision: &Decision) -> Alert {
    Alert {
        key: format!("{watch}/{}", decision.cycle),
        cause: AlertCause::Changed,
        severity: Urgency::Fail,
        watch: watch.clone(),
        cycle: decision.cycle,
        span: decision.span,
        status: decision.status,
        before: None,
        headline: decision.headline.clone(),
        series: vec!["temperature".to_owned()],
        since: decision.span.start,
    }
}
