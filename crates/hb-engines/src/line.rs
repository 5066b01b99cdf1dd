//! HTTP to a server whose answer decides something: each question ends as answered, not sent, or lost.
//!
//! **Invariants.** [`Trouble::Unsent`] is said only where no byte of the question can have reached a server. Everything runs on one
//! thread of its own, so that connections are looked after between questions, and those who ask may do so from any thread.
//!
//! Bounds (B1): an answer has at most [`ANSWER_MAX`] bytes.

use std::fmt;
use std::future::Future;
use std::sync::mpsc;
use std::time::Duration;

use hb_tls::{Identity, Roots};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::target::TargetError;

/// Most bytes of an answer: a page of cells, each as large as it may be, in base64.
pub(crate) const ANSWER_MAX: usize = 16 << 20;
/// When the kernel begins to ask whether a silent peer lives, and how often.
const KEEPALIVE: Duration = Duration::from_secs(5);
/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(60);

/// An answer, whatever it says.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// How long the server asks to be left alone.
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The question never reached a server.
    Unsent(String),
    /// It may have.
    Lost(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsent(what) | Self::Lost(what) => out.write_str(what),
        }
    }
}

/// The thread that speaks with one engine.
#[derive(Debug)]
pub(crate) struct Loop {
    /// None only while it is dropped.
    runtime: Option<Runtime>,
    handle: Handle,
}

impl Loop {
    /// Starts it under a name.
    ///
    /// # Errors
    /// [`TargetError`] when the system gives no thread.
    pub(crate) fn start(name: &str) -> Result<Self, TargetError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(2)
            .thread_name(name)
            .enable_all()
            .build()
            .map_err(|fault| TargetError(format!("the thread {name} could not be started: {fault}")))?;
        let handle = runtime.handle().clone();
        Ok(Self { runtime: Some(runtime), handle })
    }

    /// Where tasks are started that outlast a question.
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Runs a question to its end and waits for it; none when the thread died of it.
    pub(crate) fn run<F>(&self, question: F) -> Option<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let (tell, hear) = mpsc::sync_channel(1);
        self.handle.spawn(async move {
            let end = question.await;
            // Nobody listens only when whoever asked has panicked.
            drop(tell.send(end));
        });
        hear.recv().ok()
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        // A name that is looked up cannot be called off: it must hold up nobody.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A client for one engine: no proxy of the environment, no redirects, HTTP/1.1.
///
/// # Errors
/// [`TargetError`] naming the file that cannot be used.
pub(crate) fn client(roots: Roots<'_>, identity: Option<&Identity>, connect: Duration) -> Result<Client, TargetError> {
    let tls = hb_tls::client(roots, identity).map_err(TargetError)?;
    Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .redirect(Policy::none())
        .connect_timeout(connect)
        .pool_idle_timeout(IDLE)
        .tcp_keepalive(KEEPALIVE)
        .tcp_keepalive_interval(KEEPALIVE)
        .tcp_keepalive_retries(2)
        .build()
        .map_err(|fault| TargetError(format!("no HTTP client could be made: {}", chain(&fault))))
}

/// Asks, and reads the whole answer, within a time.
///
/// # Errors
/// [`Trouble`].
pub(crate) async fn ask(request: RequestBuilder, within: Duration) -> Result<Answer, Trouble> {
    let whole = async {
        let response = request.send().await.map_err(|fault| trouble(&fault))?;
        read(response).await
    };
    match tokio::time::timeout(within, whole).await {
        Ok(end) => end,
        Err(_) => Err(Trouble::Lost(format!("no answer within {} ms", within.as_millis()))),
    }
}

/// Reads a whole answer.
///
/// # Errors
/// [`Trouble::Lost`].
pub(crate) async fn read(mut response: reqwest::Response) -> Result<Answer, Trouble> {
    let status = response.status().as_u16();
    let retry_after = response
        .headers()
        .get(reqwest::header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .map(Duration::from_secs);
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(|fault| Trouble::Lost(chain(&fault)))? {
        if body.len() + part.len() > ANSWER_MAX {
            return Err(Trouble::Lost(format!("the answer has more than {ANSWER_MAX} bytes")));
        }
        body.extend_from_slice(&part);
    }
    Ok(Answer { status, retry_after, body })
}

/// What a failure of sending says about whether the question arrived.
pub(crate) fn trouble(fault: &reqwest::Error) -> Trouble {
    let what = chain(fault);
    if fault.is_connect() || fault.is_builder() { Trouble::Unsent(what) } else { Trouble::Lost(what) }
}

/// An error with what is behind it, without the address asked.
pub(crate) fn chain(fault: &dyn std::error::Error) -> String {
    let mut inner = fault.source();
    if inner.is_none() {
        return fault.to_string();
    }
    let mut text = String::new();
    while let Some(cause) = inner {
        let said = cause.to_string();
        if !text.ends_with(&said) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&said);
        }
        inner = cause.source();
    }
    text
}
