//! The connection: a thread that fetches, partition after partition, and hands on what came.
//!
//! **Invariants.** At most [`NEWS_MAX`] fetches wait, each of about [`FETCH_BYTES_MAX`]; at that bound nothing more is fetched.
//! The thread ends with the [`Link`].

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use hb_core::time::Stamp;
use rskafka::BackoffConfig;
use rskafka::client::error::{Error, ProtocolError};
use rskafka::client::partition::{OffsetAt, PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder};
use rskafka::record::RecordAndOffset;

use super::{KafkaSpec, PARTITIONS_MAX};
use crate::file::Begin;
use crate::{SourceError, wall};

/// Most fetches waiting to be read.
const NEWS_MAX: usize = 4;
/// Bytes of one fetch; a larger record comes alone.
const FETCH_BYTES_MAX: i32 = 1 << 20;
/// Largest answer of a broker, in bytes.
const ANSWER_BYTES_MAX: usize = 32 << 20;
/// How long a round over all partitions waits for something new.
const ROUND_WAIT_MS: i32 = 100;
/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(20);
/// How long the library tries again by itself.
const LIBRARY_TRIES: Duration = Duration::from_secs(3);
/// First pause before another try to connect; it doubles up to [`PAUSE_MAX`].
const PAUSE_FIRST: Duration = Duration::from_millis(200);
/// Longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// One record.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) offset: u64,
    /// The broker's time, where it has one.
    pub(super) at: Option<Stamp>,
    pub(super) value: Option<Vec<u8>>,
}

/// What came.
#[derive(Debug)]
pub(super) enum News {
    /// Connected; the offsets at which the partitions are read.
    Up(Vec<u64>),
    /// Records of one partition, in order.
    Records { partition: usize, records: Vec<Record> },
    /// The broker keeps nothing before this offset.
    Gone { partition: usize, to: u64 },
    /// A round that began then found nothing in any partition.
    Nothing(Stamp),
    /// No connection; why.
    Down(String),
}

/// A connection, made anew whenever it breaks.
#[derive(Debug)]
pub(super) struct Link {
    news: Receiver<News>,
}

impl Link {
    /// Starts to read at these offsets, or where the settings say.
    pub(super) fn start(spec: &KafkaSpec, next: Option<Vec<u64>>) -> Result<Self, SourceError> {
        let cannot = |error: io::Error| SourceError::Retry(format!("cannot start the Kafka connection: {error}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
        let (out, news) = sync_channel(NEWS_MAX);
        let mut talk = Talk { spec: spec.clone(), next: next.unwrap_or_default(), out };
        let run = move || runtime.block_on(talk.run());
        thread::Builder::new().name("kafka".to_owned()).spawn(run).map_err(cannot)?;
        Ok(Self { news })
    }

    /// The next piece of news.
    pub(super) fn next(&self, patience: Duration) -> Option<News> {
        match self.news.recv_timeout(patience) {
            Ok(news) => Some(news),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                thread::sleep(patience);
                None
            }
        }
    }
}

/// Why a session ended.
enum Ended {
    /// Nobody reads any more.
    Unread,
    /// It broke; why.
    Broken(String),
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self::Broken(error.to_string())
    }
}

/// The thread's side.
struct Talk {
    spec: KafkaSpec,
    /// Offsets that come next; shorter than the list of partitions where they are not known yet.
    next: Vec<u64>,
    out: SyncSender<News>,
}

