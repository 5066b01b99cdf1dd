//! The webhook against real HTTP servers on loopback: what they get, and what is made of their answers.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use hb_actuators::alert_sink::{self, AlertSink};
use hb_actuators::{Delivery, Secret, SinkError, SinkSpec};
use hb_core::ids::CycleNo;
use hb_core::time::{Span, Stamp};
use hb_core::watch::alert::{Alert, AlertCause, Urgency};
use hb_core::watch::decision::Status;
use sha2::{Digest, Sha256};

const SECRET: &str = "s3cret-\u{e9}";

/// One request as it came over the wire.
struct Request {
    line: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    fn header(&self, name: &str) -> &str {
        let found: Vec<_> = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name)).collect();
        assert_eq!(found.len(), 1, "{name} in {:?}", self.headers);
        &found[0].1
    }
}

fn read(stream: &TcpStream) -> Request {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        headers.push((name.to_owned(), value.to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let mut body = vec![0; length.map_or(0, |(_, length)| length.parse().unwrap())];
    reader.read_exact(&mut body).unwrap();
    Request { line: line.trim_end().to_owned(), headers, body }
}

/// A server that gives these answers, one a connection, and hands on what it was asked.
fn server(answers: Vec<String>) -> (SocketAddr, Receiver<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let (send, receive) = channel();
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            send.send(read(&stream)).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    (addr, receive)
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

fn sink(url: &str, secret: Option<&str>, timeout: Duration) -> Box<dyn AlertSink> {
    let spec = SinkSpec::Webhook { url: Secret::new(url), secret: secret.map(Secret::new), timeout };
    alert_sink::build("webhook", &spec).unwrap()
}

fn alert() -> Alert {
    Alert {
        key: "bench rig/7".to_owned(),
        cause: AlertCause::Changed,
        severity: Urgency::Fail,
        watch: "bench rig".into(),
        cycle: CycleNo(7),
        span: Span { start: Stamp(1_700_000_000_000_000_000), end: Stamp(1_700_000_010_000_000_000) },
        status: Status::Fail,
        before: Some(Status::Pass),
        headline: "FAIL: bus.voltage".to_owned(),
        series: vec!["bus.voltage".to_owned()],
        since: Stamp(1_700_000_000_000_000_000),
    }
}

fn deliver(url: &str) -> Delivery {
    sink(url, Some(SECRET), Duration::from_secs(5)).deliver(&alert(), Some("/out/report.html"))
}

/// HMAC-SHA256 by its definition (RFC 2104), apart from the library that the sink uses for it.
fn hmac(key: &[u8], message: &[u8]) -> String {
    let mut block = [0u8; 64];
    block[..key.len()].copy_from_slice(key);
    let pad = |with: u8| block.map(|byte| byte ^ with);
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    let outer = Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize();
    outer.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn w6_a_signed_document_with_its_key_arrives() {
    let (addr, asked) = server(vec![answer("204 No Content", "", ""), answer("200 OK", "", "ok")]);
    let mut sink = sink(&format!("http://{addr}/hook/path?x=1"), Some(SECRET), Duration::from_secs(5));
    assert_eq!(sink.name(), "webhook");
    for _ in 0..2 {
        assert_eq!(sink.deliver(&alert(), Some("/out/report.html")), Delivery::Done);
    }
    let (first, second) = (asked.recv().unwrap(), asked.recv().unwrap());
    assert_eq!(first.line, "POST /hook/path?x=1 HTTP/1.1");
    assert_eq!(first.header("content-type"), "application/json");
    assert_eq!(first.header("idempotency-key"), "bench%20rig/7");
    assert!(first.header("user-agent").starts_with("hb/"));
    let document: serde_json::Value = serde_json::from_slice(&first.body).unwrap();
    assert_eq!((&document["key"], &document["report_path"]), (&"bench rig/7".into(), &"/out/report.html".into()));
    assert_eq!(first.body, second.body, "a repetition has the same bytes");
    assert_eq!(first.header("idempotency-key"), second.header("idempotency-key"));

    let signature = first.header("x-hb-signature");
    let (at, mac) = signature.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    assert!(now.abs_diff(at.parse().unwrap()) < 60);
    let message = [at.as_bytes(), b".", first.body.as_slice()].concat();
    assert_eq!(mac, hmac(SECRET.as_bytes(), &message));
}

#[test]
fn without_a_secret_nothing_is_signed() {
    let (addr, asked) = server(vec![answer("200 OK", "", "")]);
    assert_eq!(sink(&format!("http://{addr}"), None, Duration::from_secs(5)).deliver(&alert(), None), Delivery::Done);
    let asked = asked.recv().unwrap();
    assert!(!asked.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("x-hb-signature")));
}

#[test]
fn each_answer_has_its_meaning() {
    let wait = |seconds| Some(Duration::from_secs(seconds));
    for (status, headers, expected) in [
        ("500 Internal Server Error", "", Some(None)),
        ("503 Service Unavailable", "Retry-After: 17\r\n", Some(wait(17))),
        ("429 Too Many Requests", "Retry-After: 999999999\r\n", Some(wait(3_600))),
        ("429 Too Many Requests", "Retry-After: tomorrow\r\n", Some(None)),
        ("408 Request Timeout", "", Some(None)),
        ("425 Too Early", "", Some(None)),
        ("400 Bad Request", "", None),
        ("401 Unauthorized", "", None),
        ("404 Not Found", "Retry-After: 5\r\n", None),
        ("410 Gone", "", None),
    ] {
        let (addr, _asked) = server(vec![answer(status, headers, "because\u{7}\r\nof this")]);
        match (deliver(&format!("http://user:hunter2@{addr}/token-abc")), expected) {
            (Delivery::Retry { why, after }, Some(expected)) => {
                assert_eq!(after, expected, "{status}");
                assert!(why.contains(status) && why.ends_with("because   of this"), "{why}");
            }
            (Delivery::GiveUp { why }, None) => {
                assert!(why.contains(status), "{why}");
                assert!(!why.contains("hunter2") && !why.contains("token-abc"), "{why}");
            }
            (other, _) => panic!("{status}: {other:?}"),
        }
    }
}

#[test]
fn a_closed_port_a_cut_answer_and_garbage_are_retried_without_telling_the_url() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (cut, _asked) = server(vec!["HTTP/1.1 200".to_owned()]);
    let (garbage, _also) = server(vec!["SSH-2.0-OpenSSH_9.2\r\n\r\n".to_owned()]);
    for addr in [closed, cut, garbage] {
        let Delivery::Retry { why, after: None } = deliver(&format!("http://user:hunter2@{addr}/token-abc")) else {
            panic!("{addr} took it")
        };
        assert!(why.contains(&format!("http://{addr}")), "{why}");
        assert!(!why.contains("hunter2") && !why.contains("token-abc") && !why.contains(SECRET), "{why}");
    }
}

#[test]
fn a_server_that_never_answers_is_left_within_the_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let outcome = sink(&format!("http://{addr}"), None, Duration::from_millis(300)).deliver(&alert(), None);
    assert!(matches!(outcome, Delivery::Retry { .. }), "{outcome:?}");
    drop(listener);
}

#[test]
fn a_refusal_that_never_ends_is_read_only_so_far() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        read(&stream);
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 1000000000\r\n\r\n").unwrap();
        while stream.write_all(&[b'x'; 4096]).is_ok() {}
    });
    let Delivery::GiveUp { why } = deliver(&format!("http://{addr}")) else { panic!("not given up") };
    assert!(why.len() < 700, "{} bytes", why.len());
}

