//! What a watch says of a source that is reached over the network.

use hb_sources::format::Format;
use hb_sources::mqtt::broker::{Broker, is_filter};
use hb_sources::mqtt::{MqttSpec, Qos, client_id};

use super::raw::cut;
use super::reader::Reader;

/// Where the broker of the source `mqtt` is when nobody says.
const MQTT_BROKER: &str = "tcp://localhost:1883";
/// Which messages are read when nobody says.
const MQTT_TOPIC: &str = "hb/metrics/#";

/// The source `mqtt`. On every node of a watch it has the same session at the broker.
pub fn mqtt(reader: &mut Reader<'_>, watch: &str, format: Format) -> MqttSpec {
    let typed = reader.text("broker").unwrap_or_else(|| MQTT_BROKER.to_owned());
    let broker = Broker::parse(&typed);
    if let (Err(why), Some(entry)) = (&broker, reader.entry("broker")) {
        let what = format!("`{}` is no broker: {why}", cut(&typed));
        let help = "`broker` takes HOST:PORT or mqtt[s]://USER@HOST:PORT?password_file=FILE&ca_file=FILE";
        reader.fault(entry, "broker", &what, help);
    }
    let topic = reader.text("topic").unwrap_or_else(|| MQTT_TOPIC.to_owned());
    if let Some(entry) = reader.entry("topic").filter(|_| !is_filter(&topic)) {
        let what = format!("`{}` is no filter of topics", cut(&topic));
        let help = "`+` stands for one whole level, `#` for all that follow and only at the end: hb/+/metrics/#";
        reader.fault(entry, "topic", &what, help);
    }
    let qos = match reader.whole("qos") {
        0 => Qos::AtMostOnce,
        _ => Qos::AtLeastOnce,
    };
    let broker = broker.unwrap_or_else(|_| Broker::parse(MQTT_BROKER).expect("the usual address is one"));
    let client_id = broker.client_id.clone().unwrap_or_else(|| client_id(watch, &topic));
    MqttSpec { broker, topic, qos, client_id, format }
}
