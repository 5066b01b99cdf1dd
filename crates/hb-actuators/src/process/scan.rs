//! Goes through all processes, a few at a time: to find one by its spawn key, and to end what an ended leader left behind.
//!
//! **Invariants.** Nobody is signalled who was not looked at after a pidfd of him was open, and found to be meant (S2). What is meant: a process in the
//! session of an ended leader, while that session's number cannot have been given to anybody else: because the leader is an unreaped child of ours, or
//! because the process is older than the leader's death, or because its environment names the agent.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hb_core::ids::AgentId;
use hb_core::supervise::spec::AgentSpec;
use hb_sys::pidfd;

use super::end;
use super::proc::{self, Stat};

/// Processes that are looked at before somebody else has a turn.
const SLICE: usize = 16;
/// Rounds of ending what is left: whoever makes processes faster than that keeps the last ones.
const PASSES_MAX: u8 = 8;
/// How long a process may take to get its environment while it becomes a program.
const BECOMING_MAX: Duration = Duration::from_secs(5);

/// Why a process in an ended session is certainly one of ours.
#[derive(Debug)]
pub(super) enum Guard {
    /// The leader is an unreaped child of ours, which holds the number until this ends.
    Pinned(OwnedFd),
    /// It began before this moment, at which the leader's death was seen.
    Before(u64),
    /// Its environment says so.
    Named,
}

/// The session of an ended leader, to be emptied.
#[derive(Debug)]
pub(super) struct Sweep {
    pub(super) session: u32,
    pub(super) agent: AgentId,
    pub(super) guard: Guard,
    /// Its control group, removed in the end.
    pub(super) cgroup: Option<PathBuf>,
    pub(super) passes: u8,
}

impl Drop for Sweep {
    fn drop(&mut self) {
        if let Guard::Pinned(leader) = &self.guard {
            end::reap(leader.as_fd());
        }
        if let Some(dir) = &self.cgroup {
            super::cgroup::remove(dir);
        }
    }
}

/// A process to be found.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) agent: AgentId,
    pub(super) incarnation: u64,
    pub(super) key: String,
    pub(super) spec: Arc<AgentSpec>,
    /// Its note was found, and the process that it names is gone: whatever else has the key is left over from it.
    pub(super) gone: bool,
}

/// A process with a key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub(super) pid: u32,
    pub(super) start_ticks: u64,
    session: u32,
}

impl Candidate {
    /// It leads a session, as whatever we start does.
    pub(super) fn leads(&self) -> bool {
        self.pid == self.session
    }
}

/// One walk through all processes.
#[derive(Debug)]
pub(super) struct Scan {
    pids: Vec<u32>,
    becoming: Vec<u32>,
    until: Instant,
    sweeps: Vec<Sweep>,
    looks: Vec<Wanted>,
    /// Whatever has one of the keys that are looked for.
    found: BTreeMap<String, Vec<Candidate>>,
    ended: BTreeSet<u32>,
    count: u64,
}

/// Where a walk stands.
#[derive(Debug)]
pub(super) enum Walk {
    /// There is more.
    On(Scan),
    /// Some are becoming programs: again in a moment.
    Soon(Scan),
    /// All were looked at.
    Done(Outcome),
}

/// What a walk came to.
#[derive(Debug)]
pub(super) struct Outcome {
    /// Each that was looked for, with whatever has its key, the oldest first.
    pub(super) looks: Vec<(Wanted, Vec<Candidate>)>,
    /// Sessions in which somebody was ended: to be looked at again.
    pub(super) again: Vec<Sweep>,
    /// Processes that were ended.
    pub(super) ended: u64,
}

impl Scan {
    /// Begins.
    pub(super) fn begin(sweeps: Vec<Sweep>, looks: Vec<Wanted>) -> Self {
        let pids = proc::pids().unwrap_or_else(|fault| {
            tracing::error!(%fault, "/proc cannot be read: neither lost nor left-over processes are found");
            Vec::new()
        });
        let until = Instant::now() + BECOMING_MAX;
        let found = looks.iter().map(|wanted| (wanted.key.clone(), Vec::new())).collect();
        Self { pids, becoming: Vec::new(), until, sweeps, looks, found, ended: BTreeSet::new(), count: 0 }
    }

