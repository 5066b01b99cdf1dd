//! A real terminal: a pseudo-terminal with a program on it, keys that are typed, and the screen that comes of what the program writes.
//!
//! The screen understands what the program is known to write, and panics at everything else: an escape that it does not know is one that the program must
//! not send.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, Termios, tcgetattr};
use nix::unistd::{Pid, ttyname};

use crate::support::{GENEROUS, within};

/// What a terminal shows.
#[derive(Debug, Clone)]
pub(crate) struct Screen {
    cells: Vec<Vec<char>>,
    at: (usize, usize),
    /// Whether it is the other screen, from which the first one comes back as it was.
    pub(crate) other: bool,
    pub(crate) cursor: bool,
    /// Whether anything was ever coloured.
    pub(crate) coloured: bool,
    /// What is left of a sequence that has not come whole yet.
    rest: Vec<u8>,
}

impl Screen {
    fn new(width: u16, height: u16) -> Self {
        let cells = vec![vec![' '; usize::from(width)]; usize::from(height)];
        Self { cells, at: (0, 0), other: false, cursor: true, coloured: false, rest: Vec::new() }
    }

    fn resize(&mut self, width: u16, height: u16) {
        *self = Self { other: self.other, cursor: self.cursor, coloured: self.coloured, ..Self::new(width, height) };
    }

    /// All lines.
    pub(crate) fn text(&self) -> String {
        let line = |cells: &Vec<char>| cells.iter().collect::<String>().trim_end().to_owned();
        self.cells.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    fn take(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        let bytes = std::mem::take(&mut self.rest);
        let mut from = 0;
        while from < bytes.len() {
            let Some(used) = self.one(&bytes[from..]) else { break };
            from += used;
        }
        self.rest = bytes[from..].to_vec();
    }

    /// Takes one letter or sequence; gives its length, none where it is not whole.
    fn one(&mut self, bytes: &[u8]) -> Option<usize> {
        match bytes[0] {
            0x1b => return self.escape(bytes),
            b'\r' => self.at.0 = 0,
            b'\n' => self.at.1 = (self.at.1 + 1).min(self.cells.len() - 1),
            byte if byte < 0x20 || byte == 0x7f => panic!("a control character on the screen: {byte:#x}"),
            _ => {
                let length = match bytes[0] {
                    0..0x80 => 1,
                    0xc0..0xe0 => 2,
                    0xe0..0xf0 => 3,
                    _ => 4,
                };
                let letter = std::str::from_utf8(bytes.get(..length)?).unwrap().chars().next().unwrap();
                assert!(!letter.is_control(), "a control character on the screen: {letter:?}");
                let (x, y) = self.at;
                if let Some(cell) = self.cells.get_mut(y).and_then(|line| line.get_mut(x)) {
                    *cell = letter;
                }
                self.at.0 += 1;
                return Some(length);
            }
        }
        Some(1)
    }

    fn escape(&mut self, bytes: &[u8]) -> Option<usize> {
        assert!(*bytes.get(1)? == b'[', "an unknown escape: {:?}", String::from_utf8_lossy(bytes));
        let end = 2 + bytes[2..].iter().position(|byte| (0x40..0x7f).contains(byte))?;
        let inside = std::str::from_utf8(&bytes[2..end]).unwrap();
        let numbers: Vec<usize> = inside.split(';').map(|part| part.parse().unwrap_or(0)).collect();
        let first = numbers[0].max(1);
        match bytes[end] {
            b'H' => self.at = (numbers.get(1).map_or(1, |x| (*x).max(1)) - 1, first - 1),
            b'G' => self.at.0 = first - 1,
            b'C' => self.at.0 += first,
            b'B' => self.at.1 += first,
            b'A' => self.at.1 -= first.min(self.at.1),
            b'D' => self.at.0 -= first.min(self.at.0),
            b'J' => self.cells.iter_mut().flatten().for_each(|cell| *cell = ' '),
            b'K' => {
                let (x, y) = self.at;
                self.cells.get_mut(y).into_iter().flatten().skip(x).for_each(|cell| *cell = ' ');
            }
            b'm' => self.coloured |= numbers.iter().any(|code| (30..50).contains(code) && ![39, 49].contains(code)),
            set @ (b'h' | b'l') => match inside {
                "?25" => self.cursor = set == b'h',
                "?1049" => self.other = set == b'h',
                other => panic!("an unknown mode: {other}"),
            },
            other => panic!("an unknown escape: {inside} {}", char::from(other)),
        }
        Some(end + 1)
    }
}

/// A program on a terminal of its own. It is ended with the value.
pub(crate) struct Terminal {
    keys: File,
    /// Held open, so that the terminal is there when the program is not.
    slave: OwnedFd,
    name: PathBuf,
    child: Child,
    screen: Arc<Mutex<Screen>>,
    raw: Arc<Mutex<Vec<u8>>>,
    pub(crate) before: Termios,
}

impl Terminal {
    /// Starts a program in a session of its own, on a terminal of this size.
    pub(crate) fn start(command: &Command, (width, height): (u16, u16)) -> Self {
        let size = Winsize { ws_row: height, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = openpty(Some(&size), None).unwrap();
        let before = tcgetattr(pair.slave.as_fd()).unwrap();
        let name = ttyname(pair.slave.as_fd()).unwrap();
        let slave = || Stdio::from(pair.slave.try_clone().unwrap());
        // The program of util-linux gives it a session, and the terminal to that.
        let mut started = Command::new("setsid");
        started.arg("--ctty").arg(command.get_program()).args(command.get_args());
        started.env("TERM", "xterm-256color").env("LC_ALL", "C.UTF-8").env_remove("NO_COLOR");
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => started.env(key, value),
                None => started.env_remove(key),
            };
        }
        let child = started.stdin(slave()).stdout(slave()).stderr(slave()).spawn().unwrap();
        let screen = Arc::new(Mutex::new(Screen::new(width, height)));
        let raw = Arc::new(Mutex::new(Vec::new()));
        let keys = File::from(pair.master);
        let (mut written, seen, all) = (keys.try_clone().unwrap(), Arc::clone(&screen), Arc::clone(&raw));
        std::thread::spawn(move || {
            let mut bytes = [0_u8; 8192];
            // It ends when the last one closes the terminal.
            while let Ok(length @ 1..) = written.read(&mut bytes) {
                all.lock().unwrap().extend_from_slice(&bytes[..length]);
                seen.lock().unwrap().take(&bytes[..length]);
            }
        });
        Self { keys, slave: pair.slave, name, child, screen, raw, before }
    }

