//! Writes into cells, never beyond the edge of what it was given.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::Span;

use super::look::Look;
use crate::cli::out::Paint;

/// How many columns a text takes.
pub(super) fn width(text: &str) -> usize {
    Span::raw(text).width()
}

/// A place to write.
pub(super) struct Pen<'a> {
    pub(super) buffer: &'a mut Buffer,
    pub(super) area: Rect,
    pub(super) look: Look,
}

impl Pen<'_> {
    /// Writes a text at a place in at most so many columns, cut with a sign where it is longer; gives the column behind it.
    pub(super) fn put(&mut self, (x, y): (u16, u16), most: u16, text: &str, style: Style) -> u16 {
        if y >= self.area.bottom() || x >= self.area.right() {
            return x;
        }
        let room = most.min(self.area.right().saturating_sub(x));
        if width(text) <= usize::from(room) {
            return self.buffer.set_stringn(x, y, text, usize::from(room), style).0;
        }
        let (cut, _) = self.buffer.set_stringn(x, y, text, usize::from(room.saturating_sub(1)), style);
        let sign = self.look.either("…", "~");
        if room == 0 { cut } else { self.buffer.set_stringn(cut, y, sign, 1, style).0 }
    }

    /// The same in a colour.
    pub(super) fn paint(&mut self, at: (u16, u16), most: u16, text: &str, paint: Paint) -> u16 {
        let style = self.look.style(paint);
        self.put(at, most, text, style)
    }

    /// Adds something to the look of a line.
    pub(super) fn line(&mut self, y: u16, modifier: Modifier) {
        if y < self.area.bottom() {
            let line = Rect { y, height: 1, ..self.area };
            self.buffer.set_style(line, Style::new().add_modifier(modifier));
        }
    }

    /// A text to the right end of a line, where there is room for all of it behind `x`.
    pub(super) fn right(&mut self, (x, y): (u16, u16), text: &str, style: Style) {
        let needed = u16::try_from(width(text)).unwrap_or(u16::MAX);
        let from = self.area.right().saturating_sub(needed);
        if from > x {
            self.put((from, y), needed, text, style);
        }
    }
}
