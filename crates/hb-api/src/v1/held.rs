//! How do beats that come together go to the supervisor? Together, so that it is woken once and answers them as one.
//!
//! The first of them waits until the server has looked once more for what has come, which takes microseconds, and takes along whatever came with it.
//!
//! Bound (B1): at [`HELD_MAX`] they go at once.

use std::sync::{Mutex, PoisonError};

use hb_core::supervise::input::Beat;

use super::seam::{Answered, Supervisors};

/// Most beats that wait for one another.
const HELD_MAX: usize = 256;

/// Beats that have come since some were handed over last.
#[derive(Default)]
pub(super) struct Held(Mutex<Vec<(Beat, Answered)>>);

/// Hands over what is held when it is dropped, also when whoever sent the first of them has gone meanwhile.
struct Release<'a>(&'a Held, &'a dyn Supervisors);

impl Drop for Release<'_> {
    fn drop(&mut self) {
        let held = std::mem::take(&mut *self.0.0.lock().unwrap_or_else(PoisonError::into_inner));
        for (beat, answered) in held {
            // Whoever waits for the answer of one that is not taken is told so: what would have answered is gone.
            self.1.beat(beat, answered).ok();
        }
    }
}

impl Held {
    /// Hands a beat over with those that come at the same time.
    pub(super) async fn hand_over(&self, supervisors: &dyn Supervisors, beat: Beat, answered: Answered) {
        let held = {
            let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            held.push((beat, answered));
            held.len()
        };
        if held == 1 {
            let release = Release(self, supervisors);
            tokio::task::yield_now().await;
            drop(release);
        } else if held >= HELD_MAX {
            drop(Release(self, supervisors));
        }
    }
}
