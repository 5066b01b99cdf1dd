//! The board of nodes on a register, as the loop's poster uses it.

use std::time::{Duration, Instant};

use hb_core::node::view::{Reign, Role, Takeover};
use hb_store::board::{self, Account, Entry, Life, Watches};

use crate::clock;
use crate::parts::{Board, Card, SeenCard};

/// How often the active node takes cards down that have stood still for a day.
const SWEEP_EVERY: Duration = Duration::from_secs(600);

/// A board that this node has joined.
#[derive(Debug)]
pub struct RegisterBoard {
    board: board::Board,
    /// What does not change.
    plain: Account,
    swept: Option<Instant>,
}

impl RegisterBoard {
    /// Of a board that was joined under this node's name ([`board::Board::join`]), with the version of the program and, where it is
    /// served, the URL of the API.
    #[must_use]
    pub fn new(board: board::Board, version: &str, listen: Option<String>) -> Self {
        let plain = Account { listen, ..Account::new(version, clock::wall()) };
        Self { board, plain, swept: None }
    }

    fn sweep(&mut self, role: Role) -> Result<(), String> {
        let due = self.swept.is_none_or(|at| at.elapsed() >= SWEEP_EVERY);
        if role != Role::Active || !due {
            return Ok(());
        }
        self.swept = Some(Instant::now());
        let gone = self.board.sweep().map_err(|error| error.to_string())?;
        if !gone.is_empty() {
            tracing::info!("cards of nodes that have been gone for a day are taken down: {}", gone.join(", "));
        }
        Ok(())
    }
}

/// In whole milliseconds.
fn ms(seconds: f64) -> u64 {
    u64::try_from(Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX).as_millis())
        .unwrap_or(u64::MAX)
}

fn account(plain: &Account, card: &Card) -> Account {
    let made = card.takeover.as_ref().filter(|takeover| takeover.node == card.node);
    let standing_by = u64::from(card.watches_known.saturating_sub(card.watches));
    Account {
        role: card.role,
        priority: card.priority.into(),
        never_promote: card.priority == 0,
        epoch: card.epoch,
        progress: card.progress,
        watches: Watches { active: card.watches.into(), standing_by, lag_records: 0, lag_seconds: card.lag_seconds },
        takeover: made.map(|one| board::Takeover {
            at: one.at,
            from: one.from.as_ref().map(|from| from.node.clone()),
            epoch: one.epoch,
            how: one.how.clone(),
            why: one.why.clone(),
            took_ms: one.took_seconds.map_or(0, ms),
        }),
        trouble: card.trouble.clone(),
        ..plain.clone()
    }
}

fn seen(entry: Entry) -> SeenCard {
    let Entry { card, still, life, .. } = entry;
    let account = card.account;
    let node = card.node;
    let takeover = account.takeover.map(|one| Takeover {
        at: one.at,
        node: node.clone(),
        epoch: one.epoch,
        from: one.from.map(|from| Reign { node: from, epoch: hb_core::ids::Epoch(0) }),
        how: one.how,
        why: one.why,
        took_seconds: Some(Duration::from_millis(one.took_ms).as_secs_f64()),
        gap_seconds: None,
    });
    let count = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    SeenCard {
        card: Card {
            node,
            session: card.session,
            role: account.role,
            epoch: account.epoch,
            priority: if account.never_promote { 0 } else { u8::try_from(account.priority).unwrap_or(u8::MAX).max(1) },
            progress: account.progress,
            watches: count(account.watches.active),
            watches_known: count(account.watches.active.saturating_add(account.watches.standing_by)),
            lag_seconds: account.watches.lag_seconds,
            takeover,
            trouble: account.trouble,
        },
        // A process that is known to have ended has no time to show life.
        still: if life == Life::Gone { Duration::MAX } else { still },
    }
}

impl Board for RegisterBoard {
    fn post(&mut self, card: &Card) -> Result<(), String> {
        let account = account(&self.plain, card);
        self.board.post(&account).map_err(|error| error.to_string())?;
        self.sweep(card.role)
    }

    fn roster(&mut self) -> Result<Vec<SeenCard>, String> {
        let roster = self.board.roster().map_err(|error| error.to_string())?;
        Ok(roster.nodes.into_iter().map(seen).collect())
    }

    fn leave(&mut self) -> Result<(), String> {
        self.board.leave().map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use hb_core::ids::{Epoch, NodeName};
    use hb_core::time::Stamp;
    use hb_store::register::memory::MemoryRegister;

    use super::*;

    fn card(node: &str, role: Role) -> Card {
        Card {
            node: node.into(),
            session: "s".into(),
            role,
            epoch: Epoch(3),
            priority: 7,
            progress: 11,
            watches: 2,
            watches_known: 5,
            lag_seconds: 0.5,
            takeover: Some(Takeover {
                at: Stamp(1),
                node: node.into(),
                epoch: Epoch(3),
                from: Some(Reign { node: "z".into(), epoch: Epoch(2) }),
                how: "file".into(),
                why: "z ended".into(),
                took_seconds: Some(0.012),
                gap_seconds: None,
            }),
            trouble: Some("journal: no route".into()),
        }
    }

    fn joined(register: &MemoryRegister, node: &str) -> RegisterBoard {
        let mut board = board::Board::new(Box::new(register.clone()));
        let plain = Account::new("1", Stamp(0));
        assert_eq!(board.join(&NodeName::from(node), &plain).unwrap().as_str(), node);
        RegisterBoard::new(board, "1", None)
    }

    #[test]
    fn a_card_is_read_by_others_as_it_was_put_up() {
        let register = MemoryRegister::new();
        let (mut a, mut b) = (joined(&register, "a"), joined(&register, "b"));
        let mine = card("a", Role::Active);
        a.post(&mine).unwrap();
        b.post(&Card { priority: 0, ..card("b", Role::Standby) }).unwrap();
        let cards = b.roster().unwrap();
        assert_eq!(cards.len(), 2);
        let read = &cards[0].card;
        assert_eq!((read.node.as_str(), read.role, read.priority, read.watches_known), ("a", Role::Active, 7, 5));
        assert_eq!((&read.trouble, read.lag_seconds), (&mine.trouble, 0.5));
        let (told, made) = (read.takeover.as_ref().unwrap(), mine.takeover.as_ref().unwrap());
        assert_eq!((&told.why, told.took_seconds, told.epoch), (&made.why, made.took_seconds, made.epoch));
        assert_eq!(cards[1].card.priority, 0);
        a.leave().unwrap();
        assert_eq!(b.roster().unwrap().len(), 1);
    }
}
