//! When to look into a register that has to be asked: right after the holder is expected to have shown progress, so that few looks
//! see every change soon.
//!
//! Each document carries the holder's own clock of when it was written. The difference to this node's clock at the look that first saw
//! it is the clocks' offset plus how late the look was; the smallest such difference tells the phase of the holder. A holder that is
//! new to this node is looked at often until one change was seen, which tells its phase to within the distance of those looks; then
//! looks come earlier and earlier until one comes too early, in halving steps. Only the moments of looks depend on it, never what
//! is concluded from them.
//!
//! **How late.** What a holder shows last before it is gone is seen with the look that follows it: `turns - 1` renewals later at most,
//! and [`SLACK`]. With renewals four times in a TTL that is half a second at most for every TTL up to 2 s, and [`SLACK`] beyond.

use std::time::Duration;

use super::document::Mark;

/// How far apart looks lie on the average at least: not more than two a second, or hardly.
const LOOK_EVERY: Duration = Duration::from_millis(480);
/// The same where nothing is known of when something comes, or it did not come.
const LOOK_IDLE: Duration = Duration::from_millis(550);
/// How long after the expected moment a look comes.
const SLACK: Duration = Duration::from_millis(60);
/// How often one looks who waits for a switchover to itself.
const HURRY: Duration = Duration::from_millis(50);
/// How much a difference loses of its weight with each look: clocks drift, and one lucky look must not count for ever.
const AGEING: Duration = Duration::from_millis(1);
/// Steps shorter than this are not worth a look that comes too early.
const STEP_MIN: Duration = Duration::from_millis(20);
/// After so many new documents it is tried again whether looks can come earlier.
const PROBE_AFTER: u32 = 128;
/// How often a holder renews in one TTL.
const RENEWALS: u32 = 4;
/// Looks between two renewals of a holder whose phase is not known.
const ACQUAINT: u32 = 5;
/// Most looks for the phase of one holder (B1): two renewals.
const ACQUAINT_MAX: u32 = 2 * ACQUAINT;

/// The moments of looks.
#[derive(Debug)]
pub(super) struct Cadence {
    /// Between two renewals.
    every: Duration,
    /// Only each so many-th renewal is looked for.
    turns: u32,
    next: Duration,
    /// When the look that is under way, or the last one, was begun.
    begun: Duration,
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
    /// Looks left for a first change; none once it was seen.
    acquaint: u32,
}

/// What a look says of the phase.
enum Found {
    /// The document that was expected, or the first change.
    Expected,
    /// An older one that is new all the same: the look came too early, or the holder is late.
    Older,
    /// Nothing new.
    Same,
}

fn ms(duration: Duration) -> i128 {
    i128::try_from(duration.as_millis()).unwrap_or(i128::MAX)
}

impl Cadence {
    pub(super) fn new(ttl: Duration) -> Self {
        let every = (ttl / RENEWALS).max(Duration::from_millis(1));
        let turns = u32::try_from(LOOK_EVERY.as_millis().div_ceil(every.as_millis().max(1))).unwrap_or(u32::MAX).max(1);
        let (next, begun) = (Duration::ZERO, Duration::ZERO);
        Self { every, turns, next, begun, phase: None, step: Duration::ZERO, fresh: 0 }
    }

    /// When the next look is due.
    pub(super) fn next(&self) -> Duration {
        self.next
    }

    /// A look begins at `now`; if it fails, the next one is not at once.
    pub(super) fn begun(&mut self, now: Duration) {
        (self.begun, self.next) = (now, now.saturating_add(LOOK_IDLE));
    }

