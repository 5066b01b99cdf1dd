//! Following one cell by a stream that the server holds open, for those who wait for its change.
//!
//! A follower looks at the cell, opens a stream from there on, and looks again whenever the stream has been quiet for [`CHECK`]: a
//! stream that was cut without a word is noticed by that. After anything strange it starts from the beginning: look, then stream.
//!
//! **Invariants.** `history` has the versions in the order in which they stood, the newest last; `newest` is the cell of that one. A change is told only where it is
//! certain: the version seen is in the history and not the newest, or a look that began after it was seen found another. So waiting
//! never turns into asking again and again, however late a stream is.
//!
//! Bounds (B1): [`HISTORY`] versions; a line of a stream has at most [`LINE_MAX`] bytes. A follower that nobody waits for ends
//! after [`UNASKED`].

pub(crate) mod fuzzing;

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hb_store::register::{CELL_MAX, Cell, CellVersion, RegisterError, Woken};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::line::chain;

/// How long a stream may be quiet until the cell is looked at.
pub(crate) const CHECK: Duration = Duration::from_secs(2);
/// How long a version that the stream has not shown yet is waited for until the cell is looked at.
const LATE: Duration = Duration::from_millis(250);
/// How long after a failure it is tried again, at first and at most.
const AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// A follower that nobody asks for as long as this ends.
const UNASKED: Duration = Duration::from_secs(10);
/// Most versions that are remembered.
const HISTORY: usize = 16;
/// Most bytes of a line: the cell as it is and as it was, in base64, and what surrounds them.
const LINE_MAX: usize = 4 * CELL_MAX + (64 << 10);

/// What a look found.
#[derive(Debug)]
pub(crate) struct Look<M> {
    /// The cell, if it is there.
    pub(crate) cell: Option<Cell>,
    /// From where on a stream tells what comes after this look.
    pub(crate) mark: M,
}

/// What a line of a stream says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// This stands in the cell now; none: it was removed.
    Now(Option<Cell>),
    /// Nothing about the cell, but that the stream lives.
    Alive,
}

/// An engine that can be followed.
pub(crate) trait Followed: Send + Sync + 'static {
    /// From where a stream begins.
    type Mark: Send + Sync;

    /// Looks at a cell: as new as anything that was acknowledged before.
    fn look(&self, name: &str) -> impl Future<Output = Result<Look<Self::Mark>, String>> + Send;

    /// Opens a stream of what happens to a cell after a mark.
    fn open(&self, name: &str, mark: &Self::Mark) -> impl Future<Output = Result<reqwest::Response, String>> + Send;

    /// Understands a line.
    ///
    /// # Errors
    /// Why the stream is over.
    fn line(&self, name: &str, line: &[u8]) -> Result<Said, String>;
}

/// What is known of the cell.
#[derive(Debug, Default)]
struct Known {
    /// Versions, the newest last; none: the cell was not there.
    history: VecDeque<Option<CellVersion>>,
    /// What stands in the cell, of the newest version.
    newest: Option<Cell>,
    /// When the newest look began.
    fresh: Option<Instant>,
    /// What somebody waits for to change, and since when.
    pending: Option<(Option<CellVersion>, Instant)>,
    /// What is wrong at the moment.
    fault: Option<String>,
    /// When somebody last waited.
    asked: Option<Instant>,
    /// Nobody follows any more.
    over: bool,
}

impl Known {
    fn push(&mut self, cell: Option<Cell>) {
        let version = version_of(cell.as_ref());
        if self.history.back() != Some(&version) {
            if self.history.len() == HISTORY {
                self.history.pop_front();
            }
            self.history.push_back(version);
            self.newest = cell;
        }
    }

    /// Whether the cell has certainly another version than `seen`; none: it cannot be told yet.
    fn changed(&self, seen: &Option<CellVersion>, since: Instant) -> Option<bool> {
        let newest = self.history.back()?;
        if newest == seen {
            Some(false)
        } else if (seen.is_some() && self.history.contains(seen)) || self.fresh.is_some_and(|fresh| fresh > since) {
            Some(true)
        } else {
            None
        }
    }
}

fn version_of(cell: Option<&Cell>) -> Option<CellVersion> {
    cell.map(|cell| cell.version.clone())
}

#[derive(Debug, Default)]
struct Shared {
    known: Mutex<Known>,
    told: Condvar,
    look: Notify,
}

