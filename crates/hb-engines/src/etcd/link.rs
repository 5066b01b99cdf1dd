//! Questions to whichever member of the cluster answers, with a login where one is needed.
//!
//! **Invariants.** A change is sent to another member only after it certainly had no effect at the one before. No password and no
//! token is logged or kept in an error.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::{Client, RequestBuilder};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::fault::Fault;
use super::target::EtcdTarget;
use super::wire::{self, LoggedIn, Pair, Ranged};
use crate::follow::{Followed, Look, Said};
use crate::line::{self, ask};
use crate::target::{Manner, TargetError};

/// Least time that a member is given to answer a read before the next one is asked.
const SHARE_MIN: Duration = Duration::from_millis(100);
/// Most logins for one question.
const LOGINS: u32 = 2;

/// Whether a question changes anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Reads,
    Changes,
}

/// A login.
enum Token {
    /// Not asked for yet, or not valid any more.
    None,
    /// The cluster has no logins.
    Needless,
    Some(String),
}

/// A cluster that is spoken to.
pub(super) struct Link {
    client: Client,
    pub(super) target: EtcdTarget,
    patience: Duration,
    /// The member that last answered.
    preferred: AtomicUsize,
    token: Mutex<Token>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Link").field("target", &self.target).finish_non_exhaustive()
    }
}

impl Link {
    /// Makes ready to speak; nothing is asked yet.
    ///
    /// # Errors
    /// [`TargetError`] when a file of TLS cannot be used.
    pub(super) fn new(target: EtcdTarget, manner: Manner) -> Result<Self, TargetError> {
        let members = u32::try_from(target.endpoints.len()).unwrap_or(u32::MAX).max(1);
        let connect = (manner.patience / (members + 1)).max(SHARE_MIN);
        let client = line::client(target.roots(), target.identity.as_ref(), connect)?;
        if target.user.is_some() && target.endpoints.iter().any(|endpoint| endpoint.starts_with("http://")) {
            tracing::warn!("the password for etcd crosses the network readable: use etcds://");
        }
        let patience = manner.patience;
        Ok(Self { client, target, patience, preferred: AtomicUsize::new(0), token: Mutex::new(Token::None) })
    }

    /// The key of a cell.
    pub(super) fn key(&self, name: &str) -> String {
        format!("{}{name}", self.target.prefix)
    }

    /// Asks the members in turn, within the patience.
    pub(super) async fn ask<T: DeserializeOwned>(&self, effect: Effect, path: &str, body: &Value) -> Result<T, Fault> {
        let until = Instant::now() + self.patience;
        let members = self.target.endpoints.len();
        let begin = self.preferred.load(Ordering::Relaxed);
        let mut last = Fault::NotDone("no member of etcd was asked".into());
        for turn in 0..members {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let others = u32::try_from(members - turn).unwrap_or(u32::MAX).max(1);
            let share = match effect {
                Effect::Reads => (left / others).max(SHARE_MIN),
                Effect::Changes => left,
            };
            let index = (begin + turn) % members;
            match self.ask_member(index, path, body, share).await {
                Ok(answer) => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(fault) => {
                    self.preferred.store((index + 1) % members, Ordering::Relaxed);
                    let done = match &fault {
                        Fault::Refused(_) => true,
                        Fault::NotDone(_) => false,
                        Fault::Unknown(_) | Fault::Login(_) => effect == Effect::Changes,
                    };
                    last = fault;
                    if done {
                        break;
                    }
                }
            }
        }
        Err(last)
    }

