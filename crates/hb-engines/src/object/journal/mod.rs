//! The journal in a bucket: one object per record, put only if nobody has (`If-None-Match: *`).
//!
//! **Invariants.** A record's object appears whole and durable or not at all, and is never changed (J1, J3). The floor is one
//! object that only rises, by compare-and-set; it is durable before anything below it goes. Before a put the newest floor that this
//! handle knows is looked at, after a put the floor is asked for, whatever the put answered: a put below the floor is taken
//! back and never acknowledged (J6), because the object that would have refused it is gone. What was read is believed only after
//! the floor was asked for once more, for the same reason. A put without an answer, or with one that says nothing, is read back;
//! while that cannot be done its end is unknown (J5). Putting the same bytes again is harmless: they are ours or they are refused.
//!
//! Costs: an append is one put and one get (of the floor); another get where the floor has not been looked at for [`FLOOR_FRESH`]. Looking for
//! news at the head is two gets. A list is asked for only when a stream is opened, or when others have trimmed it.

mod reading;
mod trimming;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hb_core::ids::{Seq, StreamName};
use hb_store::atomic::READ_MAX;
use hb_store::port::{Appended, Begun, Entry, Journal, JournalError, Standing, new_floor};
use object_store::PutMode;

use super::bucket::{Bucket, Put};
use super::fault::Fault;
use super::names;
use reading::Page;

pub use trimming::TRIM_STEP;

/// Version of the layout that this program writes.
pub const LAYOUT: u32 = 1;
const FORMAT_PREFIX: &str = "hb-journal ";
/// How old the floor that this handle knows may be before it is asked for ahead of a put: a node that was paused then leaves
/// nothing behind. Safety does not hang on it.
pub const FLOOR_FRESH: Duration = Duration::from_secs(10);
/// How often a put is tried that may have been lost.
const PUT_TRIES: u32 = 5;
/// Pause before the second try; it doubles.
const PAUSE: Duration = Duration::from_millis(30);
/// Most names that a list of one stream may have (B1).
const LIST_MAX: usize = 4_000_000;

/// A journal in a bucket.
#[derive(Debug)]
pub struct ObjectJournal {
    bucket: Bucket,
    streams: BTreeMap<StreamName, Stream>,
    /// The layout's version was read, or written.
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    NotAsked,
    Absent,
    Marked,
}

#[derive(Debug)]
struct Stream {
    dir: String,
    /// Newest record seen; a smaller one than stands is harmless, it is looked on from there.
    head: Option<Seq>,
    /// Largest floor seen.
    floor: Seq,
    floor_at: Instant,
    /// Smallest record that may still be there.
    lowest: Seq,
    page: Page,
}

/// What became of a put and of reading it back.
enum Published {
    Ours,
    Taken(Vec<u8>),
    Unknown(String),
    NotDone(String),
}

impl ObjectJournal {
    /// The journal of that place; nothing is asked or put before it is used.
    #[must_use]
    pub fn new(bucket: Bucket) -> Self {
        Self { bucket, streams: BTreeMap::new(), format: Format::NotAsked }
    }

    /// The place.
    #[must_use]
    pub fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    fn shown(&self, key: &str) -> String {
        format!("{} of {}", self.bucket.shown(key), self.bucket.target())
    }

    fn unavailable(&self, key: &str) -> impl FnOnce(Fault) -> JournalError {
        let shown = self.shown(key);
        move |fault| JournalError::Unavailable(format!("{shown}: {}", fault.what))
    }

    /// Takes a stream out, opened; whoever took it puts it back.
    fn take(&mut self, name: &StreamName) -> Result<Stream, JournalError> {
        if let Some(stream) = self.streams.remove(name) {
            return Ok(stream);
        }
        self.check_format()?;
        let dir = names::stream_dir(name);
        let floor_at = Instant::now();
        let mut stream = Stream { dir, head: None, floor: Seq(0), floor_at, lowest: Seq(0), page: Page::default() };
        self.list(&mut stream)?;
        Ok(stream)
    }

    fn with<T>(
        &mut self,
        name: &StreamName,
        act: impl FnOnce(&mut Self, &mut Stream) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        let mut stream = self.take(name)?;
        let done = act(self, &mut stream);
        self.streams.insert(name.clone(), stream);
        done
    }

