//! What the broker still holds for us: messages delivered here and not acknowledged yet.
//!
//! A message is acknowledged once everything before its place is in a durable record, so that after a crash the broker sends
//! again what no record has. **Invariants.** Entries stand in order of position; at most [`HELD_MAX`] of them; a message that
//! the broker sends again while it is held, or was acknowledged a moment ago, is not delivered twice.
//!
//! A broker may allow fewer unacknowledged messages than we do, and does not say so: when nothing comes although many are
//! held, the oldest one is let go early; when that brings the next one, the broker's bound is known and kept away from.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Most messages held unacknowledged; beyond, the oldest are acknowledged early. Packet ids allow 65,535.
pub(crate) const HELD_MAX: usize = 32_768;
/// Acknowledged messages remembered, in case the acknowledgement got lost on its way.
const SENT_MAX: usize = 1_024;
/// Fewest held messages that may be a broker's bound.
const BOUND_MIN: usize = 10;
/// How long nothing must come before a bound of the broker is suspected.
const SUSPECT_AFTER: Duration = Duration::from_secs(1);

/// What an acknowledgement needs, and what tells a message from another with the same packet id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket {
    /// Packet id.
    pub(crate) id: u16,
    /// Fingerprint of topic and payload.
    pub(crate) print: u64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    position: u64,
    ticket: Ticket,
    /// The connection over which it came last: only over that one may it be acknowledged.
    connection: u64,
}

/// Whether a message is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// Never seen.
    No,
    /// Delivered already.
    Yes,
}

/// What became of an acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// It is on its way.
    Yes,
    /// There is no room now.
    Later,
}

/// The account of unacknowledged messages.
#[derive(Debug)]
pub(crate) struct Held {
    entries: VecDeque<Entry>,
    /// Position of the entry with that packet id.
    by_id: HashMap<u16, u64>,
    sent: VecDeque<Ticket>,
    /// Everything before it may be acknowledged.
    released: u64,
    connection: u64,
    /// How many may be held.
    most: usize,
    newest: Instant,
    /// How many were held when one was let go on suspicion.
    probed: Option<usize>,
    /// Acknowledged although no durable record has them.
    pub(crate) early: u64,
}

impl Held {
    pub(crate) fn new() -> Self {
        Self {
            entries: VecDeque::new(),
            by_id: HashMap::new(),
            sent: VecDeque::new(),
            released: 0,
            connection: 0,
            most: HELD_MAX,
            newest: Instant::now(),
            probed: None,
            early: 0,
        }
    }

    /// Messages not acknowledged, from `position` on.
    pub(crate) fn count_from(&self, position: u64) -> u64 {
        let before = self.entries.partition_point(|entry| entry.position < position);
        (self.entries.len() - before) as u64
    }

    /// A connection was made; whether the broker remembers what it sent over the one before.
    pub(crate) fn connected(&mut self, remembers: Known) {
        self.connection += 1;
        self.newest = Instant::now();
        if remembers == Known::No {
            self.entries.clear();
            self.by_id.clear();
            self.sent.clear();
        }
    }

    /// A message came that says it is sent again: whether it was delivered already.
    pub(crate) fn again(&mut self, ticket: Ticket) -> Known {
        let position = self.by_id.get(&ticket.id).copied();
        let index = position.and_then(|at| self.entries.binary_search_by_key(&at, |entry| entry.position).ok());
        if let Some(entry) = index.and_then(|index| self.entries.get_mut(index)).filter(|e| e.ticket == ticket) {
            entry.connection = self.connection;
            return Known::Yes;
        }
        if self.sent.contains(&ticket) {
            // Its acknowledgement got lost: it goes in front of all others.
            let entry = Entry { position: 0, ticket, connection: self.connection };
            self.entries.push_front(entry);
            self.by_id.insert(ticket.id, 0);
            return Known::Yes;
        }
        Known::No
    }

    /// A new message was delivered at `position`.
    pub(crate) fn take(&mut self, position: u64, ticket: Ticket, now: Instant) {
        if self.probed.is_some_and(|held| self.entries.len() + 1 == held) && now - self.newest < 2 * SUSPECT_AFTER {
            self.most = self.entries.len() / 2;
            tracing::warn!(
                bound = self.entries.len() + 1,
                "the broker sends no more than this many messages ahead; from half of them on, the oldest are \
                 acknowledged before their cycle is durable"
            );
        }
        self.probed = None;
        self.newest = now;
        self.by_id.insert(ticket.id, position);
        self.entries.push_back(Entry { position, ticket, connection: self.connection });
        let excess = self.entries.len().saturating_sub(self.most);
        self.let_go(excess);
    }

    /// Nothing came for a while: perhaps the broker waits for us.
    pub(crate) fn quiet(&mut self, now: Instant) {
        if self.probed.is_none() && self.entries.len() >= BOUND_MIN && now - self.newest >= SUSPECT_AFTER {
            self.probed = Some(self.entries.len());
            self.newest = now;
            self.let_go(1);
        }
    }

