//! Tells a service manager how hb is (sd_notify): READY once it is up, STATUS with what it is, WATCHDOG while its loops turn, STOPPING at the end.
//!
//! Only where `NOTIFY_SOCKET` is set. The watchdog hangs on the progress of the work loops, not on this thread: a loop that hangs is not
//! covered up, and the service manager restarts the node.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use hb_api::Onlooker;
use hb_core::node::view::Role;

use crate::cli::Failure;
use crate::exit::Exit;

/// How often the status is looked at where no watchdog asks for more.
const EVERY: Duration = Duration::from_secs(1);

/// The thread that tells.
#[derive(Debug)]
pub(super) struct Teller {
    on: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Teller {
    /// Starts it, where somebody listens.
    pub(super) fn start(onlooker: Arc<dyn Onlooker>) -> Result<Option<Self>, Failure> {
        let Some(socket) = Socket::of_environment() else { return Ok(None) };
        let every = watchdog().map_or(EVERY, |limit| (limit / 3).min(EVERY));
        let on = Arc::new(AtomicBool::new(true));
        let go_on = Arc::clone(&on);
        let run = move || {
            socket.tell("READY=1");
            let mut said = String::new();
            while go_on.load(Ordering::Acquire) {
                let role = onlooker.view().role;
                let ending = if role == Role::Draining { "STOPPING=1\n" } else { "" };
                let status = format!("{ending}STATUS={}", role.as_str());
                if status != said {
                    socket.tell(&status);
                    said = status;
                }
                if onlooker.liveness().alive {
                    socket.tell("WATCHDOG=1");
                }
                std::thread::park_timeout(every);
            }
            socket.tell("STOPPING=1");
        };
        let thread = std::thread::Builder::new().name("sd-notify".into()).spawn(run);
        let thread =
            thread.map_err(|error| Failure::new(Exit::Error, format!("a thread could not be started: {error}")))?;
        Ok(Some(Self { on, thread }))
    }

    /// Tells that hb ends.
    pub(super) fn stop(self) {
        self.on.store(false, Ordering::Release);
        self.thread.thread().unpark();
        if self.thread.join().is_err() {
            tracing::error!("the thread that tells the service manager panicked; please report it");
        }
    }
}

/// The limit that the service manager set, when it is meant for this process.
fn watchdog() -> Option<Duration> {
    let mine = std::env::var("WATCHDOG_PID").map_or(true, |pid| pid == std::process::id().to_string());
    let limit = std::env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
    mine.then(|| Duration::from_micros(limit)).filter(|limit| !limit.is_zero())
}

struct Socket {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl Socket {
    fn of_environment() -> Option<Self> {
        let path = std::env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty())?;
        let bytes = path.as_encoded_bytes();
        let address = match bytes.strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name),
            None => SocketAddr::from_pathname(&path),
        };
        match (address, UnixDatagram::unbound()) {
            (Ok(address), Ok(socket)) => Some(Self { socket, address }),
            (Err(error), _) | (_, Err(error)) => {
                tracing::warn!("NOTIFY_SOCKET={} cannot be used: {error}", path.display());
                None
            }
        }
    }

    fn tell(&self, what: &str) {
        if let Err(error) = self.socket.send_to_addr(what.as_bytes(), &self.address) {
            tracing::debug!("the service manager was not told {what}: {error}");
        }
    }
}
