//! The board of nodes, in memory.

use hb_core::time::Stamp;
use hb_daemon::Poster;
use hb_store::board::{Account, Board, Card};
use hb_store::register::memory::MemoryRegister;

/// Where cards hang.
#[derive(Debug, Default)]
pub(crate) struct Wall {
    register: MemoryRegister,
}

impl Wall {
    pub(crate) fn poster(&self, node: &str) -> Poster {
        let board = Board::new(Box::new(self.register.clone()));
        Poster::start(board, node.into(), Account::new("1", Stamp(0))).unwrap()
    }

    pub(crate) fn card(&self, node: &str) -> Option<Card> {
        let roster = Board::new(Box::new(self.register.clone())).roster().unwrap();
        roster.living(&node.into()).cloned()
    }
}
