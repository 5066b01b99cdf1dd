//! A wire between a register and its server that can be bent: answers lost, nothing passed on, cut in one direction.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// What becomes of what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bend {
    /// It arrives.
    Straight,
    /// Questions arrive, answers do not: cut one way.
    NoAnswers,
    /// Nothing arrives, and nobody says so: cut both ways.
    Deaf,
    /// The next answer is lost with its connection; then it is straight again.
    LoseOneAnswer,
    /// Connections are refused, and those that stand are broken.
    Refused,
}

impl Bend {
    const ALL: [Self; 5] = [Self::Straight, Self::NoAnswers, Self::Deaf, Self::LoseOneAnswer, Self::Refused];

    fn of(number: u8) -> Self {
        Self::ALL.into_iter().nth(usize::from(number)).unwrap()
    }

    fn number(self) -> u8 {
        u8::try_from(Self::ALL.iter().position(|bend| *bend == self).unwrap()).unwrap()
    }
}

struct Shared {
    bend: AtomicU8,
    over: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

/// A wire to one server. It is taken down with the value.
pub(crate) struct Wire {
    /// Where it is reached.
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

impl Wire {
    /// Lays a wire to a port of this machine.
    pub(crate) fn to(server: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            bend: AtomicU8::new(Bend::Straight.number()),
            over: AtomicBool::new(false),
            open: Mutex::new(Vec::new()),
        });
        let passing = Arc::clone(&shared);
        thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                if passing.over.load(Ordering::SeqCst) {
                    return;
                }
                pass(client, server, &passing);
            }
        });
        Self { port, shared }
    }

    /// From now on it is bent so.
    pub(crate) fn bend(&self, bend: Bend) {
        self.shared.bend.store(bend.number(), Ordering::SeqCst);
        if bend == Bend::Refused {
            self.break_all();
        }
    }

    /// How it is bent now.
    pub(crate) fn bent(&self) -> Bend {
        Bend::of(self.shared.bend.load(Ordering::SeqCst))
    }

    fn break_all(&self) {
        for stream in self.shared.open.lock().unwrap().drain(..) {
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        self.break_all();
        drop(TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))));
    }
}

fn pass(client: TcpStream, server: u16, shared: &Arc<Shared>) {
    if Bend::of(shared.bend.load(Ordering::SeqCst)) == Bend::Refused {
        return;
    }
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)) else { return };
    let mut open = shared.open.lock().unwrap();
    open.push(client.try_clone().unwrap());
    open.push(server.try_clone().unwrap());
    drop(open);
    for (mut from, mut to, answers) in
        [(client.try_clone().unwrap(), server.try_clone().unwrap(), false), (server, client, true)]
    {
        from.set_nodelay(true).unwrap();
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            let mut part = vec![0; 64 << 10];
            while let Ok(length @ 1..) = from.read(&mut part) {
                match Bend::of(shared.bend.load(Ordering::SeqCst)) {
                    Bend::Deaf => continue,
                    Bend::NoAnswers if answers => continue,
                    Bend::LoseOneAnswer if answers => {
                        shared.bend.store(Bend::Straight.number(), Ordering::SeqCst);
                        break;
                    }
                    Bend::Refused => break,
                    Bend::Straight | Bend::NoAnswers | Bend::LoseOneAnswer => {}
                }
                if to.write_all(&part[..length]).is_err() {
                    break;
                }
            }
            drop(to.shutdown(Shutdown::Both));
            drop(from.shutdown(Shutdown::Both));
        });
    }
}
