//! A link between client and server that does what links do: lose answers, be slow, carry in one direction only.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// How the link behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Mode {
    /// It carries everything.
    Whole,
    /// Nothing comes back, and nobody is told.
    Mute,
    /// Nothing gets there, and nobody is told.
    Deaf,
    /// The next thing that comes back is lost with the connection; then it is whole again.
    LoseAnswer,
    /// The next thing that is sent is lost with the connection; then it is whole again.
    LoseQuestion,
    /// Whatever comes back is late.
    Slow,
    /// New connections are closed at once.
    Closed,
    /// It takes the options out of what a client begins with, as poolers do that are told to ignore them.
    Pooler,
}

const MODES: [Mode; 8] =
    [Mode::Whole, Mode::Mute, Mode::Deaf, Mode::LoseAnswer, Mode::LoseQuestion, Mode::Slow, Mode::Closed, Mode::Pooler];
/// How late things are on a slow link.
const LATE: Duration = Duration::from_millis(150);

struct Shared {
    mode: AtomicU8,
    open: Mutex<Vec<TcpStream>>,
}

/// A link. Its threads end with the connections; the one that accepts goes with the process.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

impl Proxy {
    pub(crate) fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let own = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared { mode: AtomicU8::new(0), open: Mutex::default() });
        let link = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if link.mode() == Mode::Closed {
                    continue;
                }
                let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { continue };
                carry(&link, &client, &server, Direction::There);
                carry(&link, &server, &client, Direction::Back);
                link.open.lock().unwrap().extend([client, server]);
            }
        });
        Self { port: own, shared }
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.shared.mode.store(mode as u8, Ordering::SeqCst);
    }

    pub(crate) fn mode(&self) -> Mode {
        self.shared.mode()
    }

    /// Ends every connection.
    pub(crate) fn cut(&self) {
        for stream in self.shared.open.lock().unwrap().drain(..) {
            stream.shutdown(Shutdown::Both).unwrap_or_default();
        }
    }
}

impl Shared {
    fn mode(&self) -> Mode {
        MODES[usize::from(self.mode.load(Ordering::SeqCst))]
    }

    /// Whether it was that mode; it is whole then.
    fn spend(&self, mode: Mode) -> bool {
        self.mode.compare_exchange(mode as u8, Mode::Whole as u8, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    There,
    Back,
}

fn carry(link: &Arc<Shared>, from: &TcpStream, to: &TcpStream, direction: Direction) {
    let (link, mut from, mut to) = (Arc::clone(link), from.try_clone().unwrap(), to.try_clone().unwrap());
    from.set_nodelay(true).unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 1 << 16];
        let mut first = true;
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            let lost = match direction {
                Direction::There => link.spend(Mode::LoseQuestion),
                Direction::Back => link.spend(Mode::LoseAnswer),
            };
            if lost {
                break;
            }
            match (link.mode(), direction) {
                (Mode::Mute, Direction::Back) | (Mode::Deaf, Direction::There) => continue,
                (Mode::Slow, Direction::Back) => thread::sleep(LATE),
                (_, _) => {}
            }
            let begins = std::mem::take(&mut first) && direction == Direction::There;
            let carried = if begins && link.mode() == Mode::Pooler {
                to.write_all(&without_options(&buffer[..read]))
            } else {
                to.write_all(&buffer[..read])
            };
            if carried.is_err() {
                break;
            }
        }
        from.shutdown(Shutdown::Both).unwrap_or_default();
        to.shutdown(Shutdown::Both).unwrap_or_default();
    });
}

/// The packet that a session begins with: its length, the version, names and values that end with zeros.
fn without_options(packet: &[u8]) -> Vec<u8> {
    let fields: Vec<&[u8]> = packet[8..packet.len() - 2].split(|byte| *byte == 0).collect();
    let mut kept = packet[4..8].to_vec();
    for field in fields.chunks(2).filter(|field| field[0] != b"options") {
        for part in field {
            kept.extend_from_slice(part);
            kept.push(0);
        }
    }
    kept.push(0);
    let length = u32::try_from(kept.len() + 4).unwrap();
    [length.to_be_bytes().as_slice(), &kept].concat()
}
