//! Where messages wait for the loop.
//!
//! A queue under a lock, and no ring that is written without one: there a reader has to wait, turning, for a writer that lost its processor in the
//! middle of leaving a message, and may have it lost to that very reader. That took milliseconds out of a burst now and then. It also keeps no more
//! memory than what waits needs.
//!
//! **Invariants.** Messages come out in the order in which they went in, each once. At most `bound` wait (B1). Once the reader has gone nothing is
//! taken any more, what waited is dropped, and whoever waits for room goes on.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Room for so many messages is kept while none wait.
const KEPT: usize = 1_024;

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// As many wait as may.
    Full,
    /// The reader has gone.
    Gone,
}

struct Waiting<T> {
    messages: VecDeque<T>,
    /// The reader has gone.
    gone: bool,
    /// The reader sleeps until a message comes.
    reader_sleeps: bool,
    /// Writers that sleep until there is room.
    writers_sleep: usize,
}

struct Shared<T> {
    bound: usize,
    waiting: Mutex<Waiting<T>>,
    came: Condvar,
    went: Condvar,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, Waiting<T>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The side of those who leave messages.
pub(super) struct Slot<T>(Arc<Shared<T>>);

/// The side of the loop.
pub(super) struct Tray<T>(Arc<Shared<T>>);

/// A tray for so many messages.
pub(super) fn tray<T>(bound: usize) -> (Slot<T>, Tray<T>) {
    let waiting = Waiting { messages: VecDeque::new(), gone: false, reader_sleeps: false, writers_sleep: 0 };
    let shared = Shared { bound, waiting: Mutex::new(waiting), came: Condvar::new(), went: Condvar::new() };
    let shared = Arc::new(shared);
    (Slot(Arc::clone(&shared)), Tray(shared))
}

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for Slot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slot")
    }
}

impl<T> Slot<T> {
    /// Leaves a message if there is room.
    pub(super) fn leave(&self, message: T) -> Result<(), Refused> {
        let waiting = self.0.lock();
        if waiting.gone {
            return Err(Refused::Gone);
        }
        if waiting.messages.len() >= self.0.bound {
            return Err(Refused::Full);
        }
        self.put(waiting, message);
        Ok(())
    }

    /// Leaves a message, waiting for room.
    pub(super) fn leave_in_any_case(&self, message: T) -> Result<(), Refused> {
        let mut waiting = self.0.lock();
        while waiting.messages.len() >= self.0.bound && !waiting.gone {
            waiting.writers_sleep = waiting.writers_sleep.saturating_add(1);
            waiting = self.0.went.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            waiting.writers_sleep = waiting.writers_sleep.saturating_sub(1);
        }
        if waiting.gone {
            return Err(Refused::Gone);
        }
        self.put(waiting, message);
        Ok(())
    }

    fn put(&self, mut waiting: MutexGuard<'_, Waiting<T>>, message: T) {
        waiting.messages.push_back(message);
        let wake = std::mem::take(&mut waiting.reader_sleeps);
        drop(waiting);
        if wake {
            self.0.came.notify_one();
        }
    }
}

impl<T> Tray<T> {
    /// Takes the oldest messages, at most so many; none when none wait.
    pub(super) fn take(&self, most: usize) -> VecDeque<T> {
        self.take_of(self.0.lock(), most)
    }

    /// The same; while none wait, waits for one for so long. It may come back sooner with none.
    pub(super) fn wait(&self, most: usize, patience: Duration) -> VecDeque<T> {
        let mut waiting = self.0.lock();
        let begun = Instant::now();
        while waiting.messages.is_empty() {
            let left = patience.saturating_sub(begun.elapsed());
            if left.is_zero() {
                break;
            }
            waiting.reader_sleeps = true;
            waiting = self.0.came.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0;
            waiting.reader_sleeps = false;
        }
        self.take_of(waiting, most)
    }

    fn take_of(&self, mut waiting: MutexGuard<'_, Waiting<T>>, most: usize) -> VecDeque<T> {
        let queue = &mut waiting.messages;
        let taken = if queue.len() <= most {
            let room = if queue.is_empty() { 0 } else { queue.len().min(KEPT) };
            std::mem::replace(queue, VecDeque::with_capacity(room))
        } else {
            queue.drain(..most).collect()
        };
        let wake = waiting.writers_sleep > 0 && !taken.is_empty();
        drop(waiting);
        if wake {
            self.0.went.notify_all();
        }
        taken
    }

    /// Whether none wait.
    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().messages.is_empty()
    }

    /// Takes nothing any more: whoever waits for room, or for an answer to what waits, is let go.
    pub(super) fn close(&self) {
        let mut waiting = self.0.lock();
        waiting.gone = true;
        let dropped = std::mem::take(&mut waiting.messages);
        drop(waiting);
        self.0.went.notify_all();
        // Not under the lock: what is dropped may want to say something.
        drop(dropped);
    }
}

impl<T> Drop for Tray<T> {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn messages_come_out_once_and_in_their_order() {
        let (slot, tray) = tray(8);
        for number in 0..5 {
            slot.leave(number).unwrap();
        }
        assert_eq!(tray.take(3), [0, 1, 2]);
        slot.leave(5).unwrap();
        assert_eq!(tray.wait(9, LONG), [3, 4, 5]);
        assert!(tray.is_empty() && tray.take(9).is_empty());
        assert!(tray.wait(9, Duration::ZERO).is_empty());
    }

    #[test]
    fn b1_at_the_bound_some_are_refused_and_some_wait_for_room() {
        let (slot, tray) = tray(2);
        slot.leave(1).unwrap();
        slot.leave(2).unwrap();
        assert_eq!(slot.leave(3), Err(Refused::Full));
        thread::scope(|scope| {
            let late = scope.spawn(|| slot.leave_in_any_case(4));
            let mut taken = VecDeque::new();
            while taken.len() < 3 {
                taken.extend(tray.wait(1, LONG));
            }
            assert_eq!(taken, [1, 2, 4]);
            assert_eq!(late.join().unwrap(), Ok(()));
        });
    }

    #[test]
    fn every_message_of_many_writers_comes_to_a_reader_that_sleeps() {
        const EACH: usize = 2_000;
        let (slot, tray) = tray(16);
        thread::scope(|scope| {
            for writer in 0..4 {
                let slot = slot.clone();
                scope.spawn(move || (0..EACH).try_for_each(|number| slot.leave_in_any_case((writer, number))));
            }
            let mut seen = [0; 4];
            while seen.iter().sum::<usize>() < 4 * EACH {
                let taken = tray.wait(7, LONG);
                assert!(!taken.is_empty(), "one was lost: {seen:?}");
                for (writer, number) in taken {
                    assert_eq!(seen[writer], number);
                    seen[writer] += 1;
                }
            }
        });
    }

    #[test]
    fn nobody_waits_for_a_reader_that_has_gone() {
        let (slot, tray) = tray(1);
        let (answered, answer) = crossbeam_channel::bounded::<()>(1);
        slot.leave(Some(answered)).unwrap();
        thread::scope(|scope| {
            let late = scope.spawn(|| slot.leave_in_any_case(None));
            drop(tray);
            assert_eq!(late.join().unwrap(), Err(Refused::Gone));
        });
        assert_eq!(slot.leave(None), Err(Refused::Gone));
        answer.recv().unwrap_err();
    }
}
