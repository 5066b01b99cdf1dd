//! `hb top`: the operator's picture at a glance, in a terminal.
//!
//! Whoever opens it knows within five seconds whether all is well, who is active, what drifted since when, and what hb did about it.
//! [`Reader`] asks the nodes, at most so often and so much; what they said is a [`Picture`], and what that comes to its
//! [`verdict`](Verdict). A `Screen` is what somebody looks at of it; `draw` puts it into cells; `live` owns the terminal.
//!
//! **Invariants.** What others have said is in a picture only as [`Shown`](crate::shown::Shown). Everything that is kept or asked for has a bound.
//! However it ends, but by SIGKILL, the terminal is given back as it was.

mod draw;
mod happenings;
mod live;
mod past;
mod picture;
mod reader;
mod rows;
mod screen;
mod supervised;
mod terminal;
mod verdict;
mod watches;

pub use live::run as live;
pub use picture::Picture;
pub use reader::{Reader, Target, Targets};
pub use verdict::{Level, Verdict};

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

pub use draw::{Ink, Letters, Look};

/// One frame of a picture, as nobody in particular looks at it: lines of text, with colour only where the look has it.
#[must_use]
pub fn frame(picture: Picture, look: Look, (width, height): (u16, u16)) -> String {
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    draw::draw(&mut screen::Screen::still(picture), look, &mut buffer);
    draw::text(&buffer, look)
}
