//! Syslog: a socket that listens, or a file that is followed.
//!
//! A file is read as any other ([`crate::file`]), with its marks. What a socket received is gone once it was read: position is
//! the number of messages. Nothing listens before the first read, so that a standby leaves the place to the active node.
//!
//! Bounds: a message of at most [`MESSAGE_BYTES_MAX`], at most [`wire::PEERS_MAX`] TCP connections. What the kernel dropped
//! because it was not read in time is told as a gap, where the kernel counts it (UDP).

mod bind;
mod drops;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use hb_core::mark::Mark;
use hb_core::watch::sample::FaultCause;

use crate::format::Format;
use crate::format::syslog::Syslog;
use crate::messages::{Goes, Message, Messages, Room};
use crate::stream;
use crate::{Limits, Polled, Rereads, Source, SourceError, wall};
use wire::{Received, Wire};

/// Longest message, in bytes.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// How often the kernel is asked what it dropped.
const DROPS_EVERY: Duration = Duration::from_secs(1);

/// Where syslog comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// A datagram socket of this machine, as `/dev/log`.
    Unix(PathBuf),
    /// Datagrams.
    Udp(SocketAddr),
    /// Connections; messages end with their lines or say their length first (RFC 6587).
    Tcp(SocketAddr),
}

impl Listen {
    /// The place, for people.
    #[must_use]
    pub fn place(&self) -> String {
        match self {
            Self::Unix(path) => path.display().to_string(),
            Self::Udp(address) => format!("udp://{address}"),
            Self::Tcp(address) => format!("tcp://{address}"),
        }
    }
}

/// Messages to receive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyslogSpec {
    /// Where.
    pub listen: Listen,
    /// What a message without a time is.
    pub format: Format,
}

/// Receives syslog.
#[derive(Debug)]
pub struct SyslogSource {
    spec: SyslogSpec,
    syslog: Syslog,
    wire: Option<Wire>,
    messages: Messages,
    /// A message that found no room in the batch.
    left: Option<Received>,
    dropped: u64,
    asked: Instant,
}

impl SyslogSource {
    /// A source that will listen when it is first read.
    #[must_use]
    pub fn new(spec: SyslogSpec, limits: Limits) -> Self {
        let messages = Messages::new("syslog", spec.format, limits);
        let asked = Instant::now();
        Self { spec, syslog: Syslog::new(), wire: None, messages, left: None, dropped: 0, asked }
    }

    /// Where it listens, once it does: the port, where any was asked for.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.wire.as_ref().and_then(Wire::address)
    }

    fn listen(&mut self) -> Result<&mut Wire, SourceError> {
        if self.wire.is_none() {
            self.wire = Some(bind::bind(&self.spec.listen)?);
            self.dropped = self.address().and_then(drops::count).unwrap_or(0);
        }
        self.wire.as_mut().ok_or_else(|| SourceError::Retry("nothing listens".to_owned()))
    }

    /// Takes what is there.
    fn gather(&mut self) -> io::Result<()> {
        let place = self.spec.listen.place();
        loop {
            let received = match self.left.take() {
                Some(left) => left,
                None => match self.wire.as_mut().map(Wire::receive).transpose()?.flatten() {
                    Some(received) => received,
                    None => return Ok(()),
                },
            };
            let (text, read) = match &received {
                Received::Message(bytes) => (bytes, Ok(bytes)),
                Received::TooLong(head) => (head, Err(FaultCause::LineTooLong)),
            };
            let arrival = wall::now();
            let text: &[u8] = text;
            let clean = read.and_then(|bytes| crate::format::clean(bytes));
            let event = match clean {
                Ok(line) if line.trim().is_empty() => continue,
                clean => clean.and_then(|line| self.syslog.event(line, arrival)),
            };
            match self.messages.push(&Message { place: &place, text, arrival }, event) {
                Room::More => {}
                Room::Full => return Ok(()),
                Room::None => {
                    self.left = Some(received);
                    return Ok(());
                }
            }
        }
    }

    /// Tells what the kernel dropped since it was asked last.
    fn note_drops(&mut self) {
        if self.asked.elapsed() < DROPS_EVERY {
            return;
        }
        self.asked = Instant::now();
        let Listen::Udp(_) = self.spec.listen else { return };
        if let Some(count) = self.address().and_then(drops::count) {
            let more = count.saturating_sub(self.dropped);
            self.dropped = count;
            self.messages.lose(more, "datagrams were dropped by the kernel: they came faster than they were read");
        }
    }
}

impl Source for SyslogSource {
    fn next(&mut self, patience: Duration) -> Result<Polled, SourceError> {
        let deadline = Instant::now() + patience;
        let place = self.spec.listen.place();
        let cannot = |error: io::Error| SourceError::Retry(format!("cannot receive at {place}: {error}"));
        self.listen()?;
        self.note_drops();
        if let Some(gap) = self.messages.gap() {
            return Ok(Polled::Batch(gap));
        }
        loop {
            let looked_at = wall::now();
            self.gather().map_err(cannot)?;
            if let Some(batch) = self.messages.take() {
                return Ok(Polled::Batch(batch));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Polled::Idle { mark: self.messages.mark(), looked_at });
            }
            let mut sockets = self.wire.as_ref().map(Wire::sockets).unwrap_or_default();
            stream::wait(&mut sockets, left).map_err(cannot)?;
        }
    }

    fn seek(&mut self, mark: Option<&Mark>) -> Result<(), SourceError> {
        match self.messages.seek(mark)? {
            Goes::On => {}
            Goes::Back(count) => self.messages.lose(count, "messages were read before and cannot be read again"),
        }
        Ok(())
    }

    fn rereads(&self) -> Rereads {
        Rereads::No
    }
}

/// See [`crate::fuzzing::syslog_stream`].
pub(crate) fn fuzzing<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Option<Vec<u8>>> {
    wire::fuzzing(chunks)
}
