//! A value that several threads share, and can wait on until it changes.

use std::ops::{Deref, DerefMut};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock;
use crate::world::{self, Key};

/// A value under a lock, with waiting for its changes.
#[derive(Debug)]
pub struct Monitor<T> {
    value: Mutex<T>,
    changed: Condvar,
    key: Option<Key>,
}

impl<T: Default> Default for Monitor<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> Monitor<T> {
    /// Holds the value.
    pub fn new(value: T) -> Self {
        Self { value: Mutex::new(value), changed: Condvar::new(), key: world::here().map(|world| world.key()) }
    }

    /// The value, for oneself. A thread that panicked with it leaves it as it was.
    pub fn lock(&self) -> Held<'_, T> {
        Held { guard: Some(self.value.lock().unwrap_or_else(PoisonError::into_inner)), monitor: self }
    }

    /// Lets everybody who waits look again.
    pub fn tell(&self) {
        match (world::here(), self.key) {
            (Some(world), Some(key)) => world.tell(key),
            (Some(_) | None, _) => self.changed.notify_all(),
        }
    }
}

/// A monitor's value, held.
pub struct Held<'a, T> {
    guard: Option<MutexGuard<'a, T>>,
    monitor: &'a Monitor<T>,
}

impl<T> Deref for Held<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.guard.as_deref().expect("it is given up only while waiting")
    }
}

impl<T> DerefMut for Held<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.guard.as_deref_mut().expect("it is given up only while waiting")
    }
}

impl<T> Held<'_, T> {
    /// Gives the value up until somebody tells of a change, or for that long; it may be sooner. Then it is held again.
    #[must_use]
    pub fn wait(mut self, patience: Duration) -> Self {
        let monitor = self.monitor;
        let guard = self.guard.take().expect("it is given up only while waiting");
        self.guard = Some(match (world::here(), monitor.key) {
            (Some(world), Some(key)) => {
                drop(guard);
                world.wait(&[key], Some(clock::after(patience)));
                monitor.value.lock().unwrap_or_else(PoisonError::into_inner)
            }
            (Some(_) | None, _) => {
                monitor.changed.wait_timeout(guard, patience).unwrap_or_else(PoisonError::into_inner).0
            }
        });
        self
    }
}
