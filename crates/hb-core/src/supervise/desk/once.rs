//! Requests that their senders name: each is carried out once, however often it is sent (S4).
//!
//! **Invariants.** What is remembered of a request is in the record that carries it out, so that neither is durable without the other. Refusals
//! change nothing and are not remembered: the same request may be taken later. Names belong to their senders. At most [`REQUESTS_MAX`] are
//! remembered; the oldest is forgotten first.

use super::super::Supervision;
use super::super::bounds::{REQUEST_KEY_MAX, REQUESTS_MAX};
use super::super::input::{Command, Person, RequestKey};
use super::super::state::{Made, Remembered};
use super::super::step::{Answer, Refusal, Reply, Why};
use crate::ids::Actor;
use crate::time::Now;

impl Supervision {
    /// Carries a command out, unless a request of this name was: then its answer is given again.
    pub(super) fn once(&mut self, person: &Person, request: &RequestKey, command: Command, now: Now) -> Reply {
        if request.key.is_empty() || request.key.chars().count() > REQUEST_KEY_MAX {
            let refusal =
                Refusal::new(Why::Invalid, format!("the name of a request has 1 to {REQUEST_KEY_MAX} characters"));
            return Err(refusal.field("Idempotency-Key", format!("1 to {REQUEST_KEY_MAX} characters")));
        }
        let name = Remembered::name(&person.actor, &request.key);
        if let Some(known) = self.state.requests.get(&name) {
            return known.again(request);
        }
        // One that is wrapped twice is one all the same.
        let command = if let Command::Once { command, .. } = command { *command } else { command };
        let answer = self.command(person, command, now)?;
        let made = match &answer {
            Answer::Made { id, version, notes } => {
                Some(Made { id: id.clone(), version: *version, notes: notes.clone() })
            }
            Answer::Done {} | Answer::Beat { .. } => None,
        };
        self.remember(name, request, made, now);
        Ok(answer)
    }

    fn remember(&mut self, name: String, request: &RequestKey, made: Option<Made>, now: Now) {
        let (mut newest, mut oldest) = (None, None);
        for (name, one) in self.state.requests.iter() {
            newest = newest.max(Some(one.number));
            if oldest.is_none_or(|(number, _)| one.number < number) {
                oldest = Some((one.number, name));
            }
        }
        let oldest = oldest.map(|(_, name)| name.clone()).filter(|_| self.state.requests.len() >= REQUESTS_MAX);
        if let Some(oldest) = oldest {
            self.state.requests.remove(&oldest);
        }
        let number = newest.map_or(0, |newest| newest.saturating_add(1));
        self.state.requests.insert(name, Remembered { number, of: request.of.clone(), at: now.wall, made });
    }
}

impl Remembered {
    /// Under which it is remembered: each sender has names of their own.
    #[must_use]
    pub fn name(by: &Actor, key: &str) -> String {
        format!("{by} {key}")
    }

    /// The answer that was given, to the same request.
    fn again(&self, request: &RequestKey) -> Reply {
        if self.of != request.of {
            let message = format!(
                "another request was carried out under the key `{}` at {}: name this one otherwise",
                request.key, self.at
            );
            return Err(Refusal::new(Why::Conflict, message).field("Idempotency-Key", "a new key for a new request"));
        }
        Ok(match self.made.clone() {
            Some(Made { id, version, notes }) => Answer::Made { id, version, notes },
            None => Answer::Done {},
        })
    }
}