impl Talk {
    async fn run(&mut self) {
        let mut pause = PAUSE_FIRST;
        loop {
            let connected = match self.connect().await {
                Ok(partitions) => {
                    pause = PAUSE_FIRST;
                    self.rounds(&partitions).await
                }
                Err(ended) => ended,
            };
            let Ended::Broken(why) = connected else { return };
            if self.out.send(News::Down(why)).is_err() {
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn send(&self, news: News) -> Result<(), Ended> {
        // Waiting for room here is what makes the fetching wait.
        self.out.send(news).map_err(|_| Ended::Unread)
    }

    async fn connect(&mut self) -> Result<Vec<PartitionClient>, Ended> {
        let backoff = BackoffConfig { deadline: Some(LIBRARY_TRIES), ..BackoffConfig::default() };
        let builder = ClientBuilder::new(self.spec.brokers.clone())
            .client_id("hb")
            .max_message_size(ANSWER_BYTES_MAX)
            .backoff_config(backoff);
        let client = in_time(builder.build()).await?;
        let count = self.partitions(&client).await?;
        let mut all = Vec::with_capacity(count);
        for number in 0..count {
            let number = i32::try_from(number).unwrap_or(i32::MAX);
            let topic = self.spec.topic.as_str();
            all.push(in_time(client.partition_client(topic, number, UnknownTopicHandling::Error)).await?);
        }
        let begin =
            if self.spec.begin == Begin::End && self.next.is_empty() { OffsetAt::Latest } else { OffsetAt::Earliest };
        let known = self.next.len();
        for partition in all.iter().skip(known) {
            let at = in_time(partition.get_offset(begin)).await?;
            self.next.push(u64::try_from(at).unwrap_or(0));
        }
        self.send(News::Up(self.next.clone()))?;
        if known > 0 {
            // Partitions that were added are read from 0 on, as far as they are kept.
            for (partition, to) in self.next.iter().copied().enumerate().skip(known) {
                self.send(News::Gone { partition, to })?;
            }
        }
        Ok(all)
    }

    async fn partitions(&self, client: &Client) -> Result<usize, Ended> {
        let topics = in_time(client.list_topics()).await?;
        let topic = topics.iter().find(|topic| topic.name == self.spec.topic);
        let topic = topic.ok_or_else(|| Ended::Broken("the broker has no such topic".to_owned()))?;
        let count = topic.partitions.len();
        if count == 0 || count > PARTITIONS_MAX || count < self.next.len() {
            let was = self.next.len();
            return Err(Ended::Broken(format!(
                "the topic has {count} partitions, from {} to {PARTITIONS_MAX} can be read",
                was.max(1)
            )));
        }
        Ok(count)
    }

    async fn rounds(&mut self, partitions: &[PartitionClient]) -> Ended {
        let mut wait = 0;
        loop {
            let looked_at = wall::now();
            let mut found = 0;
            for (number, partition) in partitions.iter().enumerate() {
                match self.fetch(number, partition, wait).await {
                    Ok(count) => found += count,
                    Err(ended) => return ended,
                }
            }
            let each = ROUND_WAIT_MS / i32::try_from(partitions.len()).unwrap_or(i32::MAX);
            wait = if found > 0 { 0 } else { each.max(1) };
            // A round that waited saw each partition at another time: the first look counts.
            if found == 0
                && let Err(ended) = self.send(News::Nothing(looked_at))
            {
                return ended;
            }
        }
    }

    /// Fetches once from one partition; gives how many records came.
    async fn fetch(&mut self, number: usize, partition: &PartitionClient, wait: i32) -> Result<usize, Ended> {
        let Some(next) = self.next.get(number).copied() else { return Ok(0) };
        let offset = i64::try_from(next).unwrap_or(i64::MAX);
        let fetched = in_time(partition.fetch_records(offset, 1..FETCH_BYTES_MAX, wait)).await;
        let records = match fetched {
            Ok((records, _)) => records,
            Err(Error::ServerError { protocol_error: ProtocolError::OffsetOutOfRange, .. }) => {
                return self.out_of_range(number, partition, next).await;
            }
            Err(error) => return Err(error.into()),
        };
        let records: Vec<Record> = records.into_iter().map(record).filter(|record| record.offset >= next).collect();
        let Some(last) = records.last().map(|record| record.offset) else { return Ok(0) };
        let count = records.len();
        self.send(News::Records { partition: number, records })?;
        if let Some(place) = self.next.get_mut(number) {
            *place = last + 1;
        }
        Ok(count)
    }

    async fn out_of_range(&mut self, number: usize, partition: &PartitionClient, next: u64) -> Result<usize, Ended> {
        let earliest = u64::try_from(in_time(partition.get_offset(OffsetAt::Earliest)).await?).unwrap_or(0);
        if earliest <= next {
            return Err(Ended::Broken(format!(
                "partition {number} ends before offset {next}, up to which it was read: the topic was made anew; \
                 give the watch another name to read it from its beginning"
            )));
        }
        self.send(News::Gone { partition: number, to: earliest })?;
        if let Some(place) = self.next.get_mut(number) {
            *place = earliest;
        }
        Ok(1)
    }
}

/// A request, given up after [`REQUEST`].
async fn in_time<T>(request: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(REQUEST, request).await.unwrap_or(Err(Error::Timeout))
}

fn record(fetched: RecordAndOffset) -> Record {
    let at = fetched.record.timestamp.timestamp_nanos_opt().filter(|ns| *ns > 0).map(Stamp);
    Record { offset: u64::try_from(fetched.offset).unwrap_or(0), at, value: fetched.record.value }
}
