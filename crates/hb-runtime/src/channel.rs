//! Bounded channels, and waiting at several of them.

use std::thread::panicking;
use std::time::Duration;

use crossbeam_channel::{self as machine, select};
pub use machine::{RecvTimeoutError, SendTimeoutError, TryRecvError, TrySendError};

use crate::clock;
use crate::world::{self, Key};

/// Told when a message has come, and when one has gone.
#[derive(Debug, Clone, Copy)]
struct Keys {
    came: Key,
    went: Key,
}

/// The end into which messages go.
#[derive(Debug)]
pub struct Sender<T> {
    out: Option<machine::Sender<T>>,
    keys: Option<Keys>,
}

/// The end out of which they come.
#[derive(Debug)]
pub struct Receiver<T> {
    inbox: Option<machine::Receiver<T>>,
    keys: Option<Keys>,
}

/// A channel in which that many messages wait at most.
#[must_use]
pub fn bounded<T>(most: usize) -> (Sender<T>, Receiver<T>) {
    let (out, inbox) = machine::bounded(most);
    let keys = world::here().map(|world| Keys { came: world.key(), went: world.key() });
    (Sender { out: Some(out), keys }, Receiver { inbox: Some(inbox), keys })
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { out: self.out.clone(), keys: self.keys }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Self { inbox: self.inbox.clone(), keys: self.keys }
    }
}

fn tell(key: Option<Key>) {
    if let (Some(key), Some(world)) = (key, world::here()) {
        world.tell(key);
    }
}

/// Whoever waits at the other end learns that this one has gone.
impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.out = None;
        tell(self.keys.map(|keys| keys.came));
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.inbox = None;
        tell(self.keys.map(|keys| keys.went));
    }
}

/// Nobody listens any more, or nobody sends. What was to be sent is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone<T>(pub T);

impl<T> Sender<T> {
    fn end(&self) -> &machine::Sender<T> {
        self.out.as_ref().expect("it is given up only at its end")
    }

    /// Sends if there is room.
    ///
    /// # Errors
    /// There is none, or nobody listens.
    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        let sent = self.end().try_send(message);
        if sent.is_ok() {
            tell(self.keys.map(|keys| keys.came));
        }
        sent
    }

    /// Sends, waiting for room.
    ///
    /// # Errors
    /// Nobody listens.
    pub fn send(&self, message: T) -> Result<(), Gone<T>> {
        match (world::here(), self.keys) {
            (Some(_), Some(_)) => self.send_by(message, None).map_err(|error| Gone(error.into_inner())),
            (Some(_) | None, _) => self.end().send(message).map_err(|error| Gone(error.0)),
        }
    }

    /// Sends, waiting for room at most that long.
    ///
    /// # Errors
    /// There was none, or nobody listens.
    pub fn send_timeout(&self, message: T, patience: Duration) -> Result<(), SendTimeoutError<T>> {
        match (world::here(), self.keys) {
            (Some(_), Some(_)) => self.send_by(message, Some(patience)),
            (Some(_) | None, _) => self.end().send_timeout(message, patience),
        }
    }

    /// In a simulated world.
    fn send_by(&self, mut message: T, patience: Option<Duration>) -> Result<(), SendTimeoutError<T>> {
        let until = patience.map(clock::after);
        loop {
            message = match self.try_send(message) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Disconnected(message)) => return Err(SendTimeoutError::Disconnected(message)),
                Err(TrySendError::Full(message)) => message,
            };
            let late = until.is_some_and(|until| clock::moment() >= until);
            let (Some(world), Some(keys), false) = (world::here(), self.keys, late || panicking()) else {
                return Err(SendTimeoutError::Timeout(message));
            };
            world.wait(&[keys.went], until);
        }
    }
}

impl<T> Receiver<T> {
    fn end(&self) -> &machine::Receiver<T> {
        self.inbox.as_ref().expect("it is given up only at its end")
    }

    /// One out of which nothing comes.
    #[must_use]
    pub fn never() -> Self {
        Self { inbox: Some(machine::never()), keys: None }
    }

