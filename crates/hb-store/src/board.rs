//! The board: every node that shares a register puts a card there that says what it is, so that any of them can show all.
//!
//! One cell for each node, `node/NAME`, which it posts anew every [`POST_EVERY`], or once in [`SLOW_ROUNDS`] of that: where a look
//! costs requests, and where a node that only supervises is alone on the board of one host. Nothing rests on the board but what
//! people see and the order in which nodes stand by.
//!
//! **Invariants.** A card is only ever changed by the process whose session it carries, or taken over when that process is gone. Whether
//! a node lives is judged by how long its card has stood still on the reader's own clock, never by its stamps. At most
//! [`NODES_MAX`] cards are read or made (B1).

mod card;
pub(crate) mod fuzzing;
mod process;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hb_core::ids::NodeName;
use hb_core::node::view::Role;
use hb_core::time::Stamp;

use self::card::FORMAT;
use crate::lease::boottime;
use crate::register::nonce::nonce;
use crate::register::{Cell, CellVersion, Hears, NAME_MAX, Reach, Register, RegisterError, Swapped};

pub use card::{Account, Card, PRIORITY, Watches};
pub use hb_core::node::view::Takeover;
pub use process::Process;

/// How often a node posts its card.
pub const POST_EVERY: Duration = Duration::from_secs(2);
/// Once in how many times that, in a register that tells nothing of changes, and where a node that only supervises is alone on its host.
pub const SLOW_ROUNDS: u32 = 3;
/// How long a card may stand still before its node counts as gone: three posts and one to spare. As many times as long where it is
/// posted more seldom.
pub const ALIVE_FOR: Duration = Duration::from_secs(8);
/// How long a card must have stood still, seen by one reader, before it may be removed.
pub const REMOVE_AFTER: Duration = Duration::from_secs(24 * 3600);
/// Most cards (B1).
pub const NODES_MAX: usize = 256;
/// Most names that are tried beside the one that was wanted.
const NAMES_MAX: u32 = 64;
/// How long joining waits for a sign of life of whoever has the name on another host: longer than one post takes, and no longer
/// than a node that was started anew may keep others waiting. Should it live after all, it sees that its name is taken.
const JOIN_FOR: Duration = Duration::from_secs(3);
/// How often joining looks whether a card of its name still changes.
const JOIN_LOOK: Duration = Duration::from_millis(500);
const PREFIX: &str = "node/";

/// Why the board could not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BoardError {
    /// It may work later.
    #[error("{0}")]
    Unavailable(String),
    /// Another process goes by this node's name now.
    #[error("{0}")]
    NameTaken(String),
    /// There is no room.
    #[error("{0}")]
    Full(String),
    /// It cannot be a node's name.
    #[error("{0}")]
    BadName(String),
}

/// What is known of a node's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// Its card changed within [`ALIVE_FOR`].
    Alive,
    /// Its card stands still for longer, or its process is known to have ended.
    Gone,
    /// This reader has not looked for long enough to say.
    Unclear,
}

/// A card, and what this reader makes of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What it says.
    pub card: Card,
    /// How long this reader has seen it unchanged.
    pub still: Duration,
    /// Whether its node lives.
    pub life: Life,
    /// It is this process's own.
    pub own: bool,
}

/// Every node.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Roster {
    /// By name.
    pub nodes: Vec<Entry>,
    /// Cells that are no cards.
    pub unreadable: Vec<String>,
    /// There are more cards than are read.
    pub more: bool,
}

impl Roster {
    /// Whoever says that it works, or is about to.
    pub fn active(&self) -> impl Iterator<Item = &Entry> {
        let works = |entry: &&Entry| matches!(entry.card.account.role, Role::Active | Role::TakingOver);
        self.nodes.iter().filter(|entry| entry.life != Life::Gone).filter(works)
    }

    /// Those that show life, as far as can be told.
    pub fn alive(&self) -> impl Iterator<Item = &Card> {
        self.nodes.iter().filter(|entry| entry.life != Life::Gone).map(|entry| &entry.card)
    }

