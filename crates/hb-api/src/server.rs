//! Serves HTTP on a thread of its own, with a bound on everything that a client can hold.
//!
//! **Invariants.** The thread shares nothing with the daemon's work but snapshots. Each connection is a task that can only
//! hold up itself; there are at most [`ServerLimits::connections`] of them, each at most [`ServerLimits::age`] old and
//! then [`ServerLimits::drain`]; who comes beyond is told 503 and counted.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::connection::Connection;
use crate::exposition::{Exposition, Kind};
use crate::front::Front;
use crate::onlooker::Onlooker;
use crate::routes::router_with;
use crate::v1::Api;
use crate::v1::sync::SyncApi;

/// Bounds of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerLimits {
    /// Most connections at once.
    pub connections: usize,
    /// How long a client may take to send a request's head; also how long an idle connection is kept.
    pub header: Duration,
    /// How long a client may take none of an answer.
    pub stall: Duration,
    /// How old a connection may become before it is asked to end after the answer under way.
    pub age: Duration,
    /// How long connections may take to end once asked to, also when the server stops.
    pub drain: Duration,
    /// Most bytes of a request's head.
    pub head_bytes: usize,
    /// Host names that lead here beside addresses and `localhost`. Empty: only those on loopback, any name elsewhere.
    pub allowed_hosts: Vec<String>,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections: 512,
            header: Duration::from_secs(5),
            stall: Duration::from_secs(10),
            age: Duration::from_secs(120),
            drain: Duration::from_secs(2),
            head_bytes: 16 * 1024,
            allowed_hosts: Vec::new(),
        }
    }
}

/// What became of connections.
#[derive(Debug, Default)]
pub struct ServerCounters {
    accepted: AtomicU64,
    open: AtomicU64,
    refused: AtomicU64,
    broken: AtomicU64,
    accept_errors: AtomicU64,
}

impl ServerCounters {
    /// Connections accepted.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Connections open now.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    /// Connections refused because there were too many.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Connections that ended in a fault: timed out, malformed, reset.
    #[must_use]
    pub fn broken(&self) -> u64 {
        self.broken.load(Ordering::Relaxed)
    }

    pub(crate) fn exposition(&self) -> String {
        let mut out = Exposition::default();
        let mut one = |name: &str, kind, help: &str, value: &AtomicU64| {
            out.family(name, kind, help);
            out.whole(name, &[], value.load(Ordering::Relaxed));
        };
        one("hb_http_connections_total", Kind::Counter, "Connections accepted.", &self.accepted);
        one("hb_http_connections", Kind::Gauge, "Connections open now.", &self.open);
        one("hb_http_refused_total", Kind::Counter, "Connections beyond the bound, told 503.", &self.refused);
        one("hb_http_broken_total", Kind::Counter, "Connections that timed out or broke.", &self.broken);
        one("hb_http_accept_errors_total", Kind::Counter, "Failed accepts.", &self.accept_errors);
        out.finish()
    }
}

/// Families of the server and the API, as `/metrics` has them before anybody has asked: for the reference.
#[must_use]
pub fn families() -> String {
    let mut text = ServerCounters::default().exposition();
    text.push_str(&crate::page::exposition(0));
    text.push_str(&crate::v1::families(0, 0));
    text
}

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub struct ServerHandle {
    addr: SocketAddr,
    counters: Arc<ServerCounters>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl ServerHandle {
    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What became of connections.
    #[must_use]
    pub fn counters(&self) -> &ServerCounters {
        &self.counters
    }

    /// Stops accepting, lets answers under way end within [`ServerLimits::drain`], and waits for that.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // Dropping the sender is the signal.
        self.stop = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the HTTP server's thread ended in a panic");
        }
    }
}

impl Drop for ServerHandle {
    fn drop(&mut self) {
        self.end();
    }
}

/// Serves on a thread of its own until the handle is stopped or dropped.
///
/// # Errors
/// When the listener has no address, or a thread or its event loop cannot be made.
pub fn spawn(listener: TcpListener, onlooker: Arc<dyn Onlooker>, limits: ServerLimits) -> io::Result<ServerHandle> {
    spawn_with(listener, onlooker, Rooms::default(), limits)
}

/// What a server serves beside health, metrics and the page.
#[derive(Debug, Clone, Default)]
pub struct Rooms {
    /// The API of a supervisor.
    pub api: Option<Api>,
    /// What copies of the node need.
    pub sync: Option<SyncApi>,
}

/// The same with the API of a supervisor.
///
/// # Errors
/// As [`spawn`].
pub fn spawn_with_api(
    listener: TcpListener,
    onlooker: Arc<dyn Onlooker>,
    api: Option<Api>,
    limits: ServerLimits,
) -> io::Result<ServerHandle> {
    spawn_with(listener, onlooker, Rooms { api, sync: None }, limits)
}

