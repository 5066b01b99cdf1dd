//! How others talk to the loop: they leave a message and are answered when its record is durable.
//!
//! Bounds (B1): [`MESSAGES_MAX`] messages wait. People and agents who come at the bound are told so at once; what the world tells (a
//! process ended) waits for room, because it must not be lost.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use hb_core::supervise::Supervision;
use hb_core::supervise::input::{Beat, Command, Declared, Input, OnStop, Person};
use hb_core::supervise::step::Reply;

use super::picture::Pictured;
use super::tray::{Refused, Slot, Tray, tray};

/// Most messages waiting.
pub const MESSAGES_MAX: usize = 16_384;

/// Takes an answer.
pub(super) type Answered = Box<dyn FnOnce(Reply) + Send>;
/// Looks at the state.
pub(super) type Look = Box<dyn FnOnce(&Supervision) + Send>;

/// What is left for the loop.
pub(super) enum Message {
    World(Input),
    Command(Person, Box<Command>, Answered),
    Beat(Beat, Answered),
    Look(Look),
    Declared(Box<Declared>),
    /// Look whether it is to end.
    Wake,
}

/// A wish that the loop ends.
#[derive(Debug)]
struct Wish {
    /// Of the first one.
    at: Instant,
    /// Taken by the loop.
    unheard: Option<(OnStop, String)>,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::World(_) => "World",
            Self::Command(..) => "Command",
            Self::Beat(..) => "Beat",
            Self::Look(_) => "Look",
            Self::Declared(_) => "Declared",
            Self::Wake => "Wake",
        })
    }
}

/// There is no room, or nobody there: nothing was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Busy {
    /// Too many messages wait.
    #[error("{MESSAGES_MAX} messages wait for the supervisor: try again in a moment")]
    Full,
    /// The loop has ended.
    #[error("the supervisor has ended")]
    Ended,
}

/// A handle for everybody who wants something of a supervisor.
#[derive(Debug, Clone)]
pub struct Office {
    messages: Slot<Message>,
    picture: Arc<Pictured>,
    stop: Arc<Mutex<Option<Wish>>>,
}

impl Office {
    pub(super) fn new(picture: Arc<Pictured>) -> (Self, Tray<Message>) {
        let (messages, inbox) = tray(MESSAGES_MAX);
        (Self { messages, picture, stop: Arc::default() }, inbox)
    }

    /// Since when it is to end. Known before the message is read: a loop that waits for its disk reads none.
    pub(super) fn stop_wanted(&self) -> Option<Instant> {
        self.stop.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|wish| wish.at)
    }

    /// How it is to end, when the loop has not heard of that yet.
    pub(super) fn hear_stop(&self) -> Option<(OnStop, String)> {
        self.stop.lock().unwrap_or_else(PoisonError::into_inner).as_mut()?.unheard.take()
    }

    /// What onlookers see without asking the loop.
    #[must_use]
    pub fn picture(&self) -> &Arc<Pictured> {
        &self.picture
    }

    fn leave(&self, message: Message) -> Result<(), Busy> {
        self.messages.leave(message).map_err(|refused| match refused {
            Refused::Full => Busy::Full,
            Refused::Gone => Busy::Ended,
        })
    }

    /// Wants something; `answered` is called once it is durable or refused, and never when the loop ends before.
    ///
    /// # Errors
    /// [`Busy`]: nothing was taken.
    pub fn command(
        &self,
        person: Person,
        command: Command,
        answered: impl FnOnce(Reply) + Send + 'static,
    ) -> Result<(), Busy> {
        self.leave(Message::Command(person, Box::new(command), Box::new(answered)))
    }

    /// Hands a beat in; `answered` as above.
    ///
    /// # Errors
    /// [`Busy`]: nothing was taken.
    pub fn beat(&self, beat: Beat, answered: impl FnOnce(Reply) + Send + 'static) -> Result<(), Busy> {
        self.leave(Message::Beat(beat, Box::new(answered)))
    }

    /// Looks at the state, as it is durable. Keep it short: nothing else happens meanwhile.
    ///
    /// # Errors
    /// [`Busy`]: nothing was taken.
    pub fn look(&self, look: impl FnOnce(&Supervision) + Send + 'static) -> Result<(), Busy> {
        self.leave(Message::Look(Box::new(look)))
    }

    /// `hb.yaml` was read again.
    ///
    /// # Errors
    /// [`Busy`]: nothing was taken.
    pub fn declare(&self, declared: Declared) -> Result<(), Busy> {
        self.leave(Message::Declared(Box::new(declared)))
    }

    /// It is to end; a second wish replaces the first. Never waits: a full house hears of it all the same.
    pub fn stop(&self, agents: OnStop, reason: &str) {
        {
            let mut wish = self.stop.lock().unwrap_or_else(PoisonError::into_inner);
            let at = wish.as_ref().map_or_else(Instant::now, |wish| wish.at);
            *wish = Some(Wish { at, unheard: Some((agents, reason.to_owned())) });
        }
        // Where there is no room the loop is awake; where there is nobody it has ended.
        self.messages.leave(Message::Wake).unwrap_or_default();
    }

    /// Something happened in the world; waits for room.
    pub(super) fn world(&self, input: Input) {
        // Whoever is no more has nothing to do with the world.
        self.messages.leave_in_any_case(Message::World(input)).unwrap_or_default();
    }
}
