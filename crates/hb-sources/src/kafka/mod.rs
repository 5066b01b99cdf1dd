//! Records of a Kafka topic, all its partitions. Nothing is committed at the broker: the place is in hb's own records.
//!
//! Position: the sum of the offsets that come next, over all partitions. Token: which partition a batch reads, and the offsets
//! of the others. So with any mark of a batch every partition is read on exactly where it was. Over one partition the same
//! records come at the same positions whenever they are read; over several, each comes once, but partitions may take turns
//! in another way.
//!
//! **Invariants.** A batch holds records of one partition. [`Polled::Idle`] is said only of a round in which no partition had
//! anything.

mod link;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hb_core::mark::Mark;
use hb_core::time::Stamp;
use hb_core::watch::sample::{Batch, FaultCause};
use serde::{Deserialize, Serialize};

use crate::file::Begin;
use crate::format::{Event, Format, NoTime, TimeUnit, clean, json};
use crate::items::Items;
use crate::names::{Names, Refused};
use crate::{Limits, Polled, Rereads, Source, SourceError};
use link::{Link, News, Record};

/// Records to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaSpec {
    /// `HOST:PORT` of brokers to ask first.
    pub brokers: Vec<String>,
    /// The topic.
    pub topic: String,
    /// Where a new watch begins.
    pub begin: Begin,
    /// What numbers mean as times. A record without a time of its own has the broker's.
    pub format: Format,
}

/// How long there may be no connection before that is an error.
const DOWN_GRACE: Duration = Duration::from_secs(10);
/// Most partitions of a topic.
pub(crate) const PARTITIONS_MAX: usize = 1_024;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Token {
    kind: Kind,
    /// The partition that is being read.
    p: usize,
    /// Offsets of the others, by partition; 0 in the place of that one.
    others: Vec<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Kafka,
}

/// Records of one partition that were fetched and not handed on yet.
#[derive(Debug)]
struct Pending {
    partition: usize,
    records: VecDeque<Record>,
}

/// Reads a topic.
#[derive(Debug)]
pub struct KafkaSource {
    spec: KafkaSpec,
    limits: Limits,
    link: Option<Link>,
    names: Names,
    /// The offsets that come next, by partition; none as long as the broker has not said where a new watch begins.
    next: Option<Vec<u64>>,
    /// The partition of the batch before.
    reading: usize,
    pending: Option<Pending>,
    /// Since when there is no connection, and why.
    down: Option<(Instant, String)>,
    /// When the last round began in which nothing was there.
    caught_up: Option<Stamp>,
    reset: bool,
}

impl KafkaSource {
    /// A source that will connect when it is first read.
    #[must_use]
    pub fn new(spec: KafkaSpec, limits: Limits) -> Self {
        Self {
            spec,
            limits,
            link: None,
            names: Names::new(limits.names_max),
            next: None,
            reading: 0,
            pending: None,
            down: Some((Instant::now(), "not connected yet".to_owned())),
            caught_up: None,
            reset: false,
        }
    }

    fn place(&self) -> String {
        format!("the Kafka topic {} at {}", self.spec.topic, self.spec.brokers.join(","))
    }

    fn mark(&self, partition: usize) -> Mark {
        let Some(next) = &self.next else { return Mark::default() };
        let mut others = next.clone();
        if let Some(own) = others.get_mut(partition) {
            *own = 0;
        }
        let token = Token { kind: Kind::Kafka, p: partition, others };
        let token = serde_json::to_string(&token).expect("numbers and a name are always JSON");
        Mark { position: next.iter().sum(), token: token.into() }
    }

    fn offset(&mut self, partition: usize) -> Option<&mut u64> {
        self.next.as_mut()?.get_mut(partition)
    }

    fn told(&mut self, news: News) -> Option<Polled> {
        self.caught_up = None;
        match news {
            News::Up(offsets) => {
                self.down = None;
                if self.next.is_none() {
                    self.next = Some(offsets);
                } else if let Some(next) = &mut self.next {
                    // Partitions that were added meanwhile.
                    next.extend(offsets.iter().skip(next.len()).map(|_| 0));
                }
            }
            News::Down(why) => {
                let since = self.down.as_ref().map_or_else(Instant::now, |(since, _)| *since);
                self.down = Some((since, format!("{}: {why}", self.place())));
            }
            News::Gone { partition, to } => return self.gone(partition, to),
            News::Records { partition, records } => {
                self.pending = Some(Pending { partition, records: records.into() });
            }
            News::Nothing(looked_at) => self.caught_up = Some(looked_at),
        }
        None
    }

