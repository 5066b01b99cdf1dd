//! When to look into a register that has to be asked: right after the holder is expected to have shown progress, so that few looks
//! see every change soon.
//!
//! Each document carries the holder's own clock of when it was written. The difference to this node's clock at the look that first saw
//! it is the clocks' offset plus how late the look was; the smallest such difference tells the phase of the holder. Looks come earlier and
//! earlier until one comes too early, in halving steps. Only the moments of looks depend on it, never what is concluded from them.

use std::time::Duration;

use super::document::Mark;

/// Shortest time between two looks while all goes its way: under two requests a second.
pub(super) const LOOK_MIN: Duration = Duration::from_millis(550);
/// How long after the expected moment a look comes.
const SLACK: Duration = Duration::from_millis(80);
/// How often one looks who waits for a switchover to itself.
const HURRY: Duration = Duration::from_millis(50);
/// How much a difference loses of its weight with each look: clocks drift, and one lucky look must not count for ever.
const AGEING: Duration = Duration::from_millis(1);
/// Steps shorter than this are not worth a look that comes too early.
const STEP_MIN: Duration = Duration::from_millis(20);
/// After so many new documents it is tried again whether looks can come earlier.
const PROBE_AFTER: u32 = 32;
/// How often a holder renews in one TTL.
const RENEWALS: u32 = 4;

/// The moments of looks.
#[derive(Debug)]
pub(super) struct Cadence {
    every: Duration,
    next: Duration,
    phase: Option<Phase>,
    /// How much earlier than known to be late enough the next look comes.
    step: Duration,
    /// New documents since steps began anew.
    fresh: u32,
}

#[derive(Debug)]
struct Phase {
    session: String,
    /// Local clock minus the holder's, in ms: the smallest of late.
    offset_ms: i128,
    /// What was seen last.
    shown_ms: u64,
}

fn ms(duration: Duration) -> i128 {
    i128::try_from(duration.as_millis()).unwrap_or(i128::MAX)
}

impl Cadence {
    pub(super) fn new(ttl: Duration) -> Self {
        let every = ttl / RENEWALS;
        Self { every, next: Duration::ZERO, phase: None, step: every / 2, fresh: 0 }
    }

    /// When the next look is due.
    pub(super) fn next(&self) -> Duration {
        self.next
    }

    /// A look at `now` showed that holder.
    pub(super) fn looked(&mut self, mark: Option<&Mark>, now: Duration) {
        let Some(mark) = mark else {
            self.phase = None;
            self.next = now.saturating_add(LOOK_MIN);
            return;
        };
        let late = ms(now).saturating_sub(i128::from(mark.shown_ms));
        let fresh = match &mut self.phase {
            Some(phase) if phase.session == mark.session => {
                let fresh = phase.shown_ms != mark.shown_ms;
                phase.shown_ms = mark.shown_ms;
                if fresh {
                    phase.offset_ms = phase.offset_ms.saturating_add(ms(AGEING)).min(late);
                }
                fresh
            }
            Some(_) | None => {
                let (session, shown_ms) = (mark.session.clone(), mark.shown_ms);
                self.phase = Some(Phase { session, offset_ms: late, shown_ms });
                true
            }
        };
        let earliest = now.saturating_add(LOOK_MIN);
        self.next = if fresh {
            self.fresh = self.fresh.saturating_add(1);
            if self.fresh.is_multiple_of(PROBE_AFTER) {
                self.step = self.every / 8;
            }
            self.expected(earliest)
        } else if self.step.is_zero() {
            // One that did not come when it was expected is looked for at the shortest pace.
            earliest
        } else {
            // Too early: it comes within the step.
            let again = now.saturating_add(self.step).saturating_add(SLACK);
            self.step = Some(self.step / 2).filter(|half| *half >= STEP_MIN).unwrap_or_default();
            again
        };
    }

