//! The Kafka source against a stand-in for a broker.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on says so by panicking")]

#[path = "support/kafka.rs"]
mod kafka;

use std::time::{Duration, Instant};

use hb_core::mark::Mark;
use hb_core::watch::sample::FaultCause;
use hb_sources::conformance::{Delivered, What, read_on};
use hb_sources::file::Begin;
use hb_sources::format::Format;
use hb_sources::kafka::{KafkaSource, KafkaSpec};
use hb_sources::{Limits, Polled, Source as _, SourceError};
use kafka::Kafka;

const PATIENCE: Duration = Duration::from_millis(500);

fn spec(broker: &Kafka) -> KafkaSpec {
    KafkaSpec {
        brokers: vec![format!("127.0.0.1:{}", broker.port)],
        topic: "metrics".to_owned(),
        begin: Begin::Start,
        format: Format::default(),
    }
}

fn source(broker: &Kafka) -> KafkaSource {
    KafkaSource::new(spec(broker), Limits::default())
}

/// Reads until the source says that there is nothing more.
fn read(source: &mut KafkaSource, delivered: &mut Delivered, limits: Limits) {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        assert!(Instant::now() < until, "{} samples", delivered.samples.len());
        match read_on(delivered, source, (limits, PATIENCE), |_| false) {
            Ok(()) => return,
            Err(why) => assert!(!why.contains("law"), "{why}"),
        }
    }
}

fn numbered(range: std::ops::Range<i64>) -> impl Iterator<Item = (i64, Option<Vec<u8>>)> {
    range.map(|n| (1_700_000_000_000 + n, Some(format!("{{\"metric\":\"n\",\"value\":{n}}}").into_bytes())))
}

#[test]
fn one_partition_obeys_the_laws_of_a_file() {
    let broker = Kafka::start(1);
    broker.append(0, numbered(0..1_234));
    broker.append(0, [(1, None), (1_700_000_000_000, Some(b"7".to_vec()))]);
    broker.append(0, [(5, Some(b"{\"name\":\"m\",\"value\":1,\"ts\":9,\"unit\":\"s\"}".to_vec()))]);
    let limits = Limits { batch_samples_max: 100, ..Limits::default() };
    let mut all = Delivered::default();
    read(&mut KafkaSource::new(spec(&broker), limits), &mut all, limits);
    assert_eq!((all.samples.len(), all.causes()), (1_235, vec![FaultCause::NoValue, FaultCause::Malformed]));
    let What::Sample(_, _, at, _) = all.samples[7].what else { panic!("a sample") };
    assert_eq!(at, 1_700_000_000_007_000_000, "the broker's time where the record says none");
    let What::Sample(_, _, at, _) = all.samples[1_234].what else { panic!("a sample") };
    assert_eq!(at, 9_000_000_000);
    assert!(all.quotes[1].starts_with("kafka metrics@1235: 7"), "{:?}", all.quotes);
    // From any mark it comes again as it came.
    for mark in all.marks.iter().step_by(97) {
        let mut source = KafkaSource::new(spec(&broker), limits);
        source.seek(Some(mark)).unwrap();
        let mut again = Delivered::default();
        read(&mut source, &mut again, limits);
        let from = |items: &[hb_sources::conformance::Item]| {
            items.iter().filter(|item| item.position >= mark.position).cloned().collect::<Vec<_>>()
        };
        assert_eq!(from(&all.samples), again.samples, "from {mark:?}");
        assert_eq!(from(&all.faults), again.faults, "from {mark:?}");
        assert_eq!(all.end.as_ref().unwrap(), again.end.as_ref().unwrap());
    }
}

