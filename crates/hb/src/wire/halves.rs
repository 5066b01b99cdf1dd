//! The two halves of a node, watching and supervising, started and ended together.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};
use hb_core::journal::Hash;
use hb_core::supervise::input::OnStop;
use hb_daemon::poster::Desk;
use hb_daemon::shared::Shared;
use hb_daemon::supervise::Office;
use hb_daemon::{Control, Ended, Remote, supervise, turn};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::sync::periodic::State;
use crate::cli::Failure;
use crate::exit::Exit;

/// Which half of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Half {
    /// Its watches.
    Watch,
    /// Its supervisor.
    Supervise,
}

/// What others hold of a running node.
#[derive(Debug, Clone)]
pub(super) struct Handles {
    /// Of its watches.
    pub(super) watch: Option<(Remote, Arc<Shared>)>,
    /// Of its supervisor.
    pub(super) office: Option<Office>,
    /// What came of reading the configuration again.
    pub(super) reloads: Arc<Reloaded>,
    /// Where it says what it is, and finds the other nodes.
    pub(super) board: Option<Arc<Desk>>,
    /// Of the copy that it keeps up.
    pub(super) copy: Option<Arc<State>>,
}

/// Reads the tokens again, and puts them in force.
type ReadTokens = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// How long a reload is waited for that the API asks for.
const RELOAD_WAIT: Duration = Duration::from_secs(20);

/// What came of reading the configuration again; whoever asked for it waits here.
#[derive(Default)]
pub(super) struct Reloaded {
    state: Mutex<Reload>,
    told: Condvar,
    tokens: Mutex<Vec<ReadTokens>>,
}

/// Where the configuration stands.
#[derive(Debug, Clone, Default)]
pub(super) struct Reload {
    /// Times that it was read.
    times: u64,
    /// Of what was taken last after the start.
    pub(super) hash: Option<Hash>,
    /// Why it was not taken when it was read last.
    pub(super) refused: Option<String>,
}

impl fmt::Debug for Reloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reloaded").field(&self.now()).finish()
    }
}

impl Reloaded {
    fn state(&self) -> MutexGuard<'_, Reload> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As it stands.
    pub(super) fn now(&self) -> Reload {
        self.state().clone()
    }

    /// One more that reads tokens when it is asked to: the API, and what copies may ask.
    pub(super) fn tokens_by(&self, read: ReadTokens) {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).push(read);
    }

    /// Reads the tokens again; where there are none to be read all is well.
    pub(super) fn tokens(&self) -> Result<(), String> {
        let all = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().try_for_each(|read| read())
    }

    /// What was read is taken.
    pub(super) fn took(&self, hash: Hash) {
        self.state().hash = Some(hash);
    }

    fn note(&self, state: &Result<(), String>) {
        let mut reload = self.state();
        reload.times = reload.times.saturating_add(1);
        reload.refused = state.as_ref().err().cloned();
        self.told.notify_all();
    }

    /// Asks for what SIGHUP asks for, and waits for what comes of it.
    pub(super) fn ask(&self) -> Result<(), String> {
        let before = self.state();
        let times = before.times;
        raise(Signal::SIGHUP).map_err(|error| format!("it cannot be asked for: {error}"))?;
        let waited = self.told.wait_timeout_while(before, RELOAD_WAIT, |reload| reload.times == times);
        let (reload, late) = waited.unwrap_or_else(PoisonError::into_inner);
        if late.timed_out() {
            return Err("it is not done yet: `/ready` says when it is refused".to_owned());
        }
        reload.refused.clone().map_or(Ok(()), Err)
    }
}

/// To the process as a whole: a thread waits for it.
fn raise(signal: Signal) -> nix::Result<()> {
    kill(Pid::this(), signal)
}

impl Handles {
    /// Asks both halves to end; gives whether anybody was there to hear it.
    pub(super) fn stop(&self, agents: OnStop, reason: &str) -> bool {
        if let Some(office) = &self.office {
            office.stop(agents, reason);
        }
        let watch =
            self.watch.as_ref().is_some_and(|(remote, _)| remote.send(Control::Stop { reason: reason.to_owned() }));
        watch || self.office.is_some()
    }

    /// Notes how the configuration on disk stands.
    pub(super) fn config(&self, state: Result<(), String>) {
        self.reloads.note(&state);
        if let Some((_, shared)) = &self.watch {
            shared.check("config", state.clone());
        }
        if let Some(office) = &self.office {
            office.picture().note("config", state);
        }
    }
}

/// A running node.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) handles: Handles,
    ends: Receiver<(Half, Ended)>,
    halves: usize,
}

impl Running {
    /// Puts the halves together.
    pub(super) fn new(watch: Option<turn::Running>, supervisor: Option<supervise::Running>) -> Result<Self, Failure> {
        let (tell, ends) = bounded(2);
        let handles = Handles {
            watch: watch.as_ref().map(|running| (running.remote.clone(), Arc::clone(&running.shared))),
            office: supervisor.as_ref().map(|running| running.office.clone()),
            board: None,
            copy: None,
            reloads: Arc::default(),
        };
        let mut halves = 0;
        if let Some(running) = watch {
            halves += 1;
            let tell = tell.clone();
            join("watches", move || drop(tell.send((Half::Watch, end_of(|| running.join())))))?;
        }
        if let Some(running) = supervisor {
            halves += 1;
            join("supervisor", move || drop(tell.send((Half::Supervise, end_of(|| running.join())))))?;
        }
        Ok(Self { handles, ends, halves })
    }

    /// Waits until both have ended. When one ends otherwise than it was told the other is told to end too: a service manager starts the node
    /// anew, and it stands by or goes on. Gives the graver of the two ends.
    pub(super) fn join(self) -> Ended {
        let mut gravest = Ended::Drained;
        for _ in 0..self.halves {
            let Ok((half, ended)) = self.ends.recv() else { break };
            if ended != Ended::Drained {
                tracing::debug!("{half:?} ended: {ended:?}");
                self.handles.stop(OnStop::Leave, "the other half of the node has ended");
            }
            if gravity(&ended) > gravity(&gravest) {
                gravest = ended;
            }
        }
        gravest
    }
}

/// The end of a half; a panic is one too, so that the other half does not go on as if nothing had happened.
fn end_of(join: impl FnOnce() -> Ended) -> Ended {
    catch_unwind(AssertUnwindSafe(join))
        .unwrap_or_else(|_| Ended::Unfinished("a thread panicked, see above: a fault of hb, please report it".into()))
}

fn gravity(ended: &Ended) -> u8 {
    match ended {
        Ended::Drained => 0,
        Ended::Fenced(_) => 1,
        Ended::Unfinished(_) => 2,
        Ended::Corrupt(_) => 3,
    }
}

fn join(name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    std::thread::Builder::new()
        .name(format!("end-of-{name}"))
        .spawn(run)
        .map(drop)
        .map_err(|error| Failure::new(Exit::Error, format!("a thread could not be started: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_that_panics_has_ended() {
        let (tell, ends) = bounded(2);
        join("broken", {
            let tell = tell.clone();
            move || drop(tell.send((Half::Watch, end_of(|| std::panic::resume_unwind(Box::new("broken"))))))
        })
        .unwrap();
        join("sound", move || drop(tell.send((Half::Supervise, end_of(|| Ended::Drained))))).unwrap();
        let running = Running {
            handles: Handles { watch: None, office: None, reloads: Arc::default(), board: None, copy: None },
            ends,
            halves: 2,
        };
        assert!(matches!(running.join(), Ended::Unfinished(_)));
    }
}
