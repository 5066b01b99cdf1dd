//! Keeps the output of agents in files of bounded size.
//!
//! A program holds its log file itself, opened for appending, so its output needs nobody of us and survives us. When the file has grown past
//! its bound, what is in it is copied to `AGENT.log.1` and taken out of the file under the program's hands: by collapsing the range where the
//! file system can (nothing is lost, and a program that writes meanwhile waits), in a burst and elsewhere by cutting the file to nothing (what was written between
//! the end of the copy and the cut is lost, and told by a line in the file; of it, what came in the last microseconds cannot be counted).
//!
//! **Invariants.** One thread for all agents, woken by the kernel when something was written, asleep otherwise. While an agent writes, its file is
//! looked at again after at most half of the time that it needs to fill its bound at its present speed. On disk: `keep + 1` files of `max_mb` each,
//! twice that where the file has to be cut, and what was written between two looks.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use hb_core::ids::AgentId;
use hb_core::supervise::spec::Output;
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent};

/// Most orders that wait for the thread.
const ORDERS_MAX: usize = 65_536;
/// Bytes of a megabyte.
const MB: u64 = 1 << 20;
/// Speed at which an agent is thought to write until it was measured, in bytes a second.
const FAST: f64 = 1e9;
/// Shortest and longest pause between two looks at files that grow.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(100));
/// A file that fills its bound sooner grows in a burst.
const CALM: Duration = Duration::from_secs(1);
/// How many times its bound a file may have before its oldest part is given up.
const FAR: u64 = 4;
/// Most that is copied in one go.
const CHUNK: u64 = MB;

/// What was done so far.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Files that were put aside.
    pub(super) rotated: AtomicU64,
    /// Bytes that were lost.
    pub(super) dropped: AtomicU64,
}

/// The files of all agents.
#[derive(Debug)]
pub(super) struct Outputs {
    dir: PathBuf,
    orders: Option<Sender<Order>>,
    wake: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
    /// What the thread was told, so that it is not woken for nothing.
    known: HashMap<AgentId, Output>,
    /// Whether it has to be woken for what it was told.
    told: bool,
}

#[derive(Debug)]
enum Order {
    Keep(AgentId, Output),
    Forget(AgentId),
}

impl Outputs {
    /// Begins to look after a folder, which is made when it is not there.
    ///
    /// # Errors
    /// When the folder cannot be made or watched.
    pub(super) fn start(dir: &Path, counts: Arc<Counts>) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        inotify.add_watch(dir, AddWatchFlags::IN_MODIFY)?;
        let wake = Arc::new(EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
        let (orders, inbox) = unbounded();
        let keeper =
            Keeper { dir: dir.to_owned(), inbox, wake: Arc::clone(&wake), inotify, counts, kept: HashMap::new() };
        let thread = std::thread::Builder::new().name("hb-output".into()).spawn(move || keeper.run())?;
        Ok(Self {
            dir: dir.to_owned(),
            orders: Some(orders),
            wake,
            thread: Some(thread),
            known: HashMap::new(),
            told: false,
        })
    }

    /// The file of an agent, for a program to hold.
    ///
    /// # Errors
    /// Those of the file system, with the path.
    pub(super) fn open(&self, agent: &AgentId) -> io::Result<OwnedFd> {
        let path = path(&self.dir, agent);
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o640).custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK);
        let told = |fault: io::Error| io::Error::new(fault.kind(), format!("{}: {fault}", path.display()));
        let file = options.open(&path).map_err(told)?;
        if file.metadata()?.is_file() {
            return Ok(file.into());
        }
        Err(told(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file: remove it")))
    }

    /// Keeps the file of an agent within its bound from now on.
    pub(super) fn keep(&mut self, agent: &AgentId, output: &Output) {
        if self.known.get(agent) != Some(output) {
            self.known.insert(agent.clone(), output.clone());
            self.order(Order::Keep(agent.clone(), output.clone()));
        }
    }

    /// Looks after it no longer; the files stay.
    pub(super) fn forget(&mut self, agent: &AgentId) {
        self.known.remove(agent);
        self.order(Order::Forget(agent.clone()));
    }

    /// Wakes the thread for all that it was told since the last time: after a start of hb that is much at once.
    pub(super) fn pass_on(&mut self) {
        if std::mem::take(&mut self.told) {
            self.wake();
        }
    }

    fn order(&mut self, order: Order) {
        let Some(orders) = &self.orders else { return };
        // A bounded channel would hold the room for all from the start.
        if orders.len() < ORDERS_MAX && orders.send(order).is_ok() {
            self.told = true;
        } else {
            tracing::error!("the output of an agent is not kept within its bound: the thread for it does not answer");
        }
    }

    fn wake(&self) {
        if let Err(fault) = self.wake.write(1) {
            tracing::error!(%fault, "the thread for outputs cannot be woken");
        }
    }
}

