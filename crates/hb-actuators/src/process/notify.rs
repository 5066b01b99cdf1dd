//! Hears what agents say on their `NOTIFY_SOCKET` (the sd_notify protocol).
//!
//! Each agent that needs one has a datagram socket in the run folder, which only the agent's user can write to, and which is bound again at the
//! same place when hb starts anew, so that adopted programs go on talking. Who sent a message is asked of the kernel: a process of the agent's
//! session, or one of the agent's user that has ended already (a helper that lived for this message alone). Whatever else writes there is
//! not heard, and is counted.

use std::fs;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use hb_core::ids::AgentId;
use hb_core::supervise::bounds::SAID_MAX;
use hb_core::supervise::input::Notified;
use hb_core::supervise::spec::{ProcessSpec, ReadyBy};
use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixCredentials, recvmsg, setsockopt, sockopt};

use super::proc;

/// Longest path of a socket: `sun_path` with its end.
const PATH_MAX: usize = 107;
/// Longest message that is read; longer ones are not heard.
const MESSAGE_MAX: usize = 4096;
/// Messages that are read in one go, so that a talkative agent holds up nobody.
const AT_ONCE: usize = 64;
/// Rounds of [`AT_ONCE`] that are thrown away before a start: more than a socket holds.
const DRAINED_MAX: usize = 64;
/// Most descriptors that somebody may send along; they are closed at once.
const FDS_MAX: usize = 16;

/// Whether an agent needs a socket.
pub(super) fn needed(process: &ProcessSpec) -> bool {
    process.ready.by == ReadyBy::Notify || process.watchdog_sec.is_some()
}

/// One agent's socket.
#[derive(Debug)]
pub(super) struct Ear {
    agent: AgentId,
    socket: UnixDatagram,
    path: PathBuf,
    /// Session of its newest process, which is the process's number.
    pub(super) leader: Option<u32>,
    uid: u32,
}

/// What was heard.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// In the order in which it was said; each kind once, the newest of it.
    pub(super) said: Vec<Notified>,
    /// Messages that were too long or came from strangers.
    pub(super) refused: u64,
}

impl Ear {
    /// Where the socket of an agent is.
    pub(super) fn place(run_dir: &Path, agent: &AgentId) -> PathBuf {
        let plain = run_dir.join(format!("{agent}.notify"));
        if plain.as_os_str().len() <= PATH_MAX {
            return plain;
        }
        let hash = agent
            .as_str()
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        run_dir.join(format!("{hash:016x}.notify"))
    }

    /// Whether sockets can be in a folder at all.
    ///
    /// # Errors
    /// When its path is too long.
    pub(super) fn check(run_dir: &Path) -> io::Result<()> {
        let room = PATH_MAX - "/0123456789abcdef.notify".len();
        if run_dir.as_os_str().len() <= room {
            return Ok(());
        }
        let text = format!(
            "the run folder {} has a path of more than {room} bytes, too long for sockets in it",
            run_dir.display()
        );
        Err(io::Error::new(io::ErrorKind::InvalidInput, text))
    }

    /// Binds the socket of an agent, in place of whatever is there.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn open(run_dir: &Path, agent: &AgentId, uid: u32) -> io::Result<Self> {
        let path = Self::place(run_dir, agent);
        remove(&path)?;
        let socket = UnixDatagram::bind(&path)?;
        socket.set_nonblocking(true)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        if uid != nix::unistd::geteuid().as_raw() {
            std::os::unix::fs::chown(&path, Some(uid), None)?;
        }
        setsockopt(&socket, sockopt::PassCred, &true)?;
        Ok(Self { agent: agent.clone(), socket, path, leader: None, uid })
    }

    /// What `NOTIFY_SOCKET` is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the socket away for good. Merely letting go of it leaves the file, which a newer hb may have bound meanwhile.
    pub(super) fn remove(self) {
        if let Err(fault) = remove(&self.path) {
            tracing::debug!(path = %self.path.display(), %fault, "a notify socket stays behind");
        }
    }

    pub(super) fn agent(&self) -> &AgentId {
        &self.agent
    }

    /// Throws away what an earlier process has said.
    pub(super) fn drain(&self) {
        // Bounded: somebody may go on saying things.
        (0..DRAINED_MAX).find(|_| self.hear().done);
    }

    /// Reads what has come, bounded; the rest wakes us again.
    pub(super) fn hear(&self) -> Round {
        let mut round = Round::default();
        let mut buffer = [0u8; MESSAGE_MAX];
        let mut control = nix::cmsg_space!(UnixCredentials, [RawFd; FDS_MAX]);
        for _ in 0..AT_ONCE {
            let mut room = [IoSliceMut::new(&mut buffer)];
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
            let (length, cut, sender) =
                match recvmsg::<()>(self.socket.as_raw_fd(), &mut room, Some(&mut control), flags) {
                    Ok(message) => (message.bytes, message.flags.contains(MsgFlags::MSG_TRUNC), sender(&message)),
                    Err(Errno::EINTR) => continue,
                    Err(Errno::EAGAIN) => {
                        round.done = true;
                        break;
                    }
                    Err(fault) => {
                        tracing::warn!(agent = %self.agent, %fault, "the notify socket cannot be read");
                        round.done = true;
                        break;
                    }
                };
            let known = sender.is_some_and(|sender| self.knows(&sender));
            if cut || !known {
                round.heard.refused += 1;
                continue;
            }
            parse(buffer.get(..length).unwrap_or_default(), &mut round.heard.said);
        }
        round
    }

    fn knows(&self, sender: &UnixCredentials) -> bool {
        let Some(leader) = self.leader else { return false };
        let pid = sender.pid().unsigned_abs();
        if pid == leader {
            return true;
        }
        match proc::stat(pid) {
            Ok(stat) => stat.session == leader,
            Err(_) => sender.uid() == self.uid || sender.uid() == 0,
        }
    }
}

