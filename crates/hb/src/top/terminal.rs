//! The terminal while it is ours: raw, on its other screen, with the cursor hidden. It is given back as it was by whatever ends us but SIGKILL: the
//! normal end, a panic, SIGTERM, SIGHUP, and for the time being SIGTSTP.

use std::io::{BufWriter, Stdout, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::crossterm::{execute, style};

use super::draw::{self, Ink, Look};
use super::screen::Screen;

/// Whether the terminal is ours now.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The terminal, given back when this is dropped.
pub(super) struct Held {
    terminal: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
    look: Look,
}

impl Held {
    /// Takes it.
    pub(super) fn take(look: Look) -> std::io::Result<Self> {
        // What we do without colour is our own affair: nothing else must leave colours out for us.
        style::force_color_output(look.ink == Ink::Coloured);
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            before(panic);
        }));
        let terminal = Terminal::new(CrosstermBackend::new(BufWriter::new(std::io::stdout())))?;
        let mut held = Self { terminal, look };
        held.again()?;
        Ok(held)
    }

    /// Takes it once more, after it was given back for a while.
    pub(super) fn again(&mut self) -> std::io::Result<()> {
        TAKEN.store(true, Ordering::Release);
        // Somebody may have set it otherwise meanwhile.
        disable_raw_mode()?;
        enable_raw_mode()?;
        execute!(std::io::stdout(), EnterAlternateScreen, Hide)?;
        // Drawn whole, without asking the terminal where its cursor stands: the answer would come among the keys.
        let size = self.terminal.size()?;
        self.terminal.resize(size.into())
    }

    /// Draws.
    pub(super) fn draw(&mut self, screen: &mut Screen) -> std::io::Result<()> {
        let look = self.look;
        self.terminal.draw(|frame| draw::draw(screen, look, frame.buffer_mut())).map(drop)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        give_back();
    }
}

/// Gives the terminal back; nothing where it is not ours.
pub(super) fn give_back() {
    if !TAKEN.swap(false, Ordering::AcqRel) {
        return;
    }
    let mut stdout = std::io::stdout();
    // A terminal that has gone away needs nothing any more.
    drop(execute!(stdout, LeaveAlternateScreen, Show));
    drop(stdout.flush());
    drop(disable_raw_mode());
}
