//! Small pictures, drawn as SVG without a library: a band of cycles, a comparison, two distributions, a trend, a spark line.
//!
//! Colours come from the style sheet by class. Every picture has a text beside it that says the same. All numbers are made
//! finite and brought into the picture before they are written, so that no input breaks its markup.

mod band;
mod compare;
mod shape;
mod trend;

use std::fmt::Write as _;

use maud::{Escaper, Markup, PreEscaped};

pub(crate) use band::{Cell, band, icon, legend};
pub(crate) use compare::{Comparison, Range, compare};
pub(crate) use shape::shape;
pub(crate) use trend::{Line, spark, trend};

/// Width of plots, in their own units; on a telephone one unit is about one pixel.
const WIDTH: f64 = 340.0;

/// A stretch of values laid onto a stretch of the picture.
#[derive(Debug, Clone, Copy)]
struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    /// Covers all finite `values` with some air, from `from` to `to` in the picture.
    fn over(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let bounds = values.filter(|value| value.is_finite()).fold(None, |bounds: Option<(f64, f64)>, value| {
            bounds.map_or(Some((value, value)), |(low, high)| Some((low.min(value), high.max(value))))
        });
        let (low, high) = bounds.unwrap_or((0.0, 1.0));
        // Halves: the whole distance between the largest floats is not a float.
        let air = (high / 2.0 - low / 2.0) * 0.12;
        let air = if air > 0.0 { air } else { (low.abs() * 0.05).max(f64::MIN_POSITIVE.sqrt()) };
        let held = |value: f64| value.clamp(f64::MIN / 4.0, f64::MAX / 4.0);
        Self { low: held(low - air), high: held(high + air), from, to }
    }

    /// Where `value` stands; values outside stand at the edge.
    fn at(&self, value: f64) -> f64 {
        let share = (value / 2.0 - self.low / 2.0) / (self.high / 2.0 - self.low / 2.0);
        let share = if share.is_nan() { 0.5 } else { share.clamp(0.0, 1.0) };
        self.from + share * (self.to - self.from)
    }

    /// A value as its axis shows it: with as many digits as tell its ends apart.
    fn label(&self, value: f64) -> String {
        let step = (self.high / 2.0 - self.low / 2.0).abs() / 50.0;
        let size = self.low.abs().max(self.high.abs());
        if !(1e-4..1e12).contains(&size) || step < 1e-9 {
            return crate::figure::text(value);
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 9")]
        let decimals = (-step.log10()).ceil().clamp(0.0, 9.0) as usize;
        let text = format!("{value:.decimals$}").replace('-', "\u{2212}");
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    }
}

/// A picture under construction.
struct Picture {
    out: String,
}

impl Picture {
    /// Begins a picture of `size` (width, height) with a text for those who don't see it.
    fn new(class: &str, size: (f64, f64), told: &str) -> Self {
        let mut picture = Self { out: String::with_capacity(1_024) };
        let (width, height) = size;
        picture.put(format_args!(r#"<svg class="{class}" viewBox="0 0 {width:.0} {height:.0}" "#));
        // Bands hold nothing but bars, which may be stretched.
        picture.out.push_str(if class == "band" { r#"preserveAspectRatio="none" "# } else { "" });
        picture.out.push_str(r#"role="img" aria-label=""#);
        picture.escaped(told);
        picture.out.push_str("\">");
        picture
    }

    fn rect(&mut self, class: &str, x: (f64, f64), y: (f64, f64)) {
        let (left, right) = (x.0.min(x.1), x.0.max(x.1));
        let width = (right - left).max(1.0);
        let (top, height) = (y.0.min(y.1), (y.1 - y.0).abs().max(1.0));
        self.put(format_args!(
            r#"<rect class="{class}" x="{left:.1}" y="{top:.1}" width="{width:.1}" height="{height:.1}"/>"#
        ));
    }

    fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.put(format_args!(r#"<line class="{class}" x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}"/>"#));
    }

    fn path(&mut self, class: &str, points: impl Iterator<Item = (f64, f64)>) {
        self.put(format_args!(r#"<polyline class="{class}" points=""#));
        for (index, (x, y)) in points.enumerate() {
            if index > 0 {
                self.out.push(' ');
            }
            tenths(&mut self.out, x);
            self.out.push(',');
            tenths(&mut self.out, y);
        }
        self.out.push_str("\"/>");
    }

    /// A diamond: where this cycle stands.
    fn mark(&mut self, class: &str, x: f64, y: f64) {
        let size = 4.5;
        let points = [(x, y - size), (x + size, y), (x, y + size), (x - size, y)];
        let [(ax, ay), (bx, by), (cx, cy), (dx, dy)] = points;
        self.put(format_args!(
            r#"<polygon class="{class}" points="{ax:.1},{ay:.1} {bx:.1},{by:.1} {cx:.1},{cy:.1} {dx:.1},{dy:.1}"/>"#
        ));
    }

    fn text(&mut self, anchor: &str, x: f64, y: f64, text: &str) {
        self.put(format_args!(r#"<text text-anchor="{anchor}" x="{x:.1}" y="{y:.1}">"#));
        self.escaped(text);
        self.out.push_str("</text>");
    }

    fn finish(mut self) -> Markup {
        self.out.push_str("</svg>");
        PreEscaped(self.out)
    }

    fn put(&mut self, arguments: std::fmt::Arguments<'_>) {
        self.out.write_fmt(arguments).expect("writing to a string does not fail");
    }

    fn escaped(&mut self, text: &str) {
        Escaper::new(&mut self.out).write_str(text).expect("writing to a string does not fail");
    }
}

/// A coordinate with one decimal; faster than formatting floats, which lines of many points feel.
#[expect(clippy::cast_possible_truncation, reason = "clamped")]
fn tenths(out: &mut String, value: f64) {
    let tenths = (value.clamp(-1e5, 1e5) * 10.0).round() as i64;
    let sign = if tenths < 0 { "-" } else { "" };
    let size = tenths.unsigned_abs();
    write!(out, "{sign}{}.{}", size / 10, size % 10).expect("writing to a string does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_hold_whatever_comes() {
        for values in
            [vec![], vec![f64::NAN], vec![0.0], vec![5.0; 3], vec![f64::MIN, f64::MAX], vec![1e9 + 1.0, 1e9 + 2.0]]
        {
            let scale = Scale::over(values.iter().copied(), 10.0, 20.0);
            for value in values.into_iter().chain([f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 3.0]) {
                assert!((10.0..=20.0).contains(&scale.at(value)), "{value} in {scale:?}");
            }
        }
    }

    #[test]
    fn labels_tell_near_values_apart() {
        let scale = Scale::over([1e9 + 1.0, 1e9 + 2.0].into_iter(), 0.0, 1.0);
        assert_ne!(scale.label(1e9 + 1.0), scale.label(1e9 + 2.0));
        let scale = Scale::over([-3.0, 250.0].into_iter(), 0.0, 1.0);
        assert_eq!((scale.label(-3.0), scale.label(250.0)), ("\u{2212}3".to_owned(), "250".to_owned()));
    }

    #[test]
    fn coordinates() {
        let mut out = String::new();
        for value in [0.0, -0.04, -0.26, 12.34, 1e300, f64::NAN] {
            tenths(&mut out, value);
            out.push(' ');
        }
        assert_eq!(out, "0.0 0.0 -0.3 12.3 100000.0 0.0 ");
    }
}