    /// Messages that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.end().len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.end().is_empty()
    }

    /// The next message, if one waits.
    ///
    /// # Errors
    /// None does, or nobody sends any more.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        let message = self.end().try_recv();
        if message.is_ok() {
            tell(self.keys.map(|keys| keys.went));
        }
        message
    }

    /// The next message; nothing where nobody sends any more.
    #[must_use]
    pub fn recv(&self) -> Option<T> {
        match world::here() {
            None => self.end().recv().ok(),
            Some(_) => loop {
                match self.recv_by(clock::after(Duration::from_secs(3_600))) {
                    Ok(message) => return Some(message),
                    Err(RecvTimeoutError::Disconnected) => return None,
                    Err(RecvTimeoutError::Timeout) if panicking() => return None,
                    Err(RecvTimeoutError::Timeout) => {}
                }
            },
        }
    }

    /// The next message, waited for at most that long.
    ///
    /// # Errors
    /// None came, or nobody sends any more.
    pub fn recv_timeout(&self, patience: Duration) -> Result<T, RecvTimeoutError> {
        match world::here() {
            None => self.end().recv_timeout(patience),
            Some(_) => self.recv_by(clock::after(patience)),
        }
    }

    /// In a simulated world.
    fn recv_by(&self, until: hb_core::time::Moment) -> Result<T, RecvTimeoutError> {
        loop {
            match self.try_recv() {
                Ok(message) => return Ok(message),
                Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
                Err(TryRecvError::Empty) => {}
            }
            let late = clock::moment() >= until || panicking();
            let (Some(world), false) = (world::here(), late) else { return Err(RecvTimeoutError::Timeout) };
            let keys: Vec<Key> = self.keys.iter().map(|keys| keys.came).collect();
            world.wait(&keys, Some(until));
        }
    }
}

/// What came first out of three channels.
#[derive(Debug)]
pub enum First<A, B, C> {
    /// Out of the first; nothing: nobody sends there any more.
    A(Option<A>),
    /// Out of the second.
    B(Option<B>),
    /// Out of the third.
    C(Option<C>),
    /// Nothing in time.
    Nothing,
}

/// Waits at three channels, at most that long.
#[must_use]
pub fn first<A, B, C>(a: &Receiver<A>, b: &Receiver<B>, c: &Receiver<C>, patience: Duration) -> First<A, B, C> {
    if world::here().is_some() {
        return first_by(a, b, c, clock::after(patience));
    }
    select! {
        recv(a.end()) -> message => First::A(message.ok()),
        recv(b.end()) -> message => First::B(message.ok()),
        recv(c.end()) -> message => First::C(message.ok()),
        default(patience) => First::Nothing,
    }
}

/// In a simulated world.
fn first_by<A, B, C>(
    a: &Receiver<A>,
    b: &Receiver<B>,
    c: &Receiver<C>,
    until: hb_core::time::Moment,
) -> First<A, B, C> {
    fn came<T>(inbox: &Receiver<T>) -> Option<Option<T>> {
        match inbox.try_recv() {
            Ok(message) => Some(Some(message)),
            Err(TryRecvError::Disconnected) => Some(None),
            Err(TryRecvError::Empty) => None,
        }
    }
    loop {
        if let Some(message) = came(a) {
            return First::A(message);
        }
        if let Some(message) = came(b) {
            return First::B(message);
        }
        if let Some(message) = came(c) {
            return First::C(message);
        }
        let late = clock::moment() >= until || panicking();
        let (Some(world), false) = (world::here(), late) else { return First::Nothing };
        let keys: Vec<Key> = [a.keys, b.keys, c.keys].iter().flatten().map(|keys| keys.came).collect();
        world.wait(&keys, Some(until));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_keep_their_order_and_their_bound_and_the_end_is_told() {
        let (out, inbox) = bounded(2);
        assert!(out.try_send(1).is_ok() && out.try_send(2).is_ok());
        assert!(matches!(out.try_send(3), Err(TrySendError::Full(3))));
        assert_eq!((inbox.len(), inbox.recv(), inbox.try_recv()), (2, Some(1), Ok(2)));
        assert_eq!(inbox.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Timeout));
        drop(out);
        assert_eq!((inbox.recv(), inbox.try_recv()), (None, Err(TryRecvError::Disconnected)));
    }

    #[test]
    fn whichever_has_something_is_heard() {
        let (out, inbox) = bounded(1);
        let (one, other) = (Receiver::<()>::never(), Receiver::<()>::never());
        assert!(matches!(first(&one, &other, &inbox, Duration::ZERO), First::Nothing));
        assert!(out.send(7).is_ok());
        assert!(matches!(first(&one, &inbox, &other, Duration::from_secs(60)), First::B(Some(7))));
    }
}
