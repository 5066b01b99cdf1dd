//! What is due when. Volatile: after a start it is made anew from the state.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{AgentId, GroupId, InterventionId, SupervisorId};
use crate::time::Moment;

/// Something that happens at a moment unless it is called off.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// Of an agent.
    Agent(AgentId, AgentTimer),
    /// An intervention goes on with its next step.
    NextStep(InterventionId),
    /// An intervention has taken too long.
    Deadline(InterventionId),
    /// An approval expires.
    Approval(InterventionId),
    /// The window of a group of alerts has passed.
    Group(GroupId),
    /// A supervisor beats.
    Beat(SupervisorId),
    /// A supervisor sweeps its policies.
    Sweep(SupervisorId),
    /// Deaths of the last moment are told together.
    Mass(SupervisorId),
    /// Resources are measured.
    Measure,
}

/// Timers of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AgentTimer {
    /// The wait before its next start is over.
    Start,
    /// It was not up in time.
    Ready,
    /// Look again whether it is up.
    CheckReady,
    /// The grace is over: kill.
    Kill,
    /// A beat is missed.
    Beat,
    /// A `WATCHDOG=1` is missed.
    Watchdog,
    /// Ask again.
    Probe,
    /// It has been up for long enough: its wait begins anew.
    Sustained,
}

impl AgentTimer {
    /// Every one of them.
    pub const ALL: [Self; 8] = [
        Self::Start,
        Self::Ready,
        Self::CheckReady,
        Self::Kill,
        Self::Beat,
        Self::Watchdog,
        Self::Probe,
        Self::Sustained,
    ];
}

/// All timers.
#[derive(Debug, Clone, Default)]
pub struct Timers {
    by_time: BTreeSet<(Moment, Timer)>,
    at: BTreeMap<Timer, Moment>,
}

impl Timers {
    /// Sets a timer, or moves it.
    pub fn set(&mut self, timer: Timer, at: Moment) {
        if let Some(before) = self.at.insert(timer.clone(), at) {
            self.by_time.remove(&(before, timer.clone()));
        }
        self.by_time.insert((at, timer));
    }

    /// Calls a timer off.
    pub fn clear(&mut self, timer: &Timer) {
        if let Some(before) = self.at.remove(timer) {
            self.by_time.remove(&(before, timer.clone()));
        }
    }

    /// Calls off every timer of an agent.
    pub fn clear_agent(&mut self, agent: &AgentId) {
        for kind in AgentTimer::ALL {
            self.clear(&Timer::Agent(agent.clone(), kind));
        }
    }

    /// When it is due.
    #[must_use]
    pub fn when(&self, timer: &Timer) -> Option<Moment> {
        self.at.get(timer).copied()
    }

    /// The next one, if it is due at `now`; it is off then.
    pub fn due(&mut self, now: Moment) -> Option<Timer> {
        let (at, _) = self.by_time.first()?;
        if *at > now {
            return None;
        }
        let (_, timer) = self.by_time.pop_first()?;
        self.at.remove(&timer);
        Some(timer)
    }

    /// When the next one is due.
    #[must_use]
    pub fn next(&self) -> Option<Moment> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Calls everything off.
    pub fn clear_all(&mut self) {
        self.by_time.clear();
        self.at.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_in_order_once_and_movable() {
        let mut timers = Timers::default();
        timers.set(Timer::Measure, Moment(5));
        timers.set(Timer::Beat("a".into()), Moment(3));
        timers.set(Timer::Measure, Moment(2));
        assert_eq!(timers.next(), Some(Moment(2)));
        assert_eq!(timers.due(Moment(1)), None);
        assert_eq!(timers.due(Moment(9)), Some(Timer::Measure));
        assert_eq!(timers.due(Moment(9)), Some(Timer::Beat("a".into())));
        assert_eq!((timers.due(Moment(9)), timers.next()), (None, None));
    }
}
