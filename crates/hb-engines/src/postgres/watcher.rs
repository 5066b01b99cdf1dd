//! Sees at once when whoever attends to a cell is gone, by waiting for the lock that it holds, on a connection of its own.
//!
//! **Invariants.** That somebody is gone is said only by a session that has seen the lock held and was not broken since, of a server
//! that still takes new connections: a server that stops or fails over lets go of every lock, and nobody is gone for that.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::types::{ToSql, Type};

use super::fault::Fault;
use super::link::{Link, Tls};
use super::session::{self, Role, Session};
use super::target::PostgresTarget;

/// How long the server waits for the lock in one go. A statement that runs for long keeps the server from tidying up.
const LOOK: Duration = Duration::from_secs(20);
/// How long until it looks again whether somebody attends, when nobody says so.
const NOBODY: Duration = Duration::from_secs(5);
/// Largest distance between attempts to connect.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// What is seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sight {
    /// Nothing yet, or nothing any more: the connection broke.
    Blind,
    /// Nobody attends.
    Nobody,
    /// Somebody attends.
    Somebody,
    /// Whoever attended is gone.
    Gone,
}

/// Waits in the background of a runtime, as far as that is run.
#[derive(Debug)]
pub(super) struct Watcher {
    task: JoinHandle<()>,
    sight: watch::Receiver<Sight>,
    poke: Arc<Notify>,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watcher {
    /// Begins to watch over the lock of that number.
    pub(super) fn start(runtime: &Runtime, link: &Link, key: i64) -> Self {
        let (tell, sight) = watch::channel(Sight::Blind);
        let poke = Arc::new(Notify::new());
        let watching = watch_on(link.target.clone(), link.tls.clone(), key, (tell, Arc::clone(&poke)));
        Self { task: runtime.spawn(watching), sight, poke }
    }

    /// What is seen now.
    pub(super) fn sight(&self) -> Sight {
        self.sight.borrow().clone()
    }

    /// Something has changed: look again.
    pub(super) fn poke(&self) {
        self.poke.notify_one();
    }

    /// Waits until something else is seen.
    pub(super) async fn change(&mut self) {
        if self.sight.changed().await.is_err() {
            // The task has ended, which it never does by itself.
            std::future::pending::<()>().await;
        }
    }
}

async fn watch_on(target: PostgresTarget, tls: Tls, key: i64, (tell, poke): (watch::Sender<Sight>, Arc<Notify>)) {
    let mut pause = Duration::from_millis(50);
    loop {
        let deadline = Instant::now() + target.patience();
        match session::open(&target, &tls.0, Role::Watch, (0, deadline)).await {
            Ok(session) => {
                pause = Duration::from_millis(50);
                let Err(fault) = look(&target, &tls, (&session, key), (&tell, &poke)).await;
                tracing::debug!(%fault, "watching over the holder of a lease broke off");
                session.hang_up().await;
            }
            Err(fault) => tracing::debug!(%fault, "cannot watch over the holder of a lease"),
        }
        tell.send_replace(Sight::Blind);
        sleep(pause).await;
        pause = pause.saturating_mul(2).min(PAUSE_MAX);
    }
}

async fn look(
    target: &PostgresTarget,
    tls: &Tls,
    (session, key): (&Session, i64),
    (tell, poke): (&watch::Sender<Sight>, &Notify),
) -> Result<std::convert::Infallible, Fault> {
    let sql = format!("SELECT {}.attended($1, $2)", target.quoted_schema());
    let mut seen = false;
    loop {
        // Short at first, so that what stands is soon known.
        let wait = if seen { LOOK } else { Duration::from_millis(1) };
        let most = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        let values: [(&(dyn ToSql + Sync), Type); 2] = [(&key, Type::INT8), (&most, Type::INT4)];
        let asked = session.client.query_typed_one(&sql, &values);
        let row = timeout(wait + target.patience(), asked)
            .await
            .map_err(|_| Fault::Broken("no answer".into()))?
            .map_err(|error| Fault::of_question(&error))?;
        let found: String = row.try_get(0).map_err(|error| Fault::of_question(&error))?;
        match found.as_str() {
            "somebody" => {
                seen = true;
                tell.send_if_modified(|sight| std::mem::replace(sight, Sight::Somebody) != Sight::Somebody);
                continue;
            }
            "nobody" | "left" if seen || found == "left" => {
                confirm(target, tls, session).await?;
                seen = false;
                tell.send_replace(Sight::Gone);
            }
            _ => {
                // One who is gone stays so until somebody attends.
                tell.send_if_modified(|sight| {
                    *sight == Sight::Blind && {
                        *sight = Sight::Nobody;
                        true
                    }
                });
            }
        }
        // Elapsed or poked: both mean to look again.
        timeout(NOBODY, poke.notified()).await.unwrap_or_default();
    }
}

/// The server is there for others and for this session.
async fn confirm(target: &PostgresTarget, tls: &Tls, session: &Session) -> Result<(), Fault> {
    let deadline = Instant::now() + target.patience();
    session::open(target, &tls.0, Role::Watch, (session.host, deadline)).await?.hang_up().await;
    let asked = timeout(target.patience(), session.client.simple_query("SELECT 1")).await;
    asked.map_err(|_| Fault::Broken("no answer".into()))?.map_err(|error| Fault::of_question(&error)).map(drop)
}
