//! Asks a node over HTTP: one request and its answer, or a stream of events; each bounded in time and size.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

/// Largest answer that is read, in bytes (B1).
const ANSWER_MAX: u64 = 64 << 20;
/// Longest line of a head or of a stream of events, in bytes (B1).
const LINE_MAX: u64 = 1 << 20;
/// Most lines of a head (B1).
const HEAD_LINES_MAX: usize = 100;

/// Where somebody can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// As it was named: `127.0.0.1:9090`.
    pub host: String,
    addresses: Vec<SocketAddr>,
}

/// What is asked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Call<'a> {
    /// `GET`, when it is empty.
    pub verb: &'a str,
    /// Path and query.
    pub path: &'a str,
    /// Shows who asks.
    pub token: Option<&'a str>,
    /// A JSON document.
    pub body: Option<&'a [u8]>,
    /// The number of the newest event that one has.
    pub last_event: Option<u64>,
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Body.
    pub body: Vec<u8>,
}

impl From<SocketAddr> for Place {
    fn from(address: SocketAddr) -> Self {
        // Whoever listens everywhere listens on loopback, and a request has to name a place that leads there.
        let mut reached = address;
        if address.ip().is_unspecified() {
            reached.set_ip(match address {
                SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            });
        }
        Self { host: reached.to_string(), addresses: vec![reached] }
    }
}

impl Place {
    /// The place of `http://HOST:PORT`.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn of_url(url: &str) -> Result<Self, String> {
        let host = Self::check_url(url)?;
        let addresses = host.to_socket_addrs().map_err(|error| format!("{host}: {error}"))?.collect();
        Ok(Self { host, addresses })
    }

    /// The `HOST:PORT` of `http://HOST:PORT`, without looking for it.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn check_url(url: &str) -> Result<String, String> {
        if url.starts_with("https://") {
            return Err(
                "hb speaks to its nodes by plain HTTP: use a tunnel, such as `ssh -L 9090:127.0.0.1:9090 HOST`".into(),
            );
        }
        let rest = url.strip_prefix("http://").unwrap_or(url);
        let host = rest.split('/').next().unwrap_or_default();
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
        if host.is_empty() || !host.chars().all(fine) {
            return Err(format!("`{}` is no http://HOST:PORT", url.escape_debug()));
        }
        let port = host.rsplit_once(':').is_some_and(|(name, port)| !name.is_empty() && port.parse::<u16>().is_ok());
        Ok(if port && !(host.ends_with(']')) { host.to_owned() } else { format!("{host}:80") })
    }

    fn connect(&self, patience: Duration) -> Result<TcpStream, String> {
        let mut why = "it has no address".to_owned();
        for address in &self.addresses {
            match TcpStream::connect_timeout(address, patience) {
                Ok(stream) => return Ok(stream),
                Err(error) => why = error.to_string(),
            }
        }
        Err(why)
    }
}

/// The body of an answer with status 200.
///
/// # Errors
/// Why there is none, in words.
pub fn get(address: SocketAddr, path: &str, patience: Duration) -> Result<Vec<u8>, String> {
    get_of(&address.into(), path, patience)
}

/// The same of a place that was named.
///
/// # Errors
/// As [`get`].
pub fn get_of(place: &Place, path: &str, patience: Duration) -> Result<Vec<u8>, String> {
    let answer = call(place, &Call { path, ..Call::default() }, patience)?;
    if answer.status == 200 { Ok(answer.body) } else { Err(format!("{}: it answers {}", place.host, answer.status)) }
}

/// Asks, and reads the whole answer.
///
/// # Errors
/// Why there is no whole answer, in words.
pub fn call(place: &Place, call: &Call<'_>, patience: Duration) -> Result<Answer, String> {
    let told = |what: String| format!("{}: {what}", place.host);
    let deadline = Instant::now().checked_add(patience);
    let (status, mut body) = begin(place, call, patience, Until::Moment(deadline, patience)).map_err(told)?;
    let mut bytes = Vec::new();
    let mut bounded = (&mut body).take(ANSWER_MAX.saturating_add(1));
    bounded.read_to_end(&mut bytes).map_err(|error| told(error.to_string()))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > ANSWER_MAX) {
        return Err(told(format!("the answer is longer than {ANSWER_MAX} bytes")));
    }
    Ok(Answer { status, body: bytes })
}

