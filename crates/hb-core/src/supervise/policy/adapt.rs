//! What do outcomes teach a policy?
//!
//! Effectiveness is an average that forgets: `a * outcome + (1 - a) * old`, with 1 for a success, 0.5 for a partial one and 0 for a failure, and `a` the
//! learning rate of the supervisor. Adaptive variables move with it: a success makes a threshold 1 % larger (it may ask for more), a failure
//! 1 % smaller, always within `min` and `max`. A partial success leaves them.
//!
//! How large a change is, is told *relative to the effectiveness before it*: below 10 % it is taken over, up to 20 % it is taken over and
//! told, above 20 % it waits for a person. From an effectiveness of 0 any rise is above 20 %. While a change waits, further outcomes are
//! added to it, so that nothing that was learned is lost; it goes on waiting until somebody settles it.
//!
//! **Invariants.** Effectiveness stays within 0 to 1, and variables within their bounds, whatever is learned in which order.

use std::collections::BTreeMap;
use std::fmt;

use super::super::step::{Refusal, Why};
use super::{HeldChange, Policy, Variable};
use crate::time::Stamp;

/// Relative change of effectiveness from which on it is told.
pub const TOLD_FROM: f64 = 0.1;
/// Relative change of effectiveness above which a person has to agree.
pub const HELD_ABOVE: f64 = 0.2;
/// What a success makes of a threshold.
const AFTER_SUCCESS: f64 = 1.01;
/// What a failure makes of a threshold.
const AFTER_FAILURE: f64 = 0.99;
/// Changes that differ from a bound by rounding alone are at the bound.
const ROUNDING: f64 = 1e-9;

/// How something that a policy did ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lesson {
    /// It healed what it was for.
    Success,
    /// In part.
    Partial,
    /// Not at all.
    Failure,
}

impl Lesson {
    /// As it stands in documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Partial => "partial",
            Self::Failure => "failure",
        }
    }

    /// Reads what [`Lesson::as_str`] writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Success, Self::Partial, Self::Failure].into_iter().find(|one| one.as_str() == text)
    }

    fn value(self) -> f64 {
        match self {
            Self::Success => 1.0,
            Self::Partial => 0.5,
            Self::Failure => 0.0,
        }
    }

    fn factor(self) -> f64 {
        match self {
            Self::Success => AFTER_SUCCESS,
            Self::Partial => 1.0,
            Self::Failure => AFTER_FAILURE,
        }
    }
}

/// What becomes of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// Taken over.
    Small,
    /// Taken over, and to be told.
    Notable,
    /// Waits for a person.
    Large,
}

/// What a person says to a held change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is taken over.
    TakeOver,
    /// It is dropped.
    Drop,
}

/// What was learned of one outcome.
#[derive(Debug, Clone, PartialEq)]
pub struct Learned {
    /// What becomes of it.
    pub size: Size,
    /// Effectiveness before and after.
    pub effectiveness: (f64, f64),
    /// Variables that move: name, before, after.
    pub moved: Vec<(String, f64, f64)>,
    /// Why, in words.
    pub justification: String,
}

/// Takes an outcome into account. `rate` is kept within 0.01 to 0.5.
pub fn learn(policy: &mut Policy, lesson: Lesson, rate: f64, at: Stamp) -> Learned {
    let rate = if rate.is_finite() { rate.clamp(0.01, 0.5) } else { 0.1 };
    if lesson == Lesson::Success {
        policy.successes = policy.successes.saturating_add(1);
    }
    let before = bounded(policy.effectiveness);
    let (from, variables) = match &policy.held {
        Some(held) => (bounded(held.effectiveness), held.variables.clone()),
        None => (before, policy.variables.clone()),
    };
    let after = bounded(rate * lesson.value() + (1.0 - rate) * from);
    let variables = moved(&variables, lesson);
    let change = relative(before, after);
    let size = match (&policy.held, change) {
        (Some(_), _) => Size::Large,
        (None, change) if change > HELD_ABOVE + ROUNDING => Size::Large,
        (None, change) if change >= TOLD_FROM - ROUNDING => Size::Notable,
        (None, _) => Size::Small,
    };
    let shifts: Vec<(String, f64, f64)> = policy
        .variables
        .iter()
        .filter_map(|(name, old)| variables.get(name).map(|new| (name.clone(), old.value, new.value)))
        .filter(|(_, old, new)| (old - new).abs() > 0.0)
        .collect();
    let waits = policy.held.is_some();
    let justification =
        Words { lesson, rate, effectiveness: (before, after), change, shifts: &shifts, size, waits }.to_string();
    match size {
        Size::Small | Size::Notable => {
            policy.effectiveness = after;
            policy.variables = variables;
        }
        Size::Large => {
            let since = policy.held.as_ref().map_or(at, |held| held.at);
            let justification = justification.clone();
            policy.held = Some(HeldChange { variables, effectiveness: after, justification, at: since });
        }
    }
    Learned { size, effectiveness: (before, after), moved: shifts, justification }
}

/// Takes a held change over, or drops it; gives it.
///
/// # Errors
/// None is held.
pub fn settle(policy: &mut Policy, verdict: Verdict) -> Result<HeldChange, Refusal> {
    let Some(held) = policy.held.take() else {
        return Err(Refusal::new(Why::Conflict, format!("no change of {} waits for anybody", policy.name)));
    };
    if verdict == Verdict::TakeOver {
        policy.effectiveness = bounded(held.effectiveness);
        policy.variables.clone_from(&held.variables);
    }
    Ok(held)
}

