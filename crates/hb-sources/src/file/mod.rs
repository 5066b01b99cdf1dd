//! A file: growing or complete, through rotation and truncation.
//!
//! Position: bytes since the beginning of the stream, across rotated files. Where data was lost, the loss itself takes one
//! position, so that it is told once. Token: see [`place`].
//!
//! **Invariants.** A batch lies within one file. No batch crosses the line end at or behind the first
//! [`place::PRINT_BYTES_MAX`] bytes, so a mark's token depends on its position alone.

mod place;
mod rotation;
mod scan;

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use hb_core::mark::Mark;
use hb_core::watch::sample::FaultCause;

use crate::feed::{Batching, CHUNK_BYTES, Drained, Feed};
use crate::format::{Decoder, Format, NoTime};
use crate::items::Items;
use crate::{Limits, Polled, Rereads, Source, SourceError, wall};
use place::{Kind, PRINT_BYTES_MAX, Print, Token, head};
use scan::{last_line_end, numbered, prime};

/// Whether a file is still being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Follow {
    /// It grows, is rotated, is truncated: its end is never the end.
    #[default]
    Growing,
    /// It is what it is: its end is the end.
    Complete,
}

/// Where a new watch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Begin {
    /// With what is there already.
    #[default]
    Start,
    /// With what comes from now on.
    End,
}

/// A file to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSpec {
    /// Where it is.
    pub path: PathBuf,
    /// How its lines are read.
    pub format: Format,
    /// Whether it grows.
    pub follow: Follow,
    /// Where a new watch begins.
    pub begin: Begin,
}

/// How often a growing file is looked at.
const STEP: Duration = Duration::from_millis(20);

/// How long a renamed file is still read while the new one is empty: its writer may not have changed over yet.
const ROTATION_GRACE: Duration = Duration::from_secs(5);

/// The open file.
#[derive(Debug)]
struct Open {
    file: File,
    path: PathBuf,
    ino: u64,
    /// Stream position of its first byte.
    base: u64,
    /// Its beginning, as far as it is there.
    head: Vec<u8>,
    /// A place in it, and the number of lines before it.
    counted: (u64, u64),
    /// When the path was first seen to name another file.
    renamed: Option<Instant>,
    /// Whether it has been read to its end: before more is read, its beginning is compared.
    waited: bool,
}

/// What is to be done before reading.
#[derive(Debug)]
enum Todo {
    /// Begin anew.
    Begin,
    /// Go to a place.
    Seek(Token, u64),
    /// Nothing.
    Ready,
}

/// Reads one file.
#[derive(Debug)]
pub struct FileSource {
    spec: FileSpec,
    limits: Limits,
    feed: Feed,
    decoder: Decoder,
    open: Option<Open>,
    todo: Todo,
    reset: bool,
}

impl FileSource {
    /// A source at the place where a new watch begins. Opens nothing yet.
    #[must_use]
    pub fn new(spec: FileSpec, limits: Limits) -> Self {
        let decoder = Decoder::new(spec.format, limits.names_max);
        let feed = Feed::new(limits.line_bytes_max);
        Self { spec, limits, feed, decoder, open: None, todo: Todo::Begin, reset: false }
    }

    fn retry(path: &Path, what: &str, error: &io::Error) -> SourceError {
        SourceError::Retry(format!("cannot {what} {}: {error}", path.display()))
    }

