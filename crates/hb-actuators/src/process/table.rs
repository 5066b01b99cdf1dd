//! Who is watched: processes and notify sockets, by the token that the kernel gives back when something happens to them.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use hb_core::ids::AgentId;
use hb_core::supervise::agent::Identity;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};

use super::notify::Ear;
use super::usage::Seen;

/// A process that is watched.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) agent: AgentId,
    pub(super) identity: Identity,
    pub(super) fd: OwnedFd,
    pub(super) cgroup: Option<PathBuf>,
    pub(super) seen: Option<Seen>,
    /// Nobody wants to hear of it any more; it is only reaped.
    pub(super) forgotten: bool,
}

/// What a token stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    /// There are effects.
    Wake,
    /// A process has ended.
    Process(u64),
    /// An agent says something.
    Ear(u64),
}

impl Token {
    pub(super) fn to_data(self) -> u64 {
        match self {
            Self::Wake => 0,
            Self::Process(number) => number << 1,
            Self::Ear(number) => number << 1 | 1,
        }
    }

    pub(super) fn from_data(data: u64) -> Self {
        match (data, data & 1) {
            (0, _) => Self::Wake,
            (_, 0) => Self::Process(data >> 1),
            (_, _) => Self::Ear(data >> 1),
        }
    }
}

/// All of them.
#[derive(Debug)]
pub(super) struct Table {
    epoll: Epoll,
    next: u64,
    processes: HashMap<u64, Watched>,
    by_pid: HashMap<u32, u64>,
    ears: HashMap<u64, Ear>,
    ear_of: BTreeMap<AgentId, u64>,
}

impl Table {
    pub(super) fn new(epoll: Epoll) -> Self {
        Self {
            epoll,
            next: 1,
            processes: HashMap::new(),
            by_pid: HashMap::new(),
            ears: HashMap::new(),
            ear_of: BTreeMap::new(),
        }
    }

    pub(super) fn epoll(&self) -> &Epoll {
        &self.epoll
    }

    pub(super) fn len(&self) -> usize {
        self.processes.len()
    }

    /// Watches a process from now on. One that has ended already is told of at once.
    pub(super) fn watch(&mut self, watched: Watched) -> Result<(), (Watched, Errno)> {
        let number = self.number();
        let event = EpollEvent::new(EpollFlags::EPOLLIN, Token::Process(number).to_data());
        if let Err(fault) = self.epoll.add(&watched.fd, event) {
            return Err((watched, fault));
        }
        self.by_pid.insert(watched.identity.pid, number);
        self.processes.insert(number, watched);
        Ok(())
    }

    /// The process of that identity.
    pub(super) fn find(&mut self, identity: &Identity) -> Option<&mut Watched> {
        let number = self.by_pid.get(&identity.pid)?;
        self.processes.get_mut(number).filter(|watched| watched.identity == *identity)
    }

    /// Watches a process no longer.
    pub(super) fn take(&mut self, number: u64) -> Option<Watched> {
        let watched = self.processes.remove(&number)?;
        if self.by_pid.get(&watched.identity.pid) == Some(&number) {
            self.by_pid.remove(&watched.identity.pid);
        }
        if let Err(fault) = self.epoll.delete(&watched.fd) {
            tracing::error!(%fault, agent = %watched.agent, "a process cannot be let go of");
        }
        Some(watched)
    }

    /// Nothing of this agent is to be told any more. Processes stay until they are reaped.
    pub(super) fn forget(&mut self, agent: &AgentId) {
        for watched in self.processes.values_mut().filter(|watched| watched.agent == *agent) {
            watched.forgotten = true;
        }
        if let Some(ear) = self.ear_of.remove(agent).and_then(|number| self.ears.remove(&number)) {
            if let Err(fault) = self.epoll.delete(ear.as_fd()) {
                tracing::error!(%fault, %agent, "a notify socket cannot be let go of");
            }
            ear.remove();
        }
    }

    /// Listens to an agent from now on.
    pub(super) fn listen(&mut self, ear: Ear) -> Result<(), Errno> {
        let number = self.number();
        self.epoll.add(ear.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, Token::Ear(number).to_data()))?;
        self.ear_of.insert(ear.agent().clone(), number);
        self.ears.insert(number, ear);
        Ok(())
    }

    pub(super) fn ear(&self, number: u64) -> Option<&Ear> {
        self.ears.get(&number)
    }

    pub(super) fn ear_of(&mut self, agent: &AgentId) -> Option<&mut Ear> {
        self.ears.get_mut(self.ear_of.get(agent)?)
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_as_they_were() {
        for token in [Token::Wake, Token::Process(1), Token::Ear(1), Token::Process(77), Token::Ear(78)] {
            assert_eq!(Token::from_data(token.to_data()), token);
        }
    }
}
