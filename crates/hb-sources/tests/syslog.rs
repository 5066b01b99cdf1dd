//! The syslog source: sockets that receive, places that are taken, files that are followed.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant};

use hb_core::mark::Mark;
use hb_core::watch::sample::FaultCause;
use hb_sources::conformance::{Delivered, What, check, read_on};
use hb_sources::file::{Begin, FileSpec, Follow};
use hb_sources::format::{Format, FormatChoice};
use hb_sources::spec::{SourceSpec, open};
use hb_sources::syslog::{Listen, SyslogSource, SyslogSpec};
use hb_sources::{Limits, Polled, Source as _};

const PATIENCE: Duration = Duration::from_millis(20);
const LINE: &str = "<34>Feb 28 22:14:15 host su[230]: 'su root' failed";

fn source(listen: Listen) -> SyslogSource {
    SyslogSource::new(SyslogSpec { listen, format: Format::default() }, Limits::default())
}

fn any_port() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// Listens and says where.
fn listening(source: &mut SyslogSource) -> SocketAddr {
    assert!(matches!(source.next(Duration::ZERO), Ok(Polled::Idle { .. })));
    source.address().unwrap()
}

fn read(source: &mut SyslogSource, count: usize) -> Delivered {
    let mut delivered = Delivered::default();
    read_more(source, &mut delivered, count);
    delivered
}

/// Reads until there are so many in all.
fn read_more(source: &mut SyslogSource, delivered: &mut Delivered, count: usize) {
    let until = Instant::now() + Duration::from_secs(60);
    while delivered.samples.len() + delivered.faults.len() < count {
        assert!(Instant::now() < until, "{delivered:?}");
        read_on(delivered, source, (Limits::default(), PATIENCE), |_| true).unwrap();
    }
}

fn names(delivered: &Delivered) -> Vec<&str> {
    let mut names = Vec::new();
    for item in &delivered.samples {
        if let What::Sample(name, ..) = &item.what {
            names.push(name.as_str());
        }
    }
    names
}

#[test]
fn datagrams_are_received_and_what_is_none_is_a_fault() {
    let mut source = source(Listen::Udp(any_port()));
    let to = listening(&mut source);
    let from = UdpSocket::bind(any_port()).unwrap();
    for line in [LINE, "<34>1 2026-02-28T22:14:15Z host app 7 ID47 - text", "no syslog", &"x".repeat(65_000)] {
        from.send_to(line.as_bytes(), to).unwrap();
    }
    let delivered = read(&mut source, 4);
    assert_eq!(names(&delivered), ["syslog_su", "syslog_app"]);
    assert_eq!(delivered.values(), [1.0, 1.0]);
    assert_eq!(delivered.causes(), [FaultCause::Malformed, FaultCause::Malformed]);
    assert!(delivered.quotes.first().is_some_and(|quote| quote.starts_with("udp://127.0.0.1:0: no syslog")));
}

#[test]
fn connections_are_received_line_by_line_or_by_length_and_bounded() {
    let mut source = source(Listen::Tcp(any_port()));
    let to = listening(&mut source);
    let mut one = TcpStream::connect(to).unwrap();
    let mut other = TcpStream::connect(to).unwrap();
    one.write_all(format!("{LINE}\n{LINE}\n").as_bytes()).unwrap();
    other.write_all(format!("{} {LINE}", LINE.len()).as_bytes()).unwrap();
    other.write_all(b"<13>last: without an end").unwrap();
    drop(other);
    let mut delivered = read(&mut source, 4);
    let mut got = names(&delivered);
    got.sort_unstable();
    assert_eq!(got, ["syslog_last", "syslog_su", "syslog_su", "syslog_su"]);
    // Far more peers than are taken: those that are stay.
    let more: Vec<_> = (0..100).map_while(|_| TcpStream::connect(to).ok()).collect();
    one.write_all(format!("{LINE}\n").as_bytes()).unwrap();
    read_more(&mut source, &mut delivered, 5);
    drop(more);
}

#[test]
fn a_socket_of_the_machine_is_taken_only_when_it_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let unix = || source(Listen::Unix(path.clone()));
    // One that nobody listens at any more, as after a kill.
    drop(UnixDatagram::bind(&path).unwrap());
    let mut first = unix();
    assert!(matches!(first.next(Duration::ZERO), Ok(Polled::Idle { .. })));
    let why = unix().next(Duration::ZERO).unwrap_err().to_string();
    assert!(why.contains("another program listens there"), "{why}");
    let from = UnixDatagram::unbound().unwrap();
    from.send_to(LINE.as_bytes(), &path).unwrap();
    assert_eq!(names(&read(&mut first, 1)), ["syslog_su"]);
    drop(first);
    assert!(!path.try_exists().unwrap(), "its own socket is removed");
    std::fs::write(&path, "").unwrap();
    let why = unix().next(Duration::ZERO).unwrap_err().to_string();
    assert!(why.contains("something else than a socket"), "{why}");
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/run/elsewhere", &path).unwrap();
    let why = unix().next(Duration::ZERO).unwrap_err().to_string();
    assert!(why.contains("another program listens there"), "{why}");
}

#[test]
fn what_was_received_before_a_mark_of_this_run_is_a_gap() {
    let mut source = source(Listen::Udp(any_port()));
    let to = listening(&mut source);
    let from = UdpSocket::bind(any_port()).unwrap();
    (0..5).for_each(|_| assert!(from.send_to(LINE.as_bytes(), to).is_ok()));
    let delivered = read(&mut source, 5);
    source.seek(Some(&Mark { position: 2, ..delivered.end.unwrap() })).unwrap();
    let again = read(&mut source, 1);
    assert_eq!(again.causes(), [FaultCause::Gap]);
    assert!(again.quotes.first().is_some_and(|quote| quote.contains("3 messages were read before")));
}

#[test]
fn a_file_of_syslog_obeys_the_laws() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("syslog");
    let lines = ["Feb 28 22:14:15 host su[1]: a", "2026-02-28T22:14:16+00:00 host cron[2]: b", "", "broken", LINE];
    std::fs::write(&path, lines.map(|line| format!("{line}\n")).concat()).unwrap();
    let format = Format { choice: FormatChoice::Syslog, ..Format::default() };
    let spec = |path: &Path| {
        SourceSpec::File(FileSpec { path: path.to_owned(), format, follow: Follow::Complete, begin: Begin::Start })
    };
    let delivered = check(&mut || open(&spec(&path), Limits::default()).unwrap(), Limits::default(), 50).unwrap();
    assert_eq!(names(&delivered), ["syslog_su", "syslog_cron", "syslog_su"]);
    assert_eq!(delivered.causes(), [FaultCause::Malformed]);
}
