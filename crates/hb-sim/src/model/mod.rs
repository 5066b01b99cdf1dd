//! The model check: the lease, journal and takeover protocol in worlds small enough to be searched whole, and the same protocol with a
//! rule left out, which has to be caught.
//!
//! | question | file |
//! |---|---|
//! | How is every state found, and the shortest way to a bad one? | `search.rs` |
//! | One writer, nothing lost, nothing told early, whatever the lease says and the network does | `protocol.rs` |
//! | One permit at a time, whatever clocks do within their bound | `clocks.rs` |

mod clocks;
mod protocol;
mod search;

pub use clocks::{Clocks, Rules};
pub use protocol::{Protocol, Size, Variant};
pub use search::{Bounds, End, Model, Searched, search};

/// How much is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// A few seconds: what every change is checked with.
    Bounded,
    /// Minutes, and gigabytes.
    Whole,
}

/// A search by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Which world, in words.
    pub name: String,
    /// None: it has to hold. Otherwise what has to break, by id.
    pub wanted: Option<&'static str>,
    /// What it came to.
    pub searched: Searched,
}

impl Outcome {
    /// Whether it came out as it has to: a sound one searched as far as was asked, without a violation; a broken one caught by the promise
    /// that it breaks.
    #[must_use]
    pub fn holds(&self) -> bool {
        match (&self.wanted, &self.searched.end) {
            (None, End::Exhausted | End::ToDepth) => true,
            (Some(id), End::Violated { what, .. }) => what.starts_with(id),
            (None, End::ToStates | End::Violated { .. }) | (Some(_), End::Exhausted | End::ToDepth | End::ToStates) => {
                false
            }
        }
    }
}

/// Most states of one search (B1): about four gigabytes.
const STATES_MAX: usize = 12_000_000;

/// Searches everything, and tells of each search as it ends.
pub fn run(extent: Extent, tell: &mut dyn FnMut(&Outcome)) -> Vec<Outcome> {
    let mut results = Vec::new();
    let mut done = |name: String, wanted, searched| {
        let result = Outcome { name, wanted, searched };
        tell(&result);
        results.push(result);
    };
    for (size, depth) in sizes(extent) {
        let Size { nodes, cycles, grants, crashes } = size;
        let name = format!("protocol: {nodes} nodes, {cycles} cycles, {grants} grants, {crashes} crashes");
        let model = Protocol { variant: Variant::Sound, size };
        done(name, None, search(&model, Bounds { depth, states: STATES_MAX }));
    }
    for nodes in crowds(extent) {
        let model = Clocks { rules: Rules::Sound, nodes: *nodes };
        let name = format!("clocks: {nodes} nodes, all of time");
        done(name, None, search(&model, Bounds { depth: usize::MAX, states: STATES_MAX }));
    }
    let size = Size { nodes: 2, cycles: 2, grants: 3, crashes: 1 };
    for (variant, wanted) in BROKEN {
        let model = Protocol { variant, size };
        done(format!("protocol: {variant:?}"), Some(wanted), search(&model, Bounds { depth: 40, states: STATES_MAX }));
    }
    for rules in [Rules::WallClockTtl, Rules::NoMargin, Rules::CountedFromAnswer, Rules::CountedOn] {
        let model = Clocks { rules, nodes: 2 };
        done(format!("clocks: {rules:?}"), Some("H2"), search(&model, Bounds { depth: 60, states: STATES_MAX }));
    }
    results
}

/// What is left out, and the promise that has to break.
const BROKEN: [(Variant, &str); 8] = [
    (Variant::NoEpochCheck, "H1"),
    (Variant::EpochReused, "H1"),
    (Variant::BlindPut, "J1"),
    (Variant::EffectBeforeRecord, "W6"),
    (Variant::UnknownIsDone, "J3"),
    (Variant::UnknownIsDecidedAnew, "J5"),
    (Variant::LostOutbox, "W6"),
    (Variant::FencedGoesOn, "H1"),
];

fn sizes(extent: Extent) -> Vec<(Size, usize)> {
    let size = |nodes, cycles, grants, crashes| Size { nodes, cycles, grants, crashes };
    match extent {
        Extent::Bounded => vec![(size(2, 1, 2, 1), usize::MAX), (size(3, 1, 2, 0), 14)],
        Extent::Whole => vec![
            (size(2, 1, 2, 1), usize::MAX),
            (size(2, 2, 2, 1), usize::MAX),
            (size(2, 1, 3, 1), usize::MAX),
            (size(3, 1, 2, 1), usize::MAX),
            (size(3, 2, 3, 1), 14),
        ],
    }
}

fn crowds(extent: Extent) -> &'static [u8] {
    match extent {
        Extent::Bounded => &[2],
        Extent::Whole => &[2, 3],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h1_h2_j1_j3_j5_w1_w6_hold_in_every_small_world_and_each_rule_left_out_is_caught() {
        let results = run(Extent::Bounded, &mut |_| {});
        for result in &results {
            assert!(result.holds(), "{result:#?}");
        }
        assert_eq!(results.iter().filter(|result| result.wanted.is_some()).count(), 12);
    }
}