    /// What was seen at `now` shows that holder.
    pub(super) fn looked(&mut self, mark: Option<&Mark>, now: Duration) {
        // What was seen by other means than a look that was due here was begun now, as far as that matters.
        let begun = if self.begun.is_zero() { now } else { std::mem::take(&mut self.begun) };
        let Some(mark) = mark else {
            self.phase = None;
            self.next = begun.saturating_add(LOOK_IDLE);
            return;
        };
        if self.phase.as_ref().is_none_or(|phase| phase.session != mark.session) {
            let (session, shown_ms) = (mark.session.clone(), mark.shown_ms);
            let offset_ms = ms(now).saturating_sub(i128::from(shown_ms));
            self.phase = Some(Phase { session, offset_ms, shown_ms, acquaint: ACQUAINT_MAX });
            self.next = begun.saturating_add(self.every / ACQUAINT);
            return;
        }
        let found = self.found(mark.shown_ms, now);
        self.next = match found {
            Found::Expected => self.expected(begun),
            Found::Older if self.step.is_zero() => self.expected(begun),
            Found::Older | Found::Same => self.again(begun, now),
        };
    }

    fn found(&mut self, shown_ms: u64, now: Duration) -> Found {
        let Some(phase) = &mut self.phase else { return Found::Same };
        let fresh = phase.shown_ms != shown_ms;
        phase.shown_ms = shown_ms;
        if !fresh {
            return Found::Same;
        }
        self.fresh = self.fresh.saturating_add(1);
        let late = ms(now).saturating_sub(i128::from(shown_ms));
        let known = phase.offset_ms.saturating_add(ms(AGEING));
        phase.offset_ms = known.min(late);
        if std::mem::take(&mut phase.acquaint) > 0 {
            // What was seen just now came since the look before.
            phase.offset_ms = late;
            self.step = self.every / ACQUAINT;
            return Found::Expected;
        }
        if self.fresh.is_multiple_of(PROBE_AFTER) {
            self.step = self.every / 8;
        }
        if late.saturating_sub(known) > ms(self.every / 2) { Found::Older } else { Found::Expected }
    }

    /// When to look again where what was expected did not stand yet.
    fn again(&mut self, begun: Duration, now: Duration) -> Duration {
        if let Some(phase) = self.phase.as_mut().filter(|phase| phase.acquaint > 0) {
            phase.acquaint = phase.acquaint.saturating_sub(1);
            return begun.saturating_add(self.every / ACQUAINT);
        }
        if self.step.is_zero() {
            // One that did not come when it was expected is looked for at a steady pace.
            return begun.saturating_add(LOOK_IDLE);
        }
        // Too early: it comes within the step, and the next look not as much too early.
        let again = now.saturating_add(self.step).saturating_add(self.slack());
        self.step = Some(self.step / 2).filter(|half| *half >= STEP_MIN).unwrap_or_default();
        again
    }

    fn slack(&self) -> Duration {
        SLACK.min(self.every / 4)
    }