impl Drop for Outputs {
    fn drop(&mut self) {
        self.orders = None;
        self.wake();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread for outputs panicked; please report it");
        }
    }
}

fn path(dir: &Path, agent: &AgentId) -> PathBuf {
    dir.join(format!("{agent}.log"))
}

/// One agent's file.
#[derive(Debug)]
struct Kept {
    path: PathBuf,
    max: u64,
    keep: u32,
    size: u64,
    /// Since when it has that size, while it grows.
    grows: Option<Instant>,
    /// When it was last put aside, or first looked after.
    emptied: Instant,
}

struct Keeper {
    dir: PathBuf,
    inbox: Receiver<Order>,
    wake: Arc<EventFd>,
    inotify: Inotify,
    counts: Arc<Counts>,
    /// By the name of the file.
    kept: HashMap<String, Kept>,
}

impl Keeper {
    fn run(mut self) {
        let mut pause = None;
        loop {
            if !self.wait(pause) {
                return;
            }
            self.written();
            pause = self.look();
        }
    }

    /// Sleeps until something is written, or for a pause while something is being written; takes orders. Gives whether to go on.
    fn wait(&mut self, pause: Option<Duration>) -> bool {
        let timeout = match pause {
            Some(pause) => PollTimeout::try_from(pause).unwrap_or(PollTimeout::ZERO),
            None => PollTimeout::NONE,
        };
        // While something is written anyhow, each further word of it would only wake us too early.
        let written = if pause.is_some() { PollFlags::empty() } else { PollFlags::POLLIN };
        let wake = Arc::clone(&self.wake);
        let mut fds = [PollFd::new(wake.as_fd(), PollFlags::POLLIN), PollFd::new(self.inotify.as_fd(), written)];
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(fault) => {
                tracing::error!(%fault, "outputs of agents are not kept within their bounds any more");
                return false;
            }
        }
        match wake.read() {
            Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(fault) => tracing::error!(%fault, "the thread for outputs cannot be woken"),
        }
        loop {
            match self.inbox.try_recv() {
                Ok(order) => self.take(order),
                Err(crossbeam_channel::TryRecvError::Empty) => return true,
                Err(crossbeam_channel::TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn take(&mut self, order: Order) {
        match order {
            Order::Keep(agent, output) => {
                let kept = Kept {
                    path: path(&self.dir, &agent),
                    max: output.max_mb.max(1).saturating_mul(MB),
                    keep: output.keep,
                    size: 0,
                    // It may have been written before anybody looked.
                    grows: Some(Instant::now()),
                    emptied: Instant::now(),
                };
                self.kept.insert(format!("{agent}.log"), kept);
            }
            Order::Forget(agent) => drop(self.kept.remove(&format!("{agent}.log"))),
        }
    }

    /// Learns whose files were written to.
    fn written(&mut self) {
        loop {
            match self.inotify.read_events() {
                Ok(events) => events.into_iter().for_each(|event| self.written_to(&event)),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return,
                Err(fault) => {
                    tracing::error!(%fault, "cannot be told which outputs are written to");
                    return;
                }
            }
        }
    }

    fn written_to(&mut self, event: &InotifyEvent) {
        let now = Instant::now();
        if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
            // Words were lost: it may have been anybody.
            self.kept.values_mut().for_each(|kept| kept.grows = kept.grows.or(Some(now)));
        }
        let name = event.name.as_ref().and_then(|name| name.to_str());
        if let Some(kept) = name.and_then(|name| self.kept.get_mut(name)) {
            kept.grows = kept.grows.or(Some(now));
        }
    }

    /// Looks at each file that grows. Gives the pause until the next look; none when all are quiet.
    fn look(&mut self) -> Option<Duration> {
        let mut next: Option<Duration> = None;
        for kept in self.kept.values_mut() {
            let Some(since) = kept.grows else { continue };
            let size = match fs::metadata(&kept.path) {
                Ok(found) => found.size(),
                Err(_) => {
                    kept.grows = None;
                    continue;
                }
            };
            let now = Instant::now();
            let grown = size.saturating_sub(kept.size);
            let elapsed = now.saturating_duration_since(since);
            if size > kept.max {
                match shrink(kept, size, kept.pace(size, grown, now)) {
                    Ok(dropped) => {
                        self.counts.rotated.fetch_add(1, Ordering::Relaxed);
                        self.counts.dropped.fetch_add(dropped, Ordering::Relaxed);
                        kept.size = fs::metadata(&kept.path).map_or(0, |found| found.size());
                        kept.emptied = Instant::now();
                    }
                    Err(fault) => {
                        tracing::warn!(path = %kept.path.display(), %fault, "the output of an agent is not kept within its bound");
                        kept.size = size;
                        // The next write brings us here again.
                        kept.grows = None;
                        continue;
                    }
                }
            } else if grown == 0 && size == kept.size {
                kept.grows = None;
                continue;
            } else {
                kept.size = size;
            }
            kept.grows = Some(Instant::now());
            let pause = pause(grown, elapsed, kept.max.saturating_sub(kept.size));
            next = Some(next.map_or(pause, |next| next.min(pause)));
        }
        next
    }
}

/// How fast a file grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// Its bound was not reached within [`CALM`].
    Calm,
    /// It was.
    Burst,
}

impl Kept {
    /// By how long it took to come to this size, and by how much came since the last look: a program that prints a screenful now and then is calm.
    fn pace(&self, size: u64, grown: u64, now: Instant) -> Pace {
        let since = now.saturating_duration_since(self.emptied);
        let fast = since < CALM.saturating_mul(u32::try_from(size / self.max.max(1)).unwrap_or(u32::MAX));
        if fast || grown > self.max / 8 { Pace::Burst } else { Pace::Calm }
    }
}

/// Half of the time until the room is filled, at the speed seen.
fn pause(grown: u64, within: Duration, room: u64) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let speed = if within < PAUSES.0 { FAST } else { (grown as f64 / within.as_secs_f64()).max(1.0) };
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let half = Duration::try_from_secs_f64(room as f64 / speed / 2.0).unwrap_or(PAUSES.1);
    half.clamp(PAUSES.0, PAUSES.1)
}

