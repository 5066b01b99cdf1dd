//! Breadth first through every state that a model can reach: the first violation found has the shortest trace there is.
//!
//! **Invariants.** A state is looked at once. States are kept whole and compared as such, so no two are taken for one. The order is that
//! of the model's own steps: the same model gives the same figures and the same trace.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// A world small enough to be searched whole.
pub trait Model {
    /// All there is to know of it at one moment.
    type State: Clone + Eq + Hash + Debug;

    /// How it begins.
    fn begin(&self) -> Self::State;

    /// Every step that can come next, in words, with what it leads to.
    fn steps(&self, state: &Self::State, out: &mut Vec<(String, Self::State)>);

    /// What must hold in every state.
    ///
    /// # Errors
    /// The promise that does not, with its id.
    fn check(&self, state: &Self::State) -> Result<(), String>;
}

/// How far to search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Most steps from the beginning.
    pub depth: usize,
    /// Most states (B1): a search that reaches it is not exhaustive, and says so.
    pub states: usize,
}

/// What a search came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Searched {
    /// Different states.
    pub states: usize,
    /// Steps between them.
    pub steps: u64,
    /// Steps of the longest of the shortest ways from the beginning.
    pub depth: usize,
    /// How it ended.
    pub end: End,
    /// How long it took.
    pub took: Duration,
}

/// How a search ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Every state that can be reached was looked at, and holds.
    Exhausted,
    /// Every state within that many steps was looked at, and holds; there are more beyond.
    ToDepth,
    /// There were more states than were asked for; those looked at hold.
    ToStates,
    /// One does not hold.
    Violated {
        /// Which promise, and how.
        what: String,
        /// The shortest way there, step by step.
        trace: Vec<String>,
    },
}

struct Visited<S> {
    states: Vec<S>,
    /// How each was reached first: from which state, by which step.
    ways: Vec<Option<(usize, String)>>,
    known: HashMap<S, usize>,
}

impl<S: Clone + Eq + Hash> Visited<S> {
    fn add(&mut self, state: S, way: Option<(usize, String)>) -> bool {
        if self.known.contains_key(&state) {
            return false;
        }
        self.known.insert(state.clone(), self.states.len());
        self.states.push(state);
        self.ways.push(way);
        true
    }

    fn trace(&self, mut at: usize) -> Vec<String> {
        let mut trace = Vec::new();
        while let Some(Some((before, step))) = self.ways.get(at) {
            trace.push(step.clone());
            at = *before;
        }
        trace.reverse();
        trace
    }
}

/// Searches a model.
#[must_use]
pub fn search<M: Model>(model: &M, bounds: Bounds) -> Searched {
    let begun = Instant::now();
    let mut visited = Visited { states: Vec::new(), ways: Vec::new(), known: HashMap::new() };
    visited.add(model.begin(), None);
    let (mut at, mut depth, mut steps, mut layer_end) = (0, 0, 0_u64, 1);
    let mut next = Vec::new();
    let end = loop {
        let Some(state) = visited.states.get(at).cloned() else { break End::Exhausted };
        if at == layer_end {
            depth += 1;
            layer_end = visited.states.len();
        }
        if let Err(what) = model.check(&state) {
            break End::Violated { what, trace: visited.trace(at) };
        }
        if depth < bounds.depth {
            model.steps(&state, &mut next);
        }
        steps += u64::try_from(next.len()).unwrap_or(u64::MAX);
        for (step, reached) in next.drain(..) {
            visited.add(reached, Some((at, step)));
        }
        at += 1;
        if visited.states.len() > bounds.states {
            break End::ToStates;
        }
    };
    let end = if end == End::Exhausted && depth >= bounds.depth { End::ToDepth } else { end };
    Searched { states: visited.states.len(), steps, depth, end, took: begun.elapsed() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts up by one or two, to ten.
    struct Counter(u8);

    impl Model for Counter {
        type State = u8;

        fn begin(&self) -> u8 {
            0
        }

        fn steps(&self, state: &u8, out: &mut Vec<(String, u8)>) {
            for by in [1, 2] {
                if state + by <= 10 {
                    out.push((format!("+{by}"), state + by));
                }
            }
        }

        fn check(&self, state: &u8) -> Result<(), String> {
            if *state == self.0 { Err(format!("{state} is reached")) } else { Ok(()) }
        }
    }

    #[test]
    fn the_first_violation_has_the_shortest_trace_and_without_one_all_is_looked_at() {
        let bounds = Bounds { depth: 100, states: 100 };
        let found = search(&Counter(5), bounds);
        let End::Violated { what, trace } = found.end else { panic!("{found:?}") };
        assert_eq!((what.as_str(), trace.len()), ("5 is reached", 3));
        let whole = search(&Counter(99), bounds);
        assert_eq!((whole.states, whole.end, whole.depth), (11, End::Exhausted, 5));
        let shallow = search(&Counter(99), Bounds { depth: 2, states: 100 });
        assert_eq!((shallow.states, shallow.end), (5, End::ToDepth));
        assert_eq!(search(&Counter(99), Bounds { depth: 100, states: 3 }).end, End::ToStates);
    }
}
