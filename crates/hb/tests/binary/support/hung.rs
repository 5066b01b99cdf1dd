//! A thread that hangs.

use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, waitpid};
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
