//! Names and numbers that must not be mixed up.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// A running `hb` process.
    NodeName
}
name! {
    /// A watch: a named, unending comparison of telemetry with a baseline.
    WatchName
}
name! {
    /// A stream of the journal: `watch/NAME`, `baseline/WATCH/TAG`, `supervisor/NAME`.
    StreamName
}

name! {
    /// One thing that is supervised, across all its incarnations.
    AgentId
}
name! {
    /// A supervisor of the tree; unique in its stream.
    SupervisorId
}
name! {
    /// A team of agents.
    TeamId
}
name! {
    /// A policy, across its versions.
    PolicyName
}
name! {
    /// An intervention, for ever; also the root of its idempotency keys.
    InterventionId
}
name! {
    /// A group of alerts that are told as one.
    GroupId
}
name! {
    /// Who asked for something: `operator:ada`, `policy:restart-on-drift`, `hb`, `config`.
    Actor
}

impl StreamName {
    /// The stream in which a tree of supervisors keeps its state.
    #[must_use]
    pub fn supervisor(name: &str) -> Self {
        Self(format!("supervisor/{name}").into())
    }

    /// The stream in which a watch's decisions stand.
    #[must_use]
    pub fn watch(name: &WatchName) -> Self {
        Self(format!("watch/{name}").into())
    }

    /// The stream in which the versions behind a watch's baseline tag stand.
    #[must_use]
    pub fn baseline(watch: &WatchName, tag: &str) -> Self {
        Self(format!("baseline/{watch}/{tag}").into())
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The one after this.
            ///
            /// # Panics
            /// After 2^64 of them.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0.checked_add(1).expect("fewer than 2^64 of anything are ever numbered"))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// Position of a record in its stream: 0, 1, 2 … without gaps (J1).
    Seq
}
number! {
    /// Number of a writer's reign over a stream; a larger one fences every smaller one (H1).
    Epoch
}
number! {
    /// Number of a cycle of a watch: 0, 1, 2 … without gaps (W1).
    CycleNo
}
