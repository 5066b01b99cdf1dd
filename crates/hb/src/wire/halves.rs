//! The two halves of a node, watching and supervising, started and ended together.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crossbeam_channel::{Receiver, bounded};
use hb_core::supervise::input::OnStop;
use hb_daemon::shared::Shared;
use hb_daemon::supervise::Office;
use hb_daemon::{Control, Ended, Remote, supervise, turn};

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
        let running = Running { handles: Handles { watch: None, office: None }, ends, halves: 2 };
        assert!(matches!(running.join(), Ended::Unfinished(_)));
    }
}
