//! A real S3-compatible server: moto, from Python's packages. `cargo xtask test` puts it below the build folder.
//!
//! It is served by one thread, one request after the other: with several it checks first and acts later.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use hb_core::journal::Hash;
use hb_engines::object::ObjectBlobs;
use hb_engines::object::probe::{Depth, Verdict, probe};
use hb_store::port::Blobs as _;

use super::{bucket, journal, register};

/// Ends with the pipe that it reads, so that it never outlives the test.
const SERVE: &str = "
import os, sys, threading
from werkzeug.serving import make_server
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
app = DomainDispatcherApplication(create_backend_app)
server = make_server('127.0.0.1', 0, app, threaded=sys.argv[1] == 'many', request_handler=MotoRequestHandler)
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
print(server.port, flush=True)
server.serve_forever()
";

struct Moto {
    child: Child,
    port: u16,
}

impl Drop for Moto {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Moto {
    /// Starts it with a bucket in it; nothing where it is not installed.
    #[expect(clippy::print_stderr, reason = "a test that could not be run has to say so")]
    fn start(threads: &str) -> Option<Self> {
        let build = std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target"), PathBuf::from);
        let python = build.join("moto/bin/python3");
        if !python.is_file() {
            assert!(std::env::var_os("CI").is_none(), "moto is not installed: run `cargo xtask test`");
            eprintln!("NOT RUN: {} is missing; `cargo xtask test` installs it", python.display());
            return None;
        }
        let mut child = Command::new(python)
            .args(["-c", SERVE, threads])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let moto = Self { port: line.trim().parse().unwrap(), child };
        let mut stream = TcpStream::connect(("127.0.0.1", moto.port)).unwrap();
        write!(stream, "PUT /bucket HTTP/1.0\r\nHost: s3.amazonaws.com\r\nContent-Length: 0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains(" 200 "), "{answer}");
        Some(moto)
    }

    fn target(&self, prefix: &str) -> String {
        format!("s3://bucket/{prefix}?endpoint=http://127.0.0.1:{}&region=us-east-1", self.port)
    }
}

#[test]
fn a_real_server_obeys_every_law_of_journals() {
    let Some(moto) = Moto::start("one") else { return };
    journal::every_law(|place| moto.target(&format!("laws/{place}")));
}

#[test]
fn a_real_server_obeys_every_law_of_registers() {
    let Some(moto) = Moto::start("one") else { return };
    register::every_law(|place| moto.target(&format!("cells/{place}")));
}

#[test]
fn a_real_server_is_found_sound_and_keeps_documents() {
    let Some(moto) = Moto::start("one") else { return };
    let bucket = bucket(&moto.target("p"));
    let report = probe(&bucket, Depth::Full);
    assert_eq!(report.verdict(), Verdict::Sound, "{report:#?}");
    let mut blobs = ObjectBlobs::new(bucket);
    let document = vec![b'x'; 3 << 20];
    let hash = Hash::of(&document);
    assert_eq!(blobs.get(hash), Ok(None));
    assert_eq!(blobs.put(hash, &document), Ok(()));
    assert_eq!(blobs.put(hash, &document), Ok(()));
    assert_eq!(blobs.get(hash), Ok(Some(document)));
}

/// With many threads it may check first and act later: which of the two is found, never that nothing can be told.
#[test]
fn a_real_server_with_many_threads_is_judged() {
    let Some(moto) = Moto::start("many") else { return };
    let report = probe(&bucket(&moto.target("p")), Depth::Full);
    let unclear: Vec<_> = report.checks.iter().filter(|check| check.verdict == Verdict::NotKnown).collect();
    assert!(unclear.is_empty(), "{unclear:#?}");
    println!("moto with many threads: {:?}, {:?}", report.verdict(), report.requests);
}

#[test]
fn a_missing_bucket_is_told_and_not_taken_for_an_empty_one() {
    let Some(moto) = Moto::start("one") else { return };
    let target = moto.target("p").replace("//bucket/", "//nobody-has-this/");
    let error = journal(&target).head(&"watch/a".into()).unwrap_err().to_string();
    assert!(error.contains("make the bucket"), "{error}");
}
