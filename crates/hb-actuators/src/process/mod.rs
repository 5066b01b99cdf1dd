//! The hands: starts, finds, watches, signals and measures the programs of agents.
//!
//! One thread, `hb-hands`, does it all and sleeps in the kernel while nothing happens; a second, `hb-output`, keeps log files within their bounds. No
//! thread and no process per agent.
//!
//! What becomes of programs that do not behave:
//! - *It cannot be executed*: `SpawnFailed` with the path and what to do; nothing runs.
//! - *It forks and ends* (a daemon): `Exited` with its status. What it left in its session is killed; what made a session of its own is only
//!   caught by a control group.
//! - *It ignores its stop signal*: the core's `KILL` reaches the whole group, and what has left the group but not the session.
//! - *It leaves grandchildren*: they are killed as soon as its end is seen, whatever ended it, so that the next incarnation finds its ports free.
//! - *It prints without end*: its log files stay within their bounds, see `output.rs`.
//! - *Its number was given to somebody else*: that one is never signalled; `Exited` with an unknown status is told.
//! - *It forbids looking at itself* (`PR_SET_DUMPABLE`) or writes over its environment: it is found by the note that it left before it became what
//!   it is. Where the run folder is lost at the same moment, it is not found.
//!
//! **Invariants.** Whoever is signalled is reached through a pidfd that was opened before its start time and boot were compared (S2). A child of
//! ours keeps its number until everything in its session is ended, because it is reaped only then.

mod cgroup;
mod end;
mod fence;
pub(crate) mod fuzzing;
mod look;
mod notify;
mod output;
mod proc;
mod scan;
mod start;
mod table;
mod usage;
mod worker;

use std::fs::File;
use std::io;
use std::os::fd::RawFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{SendError, Sender, unbounded};
use hb_core::ids::NodeName;
use hb_core::supervise::input::Input;
use hb_core::supervise::step::Effect;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::resource::{Resource, getrlimit};

pub(crate) use notify::readable;
pub(crate) use start::NOT_INHERITED;

/// Most effects that wait for the hands: several for each of [`hb_core::supervise::bounds::AGENTS_MAX`] agents.
pub const WAITING_MAX: usize = 100_000;

/// What the hands need to know.
#[derive(Debug, Clone)]
pub struct HandsSettings {
    /// Folder of sockets, notes and the lock; one per stream and host, the same after each start. Best on a file system that does not
    /// survive the machine (`/run`). Made with mode 0711 when it is not there; its path has at most 83 bytes.
    pub run_dir: PathBuf,
    /// Folder of the agents' output: `AGENT.log`, `AGENT.log.1` … Made when it is not there. Programs that run go on writing where it was when they were
    /// started; only what is in the present folder is kept within bounds.
    pub log_dir: PathBuf,
    /// Name of the node; control groups are in `hb-NODE`.
    pub node: NodeName,
}

/// What the hands have done and seen since they started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Processes that are watched now.
    pub watched: u64,
    /// Processes that were started.
    pub started: u64,
    /// Processes that were ended because they were left over from an ended leader.
    pub left_over: u64,
    /// Messages on notify sockets that were not heard: too long, or from strangers.
    pub unheard: u64,
    /// Log files that were put aside.
    pub rotated: u64,
    /// Bytes of output that were lost because they were written faster than they could be put aside.
    pub dropped_bytes: u64,
}

/// An effect that the hands did not take.
#[derive(Debug)]
pub enum NotTaken {
    /// [`WAITING_MAX`] are waiting: try again.
    Full(Box<Effect>),
    /// It is not for the hands.
    NotMine(Box<Effect>),
    /// The hands have ended.
    Ended(Box<Effect>),
}

#[derive(Debug, Default)]
struct Counts {
    watched: AtomicU64,
    started: AtomicU64,
    left_over: AtomicU64,
    unheard: AtomicU64,
    output: Arc<output::Counts>,
}

/// The handle on them. Dropping it ends the threads and leaves the programs running.
#[derive(Debug)]
pub struct Hands {
    effects: Option<Sender<Effect>>,
    wake: Arc<EventFd>,
    counts: Arc<Counts>,
    thread: Option<JoinHandle<()>>,
}

