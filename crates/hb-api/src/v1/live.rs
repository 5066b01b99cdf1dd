//! What the page's stream takes of a supervisor: how it stands, what happened since, and the lines of agents that it happened to.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::http::HeaderMap;
use hb_core::ids::AgentId;
use hb_core::supervise::Supervision;
use hb_core::supervise::event::Event;
use hb_core::supervise::history::{EventFilter, Order, Page};

use super::access::{Needs, Reach};
use super::problem::Problem;
use super::seam::{Elsewhere, Standing};
use super::shapes::agent::AgentLine;
use super::{Api, call};

impl Api {
    /// Whether there is a supervisor behind it.
    pub(crate) fn supervises(&self) -> bool {
        self.inner.supervises
    }

    /// Whether the sender of a request may look.
    pub(crate) fn may_look(&self, headers: &HeaderMap, reach: Reach) -> Result<(), Problem> {
        let access = self.inner.access();
        access.admit(&access.who(headers)?, Needs::Look, reach)
    }

    /// How the supervisor stands.
    pub(crate) fn standing(&self) -> Standing {
        self.inner.supervisors.standing()
    }

    /// Where the active node of the supervisor can be asked, when it is another. May wait for nothing but a lock.
    pub(crate) fn elsewhere(&self) -> Option<Elsewhere> {
        self.inner.supervisors.elsewhere()
    }

    /// The number that the next event will have.
    pub(crate) fn next_event(&self) -> u64 {
        self.inner.supervisors.next_event()
    }

    /// Events from a number on, at most so many.
    pub(crate) async fn events_from(&self, from: u64, limit: usize) -> Result<Vec<Event>, Problem> {
        let page = Page { order: Order::OldestFirst, after: from.checked_sub(1), limit };
        call::history(&self.inner, move |supervisors| supervisors.events(&EventFilter::default(), page)).await
    }

    /// The lines of these agents as JSON, nothing for those that are gone; `None` when the supervisor does not answer at once.
    pub(crate) async fn lines(&self, ids: BTreeSet<AgentId>) -> Option<Vec<(AgentId, Option<String>)>> {
        let look = move |supervision: &Supervision| {
            let line = |id: AgentId| {
                let agent = supervision.state().agents.get(&id);
                let line = agent.map(|agent| AgentLine::of(supervision, agent));
                let text = line.and_then(|line| serde_json::to_string(&line).ok());
                (id, text)
            };
            ids.into_iter().map(line).collect()
        };
        call::look(&Arc::clone(&self.inner), call::GLANCE, look).await.ok()
    }
}
