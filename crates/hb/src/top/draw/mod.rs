//! Puts a screen into cells. It reads nothing but the screen, and fits into any size.

mod detail;
mod look;
mod pen;
mod table;

pub use look::{Ink, Letters, Look};

use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};

use super::happenings;
use super::rows::{Mark, Row, Section, columns, short};
use super::screen::{Front, Hands, Screen};
use super::verdict::Level;
use crate::cli::out::Paint;
use crate::cli::told;
use pen::{Pen, width};

/// Age from which on a picture is called old, in seconds.
const OLD: f64 = 8.0;

/// Draws all of it.
pub(super) fn draw(screen: &mut Screen, look: Look, buffer: &mut Buffer) {
    let area = buffer.area;
    if area.width == 0 || area.height == 0 {
        return;
    }
    let mut pen = Pen { buffer, area, look };
    let used = head(&mut pen, screen);
    let foot = u16::from(area.height >= 8 && screen.hands == Hands::On);
    let room = area.height.saturating_sub(used).saturating_sub(foot);
    let inside = Rect { y: area.y.saturating_add(used), height: room, ..area };
    match screen.front.clone() {
        Front::Lists | Front::Filter => lists(&mut pen, screen, inside),
        Front::Help => screen.beyond = detail::page(&mut pen, &detail::help(), inside, 0),
        Front::Detail { section, id, from } => {
            let lines = detail::of(&screen.picture, section, &id);
            screen.beyond = detail::page(&mut pen, &lines, inside, from);
        }
    }
    if foot > 0 {
        footer(&mut pen, screen, area.bottom().saturating_sub(1));
    }
}

fn mark(level: Level) -> Mark {
    match level {
        Level::Well => Mark::Good,
        Level::Look => Mark::Warn,
        Level::Trouble => Mark::Bad,
        Level::Unknown => Mark::Unknown,
    }
}

/// Whether all is well, who is active, what is not as it should be, and what hb did; gives how many lines that took.
fn head(pen: &mut Pen<'_>, screen: &Screen) -> u16 {
    let height = pen.area.height;
    let mut y = pen.area.y;
    title(pen, screen, y);
    y = y.saturating_add(1);
    let picture = &screen.picture;
    let points = match height {
        0..=4 => 0,
        5..=13 => 1,
        14..=29 => 2,
        _ => 4,
    };
    let told = picture.verdict.points.len().min(points);
    for (index, point) in picture.verdict.points.iter().take(points).enumerate() {
        let mark = mark(point.level);
        let shape = pen.look.mark(mark);
        let x = pen.paint((pen.area.x.saturating_add(1), y), 2, shape, mark.paint()).saturating_add(1);
        let left = picture.verdict.points.len().saturating_sub(told).saturating_add(picture.verdict.more);
        let more =
            if index.saturating_add(1) == told && left > 0 { format!(" and {left} more") } else { String::new() };
        let room = pen.area.right().saturating_sub(x).saturating_sub(u16::try_from(width(&more)).unwrap_or(0));
        let x = pen.paint((x, y), room, point.what.as_str(), mark.paint());
        pen.paint((x, y), u16::MAX, &more, Paint::Faint);
        y = y.saturating_add(1);
    }
    for line in did(screen).iter().take(match height {
        0..=13 => 0,
        14..=17 => 1,
        _ => 2,
    }) {
        pen.paint((pen.area.x.saturating_add(1), y), u16::MAX, line, Paint::Faint);
        y = y.saturating_add(1);
    }
    y.saturating_sub(pen.area.y).min(height)
}

fn title(pen: &mut Pen<'_>, screen: &Screen, y: u16) {
    let picture = &screen.picture;
    let verdict = &picture.verdict;
    let mark = mark(verdict.level);
    let style = match pen.look.ink {
        Ink::Coloured => Style::new().fg(Color::Black).bg(match verdict.level {
            Level::Well => Color::Green,
            Level::Look | Level::Unknown => Color::Yellow,
            Level::Trouble => Color::LightRed,
        }),
        Ink::Plain => Style::new().add_modifier(Modifier::REVERSED),
    };
    let word = format!(" {} {} ", pen.look.mark(mark), verdict.level.word());
    let x = pen.put((pen.area.x, y), u16::MAX, &word, style.add_modifier(Modifier::BOLD));
    let drawn = screen.drawn.unwrap_or(picture.at);
    let old = (drawn.as_seconds() - picture.at.as_seconds()).max(0.0);
    let clock = told::moment(picture.at);
    let clock = clock.get(11..19).unwrap_or(&clock);
    let (state, paint) = if screen.is_held() {
        (format!("HELD at {clock}: p goes on"), Paint::Warn)
    } else if picture.silent.is_some() {
        (format!("STALE {clock}Z"), Paint::Bad)
    } else if old >= OLD {
        (format!("STALE {} old", short(old)), Paint::Bad)
    } else {
        (format!("{clock}Z"), Paint::Faint)
    };
    let room = pen.area.right().saturating_sub(x).saturating_sub(u16::try_from(width(&state)).unwrap_or(0));
    let end = pen.paint((x.saturating_add(1), y), room.saturating_sub(3), verdict.summary.as_str(), Paint::Plain);
    let style = pen.look.style(paint);
    pen.right((end, y), &state, style);
}

