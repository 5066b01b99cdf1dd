//! Messages of an MQTT broker (MQTT 5).
//!
//! Position: messages delivered, going on from the mark sought. Token: the kind and the run. A message of quality of service 1
//! is acknowledged only when [`Source::release`] says that its place is durable: what a node had taken and not yet decided
//! when it died, the broker sends to the next one. What was decided and not yet acknowledged then, is counted again: at least
//! once. Quality of service 0 is at most once.
//!
//! **Invariants.** Positions never fall. [`Polled::Idle`] is said only after the broker has had time to send what it kept.

pub mod broker;
mod held;
mod link;
mod payload;

use std::time::{Duration, Instant};

use hb_core::mark::Mark;
use hb_core::time::Stamp;
use rumqttc::{Publish, QoS};

use crate::format::{Format, TimeUnit};
use crate::messages::{Goes, Message, Messages, Room};
use crate::{Limits, Polled, Rereads, Source, SourceError, wall};
use broker::Broker;
use held::{Held, Known, Ticket};
use link::{Link, News};

/// How surely a message is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Qos {
    /// 0.
    AtMostOnce,
    /// 1. What comes twice over one run is known and counted once, so 2 would add nothing.
    AtLeastOnce,
}

/// Messages to read.
#[derive(Debug, Clone, PartialEq)]
pub struct MqttSpec {
    /// Where.
    pub broker: Broker,
    /// Which: `+` stands for a level, `#` for all that follow.
    pub topic: String,
    /// How surely.
    pub qos: Qos,
    /// Name of the session at the broker; the same on every node of a watch.
    pub client_id: String,
    /// What numbers mean as times, and what a message without one is.
    pub format: Format,
}

/// How long there may be no connection before that is an error: within it, what the broker keeps is not late.
const DOWN_GRACE: Duration = Duration::from_secs(10);
/// How long nothing must come after connecting before the broker has sent all that it kept.
const SETTLED_AFTER: Duration = Duration::from_secs(1);

/// The client id of a watch: the same on every node, another for another topic.
#[must_use]
pub fn client_id(watch: &str, topic: &str) -> String {
    format!("hb-{watch}-{:08x}", print(&[topic.as_bytes()]) >> 32)
}

