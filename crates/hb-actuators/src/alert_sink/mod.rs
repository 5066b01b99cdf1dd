//! Where alerts go: standard output, a file, a webhook.

mod document;
mod file;
pub(crate) mod fuzzing;
pub mod notification;
mod retry_after;
mod stdout;
mod webhook;

use std::path::PathBuf;
use std::time::Duration;

use hb_core::watch::alert::Alert;

pub use document::AlertDoc;
pub use file::FileSink;
pub use notification::{NotificationDoc, NotificationSink};
pub use stdout::StdoutSink;
pub use webhook::{WebhookSink, signature};

use crate::secret::Secret;

/// How long a webhook may take when nothing else is said.
pub const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// A sink as the settings describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SinkSpec {
    /// One line on standard output, `HB_ALERT ` before the JSON document.
    Stdout,
    /// One line of JSON at the end of a file.
    File {
        /// The file, usually `OUTPUT_DIR/alerts.jsonl`.
        path: PathBuf,
    },
    /// A POST of the JSON document.
    Webhook {
        /// `http://` or `https://`. May hold credentials; only its host is ever shown.
        url: Secret,
        /// Signs the request.
        secret: Option<Secret>,
        /// How long one try may take in all.
        timeout: Duration,
    },
}

/// Brings alerts somewhere. One sink is used by one thread at a time, and that thread waits.
pub trait AlertSink: Send {
    /// Its name in settings, records and metrics.
    fn name(&self) -> &str;

    /// Delivers an alert; `report` is the path of the cycle's report, where there is one. Blocks for as long as the sink's own
    /// bound. Must not be called on a thread that runs an async runtime.
    fn deliver(&mut self, alert: &Alert, report: Option<&str>) -> Delivery;
}

/// How a delivery went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// It has arrived: written durably, or acknowledged.
    Done,
    /// It has perhaps not arrived; try again later.
    Retry {
        /// Why, in words.
        why: String,
        /// The other side asked not to be tried sooner.
        after: Option<Duration>,
    },
    /// It never will: trying again would change nothing.
    GiveUp {
        /// Why, and what to do.
        why: String,
    },
}

impl Delivery {
    fn retry(why: impl Into<String>) -> Self {
        Self::Retry { why: why.into(), after: None }
    }
}

/// Why a sink cannot be made of its settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SinkError {
    /// The URL cannot be read.
    #[error("webhook_url is not a URL ({0}); expected something like https://host/path")]
    Url(String),
    /// The URL asks for another protocol.
    #[error("webhook_url has the scheme {0:?}; only http and https are spoken")]
    Scheme(String),
    /// The URL names nobody.
    #[error("webhook_url names no host")]
    NoHost,
    /// The secret is empty.
    #[error("the webhook's secret is empty: give one, or leave the key out")]
    EmptySecret,
    /// The timeout is zero.
    #[error("the webhook's timeout is zero")]
    NoTime,
    /// The path names no file.
    #[error("the alert file {} names no file", .0.display())]
    NoFile(PathBuf),
}

/// Makes the sink called `name`. Touches neither disk nor network.
///
/// # Errors
/// When the settings make no sense.
pub fn build(name: &str, spec: &SinkSpec) -> Result<Box<dyn AlertSink>, SinkError> {
    Ok(match spec {
        SinkSpec::Stdout => Box::new(StdoutSink::new(name)),
        SinkSpec::File { path } => Box::new(FileSink::new(name, path)?),
        SinkSpec::Webhook { url, secret, timeout } => Box::new(WebhookSink::new(name, url, secret.clone(), *timeout)?),
    })
}

/// Whether the sink can be used, as far as can be told without sending anything: for readiness.
///
/// # Errors
/// What is wrong and what to do.
pub fn check(spec: &SinkSpec) -> Result<(), String> {
    match spec {
        SinkSpec::Stdout => Ok(()),
        SinkSpec::File { path } => file::check(path),
        SinkSpec::Webhook { url, secret, timeout } => {
            webhook::check(url, secret.as_ref(), *timeout).map_err(|fault| fault.to_string())
        }
    }
}
