//! Does anything drift? Each figure is held against an allowance that is stated beside it.
//!
//! Memory: the median slope between all pairs of readings in the second half of the run (Theil and Sen), of the process that lived longest in it, times that time; and what
//! processes have at the same age, early and late. Descriptors and threads: their means in the last quarter and in the second, role by role. Disk: as memory where a
//! bound has been reached, else whether it grows faster than before. Latency: the 99th percentile of the last quarter and of the second.

use std::fmt;

use super::history::{History, Line};
use super::robust::{quantile, slope, within};

/// The nodes.
pub(crate) const NODES: [&str; 2] = ["a", "b"];
/// Shortest part of a process's life, in seconds, that says something about growth.
const LIFE_MIN: f64 = 600.0;
/// Fewest readings in a quarter that have a percentile.
const READINGS_MIN: usize = 20;
/// Megabytes that memory may grow by, or this share of what it is, whichever is more.
const MEMORY: (f64, f64) = (2.0, 0.05);
/// The same of a folder that has reached its bound.
const DISK: (f64, f64) = (1.0, 0.10);
/// What a history in a database may grow faster by than before: a share, and megabytes an hour.
const HISTORY: (f64, f64) = (0.25, 1.0);
/// Difference of a mean that is none, of descriptors and threads: less than one that is left.
const EQUAL: f64 = 0.99;
/// What a latency's percentile may rise by: a share, and milliseconds.
const LATENCY: (f64, f64) = (0.5, 10.0);
/// A pause between two looks so many times the usual one is time that nobody was given.
const GAP_MAX: f64 = 4.0;
/// Share of a run that may be lost so.
const STARVED: f64 = 0.1;
/// Age of processes that are compared, in seconds.
const AGE: (f64, f64) = (60.0, 150.0);
/// Parts of the folder whose bounds (500,000 rows) lie beyond a day.
const HISTORIES: [&str; 2] = ["disk.supervisor.db_mb", "disk.runs.db_mb"];
/// How long the machine itself takes to make 4 kB durable: the control of latencies.
pub(crate) const CONTROL: &str = "machine.fsync_ms";

/// What became of a figure.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Verdict {
    Holds,
    Drifts,
    /// It cannot be told, and why.
    Open(String),
}

/// One figure that was judged.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Finding {
    /// What is judged: a figure, whose, and how.
    pub(crate) what: String,
    /// As it was, and as it is.
    pub(crate) before: f64,
    pub(crate) after: f64,
    /// By how much it may be more.
    pub(crate) allowed: f64,
    pub(crate) unit: &'static str,
    pub(crate) verdict: Verdict,
}

impl Finding {
    fn of(what: String, (before, after): (f64, f64), allowed: f64, unit: &'static str) -> Self {
        let verdict = if after - before <= allowed { Verdict::Holds } else { Verdict::Drifts };
        Self { what, before, after, allowed, unit, verdict }
    }

    fn open(what: String, unit: &'static str, why: String) -> Self {
        Self { what, before: f64::NAN, after: f64::NAN, allowed: f64::NAN, unit, verdict: Verdict::Open(why) }
    }

    /// By how much it became more.
    pub(crate) fn growth(&self) -> f64 {
        self.after - self.before
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Holds => f.write_str("holds"),
            Self::Drifts => f.write_str("DRIFTS"),
            Self::Open(why) => write!(f, "open: {why}"),
        }
    }
}

/// The whole: the worst of them.
pub(crate) fn overall(findings: &[Finding]) -> Verdict {
    if findings.iter().any(|one| one.verdict == Verdict::Drifts) {
        return Verdict::Drifts;
    }
    let open = findings.iter().filter(|one| matches!(one.verdict, Verdict::Open(_))).count();
    match (open, findings.len()) {
        (0, 1..) => Verdict::Holds,
        (open, all) => Verdict::Open(format!("{open} of {all} figures could not be judged")),
    }
}

