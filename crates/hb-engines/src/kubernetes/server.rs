//! Questions to the API server, with a token that is read again when it may have changed.
//!
//! **Invariants.** A question that changes something is repeated only where the server said that nothing was done (401, 429), and
//! within the patience. No token is logged or kept in an error.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hb_store::register::{Cell, CellVersion};
use reqwest::{Client, Method, RequestBuilder};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::document::{DEPLOYMENT, Object};
use super::fault::{Fault, Status, Verb};
use super::names;
use super::target::KubernetesTarget;
use crate::follow::{Followed, Look, Said};
use crate::line::{self, ask};
use crate::target::{Manner, TargetError};

/// How long a token is used until its file is read again: Kubernetes changes it long before it ends.
const TOKEN_AGE: Duration = Duration::from_secs(60);
/// How long the server may keep one watch open.
const WATCH_SECONDS: u32 = 300;
/// Pause before a question that reads is asked again after a failure of the server.
const AGAIN: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
struct Token {
    text: Option<String>,
    read: Option<Instant>,
}

/// An API server that is spoken to.
pub(super) struct Server {
    client: Client,
    pub(super) target: KubernetesTarget,
    pub(super) patience: Duration,
    token: Mutex<Token>,
    /// What watches told of last.
    news: Mutex<Option<Object>>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Server").field("target", &self.target).finish_non_exhaustive()
    }
}

/// A list of objects.
#[derive(Debug, Deserialize)]
pub(super) struct Listed {
    pub(super) metadata: ListMetadata,
    #[serde(default)]
    pub(super) items: Vec<Object>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListMetadata {
    #[serde(default)]
    resource_version: String,
    #[serde(default, rename = "continue")]
    pub(super) next: String,
}

/// One question.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) verb: Verb,
    /// The object that it is about; empty for all.
    pub(super) object: String,
    /// What stands behind `?`.
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) body: Option<Value>,
}

impl Question {
    /// About one object.
    pub(super) fn about(verb: Verb, object: &str, body: Option<Value>) -> Self {
        Self { verb, object: object.to_owned(), query: Vec::new(), body }
    }

    /// About every object of a deployment, or the rest of them.
    pub(super) fn page(deployment: &str, limit: usize, next: &str) -> Self {
        let mut query = vec![("labelSelector", format!("{DEPLOYMENT}={deployment}")), ("limit", limit.to_string())];
        if !next.is_empty() {
            query.push(("continue", next.to_owned()));
        }
        Self { verb: Verb::List, object: String::new(), query, body: None }
    }
}

impl Server {
    /// Makes ready to speak; nothing is asked yet.
    ///
    /// # Errors
    /// [`TargetError`] when a file of TLS cannot be used.
    pub(super) fn new(target: KubernetesTarget, manner: Manner) -> Result<Self, TargetError> {
        let client = line::client(target.roots(), target.identity.as_ref(), manner.patience / 2)?;
        Ok(Self { client, target, patience: manner.patience, token: Mutex::default(), news: Mutex::default() })
    }

    /// Asks, within the patience.
    pub(super) async fn ask<T: DeserializeOwned>(&self, question: Question) -> Result<T, Fault> {
        let until = Instant::now() + self.patience;
        let mut logins = 0;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let fault = match self.once(&question, left).await {
                Ok(answer) => return Ok(answer),
                Err(fault) => fault,
            };
            let again = match &fault {
                Fault::Login(_) if logins == 0 && self.target.token_file.is_some() => {
                    logins += 1;
                    self.forget();
                    Some(Duration::ZERO)
                }
                Fault::Busy(_, asked) => Some(*asked),
                Fault::Unknown(_) if !question.verb.changes() => Some(AGAIN),
                Fault::Absent
                | Fault::Conflict
                | Fault::Gone(_)
                | Fault::Login(_)
                | Fault::NotDone(_)
                | Fault::Unknown(_) => None,
            };
            let Some(pause) = again else { return Err(fault) };
            if until.saturating_duration_since(Instant::now()) <= pause {
                return Err(fault);
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn once<T: DeserializeOwned>(&self, question: &Question, within: Duration) -> Result<T, Fault> {
        let request = self.request(question)?;
        let answer = ask(request, within).await.map_err(|trouble| Fault::of_trouble(&self.target, &trouble))?;
        if !(200..300).contains(&answer.status) {
            return Err(Fault::of_answer(&self.target, question.verb, &question.object, &answer));
        }
        let server = &self.target.server;
        serde_json::from_slice(&answer.body)
            .map_err(|fault| Fault::Unknown(format!("API server {server} answers what is not understood: {fault}")))
    }

    fn request(&self, question: &Question) -> Result<RequestBuilder, Fault> {
        let target = &self.target;
        let method = match question.verb {
            Verb::Get | Verb::List | Verb::Watch => Method::GET,
            Verb::Create => Method::POST,
            Verb::Update => Method::PUT,
            Verb::Delete => Method::DELETE,
        };
        let mut url = reqwest::Url::parse(&target.server)
            .map_err(|fault| Fault::NotDone(format!("server={}: {fault}", target.server)))?;
        let mut path = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", target.namespace);
        if matches!(question.verb, Verb::Get | Verb::Update | Verb::Delete) {
            path.push('/');
            path.push_str(&question.object);
        }
        url.set_path(&path);
        if !question.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&question.query);
        }
        let mut request = self.client.request(method, url).header(reqwest::header::ACCEPT, "application/json");
        if let Some(token) = self.token()? {
            request = request.bearer_auth(token);
        }
        Ok(match &question.body {
            Some(body) => request.json(body),
            None => request,
        })
    }

