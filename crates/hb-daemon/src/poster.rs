//! Puts this node's card on the board and reads the others', on a thread of its own.
//!
//! **Invariants.** Whoever tells what the node is only changes the account on the desk and looks at what was read last; it never
//! waits for the board. A card is put up anew only when its account was told anew, so the card of a loop that hangs stands still.
//!
//! Bounds (B1): one account waits, the newest; the board is written and read once per [`POST_EVERY`], or once in
//! [`Board::rounds`] of them where a look costs requests, or there is nobody to see it. A board that does not answer is
//! left behind at the end after [`QUIT_MAX`].

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hb_core::ids::NodeName;
use hb_core::node::view::Role;
use hb_core::time::Moment;
use hb_runtime::Monitor;
use hb_runtime::thread::{self, Thread};
use hb_store::board::{Account, Board, BoardError, POST_EVERY, Roster};

use crate::clock;

/// How long a node that ends waits for its card to be taken down.
const QUIT_MAX: Duration = Duration::from_secs(1);
/// How long after a change of this node's role the board is read again: others change theirs then, and in what order nodes stand by
/// depends on who works.
const SOON: Duration = Duration::from_millis(500);
/// How often the active node takes cards down that have stood still for a day.
const SWEEP_EVERY: Duration = Duration::from_secs(600);

/// What was read last.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Every node; empty while the board cannot be read.
    pub roster: Roster,
    /// Whether the board was read the last time that it was asked.
    pub known: bool,
    /// Why the board could not be used the last time, if it could not.
    pub trouble: Option<String>,
    /// Times that it could not be used.
    pub errors: u64,
    /// Once in how many times [`POST_EVERY`] the board is written and read; zero before it was read.
    pub rounds: u32,
}

#[derive(Debug)]
struct Slot {
    account: Account,
    /// It was told since it was put up last.
    fresh: bool,
    /// Without waiting for the next round.
    now: bool,
    quit: bool,
}

impl Slot {
    /// What is put up at once when it changes.
    fn face(&self) -> (Role, Option<Role>, Option<SocketAddr>) {
        (self.account.role, self.account.supervises, self.account.listen)
    }
}

/// Where a node lays out what it says of itself, and finds what the others say.
#[derive(Debug)]
pub struct Desk {
    slot: Monitor<Slot>,
    seen: Mutex<Arc<Seen>>,
}

impl Desk {
    /// Tells anew what the node is: a sign of life. A change of role, or of where it serves, is put up at once.
    pub fn tell(&self, change: impl FnOnce(&mut Account)) {
        self.change(change, |slot| slot.fresh = true);
    }

    /// Adds what is no sign of life of the node's loop.
    pub fn add(&self, change: impl FnOnce(&mut Account)) {
        self.change(change, |_| {});
    }

    fn change(&self, change: impl FnOnce(&mut Account), mark: impl FnOnce(&mut Slot)) {
        let mut slot = self.slot.lock();
        let before = slot.face();
        change(&mut slot.account);
        mark(&mut slot);
        if slot.face() != before {
            (slot.now, slot.fresh) = (true, true);
            drop(slot);
            self.slot.tell();
        }
    }

