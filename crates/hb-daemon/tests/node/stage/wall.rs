//! The board of nodes, in memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hb_daemon::{Board, Card, SeenCard};

use super::Cell;

/// Where cards hang.
#[derive(Debug, Default)]
pub(crate) struct Wall {
    cards: Cell<BTreeMap<String, (Card, Instant)>>,
}

impl Wall {
    pub(crate) fn board(wall: &Arc<Self>) -> Box<dyn Board> {
        Box::new(Reader { wall: Arc::clone(wall), mine: None })
    }

    pub(crate) fn card(&self, node: &str) -> Option<Card> {
        self.cards.look().get(node).map(|(card, _)| card.clone())
    }
}

struct Reader {
    wall: Arc<Wall>,
    mine: Option<String>,
}

impl Board for Reader {
    fn post(&mut self, card: &Card) -> Result<(), String> {
        let name = card.node.to_string();
        self.mine = Some(name.clone());
        self.wall.cards.change(|cards| {
            cards.insert(name, (card.clone(), Instant::now()));
        });
        Ok(())
    }

    fn roster(&mut self) -> Result<Vec<SeenCard>, String> {
        let seen =
            |(card, at): &(Card, Instant)| SeenCard { card: card.clone(), still: at.elapsed().max(Duration::ZERO) };
        Ok(self.wall.cards.look().values().map(seen).collect())
    }

    fn leave(&mut self) -> Result<(), String> {
        let Some(mine) = &self.mine else { return Ok(()) };
        self.wall.cards.change(|cards| {
            cards.remove(mine);
        });
        Ok(())
    }
}