    /// Nobody looks for this agent any more.
    pub(super) fn forget(&mut self, agent: &AgentId) {
        self.looks.retain(|wanted| wanted.agent != *agent);
    }

    /// Looks at the next few.
    pub(super) fn walk(mut self) -> Walk {
        for _ in 0..SLICE {
            match self.pids.pop() {
                Some(pid) => self.look_at(pid),
                None if self.becoming.is_empty() => return Walk::Done(self.finish()),
                None if Instant::now() >= self.until => {
                    tracing::warn!(pids = ?self.becoming, "processes whose environment does not show are taken for strangers");
                    return Walk::Done(self.finish());
                }
                None => {
                    self.pids = std::mem::take(&mut self.becoming);
                    return Walk::Soon(self);
                }
            }
        }
        Walk::On(self)
    }

    fn look_at(&mut self, pid: u32) {
        let Ok(stat) = proc::stat(pid) else { return };
        if stat.kernel || stat.state == b'Z' {
            return;
        }
        let sweep = self.sweeps.iter().find(|sweep| sweep.session == stat.session && sweep.session != pid);
        if let Some(sweep) = sweep
            && sweep.end(pid, &stat)
        {
            self.ended.insert(sweep.session);
            self.count += 1;
        }
        if self.looks.is_empty() {
            return;
        }
        let Ok(environ) = proc::environ(pid) else { return };
        if environ.is_empty() {
            // Without an environment, or without one yet: the kernel sets its end once the program is in place. That we could look at it means that we are shown
            // this figure too.
            if stat.env_end == 0 {
                self.becoming.push(pid);
            }
            return;
        }
        let key = proc::variable(&environ, "HB_SPAWN_KEY").and_then(|key| std::str::from_utf8(key).ok());
        if let Some(found) = key.and_then(|key| self.found.get_mut(key)) {
            found.push(Candidate { pid, start_ticks: stat.start_ticks, session: stat.session });
        }
    }

    fn finish(mut self) -> Outcome {
        let looks = std::mem::take(&mut self.looks).into_iter().map(|wanted| {
            let mut found = self.found.get(&wanted.key).cloned().unwrap_or_default();
            found.sort_by_key(|candidate| candidate.start_ticks);
            (wanted, found)
        });
        let looks = looks.collect();
        let mut again = Vec::new();
        for mut sweep in std::mem::take(&mut self.sweeps) {
            sweep.passes += 1;
            if !self.ended.contains(&sweep.session) {
                continue;
            }
            if sweep.passes < PASSES_MAX {
                again.push(sweep);
            } else {
                tracing::warn!(agent = %sweep.agent, "what its program left behind makes processes faster than they can be ended");
            }
        }
        Outcome { looks, again, ended: self.count }
    }
}

impl Sweep {
    /// Ends a process of the session. Gives whether one was ended.
    fn end(&self, pid: u32, seen: &Stat) -> bool {
        match &self.guard {
            Guard::Before(ticks) if seen.start_ticks > *ticks => return false,
            Guard::Named
                if !proc::environ(pid)
                    .is_ok_and(|env| proc::variable(&env, "HB_AGENT") == Some(self.agent.as_str().as_bytes())) =>
            {
                return false;
            }
            Guard::Pinned(_) | Guard::Before(_) | Guard::Named => {}
        }
        end_one(pid, seen.start_ticks, seen.session)
    }
}

/// Kills one process, if it still is who it was.
pub(super) fn end_one(pid: u32, start_ticks: u64, session: u32) -> bool {
    let Ok(fd) = pidfd::open(pid) else { return false };
    let same = proc::stat(pid).is_ok_and(|now| now.start_ticks == start_ticks && now.session == session);
    same && pidfd::signal(fd.as_fd(), nix::libc::SIGKILL).is_ok()
}

/// Ends what an ended leader left behind, all of it having the key.
pub(super) fn end_left_over(found: &[Candidate]) -> usize {
    found.iter().filter(|one| !one.leads()).filter(|one| end_one(one.pid, one.start_ticks, one.session)).count()
}
