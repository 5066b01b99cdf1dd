//! Kinds of events about agents, how bad each is, the alert that it raises, and what it means.

use crate::supervise::alert::{Concern, Severity};

/// One kind of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// As it stands in [`crate::supervise::event::Event::kind`].
    pub name: &'static str,
    /// How bad.
    pub severity: Severity,
    /// The alert that it raises.
    pub concern: Option<Concern>,
    /// For the documents.
    pub meaning: &'static str,
}

macro_rules! kinds {
    ($($name:ident = $text:literal, $severity:ident, $concern:expr, $meaning:literal;)*) => {
        $(
            #[doc = $meaning]
            pub const $name: Kind =
                Kind { name: $text, severity: Severity::$severity, concern: $concern, meaning: $meaning };
        )*
        /// Every one of them.
        pub const ALL: &[Kind] = &[$($name),*];
    };
}

kinds! {
    REGISTERED = "agent.registered", Info, None, "The agent was made known.";
    RESPECIFIED = "agent.respecified", Info, None, "Its specification changed; a process takes it over with its next incarnation.";
    FORGOTTEN = "agent.forgotten", Info, None, "It was deleted.";
    WAITING = "agent.waiting", Info, None, "It is to be started, and waits for agents that it depends on, or for its supervisor.";
    STARTING = "agent.starting", Info, None, "Another incarnation of it begins.";
    STARTED = "agent.started", Info, None, "Its process runs.";
    READY = "agent.ready", Info, None, "It is up.";
    STATUS = "agent.status", Info, None, "It says of itself that it is idle, at work, or not well.";
    UNWELL = "agent.unwell", Warning, None, "It says of itself that it is not well.";
    ADOPTED = "agent.adopted", Info, None, "Its process still ran when hb started, and is watched again.";
    FOUND = "agent.lost.found", Info, None, "A start was under way when hb ended; its process was found and is watched.";
    LOST = "agent.lost", Warning, None, "A start was recorded, and there is no process of it: it is started again after its wait.";
    SPAWN_FAILED = "agent.spawn.failed", Error, Some(Concern::StartFailed), "Its process could not be started.";
    START_FAILED = "agent.start.failed", Error, Some(Concern::StartFailed), "It was started, and ended or stayed silent before it was up.";
    EXITED = "agent.exited", Error, Some(Concern::Died), "Its process ended, and nobody had asked for it.";
    FINISHED = "agent.finished", Info, None, "Its process ended with status 0, after which it is not restarted.";
    STOPPING = "agent.stopping", Info, None, "It was asked to end.";
    KILLED = "agent.killed", Warning, None, "It did not end within its grace; its whole group was killed.";
    UNKILLABLE = "agent.unkillable", Critical, Some(Concern::InDoubt), "It was killed, and does not end: the kernel holds it.";
    STOPPED = "agent.stopped", Info, None, "It ended, as was asked.";
    RESTART_SCHEDULED = "agent.restart.scheduled", Info, None, "It is started again, at once or after a wait.";
    RESTART_DECLINED = "agent.restart.declined", Warning, None, "It failed, and its restart rule says never.";
    GAVE_UP = "agent.gave_up", Critical, Some(Concern::GaveUp), "It was restarted too often: quarantined until somebody starts or releases it.";
    QUARANTINED = "agent.quarantined", Warning, None, "It was set aside.";
    RELEASED = "agent.released", Info, None, "Its quarantine or give-up was cleared.";
    BEAT_MISSED = "agent.beat.missed", Warning, Some(Concern::Silent), "A beat did not come in time.";
    DEGRADED = "agent.degraded", Error, Some(Concern::Silent), "Several beats did not come in time.";
    UNRESPONSIVE = "agent.unresponsive", Critical, Some(Concern::Silent), "So many beats were missed that it counts as failed.";
    BEAT_RESUMED = "agent.beat.resumed", Info, None, "It beats again.";
    CAME_BACK = "agent.came.back", Info, None, "It had failed, and is there again by itself.";
    PROBE_DOWN = "agent.probe.down", Error, Some(Concern::Down), "Probes find it down.";
    PROBE_UP = "agent.probe.up", Info, None, "Probes find it up again.";
    RESOURCES = "agent.resources", Warning, Some(Concern::Resources), "It uses more than it may, and is restarted.";
    IMPOSSIBLE = "agent.impossible", Error, None, "Something was reported that cannot be; nothing was changed. Please report it.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_explained() {
        let names: BTreeSet<&str> = ALL.iter().map(|kind| kind.name).collect();
        assert_eq!(names.len(), ALL.len());
        assert!(ALL.iter().all(|kind| kind.name.starts_with("agent.") && kind.meaning.ends_with('.')));
    }
}
