//! What `/proc` says of a process.

use std::fs;
use std::io::{self, Read};
use std::path::PathBuf;

use hb_core::supervise::agent::Identity;

/// Clock ticks a second in `/proc`: `USER_HZ`, which is 100 wherever Linux runs hb.
pub(super) const TICKS_PER_SEC: u64 = 100;
/// Flag of a thread of the kernel (`PF_KTHREAD`).
const KERNEL_THREAD: u64 = 0x0020_0000;
/// Longest `/proc/PID/stat`: 52 numbers and a name of at most 64 bytes.
const STAT_BYTES: usize = 2048;
/// Most bytes of an environment that are searched.
const ENVIRON_BYTES: u64 = 4 << 20;

/// The fields of `/proc/PID/stat` that matter here; see proc(5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    /// `R`, `S`, `Z`, …
    pub(super) state: u8,
    /// Its session.
    pub(super) session: u32,
    /// Processor time so far, in ticks.
    pub(super) ticks: u64,
    /// Its start, in ticks since boot.
    pub(super) start_ticks: u64,
    /// It is a thread of the kernel.
    pub(super) kernel: bool,
    /// Where its environment ends; 0 while it is becoming another program, or when we may not know.
    pub(super) env_end: u64,
    /// How it ended, as `wait(2)` has it; 0 also when we may not know.
    pub(super) exit_code: i32,
}

/// Reads the fields of a process.
///
/// # Errors
/// `NotFound` when there is none.
pub(super) fn stat(pid: u32) -> io::Result<Stat> {
    let mut buffer = [0u8; STAT_BYTES];
    let mut file = fs::File::open(format!("/proc/{pid}/stat"))?;
    // The kernel gives all of it at once.
    let filled = loop {
        match file.read(&mut buffer) {
            Ok(filled) => break filled,
            Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
            Err(fault) if fault.raw_os_error() == Some(nix::libc::ESRCH) => return Err(io::ErrorKind::NotFound.into()),
            Err(fault) => return Err(fault),
        }
    };
    buffer.get(..filled).and_then(parse).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/PID/stat"))
}

/// The name stands in parentheses and may hold anything, also parentheses: what follows the last one counts.
pub(super) fn parse(bytes: &[u8]) -> Option<Stat> {
    let close = bytes.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(bytes.get(close + 1..)?).ok()?;
    let mut fields = [""; 50];
    for (field, text) in fields.iter_mut().zip(rest.split_ascii_whitespace()) {
        *field = text;
    }
    let number = |field: usize| fields.get(field - 3).and_then(|text| text.parse::<u64>().ok());
    Some(Stat {
        state: *fields.first()?.as_bytes().first()?,
        session: u32::try_from(number(6)?).ok()?,
        ticks: number(14)?.saturating_add(number(15)?),
        start_ticks: number(22)?,
        kernel: number(9)? & KERNEL_THREAD != 0,
        env_end: number(51).unwrap_or(0),
        exit_code: fields.get(49).and_then(|text| text.parse().ok()).unwrap_or(0),
    })
}

/// The boot that pids and ticks belong to.
///
/// # Errors
/// When `/proc` is not there.
pub(super) fn boot() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// Ticks since boot, by the clock that start times are measured with.
pub(super) fn ticks_now() -> u64 {
    let since = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).map(std::time::Duration::from);
    let since = since.unwrap_or_default();
    since.as_secs() * TICKS_PER_SEC + u64::from(since.subsec_millis()) * TICKS_PER_SEC / 1000
}

/// Numbers of all processes.
///
/// # Errors
/// When `/proc` cannot be read.
pub(super) fn pids() -> io::Result<Vec<u32>> {
    let names = fs::read_dir("/proc")?.filter_map(Result::ok);
    Ok(names.filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse().ok())).collect())
}

/// The environment that a process was started with, as far as it has not written over it; empty while it is becoming a program.
///
/// # Errors
/// `PermissionDenied` for those of others; `NotFound`.
pub(super) fn environ(pid: u32) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(format!("/proc/{pid}/environ"))?.take(ENVIRON_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The value of a variable in an environment.
pub(super) fn variable<'a>(environ: &'a [u8], name: &str) -> Option<&'a [u8]> {
    environ
        .split(|byte| *byte == 0)
        .find_map(|pair| pair.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"=")))
}

/// The folder of a process in `/proc`.
pub(super) fn folder(pid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}"))
}

/// Whether the process of this number is the one that is meant, dead but not reaped or alive. Only trustworthy while a pidfd of it
/// is held that was opened before.
pub(super) fn is(identity: &Identity, boot: &str) -> bool {
    identity.boot == boot && stat(identity.pid).is_ok_and(|stat| stat.start_ticks == identity.start_ticks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_hold_anything() {
        let line = b"42 (a) R 1 (b\n) S 1 42 42 0 -1 4194304 1 2 3 4 50 7 5 6 20 0 1 0 987654 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 256\n";
        let stat = parse(line).unwrap();
        assert_eq!((stat.state, stat.session, stat.ticks, stat.start_ticks), (b'S', 42, 57, 987_654));
        assert!(!stat.kernel);
        assert_eq!(parse(b"42 (a"), None);
        assert_eq!(parse(b"42 (a) S 1"), None);
    }

    #[test]
    fn sees_itself() {
        let own = std::process::id();
        let stat = stat(own).unwrap();
        assert!(stat.start_ticks <= ticks_now() && stat.env_end != 0 && !stat.kernel);
        assert!(pids().unwrap().contains(&own));
        let environ = environ(own).unwrap();
        assert_eq!(variable(&environ, "NO_SUCH_VARIABLE"), None);
        assert_eq!(variable(b"AB=1\0A=2=3\0", "A"), Some(&b"2=3"[..]));
        let identity = Identity { pid: own, start_ticks: stat.start_ticks, boot: boot().unwrap() };
        assert!(is(&identity, &boot().unwrap()));
        assert!(!is(&Identity { start_ticks: 1, ..identity.clone() }, &identity.boot));
        assert!(!is(&identity, "another boot"));
    }
}