    fn check_format(&mut self) -> Result<(), JournalError> {
        if self.format != Format::NotAsked {
            return Ok(());
        }
        let found = self.bucket.get(names::FORMAT).map_err(self.unavailable(names::FORMAT))?;
        let Some(found) = found else {
            self.format = Format::Absent;
            return Ok(());
        };
        let text = String::from_utf8_lossy(&found.bytes);
        let version = text.strip_prefix(FORMAT_PREFIX).and_then(|rest| rest.trim_end().parse::<u32>().ok());
        match version {
            Some(version) if version <= LAYOUT => {
                self.format = Format::Marked;
                Ok(())
            }
            Some(version) => Err(JournalError::Corrupt(format!(
                "{} says layout {version}, this program reads up to {LAYOUT}: use a newer hb",
                self.shown(names::FORMAT)
            ))),
            None => Err(JournalError::Corrupt(format!(
                "{} does not say `{FORMAT_PREFIX}{LAYOUT}`: this is no journal of hb, or the object is damaged; if the place is \
                 right, put that line there",
                self.shown(names::FORMAT)
            ))),
        }
    }

    /// Says which layout this is, before the first record.
    fn mark(&mut self) -> Result<(), String> {
        if self.format == Format::Marked {
            return Ok(());
        }
        let marker = format!("{FORMAT_PREFIX}{LAYOUT}\n");
        match self.bucket.put(names::FORMAT, marker.as_bytes(), PutMode::Create) {
            Put::Done(_) => {}
            // Somebody was first, or it may be done: either way it is read before it is believed.
            Put::Refused(_) | Put::Unknown(_) => {
                self.format = Format::NotAsked;
                self.check_format().map_err(|error| error.to_string())?;
                if self.format != Format::Marked {
                    return Err(format!("{} could not be put", self.shown(names::FORMAT)));
                }
            }
            Put::NotDone(what) => return Err(format!("{}: {what}", self.shown(names::FORMAT))),
        }
        self.format = Format::Marked;
        Ok(())
    }

    fn append_to(&mut self, stream: &mut Stream, seq: Seq, bytes: &[u8]) -> Appended {
        if let Err(what) = self.mark() {
            return Appended::Failed(what);
        }
        match self.admit(stream, seq) {
            Ok(None) => {}
            Ok(Some(refused)) => return refused,
            Err(error) => return Appended::Failed(error.to_string()),
        }
        let key = names::record(&stream.dir, seq);
        let published = match self.publish(&key, bytes) {
            Published::NotDone(what) => return Appended::Failed(format!("{}: {what}", self.shown(&key))),
            Published::Unknown(what) => return Appended::Unknown(format!("{}: {what}", self.shown(&key))),
            published @ (Published::Ours | Published::Taken(_)) => published,
        };
        if let Err(error) = self.look_at_floor(stream) {
            return Appended::Unknown(format!("the floor could not be read after publishing: {error}"));
        }
        if seq < stream.floor {
            return self.withdraw(stream, seq, bytes, published);
        }
        stream.head = stream.head.max(Some(seq));
        match published {
            Published::Taken(there) => Appended::Refused(Standing::Taken(there)),
            Published::Ours | Published::Unknown(_) | Published::NotDone(_) => Appended::Committed,
        }
    }

    /// Checks before publishing: above the floor, and no gap below.
    fn admit(&self, stream: &mut Stream, seq: Seq) -> Result<Option<Appended>, JournalError> {
        if seq >= stream.floor && stream.floor_at.elapsed() > FLOOR_FRESH {
            self.look_at_floor(stream)?;
        }
        if seq < stream.floor {
            return Ok(Some(Appended::Refused(Standing::BelowFloor(stream.floor))));
        }
        let Some(before) = seq.0.checked_sub(1).map(Seq) else { return Ok(None) };
        // A copy that begins there: nothing can stand below. Where it was trimmed instead, the number is taken.
        if seq == stream.floor {
            return Ok(None);
        }
        if stream.head.is_some_and(|head| head >= before) {
            return Ok(None);
        }
        let key = names::record(&stream.dir, before);
        if self.bucket.get(&key).map_err(self.unavailable(&key))?.is_some() {
            return Ok(None);
        }
        // It may have been trimmed together with what we would append.
        self.look_at_floor(stream)?;
        if seq < stream.floor {
            return Ok(Some(Appended::Refused(Standing::BelowFloor(stream.floor))));
        }
        let gap = format!("record {seq} would leave a gap: {} does not stand", self.shown(&key));
        Ok(Some(Appended::Failed(gap)))
    }

