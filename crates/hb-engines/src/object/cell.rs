//! What an object of the register looks like: one line about the version, then the cell's own bytes.
//!
//! ```text
//! hb-cell 1 12-9f…c4 after 11-07…aa there
//! …bytes…
//! ```
//!
//! The number grows by one with every change and the random part never comes again, so that no two contents of a cell ever have one ETag:
//! equal bodies would have equal ETags, and a compare-and-set by them would pass over what happened in between. What a version came after
//! tells, when an answer was lost, whether ours was among what happened.
//!
//! A removed cell stays as an object that says `gone`: stores have no deletion by condition.

use std::fmt;

use hb_core::journal::Hash;
use hb_store::register::CellVersion;

const MAGIC: &str = "hb-cell 1 ";
/// Longest first line that is read.
const LINE_MAX: usize = 300;

/// Which change of which cell; one of its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Id {
    pub(super) number: u64,
    pub(super) nonce: String,
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.number, self.nonce)
    }
}

impl Id {
    pub(super) fn version(&self) -> CellVersion {
        CellVersion(self.to_string())
    }

    fn parse(text: &str) -> Option<Self> {
        let (number, nonce) = text.split_once('-')?;
        Some(Self { number: number.parse().ok()?, nonce: nonce.to_owned() })
    }
}

/// Whether there is a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    There,
    Gone,
}

/// An object of the register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Envelope {
    pub(super) id: Id,
    pub(super) after: Option<Id>,
    pub(super) state: State,
    pub(super) bytes: Vec<u8>,
}

impl Envelope {
    pub(super) fn encode(&self) -> Vec<u8> {
        let after = self.after.as_ref().map_or_else(|| "-".to_owned(), Id::to_string);
        let state = match self.state {
            State::There => "there",
            State::Gone => "gone",
        };
        let mut out = format!("{MAGIC}{} after {after} {state}\n", self.id).into_bytes();
        out.extend_from_slice(&self.bytes);
        out
    }

    /// Reads an object. What is none of ours is a cell too, of version 0: whoever holds the register can replace it, nothing blocks for ever.
    pub(super) fn decode(object: Vec<u8>, e_tag: Option<&str>) -> Self {
        if let Some((id, after, state, at)) = head(&object) {
            return Self { id, after, state, bytes: object.get(at..).unwrap_or_default().to_vec() };
        }
        let nonce = Hash::of(format!("{} {}", Hash::of(&object), e_tag.unwrap_or_default()).as_bytes()).to_string();
        Self { id: Id { number: 0, nonce }, after: None, state: State::There, bytes: object }
    }
}

fn head(object: &[u8]) -> Option<(Id, Option<Id>, State, usize)> {
    let end = object.iter().take(LINE_MAX).position(|byte| *byte == b'\n')?;
    let line = std::str::from_utf8(object.get(..end)?).ok()?.strip_prefix(MAGIC)?;
    let mut words = line.split(' ');
    let id = Id::parse(words.next()?)?;
    if words.next()? != "after" {
        return None;
    }
    let after = match words.next()? {
        "-" => None,
        text => Some(Id::parse(text)?),
    };
    let state = match words.next()? {
        "there" => State::There,
        "gone" => State::Gone,
        _ => return None,
    };
    if words.next().is_some() { None } else { Some((id, after, state, end.saturating_add(1))) }
}

#[cfg(test)]
mod tests {
    use hb_store::register::nonce::nonce;

    use super::*;

    #[test]
    fn an_envelope_comes_back_whole() {
        let id = Id { number: 12, nonce: nonce() };
        for after in [None, Some(Id { number: 11, nonce: nonce() })] {
            for state in [State::There, State::Gone] {
                let envelope = Envelope { id: id.clone(), after: after.clone(), state, bytes: b"a\nb".to_vec() };
                assert_eq!(Envelope::decode(envelope.encode(), None), envelope);
            }
        }
    }

    #[test]
    fn what_is_none_of_ours_can_be_replaced_too() {
        for object in ["", "x", "hb-cell 1 1-a after", "hb-cell 1 1-a after - there more\n", "hb-cell 2 x\n"] {
            let envelope = Envelope::decode(object.into(), Some("\"e\""));
            assert_eq!((envelope.id.number, envelope.bytes.as_slice()), (0, object.as_bytes()));
            assert_ne!(envelope.id, Envelope::decode(object.into(), Some("\"f\"")).id, "another put of the same");
        }
    }
}
