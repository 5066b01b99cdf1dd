//! The connection: a thread that speaks MQTT and hands on what comes.
//!
//! **Invariants.** At most [`NEWS_MAX`] pieces of news wait; at that bound the thread waits too, and with it, through TCP, the
//! broker: nothing is dropped here. The thread ends with the [`Link`], after what was to be acknowledged has been sent.

use std::fs;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use hb_core::time::Stamp;
use hb_tls::Roots;
use rumqttc::{
    AckMode, AsyncClient, ClientError, Event, EventLoop, ManualAck, MqttOptions, Packet, PersistedAckMode,
    PersistedSession, PubAck, Publish, QoS, RetainForwardRule, SessionStore, SessionStoreError, SessionStoreKey,
    SubscribeFilter, SubscribeReasonCode, TlsConfiguration, Transport,
};
use tokio::sync::oneshot;

use super::broker::{Broker, PASSWORD_VARIABLE, Wire};
use super::held::{Known, Sent, Ticket};
use super::{MqttSpec, Qos};
use crate::{SourceError, wall};

/// Most pieces of news waiting to be read.
const NEWS_MAX: usize = 256;
/// Largest packet taken, in bytes; the broker is told, and keeps back larger ones.
const PACKET_BYTES_MAX: u32 = 256 * 1024;
/// How many unacknowledged messages the broker may send: all that packet ids allow.
const AHEAD_MAX: u16 = u16::MAX;
/// How long the broker keeps the session, and with it what is published, while nobody is connected, in seconds.
const SESSION_KEPT_S: u32 = 7 * 86_400;
/// Seconds without traffic after which the broker is asked whether it is there.
const KEEP_ALIVE_S: u16 = 15;
/// Acknowledgements waiting for the thread.
const REQUESTS_MAX: usize = 1_024;
/// First pause before another try to connect; it doubles up to [`PAUSE_MAX`].
const PAUSE_FIRST: Duration = Duration::from_millis(200);
/// Longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How long a leaving link may take to send what it has to send.
const LEAVE: Duration = Duration::from_millis(800);

/// What came.
#[derive(Debug)]
pub(crate) enum News {
    /// Connected; whether the broker has the session still.
    Up(Known),
    /// From here on messages come.
    Subscribed,
    /// A message and when it came.
    Message(Box<Publish>, Stamp),
    /// No connection; why.
    Down(String),
}

/// A connection, made anew whenever it breaks.
pub(crate) struct Link {
    news: Receiver<News>,
    client: AsyncClient,
    stop: Option<oneshot::Sender<()>>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Link")
    }
}

impl Link {
    /// Starts to connect.
    ///
    /// # Errors
    /// [`SourceError::Retry`] when a file with a secret or a certificate cannot be read, or no thread be started.
    pub(crate) fn start(spec: &MqttSpec) -> Result<Self, SourceError> {
        let (client, events) = AsyncClient::builder(options(spec)?)
            .capacity(REQUESTS_MAX)
            .try_build()
            .map_err(|error| SourceError::Invalid(format!("cannot speak MQTT: {error}")))?;
        let cannot = |error: io::Error| SourceError::Retry(format!("cannot start the MQTT connection: {error}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
        let (out, news) = sync_channel(NEWS_MAX);
        let (stop, stopped) = oneshot::channel();
        let talk = Talk { client: client.clone(), events, topic: spec.topic.clone(), qos: spec.qos, out };
        let run = move || runtime.block_on(talk.run(stopped));
        thread::Builder::new().name("mqtt".to_owned()).spawn(run).map_err(cannot)?;
        Ok(Self { news, client, stop: Some(stop) })
    }

    /// The next piece of news.
    pub(crate) fn next(&self, patience: Duration) -> Option<News> {
        match self.news.recv_timeout(patience) {
            Ok(news) => Some(news),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                thread::sleep(patience);
                Some(News::Down("the MQTT connection has ended before its time".to_owned()))
            }
        }
    }

    /// Acknowledges a message, if there is room for it.
    pub(crate) fn acknowledge(&self, ticket: Ticket) -> Sent {
        match self.client.try_manual_ack(ManualAck::PubAck(PubAck::new(ticket.id, None))) {
            Ok(()) => Sent::Yes,
            Err(ClientError::RequestChannelFull(_) | ClientError::RequestChannelDisconnected(_)) => Sent::Later,
            Err(error) => {
                tracing::warn!(%error, "a message could not be acknowledged; the broker will send it again");
                Sent::Yes
            }
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take()
            && stop.send(()).is_err()
        {
            tracing::debug!("the MQTT connection had ended before it was given up");
        }
    }
}

fn options(spec: &MqttSpec) -> Result<MqttOptions, SourceError> {
    let broker = &spec.broker;
    let mut options = MqttOptions::new(spec.client_id.as_str(), (broker.host.as_str(), broker.port));
    options.set_keep_alive(KEEP_ALIVE_S);
    // The broker keeps what is published while nobody reads; what it sent and we did not acknowledge it sends again.
    options.set_clean_start(false);
    options.set_session_expiry_interval(Some(SESSION_KEPT_S));
    options.set_session_store(NothingKept);
    options.set_ack_mode(AckMode::Manual);
    options.set_receive_maximum(Some(AHEAD_MAX));
    options.set_max_packet_size(Some(PACKET_BYTES_MAX));
    if let Some(user) = &broker.user {
        options.set_credentials(user.as_str(), password(broker)?);
    }
    if broker.wire == Wire::Tls {
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::new(tls(broker)?))));
    }
    Ok(options)
}