    /// The card of a node that shows life.
    #[must_use]
    pub fn living(&self, node: &NodeName) -> Option<&Card> {
        self.alive().find(|card| card.node == *node)
    }

    /// How many nodes that could take over go before that one: those of a larger priority, and of the same one those earlier in the
    /// alphabet.
    #[must_use]
    pub fn place(&self, node: &NodeName, priority: u8) -> u32 {
        let goes_first = |card: &&Card| {
            let before = (Reverse(card.account.priority), &card.node) < (Reverse(priority), node);
            before && card.node != *node && card.could_take_over().is_ok()
        };
        u32::try_from(self.alive().filter(goes_first).count()).unwrap_or(u32::MAX)
    }

    /// Whether some other node could take over now.
    #[must_use]
    pub fn anybody_else(&self, node: &NodeName) -> bool {
        self.alive().any(|card| card.node != *node && card.could_take_over().is_ok())
    }

    /// Whether that node could take over now.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn could(&self, node: &NodeName) -> Result<(), String> {
        let card = self.living(node).ok_or_else(|| format!("{node} shows no life on the board of nodes"))?;
        card.could_take_over()
    }

    /// Most records that any living node has read or written: whoever has fewer is behind by the difference, or says so a moment later.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.alive().map(|card| card.account.watches.records).max().unwrap_or(0)
    }
}

/// How a card was seen.
#[derive(Debug)]
struct Sight {
    version: CellVersion,
    since: Duration,
    /// It has been seen to change.
    changed: bool,
}

/// Our own card.
#[derive(Debug)]
struct Own {
    node: NodeName,
    version: Option<CellVersion>,
    posts: u64,
    /// Once in how many times it says that it is posted.
    rounds: u32,
}

/// The board of a register.
pub struct Board {
    register: Box<dyn Register>,
    session: String,
    process: Process,
    alive_for: Duration,
    sights: BTreeMap<String, Sight>,
    own: Option<Own>,
    /// The last look showed no other card.
    alone: bool,
}

impl std::fmt::Debug for Board {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Board").field("own", &self.own).field("seen", &self.sights.len()).finish_non_exhaustive()
    }
}

/// Whether it is still waited for a sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Patience {
    Left,
    Over,
}

/// What became of trying one name.
enum Tried {
    Joined,
    /// Somebody lives by it.
    Taken,
    /// It cannot be told yet.
    Unclear,
}

fn unavailable(RegisterError(why): RegisterError) -> BoardError {
    BoardError::Unavailable(why)
}

/// The cell of a node's card: what a cell's name cannot hold is written as `_` and two hex digits.
fn cell_name(node: &NodeName) -> Result<String, BoardError> {
    let mut name = PREFIX.to_owned();
    let only_dots = node.as_str().bytes().all(|byte| byte == b'.');
    for byte in node.as_str().bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'-' || (byte == b'.' && !only_dots) {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("_{byte:02x}"));
        }
    }
    if node.as_str().is_empty() || name.len() > NAME_MAX {
        let what = format!("{:.60?} cannot be a node's name: it is empty or too long; set [node] name", node.as_str());
        return Err(BoardError::BadName(what));
    }
    Ok(name)
}

impl Board {
    /// The board of a register. Nothing is asked yet.
    #[must_use]
    pub fn new(register: Box<dyn Register>) -> Self {
        Self::with_patience(register, ALIVE_FOR)
    }

    /// The same, where a card may stand still for so long (tests).
    #[must_use]
    pub fn with_patience(register: Box<dyn Register>, alive_for: Duration) -> Self {
        let (session, process) = (nonce(), Process::this());
        Self { register, session, process, alive_for, sights: BTreeMap::new(), own: None, alone: false }
    }

