//! Every node that a configuration has, as each of them and `hb status` list it.

use std::net::SocketAddr;

use hb_core::ids::{Epoch, NodeName};
use hb_core::node::view::{Role, Takeover};
use hb_core::time::Stamp;
use serde::Serialize;

use crate::exposition::{Exposition, Kind};

/// What a node says of itself on the board of nodes, and what the reader makes of it. Fields may be added, none is renamed or removed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NodeDoc {
    /// Its name.
    pub node: NodeName,
    /// What it is; `down` where it shows no life.
    pub role: &'static str,
    /// `alive`, `gone`, or `unclear` where the reader has not looked for long enough to say.
    pub life: &'static str,
    /// What its supervisor is; absent where it does not supervise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supervises: Option<Role>,
    /// Where it runs.
    pub host: String,
    /// Its process there.
    pub pid: u32,
    /// Where it serves its API and page; null where it does not.
    pub listen: Option<SocketAddr>,
    /// Which goes first of those that stand by: the largest; 0 never takes over.
    pub priority: u8,
    /// Largest epoch that it has opened or read.
    pub epoch: Epoch,
    /// Version of its program.
    pub version: String,
    /// When it started, by its own clock.
    pub started: Stamp,
    /// Its last sign of life, by its own clock.
    pub last_contact: Stamp,
    /// How long ago that was, in seconds, by its clock and the reader's.
    pub last_contact_seconds: f64,
    /// Watches that it decides.
    pub watches_active: u64,
    /// Watches that it stands by for.
    pub watches_standing_by: u64,
    /// Records of them that it has read or written.
    pub records: u64,
    /// How many that is behind the node that has most, as far as their last words tell.
    pub lag_records: u64,
    /// How long ago it had read the journal to its head, in seconds; 0 while it writes it.
    pub lag_seconds: f64,
    /// The newest takeover that it knows of, by whichever node.
    pub takeover: Option<Takeover>,
    /// What keeps it from working, or from taking over; absent where nothing does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Why it could not be asked itself, so that this is what its card says; absent where it was asked, or need not be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silent: Option<String>,
}

const ROLES: [&str; 6] = ["standby", "taking_over", "active", "draining", "fenced", "down"];

/// How many nodes are what.
pub(crate) fn write(out: &mut Exposition, nodes: &[NodeDoc]) {
    out.family("hb_nodes", Kind::Gauge, "Nodes on the board of nodes, by what they say they are; down shows no life.");
    for role in ROLES {
        let count = nodes.iter().filter(|node| node.role == role).count();
        out.whole("hb_nodes", &[("role", role)], count as u64);
    }
}
