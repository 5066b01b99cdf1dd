//! Who is told. A notification is durable before it leaves and until every sink has taken it or given it up: told rather twice than never.

use super::super::alert::{Notification, Severity};
use super::super::bounds::NOTIFICATIONS_MAX;
use super::super::event::About;
use super::super::step::Effect;
use super::super::{Cause, Supervision};
use crate::ids::{AgentId, SupervisorId};
use crate::time::Now;

use std::collections::BTreeSet;

impl Supervision {
    /// Tells all sinks. The key names what is told for ever: a second time it is the same.
    #[expect(clippy::too_many_arguments, reason = "a notification has these parts")]
    pub(super) fn tell(
        &mut self,
        key: &str,
        severity: Severity,
        (title, text): (String, String),
        (supervisor, agents): (SupervisorId, Vec<AgentId>),
        now: Now,
    ) {
        let all = self.volatile.sinks.clone();
        self.tell_some(all, key, severity, (title, text), (supervisor, agents), now);
    }

    /// Tells some sinks; unknown ones are left out and told as an event.
    #[expect(clippy::too_many_arguments, reason = "a notification has these parts")]
    pub(super) fn tell_some(
        &mut self,
        wanted: BTreeSet<String>,
        key: &str,
        severity: Severity,
        (title, text): (String, String),
        (supervisor, agents): (SupervisorId, Vec<AgentId>),
        now: Now,
    ) {
        let (sinks, unknown): (BTreeSet<_>, BTreeSet<_>) =
            wanted.into_iter().partition(|sink| self.volatile.sinks.contains(sink));
        if !unknown.is_empty() {
            let why = format!("no such sink: {}", unknown.into_iter().collect::<Vec<_>>().join(", "));
            self.event(
                "notification.no_sink",
                Severity::Warning,
                About::supervisor(&supervisor),
                &Cause::own(why),
                now,
            );
        }
        if sinks.is_empty() || self.state.notifications.contains(&key.to_owned()) {
            return;
        }
        self.make_room_for_notification(now);
        let notification = Notification {
            key: key.to_owned(),
            severity,
            title,
            text,
            agents,
            group: None,
            supervisor,
            at: now.wall,
            sinks: Some(sinks.clone()),
        };
        self.state.notifications.insert(key.to_owned(), notification.clone());
        self.effect(Effect::Notify { notification, sinks });
    }

    fn make_room_for_notification(&mut self, now: Now) {
        while self.state.notifications.len() >= NOTIFICATIONS_MAX {
            let oldest = self.state.notifications.values().min_by_key(|one| one.at).map(|one| one.key.clone());
            let Some(oldest) = oldest else { return };
            self.state.notifications.remove(&oldest);
            self.state.counters.notifications_dropped = self.state.counters.notifications_dropped.saturating_add(1);
            let why = format!("{oldest} was dropped: {NOTIFICATIONS_MAX} notifications wait for their sinks");
            self.event("notification.dropped", Severity::Error, About::default(), &Cause::own(why), now);
        }
    }

    /// A sink took a notification, or gave it up.
    pub(in super::super) fn delivered(&mut self, key: &str, sink: &str, given_up: Option<String>, now: Now) {
        let Some(notification) = self.state.notifications.get_mut(&key.to_owned()) else { return };
        let left = notification.sinks.get_or_insert_default();
        left.remove(sink);
        let (over, about) = (left.is_empty(), About::supervisor(&notification.supervisor));
        if over {
            self.state.notifications.remove(&key.to_owned());
        }
        if let Some(why) = given_up {
            let cause = Cause::own(format!("{sink} did not take {key}: {why}"));
            self.event("notification.given_up", Severity::Error, about, &cause, now);
        }
    }

    /// The sinks that there are; what waits for one that is gone is given up.
    pub(in super::super) fn sinks(&mut self, sinks: BTreeSet<String>, now: Now) {
        let gone: Vec<(String, String)> = self
            .state
            .notifications
            .values()
            .flat_map(|one| one.sinks.iter().flatten().map(|sink| (one.key.clone(), sink.clone())))
            .filter(|(_, sink)| !sinks.contains(sink))
            .collect();
        self.volatile.sinks = sinks;
        for (key, sink) in gone {
            self.delivered(&key, &sink, Some("there is no such sink any more".into()), now);
        }
    }

    /// A reign begins: what no sink has confirmed is told again, under the same key.
    pub(super) fn resume_notifications(&mut self) {
        let waiting: Vec<Notification> = self.state.notifications.values().cloned().collect();
        // First of all that a reign does: what the opening itself has to tell is told once.
        for notification in waiting {
            let sinks = notification.sinks.clone().unwrap_or_default();
            self.effect(Effect::Notify { notification, sinks });
        }
    }
}
