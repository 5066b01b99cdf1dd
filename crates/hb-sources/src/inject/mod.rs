//! Puts faults into recorded telemetry, to see what a watch makes of them.
//!
//! One line at a time, in bounded memory; a line that is not changed keeps every byte. The same seed makes the same faults.

mod change;
mod plan;
mod random;

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, BufRead, Write};

use serde::Serialize;

use crate::format::Decoder;
use crate::format::locate::{Located, Row};
use crate::items::quote;
pub use plan::{InjectedFault, Injection, Selection};

use plan::check;
use random::Random;

/// One changed line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Its number in the input, from 1.
    pub line: u64,
    /// What was done: `changed`, `removed`, `repeated`, `moved`.
    pub what: &'static str,
    /// What stands there now; at most 200 bytes, escaped.
    pub text: String,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct InjectReport {
    /// Lines read.
    pub lines: u64,
    /// Rows that the selection held for.
    pub selected: u64,
    /// Lines changed.
    pub changed: u64,
    /// Lines left out.
    pub removed: u64,
    /// Lines written in addition.
    pub added: u64,
    /// Lines moved.
    pub moved: u64,
    /// Lines that could not be read as a row, and were left as they are.
    pub unreadable: u64,
    /// The first [`CHANGES_MAX`] of all this.
    pub first: Vec<Change>,
}

/// Why nothing, or not everything, was written.
#[derive(Debug, thiserror::Error)]
pub enum InjectError {
    /// The plan makes no sense.
    #[error("{0}")]
    Plan(String),
    /// Input or output failed.
    #[error("at line {line}: {error}")]
    Io {
        /// The line that was being read or written.
        line: u64,
        /// The system's error.
        error: io::Error,
    },
}

/// Most changes quoted in a report.
pub const CHANGES_MAX: usize = 20;

/// Most lines that a line can be moved by.
pub const REORDER_LINES_MAX: u32 = 10_000;

/// Longest line that can be changed, in bytes; longer ones go through as they are.
const LINE_BYTES_MAX: usize = 1 << 20;

/// Most series whose first value is remembered for [`InjectedFault::StuckAt`]; those beyond stay as they are.
const STUCK_SERIES_MAX: usize = 100_000;

/// Copies `input` to `output` with a fault in it.
///
/// # Errors
/// [`InjectError`].
pub fn inject(input: impl BufRead, output: impl Write, plan: &Injection) -> Result<InjectReport, InjectError> {
    check(plan)?;
    let mut injector = Injector {
        plan,
        decoder: Decoder::new(plan.format, 1),
        random: Random::new(plan.seed),
        report: InjectReport::default(),
        matched: 0,
        stuck: BTreeMap::new(),
        late: VecDeque::new(),
        output,
    };
    let outcome = injector.run(input);
    let line = injector.report.lines;
    outcome.map_err(|error| InjectError::Io { line, error })?;
    Ok(injector.report)
}

/// What becomes of a line.
enum Fate {
    As,
    Changed(Vec<u8>),
    Removed,
    Times(u32),
    Late(u32),
}

struct Injector<'a, W> {
    plan: &'a Injection,
    decoder: Decoder,
    random: Random,
    report: InjectReport,
    /// Rows of the series meant.
    matched: u64,
    stuck: BTreeMap<String, f64>,
    /// Lines held back, by the number of the line behind which they come.
    late: VecDeque<(u64, Vec<u8>)>,
    output: W,
}