#[test]
fn redirects_stay_home_and_keep_the_request() {
    // Home, and the same request: followed.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let (send, asked) = channel();
    std::thread::spawn(move || {
        for reply in [answer("307 Temporary Redirect", "Location: /there\r\n", ""), answer("200 OK", "", "")] {
            let (mut stream, _) = listener.accept().unwrap();
            send.send(read(&stream)).unwrap();
            stream.write_all(reply.as_bytes()).unwrap();
        }
    });
    assert_eq!(deliver(&format!("http://{addr}/here")), Delivery::Done);
    let (first, second) = (asked.recv().unwrap(), asked.recv().unwrap());
    assert_eq!(second.line, "POST /there HTTP/1.1");
    assert_eq!(first.body, second.body);

    // Elsewhere, or to a GET: not followed, and nobody else hears of it.
    let (elsewhere, heard) = server(vec![answer("200 OK", "", "")]);
    for status in ["307 Temporary Redirect", "301 Moved Permanently", "303 See Other"] {
        let (addr, _asked) = server(vec![answer(status, &format!("Location: http://{elsewhere}/steal\r\n"), "")]);
        let Delivery::GiveUp { why } = deliver(&format!("http://{addr}")) else { panic!("{status} was followed") };
        assert!(why.contains("127.0.0.1") && !why.contains("steal"), "{why}");
    }
    let (addr, _asked) = server(vec![answer("302 Found", "Location: /there\r\n", "")]);
    assert!(matches!(deliver(&format!("http://{addr}")), Delivery::GiveUp { .. }), "a POST must not become a GET");
    assert!(heard.try_recv().is_err());
}

#[test]
fn endless_redirects_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            read(&stream);
            stream.write_all(answer("308 Permanent Redirect", "Location: /again\r\n", "").as_bytes()).unwrap();
        }
    });
    assert!(matches!(deliver(&format!("http://{addr}")), Delivery::GiveUp { .. }));
}

#[test]
fn tls_that_cannot_be_trusted_is_retried_and_says_so() {
    let (addr, _asked) = server(vec![answer("200 OK", "", "")]);
    let outcome = sink(&format!("https://{addr}"), None, Duration::from_secs(2)).deliver(&alert(), None);
    assert!(matches!(outcome, Delivery::Retry { .. }), "{outcome:?}");
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let spec = |url: &str, secret: Option<&str>, timeout| SinkSpec::Webhook {
        url: Secret::new(url),
        secret: secret.map(Secret::new),
        timeout: Duration::from_secs(timeout),
    };
    let fault = |spec: &SinkSpec| alert_sink::build("w", spec).err().unwrap();
    assert!(matches!(fault(&spec("not a url", None, 1)), SinkError::Url(_)));
    assert_eq!(fault(&spec("ftp://host/x", None, 1)), SinkError::Scheme("ftp".to_owned()));
    assert_eq!(fault(&spec("http://host", Some(""), 1)), SinkError::EmptySecret);
    assert_eq!(fault(&spec("http://host", None, 0)), SinkError::NoTime);
    let bad = spec("http://user:hunter2@ho st/", Some("k"), 1);
    assert!(!format!("{bad:?} {} {:?}", fault(&bad), alert_sink::check(&bad)).contains("hunter2"));
    assert_eq!(alert_sink::check(&spec("https://host/x", Some("k"), 10)), Ok(()));
}
