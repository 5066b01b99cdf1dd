//! The server as its clients meet it: over real sockets on loopback.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hb_api::{Check, CycleLine, Liveness, Metrics, Onlooker, ServerHandle, ServerLimits, WatchMetrics, spawn};
use hb_core::ids::{CycleNo, Epoch, Seq, WatchName};
use hb_core::journal::Hash;
use hb_core::node::view::{Role, SourceView, Totals, View, WatchView};
use hb_core::time::Stamp;
use hb_core::watch::decision::Status;

const EVIL: &str = "a\"b\\c\nd<script>";

struct Fake(Mutex<State>);

#[derive(Clone)]
struct State {
    role: Role,
    alive: bool,
    checks: Vec<Check>,
}

impl Onlooker for Fake {
    fn view(&self) -> Arc<View> {
        let watch = WatchView {
            name: EVIL.into(),
            cycle: Some(CycleNo(4)),
            status: Some(Status::Fail),
            last: None,
            seq: Some(Seq(5)),
            epoch: Epoch(2),
            lag_seconds: 1.5,
            source: SourceView::Failed { reason: EVIL.to_owned() },
            baseline: None,
            undelivered: 3,
            totals: Totals::default(),
        };
        let role = self.0.lock().unwrap().role;
        Arc::new(View { node: Some("a".into()), role, epoch: Epoch(2), watches: vec![watch], ..View::default() })
    }

    fn checks(&self) -> Vec<Check> {
        self.0.lock().unwrap().checks.clone()
    }

    fn liveness(&self) -> Liveness {
        let alive = self.0.lock().unwrap().alive;
        let reason = (!alive).then(|| "the journal's disk does not answer".to_owned());
        Liveness { alive, reason, since_progress_ms: 7, bound_ms: 1_000 }
    }

    fn metrics(&self) -> Metrics {
        let mut watch = WatchMetrics::new(EVIL.into());
        watch.count(Status::Fail);
        watch.dropped.insert("not_finite", 9);
        Metrics { watches: vec![watch], takeovers: 1, ..Metrics::default() }
    }

    fn recent(&self, watch: &WatchName, newest: usize) -> Vec<CycleLine> {
        let line = |cycle: u64| CycleLine {
            watch: watch.clone(),
            cycle: CycleNo(cycle),
            seq: Seq(cycle + 1),
            epoch: Epoch(2),
            node: "a".into(),
            status: Status::Fail,
            start_utc: Stamp(0),
            end_utc: Stamp(1),
            samples: 1,
            late: 0,
            dropped: 0,
            hash: Hash::ZERO,
            headline: EVIL.to_owned(),
        };
        (5 - u64::try_from(newest).unwrap().min(5)..5).map(line).collect()
    }
}

