//! Tables that are text, turned into lines with names and times.

use std::fmt::Write as _;

use crate::format::{FormatChoice, csv};

/// Most rows of a table.
pub(crate) const ROWS_MAX: usize = 4_000_000;
/// How far down the names of the columns may stand.
const HEADER_ROWS_MAX: usize = 20;

/// Lines that are read as any others.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Text {
    /// The lines, each with its end; the first has the names.
    pub(super) lines: Vec<u8>,
    /// What they are.
    pub(super) choice: FormatChoice,
}

/// Which columns of a table of metrics are what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Columns {
    metric: usize,
    value: usize,
    unit: Option<usize>,
}

impl Columns {
    /// The columns that a row names, if it is a row of names.
    pub(super) fn of(row: &[String]) -> Option<Self> {
        let find = |known: &[&str]| {
            let fits = |cell: &String| known.contains(&cell.trim().to_lowercase().as_str());
            row.iter().position(fits)
        };
        Some(Self {
            metric: find(&["metric", "metric name", "name", "parameter"])?,
            value: find(&["current", "current value", "value"])?,
            unit: find(&["unit", "units"]),
        })
    }
}

/// Collects the rows of a table of metrics; every row is a reading of the time at which the file was written.
#[derive(Debug)]
pub(super) struct Metrics {
    columns: Option<Columns>,
    rows: usize,
    at: String,
    lines: String,
}

impl Metrics {
    pub(super) fn at((seconds, nanoseconds): (i64, i64)) -> Self {
        let at = format!("{seconds}.{nanoseconds:09}");
        Self { columns: None, rows: 0, at, lines: "timestamp,metric,value,unit\n".to_owned() }
    }

    /// Takes a row. Gives whether more are wanted.
    pub(super) fn row(&mut self, row: &[String]) -> Result<(), String> {
        self.rows += 1;
        if self.rows > ROWS_MAX {
            return Err(format!("it has more than {ROWS_MAX} rows"));
        }
        let Some(columns) = self.columns else {
            if self.rows <= HEADER_ROWS_MAX {
                self.columns = Columns::of(row);
            }
            return Ok(());
        };
        let cell = |column: usize| row.get(column).map_or("", |cell| cell.trim());
        if row.iter().all(|cell| cell.trim().is_empty()) {
            return Ok(());
        }
        let (metric, value) = (quoted(cell(columns.metric)), quoted(cell(columns.value)));
        let unit = quoted(columns.unit.map_or("", cell));
        writeln!(self.lines, "{},{metric},{value},{unit}", self.at).map_err(|error| error.to_string())
    }

    /// Whether the names of the columns were found.
    pub(super) fn found(&self) -> bool {
        self.columns.is_some()
    }

    pub(super) fn finish(self) -> Result<Text, String> {
        if self.columns.is_none() {
            return Err("no row of it names the columns Metric and Current or Value".to_owned());
        }
        Ok(Text { lines: self.lines.into_bytes(), choice: FormatChoice::Csv })
    }
}

/// A cell as CSV has it.
fn quoted(cell: &str) -> String {
    if !cell.contains([',', '"', '\n', '\r']) {
        return cell.to_owned();
    }
    format!("\"{}\"", cell.replace(['\n', '\r'], " ").replace('"', "\"\""))
}

/// A table of metrics as CSV.
pub(super) fn metrics(bytes: &[u8], at: (i64, i64)) -> Result<Text, String> {
    let mut metrics = Metrics::at(at);
    for line in text(bytes)?.lines() {
        match csv::cells(line) {
            Some(cells) => metrics.row(&cells.iter().map(|cell| cell.to_string()).collect::<Vec<_>>())?,
            // Read as one cell, so that it is told.
            None => metrics.row(&[line.to_owned()])?,
        }
    }
    metrics.finish()
}

/// Engines over their lives, blank-separated: unit, cycle, three settings, 21 sensors. Rows follow one another by a second.
pub(super) fn engines(bytes: &[u8]) -> Result<Text, String> {
    const SETTINGS: usize = 3;
    const SENSORS: usize = 21;
    let mut lines = String::from("time");
    (1..=SETTINGS).for_each(|number| lines.push_str(&format!(",setting_{number}")));
    (1..=SENSORS).for_each(|number| lines.push_str(&format!(",sensor_{number}")));
    lines.push('\n');
    let rows = text(bytes)?.lines().filter(|line| !line.trim().is_empty());
    for (number, row) in rows.enumerate() {
        bounded(number)?;
        let cells: Vec<&str> = row.split_ascii_whitespace().collect();
        let readings = cells.get(2..).filter(|_| cells.len() == 2 + SETTINGS + SENSORS);
        push(&mut lines, (number, 1 + SETTINGS + SENSORS), readings, row);
    }
    Ok(Text { lines: lines.into_bytes(), choice: FormatChoice::WideCsv })
}