/// Judges all of it. A run that the machine gave too little time shows nothing: neither that something drifts, nor that nothing does.
pub(crate) fn judge(history: &History) -> Vec<Finding> {
    let mut findings = each(history);
    if let Some(why) = starved(history) {
        findings.iter_mut().for_each(|one| one.verdict = Verdict::Open(why.clone()));
    }
    findings
}

/// Why a run shows nothing: looks, which are due every few seconds, did not come about for much of it.
fn starved(history: &History) -> Option<String> {
    let looks = history.line("site", CONTROL);
    let gaps = looks.windows(2).filter_map(|pair| Some(pair.last()?.0 - pair.first()?.0));
    let usual = quantile(&mut gaps.clone().collect::<Vec<_>>(), 0.5)?;
    let lost: f64 = gaps.filter(|gap| *gap > GAP_MAX * usual).sum();
    let share = lost / history.length().max(1.0);
    (share > STARVED).then(|| format!("starved: for {lost:.0} s in all the machine gave nobody the time to look"))
}

fn each(history: &History) -> Vec<Finding> {
    let mut findings = Vec::new();
    for node in NODES {
        for figure in ["rss_mb", "anon_mb"] {
            findings.push(grown(history, node, figure));
            findings.extend(as_old(history, node, figure));
        }
        for figure in ["descriptors", "threads"] {
            findings.extend(equal(history, node, figure));
        }
    }
    for figure in history.figures("site", "disk.") {
        findings.push(if HISTORIES.contains(&figure.as_str()) {
            paced(history, &figure)
        } else {
            bounded(history, &figure)
        });
    }
    findings.push(bounded_count(history, "records"));
    for who in NODES.into_iter().chain(["site"]) {
        let names = history.figures(who, "").into_iter();
        findings.extend(
            names.filter(|name| name.ends_with("_ms") && name != CONTROL).map(|name| latency(history, who, &name)),
        );
    }
    findings
}

fn more_of((least, share): (f64, f64), of: f64) -> f64 {
    least.max(share * of)
}

/// What a line does from `from` on: its median, and how much it grows by.
fn growth(line: &[(f64, f64)], from: f64) -> Option<(f64, f64, f64)> {
    let late: Line = line.iter().copied().filter(|(at, _)| *at >= from).collect();
    let length = late.last()?.0 - late.first()?.0;
    let middle = quantile(&mut late.iter().map(|(_, value)| *value).collect::<Vec<_>>(), 0.5)?;
    Some((middle, slope(&late)? * length, length))
}

/// Memory of the process that lived longest in the second half.
fn grown(history: &History, node: &str, figure: &str) -> Finding {
    let what = format!("{figure} of {node}, second half");
    let lives = history.lines(node, figure);
    let longest =
        lives.values().filter_map(|line| growth(line, history.length() / 2.0)).max_by(|a, b| a.2.total_cmp(&b.2));
    match longest {
        Some((middle, growth, length)) if length >= LIFE_MIN => {
            Finding::of(what, (middle, middle + growth), more_of(MEMORY, middle), "MB")
        }
        Some((.., length)) => {
            Finding::open(what, "MB", format!("no process of it lived {LIFE_MIN} s in it, but {length:.0} s"))
        }
        None => Finding::open(what, "MB", "nothing was measured".into()),
    }
}

/// Memory of processes of the same age that began in the second quarter and in the last one; nothing where none did.
fn as_old(history: &History, node: &str, figure: &str) -> Option<Finding> {
    let quarter = history.length() / 4.0;
    let lives = history.lines(node, figure);
    let of = |from: f64, to: f64| {
        let mut all: Vec<f64> = Vec::new();
        for line in lives.values() {
            let Some((born, _)) = line.first().filter(|(born, _)| (from..to).contains(born)) else { continue };
            all.extend(within(line, born + AGE.0, born + AGE.1));
        }
        if all.len() < 5 { None } else { quantile(&mut all, 0.5) }
    };
    let (before, after) = (of(quarter, 2.0 * quarter)?, of(3.0 * quarter, f64::INFINITY)?);
    let what = format!("{figure} of {node}, processes {} to {} s old, last quarter against second", AGE.0, AGE.1);
    Some(Finding::of(what, (before, after), more_of(MEMORY, before), "MB"))
}

