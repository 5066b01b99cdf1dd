//! Puts this node's card on the board and reads the others', on a thread of its own.
//!
//! **Invariants.** The loop hands over a card and looks at a roster; it never waits for either. A card's progress is the loop's, so
//! the card of a loop that hangs stands still.
//!
//! Bounds (B1): one card waits, the newest; the roster is read once per [`EVERY`]. A board that does not answer is left behind at the
//! end after [`QUIT_MAX`].

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hb_core::ids::NodeName;
use hb_core::node::view::Role;

use crate::parts::{Board, Card, SeenCard};
use crate::shared::Shared;

/// How often a card is put up, and the others' are read; a change of role at once.
pub(crate) const EVERY: Duration = Duration::from_secs(2);
/// How long a card may stand still before its node counts as gone: three rounds and a half.
pub(crate) const GONE_AFTER: Duration = Duration::from_secs(7);
/// How long a node that ends waits for its card to be taken down.
const QUIT_MAX: Duration = Duration::from_secs(1);

/// The cards that were read last.
#[derive(Debug, Clone, Default)]
pub(crate) struct Roster {
    /// By node; empty until the board was read.
    pub(crate) cards: Vec<SeenCard>,
    /// Whether the board was read the last time that it was asked.
    pub(crate) known: bool,
}

impl Roster {
    /// The card of a node that shows life.
    pub(crate) fn living(&self, node: &NodeName) -> Option<&Card> {
        self.alive().find(|card| card.node == *node)
    }

    fn alive(&self) -> impl Iterator<Item = &Card> {
        self.cards.iter().filter(|seen| seen.still < GONE_AFTER).map(|seen| &seen.card)
    }

    /// How many standbys go before this node: those of a larger priority, and of the same one those earlier in the alphabet.
    pub(crate) fn before(&self, node: &NodeName, priority: u8) -> u32 {
        let first = |card: &&Card| {
            let later = (std::cmp::Reverse(priority), node);
            card.node != *node
                && could_take_over(card).is_ok()
                && (std::cmp::Reverse(card.priority), &card.node) < later
        };
        u32::try_from(self.alive().filter(first).count()).unwrap_or(u32::MAX)
    }

    /// Whether some other node could take over now.
    pub(crate) fn anybody_else(&self, node: &NodeName) -> bool {
        self.alive().any(|card| card.node != *node && could_take_over(card).is_ok())
    }

    /// Whether that node could take over now.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn could(&self, node: &NodeName) -> Result<(), String> {
        self.living(node).map_or_else(|| Err(format!("{node} shows no life on the board of nodes")), could_take_over)
    }
}

fn could_take_over(card: &Card) -> Result<(), String> {
    let node = &card.node;
    if card.priority == 0 {
        return Err(format!("{node} never takes over (its priority is 0)"));
    }
    if let Some(trouble) = &card.trouble {
        return Err(format!("{node} is not ready: {trouble}"));
    }
    match card.role {
        Role::Standby => Ok(()),
        Role::TakingOver | Role::Active | Role::Draining | Role::Fenced => {
            Err(format!("{node} does not stand by, it is {}", card.role.as_str()))
        }
    }
}

#[derive(Debug, Default)]
struct Slot {
    /// To be put up.
    card: Option<Card>,
    /// Without waiting for the next round.
    now: bool,
    quit: bool,
}

#[derive(Debug, Default)]
struct Desk {
    slot: Mutex<Slot>,
    changed: Condvar,
    roster: Mutex<Arc<Roster>>,
}

/// The loop's handle.
#[derive(Debug)]
pub(crate) struct Poster {
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
}

impl Poster {
    /// Starts with a board, or stands for none.
    pub(crate) fn start(board: Option<Box<dyn Board>>, shared: &Arc<Shared>) -> std::io::Result<Self> {
        let desk = Arc::new(Desk::default());
        let thread = match board {
            None => None,
            Some(board) => {
                let worker = Worker { board, desk: Arc::clone(&desk), shared: Arc::clone(shared), role: None };
                Some(thread::Builder::new().name("board".into()).spawn(move || worker.run())?)
            }
        };
        Ok(Self { desk, thread })
    }

    /// Whether there is a board.
    pub(crate) fn exists(&self) -> bool {
        self.thread.is_some()
    }

    /// Hands over the newest card.
    pub(crate) fn post(&self, card: Card) {
        let mut slot = self.desk.slot.lock().unwrap_or_else(PoisonError::into_inner);
        slot.now |= slot.card.as_ref().is_none_or(|before| before.role != card.role);
        let now = slot.now;
        slot.card = Some(card);
        drop(slot);
        if now {
            self.desk.changed.notify_all();
        }
    }

    /// What was read last.
    pub(crate) fn roster(&self) -> Arc<Roster> {
        Arc::clone(&self.desk.roster.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes the card down and ends.
    pub(crate) fn quit(mut self) {
        self.desk.slot.lock().unwrap_or_else(PoisonError::into_inner).quit = true;
        self.desk.changed.notify_all();
        let Some(thread) = self.thread.take() else { return };
        let until = Instant::now() + QUIT_MAX;
        while !thread.is_finished() && Instant::now() < until {
            thread::sleep(Duration::from_millis(1));
        }
        if thread.is_finished() && thread.join().is_err() {
            tracing::error!("the thread of the board panicked; please report it");
        }
    }
}

struct Worker {
    board: Box<dyn Board>,
    desk: Arc<Desk>,
    shared: Arc<Shared>,
    role: Option<Role>,
}

impl Worker {
    fn run(mut self) {
        while let Some(card) = self.wait() {
            if let Some(card) = card {
                let posted = self.board.post(&card);
                self.tell(posted);
            }
            let read = self.board.roster();
            let roster = Roster { known: read.is_ok(), cards: read.clone().unwrap_or_default() };
            *self.desk.roster.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(roster);
            self.tell(read.map(|_| ()));
        }
        if let Err(why) = self.board.leave() {
            tracing::debug!("the node's card could not be taken down: {why}");
        }
    }

    /// The next card to be put up, once it is time; none at the end.
    fn wait(&mut self) -> Option<Option<Card>> {
        let until = Instant::now() + EVERY;
        let mut slot = self.desk.slot.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if slot.quit {
                return None;
            }
            let left = until.saturating_duration_since(Instant::now());
            let first = self.role.is_none() && slot.card.is_some();
            if std::mem::take(&mut slot.now) || first || left.is_zero() {
                self.role = slot.card.as_ref().map(|card| card.role);
                return Some(slot.card.clone());
            }
            slot = self.desk.changed.wait_timeout(slot, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn tell(&self, outcome: Result<(), String>) {
        if outcome.is_err() {
            self.shared.count(|stats| stats.board_errors = stats.board_errors.saturating_add(1));
        }
        // Nothing that works rests on it: it is told, and the node stays ready.
        match outcome {
            Ok(()) => self.shared.check("board", Ok(())),
            Err(why) => self.shared.note("board", format!("degraded: the board of nodes cannot be used: {why}")),
        }
    }
}
