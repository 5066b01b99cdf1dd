//! What somebody looks at: which list, which row, through which filter; and what a key does to that.
//!
//! **Invariants.** A row is chosen by what it is about, not by its place: a picture that comes moves nothing under one's finger. While it is held, pictures
//! that come are not shown.

use std::collections::BTreeMap;

use hb_core::time::Stamp;

use super::picture::Picture;
use super::rows::{Row, Section, rows};

/// Longest filter, in characters (B1).
const FILTER_MAX: usize = 60;
/// Rows that a page key moves by.
const PAGE: usize = 10;

/// A key, as far as it means something here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    Enter,
    Escape,
    Next,
    Before,
    Rubout,
    Letter(char),
    Interrupt,
    Suspend,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Draw,
    Quit,
    Suspend,
}

/// What is in front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Front {
    /// The lists.
    Lists,
    /// The lists, while a filter is typed.
    Filter,
    /// What the keys do.
    Help,
    /// All of one row, from a line on.
    Detail { section: Section, id: String, from: usize },
}

/// What is looked at.
#[derive(Debug)]
pub(super) struct Screen {
    pub(super) picture: Picture,
    /// What came while the picture is held.
    held: Option<Option<Box<Picture>>>,
    pub(super) section: Section,
    chosen: BTreeMap<Section, String>,
    /// First row that is shown of each list.
    pub(super) offsets: BTreeMap<Section, usize>,
    pub(super) filter: String,
    pub(super) front: Front,
    /// Whether anybody has the keys.
    pub(super) hands: Hands,
    /// Lines of what is in front beyond those that fit, as drawn last.
    pub(super) beyond: usize,
    /// When it was drawn, where that is later than its picture.
    pub(super) drawn: Option<Stamp>,
}

/// Whether anybody has the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hands {
    /// Somebody: a row is chosen, and the keys are told.
    On,
    /// Nobody: one frame.
    Off,
}

impl Screen {
    /// Somebody looks.
    pub(super) fn new(picture: Picture) -> Self {
        Self {
            picture,
            held: None,
            section: Section::Watches,
            chosen: BTreeMap::new(),
            offsets: BTreeMap::new(),
            filter: String::new(),
            front: Front::Lists,
            hands: Hands::On,
            beyond: 0,
            drawn: None,
        }
    }

    /// One frame, for nobody in particular.
    pub(super) fn still(picture: Picture) -> Self {
        Self { hands: Hands::Off, ..Self::new(picture) }
    }

    /// A picture has come.
    pub(super) fn take(&mut self, picture: Picture) {
        match &mut self.held {
            Some(waiting) => *waiting = Some(Box::new(picture)),
            None => self.picture = picture,
        }
    }

    pub(super) fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// The rows of a list as they are seen now.
    pub(super) fn rows(&self, section: Section) -> Vec<Row> {
        rows(&self.picture, section, &self.filter)
    }

    /// Which row of a list is chosen.
    pub(super) fn place(&self, section: Section, rows: &[Row]) -> usize {
        let chosen = self.chosen.get(&section);
        chosen.and_then(|id| rows.iter().position(|row| row.id == *id)).unwrap_or(0)
    }

    /// What a key does.
    pub(super) fn key(&mut self, key: Key) -> Turn {
        if key == Key::Interrupt {
            return Turn::Quit;
        }
        if key == Key::Suspend {
            return Turn::Suspend;
        }
        match self.front {
            Front::Filter => self.type_filter(key),
            Front::Help => self.front = Front::Lists,
            Front::Detail { .. } => return self.in_detail(key),
            Front::Lists => return self.in_lists(key),
        }
        Turn::Draw
    }

    fn type_filter(&mut self, key: Key) {
        match key {
            Key::Enter => self.front = Front::Lists,
            Key::Escape => {
                self.filter.clear();
                self.front = Front::Lists;
            }
            Key::Rubout => {
                self.filter.pop();
            }
            Key::Letter(letter) if !letter.is_control() && self.filter.chars().count() < FILTER_MAX => {
                self.filter.push(letter);
            }
            Key::Letter(_) | Key::Up | Key::Down | Key::PageUp | Key::PageDown | Key::Home | Key::End => {}
            Key::Next | Key::Before | Key::Interrupt | Key::Suspend => {}
        }
    }

