//! Says on the board what a node's supervisor is. For a node that only supervises this is all that is said of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use hb_core::node::view::Role;
use hb_core::supervise::Presence;
use hb_daemon::poster::Desk;
use hb_daemon::supervise::Office;

use super::halves::Handles;
use super::onlooker::role;
use crate::cli::Failure;
use crate::exit::Exit;

/// How often the only one who speaks for a node says that it is alive, as many times as long where the board is used more seldom: cards are put up half
/// as often.
const ALIVE_EVERY: Duration = Duration::from_secs(1);
/// How often one says the same again that has nothing to say but what the supervisor does.
const AGAIN_EVERY: Duration = Duration::from_secs(30);

/// The thread that says it.
#[derive(Debug)]
pub(super) struct Announcer {
    on: Arc<AtomicBool>,
    office: Office,
    thread: JoinHandle<()>,
}

/// Whether anybody else speaks for the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Voice {
    /// The work loop of its watches does.
    Second,
    /// Nobody.
    Only,
}

impl Announcer {
    /// Starts it; none where nothing is supervised, or there is no board.
    pub(super) fn start(handles: &Handles) -> Result<Option<Self>, Failure> {
        let (Some(office), Some(board)) = (handles.office.clone(), handles.board.clone()) else { return Ok(None) };
        let voice = if handles.watch.is_some() { Voice::Second } else { Voice::Only };
        let on = Arc::new(AtomicBool::new(true));
        let (go_on, asked) = (Arc::clone(&on), office.clone());
        let run = move || {
            while go_on.load(Ordering::Acquire) {
                let said = say(&asked, &board, voice);
                let every = match voice {
                    Voice::Only => ALIVE_EVERY.saturating_mul(board.seen().rounds.max(1)),
                    Voice::Second => AGAIN_EVERY,
                };
                asked.picture().wait_turned(said, every, || go_on.load(Ordering::Acquire));
            }
        };
        let thread = std::thread::Builder::new().name("announce".into()).spawn(run);
        let thread =
            thread.map_err(|error| Failure::new(Exit::Error, format!("a thread could not be started: {error}")))?;
        Ok(Some(Self { on, office, thread }))
    }

    pub(super) fn stop(self) {
        self.on.store(false, Ordering::Release);
        self.office.picture().look_up();
        if self.thread.join().is_err() {
            tracing::error!("the thread that announces the node panicked; please report it");
        }
    }
}

/// Gives what the supervisor was doing.
fn say(office: &Office, board: &Desk, voice: Voice) -> Presence {
    let (picture, pulse) = (office.picture().get(), office.picture().pulse());
    let now = role(picture.presence);
    if voice == Voice::Second {
        board.add(|account| account.supervises = Some(now));
        return picture.presence;
    }
    // The card of one that hangs stands still.
    if pulse.since > pulse.bound {
        return picture.presence;
    }
    let troubles = picture.troubles.iter().map(|(name, what)| format!("{name}: {what}"));
    let trouble = troubles.into_iter().next().filter(|_| now != Role::Draining);
    board.tell(|account| {
        (account.role, account.supervises, account.epoch) = (now, Some(now), picture.epoch);
        account.progress = account.progress.saturating_add(1);
        account.trouble = trouble;
    });
    picture.presence
}