/// Descriptors or threads, role by role; nothing of a role that it did not have in both quarters.
fn equal(history: &History, node: &str, figure: &str) -> Vec<Finding> {
    let quarter = history.length() / 4.0;
    let (values, roles) = (history.line(node, figure), history.line(node, "active"));
    let role_at = |at: f64| roles.iter().find(|(when, _)| (when - at).abs() < 1e-6).map(|(_, active)| *active > 0.5);
    let mean = |active: bool, from: f64, to: f64| {
        let line: Line = values.iter().copied().filter(|(at, _)| role_at(*at) == Some(active)).collect();
        let all = within(&line, from, to);
        let count = u32::try_from(all.len()).ok().filter(|count| *count >= 5 && quarter >= LIFE_MIN / 2.0)?;
        Some(all.iter().sum::<f64>() / f64::from(count))
    };
    let one = |(active, role): (bool, &str)| {
        let before = mean(active, quarter, 2.0 * quarter)?;
        let after = mean(active, 3.0 * quarter, f64::INFINITY)?;
        let what = format!("{figure} of {node} as {role}, last quarter against second");
        Some(Finding::of(what, (before, after), EQUAL, ""))
    };
    let found: Vec<Finding> = [(true, "active"), (false, "standby")].into_iter().filter_map(one).collect();
    if found.is_empty() {
        let why = "the run was too short, or it had no role in both quarters".to_owned();
        return vec![Finding::open(format!("{figure} of {node}"), "", why)];
    }
    found
}

/// A part of the folder that has reached its bound.
fn bounded(history: &History, figure: &str) -> Finding {
    let what = format!("{figure}, second half");
    match growth(&history.line("site", figure), history.length() / 2.0) {
        Some((middle, growth, length)) if length >= LIFE_MIN => {
            Finding::of(what, (middle, middle + growth), more_of(DISK, middle), "MB")
        }
        _ => Finding::open(what, "MB", format!("it was not measured for {LIFE_MIN} s")),
    }
}

/// How many records stand: no more than before.
fn bounded_count(history: &History, figure: &str) -> Finding {
    let what = format!("{figure} in the journal, second half");
    match growth(&history.line("site", figure), history.length() / 2.0) {
        Some((middle, growth, length)) if length >= LIFE_MIN => {
            Finding::of(what, (middle, middle + growth), more_of((5.0, 0.10), middle), "")
        }
        _ => Finding::open(what, "", format!("it was not measured for {LIFE_MIN} s")),
    }
}

/// A history that grows towards a bound of rows: no faster than before.
fn paced(history: &History, figure: &str) -> Finding {
    let (what, quarter) = (format!("{figure} an hour, last quarter against second"), history.length() / 4.0);
    let line = history.line("site", figure);
    let pace = |from: f64, to: f64| {
        let part: Line = line.iter().copied().filter(|(at, _)| (from..to).contains(at)).collect();
        Some(slope(&part).filter(|_| part.len() >= READINGS_MIN)? * 3_600.0)
    };
    match (pace(quarter, 2.0 * quarter), pace(3.0 * quarter, f64::INFINITY)) {
        (Some(before), Some(after)) if quarter >= LIFE_MIN / 2.0 => {
            Finding::of(what, (before, after), HISTORY.1.max(HISTORY.0 * before), "MB/h")
        }
        _ => Finding::open(what, "MB/h", "the run was too short".into()),
    }
}