    /// The token to show, if any.
    fn token(&self) -> Result<Option<String>, Fault> {
        let Some(file) = &self.target.token_file else { return Ok(None) };
        let mut token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        let old = token.read.is_none_or(|read| read.elapsed() > TOKEN_AGE);
        if old || token.text.is_none() {
            match std::fs::read_to_string(file) {
                Ok(text) => *token = Token { text: Some(text.trim().to_owned()), read: Some(Instant::now()) },
                // The one that is known may still be good.
                Err(fault) if token.text.is_some() => {
                    tracing::warn!(file = %file.display(), %fault, "the token cannot be read again");
                    token.read = Some(Instant::now());
                }
                Err(fault) => {
                    return Err(Fault::NotDone(format!("cannot read the token file {}: {fault}", file.display())));
                }
            }
        }
        Ok(token.text.clone())
    }

    /// Has the token read again.
    fn forget(&self) {
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Token::default();
    }

    /// The object of a cell.
    pub(super) fn object(&self, cell: &str) -> String {
        names::object(&self.target.name, cell)
    }

    /// The object that watches told of last, if it is of that version.
    pub(super) fn news(&self, version: &CellVersion) -> Option<Object> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner).take_if(|object| object.version() == *version)
    }

    /// The cell of an object that was found or told of.
    fn found(&self, name: &str, object: Object) -> Result<Cell, String> {
        let cell = object.cell_of(&self.target.name, name)?;
        *self.news.lock().unwrap_or_else(PoisonError::into_inner) = Some(object);
        Ok(cell)
    }

    fn select(&self, name: &str) -> (&'static str, String) {
        ("fieldSelector", format!("metadata.name={}", self.object(name)))
    }
}

#[derive(Debug, Deserialize)]
struct Happened {
    #[serde(rename = "type")]
    kind: String,
    object: Value,
}

impl Followed for Server {
    type Mark = String;

    /// A list of one: it also tells from where to watch where there is no object.
    async fn look(&self, name: &str) -> Result<Look<String>, String> {
        let question = Question { verb: Verb::List, object: String::new(), query: vec![self.select(name)], body: None };
        let listed: Listed = self.ask(question).await.map_err(Fault::into_text)?;
        let cell = listed.items.into_iter().next().map(|object| self.found(name, object)).transpose()?;
        Ok(Look { cell, mark: listed.metadata.resource_version })
    }

    async fn open(&self, name: &str, mark: &String) -> Result<reqwest::Response, String> {
        let query = vec![
            self.select(name),
            ("watch", "true".into()),
            ("allowWatchBookmarks", "true".into()),
            ("resourceVersion", mark.clone()),
            ("timeoutSeconds", WATCH_SECONDS.to_string()),
        ];
        let question = Question { verb: Verb::Watch, object: String::new(), query, body: None };
        let request = self.request(&question).map_err(Fault::into_text)?;
        let response = tokio::time::timeout(self.patience, request.send())
            .await
            .map_err(|_| format!("API server {} opened no watch in time", self.target.server))?
            .map_err(|fault| Fault::of_trouble(&self.target, &line::trouble(&fault)).into_text())?;
        if response.status().is_success() {
            return Ok(response);
        }
        let answer = tokio::time::timeout(self.patience, line::read(response)).await;
        let answer =
            answer.map_err(|_| "the refusal of a watch did not end".to_owned())?.map_err(|fault| fault.to_string())?;
        let fault = Fault::of_answer(&self.target, Verb::Watch, "", &answer);
        if matches!(fault, Fault::Login(_)) {
            self.forget();
        }
        Err(fault.into_text())
    }

    fn line(&self, name: &str, line: &[u8]) -> Result<Said, String> {
        let not_understood = |fault| format!("the watch says what is not understood: {fault}");
        let Happened { kind, object } = serde_json::from_slice(line).map_err(not_understood)?;
        match kind.as_str() {
            "ADDED" | "MODIFIED" => {
                let object: Object = serde_json::from_value(object).map_err(not_understood)?;
                Ok(Said::Now(Some(self.found(name, object)?)))
            }
            "DELETED" => Ok(Said::Now(None)),
            "ERROR" => {
                let status: Status = serde_json::from_value(object).unwrap_or_default();
                Err(format!("the API server ended the watch ({} {}): {}", status.code, status.reason, status.message))
            }
            // Bookmarks, and what later versions may say: the stream lives.
            _ => Ok(Said::Alive),
        }
    }
}
