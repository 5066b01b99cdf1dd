//! Does a process use more than it may? Measured only while some process has a rule about it.

use super::super::acts::seconds_ns;
use super::super::agent::{Identity, Next, Process};
use super::super::input::Usage;
use super::super::spec::ResourceRule;
use super::super::step::Effect;
use super::super::timers::Timer;
use super::super::{Cause, Supervision};
use super::kinds;
use super::spans::in_words;
use crate::ids::AgentId;
use crate::time::{Moment, Now};

/// Nanoseconds between two measures.
const MEASURE_EVERY_NS: u64 = 5_000_000_000;
/// Seconds for which processor use has to be too high, when the rule does not say.
const CPU_FOR_SEC: f64 = 300.0;

impl Supervision {
    /// An agent that is up may have to be measured.
    pub(super) fn await_measure(&mut self, id: &AgentId, now: Now) {
        if self.measured(id).is_some() && self.volatile.timers.when(&Timer::Measure).is_none() {
            self.volatile.timers.set(Timer::Measure, now.moment.plus_ns(MEASURE_EVERY_NS));
        }
    }

    /// Processes are to be measured; the last one with a rule that goes ends it.
    pub(in crate::supervise) fn measure_due(&mut self, now: Now) {
        let ids: Vec<AgentId> = self.state.agents.keys().cloned().collect();
        let measured: Vec<_> = ids.into_iter().filter_map(|id| self.measured(&id).map(|who| (id, who))).collect();
        if !measured.is_empty() {
            self.effect(Effect::Measure(measured));
            self.volatile.timers.set(Timer::Measure, now.moment.plus_ns(MEASURE_EVERY_NS));
        }
    }

    fn measured(&self, id: &AgentId) -> Option<Identity> {
        let agent = self.state.agents.get(id)?;
        let rule = &agent.spec.process.as_ref()?.resources;
        let Process::Alive { identity, .. } = &agent.process else { return None };
        let wanted = *rule != ResourceRule::default() && agent.lifecycle.is_up() && self.is_monitored(agent);
        (wanted && !self.volatile.recovering.contains(id)).then(|| identity.clone())
    }

    /// What was measured.
    pub(super) fn used(&mut self, all: Vec<(AgentId, Usage)>, now: Now) {
        for (id, usage) in all {
            if self.measured(&id).is_none() {
                continue;
            }
            let Some(rule) = self.state.agents.get(&id).and_then(|agent| agent.spec.process.as_ref()) else { continue };
            let rule = rule.resources.clone();
            let busy = rule.cpu_percent.is_some_and(|most| usage.cpu_percent > most);
            let since = self.volatile.usage.get(&id).and_then(|(_, since)| *since);
            let since = busy.then(|| since.unwrap_or(now.moment));
            self.volatile.usage.insert(id.clone(), (usage, since));
            if let Some(why) = too_much(&rule, usage, since, now.moment) {
                self.restart_for(&id, &Cause::own(why), now);
            }
        }
    }

    /// It is restarted gracefully; that counts against its limit as a failure does.
    fn restart_for(&mut self, id: &AgentId, cause: &Cause, now: Now) {
        self.tell_of(id, kinds::RESOURCES, cause, now);
        if self.count_restart(id, now) {
            self.stop_process(id, Next::Start, cause, now);
        } else {
            self.give_up(id, cause, now);
        }
    }
}

fn too_much(rule: &ResourceRule, usage: Usage, busy_since: Option<Moment>, now: Moment) -> Option<String> {
    #[expect(clippy::cast_precision_loss, reason = "megabytes")]
    if let Some(most) = rule.memory_mb
        && usage.memory_mb > most as f64
    {
        return Some(format!("uses {:.0} MB of memory, and may use {most}", usage.memory_mb));
    }
    if let Some(most) = rule.open_files_percent
        && usage.open_files_percent > most
    {
        return Some(format!("has {:.0} % of its open files in use, and may have {most} %", usage.open_files_percent));
    }
    let sustained = seconds_ns(rule.cpu_for_sec.unwrap_or(CPU_FOR_SEC));
    let since = busy_since.filter(|since| now.since_ns(*since) >= sustained)?;
    let most = rule.cpu_percent?;
    let (span, cpu) = (in_words(now.since_ns(since)), usage.cpu_percent);
    Some(format!("has used more than {most} % of a core for {span}, now {cpu:.0} %"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_limited_is_not_looked_at() {
        let usage = Usage { memory_mb: 1e9, cpu_percent: 1e9, open_files_percent: 100.0 };
        assert_eq!(too_much(&ResourceRule::default(), usage, Some(Moment(0)), Moment(u64::MAX)), None);
        let nonsense = Usage { memory_mb: f64::NAN, cpu_percent: f64::NAN, open_files_percent: f64::NAN };
        let rule = ResourceRule { memory_mb: Some(1), open_files_percent: Some(1.0), ..ResourceRule::default() };
        assert_eq!(too_much(&rule, nonsense, None, Moment(0)), None);
        assert!(too_much(&rule, usage, None, Moment(0)).unwrap().contains("memory"));
    }

    #[test]
    fn processor_use_has_to_last() {
        let rule = ResourceRule { cpu_percent: Some(80.0), cpu_for_sec: Some(10.0), ..ResourceRule::default() };
        let usage = Usage { cpu_percent: 95.0, ..Usage::default() };
        assert_eq!(too_much(&rule, usage, Some(Moment(0)), Moment(9_000_000_000)), None);
        assert!(too_much(&rule, usage, Some(Moment(0)), Moment(10_000_000_000)).unwrap().contains("80 %"));
    }
}