/// A channel of the SMAP and MSL telemetry as CSV: the reading, then the commands. Rows follow one another by a second, unless
/// a column says their times.
pub(super) fn channel(bytes: &[u8]) -> Result<Text, String> {
    let text = text(bytes)?;
    let mut rows = text.lines().filter(|line| !line.trim().is_empty()).peekable();
    let first: Vec<String> = rows
        .peek()
        .and_then(|line| csv::cells(line))
        .ok_or("it has no first row")?
        .iter()
        .map(|cell| cell.trim().to_owned())
        .collect();
    let numbers = first.iter().all(|cell| cell.parse::<f64>().is_ok());
    if !numbers && first.iter().any(|cell| csv::is_time(cell)) {
        return Ok(Text { lines: [text.as_bytes(), b"\n"].concat(), choice: FormatChoice::WideCsv });
    }
    let names = if numbers { channel_names(first.len()) } else { first };
    if !numbers {
        rows.next();
    }
    let quoted_names: Vec<String> = names.iter().map(|name| quoted(name)).collect();
    let mut lines = format!("time,{}\n", quoted_names.join(","));
    for (number, row) in rows.enumerate() {
        bounded(number)?;
        let cells = csv::cells(row).unwrap_or_default();
        let cells: Vec<&str> = cells.iter().map(AsRef::as_ref).collect();
        push(
            &mut lines,
            (number, 1 + names.len()),
            Some(cells.as_slice()).filter(|cells| cells.len() == names.len()),
            row,
        );
    }
    Ok(Text { lines: lines.into_bytes(), choice: FormatChoice::WideCsv })
}

/// What the columns of a channel are called.
pub(super) fn channel_names(count: usize) -> Vec<String> {
    let name = |number| if number == 0 { "telemetry".to_owned() } else { format!("command_{number}") };
    (0..count).map(name).collect()
}

/// One row of a wide table of so many columns; a row that is none becomes a line of another number of cells, so that it is told.
fn push(lines: &mut String, (number, columns): (usize, usize), readings: Option<&[&str]>, row: &str) {
    let cells = match readings {
        Some(cells) => cells.iter().map(|cell| quoted(cell.trim())).collect::<Vec<_>>().join(","),
        None if columns == 2 => format!("{},", quoted(row)),
        None => quoted(row),
    };
    lines.push_str(&format!("{number},{cells}\n"));
}

pub(super) fn bounded(rows: usize) -> Result<(), String> {
    if rows < ROWS_MAX { Ok(()) } else { Err(format!("it has more than {ROWS_MAX} rows")) }
}

fn text(bytes: &[u8]) -> Result<&str, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| format!("it is no text: {error}"))?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: Result<Text, String>) -> Vec<String> {
        String::from_utf8(text.unwrap().lines).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn metrics_have_the_time_of_their_file() {
        let table = "Bench 7,,,\n\nMetric,Current,Unit,Tags\nlatency,12.5,ms,a\n\"a, b\",3,,\n,,,\nbad\n";
        let wanted = [
            "timestamp,metric,value,unit",
            "7.000000009,latency,12.5,ms",
            "7.000000009,\"a, b\",3,",
            "7.000000009,bad,,",
        ];
        assert_eq!(lines(metrics(table.as_bytes(), (7, 9))), wanted);
        assert_eq!(lines(metrics(b"name,value\nx,1\n", (7, 0)))[1], "7.000000000,x,1,");
        assert!(metrics(b"a,b\n1,2\n", (7, 0)).unwrap_err().contains("Metric and Current"));
    }

    #[test]
    fn engines_are_settings_and_sensors_second_by_second() {
        let row = |unit: u32| {
            format!(
                "{unit} 1 -0.0007 -0.0004 100.0 {} \n",
                (1..=21).map(|n| n.to_string()).collect::<Vec<_>>().join(" ")
            )
        };
        let got = lines(engines(format!("{}{}1 2 3\n", row(1), row(2)).as_bytes()));
        assert!(got[0].starts_with("time,setting_1,setting_2,setting_3,sensor_1,") && got[0].ends_with(",sensor_21"));
        assert!(got[1].starts_with("0,-0.0007,-0.0004,100.0,1,2,") && got[2].starts_with("1,"));
        assert_eq!(got[3], "2,1 2 3");
    }

    #[test]
    fn b1_rows_that_are_none_take_no_more_room_than_they_have() {
        let wide: String = (0..2_000).map(|number| format!("c{number},")).collect();
        for (names, cells) in [(wide.trim_end_matches(','), 2), ("one", 3), ("one,two", 2)] {
            let table = format!("{names}\n{}", "x y,z,\"\n".repeat(500));
            let got = lines(channel(table.as_bytes()));
            assert!(got.iter().map(String::len).sum::<usize>() < 3 * table.len(), "{names:.20}");
            assert!(got.iter().skip(1).all(|row| csv::cells(row).unwrap().len() == cells), "{:?}", got.get(1));
        }
    }

    #[test]
    fn channels_with_names_without_and_with_times() {
        assert_eq!(
            lines(channel(b"0.5,0,1\n0.6,1,0\n")),
            ["time,telemetry,command_1,command_2", "0,0.5,0,1", "1,0.6,1,0"]
        );
        assert_eq!(lines(channel(b"value,cmd\n0.5,0\n")), ["time,value,cmd", "0,0.5,0"]);
        assert_eq!(lines(channel(b"timestamp,value\n9,0.5\n"))[..2], ["timestamp,value", "9,0.5"]);
    }
}
