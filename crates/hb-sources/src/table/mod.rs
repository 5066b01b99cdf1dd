//! Files that are tables with a form of their own: read as a whole, turned into lines, and those read as any others.
//!
//! Position: bytes of the lines, over the versions of the file. Token: which version, and where it begins. A table that is
//! written anew is another version, delivered whole after the one before; where the one before had not been read to its end,
//! that is told as a gap.
//!
//! Bounds: files of at most [`FILE_BYTES_MAX`], at most [`text::ROWS_MAX`] rows.

mod array;
mod text;
mod workbook;

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use hb_core::mark::Mark;
use hb_core::watch::sample::FaultCause;
use serde::{Deserialize, Serialize};

use crate::feed::{Batching, Drained, Feed};
use crate::file::{Begin, FileSpec, Follow};
use crate::format::{Decoder, Format, FormatChoice, TableForm};
use crate::items::Items;
use crate::{Limits, Polled, Rereads, Source, SourceError, wall};
use text::Text;

/// Largest table, in bytes.
pub(crate) const FILE_BYTES_MAX: u64 = 64 << 20;
/// How often a table is looked at that may be written anew.
const STEP: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Token {
    kind: Kind,
    /// Position of the version's first byte.
    base: u64,
    /// FNV-1a of its lines.
    hash: u64,
    /// How many bytes its lines have.
    length: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Table,
}

/// What tells a file from the one that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    inode: u64,
    length: u64,
    changed: (i64, i64),
}

impl Version {
    fn of(meta: &Metadata) -> Self {
        Self { inode: meta.ino(), length: meta.len(), changed: (meta.mtime(), meta.mtime_nsec()) }
    }
}

/// One version of the table.
#[derive(Debug)]
struct Open {
    version: Version,
    lines: Vec<u8>,
    /// How far they have been handed to the feed.
    fed: usize,
    token: Token,
    text: Arc<str>,
}

/// Reads a table.
#[derive(Debug)]
pub struct TableSource {
    spec: FileSpec,
    form: TableForm,
    limits: Limits,
    feed: Feed,
    decoder: Decoder,
    open: Option<Open>,
    goal: Option<(Token, u64)>,
    reset: bool,
}

impl TableSource {
    /// A source at the place where a new watch begins. Opens nothing yet.
    #[must_use]
    pub fn new(spec: FileSpec, form: TableForm, limits: Limits) -> Self {
        let decoder = Decoder::new(spec.format, limits.names_max);
        let feed = Feed::new(limits.line_bytes_max);
        Self { spec, form, limits, feed, decoder, open: None, goal: None, reset: false }
    }

    fn retry(&self, what: &str, why: &dyn std::fmt::Display) -> SourceError {
        SourceError::Retry(format!("cannot {what} {}: {why}", self.spec.path.display()))
    }

    /// Reads the file as it is now.
    fn load(&self) -> Result<(Version, Text), SourceError> {
        let path = &self.spec.path;
        let look = || fs::metadata(path).map_err(|error| self.retry("open", &error));
        let meta = look()?;
        if !meta.is_file() {
            return Err(SourceError::Invalid(format!("{} is no regular file", path.display())));
        }
        if meta.len() > FILE_BYTES_MAX {
            let what = format!("has {} bytes, more than the {FILE_BYTES_MAX} of a table that is read", meta.len());
            return Err(SourceError::Invalid(format!("{} {what}", path.display())));
        }
        let bytes = fs::read(path).map_err(|error| self.retry("read", &error))?;
        if Version::of(&look()?) != Version::of(&meta) {
            return Err(self.retry("read", &"it is being written"));
        }
        let text = lines(self.form, &bytes, (meta.mtime(), meta.mtime_nsec()))
            .map_err(|why| self.retry("read", &format!("{why}; is {} what its `format` says?", path.display())))?;
        Ok((Version::of(&meta), text))
    }

    /// Takes a version as the one to read from `offset`.
    fn adopt(&mut self, (version, text): (Version, Text), base: u64, offset: u64) {
        let format = Format { choice: text.choice, ..self.spec.format };
        let mut decoder = Decoder::new(format, self.limits.names_max);
        std::mem::swap(&mut decoder.names, &mut self.decoder.names);
        self.decoder = decoder;
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(text.lines.len());
        if from > 0 {
            self.decoder.prime(text.lines.split(|byte| *byte == b'\n').next().unwrap_or_default());
        }
        let token = Token { kind: Kind::Table, base, hash: print(&text.lines), length: text.lines.len() as u64 };
        let written = serde_json::to_string(&token).expect("numbers and a name are always JSON").into();
        self.feed.restart(base + from as u64);
        self.open = Some(Open { version, lines: text.lines, fed: from, token, text: written });
    }

    /// Opens what is to be opened. Gives a batch when data of the place sought is gone.
    fn prepare(&mut self) -> Result<Option<Polled>, SourceError> {
        if self.open.is_some() {
            return Ok(None);
        }
        let loaded = self.load()?;
        let Some((token, position)) = self.goal.take() else {
            let offset = if self.spec.begin == Begin::End { loaded.1.lines.len() as u64 } else { 0 };
            self.adopt(loaded, 0, offset);
            return Ok(None);
        };
        let offset = position.saturating_sub(token.base);
        if print(&loaded.1.lines) == token.hash {
            self.adopt(loaded, token.base, offset);
        } else if offset >= token.length {
            self.adopt(loaded, position, 0);
        } else {
            let start = Mark { position, token: serde_json::to_string(&token).unwrap_or_default().into() };
            self.adopt(loaded, position.saturating_add(1), 0);
            let mut items = Items::taking(&mut self.reset);
            items.fault(0, FaultCause::Gap);
            let why = "the table was written anew before it had been read to its end; its rest is gone";
            items.quote_from(0, || self.spec.path.display().to_string(), why.as_bytes());
            return Ok(Some(Polled::Batch(items.into_batch(start, self.mark()))));
        }
        Ok(None)
    }

