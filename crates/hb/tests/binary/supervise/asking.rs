//! Asking the API of a node, as plainly as it can be done.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use super::site::Site;
use crate::support::until;

const PATIENCE: Duration = Duration::from_secs(60);

/// An answer: its status, the lines of its head, and its document.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Value,
}

impl Told {
    /// A header of it.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

/// Asks with the owner's token; gives the status and the document.
pub(crate) fn send(site: &Site, address: SocketAddr, verb: &str, path: &str, body: &Value) -> (u16, Value) {
    let told = send_with(site, address, (verb, path), &[], body);
    (told.status, told.body)
}

/// The same with more headers.
pub(crate) fn send_with(
    site: &Site,
    address: SocketAddr,
    (verb, path): (&str, &str),
    headers: &[(&str, &str)],
    body: &Value,
) -> Told {
    let token = until("the owner's token", || std::fs::read_to_string(site.project.output.join("api.token")).ok());
    let bearer = format!("Bearer {}", token.trim());
    let mut all = vec![("Authorization", bearer.as_str())];
    all.extend_from_slice(headers);
    let answer = exchange(address, (verb, path), &all, body);
    answer.unwrap_or_else(|error| panic!("{verb} {path}: {error}"))
}

/// One request and its answer, whoever asks.
pub(crate) fn exchange(
    address: SocketAddr,
    (verb, path): (&str, &str),
    headers: &[(&str, &str)],
    body: &Value,
) -> std::io::Result<Told> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let more: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    write!(
        stream,
        "{verb} /api/v1{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{more}\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let broken = || std::io::Error::new(std::io::ErrorKind::InvalidData, format!("no HTTP answer: {answer:?}"));
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(broken)?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(broken)?;
    Ok(Told { status, head: head.to_owned(), body: serde_json::from_str(body).unwrap_or(Value::Null) })
}

/// Numbers of the next `count` events after one, as a follower is sent them.
pub(crate) fn follow(address: SocketAddr, after: u64, count: u64) -> Vec<u64> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET /api/v1/events/stream HTTP/1.1\r\nHost: {address}\r\nLast-Event-ID: {after}\r\n\r\n").unwrap();
    let lines = BufReader::new(stream).lines().map(Result::unwrap);
    let ids = lines.filter_map(|line| line.strip_prefix("id: ").map(|id| id.parse().unwrap()));
    ids.take(usize::try_from(count).unwrap()).collect()
}
