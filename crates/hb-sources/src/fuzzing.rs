//! Doors for the fuzz targets: what reads bytes from outside and is private otherwise. No part of the crate's interface.
//!
//! Nothing here is used by hb itself, and nothing here decides anything: each door leads straight to the code that reads in production.

use hb_core::mark::Mark;
use hb_core::time::Stamp;

use crate::conformance::Delivered;
use crate::feed::{Batching, Drained, Feed};
use crate::format::{Decoder, Format, TableForm};
use crate::items::Items;
use crate::{Limits, mqtt, syslog, table};

pub use crate::format::FormatChoice;

/// Reads a stream that comes in these chunks, as a pipe would bring them, to its end; laws 1, 3 and 4 are checked on the way.
///
/// # Errors
/// The law that was broken.
pub fn lines<'a>(
    format: Format,
    limits: Limits,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Delivered, String> {
    let mut reader = Reader {
        feed: Feed::new(limits.line_bytes_max),
        decoder: Decoder::new(format, limits.names_max),
        limits,
        delivered: Delivered::default(),
    };
    reader.decoder.arrival = ARRIVAL;
    for chunk in chunks {
        let mut rest = chunk;
        while !rest.is_empty() {
            let copied = reader.feed.fill(|room| {
                let count = rest.len().min(room.len());
                room.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
                Ok(count)
            });
            let count = copied.map_err(|error| error.to_string())?;
            rest = rest.get(count..).unwrap_or_default();
            while reader.batch(Feed::drain)? == Drained::Full {}
        }
    }
    while reader.batch(Feed::finish)? == Drained::Full {}
    Ok(reader.delivered)
}

/// What the wall clock says to all that is read here.
const ARRIVAL: Stamp = Stamp(1_700_000_000_000_000_000);

struct Reader {
    feed: Feed,
    decoder: Decoder,
    limits: Limits,
    delivered: Delivered,
}

impl Reader {
    fn mark(&self) -> Mark {
        Mark { position: self.feed.position(), token: "".into() }
    }

    fn batch(&mut self, fill: impl FnOnce(&mut Feed, &mut Batching<'_>) -> Drained) -> Result<Drained, String> {
        let start = self.mark();
        let mut items = Items::default();
        let mut place = |_: u64, lines: u64| format!("input:{}", lines + 1);
        let drained = fill(
            &mut self.feed,
            &mut Batching {
                decoder: &mut self.decoder,
                items: &mut items,
                start: start.position,
                stop: u64::MAX,
                items_max: self.limits.batch_samples_max.max(1),
                place: &mut place,
            },
        );
        if drained == Drained::Full && items.is_empty() && self.feed.position() == start.position {
            return Err(format!("no progress at {}", start.position));
        }
        self.delivered.take(items.into_batch(start, self.mark()), self.limits)?;
        Ok(drained)
    }
}

/// The lines that a table becomes, and how they are read on.
///
/// # Errors
/// Why it is no such table, in words.
pub fn table(form: TableForm, bytes: &[u8]) -> Result<(Vec<u8>, FormatChoice), String> {
    table::fuzzing(form, bytes)
}

/// What a message of a broker says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Name of the series.
    pub name: String,
    /// Its unit.
    pub unit: Option<String>,
    /// Bits of the value.
    pub bits: u64,
    /// Its time.
    pub at: Option<Stamp>,
}

/// Reads one message of a broker under a topic.
///
/// # Errors
/// The cause of the fault, in its word.
pub fn message(topic: &str, payload: &[u8]) -> Result<Said, &'static str> {
    mqtt::fuzzing(topic, payload)
}

/// The messages in what a TCP peer sends in these chunks, up to its end; `None` for one that was too long.
pub fn syslog_stream<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Option<Vec<u8>>> {
    syslog::fuzzing(chunks)
}