    /// Once in how many times [`POST_EVERY`] this node posts and looks: where a register tells nothing of changes, each look costs
    /// requests, and in a bucket money. Never more seldom than its card says.
    #[must_use]
    pub fn rounds(&self) -> u32 {
        let said = self.own.as_ref().map_or(1, |own| own.rounds);
        match self.register.hears() {
            Hears::Told if self.alone => said,
            Hears::Told => 1,
            Hears::Asks => SLOW_ROUNDS,
        }
    }

    /// The same of a card that is about to be posted. On a register of this host alone the lives of nodes are seen by their processes, so while there
    /// is nobody else a card that no other node goes by need not be posted so often: that was most of what such a node did while nothing happened.
    fn rounds_of(&self, account: &Account) -> u32 {
        match self.register.hears() {
            Hears::Told if self.alone && account.only_supervises() && self.register.reach() == Reach::Local => {
                SLOW_ROUNDS
            }
            Hears::Told => 1,
            Hears::Asks => SLOW_ROUNDS,
        }
    }

    /// Our name, once we have joined.
    #[must_use]
    pub fn node(&self) -> Option<&NodeName> {
        self.own.as_ref().map(|own| &own.node)
    }

    /// Puts up a card under the wanted name; where another process lives by it, with a number behind. The name that it got.
    ///
    /// A card of a process of this host that has ended is taken over at once, one of another host after it has stood still for three
    /// seconds: so long this may take.
    ///
    /// # Errors
    /// [`BoardError`].
    pub fn join(&mut self, wanted: &NodeName, account: &Account) -> Result<NodeName, BoardError> {
        for number in 1..=NAMES_MAX {
            let name = if number == 1 { wanted.clone() } else { NodeName::from(format!("{wanted}-{number}")) };
            if self.join_as(&name, account)? {
                return Ok(name);
            }
        }
        Err(BoardError::Full(format!("{NAMES_MAX} nodes go by the name {wanted}: set [node] name to another one")))
    }

    /// Puts the card up under that name and no other, without waiting: for a node that works under it already.
    ///
    /// # Errors
    /// [`BoardError::NameTaken`] while another process lives by it.
    pub fn rejoin(&mut self, node: &NodeName, account: &Account) -> Result<(), BoardError> {
        match self.try_name(node, account, Patience::Left)? {
            Tried::Joined => Ok(()),
            Tried::Taken => Err(BoardError::NameTaken(format!(
                "another process goes by the name {node}: start one of them anew under another [node] name"
            ))),
            Tried::Unclear => Err(BoardError::Unavailable(format!("whether {node} is free cannot be told yet"))),
        }
    }

    /// Whether it got the name.
    fn join_as(&mut self, name: &NodeName, account: &Account) -> Result<bool, BoardError> {
        let (begun, enough) = (Instant::now(), JOIN_FOR.min(self.alive_for));
        loop {
            let waited = begun.elapsed();
            let patience = if waited < enough { Patience::Left } else { Patience::Over };
            match self.try_name(name, account, patience)? {
                Tried::Joined => return Ok(true),
                Tried::Taken => return Ok(false),
                Tried::Unclear if waited > self.alive_for.saturating_mul(4) => return Ok(false),
                Tried::Unclear => std::thread::sleep(JOIN_LOOK.min(self.alive_for / 4)),
            }
        }
    }

