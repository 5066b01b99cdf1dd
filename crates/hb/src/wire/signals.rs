//! Signals: SIGTERM and SIGINT stop, a second one forces; SIGHUP reads the configuration again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hb_daemon::shared::Shared;
use hb_daemon::{Control, Remote};
use nix::sys::signal::{SigSet, Signal};

use super::Reloads;
use crate::cli::Failure;
use crate::exit::Exit;

/// Some senders signal a process and then its whole group: what comes this soon after is the same request.
const SAME_REQUEST: Duration = Duration::from_millis(500);

/// The signals that this process waits for, blocked in every thread.
#[derive(Debug)]
pub(super) struct Blocked(SigSet);

/// Blocks them; to be called before any thread is started.
pub(super) fn block() -> Result<Blocked, Failure> {
    let mut set = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        set.add(signal);
    }
    set.thread_block().map_err(|error| Failure::new(Exit::Error, format!("signals cannot be blocked: {error}")))?;
    Ok(Blocked(set))
}

impl Blocked {
    /// Waits for them on a thread that ends with the process.
    pub(super) fn attend(self, remote: Remote, shared: Arc<Shared>, reloads: Reloads) {
        let mut stop = Stop { remote, asked: None };
        let attend = move || {
            while let Ok(signal) = self.0.wait() {
                if signal == Signal::SIGHUP {
                    reload(&stop.remote, &shared, &reloads);
                } else {
                    stop.ask(signal);
                }
            }
        };
        if let Err(error) = std::thread::Builder::new().name("signals".into()).spawn(attend) {
            tracing::error!("signals cannot be attended to: {error}");
        }
    }
}

/// The first signal asks, the second forces.
struct Stop {
    remote: Remote,
    asked: Option<Instant>,
}

impl Stop {
    fn ask(&mut self, signal: Signal) {
        match self.asked {
            Some(at) if at.elapsed() > SAME_REQUEST => {
                tracing::warn!("{signal} again: ending at once; what was acknowledged is kept");
                force();
            }
            Some(_) => {}
            None => {
                self.asked = Some(Instant::now());
                if !self.remote.send(Control::Stop { reason: signal.to_string() }) {
                    tracing::debug!("the node has ended before it was asked to");
                }
            }
        }
    }
}

#[expect(clippy::exit, reason = "a second signal asks for exactly this; every acknowledged record is durable already")]
fn force() -> ! {
    std::process::exit(i32::from(Exit::Interrupted.code()))
}

fn reload(remote: &Remote, shared: &Shared, reloads: &Reloads) {
    match reloads.read() {
        Ok(control) => {
            shared.check("config", Ok(()));
            let count = if let Control::Reload(changed) = &control { changed.len() } else { 0 };
            tracing::info!("configuration read again: {count} watch(es) changed");
            if !remote.send(control) {
                tracing::warn!("the node has ended; nothing to reload");
            }
        }
        Err(why) => {
            tracing::error!("configuration not taken, the old one stays in force: {why}");
            shared
                .check("config", Err(format!("the configuration on disk is refused, the old one is in force: {why}")));
        }
    }
}