/// Variables after an outcome.
fn moved(variables: &BTreeMap<String, Variable>, lesson: Lesson) -> BTreeMap<String, Variable> {
    let after = variables.iter().map(|(name, variable)| {
        let value = variable.value * lesson.factor();
        // Bounds that are no bounds move nothing: `clamp` would not survive them.
        let sound = variable.adaptive && variable.min <= variable.max && value.is_finite();
        let value = if sound { value.clamp(variable.min, variable.max) } else { variable.value };
        (name.clone(), Variable { value, ..*variable })
    });
    after.collect()
}

fn bounded(effectiveness: f64) -> f64 {
    if effectiveness.is_finite() { effectiveness.clamp(0.0, 1.0) } else { super::versions::EFFECTIVENESS_START }
}

/// How large a change is, relative to what was.
fn relative(before: f64, after: f64) -> f64 {
    let change = (after - before).abs();
    if before > 0.0 {
        change / before
    } else if change > 0.0 {
        f64::INFINITY
    } else {
        0.0
    }
}

struct Words<'a> {
    lesson: Lesson,
    rate: f64,
    effectiveness: (f64, f64),
    change: f64,
    shifts: &'a [(String, f64, f64)],
    size: Size,
    waits: bool,
}

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, after) = self.effectiveness;
        write!(f, "{}: effectiveness {before:.3} to {after:.3} at a rate of {}", self.lesson.as_str(), self.rate)?;
        if self.change.is_finite() {
            write!(f, ", {:.1} % of what it was", self.change * 100.0)?;
        } else {
            write!(f, ", up from nothing")?;
        }
        for (name, before, after) in self.shifts {
            write!(f, "; {name} {before} to {after}")?;
        }
        match (self.size, self.waits) {
            (Size::Small, _) => Ok(()),
            (Size::Notable, _) => write!(f, "; a notable change, taken over"),
            (Size::Large, false) => write!(f, "; more than {:.0} %: a person has to agree", HELD_ABOVE * 100.0),
            (Size::Large, true) => write!(f, "; added to the change that waits for a person"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::agent::Origin;
    use super::*;

    fn policy(effectiveness: f64) -> Policy {
        let mut policy = Policy::empty("p".into(), Origin::Dynamic);
        policy.effectiveness = effectiveness;
        let variable = |adaptive| Variable { value: 0.8, min: 0.79, max: 0.804, adaptive };
        policy.variables = BTreeMap::from([("still".into(), variable(false)), ("moves".into(), variable(true))]);
        policy
    }

    #[test]
    fn effectiveness_is_an_average_that_forgets_and_variables_stay_in_bounds() {
        let mut one = policy(0.5);
        let learned = learn(&mut one, Lesson::Success, 0.1, Stamp(0));
        assert!((one.effectiveness - 0.55).abs() < 1e-12);
        assert_eq!(learned.size, Size::Notable, "a tenth is told");
        assert_eq!((one.variables["moves"].value, one.variables["still"].value), (0.804, 0.8));
        assert_eq!(one.successes, 1);
        let learned = learn(&mut one, Lesson::Failure, 0.05, Stamp(0));
        assert_eq!((learned.size, one.successes), (Size::Small, 1));
        assert!((one.variables["moves"].value - 0.804 * 0.99).abs() < 1e-12);
        let before = one.variables.clone();
        learn(&mut one, Lesson::Partial, 0.05, Stamp(0));
        assert_eq!(one.variables, before);
    }

    #[test]
    fn a_large_change_waits_and_gathers_what_is_learned_meanwhile() {
        let mut one = policy(0.2);
        let learned = learn(&mut one, Lesson::Success, 0.1, Stamp(7));
        assert_eq!(learned.size, Size::Large);
        assert!(
            learned.justification.contains("40.0 % of what it was")
                && learned.justification.contains("a person has to agree")
        );
        assert_eq!((one.effectiveness, one.variables["moves"].value), (0.2, 0.8), "nothing is taken over");
        learn(&mut one, Lesson::Success, 0.1, Stamp(9));
        let held = one.held.clone().unwrap();
        assert!((held.effectiveness - 0.352).abs() < 1e-12);
        assert_eq!(held.at, Stamp(7));
        settle(&mut one, Verdict::TakeOver).unwrap();
        assert!((one.effectiveness - 0.352).abs() < 1e-12);
        assert_eq!(settle(&mut one, Verdict::TakeOver).unwrap_err().why, Why::Conflict);
        let mut two = policy(0.2);
        learn(&mut two, Lesson::Success, 0.1, Stamp(7));
        settle(&mut two, Verdict::Drop).unwrap();
        assert_eq!((two.effectiveness, two.held), (0.2, None));
    }

    #[test]
    fn a_fifth_is_told_and_more_is_held() {
        // 0.5 to 0.6 is a fifth: (0.6 - 0.5) / 0.5.
        assert_eq!(learn(&mut policy(0.5), Lesson::Success, 0.2, Stamp(0)).size, Size::Notable);
        assert_eq!(learn(&mut policy(0.5), Lesson::Success, 0.21, Stamp(0)).size, Size::Large);
        assert_eq!(learn(&mut policy(0.5), Lesson::Failure, 0.2, Stamp(0)).size, Size::Notable);
        assert_eq!(learn(&mut policy(0.0), Lesson::Success, 0.01, Stamp(0)).size, Size::Large);
        assert_eq!(learn(&mut policy(0.0), Lesson::Failure, 0.1, Stamp(0)).size, Size::Small);
    }
}
