//! What is checked, by the ids of SEMANTICS.md, and how a breach of it is told.

use std::fmt;

macro_rules! promises {
    ($($(#[$doc:meta])* $name:ident = $what:literal,)*) => {
        /// A promise that a checker of its own watches over.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Promise {
            $($(#[$doc])* $name,)*
        }

        impl Promise {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its id.
            #[must_use]
            pub fn id(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// What its checker looks at, in words.
            #[must_use]
            pub fn what(self) -> &'static str {
                match self {
                    $(Self::$name => $what,)*
                }
            }
        }
    };
}

promises! {
    /// Numbers.
    J1 = "numbers without gaps, each with one content for ever",
    /// Compare and set.
    J2 = "an append or swap that expected something else changes nothing",
    /// Durable.
    J3 = "what was acknowledged stands, with the same bytes",
    /// Damage is found; the chain holds.
    J4 = "each record names the one before it by hash and stream; nothing sound is taken for damaged",
    /// Three ends.
    J5 = "an append whose end is unknown is read back before anything else is appended",
    /// Trimming.
    J6 = "a number that was trimmed is never given again, and the newest record never goes",
    /// Once, in order.
    W1 = "every cycle decided exactly once, in order, without gaps in number and time",
    /// Pure.
    W2 = "decided again by a node that nothing ever happened to, it is the same byte for byte",
    /// Silence is decided.
    W3 = "a source that is quiet or gone yields cycles all the same",
    /// Every sample counts once.
    W4 = "every sample is in one cycle, or counted as late or dropped",
    /// Record, then act.
    W6 = "nothing told or shown before its record; every alert told or given up, and recorded so after that",
    /// One writer.
    H1 = "epochs grow, one process for each, and nobody appends in one that is over",
    /// Renewal hangs on the work; the lease goes by durations alone.
    H2 = "no renewal without progress, and no grant before the holder's time has run out",
    /// Takeover is the normal path.
    H3 = "once nothing fails any more, one node works and decides what is due, within a bound",
    /// Bounds.
    B1 = "journals, outboxes and queues stay within their bounds",
    /// hb never panics.
    Panic = "no task of hb panics",
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// Which.
    pub promise: Promise,
    /// When, in nanoseconds since the world began.
    pub at: u64,
    /// How, in words.
    pub what: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = std::time::Duration::from_nanos(self.at).as_secs_f64();
        write!(f, "{} at {seconds:.6} s: {}", self.promise, self.what)
    }
}