/// FNV-1a, 64 bits, over several texts.
fn print(texts: &[&[u8]]) -> u64 {
    let bytes = texts.iter().flat_map(|text| text.iter().copied().chain([0xFF]));
    bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// What is known of the connection.
#[derive(Debug)]
enum State {
    /// None since then; why.
    Down(Instant, String),
    /// There is one; since when nothing has come that the broker may have kept.
    CatchingUp(Instant),
    /// All that the broker kept has come.
    Settled,
}

/// Reads the messages of a topic.
#[derive(Debug)]
pub struct MqttSource {
    spec: MqttSpec,
    link: Option<Link>,
    state: State,
    messages: Messages,
    held: Held,
    /// A message that found no room in the batch.
    left: Option<(Box<Publish>, Stamp)>,
}

impl MqttSource {
    /// A source that will connect when it is first read.
    #[must_use]
    pub fn new(spec: MqttSpec, limits: Limits) -> Self {
        let messages = Messages::new("mqtt", spec.format, limits);
        let state = State::Down(Instant::now(), "not connected yet".to_owned());
        Self { spec, link: None, state, messages, held: Held::new(), left: None }
    }

    fn connect(&mut self) -> Result<(), SourceError> {
        if self.link.is_none() {
            self.link = Some(Link::start(&self.spec)?);
            self.down("not connected yet".to_owned());
        }
        Ok(())
    }

    fn down(&mut self, why: String) {
        let since = match self.state {
            State::Down(since, _) => since,
            State::CatchingUp(_) | State::Settled => Instant::now(),
        };
        self.state = State::Down(since, why);
    }

    /// Sends the acknowledgements that are due.
    fn acknowledge(&mut self) {
        let settled = if matches!(self.state, State::Settled) { Known::Yes } else { Known::No };
        let Some(link) = &self.link else { return };
        self.held.flush(settled, |ticket| link.acknowledge(ticket));
    }

    /// Takes what is there, until nothing is or the batch is full.
    fn gather(&mut self, patience: Duration) -> Room {
        let mut patience = patience;
        loop {
            let (message, arrival) = match self.left.take() {
                Some(left) => left,
                None => match self.link.as_ref().and_then(|link| link.next(patience)) {
                    None => return Room::More,
                    Some(News::Message(message, arrival)) => (message, arrival),
                    Some(other) => {
                        self.told(other);
                        continue;
                    }
                },
            };
            patience = Duration::ZERO;
            match self.message(message, arrival) {
                Room::More => {}
                full @ (Room::Full | Room::None) => return full,
            }
        }
    }

    fn told(&mut self, news: News) {
        match news {
            News::Up(remembers) => self.held.connected(remembers),
            News::Subscribed => self.state = State::CatchingUp(Instant::now()),
            News::Down(why) => {
                let place = self.spec.broker.place();
                tracing::debug!("the broker at {place}: {why}");
                self.down(format!("the MQTT broker at {place}: {why}"));
            }
            News::Message(..) => {}
        }
    }

    fn message(&mut self, message: Box<Publish>, arrival: Stamp) -> Room {
        if let State::CatchingUp(since) = &mut self.state {
            *since = Instant::now();
        }
        let ticket = ticket(&message);
        if let Some(ticket) = ticket.filter(|_| message.dup)
            && self.held.again(ticket) == Known::Yes
        {
            return Room::More;
        }
        let topic = String::from_utf8_lossy(&message.topic);
        let read = payload::event(&topic, &message.payload, self.spec.format.time_unit);
        let place = format!("mqtt {topic}");
        let room = self.messages.push(&Message { place: &place, text: &message.payload, arrival }, read);
        drop(topic);
        match (room, ticket) {
            (Room::None, _) => self.left = Some((message, arrival)),
            (Room::More | Room::Full, Some(ticket)) => {
                let position = self.messages.position() - 1;
                self.held.take(position, ticket, Instant::now());
            }
            (Room::More | Room::Full, None) => {}
        }
        room
    }

    /// What can be said when nothing came.
    fn nothing(&mut self, looked_at: Stamp) -> Result<Polled, SourceError> {
        self.held.quiet(Instant::now());
        match &self.state {
            State::Down(since, why) if since.elapsed() >= DOWN_GRACE => Err(SourceError::Retry(why.clone())),
            State::CatchingUp(since) if since.elapsed() >= SETTLED_AFTER => {
                self.state = State::Settled;
                Ok(Polled::Idle { mark: self.messages.mark(), looked_at })
            }
            State::Settled => Ok(Polled::Idle { mark: self.messages.mark(), looked_at }),
            State::Down(..) | State::CatchingUp(_) => Ok(Polled::Batch(self.messages.nothing())),
        }
    }
}

/// What acknowledges a message; none where nothing is to be acknowledged.
fn ticket(message: &Publish) -> Option<Ticket> {
    let held = message.qos != QoS::AtMostOnce;
    held.then(|| Ticket { id: message.pkid, print: print(&[&message.topic, &message.payload]) })
}

impl Source for MqttSource {
    fn next(&mut self, patience: Duration) -> Result<Polled, SourceError> {
        if let Some(gap) = self.messages.gap() {
            return Ok(Polled::Batch(gap));
        }
        let deadline = Instant::now() + patience;
        self.connect()?;
        loop {
            let looked_at = wall::now();
            self.acknowledge();
            let left = deadline.saturating_duration_since(Instant::now());
            self.gather(left);
            if let Some(batch) = self.messages.take() {
                return Ok(Polled::Batch(batch));
            }
            if left.is_zero() {
                return self.nothing(looked_at);
            }
        }
    }

    fn seek(&mut self, mark: Option<&Mark>) -> Result<(), SourceError> {
        match self.messages.seek(mark)? {
            Goes::On => {}
            Goes::Back(count) => {
                // What is not acknowledged comes again over another connection.
                let again = self.held.count_from(self.messages.position()).min(count);
                self.held.release(self.messages.position());
                self.acknowledge();
                self.messages.lose(count - again, "messages were acknowledged before and do not come again");
                if again > 0 {
                    self.link = None;
                    self.held.forget();
                }
            }
        }
        Ok(())
    }

    fn rereads(&self) -> Rereads {
        Rereads::No
    }

    fn release(&mut self, mark: &Mark) {
        self.held.release(mark.position);
        self.acknowledge();
    }
}

impl Drop for MqttSource {
    fn drop(&mut self) {
        if self.held.early > 0 {
            tracing::warn!(
                count = self.held.early,
                "messages were acknowledged before their cycle was durable: more were on their way than may be held"
            );
        }
    }
}

/// See [`crate::fuzzing::message`].
pub(crate) fn fuzzing(topic: &str, payload: &[u8]) -> Result<crate::fuzzing::Said, &'static str> {
    let event = payload::event(topic, payload, TimeUnit::Seconds);
    let event = event.map_err(hb_core::watch::sample::FaultCause::as_str)?;
    let (name, unit) = (event.name.into_owned(), event.unit.map(std::borrow::Cow::into_owned));
    Ok(crate::fuzzing::Said { name, unit, bits: event.value.to_bits(), at: event.at })
}
