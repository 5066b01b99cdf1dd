//! What goes up the tree: the supervisor above evaluates its own policies about it, and hands it on or acts.

use super::super::alert::{Concern, Severity};
use super::super::event::About;
use super::super::{Cause, Supervision};
use crate::ids::{GroupId, SupervisorId};
use crate::time::Now;

impl Supervision {
    /// Hands something to the supervisor above. Gives what became of it, in words; where there is none above, people are told.
    pub(in super::super) fn escalate(
        &mut self,
        child: &SupervisorId,
        about: Option<&GroupId>,
        issue: &str,
        now: Now,
    ) -> String {
        let parent = self.state.supervisors.get(child).and_then(|one| one.parent.clone());
        let group = about.and_then(|id| self.state.groups.get(id)).cloned();
        let agents = group.as_ref().map(|group| group.affected_agents.clone()).unwrap_or_default();
        let severity = group.as_ref().map_or(Severity::Error, |group| group.severity).max(Severity::Error);
        let place = About { supervisor: Some(child.clone()), group: about.cloned(), ..About::default() };
        let Some(parent) = parent else {
            let why = format!("there is no supervisor above {child}: {issue}");
            let event = self.event("supervisor.escalation", Severity::Warning, place, &Cause::own(why.clone()), now);
            let agents = agents.into_iter().take(20).collect();
            self.tell(
                &format!("escalation/{event}"),
                Severity::Critical,
                (issue.into(), why),
                (child.clone(), agents),
                now,
            );
            return "not handed up: there is no supervisor above; people were told".into();
        };
        let why = format!("{child} hands up to {parent}: {issue}");
        let event = self.event("supervisor.escalation", severity, place, &Cause::own(why), now);
        let key = format!("{child}_{}", Concern::Escalation.as_str());
        let open = self.volatile.groups.get(&(parent.clone(), key.clone())).cloned();
        let known = open.is_some();
        let id = open.unwrap_or_else(|| self.new_group(&parent, key, Concern::Escalation, now));
        let worse = self.state.groups.get_mut(&id).is_some_and(|group| {
            let worse = severity > group.severity;
            group.severity = group.severity.max(severity);
            group.count(event);
            group.affected_agents.extend(agents);
            group.last_alert_at = now.wall;
            issue.clone_into(&mut group.correlation_summary);
            worse
        });
        self.window(&id, now);
        if worse || !known {
            self.evaluate_and_tell(&id, now);
        }
        format!("handed up to {parent} as {id}")
    }
}