    /// Puts a record, and reads back whatever was not answered clearly.
    fn publish(&self, key: &str, bytes: &[u8]) -> Published {
        let began = Instant::now();
        let mut doubt: Option<String> = None;
        for tried in 0..PUT_TRIES {
            match self.bucket.put(key, bytes, PutMode::Create) {
                Put::Done(_) => return Published::Ours,
                Put::Refused(_) => {}
                Put::NotDone(what) => return doubt.map_or(Published::NotDone(what), Published::Unknown),
                Put::Unknown(what) => doubt = Some(what),
            }
            match self.bucket.get(key) {
                Ok(Some(there)) if there.bytes == bytes => return Published::Ours,
                Ok(Some(there)) => return Published::Taken(there.bytes),
                Ok(None) => {}
                Err(fault) => {
                    let first = doubt.map_or_else(String::new, |what| format!("{what}; "));
                    return Published::Unknown(format!("{first}it could not be read back: {}", fault.what));
                }
            }
            let pause = PAUSE * 2_u32.pow(tried);
            if began.elapsed() + pause >= self.bucket.patience() {
                break;
            }
            std::thread::sleep(pause);
        }
        Published::Unknown(doubt.unwrap_or_else(|| {
            "the store says that it is taken, and that nothing stands there: it was trimmed just now, or the store shows old states"
                .to_owned()
        }))
    }

    /// The floor had risen above a record when it was published: what we put is taken back, nobody may count on it (J6).
    fn withdraw(&self, stream: &Stream, seq: Seq, bytes: &[u8], published: Published) -> Appended {
        let ours = match published {
            Published::Ours => true,
            Published::Taken(there) => there == bytes,
            Published::Unknown(_) | Published::NotDone(_) => false,
        };
        let key = names::record(&stream.dir, seq);
        if ours && let Err(fault) = self.bucket.remove(std::slice::from_ref(&key)) {
            // Readers ignore what stands below the floor, and whoever lists the stream for trimming removes it.
            tracing::warn!(fault = fault.what, key, "a record below the floor stays until the stream is trimmed again");
        }
        Appended::Refused(Standing::BelowFloor(stream.floor))
    }

    /// Asks for the floor.
    fn look_at_floor(&self, stream: &mut Stream) -> Result<(), JournalError> {
        let key = names::floor(&stream.dir);
        let asked = Instant::now();
        let found = self.bucket.get(&key).map_err(self.unavailable(&key))?;
        let floor = match found {
            None => Seq(0),
            Some(found) => trimming::decode(&found.bytes)
                .map_err(|what| JournalError::Corrupt(format!("{}: {what}", self.shown(&key))))?,
        };
        if floor < stream.floor {
            return Err(JournalError::Corrupt(format!(
                "{} says {floor}, and has said {} before: a floor never falls; was an old version of the object restored, or does a rule \
                 of the bucket remove objects? Nothing is appended or read until it says at least that again",
                self.shown(&key),
                stream.floor
            )));
        }
        if floor > stream.floor {
            stream.page = Page::default();
        }
        (stream.floor, stream.floor_at) = (floor, asked);
        Ok(())
    }
}

impl Journal for ObjectJournal {
    fn head(&mut self, name: &StreamName) -> Result<Option<Seq>, JournalError> {
        // A stream that is being opened was listed a moment ago: that is the answer.
        let known = self.streams.contains_key(name);
        self.with(name, |journal, stream| {
            if known {
                journal.gallop(stream)?;
            }
            Ok(stream.head)
        })
    }

    fn append(&mut self, name: &StreamName, seq: Seq, bytes: &[u8]) -> Appended {
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > READ_MAX {
            return Appended::Failed(format!("a record of {} bytes is larger than {READ_MAX}", bytes.len()));
        }
        let mut stream = match self.take(name) {
            Ok(stream) => stream,
            Err(error) => return Appended::Failed(error.to_string()),
        };
        let appended = self.append_to(&mut stream, seq, bytes);
        self.streams.insert(name.clone(), stream);
        appended
    }

    fn read(&mut self, name: &StreamName, from: Seq, most: usize) -> Result<Vec<(Seq, Vec<u8>)>, JournalError> {
        self.with(name, |journal, stream| journal.read_from(stream, from, most))
    }

    fn trim(&mut self, name: &StreamName, floor: Seq) -> Result<u64, JournalError> {
        self.with(name, |journal, stream| journal.trim_to(stream, floor))
    }

    fn begin(&mut self, name: &StreamName, seen: Option<Seq>, first: &[Entry]) -> Result<Begun, JournalError> {
        let floor = new_floor(name, seen, first)?;
        self.with(name, |journal, stream| journal.begin_at(stream, (seen, floor), first))
    }

    fn floor(&mut self, name: &StreamName) -> Result<Seq, JournalError> {
        let known = self.streams.contains_key(name);
        self.with(name, |journal, stream| {
            if known {
                journal.look_at_floor(stream)?;
            }
            Ok(stream.floor)
        })
    }
}
