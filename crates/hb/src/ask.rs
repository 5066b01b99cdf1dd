//! Asks a node over HTTP on this host: one GET, bounded in time and size.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Largest answer that is read, in bytes (B1).
const ANSWER_MAX: u64 = 64 << 20;

/// The body of an answer with status 200.
///
/// # Errors
/// Why there is none, in words.
pub fn get(address: SocketAddr, path: &str, patience: Duration) -> Result<Vec<u8>, String> {
    let deadline = Instant::now().checked_add(patience);
    let left = || deadline.map_or(patience, |deadline| deadline.saturating_duration_since(Instant::now()));
    let told = |error: std::io::Error| format!("{address}: {error}");
    let mut stream = TcpStream::connect_timeout(&address, patience).map_err(told)?;
    stream.set_write_timeout(Some(patience)).map_err(told)?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(told)?;
    let mut answer = Vec::new();
    let mut chunk = vec![0_u8; 64 << 10];
    loop {
        let left = left();
        if left.is_zero() {
            return Err(format!("{address}: no whole answer within {} s", patience.as_secs_f64()));
        }
        stream.set_read_timeout(Some(left)).map_err(told)?;
        match stream.read(&mut chunk).map_err(told)? {
            0 => break,
            read => answer.extend_from_slice(chunk.get(..read).unwrap_or_default()),
        }
        if u64::try_from(answer.len()).is_ok_and(|length| length > ANSWER_MAX) {
            return Err(format!("{address}: the answer is longer than {ANSWER_MAX} bytes"));
        }
    }
    body(&answer).map_err(|what| format!("{address}: {what}"))
}

fn body(answer: &[u8]) -> Result<Vec<u8>, String> {
    let split = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or("the answer is no HTTP")?;
    let (head, rest) = answer.split_at(split);
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let code = head.split_whitespace().nth(1).unwrap_or_default();
    if code != "200" {
        return Err(format!("it answers {code}"));
    }
    let body = rest.get(4..).unwrap_or_default();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    match length {
        Some(length) if length == body.len() => Ok(body.to_vec()),
        Some(length) => Err(format!("the answer has {} of {length} bytes", body.len())),
        None => Err("the answer has no length".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_whole_or_refused() {
        assert_eq!(body(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap(), b"ok");
        assert!(body(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok").unwrap_err().contains("2 of 3"));
        assert!(body(b"HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nok").unwrap_err().contains("503"));
        assert!(body(b"SSH-2.0").is_err());
    }

    #[test]
    fn a_server_that_says_nothing_is_given_up() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let begun = Instant::now();
        let answer = get(listener.local_addr().unwrap(), "/", Duration::from_millis(200));
        assert!(answer.is_err() && begun.elapsed() < Duration::from_secs(5), "{answer:?}");
    }
}
