//! Standard output, and how a command fails. A reader that goes away (`hb … | head`) ends the command quietly.

use std::fmt;
use std::io::{BufWriter, IsTerminal as _, Write};

use serde::Serialize;

use crate::exit::Exit;
use crate::shown::clean;
use crate::top::Ink;
use hb_core::watch::decision::Status;

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum ColourWhen {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Where a command writes what it was asked for.
pub struct Out {
    writer: Box<dyn Write>,
    colour: bool,
}

/// Why a command did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// With what it ends.
    pub exit: Exit,
    /// What went wrong, and where; empty when somebody has been told already.
    pub what: String,
    /// What to do; empty where `what` says it all.
    pub help: String,
}

impl Failure {
    /// A failure that says it all.
    #[must_use]
    pub fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), help: String::new() }
    }

    /// With advice.
    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Self {
        Self { help: help.into(), ..self }
    }

    /// The reader has gone away: nobody is left to be told anything.
    fn quiet(exit: Exit) -> Self {
        Self::new(exit, "")
    }

    /// Tells it on standard error.
    pub fn tell(&self) -> Exit {
        if !self.what.is_empty() {
            let mut text = format!("hb: {}\n", self.what);
            if !self.help.is_empty() {
                text.push_str(&format!("    {}\n", self.help));
            }
            // Standard error is the last resort: where it is closed, the exit code is all that is left.
            drop(std::io::stderr().lock().write_all(text.as_bytes()));
        }
        self.exit
    }
}

impl Out {
    /// Standard output.
    #[must_use]
    pub fn of_process(when: ColourWhen) -> Self {
        let stdout = std::io::stdout();
        let colour = match when {
            ColourWhen::Always => true,
            ColourWhen::Never => false,
            ColourWhen::Auto => {
                stdout.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            }
        };
        Self { writer: Box::new(BufWriter::new(stdout)), colour }
    }

    /// Some text as it is.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn text(&mut self, text: fmt::Arguments<'_>) -> Result<(), Failure> {
        self.writer.write_fmt(text).map_err(|error| cannot_print(&error))
    }

    /// A line.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn line(&mut self, line: fmt::Arguments<'_>) -> Result<(), Failure> {
        self.text(format_args!("{line}\n"))
    }

    /// A value as one line of JSON.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn json<T: Serialize>(&mut self, value: &T) -> Result<(), Failure> {
        let text = serde_json::to_string(value)
            .map_err(|error| Failure::new(Exit::Error, format!("cannot be put as JSON: {error}")))?;
        self.line(format_args!("{text}"))
    }

    /// Bytes as they are.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.writer.write_all(bytes).map_err(|error| cannot_print(&error))
    }

    /// Rows in aligned columns, the first row as heading. Every cell is cut of control characters.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn table(&mut self, rows: &[Vec<Cell>]) -> Result<(), Failure> {
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.text.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in rows {
            let mut line = String::new();
            for (index, (cell, width)) in row.iter().zip(&widths).enumerate() {
                if index > 0 {
                    line.push_str("  ");
                }
                let room = " ".repeat(width.saturating_sub(cell.text.chars().count()));
                let text = self.painted(&cell.text, cell.paint);
                match cell.side {
                    Side::Left => line.push_str(&format!("{text}{room}")),
                    Side::Right => line.push_str(&format!("{room}{text}")),
                }
            }
            self.line(format_args!("{}", line.trim_end()))?;
        }
        Ok(())
    }

    /// A text in its colour, where colour is wanted.
    #[must_use]
    pub fn painted(&self, text: &str, paint: Paint) -> String {
        let code = match paint {
            Paint::Plain => return text.to_owned(),
            _ if !self.colour => return text.to_owned(),
            Paint::Good => "32",
            Paint::Warn => "33",
            Paint::Bad => "31",
            Paint::Faint => "2",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }

    /// Whether colour is wanted.
    #[must_use]
    pub fn ink(&self) -> Ink {
        if self.colour { Ink::Coloured } else { Ink::Plain }
    }

    /// A status in its colour.
    #[must_use]
    pub fn status(&self, status: Status) -> String {
        self.painted(status.as_str(), paint(status))
    }

    /// Writes out what is still held back.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn finish(&mut self) -> Result<(), Failure> {
        self.writer.flush().map_err(|error| cannot_print(&error))
    }
}

fn cannot_print(error: &std::io::Error) -> Failure {
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        return Failure::quiet(Exit::Ok);
    }
    Failure::new(Exit::CannotWrite, format!("standard output cannot be written: {error}"))
}

/// A cell of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    text: String,
    side: Side,
    paint: Paint,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// A colour by its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// As it is.
    Plain,
    /// As it should be.
    Good,
    /// Worth a look.
    Warn,
    /// Not as it should be.
    Bad,
    /// Beside the point.
    Faint,
}

/// The colour of a status.
#[must_use]
pub fn paint(status: Status) -> Paint {
    match status {
        Status::Pass => Paint::Good,
        Status::PassWithDrift | Status::NoBaseline => Paint::Warn,
        Status::Fail | Status::NoData => Paint::Bad,
    }
}

impl Cell {
    /// Text, to the left.
    #[must_use]
    pub fn text(text: impl fmt::Display) -> Self {
        Self { text: clean(&text.to_string()), side: Side::Left, paint: Paint::Plain }
    }

    /// A figure, to the right.
    #[must_use]
    pub fn figure(figure: impl fmt::Display) -> Self {
        Self { side: Side::Right, ..Self::text(figure) }
    }

    /// A heading.
    #[must_use]
    pub fn head(text: &str) -> Self {
        Self { paint: Paint::Faint, ..Self::text(text) }
    }

    /// A status.
    #[must_use]
    pub fn status(status: Status) -> Self {
        Self { paint: paint(status), ..Self::text(status) }
    }

    /// In a colour.
    #[must_use]
    pub fn painted(self, paint: Paint) -> Self {
        Self { paint, ..self }
    }
}
