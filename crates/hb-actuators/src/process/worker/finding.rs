//! Finds and watches what hb did not start just now: what it is said to be, what has a key, and what an ended leader left behind.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use hb_core::ids::AgentId;
use hb_core::supervise::agent::{Exit, Identity};
use hb_core::supervise::input::Input;
use hb_core::supervise::spec::AgentSpec;
use hb_core::supervise::step::Effect;
use hb_sys::pidfd;

use super::super::scan::{self, Candidate, Guard, Outcome, Scan, Sweep, Walk, Wanted};
use super::super::{end, look, notify, proc};
use super::{Worker, kill_cgroup, watched};

/// Whether a process is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum There {
    /// It lives, and is watched.
    Yes,
    /// It has ended, or its number is somebody else's.
    No,
    /// The system does not say at the moment.
    Unknown,
}

/// The system does not say at the moment.
struct NotKnown;

impl Worker {
    /// Finds a process by its note, or else by its environment, in the next walk.
    pub(super) fn look(&mut self, agent: AgentId, incarnation: u64, key: String, spec: Arc<AgentSpec>) {
        let noted = look::noted(&self.settings.run_dir, &agent, &key, &self.boot);
        let gone = noted.is_some();
        if let Some(identity) = noted {
            match self.watch_found(&agent, &identity, Some(&spec)) {
                There::Yes => return (self.emit)(Input::Found { agent, incarnation, identity: Some(identity) }),
                There::Unknown => return self.postpone(Effect::Look { agent, incarnation, key, spec }),
                There::No => {}
            }
        }
        self.looks.push(Wanted { agent, incarnation, key, spec, gone });
    }

    /// Watches a process that hb did not start just now.
    pub(super) fn watch_found(&mut self, agent: &AgentId, identity: &Identity, spec: Option<&AgentSpec>) -> There {
        if self.table.find(identity).is_some() {
            return There::Yes;
        }
        let fd = match pidfd::open(identity.pid) {
            Ok(fd) => fd,
            Err(fault) if fault.raw_os_error() == Some(nix::libc::ESRCH) => return There::No,
            Err(fault) => {
                tracing::error!(%agent, %fault, "whether its process lives cannot be learned; it is tried again");
                return There::Unknown;
            }
        };
        match proc::stat(identity.pid) {
            Ok(stat) if identity.boot != self.boot || stat.start_ticks != identity.start_ticks => There::No,
            Ok(_) if end::has_ended(fd.as_fd()) => There::No,
            Ok(_) => self.watch(agent, identity, fd, spec),
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => There::No,
            Err(fault) => {
                tracing::error!(%agent, %fault, "whether its process lives cannot be learned; it is tried again");
                There::Unknown
            }
        }
    }

    fn watch(&mut self, agent: &AgentId, identity: &Identity, fd: OwnedFd, spec: Option<&AgentSpec>) -> There {
        let process = spec.and_then(|spec| spec.process.as_deref());
        let dir = process.and_then(|process| self.cgroups.of(agent.as_str(), &process.limits));
        if let Err((_, fault)) = self.table.watch(watched(agent, identity, fd, dir)) {
            tracing::error!(%agent, %fault, "a running process cannot be watched; it is tried again");
            return There::Unknown;
        }
        if let Some(process) = process {
            self.outputs.keep(agent, &process.output);
            if notify::needed(process)
                && let Err(fault) = self.listen(agent, process, Some(identity.pid))
            {
                tracing::error!(%agent, %fault, "what it says on its notify socket is not heard");
            }
        }
        There::Yes
    }

    pub(super) fn adopt(&mut self, agent: AgentId, identity: Identity, spec: Arc<AgentSpec>) {
        match self.watch_found(&agent, &identity, Some(&spec)) {
            There::Yes => (self.emit)(Input::Adopted { agent, identity }),
            There::No => self.gone(agent, identity, Some(&spec)),
            There::Unknown => self.postpone(Effect::Adopt { agent, identity, spec }),
        }
    }

    /// It is gone, or its number is somebody else's by now: told with what can be learned, and what it left behind is ended.
    pub(super) fn gone(&mut self, agent: AgentId, identity: Identity, spec: Option<&AgentSpec>) {
        let fd = pidfd::open(identity.pid).ok().filter(|_| proc::is(&identity, &self.boot));
        let exit = fd.map_or(Exit::Unknown, |fd| end::how(fd.as_fd(), identity.pid, identity.start_ticks).0);
        if identity.boot == self.boot {
            let process = spec.and_then(|spec| spec.process.as_deref());
            let dir = process.and_then(|process| self.cgroups.of(agent.as_str(), &process.limits));
            if let Some(dir) = &dir {
                kill_cgroup(&agent, dir);
            }
            let (session, cgroup) = (identity.pid, dir);
            self.sweep(Sweep { session, agent: agent.clone(), guard: Guard::Named, cgroup, passes: 0 });
        }
        (self.emit)(Input::Exited { agent, identity, exit });
    }

    /// A few steps of the walk under way; begins one when something waits for it.
    pub(super) fn walk(&mut self) {
        self.soon = false;
        let scan = match self.scan.take() {
            Some(scan) => scan,
            None if self.sweeps.is_empty() && self.looks.is_empty() => return,
            None if self.looks.is_empty() && Instant::now() < self.sweep_at => return,
            None => Scan::begin(std::mem::take(&mut self.sweeps), std::mem::take(&mut self.looks)),
        };
        match scan.walk() {
            Walk::On(scan) => self.scan = Some(scan),
            Walk::Soon(scan) => {
                self.soon = true;
                self.scan = Some(scan);
            }
            Walk::Done(outcome) => self.walked(outcome),
        }
    }

    fn walked(&mut self, outcome: Outcome) {
        self.counts.left_over.fetch_add(outcome.ended, Ordering::Relaxed);
        self.sweeps.extend(outcome.again);
        for (wanted, found) in outcome.looks {
            let identity = self.found(&wanted, &found);
            let Wanted { agent, incarnation, key, spec, .. } = wanted;
            match identity {
                Ok(identity) => (self.emit)(Input::Found { agent, incarnation, identity }),
                Err(NotKnown) => self.postpone(Effect::Look { agent, incarnation, key, spec }),
            }
        }
    }

    /// The oldest with the key that leads a session; where there is none, what is left over from it is ended.
    fn found(&mut self, wanted: &Wanted, found: &[Candidate]) -> Result<Option<Identity>, NotKnown> {
        let leaders = found.iter().filter(|candidate| candidate.leads() && !wanted.gone);
        for Candidate { pid, start_ticks, .. } in leaders.copied() {
            let identity = Identity { pid, start_ticks, boot: self.boot.clone() };
            match self.watch_found(&wanted.agent, &identity, Some(&wanted.spec)) {
                There::Yes => return Ok(Some(identity)),
                There::Unknown => return Err(NotKnown),
                There::No => {}
            }
        }
        let ended = scan::end_left_over(found);
        self.counts.left_over.fetch_add(ended as u64, Ordering::Relaxed);
        Ok(None)
    }
}
