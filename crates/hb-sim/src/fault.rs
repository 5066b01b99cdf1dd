//! Everything that goes wrong, by name; and which of it, how often, in one world.

use crate::chance::Chance;

/// How often something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// So many times in a million requests.
    Request,
    /// Every so many milliseconds on average.
    World,
}

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident $word:literal $kind:ident,)*) => {
        /// A fault point.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Fault {
            $($(#[$doc])* $name,)*
        }

        impl Fault {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its name.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }

            fn kind(self) -> Kind {
                match self {
                    $(Self::$name => Kind::$kind,)*
                }
            }
        }
    };
}

faults! {
    /// A request to a store is lost.
    RequestLost "request-lost" Request,
    /// It is done, and the answer is lost.
    AnswerLost "answer-lost" Request,
    /// It is done long after the asker has given up.
    EffectLate "effect-late" Request,
    /// It is done, and done again later.
    EffectTwice "effect-twice" Request,
    /// It is refused for the moment.
    Refused "refused" Request,
    /// It takes long.
    Slow "slow" Request,
    /// The process dies just before it asks.
    DieBefore "die-before-request" Request,
    /// The process dies when it is done, before the answer.
    DieAfter "die-before-answer" Request,
    /// The lease is granted although somebody else has it.
    LeaseLies "lease-lies" Request,
    /// The source cannot be read.
    SourceFails "source-fails" Request,
    /// The source does not answer for a while.
    SourceStalls "source-stalls" Request,
    /// A sink takes nothing.
    SinkFails "sink-fails" Request,
    /// A sink takes it and answers late, or that it did not.
    SinkForgets "sink-forgets" Request,
    /// A document cannot be written or read.
    DocumentFails "document-fails" Request,
    /// A view cannot be brought up to date.
    ViewFails "view-fails" Request,
    /// A process is killed.
    Kill "kill" World,
    /// A machine is booted again.
    Reboot "reboot" World,
    /// All machines lose power at once.
    PowerLoss "power-loss" World,
    /// A process is stopped by a signal and goes on later, often beyond its lease.
    Stop "stop" World,
    /// A process's work loop hangs while its other threads go on.
    Hang "hang" World,
    /// A wall clock jumps.
    ClockJump "clock-jump" World,
    /// A clock runs at another rate.
    ClockDrift "clock-drift" World,
    /// A node is cut off from the journal.
    CutJournal "cut-journal" World,
    /// A node is cut off from the lease's store.
    CutLease "cut-lease" World,
    /// Answers of the journal or the lease's store do not reach a node, questions do.
    CutAnswers "cut-answers" World,
    /// The journal's store is away for all.
    JournalAway "journal-away" World,
    /// The lease's store is away for all.
    LeaseAway "lease-away" World,
    /// The journal's store is full.
    Full "full" World,
    /// An operator asks for a switchover.
    Switchover "switchover" World,
    /// An operator pauses failover, and resumes it later.
    Maintenance "maintenance" World,
    /// The configuration is read again, with other limits.
    Reload "reload" World,
    /// A node is stopped in order and started again.
    Restart "restart" World,
}

impl Fault {
    /// The fault of that name.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|fault| fault.word() == word)
    }

    /// Whether it strikes requests; else the world.
    #[must_use]
    pub fn strikes_requests(self) -> bool {
        self.kind() == Kind::Request
    }
}

/// Which faults there are in a world, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mix([u32; Fault::ALL.len()]);

impl Mix {
    /// A world in which nothing fails.
    pub const CALM: Self = Self([0; Fault::ALL.len()]);

    /// A swarm's mix (Groce, Zhang, Eide, Chen, Regehr, "Swarm Testing", 2012): each world leaves out most faults, so that those that would
    /// hide one another are met alone.
    #[must_use]
    pub fn drawn(chance: &mut Chance) -> Self {
        let mut mix = Self::CALM;
        let share = chance.one_of([60_000, 200_000, 350_000, 600_000]);
        for fault in Fault::ALL {
            if !chance.hits(share) {
                continue;
            }
            let often = match fault.kind() {
                Kind::Request => chance.one_of([1_000, 5_000, 20_000, 100_000]),
                Kind::World => chance.one_of([8_000, 20_000, 45_000, 120_000]),
            };
            mix = mix.with(*fault, often);
        }
        mix
    }

    /// How often: in a million requests, or every so many milliseconds; zero is never.
    #[must_use]
    pub fn of(&self, fault: Fault) -> u32 {
        self.0.get(fault as usize).copied().unwrap_or(0)
    }

    /// The mix with a fault as often as that.
    #[must_use]
    pub fn with(mut self, fault: Fault, often: u32) -> Self {
        if let Some(place) = self.0.get_mut(fault as usize) {
            *place = often;
        }
        self
    }

    /// Whether nothing comes between a node and the lease's store.
    #[must_use]
    pub fn leaves_the_lease_alone(&self) -> bool {
        use Fault::{
            AnswerLost, CutAnswers, CutLease, EffectLate, EffectTwice, Hang, LeaseAway, LeaseLies, Refused,
            RequestLost, Slow, Stop,
        };
        let between = [
            AnswerLost,
            CutAnswers,
            CutLease,
            EffectLate,
            EffectTwice,
            Hang,
            LeaseAway,
            LeaseLies,
            Refused,
            RequestLost,
            Slow,
            Stop,
        ];
        between.iter().all(|fault| self.of(*fault) == 0)
    }

    /// The faults that there are.
    pub fn on(&self) -> impl Iterator<Item = Fault> + '_ {
        Fault::ALL.iter().copied().filter(|fault| self.of(*fault) > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_and_found() {
        let words: std::collections::BTreeSet<_> = Fault::ALL.iter().map(|fault| fault.word()).collect();
        assert_eq!(words.len(), Fault::ALL.len());
        assert!(Fault::ALL.iter().all(|fault| Fault::named(fault.word()) == Some(*fault)));
    }

    #[test]
    fn a_swarm_has_worlds_with_and_without_each_fault() {
        let mixes: Vec<_> = (0..200).map(|seed| Mix::drawn(&mut Chance::new(seed))).collect();
        for fault in Fault::ALL {
            let with = mixes.iter().filter(|mix| mix.of(*fault) > 0).count();
            assert!((20..150).contains(&with), "{} in {with} of 200", fault.word());
        }
        assert!(mixes.iter().any(|mix| mix.on().count() <= 2) && mixes.iter().any(|mix| mix.on().count() >= 16));
    }
}