    /// What was read last.
    #[must_use]
    pub fn seen(&self) -> Arc<Seen> {
        Arc::clone(&self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The thread; it takes the card down when it is dropped.
#[derive(Debug)]
pub struct Poster {
    desk: Arc<Desk>,
    thread: Option<Thread<()>>,
}

impl Drop for Poster {
    fn drop(&mut self) {
        self.desk.slot.lock().quit = true;
        self.desk.slot.tell();
        let Some(thread) = self.thread.take() else { return };
        if matches!(thread.join_within(QUIT_MAX), Ok(Err(_))) {
            tracing::error!("the thread of the board panicked; please report it");
        }
    }
}

impl Poster {
    /// Starts with a board on which this node goes, or will go, by that name.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(board: Board, node: NodeName, account: Account) -> std::io::Result<Self> {
        let slot = Slot { account, fresh: true, now: true, quit: false };
        let desk = Arc::new(Desk { slot: Monitor::new(slot), seen: Mutex::default() });
        let worker = Worker { board, node, desk: Arc::clone(&desk), swept: None, soon: false };
        let thread = thread::spawn("board", move || worker.run())?;
        Ok(Self { desk, thread: Some(thread) })
    }

    /// For those who tell what the node is, or want to know what others are.
    #[must_use]
    pub fn desk(&self) -> Arc<Desk> {
        Arc::clone(&self.desk)
    }

    /// Takes the card down and ends.
    pub fn quit(self) {
        drop(self);
    }
}

struct Worker {
    board: Board,
    node: NodeName,
    desk: Arc<Desk>,
    swept: Option<Moment>,
    /// This node's role has changed since the round before.
    soon: bool,
}

impl Worker {
    fn run(mut self) {
        while let Some(account) = self.wait() {
            self.round(account.as_ref());
        }
        if let Err(why) = self.board.leave() {
            tracing::debug!("the node's card could not be taken down: {why}");
        }
    }

    /// What is to be put up, once it is time; none at the end.
    #[expect(clippy::option_option, reason = "a round without news is one all the same: it reads")]
    fn wait(&mut self) -> Option<Option<Account>> {
        let usual = POST_EVERY * self.board.rounds();
        let until = clock::after(if std::mem::take(&mut self.soon) { SOON } else { usual });
        let mut slot = self.desk.slot.lock();
        loop {
            if slot.quit {
                return None;
            }
            let left = clock::until(until);
            let now = std::mem::take(&mut slot.now);
            if now || left.is_zero() {
                self.soon = now;
                let fresh = std::mem::take(&mut slot.fresh);
                return Some(fresh.then(|| slot.account.clone()));
            }
            slot = slot.wait(left);
        }
    }

    fn round(&mut self, account: Option<&Account>) {
        let posted = account.map_or(Ok(()), |account| self.put_up(account));
        let read = self.board.roster();
        let why = posted.as_ref().err().or(read.as_ref().err()).map(ToString::to_string);
        let before = self.desk.seen();
        if why != before.trouble {
            match &why {
                Some(why) => tracing::warn!("the board of nodes cannot be used: {why}"),
                None => tracing::info!("the board of nodes can be used again"),
            }
        }
        let seen = Seen {
            known: read.is_ok(),
            roster: read.unwrap_or_default(),
            errors: before.errors.saturating_add(u64::from(why.is_some())),
            trouble: why,
            rounds: self.board.rounds(),
        };
        *self.desk.seen.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(seen);
    }

    fn put_up(&mut self, account: &Account) -> Result<(), BoardError> {
        if self.board.node().is_none() {
            return self.board.rejoin(&self.node, account);
        }
        self.board.post(account)?;
        if account.role == Role::Active || account.supervises == Some(Role::Active) {
            self.sweep()?;
        }
        Ok(())
    }

    fn sweep(&mut self) -> Result<(), BoardError> {
        if self.swept.is_some_and(|at| clock::since(at) < SWEEP_EVERY) {
            return Ok(());
        }
        self.swept = Some(clock::moment());
        let gone = self.board.sweep()?;
        if !gone.is_empty() {
            tracing::info!("cards of nodes that have been gone for a day are taken down: {}", gone.join(", "));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use hb_core::time::Stamp;
    use hb_store::register::Register as _;
    use hb_store::register::memory::MemoryRegister;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(60);

    fn until(what: &str, holds: impl Fn() -> bool) {
        let begun = clock::moment();
        while !holds() {
            assert!(clock::since(begun) < DEADLINE, "{what}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn poster(register: &MemoryRegister, node: &str) -> Poster {
        let board = Board::new(Box::new(register.clone()));
        Poster::start(board, node.into(), Account::new("1", Stamp(0))).unwrap()
    }

    #[test]
    fn nodes_see_each_other_and_a_change_of_role_at_once() {
        let register = MemoryRegister::new();
        let (a, b) = (poster(&register, "a"), poster(&register, "b"));
        until("both are there", || b.desk().seen().roster.nodes.len() == 2);
        a.desk().tell(|account| account.role = Role::Active);
        until("one works", || b.desk().seen().roster.active().count() == 1);
        assert!(b.desk().seen().known && b.desk().seen().trouble.is_none());
        a.quit();
        until("it has gone", || b.desk().seen().roster.nodes.len() == 1);
        b.quit();
        assert!(register.clone().list("node/", 9).unwrap().is_empty());
    }

    #[test]
    fn h2_the_card_of_a_loop_that_hangs_stands_still() {
        let register = MemoryRegister::new();
        let a = poster(&register, "a");
        let posts = || a.desk().seen().roster.nodes.first().map(|entry| entry.card.posts);
        until("it is there", || posts().is_some());
        let before = posts();
        // Others of its process go on.
        a.desk().add(|account| account.watches.max = Some(7));
        thread::sleep(POST_EVERY * 2);
        assert_eq!(posts(), before);
        a.desk().tell(|account| account.progress += 1);
        until("it lives", || posts() > before);
        a.quit();
    }

    #[test]
    fn a_board_that_cannot_be_used_is_told_and_counted() {
        let register = MemoryRegister::new();
        let a = poster(&register, "a");
        until("it is there", || a.desk().seen().known);
        let other = poster(&register, "a");
        until("its name is taken", || other.desk().seen().trouble.is_some());
        let seen = other.desk().seen();
        assert!(seen.errors > 0 && seen.known);
        assert!(seen.trouble.as_ref().unwrap().contains("another process goes by the name a"), "{seen:?}");
        a.quit();
        other.desk().tell(|_| {});
        until("its name is free", || other.desk().seen().trouble.is_none());
        other.quit();
    }
}
