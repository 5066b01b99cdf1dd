//! What every test stands on: a project folder, telemetry, processes that cannot outlive their test, and ways to look at them.

pub(crate) mod http;
pub(crate) mod hung;
pub(crate) mod journal;
pub(crate) mod mount;
pub(crate) mod node;
pub(crate) mod project;
pub(crate) mod random;
pub(crate) mod readers;
pub(crate) mod steady;
pub(crate) mod telemetry;
pub(crate) mod webhook;
pub(crate) mod writer;

use std::time::{Duration, Instant};

/// How long anything may take that does happen: long enough for two busy cores.
pub(crate) const GENEROUS: Duration = Duration::from_secs(60);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(2);

/// Waits until `look` gives something.
///
/// # Panics
/// When it has not after [`GENEROUS`]; `what` says what was waited for.
pub(crate) fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    within(GENEROUS, look).unwrap_or_else(|| panic!("waited {GENEROUS:?} for nothing: {what}"))
}

/// Waits until `look` gives something, or until `most` is over.
pub(crate) fn within<T>(most: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + most;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::sleep(LOOK);
    }
}

/// A number from the environment, for longer or shorter runs.
pub(crate) fn setting(name: &str, default: usize) -> usize {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} must be a whole number, not {text:?}")),
        Err(_) => default,
    }
}

/// Smallest, median and largest of some durations, for people.
pub(crate) fn spread(mut all: Vec<Duration>) -> String {
    all.sort();
    match all.as_slice() {
        [] => "none".to_owned(),
        [first, .., last] => {
            format!("min {first:.1?} median {:.1?} max {last:.1?} of {}", all[all.len() / 2], all.len())
        }
        [only] => format!("{only:.1?}"),
    }
}
