//! `hb top` at work: one thread asks, one reads keys, one waits for signals; this one draws, and is the only one that touches the screen.

use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::draw::Look;
use super::picture::Picture;
use super::reader::Reader;
use super::screen::{Key, Screen, Turn};
use super::terminal::{self, Held};
use super::verdict::Verdict;
use crate::cli::Failure;
use crate::cli::status::now;
use crate::exit::Exit;
use crate::shown::Shown;

/// What waits for the screen (B1); who brings more waits.
const WAITING_MAX: usize = 64;
/// How often the screen is drawn although nothing came: ages grow.
const DRAW_EVERY: Duration = Duration::from_millis(500);

/// What comes to the screen.
enum Came {
    Picture(Box<Picture>),
    Key(Key),
    /// The terminal has another size.
    Size,
    Signal(Signal),
    /// No more keys come: the terminal has gone away.
    Gone(String),
}

/// Shows the picture until somebody quits.
///
/// # Errors
/// The terminal cannot be used, or has gone away.
pub fn run(reader: Reader, look: Look, every: Duration) -> Result<Exit, Failure> {
    let signals = block()?;
    let (tell, came) = bounded(WAITING_MAX);
    let mut held = Held::take(look).map_err(|error| no_terminal(&error))?;
    attend("signals", &tell, move |tell| wait_for(signals, tell))?;
    attend("keys", &tell, read_keys)?;
    attend("ask", &tell, move |tell| ask(reader, every, tell))?;
    let ended = show(&mut held, &came);
    drop(held);
    ended
}

fn no_terminal(error: &std::io::Error) -> Failure {
    Failure::new(Exit::Unavailable, format!("the terminal cannot be used: {error}"))
        .help("`hb top --once` prints one frame, `hb top --json` one picture")
}

/// Starts a thread that ends with the process, or when nobody takes what it brings.
fn attend(name: &str, tell: &Sender<Came>, work: impl FnOnce(&Sender<Came>) + Send + 'static) -> Result<(), Failure> {
    let tell = tell.clone();
    let started = std::thread::Builder::new().name(name.into()).spawn(move || work(&tell));
    started.map(drop).map_err(|error| Failure::new(Exit::Error, format!("a thread could not be started: {error}")))
}

/// The signals that have to find the terminal given back; blocked in every thread, and waited for by one.
fn block() -> Result<SigSet, Failure> {
    let mut set = SigSet::empty();
    let signals = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGTSTP, Signal::SIGCONT];
    signals.into_iter().for_each(|signal| set.add(signal));
    set.thread_block().map_err(|error| Failure::new(Exit::Error, format!("signals cannot be blocked: {error}")))?;
    Ok(set)
}

fn wait_for(signals: SigSet, tell: &Sender<Came>) {
    while let Ok(signal) = signals.wait() {
        if tell.send(Came::Signal(signal)).is_err() {
            return;
        }
    }
}

fn read_keys(tell: &Sender<Came>) {
    loop {
        let came = match event::read() {
            Ok(Event::Key(event)) if event.kind != KeyEventKind::Release => match key(event) {
                Some(key) => Came::Key(key),
                None => continue,
            },
            Ok(Event::Resize(..)) => Came::Size,
            Ok(Event::Key(_) | Event::FocusGained | Event::FocusLost | Event::Mouse(_) | Event::Paste(_)) => continue,
            Err(error) => Came::Gone(error.to_string()),
        };
        let last = matches!(came, Came::Gone(_));
        if tell.send(came).is_err() || last {
            return;
        }
    }
}

/// What a key means here.
fn key(event: KeyEvent) -> Option<Key> {
    let control = event.modifiers.contains(KeyModifiers::CONTROL);
    let keys = [
        (KeyCode::Up, Key::Up),
        (KeyCode::Down, Key::Down),
        (KeyCode::PageUp, Key::PageUp),
        (KeyCode::PageDown, Key::PageDown),
        (KeyCode::Home, Key::Home),
        (KeyCode::End, Key::End),
        (KeyCode::Enter, Key::Enter),
        (KeyCode::Esc, Key::Escape),
        (KeyCode::Tab, Key::Next),
        (KeyCode::Right, Key::Next),
        (KeyCode::BackTab, Key::Before),
        (KeyCode::Left, Key::Before),
        (KeyCode::Backspace, Key::Rubout),
        (KeyCode::Delete, Key::Rubout),
    ];
    if let KeyCode::Char(letter) = event.code {
        return match (control, letter) {
            (true, 'c') => Some(Key::Interrupt),
            (true, 'z') => Some(Key::Suspend),
            (true, 'h') => Some(Key::Rubout),
            (true, 'd' | 'f') => Some(Key::PageDown),
            (true, 'u' | 'b') => Some(Key::PageUp),
            (true, _) => None,
            (false, letter) => Some(Key::Letter(letter)),
        };
    }
    keys.into_iter().find(|(code, _)| *code == event.code).map(|(_, key)| key)
}

fn ask(mut reader: Reader, every: Duration, tell: &Sender<Came>) {
    while tell.send(Came::Picture(Box::new(reader.round()))).is_ok() {
        std::thread::sleep(every);
    }
}

fn show(held: &mut Held, came: &Receiver<Came>) -> Result<Exit, Failure> {
    let gone = |error: std::io::Error| Failure::new(Exit::CannotWrite, format!("the terminal has gone away: {error}"));
    let verdict = Verdict { summary: Shown::of("asking the nodes"), ..Verdict::default() };
    let mut screen = Screen::new(Picture { verdict, ..Picture::empty(now()) });
    loop {
        screen.drawn = Some(now());
        held.draw(&mut screen).map_err(gone)?;
        let turn = match came.recv_timeout(DRAW_EVERY) {
            Ok(Came::Picture(picture)) => {
                screen.take(*picture);
                Turn::Draw
            }
            Ok(Came::Key(key)) => screen.key(key),
            Ok(Came::Size) | Err(RecvTimeoutError::Timeout) => Turn::Draw,
            Ok(Came::Signal(Signal::SIGTSTP)) => Turn::Suspend,
            Ok(Came::Signal(Signal::SIGCONT)) => {
                // Whatever was done to the terminal meanwhile, it is ours again.
                held.again().map_err(gone)?;
                Turn::Draw
            }
            Ok(Came::Signal(_)) => Turn::Quit,
            Ok(Came::Gone(why)) => return Err(Failure::new(Exit::Unavailable, format!("no keys can be read: {why}"))),
            Err(RecvTimeoutError::Disconnected) => Turn::Quit,
        };
        match turn {
            Turn::Draw => {}
            Turn::Quit => return Ok(Exit::Ok),
            Turn::Suspend => {
                terminal::give_back();
                // It goes on here when somebody continues it.
                kill(Pid::this(), Signal::SIGSTOP)
                    .map_err(|error| Failure::new(Exit::Error, format!("hb cannot be stopped: {error}")))?;
                held.again().map_err(gone)?;
            }
        }
    }
}