impl<W: Write> Injector<'_, W> {
    fn run(&mut self, mut input: impl BufRead) -> io::Result<()> {
        let mut line = Vec::new();
        loop {
            line.clear();
            let whole = read_line(&mut input, &mut line)?;
            if line.is_empty() {
                break;
            }
            self.report.lines += 1;
            if whole == Whole::No {
                self.report.unreadable += 1;
                self.output.write_all(&line)?;
                copy_line(&mut input, &mut self.output)?;
            } else {
                self.line(&line)?;
            }
            self.deliver_late(self.report.lines)?;
        }
        self.deliver_late(u64::MAX)?;
        self.output.flush()
    }

    fn line(&mut self, line: &[u8]) -> io::Result<()> {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let fate = match self.decoder.locate(text) {
            Located::Header => Fate::As,
            Located::Other => {
                self.report.unreadable += u64::from(!text.trim_ascii().is_empty());
                Fate::As
            }
            Located::Row(row) => self.fate(text, &row),
        };
        let end = line.get(text.len()..).unwrap_or_default();
        match fate {
            Fate::As => self.output.write_all(line),
            Fate::Changed(new) => {
                self.report.changed += 1;
                self.note("changed", &new);
                self.output.write_all(&new)?;
                self.output.write_all(end)
            }
            Fate::Removed => {
                self.report.removed += 1;
                self.note("removed", text);
                Ok(())
            }
            Fate::Times(count) => {
                self.report.added += u64::from(count - 1);
                self.note("repeated", text);
                for _ in 1..count {
                    self.output.write_all(text)?;
                    self.output.write_all(if end.is_empty() { b"\n" } else { end })?;
                }
                self.output.write_all(line)
            }
            Fate::Late(lines) => {
                self.report.moved += 1;
                self.note("moved", text);
                let mut held = text.to_vec();
                held.extend_from_slice(if end.is_empty() { b"\n" } else { end });
                self.late.push_back((self.report.lines + u64::from(lines), held));
                Ok(())
            }
        }
    }

    fn deliver_late(&mut self, line: u64) -> io::Result<()> {
        while let Some((_, held)) = self.late.pop_front_if(|(due, _)| *due <= line) {
            self.output.write_all(&held)?;
        }
        Ok(())
    }

    fn note(&mut self, what: &'static str, text: &[u8]) {
        if self.report.first.len() < CHANGES_MAX {
            let line = self.report.lines;
            let text = quote(what, text).trim_start_matches(what).trim_start_matches(": ").to_owned();
            self.report.first.push(Change { line, what, text });
        }
    }

    /// Decides what becomes of a row.
    fn fate(&mut self, text: &[u8], row: &Row) -> Fate {
        let selection = &self.plan.selection;
        let meant = |name: &str| selection.metric.as_deref().is_none_or(|metric| metric == name);
        let targets: Vec<usize> =
            row.values.iter().enumerate().filter(|(_, (name, _))| meant(name)).map(|(number, _)| number).collect();
        if targets.is_empty() {
            return Fate::As;
        }
        let number = self.matched;
        self.matched += 1;
        let Some(number) = number.checked_sub(selection.skip) else { return Fate::As };
        // Chance is asked for every row alike, so that other settings do not shift it.
        let hit = self.random.unit() < selection.share;
        if selection.rows.is_some_and(|rows| number >= rows) || !hit {
            return Fate::As;
        }
        self.report.selected += 1;
        match &self.plan.fault {
            InjectedFault::Drop => Fate::Removed,
            InjectedFault::Gap { rows } if number < *rows => Fate::Removed,
            InjectedFault::Gap { .. } => Fate::As,
            InjectedFault::Duplication { count: 1 } => Fate::As,
            InjectedFault::Duplication { count } => Fate::Times(*count),
            InjectedFault::Reorder { lines } => Fate::Late(*lines),
            InjectedFault::SchemaChange => change::schema(text, row).map_or(Fate::As, Fate::Changed),
            InjectedFault::TimeSkew { seconds } => {
                change::time(text, row, *seconds, self.plan.format.time_unit).map_or(Fate::As, Fate::Changed)
            }
            InjectedFault::ValueCorruption { .. }
            | InjectedFault::StuckAt { .. }
            | InjectedFault::Spike { .. }
            | InjectedFault::SensorDrift { .. }
            | InjectedFault::Nan
            | InjectedFault::UnitMixup { .. } => self.new_values(text, row, &targets, number),
        }
    }

    fn new_values(&mut self, text: &[u8], row: &Row, targets: &[usize], number: u64) -> Fate {
        let mut out = text.to_vec();
        let mut changed = false;
        // From the back, so that places before a change stay right.
        let targets = targets.iter().rev().filter_map(|number| row.values.get(*number));
        for (name, range) in targets {
            let Some(old) = text.get(range.clone()).and_then(change::value) else { continue };
            if let Some(new) = self.new_value(name, old, number) {
                out.splice(range.clone(), change::written(new).into_bytes());
                changed = true;
            }
        }
        if changed { Fate::Changed(out) } else { Fate::As }
    }

    /// What becomes of a value; `None` leaves it as it is.
    fn new_value(&mut self, name: &str, old: f64, number: u64) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "row numbers beyond 2^53 do not occur")]
        let rows = (number + 1) as f64;
        match &self.plan.fault {
            InjectedFault::ValueCorruption { noise_scale, offset } => {
                Some(old + offset + self.random.normal() * noise_scale * old.abs().max(1.0))
            }
            InjectedFault::StuckAt { value: Some(value) } => Some(*value),
            InjectedFault::StuckAt { value: None } => match self.stuck.get(name) {
                Some(first) => Some(*first),
                None => {
                    if self.stuck.len() < STUCK_SERIES_MAX {
                        self.stuck.insert(name.to_owned(), old);
                    }
                    None
                }
            },
            InjectedFault::Spike { scale, every: None } => (number == 0).then_some(old * scale),
            InjectedFault::Spike { scale, every: Some(every) } => number.is_multiple_of(*every).then_some(old * scale),
            InjectedFault::SensorDrift { per_row } => Some(old + per_row * rows),
            InjectedFault::Nan => Some(f64::NAN),
            InjectedFault::UnitMixup { factor } => Some(old * factor),
            InjectedFault::SchemaChange
            | InjectedFault::TimeSkew { .. }
            | InjectedFault::Duplication { .. }
            | InjectedFault::Drop
            | InjectedFault::Gap { .. }
            | InjectedFault::Reorder { .. } => None,
        }
    }
}

#[derive(PartialEq, Eq)]
enum Whole {
    Yes,
    No,
}

/// Reads a line with its end, or the first [`LINE_BYTES_MAX`] bytes of a longer one.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Whole> {
    loop {
        let (found, count) = {
            let available = match input.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let room = LINE_BYTES_MAX - line.len();
            let part = available.get(..room).unwrap_or(available);
            let end = memchr::memchr(b'\n', part);
            let part = end.and_then(|end| part.get(..=end)).unwrap_or(part);
            line.extend_from_slice(part);
            (end.is_some(), part.len())
        };
        input.consume(count);
        if found || count == 0 {
            return Ok(if found || line.len() < LINE_BYTES_MAX { Whole::Yes } else { Whole::No });
        }
    }
}

/// Copies the rest of a line.
fn copy_line(input: &mut impl BufRead, output: &mut impl Write) -> io::Result<()> {
    loop {
        let mut piece = Vec::new();
        let whole = read_line(input, &mut piece)?;
        output.write_all(&piece)?;
        if whole == Whole::Yes {
            return Ok(());
        }
    }
}
