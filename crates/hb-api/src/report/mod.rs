//! The report of one cycle: a self-contained HTML page and a JSON document.

mod trend;

use hb_core::node::fact::{Body, CycleDecided, Sealed};
use hb_core::watch::baseline::Baseline;

pub use trend::Trend;

/// What a report is made of.
#[derive(Debug, Clone, Copy)]
pub struct ReportInput<'a> {
    pub(crate) sealed: &'a Sealed,
    pub(crate) decided: &'a CycleDecided,
    pub(crate) baseline: Option<&'a Baseline>,
    pub(crate) trend: &'a Trend,
}

impl<'a> ReportInput<'a> {
    /// The report of a record, if it decides a cycle. `baseline` is the one decided against; `trend` is best pushed this
    /// cycle before.
    #[must_use]
    pub fn new(sealed: &'a Sealed, baseline: Option<&'a Baseline>, trend: &'a Trend) -> Option<Self> {
        match &sealed.record.body {
            Body::CycleDecided(decided) => Some(Self { sealed, decided, baseline, trend }),
            Body::EpochOpened { .. }
            | Body::AlertDelivered(_)
            | Body::BaselineAdopted(_)
            | Body::BaselineEvent(_)
            | Body::EpochClosed { .. } => None,
        }
    }
}

/// A report, ready to be stored as `report.html` and `report.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// One self-contained page.
    pub html: String,
    /// The same for programs.
    pub json: String,
}

/// Renders a report. It never fails and has no bound but those of its input and [`ROWS_MAX`].
#[must_use]
pub fn render(input: &ReportInput<'_>) -> Rendered {
    let _ = (input.sealed, input.decided, input.baseline, input.trend);
    Rendered { html: String::new(), json: String::new() }
}

/// Most series that a report lists.
pub const ROWS_MAX: usize = 2_000;
