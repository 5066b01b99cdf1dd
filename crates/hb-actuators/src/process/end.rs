//! How a process ended, and whether it has.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use hb_core::supervise::agent::Exit;
use hb_sys::pidfd;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};

use super::proc;

/// Whose child a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Child {
    /// Ours: its number is not given away before we reap it.
    Ours,
    /// Somebody else's.
    Foreign,
}

/// Whether a process has ended, reaped or not. A leader whose other threads go on has not, whatever `/proc` says of it.
pub(super) fn has_ended(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

/// How an ended process ended. One of ours stays unreaped.
///
/// Somebody else's child tells it in three ways: while it is not reaped, by `/proc/PID/stat` (field 52, to its own user and root); once it is, by its
/// pidfd (Linux 6.15 and later); else nobody knows.
pub(super) fn how(fd: BorrowedFd<'_>, pid: u32, start_ticks: u64) -> (Exit, Child) {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    loop {
        match waitid(Id::PIDFd(fd), flags) {
            Ok(WaitStatus::Exited(_, status)) => return (Exit::Status(status), Child::Ours),
            Ok(WaitStatus::Signaled(_, signal, _)) => return (Exit::Signal(signal as i32), Child::Ours),
            Ok(_) => return (Exit::Unknown, Child::Ours),
            Err(Errno::EINTR) => {}
            Err(_) => return (of_foreign(fd, pid, start_ticks), Child::Foreign),
        }
    }
}

fn of_foreign(fd: BorrowedFd<'_>, pid: u32, start_ticks: u64) -> Exit {
    match proc::stat(pid) {
        Ok(stat) if stat.start_ticks == start_ticks && stat.state == b'Z' && (stat.exit_code != 0 || may_know(pid)) => {
            return in_words_of_wait(stat.exit_code);
        }
        Ok(_) | Err(_) => {}
    }
    match pidfd::exit_status(fd) {
        Ok(Some(status)) => in_words_of_wait(status),
        Ok(None) | Err(_) => Exit::Unknown,
    }
}

/// The kernel shows 0 to those who may not know: others than its own user and whoever may trace everybody (`CAP_SYS_PTRACE`).
fn may_know(pid: u32) -> bool {
    use std::os::unix::fs::MetadataExt;
    const SYS_PTRACE: u64 = 1 << 19;
    let own = nix::unistd::geteuid().as_raw();
    if std::fs::metadata(proc::folder(pid)).is_ok_and(|found| found.uid() == own) {
        return true;
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    effective.is_some_and(|bits| bits & SYS_PTRACE != 0)
}

/// The encoding of wait(2): the signal in the lowest seven bits, else the status in the second byte.
fn in_words_of_wait(status: i32) -> Exit {
    match status & 0x7f {
        0 => Exit::Status((status >> 8) & 0xff),
        signal => Exit::Signal(signal),
    }
}

/// Lets go of a child of ours, if it has ended.
pub(super) fn reap(fd: BorrowedFd<'_>) {
    take(fd, WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG);
}

/// Waits for the end of a child of ours that was killed, and lets go of it.
pub(super) fn wait(fd: BorrowedFd<'_>) {
    take(fd, WaitPidFlag::WEXITED);
}

fn take(fd: BorrowedFd<'_>, flags: WaitPidFlag) {
    loop {
        match waitid(Id::PIDFd(fd), flags) {
            Err(Errno::EINTR) => {}
            Ok(_) | Err(Errno::ECHILD) => return,
            Err(fault) => {
                tracing::warn!(%fault, "an ended child cannot be reaped");
                return;
            }
        }
    }
}

/// Sends a signal to the whole group that a process leads. A kernel older than 6.9 cannot do it through the pidfd: there the group is reached by its
/// number, which is the leader's as long as the leader, or any of its group, is there.
///
/// # Errors
/// When it cannot be sent; none when nobody is left.
pub(super) fn signal_group(fd: BorrowedFd<'_>, pid: u32, signal: i32, child: Option<Child>) -> io::Result<()> {
    match pidfd::signal_group(fd, signal) {
        Err(fault) if fault.raw_os_error() == Some(nix::libc::EINVAL) => {}
        Err(fault) if fault.raw_os_error() == Some(nix::libc::ESRCH) => return Ok(()),
        other => return other,
    }
    // Safe as long as the leader holds its number: it lives, or is an unreaped child of ours.
    if child != Some(Child::Ours) && has_ended(fd.as_fd()) {
        return Ok(());
    }
    let signal = nix::sys::signal::Signal::try_from(signal)?;
    let group = nix::unistd::Pid::from_raw(i32::try_from(pid).map_err(io::Error::other)?);
    match nix::sys::signal::killpg(group, signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(fault) => Err(fault.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_of_wait() {
        assert_eq!(in_words_of_wait(0x700), Exit::Status(7));
        assert_eq!(in_words_of_wait(9), Exit::Signal(9));
        assert_eq!(in_words_of_wait(0x80 | 11), Exit::Signal(11));
        assert_eq!(in_words_of_wait(0), Exit::Status(0));
    }
}