    fn try_name(&mut self, name: &NodeName, account: &Account, patience: Patience) -> Result<Tried, BoardError> {
        let cell_name = cell_name(name)?;
        let cell = self.register.read(&cell_name).map_err(unavailable)?;
        let version = cell.as_ref().map(|cell| cell.version.clone());
        if let Some(cell) = &cell {
            let life = self.judge(&cell_name, cell);
            let card = Card::read(&cell.bytes);
            let own = card.as_ref().is_some_and(|card| card.session == self.session);
            // One of this host that hangs has its name all the same.
            let there = card.is_some_and(|card| card.process.ended() == Some(false));
            match life {
                _ if own => {}
                _ if there => return Ok(Tried::Taken),
                Life::Alive => return Ok(Tried::Taken),
                Life::Unclear if patience == Patience::Left => return Ok(Tried::Unclear),
                Life::Unclear | Life::Gone => {}
            }
        } else if self.register.list(PREFIX, NODES_MAX).map_err(unavailable)?.len() >= NODES_MAX {
            let what = format!(
                "the board has {NODES_MAX} cards, as many as it can: the active node removes those that stood still for a day"
            );
            return Err(BoardError::Full(what));
        }
        let card = self.card(name, 1, account);
        let rounds = card.rounds;
        match self.register.swap(&cell_name, version.as_ref(), &card.to_bytes()) {
            Swapped::Done(version) => {
                self.own = Some(Own { node: name.clone(), version: Some(version), posts: 1, rounds });
                Ok(Tried::Joined)
            }
            // Whoever was faster, or what became of it, the next look shows.
            Swapped::Lost(_) | Swapped::Unknown(_) => Ok(Tried::Unclear),
            Swapped::Failed(why) => Err(BoardError::Unavailable(why)),
        }
    }

    fn card(&self, node: &NodeName, posts: u64, account: &Account) -> Card {
        let (node, session, process) = (node.clone(), self.session.clone(), self.process.clone());
        let rounds = self.rounds_of(account);
        Card { format: FORMAT, rounds, node, session, process, posts, posted: wall(), account: account.bounded() }
    }

    /// Posts this node's card anew; one request while nobody else touches it.
    ///
    /// # Errors
    /// [`BoardError::NameTaken`] when another process has taken the name over, as happens to one that was stopped for long: join
    /// again.
    pub fn post(&mut self, account: &Account) -> Result<(), BoardError> {
        let Some(mut own) = self.own.take() else {
            return Err(BoardError::Unavailable("this node has not joined the board yet".to_owned()));
        };
        own.posts = own.posts.saturating_add(1);
        let posted = self.post_as(&mut own, account);
        if !matches!(posted, Err(BoardError::NameTaken(_))) {
            self.own = Some(own);
        }
        posted
    }

    fn post_as(&mut self, own: &mut Own, account: &Account) -> Result<(), BoardError> {
        let name = cell_name(&own.node)?;
        let card = self.card(&own.node, own.posts, account);
        let (rounds, bytes) = (card.rounds, card.to_bytes());
        // A second try for what an earlier unknown end left, or somebody removed.
        for _ in 0..2 {
            match self.register.swap(&name, own.version.as_ref(), &bytes) {
                Swapped::Done(version) => {
                    (own.version, own.rounds) = (Some(version), rounds);
                    return Ok(());
                }
                Swapped::Lost(None) => own.version = None,
                Swapped::Lost(Some(cell)) => match Card::read(&cell.bytes) {
                    Some(card) if card.session != self.session => {
                        let Process { pid, host, .. } = card.process;
                        let what = format!(
                            "{} is also the name of process {pid} on {host}, which has taken it over",
                            own.node
                        );
                        return Err(BoardError::NameTaken(what));
                    }
                    Some(_) | None => own.version = Some(cell.version),
                },
                Swapped::Unknown(why) | Swapped::Failed(why) => return Err(BoardError::Unavailable(why)),
            }
        }
        Err(BoardError::Unavailable(format!("the card of {} changes under this node's hands", own.node)))
    }

    /// Takes this node's card down, when it ends of its own will.
    ///
    /// # Errors
    /// [`BoardError::Unavailable`]; the card then stays until it is removed as that of a node that is gone.
    pub fn leave(&mut self) -> Result<(), BoardError> {
        let Some(own) = self.own.take() else { return Ok(()) };
        let name = cell_name(&own.node)?;
        let Some(cell) = self.register.read(&name).map_err(unavailable)? else { return Ok(()) };
        if Card::read(&cell.bytes).is_some_and(|card| card.session != self.session) {
            return Ok(());
        }
        match self.register.remove(&name, &cell.version) {
            Swapped::Done(_) | Swapped::Lost(_) => Ok(()),
            Swapped::Unknown(why) | Swapped::Failed(why) => Err(BoardError::Unavailable(why)),
        }
    }

