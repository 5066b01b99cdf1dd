//! A webhook that remembers what it was told, and sometimes fails as real ones do.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use hb_core::time::Stamp;
use serde_json::Value;

/// One request that was answered well.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    /// Of its header `Idempotency-Key`.
    pub(crate) key: String,
    pub(crate) body: Value,
    /// When it came, by the wall clock.
    pub(crate) at: Stamp,
}

pub(crate) struct Webhook {
    pub(crate) address: SocketAddr,
    told: Arc<Mutex<Vec<Told>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Webhook {
    /// Answers every `fails_every`th request with 503.
    pub(crate) fn start(fails_every: usize) -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST, fails_every)
    }

    /// The same at another address.
    pub(crate) fn start_at(address: Ipv4Addr, fails_every: usize) -> Self {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (told, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (notes, ended) = (Arc::clone(&told), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            for (number, stream) in (1_usize..).zip(listener.incoming()) {
                if ended.load(Ordering::Acquire) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                // A sender that was killed in the middle is no fault of the test.
                let answer = if number % fails_every == 0 { Reply::Refuse } else { Reply::Take };
                drop(attend(&stream, answer, &notes));
            }
        });
        Self { address, told, stop, thread: Some(thread) }
    }

    pub(crate) fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap().clone()
    }
}

#[derive(PartialEq)]
enum Reply {
    Take,
    Refuse,
}

fn attend(stream: &TcpStream, reply: Reply, told: &Mutex<Vec<Told>>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut reader = BufReader::new(stream);
    let (mut key, mut length, mut line) = (String::new(), 0, String::new());
    while reader.read_line(&mut line)? > 2 {
        let (name, value) = line.trim_end().split_once(':').unwrap_or((&line, ""));
        match name.to_ascii_lowercase().as_str() {
            "idempotency-key" => value.trim().clone_into(&mut key),
            "content-length" => length = value.trim().parse().unwrap_or(0),
            _ => {}
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut out = stream;
    if reply == Reply::Refuse {
        return out.write_all(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
    let body = serde_json::from_slice(&body).map_err(std::io::Error::other)?;
    let at = hb_daemon::clock::wall();
    told.lock().unwrap_or_else(PoisonError::into_inner).push(Told { key, body, at });
    out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // Wakes the listener.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