    /// The first moment after `earliest` at which a new document should just have come.
    fn expected(&self, earliest: Duration) -> Duration {
        let every = ms(self.every).max(1);
        let Some(phase) = &self.phase else { return earliest };
        let slack = if self.step.is_zero() { ms(SLACK) } else { ms(self.step).saturating_neg() };
        let shown = i128::from(phase.shown_ms).saturating_add(phase.offset_ms).saturating_add(slack);
        let behind = ms(earliest).saturating_sub(shown).max(0);
        let turns = behind.saturating_add(every - 1).checked_div(every).unwrap_or(1).max(1);
        let at = shown.saturating_add(turns.saturating_mul(every));
        let at = u64::try_from(at).map_or(earliest, Duration::from_millis);
        // Whatever the holder's clock says, looks never come further apart than that.
        at.clamp(earliest, earliest.saturating_add(self.every))
    }

    /// A switchover to this node is on its way: the release is seen soon.
    pub(super) fn hurry(&mut self, now: Duration) {
        self.next = self.next.min(now.saturating_add(HURRY));
    }
}

#[cfg(test)]
mod tests {
    use hb_core::ids::Epoch;

    use super::*;

    fn mark(shown_ms: u64) -> Mark {
        Mark { node: "a".into(), pid: 1, session: "s".into(), epoch: Epoch(1), progress: shown_ms, shown_ms }
    }

    /// Looks for a minute at a holder that renews when `renewed` says (ms); answers looks, and the worst lateness of the second half.
    fn watch_minute(ttl: Duration, offset: u64, renewals: &[u64]) -> (usize, u64) {
        let mut cadence = Cadence::new(ttl);
        let (mut looks, mut worst, mut seen) = (0, 0, None);
        while cadence.next() < Duration::from_secs(60) {
            let now = cadence.next().max(Duration::from_millis(1));
            let at = u64::try_from(now.as_millis()).unwrap();
            let newest = renewals.iter().copied().take_while(|renewal| *renewal <= at).last();
            looks += 1;
            if newest != seen {
                let first = renewals.iter().copied().find(|renewal| seen.is_none_or(|seen| *renewal > seen));
                if at > 30_000 {
                    worst = worst.max(at - first.or(newest).unwrap());
                }
                seen = newest;
            }
            cadence.looked(newest.map(|renewal| mark(renewal + offset)).as_ref(), now);
        }
        (looks, worst)
    }

    #[test]
    fn looks_are_few_and_see_progress_soon() {
        // Renewals every 750 ms, each up to 30 ms late, as a work loop makes them.
        let mut at = 137;
        let renewals: Vec<u64> = (0..90_u64)
            .map(|turn| {
                at += 750 + (turn * 7919) % 30;
                at
            })
            .collect();
        for offset in [0, 86_400_000] {
            let (looks, worst) = watch_minute(Duration::from_secs(3), offset, &renewals);
            assert!(looks <= 100, "{looks} looks a minute");
            assert!(worst <= 250, "{worst} ms late");
        }
    }

    #[test]
    fn short_ttls_are_looked_at_every_few_renewals() {
        let renewals: Vec<u64> = (0..240).map(|turn| 40 + turn * 250).collect();
        let (looks, worst) = watch_minute(Duration::from_secs(1), 5, &renewals);
        assert!(looks <= 120, "{looks} looks a minute");
        assert!(worst <= 750, "{worst} ms late");
    }

    #[test]
    fn a_holder_that_is_gone_is_looked_for_at_the_shortest_pace() {
        let renewals: Vec<u64> = (0..20).map(|turn| 40 + turn * 750).collect();
        let (looks, _) = watch_minute(Duration::from_secs(3), 5, &renewals);
        assert!(looks <= 20 * 2 + 45_000 / 550 + 5, "{looks} looks a minute");
    }

    #[test]
    fn whatever_the_holders_clock_says_looks_go_on() {
        let mut cadence = Cadence::new(Duration::from_secs(3));
        for (now, shown) in [(1000, 0), (2000, u64::MAX), (3000, 5), (4000, u64::MAX - 1), (5000, 4999)] {
            let now = Duration::from_millis(now);
            cadence.looked(Some(&mark(shown)), now);
            assert!(
                cadence.next() > now && cadence.next() <= now + Duration::from_millis(1300),
                "{:?}",
                cadence.next()
            );
            cadence.hurry(now);
            assert_eq!(cadence.next(), now + HURRY);
        }
    }
}
