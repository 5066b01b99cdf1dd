//! Whether the lease may be taken.

use std::time::Duration;

use super::document::{Content, Document, Mark, Seen};
use super::{PLACE_STEP, PLACE_STEP_ASKS, RegisterLease};
use crate::lease::orders::{Candidate, End, Hold, hold, is_next};
use crate::register::Hears;

/// Longest TTL of another node that is believed; one that asks for more is waited for that long.
const TTL_MAX: Duration = Duration::from_secs(3600);

/// Why a lease may be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Free {
    pub(super) how: &'static str,
    pub(super) why: String,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// What stands there is our own claim, whose answer was lost.
    Ours,
    /// Take it.
    Free(Free),
    /// Wait; if nothing changes, until that moment.
    Held { due: Option<Duration> },
    /// Wait until operators change their orders.
    Paused(String),
}

/// Since how long a lease is free, or how long it will yet be held if nothing changes.
struct Since {
    over: Result<Duration, Duration>,
    free: Free,
    end: End,
}

impl RegisterLease {
    pub(super) fn judge(&mut self, now: Duration) -> Verdict {
        let seen = self.seen();
        if self.is_own(seen.document()) {
            return Verdict::Ours;
        }
        let still = self.watch.judge(seen.sight(), now);
        let Since { over, free, end } = self.since(&seen, still, now);
        match (hold(&self.orders, &self.candidate(&seen), end), over) {
            (Hold::Paused(why), Ok(_)) => Verdict::Paused(why),
            (Hold::Paused(_), Err(_)) => Verdict::Held { due: None },
            (Hold::For(hold), Ok(over)) if over >= hold => Verdict::Free(free),
            (Hold::For(hold), Ok(over)) => Verdict::Held { due: Some(now.saturating_add(hold.saturating_sub(over))) },
            (Hold::For(hold), Err(left)) => Verdict::Held { due: Some(now.saturating_add(left).saturating_add(hold)) },
        }
    }

    fn since(&self, seen: &Seen, still: Duration, now: Duration) -> Since {
        let given = |why: String, end| Since { over: Ok(still), free: Free { how: self.names.free, why }, end };
        let expired = |ttl: Duration, why: String| {
            let over = still.checked_sub(ttl).ok_or(ttl.saturating_sub(still));
            Since { over, free: Free { how: self.names.expired, why }, end: End::Other }
        };
        let document = match &seen.content {
            Content::Nothing => return given("first start".to_owned(), End::Other),
            Content::Unreadable(_) => {
                let still = still.as_secs_f64();
                let why = format!("what the holder shows cannot be read and did not change for {still:.1} s");
                return expired(self.ttl, why);
            }
            Content::Document(document) => document,
        };
        let Some(Mark { node, pid, .. }) = &document.holder else {
            return given("first start".to_owned(), End::Other);
        };
        if document.released {
            return given(format!("{node} gave it back"), End::Released);
        }
        if let Some((since, why)) = self.abandoned.as_ref().filter(|_| document.attended) {
            let why = format!("{node} (process {pid}) ended: {why}");
            let over = Ok(now.saturating_sub(*since));
            return Since { over, free: Free { how: self.names.free, why }, end: End::Other };
        }
        let still = still.as_secs_f64();
        expired(self.ttl_of(document), format!("{node} (process {pid}) showed no progress for {still:.1} s"))
    }

    /// How long that holder may show no progress: nodes whose settings differ go by the longer.
    fn ttl_of(&self, document: &Document) -> Duration {
        self.ttl.max(Duration::from_millis(document.ttl_ms).min(TTL_MAX))
    }

    fn candidate<'a>(&'a self, seen: &'a Seen) -> Candidate<'a> {
        let step = match self.register.hears() {
            Hears::Told => PLACE_STEP,
            Hears::Asks => PLACE_STEP_ASKS,
        };
        let last = seen.last().map(|mark| &mark.node);
        Candidate { node: &self.node, last, place: self.place, step, ttl: self.ttl }
    }

    /// Whether a switchover waits for this node.
    pub(super) fn is_next(&self) -> bool {
        let seen = self.seen();
        is_next(&self.orders, &self.candidate(&seen))
    }

    /// Whether a document shows us as holder.
    pub(super) fn is_own(&self, document: Option<&Document>) -> bool {
        document.and_then(Document::working).is_some_and(|mark| mark.session.starts_with(&self.me))
    }
}
