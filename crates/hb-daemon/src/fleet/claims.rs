//! What stands in the register where each watch has a lease of its own: a session for each node, and claims for watches.
//!
//! A node shows that it lives in one cell, however many watches it works for. A claim is good while the session that it names shows
//! life. Claims stand in [`SHARDS`] cells, by a hash of the watch's name: a node that takes over hundreds of watches of a dead one
//! changes each of those cells once, instead of one cell for each watch, and one list shows everything. In a cell watches stand below
//! the session that claims them, which is named once.
//!
//! Bounds (B1): [`SHARDS`] cells of claims of at most `CELL_MAX` bytes, which is room for about 20,000 watches; [`SESSIONS_MAX`] nodes.

use std::collections::BTreeMap;

use hb_core::ids::{NodeName, WatchName};
use hb_core::time::Stamp;
use hb_store::port::{Pause, Switchover};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Cells of claims.
pub const SHARDS: u32 = 8;
/// Most nodes.
pub const SESSIONS_MAX: usize = 256;
/// Everything of a fleet stands below.
pub(super) const PREFIX: &str = "fleet/";
/// Where what operators ask stands.
pub(super) const WISHES: &str = "fleet/wishes";
/// Version of the documents.
const FORMAT: u32 = 1;

/// A node's session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Session {
    pub(super) format: u32,
    pub(super) node: NodeName,
    /// Tells one process of that name from the next.
    pub(super) session: String,
    /// Grows whenever it is shown.
    pub(super) progress: u64,
    pub(super) priority: u8,
    pub(super) watches_max: u32,
}

impl Session {
    pub(super) fn new(node: &NodeName, session: &str, priority: u8, watches_max: u32) -> Self {
        Self { format: FORMAT, node: node.clone(), session: session.into(), progress: 0, priority, watches_max }
    }
}

/// Who works for a watch.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Claim {
    pub(super) node: NodeName,
    pub(super) session: String,
    /// Who handed it over; none where it was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<NodeName>,
}

/// A cell of claims.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "ShardForm", into = "ShardForm")]
pub(super) struct Shard {
    pub(super) claims: BTreeMap<WatchName, Claim>,
}

/// How it is written: each claim once, with its watches.
#[derive(Serialize, Deserialize)]
struct ShardForm {
    format: u32,
    claimed: Vec<Claimed>,
}

/// Watches of one claim.
#[derive(Serialize, Deserialize)]
struct Claimed {
    #[serde(flatten)]
    claim: Claim,
    watches: Vec<WatchName>,
}

impl From<Shard> for ShardForm {
    fn from(shard: Shard) -> Self {
        let mut claimed: BTreeMap<Claim, Vec<WatchName>> = BTreeMap::new();
        for (watch, claim) in shard.claims {
            claimed.entry(claim).or_default().push(watch);
        }
        let claimed = claimed.into_iter().map(|(claim, watches)| Claimed { claim, watches }).collect();
        Self { format: FORMAT, claimed }
    }
}

impl From<ShardForm> for Shard {
    fn from(form: ShardForm) -> Self {
        let one = |Claimed { claim, watches }| watches.into_iter().map(move |watch| (watch, Claim::clone(&claim)));
        Self { claims: form.claimed.into_iter().flat_map(one).collect() }
    }
}

/// What operators ask of a fleet.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Wishes {
    /// Nobody takes over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pause: Option<Pause>,
    /// Watches are to be spread evenly; it stays here until they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rebalance: Option<Rebalance>,
    /// All watches of a node are to move; it stays here until they have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) leave: Option<Switchover>,
}

impl Wishes {
    /// Watches are on the move: nodes look more often then.
    pub(super) fn moves(&self) -> bool {
        self.rebalance.is_some() || self.leave.is_some()
    }
}

/// That watches are to be spread evenly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rebalance {
    pub(super) by: String,
    pub(super) reason: String,
    pub(super) at: Stamp,
}

/// A name as a segment of a cell's name: what cannot stand there is written as `_` and two hex digits.
fn segment(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    name.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("_{byte:02x}") }).collect()
}

/// The cell of a node's session.
pub(super) fn session_cell(node: &NodeName) -> String {
    format!("{PREFIX}session/{}", segment(node.as_str()))
}

/// The cell of a watch's claim.
pub(super) fn claim_cell(watch: &WatchName) -> String {
    format!("{PREFIX}claim/{:02}", shard_of(watch))
}

/// FNV-1a, of which only evenness is asked.
fn shard_of(watch: &WatchName) -> u32 {
    let mix = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    watch.as_str().bytes().fold(0x811c_9dc5, mix) % SHARDS
}

/// A document of a cell; none where it cannot be read by this version.
pub(super) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    serde_json::from_slice(bytes).ok()
}

/// The bytes of a document.
pub(super) fn bytes<T: Serialize>(document: &T) -> Vec<u8> {
    serde_json::to_vec(document).expect("documents of a fleet are plain data with string keys")
}

#[cfg(test)]
mod tests {
    use hb_store::register::{CELL_MAX, check_name};

    use super::*;

    #[test]
    fn every_name_has_a_cell_of_its_own_and_watches_are_spread_over_the_shards() {
        for name in ["a", "node.example.org", "a_b", "ä/ö", "..", "a b"] {
            check_name(&session_cell(&name.into())).unwrap();
        }
        assert_ne!(session_cell(&"a_2e".into()), session_cell(&"a.".into()));
        let mut shards: BTreeMap<String, Shard> = BTreeMap::new();
        for number in 0..20_000 {
            let watch = WatchName::from(format!("watch-number-{number}"));
            let claim = Claim { node: "a-node-with-a-name".into(), session: "4711-123456789".into(), from: None };
            shards.entry(claim_cell(&watch)).or_default().claims.insert(watch, claim);
        }
        assert_eq!(shards.len(), SHARDS as usize);
        assert!(shards.values().all(|shard| bytes(shard).len() < CELL_MAX), "B1: there is room for 20,000");
        assert!(shards.values().all(|shard| read::<Shard>(&bytes(shard)).as_ref() == Some(shard)));
    }

    #[test]
    fn a_cell_names_each_session_once_and_tells_who_handed_a_watch_over() {
        let taken = Claim { node: "a".into(), session: "1-1".into(), from: None };
        let given = Claim { from: Some("b".into()), ..taken.clone() };
        let claims = [("x", &taken), ("y", &given), ("z", &taken)].map(|(watch, claim)| (watch.into(), claim.clone()));
        let shard = Shard { claims: claims.into() };
        let written = String::from_utf8(bytes(&shard)).unwrap();
        let wanted = r#"{"format":1,"claimed":[{"node":"a","session":"1-1","watches":["x","z"]},{"node":"a","session":"1-1","from":"b","watches":["y"]}]}"#;
        assert_eq!(written, wanted);
        assert_eq!(read::<Shard>(written.as_bytes()), Some(shard));
    }
}
