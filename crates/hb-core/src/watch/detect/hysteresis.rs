//! From broken rules to episodes: m of n cycles to raise, a run of clean ones to clear.
//!
//! **Invariants.** A track exists only from the first breach until nothing of it is left. Silence neither raises nor
//! clears a track of another rule: it is held, for a bounded number of cycles.

use serde::{Deserialize, Serialize};

use crate::ids::CycleNo;
use crate::time::Stamp;
use crate::watch::decision::{Direction, Rule};

/// How many cycles it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Breaches that raise …
    pub raise_m: u32,
    /// … out of this many cycles, at most 32.
    pub raise_of: u32,
    /// Clean cycles in a row that clear.
    pub clear_after: u32,
}

impl Pace {
    /// At once, and gone at once.
    pub const AT_ONCE: Self = Self { raise_m: 1, raise_of: 1, clear_after: 1 };
}

/// What a cycle showed of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Broken, that way, with enough evidence to be raised without a vote.
    Proven(Direction),
    /// Broken, that way.
    Broken(Direction),
    /// Neither broken nor clean.
    Lingering,
    /// Clean.
    Clean,
    /// The rule could not be tested, because the series sent nothing usable.
    Held,
}

/// One rule of one series, from its first breach on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Track {
    /// The rule.
    pub rule: Rule,
    /// Which way it was broken last.
    pub direction: Direction,
    /// Newest cycles, one bit each, the newest lowest: whether it was broken.
    pub bits: u32,
    /// Whether it is raised.
    #[serde(default, skip_serializing_if = "is_false")]
    pub raised: bool,
    /// Cycles in a row in which it was broken, up to now.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub streak: u32,
    /// Clean cycles in a row, up to now.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub clean: u32,
    /// Cycles in a row in which it could not be tested, up to now.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub held: u32,
    /// Cycle of the first breach.
    pub onset: CycleNo,
    /// Start of that cycle.
    pub onset_utc: Stamp,
}

fn is_zero(value: &u32) -> bool {
    *value == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_false(value: &bool) -> bool {
    !*value
}

impl Track {
    /// A track for a first breach that is yet to be stepped.
    #[must_use]
    pub fn open(rule: Rule, onset: CycleNo, onset_utc: Stamp) -> Self {
        let direction = Direction::None;
        Self { rule, direction, bits: 0, raised: false, streak: 0, clean: 0, held: 0, onset, onset_utc }
    }

    /// Takes a cycle in; nothing when nothing of it is left.
    #[must_use]
    pub fn step(mut self, seen: Seen, pace: Pace, now: (CycleNo, Stamp)) -> Option<Self> {
        let of = pace.raise_of.clamp(1, 32);
        let mask = u32::MAX >> (32 - of);
        let lingering_counts = seen == Seen::Lingering && self.raised;
        match seen {
            Seen::Held => {
                self.held = self.held.saturating_add(1);
                self.streak = 0;
                return (self.held <= of).then_some(self);
            }
            Seen::Proven(direction) | Seen::Broken(direction) => self.broken(direction, now),
            Seen::Lingering | Seen::Clean => {
                self.bits <<= 1;
                self.streak = if lingering_counts { self.streak.saturating_add(1) } else { 0 };
                self.clean = if lingering_counts { 0 } else { self.clean.saturating_add(1) };
            }
        }
        self.held = 0;
        self.raised |= matches!(seen, Seen::Proven(_)) || (self.bits & mask).count_ones() >= pace.raise_m.clamp(1, of);
        // A breach that the next cycle will have forgotten is of no use any more, nor is one of a run that is broken.
        let in_a_row = pace.raise_m >= of;
        let useful = if in_a_row { self.bits & 1 } else { mask >> 1 };
        let over = if self.raised { self.clean >= pace.clear_after.max(1) } else { self.bits & useful == 0 };
        (!over).then_some(self)
    }

    fn broken(&mut self, direction: Direction, now: (CycleNo, Stamp)) {
        if direction != self.direction && !self.raised {
            // Up once and down once is noise, not a shift.
            (self.bits, self.streak) = (0, 0);
            (self.onset, self.onset_utc) = now;
        }
        self.direction = direction;
        self.bits = (self.bits << 1) | 1;
        self.streak = self.streak.saturating_add(1);
        self.clean = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace { raise_m: 2, raise_of: 3, clear_after: 2 };

    /// `b` broken upwards, `d` downwards, `P` proven upwards, `l` lingering, `c` clean, `h` held; the answer has `.` gone, `p` pending, `R` raised.
    fn run(seen: &str, pace: Pace) -> String {
        let mut track: Option<Track> = None;
        let step = |(at, c): (u64, char)| {
            let now = (CycleNo(at), Stamp(0));
            let seen = match c {
                'b' => Seen::Broken(Direction::Up),
                'd' => Seen::Broken(Direction::Down),
                'P' => Seen::Proven(Direction::Up),
                'l' => Seen::Lingering,
                'c' => Seen::Clean,
                _ => Seen::Held,
            };
            let open = track.take().or_else(|| {
                matches!(seen, Seen::Broken(_) | Seen::Proven(_)).then(|| Track::open(Rule::Level, now.0, now.1))
            });
            track = open.and_then(|open| open.step(seen, pace, now));
            track.as_ref().map_or('.', |track| if track.raised { 'R' } else { 'p' })
        };
        (0_u64..).zip(seen.chars()).map(step).collect()
    }

    #[test]
    fn m_of_n_raises_and_a_clean_run_clears() {
        assert_eq!(run("bcbccc", PACE), "ppRR..");
        assert_eq!(run("bccb", PACE), "pp.p");
        assert_eq!(run("bblllcc", PACE), "pRRRRR.");
        assert_eq!(run("blb", PACE), "ppR");
        assert_eq!(run("bd", PACE), "pp");
        assert_eq!(run("Pccb", PACE), "RR.p");
        assert_eq!(run("dPcc", PACE), "pRR.");
        assert_eq!(run("bbd", PACE), "pRR");
    }

    #[test]
    fn silence_holds_but_not_for_ever() {
        assert_eq!(run("bbhhbcc", PACE), "pRRRRR.");
        assert_eq!(run("bbhhhhh", PACE), "pRRRR..");
        assert_eq!(run("bhbcc", PACE), "ppRR.");
    }

    #[test]
    fn persistence_of_five_takes_five_in_a_row() {
        let pace = Pace { raise_m: 5, raise_of: 5, clear_after: 1 };
        assert_eq!(run("bbbbcbbbbb", pace), "pppp.ppppR");
        assert_eq!(run("b", Pace::AT_ONCE), "R");
        assert_eq!(run("bc", Pace::AT_ONCE), "R.");
        assert_eq!(run("b", Pace { raise_m: 0, raise_of: 0, clear_after: 0 }), "R");
        assert_eq!(run("b", Pace { raise_m: 99, raise_of: 99, clear_after: 0 }), "p");
    }
}