    fn in_detail(&mut self, key: Key) -> Turn {
        let (most, Front::Detail { from, .. }) = (self.beyond, &mut self.front) else { return Turn::Draw };
        match key {
            Key::Letter('q') | Key::Escape | Key::Enter => self.front = Front::Lists,
            Key::Letter('p') => self.hold(),
            Key::Up | Key::Letter('k') => *from = from.saturating_sub(1),
            Key::Down | Key::Letter('j') => *from = from.saturating_add(1).min(most),
            Key::PageUp => *from = from.saturating_sub(PAGE),
            Key::PageDown | Key::Letter(' ') => *from = from.saturating_add(PAGE).min(most),
            Key::Home => *from = 0,
            Key::End => *from = most,
            Key::Letter(_) | Key::Next | Key::Before | Key::Rubout | Key::Interrupt | Key::Suspend => {}
        }
        Turn::Draw
    }

    fn in_lists(&mut self, key: Key) -> Turn {
        match key {
            Key::Letter('q') => return Turn::Quit,
            Key::Letter('?' | 'h') => self.front = Front::Help,
            Key::Letter('/') => self.front = Front::Filter,
            Key::Letter('p') => self.hold(),
            Key::Escape => self.filter.clear(),
            Key::Next => self.turn_to(1),
            Key::Before => self.turn_to(3),
            Key::Letter(digit @ '1'..='4') => {
                let section = digit.to_digit(10).and_then(|digit| usize::try_from(digit).ok());
                let section = section.and_then(|digit| Section::ALL.get(digit.saturating_sub(1)));
                self.section = section.copied().unwrap_or(self.section);
            }
            Key::Up | Key::Letter('k') => self.walk(|place, _| place.saturating_sub(1)),
            Key::Down | Key::Letter('j') => self.walk(|place, last| place.saturating_add(1).min(last)),
            Key::PageUp => self.walk(|place, _| place.saturating_sub(PAGE)),
            Key::PageDown | Key::Letter(' ') => self.walk(|place, last| place.saturating_add(PAGE).min(last)),
            Key::Home | Key::Letter('g') => self.walk(|_, _| 0),
            Key::End | Key::Letter('G') => self.walk(|_, last| last),
            Key::Enter => {
                let rows = self.rows(self.section);
                if let Some(row) = rows.get(self.place(self.section, &rows)) {
                    self.front = Front::Detail { section: self.section, id: row.id.clone(), from: 0 };
                }
            }
            Key::Rubout | Key::Letter(_) | Key::Interrupt | Key::Suspend => {}
        }
        Turn::Draw
    }

    /// Holds the picture, or goes on with the newest one.
    fn hold(&mut self) {
        match self.held.take() {
            None => self.held = Some(None),
            Some(Some(newest)) => self.picture = *newest,
            Some(None) => {}
        }
    }

    /// To the list so many further on that has something in it.
    fn turn_to(&mut self, step: usize) {
        let at = Section::ALL.iter().position(|section| *section == self.section).unwrap_or(0);
        for round in 1..=Section::ALL.len() {
            let next = at.saturating_add(step.saturating_mul(round)) % Section::ALL.len();
            let Some(section) = Section::ALL.get(next) else { continue };
            if !self.rows(*section).is_empty() {
                self.section = *section;
                return;
            }
        }
    }