/// The same with everything that the node serves.
///
/// # Errors
/// As [`spawn`].
pub fn spawn_with(
    listener: TcpListener,
    onlooker: Arc<dyn Onlooker>,
    rooms: Rooms,
    limits: ServerLimits,
) -> io::Result<ServerHandle> {
    let addr = listener.local_addr()?;
    let counters = Arc::new(ServerCounters::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    listener.set_nonblocking(true)?;
    let (stop, stopped) = oneshot::channel::<()>();
    let shared = Arc::clone(&counters);
    let thread = std::thread::Builder::new().name("hb-http".to_owned()).spawn(move || {
        let stopped = async move {
            // Sent or dropped means the same.
            let _either = stopped.await;
        };
        if let Err(fault) = runtime.block_on(run(listener, (onlooker, rooms), limits, shared, stopped)) {
            tracing::error!(%fault, "the HTTP server cannot run");
        }
    })?;
    Ok(ServerHandle { addr, counters, stop: Some(stop), thread: Some(thread) })
}

/// Serves on the caller's runtime until `stop` is ready.
///
/// # Errors
/// When the listener cannot be used.
pub async fn serve(
    listener: TcpListener,
    onlooker: Arc<dyn Onlooker>,
    limits: ServerLimits,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    run(listener, (onlooker, Rooms::default()), limits, Arc::new(ServerCounters::default()), stop).await
}

async fn run(
    listener: TcpListener,
    (onlooker, rooms): (Arc<dyn Onlooker>, Rooms),
    limits: ServerLimits,
    counters: Arc<ServerCounters>,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let address: IpAddr = listener.local_addr()?.ip();
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let (close, closing) = watch::channel(false);
    let of = (address, limits.allowed_hosts.as_slice());
    let app = router_with(onlooker, &rooms, Arc::clone(&counters), of, closing);
    let front = Front::new(app, rooms.api.as_ref(), address, &limits.allowed_hosts);
    let mut house = House::new(front, limits, counters);
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            Some(_) = house.tasks.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => house.admit(stream),
                Err(fault) => house.accept_failed(&fault).await,
            },
        }
    }
    drop(listener);
    close.send_replace(true);
    if let Some(api) = rooms.api {
        api.close();
    }
    house.close().await;
    Ok(())
}

/// Most refusals that are told at once; who comes beyond is cut off without a word.
const REFUSALS_MAX: usize = 32;
/// How long a refused client may take to read why.
const REFUSAL_TIME: Duration = Duration::from_millis(500);
const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: 47\r\n\
connection: close\r\nretry-after: 1\r\n\r\n{\"error\":\"too many connections; try again soon\"}";

/// The connections and their bounds.
struct House {
    front: Front,
    limits: Arc<ServerLimits>,
    counters: Arc<ServerCounters>,
    places: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    closing: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl House {
    fn new(front: Front, limits: ServerLimits, counters: Arc<ServerCounters>) -> Self {
        Self {
            front,
            places: Arc::new(Semaphore::new(limits.connections)),
            limits: Arc::new(limits),
            counters,
            refusals: Arc::new(Semaphore::new(REFUSALS_MAX)),
            closing: watch::channel(false).0,
            tasks: JoinSet::new(),
        }
    }

    fn admit(&mut self, stream: TcpStream) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return self.refuse(stream);
        };
        self.counters.accepted.fetch_add(1, Ordering::Relaxed);
        self.counters.open.fetch_add(1, Ordering::Relaxed);
        let (front, limits, counters) = (self.front.clone(), Arc::clone(&self.limits), Arc::clone(&self.counters));
        let closing = self.closing.subscribe();
        self.tasks.spawn(async move {
            if let Err(fault) = converse(stream, front, &limits, closing).await {
                counters.broken.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(%fault, "a connection broke");
            }
            counters.open.fetch_sub(1, Ordering::Relaxed);
            drop(place);
        });
    }

    fn refuse(&mut self, mut stream: TcpStream) {
        self.counters.refused.fetch_add(1, Ordering::Relaxed);
        let Ok(place) = Arc::clone(&self.refusals).try_acquire_owned() else { return };
        self.tasks.spawn(async move {
            let told = async {
                stream.write_all(REFUSAL).await?;
                stream.shutdown().await?;
                // Closing with unread bytes would reset the connection and take the answer with it.
                let mut rest = [0u8; 1024];
                while stream.read(&mut rest).await? > 0 {}
                io::Result::Ok(())
            };
            if !matches!(timeout(REFUSAL_TIME, told).await, Ok(Ok(()))) {
                tracing::debug!("a refused client did not take its refusal");
            }
            drop(place);
        });
    }

    /// Out of descriptors or memory: trying again at once would only burn a core.
    async fn accept_failed(&self, fault: &io::Error) {
        self.counters.accept_errors.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(%fault, "a connection could not be accepted");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    async fn close(mut self) {
        self.closing.send_replace(true);
        let drained = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(self.limits.drain, drained).await.is_err() {
            tracing::debug!(open = self.tasks.len(), "connections were cut off at the stop");
        }
        self.tasks.shutdown().await;
    }
}

/// One connection from its first byte to its end.
async fn converse(
    stream: TcpStream,
    front: Front,
    limits: &ServerLimits,
    mut closing: watch::Receiver<bool>,
) -> Result<(), hyper::Error> {
    let io = TokioIo::new(Connection::new(stream, limits.stall));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(limits.header).max_buf_size(limits.head_bytes);
    let mut connection = pin!(builder.serve_connection(io, front));
    let asked_to_end = async {
        tokio::select! {
            () = tokio::time::sleep(limits.age) => {}
            // An error means that the house is gone, which means the same.
            _ = closing.wait_for(|closing| *closing) => {}
        }
    };
    tokio::select! {
        ended = &mut connection => return ended,
        () = asked_to_end => connection.as_mut().graceful_shutdown(),
    }
    match timeout(limits.drain, connection).await {
        Ok(ended) => ended,
        Err(_) => Ok(()),
    }
}