/// What hb did: the newest takeover and the newest intervention, in a line each.
fn did(screen: &Screen) -> Vec<String> {
    let picture = &screen.picture;
    let ago = |at| format!("{} ago", super::rows::age(at, picture.at));
    let takeover = picture.takeover.as_ref();
    let takeover = takeover.map(|one| format!("last takeover {}: {}", ago(one.at), happenings::sentence(one)));
    let newest = picture.supervision.iter().flat_map(|one| &one.interventions).next();
    let newest = newest.map(|one| {
        let reason = if one.reason.is_empty() { String::new() } else { format!(": {}", one.reason) };
        format!(
            "last intervention {}: {} of {} by {}, {}{reason}",
            ago(one.at),
            one.what,
            one.target,
            one.by,
            one.status
        )
    });
    takeover.into_iter().chain(newest).collect()
}

/// How many lines each list gets, its heads included.
fn shares(wants: &[(Section, usize)], room: u16, focus: Section) -> Vec<(Section, u16)> {
    let room = usize::from(room);
    if room < wants.len().saturating_mul(2) {
        // There is room for one list alone.
        let one = wants.iter().find(|(section, _)| *section == focus).or_else(|| wants.first());
        return one.map(|(section, _)| (*section, u16::try_from(room).unwrap_or(0))).into_iter().collect();
    }
    let mut shares: Vec<(Section, usize)> = wants.iter().map(|(section, want)| (*section, (*want).min(2))).collect();
    let mut left = room.saturating_sub(shares.iter().map(|(_, share)| share).sum());
    while left > 0 {
        let mut given = false;
        for ((section, share), (_, want)) in shares.iter_mut().zip(wants) {
            // Whoever looks at a list sees more of it.
            let most = if *section == focus { 2 } else { 1 };
            let more = want.saturating_sub(*share).min(most).min(left);
            *share = share.saturating_add(more);
            left = left.saturating_sub(more);
            given |= more > 0;
        }
        if !given {
            break;
        }
    }
    shares.into_iter().map(|(section, share)| (section, u16::try_from(share).unwrap_or(0))).collect()
}

fn lists(pen: &mut Pen<'_>, screen: &mut Screen, inside: Rect) {
    let mut all: Vec<(Section, Vec<Row>)> = Section::ALL.iter().map(|one| (*one, screen.rows(*one))).collect();
    all.retain(|(section, rows)| !rows.is_empty() || *section == screen.section);
    let wants: Vec<(Section, usize)> =
        all.iter().map(|(section, rows)| (*section, rows.len().saturating_add(1))).collect();
    let mut y = inside.y;
    for (section, share) in shares(&wants, inside.height, screen.section) {
        let Some((_, rows)) = all.iter().find(|(one, _)| *one == section) else { continue };
        list(pen, screen, (section, rows), Rect { y, height: share, ..inside });
        y = y.saturating_add(share);
    }
}

