//! One figure of this cycle against what the baseline's windows had.

use maud::Markup;

use super::{Picture, Scale, WIDTH};

/// A stretch of values around a middle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Range {
    /// Middle.
    pub(crate) mean: f64,
    /// Middle minus and plus one standard deviation.
    pub(crate) inner: (f64, f64),
    /// Smallest and largest.
    pub(crate) outer: (f64, f64),
}

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Comparison {
    /// What the baseline's windows had.
    pub(crate) baseline: Option<Range>,
    /// The readings of this cycle, where the figure is one of them.
    pub(crate) readings: Option<Range>,
    /// The figure of this cycle.
    pub(crate) current: f64,
    /// The limit that was broken.
    pub(crate) limit: Option<f64>,
}

const LEFT: f64 = 64.0;
const RIGHT: f64 = WIDTH - 8.0;
const HEIGHT: f64 = 92.0;

/// Draws the comparison: above the baseline's windows, below this cycle, both on one axis.
pub(crate) fn compare(comparison: &Comparison, unit: &str) -> Markup {
    let Comparison { baseline, readings, current, limit } = *comparison;
    let ends = |range: Option<Range>| range.into_iter().flat_map(|range| [range.outer.0, range.outer.1]);
    let values = ends(baseline).chain(ends(readings)).chain([current]).chain(limit);
    let scale = Scale::over(values, LEFT, RIGHT);
    let mut picture = Picture::new("plot", (WIDTH, HEIGHT), &told(comparison, unit));
    if let Some(limit) = limit {
        picture.line("limit", (scale.at(limit), 6.0), (scale.at(limit), 70.0));
    }
    picture.text("end", LEFT - 8.0, 25.0, "baseline");
    match baseline {
        Some(range) => {
            picture.rect("outer", (scale.at(range.outer.0), scale.at(range.outer.1)), (14.0, 29.0));
            picture.rect("inner", (scale.at(range.inner.0), scale.at(range.inner.1)), (14.0, 29.0));
            picture.line("middle", (scale.at(range.mean), 12.0), (scale.at(range.mean), 31.0));
        }
        None => picture.text("start", LEFT, 25.0, "none"),
    }
    picture.text("end", LEFT - 8.0, 57.0, "this cycle");
    if let Some(range) = readings {
        picture.line("whisker", (scale.at(range.outer.0), 53.0), (scale.at(range.outer.1), 53.0));
        picture.rect("readings", (scale.at(range.inner.0), scale.at(range.inner.1)), (48.0, 58.0));
    }
    picture.mark("now", scale.at(current), 53.0);
    axis(&mut picture, &scale, current, unit);
    picture.finish()
}

fn axis(picture: &mut Picture, scale: &Scale, current: f64, unit: &str) {
    picture.line("axis", (LEFT, 72.0), (RIGHT, 72.0));
    let at = scale.at(current);
    picture.line("tick", (at, 70.0), (at, 75.0));
    let anchor = if at < LEFT + 40.0 {
        "start"
    } else if at > RIGHT - 40.0 {
        "end"
    } else {
        "middle"
    };
    picture.text(anchor, at, 86.0, &format!("{} {unit}", scale.label(current)));
    // The ends, where the figure's own label leaves room.
    if at > LEFT + 110.0 {
        picture.text("start", LEFT, 86.0, &scale.label(scale.low));
    }
    if at < RIGHT - 110.0 {
        picture.text("end", RIGHT, 86.0, &scale.label(scale.high));
    }
}

fn told(comparison: &Comparison, unit: &str) -> String {
    use crate::figure::text;
    let mut told = format!("This cycle {} {unit}", text(comparison.current));
    if let Some(range) = comparison.baseline {
        let (mean, low, high) = (text(range.mean), text(range.outer.0), text(range.outer.1));
        told.push_str(&format!("; the baseline's windows had {mean} {unit}, from {low} to {high}"));
    }
    if let Some(limit) = comparison.limit {
        told.push_str(&format!("; limit {} {unit}", text(limit)));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_with_and_without_baseline_and_escapes_units() {
        let range = Range { mean: 10.0, inner: (9.0, 11.0), outer: (8.0, 12.0) };
        let full = Comparison { baseline: Some(range), readings: Some(range), current: 20.0, limit: Some(15.0) };
        let drawn = compare(&full, "<V>").into_string();
        for part in ["class=\"outer\"", "class=\"inner\"", "class=\"limit\"", "class=\"now\"", "&lt;V&gt;"] {
            assert!(drawn.contains(part), "{part} in {drawn}");
        }
        assert!(!drawn.contains("<V>"));
        let bare = Comparison { baseline: None, readings: None, current: f64::MAX, limit: None };
        assert!(compare(&bare, "").into_string().contains(">none<"));
    }
}
