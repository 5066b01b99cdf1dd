//! Sources over the network, through the whole program: nothing lost, nothing twice, whatever is killed.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use hb_core::node::fact::CycleDecided;
use hb_core::watch::sample::FaultCause;
use hb_sources::format::Format;
use hb_sources::mqtt::broker::Broker;
use hb_sources::mqtt::{MqttSource, MqttSpec, Qos, client_id};
use hb_sources::{Limits, Polled, Source as _};

use crate::kafka::Kafka;
use crate::mosquitto::Mosquitto;
use crate::support::node::Node;
use crate::support::project::{Project, told};
use crate::support::{journal, until};

/// When the telemetry of these tests begins.
const BEGIN: u32 = 1_700_000_000;

/// Replaces the configuration's source.
fn reading(source: &str) -> Project {
    let project = Project::new("");
    let text = format!(
        "{source}\noutput_dir: {}\ndb_path: {}\ninterval_sec: 1\nsilence_grace_sec: 60\nlearn: {{auto: false}}\n\
         alert_sinks: [file]\nreports: none\n",
        project.output.display(),
        project.db().display()
    );
    fs::write(project.config(), text).unwrap();
    project
}

/// Number `n` of 500 a second.
fn numbered(n: u32) -> String {
    let at = f64::from(BEGIN) + f64::from(n) / 500.0;
    format!(r#"{{"metric":"n","value":{n},"timestamp":{at:.3}}}"#)
}

/// Far behind all numbered ones, so that their cycles close.
fn last() -> String {
    format!(r#"{{"metric":"end","value":0,"timestamp":{}}}"#, BEGIN + 100_000)
}

/// How many numbered readings were counted in cycles, and their sum.
fn counted(cycles: &[std::sync::Arc<CycleDecided>]) -> (u64, f64) {
    let of = |cycle: &std::sync::Arc<CycleDecided>| {
        cycle.decision.series.get("n").map(|row| (u64::from(row.n), f64::from(row.n) * row.mean))
    };
    cycles.iter().filter_map(of).fold((0, 0.0), |(n, sum), (more, of)| (n + more, sum + of))
}

/// Waits until `count` readings are counted; that each was counted once, by their sum.
fn all_once(project: &Project, node: &Node, count: u32) {
    until(&format!("{count} readings counted:\n{}", node.log()), || {
        let (n, _) = counted(&journal::cycles(&journal::read(&project.output)));
        (n >= u64::from(count)).then_some(())
    });
    let records = journal::read(&project.output);
    journal::assert_whole(&records);
    let (n, sum) = counted(&journal::cycles(&records));
    let expected = f64::from(count) * f64::from(count - 1) / 2.0;
    assert_eq!(n, u64::from(count));
    assert!((sum - expected).abs() < 1.0, "{sum} is not {expected}");
}

/// Makes the watch's session at the broker, as an hb that was there before; gives how many messages the broker had for it.
fn subscribe(broker: &Mosquitto, topic: &str) -> usize {
    let spec = MqttSpec {
        broker: Broker::parse(&format!("localhost:{}", broker.port)).unwrap(),
        topic: topic.to_owned(),
        qos: Qos::AtLeastOnce,
        client_id: client_id("default", topic),
        format: Format::default(),
    };
    let mut source = MqttSource::new(spec, Limits::default());
    let mut count = 0;
    until("a session at the broker", || match source.next(Duration::from_millis(50)) {
        Ok(Polled::Idle { .. }) => Some(count),
        Ok(Polled::Batch(batch)) => {
            count += batch.samples.len();
            None
        }
        Ok(Polled::End { .. }) | Err(_) => None,
    })
}

#[test]
fn w4_mqtt_at_500_a_second_loses_and_doubles_nothing_while_away_killed_and_over_a_broker_restart() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut broker) = Mosquitto::start(folder.path(), "") else { return };
    let topic = "hb/metrics/#";
    let messages =
        |range: std::ops::Range<u32>| range.map(|n| ("hb/metrics/n".to_owned(), numbered(n))).collect::<Vec<_>>();
    assert_eq!(subscribe(&broker, topic), 0);
    let project = reading(&format!("source: mqtt\nbroker: tcp://localhost:{}\ntopic: {topic}\nqos: 1", broker.port));
    // Published before hb is there.
    broker.publish(messages(0..1_000));
    let mut node = project.start("a");
    std::thread::scope(|scope| {
        let publishing = scope.spawn(|| broker.publish_paced(messages(1_000..3_000), Duration::from_millis(2)));
        let mut cycles = journal::Reader::open(&project.output);
        for more in 1..=2 {
            until("cycles over MQTT", || {
                cycles.poll();
                (cycles.cycles() > more).then_some(())
            });
            node.kill();
            node = project.start("a");
        }
        publishing.join().unwrap();
    });
    broker.stop();
    broker.again();
    broker.publish(messages(3_000..4_000));
    broker.publish([("hb/metrics/end".to_owned(), last())]);
    all_once(&project, &node, 4_000);
    assert_eq!(node.stop(), 0, "{}", node.log());
    // What is in a durable cycle was acknowledged, as far as that had arrived when hb ended; of the others there is the last one at least.
    let left = subscribe(&broker, topic);
    assert!((1..4_001).contains(&left), "the broker still had {left} of 4001 messages");
}

