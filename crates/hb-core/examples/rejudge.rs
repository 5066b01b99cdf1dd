//! Decides recorded cycles once more: what this version, with its defaults, would have said of them.
//!
//! `cargo run --release -p hb-core --example rejudge OUTPUT_DIR/journal/watch/NAME [LEARNED [SKIPPED]]`
//!
//! After SKIPPED cycles (0), LEARNED ones (30) teach the baseline, and the others are decided against it. Only what the records hold goes in:
//! spans and series.
#![expect(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a program for the terminal that reads files"
)]

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};

use hb_core::ids::CycleNo;
use hb_core::journal::Hash;
use hb_core::time::Span;
use hb_core::watch::baseline::{Learner, Material};
use hb_core::watch::decide::{Carry, Case, decide};
use hb_core::watch::decision::{BaselineRef, Counts, Severity, Status};
use hb_core::watch::settings::WatchSettings;
use hb_core::watch::summary::SeriesTable;
use serde::Deserialize;

/// What is needed of a record; other kinds of records have no decision.
#[derive(Deserialize)]
struct Record {
    body: Body,
}

#[derive(Deserialize)]
struct Body {
    decision: Option<Recorded>,
}

#[derive(Deserialize)]
struct Recorded {
    span: Span,
    series: SeriesTable,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let folder = args.first().ok_or("give the folder of a watch's stream: OUTPUT_DIR/journal/watch/NAME")?;
    let cycles = read(Path::new(folder))?;
    let first = cycles.iter().find(|cycle| !cycle.series.rows.is_empty()).ok_or("no cycle with data")?;
    let mut settings = WatchSettings::named("rejudged", first.span.end.since_ns(first.span.start));
    settings.learn.cycles = args.get(1).map_or(Ok(settings.learn.cycles), |text| text.parse())?;

    let mut learner = Learner::default();
    let mut left = cycles.iter().skip(args.get(2).map_or(Ok(0), |text| text.parse())?);
    while learner.windows() < settings.learn.cycles {
        let cycle = left.next().ok_or("fewer cycles than are to be learned from")?;
        learner.push(Material { span: cycle.span, series: &cycle.series, failed: false });
    }
    let (baseline, gates) = learner.finish("records", "rejudge", &settings.learn);
    let baseline = baseline.ok_or("nothing was learned")?;
    let hash = Hash::of(&baseline.to_bytes());
    for gate in gates.iter().filter(|gate| !gate.passed) {
        println!("gate {} is closed: {}", gate.name, gate.detail);
    }
    let mut tally = Tally::default();
    let mut carry = Carry::default();
    for (number, cycle) in (0_u64..).zip(left) {
        let reference = BaselineRef { tag: "golden".into(), version: 1, hash };
        let case = Case {
            cycle: CycleNo(number),
            span: cycle.span,
            series: cycle.series.clone(),
            counts: Counts::default(),
            faults: Vec::new(),
            baseline: Some((&baseline, reference)),
            missing: None,
            learning_left: None,
            settings: (&settings, Hash::of(b"settings")),
        };
        let (decision, next) = decide(case, &carry);
        carry = next;
        tally.take(&decision);
    }
    tally.tell();
    Ok(())
}

fn read(folder: &Path) -> Result<Vec<Recorded>, Box<dyn Error>> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "rec"));
    files.sort();
    let mut cycles = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file)?;
        let line = text.lines().next().ok_or_else(|| format!("{} is empty", file.display()))?;
        let record: Record = serde_json::from_str(line).map_err(|fault| format!("{}: {fault}", file.display()))?;
        cycles.extend(record.body.decision);
    }
    Ok(cycles)
}

/// What was said, by status and by series and rule.
#[derive(Default)]
struct Tally {
    statuses: BTreeMap<&'static str, u64>,
    series_cycles: usize,
    alarms: usize,
    small: usize,
    episodes: BTreeMap<(String, &'static str), (u64, u64, String)>,
}

impl Tally {
    fn take(&mut self, decision: &hb_core::watch::decision::Decision) {
        *self.statuses.entry(decision.status.as_str()).or_default() += 1;
        self.series_cycles += decision.series.rows.len();
        let mut named: Vec<&str> = Vec::new();
        for driver in decision.drivers.iter().filter(|driver| driver.severity != Severity::Notice) {
            named.push(&driver.series);
            let level = driver.rule == hb_core::watch::decision::Rule::Level;
            self.small += usize::from(level && driver.percent.is_some_and(|percent| percent.abs() < 2.0));
            let seen = self.episodes.entry((driver.series.clone(), driver.rule.as_str())).or_default();
            seen.0 += 1;
            if decision.cycle.0 == 0 || driver.persistence <= 2 {
                seen.1 += 1;
                seen.2.clone_from(&driver.reason);
            }
        }
        named.sort_unstable();
        named.dedup();
        self.alarms += named.len();
    }

    fn tell(&self) {
        let cycles: u64 = self.statuses.values().sum();
        let quiet = self.statuses.get(Status::Pass.as_str()).copied().unwrap_or(0);
        println!("{cycles} cycles decided, {quiet} of them PASS; {:?}", self.statuses);
        let per_1000 = self.alarms as f64 * 1000.0 / self.series_cycles.max(1) as f64;
        println!("{} alarms standing in {} series-cycles: {per_1000:.2} per 1,000", self.alarms, self.series_cycles);
        println!("{} of them levels less than 2 % off", self.small);
        println!("\n{:>7}  {:<28} {:<14} last raised for", "cycles", "series", "rule");
        let mut rows: Vec<_> = self.episodes.iter().collect();
        rows.sort_by_key(|(name, (cycles, _, _))| (std::cmp::Reverse(*cycles), (*name).clone()));
        for ((series, rule), (cycles, _, reason)) in rows {
            println!("{cycles:>7}  {series:<28} {rule:<14} {reason}");
        }
    }
}
