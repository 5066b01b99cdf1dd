//! Messages become batches: one position each.
//!
//! For sources to which messages come once and cannot be asked for again. Position: messages taken, going on from the mark
//! sought. Token: names the kind and the run, so that a mark of this very run can be told from one of an earlier process.
//!
//! **Invariants.** Positions never fall; what was delivered before a mark of this run and will not come again is told as one
//! gap.

use std::sync::Arc;

use hb_core::mark::Mark;
use hb_core::time::Stamp;
use hb_core::watch::sample::{Batch, FaultCause};
use serde::{Deserialize, Serialize};

use crate::format::{Event, Format, NoTime};
use crate::items::Items;
use crate::names::{Names, Refused};
use crate::{Limits, SourceError, wall};

#[derive(Debug, Serialize, Deserialize)]
struct Token {
    kind: String,
    run: u64,
}

/// Whether a message found room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// It did; there is more.
    More,
    /// It did; the batch is full.
    Full,
    /// It did not: the batch must be taken first.
    None,
}

/// A message as it came.
#[derive(Debug)]
pub(crate) struct Message<'a> {
    /// Where, for people.
    pub(crate) place: &'a str,
    /// Its text, for quotes.
    pub(crate) text: &'a [u8],
    /// When it came.
    pub(crate) arrival: Stamp,
}

/// Where a reader goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goes {
    /// On from where it is.
    On,
    /// Back by this many messages of this run.
    Back(u64),
}

/// The growing batch, and where it stands.
#[derive(Debug)]
pub(crate) struct Messages {
    kind: &'static str,
    run: u64,
    token: Arc<str>,
    names: Names,
    items: Items,
    items_max: usize,
    no_time: NoTime,
    /// Where the growing batch starts, and where the next message goes.
    start: u64,
    position: u64,
    reset: bool,
    gone: Option<(u64, &'static str)>,
}

impl Messages {
    pub(crate) fn new(kind: &'static str, format: Format, limits: Limits) -> Self {
        let run = wall::now().0.unsigned_abs() ^ u64::from(std::process::id()).rotate_left(48);
        let token = Token { kind: kind.to_owned(), run };
        Self {
            kind,
            run,
            token: serde_json::to_string(&token).expect("a name and a number are always JSON").into(),
            names: Names::new(limits.names_max),
            items: Items::default(),
            items_max: limits.batch_samples_max.max(1),
            no_time: format.with_usual(NoTime::Arrival).no_time,
            start: 0,
            position: 0,
            reset: false,
            gone: None,
        }
    }

    /// Behind the last message taken.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    pub(crate) fn mark(&self) -> Mark {
        self.at(self.position)
    }

    fn at(&self, position: u64) -> Mark {
        Mark { position, token: Arc::clone(&self.token) }
    }

    /// Takes a message in.
    pub(crate) fn push(&mut self, message: &Message<'_>, read: Result<Event<'_>, FaultCause>) -> Room {
        let offset = u32::try_from(self.position - self.start).expect("a batch has few messages");
        match self.one(message, read, offset) {
            Ok(()) => {}
            Err(Refused::Full) => return Room::None,
            Err(Refused::Fault(cause)) => {
                let from = self.items.faults.len();
                self.items.fault(offset, cause);
                self.items.quote_from(from, || message.place.to_owned(), message.text);
            }
        }
        self.position += 1;
        if self.items.len() >= self.items_max { Room::Full } else { Room::More }
    }

    fn one(&mut self, message: &Message<'_>, read: Result<Event<'_>, FaultCause>, offset: u32) -> Result<(), Refused> {
        let event = read.map_err(Refused::Fault)?;
        let at = match (event.at, self.no_time) {
            (Some(at), _) => at,
            (None, NoTime::Arrival | NoTime::Usual) => message.arrival,
            (None, NoTime::Fault) => return Err(Refused::Fault(FaultCause::NoTime)),
        };
        let unit = event.unit.as_deref().map(str::as_bytes);
        let mut slot = self.names.slot(event.name.as_bytes(), unit, &mut self.items.names);
        if slot == Err(Refused::Full) && self.items.is_empty() {
            // An empty batch may begin anew with its names.
            self.names.forget();
            self.items.names.clear();
            self.reset = true;
            slot = self.names.slot(event.name.as_bytes(), unit, &mut self.items.names);
        }
        self.items.sample(slot?, offset, at, event.value);
        Ok(())
    }

    /// The batch of what was taken since the last one.
    pub(crate) fn take(&mut self) -> Option<Batch> {
        if self.position == self.start {
            return None;
        }
        let mut items = std::mem::take(&mut self.items);
        items.reset = std::mem::take(&mut self.reset);
        let batch = items.into_batch(self.at(self.start), self.mark());
        self.start = self.position;
        Some(batch)
    }

    /// A batch in which nothing is: for when it cannot be said that there is nothing.
    pub(crate) fn nothing(&mut self) -> Batch {
        Items::taking(&mut self.reset).into_batch(self.mark(), self.mark())
    }

