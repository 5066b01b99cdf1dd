//! A connection that is made again when it breaks, and a thread's own runtime to speak over it.
//!
//! **Invariants.** Every question ends before its deadline. After one that has no answer the connection is given up, so that no
//! later answer is taken for that of another question. Connections are tried again at growing distances (B1: at most
//! [`PAUSE_MAX`] apart), within the deadline of whoever asks.

use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_postgres::{Client, Error};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::fault::Fault;
use super::schema;
use super::session::{self, Role, Session};
use super::target::PostgresTarget;
use crate::target::TargetError;

/// First distance between two attempts to connect.
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// Largest distance.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Turns of the runtime in which a connection that has ended is noticed.
const TURNS: usize = 3;

/// See the module.
#[derive(Debug)]
pub(super) struct Link {
    session: Option<Session>,
    /// After the session: it ends what is left of that.
    pub(super) runtime: Runtime,
    pub(super) target: PostgresTarget,
    pub(super) tls: Tls,
    /// Grows with every connection.
    pub(super) serial: u64,
    /// The mark of the schema that was first seen.
    id: Option<String>,
    host: usize,
    pause: Duration,
    again_at: Option<Instant>,
    last: Option<Fault>,
}

/// What makes TLS; it says nothing of itself.
#[derive(Clone)]
pub(super) struct Tls(pub(super) MakeRustlsConnect);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Link {
    /// Reads the files that the target names, and connects if that is possible now. A server that cannot be reached at the
    /// moment is no error.
    pub(super) fn open(target: &PostgresTarget) -> Result<Self, TargetError> {
        let tls = Tls(target.connector()?);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|fault| TargetError(format!("{target}: a runtime cannot be had: {fault}")))?;
        let mut link = Self {
            session: None,
            runtime,
            target: target.clone(),
            tls,
            serial: 0,
            id: None,
            host: 0,
            pause: PAUSE_MIN,
            again_at: None,
            last: None,
        };
        let deadline = link.deadline();
        match link.ready(deadline) {
            Ok(()) => Ok(link),
            Err(Fault::Unusable(what)) => Err(TargetError(what)),
            Err(fault @ (Fault::Away(_) | Fault::Refused(..) | Fault::Broken(_))) => {
                tracing::warn!(%fault, "PostgreSQL cannot be reached yet");
                Ok(link)
            }
        }
    }

    /// When a question that is put now has to be over.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.target.patience()
    }

    /// Puts one question.
    pub(super) fn ask<T>(
        &mut self,
        deadline: Instant,
        question: impl AsyncFnOnce(&Client) -> Result<T, Error>,
    ) -> Result<T, Fault> {
        self.ready(deadline)?;
        let Some(session) = &self.session else { return Err(Fault::Away("there is no connection".into())) };
        let answered = self.runtime.block_on(async { timeout_at(deadline, question(&session.client)).await });
        let fault = match answered {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => Fault::of_question(&error),
            Err(_) => Fault::Broken(format!("no answer within {:?}", self.target.patience())),
        };
        if !matches!(fault, Fault::Refused(..)) {
            self.hang_up();
        }
        Err(fault.at(&self.target.to_string()))
    }

    /// Puts a question that changes nothing, or nothing more when it is put again: once more if the connection breaks.
    pub(super) fn ask_again<T>(&mut self, question: impl AsyncFn(&Client) -> Result<T, Error>) -> Result<T, Fault> {
        let deadline = self.deadline();
        match self.ask(deadline, async |client| question(client).await) {
            Err(Fault::Broken(_)) if Instant::now() < deadline => {
                self.ask(deadline, async |client| question(client).await)
            }
            Err(fault) if fault.met() => self.ask(deadline, async |client| question(client).await),
            answered => answered,
        }
    }

    /// The connection that stands, if one does.
    pub(super) fn session(&mut self) -> Option<(&Runtime, &mut Session)> {
        self.session.as_mut().map(|session| (&self.runtime, session))
    }

    /// Gives the connection up.
    pub(super) fn hang_up(&mut self) {
        if let Some(session) = self.session.take() {
            self.runtime.block_on(session.hang_up());
        }
    }

    /// Sees to it that there is a connection.
    pub(super) fn ready(&mut self, deadline: Instant) -> Result<(), Fault> {
        if let Some(session) = &self.session {
            self.runtime.block_on(async {
                for _ in 0..TURNS {
                    tokio::task::yield_now().await;
                }
            });
            if !session.client.is_closed() {
                return Ok(());
            }
            self.hang_up();
        }
        loop {
            self.wait_for_turn(deadline)?;
            let opened = self.runtime.block_on(async { timeout_at(deadline, open(self)).await });
            let opened = opened.unwrap_or_else(|_| Err(Fault::Away(format!("{}: no answer", self.target))));
            match opened.and_then(|(session, id)| self.known(id).map(|()| session)) {
                Ok(session) => {
                    self.host = session.host;
                    self.session = Some(session);
                    self.serial = self.serial.saturating_add(1);
                    (self.pause, self.again_at, self.last) = (PAUSE_MIN, None, None);
                    return Ok(());
                }
                Err(fault) => {
                    self.again_at = Some(Instant::now() + self.pause);
                    self.pause = self.pause.saturating_mul(2).min(PAUSE_MAX);
                    self.last = Some(fault);
                }
            }
        }
    }

    /// Waits until the next attempt is due; gives the last fault when that would leave too little time to connect, or when waiting does
    /// not help. Who asks all the time would otherwise begin each attempt just before its deadline, and never get through.
    fn wait_for_turn(&self, deadline: Instant) -> Result<(), Fault> {
        let (Some(at), Some(last)) = (self.again_at, &self.last) else { return Ok(()) };
        let hopeless = matches!(last, Fault::Unusable(_)) && at > Instant::now();
        if at + self.target.patience() / 2 >= deadline || hopeless {
            return Err(last.clone());
        }
        self.runtime.block_on(async { sleep_until(at).await });
        Ok(())
    }

    /// The schema must stay the one that it was.
    fn known(&mut self, id: String) -> Result<(), Fault> {
        match &self.id {
            Some(known) if *known != id => Err(Fault::Unusable(format!(
                "{}: another journal stands there than before (mark {id}, before {known}): restart hb if that is meant",
                self.target
            ))),
            Some(_) => Ok(()),
            None => {
                self.id = Some(id);
                Ok(())
            }
        }
    }
}

async fn open(link: &Link) -> Result<(Session, String), Fault> {
    let deadline = Instant::now() + link.target.patience();
    let mut session = session::open(&link.target, &link.tls.0, Role::Ask, (link.host, deadline)).await?;
    let id = schema::settle(&mut session.client, &link.target.schema).await;
    Ok((session, id.map_err(|fault| fault.at(&link.target.to_string()))?))
}
