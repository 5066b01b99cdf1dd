//! What a watch says of a source that is reached over the network.

use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use hb_sources::file::Begin;
use hb_sources::format::{Format, FormatChoice, NoTime};
use hb_sources::mqtt::broker::{Broker, is_filter};
use hb_sources::mqtt::{MqttSpec, Qos, client_id};

use hb_sources::kafka::{KafkaSpec, brokers, is_topic};
use hb_sources::syslog::{Listen, SyslogSpec};

use super::checked::SourceConfig;
use super::fault::without_secrets;
use super::raw::cut;
use super::reader::Reader;

/// Where the broker of the source `mqtt` is when nobody says.
const MQTT_BROKER: &str = "tcp://localhost:1883";
/// Which messages are read when nobody says.
const MQTT_TOPIC: &str = "hb/metrics/#";

/// Where programs of this machine write syslog.
const SYSLOG_PATH: &str = "/dev/log";

/// The source `syslog`: an address or a socket to listen at, or a file to follow.
pub fn syslog(reader: &mut Reader<'_>, format: Format, begin: Begin) -> SourceConfig {
    let typed = reader.text("path").unwrap_or_else(|| SYSLOG_PATH.to_owned());
    let receive = |listen: Listen| {
        let no_time = if format.no_time == NoTime::Usual { NoTime::Arrival } else { format.no_time };
        SourceConfig::Syslog(SyslogSpec { listen, format: Format { no_time, ..format } })
    };
    let listen: fn(SocketAddr) -> Listen = match typed.split_once("://") {
        Some(("udp", _)) => Listen::Udp,
        Some(("tcp", _)) => Listen::Tcp,
        Some(("unix", path)) => return receive(Listen::Unix(path.into())),
        Some(_) => return no_place(reader, &typed, format, begin),
        None if is_socket(Path::new(&typed)) => return receive(Listen::Unix(typed.into())),
        None => return file(&typed, format, begin),
    };
    let address = typed.split_once("://").map_or("", |(_, address)| address);
    let written_out = address.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    match written_out.as_deref().unwrap_or(address).parse() {
        Ok(address) => receive(listen(address)),
        Err(_) => no_place(reader, &typed, format, begin),
    }
}

fn file(path: &str, format: Format, begin: Begin) -> SourceConfig {
    let no_time = if format.no_time == NoTime::Usual { NoTime::Fault } else { format.no_time };
    SourceConfig::File { path: path.into(), format: Format { choice: FormatChoice::Syslog, no_time, ..format }, begin }
}

fn no_place(reader: &mut Reader<'_>, typed: &str, format: Format, begin: Begin) -> SourceConfig {
    if let Some(entry) = reader.entry("path") {
        let what = format!("`{}` is no place of syslog", cut(typed));
        let help = "`path` takes udp://ADDRESS:PORT, tcp://ADDRESS:PORT, unix://SOCKET, /dev/log, or a file";
        reader.fault(entry, "path", &what, help);
    }
    file(typed, format, begin)
}

/// Whether a path is that of a socket: by its name, or because there is one.
fn is_socket(path: &Path) -> bool {
    let named = path == Path::new(SYSLOG_PATH) || path.extension().is_some_and(|end| end == "sock" || end == "socket");
    named || std::fs::metadata(path).is_ok_and(|meta| meta.file_type().is_socket())
}

/// What a watch says of a broker, whatever its source: a value that is wrong is told also where it has no effect.
#[derive(Debug)]
pub struct Said {
    broker: Option<String>,
    topic: Option<String>,
    qos: u64,
}

/// Reads the keys about a broker.
pub fn said(reader: &mut Reader<'_>) -> Said {
    Said { broker: reader.text("broker"), topic: reader.text("topic"), qos: reader.whole("qos") }
}

/// The source `mqtt`. On every node of a watch it has the same session at the broker.
pub fn mqtt(reader: &mut Reader<'_>, said: Said, watch: &str, format: Format) -> MqttSpec {
    let typed = said.broker.unwrap_or_else(|| MQTT_BROKER.to_owned());
    let broker = Broker::parse(&typed);
    if let (Err(why), Some(entry)) = (&broker, reader.entry("broker")) {
        let what = format!("`{}` is no broker: {why}", without_secrets(&cut(&typed)));
        let help = "`broker` takes HOST:PORT or mqtt[s]://USER@HOST:PORT?password_file=FILE&ca_file=FILE";
        reader.fault(entry, "broker", &what, help);
    }
    let topic = said.topic.unwrap_or_else(|| MQTT_TOPIC.to_owned());
    if let Some(entry) = reader.entry("topic").filter(|_| !is_filter(&topic)) {
        let what = format!("`{}` is no filter of topics", cut(&topic));
        let help = "`+` stands for one whole level, `#` for all that follow and only at the end: hb/+/metrics/#";
        reader.fault(entry, "topic", &what, help);
    }
    let qos = match said.qos {
        0 => Qos::AtMostOnce,
        _ => Qos::AtLeastOnce,
    };
    let broker = broker.unwrap_or_else(|_| Broker::parse(MQTT_BROKER).expect("the usual address is one"));
    let client_id = broker.client_id.clone().unwrap_or_else(|| client_id(watch, &topic));
    MqttSpec { broker, topic, qos, client_id, format }
}

/// Where a Kafka broker is when nobody says.
const KAFKA_BROKER: &str = "localhost:9092";

/// The source `kafka`.
pub fn kafka(reader: &mut Reader<'_>, said: Said, format: Format, begin: Begin) -> KafkaSpec {
    let typed = said.broker.unwrap_or_else(|| KAFKA_BROKER.to_owned());
    let all = brokers(&typed);
    if let (Err(bad), Some(entry)) = (&all, reader.entry("broker")) {
        let what = format!("`{}` is no broker", cut(bad));
        reader.fault(entry, "broker", &what, "`broker` takes HOST:PORT of Kafka brokers, separated by commas");
    }
    let topic = said.topic.unwrap_or_default();
    match reader.entry("topic") {
        None => reader.missing("topic", "the source `kafka` needs a `topic`", "say which topic to read"),
        Some(entry) if !is_topic(&topic) => {
            let what = format!("`{}` is no topic of Kafka", cut(&topic));
            reader.fault(entry, "topic", &what, "a topic has at most 249 letters, digits, `.`, `_`, `-`");
        }
        Some(_) => {}
    }
    KafkaSpec { brokers: all.unwrap_or_default(), topic, begin, format }
}