/// Asks for a stream. The connection counts as broken when nothing comes for `silence`.
///
/// # Errors
/// Why there is no answer, in words.
pub fn follow(place: &Place, call: &Call<'_>, silence: Duration) -> Result<(u16, Lines), String> {
    let begun = begin(place, call, silence, Until::Silence(silence));
    let (status, body) = begun.map_err(|what| format!("{}: {what}", place.host))?;
    Ok((status, Lines { body: BufReader::new(body) }))
}

fn begin(place: &Place, call: &Call<'_>, patience: Duration, until: Until) -> Result<(u16, Body), String> {
    let told = |error: std::io::Error| error.to_string();
    let mut stream = place.connect(patience)?;
    stream.set_write_timeout(Some(patience)).map_err(told)?;
    // A head and a short body leave at once rather than wait for one another.
    stream.set_nodelay(true).map_err(told)?;
    let verb = if call.verb.is_empty() { "GET" } else { call.verb };
    let mut request = format!("{verb} {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", call.path, place.host);
    if let Some(token) = call.token {
        request.push_str(&format!("Authorization: Bearer {token}\r\n"));
    }
    if let Some(last) = call.last_event {
        request.push_str(&format!("Last-Event-ID: {last}\r\n"));
    }
    let body = call.body.unwrap_or_default();
    if call.body.is_some() {
        request.push_str("Content-Type: application/json\r\n");
    }
    if verb != "GET" {
        request.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    request.push_str("\r\n");
    let mut bytes = request.into_bytes();
    bytes.extend_from_slice(body);
    stream.write_all(&bytes).map_err(told)?;
    let mut reader = BufReader::new(Patient { stream, until });
    let (status, framing) = head(&mut reader)?;
    Ok((status, Body { reader, framing }))
}

/// How long is waited.
#[derive(Debug, Clone, Copy)]
enum Until {
    /// Until this moment in all; for messages, how long that was.
    Moment(Option<Instant>, Duration),
    /// So long for each piece.
    Silence(Duration),
}

/// A connection that is not waited for longer than that.
#[derive(Debug)]
struct Patient {
    stream: TcpStream,
    until: Until,
}

impl Read for Patient {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let (left, whole) = match self.until {
            Until::Moment(Some(deadline), whole) => (deadline.saturating_duration_since(Instant::now()), whole),
            Until::Moment(None, whole) | Until::Silence(whole) => (whole, whole),
        };
        let late = || {
            let what = format!("no whole answer within {} s", whole.as_secs_f64());
            std::io::Error::new(std::io::ErrorKind::TimedOut, what)
        };
        if left.is_zero() {
            return Err(late());
        }
        self.stream.set_read_timeout(Some(left))?;
        self.stream.read(into).map_err(|error| {
            let slow = matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut);
            if slow { late() } else { error }
        })
    }
}

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// After so many bytes.
    Length(u64),
    /// After a chunk of none; so many bytes are left of the present one, of which there was one before.
    Chunks { left: u64, before: bool },
    /// With the connection.
    Connection,
    /// It has.
    Over,
}

/// A body as it comes.
#[derive(Debug)]
struct Body {
    reader: BufReader<Patient>,
    framing: Framing,
}

impl Read for Body {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if let Framing::Chunks { left: 0, before } = self.framing {
            if before {
                // The end of the line behind the chunk before.
                line(&mut self.reader)?;
            }
            self.framing = next_chunk(&mut self.reader)?;
        }
        let most = match self.framing {
            Framing::Over | Framing::Length(0) => return Ok(0),
            Framing::Length(left) | Framing::Chunks { left, .. } => left,
            Framing::Connection => u64::MAX,
        };
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(into.len());
        let read = self.reader.read(into.get_mut(..most).unwrap_or_default())?;
        let taken = u64::try_from(read).unwrap_or(u64::MAX);
        match &mut self.framing {
            Framing::Length(left) | Framing::Chunks { left, .. } if read > 0 => *left = left.saturating_sub(taken),
            Framing::Length(left) | Framing::Chunks { left, .. } if !into.is_empty() => {
                let what = format!("the connection ended {left} bytes before the answer");
                return Err(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, what));
            }
            Framing::Length(_) | Framing::Chunks { .. } | Framing::Connection | Framing::Over => {}
        }
        Ok(read)
    }
}

