//! What stands in the cell of a lease.

use hb_core::ids::{Epoch, NodeName};
use serde::{Deserialize, Serialize};

use crate::port::{Holder, Orders};
use crate::register::{Cell, CellVersion};

/// Version of the document that this program writes.
const FORMAT: u32 = 1;

/// The lease as a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Document {
    pub(super) format: u32,
    /// Who has it, or had it last; none before the first.
    pub(super) holder: Option<Mark>,
    /// How long the holder may show no progress.
    pub(super) ttl_ms: u64,
    /// How it came to the holder.
    pub(super) how: String,
    /// Whether the holder attends to the cell, so that the engine can tell that it is gone.
    pub(super) attended: bool,
    /// The holder gave it back.
    pub(super) released: bool,
    /// What operators ask.
    #[serde(default)]
    pub(super) orders: Orders,
}

/// Who has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    pub(super) node: NodeName,
    pub(super) pid: u32,
    /// Another one for each grant, so that no two holdings look alike.
    pub(super) session: String,
    pub(super) epoch: Epoch,
    pub(super) progress: u64,
    /// The holder's own clock when it wrote this, in milliseconds. Compared with other ones of the same session only, to foresee when
    /// the next comes; nothing rests on it.
    pub(super) shown_ms: u64,
}

/// What a waiter judges by: it ages as long as it stays equal. Orders are not in it, so changing them shows no life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sight {
    /// No cell, or nobody had it yet.
    Nothing,
    /// A holder.
    Held { session: String, epoch: Epoch, progress: u64 },
    /// The last holder gave it back.
    Released(String),
    /// No document of ours.
    Unreadable(CellVersion),
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) version: Option<CellVersion>,
    pub(super) content: Content,
}

/// What stands in the cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    Nothing,
    Document(Box<Document>),
    Unreadable(Vec<u8>),
}

impl Document {
    pub(super) fn new(ttl_ms: u64) -> Self {
        let (holder, how) = (None, String::new());
        Self { format: FORMAT, holder, ttl_ms, how, attended: false, released: true, orders: Orders::default() }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).expect("a lease is plain data with string keys");
        bytes.push(b'\n');
        bytes
    }

    fn sight(&self) -> Sight {
        let Some(Mark { session, epoch, progress, .. }) = self.holder.clone() else { return Sight::Nothing };
        if self.released { Sight::Released(session) } else { Sight::Held { session, epoch, progress } }
    }

    /// Who works.
    pub(super) fn working(&self) -> Option<&Mark> {
        self.holder.as_ref().filter(|_| !self.released)
    }
}

impl Mark {
    pub(super) fn to_holder(&self) -> Holder {
        let Self { node, pid, epoch, progress, .. } = self.clone();
        Holder { node, pid, epoch, progress }
    }
}

impl Seen {
    pub(super) fn of(cell: Option<Cell>) -> Self {
        let Some(Cell { bytes, version }) = cell else { return Self { version: None, content: Content::Nothing } };
        let content = match serde_json::from_slice::<Document>(&bytes) {
            Ok(document) if document.format == FORMAT => Content::Document(Box::new(document)),
            // A newer program's document changes whenever its holder shows life; one that stands still is replaced.
            Ok(_) | Err(_) => Content::Unreadable(bytes),
        };
        Self { version: Some(version), content }
    }

    pub(super) fn document(&self) -> Option<&Document> {
        match &self.content {
            Content::Document(document) => Some(document),
            Content::Nothing | Content::Unreadable(_) => None,
        }
    }

    /// Whose it was last.
    pub(super) fn last(&self) -> Option<&Mark> {
        self.document().and_then(|document| document.holder.as_ref())
    }

    pub(super) fn sight(&self) -> Sight {
        match (&self.content, &self.version) {
            (Content::Unreadable(_), Some(version)) => Sight::Unreadable(version.clone()),
            (Content::Document(document), _) => document.sight(),
            (Content::Nothing | Content::Unreadable(_), _) => Sight::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(bytes: &[u8]) -> Option<Cell> {
        Some(Cell { bytes: bytes.to_vec(), version: CellVersion("7".into()) })
    }

    #[test]
    fn documents_read_back_and_anything_else_is_unreadable() {
        let mut document = Document::new(3000);
        let (node, session) = ("a".into(), "s".to_owned());
        document.holder = Some(Mark { node, pid: 1, session, epoch: Epoch(3), progress: 4, shown_ms: 5 });
        document.released = false;
        let seen = Seen::of(cell(&document.to_bytes()));
        assert_eq!(seen.document(), Some(&document));
        assert_eq!(seen.sight(), Sight::Held { session: "s".into(), epoch: Epoch(3), progress: 4 });
        document.format = FORMAT + 1;
        for bytes in [document.to_bytes(), b"".to_vec(), b"{}".to_vec(), b"\0garbage".to_vec()] {
            let seen = Seen::of(cell(&bytes));
            assert_eq!(seen.content, Content::Unreadable(bytes));
            assert_eq!(seen.sight(), Sight::Unreadable(CellVersion("7".into())));
        }
        assert_eq!(Seen::of(None).sight(), Sight::Nothing);
        assert_eq!(Seen::of(cell(&Document::new(1).to_bytes())).sight(), Sight::Nothing);
    }
}
