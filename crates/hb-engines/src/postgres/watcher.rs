//! Sees at once when whoever attends to a cell is gone, by waiting for the lock that it holds, on a connection of its own.
//!
//! **Invariants.** That somebody is gone is said only where the lock is free although the same run of the server was told that it is
//! held, by a session that is whole, of a server that still takes new connections: a server that stops, crashes or fails over lets go
//! of every lock, and nobody is gone for that.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hb_store::register::CellVersion;
use tokio::runtime::Runtime;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::fault::Fault;
use super::link::{Link, Tls};
use super::session::{self, Role, Session};
use super::target::PostgresTarget;

/// How long the server waits for the lock in one go. A statement that runs for long keeps the server from tidying up.
const LOOK: Duration = Duration::from_secs(20);
/// The same at first, so that it is soon known that somebody attends.
const FIRST_LOOK: Duration = Duration::from_millis(1);
/// How long until it looks again whether somebody attends, when nobody says so: at first, since whoever comes may come just then …
const NOBODY_MIN: Duration = Duration::from_millis(100);
/// … and at last.
const NOBODY_MAX: Duration = Duration::from_secs(5);
/// First distance between attempts to connect.
const PAUSE_MIN: Duration = Duration::from_millis(50);
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
    /// Whoever attended is gone, and the cell stands as it was then: its version.
    Gone(Option<CellVersion>),
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
    pub(super) fn start(runtime: &Runtime, link: &Link, name: &str, key: i64) -> Self {
        let (tell, sight) = watch::channel(Sight::Blind);
        let poke = Arc::new(Notify::new());
        let watching =
            watch_on(link.target.clone(), link.tls.clone(), (name.to_owned(), key), (tell, Arc::clone(&poke)));
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

type Told<'a> = (&'a watch::Sender<Sight>, &'a Notify);

async fn watch_on(
    target: PostgresTarget,
    tls: Tls,
    (name, key): (String, i64),
    (tell, poke): (watch::Sender<Sight>, Arc<Notify>),
) {
    let mut pause = PAUSE_MIN;
    loop {
        let deadline = Instant::now() + target.patience();
        match session::open(&target, &tls.0, Role::Watch, (0, deadline)).await {
            Ok(session) => {
                pause = PAUSE_MIN;
                let Err(fault) = look(&target, &tls, (&session, &name, key), (&tell, &poke)).await;
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
    (session, name, key): (&Session, &str, i64),
    (tell, poke): Told<'_>,
) -> Result<Infallible, Fault> {
    let sql = format!("SELECT seen, stands FROM {}.watch($1, $2, $3)", target.quoted_schema());
    let (mut wait, mut nobody) = (FIRST_LOOK, NOBODY_MIN);
    loop {
        let most = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        let values: [(&(dyn ToSql + Sync), Type); 3] = [(&name, Type::TEXT), (&key, Type::INT8), (&most, Type::INT4)];
        let asked = timeout(wait + target.patience(), session.client.query_typed_one(&sql, &values)).await;
        let row = asked.map_err(|_| Fault::Broken("no answer".into()))?.map_err(|error| Fault::of_question(&error))?;
        let now = sight(&row).map_err(|error| Fault::of_question(&error))?;
        if matches!(now, Sight::Gone(_)) && *tell.borrow() != now {
            confirm(target, tls, session).await?;
        }
        let held = now == Sight::Somebody;
        // Told also where it is the same again: somebody may have come and gone between.
        tell.send_replace(now);
        if held {
            (wait, nobody) = (LOOK, NOBODY_MIN);
        } else {
            wait = FIRST_LOOK;
            // Elapsed or poked: both mean to look again.
            nobody = match timeout(nobody, poke.notified()).await {
                Ok(()) => NOBODY_MIN,
                Err(_) => nobody.saturating_mul(2).min(NOBODY_MAX),
            };
        }
    }
}

/// Reads what the server sees.
pub(super) fn sight(row: &Row) -> Result<Sight, tokio_postgres::Error> {
    let seen: String = row.try_get(0)?;
    Ok(match seen.as_str() {
        "somebody" => Sight::Somebody,
        "gone" => Sight::Gone(row.try_get::<_, Option<String>>(1)?.map(CellVersion)),
        _ => Sight::Nobody,
    })
}

/// The server is there for others and for this session.
async fn confirm(target: &PostgresTarget, tls: &Tls, session: &Session) -> Result<(), Fault> {
    let deadline = Instant::now() + target.patience();
    session::open(target, &tls.0, Role::Watch, (session.host, deadline)).await?.hang_up().await;
    let asked = timeout(target.patience(), session.client.simple_query("SELECT 1")).await;
    asked.map_err(|_| Fault::Broken("no answer".into()))?.map_err(|error| Fault::of_question(&error)).map(drop)
}