    /// Takes a file as the one to read on, from `offset`.
    fn adopt(&mut self, path: PathBuf, file: File, base: u64, offset: u64) -> Result<(), SourceError> {
        let cannot = |what: &str, error: &io::Error| Self::retry(&path, what, error);
        let meta = file.metadata().map_err(|e| cannot("look at", &e))?;
        if meta.is_dir() {
            return Err(SourceError::Invalid(format!("{} is a directory: give a file", path.display())));
        }
        if !meta.is_file() {
            let advice = "read it as standard input or through a command source";
            return Err(SourceError::Invalid(format!("{} is no regular file: {advice}", path.display())));
        }
        let head = head(&file).map_err(|e| cannot("read", &e))?;
        refuse_compressed(&path, &head)?;
        let mut file = file;
        file.seek(SeekFrom::Start(offset)).map_err(|e| cannot("seek in", &e))?;
        self.decoder.restart();
        if offset > 0 {
            prime(&mut self.decoder, &file, offset, self.limits.line_bytes_max).map_err(|e| cannot("read", &e))?;
        }
        self.feed.restart(base + offset);
        self.open =
            Some(Open { file, path, ino: meta.ino(), base, head, counted: (0, 0), renamed: None, waited: false });
        self.todo = Todo::Ready;
        Ok(())
    }

    /// Opens what is to be opened. Gives a batch when data of the place sought is gone.
    fn prepare(&mut self) -> Result<Option<Polled>, SourceError> {
        let path = self.spec.path.clone();
        let (token, position) = match &self.todo {
            Todo::Ready => return Ok(None),
            Todo::Begin => {
                let file = rotation::open(&path).map_err(|e| Self::retry(&path, "open", &e))?;
                let offset = match self.spec.begin {
                    Begin::Start => 0,
                    Begin::End => last_line_end(&file).map_err(|e| Self::retry(&path, "read", &e))?,
                };
                self.adopt(path, file, 0, offset)?;
                return Ok(None);
            }
            Todo::Seek(token, position) => (token.clone(), *position),
        };
        let offset = position - token.base;
        let found = rotation::find(&path, &token, offset).map_err(|e| Self::retry(&path, "look for", &e))?;
        if let Some((found, file)) = found {
            self.adopt(found, file, token.base, offset)?;
            return Ok(None);
        }
        let file = rotation::open(&path).map_err(|e| Self::retry(&path, "open", &e))?;
        let start = Mark { position, token: token.text() };
        let why =
            format!("the file read before, up to byte {offset}, is gone; going on at the start of the one there now");
        self.gap(start, file, &why).map(Some)
    }

    /// Goes on at the beginning of another file, and tells that something is missing in between.
    fn gap(&mut self, start: Mark, file: File, why: &str) -> Result<Polled, SourceError> {
        let mut items = Items::taking(&mut self.reset);
        self.lose(&mut items, 0, why);
        let path = self.spec.path.clone();
        self.adopt(path, file, start.position.saturating_add(1), 0)?;
        let end = self.mark();
        Ok(Polled::Batch(items.into_batch(start, end)))
    }

    fn lose(&self, items: &mut Items, offset: u32, why: &str) {
        let from = items.faults.len();
        items.fault(offset, FaultCause::Gap);
        items.quote_from(from, || self.spec.path.display().to_string(), why.as_bytes());
    }

    /// The mark of the first line not yet delivered.
    fn mark(&mut self) -> Mark {
        let position = self.feed.position();
        let token = match &mut self.open {
            Some(open) => open.token(position),
            None => Arc::from(""),
        };
        Mark { position, token }
    }

