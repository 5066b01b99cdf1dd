//! A broker of one topic that stands in for Kafka: the four requests that reading takes (ApiVersions, Metadata, ListOffsets,
//! Fetch), encoded and decoded by a library that is made from Kafka's own description of its protocol.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{
    ApiKey, ApiVersionsResponse, BrokerId, FetchRequest, FetchResponse, ListOffsetsRequest, ListOffsetsResponse,
    MetadataResponse, RequestHeader, ResponseHeader, TopicName,
};
use kafka_protocol::protocol::{Decodable as _, Encodable, StrBytes};
use kafka_protocol::records::{Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType};

/// The requests that are answered, and up to which version.
const KNOWN: [(ApiKey, i16, i16); 4] =
    [(ApiKey::ApiVersions, 0, 3), (ApiKey::Metadata, 0, 4), (ApiKey::ListOffsets, 0, 3), (ApiKey::Fetch, 4, 4)];
const OFFSET_OUT_OF_RANGE: i16 = 1;

/// A record: its time in milliseconds, and its value.
type Kept = (i64, Option<Vec<u8>>);

/// What the broker keeps.
#[derive(Debug, Default)]
struct Log {
    /// Per partition: the first offset that is kept, and the records from there on.
    partitions: Vec<(i64, Vec<Kept>)>,
}

/// A running stand-in. Its threads end with the connections.
pub(crate) struct Kafka {
    /// Where it listens.
    pub(crate) port: u16,
    log: Arc<Mutex<Log>>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Kafka {
    /// One with so many partitions of the topic `metrics`.
    pub(crate) fn start(partitions: usize) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let log = Arc::new(Mutex::new(Log { partitions: vec![(0, Vec::new()); partitions] }));
        let open = Arc::new(Mutex::new(Vec::new()));
        let (shared, connections) = (Arc::clone(&log), Arc::clone(&open));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                connections.lock().unwrap().push(stream.try_clone().unwrap());
                let log = Arc::clone(&shared);
                thread::spawn(move || serve(stream, port, &log));
            }
        });
        Self { port, log, open }
    }

    /// Appends records, each with its time in milliseconds.
    pub(crate) fn append(&self, partition: usize, records: impl IntoIterator<Item = Kept>) {
        self.log.lock().unwrap().partitions[partition].1.extend(records);
    }

    /// Keeps nothing before an offset any more.
    pub(crate) fn trim(&self, partition: usize, offset: i64) {
        let log = &mut self.log.lock().unwrap().partitions[partition];
        let gone = usize::try_from(offset - log.0).unwrap();
        log.1.drain(..gone);
        log.0 = offset;
    }

    /// Breaks all connections.
    pub(crate) fn hang_up(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            // One that the other side has closed already needs nothing.
            stream.shutdown(std::net::Shutdown::Both).unwrap_or_default();
        }
    }
}