    /// The moment at which the document to be looked for next should just have come.
    fn expected(&self, begun: Duration) -> Duration {
        let every = ms(self.every).max(1);
        // So many renewals after the one that was seen, which bounds how many looks there are, and not at once.
        let earliest = begun.saturating_add(self.every / 2);
        let Some(phase) = &self.phase else { return earliest };
        let slack = if self.step.is_zero() { ms(self.slack()) } else { ms(self.step).saturating_neg() };
        let shown = i128::from(phase.shown_ms).saturating_add(phase.offset_ms).saturating_add(slack);
        let behind = ms(earliest).saturating_sub(shown).max(0);
        let turns = behind.saturating_add(every - 1).checked_div(every).unwrap_or(1).max(i128::from(self.turns));
        let at = shown.saturating_add(turns.saturating_mul(every));
        let at = u64::try_from(at).map_or(earliest, Duration::from_millis);
        // Whatever the holder's clock says, looks never come further apart than that.
        at.clamp(earliest, begun.saturating_add(self.every.saturating_mul(self.turns)).saturating_add(self.every / 2))
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

    /// A waiter that looks from `from` until `until` (ms) at a holder that renews when `renewals` say, each look taking `takes`: when
    /// it looked, and what it saw.
    fn watch(
        ttl: Duration,
        (from, until): (u64, u64),
        takes: u64,
        (offset, renewals): (u64, &[u64]),
    ) -> Vec<(u64, u64)> {
        let mut cadence = Cadence::new(ttl);
        let (mut looks, mut at) = (Vec::new(), from);
        while at < until {
            cadence.begun(Duration::from_millis(at));
            let newest = renewals.iter().copied().take_while(|renewal| *renewal <= at).last();
            looks.push((at, newest.unwrap_or(0)));
            let now = Duration::from_millis(at + takes);
            cadence.looked(newest.map(|renewal| mark(renewal + offset)).as_ref(), now);
            assert!(cadence.next() > Duration::from_millis(at), "looks go on");
            at = u64::try_from(cadence.next().max(now).as_millis()).unwrap();
        }
        looks
    }

    /// Renewals every so often, each up to so much late, as a work loop makes them.
    fn renewals(first: u64, every: u64, jitter: u64, until: u64) -> Vec<u64> {
        let (mut at, mut turn) = (first, 0_u64);
        let mut all = Vec::new();
        while at < until {
            all.push(at);
            turn += 1;
            at += every + (turn * 7919) % jitter.max(1);
        }
        all
    }

    /// How late the last thing that stood before `gone` was seen, in ms after it was gone.
    fn last_seen(looks: &[(u64, u64)], gone: u64, renewals: &[u64]) -> u64 {
        let last = renewals.iter().copied().take_while(|at| *at <= gone).last().unwrap();
        let seen = looks.iter().find(|(_, shown)| *shown == last).map(|(at, _)| *at).unwrap();
        seen.saturating_sub(gone)
    }

    #[test]
    fn looks_are_few_and_see_progress_soon() {
        for (ttl, most) in [(3, 90), (2, 128), (1, 128)] {
            let every = ttl * 250;
            let all = renewals(137, every, 9, 90_000);
            for (offset, takes) in [(0, 3), (86_400_000, 40)] {
                let looks = watch(Duration::from_secs(ttl), (100, 60_100), takes, (offset, &all));
                let steady = looks.iter().filter(|(at, _)| *at >= 10_000).count() * 60 / 50;
                assert!(steady <= most, "ttl {ttl} s: {steady} looks a minute");
                let settled = looks.iter().filter(|(at, _)| *at > 30_000);
                let behind = settled.map(|(at, shown)| at - shown).max().unwrap();
                assert!(behind <= every + 130, "ttl {ttl} s: a look came {behind} ms after what it saw");
            }
        }
    }

    #[test]
    fn a_holder_that_is_gone_is_taken_over_from_within_half_a_second_of_its_ttl() {
        for ttl in [1, 2, 3] {
            let every = ttl * 250;
            for phase in (0..every).step_by(10) {
                for stands_by in (2 * every..2 * every + 3000).step_by(370) {
                    let gone = 5000 + phase;
                    let mut all = renewals(100, every, 9, 12_000);
                    all.retain(|at| *at <= gone);
                    let looks = watch(Duration::from_secs(ttl), (gone - stands_by, 12_000), 5, (7, &all));
                    let late = last_seen(&looks, gone, &all);
                    assert!(
                        late <= 400,
                        "ttl {ttl} s, gone at {gone}, stood by for {stands_by}: {late} ms late; {looks:?} {all:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_holder_that_is_gone_is_looked_for_at_a_steady_pace() {
        let all = renewals(40, 750, 9, 15_000);
        let looks = watch(Duration::from_secs(3), (30, 60_000), 5, (5, &all));
        let after = looks.iter().filter(|(at, _)| *at > 15_000).count();
        assert!(after <= 45_000 / 550 + 5, "{after} looks");
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

    #[test]
    fn a_look_that_fails_is_not_followed_at_once_by_another() {
        let mut cadence = Cadence::new(Duration::from_secs(1));
        cadence.begun(Duration::from_secs(7));
        assert_eq!(cadence.next(), Duration::from_secs(7) + LOOK_IDLE);
    }
}
