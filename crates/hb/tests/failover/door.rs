//! The door of a store that listens on its loopback only: it lets others in at the host's address, and does to them what is asked.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::rack::Host;

/// What the door does with what passes through it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Mood {
    /// It lets everything through.
    Open,
    /// It lets nothing through, and says nothing.
    Deaf,
    /// Answers are late.
    Slow,
    /// Answers are lost, with their connections.
    Forgetful,
    /// Nobody is let in, and everybody is sent out.
    Shut,
}

const MOODS: [Mood; 5] = [Mood::Open, Mood::Deaf, Mood::Slow, Mood::Forgetful, Mood::Shut];
/// How late answers are.
const LATE: Duration = Duration::from_millis(120);

struct Shared {
    mood: AtomicU8,
    over: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

/// A door. It ends with the value.
pub(crate) struct Door {
    host: Ipv4Addr,
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

impl Shared {
    fn mood(&self) -> Mood {
        MOODS[usize::from(self.mood.load(Ordering::SeqCst))]
    }

    fn break_all(&self) {
        for stream in self.open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // It may have ended by itself.
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}

impl Door {
    /// A door at a host's address to a port of the host's loopback.
    pub(crate) fn of(host: &Host, inside: u16) -> Self {
        let shared = Arc::new(Shared {
            mood: AtomicU8::new(Mood::Open as u8),
            over: AtomicBool::new(false),
            open: Mutex::default(),
        });
        let passing = Arc::clone(&shared);
        let address = host.address;
        let port = host.within(move || {
            let listener = TcpListener::bind((address, 0)).unwrap();
            let port = listener.local_addr().unwrap().port();
            // Threads are in the namespace of the thread that starts them.
            thread::spawn(move || attend(&listener, inside, &passing));
            port
        });
        Self { host: address, port, shared }
    }

    /// From now on it is so.
    pub(crate) fn set(&self, mood: Mood) {
        self.shared.mood.store(mood as u8, Ordering::SeqCst);
        if mood == Mood::Shut {
            self.shared.break_all();
        }
    }

    /// Where it is, for addresses.
    pub(crate) fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        self.shared.break_all();
        // Wakes whoever waits for the next one to come in.
        drop(TcpStream::connect((self.host, self.port)));
    }
}

fn attend(listener: &TcpListener, inside: u16, shared: &Arc<Shared>) {
    for client in listener.incoming().map_while(Result::ok) {
        if shared.over.load(Ordering::SeqCst) {
            return;
        }
        let shared = Arc::clone(shared);
        // Where the server does not answer, the client is sent away.
        thread::spawn(move || drop(pass(&client, inside, &shared)));
    }
}

fn pass(client: &TcpStream, inside: u16, shared: &Arc<Shared>) -> std::io::Result<()> {
    if shared.mood() == Mood::Shut {
        return Ok(());
    }
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, inside))?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    shared.open.lock().unwrap_or_else(PoisonError::into_inner).extend([client.try_clone()?, server.try_clone()?]);
    let (questions, to, back) = (client.try_clone()?, server.try_clone()?, Arc::clone(shared));
    thread::spawn(move || carry(questions, to, &back, Carried::Questions));
    carry(server, client.try_clone()?, shared, Carried::Answers);
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Carried {
    Questions,
    Answers,
}

fn carry(mut from: TcpStream, mut to: TcpStream, shared: &Shared, what: Carried) {
    let mut part = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut part) {
        match (shared.mood(), what) {
            (Mood::Deaf, _) => continue,
            (Mood::Forgetful, Carried::Answers) | (Mood::Shut, _) => break,
            (Mood::Slow, Carried::Answers) => thread::sleep(LATE),
            (Mood::Open | Mood::Slow | Mood::Forgetful, _) => {}
        }
        if to.write_all(&part[..length]).is_err() {
            break;
        }
    }
    for stream in [&from, &to] {
        // The other direction may have ended it already.
        drop(stream.shutdown(Shutdown::Both));
    }
}
