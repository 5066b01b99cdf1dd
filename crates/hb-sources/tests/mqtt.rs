//! The MQTT source against a real broker.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that cannot go on says so by panicking, and says when it was not run"
)]

#[path = "support/mosquitto.rs"]
mod mosquitto;

use std::time::{Duration, Instant};

use hb_core::mark::Mark;
use hb_core::watch::sample::FaultCause;
use hb_sources::conformance::{Delivered, What, read_on};
use hb_sources::format::Format;
use hb_sources::mqtt::broker::Broker;
use hb_sources::mqtt::{MqttSource, MqttSpec, Qos};
use hb_sources::{Limits, Polled, Source as _};
use mosquitto::Mosquitto;

const PATIENCE: Duration = Duration::from_millis(50);

fn source(broker: &Mosquitto, qos: Qos) -> MqttSource {
    let spec = MqttSpec {
        broker: Broker::parse(&format!("localhost:{}", broker.port)).unwrap(),
        topic: "hb/metrics/#".to_owned(),
        qos,
        client_id: "hb-test".to_owned(),
        format: Format::default(),
    };
    MqttSource::new(spec, Limits::default())
}

/// Reads until so many samples and faults are there and the source has nothing more.
fn read(source: &mut MqttSource, delivered: &mut Delivered, count: usize) {
    let until = Instant::now() + Duration::from_secs(90);
    while delivered.samples.len() + delivered.faults.len() < count {
        assert!(Instant::now() < until, "{} samples, {} faults", delivered.samples.len(), delivered.faults.len());
        // A broker that is not there for a moment is an error, and no end.
        if let Err(why) = read_on(delivered, source, (Limits::default(), PATIENCE), |_| true) {
            assert!(!why.contains("law"), "{why}");
        }
    }
    read_on(delivered, source, (Limits::default(), PATIENCE), |_| false).unwrap();
    assert_eq!(delivered.samples.len() + delivered.faults.len(), count, "more than was published");
}

/// Waits until the source has subscribed.
fn subscribed(source: &mut MqttSource) {
    let until = Instant::now() + Duration::from_secs(60);
    while !matches!(source.next(PATIENCE), Ok(Polled::Idle { .. })) {
        assert!(Instant::now() < until, "not subscribed");
    }
}

