//! As much of an HTTP/1.1 server as the engines of the bench need: connections that stay open, bodies with a length, answers that go on.
//! A thread for each connection; they stay until the program ends.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

/// Largest body that is taken.
const BODY_MAX: usize = 64 << 20;

/// A question.
#[derive(Debug, Default)]
pub(super) struct Request {
    pub(super) method: String,
    /// Decoded.
    pub(super) path: String,
    /// Decoded.
    pub(super) query: BTreeMap<String, String>,
    /// Names in small letters.
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
}

/// What is answered.
pub(super) enum Answer {
    /// All at once.
    Whole { status: u16, headers: Vec<(&'static str, String)>, body: Vec<u8> },
    /// Part by part, until there is none. An empty part is a moment to see whether anybody listens.
    Parts(Box<dyn FnMut() -> Option<Vec<u8>> + Send>),
}

pub(super) type Handler = Arc<dyn Fn(Request) -> Answer + Send + Sync>;

/// Serves on one port of these addresses.
///
/// # Errors
/// There is none.
pub(super) fn serve(addresses: &[IpAddr], handler: &Handler) -> Result<u16, String> {
    let mut port = 0;
    for address in addresses {
        let listener = TcpListener::bind(SocketAddr::new(*address, port)).map_err(|error| error.to_string())?;
        port = listener.local_addr().map_err(|error| error.to_string())?.port();
        let handler = Arc::clone(handler);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let handler = Arc::clone(&handler);
                // An error is a connection that was cut.
                std::thread::spawn(move || drop(speak(stream, &handler)));
            }
        });
    }
    Ok(port)
}

fn speak(mut stream: TcpStream, handler: &Handler) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(request) = read(&mut reader)? {
        match handler(request) {
            Answer::Whole { status, headers, body } => {
                let mut head = format!("HTTP/1.1 {status} .\r\ncontent-length: {}\r\n", body.len());
                for (name, value) in headers {
                    head.push_str(&format!("{name}: {value}\r\n"));
                }
                head.push_str("\r\n");
                let mut bytes = head.into_bytes();
                bytes.extend_from_slice(&body);
                stream.write_all(&bytes)?;
            }
            Answer::Parts(next) => return tell(&mut stream, next),
        }
    }
    Ok(())
}

fn tell(stream: &mut TcpStream, mut next: Box<dyn FnMut() -> Option<Vec<u8>> + Send>) -> std::io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 .\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")?;
    while let Some(part) = next() {
        if part.is_empty() {
            stream.set_nonblocking(true)?;
            let heard = stream.peek(&mut [0]);
            stream.set_nonblocking(false)?;
            if heard.is_ok_and(|size| size == 0) {
                return Ok(());
            }
            continue;
        }
        let mut chunk = format!("{:x}\r\n", part.len()).into_bytes();
        chunk.extend_from_slice(&part);
        chunk.extend_from_slice(b"\r\n");
        stream.write_all(&chunk)?;
    }
    stream.write_all(b"0\r\n\r\n")
}

/// None at the end of the connection.
fn read(reader: &mut BufReader<TcpStream>) -> std::io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let query = pairs.map(|(name, value)| (decoded(name), decoded(value))).collect();
    let mut request = Request { method, path: decoded(path), query, ..Request::default() };
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        request.headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let size: usize = request.headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    if size > BODY_MAX {
        return Ok(None);
    }
    request.body = vec![0; size];
    reader.read_exact(&mut request.body)?;
    Ok(Some(request))
}

fn decoded(text: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let escaped = |bytes: &mut std::str::Bytes<'_>| {
            let hex = [bytes.next()?, bytes.next()?];
            u8::from_str_radix(std::str::from_utf8(&hex).ok()?, 16).ok()
        };
        match byte {
            b'%' => out.extend(escaped(&mut bytes)),
            b'+' => out.push(b' '),
            other => out.push(other),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
