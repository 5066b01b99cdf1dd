//! A door between a node and its engine: it passes everything on, and counts what the node asks.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// What counts as a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speech {
    /// A request line of HTTP.
    Http,
    /// A statement of SQL that begins with `SELECT` or `WITH`, as all of hb's do; what stands within one is no question of its own.
    Sql,
}

/// A door. It stays open until the program ends.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Where the node finds it.
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<BTreeMap<String, u64>>>,
}

impl Gate {
    /// Opens one in front of an engine.
    ///
    /// # Errors
    /// There is no port.
    pub(crate) fn open(to: SocketAddr, speech: Speech) -> Result<Self, String> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let asked = Arc::new(Mutex::new(BTreeMap::new()));
        let count = Arc::clone(&asked);
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(far) = TcpStream::connect(to) else { continue };
                pass(near, far, speech, &count);
            }
        });
        Ok(Self { address, asked })
    }

    /// What was asked since the last call, by what.
    pub(crate) fn asked(&self) -> BTreeMap<String, u64> {
        std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Both ways, each in a thread; they end with the connection.
fn pass(near: TcpStream, far: TcpStream, speech: Speech, asked: &Arc<Mutex<BTreeMap<String, u64>>>) {
    near.set_nodelay(true).unwrap_or_default();
    far.set_nodelay(true).unwrap_or_default();
    let (Ok(near_again), Ok(far_again)) = (near.try_clone(), far.try_clone()) else { return };
    let asked = Arc::clone(asked);
    std::thread::spawn(move || {
        copy(near, far, |bytes| {
            let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
            for what in questions(bytes, speech) {
                *asked.entry(what).or_insert(0) += 1;
            }
        });
    });
    std::thread::spawn(move || copy(far_again, near_again, |_| {}));
}

fn copy(mut from: TcpStream, mut to: TcpStream, mut heard: impl FnMut(&[u8])) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(size @ 1..) = from.read(&mut buffer) {
        let bytes = buffer.get(..size).unwrap_or_default();
        heard(bytes);
        if to.write_all(bytes).is_err() {
            break;
        }
    }
    // Whoever waits on either side hears of the end; it may have ended already.
    to.shutdown(std::net::Shutdown::Both).unwrap_or_default();
    from.shutdown(std::net::Shutdown::Both).unwrap_or_default();
}

fn questions(bytes: &[u8], speech: Speech) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let plain = |text: &str| text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    match speech {
        Speech::Sql => {
            // Before a statement stands its name, which is empty, and ends with a zero as the statement does.
            let begins = ["\0SELECT ", "\0WITH "].into_iter().flat_map(|begin| text.match_indices(begin));
            let questions = begins.filter_map(|(at, _)| text.get(at + 1..));
            let ends = |question: &str| question.find('\0').unwrap_or(question.len());
            questions.filter_map(|question| Some(plain(question.get(..ends(question))?))).collect()
        }
        Speech::Http => {
            let heads = text.lines().filter_map(|line| line.strip_suffix(" HTTP/1.1"));
            heads.map(|head| plain(head.split('?').next().unwrap_or_default())).collect()
        }
    }
}

/// Whether a question is about records or documents of baselines, rather than the lease and the board of nodes.
pub(crate) fn about_records(question: &str) -> bool {
    ["/journal/", "/baselines/", ".records", ".streams", ".append(", ".trim(", ".blobs"]
        .iter()
        .any(|part| question.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_one_question_whatever_it_holds() {
        let sent = b"P\0\0\0\x50\0WITH s AS (SELECT (SELECT max(seq) FROM \"h\".records WHERE stream = $1))\0\0\0B\0\0\0\x09\0\0\
                     P\0\0\0\x30\0SELECT pg_notify($1, (SELECT 1))\0\0\0";
        let asked = questions(sent, Speech::Sql);
        assert_eq!(asked.len(), 2, "{asked:?}");
        assert!(asked.iter().filter(|question| about_records(question)).count() == 1, "{asked:?}");
    }

    #[test]
    fn request_lines_are_questions() {
        let sent = b"POST /v3/kv/range HTTP/1.1\r\nhost: a\r\n\r\n{}GET";
        assert_eq!(questions(sent, Speech::Http), ["POST /v0/kv/range"]);
    }
}
