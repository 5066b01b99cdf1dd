//! What a driver's plots show: which figure its rule looked at, what the baseline had of it, and how it went over cycles.

use hb_core::watch::baseline::{BaselineSeries, Figure};
use hb_core::watch::decision::{Driver, Rule};
use hb_core::watch::registry::SeriesKind;
use hb_core::watch::summary::SeriesSummary;

use maud::Markup;

use super::ReportInput;
use crate::svg::{self, Comparison, Line, Range};

/// Which figure of a series a rule looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Looks {
    /// The level: means, or rates for counters.
    Level,
    /// The standard deviation within the cycle.
    Spread,
    /// The number of readings.
    Readings,
    /// None that could be drawn.
    Nothing,
}

fn looks(rule: Rule) -> Looks {
    match rule {
        Rule::InvariantEq
        | Rule::InvariantMin
        | Rule::InvariantMax
        | Rule::FailThreshold
        | Rule::DriftThreshold
        | Rule::DriftPercent
        | Rule::Level
        | Rule::Distribution
        | Rule::Trend => Looks::Level,
        Rule::Spread => Looks::Spread,
        Rule::Rate => Looks::Readings,
        Rule::CriticalSilent | Rule::Silent | Rule::DataFault => Looks::Nothing,
    }
}

/// What the baseline's windows had of one figure.
fn range(figure: &Figure) -> Option<Range> {
    (figure.k > 0).then_some(Range {
        mean: figure.mean,
        inner: (figure.mean - figure.sd, figure.mean + figure.sd),
        outer: (figure.min, figure.max),
    })
}

/// Spreads are kept as logarithms.
fn spread(figure: &Figure) -> Option<Range> {
    range(figure).map(|range| Range {
        mean: range.mean.exp(),
        inner: (range.inner.0.exp(), range.inner.1.exp()),
        outer: (range.outer.0.exp(), range.outer.1.exp()),
    })
}

fn readings(series: &SeriesSummary) -> Range {
    Range {
        mean: series.mean,
        inner: (series.mean - series.sd, series.mean + series.sd),
        outer: (series.min, series.max),
    }
}

/// How a series' level is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// By the mean of its readings.
    Mean,
    /// By its rise per second.
    Speed,
}

impl Reading {
    /// As the baseline found it; the registry may say otherwise, which a report does not know.
    pub(super) fn of(known: Option<&BaselineSeries>) -> Self {
        if known.is_some_and(|known| known.by_speed(SeriesKind::Auto)) { Self::Speed } else { Self::Mean }
    }

    /// As a driver was judged: its own baseline figure tells which of the two it was.
    fn judged(driver: &Driver, known: Option<&BaselineSeries>) -> Self {
        let speed = known.and_then(|known| known.speed.as_ref());
        match (driver.baseline, speed, known) {
            (Some(used), Some(speed), Some(known)) => {
                let nearer = (used - speed.mean).abs() < (used - known.level.mean).abs();
                if nearer { Self::Speed } else { Self::Mean }
            }
            _ => Self::of(known),
        }
    }

    /// What the baseline's windows had.
    fn figure(self, known: &BaselineSeries) -> Option<Figure> {
        let figure = match self {
            Self::Mean => Some(known.level),
            Self::Speed => known.speed,
        };
        figure.filter(|figure| figure.k > 0)
    }

    fn range(self, known: Option<&BaselineSeries>) -> Option<Range> {
        self.figure(known?).as_ref().and_then(range)
    }
}

/// What the baseline's windows had of a series' level.
pub(super) fn usual(known: Option<&BaselineSeries>) -> Option<Range> {
    Reading::of(known).range(known)
}

