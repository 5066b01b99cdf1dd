//! What people see and ask of a fleet through its register, whether any node runs or not.
//!
//! Bound (B1): an order is tried [`TRIES`] times against others that change the same cell.

use std::collections::BTreeMap;
use std::fmt;

use hb_core::ids::{NodeName, WatchName};
use hb_store::port::{Orders, Pause, Switchover};
use hb_store::register::{Cell, Register, Swapped};

use super::claims::{PREFIX, SESSIONS_MAX, SHARDS, Session, Shard, WISHES, Wishes, bytes, read, session_cell};
use super::hall::Wish;

/// Tries of an order.
const TRIES: u32 = 16;

/// A node's seat in the fleet, as its session says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The node.
    pub node: NodeName,
    /// Most watches that it works for.
    pub watches_max: u32,
    /// Whose turn it is first: the largest; 0 works for none.
    pub priority: u8,
    /// Grows whenever it shows that it lives.
    pub progress: u64,
}

/// What stands in the register.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Nodes that have shown themselves and not left; one that died is among them until somebody claims its watches.
    pub members: Vec<Member>,
    /// Who has claimed which watch, in a session that still stands there.
    pub holders: BTreeMap<WatchName, NodeName>,
    /// What is asked of all: a pause, and whose watches are all to move.
    pub orders: Orders,
    /// By whom and why watches are being spread evenly.
    pub rebalance: Option<(String, String)>,
}

/// An order to a fleet.
#[derive(Debug, Clone)]
pub enum Ask {
    /// Nobody takes over.
    Pause(Pause),
    /// They may again.
    Resume,
    /// Watches are to be spread evenly.
    Rebalance {
        /// Who asks.
        by: String,
        /// Why.
        reason: String,
    },
    /// All watches of a node are to move.
    Leave(Switchover),
}

/// Reads and asks.
pub struct FleetOffice(Box<dyn Register>);

impl fmt::Debug for FleetOffice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FleetOffice")
    }
}

impl FleetOffice {
    /// Over the register in which the fleet stands.
    #[must_use]
    pub fn new(register: Box<dyn Register>) -> Self {
        Self(register)
    }

    fn cells(&mut self) -> Result<BTreeMap<String, Cell>, String> {
        let shards = usize::try_from(SHARDS).unwrap_or(usize::MAX);
        let most = SESSIONS_MAX.saturating_add(shards).saturating_add(1);
        self.0.list(PREFIX, most).map(|cells| cells.into_iter().collect()).map_err(|error| error.0)
    }

    /// Reads everything.
    ///
    /// # Errors
    /// The register cannot be read.
    pub fn look(&mut self) -> Result<Ledger, String> {
        let cells = self.cells()?;
        let session = |(name, cell): (&String, &Cell)| {
            read::<Session>(&cell.bytes).filter(|session| session_cell(&session.node) == *name)
        };
        let sessions: BTreeMap<NodeName, Session> =
            cells.iter().filter_map(session).map(|session| (session.node.clone(), session)).collect();
        let shards = cells.iter().filter(|(name, _)| name.contains("/claim/"));
        let claims = shards.filter_map(|(_, cell)| read::<Shard>(&cell.bytes)).flat_map(|shard| shard.claims);
        let stands = |node: &NodeName, session: &str| sessions.get(node).is_some_and(|one| one.session == session);
        let holders = claims
            .filter(|(_, claim)| stands(&claim.node, &claim.session))
            .map(|(watch, claim)| (watch, claim.node))
            .collect();
        let wishes: Wishes = cells.get(WISHES).and_then(|cell| read(&cell.bytes)).unwrap_or_default();
        let member =
            |Session { node, watches_max, priority, progress, .. }| Member { node, watches_max, priority, progress };
        Ok(Ledger {
            members: sessions.into_values().map(member).collect(),
            holders,
            orders: Orders { pause: wishes.pause, switchover: wishes.leave, settled: None },
            rebalance: wishes.rebalance.map(|asked| (asked.by, asked.reason)),
        })
    }

    /// Puts an order where every node sees it with its next round.
    ///
    /// # Errors
    /// The register cannot be changed.
    pub fn ask(&mut self, ask: Ask) -> Result<Orders, String> {
        let wish = match ask {
            Ask::Pause(pause) => Wish::Pause(pause),
            Ask::Resume => Wish::Resume,
            Ask::Rebalance { by, reason } => Wish::Rebalance { by, reason },
            Ask::Leave(leave) => Wish::Leave(leave),
        };
        for _ in 0..TRIES {
            let cell = self.0.read(WISHES).map_err(|error| error.0)?;
            let mut wishes: Wishes = cell.as_ref().and_then(|cell| read(&cell.bytes)).unwrap_or_default();
            wish.add_to(&mut wishes);
            match self.0.swap(WISHES, cell.as_ref().map(|cell| &cell.version), &bytes(&wishes)) {
                Swapped::Done(_) => return Ok(Orders { pause: wishes.pause, switchover: wishes.leave, settled: None }),
                Swapped::Lost(_) => {}
                Swapped::Unknown(why) | Swapped::Failed(why) => return Err(why),
            }
        }
        Err(format!("others change the orders all the time: tried {TRIES} times"))
    }
}
