//! What a decision says in words: a driver's reason and advice, the headline. Figures are rounded here and only here.

use std::cmp::Ordering;

use super::decide::{Case, severity};
use super::decision::{Direction, Driver, Rule, Severity, Status};
use super::detect::finding::{Finding, Strength};
use super::detect::hysteresis::Track;
use super::line::Line;
use super::registry::{Aggregate, Metric};
use super::window::held;

/// Drivers in order: failures first, then by score; names and rules make the order total.
pub(super) fn worst_first(a: &Driver, b: &Driver) -> Ordering {
    let by_weight = b.severity.cmp(&a.severity).then(b.score.total_cmp(&a.score));
    by_weight.then_with(|| a.series.cmp(&b.series)).then(a.rule.cmp(&b.rule))
}

/// A raised track as a driver.
pub(super) fn driver(case: &Case<'_>, line: &Line<'_>, track: &Track, finding: Option<&Finding>) -> Driver {
    let plain = Finding::plain(track.rule, Strength::Clean);
    let found = finding.unwrap_or(&plain);
    let unit = unit(line, track.rule);
    let finite = |value: Option<f64>| value.filter(|value| !value.is_nan()).map(held);
    let (current, baseline) = (finite(found.current), finite(found.baseline));
    let delta = current.zip(baseline).map(|(current, baseline)| held(current - baseline));
    let compares = !matches!(track.rule, Rule::Silent | Rule::CriticalSilent | Rule::DataFault);
    let delta = delta.filter(|_| compares);
    let percent = delta.zip(baseline).filter(|(_, baseline)| *baseline != 0.0);
    let percent = percent.map(|(delta, baseline)| held(delta / baseline.abs() * 100.0));
    let mut driver = Driver {
        series: line.name.to_owned(),
        rule: track.rule,
        severity: severity(track.rule),
        direction: track.direction,
        unit,
        current,
        baseline,
        delta,
        percent,
        sigmas: finite(found.sigmas),
        p: finite(found.p),
        limit: finite(found.limit),
        onset: track.onset,
        onset_utc: track.onset_utc,
        persistence: track.streak,
        score: held(found.score),
        reason: String::new(),
        next: String::new(),
    };
    driver.reason = format!("{}{}", reason(&driver, line), standing(case, track, found.strength));
    driver.next = next(&driver);
    driver
}

fn unit(line: &Line<'_>, rule: Rule) -> String {
    let heard = || line.row.map(|row| row.unit.to_string()).filter(|unit| !unit.is_empty());
    let learned = || line.base.map(|(_, base)| base.unit.to_string());
    let own = line.metric.and_then(|metric| metric.unit.clone()).or_else(heard).or_else(learned).unwrap_or_default();
    let by_speed = line.base.is_some_and(|(_, base)| base.by_speed(line.said()));
    match rule {
        Rule::Rate | Rule::Silent | Rule::CriticalSilent | Rule::DataFault => "readings".to_owned(),
        Rule::Distribution | Rule::Trend => String::new(),
        Rule::DriftThreshold | Rule::DriftPercent | Rule::Level if by_speed => format!("{own}/s"),
        Rule::InvariantEq
        | Rule::InvariantMin
        | Rule::InvariantMax
        | Rule::FailThreshold
        | Rule::DriftThreshold
        | Rule::DriftPercent
        | Rule::Level
        | Rule::Spread => own,
    }
}