/// Puts content aside, or drops it where that cannot be done: the disk may be full. Gives how many bytes were lost.
fn shrink(kept: &Kept, size: u64, pace: Pace) -> io::Result<u64> {
    rotate(kept, size, pace).or_else(|fault| {
        tracing::warn!(path = %kept.path.display(), %fault, "the output of an agent cannot be put aside and is dropped");
        OpenOptions::new().write(true).open(&kept.path)?.set_len(0)?;
        lost(kept, size)
    })
}

/// Puts the oldest part of the content aside, at most as much as one file may hold where the file system can take it out of the front, else all
/// of it, at most twice as much. Gives how many bytes were lost.
fn rotate(kept: &Kept, size: u64, pace: Pace) -> io::Result<u64> {
    let mut file = OpenOptions::new().read(true).write(true).open(&kept.path)?;
    if kept.keep == 0 {
        file.set_len(0)?;
        return Ok(0);
    }
    for number in (1..kept.keep).rev() {
        absent_is_fine(fs::rename(aside(&kept.path, number), aside(&kept.path, number + 1)))?;
    }
    let mut copy = OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(aside(&kept.path, 1))?;
    // Far beyond its bound: the newest part is worth more than the oldest.
    let block = file.metadata()?.blksize().max(1);
    let skipped = if size > kept.max.saturating_mul(FAR) { (size - kept.max) / block * block } else { 0 };
    file.seek(SeekFrom::Start(skipped))?;
    let front = skipped + kept.max.min(size - skipped - 1) / block * block;
    let mut copied = skipped + copy_some(&mut file, &mut copy, front - skipped)?;
    // In a burst a collapse, which has to wait for the disk, would let far more come in behind our back than a cut loses.
    if pace == Pace::Calm && copied == front && collapse(&file, front) {
        return lost(kept, skipped);
    }
    // To its end, which may run before us; a bound on how long we run after it.
    let until = skipped.saturating_add(kept.max.saturating_mul(2));
    loop {
        let more = copy_some(&mut file, &mut copy, CHUNK.min(until.saturating_sub(copied)))?;
        copied += more;
        if more == 0 {
            break;
        }
    }
    let end = file.metadata()?.size();
    file.set_len(0)?;
    lost(kept, skipped + end.saturating_sub(copied))
}

