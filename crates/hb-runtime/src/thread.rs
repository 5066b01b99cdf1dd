//! Threads, and sleeping.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock;
use crate::world::{self, End, Task};

/// How often a thread is asked whether it has ended.
const GLANCE: Duration = Duration::from_millis(1);

/// A thread that was started.
#[derive(Debug)]
pub struct Thread<T>(Kind<T>);

#[derive(Debug)]
enum Kind<T> {
    Machine(std::thread::JoinHandle<T>),
    Simulated(Task, Arc<Mutex<Option<T>>>),
}

/// Starts a thread of that name.
///
/// # Errors
/// The machine has no room for another one.
pub fn spawn<T: Send + 'static>(name: &str, run: impl FnOnce() -> T + Send + 'static) -> io::Result<Thread<T>> {
    let kind = match world::here() {
        None => Kind::Machine(std::thread::Builder::new().name(name.to_owned()).spawn(run)?),
        Some(world) => {
            let result = Arc::new(Mutex::new(None));
            let out = Arc::clone(&result);
            let run = move || {
                let given = run();
                *out.lock().unwrap_or_else(PoisonError::into_inner) = Some(given);
            };
            Kind::Simulated(world.spawn(name, Box::new(run)), result)
        }
    };
    Ok(Thread(kind))
}

impl<T> Thread<T> {
    /// Whether it has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        match &self.0 {
            Kind::Machine(thread) => thread.is_finished(),
            Kind::Simulated(task, _) => world::here().is_none_or(|world| world.has_ended(*task)),
        }
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// What it panicked with.
    pub fn join(self) -> std::thread::Result<T> {
        match self.0 {
            Kind::Machine(thread) => thread.join(),
            Kind::Simulated(task, result) => {
                let Some(world) = world::here() else { return Err(Box::new("the world of this task has ended")) };
                while !world.has_ended(task) && !std::thread::panicking() {
                    world.wait(&[world.end_of(task)], None);
                }
                match (world.ended(task), result.lock().unwrap_or_else(PoisonError::into_inner).take()) {
                    (_, Some(given)) => Ok(given),
                    (Some(End::Panicked(panic)), None) => Err(panic),
                    (Some(End::Done) | None, None) => Err(Box::new("the task was given up with its node")),
                }
            }
        }
    }

    /// Waits for its end, at most that long, and gives it back where it goes on.
    ///
    /// # Errors
    /// The thread itself: it has not ended.
    pub fn join_within(self, patience: Duration) -> Result<std::thread::Result<T>, Self> {
        let until = clock::after(patience);
        match (&self.0, world::here()) {
            (Kind::Simulated(task, _), Some(world)) => {
                while !world.has_ended(*task) && clock::moment() < until && !std::thread::panicking() {
                    world.wait(&[world.end_of(*task)], Some(until));
                }
            }
            (Kind::Machine(_) | Kind::Simulated(..), _) => {
                while !self.is_finished() && clock::moment() < until {
                    std::thread::sleep(GLANCE);
                }
            }
        }
        if self.is_finished() { Ok(self.join()) } else { Err(self) }
    }
}

/// Rests for that long.
pub fn sleep(rest: Duration) {
    match world::here() {
        None => std::thread::sleep(rest),
        Some(world) => {
            let until = clock::after(rest);
            while clock::moment() < until && !std::thread::panicking() {
                world.wait(&[], Some(until));
            }
        }
    }
}