fn start(limits: ServerLimits) -> (ServerHandle, Arc<Fake>) {
    let checks = vec![Check::passed("config"), Check::passed("db")];
    let fake = Arc::new(Fake(Mutex::new(State { role: Role::Active, alive: true, checks })));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let onlooker: Arc<dyn Onlooker> = Arc::clone(&fake) as Arc<dyn Onlooker>;
    (spawn(listener, onlooker, limits).unwrap(), fake)
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// Status line with headers, and body.
fn ask(addr: SocketAddr, request: &str) -> (String, String) {
    let mut stream = connect(addr);
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    (head.to_owned(), body.to_owned())
}

fn get(addr: SocketAddr, path: &str) -> (String, String) {
    ask(addr, &format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n"))
}

fn code(head: &str) -> u16 {
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

fn json(body: &str) -> serde_json::Value {
    serde_json::from_str(body).unwrap()
}

/// Waits for what must come soon.
fn until(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what} has not come");
        std::thread::yield_now();
    }
}

#[test]
fn probes_tell_what_holds() {
    let (server, fake) = start(ServerLimits::default());
    let addr = server.addr();
    let (head, body) = get(addr, "/live");
    assert_eq!((code(&head), &json(&body)["status"]), (200, &"up".into()));
    let (head, body) = get(addr, "/ready?verbose=1");
    assert_eq!(
        (code(&head), json(&body)),
        (200, serde_json::json!({"ready": true, "checks": {"config": "ok", "db": "ok"}}))
    );
    assert_eq!(code(&get(addr, "/active").0), 200);
    let (head, body) = get(addr, "/standby");
    assert_eq!((code(&head), &json(&body)["role"]), (503, &"active".into()));

    *fake.0.lock().unwrap() = State {
        role: Role::Standby,
        alive: true,
        checks: vec![Check::passed("config"), Check::failed("db", "runs.db is not a database: move it away")],
    };
    let (head, body) = get(addr, "/ready");
    assert_eq!(code(&head), 503);
    assert_eq!(
        json(&body)["checks"],
        serde_json::json!({"config": "ok", "db": "runs.db is not a database: move it away"})
    );
    assert_eq!((code(&get(addr, "/active").0), code(&get(addr, "/standby").0)), (503, 200));

    *fake.0.lock().unwrap() = State { role: Role::Active, alive: false, checks: Vec::new() };
    let (head, body) = get(addr, "/live");
    assert_eq!((code(&head), &json(&body)["reason"]), (503, &"the journal's disk does not answer".into()));
    assert_eq!(code(&get(addr, "/active").0), 503, "a hung node is not the one to ask");
    assert_eq!(code(&get(addr, "/ready").0), 503, "w5: no check made is not ready");
}

#[test]
fn answers_have_a_fixed_form() {
    let (server, _) = start(ServerLimits::default());
    let addr = server.addr();
    let (head, body) = get(addr, "/v1/status");
    let status = json(&body);
    assert!(head.contains("content-type: application/json"), "{head}");
    assert_eq!((&status["node"], &status["role"], &status["epoch"]), (&"a".into(), &"active".into(), &2.into()));
    let watch = &status["watches"][0];
    assert_eq!((&watch["name"], &watch["cycle"], &watch["status"]), (&EVIL.into(), &4.into(), &"FAIL".into()));
    assert_eq!(watch["lag_seconds"], 1.5);

    let path = "/v1/watches/a%22b%5Cc%0Ad%3Cscript%3E/cycles";
    let cycles = json(&get(addr, &format!("{path}?limit=2")).1);
    assert_eq!(
        cycles["cycles"].as_array().unwrap().iter().map(|line| line["cycle"].as_u64().unwrap()).collect::<Vec<_>>(),
        [3, 4]
    );
    for bad in ["limit=0", "limit=-1", "limit=1001", "limit=many", "limit="] {
        assert_eq!(code(&get(addr, &format!("{path}?{bad}")).0), 400, "{bad}");
    }
    assert_eq!(code(&get(addr, "/v1/watches/other/cycles").0), 404);
    let (head, body) = get(addr, "/nowhere%3Cscript%3E");
    assert_eq!(code(&head), 404);
    assert!(json(&body)["error"].as_str().unwrap().contains("/v1/status"));
    let (head, _) =
        ask(addr, &format!("POST /live HTTP/1.1\r\nHost: {addr}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"));
    assert!(code(&head) == 405 && head.to_ascii_lowercase().contains("allow: get"), "{head}");
    let (head, body) = ask(addr, &format!("HEAD /live HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n"));
    assert!(code(&head) == 200 && body.is_empty());
}

#[test]
fn metrics_are_well_formed_and_escaped() {
    let (server, _) = start(ServerLimits::default());
    let (head, text) = get(server.addr(), "/metrics");
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    let watch = "a\\\"b\\\\c\\nd<script>";
    for line in [
        format!("hb_cycles_total{{watch=\"{watch}\",status=\"FAIL\"}} 1"),
        format!("hb_cycle{{watch=\"{watch}\"}} 4"),
        format!("hb_last_status{{watch=\"{watch}\",status=\"FAIL\"}} 1"),
        format!("hb_dropped_total{{watch=\"{watch}\",reason=\"not_finite\"}} 9"),
        format!("hb_ingest_lag_seconds{{watch=\"{watch}\"}} 1.5"),
        "hb_role{role=\"active\"} 1".to_owned(),
        "hb_takeovers_total 1".to_owned(),
        "hb_alerts_pending 3".to_owned(),
        "hb_commit_latency_seconds_count 0".to_owned(),
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    let mut families = std::collections::BTreeSet::new();
    for line in text.lines() {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            assert!(families.insert(family.split(' ').next().unwrap().to_owned()), "twice: {line}");
        } else if !line.starts_with('#') {
            let name: String = line.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
            assert!(families.contains(base) || families.contains(&name), "no family for {line}");
            assert!(line.rsplit(' ').next().unwrap().parse::<f64>().is_ok(), "{line}");
        }
    }
    assert!(families.contains("process_resident_memory_bytes") && families.contains("hb_http_refused_total"));
}

#[test]
fn the_page_is_escaped_and_locked_down() {
    let (server, _) = start(ServerLimits::default());
    let (head, body) = get(server.addr(), "/plain");
    assert!(head.contains("content-security-policy: default-src 'none'") && head.contains("nosniff"), "{head}");
    assert!(body.contains("d&lt;script&gt;") && !body.contains("<script>"), "{body}");
    for inline in ["style=\"", "onclick", "javascript:"] {
        assert!(!body.contains(inline), "{inline} would be refused by the policy");
    }
    let (head, shell) = get(server.addr(), "/");
    assert!(head.contains("script-src 'self'; connect-src 'self';") && !shell.contains("style=\""), "{head}");
    for (path, kind) in [
        ("/style.css", "text/css"),
        ("/page/theme.css", "text/css"),
        ("/page/js/main.js", "text/javascript"),
        ("/favicon.svg", "image/svg+xml"),
    ] {
        let (head, body) = get(server.addr(), path);
        assert!(code(&head) == 200 && head.contains(kind) && !body.is_empty(), "{path}: {head}");
    }
}

/// Reads a stream of events until what has come holds.
fn follow(addr: SocketAddr, headers: &str, holds: impl Fn(&str) -> bool) -> String {
    let mut stream = connect(addr);
    write!(stream, "GET /v1/stream HTTP/1.1\r\nHost: {addr}\r\n{headers}\r\n").unwrap();
    let (mut told, mut piece) = (String::new(), [0; 4096]);
    while !holds(&told) {
        let count = stream.read(&mut piece).unwrap();
        assert!(count > 0, "the stream ended: {told}");
        told.push_str(&String::from_utf8_lossy(piece.get(..count).unwrap()));
    }
    told
}

#[test]
fn the_stream_tells_the_picture_then_what_changes_and_goes_on_where_it_was_left() {
    let (server, fake) = start(ServerLimits::default());
    let addr = server.addr();
    let first = follow(addr, "", |told| told.contains("event: picture"));
    assert!(first.contains("event: hello") && first.contains("\"resumed\":false"), "{first}");
    assert!(first.contains("\"role\":\"active\"") && first.contains("d<script>"), "JSON is no markup: {first}");
    let id = first.lines().rev().find_map(|line| line.strip_prefix("id: ")).unwrap().trim().to_owned();
    fake.0.lock().unwrap().role = Role::Standby;
    let second = follow(addr, &format!("Last-Event-ID: {id}\r\n"), |told| told.contains("\"role\":\"standby\""));
    assert!(second.contains("\"resumed\":true") && !second.contains("event: picture"), "{second}");
    let third = follow(addr, "Last-Event-ID: 1-1\r\n", |told| told.contains("event: picture"));
    assert!(third.contains("\"resumed\":false") && third.contains("\"role\":\"standby\""), "{third}");
    let metrics = get(addr, "/metrics").1;
    assert!(metrics.contains("\nhb_pages "), "{metrics}");
}

#[test]
fn pages_of_other_origins_are_refused() {
    let (server, _) = start(ServerLimits::default());
    let addr = server.addr();
    let with =
        |headers: &str| code(&ask(addr, &format!("GET /v1/status HTTP/1.1\r\n{headers}Connection: close\r\n\r\n")).0);
    assert_eq!(with("Host: evil.example\r\n"), 421);
    assert_eq!(with(&format!("Host: {addr}\r\nOrigin: http://evil.example\r\n")), 403);
    assert_eq!(with(&format!("Host: {addr}\r\nOrigin: http://{addr}\r\n")), 200);
    assert_eq!(with("Host: localhost\r\n"), 200);
    assert_eq!(code(&ask(addr, "GET /live HTTP/1.0\r\n\r\n").0), 200, "plain old probes name no host");
}

#[test]
fn one_slow_client_blocks_nobody() {
    let (server, _) = start(ServerLimits::default());
    let addr = server.addr();
    let halves: Vec<TcpStream> = (0..100)
        .map(|_| {
            let mut stream = connect(addr);
            stream.write_all(b"GET /live HT").unwrap();
            stream
        })
        .collect();
    until("the slow ones", || server.counters().open() >= 100);
    assert_eq!(code(&get(addr, "/live").0), 200);
    assert!(server.counters().open() >= 100, "the slow ones still wait");
    drop(halves);
}

#[test]
fn b1_connections_beyond_the_bound_are_told_and_counted_and_places_come_back() {
    let limits = ServerLimits { connections: 4, header: Duration::from_millis(300), ..ServerLimits::default() };
    let (server, _) = start(limits);
    let addr = server.addr();
    let held: Vec<TcpStream> = (0..4).map(|_| connect(addr)).collect();
    until("the fourth connection", || server.counters().open() == 4);
    let (head, body) = get(addr, "/live");
    assert_eq!(code(&head), 503);
    assert!(json(&body)["error"].as_str().unwrap().contains("too many"));
    assert_eq!(server.counters().refused(), 1);
    // Those who say nothing lose their places, and are counted.
    for mut stream in held {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
    }
    until("the end of all connections", || server.counters().open() == 0);
    assert_eq!(code(&get(addr, "/live").0), 200);
    assert_eq!(server.counters().broken(), 4);
}

#[test]
fn a_client_that_takes_nothing_is_cut_off() {
    let limits = ServerLimits { stall: Duration::from_millis(300), ..ServerLimits::default() };
    let (server, _) = start(limits);
    let mut stream = connect(server.addr());
    stream.set_write_timeout(Some(Duration::from_secs(10))).unwrap();
    // Asks and asks, and never reads: answers fill both buffers until the server's writes stall.
    let request = format!("GET /style.css HTTP/1.1\r\nHost: {}\r\n\r\n", server.addr());
    let sent = (0..100_000).try_for_each(|_| stream.write_all(request.as_bytes()));
    assert!(sent.is_err(), "the server went on for ever");
    until("the end of all connections", || server.counters().open() == 0);
    assert_eq!(server.counters().broken(), 1);
}

#[test]
fn heads_that_are_too_long_or_garbage_are_refused() {
    let (server, _) = start(ServerLimits::default());
    let addr = server.addr();
    let long = format!("GET /live HTTP/1.1\r\nHost: {addr}\r\nX: {}\r\n\r\n", "a".repeat(100_000));
    let mut stream = connect(addr);
    // The server may close before all of it is written.
    let _sent = stream.write_all(long.as_bytes());
    let mut answer = Vec::new();
    let _read = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    assert_eq!(code(&ask(addr, "\0\u{1}nonsense\r\n\r\n").0), 400);
    assert_eq!(code(&get(addr, "/live").0), 200);
}

#[test]
fn stops_at_once_when_idle_and_within_its_bound_when_not() {
    let (server, _) = start(ServerLimits { drain: Duration::from_millis(400), ..ServerLimits::default() });
    let addr = server.addr();
    let mut half = connect(addr);
    half.write_all(b"GET /live HTTP/1.1\r\n").unwrap();
    until("the connection", || server.counters().open() == 1);
    // It comes back although that connection is never done.
    server.stop();
    drop(half);
    assert!(TcpStream::connect(addr).is_err(), "nobody listens any more");
}

/// Reads one answer of a connection that stays open.
fn answer(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut byte = [0u8; 1];
    while !text.ends_with("}\n") {
        stream.read_exact(&mut byte).unwrap();
        text.push(char::from(byte[0]));
    }
    text
}

#[test]
fn b1_idle_and_old_connections_end() {
    let idle = ServerLimits { header: Duration::from_millis(300), ..ServerLimits::default() };
    let old = ServerLimits { age: Duration::from_millis(300), ..ServerLimits::default() };
    for limits in [idle, old] {
        let (server, _) = start(limits);
        let mut stream = connect(server.addr());
        let request = format!("GET /live HTTP/1.1\r\nHost: {}\r\n\r\n", server.addr());
        for _ in 0..2 {
            stream.write_all(request.as_bytes()).unwrap();
            assert!(answer(&mut stream).starts_with("HTTP/1.1 200"));
        }
        assert_eq!(stream.read(&mut [0u8; 1]).unwrap(), 0, "the server ends it");
        until("the end of the connection", || server.counters().open() == 0);
    }
}

#[test]
fn bodies_are_not_taken() {
    let (server, _) = start(ServerLimits::default());
    let mut stream = connect(server.addr());
    let head = format!("GET /live HTTP/1.1\r\nHost: {}\r\nContent-Length: 1000000000\r\n\r\n", server.addr());
    stream.write_all(head.as_bytes()).unwrap();
    assert!(answer(&mut stream).starts_with("HTTP/1.1 200"));
    let sent = (0..10_000).try_for_each(|_| stream.write_all(&[b'x'; 100_000]));
    assert!(sent.is_err(), "a gigabyte was taken");
    until("the end of the connection", || server.counters().open() == 0);
}

#[test]
fn many_pages_at_once_are_all_served() {
    let (server, _) = start(ServerLimits::default());
    let addr = server.addr();
    let clients: Vec<_> = (0..50).map(|_| std::thread::spawn(move || code(&get(addr, "/").0))).collect();
    assert!(clients.into_iter().all(|client| client.join().unwrap() == 200));
    assert_eq!(server.counters().accepted(), 50);
}
