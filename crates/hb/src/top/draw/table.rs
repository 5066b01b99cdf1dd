//! A list in columns: each as wide as it needs, narrower where there is no room, and gone where there is still none.

use hb_core::watch::decision::Status;
use ratatui::style::{Modifier, Style};

use super::super::rows::{Cell, Column, Row, paint};
use super::pen::{Pen, width};
use crate::cli::out::Paint;

/// Columns between two columns.
const GAP: u16 = 1;

fn needed(cell: &Cell) -> usize {
    match cell {
        Cell::Text(text, _) | Cell::Figure(text, _) => width(text),
        Cell::Marked(_, word) => width(word).saturating_add(2),
        Cell::Past(past) => past.len(),
    }
}

/// How wide each column is, 0 for those that are gone.
pub(super) fn widths(columns: &[Column], rows: &[Row], room: u16) -> Vec<u16> {
    let natural = |(index, column): (usize, &Column)| {
        let cells = rows.iter().filter_map(|row| row.cells.get(index));
        let most = cells.map(needed).chain([width(column.head)]).max().unwrap_or(0);
        u16::try_from(most).unwrap_or(u16::MAX).clamp(column.least, column.most)
    };
    let mut widths: Vec<u16> = columns.iter().enumerate().map(natural).collect();
    let sum = |widths: &[u16]| {
        let taken = widths.iter().filter(|width| **width > 0);
        taken.fold(0_u16, |sum, width| sum.saturating_add(*width).saturating_add(GAP)).saturating_sub(GAP)
    };
    while sum(&widths) > room {
        let over = sum(&widths).saturating_sub(room);
        // The widest of those that can be narrower gives first.
        let slack =
            |(index, width): &(usize, u16)| columns.get(*index).map_or(0, |one| width.saturating_sub(one.least));
        let giving = widths.iter().copied().enumerate().filter(|one| slack(one) > 0).max_by_key(|(_, width)| *width);
        if let Some((index, width)) = giving {
            let less = slack(&(index, width)).min(over.div_ceil(2)).max(1);
            widths.iter_mut().skip(index).take(1).for_each(|one| *one = width.saturating_sub(less));
            continue;
        }
        let left = columns.iter().zip(&widths).enumerate().filter(|(_, (_, width))| **width > 0);
        let Some((index, _)) = left.min_by_key(|(_, (column, _))| column.keep) else { break };
        if widths.iter().filter(|width| **width > 0).count() == 1 {
            widths.iter_mut().skip(index).take(1).for_each(|one| *one = room);
            break;
        }
        widths.iter_mut().skip(index).take(1).for_each(|one| *one = 0);
    }
    widths
}

/// The heads of columns.
pub(super) fn heads(pen: &mut Pen<'_>, columns: &[Column], widths: &[u16], y: u16) {
    let mut x = pen.area.x;
    for (index, (column, width)) in columns.iter().zip(widths).enumerate().filter(|(_, (_, width))| **width > 0) {
        let style = if index == 0 { Style::new().add_modifier(Modifier::BOLD) } else { pen.look.style(Paint::Faint) };
        pen.put((x, y), *width, column.head, style);
        x = x.saturating_add(*width).saturating_add(GAP);
    }
}

/// A row.
pub(super) fn row(pen: &mut Pen<'_>, row: &Row, widths: &[u16], y: u16) {
    let mut x = pen.area.x;
    for (cell, room) in row.cells.iter().zip(widths).filter(|(_, width)| **width > 0) {
        match cell {
            Cell::Text(text, paint) => {
                pen.paint((x, y), *room, text, *paint);
            }
            Cell::Figure(text, paint) => {
                let free = usize::from(*room).saturating_sub(width(text));
                let indent = u16::try_from(free).unwrap_or(0);
                pen.paint((x.saturating_add(indent), y), room.saturating_sub(indent), text, *paint);
            }
            Cell::Marked(mark, word) => {
                let shape = pen.look.mark(*mark);
                let next = pen.paint((x, y), *room, shape, mark.paint());
                pen.paint((next.saturating_add(1), y), room.saturating_sub(2), word, mark.paint());
            }
            Cell::Past(past) => band(pen, past, (x, y), *room),
        }
        x = x.saturating_add(*room).saturating_add(GAP);
    }
}

/// The newest cycles that there is room for.
fn band(pen: &mut Pen<'_>, past: &[Status], (mut x, y): (u16, u16), room: u16) {
    let shown = past.iter().skip(past.len().saturating_sub(usize::from(room)));
    for status in shown {
        let shape = pen.look.cycle(*status);
        x = pen.paint((x, y), 1, shape, paint(*status));
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::rows::{Section, columns};
    use super::*;

    #[test]
    fn columns_always_fit_and_the_least_needed_go_first() {
        let long =
            Row { id: String::new(), cells: vec![Cell::Text("x".repeat(90), Paint::Plain); 8], more: String::new() };
        for section in Section::ALL {
            let columns = columns(section);
            let mut before = usize::MAX;
            for room in (0..=300).rev() {
                let widths = widths(columns, std::slice::from_ref(&long), room);
                let shown = widths.iter().filter(|width| **width > 0).count();
                let sum: u16 = widths.iter().sum::<u16>() + u16::try_from(shown.saturating_sub(1)).unwrap();
                assert!(sum <= room, "{section:?} at {room}: {widths:?}");
                assert!(shown <= before, "what has gone comes back: {section:?} at {room}");
                before = shown;
                if room == 80 {
                    let needed = columns.iter().zip(&widths).find(|(column, _)| column.keep == 9).unwrap();
                    assert!(*needed.1 > 0);
                }
            }
        }
    }
}
