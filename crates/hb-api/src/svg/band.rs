//! Statuses as shapes and as a band over time. Colour is never alone: each status has its own shape, height and text.

use std::fmt::Write as _;

use hb_core::ids::CycleNo;
use hb_core::watch::decision::Status;
use maud::{Markup, PreEscaped, html};

use super::Picture;

/// One cycle of a band.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cell {
    /// The cycle.
    pub(crate) cycle: CycleNo,
    /// What it came to.
    pub(crate) status: Status,
}

/// The class by which the style sheet knows a status.
fn class(status: Status) -> &'static str {
    match status {
        Status::Pass => "s-pass",
        Status::PassWithDrift => "s-drift",
        Status::Fail => "s-fail",
        Status::NoData => "s-nodata",
        Status::NoBaseline => "s-nobase",
    }
}

/// The status as a shape with its name: a disc, a triangle, a crossed square, a hollow ring, a hollow diamond.
pub(crate) fn icon(status: Status) -> Markup {
    let shape = match status {
        Status::Pass => r#"<circle cx="8" cy="8" r="6.5"/><path class="cut" d="M4.8 8.2l2.3 2.3 4.2-4.8"/>"#,
        Status::PassWithDrift => r#"<path d="M8 1.5 15 14H1z"/><path class="cut" d="M8 6v4M8 11.4v1.2"/>"#,
        Status::Fail => r#"<path d="M1.5 1.5h13v13h-13z"/><path class="cut" d="M5 5l6 6M11 5l-6 6"/>"#,
        Status::NoData => r#"<circle class="hollow" cx="8" cy="8" r="5.8"/>"#,
        Status::NoBaseline => r#"<path class="hollow" d="M8 1.8 14.2 8 8 14.2 1.8 8z"/>"#,
    };
    html! {
        span class={ "status " (class(status)) } {
            svg class="icon" viewBox="0 0 16 16" aria-hidden="true" { (PreEscaped(shape)) }
            span { (status.as_str().replace('_', " ")) }
        }
    }
}

/// What the heights and colours of a band mean.
pub(crate) fn legend() -> Markup {
    html! { p class="legend" { @for status in Status::ALL { (icon(status)) } } }
}

/// Height of a status within a band of 24, and where it begins: the worse, the higher.
fn extent(status: Status) -> (f64, f64) {
    match status {
        Status::Pass => (15.0, 24.0),
        Status::PassWithDrift => (8.0, 24.0),
        Status::Fail => (0.0, 24.0),
        Status::NoData => (19.5, 23.5),
        Status::NoBaseline => (10.0, 14.0),
    }
}

/// Fewest places of a band, so that three cycles don't look like three days.
const PLACES_MIN: u64 = 60;

/// Cycles from left (oldest) to right (newest). Equal ones side by side are one bar; cycles that are not known stay empty.
pub(crate) fn band(cells: impl Iterator<Item = Cell> + Clone) -> Markup {
    let (Some(first), Some(last)) = (cells.clone().next(), cells.clone().last()) else {
        return html! { p class="empty" { "No cycle has been decided yet." } };
    };
    let places = last.cycle.0.saturating_sub(first.cycle.0).saturating_add(1).max(PLACES_MIN);
    let start = last.cycle.0.saturating_add(1).saturating_sub(places);
    let begin = last.cycle.0.saturating_add(1) < places;
    let shift = if begin { places - last.cycle.0.saturating_add(1) } else { 0 };
    #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
    let place = |cycle: u64| (cycle.saturating_sub(start).saturating_add(shift)) as f64 * 6.0;
    #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
    let mut picture = Picture::new("band", (places as f64 * 6.0, 24.0), &told(cells.clone()));
    picture.line("ground", (0.0, 23.8), (place(last.cycle.0) + 6.0, 23.8));
    for (from, to, status) in runs(cells) {
        let (top, bottom) = extent(status);
        let (left, right) = (place(from), place(to) + 6.0);
        let width = right - left;
        let height = bottom - top;
        let cycles = if from == to { format!("cycle {from}") } else { format!("cycles {from} to {to}") };
        picture.put(format_args!(
            r#"<rect class="{}" x="{left:.0}" y="{top}" width="{width:.0}" height="{height}"><title>{cycles}: {status}</title></rect>"#,
            class(status)
        ));
    }
    picture.finish()
}

fn runs(cells: impl Iterator<Item = Cell>) -> Vec<(u64, u64, Status)> {
    let mut runs: Vec<(u64, u64, Status)> = Vec::new();
    for cell in cells {
        match runs.last_mut() {
            Some((_, to, status)) if *status == cell.status && to.checked_add(1) == Some(cell.cycle.0) => {
                *to = cell.cycle.0
            }
            Some(_) | None => runs.push((cell.cycle.0, cell.cycle.0, cell.status)),
        }
    }
    runs
}

fn told(cells: impl Iterator<Item = Cell> + Clone) -> String {
    let mut text = format!("The newest {} cycles:", cells.clone().count());
    for status in Status::ALL {
        let count = cells.clone().filter(|cell| cell.status == status).count();
        if count > 0 {
            write!(text, " {count} {status}").expect("writing to a string does not fail");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(list: &[(u64, Status)]) -> Vec<Cell> {
        list.iter().map(|(cycle, status)| Cell { cycle: CycleNo(*cycle), status: *status }).collect()
    }

    #[test]
    fn equal_neighbours_are_one_bar_and_gaps_stay() {
        let cells = cells(&[(5, Status::Pass), (6, Status::Pass), (8, Status::Pass), (9, Status::Fail)]);
        assert_eq!(runs(cells.iter().copied()), [(5, 6, Status::Pass), (8, 8, Status::Pass), (9, 9, Status::Fail)]);
        let drawn = band(cells.iter().copied()).into_string();
        assert!(drawn.contains("cycles 5 to 6: PASS") && drawn.contains("4 cycles: 3 PASS 1 FAIL"), "{drawn}");
        // The newest stands at the right edge.
        assert!(drawn.contains(r#"x="354" y="0" width="6""#), "{drawn}");
    }

    #[test]
    fn bands_hold_extreme_numbers() {
        let far = cells(&[(0, Status::Pass), (u64::MAX - 1, Status::Fail)]);
        assert!(band(far.iter().copied()).into_string().ends_with("</svg>"));
        assert!(band(std::iter::empty()).into_string().contains("No cycle"));
    }
}