fn list(pen: &mut Pen<'_>, screen: &mut Screen, (section, rows): (Section, &[Row]), area: Rect) {
    if area.height == 0 {
        return;
    }
    let focused = screen.hands == Hands::On && screen.section == section;
    let place = screen.place(section, rows);
    let room = usize::from(area.height.saturating_sub(1));
    let offset = screen.offsets.entry(section).or_default();
    // The chosen row is in sight, and nothing is left empty that could be filled.
    *offset = (*offset).max(place.saturating_add(1).saturating_sub(room)).min(place);
    *offset = (*offset).min(rows.len().saturating_sub(room));
    let first = *offset;
    let columns = columns(section);
    let widths = table::widths(columns, rows, area.width);
    table::heads(pen, columns, &widths, area.y);
    pen.line(area.y, Modifier::UNDERLINED);
    let last = first.saturating_add(room).min(rows.len());
    if rows.is_empty() {
        let what = if screen.filter.is_empty() { "nothing yet" } else { "nothing has the filter's words in it" };
        pen.paint((area.x, area.y.saturating_add(1)), area.width, what, Paint::Faint);
    } else if last.saturating_sub(first) < rows.len() {
        let told = format!(" {}-{last} of {} ", first.saturating_add(1), rows.len());
        let style = pen.look.style(Paint::Faint);
        pen.right((area.x, area.y), &told, style);
    }
    let mut y = area.y;
    for (index, row) in rows.iter().enumerate().skip(first).take(room) {
        y = y.saturating_add(1);
        table::row(pen, row, &widths, y);
        if focused && index == place {
            pen.line(y, Modifier::REVERSED);
        }
    }
}

fn footer(pen: &mut Pen<'_>, screen: &Screen, y: u16) {
    let x = pen.area.x;
    match &screen.front {
        Front::Filter => {
            let x = pen.paint((x, y), u16::MAX, "filter: ", Paint::Warn);
            let x = pen.put((x, y), u16::MAX, &screen.filter, Style::new());
            let x = pen.put((x, y), 1, " ", Style::new().add_modifier(Modifier::REVERSED));
            pen.right((x, y), "Enter keeps it, Esc takes it back", pen.look.style(Paint::Faint));
        }
        Front::Lists => {
            let kept =
                if screen.filter.is_empty() { String::new() } else { format!("filter: {} (Esc)  ", screen.filter) };
            let x = pen.paint((x, y), u16::MAX, &kept, Paint::Warn);
            let keys = "q quit  ? help  / filter  p hold  Tab next list  j k move  Enter all of it";
            pen.paint((x, y), u16::MAX, keys, Paint::Faint);
        }
        Front::Help => {
            pen.paint((x, y), u16::MAX, "any key goes back", Paint::Faint);
        }
        Front::Detail { from, .. } => {
            let more = if screen.beyond > *from { "  more below" } else { "" };
            let keys = format!("Esc goes back  j k move  p hold{more}");
            pen.paint((x, y), u16::MAX, &keys, Paint::Faint);
        }
    }
}

/// Cells as lines of text, with colour only where the look has it.
pub(super) fn text(buffer: &Buffer, look: Look) -> String {
    let area = buffer.area;
    let lines: Vec<String> = (area.top()..area.bottom()).map(|y| line(buffer, look, y)).collect();
    let last = lines.iter().rposition(|line| !line.is_empty()).map_or(0, |last| last.saturating_add(1));
    lines.into_iter().take(last).map(|line| line + "\n").collect()
}

fn line(buffer: &Buffer, look: Look, y: u16) -> String {
    let cells: Vec<&Cell> = (buffer.area.left()..buffer.area.right()).filter_map(|x| buffer.cell((x, y))).collect();
    let written = cells.iter().rposition(|cell| cell.symbol() != " ").map_or(0, |last| last.saturating_add(1));
    let (mut line, mut before, mut covered) = (String::new(), String::new(), 0_usize);
    for cell in cells.into_iter().take(written) {
        // A wide letter covers the cell behind it.
        if covered > 0 {
            covered = covered.saturating_sub(1);
            continue;
        }
        covered = width(cell.symbol()).saturating_sub(1);
        let code = if look.ink == Ink::Coloured { code(cell.fg, cell.modifier) } else { String::new() };
        if code != before {
            let sequence = if code.is_empty() { "\u{1b}[0m".to_owned() } else { format!("\u{1b}[0;{code}m") };
            line.push_str(&sequence);
            before = code;
        }
        line.push_str(cell.symbol());
    }
    if !before.is_empty() {
        line.push_str("\u{1b}[0m");
    }
    line
}

/// How a terminal is told of a colour.
fn code(colour: Color, modifier: Modifier) -> String {
    let codes = [(Color::Green, "32"), (Color::Yellow, "33"), (Color::Red, "31"), (Color::LightRed, "31")];
    let colour = codes.into_iter().find(|(one, _)| *one == colour).map_or("", |(_, code)| code);
    let strong = if modifier.contains(Modifier::BOLD) { "1" } else { "" };
    [strong, colour].into_iter().filter(|code| !code.is_empty()).collect::<Vec<_>>().join(";")
}

#[cfg(test)]
mod tests;