fn no_http() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, "the answer is no HTTP")
}

fn next_chunk(reader: &mut impl std::io::BufRead) -> std::io::Result<Framing> {
    let size = line(reader)?.ok_or_else(no_http)?;
    let size = size.split(';').next().unwrap_or_default().trim();
    let left = u64::from_str_radix(size, 16).map_err(|_| no_http())?;
    Ok(if left == 0 { Framing::Over } else { Framing::Chunks { left, before: true } })
}

/// The next line without its end; none at the end.
fn line(reader: &mut impl std::io::BufRead) -> std::io::Result<Option<String>> {
    let mut bytes = Vec::new();
    let mut bounded = reader.take(LINE_MAX);
    if bounded.read_until(b'\n', &mut bytes)? == 0 {
        return Ok(None);
    }
    if bytes.last() != Some(&b'\n') && u64::try_from(bytes.len()).is_ok_and(|length| length >= LINE_MAX) {
        return Err(std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            format!("a line has more than {LINE_MAX} bytes"),
        ));
    }
    let text = String::from_utf8_lossy(&bytes);
    Ok(Some(text.trim_end_matches(['\n', '\r']).to_owned()))
}

fn head(reader: &mut impl std::io::BufRead) -> Result<(u16, Framing), String> {
    let told = |error: std::io::Error| error.to_string();
    let first = line(reader).map_err(told)?.ok_or("it ended the connection without an answer")?;
    let status = first.strip_prefix("HTTP/1.").and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok());
    let status: u16 = status.ok_or("the answer is no HTTP")?;
    let mut framing = Framing::Connection;
    for _ in 0..HEAD_LINES_MAX {
        let header = line(reader).map_err(told)?.ok_or("the head of the answer breaks off")?;
        if header.is_empty() {
            let none = status == 204 || status == 304;
            return Ok((status, if none { Framing::Over } else { framing }));
        }
        let (name, value) = header.split_once(':').ok_or("the answer is no HTTP")?;
        match name.trim().to_ascii_lowercase().as_str() {
            "content-length" => {
                framing = Framing::Length(value.trim().parse().map_err(|_| "its length is no number".to_owned())?);
            }
            "transfer-encoding" if value.trim().eq_ignore_ascii_case("chunked") => {
                framing = Framing::Chunks { left: 0, before: false };
            }
            _ => {}
        }
    }
    Err(format!("the head of the answer has more than {HEAD_LINES_MAX} lines"))
}

/// Server-sent events as they come.
#[derive(Debug)]
pub struct Lines {
    body: BufReader<Body>,
}

/// One server-sent event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sent {
    /// Its number, where it has one.
    pub id: Option<u64>,
    /// Its kind.
    pub event: String,
    /// Its document.
    pub data: String,
}

impl Lines {
    /// The next event; none when the stream has ended in good order.
    ///
    /// # Errors
    /// The connection broke, or was silent for too long; in words.
    pub fn take_next(&mut self) -> Result<Option<Sent>, String> {
        let mut sent = Sent::default();
        while let Some(line) = line(&mut self.body).map_err(|error| error.to_string())? {
            if line.is_empty() {
                if !sent.data.is_empty() {
                    return Ok(Some(sent));
                }
                sent = Sent::default();
            } else if let Some(value) = field(&line, "id") {
                sent.id = value.parse().ok();
            } else if let Some(value) = field(&line, "event") {
                value.clone_into(&mut sent.event);
            } else if let Some(value) = field(&line, "data") {
                if !sent.data.is_empty() {
                    sent.data.push('\n');
                }
                sent.data.push_str(value);
            }
        }
        Ok(None)
    }

