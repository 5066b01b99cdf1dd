//! How long something has been waited for, as far as the machine let anybody work.
//!
//! On a machine that is busy with other things a node needs as much longer for everything as the test itself does. So the test does a little work
//! every now and then and looks how long that took: time counts for the less, the longer it took. Where the end comes by the clock all the same,
//! what is said begins with `STARVED`: it is no judgement of the nodes.

use std::hint::black_box;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

use crate::pair::BOUND;

/// How long is waited at most, by the clock.
const LONGEST: Duration = Duration::from_secs(1_200);
/// How often work is done to see how long it takes, and how much.
const EVERY: Duration = Duration::from_millis(500);
const WORK: Duration = Duration::from_millis(2);

/// One wait.
#[derive(Debug)]
pub(crate) struct Patience {
    /// What counts.
    waited: Duration,
    last: Instant,
    began: Instant,
    probed: Option<Instant>,
    /// How many times longer work took than it should.
    slow: f64,
}

impl Default for Patience {
    fn default() -> Self {
        Self { waited: Duration::ZERO, last: Instant::now(), began: Instant::now(), probed: None, slow: 1.0 }
    }
}

impl Patience {
    /// Whether the bound is reached.
    pub(crate) fn is_over(&mut self) -> bool {
        if self.probed.is_none_or(|at| at.elapsed() > EVERY) {
            // Slowly back: what is late now was late a moment ago.
            self.slow = slowness().max(self.slow * 0.7).max(1.0);
            self.probed = Some(Instant::now());
        }
        self.waited += self.last.elapsed().div_f64(self.slow);
        self.last = Instant::now();
        self.waited >= BOUND || self.began.elapsed() >= LONGEST
    }

    /// What is to be said when it is over.
    pub(crate) fn said(&self) -> String {
        let starved = if self.waited < BOUND { "STARVED: " } else { "" };
        format!("{starved}waited {:.0?} for nothing, which counts as {:.0?}", self.began.elapsed(), self.waited)
    }
}

/// How many times longer work takes than it should.
fn slowness() -> f64 {
    let used =
        || Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("every thread has such a clock"));
    let (began, before) = (Instant::now(), used());
    let mut number = 0_u64;
    while used() - before < WORK {
        number = (0..2_000).fold(number, |sum, next| black_box(sum.wrapping_mul(31).wrapping_add(next)));
    }
    began.elapsed().as_secs_f64() / WORK.as_secs_f64()
}
