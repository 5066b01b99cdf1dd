//! Alerts as signed POSTs.
//!
//! A request carries `Idempotency-Key` (the alert's key; the same for every try) and, where a secret is set,
//! `X-HB-Signature: t=SECONDS,v1=HEX`: `HEX` is HMAC-SHA256 with the secret over `SECONDS`, a full stop and the body. A
//! receiver computes it again over the raw body, compares in constant time, and refuses when `SECONDS` is further from
//! its own clock than it trusts.
//!
//! **Invariants.** Neither the secret nor more of the URL than its host is in any text that leaves here.

use std::io::Read;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hb_core::supervise::alert::Notification;
use hb_core::time::Stamp;
use hb_core::watch::alert::Alert;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Url;
use reqwest::blocking::{Client, Response};
use reqwest::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};

use super::document::AlertDoc;
use super::{AlertSink, Delivery, NotificationDoc, NotificationSink, SinkError, retry_after};
use crate::secret::Secret;
use crate::tls::{self, Speaks, chain};

/// Most bytes of a refusal that are read, to tell people why.
const ANSWER_MAX: usize = 512;
/// How long it may take to reach the host, within the timeout of the whole.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Posts each alert.
pub struct WebhookSink {
    name: String,
    url: Url,
    place: String,
    secret: Option<Secret>,
    timeout: Duration,
    /// Made at the first alert: a node that never has one needs no thread and no roots.
    client: Option<Client>,
}

impl std::fmt::Debug for WebhookSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebhookSink").field("name", &self.name).field("to", &self.place).finish_non_exhaustive()
    }
}

impl WebhookSink {
    /// The sink called `name`; `timeout` bounds one try in all.
    ///
    /// # Errors
    /// When the settings make no sense.
    pub fn new(name: &str, url: &Secret, secret: Option<Secret>, timeout: Duration) -> Result<Self, SinkError> {
        let (url, place) = target(url)?;
        if secret.as_ref().is_some_and(|secret| secret.bytes().is_empty()) {
            return Err(SinkError::EmptySecret);
        }
        if timeout.is_zero() {
            return Err(SinkError::NoTime);
        }
        Ok(Self { name: name.to_owned(), url, place, secret, timeout, client: None })
    }

    fn client(&mut self) -> Result<Client, String> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let speaks = if self.url.scheme() == "https" { Speaks::Https } else { Speaks::Http };
        let client = tls::client(speaks)?
            .timeout(self.timeout)
            .connect_timeout(self.timeout.min(CONNECT_MAX))
            .pool_max_idle_per_host(0)
            .user_agent(concat!("hb/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|fault| format!("no HTTP client can be made: {}", chain(&fault)))?;
        self.client = Some(client.clone());
        Ok(client)
    }

    fn post(&mut self, key: &str, body: String) -> Result<Response, String> {
        let client = self.client()?;
        let mut request = client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("Idempotency-Key", header_text(key));
        if let Some(secret) = &self.secret {
            let at = seconds(now());
            request = request.header("X-HB-Signature", format!("t={at},v1={}", signature(secret, at, body.as_bytes())));
        }
        request.body(body).send().map_err(|fault| format!("{}: {}", self.place, chain(&fault.without_url())))
    }
}

impl AlertSink for WebhookSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn deliver(&mut self, alert: &Alert, report: Option<&str>) -> Delivery {
        self.send(&alert.key, AlertDoc::new(alert, report).to_line())
    }
}

impl NotificationSink for WebhookSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn tell(&mut self, notification: &Notification) -> Delivery {
        self.send(&notification.key, NotificationDoc::new(notification).to_line())
    }
}

impl WebhookSink {
    fn send(&mut self, key: &str, body: String) -> Delivery {
        match self.post(key, body) {
            Ok(answer) => judge(&self.place, answer),
            Err(why) => Delivery::retry(why),
        }
    }
}

/// Whether the settings make sense.
pub(super) fn check(url: &Secret, secret: Option<&Secret>, timeout: Duration) -> Result<(), SinkError> {
    WebhookSink::new("check", url, secret.cloned(), timeout).map(drop)
}

/// The URL, and as much of it as may be shown.
fn target(url: &Secret) -> Result<(Url, String), SinkError> {
    let text = String::from_utf8_lossy(url.bytes());
    let url = Url::parse(text.trim()).map_err(|fault| SinkError::Url(fault.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(SinkError::Scheme(url.scheme().to_owned()));
    }
    let host = url.host_str().ok_or(SinkError::NoHost)?;
    let place = match url.port() {
        Some(port) => format!("{}://{host}:{port}", url.scheme()),
        None => format!("{}://{host}", url.scheme()),
    };
    Ok((url, place))
}

fn judge(place: &str, answer: Response) -> Delivery {
    let status = answer.status();
    if status.is_success() {
        return Delivery::Done;
    }
    if status.is_redirection() {
        let to = answer.headers().get(LOCATION).and_then(|to| to.to_str().ok()).and_then(|to| Url::parse(to).ok());
        let to = to.and_then(|to| to.host_str().map(str::to_owned)).unwrap_or_else(|| "another place".to_owned());
        let why =
            format!("{place} answered {status} to {to}, which is not followed: put the final address into webhook_url");
        return Delivery::GiveUp { why };
    }
    let after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let after = after.and_then(|value| retry_after::parse(value, now()));
    let passing = status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429);
    let why = format!("{place} answered {status}{}", said(answer));
    if passing { Delivery::Retry { why, after } } else { Delivery::GiveUp { why } }
}

/// What the other side said, bounded and without control characters. One read: a body that trickles in holds up nobody.
fn said(mut answer: Response) -> String {
    let mut bytes = [0u8; ANSWER_MAX];
    let read = answer.read(&mut bytes).unwrap_or(0);
    let text = String::from_utf8_lossy(bytes.get(..read).unwrap_or_default()).into_owned();
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let text = text.trim();
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

/// HMAC-SHA256 over `SECONDS.BODY`, in lower-case hex.
///
/// # Panics
/// Never: HMAC takes keys of every length.
#[must_use]
pub fn signature(secret: &Secret, unix_seconds: u64, body: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.bytes()).expect("HMAC takes keys of every length");
    mac.update(unix_seconds.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    mac.finalize().into_bytes().iter().fold(String::with_capacity(64), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("writing to a string does not fail");
        hex
    })
}

/// A key as a header's value: everything but visible ASCII percent-encoded, so that each key has one form.
fn header_text(key: &str) -> String {
    key.bytes().fold(String::with_capacity(key.len()), |mut text, byte| {
        if byte.is_ascii_graphic() && byte != b'%' {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
        text
    })
}

fn now() -> Stamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Stamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

fn seconds(at: Stamp) -> u64 {
    u64::try_from(at.0.div_euclid(hb_core::time::SECOND_NS)).unwrap_or(0)
}