    /// Chooses another row: by the place of the present one and of the last.
    fn walk(&mut self, to: impl Fn(usize, usize) -> usize) {
        let rows = self.rows(self.section);
        let place = self.place(self.section, &rows);
        let next = to(place, rows.len().saturating_sub(1));
        match rows.get(next) {
            // What happens newly stays in sight while nothing else is chosen.
            Some(_) if next == 0 && self.section == Section::Happenings => drop(self.chosen.remove(&self.section)),
            Some(row) => drop(self.chosen.insert(self.section, row.id.clone())),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::watches::WatchLine;
    use super::*;

    fn picture(watches: &[&str]) -> Picture {
        let watch = |name: &&str| WatchLine::of(&json!({"name": name, "cycle": 3, "status": "PASS"}), &"a".into());
        Picture { watches: watches.iter().map(watch).collect(), ..Picture::empty(Stamp(0)) }
    }

    fn chosen(screen: &Screen) -> String {
        let rows = screen.rows(screen.section);
        rows.get(screen.place(screen.section, &rows)).map(|row| row.id.clone()).unwrap_or_default()
    }

    fn keys(screen: &mut Screen, keys: &str) {
        for letter in keys.chars() {
            assert_eq!(screen.key(Key::Letter(letter)), Turn::Draw, "{letter}");
        }
    }

    #[test]
    fn a_row_stays_chosen_while_others_come_and_go() {
        let mut screen = Screen::new(picture(&["a", "b", "c"]));
        keys(&mut screen, "jj");
        assert_eq!(chosen(&screen), "c");
        screen.take(picture(&["a", "aa", "ab", "b", "c", "d"]));
        assert_eq!(chosen(&screen), "c");
        keys(&mut screen, "k");
        assert_eq!(chosen(&screen), "b");
        screen.take(picture(&["x"]));
        assert_eq!(chosen(&screen), "x", "what is gone cannot be chosen");
        keys(&mut screen, "G");
        screen.key(Key::Down);
        assert_eq!(chosen(&screen), "x");
        screen.take(picture(&[]));
        keys(&mut screen, "jkG");
        assert_eq!(screen.key(Key::Enter), Turn::Draw);
        assert_eq!(screen.front, Front::Lists, "nothing has no detail");
    }

    #[test]
    fn a_filter_is_typed_kept_and_taken_back() {
        let mut screen = Screen::new(picture(&["press.one", "oven", "press.two"]));
        keys(&mut screen, "/PREX");
        screen.key(Key::Rubout);
        assert_eq!(screen.front, Front::Filter, "q would be a letter of it");
        screen.key(Key::Enter);
        assert_eq!(screen.rows(Section::Watches).len(), 2);
        screen.key(Key::Escape);
        assert_eq!((screen.rows(Section::Watches).len(), screen.filter.as_str()), (3, ""));
        keys(&mut screen, "/");
        for _ in 0..1_000 {
            screen.key(Key::Letter('x'));
        }
        assert_eq!(screen.filter.len(), FILTER_MAX);
    }

    #[test]
    fn a_held_picture_stays_and_the_newest_comes_after_it() {
        let mut screen = Screen::new(picture(&["a"]));
        keys(&mut screen, "p");
        screen.take(picture(&["b"]));
        screen.take(picture(&["c"]));
        assert_eq!((chosen(&screen).as_str(), screen.is_held()), ("a", true));
        keys(&mut screen, "p");
        assert_eq!((chosen(&screen).as_str(), screen.is_held()), ("c", false));
    }

    #[test]
    fn every_key_is_harmless_everywhere_and_ends_are_told() {
        let all = [
            Key::Up,
            Key::Down,
            Key::PageUp,
            Key::PageDown,
            Key::Home,
            Key::End,
            Key::Enter,
            Key::Escape,
            Key::Next,
            Key::Before,
            Key::Rubout,
            Key::Letter('?'),
            Key::Letter('4'),
            Key::Letter('\u{1b}'),
        ];
        for watches in [&[][..], &["a"], &["a", "b"]] {
            let mut screen = Screen::new(picture(watches));
            for first in all {
                for second in all {
                    assert_eq!((screen.key(first), screen.key(second)), (Turn::Draw, Turn::Draw));
                }
            }
            assert_eq!((screen.key(Key::Interrupt), screen.key(Key::Suspend)), (Turn::Quit, Turn::Suspend));
            screen.front = Front::Lists;
            assert_eq!(screen.key(Key::Letter('q')), Turn::Quit);
        }
    }
}