    /// Fills one batch from what can be read at once.
    fn batch(&mut self) -> Result<Option<Polled>, SourceError> {
        if let Some(polled) = self.rewritten()? {
            return Ok(Some(polled));
        }
        let Some(open) = &mut self.open else { return Ok(None) };
        let start = self.feed.position();
        let boundary = open.base.saturating_add(PRINT_BYTES_MAX as u64);
        let stop = if start < boundary { boundary } else { u64::MAX };
        let mut items = Items::default();
        items.reset = self.reset;
        let items_max = self.limits.batch_samples_max.max(1);
        loop {
            let Open { file, path, base, counted, .. } = open;
            let mut place = |position: u64, _| numbered(path, file, position - *base, counted);
            let mut batching =
                Batching { decoder: &mut self.decoder, items: &mut items, start, stop, items_max, place: &mut place };
            if self.feed.drain(&mut batching) == Drained::Full {
                break;
            }
            self.decoder.arrival = wall::now();
            let mut handle: &File = file;
            match self.feed.fill(|room| handle.read(room)) {
                Ok(0) => {
                    open.waited = true;
                    break;
                }
                Ok(count) => {
                    open.waited = false;
                    if count == CHUNK_BYTES {
                        items.make_room(items_max);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // What has been read is delivered first; the next call meets the error again.
                Err(_) if !items.is_empty() => break,
                Err(error) => return Err(Self::retry(&open.path, "read", &error)),
            }
        }
        Ok(self.close(items, start))
    }

    /// Looks whether a file that was read to its end has got another beginning since: cut, and grown again.
    fn rewritten(&mut self) -> Result<Option<Polled>, SourceError> {
        let Some(open) = self.open.as_ref().filter(|open| open.waited) else { return Ok(None) };
        let now = head(&open.file).map_err(|e| Self::retry(&open.path, "read", &e))?;
        if now.starts_with(&open.head) {
            return Ok(None);
        }
        let read_to = self.feed.read_to() - open.base;
        let size = open.file.metadata().map_err(|e| Self::retry(&open.path, "look at", &e))?.len();
        self.truncated(size, read_to).map(Some)
    }

    /// Makes a batch of what was found since `start`, if anything was.
    fn close(&mut self, items: Items, start: u64) -> Option<Polled> {
        if items.is_empty() && self.feed.position() == start {
            return None;
        }
        self.reset = false;
        let end = self.mark();
        let token = self.open.as_mut().map_or_else(|| Arc::from(""), |open| open.token(start));
        Some(Polled::Batch(items.into_batch(Mark { position: start, token }, end)))
    }

    /// The last line of a file that will not grow any more.
    fn last_line(&mut self) -> Option<Polled> {
        let start = self.feed.position();
        if self.feed.read_to() == start {
            return None;
        }
        let open = self.open.as_mut()?;
        let mut items = Items::default();
        items.reset = self.reset;
        let Open { file, path, base, counted, .. } = open;
        let mut place = |position: u64, _| numbered(path, file, position - *base, counted);
        let mut batching = Batching {
            decoder: &mut self.decoder,
            items: &mut items,
            start,
            stop: u64::MAX,
            items_max: usize::MAX,
            place: &mut place,
        };
        let drained = self.feed.finish(&mut batching);
        debug_assert_eq!(drained, Drained::Dry, "an empty batch has room for a line");
        self.close(items, start)
    }

    /// Looks whether the path names another file now, or the same one from its beginning.
    fn changed(&mut self) -> Result<Option<Polled>, SourceError> {
        let Some(open) = &mut self.open else { return Ok(None) };
        let cannot = |error: io::Error| Self::retry(&self.spec.path, "look at", &error);
        let size = open.file.metadata().map_err(cannot)?.len();
        let read_to = self.feed.read_to() - open.base;
        if size < read_to {
            return self.truncated(size, read_to).map(Some);
        }
        let Some((next, file)) = rotation::follower(&self.spec.path, &open.file).map_err(cannot)? else {
            if self.spec.path.try_exists().map_err(cannot)? {
                open.renamed = None;
                return Ok(None);
            }
            // Between two files for a moment, or taken away: what is open is read on, but not for ever without a word.
            let since = open.renamed.get_or_insert_with(Instant::now).elapsed();
            if since < ROTATION_GRACE || size > read_to {
                return Ok(None);
            }
            let path = self.spec.path.display();
            return Err(SourceError::Retry(format!(
                "{path} is not there any more; it is read on as soon as it is back"
            )));
        };
        let since = open.renamed.get_or_insert_with(Instant::now).elapsed();
        let begun = file.metadata().map_err(cannot)?.len() > 0;
        if !begun && since < ROTATION_GRACE {
            return Ok(None);
        }
        // The writer has changed over: what the old file holds now is all that it will ever hold.
        if open.file.metadata().map_err(cannot)?.len() > read_to {
            return Ok(None);
        }
        if let Some(polled) = self.last_line() {
            return Ok(Some(polled));
        }
        let base = self.feed.position();
        self.adopt(next, file, base, 0)?;
        Ok(None)
    }

    /// The file was cut: it is read from its beginning, as a stream that goes on.
    fn truncated(&mut self, size: u64, read_to: u64) -> Result<Polled, SourceError> {
        let start = self.mark();
        let path = self.open.as_ref().map_or_else(|| self.spec.path.clone(), |open| open.path.clone());
        let file = rotation::open(&path).map_err(|e| Self::retry(&path, "open", &e))?;
        let why = format!(
            "truncated after {read_to} bytes had been read, now {size} bytes; what was written and cut before it was read is lost"
        );
        self.gap(start, file, &why)
    }
}

impl Source for FileSource {
    fn next(&mut self, patience: Duration) -> Result<Polled, SourceError> {
        let deadline = Instant::now() + patience;
        if let Some(polled) = self.prepare()? {
            return Ok(polled);
        }
        loop {
            let looked_at = wall::now();
            if let Some(polled) = self.batch()? {
                return Ok(polled);
            }
            match self.spec.follow {
                Follow::Complete => {
                    if let Some(polled) = self.last_line() {
                        return Ok(polled);
                    }
                    return Ok(Polled::End { mark: self.mark() });
                }
                Follow::Growing => {
                    let before = self.open.as_ref().map(|open| (open.ino, open.base));
                    if let Some(polled) = self.changed()? {
                        return Ok(polled);
                    }
                    if before != self.open.as_ref().map(|open| (open.ino, open.base)) {
                        continue;
                    }
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Polled::Idle { mark: self.mark(), looked_at });
            }
            thread::sleep(left.min(STEP));
        }
    }

    fn seek(&mut self, mark: Option<&Mark>) -> Result<(), SourceError> {
        let todo = match mark {
            None => Todo::Begin,
            // The place before anything was opened.
            Some(mark) if mark.token.is_empty() && mark.position == 0 => Todo::Begin,
            Some(mark) => {
                let token: Token = serde_json::from_str(&mark.token).map_err(|error| {
                    SourceError::Invalid(format!("the mark {:?} is none of a file: {error}", mark.token))
                })?;
                if token.base > mark.position {
                    return Err(SourceError::Invalid(format!(
                        "the mark {:?} says that the file begins at {}, behind position {}",
                        mark.token, token.base, mark.position
                    )));
                }
                Todo::Seek(token, mark.position)
            }
        };
        self.todo = todo;
        self.open = None;
        self.reset = true;
        self.decoder.restart();
        self.decoder.forget_names();
        self.feed.restart(mark.map_or(0, |mark| mark.position));
        Ok(())
    }

    fn rereads(&self) -> Rereads {
        match self.spec.format.no_time {
            NoTime::Usual | NoTime::Fault => Rereads::Yes,
            // The bytes can be read again, the times cannot.
            NoTime::Arrival => Rereads::No,
        }
    }
}

impl Open {
    /// The token for a place in this file.
    fn token(&mut self, position: u64) -> Arc<str> {
        let offset = position.saturating_sub(self.base);
        if self.head.len() < PRINT_BYTES_MAX
            && let Ok(more) = head(&self.file)
            && more.len() > self.head.len()
            && more.starts_with(&self.head)
        {
            self.head = more;
        }
        Token { kind: Kind::File, ino: self.ino, base: self.base, print: Print::at(&self.head, offset) }.text()
    }
}

fn refuse_compressed(path: &Path, head: &[u8]) -> Result<(), SourceError> {
    const MAGIC: [(&[u8], &str); 4] =
        [(b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"BZh", "bzip2"), (b"\xfd7zXZ\0", "xz")];
    match MAGIC.iter().find(|(magic, _)| head.starts_with(magic)) {
        None => Ok(()),
        Some((_, name)) => Err(SourceError::Invalid(format!(
            "{} is compressed ({name}): decompress it first, or read it with a command source",
            path.display()
        ))),
    }
}
