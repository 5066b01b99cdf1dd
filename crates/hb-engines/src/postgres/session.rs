//! One connection: how it is made, and what a server has to be before anything is kept on it.
//!
//! A server is refused that is a replica, that does not flush what it commits (`fsync=off`), or that is reached through a pooler which
//! mixes sessions. `synchronous_commit` is raised to `on` where it is weaker, and left where it is stronger.

use std::future::poll_fn;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_postgres::{AsyncMessage, Client, Connection, Notification, SimpleQueryMessage, SimpleQueryRow};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::fault::Fault;
use super::target::{Host, PostgresTarget};

/// Oldest PostgreSQL that is used, as `server_version_num` has it.
pub const OLDEST_SERVER: u32 = 130_000;
/// A setting of ours that a session shows only if the server took it from us when it began.
pub(super) const MARK: &str = "hb.session";
/// Notifications that wait to be looked at; beyond that it is only known that there were more.
const NEWS_MAX: usize = 256;
/// After this without a sign of life from a client the server ends its session, and with it the locks that it has.
const SERVER_KEEPALIVE: &str = "1";

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Short questions, each within the patience.
    Ask,
    /// One question that waits long.
    Watch,
}

/// A connection to a server that passed.
#[derive(Debug)]
pub(super) struct Session {
    /// What questions are put to.
    pub(super) client: Client,
    /// What the server tells by itself.
    pub(super) news: mpsc::Receiver<Notification>,
    /// News were left out since this was last looked at.
    pub(super) overflow: Arc<AtomicBool>,
    /// Which of the hosts it is.
    pub(super) host: usize,
    task: JoinHandle<()>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Session {
    /// Ends the connection at once, whatever is under way on it.
    pub(super) async fn hang_up(mut self) {
        self.task.abort();
        // Only that it is over counts: it was told to end.
        (&mut self.task).await.unwrap_or_default();
    }
}

/// Connects to the first host that passes, beginning with the one that passed last.
pub(super) async fn open(
    target: &PostgresTarget,
    tls: &MakeRustlsConnect,
    role: Role,
    (first, deadline): (usize, Instant),
) -> Result<Session, Fault> {
    let mut faults: Vec<Fault> = Vec::new();
    let count = target.hosts.len();
    for step in 0..count {
        let index = first.wrapping_add(step) % count.max(1);
        let Some(host) = target.hosts.get(index) else { continue };
        // Each host gets its share, so that one that is not there cannot use up the time of the others.
        let now = Instant::now();
        let left = u32::try_from(count.saturating_sub(step)).unwrap_or(u32::MAX);
        let until = now + deadline.saturating_duration_since(now) / left;
        let opened = match timeout_at(until, open_one(target, tls, role, (host, index))).await {
            Ok(opened) => opened,
            Err(_) => Err(Fault::Away("no answer within the patience".into())),
        };
        match opened {
            Ok(session) => return Ok(session),
            Err(fault) => faults.push(fault.at(&host.to_string())),
        }
    }
    let all: Vec<String> = faults.iter().map(ToString::to_string).collect();
    let what = format!("{target}: {}", all.join("; "));
    // What is wrong at every host needs an operator; what is wrong at some may pass.
    let hopeless = faults.iter().all(|fault| matches!(fault, Fault::Unusable(_)));
    Err(if hopeless { Fault::Unusable(what) } else { Fault::Away(what) })
}

async fn open_one(
    target: &PostgresTarget,
    tls: &MakeRustlsConnect,
    role: Role,
    (host, index): (&Host, usize),
) -> Result<Session, Fault> {
    let mark = format!("{:016x}", RandomState::new().build_hasher().finish());
    let config = target.config(host, &mark).map_err(Fault::Unusable)?;
    let connected = config.connect(tls.clone()).await;
    let (client, connection) = connected.map_err(|error| Fault::of_connecting(&error))?;
    let (tell, news) = mpsc::channel(NEWS_MAX);
    let overflow = Arc::new(AtomicBool::new(false));
    let task = tokio::spawn(drive(connection, tell, Arc::clone(&overflow)));
    let session = Session { client, news, overflow, host: index, task };
    let said = session.client.simple_query(&setup(target.patience(), role)).await;
    let said = said.map_err(|error| Fault::of_connecting(&error))?;
    let row =
        said.iter().rev().find_map(|message| if let SimpleQueryMessage::Row(row) = message { Some(row) } else { None });
    let row = row.ok_or_else(|| Fault::Unusable("it does not answer like PostgreSQL".into()))?;
    accept(row, &mark)?;
    Ok(session)
}

/// Moves what comes and goes until the connection ends.
async fn drive<S, T>(mut connection: Connection<S, T>, tell: mpsc::Sender<Notification>, overflow: Arc<AtomicBool>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut connection = pin!(&mut connection);
    while let Some(message) = poll_fn(|cx| connection.as_mut().get_mut().poll_message(cx)).await {
        match message {
            Ok(AsyncMessage::Notification(news)) => {
                if tell.try_send(news).is_err() {
                    overflow.store(true, Ordering::Release);
                }
            }
            Ok(AsyncMessage::Notice(said)) => {
                tracing::warn!(code = said.code().code(), said = said.message(), "PostgreSQL warns");
            }
            Ok(_) => {}
            Err(fault) => {
                tracing::debug!(%fault, "a connection to PostgreSQL ended");
                return;
            }
        }
    }
}

/// What a session is set to, and what is asked of it, in one go.
fn setup(patience: Duration, role: Role) -> String {
    // The server gives up before the client does, so that most slow questions end with an answer: not done.
    let limit = match role {
        Role::Ask => (patience / 4).saturating_mul(3).as_millis().max(1),
        Role::Watch => 0,
    };
    let signs = patience.as_millis();
    format!(
        "SET search_path = pg_catalog; SET statement_timeout = {limit}; SET lock_timeout = 0;
         SET idle_in_transaction_session_timeout = 0; SET client_min_messages = warning;
         SET default_transaction_isolation = 'read committed'; SET default_transaction_deferrable = off;
         SET tcp_keepalives_idle = {SERVER_KEEPALIVE}; SET tcp_keepalives_interval = {SERVER_KEEPALIVE};
         SET tcp_keepalives_count = 3; SET tcp_user_timeout = {signs};
         SELECT set_config(name, v, false) FROM pg_settings JOIN (VALUES ('client_connection_check_interval', '1s'),
           ('idle_session_timeout', '0'), ('transaction_timeout', '0')) AS more(n, v) ON n = name;
         SELECT set_config('synchronous_commit', 'on', false)
           WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply');
         SELECT current_setting('server_version_num'), pg_is_in_recovery()::text, current_setting('fsync'),
           current_setting('synchronous_commit'), current_setting('transaction_read_only'),
           current_setting('{MARK}', true), current_setting('full_page_writes')"
    )
}

/// Whether what a session shows will do.
fn accept(row: &SimpleQueryRow, mark: &str) -> Result<(), Fault> {
    let shown = |index: usize| row.try_get(index).ok().flatten().unwrap_or_default();
    let [version, recovery, fsync, commit, read_only, marked, pages] = [0, 1, 2, 3, 4, 5, 6].map(shown);
    let unusable = |what: &str| Err(Fault::Unusable(what.to_owned()));
    if version.parse::<u32>().is_ok_and(|version| version < OLDEST_SERVER) {
        return unusable(&format!("PostgreSQL {version} is too old: 13 and newer are used"));
    }
    if marked != mark {
        return unusable(
            "a pooler stands between that mixes sessions: name the server itself, see \"Pooling\" in \
             docs/engines/postgres.md",
        );
    }
    if recovery == "true" {
        return Err(Fault::Away("it is a replica, which takes no writes: name the primary, or both".into()));
    }
    if fsync != "on" {
        return unusable("fsync is off: what it acknowledges does not survive a power failure; set fsync = on");
    }
    if !matches!(commit, "on" | "remote_apply") {
        return unusable("synchronous_commit cannot be raised to on");
    }
    if read_only == "on" {
        return Err(Fault::Away("it is set to read only (default_transaction_read_only)".into()));
    }
    if pages != "on" {
        tracing::warn!("full_page_writes is off at the PostgreSQL server: a power failure may damage what it holds");
    }
    Ok(())
}
