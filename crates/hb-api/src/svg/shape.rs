//! Two distributions as the share of readings at or below each value.

use maud::Markup;

use super::{Picture, Scale, WIDTH};

const LEFT: f64 = 52.0;
const RIGHT: f64 = WIDTH - 8.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 98.0;
const HEIGHT: f64 = 118.0;

/// Most points of one curve.
const POINTS_MAX: usize = 128;

/// Draws the readings of this cycle against the baseline's, both sorted, and marks where they are furthest apart. Nothing
/// where either is empty.
pub(crate) fn shape(current: &[f64], baseline: &[f64], unit: &str) -> Option<Markup> {
    let (at, here, there) = widest(current, baseline)?;
    let x = Scale::over(current.iter().chain(baseline).copied(), LEFT, RIGHT);
    let y = |share: f64| BOTTOM - share * (BOTTOM - TOP);
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    let told = format!(
        "At {} {unit} or below: {} of this cycle's readings, {} of the baseline's",
        crate::figure::text(at),
        percent(here),
        percent(there)
    );
    let mut picture = Picture::new("plot", (WIDTH, HEIGHT), &told);
    for (class, sorted) in [("line usual", baseline), ("line", current)] {
        picture.path(class, steps(sorted).map(|(value, share)| (x.at(value), y(share))));
    }
    picture.line("gap", (x.at(at), y(here)), (x.at(at), y(there)));
    picture.line("axis", (LEFT, BOTTOM), (RIGHT, BOTTOM));
    for share in [0.0, 1.0] {
        picture.text("end", LEFT - 5.0, y(share) + if share > 0.5 { 7.0 } else { 0.0 }, &percent(share));
    }
    picture.text("start", LEFT, HEIGHT - 4.0, &x.label(x.low));
    picture.text("end", RIGHT, HEIGHT - 4.0, &format!("{} {unit}", x.label(x.high)));
    Some(picture.finish())
}

/// Where the shares differ most (the Kolmogorov-Smirnov distance), and both shares there. Equal values are passed at once.
fn widest(current: &[f64], baseline: &[f64]) -> Option<(f64, f64, f64)> {
    let share = |sorted: &[f64], value: f64| portion(sorted.partition_point(|x| *x <= value), sorted.len());
    let values = current.iter().chain(baseline).filter(|_| !current.is_empty() && !baseline.is_empty());
    values.map(|value| (*value, share(current, *value), share(baseline, *value))).max_by(|a, b| {
        let gap = |(_, here, there): &(f64, f64, f64)| (here - there).abs();
        gap(a).total_cmp(&gap(b))
    })
}

#[expect(clippy::cast_precision_loss, reason = "a few thousand readings")]
fn portion(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// The corners of a curve, thinned evenly.
fn steps(sorted: &[f64]) -> impl Iterator<Item = (f64, f64)> {
    let stride = sorted.len().div_ceil(POINTS_MAX).max(1);
    let shown = sorted.iter().enumerate().step_by(stride);
    shown.flat_map(move |(index, value)| {
        let to = index.saturating_add(stride).min(sorted.len());
        [(*value, portion(index, sorted.len())), (*value, portion(to, sorted.len()))]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_widest_gap_is_the_ks_distance_ties_included() {
        assert_eq!(widest(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0]).map(|(_, a, b)| a - b), Some(0.0));
        assert_eq!(widest(&[1.0; 4], &[1.0; 9]).map(|(_, a, b)| a - b), Some(0.0));
        let (at, here, there) = widest(&[1.0, 1.0, 2.0, 9.0], &[5.0, 6.0, 7.0, 8.0]).unwrap();
        assert!((at - 2.0).abs() < 1e-12 && (here - 0.75).abs() < 1e-12 && there.abs() < 1e-12);
        assert_eq!(widest(&[], &[1.0]), None);
    }

    #[test]
    fn curves_are_thinned_and_end_at_all() {
        let many: Vec<f64> = (0..5_000).map(f64::from).collect();
        let corners: Vec<_> = steps(&many).collect();
        assert!(corners.len() <= 2 * POINTS_MAX + 2);
        assert!((corners.last().unwrap().1 - 1.0).abs() < 1e-12);
        assert!(shape(&many, &[f64::MIN, f64::MAX], "<V>").unwrap().into_string().contains("&lt;V&gt;"));
    }
}