    /// Tells of records that the broker does not keep any more.
    fn gone(&mut self, partition: usize, to: u64) -> Option<Polled> {
        let start = self.mark(partition);
        let own = self.offset(partition)?;
        let count = to.checked_sub(*own).filter(|count| *count > 0)?;
        *own = to;
        let mut items = Items::taking(&mut self.reset);
        items.fault(0, FaultCause::Gap);
        let why = format!("{count} records are not kept any more; going on with the earliest that is");
        items.quote_from(0, || format!("kafka {}/{partition}", self.spec.topic), why.as_bytes());
        self.reading = partition;
        Some(Polled::Batch(items.into_batch(start, self.mark(partition))))
    }

    /// A batch of what is pending.
    fn batch(&mut self) -> Option<Batch> {
        let mut pending = self.pending.take()?;
        let partition = pending.partition;
        let start = self.mark(partition);
        let from = *self.offset(partition)?;
        let mut items = Items::taking(&mut self.reset);
        let items_max = self.limits.batch_samples_max.max(1);
        let mut end = from;
        while let Some(record) = pending.records.front() {
            // What a compacted topic leaves out makes a batch end before its offsets outgrow 32 bits.
            let Ok(offset) = u32::try_from(record.offset.saturating_sub(from)) else { break };
            if items.len() >= items_max || !self.one(record, offset, &mut items) {
                break;
            }
            end = record.offset + 1;
            pending.records.pop_front();
        }
        if end == from {
            end = pending.records.front().map_or(from, |record| record.offset);
        }
        if let Some(own) = self.offset(partition) {
            *own = end;
        }
        if !pending.records.is_empty() {
            self.pending = Some(pending);
        }
        self.reading = partition;
        Some(items.into_batch(start, self.mark(partition)))
    }

    /// Takes one record in; gives whether there was room for its name.
    fn one(&mut self, record: &Record, offset: u32, items: &mut Items) -> bool {
        let refused = match self.sample(record, offset, items) {
            Err(Refused::Full) if items.is_empty() => {
                // An empty batch may begin anew with its names.
                self.names.forget();
                items.names.clear();
                items.reset = true;
                self.sample(record, offset, items)
            }
            tried => tried,
        };
        match refused {
            Ok(()) => true,
            Err(Refused::Full) => false,
            Err(Refused::Fault(cause)) => {
                let faults = items.faults.len();
                items.fault(offset, cause);
                let place = || format!("kafka {}@{}", self.spec.topic, record.offset);
                items.quote_from(faults, place, record.value.as_deref().unwrap_or_default());
                true
            }
        }
    }

    fn sample(&mut self, record: &Record, offset: u32, items: &mut Items) -> Result<(), Refused> {
        let event = event(record, self.spec.format.time_unit).map_err(Refused::Fault)?;
        let at = match (event.at, self.spec.format.no_time, record.at) {
            (Some(at), _, _) | (None, NoTime::Usual | NoTime::Arrival, Some(at)) => at,
            (None, _, _) => return Err(Refused::Fault(FaultCause::NoTime)),
        };
        let unit = event.unit.as_deref().map(str::as_bytes);
        let slot = self.names.slot(event.name.as_bytes(), unit, &mut items.names)?;
        items.sample(slot, offset, at, event.value);
        Ok(())
    }
}

/// What a record says: a JSON object, as a line of a file would.
fn event(record: &Record, unit: TimeUnit) -> Result<Event<'_>, FaultCause> {
    let text = clean(record.value.as_deref().ok_or(FaultCause::NoValue)?)?;
    if text.trim_start().starts_with('{') { json::careful(text, unit) } else { Err(FaultCause::Malformed) }
}

