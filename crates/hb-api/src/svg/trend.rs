//! A figure over cycles.

use maud::Markup;

use super::compare::Range;
use super::{Picture, Scale, WIDTH};

/// A figure over cycles, oldest first, with what it is to be seen against.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    /// Cycle and figure.
    pub(crate) points: Vec<(u64, f64)>,
    /// What the baseline's windows had.
    pub(crate) baseline: Option<Range>,
    /// The limit that was broken.
    pub(crate) limit: Option<f64>,
    /// First cycle of the episode.
    pub(crate) onset: Option<u64>,
}

const LEFT: f64 = 52.0;
const RIGHT: f64 = WIDTH - 8.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 98.0;
const HEIGHT: f64 = 118.0;

/// Draws the figure over cycles against the baseline's band; a break in the line is a cycle without it.
pub(crate) fn trend(line: &Line, unit: &str) -> Markup {
    let (Some((first, _)), Some((last, newest))) = (line.points.first(), line.points.last()) else {
        return maud::html! {};
    };
    let (first, last) = (*first, *last);
    let told = format!("From cycle {first} to {last}; the newest is {} {unit}", crate::figure::text(*newest));
    let mut picture = Picture::new("plot", (WIDTH, HEIGHT), &told);
    let band = line.baseline.into_iter().flat_map(|range| [range.outer.0, range.outer.1]);
    let y = Scale::over(line.points.iter().map(|(_, value)| *value).chain(band).chain(line.limit), BOTTOM, TOP);
    let x = across(first, last);
    if let Some(range) = line.baseline {
        picture.rect("outer", (LEFT, RIGHT), (y.at(range.outer.0), y.at(range.outer.1)));
        picture.rect("inner", (LEFT, RIGHT), (y.at(range.inner.0), y.at(range.inner.1)));
        picture.line("middle", (LEFT, y.at(range.mean)), (RIGHT, y.at(range.mean)));
    }
    if let Some(limit) = line.limit {
        picture.line("limit", (LEFT, y.at(limit)), (RIGHT, y.at(limit)));
    }
    let onset = line.onset.filter(|onset| (first..=last).contains(onset));
    if let Some(onset) = onset {
        picture.line("onset", (x(onset), TOP), (x(onset), BOTTOM));
    }
    for piece in pieces(&line.points) {
        picture.path("line", piece.iter().map(|(cycle, value)| (x(*cycle), y.at(*value))));
    }
    picture.mark("now", x(last), y.at(*newest));
    picture.line("axis", (LEFT, BOTTOM), (RIGHT, BOTTOM));
    for (value, at) in [(y.high, TOP + 7.0), (y.low, BOTTOM)] {
        picture.text("end", LEFT - 5.0, at, &y.label(value));
    }
    picture.text("start", LEFT, HEIGHT - 4.0, &format!("cycle {first}"));
    picture.text("end", RIGHT, HEIGHT - 4.0, &last.to_string());
    if let Some(onset) = onset.filter(|onset| (LEFT + 90.0..RIGHT - 60.0).contains(&x(*onset))) {
        picture.text("middle", x(onset), HEIGHT - 4.0, &format!("since {onset}"));
    }
    picture.finish()
}

/// The same without axes, as wide as a word.
pub(crate) fn spark(points: &[(u64, f64)], baseline: Option<Range>) -> Markup {
    let (Some((first, _)), Some((last, newest))) = (points.first(), points.last()) else {
        return maud::html! {};
    };
    let mut picture = Picture::new("spark", (120.0, 24.0), &format!("the newest {} cycles", points.len()));
    let band = baseline.into_iter().flat_map(|range| [range.outer.0, range.outer.1]);
    let y = Scale::over(points.iter().map(|(_, value)| *value).chain(band), 23.0, 1.0);
    let spread = 112.0 / length(*first, *last).max(1.0);
    let x = |cycle: u64| 2.0 + length(*first, cycle) * spread;
    if let Some(range) = baseline {
        picture.rect("outer", (0.0, 120.0), (y.at(range.outer.0), y.at(range.outer.1)));
    }
    for piece in pieces(points) {
        picture.path("line", piece.iter().map(|(cycle, value)| (x(*cycle), y.at(*value))));
    }
    let (newest, last) = (y.at(*newest), x(*last).min(118.0));
    picture.put(format_args!(r#"<circle class="now" cx="{last:.1}" cy="{newest:.1}" r="2"/>"#));
    picture.finish()
}

#[expect(clippy::cast_precision_loss, reason = "cycles of one picture")]
fn length(from: u64, to: u64) -> f64 {
    (to.saturating_sub(from) as f64).max(if from == to { 0.0 } else { 1.0 })
}

fn across(first: u64, last: u64) -> impl Fn(u64) -> f64 {
    let whole = length(first, last).max(1.0);
    move |cycle| LEFT + length(first, cycle) / whole * (RIGHT - 6.0 - LEFT)
}

/// Stretches without a missing cycle.
fn pieces(points: &[(u64, f64)]) -> impl Iterator<Item = &[(u64, f64)]> {
    points.chunk_by(|(before, _), (after, _)| before.checked_add(1) == Some(*after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_break_the_line() {
        let points = vec![(1, 1.0), (2, 2.0), (5, 3.0)];
        let line = Line { points: points.clone(), baseline: None, limit: None, onset: Some(2) };
        let drawn = trend(&line, "<b>").into_string();
        assert_eq!(drawn.matches("<polyline").count(), 2, "{drawn}");
        assert!(drawn.contains("&lt;b&gt;") && !drawn.contains("<b>") && drawn.contains("class=\"onset\""));
        assert_eq!(spark(&points, None).into_string().matches("<polyline").count(), 2);
    }

    #[test]
    fn one_point_none_and_extremes_are_drawn() {
        for points in [vec![], vec![(7, 0.0)], vec![(0, f64::MIN), (u64::MAX, f64::MAX)]] {
            let line = Line { points: points.clone(), baseline: None, limit: None, onset: None };
            let drawn = trend(&line, "").into_string() + &spark(&points, None).into_string();
            assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
        }
    }
}
