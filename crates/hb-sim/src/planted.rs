//! Faults that hb could have, put in on purpose: each must be found, by the promise that it breaks.
//!
//! They stand in the ports, where each does what a fault of the code behind it would do.

use crate::promise::Promise;

macro_rules! planted {
    ($($(#[$doc:meta])* $name:ident $word:literal breaks $($promise:ident)|+,)*) => {
        /// A planted fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Planted {
            $($(#[$doc])* $name,)*
        }

        impl Planted {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its name.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }

            /// The promises that it breaks: one of them is named when it is found.
            #[must_use]
            pub fn breaks(self) -> &'static [Promise] {
                match self {
                    $(Self::$name => &[$(Promise::$promise),+],)*
                }
            }
        }
    };
}

planted! {
    /// An append does not look whether its number is taken.
    NoCompare "no-compare" breaks J1|J2,
    /// A record that meets a taken number is put at the next free one.
    NextFree "next-free-number" breaks H1|J4,
    /// An append is acknowledged before it is durable.
    EarlyAck "acknowledged-before-durable" breaks J1|J3,
    /// An append whose end is unknown is taken as done.
    UnknownIsDone "unknown-taken-as-done" breaks J3,
    /// An append whose end is unknown is tried again without a look.
    UnknownAgain "unknown-tried-again" breaks J5,
    /// A floor forgets what it was.
    FloorForgets "floor-forgets" breaks J6|J1,
    /// The newest record is not read before a takeover.
    ShortRead "newest-not-read" breaks H3|W1|W6,
    /// An alert is told before its record is durable.
    TellFirst "told-before-recorded" breaks W6,
    /// An alert is told to nobody, and recorded as told.
    LostAlert "lost-outbox-entry" breaks W6,
    /// A view is shown before its record is durable.
    ShowFirst "shown-before-recorded" breaks W6,
    /// The lease's time is judged by wall clocks.
    WallTtl "wall-clock-ttl" breaks H2,
    /// A holder's clock is compared with one's own.
    ForeignClock "foreign-clock" breaks H2,
    /// The lease is renewed by a thread of its own, whatever the work does.
    IdleRenewal "renewal-without-progress" breaks H2,
    /// A renewal is said to have gone through that nobody has seen.
    BlindRenewal "blind-renewal" breaks H2,
    /// A swap of the lease does not look at what it replaces.
    BlindSwap "blind-swap" breaks J2|H2,
    /// Samples that a standby held are dropped when it takes over.
    WarmDropped "warm-samples-dropped" breaks W4,
    /// A source is read on one behind its mark.
    MarkOff "mark-off-by-one" breaks W4,
    /// A source is read on from before its mark, as if that were it.
    MarkBack "read-twice-after-seek" breaks W4|W2,
}

impl Planted {
    /// The planted fault of that name.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|planted| planted.word() == word)
    }
}