/// What is compared, in words.
fn subject(line: &Line<'_>, rule: Rule) -> &'static str {
    let by_speed = line.base.is_some_and(|(_, base)| base.by_speed(line.said()));
    let aggregate = line.metric.map_or(Aggregate::Mean, |metric| metric.aggregate);
    let looks_at_aggregate = matches!(rule, Rule::FailThreshold | Rule::DriftThreshold | Rule::DriftPercent);
    if by_speed && rule != Rule::FailThreshold {
        return "rise per second";
    }
    match aggregate {
        Aggregate::Last if looks_at_aggregate => "newest reading",
        Aggregate::Min if looks_at_aggregate => "smallest reading",
        Aggregate::Max if looks_at_aggregate => "largest reading",
        Aggregate::Mean | Aggregate::Last | Aggregate::Min | Aggregate::Max => "mean",
    }
}

fn reason(driver: &Driver, line: &Line<'_>) -> String {
    let unit = &driver.unit;
    let figure = |value: Option<f64>| value.map_or_else(|| "?".to_owned(), |value| with_unit(value, unit));
    let (current, baseline, limit) = (figure(driver.current), figure(driver.baseline), figure(driver.limit));
    let subject = subject(line, driver.rule);
    if driver.current.is_none() && driver.rule != Rule::Trend {
        return format!("{} was broken, and nothing usable was heard since", driver.rule.as_str());
    }
    match driver.rule {
        Rule::InvariantEq => format!("a reading of {current} is not the invariant {limit}"),
        Rule::InvariantMin => format!("the smallest reading {current} is below invariant_min {limit}"),
        Rule::InvariantMax => format!("the largest reading {current} is above invariant_max {limit}"),
        Rule::FailThreshold if line.metric.is_some_and(|metric| metric.fail_threshold.is_none()) => {
            format!("{subject} {current} of a critical metric without fail_threshold is above zero")
        }
        Rule::FailThreshold => format!("{subject} {current} is above fail_threshold {limit}"),
        Rule::CriticalSilent => format!("a critical series sent nothing usable{}", unusable(line)),
        Rule::Silent => format!("nothing heard, where the baseline's windows had {baseline}"),
        Rule::DataFault => match (line.usable(), line.base) {
            (Some(row), Some((_, base))) => {
                format!("its readings are in `{}`, the baseline's in `{}`", row.unit, base.unit)
            }
            _ => format!("no usable reading{}", unusable(line)),
        },
        Rule::DriftThreshold => {
            format!("{subject} {current} is {} the baseline's {baseline}, drift_threshold is {limit}", away(driver))
        }
        Rule::DriftPercent => {
            let limit = driver.limit.map_or_else(String::new, number);
            format!("{subject} {current} is {} the baseline's {baseline}, drift_percent is {limit}", away(driver))
        }
        Rule::Level => format!("{subject} {current} is {} the baseline's {baseline}{}", away(driver), chance(driver)),
        Rule::Spread => {
            format!("standard deviation {current} is {} the baseline's {baseline}{}", away(driver), chance(driver))
        }
        Rule::Rate => format!("{current}, {} the baseline's {baseline}{}", away(driver), chance(driver)),
        Rule::Distribution => format!(
            "the distribution is {current} from the baseline's (KS), whose own windows were {baseline} apart{}",
            chance(driver)
        ),
        Rule::Trend => format!("has been drifting {} slowly, in steps too small to raise", way(driver.direction)),
    }
}

/// "1.2 ms (29 %) above".
fn away(driver: &Driver) -> String {
    let delta = driver.delta.unwrap_or(0.0);
    let percent = driver.percent.map_or_else(String::new, |percent| format!(" ({} %)", number(percent.abs())));
    let side = if delta < 0.0 { "below" } else { "above" };
    format!("{}{percent} {side}", with_unit(delta.abs(), &driver.unit))
}

fn chance(driver: &Driver) -> String {
    let sigmas = driver.sigmas.map(|sigmas| format!("{} standard deviations of its windows", number(sigmas.abs())));
    let p = driver.p.map(|p| if p < 1e-15 { "p below 1e-15".to_owned() } else { format!("p = {}", number(p)) });
    match (sigmas, p) {
        (Some(sigmas), Some(p)) => format!("; {sigmas}, {p}"),
        (Some(one), None) | (None, Some(one)) => format!("; {one}"),
        (None, None) => String::new(),
    }
}

fn unusable(line: &Line<'_>) -> String {
    let Some(row) = line.row else { return String::new() };
    match (row.not_finite, row.unit_faults) {
        (0, units) => format!(": {units} in a unit that cannot be converted"),
        (bad, 0) => format!(": {bad} NaN or infinite"),
        (bad, units) => format!(": {bad} NaN or infinite, {units} in a unit that cannot be converted"),
    }
}

/// How the episode stands, where that is not "broken in this cycle".
fn standing(case: &Case<'_>, track: &Track, strength: Strength) -> String {
    if track.held > 0 {
        return format!("; held for {} cycles without a usable reading", track.held);
    }
    match strength {
        Strength::Proven => format!("; the last {} cycles taken together", case.settings.0.drift.raise_of),
        Strength::Broken | Strength::IfDiscovered if track.streak > 1 => {
            format!("; for {} cycles in a row", track.streak)
        }
        Strength::Broken | Strength::IfDiscovered => String::new(),
        Strength::Lingering => "; not far enough to raise, not back either".to_owned(),
        Strength::Clean => format!("; back for {} of {} cycles", track.clean, case.settings.0.drift.clear_after),
    }
}

fn way(direction: Direction) -> &'static str {
    match direction {
        Direction::Up => "upwards",
        Direction::Down => "downwards",
        Direction::None => "",
    }
}

fn next(driver: &Driver) -> String {
    let since = driver.onset_utc;
    match driver.rule {
        Rule::InvariantEq | Rule::InvariantMin | Rule::InvariantMax | Rule::FailThreshold => {
            format!("look at the readings from {since} on, and at what else failed in cycle {}", driver.onset)
        }
        Rule::CriticalSilent | Rule::Silent => {
            format!("check that its sender is alive and still uses this name; it was last whole before {since}")
        }
        Rule::DataFault => {
            "look at the raw readings and their unit at the sender; give unusual units in unit_map".to_owned()
        }
        Rule::DriftThreshold | Rule::DriftPercent | Rule::Level | Rule::Distribution => {
            format!("look for what changed shortly before {since}; if this is the new normal, learn a new baseline")
        }
        Rule::Spread if driver.direction == Direction::Down => {
            format!("look for a stuck sensor or a smoothing stage put in shortly before {since}")
        }
        Rule::Spread => format!("look for a new source of noise or load shortly before {since}"),
        Rule::Rate => format!("check the sender's interval and its losses on the way since {since}"),
        Rule::Trend => "watch its trend over the last cycles; leaks and wear look like this".to_owned(),
    }
}