/// The driver's figure against the baseline, where it has one that can be drawn.
pub(super) fn comparison(input: &ReportInput<'_>, driver: &Driver) -> Option<Comparison> {
    let known = input.known(&driver.series);
    let series = input.decided.decision.series.get(&driver.series).filter(|series| series.n > 0);
    let (baseline, readings, fallback) = match looks(driver.rule) {
        Looks::Level => match Reading::judged(driver, known) {
            reading @ Reading::Speed => (reading.range(known), None, series.and_then(SeriesSummary::speed)),
            reading @ Reading::Mean => (reading.range(known), series.map(readings), series.map(|series| series.mean)),
        },
        Looks::Spread => (known.and_then(|known| spread(&known.spread)), None, series.map(|series| series.sd)),
        Looks::Readings => (known.and_then(|known| range(&known.rate)), None, series.map(|series| f64::from(series.n))),
        Looks::Nothing => return None,
    };
    // A distribution's figure is a distance between 0 and 1: what can be drawn is where the readings stand.
    let current = if driver.rule == Rule::Distribution { fallback } else { driver.current.or(fallback) }?;
    let limit = driver.limit.filter(|_| stands_on_axis(driver.rule));
    Some(Comparison { baseline, readings, current, limit })
}

/// Whether a driver's limit is a value of the series, and not a distance, a percentage or a probability.
fn stands_on_axis(rule: Rule) -> bool {
    matches!(rule, Rule::InvariantEq | Rule::InvariantMin | Rule::InvariantMax | Rule::FailThreshold)
}

/// The driver's level over the remembered cycles, where more than one is known.
pub(super) fn line(input: &ReportInput<'_>, driver: &Driver) -> Option<Line> {
    if looks(driver.rule) != Looks::Level {
        return None;
    }
    let known = input.known(&driver.series);
    let reading = Reading::judged(driver, known);
    let points = points(input, &driver.series, reading);
    (points.len() > 1).then(|| Line {
        points,
        baseline: reading.range(known),
        limit: driver.limit.filter(|_| stands_on_axis(driver.rule)),
        onset: Some(driver.onset.0),
    })
}

/// Unit of what a driver's plots show. Rules that compare no values of the series name none themselves.
pub(super) fn unit<'a>(input: &ReportInput<'a>, driver: &'a Driver) -> &'a str {
    let row = || input.decided.decision.series.get(&driver.series);
    match driver.rule {
        Rule::Distribution | Rule::Trend => row().map_or("", |row| &*row.unit),
        Rule::InvariantEq
        | Rule::InvariantMin
        | Rule::InvariantMax
        | Rule::FailThreshold
        | Rule::CriticalSilent
        | Rule::Silent
        | Rule::DataFault
        | Rule::DriftThreshold
        | Rule::DriftPercent
        | Rule::Level
        | Rule::Spread
        | Rule::Rate => &driver.unit,
    }
}

/// The readings of this cycle against the baseline's, for a driver that is about their distribution.
pub(super) fn shape(input: &ReportInput<'_>, driver: &Driver) -> Option<Markup> {
    let known = input.known(&driver.series).filter(|_| driver.rule == Rule::Distribution)?;
    let row = input.decided.decision.series.get(&driver.series)?;
    svg::shape(&row.kept, &known.kept, unit(input, driver))
}

/// Cycle and level of a series, oldest first.
pub(super) fn points(input: &ReportInput<'_>, series: &str, reading: Reading) -> Vec<(u64, f64)> {
    let shown = input.trend.points(series).filter(|point| point.cycle <= input.decided.decision.cycle);
    shown
        .filter_map(|point| match reading {
            Reading::Mean => Some((point.cycle.0, point.mean)),
            Reading::Speed => Some((point.cycle.0, point.speed?)),
        })
        .collect()
}

/// How far a series stands from the baseline.
pub(super) fn level(series: &SeriesSummary, known: Option<&BaselineSeries>) -> Level {
    let reading = Reading::of(known);
    let current = match reading {
        Reading::Mean => (series.n > 0).then_some(series.mean),
        Reading::Speed => series.speed(),
    };
    let figure = known.and_then(|known| reading.figure(known));
    let sigmas = figure
        .filter(|figure| figure.sd > 0.0)
        .zip(current)
        .map(|(figure, current)| (current - figure.mean) / figure.sd);
    Level { baseline: figure.map(|figure| figure.mean), sigmas: sigmas.filter(|sigmas| sigmas.is_finite()) }
}

/// See [`level`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Level {
    /// Mean over the baseline's windows.
    pub(super) baseline: Option<f64>,
    /// Distance in standard deviations; none where the windows did not differ.
    pub(super) sigmas: Option<f64>,
}
