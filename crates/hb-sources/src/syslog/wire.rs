//! Sockets, and the messages in what comes through them.
//!
//! **Invariants.** At most [`PEERS_MAX`] connections, each with at most one message and a chunk in memory; a further peer is
//! turned away. Connections take turns, so that one that never ends cannot silence the others.

use std::io::{self, ErrorKind, Read as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use nix::poll::{PollFd, PollFlags};

use super::MESSAGE_BYTES_MAX;

/// Most connections at a time.
pub(crate) const PEERS_MAX: usize = 64;
/// Bytes read from a connection at once.
const CHUNK_BYTES: usize = 16 * 1024;
/// Bytes of an overlong message that are kept for its quote.
const HEAD_BYTES: usize = 200;
/// Most digits of a length said before a message.
const LENGTH_DIGITS_MAX: usize = 7;

/// One message as it came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// Its bytes.
    Message(Vec<u8>),
    /// The first bytes of one that was too long.
    TooLong(Vec<u8>),
}

/// A socket in the file system that is ours to remove.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) path: PathBuf,
    pub(super) inode: u64,
}

#[derive(Debug)]
enum Kind {
    Unix(UnixDatagram, Own),
    Udp(UdpSocket),
    Tcp(TcpListener, Vec<Peer>),
}

/// What is listened with.
#[derive(Debug)]
pub(super) struct Wire {
    kind: Kind,
    buffer: Vec<u8>,
    /// Which connection is next.
    turn: usize,
    refused: u64,
}

impl Wire {
    pub(super) fn unix(socket: UnixDatagram, own: Own) -> Self {
        Self::of(Kind::Unix(socket, own))
    }

    pub(super) fn udp(socket: UdpSocket) -> Self {
        Self::of(Kind::Udp(socket))
    }

    pub(super) fn tcp(listener: TcpListener) -> Self {
        Self::of(Kind::Tcp(listener, Vec::new()))
    }

    fn of(kind: Kind) -> Self {
        // One byte more, to see that a datagram was longer.
        Self { kind, buffer: vec![0; MESSAGE_BYTES_MAX + 1], turn: 0, refused: 0 }
    }

    pub(super) fn address(&self) -> Option<SocketAddr> {
        match &self.kind {
            Kind::Unix(..) => None,
            Kind::Udp(socket) => socket.local_addr().ok(),
            Kind::Tcp(listener, _) => listener.local_addr().ok(),
        }
    }

    /// What is to be waited for.
    pub(super) fn sockets(&self) -> Vec<PollFd<'_>> {
        match &self.kind {
            Kind::Unix(socket, _) => vec![PollFd::new(socket.as_fd(), PollFlags::POLLIN)],
            Kind::Udp(socket) => vec![PollFd::new(socket.as_fd(), PollFlags::POLLIN)],
            Kind::Tcp(listener, peers) => {
                let mut all = vec![PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
                all.extend(peers.iter().map(|peer| PollFd::new(peer.stream.as_fd(), PollFlags::POLLIN)));
                all
            }
        }
    }

    /// The next message, if one is there.
    pub(super) fn receive(&mut self) -> io::Result<Option<Received>> {
        let received = match &mut self.kind {
            Kind::Unix(socket, _) => socket.recv(&mut self.buffer),
            Kind::Udp(socket) => socket.recv(&mut self.buffer),
            Kind::Tcp(listener, peers) => {
                self.refused += accept(listener, peers)?;
                return Ok(in_turn(peers, &mut self.turn));
            }
        };
        match received {
            Ok(length) => Ok(Some(datagram(self.buffer.get(..length).unwrap_or_default()))),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.refused > 0 {
            tracing::warn!(count = self.refused, "connections were turned away: {PEERS_MAX} were open already");
        }
        let Kind::Unix(_, own) = &self.kind else { return };
        // Only if it is still ours: another program may have taken the place.
        let ours = std::fs::symlink_metadata(&own.path).is_ok_and(|meta| meta.ino() == own.inode);
        if ours && let Err(error) = std::fs::remove_file(&own.path) {
            tracing::debug!(%error, "the syslog socket could not be removed");
        }
    }
}

fn datagram(bytes: &[u8]) -> Received {
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Received::TooLong(bytes.get(..HEAD_BYTES).unwrap_or(bytes).to_vec());
    }
    let end = bytes.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r' | 0)).map_or(0, |at| at + 1);
    Received::Message(bytes.get(..end).unwrap_or_default().to_vec())
}