impl Hands {
    /// Starts them. From now on no other `Hands` with the same run folder starts a program. `emit` is called on their thread with what
    /// happens; while it blocks, they stand still.
    ///
    /// # Errors
    /// When a folder cannot be used, and `TimedOut` when another hb is in the middle of starting a program and does not get on; in words, with the path.
    pub fn start(settings: HandsSettings, emit: Box<dyn Fn(Input) + Send>) -> io::Result<Self> {
        notify::Ear::check(&settings.run_dir)?;
        make(&settings.run_dir, 0o711)?;
        make(&settings.log_dir, 0o750)?;
        let wake = Arc::new(EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
        let counts = Arc::new(Counts::default());
        // Bounded by `act`: a bounded channel would hold the room for all from the start.
        let (effects, inbox) = unbounded();
        let worker = worker::Worker::new(settings, inbox, Arc::clone(&wake), Arc::clone(&counts), emit)?;
        let thread = std::thread::Builder::new().name("hb-hands".into()).spawn(move || worker.run())?;
        Ok(Self { effects: Some(effects), wake, counts, thread: Some(thread) })
    }

    /// Hands over `Spawn`, `Look`, `Adopt`, `Signal`, `Measure` or `Forget`; they are done in this order. Does not wait.
    ///
    /// # Errors
    /// Gives the effect back when it was not taken.
    pub fn act(&self, effect: Effect) -> Result<(), NotTaken> {
        if !is_mine(&effect) {
            return Err(NotTaken::NotMine(Box::new(effect)));
        }
        let Some(effects) = &self.effects else { return Err(NotTaken::Ended(Box::new(effect))) };
        if effects.len() >= WAITING_MAX {
            return Err(NotTaken::Full(Box::new(effect)));
        }
        effects.send(effect).map_err(|SendError(effect)| NotTaken::Ended(Box::new(effect)))?;
        self.wake();
        Ok(())
    }

    /// What was done so far.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = &self.counts;
        Figures {
            watched: read(&counts.watched),
            started: read(&counts.started),
            left_over: read(&counts.left_over),
            unheard: read(&counts.unheard),
            rotated: read(&counts.output.rotated),
            dropped_bytes: read(&counts.output.dropped),
        }
    }

    /// Does what was handed over, then ends the threads. The programs go on, and can be adopted.
    pub fn stop(mut self) {
        self.end();
    }

    fn wake(&self) {
        if let Err(fault) = self.wake.write(1) {
            tracing::error!(%fault, "the hands cannot be woken");
        }
    }

    fn end(&mut self) {
        self.effects = None;
        self.wake();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the hands panicked; please report it");
        }
    }
}

impl Drop for Hands {
    fn drop(&mut self) {
        self.end();
    }
}

/// Descriptors for which room is made at once.
const ROOM: RawFd = 4_096;

/// Has the kernel make room for the descriptors of many processes. Left to itself it doubles the room whenever it is full, and in a process of
/// several threads each time makes whoever opens something wait for milliseconds: a start that adopts 1,000 processes would wait four times.
pub fn make_room() {
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft);
    let highest = RawFd::try_from(limit).map_or(ROOM, |limit| limit.min(ROOM)) - 1;
    let room = File::open("/dev/null").map(|null| fcntl(&null, FcntlArg::F_DUPFD_CLOEXEC(highest)));
    match room {
        Ok(Ok(copy)) => {
            if let Err(fault) = nix::unistd::close(copy) {
                tracing::debug!(%fault, "a descriptor could not be closed");
            }
        }
        // It is made bit by bit then.
        Ok(Err(fault)) => tracing::debug!(%fault, "no room was made for descriptors"),
        Err(fault) => tracing::debug!(%fault, "no room was made for descriptors"),
    }
}

/// Whether an effect is for the hands.
#[must_use]
pub fn is_mine(effect: &Effect) -> bool {
    match effect {
        Effect::Spawn { .. }
        | Effect::Look { .. }
        | Effect::Adopt { .. }
        | Effect::Signal { .. }
        | Effect::Measure(_)
        | Effect::Forget(_) => true,
        Effect::CheckReady { .. }
        | Effect::Probe { .. }
        | Effect::Call { .. }
        | Effect::Notify { .. }
        | Effect::Leave => false,
    }
}

fn make(dir: &Path, mode: u32) -> io::Result<()> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(mode).create(dir);
    made.map_err(|fault| io::Error::new(fault.kind(), format!("{}: {fault}", dir.display())))
}