/// What a store of sessions answers with, some time.
type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, SessionStoreError>> + Send + 'a>>;

/// The library's version of the form below.
const SESSION_FORMAT: u16 = 1;

/// What this side must keep of a session to go on with it: nothing, since it never publishes.
#[derive(Debug)]
struct NothingKept;

impl SessionStore for NothingKept {
    fn load<'a>(&'a self, key: &'a SessionStoreKey) -> Answer<'a, Option<PersistedSession>> {
        let session = PersistedSession {
            format_version: SESSION_FORMAT,
            client_id: key.client_id().to_owned(),
            clean_start: false,
            session_expiry_interval: Some(SESSION_KEPT_S),
            outgoing_inflight_upper_limit: None,
            ack_mode: PersistedAckMode::Manual,
            last_pkid: 0,
            last_puback: 0,
            replay: Vec::new(),
            incoming_qos2: Vec::new(),
        };
        Box::pin(async { Ok(Some(session)) })
    }

    fn save<'a>(&'a self, _: &'a SessionStoreKey, _: &'a PersistedSession) -> Answer<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn clear<'a>(&'a self, _: &'a SessionStoreKey) -> Answer<'a, ()> {
        Box::pin(async { Ok(()) })
    }
}

fn password(broker: &Broker) -> Result<String, SourceError> {
    let Some(path) = &broker.password_file else {
        return Ok(std::env::var(PASSWORD_VARIABLE).unwrap_or_default());
    };
    let text = fs::read_to_string(path).map_err(|error| {
        SourceError::Retry(format!("cannot read the broker's password from {}: {error}", path.display()))
    })?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

fn tls(broker: &Broker) -> Result<rustls::ClientConfig, SourceError> {
    let roots = broker.ca_file.as_deref().map_or(Roots::System, Roots::File);
    hb_tls::client(roots, None).map_err(SourceError::Retry)
}

/// The thread's side.
struct Talk {
    client: AsyncClient,
    events: EventLoop,
    topic: String,
    qos: Qos,
    out: SyncSender<News>,
}

impl Talk {
    async fn run(mut self, mut stop: oneshot::Receiver<()>) {
        let mut pause = PAUSE_FIRST;
        loop {
            let event = tokio::select! {
                biased;
                _ = &mut stop => return self.leave().await,
                event = self.events.poll() => event,
            };
            let news = match event {
                Ok(Event::Incoming(packet)) => self.heard(packet),
                Ok(Event::Outgoing(_) | Event::Auth(_)) => None,
                Err(error) => Some(News::Down(error.to_string())),
            };
            let Some(news) = news else { continue };
            let down = matches!(news, News::Down(_));
            // Waiting for room here is what makes the broker wait. An error says that nobody reads any more.
            if self.out.send(news).is_err() {
                return self.leave().await;
            }
            if !down {
                pause = PAUSE_FIRST;
                continue;
            }
            tokio::select! {
                _ = &mut stop => return,
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE_MAX),
            }
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the library's packets are not ours; the others are its affair")]
    fn heard(&self, packet: Packet) -> Option<News> {
        match packet {
            Packet::ConnAck(ack) => {
                let remembers = if ack.session_present { Known::Yes } else { Known::No };
                let qos = match self.qos {
                    Qos::AtMostOnce => QoS::AtMostOnce,
                    Qos::AtLeastOnce => QoS::AtLeastOnce,
                };
                let mut filter = SubscribeFilter::new(self.topic.as_str(), qos);
                // What a broker retains was published before: it is no new reading.
                filter.retain_forward_rule = RetainForwardRule::Never;
                match self.client.try_subscribe_many([filter]) {
                    Ok(()) => Some(News::Up(remembers)),
                    Err(error) => Some(News::Down(format!("cannot subscribe to {}: {error}", self.topic))),
                }
            }
            Packet::SubAck(ack) => match ack.return_codes.first() {
                Some(SubscribeReasonCode::Success(_)) => Some(News::Subscribed),
                Some(why) => Some(News::Down(format!("the broker refuses the topic {}: {why:?}", self.topic))),
                None => None,
            },
            Packet::Publish(message) => Some(News::Message(Box::new(message), wall::now())),
            _ => None,
        }
    }

    /// Sends what is to be sent and says goodbye, if the broker is there.
    async fn leave(mut self) {
        if self.client.try_disconnect().is_err() {
            return;
        }
        let drain = async { while self.events.poll().await.is_ok() {} };
        // Over time: what was not acknowledged is sent again, and known then.
        drop(tokio::time::timeout(LEAVE, drain).await);
    }
}
