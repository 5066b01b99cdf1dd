//! XLSX workbooks: the first sheet that has a table of metrics.
//!
//! Cells are taken one after the other, so that a sheet with a cell in its last corner needs no room for all before it.

use std::io::Cursor;

use calamine::{DataRef, Reader as _, Xlsx};

use super::text::{Metrics, Text};

/// Columns beyond are not looked at.
const COLUMNS_MAX: usize = 64;
/// Longest text of a cell that is kept, in bytes.
const CELL_BYTES_MAX: usize = 1_024;

/// The table of metrics in a workbook.
pub(super) fn metrics(bytes: &[u8], at: (i64, i64)) -> Result<Text, String> {
    let mut book: Xlsx<_> =
        Xlsx::new(Cursor::new(bytes)).map_err(|error| format!("it is no XLSX workbook: {error}"))?;
    let mut looked = 0;
    for name in book.sheet_names() {
        let mut metrics = Metrics::at(at);
        sheet(&mut book, &name, &mut metrics).map_err(|why| format!("sheet {name:?}: {why}"))?;
        if metrics.found() {
            return metrics.finish();
        }
        looked += 1;
    }
    Err(format!("none of its {looked} sheets has a row that names the columns Metric and Current or Value"))
}

fn sheet(book: &mut Xlsx<Cursor<&[u8]>>, name: &str, metrics: &mut Metrics) -> Result<(), String> {
    let mut cells = book.worksheet_cells_reader(name).map_err(|error| error.to_string())?;
    let mut row = Vec::new();
    let mut number = 0;
    while let Some(cell) = cells.next_cell().map_err(|error| error.to_string())? {
        let (at, column) = cell.get_position();
        if at != number && !row.is_empty() {
            metrics.row(&std::mem::take(&mut row))?;
        }
        number = at;
        let column = usize::try_from(column).unwrap_or(usize::MAX);
        if column < COLUMNS_MAX {
            let missing = (column + 1).saturating_sub(row.len());
            row.extend(std::iter::repeat_n(String::new(), missing));
            if let Some(place) = row.get_mut(column) {
                *place = text(cell.get_value());
            }
        }
    }
    if row.is_empty() { Ok(()) } else { metrics.row(&row) }
}

fn text(value: &DataRef<'_>) -> String {
    let mut text = match value {
        DataRef::Int(number) => number.to_string(),
        DataRef::Float(number) => number.to_string(),
        DataRef::String(text) => text.clone(),
        DataRef::SharedString(text) => (*text).to_owned(),
        DataRef::Bool(flag) => u8::from(*flag).to_string(),
        DataRef::DateTime(date) => date.as_f64().to_string(),
        DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => text.clone(),
        DataRef::Error(error) => error.to_string(),
        DataRef::Empty => String::new(),
    };
    let end = (0..=CELL_BYTES_MAX.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.truncate(end);
    text
}