fn copy_some(from: &mut File, to: &mut File, bytes: u64) -> io::Result<u64> {
    io::copy(&mut from.take(bytes), to)
}

/// Takes the first bytes out of a file, where its file system can. What it has to write to the disk before, it writes while others can still append.
fn collapse(file: &File, bytes: u64) -> bool {
    let Ok(bytes) = i64::try_from(bytes) else { return false };
    if let Err(fault) = file.sync_data() {
        tracing::debug!(%fault, "output could not be written to the disk");
    }
    bytes > 0 && fallocate(file, FallocateFlags::FALLOC_FL_COLLAPSE_RANGE, 0, bytes).is_ok()
}

/// Tells in the file itself what is missing in it.
fn lost(kept: &Kept, bytes: u64) -> io::Result<u64> {
    if bytes > 0 {
        let line = format!(
            "hb: {bytes} bytes of output are missing here: they were written faster than they could be put aside\n"
        );
        OpenOptions::new().append(true).open(&kept.path)?.write_all(line.as_bytes())?;
        tracing::warn!(path = %kept.path.display(), bytes, "output was dropped: it was written faster than it could be put aside");
    }
    Ok(bytes)
}

fn aside(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

fn absent_is_fine(renamed: io::Result<()>) -> io::Result<()> {
    match renamed {
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_of_what_was_written_before() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept {
            path: folder.path().join("a.log"),
            max: 16_384,
            keep: 9,
            size: 0,
            grows: None,
            emptied: Instant::now(),
        };
        let mut all = String::new();
        let size = || fs::metadata(&kept.path).map_or(0, |found| found.size());
        let mut aside_max = 0;
        for round in 0..3 {
            let text: String = (0..2500).map(|line| format!("{round}{line:06}\n")).collect();
            OpenOptions::new().append(true).create(true).open(&kept.path).unwrap().write_all(text.as_bytes()).unwrap();
            all += &text;
            while size() > kept.max {
                assert_eq!(rotate(&kept, size(), Pace::Calm).unwrap(), 0);
                aside_max = aside_max.max(fs::metadata(aside(&kept.path, 1)).unwrap().size());
            }
        }
        assert!(aside_max <= 2 * kept.max);
        let parts = (1..=9).rev().map(|number| aside(&kept.path, number)).chain([kept.path.clone()]);
        let found: String = parts.filter_map(|path| fs::read_to_string(path).ok()).collect();
        assert_eq!(found, all);
    }

    #[test]
    fn far_beyond_its_bound_the_newest_is_kept_and_the_rest_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept {
            path: folder.path().join("a.log"),
            max: 8192,
            keep: 2,
            size: 0,
            grows: None,
            emptied: Instant::now(),
        };
        let text: String = (0..20_000).map(|line| format!("{line:06}\n")).collect();
        fs::write(&kept.path, &text).unwrap();
        let dropped = rotate(&kept, text.len() as u64, Pace::Burst).unwrap();
        assert!(dropped > 100_000, "{dropped}");
        let rest = fs::read_to_string(aside(&kept.path, 1)).unwrap() + &fs::read_to_string(&kept.path).unwrap();
        assert!(rest.contains("019999\n") && rest.contains(&format!("hb: {dropped} bytes of output are missing here")));
        let none = Kept { keep: 0, ..kept };
        fs::write(&none.path, &text).unwrap();
        assert_eq!((rotate(&none, 1, Pace::Calm).unwrap(), fs::metadata(&none.path).unwrap().size()), (0, 0));
    }

    #[test]
    fn a_screenful_now_and_then_is_calm_and_a_flood_is_not() {
        let now = Instant::now();
        let kept = Kept { path: PathBuf::new(), max: MB, keep: 1, size: 0, grows: None, emptied: now };
        let later = now + CALM * 10;
        assert_eq!(kept.pace(MB + 1, 30_000, later), Pace::Calm);
        assert_eq!(kept.pace(MB + 1, 30_000, now + CALM / 2), Pace::Burst);
        assert_eq!(kept.pace(MB + 1, MB / 2, later), Pace::Burst);
    }

    #[test]
    fn looks_more_often_the_faster_it_grows() {
        let room = 10 * MB;
        let second = Duration::from_secs(1);
        assert_eq!(pause(1, second, room), PAUSES.1);
        assert_eq!(pause(u64::MAX, second, room), PAUSES.0);
        assert!(pause(0, Duration::ZERO, room) < Duration::from_millis(6));
    }
}