impl Shared {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.known());
        self.told.notify_all();
    }
}

/// A follower of one cell, at work in the background until it is dropped.
#[derive(Debug)]
pub(crate) struct Follower {
    name: String,
    shared: Arc<Shared>,
    task: AbortHandle,
}

impl Follower {
    /// Follows a cell from now on.
    pub(crate) fn start<E: Followed>(handle: &Handle, engine: &Arc<E>, name: &str) -> Self {
        let shared = Arc::new(Shared::default());
        shared.known().asked = Some(Instant::now());
        let task = handle.spawn(follow(Arc::clone(engine), name.to_owned(), Arc::clone(&shared)));
        Self { name: name.to_owned(), shared, task: task.abort_handle() }
    }

    /// Whether it follows this cell.
    pub(crate) fn follows(&self, name: &str) -> bool {
        self.name == name && !self.task.is_finished() && !self.shared.known().over
    }

    /// What stands in the cell of that name by the newest that is known; the outer one is none where nothing is.
    pub(crate) fn told(&self, name: &str) -> Option<Option<Cell>> {
        let known = self.shared.known();
        (self.name == name && !known.history.is_empty()).then(|| known.newest.clone())
    }

    /// Waits as [`hb_store::register::Register::wait`] does.
    ///
    /// # Errors
    /// When the patience is over and the cell could not be looked at.
    pub(crate) fn wait(&self, seen: Option<&CellVersion>, patience: Duration) -> Result<Woken, RegisterError> {
        let began = Instant::now();
        let seen = seen.cloned();
        let mut known = self.shared.known();
        let since = match &known.pending {
            Some((waited_for, since)) if *waited_for == seen => *since,
            Some(_) | None => {
                known.pending = Some((seen.clone(), began));
                began
            }
        };
        loop {
            let changed = known.changed(&seen, since);
            if changed == Some(true) {
                known.pending = None;
                return Ok(Woken::Changed);
            }
            let now = Instant::now();
            let left = patience.saturating_sub(now.duration_since(began));
            if left.is_zero() {
                return match &known.fault {
                    Some(fault) => Err(RegisterError(fault.clone())),
                    None => Ok(Woken::Patience),
                };
            }
            known.asked = Some(now);
            let mut nap = left.min(UNASKED / 2);
            if changed.is_none() && known.fault.is_none() && known.history.back().is_some() {
                let late = now.duration_since(since);
                if late >= LATE {
                    self.shared.look.notify_one();
                } else {
                    nap = nap.min(LATE.saturating_sub(late));
                }
            }
            known = self.shared.told.wait_timeout(known, nap).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow<E: Followed>(engine: Arc<E>, name: String, shared: Arc<Shared>) {
    let mut pause = AGAIN.0;
    while shared.known().asked.is_some_and(|asked| asked.elapsed() < UNASKED) {
        let began = Instant::now();
        let Err(fault) = once(&*engine, &name, &shared).await else { continue };
        pause = if began.elapsed() > AGAIN.1 { AGAIN.0 } else { (pause * 2).min(AGAIN.1) };
        tracing::debug!(name, fault, "the cell is not followed at the moment");
        shared.tell(|known| known.fault = Some(fault));
        tokio::time::sleep(pause).await;
    }
    shared.tell(|known| known.over = true);
}

/// Looks, then follows a stream, until it is to be begun anew (`Ok`) or something failed.
async fn once<E: Followed>(engine: &E, name: &str, shared: &Shared) -> Result<(), String> {
    let began = Instant::now();
    let Look { cell, mark } = look(engine, name, shared).await?;
    shared.tell(|known| {
        known.push(cell);
        known.fresh = Some(began);
    });
    let mut stream = engine.open(name, &mark).await?;
    let mut lines = Lines::default();
    loop {
        tokio::select! {
            part = stream.chunk() => {
                let part = part.map_err(|fault| format!("the stream broke: {}", chain(&fault)))?;
                let Some(part) = part else {
                    // Servers end streams after a while; one that ends at once is not well.
                    return if began.elapsed() > AGAIN.1 { Ok(()) } else { Err("the server closed the stream".into()) };
                };
                lines.take(&part, |line| {
                    if let Said::Now(cell) = engine.line(name, line)? {
                        shared.tell(|known| known.push(cell));
                    }
                    Ok(())
                })?;
            }
            () = quiet(shared) => {
                if shared.known().asked.is_none_or(|asked| asked.elapsed() > UNASKED) {
                    return Ok(());
                }
                let before = shared.known().history.back().cloned();
                let found = look(engine, name, shared).await?;
                if before != Some(version_of(found.cell.as_ref())) {
                    // The stream is late or deaf: what it says later would come in the wrong order.
                    return Ok(());
                }
            }
        }
    }
}

/// Ends when the stream was quiet for long enough, or somebody wants a look.
async fn quiet(shared: &Shared) {
    tokio::select! {
        () = tokio::time::sleep(CHECK) => {}
        () = shared.look.notified() => {}
    }
}

/// A look; where it finds what is known already, that is as fresh as its beginning.
async fn look<E: Followed>(engine: &E, name: &str, shared: &Shared) -> Result<Look<E::Mark>, String> {
    let began = Instant::now();
    let found = engine.look(name).await?;
    shared.tell(|known| {
        known.fault = None;
        if known.history.back() == Some(&version_of(found.cell.as_ref())) {
            known.fresh = Some(began);
        }
    });
    Ok(found)
}

/// Parts of a stream, put together to lines.
#[derive(Debug, Default)]
struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    fn take(&mut self, part: &[u8], mut each: impl FnMut(&[u8]) -> Result<(), String>) -> Result<(), String> {
        self.rest.extend_from_slice(part);
        let mut begin = 0;
        while let Some(length) = self.rest.get(begin..).and_then(|rest| rest.iter().position(|byte| *byte == b'\n')) {
            let line = self.rest.get(begin..begin + length).unwrap_or_default();
            if !line.trim_ascii().is_empty() {
                each(line)?;
            }
            begin += length + 1;
        }
        self.rest.drain(..begin);
        if self.rest.len() > LINE_MAX {
            return Err(format!("a line of the stream has more than {LINE_MAX} bytes"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Option<CellVersion> {
        Some(CellVersion(text.to_owned()))
    }

    fn cell(text: &str) -> Option<Cell> {
        Some(Cell { bytes: format!("content {text}").into_bytes(), version: CellVersion(text.to_owned()) })
    }

    #[test]
    fn a_change_is_told_only_where_it_is_certain() {
        let since = Instant::now();
        let mut known = Known::default();
        assert_eq!(known.changed(&None, since), None, "nothing is known");
        for standing in ["1", "2"] {
            known.push(cell(standing));
        }
        assert_eq!(known.changed(&version("2"), since), Some(false));
        assert_eq!(known.changed(&version("1"), since), Some(true), "it stood before");
        assert_eq!(known.changed(&version("3"), since), None, "it may be newer than what the stream told");
        assert_eq!(known.changed(&None, since), None, "it may have been removed");
        known.fresh = Some(since);
        assert_eq!(known.changed(&version("3"), since), None, "a look of before does not tell");
        known.fresh = Some(since + Duration::from_nanos(1));
        assert_eq!(known.changed(&version("3"), since), Some(true));
        assert_eq!(known.changed(&None, since), Some(true));
        known.push(None);
        assert_eq!(known.changed(&None, since), Some(false));
        assert_eq!(known.changed(&version("2"), since), Some(true), "it was removed");
    }

    #[test]
    fn the_history_is_bounded_and_has_nothing_twice_in_a_row() {
        let mut known = Known::default();
        for number in 0..100 {
            known.push(cell(&number.to_string()));
            known.push(cell(&number.to_string()));
        }
        assert_eq!(known.history.len(), HISTORY);
        assert_eq!(known.history.back(), Some(&version("99")));
        assert_eq!(known.newest, cell("99"), "the newest is kept whole");
        assert_eq!(known.history.iter().rev().nth(1), Some(&version("98")));
    }

    #[test]
    fn lines_are_put_together_and_bounded() {
        let mut lines = Lines::default();
        let mut told = Vec::new();
        for part in [b"on".as_slice(), b"e\n\n", b"two\nthr", b"ee\r\n"] {
            let each = |line: &[u8]| {
                told.push(String::from_utf8(line.to_vec()).unwrap());
                Ok(())
            };
            lines.take(part, each).unwrap();
        }
        assert_eq!(told, ["one", "two", "three\r"]);
        assert!(lines.take(&vec![b'x'; LINE_MAX + 1], |_| Ok(())).unwrap_err().contains("more than"));
        assert_eq!(Lines::default().take(b"x\n", |_| Err("over".into())), Err("over".into()));
    }
}