    /// Everything that the program has written.
    pub(crate) fn written(&self) -> String {
        String::from_utf8_lossy(&self.raw.lock().unwrap()).into_owned()
    }

    pub(crate) fn screen(&self) -> Screen {
        self.screen.lock().unwrap_or_else(|_| panic!("the screen met something unknown")).clone()
    }

    /// Waits until the screen shows what is looked for; gives it.
    pub(crate) fn shows(&mut self, what: &str, look: impl Fn(&str) -> bool) -> String {
        let found = within(GENEROUS, || {
            let text = self.screen().text();
            look(&text).then_some(text)
        });
        found.unwrap_or_else(|| {
            let ended = self.child.try_wait().unwrap();
            panic!("the screen never showed {what} ({ended:?}):\n{}", self.screen().text())
        })
    }

    /// Types.
    pub(crate) fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Gives the terminal another size; the program is told by the kernel.
    pub(crate) fn resize(&mut self, width: u16, height: u16) {
        self.screen.lock().unwrap().resize(width, height);
        let (rows, columns) = (height.to_string(), width.to_string());
        let status = Command::new("stty").arg("-F").arg(&self.name).args(["rows", &rows, "cols", &columns]).status();
        assert!(status.unwrap().success());
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// State of the process as the kernel tells it: `T` is stopped.
    pub(crate) fn state(&self) -> char {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        text.rsplit_once(") ").unwrap().1.chars().next().unwrap()
    }

    /// Whether the terminal is in the mode in which it was found.
    pub(crate) fn is_given_back(&self) -> bool {
        let now = tcgetattr(self.slave.as_fd()).unwrap();
        let screen = self.screen();
        now.local_flags == self.before.local_flags
            && now.input_flags == self.before.input_flags
            && now.local_flags.contains(LocalFlags::ECHO)
            && screen.cursor
            && !screen.other
    }

    /// Waits for its end.
    pub(crate) fn ends(&mut self) -> ExitStatus {
        within(GENEROUS, || self.child.try_wait().unwrap())
            .unwrap_or_else(|| panic!("it does not end:\n{}", self.screen().text()))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
