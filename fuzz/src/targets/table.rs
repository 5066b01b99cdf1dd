//! Tables with a form of their own: workbooks, arrays, channels, engines.

use hb_sources::Limits;
use hb_sources::format::{Format, NoTime, TableForm, TimeUnit};
use hb_sources::fuzzing;

use crate::input::Input;

/// One byte chooses the form.
///
/// # Panics
/// When a table takes much more room as lines than it had, or its lines break a law of sources.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let form = input.one_of(&[TableForm::PbaExcel, TableForm::SmapMsl, TableForm::Cmapss]);
    let Ok((lines, choice)) = fuzzing::table(form, input.0) else { return };
    // A workbook is compressed; anything else takes a row number and names beside what it has.
    if !input.0.starts_with(b"PK") {
        assert!(lines.len() <= 1_000 + 40 * input.0.len(), "{} bytes become {}", input.0.len(), lines.len());
    }
    let format = Format { choice, time_unit: TimeUnit::Seconds, no_time: NoTime::Usual };
    let first = fuzzing::lines(format, Limits::default(), [lines.as_slice()]).expect("a law of sources is broken");
    assert!(first.quotes.iter().all(|quote| quote.len() <= 200), "quotes are short");
}
