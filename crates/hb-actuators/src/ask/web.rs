//! Questions and calls over HTTP. Redirects are not followed, and no more of an answer is read than is told.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hb_core::supervise::input::Called;
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};

use super::answer::Answer;
use crate::process::readable;
use crate::tls::{self, Speaks, chain};

/// Most bytes of an answer that are read.
const ANSWER_MAX: usize = 1024;
/// How long it may take to reach a host, within half of the time limit.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Clients for questions, made when first needed.
#[derive(Debug, Clone, Default)]
pub(super) struct Clients {
    plain: Arc<OnceLock<Result<Client, String>>>,
    tls: Arc<OnceLock<Result<Client, String>>>,
}

impl Clients {
    fn of(&self, url: &Url) -> Result<Client, String> {
        let (speaks, client) = match url.scheme() {
            "https" => (Speaks::Https, &self.tls),
            _ => (Speaks::Http, &self.plain),
        };
        client.get_or_init(|| make(speaks, CONNECT_MAX)).clone()
    }
}

fn make(speaks: Speaks, connect: Duration) -> Result<Client, String> {
    tls::asking(speaks)?
        .redirect(Policy::none())
        .connect_timeout(connect)
        // Each question is a connection of its own: whether one can be had is part of it.
        .pool_max_idle_per_host(0)
        .user_agent(concat!("hb/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|fault| format!("no HTTP client can be made: {}", chain(&fault)))
}

/// Only what may be shown of a URL: it may hold credentials.
fn place(url: &Url) -> String {
    let host = url.host_str().unwrap_or("?");
    match url.port() {
        Some(port) => format!("{}://{host}:{port}{}", url.scheme(), url.path()),
        None => format!("{}://{host}{}", url.scheme(), url.path()),
    }
}

fn parse(url: &str) -> Result<Url, String> {
    let url = Url::parse(url).map_err(|fault| format!("it is not a URL ({fault}): expected http://HOST/PATH"))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        other => Err(format!("{other:?} is not spoken, only http and https")),
    }
}

/// Whether `GET` is answered with a status from 200 to 399.
pub(super) async fn get(url: &str, timeout: Duration, clients: &Clients) -> Answer {
    let (url, client) = match parse(url).and_then(|url| clients.of(&url).map(|client| (url, client))) {
        Ok(both) => both,
        Err(why) => return Answer::bad(why),
    };
    let place = place(&url);
    match client.get(url).timeout(timeout).send().await {
        Ok(answer) => {
            let status = answer.status();
            let said = format!("{place} answered {status}");
            if (200..400).contains(&status.as_u16()) { Answer::good(said) } else { Answer::bad(said) }
        }
        Err(fault) if fault.is_timeout() => {
            Answer::bad(format!("{place}: no answer within {} s", timeout.as_secs_f64()))
        }
        Err(fault) => Answer::bad(format!("{place}: {}", chain(&fault.without_url()))),
    }
}

/// Posts a document, whose key tells a repetition.
///
/// What certainly was not done: nobody was reached; or an answer says so (4xx but 408, 501, 503). What may have been done: everything else that is not 2xx.
pub(super) async fn post(url: &str, key: &str, body: String, timeout: Duration) -> Called {
    let url = match parse(url) {
        Ok(url) => url,
        Err(why) => return Called::Failed(why),
    };
    let speaks = if url.scheme() == "https" { Speaks::Https } else { Speaks::Http };
    // A client of its own: reaching the host must fail before the whole does, so that it is known not to have been sent.
    let client = match make(speaks, CONNECT_MAX.min(timeout / 2)) {
        Ok(client) => client,
        Err(why) => return Called::Failed(why),
    };
    let place = place(&url);
    let request = client.post(url).timeout(timeout).header(reqwest::header::CONTENT_TYPE, "application/json");
    match request.header("Idempotency-Key", percent(key)).body(body).send().await {
        Ok(answer) => judge(&place, answer).await,
        Err(fault) if fault.is_connect() || fault.is_builder() => {
            Called::Failed(readable(format!("{place} was not reached: {}", chain(&fault.without_url())).as_bytes()))
        }
        Err(fault) => Called::Unknown(readable(
            format!("{place} was told, and did not answer: {}", chain(&fault.without_url())).as_bytes(),
        )),
    }
}

async fn judge(place: &str, answer: Response) -> Called {
    let status = answer.status();
    let said = said(answer).await;
    let told = |text: String| readable(text.as_bytes());
    if status.is_success() {
        return Called::Done(said);
    }
    if status.is_redirection() {
        return Called::Failed(told(format!(
            "{place} answered {status}, which is not followed: put the final address into `url`"
        )));
    }
    let text = told(format!("{place} answered {status}: {said}"));
    match status.as_u16() {
        408 => Called::Unknown(text),
        501 | 503 => Called::Failed(text),
        _ if status.is_client_error() => Called::Failed(text),
        _ => Called::Unknown(text),
    }
}

/// The beginning of an answer. The time limit of the request covers this too.
async fn said(mut answer: Response) -> String {
    let mut bytes: Vec<u8> = Vec::new();
    while bytes.len() < ANSWER_MAX {
        match answer.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(chunk.get(..chunk.len().min(ANSWER_MAX)).unwrap_or_default()),
            Ok(None) | Err(_) => break,
        }
    }
    readable(&bytes)
}

/// Everything but letters, digits and `-._~` percent-encoded, so that each text has one form.
pub(super) fn percent(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}