/// One go at a socket.
#[derive(Debug, Default)]
pub(super) struct Round {
    pub(super) heard: Heard,
    done: bool,
}

/// Who sent it, and whatever descriptors came along closed.
#[expect(clippy::wildcard_enum_match_arm, reason = "the library adds kinds; none of them is for us")]
fn sender(message: &nix::sys::socket::RecvMsg<'_, '_, ()>) -> Option<UnixCredentials> {
    let mut found = None;
    for part in message.cmsgs().ok()? {
        match part {
            ControlMessageOwned::ScmCredentials(who) => found = Some(who),
            ControlMessageOwned::ScmRights(fds) => fds.into_iter().for_each(close),
            _ => {}
        }
    }
    found
}

impl AsFd for Ear {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A descriptor that a message has just brought.
fn close(fd: RawFd) {
    if let Err(fault) = nix::unistd::close(fd) {
        tracing::debug!(%fault, "a descriptor that an agent sent could not be closed");
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(fault) if fault.kind() != io::ErrorKind::NotFound => Err(fault),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Adds what a message says; of each kind the newest stays.
pub(super) fn parse(message: &[u8], said: &mut Vec<Notified>) {
    for line in message.split(|byte| *byte == b'\n') {
        let what = match line {
            b"READY=1" => Notified::Ready,
            b"WATCHDOG=1" => Notified::Watchdog,
            b"WATCHDOG=trigger" => Notified::WatchdogTrigger,
            b"STOPPING=1" => Notified::Stopping,
            b"RELOADING=1" => Notified::Reloading,
            _ => match line.strip_prefix(b"STATUS=") {
                Some(text) => Notified::Status(readable(text)),
                // What other supervisors know and we do not need: MAINPID, FDSTORE, ERRNO, …
                None => continue,
            },
        };
        said.retain(|before| std::mem::discriminant(before) != std::mem::discriminant(&what));
        said.push(what);
    }
}

/// One line of at most [`SAID_MAX`] characters.
pub(crate) fn readable(bytes: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(bytes).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.trim().chars().take(SAID_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_the_protocol() {
        let mut said = Vec::new();
        parse(b"STATUS=one\nREADY=1\nMAINPID=3\nSTATUS=two\x07\nWATCHDOG=1\nREADY=0", &mut said);
        assert_eq!(said, [Notified::Ready, Notified::Status("two".into()), Notified::Watchdog]);
        parse(b"WATCHDOG=trigger\nSTOPPING=1\nRELOADING=1\n", &mut said);
        assert_eq!(said.len(), 6);
        assert_eq!(readable(&[b'x'; 1000]).len(), SAID_MAX);
        assert_eq!(readable(b" a\xff\n"), "a\u{fffd}");
    }

    #[test]
    fn long_paths_get_short_names() {
        let agent = AgentId::from("a".repeat(64));
        let short = Ear::place(Path::new("/run/hb"), &agent);
        assert!(short.ends_with(format!("{agent}.notify")));
        let deep = PathBuf::from(format!("/{}", "d".repeat(80)));
        assert!(Ear::place(&deep, &agent).as_os_str().len() <= PATH_MAX && Ear::check(&deep).is_ok());
        assert!(Ear::check(Path::new(&"d".repeat(90))).is_err());
    }

    #[test]
    fn only_the_session_is_heard() {
        let folder = tempfile::tempdir().unwrap();
        let mut ear = Ear::open(folder.path(), &"a".into(), nix::unistd::geteuid().as_raw()).unwrap();
        let other = UnixDatagram::unbound().unwrap();
        other.send_to(b"READY=1", ear.path()).unwrap();
        assert_eq!(ear.hear().heard, Heard { said: Vec::new(), refused: 1 });
        ear.leader = Some(std::process::id());
        other.send_to(b"READY=1", ear.path()).unwrap();
        other.send_to(&[b'x'; MESSAGE_MAX + 1], ear.path()).unwrap();
        assert_eq!(ear.hear().heard, Heard { said: vec![Notified::Ready], refused: 1 });
        other.send_to(b"READY=1", ear.path()).unwrap();
        ear.drain();
        assert_eq!(ear.hear().heard, Heard::default());
    }
}
