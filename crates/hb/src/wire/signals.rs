//! Signals: SIGTERM and SIGINT stop, a second one forces; SIGHUP reads the configuration again.
//!
//! With SIGTERM running agents are left or stopped as `on_stop` says; with SIGINT, which somebody types who started hb in a terminal,
//! they are stopped.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use hb_core::supervise::input::OnStop;
use hb_daemon::Control;
use nix::sys::signal::{SigSet, Signal};

use super::Reloads;
use super::halves::Handles;
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
    pub(super) fn attend(self, handles: Handles, reloads: Reloads) {
        let mut stop = Stop { handles: handles.clone(), on_stop: reloads.on_stop(), asked: None };
        let attend = move || {
            while let Ok(signal) = self.0.wait() {
                if signal == Signal::SIGHUP {
                    reload(&handles, &reloads);
                    stop.on_stop = reloads.on_stop();
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
    handles: Handles,
    on_stop: OnStop,
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
                let agents = if signal == Signal::SIGINT { OnStop::Stop } else { self.on_stop };
                if !self.handles.stop(agents, signal.as_str()) {
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

fn reload(handles: &Handles, reloads: &Reloads) {
    let read = handles.reloads.tokens().and_then(|()| reloads.read());
    let (control, declared) = match read {
        Ok(read) => read,
        Err(why) => {
            tracing::error!("configuration not taken, the old one stays in force: {why}");
            handles.config(Err(format!("the configuration on disk is refused, the old one is in force: {why}")));
            return;
        }
    };
    handles.reloads.took(reloads.config.lock().unwrap_or_else(PoisonError::into_inner).hash);
    handles.config(Ok(()));
    let count = if let Control::Reload(changed) = &control { changed.len() } else { 0 };
    tracing::info!("configuration read again: {count} watch(es) changed");
    if let Some((remote, _)) = &handles.watch
        && !remote.send(control)
    {
        tracing::warn!("the node has ended; nothing to reload");
    }
    if let Some(office) = &handles.office
        && let Err(error) = office.declare(declared)
    {
        tracing::warn!("what is supervised was not read again: {error}");
    }
}