#[test]
fn w4_kafka_is_read_from_its_offsets_over_kills_and_broken_connections() {
    let broker = Kafka::start(2);
    let append = |range: std::ops::Range<u32>| {
        for n in range {
            // Without a time of its own a record has the broker's.
            let text = format!(r#"{{"metric":"n","value":{n}}}"#);
            let at = i64::from(BEGIN) * 1_000 + i64::from(n) * 2;
            broker.append(usize::from(n % 2 == 1), [(at, Some(text.into_bytes()))]);
        }
    };
    append(0..2_000);
    let project =
        reading(&format!("source: kafka\nbroker: localhost:{}\ntopic: metrics\nlateness_sec: 30", broker.port));
    let mut node = project.start("a");
    node.wait_role("active");
    node.kill();
    append(2_000..3_000);
    node = project.start("a");
    node.wait_role("active");
    broker.hang_up();
    append(3_000..4_000);
    for partition in 0..2 {
        broker.append(partition, [((i64::from(BEGIN) + 100_000) * 1_000, Some(last().into_bytes()))]);
    }
    all_once(&project, &node, 4_000);
    assert_eq!(node.stop(), 0, "{}", node.log());
}

/// How often the programs of a file of syslog spoke, and how many of its lines were none.
fn spoke(lines: &str, programs: &[&str]) -> (Vec<u32>, u64) {
    let project = reading("source: syslog\npath: messages.log");
    fs::write(project.dir().join("messages.log"), lines).unwrap();
    project.once("a");
    let cycles = journal::cycles(&journal::read(&project.output));
    let counted = |name: &&str| cycles.iter().filter_map(|c| c.decision.series.get(name)).map(|row| row.n).sum();
    let faults = cycles.iter().filter_map(|cycle| cycle.decision.counts.faults.get(&FaultCause::Malformed)).sum();
    (programs.iter().map(counted).collect(), faults)
}

#[test]
fn syslog_names_programs_without_their_pids_in_every_form() {
    let modern = "2023-11-14T22:13:20+00:00 host su[231]: two\n\
                  <34>1 2023-11-14T22:13:21Z host su 232 ID47 - three\n\
                  <13>1 2023-11-14T22:13:21Z host cron - - - four\n\
                  no syslog at all\n";
    assert_eq!(spoke(modern, &["syslog_su", "syslog_cron", "syslog"]), (vec![2, 1, 0], 1));
    let classic = "Nov 14 22:13:20 host su[230]: one\n<34>Nov 14 22:13:20 host su[7]: two\n";
    assert_eq!(spoke(classic, &["syslog_su", "syslog_su[230]"]), (vec![2, 0], 0));
}

#[test]
fn syslog_listens_at_a_socket_and_leaves_alone_one_that_is_taken() {
    let project = reading("source: syslog\npath: unix://log.sock");
    let path = project.dir().join("log.sock");
    let taken = UnixDatagram::bind(&path).unwrap();
    let mut node = project.start("a");
    until("a word about the place that is taken", || {
        node.get("/ready").json().to_string().contains("another program listens there").then_some(())
    });
    drop(taken);
    let from = UnixDatagram::unbound().unwrap();
    until("a message received", || {
        // Later ones close the cycle of the first. As long as nobody listens yet, there is nobody to be told.
        from.send_to(b"<34>1 - host su 230 ID47 - failed", &path).unwrap_or_default();
        std::thread::sleep(Duration::from_millis(50));
        let cycles = journal::cycles(&journal::read(&project.output));
        cycles.iter().any(|cycle| cycle.decision.series.get("syslog_su").is_some()).then_some(())
    });
    assert_eq!(node.stop(), 0, "{}", node.log());
    assert!(!path.try_exists().unwrap(), "its socket is removed");
}

#[test]
fn a_workbook_and_engines_are_compared_and_watched() {
    let project = reading("source: file\npath: results.csv\nformat: pba_excel");
    fs::write(project.dir().join("results.csv"), "Metric,Current,Unit,Tags\nlatency,12.5,ms,\n").unwrap();
    project.once("a");
    let cycles = journal::cycles(&journal::read(&project.output));
    assert!(cycles.iter().any(|cycle| cycle.decision.series.get("latency").is_some()));
    let engines = |scale: f64| {
        let row = |cycle: u32| {
            let sensors: Vec<String> =
                (1..=21).map(|n| (f64::from(n) * scale + f64::from(cycle % 7)).to_string()).collect();
            format!("1 {cycle} 0.1 0.2 100 {}\n", sensors.join(" "))
        };
        (1..200).map(row).collect::<String>()
    };
    fs::write(project.dir().join("one.txt"), engines(10.0)).unwrap();
    fs::write(project.dir().join("two.txt"), engines(50.0)).unwrap();
    let output = project.command(&["compare", "one.txt", "two.txt", "--format", "cmapss_fd001"]).output().unwrap();
    assert!(told(&output).contains("sensor_21"), "{}", told(&output));
}
