//! What a node says of itself on the board.

use hb_core::ids::{Epoch, NodeName};
use hb_core::node::view::Role;
use hb_core::time::Stamp;
use serde::{Deserialize, Serialize};

use super::process::Process;

/// Version of the document that this program writes.
pub(super) const FORMAT: u32 = 1;
/// Longest text on a card, in characters (B1).
const TEXT_MAX: usize = 500;
/// A node's priority where none is set.
pub const PRIORITY: u32 = 100;

/// A node's own account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// Version of the program.
    pub version: String,
    /// What it is.
    pub role: Role,
    /// Among those that stand by, the largest goes first.
    pub priority: u32,
    /// It never takes over.
    pub never_promote: bool,
    /// Largest epoch that it has opened or read.
    pub epoch: Epoch,
    /// Where it serves its API and page, as a URL; none where it does not.
    pub listen: Option<String>,
    /// When it started (by its wall clock; information only).
    pub started: Stamp,
    /// Grows with every turn of its work loop.
    pub progress: u64,
    /// Its watches.
    pub watches: Watches,
    /// The newest takeover that it made.
    pub takeover: Option<Takeover>,
    /// What keeps it from working, or from taking over, at the moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// A node's watches, in figures.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Watches {
    /// That it decides.
    pub active: u64,
    /// That it stands by for.
    pub standing_by: u64,
    /// Most records that any of them is behind its journal.
    pub lag_records: u64,
    /// Most seconds that any of them is behind.
    pub lag_seconds: f64,
}

/// How a node came to work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Takeover {
    /// When (by its wall clock; information only).
    pub at: Stamp,
    /// From whom; none at the first start.
    pub from: Option<NodeName>,
    /// The epoch that it opened.
    pub epoch: Epoch,
    /// What gave it the lease: `postgres`, `postgres-ttl` …
    pub how: String,
    /// Why the lease was free, in words.
    pub why: String,
    /// From the grant to its first record, in milliseconds.
    pub took_ms: u64,
}

/// A card as it stands in the register.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Card {
    pub(super) format: u32,
    /// The node.
    pub node: NodeName,
    /// Tells two processes of one name apart.
    pub session: String,
    /// Its process, and where it runs.
    #[serde(flatten)]
    pub process: Process,
    /// How often it has posted.
    pub posts: u64,
    /// When it posted (by its wall clock; information only).
    pub posted: Stamp,
    /// What it says.
    #[serde(flatten)]
    pub account: Account,
}

impl Account {
    /// Of a node that has just started.
    #[must_use]
    pub fn new(version: &str, started: Stamp) -> Self {
        Self {
            version: version.to_owned(),
            role: Role::Standby,
            priority: PRIORITY,
            never_promote: false,
            epoch: Epoch(0),
            listen: None,
            started,
            progress: 0,
            watches: Watches::default(),
            takeover: None,
            trouble: None,
        }
    }

    /// With texts cut to their bounds.
    pub(super) fn bounded(&self) -> Self {
        let mut account = self.clone();
        cut(&mut account.version);
        account.listen.iter_mut().for_each(cut);
        account.trouble.iter_mut().for_each(cut);
        if let Some(takeover) = &mut account.takeover {
            cut(&mut takeover.how);
            cut(&mut takeover.why);
        }
        account
    }
}

fn cut(text: &mut String) {
    if let Some((end, _)) = text.char_indices().nth(TEXT_MAX) {
        text.truncate(end);
        text.push('…');
    }
}

impl Card {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).expect("a card is plain data with string keys");
        bytes.push(b'\n');
        bytes
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Self>(bytes).ok().filter(|card| card.format == FORMAT)
    }
}