/// Takes connections; gives how many were turned away.
fn accept(listener: &TcpListener, peers: &mut Vec<Peer>) -> io::Result<u64> {
    let mut refused = 0;
    loop {
        match listener.accept() {
            Ok((stream, _)) if peers.len() < PEERS_MAX => {
                stream.set_nonblocking(true)?;
                peers.push(Peer { stream, unread: Vec::new(), skipping: false, ended: false });
            }
            Ok(_) => refused += 1,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(refused),
            // Gone before it was taken.
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
    }
}

/// The next message of the connection whose turn it is, or of one behind it.
fn in_turn(peers: &mut Vec<Peer>, turn: &mut usize) -> Option<Received> {
    let mut found = None;
    for _ in 0..peers.len() {
        *turn = (*turn + 1) % peers.len();
        let Some(peer) = peers.get_mut(*turn) else { break };
        found = peer.next();
        if found.is_some() {
            break;
        }
    }
    peers.retain(|peer| !(peer.ended && peer.unread.is_empty()));
    found
}

#[derive(Debug)]
struct Peer {
    stream: TcpStream,
    unread: Vec<u8>,
    /// Within a message that was too long.
    skipping: bool,
    ended: bool,
}

impl Peer {
    fn next(&mut self) -> Option<Received> {
        loop {
            match cut(&mut self.unread, &mut self.skipping) {
                Some(message) => return Some(message),
                None if self.ended && self.skipping => {
                    self.unread.clear();
                    return None;
                }
                None if self.ended => return last(&mut self.unread),
                None => {}
            }
            let mut chunk = [0; CHUNK_BYTES];
            match self.stream.read(&mut chunk) {
                Ok(0) => self.ended = true,
                Ok(count) => self.unread.extend_from_slice(chunk.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // The other side is gone; what it sent before counts.
                Err(_) => self.ended = true,
            }
        }
    }
}

/// What a peer has sent behind its last whole message when it ends.
fn last(unread: &mut Vec<u8>) -> Option<Received> {
    let rest = std::mem::take(unread);
    (!rest.is_empty()).then_some(Received::Message(rest))
}

/// See [`crate::fuzzing::syslog_stream`].
pub(super) fn fuzzing<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Option<Vec<u8>>> {
    let (mut unread, mut skipping, mut out) = (Vec::new(), false, Vec::new());
    for chunk in chunks {
        unread.extend_from_slice(chunk);
        while let Some(received) = cut(&mut unread, &mut skipping) {
            out.push(received);
        }
        assert!(unread.len() <= MESSAGE_BYTES_MAX + CHUNK_BYTES, "a peer's unread bytes are bounded");
    }
    if !skipping {
        out.extend(last(&mut unread));
    }
    let message = |received| match received {
        Received::Message(bytes) => Some(bytes),
        Received::TooLong(_) => None,
    };
    out.into_iter().map(message).collect()
}

/// Takes the first message off what was read: `LENGTH MESSAGE`, or up to a line's end or NUL.
fn cut(unread: &mut Vec<u8>, skipping: &mut bool) -> Option<Received> {
    let digits = unread.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let counted = !*skipping && (1..=LENGTH_DIGITS_MAX).contains(&digits) && unread.get(digits) == Some(&b' ');
    if counted {
        let text = std::str::from_utf8(unread.get(..digits)?).ok()?;
        let length: usize = text.parse().ok()?;
        if length <= MESSAGE_BYTES_MAX {
            let message = unread.get(digits + 1..digits + 1 + length)?.to_vec();
            unread.drain(..digits + 1 + length);
            return Some(datagram(&message));
        }
    }
    let end = unread.iter().position(|byte| matches!(byte, b'\n' | 0));
    match end {
        Some(end) => {
            let message: Vec<u8> = unread.drain(..=end).take(end).collect();
            if std::mem::take(skipping) {
                return Some(Received::Message(Vec::new()));
            }
            Some(datagram(&message))
        }
        None if unread.len() > MESSAGE_BYTES_MAX => {
            let head = unread.get(..HEAD_BYTES).unwrap_or_default().to_vec();
            unread.clear();
            let first = !std::mem::replace(skipping, true);
            first.then_some(Received::TooLong(head))
        }
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8], step: usize) -> Vec<String> {
        let (mut unread, mut skipping, mut out) = (Vec::new(), false, Vec::new());
        for chunk in bytes.chunks(step) {
            unread.extend_from_slice(chunk);
            while let Some(message) = cut(&mut unread, &mut skipping) {
                out.push(match message {
                    Received::Message(text) => String::from_utf8_lossy(&text).into_owned(),
                    Received::TooLong(_) => "too long".to_owned(),
                });
            }
        }
        out
    }

    #[test]
    fn messages_are_cut_the_same_whatever_the_chunks() {
        let bytes = b"<1>a: x\n5 <2>bb6 <3>c\nd<4>e: y\r\n<5>f\0";
        for step in [1, 2, 5, 100] {
            assert_eq!(all(bytes, step), ["<1>a: x", "<2>bb", "<3>c\nd", "<4>e: y", "<5>f"], "{step}");
        }
    }

    #[test]
    fn b1_a_message_without_end_is_told_once_and_skipped() {
        let mut bytes = vec![b'x'; MESSAGE_BYTES_MAX * 3];
        bytes.extend_from_slice(b"\n<1>a: y\n");
        assert_eq!(all(&bytes, 10_000), ["too long", "", "<1>a: y"]);
        assert!(
            matches!(datagram(&vec![b'x'; MESSAGE_BYTES_MAX + 1]), Received::TooLong(head) if head.len() == HEAD_BYTES)
        );
    }
}
