//! A fleet's node from outside: the same picture and the same control events as a node that works for all its watches.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hb_core::ids::NodeName;
use hb_core::node::view::{Role, View};
use hb_runtime::channel::{Receiver, RecvTimeoutError, bounded};
use hb_runtime::thread;
use hb_store::board::Watches;
use hb_store::port::{Orders, Pause, Switchover};

use super::gathered::Gathered;
use super::hall::Wish;
use super::{Fleet, FleetParts};
use crate::clock;
use crate::inbox::{Answer, CONTROL_MAX, Control, Remote};
use crate::poster::Desk;
use crate::shared::Shared;
use crate::turn::{Ended, Running};

/// How often the node's card is made anew.
const CARD_EVERY: Duration = Duration::from_millis(500);
/// Wards' rounds and loops may be silent for so many TTLs before the node counts as hung.
const HANG_TTLS: u32 = 4;
/// The shortest time after which it does.
const HANG_MIN: Duration = Duration::from_secs(10);

/// What a node of a fleet is built from.
#[derive(Debug)]
pub struct MemberParts {
    /// The fleet's own.
    pub fleet: FleetParts,
    /// Where it lays out what it says of itself.
    pub board: Option<Arc<Desk>>,
}

/// Starts a node of a fleet.
///
/// # Errors
/// When a thread cannot be started.
pub fn run(parts: MemberParts) -> io::Result<Running> {
    let MemberParts { fleet, board } = parts;
    let (node, bounds) = (fleet.node.clone(), fleet.bounds);
    let fleet = Fleet::start(fleet)?;
    let gathered = Gathered {
        node: node.clone(),
        hall: Arc::clone(&fleet.hall),
        loops: Arc::clone(&fleet.loops),
        past: Arc::clone(&fleet.past),
        began: clock::moment(),
    };
    let shared = Shared::over((bounds.lease_ttl * HANG_TTLS).max(HANG_MIN), Box::new(gathered));
    let (out, control) = bounded(CONTROL_MAX);
    let (priority, max) = (bounds.priority, u64::from(bounds.watches_max));
    let clerk = Clerk { node, fleet, control, board, shared: Arc::clone(&shared), priority, max };
    let thread = thread::spawn("member", move || clerk.run())?;
    Ok(Running { shared, remote: Remote(out), thread })
}

/// Carries out what is asked of the node, and keeps its card.
struct Clerk {
    node: NodeName,
    fleet: Fleet,
    control: Receiver<Control>,
    board: Option<Arc<Desk>>,
    shared: Arc<Shared>,
    priority: u8,
    max: u64,
}

impl Clerk {
    fn run(self) -> Ended {
        let mut card_at = clock::moment();
        loop {
            if card_at <= clock::moment() {
                self.post();
                card_at = clock::after(CARD_EVERY);
            }
            match self.control.recv_timeout(clock::until(card_at)) {
                Ok(Control::Stop { reason }) => {
                    tracing::info!("node {} hands its watches on: {reason}", self.node);
                    let unfinished = self.fleet.stop(&reason);
                    return unfinished.map_or(Ended::Drained, Ended::Unfinished);
                }
                Ok(Control::Reload(settings)) => self.fleet.reload(settings),
                Ok(control) => self.pass_on(control),
                Err(RecvTimeoutError::Timeout) => {}
                // Nobody can ask anything any more; what runs goes on.
                Err(RecvTimeoutError::Disconnected) => thread::sleep(CARD_EVERY),
            }
        }
    }

    fn pass_on(&self, control: Control) {
        let at = clock::wall();
        let (wish, answer): (Wish, Answer) = match control {
            Control::Switchover { to, by, reason, answer } => {
                let id = format!("{}-{}", self.node, at.0);
                let from = self.node.clone();
                (Wish::Leave(Switchover { id, from, to, by, reason, at }), answer)
            }
            Control::Pause { by, reason, answer } => (Wish::Pause(Pause { by, reason, at }), answer),
            Control::Resume { by, answer } => {
                tracing::info!("{by} ends the pause");
                (Wish::Resume, answer)
            }
            Control::Stop { .. } | Control::Reload(_) | Control::Delivered { .. } => return,
        };
        let Orders { mut pause, mut switchover, settled } = self.fleet.hall.orders();
        match &wish {
            Wish::Pause(asked) => pause = Some(asked.clone()),
            Wish::Resume => pause = None,
            Wish::Leave(asked) => switchover = Some(asked.clone()),
            Wish::Rebalance { .. } => {}
        }
        answer.tell(self.fleet.hall.ask(wish).map(|()| Orders { pause, switchover, settled }));
    }

    fn post(&self) {
        let Some(board) = &self.board else { return };
        let (rounds, held, trouble) = {
            let state = self.fleet.hall.look();
            (state.rounds, state.held.len() as u64, state.trouble.clone())
        };
        let role = self.shared.role();
        let active = if role == Role::Draining { 0 } else { held };
        // Put together from what the loops show: nothing of it is copied, twice a second.
        let views: Vec<Arc<View>> = self.fleet.views().into_values().collect();
        let standing_by = (views.len() as u64).saturating_sub(held);
        let epoch = views.iter().map(|view| view.epoch).max().unwrap_or_default();
        let heads = views.iter().flat_map(|view| &view.watches).filter_map(|watch| watch.seq);
        let records = heads.map(|seq| seq.0.saturating_add(1)).sum();
        let takeover = views.iter().filter_map(|view| view.takeover.as_ref()).max_by_key(|takeover| takeover.at);
        let watches = Watches { active, standing_by, max: Some(self.max), records, lag_seconds: 0.0 };
        board.tell(|account| {
            (account.role, account.epoch, account.priority) = (role, epoch, self.priority);
            (account.progress, account.watches) = (rounds, watches);
            account.takeover = takeover.cloned();
            account.trouble = trouble;
        });
        match &board.seen().trouble {
            None => self.shared.check("board", Ok(())),
            Some(why) => self.shared.note("board", format!("degraded: the board of nodes cannot be used: {why}")),
        }
    }
}