/// Total silence: critical series are named, but the cycle is NO_DATA, not FAIL.
pub(super) fn all_silent(case: &Case<'_>) -> Vec<Driver> {
    let critical = |(_, metric): &(&String, &Metric)| metric.critical;
    let silent = case.settings.0.registry.metrics.iter().filter(critical).map(|(name, metric)| {
        let line = Line { name, row: None, base: None, metric: Some(metric), tracks: &[], before: None };
        let mut track = Track::open(Rule::CriticalSilent, case.cycle, case.span.start);
        track.streak = 1;
        let finding = Finding { current: Some(0.0), ..Finding::plain(Rule::CriticalSilent, Strength::Broken) };
        Driver { severity: Severity::Notice, ..driver(case, &line, &track, Some(&finding)) }
    });
    silent.collect()
}

/// The status in one sentence.
pub(super) fn headline(case: &Case<'_>, status: Status, drivers: &[Driver]) -> String {
    let heard = case.series.rows.iter().filter(|row| row.n > 0).count();
    match status {
        Status::Fail => format!("FAIL: {}", worst(drivers, Severity::Fail)),
        Status::PassWithDrift => format!("PASS_WITH_DRIFT: {}", worst(drivers, Severity::Drift)),
        Status::Pass => {
            let baseline = case
                .baseline
                .as_ref()
                .map_or_else(String::new, |(_, reference)| format!(" {} version {}", reference.tag, reference.version));
            format!("PASS: {heard} series behave as in baseline{baseline}")
        }
        Status::NoData if case.series.rows.is_empty() => "NO_DATA: nothing arrived in this cycle".to_owned(),
        Status::NoData => format!("NO_DATA: {} series arrived, none with a usable reading", case.series.rows.len()),
        Status::NoBaseline if case.missing.is_some() => {
            format!("NO_BASELINE: {heard} series heard, and the baseline in force cannot be read")
        }
        Status::NoBaseline if case.baseline.is_some() => {
            format!("NO_BASELINE: {heard} series heard, none of which the baseline knows")
        }
        Status::NoBaseline => match case.learning_left {
            Some(0) => format!("NO_BASELINE: {heard} series heard, waiting for the baseline's quality gates to open"),
            Some(left) => format!("NO_BASELINE: {heard} series heard, {left} more cycles to learn from"),
            None => format!("NO_BASELINE: {heard} series heard, and no baseline `{}`", case.settings.0.baseline_tag),
        },
    }
}

fn worst(drivers: &[Driver], severity: Severity) -> String {
    let mut series: Vec<&str> =
        drivers.iter().filter(|driver| driver.severity == severity).map(|driver| driver.series.as_str()).collect();
    series.sort_unstable();
    series.dedup();
    let Some(first) = drivers.iter().find(|driver| driver.severity == severity) else { return String::new() };
    match series.len().saturating_sub(1) {
        0 => format!("{}: {}", first.series, first.reason),
        more => format!("{} and {more} more series; worst, {}", first.series, first.reason),
    }
}

/// Names in a sentence; `total` is how many there are in all.
pub(super) fn list(names: &[&str], total: usize) -> String {
    let more = total.saturating_sub(names.len());
    let names = names.join(", ");
    if more > 0 { format!("{names} and {more} more") } else { names }
}

fn with_unit(value: f64, unit: &str) -> String {
    match unit {
        "" => number(value),
        "%" => format!("{} %", number(value)),
        unit => format!("{} {unit}", number(value)),
    }
}

/// Four significant digits, whole numbers in full.
pub(super) fn number(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 || (value.fract() == 0.0 && size < 1e7) {
        return format!("{value:.0}");
    }
    if !(1e-3..1e7).contains(&size) {
        return format!("{value:.3e}");
    }
    let digits = if size >= 1000.0 {
        0
    } else if size >= 100.0 {
        1
    } else if size >= 10.0 {
        2
    } else if size >= 1.0 {
        3
    } else {
        4
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        let table = [
            (0.0, "0"),
            (100.0, "100"),
            (1234.56, "1235"),
            (123.456, "123.5"),
            (12.3456, "12.35"),
            (1.5, "1.5"),
            (0.123_456, "0.1235"),
            (-0.5, "-0.5"),
            (1.5e-9, "1.500e-9"),
            (f64::MAX, "1.798e308"),
        ];
        for (value, text) in table {
            assert_eq!(number(value), text);
        }
        assert_eq!(with_unit(5.0, "ms"), "5 ms");
        assert_eq!(list(&["a", "b"], 7), "a, b and 5 more");
    }
}