    fn let_go(&mut self, count: usize) {
        let Some(last) = count.checked_sub(1).and_then(|index| self.entries.get(index)) else { return };
        let until = last.position + 1;
        if until > self.released {
            self.early += until - self.released.max(self.entries.front().map_or(until, |entry| entry.position));
            self.released = until;
        }
    }

    /// Everything before `position` is durable.
    pub(crate) fn release(&mut self, position: u64) {
        self.released = self.released.max(position);
    }

    /// Hands on the acknowledgements that are due. `settled`: the broker has sent again all that it would.
    pub(crate) fn flush(&mut self, settled: Known, mut send: impl FnMut(Ticket) -> Sent) {
        while let Some(entry) = self.entries.front().copied().filter(|entry| entry.position < self.released) {
            let current = entry.connection == self.connection;
            if !current && settled == Known::No {
                return;
            }
            if current && send(entry.ticket) == Sent::Later {
                return;
            }
            self.entries.pop_front();
            if self.by_id.get(&entry.ticket.id) == Some(&entry.position) {
                self.by_id.remove(&entry.ticket.id);
            }
            self.sent.push_back(entry.ticket);
            let excess = self.sent.len().saturating_sub(SENT_MAX);
            self.sent.drain(..excess);
        }
    }

    /// The link was given up to have everything sent again.
    pub(crate) fn forget(&mut self) {
        self.entries.clear();
        self.by_id.clear();
        self.probed = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(id: u16) -> Ticket {
        Ticket { id, print: u64::from(id) * 7 }
    }

    fn held(count: u16) -> Held {
        let mut held = Held::new();
        held.connected(Known::No);
        (1..=count).for_each(|id| held.take(u64::from(id), ticket(id), Instant::now()));
        held
    }

    fn flushed(held: &mut Held, settled: Known) -> Vec<u16> {
        let mut sent = Vec::new();
        held.flush(settled, |ticket| {
            sent.push(ticket.id);
            Sent::Yes
        });
        sent
    }

    #[test]
    fn only_what_is_durable_is_acknowledged_and_in_order() {
        let mut held = held(5);
        assert!(flushed(&mut held, Known::Yes).is_empty());
        held.release(3);
        assert_eq!(flushed(&mut held, Known::Yes), [1, 2]);
        held.release(2);
        assert!(flushed(&mut held, Known::Yes).is_empty());
        assert_eq!((held.count_from(0), held.count_from(4)), (3, 2));
        held.release(9);
        held.flush(Known::Yes, |_| Sent::Later);
        assert_eq!(flushed(&mut held, Known::Yes), [3, 4, 5]);
    }

    #[test]
    fn what_is_sent_again_is_known_and_acknowledged_over_the_new_connection_only() {
        let mut held = held(3);
        held.release(4);
        held.connected(Known::Yes);
        assert!(flushed(&mut held, Known::No).is_empty(), "the broker has not sent them again yet");
        assert_eq!([held.again(ticket(1)), held.again(ticket(2))], [Known::Yes, Known::Yes]);
        assert_eq!(held.again(Ticket { print: 1, ..ticket(3) }), Known::No, "another message with that id");
        assert_eq!(flushed(&mut held, Known::No), [1, 2]);
        assert!(flushed(&mut held, Known::Yes).is_empty(), "the third is not the broker's any more");
        assert_eq!(held.count_from(0), 0);
        // Its acknowledgement got lost with the connection.
        held.connected(Known::Yes);
        assert_eq!(held.again(ticket(2)), Known::Yes);
        assert_eq!(flushed(&mut held, Known::No), [2]);
    }

    #[test]
    fn a_broker_that_forgot_has_nothing_to_be_acknowledged() {
        let mut held = held(3);
        held.connected(Known::No);
        held.release(9);
        assert!(flushed(&mut held, Known::Yes).is_empty());
        assert_eq!(held.again(ticket(1)), Known::No);
    }

    #[test]
    fn b1_more_than_the_bound_are_acknowledged_early_and_counted() {
        let mut held = Held::new();
        held.most = 4;
        (1..=10).for_each(|id| held.take(u64::from(id), ticket(id), Instant::now()));
        assert_eq!(flushed(&mut held, Known::Yes), [1, 2, 3, 4, 5, 6]);
        assert_eq!((held.early, held.count_from(0)), (6, 4));
    }

    #[test]
    fn a_bound_of_the_broker_is_found_out() {
        let mut held = held(20);
        let now = Instant::now() + SUSPECT_AFTER;
        held.quiet(now);
        assert_eq!((flushed(&mut held, Known::Yes), held.early), (vec![1], 1));
        held.quiet(now + SUSPECT_AFTER);
        assert!(flushed(&mut held, Known::Yes).is_empty(), "one suspicion at a time");
        held.take(21, ticket(21), now + Duration::from_millis(10));
        assert_eq!(held.most, 9);
        assert_eq!(held.count_from(0), 20);
        flushed(&mut held, Known::Yes);
        assert_eq!(held.count_from(0), 9);
    }
}
