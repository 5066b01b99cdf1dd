//! Being told by the kernel that a folder got a new file (inotify). It only shortens waiting: whoever is woken, or not, looks.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

/// Most folders that one handle listens to (B1); beyond, all are forgotten and listened to anew.
const FOLDERS_MAX: usize = 64;

/// Listens to folders.
#[derive(Debug)]
pub(super) struct Ears {
    inotify: Inotify,
    folders: BTreeMap<String, WatchDescriptor>,
}

impl Ears {
    pub(super) fn open() -> Result<Self, Errno> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        Ok(Self { inotify, folders: BTreeMap::new() })
    }

    /// Listens to a folder from now on.
    pub(super) fn listen(&mut self, name: &str, dir: &Path) -> Result<(), Errno> {
        if self.folders.contains_key(name) {
            return Ok(());
        }
        if self.folders.len() >= FOLDERS_MAX {
            *self = Self::open()?;
        }
        let news = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_ONLYDIR;
        let folder = self.inotify.add_watch(dir, news)?;
        self.folders.insert(name.to_owned(), folder);
        Ok(())
    }

    /// Forgets what has been told so far; called before a look, so that what happens after the look wakes.
    pub(super) fn forget(&mut self) -> Result<(), Errno> {
        loop {
            match self.inotify.read_events() {
                Ok(events) => {
                    // A folder that is gone is listened to anew.
                    for event in events.iter().filter(|event| event.mask.contains(AddWatchFlags::IN_IGNORED)) {
                        self.folders.retain(|_, folder| *folder != event.wd);
                    }
                }
                Err(Errno::EAGAIN) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Waits until something is told, at most that long.
    pub(super) fn wait(&self, patience: Duration) -> Result<(), Errno> {
        // Rounded up, so that the last wait of a patience is not made of looks.
        let millis = patience.as_micros().div_ceil(1000).min(60_000);
        let timeout = u16::try_from(millis).map_or(PollTimeout::MAX, PollTimeout::from);
        match poll(&mut [PollFd::new(self.inotify.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno),
        }
    }
}