impl Source for KafkaSource {
    fn next(&mut self, patience: Duration) -> Result<Polled, SourceError> {
        let deadline = Instant::now() + patience;
        if self.link.is_none() {
            self.link = Some(Link::start(&self.spec, self.next.clone())?);
        }
        loop {
            if let Some(batch) = self.batch() {
                return Ok(Polled::Batch(batch));
            }
            if let Some(looked_at) = self.caught_up.take() {
                return Ok(Polled::Idle { mark: self.mark(self.reading), looked_at });
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(news) = self.link.as_ref().and_then(|link| link.next(left)) else { break };
            if let Some(polled) = self.told(news) {
                return Ok(polled);
            }
        }
        match &self.down {
            Some((since, why)) if since.elapsed() >= DOWN_GRACE || self.next.is_none() => {
                Err(SourceError::Retry(why.clone()))
            }
            // Nothing came, but nobody said that there is nothing.
            Some(_) | None => {
                let mark = self.mark(self.reading);
                Ok(Polled::Batch(Items::taking(&mut self.reset).into_batch(mark.clone(), mark)))
            }
        }
    }

    fn seek(&mut self, mark: Option<&Mark>) -> Result<(), SourceError> {
        let next = mark.map(vector).transpose()?;
        self.reading = next.as_ref().map_or(0, |(_, p)| *p);
        self.next = next.map(|(next, _)| next);
        self.link = None;
        self.pending = None;
        self.caught_up = None;
        self.down = Some((Instant::now(), "not connected yet".to_owned()));
        self.names.forget();
        self.reset = true;
        Ok(())
    }

    fn rereads(&self) -> Rereads {
        Rereads::Yes
    }
}

/// The offsets that a mark means, and the partition that was being read.
fn vector(mark: &Mark) -> Result<(Vec<u64>, usize), SourceError> {
    let strange = || SourceError::Invalid(format!("the mark {:?} is none of a Kafka topic", mark.token));
    let token: Token = serde_json::from_str(&mark.token).map_err(|_| strange())?;
    let Token { p, mut others, .. } = token;
    let sum = others.iter().try_fold(0_u64, |sum, offset| sum.checked_add(*offset)).ok_or_else(strange)?;
    let own = mark.position.checked_sub(sum).ok_or_else(strange)?;
    if others.len() > PARTITIONS_MAX {
        return Err(strange());
    }
    *others.get_mut(p).ok_or_else(strange)? = own;
    Ok((others, p))
}

/// The texts of a list of brokers: `HOST:PORT`, separated by commas.
///
/// # Errors
/// The one that is none.
pub fn brokers(text: &str) -> Result<Vec<String>, String> {
    let all: Vec<String> = text.split(',').map(|part| part.trim().trim_start_matches("kafka://").to_owned()).collect();
    let sound = |broker: &&String| {
        broker.rsplit_once(':').is_none_or(|(host, port)| host.is_empty() || port.parse::<u16>().is_err())
            || broker.contains(|c: char| c.is_whitespace() || c == '/' || c == '@')
    };
    match all.iter().find(sound) {
        Some(bad) => Err(bad.clone()),
        None => Ok(all),
    }
}

/// Whether a text can name a topic.
#[must_use]
pub fn is_topic(text: &str) -> bool {
    let sound = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    !text.is_empty() && text.len() <= 249 && sound && text != "." && text != ".."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_means_the_offsets_of_all_partitions() {
        let mark = Mark { position: 25, token: r#"{"kind":"kafka","p":1,"others":[10,0,5]}"#.into() };
        assert_eq!(vector(&mark).unwrap(), (vec![10, 10, 5], 1));
        for (position, token) in
            [(1, r#"{"kind":"kafka","p":1,"others":[10,0]}"#), (9, r#"{"kind":"kafka","p":7,"others":[1]}"#), (1, "")]
        {
            let mark = Mark { position, token: token.into() };
            assert!(matches!(vector(&mark), Err(SourceError::Invalid(_))), "{token}");
        }
    }

    #[test]
    fn addresses_and_topics() {
        assert_eq!(brokers("a:9092, b:9093").unwrap(), ["a:9092", "b:9093"]);
        assert_eq!(brokers("kafka://a:9092").unwrap(), ["a:9092"]);
        for bad in ["a", "a:b", ":9092", "a:9092,", "http://a:1", "me@a:9092"] {
            assert!(brokers(bad).is_err(), "{bad}");
        }
        assert!(is_topic("hb.metrics-1_x") && !is_topic("hb/metrics") && !is_topic(".."));
    }

    #[test]
    fn records_are_json_objects() {
        let record = |value: Option<&[u8]>| Record { offset: 0, at: None, value: value.map(<[u8]>::to_vec) };
        let cause = |value: Option<&[u8]>| event(&record(value), TimeUnit::Seconds).unwrap_err();
        assert_eq!(cause(None), FaultCause::NoValue);
        assert_eq!(cause(Some(b"7")), FaultCause::Malformed);
        assert_eq!(cause(Some(b"{\"value\":1}")), FaultCause::NoName);
        let record = record(Some(b"{\"metric\":\"m\",\"value\":1}"));
        assert_eq!(event(&record, TimeUnit::Seconds).unwrap().name, "m");
    }
}