fn serve(mut stream: TcpStream, port: u16, log: &Mutex<Log>) {
    loop {
        let mut length = [0; 4];
        if stream.read_exact(&mut length).is_err() {
            return;
        }
        let mut request = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
        if stream.read_exact(&mut request).is_err() {
            return;
        }
        let answer = answer(Bytes::from(request), port, log);
        let length = u32::try_from(answer.len()).unwrap().to_be_bytes();
        if stream.write_all(&[&length[..], &answer].concat()).is_err() {
            return;
        }
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the requests that are known are checked first")]
fn answer(mut request: Bytes, port: u16, log: &Mutex<Log>) -> Vec<u8> {
    let number = |at: usize| i16::from_be_bytes([request[at], request[at + 1]]);
    let (key, version) = (ApiKey::try_from(number(0)).unwrap(), number(2));
    let header = RequestHeader::decode(&mut request, key.request_header_version(version)).unwrap();
    let known = KNOWN.iter().any(|(k, min, max)| *k == key && (*min..=*max).contains(&version));
    assert!(known, "the stand-in knows no {key:?} of version {version}");
    let mut out = BytesMut::new();
    let correlation = ResponseHeader::default().with_correlation_id(header.correlation_id);
    correlation.encode(&mut out, key.response_header_version(version)).unwrap();
    let body: &dyn Fn(&mut BytesMut) = match key {
        ApiKey::ApiVersions => &|out| write(&versions(), version, out),
        ApiKey::Metadata => &|out| write(&metadata(port, &log.lock().unwrap()), version, out),
        ApiKey::ListOffsets => {
            let asked = ListOffsetsRequest::decode(&mut request, version).unwrap();
            &move |out| write(&offsets(&asked, &log.lock().unwrap()), version, out)
        }
        _ => {
            let asked = FetchRequest::decode(&mut request, version).unwrap();
            &move |out| write(&fetch(&asked, log), version, out)
        }
    };
    body(&mut out);
    out.to_vec()
}

fn write(message: &impl Encodable, version: i16, out: &mut BytesMut) {
    message.encode(out, version).unwrap();
}

fn versions() -> ApiVersionsResponse {
    let one = |(key, min, max): (ApiKey, i16, i16)| {
        ApiVersion::default().with_api_key(key as i16).with_min_version(min).with_max_version(max)
    };
    ApiVersionsResponse::default().with_api_keys(KNOWN.into_iter().map(one).collect())
}

fn topic() -> TopicName {
    TopicName(StrBytes::from_static_str("metrics"))
}

fn metadata(port: u16, log: &Log) -> MetadataResponse {
    let broker = MetadataResponseBroker::default()
        .with_node_id(BrokerId(1))
        .with_host(StrBytes::from_static_str("127.0.0.1"))
        .with_port(i32::from(port));
    let partition = |number| {
        MetadataResponsePartition::default()
            .with_partition_index(number)
            .with_leader_id(BrokerId(1))
            .with_replica_nodes(vec![BrokerId(1)])
            .with_isr_nodes(vec![BrokerId(1)])
    };
    let count = i32::try_from(log.partitions.len()).unwrap();
    let topic =
        MetadataResponseTopic::default().with_name(Some(topic())).with_partitions((0..count).map(partition).collect());
    MetadataResponse::default().with_brokers(vec![broker]).with_controller_id(BrokerId(1)).with_topics(vec![topic])
}

fn offsets(asked: &ListOffsetsRequest, log: &Log) -> ListOffsetsResponse {
    let mut partitions = Vec::new();
    for asked in asked.topics.iter().flat_map(|topic| &topic.partitions) {
        let (first, records) = &log.partitions[usize::try_from(asked.partition_index).unwrap()];
        let end = first + i64::try_from(records.len()).unwrap();
        let offset = if asked.timestamp == -2 { *first } else { end };
        let one = ListOffsetsPartitionResponse::default().with_partition_index(asked.partition_index);
        partitions.push(one.with_offset(offset).with_timestamp(-1));
    }
    let topic = ListOffsetsTopicResponse::default().with_name(topic()).with_partitions(partitions);
    ListOffsetsResponse::default().with_topics(vec![topic])
}

fn fetch(asked: &FetchRequest, log: &Mutex<Log>) -> FetchResponse {
    let mut waited = false;
    loop {
        let partitions: Vec<PartitionData> = {
            let log = log.lock().unwrap();
            let all = asked.topics.iter().flat_map(|topic| &topic.partitions);
            all.map(|asked| records(asked.partition, asked.fetch_offset, &log)).collect()
        };
        let found =
            partitions.iter().any(|one| one.error_code != 0 || one.records.as_ref().is_some_and(|r| !r.is_empty()));
        if found || waited {
            let topic = FetchableTopicResponse::default().with_topic(topic()).with_partitions(partitions);
            return FetchResponse::default().with_responses(vec![topic]);
        }
        thread::sleep(Duration::from_millis(u64::try_from(asked.max_wait_ms).unwrap()));
        waited = true;
    }
}

/// At most 500 records from an offset on, in a batch that may begin before it.
fn records(partition: i32, from: i64, log: &Log) -> PartitionData {
    let (first, kept) = &log.partitions[usize::try_from(partition).unwrap()];
    let end = first + i64::try_from(kept.len()).unwrap();
    let data =
        PartitionData::default().with_partition_index(partition).with_high_watermark(end).with_last_stable_offset(end);
    if from < *first || from > end {
        return data.with_error_code(OFFSET_OUT_OF_RANGE).with_records(Some(Bytes::new()));
    }
    // Brokers send whole batches, also when asked for their middle.
    let begin = (from - (from % 10)).max(*first);
    let chosen: Vec<Record> = (begin..end)
        .take(500)
        .map(|offset| {
            let (at, value) = &kept[usize::try_from(offset - first).unwrap()];
            record(offset, *at, value.clone())
        })
        .collect();
    if from == end || chosen.is_empty() {
        return data.with_records(Some(Bytes::new()));
    }
    let mut out = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut out, &chosen, &options).unwrap();
    data.with_records(Some(out.freeze()))
}

fn record(offset: i64, timestamp: i64, value: Option<Vec<u8>>) -> Record {
    Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: 0,
        producer_id: -1,
        producer_epoch: -1,
        timestamp_type: TimestampType::Creation,
        offset,
        sequence: i32::try_from(offset).unwrap(),
        timestamp,
        key: None,
        value: value.map(Bytes::from),
        headers: BTreeMap::new().into_iter().collect(),
    }
}