    /// What is left, as text; for an answer that turned out to be no stream.
    #[must_use]
    pub fn rest(self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // What could be read says why there is no stream; that it broke off says no more.
        drop(self.body.take(LINE_MAX).read_to_end(&mut bytes));
        bytes
    }
}

fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let value = line.strip_prefix(name)?.strip_prefix(':')?;
    Some(value.strip_prefix(' ').unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that says one thing to one client; gives what it was asked.
    fn serve(answer: &'static [u8]) -> (SocketAddr, std::thread::JoinHandle<String>) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = vec![0_u8; 4096];
            let read = stream.read(&mut asked).unwrap();
            stream.write_all(answer).unwrap();
            String::from_utf8_lossy(&asked[..read]).into_owned()
        });
        (address, asked)
    }

    const PATIENCE: Duration = Duration::from_secs(10);

    #[test]
    fn answers_are_whole_or_refused() {
        let ask = |answer| get(serve(answer).0, "/", PATIENCE);
        assert_eq!(ask(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap(), b"ok");
        let chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n3;x\r\nay!\r\n0\r\n\r\n";
        assert_eq!(ask(chunks).unwrap(), b"okay!");
        assert!(ask(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok").unwrap_err().contains("1 bytes before"));
        assert!(ask(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok").is_err());
        assert!(ask(b"HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nok").unwrap_err().contains("503"));
        assert!(ask(b"HTTP/1.1 200 OK\r\nContent-Le").unwrap_err().contains("no HTTP"));
        assert!(ask(b"SSH-2.0\r\n").is_err());
        assert!(ask(b"").is_err());
    }

    #[test]
    fn a_request_says_who_asks_and_what_for() {
        let (address, asked) = serve(b"HTTP/1.1 204 No Content\r\n\r\n");
        let wanted = Call { verb: "PUT", path: "/x?y=1", token: Some("t"), body: Some(b"{}"), last_event: Some(7) };
        assert_eq!(call(&address.into(), &wanted, PATIENCE).unwrap(), Answer { status: 204, body: Vec::new() });
        let asked = asked.join().unwrap();
        for line in ["PUT /x?y=1 HTTP/1.1", "Authorization: Bearer t", "Content-Length: 2", "Last-Event-ID: 7"] {
            assert!(asked.contains(line), "{asked}");
        }
    }

    #[test]
    fn events_come_one_by_one() {
        let stream = b"HTTP/1.1 200 OK\r\n\r\nretry: 1000\n\n:\n\nid: 4\nevent: a.b\ndata: {}\n\nevent: gap\ndata: 1\ndata: 2\n\n";
        let (status, mut lines) = follow(&serve(stream).0.into(), &Call::default(), PATIENCE).unwrap();
        assert_eq!(status, 200);
        assert_eq!(lines.take_next().unwrap(), Some(Sent { id: Some(4), event: "a.b".into(), data: "{}".into() }));
        assert_eq!(lines.take_next().unwrap(), Some(Sent { id: None, event: "gap".into(), data: "1\n2".into() }));
        assert_eq!(lines.take_next().unwrap(), None);
    }

    #[test]
    fn a_server_that_says_nothing_is_given_up() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let answer = get(listener.local_addr().unwrap(), "/", Duration::from_millis(200));
        assert!(answer.unwrap_err().contains("0.2 s"));
    }

    #[test]
    fn places_are_named_by_url() {
        assert_eq!(Place::of_url("http://127.0.0.1:9090/x").unwrap().host, "127.0.0.1:9090");
        assert_eq!(Place::of_url("127.0.0.1").unwrap().host, "127.0.0.1:80");
        assert_eq!(Place::of_url("http://[::1]:81").unwrap().host, "[::1]:81");
        assert!(Place::of_url("https://127.0.0.1").unwrap_err().contains("tunnel"));
        assert!(Place::of_url("http://a b\r\n").is_err() && Place::of_url("http://").is_err());
        let everywhere: SocketAddr = "0.0.0.0:9090".parse().unwrap();
        assert_eq!(Place::from(everywhere).host, "127.0.0.1:9090");
    }
}