    fn mark(&self) -> Mark {
        let token = self.open.as_ref().map_or_else(|| Arc::from(""), |open| Arc::clone(&open.text));
        Mark { position: self.feed.position(), token }
    }

    fn batch(&mut self) -> Option<Polled> {
        let start = self.mark();
        let mut items = Items::default();
        items.reset = self.reset;
        self.decoder.arrival = wall::now();
        let open = self.open.as_mut()?;
        let path = self.spec.path.display();
        let base = open.token.base;
        let lines = &open.lines;
        // The line of names is no row.
        let mut place = |position: u64, _: u64| {
            let before = lines.get(..usize::try_from(position - base).unwrap_or(0)).unwrap_or_default();
            format!("{path}: row {}", memchr::memchr_iter(b'\n', before).count())
        };
        let items_max = self.limits.batch_samples_max.max(1);
        loop {
            let mut batching = Batching {
                decoder: &mut self.decoder,
                items: &mut items,
                start: start.position,
                stop: u64::MAX,
                items_max,
                place: &mut place,
            };
            if self.feed.drain(&mut batching) == Drained::Full {
                break;
            }
            let rest = lines.get(open.fed..).unwrap_or_default();
            let copied = self.feed.fill(|room| {
                let count = rest.len().min(room.len());
                room.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
                Ok(count)
            });
            match copied {
                Ok(0) | Err(_) => break,
                Ok(count) => open.fed += count,
            }
        }
        if items.is_empty() && self.feed.position() == start.position {
            return None;
        }
        self.reset = false;
        Some(Polled::Batch(items.into_batch(start, self.mark())))
    }

    /// Looks whether the file was written anew since.
    fn changed(&mut self) -> Result<bool, SourceError> {
        let meta = fs::metadata(&self.spec.path).map_err(|error| self.retry("look at", &error))?;
        let Some(open) = &self.open else { return Ok(false) };
        if Version::of(&meta) == open.version {
            return Ok(false);
        }
        let loaded = self.load()?;
        if let Some(open) = self.open.as_mut().filter(|open| print(&loaded.1.lines) == open.token.hash) {
            open.version = loaded.0;
            return Ok(false);
        }
        let base = self.feed.position();
        self.adopt(loaded, base, 0);
        Ok(true)
    }
}

/// The table's lines.
fn lines(form: TableForm, bytes: &[u8], at: (i64, i64)) -> Result<Text, String> {
    match form {
        TableForm::PbaExcel if bytes.starts_with(b"PK") => workbook::metrics(bytes, at),
        TableForm::PbaExcel => text::metrics(bytes, at),
        TableForm::SmapMsl if bytes.starts_with(array::MAGIC) => array::channel(bytes),
        TableForm::SmapMsl => text::channel(bytes),
        TableForm::Cmapss => text::engines(bytes),
    }
}

/// See [`crate::fuzzing::table`].
pub(crate) fn fuzzing(form: TableForm, bytes: &[u8]) -> Result<(Vec<u8>, FormatChoice), String> {
    lines(form, bytes, (7, 9)).map(|text| (text.lines, text.choice))
}

/// FNV-1a, 64 bits.
fn print(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

impl Source for TableSource {
    fn next(&mut self, patience: Duration) -> Result<Polled, SourceError> {
        let deadline = Instant::now() + patience;
        if let Some(polled) = self.prepare()? {
            return Ok(polled);
        }
        loop {
            let looked_at = wall::now();
            if let Some(polled) = self.batch() {
                return Ok(polled);
            }
            if self.spec.follow == Follow::Complete {
                return Ok(Polled::End { mark: self.mark() });
            }
            if self.changed()? {
                continue;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Polled::Idle { mark: self.mark(), looked_at });
            }
            thread::sleep(left.min(STEP));
        }
    }

    fn seek(&mut self, mark: Option<&Mark>) -> Result<(), SourceError> {
        let goal = match mark {
            None => None,
            Some(mark) => {
                let token: Option<Token> = serde_json::from_str(&mark.token).ok();
                let token = token.filter(|token| mark.position >= token.base);
                let strange = || SourceError::Invalid(format!("the mark {:?} is none of a table", mark.token));
                Some((token.ok_or_else(strange)?, mark.position))
            }
        };
        self.goal = goal;
        self.open = None;
        self.reset = true;
        self.decoder.forget_names();
        Ok(())
    }

    fn rereads(&self) -> Rereads {
        Rereads::Yes
    }
}

/// What `io::Error` says of an array that ends too early.
fn cut_short() -> String {
    io::Error::from(io::ErrorKind::UnexpectedEof).to_string()
}

/// Which form a format names, if it is a table.
#[must_use]
pub fn form(format: &Format) -> Option<TableForm> {
    match format.choice {
        FormatChoice::Table(form) => Some(form),
        FormatChoice::Auto
        | FormatChoice::Jsonl
        | FormatChoice::Csv
        | FormatChoice::WideCsv
        | FormatChoice::Syslog
        | FormatChoice::NasaHttp => None,
    }
}