fn numbered(range: std::ops::Range<u32>) -> impl Iterator<Item = (String, String)> {
    range.map(|n| ("hb/metrics/n".to_owned(), format!(r#"{{"metric":"n","value":{n},"ts":{}}}"#, 1_700_000_000 + n)))
}

fn values(range: std::ops::Range<u32>) -> Vec<f64> {
    range.map(f64::from).collect()
}

#[test]
fn every_form_of_payload_arrives_or_has_its_cause() {
    let folder = tempfile::tempdir().unwrap();
    let Some(broker) = Mosquitto::start(folder.path(), "") else { return };
    let mut source = source(&broker, Qos::AtLeastOnce);
    subscribed(&mut source);
    let message = |topic: &str, payload: &str| (format!("hb/metrics/{topic}"), payload.to_owned());
    broker.publish([
        message("a", r#"{"metric":"m","value":1,"unit":"ms","timestamp":7}"#),
        message("rig/temp", r#"{"value":2,"ts":8}"#),
        message("b", "load=3"),
        message("rig/rpm", "4"),
        message("c", "high"),
        ("other/topic".to_owned(), "5".to_owned()),
    ]);
    let mut delivered = Delivered::default();
    read(&mut source, &mut delivered, 5);
    let names: Vec<_> = delivered
        .samples
        .iter()
        .map(|item| match &item.what {
            What::Sample(name, unit, _, _) => format!("{name} {}", unit.as_deref().unwrap_or("-")),
            What::Fault(_) => String::new(),
        })
        .collect();
    assert_eq!(names, ["m ms", "temp -", "load -", "hb_metrics_rig_rpm -"]);
    assert_eq!(delivered.values(), [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(delivered.causes(), [FaultCause::NotANumber]);
    assert_eq!(delivered.quotes, ["mqtt hb/metrics/c: high"]);
}

#[test]
fn five_hundred_messages_a_second_arrive_without_a_loss() {
    const COUNT: u32 = 5_000;
    let folder = tempfile::tempdir().unwrap();
    let Some(broker) = Mosquitto::start(folder.path(), "") else { return };
    let mut source = source(&broker, Qos::AtLeastOnce);
    subscribed(&mut source);
    let mut delivered = Delivered::default();
    std::thread::scope(|scope| {
        scope.spawn(|| broker.publish_paced(numbered(0..COUNT), Duration::from_millis(2)));
        read(&mut source, &mut delivered, usize::try_from(COUNT).unwrap());
    });
    assert_eq!(delivered.values(), values(0..COUNT));
}

#[test]
fn what_is_published_while_away_arrives_and_what_no_record_has_comes_again() {
    let folder = tempfile::tempdir().unwrap();
    let Some(broker) = Mosquitto::start(folder.path(), "") else { return };
    let mut first = source(&broker, Qos::AtLeastOnce);
    subscribed(&mut first);
    drop(first);
    broker.publish(numbered(0..3_000));
    let mut second = source(&broker, Qos::AtLeastOnce);
    let mut delivered = Delivered::default();
    read(&mut second, &mut delivered, 3_000);
    assert_eq!(delivered.values(), values(0..3_000));
    // The first thousand are in a record; then the node dies.
    let mark = Mark { position: 1_000, ..delivered.end.unwrap() };
    second.release(&mark);
    subscribed(&mut second);
    drop(second);
    broker.publish(numbered(3_000..3_010));
    let mut third = source(&broker, Qos::AtLeastOnce);
    third.seek(Some(&mark)).unwrap();
    let mut delivered = Delivered::default();
    read(&mut third, &mut delivered, 2_010);
    assert_eq!(delivered.values(), values(1_000..3_010));
    assert_eq!(delivered.samples[0].position, 1_000);
}

#[test]
fn a_mark_of_this_run_is_gone_back_to_as_far_as_the_broker_has_the_messages() {
    let folder = tempfile::tempdir().unwrap();
    let Some(broker) = Mosquitto::start(folder.path(), "") else { return };
    let mut source = source(&broker, Qos::AtLeastOnce);
    subscribed(&mut source);
    broker.publish(numbered(0..100));
    let mut delivered = Delivered::default();
    read(&mut source, &mut delivered, 100);
    let end = delivered.end.unwrap();
    source.release(&Mark { position: 40, ..end.clone() });
    source.seek(Some(&Mark { position: 20, ..end })).unwrap();
    let mut delivered = Delivered::default();
    read(&mut source, &mut delivered, 61);
    assert_eq!(delivered.causes(), [FaultCause::Gap]);
    assert_eq!(delivered.values(), values(40..100));
    assert_eq!(delivered.samples[0].position, 40);
}

#[test]
fn a_restart_of_the_broker_loses_and_doubles_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut broker) = Mosquitto::start(folder.path(), "") else { return };
    let mut source = source(&broker, Qos::AtLeastOnce);
    subscribed(&mut source);
    broker.publish(numbered(0..500));
    let mut delivered = Delivered::default();
    read(&mut source, &mut delivered, 500);
    broker.stop();
    broker.again();
    broker.publish(numbered(500..1_000));
    read(&mut source, &mut delivered, 1_000);
    assert_eq!(delivered.values(), values(0..1_000));
}

#[test]
fn a_broker_that_is_not_there_is_told_and_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut broker) = Mosquitto::start(folder.path(), "") else { return };
    broker.stop();
    let mut source = source(&broker, Qos::AtLeastOnce);
    let until = Instant::now() + Duration::from_secs(60);
    let why = loop {
        assert!(Instant::now() < until, "nobody says that there is no broker");
        if let Err(why) = source.next(PATIENCE) {
            break why.to_string();
        }
    };
    assert!(why.starts_with(&format!("the MQTT broker at localhost:{}: ", broker.port)), "{why}");
    broker.again();
    subscribed(&mut source);
}

#[test]
fn the_usual_bound_of_a_broker_does_not_stall_the_source() {
    let folder = tempfile::tempdir().unwrap();
    // What it allows to those that ask for nothing; fewer than are held here.
    let Some(broker) = Mosquitto::start(folder.path(), "max_inflight_messages 20\n") else { return };
    let mut source = source(&broker, Qos::AtLeastOnce);
    subscribed(&mut source);
    let mut delivered = Delivered::default();
    broker.publish(numbered(0..300));
    read(&mut source, &mut delivered, 300);
    assert_eq!(delivered.values(), values(0..300));
}

#[test]
fn a_wrong_password_is_told_and_the_right_one_comes_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    // `hb` with the password `secret`, as mosquitto_passwd writes it.
    let Some(program) = mosquitto::program() else { return };
    let passwords = folder.path().join("passwords");
    std::fs::write(&passwords, "hb:secret\n").unwrap();
    let made = std::process::Command::new("mosquitto_passwd").arg("-U").arg(&passwords).status();
    let Ok(true) = made.map(|status| status.success()) else {
        panic!("mosquitto_passwd comes with {}", program.display());
    };
    let settings = format!("allow_anonymous false\npassword_file {}\n", passwords.display());
    let broker = Mosquitto::start(folder.path(), &settings).unwrap();
    let file = folder.path().join("password");
    let open = |password: &str| {
        std::fs::write(&file, password).unwrap();
        let broker = format!("mqtt://hb@localhost:{}?password_file={}", broker.port, file.display());
        let spec = MqttSpec {
            broker: Broker::parse(&broker).unwrap(),
            topic: "#".to_owned(),
            qos: Qos::AtLeastOnce,
            client_id: "hb-test".to_owned(),
            format: Format::default(),
        };
        MqttSource::new(spec, Limits::default())
    };
    let mut wrong = open("guess");
    let until = Instant::now() + Duration::from_secs(60);
    let why = loop {
        assert!(Instant::now() < until, "a wrong password was not told");
        if let Err(why) = wrong.next(PATIENCE) {
            break why.to_string();
        }
    };
    assert!(why.contains("NotAuthorized") || why.contains("BadUserNamePassword"), "{why}");
    subscribed(&mut open("secret\n"));
}