    /// The loss to be told before anything else.
    pub(crate) fn gap(&mut self) -> Option<Batch> {
        let (count, why) = self.gone.take()?;
        let start = self.mark();
        let mut items = Items::taking(&mut self.reset);
        items.fault(0, FaultCause::Gap);
        items.quote_from(0, || self.kind.to_owned(), format!("{count} {why}").as_bytes());
        self.position += count;
        self.start = self.position;
        Some(items.into_batch(start, self.mark()))
    }

    /// Goes to a mark; what was taken and not handed on is forgotten.
    pub(crate) fn seek(&mut self, mark: Option<&Mark>) -> Result<Goes, SourceError> {
        let here = self.position;
        let goes = match mark {
            None => Goes::On,
            Some(mark) => match self.run_of(mark)? {
                Some(run) if run == self.run && mark.position > here => {
                    return Err(SourceError::Invalid(format!(
                        "the mark at {} is ahead of {}, which is at {here}",
                        mark.position, self.kind
                    )));
                }
                Some(run) if run == self.run => {
                    self.position = mark.position;
                    Goes::Back(here - mark.position)
                }
                // A mark of an earlier run: positions go on from there.
                Some(_) | None => {
                    self.position = here.max(mark.position);
                    Goes::On
                }
            },
        };
        self.start = self.position;
        self.items = Items::default();
        self.names.forget();
        self.reset = true;
        Ok(goes)
    }

    /// Tells with the next batch that so many messages will not come again.
    pub(crate) fn lose(&mut self, count: u64, why: &'static str) {
        self.gone = (count > 0).then_some((count, why));
    }

    fn run_of(&self, mark: &Mark) -> Result<Option<u64>, SourceError> {
        if mark.token.is_empty() {
            return Ok(None);
        }
        let token: Option<Token> = serde_json::from_str(&mark.token).ok();
        token
            .filter(|token| token.kind == self.kind)
            .map(|token| Some(token.run))
            .ok_or_else(|| SourceError::Invalid(format!("the mark {:?} is none of {}", mark.token, self.kind)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::Delivered;

    fn event(name: &str, value: f64) -> Result<Event<'_>, FaultCause> {
        Ok(Event { name: name.into(), unit: None, value, at: None })
    }

    fn message(text: &str) -> Message<'_> {
        Message { place: "here", text: text.as_bytes(), arrival: Stamp(7) }
    }

    #[test]
    fn each_message_has_its_place_and_names_are_bounded() {
        let limits = Limits { names_max: 2, batch_samples_max: 3, ..Limits::default() };
        let mut messages = Messages::new("test", Format::default(), limits);
        let mut delivered = Delivered::default();
        assert!(messages.take().is_none());
        for (name, room) in [("a", Room::More), ("b", Room::More), ("c", Room::None)] {
            assert_eq!(messages.push(&message(name), event(name, 1.0)), room, "{name}");
        }
        delivered.take(messages.take().unwrap(), limits).unwrap();
        assert_eq!(messages.push(&message("c"), event("c", 1.0)), Room::More);
        assert_eq!(messages.push(&message("?"), Err(FaultCause::Malformed)), Room::More);
        assert_eq!(messages.push(&message("c"), event("c", 2.0)), Room::Full);
        delivered.take(messages.take().unwrap(), limits).unwrap();
        assert_eq!(delivered.values(), [1.0, 1.0, 1.0, 2.0]);
        assert_eq!(delivered.quotes, ["here: ?"]);
        assert_eq!(messages.position(), 5);
    }

    #[test]
    fn marks_of_this_run_lead_back_and_those_of_others_on() {
        let limits = Limits::default();
        let mut messages = Messages::new("test", Format::default(), limits);
        let other = Mark { position: 10, token: r#"{"kind":"test","run":1}"#.into() };
        assert_eq!(messages.seek(Some(&other)).unwrap(), Goes::On);
        for value in 0..5 {
            messages.push(&message(""), event("a", f64::from(value)));
        }
        let batch = messages.take().unwrap();
        assert_eq!((batch.start.position, batch.end.position, batch.reset), (10, 15, true));
        let middle = Mark { position: 12, token: batch.start.token };
        assert_eq!(messages.seek(Some(&middle)).unwrap(), Goes::Back(3));
        messages.lose(2, "messages are gone");
        let gap = messages.gap().unwrap();
        assert_eq!((gap.start.position, gap.end.position, gap.reset), (12, 14, true));
        let ahead = Mark { position: 99, ..middle.clone() };
        assert!(matches!(messages.seek(Some(&ahead)), Err(SourceError::Invalid(_))));
        let strange = Mark { position: 0, token: r#"{"kind":"file"}"#.into() };
        assert!(matches!(messages.seek(Some(&strange)), Err(SourceError::Invalid(_))));
    }
}