    /// Asks one member; logs in where that is needed.
    async fn ask_member<T: DeserializeOwned>(
        &self,
        index: usize,
        path: &str,
        body: &Value,
        within: Duration,
    ) -> Result<T, Fault> {
        let until = Instant::now() + within;
        let mut logins = 0;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let token = self.token(index, left).await?;
            let left = until.saturating_duration_since(Instant::now());
            match self.once(index, path, body, (token.as_deref(), left)).await {
                Err(Fault::Login(why)) => {
                    self.forget(token.as_deref());
                    logins += 1;
                    if logins == LOGINS || self.target.user.is_none() {
                        return Err(Fault::NotDone(why));
                    }
                }
                other => return other,
            }
        }
    }

    async fn once<T: DeserializeOwned>(
        &self,
        index: usize,
        path: &str,
        body: &Value,
        (token, within): (Option<&str>, Duration),
    ) -> Result<T, Fault> {
        let endpoint = self.endpoint(index);
        let answer = ask(self.post(endpoint, path, body, token), within)
            .await
            .map_err(|trouble| Fault::of_trouble(endpoint, &trouble))?;
        if answer.status != 200 {
            return Err(Fault::of_answer(&self.target, endpoint, &answer));
        }
        serde_json::from_slice(&answer.body)
            .map_err(|fault| Fault::Unknown(format!("etcd at {endpoint} answers what is not understood: {fault}")))
    }

    fn endpoint(&self, index: usize) -> &str {
        self.target.endpoints.get(index).map_or("", String::as_str)
    }

    fn post(&self, endpoint: &str, path: &str, body: &Value, token: Option<&str>) -> RequestBuilder {
        let request = self
            .client
            .post(format!("{endpoint}/v3/{path}"))
            // A member that sees no leader says so at once, and has not passed anything on.
            .header("Grpc-Metadata-hasleader", "true")
            .json(body);
        match token {
            Some(token) => request.header(reqwest::header::AUTHORIZATION, token),
            None => request,
        }
    }

    /// The token to show, if any; asks for one where there is none.
    async fn token(&self, index: usize, within: Duration) -> Result<Option<String>, Fault> {
        let Some((user, file)) = &self.target.user else { return Ok(None) };
        match &*self.token.lock().unwrap_or_else(PoisonError::into_inner) {
            Token::Needless => return Ok(None),
            Token::Some(token) => return Ok(Some(token.clone())),
            Token::None => {}
        }
        let text = std::fs::read_to_string(file)
            .map_err(|fault| Fault::Refused(format!("cannot read the password file {}: {fault}", file.display())))?;
        let password = text.lines().next().unwrap_or_default();
        let body = json!({"name": user, "password": password});
        let endpoint = self.endpoint(index);
        // A login changes nothing: whatever happened to it, the question was not asked.
        let answer = ask(self.post(endpoint, "auth/authenticate", &body, None), within)
            .await
            .map_err(|trouble| Fault::NotDone(format!("etcd at {endpoint}, login: {trouble}")))?;
        if answer.status == 200 {
            let login: LoggedIn = serde_json::from_slice(&answer.body)
                .map_err(|_| Fault::NotDone(format!("etcd at {endpoint} answers a login without a token")))?;
            self.keep(Token::Some(login.token.clone()));
            return Ok(Some(login.token));
        }
        match Fault::of_answer(&self.target, endpoint, &answer) {
            Fault::Refused(why) if why.contains("authentication is not enabled") => {
                tracing::warn!("etcd has no logins enabled: the user in its address is not used");
                self.keep(Token::Needless);
                Ok(None)
            }
            Fault::Refused(why) => Err(Fault::Refused(why)),
            Fault::NotDone(why) | Fault::Login(why) | Fault::Unknown(why) => Err(Fault::NotDone(why)),
        }
    }

    fn keep(&self, token: Token) {
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = token;
    }

    /// Forgets a token that is not valid any more, unless there is a newer one already.
    fn forget(&self, used: Option<&str>) {
        let mut token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        let newer = matches!(&*token, Token::Some(now) if Some(now.as_str()) != used);
        if !newer {
            *token = Token::None;
        }
    }
}

impl Followed for Link {
    type Mark = i64;

    async fn look(&self, name: &str) -> Result<Look<i64>, String> {
        let found: Ranged =
            self.ask(Effect::Reads, "kv/range", &wire::range(&self.key(name))).await.map_err(Fault::into_text)?;
        Ok(Look { cell: found.kvs.into_iter().next().map(Pair::into_cell), mark: found.header.revision })
    }

    async fn open(&self, name: &str, mark: &i64) -> Result<reqwest::Response, String> {
        let index = self.preferred.load(Ordering::Relaxed) % self.target.endpoints.len().max(1);
        let token = self.token(index, self.patience).await.map_err(Fault::into_text)?;
        let endpoint = self.endpoint(index);
        let request = self.post(endpoint, "watch", &wire::watch(&self.key(name), *mark), token.as_deref());
        let response = tokio::time::timeout(self.patience, request.send())
            .await
            .map_err(|_| format!("etcd at {endpoint} opened no watch within {} ms", self.patience.as_millis()))?
            .map_err(|fault| format!("etcd at {endpoint}: {}", line::trouble(&fault)))?;
        if response.status().as_u16() == 200 {
            return Ok(response);
        }
        Err(format!("etcd at {endpoint} opened no watch: HTTP status {}", response.status().as_u16()))
    }

    fn line(&self, _name: &str, line: &[u8]) -> Result<Said, String> {
        let said = wire::watched(line);
        if said.as_ref().is_err_and(|why| why.contains("auth token") || why.contains("Unauthenticated")) {
            self.forget(None);
            self.keep(Token::None);
        }
        said
    }
}