    /// How long a cell has stood still, and what that says.
    fn judge(&mut self, name: &str, cell: &Cell) -> Life {
        let now = boottime();
        let sight = self.sights.entry(name.to_owned()).or_insert_with(|| Sight {
            version: cell.version.clone(),
            since: now,
            changed: false,
        });
        if sight.version != cell.version {
            *sight = Sight { version: cell.version.clone(), since: now, changed: true };
        }
        let card = Card::read(&cell.bytes);
        let patience = self.alive_for.saturating_mul(card.as_ref().map_or(1, |card| card.rounds.clamp(1, SLOW_ROUNDS)));
        // Of itself it need not ask.
        let own = |card: &Card| card.session == self.session;
        let ended = card.and_then(|card| if own(&card) { Some(false) } else { card.process.ended() });
        if ended == Some(true) || now.saturating_sub(sight.since) >= patience {
            Life::Gone
        } else if sight.changed || ended == Some(false) {
            Life::Alive
        } else {
            Life::Unclear
        }
    }

    /// Every node, and what this reader makes of it. A reader that has just begun sees much [`Life::Unclear`]; a second look, one
    /// [`POST_EVERY`] later, shows who lives.
    ///
    /// # Errors
    /// [`BoardError::Unavailable`].
    pub fn roster(&mut self) -> Result<Roster, BoardError> {
        let mut cells = self.register.list(PREFIX, NODES_MAX.saturating_add(1)).map_err(unavailable)?;
        let mut roster = Roster { more: cells.len() > NODES_MAX, ..Roster::default() };
        cells.truncate(NODES_MAX);
        self.sights.retain(|name, _| cells.iter().any(|(there, _)| there == name));
        for (name, cell) in cells {
            let life = self.judge(&name, &cell);
            let still = self.sights.get(&name).map_or(Duration::ZERO, |sight| boottime().saturating_sub(sight.since));
            match Card::read(&cell.bytes) {
                Some(card) => {
                    let own = card.session == self.session;
                    roster.nodes.push(Entry { own, card, still, life: if own { Life::Alive } else { life } });
                }
                None => roster.unreadable.push(name),
            }
        }
        roster.nodes.sort_by(|a, b| a.card.node.cmp(&b.card.node));
        let others = roster.nodes.iter().any(|entry| !entry.own && entry.life != Life::Gone);
        self.alone = !others && roster.unreadable.is_empty() && !roster.more;
        Ok(roster)
    }

    /// Removes what has stood still for [`REMOVE_AFTER`]; for whoever is active. The names of cells that went.
    ///
    /// # Errors
    /// [`BoardError::Unavailable`].
    pub fn sweep(&mut self) -> Result<Vec<String>, BoardError> {
        self.sweep_after(REMOVE_AFTER)
    }

    fn sweep_after(&mut self, after: Duration) -> Result<Vec<String>, BoardError> {
        self.roster()?;
        let now = boottime();
        let own = self.own.as_ref().and_then(|own| cell_name(&own.node).ok());
        let still = |sight: &Sight| now.saturating_sub(sight.since) >= after;
        let old: Vec<_> =
            self.sights.iter().filter(|(name, sight)| still(sight) && Some(*name) != own.as_ref()).collect();
        let old: Vec<(String, CellVersion)> =
            old.into_iter().map(|(name, sight)| (name.clone(), sight.version.clone())).collect();
        let mut removed = Vec::new();
        for (name, version) in old {
            match self.register.remove(&name, &version) {
                Swapped::Done(_) => removed.push(name),
                // It came back, or went already.
                Swapped::Lost(_) => {}
                Swapped::Unknown(why) | Swapped::Failed(why) => return Err(BoardError::Unavailable(why)),
            }
        }
        Ok(removed)
    }
}

/// The wall clock, for people.
fn wall() -> Stamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Stamp(since.map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests;
