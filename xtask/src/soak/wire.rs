//! One question over HTTP, as plainly as it can be done, and figures in the text of Prometheus.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Status and body of an answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// Asks.
///
/// # Errors
/// Nobody answers, or not in time, or not in HTTP.
pub(crate) fn ask(to: SocketAddr, verb: &str, path: &str, body: &str) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let length = body.len();
    write!(
        stream,
        "{verb} {path} HTTP/1.1\r\nHost: {to}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let broken = || io::Error::new(io::ErrorKind::InvalidData, "no HTTP answer");
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(broken)?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(broken)?;
    Ok(Answer { status, body: body.to_owned() })
}

/// A figure of what `/metrics` says: `name` with its labels, as it stands there.
pub(crate) fn figure(metrics: &str, name: &str) -> Option<f64> {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::figure;

    #[test]
    fn a_figure_is_found_by_its_whole_name() {
        let text = "# HELP hb_cycle x\nhb_cycle_more 4\nhb_cycle{watch=\"plant\"} 17\nhb_epoch 3\n";
        assert_eq!(figure(text, "hb_cycle{watch=\"plant\"}"), Some(17.0));
        assert_eq!(figure(text, "hb_epoch"), Some(3.0));
        assert_eq!(figure(text, "hb_cycle"), None);
    }
}
