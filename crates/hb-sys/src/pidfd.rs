//! What a pidfd can do beyond telling that its process ended: reach the whole process group, and tell how the process ended.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::libc;

/// `PIDFD_SIGNAL_PROCESS_GROUP` of `linux/pidfd.h`, since Linux 6.9.
const SIGNAL_PROCESS_GROUP: libc::c_uint = 1 << 2;
/// `PIDFD_INFO_EXIT` of `linux/pidfd.h`, since Linux 6.15.
const INFO_EXIT: u64 = 1 << 3;
/// `_IOWR(0xFF, 11, struct pidfd_info)` with the first published size of the structure, 64 bytes.
const GET_INFO: u64 = (3 << 30) | (64 << 16) | (0xFF << 8) | 11;

/// `struct pidfd_info` in its first published size.
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroup: u64,
    /// pid, tgid, ppid, and the four pairs of user and group ids.
    ids: [u32; 11],
    exit_code: i32,
}

/// Opens the process with this number, whoever it is by now: look who it is only after this, and act only through it. Close-on-exec.
///
/// # Errors
/// `ESRCH` when there is none; `EMFILE`; `ENOSYS` where the kernel is older than 5.3.
pub fn open(pid: u32) -> io::Result<OwnedFd> {
    let pid = libc::pid_t::try_from(pid).map_err(|_| io::Error::from_raw_os_error(libc::ESRCH))?;
    // SAFETY: takes numbers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = i32::try_from(fd).ok().filter(|fd| *fd >= 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the kernel has just opened it for us, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sends a signal to this process alone.
///
/// # Errors
/// `ESRCH` when it has ended; `EPERM`.
pub fn signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    send(pidfd, signal, 0)
}

/// Sends a signal to the process group that the process behind the pidfd leads. The kernel goes by the group itself and not by its
/// number, so nobody else is reached even when the leader is gone and its number was given away (S2).
///
/// # Errors
/// `EINVAL` where the kernel is older than 6.9; `ESRCH` when nobody of the group is left; `EPERM`.
pub fn signal_group(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    send(pidfd, signal, SIGNAL_PROCESS_GROUP)
}

fn send(pidfd: BorrowedFd<'_>, signal: i32, flags: libc::c_uint) -> io::Result<()> {
    let nothing = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: takes numbers and a null pointer, which stands for the default information; it touches no memory of ours.
    let done = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, nothing, flags) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// How the process ended, as `wait(2)` has it; `None` while nobody has reaped it. Works for processes that are not our children.
///
/// # Errors
/// `ENOTTY` or `EINVAL` where the kernel is older than 6.15.
pub fn exit_status(pidfd: BorrowedFd<'_>) -> io::Result<Option<i32>> {
    const { assert!(size_of::<PidfdInfo>() == 64, "the number of the request holds this size") };
    let mut info = PidfdInfo { mask: INFO_EXIT, ..PidfdInfo::default() };
    // The type of a request differs between C libraries; its 32 bits do not.
    let request = GET_INFO as libc::Ioctl;
    // SAFETY: `info` has the size that the request announces, lives through the call, and nobody else looks at it.
    let done = unsafe { libc::ioctl(pidfd.as_raw_fd(), request, &raw mut info) };
    if done != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((info.mask & INFO_EXIT != 0).then_some(info.exit_code))
}
