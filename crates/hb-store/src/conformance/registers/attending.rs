//! The law of engines that can tell when whoever attends to a cell is gone.

use std::time::Duration;

use super::{Open, put};
use crate::register::Woken;

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(300);

/// Whoever waits is told when the one that attends is gone (its handle is dropped, as when its process ends), also when it is
/// gone already; not while it lives, and not when it left of its own will. Two cannot attend at once.
pub fn abandonment_is_told(open: Open<'_>) {
    let (mut waiter, mut other) = (open(), open());
    let version = put(&mut *waiter, "a", None, b"1");
    let mut attending = open();
    attending.attend("a").expect("nobody attends to it yet");
    attending.attend("a").expect("it attends to it already");
    assert!(other.attend("a").is_err(), "two cannot attend to one cell");
    other.attend("b").expect("another cell is nobody's");
    assert_eq!(waiter.wait("a", Some(&version), SHORT), Ok(Woken::Patience), "it lives");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| waiter.wait("a", Some(&version), LONG));
        std::thread::sleep(Duration::from_millis(50));
        drop(attending);
        let woken = waiting.join().expect("the waiter does not panic");
        assert!(matches!(woken, Ok(Woken::Abandoned(ref why)) if !why.is_empty()), "{woken:?}");
    });
    assert!(matches!(open().wait("a", Some(&version), LONG), Ok(Woken::Abandoned(_))), "it is gone already");
    other.attend("a").expect("whoever attended to it is gone");
    assert_eq!(waiter.wait("a", Some(&version), SHORT), Ok(Woken::Patience), "somebody attends to it again");
}
