//! The file source on real files: formats, bad lines, growth, rotation, truncation, restarts.
#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use common::{Got, file, jsonl, read_all, read_idle};
use hb_core::watch::sample::FaultCause;
use hb_sources::file::Follow;
use hb_sources::{Polled, SourceError};

fn append(path: &Path, text: &str) {
    OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

#[test]
fn the_first_event_is_an_event() {
    // Proven defect of the original: a first line with the words metric and value was taken as a header.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.jsonl");
    append(&path, &jsonl(0..3));
    let mut source = file(&path, Follow::Complete);
    let got = read_all(&mut *source);
    assert_eq!(got.values(), [0.0, 1.0, 2.0]);
    assert_eq!(got.faults, []);
}

#[test]
fn w4_every_bad_line_is_counted_with_its_cause_and_quoted_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.jsonl");
    let lines: &[(&[u8], Option<FaultCause>)] = &[
        (br#"{"ts":1,"metric":"a","value":1}"#, None),
        (b"garbage", Some(FaultCause::Malformed)),
        (br#"{"ts":1,"metric":"a","value":1"#, Some(FaultCause::Malformed)),
        (br#"{"ts":1,"metric":"a","value":1} x"#, Some(FaultCause::Malformed)),
        (br#"{"ts":1,"value":1}"#, Some(FaultCause::NoName)),
        (br#"{"ts":1,"metric":"","value":1}"#, Some(FaultCause::NoName)),
        (br#"{"ts":1,"metric":7,"value":1}"#, Some(FaultCause::NoName)),
        (br#"{"ts":1,"metric":"a"}"#, Some(FaultCause::NoValue)),
        (br#"{"ts":1,"metric":"a","value":null}"#, Some(FaultCause::NoValue)),
        (br#"{"ts":1,"metric":"a","value":"on"}"#, Some(FaultCause::NotANumber)),
        (br#"{"ts":1,"metric":"a","value":true}"#, Some(FaultCause::NotANumber)),
        (br#"{"metric":"a","value":1}"#, Some(FaultCause::NoTime)),
        (br#"{"ts":"yesterday","metric":"a","value":1}"#, Some(FaultCause::BadTime)),
        (br#"{"ts":1e300,"metric":"a","value":1}"#, Some(FaultCause::BadTime)),
        (b"{\"ts\":1,\"metric\":\"a\xff\",\"value\":1}", Some(FaultCause::NotUtf8)),
        (b"{\"ts\":1,\"metric\":\"a\0\",\"value\":1}", Some(FaultCause::NulByte)),
        (br#"{"ts":1,"metric":"a\u0000","value":1}"#, Some(FaultCause::NulByte)),
        (b"", None),
        (b"   \r", None),
        (br#"{"ts":1,"metric":"a","value":"2.5"}"#, None),
        (br#"{"ts":1,"metric":"a","value":NaN}"#, None),
        (br#"{"time":"1970-01-01T00:00:01Z","name":"a\u0062","value":-Infinity,"unit":null,"x":{"y":[1]}}"#, None),
    ];
    let text: Vec<u8> = lines.iter().flat_map(|(line, _)| [line, b"\n".as_slice()].concat()).collect();
    fs::write(&path, text).unwrap();
    let got = read_all(&mut *file(&path, Follow::Complete));
    let causes: Vec<_> = lines.iter().filter_map(|(_, cause)| *cause).collect();
    assert_eq!(got.faults.iter().map(|fault| fault.1).collect::<Vec<_>>(), causes);
    assert_eq!(got.samples.len(), 4);
    assert!(got.samples[2].3.is_nan() && got.samples[3].3 == f64::NEG_INFINITY);
    assert_eq!(got.samples[3].1, "ab");
    let quotes: Vec<_> = got.quotes.iter().map(|quote| quote.rsplit('/').next().unwrap().to_owned()).collect();
    assert_eq!(quotes[0], "m.jsonl:2: garbage");
    assert_eq!(quotes[1], "m.jsonl:5: {\"ts\":1,\"value\":1}");
    assert_eq!(quotes.len(), 8, "one of each cause: {quotes:?}");
}

#[test]
fn a_growing_file_waits_for_the_end_of_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.jsonl");
    let mut source = file(&path, Follow::Growing);
    let error = source.next(Duration::ZERO).unwrap_err();
    assert!(matches!(&error, SourceError::Retry(text) if text.contains("m.jsonl")), "{error}");
    append(&path, r#"{"ts":1,"metric":"a","#);
    let mut got = Got::default();
    read_idle(&mut *source, &mut got);
    assert_eq!(got.samples.len() + got.faults.len(), 0);
    append(&path, "\"value\":5}\n");
    read_idle(&mut *source, &mut got);
    assert_eq!(got.values(), [5.0]);
    assert!(matches!(source.next(Duration::from_millis(30)), Ok(Polled::Idle { mark, .. }) if mark.position == 32));
}

#[test]
fn a_complete_file_without_a_last_line_end_is_read_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.jsonl");
    fs::write(&path, jsonl(0..2).trim_end()).unwrap();
    assert_eq!(read_all(&mut *file(&path, Follow::Complete)).values(), [0.0, 1.0]);
    fs::write(&path, format!("{}{{\"ts\":1,\"met", jsonl(0..2))).unwrap();
    let got = read_all(&mut *file(&path, Follow::Complete));
    assert_eq!(got.values(), [0.0, 1.0]);
    assert_eq!(got.faults.iter().map(|fault| fault.1).collect::<Vec<_>>(), [FaultCause::CutShort]);
}

#[test]
fn b1_a_huge_line_is_skipped_counted_once_and_the_next_one_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.jsonl");
    let huge = format!("{}{}\n{}", jsonl(0..1), "x".repeat(40 << 20), jsonl(1..2));
    fs::write(&path, huge).unwrap();
    let got = read_all(&mut *file(&path, Follow::Complete));
    assert_eq!(got.values(), [0.0, 1.0]);
    assert_eq!(got.faults.iter().map(|fault| fault.1).collect::<Vec<_>>(), [FaultCause::LineTooLong]);
}