#[test]
fn every_record_of_every_partition_comes_once_from_any_mark() {
    let broker = Kafka::start(3);
    for partition in 0..3 {
        let from = i64::try_from(partition).unwrap() * 10_000;
        broker.append(partition, numbered(from..from + 700));
    }
    let mut all = Delivered::default();
    read(&mut source(&broker), &mut all, Limits::default());
    let sorted = |delivered: &Delivered| {
        let mut values = delivered.values();
        values.sort_by(f64::total_cmp);
        values
    };
    let mut expected: Vec<f64> = Vec::new();
    for from in [0_u32, 10_000, 20_000] {
        expected.extend((from..from + 700).map(f64::from));
    }
    assert_eq!(sorted(&all), expected);
    for mark in all.marks.iter().step_by(151) {
        let mut source = source(&broker);
        source.seek(Some(mark)).unwrap();
        let mut again = Delivered::default();
        read(&mut source, &mut again, Limits::default());
        let before = all.samples.iter().filter(|item| item.position < mark.position).count();
        assert_eq!(again.samples.len(), all.samples.len() - before, "from {mark:?}");
        let mut both = sorted(&again);
        both.extend(
            all.values().into_iter().zip(&all.samples).filter(|(_, i)| i.position < mark.position).map(|(v, _)| v),
        );
        both.sort_by(f64::total_cmp);
        assert_eq!(both, expected, "from {mark:?}");
    }
}

#[test]
fn a_connection_that_breaks_loses_and_doubles_nothing() {
    let broker = Kafka::start(2);
    broker.append(0, numbered(0..600));
    let mut source = source(&broker);
    let mut delivered = Delivered::default();
    read(&mut source, &mut delivered, Limits::default());
    broker.hang_up();
    broker.append(0, numbered(600..900));
    broker.append(1, numbered(900..1_000));
    let until = Instant::now() + Duration::from_secs(60);
    while delivered.samples.len() < 1_000 {
        assert!(Instant::now() < until, "{} samples", delivered.samples.len());
        read(&mut source, &mut delivered, Limits::default());
    }
    let mut values = delivered.values();
    values.sort_by(f64::total_cmp);
    assert_eq!(values, (0..1_000_u32).map(f64::from).collect::<Vec<_>>());
}

#[test]
fn records_that_are_not_kept_any_more_are_a_gap() {
    let broker = Kafka::start(1);
    broker.append(0, numbered(0..100));
    let mut delivered = Delivered::default();
    read(&mut source(&broker), &mut delivered, Limits::default());
    broker.trim(0, 60);
    let mut source = source(&broker);
    source.seek(Some(&Mark { position: 10, ..delivered.end.unwrap() })).unwrap();
    let mut again = Delivered::default();
    read(&mut source, &mut again, Limits::default());
    assert_eq!((again.causes(), again.values().len()), (vec![FaultCause::Gap], 40));
    assert!(again.quotes[0].contains("50 records are not kept any more"), "{:?}", again.quotes);
    assert_eq!(again.samples[0].position, 60);
}

#[test]
fn a_watch_can_begin_at_the_end_and_a_topic_that_is_not_there_is_told() {
    let broker = Kafka::start(1);
    broker.append(0, numbered(0..50));
    let mut late = KafkaSource::new(KafkaSpec { begin: Begin::End, ..spec(&broker) }, Limits::default());
    let mut delivered = Delivered::default();
    read(&mut late, &mut delivered, Limits::default());
    assert!(delivered.samples.is_empty());
    broker.append(0, numbered(50..60));
    while delivered.samples.len() < 10 {
        read(&mut late, &mut delivered, Limits::default());
    }
    assert_eq!(delivered.samples[0].position, 50);
    let mut absent = KafkaSource::new(KafkaSpec { topic: "other".into(), ..spec(&broker) }, Limits::default());
    let until = Instant::now() + Duration::from_secs(60);
    let why = loop {
        assert!(Instant::now() < until, "nobody says that there is no topic");
        match absent.next(PATIENCE) {
            Err(SourceError::Retry(why)) if why.contains("topic other") => break why,
            Ok(Polled::Idle { .. }) => panic!("idle on a topic that is not there"),
            _ => {}
        }
    };
    assert!(why.contains("no such topic"), "{why}");
}
