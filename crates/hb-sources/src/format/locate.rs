//! Where in a line its parts stand: for changing some of them and leaving every other byte as it is.

use std::ops::Range;

use super::{Decoder, Header, Layout, clean, csv, json};

/// What a line is, and where its parts stand.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Located {
    /// Names of columns.
    Header,
    /// Readings.
    Row(Row),
    /// Nothing that can be read: blank, or a fault.
    Other,
}

/// Where the parts of a row stand.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Names and where their values are.
    pub(crate) values: Vec<(String, Range<usize>)>,
    /// Where the time is.
    pub(crate) time: Option<Range<usize>>,
    /// How it is written.
    pub(crate) style: Style,
}

/// How a row is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// As a JSON object.
    Json,
    /// As CSV.
    Csv,
}

impl Decoder {
    /// Finds the parts of a line, which has no end of line.
    pub(crate) fn locate(&mut self, line: &[u8]) -> Located {
        let Ok(text) = clean(line) else { return Located::Other };
        if text.trim_ascii().is_empty() {
            return Located::Other;
        }
        if self.layout.is_none() && self.lay_out(text) == Header::Yes {
            return Located::Header;
        }
        // A byte order mark before the text.
        let before = line.len() - text.len();
        let found = match &self.layout {
            Some(Layout::Events(_) | Layout::Wide(_)) if !text.trim_start().starts_with('{') => self.cells(text),
            Some(_) | None => json::spans(text).map(|(name, value, time)| Row {
                values: vec![(name, value)],
                time,
                style: Style::Json,
            }),
        };
        let Some(mut row) = found else { return Located::Other };
        let shift = |range: &mut Range<usize>| *range = range.start + before..range.end + before;
        row.values.iter_mut().for_each(|(_, range)| shift(range));
        row.time.iter_mut().for_each(shift);
        Located::Row(row)
    }

    fn cells(&self, text: &str) -> Option<Row> {
        let ranges = csv::ranges(text);
        let cells = csv::cells(text).filter(|cells| cells.len() == ranges.len())?;
        let range = |column: usize| ranges.get(column).cloned();
        match self.layout.as_ref()? {
            Layout::Json | Layout::Syslog(_) | Layout::Http(_) => None,
            Layout::Events(columns) => {
                let name = cells.get(columns.name).filter(|name| !name.is_empty())?;
                let time = columns.time.and_then(range);
                Some(Row { values: vec![(name.to_string(), range(columns.value)?)], time, style: Style::Csv })
            }
            Layout::Wide(wide) => {
                let filled = |&(column, _): &(usize, &str)| cells.get(column).is_some_and(|cell| !cell.is_empty());
                let values = wide
                    .series()
                    .filter(filled)
                    .filter_map(|(column, name)| Some((name.to_owned(), range(column)?)))
                    .collect();
                Some(Row { values, time: range(wide.time()), style: Style::Csv })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Format;

    fn parts(lines: &[&str]) -> Vec<String> {
        let mut decoder = Decoder::new(Format::default(), 10);
        let mut out = Vec::new();
        for line in lines {
            match decoder.locate(line.as_bytes()) {
                Located::Header => out.push("header".to_owned()),
                Located::Other => out.push("other".to_owned()),
                Located::Row(row) => {
                    let time = row.time.map_or("-", |range| &line[range]);
                    let values: Vec<_> =
                        row.values.iter().map(|(name, range)| format!("{name}={}", &line[range.clone()])).collect();
                    out.push(format!("{time} {}", values.join(" ")));
                }
            }
        }
        out
    }

    #[test]
    fn parts_are_found_where_they_stand() {
        assert_eq!(
            parts(&[r#"{"value": 1.50, "metric":"a b", "ts": "2023-11-14T00:00:00Z"}"#, "x"]),
            [r#""2023-11-14T00:00:00Z" a b=1.50"#, "other"]
        );
        assert_eq!(parts(&["ts,metric,value", r#"1, "a,b" , 7"#, ",,"]), ["header", "1 a,b=7", "other"]);
        assert_eq!(parts(&["time,p [bar],q", "1,2,3", "2,,4"]), ["header", "1 p=2 q=3", "2 q=4"]);
        assert_eq!(parts(&["\u{feff}1,a,2"]), ["1 a=2"]);
    }
}
