//! What a node says of itself on the board.

use std::net::SocketAddr;

use hb_core::ids::{Epoch, NodeName};
use hb_core::node::view::{Role, Takeover};
use hb_core::time::Stamp;
use serde::{Deserialize, Serialize};

use super::process::Process;

/// Version of the document that this program writes.
pub(super) const FORMAT: u32 = 1;
/// Longest text on a card, in characters (B1).
const TEXT_MAX: usize = 500;
/// A node's priority where none is set.
pub const PRIORITY: u8 = 50;

/// A node's own account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// Version of the program.
    pub version: String,
    /// What it is for its watches; where it only supervises, what its supervisor is.
    pub role: Role,
    /// What its supervisor is; none where it does not supervise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supervises: Option<Role>,
    /// Among those that stand by, the largest goes first; 0 never takes over.
    pub priority: u8,
    /// Largest epoch that it has opened or read.
    pub epoch: Epoch,
    /// Where it serves its API and page; none where it does not.
    pub listen: Option<SocketAddr>,
    /// When it started (by its wall clock; information only).
    pub started: Stamp,
    /// Grows with every turn of its work loop.
    pub progress: u64,
    /// Its watches.
    pub watches: Watches,
    /// Which watches these are: nodes that share a lease and tell this otherwise do not belong together, or are just being changed.
    #[serde(default)]
    pub deployment: String,
    /// The newest takeover that it knows of, by whichever node.
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
    /// Most that it takes; none where that has no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u64>,
    /// Records that it has read or written, of all of them.
    pub records: u64,
    /// How long ago it read their journal to the head, in seconds; 0 while it writes it.
    pub lag_seconds: f64,
}

/// A card as it stands in the register.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Card {
    pub(super) format: u32,
    /// Once in how many times [`super::POST_EVERY`] it is posted.
    #[serde(default = "one")]
    pub rounds: u32,
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

fn one() -> u32 {
    1
}

impl Account {
    /// Of a node that has just started.
    #[must_use]
    pub fn new(version: &str, started: Stamp) -> Self {
        Self {
            version: version.to_owned(),
            role: Role::Standby,
            supervises: None,
            priority: PRIORITY,
            epoch: Epoch(0),
            listen: None,
            started,
            progress: 0,
            watches: Watches::default(),
            deployment: String::new(),
            takeover: None,
            trouble: None,
        }
    }

    /// Whether it supervises, and has no watches: then no other node goes by its card in what it does.
    pub(super) fn only_supervises(&self) -> bool {
        self.supervises.is_some() && self.watches == Watches::default()
    }

    /// With texts cut to their bounds.
    pub(super) fn bounded(&self) -> Self {
        let mut account = self.clone();
        cut(&mut account.version);
        cut(&mut account.deployment);
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

    /// Whether its node could take over now.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn could_take_over(&self) -> Result<(), String> {
        let (node, account) = (&self.node, &self.account);
        if account.priority == 0 {
            return Err(format!("{node} never takes over (its priority is 0)"));
        }
        if let Some(trouble) = &account.trouble {
            return Err(format!("{node} is not ready: {trouble}"));
        }
        match account.role {
            Role::Standby => Ok(()),
            Role::TakingOver | Role::Active | Role::Draining | Role::Fenced => {
                Err(format!("{node} does not stand by, it is {}", account.role.as_str()))
            }
        }
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Self>(bytes).ok().filter(|card| card.format == FORMAT)
    }
}