/// The 99th percentile, and whether the machine itself became slower by as much.
fn latency(history: &History, who: &str, figure: &str) -> Finding {
    let whose = if who == "site" { String::new() } else { format!(" of {who}") };
    let what = format!("{figure}{whose}, p99, last quarter against second");
    let (Some(before), Some(after)) = quarters(&history.line(who, figure), history.length()) else {
        return Finding::open(
            what,
            "ms",
            format!("the run was too short, or had fewer than {READINGS_MIN} readings in a quarter"),
        );
    };
    let mut finding = Finding::of(what, (before, after), LATENCY.1.max(LATENCY.0 * before), "ms");
    if let (Verdict::Drifts, (Some(was), Some(is))) =
        (&finding.verdict, quarters(&history.line("site", CONTROL), history.length()))
        && is / was.max(0.1) >= 0.67 * after / before.max(0.1)
    {
        let why = format!(
            "the machine itself became slower by as much: 4 kB took {was:.1} ms to be durable, then {is:.1} ms"
        );
        finding.verdict = Verdict::Open(why);
    }
    finding
}

/// The 99th percentile of the second and of the last quarter.
fn quarters(line: &[(f64, f64)], length: f64) -> (Option<f64>, Option<f64>) {
    let quarter = length / 4.0;
    let of = |from: f64, to: f64| {
        let mut all = within(line, from, to);
        if all.len() < READINGS_MIN || quarter < LIFE_MIN / 2.0 { None } else { quantile(&mut all, 0.99) }
    };
    (of(quarter, 2.0 * quarter), of(3.0 * quarter, f64::INFINITY))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soak::history::Point;

    const HOUR: f64 = 3_600.0;

    /// Figures of an hour, every ten seconds. `a` lives all the time, `b` is killed every six minutes; both take turns.
    fn run(value: impl Fn(&str, &str, f64) -> f64) -> History {
        let mut history = History::default();
        for step in 0..=360_u32 {
            let at = f64::from(step) * 10.0;
            let mut put = |who: &str, life: u32, figure: &str, value: f64| {
                history.points.push(Point { at, who: who.into(), life, figure: figure.into(), value });
            };
            for node in NODES {
                let life = if node == "a" { 1 } else { 1 + step / 36 };
                let active = f64::from(u8::from((step % 36 < 18) == (node == "b")));
                put(node, life, "active", active);
                for figure in ["rss_mb", "anon_mb", "descriptors", "threads", "api_ms", "commit_ms"] {
                    put(node, life, figure, value(node, figure, at));
                }
            }
            for figure in ["disk.journal_mb", "disk.supervisor.db_mb", "records", "record_ms", CONTROL] {
                put("site", 0, figure, value("site", figure, at));
            }
        }
        history
    }

    /// Nothing drifts: levels with some scatter, a history that grows evenly.
    fn well(_: &str, figure: &str, at: f64) -> f64 {
        let scatter = (at * 0.7).sin() + if at % 170.0 == 0.0 { 3.0 } else { 0.0 };
        match figure {
            "rss_mb" => 30.0 + scatter,
            "anon_mb" => 20.0 + scatter,
            "descriptors" => 41.0,
            "threads" => 17.0,
            "disk.journal_mb" => 2.0 + 0.05 * scatter,
            "disk.supervisor.db_mb" => 3.0 + at / HOUR * 10.0,
            "records" => 200.0 + scatter,
            _ => 8.0 + scatter,
        }
    }

    fn drifting(history: &History) -> Vec<String> {
        let findings = judge(history);
        findings.into_iter().filter(|one| one.verdict == Verdict::Drifts).map(|one| one.what).collect()
    }

    #[test]
    fn what_scatters_and_does_not_grow_holds() {
        let findings = judge(&run(well));
        assert_eq!(drifting(&run(well)), [""; 0]);
        let open: Vec<&Finding> = findings.iter().filter(|one| one.verdict != Verdict::Holds).collect();
        // Processes of b live for six minutes: too short for a slope, compared by age.
        assert_eq!(open.len(), 2, "{open:?}");
        assert!(open.iter().all(|one| one.what.contains("of b, second half")), "{open:?}");
        assert!(findings.iter().any(|one| one.what.starts_with("rss_mb of b, processes 60 to 150 s old")));
    }

    #[test]
    fn negative_control_a_leak_of_memory_is_found() {
        let leaking =
            run(|who, figure, at| well(who, figure, at) + if figure == "anon_mb" { 6.0 * at / HOUR } else { 0.0 });
        let found = drifting(&leaking);
        assert!(found.contains(&"anon_mb of a, second half".to_owned()), "{found:?}");
        assert!(found.iter().all(|what| what.starts_with("anon_mb")), "{found:?}");
        assert_eq!(overall(&judge(&leaking)), Verdict::Drifts);
        let late = run(|who, figure, at| {
            well(who, figure, at) + if figure == "rss_mb" { 0.005 * (at - 0.5 * HOUR).max(0.0) } else { 0.0 }
        });
        assert!(drifting(&late).contains(&"rss_mb of a, second half".to_owned()), "also one that begins late");
    }

    #[test]
    fn negative_control_what_each_new_process_needs_more_of_is_found() {
        let found =
            drifting(&run(|who, figure, at| well(who, figure, at) * if who == "b" { 1.0 + at / HOUR } else { 1.0 }));
        assert!(found.iter().any(|what| what.starts_with("rss_mb of b, processes")), "{found:?}");
    }

    #[test]
    fn negative_control_one_descriptor_or_thread_that_is_left_is_found() {
        for figure in ["descriptors", "threads"] {
            let found = drifting(&run(|who, name, at| {
                well(who, name, at) + if name == figure && who == "a" { (2.0 * at / HOUR).floor() } else { 0.0 }
            }));
            assert!(found.iter().all(|what| what.starts_with(&format!("{figure} of a as"))), "{found:?}");
            assert!(!found.is_empty(), "{figure}");
        }
    }

    #[test]
    fn negative_control_a_folder_that_grows_and_a_history_that_grows_faster_are_found() {
        let found = drifting(&run(|who, figure, at| {
            let more = match figure {
                "disk.journal_mb" => 5.0 * at / HOUR,
                "disk.supervisor.db_mb" => 20.0 * (at / HOUR).powi(3),
                "records" => 100.0 * at / HOUR,
                _ => 0.0,
            };
            well(who, figure, at) + more
        }));
        assert_eq!(found.len(), 3, "{found:?}");
    }

    #[test]
    fn negative_control_latency_that_rises_is_found_unless_the_machine_became_slower_too() {
        let slower = |figure: &str, at: f64| if figure == "record_ms" { 40.0 * at / HOUR } else { 0.0 };
        let found = drifting(&run(|who, figure, at| well(who, figure, at) + slower(figure, at)));
        assert_eq!(found, ["record_ms, p99, last quarter against second"]);
        let machine = run(|who, figure, at| {
            well(who, figure, at) + slower(figure, at) + if figure == CONTROL { 60.0 * at / HOUR } else { 0.0 }
        });
        let judged = judge(&machine);
        let record = judged.iter().find(|one| one.what.starts_with("record_ms")).unwrap();
        assert!(matches!(&record.verdict, Verdict::Open(why) if why.contains("the machine itself")), "{record:?}");
    }

    #[test]
    fn a_run_that_was_starved_shows_nothing() {
        let mut starved =
            run(|who, figure, at| well(who, figure, at) + if figure == "anon_mb" { at / 60.0 } else { 0.0 });
        assert_eq!(overall(&judge(&starved)), Verdict::Drifts);
        starved.points.retain(|point| !(2_000.0..2_900.0).contains(&point.at));
        let judged = judge(&starved);
        assert!(
            judged.iter().all(|one| matches!(&one.verdict, Verdict::Open(why) if why.starts_with("starved"))),
            "{judged:?}"
        );
    }

    #[test]
    fn of_a_minute_or_of_nothing_it_is_not_said_that_nothing_drifts() {
        let mut short = run(well);
        short.points.retain(|point| point.at <= 60.0);
        assert!(matches!(overall(&judge(&short)), Verdict::Open(_)));
        assert!(matches!(overall(&judge(&History::default())), Verdict::Open(_)));
        assert!(matches!(overall(&[]), Verdict::Open(_)));
    }
}
