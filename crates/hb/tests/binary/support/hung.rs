//! A thread that hangs, and threads that are held before they begin.

use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// Stops one thread of a process, as a dead disk would, and lets it go on when dropped. To be dropped by the same thread.
pub(crate) struct Hung(Pid);

impl Hung {
    pub(crate) fn seize(thread: Pid) -> nix::Result<Self> {
        ptrace::seize(thread, ptrace::Options::empty())?;
        ptrace::interrupt(thread)?;
        waitpid(thread, Some(WaitPidFlag::__WALL))?;
        Ok(Self(thread))
    }

    /// Takes note of its end, which its process cannot have before: to be called while that is waited for.
    pub(crate) fn bury(&self) {
        match waitpid(self.0, Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG)) {
            // An error says that note has been taken already.
            Ok(_) | Err(_) => {}
        }
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        // It fails only where the process has ended.
        ptrace::detach(self.0, None).unwrap_or_default();
    }
}

/// Holds every thread that one thread of a process starts from now on, before it has done anything; the one itself goes on. To be used and
/// dropped by the same thread.
pub(crate) struct Unborn {
    parent: Pid,
    held: Vec<Pid>,
}

impl Unborn {
    /// Of the threads of this one.
    pub(crate) fn of(parent: Pid) -> nix::Result<Self> {
        ptrace::seize(parent, ptrace::Options::PTRACE_O_TRACECLONE)?;
        Ok(Self { parent, held: Vec::new() })
    }

    /// Lets the parent go on after each start of a thread, which stays where it is: to be called again and again.
    pub(crate) fn hold(&mut self) {
        while let Ok(status) = waitpid(self.parent, Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG)) {
            if let WaitStatus::PtraceEvent(_, _, event) = status
                && event == nix::libc::PTRACE_EVENT_CLONE
            {
                let born = Pid::from_raw(i32::try_from(ptrace::getevent(self.parent).unwrap()).unwrap());
                // Traced from its birth, and stopped there.
                waitpid(born, Some(WaitPidFlag::__WALL)).unwrap();
                self.held.push(born);
                ptrace::cont(self.parent, None).unwrap();
            } else if let WaitStatus::Stopped(_, signal) = status {
                ptrace::cont(self.parent, signal).unwrap();
            } else {
                break;
            }
        }
    }

    /// Lets all of them begin.
    pub(crate) fn let_go(self) {}
}

impl Drop for Unborn {
    fn drop(&mut self) {
        // It fails only for those that have ended.
        for thread in &self.held {
            ptrace::detach(*thread, None).unwrap_or_default();
        }
        // Only what is stopped can be let go of.
        if ptrace::interrupt(self.parent).is_ok() && waitpid(self.parent, Some(WaitPidFlag::__WALL)).is_ok() {
            ptrace::detach(self.parent, None).unwrap_or_default();
        }
    }
}
