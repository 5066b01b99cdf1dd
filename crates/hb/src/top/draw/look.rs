//! How things look: shapes beside colours, so that nothing is told by colour alone; letters where the terminal has nothing else.

use hb_core::watch::decision::Status;
use ratatui::style::{Color, Modifier, Style};

use super::super::rows::Mark;
use crate::cli::out::Paint;

/// Whether there are colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    /// There are.
    Coloured,
    /// There are not.
    Plain,
}

/// Which letters there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Letters {
    /// All.
    Unicode,
    /// ASCII alone.
    Ascii,
}

/// How things look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Colours.
    pub ink: Ink,
    /// Letters.
    pub letters: Letters,
}

impl Look {
    /// A look.
    #[must_use]
    pub fn new(ink: Ink, letters: Letters) -> Self {
        Self { ink, letters }
    }

    pub(super) fn mark(self, mark: Mark) -> &'static str {
        let (unicode, ascii) = match mark {
            Mark::Good => ("●", "+"),
            Mark::Warn => ("▲", "!"),
            Mark::Bad => ("✖", "X"),
            Mark::Idle => ("○", "o"),
            Mark::Unknown => ("?", "?"),
        };
        self.either(unicode, ascii)
    }

    /// A cycle among others: the higher, the worse.
    pub(super) fn cycle(self, status: Status) -> &'static str {
        let (unicode, ascii) = match status {
            Status::Pass => ("▁", "."),
            Status::PassWithDrift => ("▄", "d"),
            Status::Fail => ("█", "F"),
            Status::NoData => ("╳", "x"),
            Status::NoBaseline => ("░", "b"),
        };
        self.either(unicode, ascii)
    }

    pub(super) fn either(self, unicode: &'static str, ascii: &'static str) -> &'static str {
        match self.letters {
            Letters::Unicode => unicode,
            Letters::Ascii => ascii,
        }
    }

    pub(super) fn style(self, paint: Paint) -> Style {
        let (colour, modifier) = match paint {
            Paint::Plain => (None, Modifier::empty()),
            Paint::Good => (Some(Color::Green), Modifier::empty()),
            Paint::Warn => (Some(Color::Yellow), Modifier::empty()),
            Paint::Bad => (Some(Color::Red), Modifier::BOLD),
            Paint::Faint => (None, Modifier::DIM),
        };
        let style = Style::new().add_modifier(modifier);
        match (self.ink, colour) {
            (Ink::Coloured, Some(colour)) => style.fg(colour),
            (Ink::Coloured | Ink::Plain, _) => style,
        }
    }
}
