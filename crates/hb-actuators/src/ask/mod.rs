//! Asks and calls: probes, ready checks, and the controls of agents that hb did not start.
//!
//! One thread, `hb-ask`, with a small runtime. Questions and calls wait in queues of their own, so that neither holds up the other. Everything has a
//! time limit, which counts from when it is asked. A call whose end cannot be known is told as unknown, never as failed: whoever decides then looks at the
//! world, or asks a person (S4).

mod answer;
mod command;
mod web;

use std::io;
use std::thread::JoinHandle;
use std::time::Duration;

use hb_core::ids::{AgentId, InterventionId};
use hb_core::supervise::input::{Called, Input};
use hb_core::supervise::spec::{Check, Control, ReadyBy};
use hb_core::supervise::step::Effect;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::task::JoinSet;

use crate::process::NotTaken;
use answer::Answer;
use command::Ran;

/// Questions that are asked at once.
pub const QUESTIONS_AT_ONCE_MAX: usize = 512;
/// Calls that are made at once.
pub const CALLS_AT_ONCE_MAX: usize = 64;
/// Questions, and calls, that wait to be asked: one for each of [`hb_core::supervise::bounds::AGENTS_MAX`] agents, and some.
pub const WAITING_MAX: usize = 32_768;
/// How long a ready check may take.
const READY_TIMEOUT: Duration = Duration::from_secs(5);
/// Threads that look up names of hosts.
const LOOKUPS_MAX: usize = 16;

/// The handle. Dropping it gives up what is under way; programs that were being run are killed.
#[derive(Debug)]
pub struct Asker {
    questions: Option<mpsc::Sender<Effect>>,
    calls: Option<mpsc::Sender<Effect>>,
    thread: Option<JoinHandle<()>>,
}

impl Asker {
    /// Starts the thread. `emit` is called on it with each answer; while it blocks, nothing is asked.
    ///
    /// # Errors
    /// When the system refuses a thread or what a runtime needs.
    pub fn start(emit: Box<dyn Fn(Input) + Send>) -> io::Result<Self> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(LOOKUPS_MAX).build()?;
        let (questions, asked) = mpsc::channel(WAITING_MAX);
        let (calls, called) = mpsc::channel(WAITING_MAX);
        let thread = std::thread::Builder::new().name("hb-ask".into()).spawn(move || {
            runtime.block_on(run(asked, called, emit));
            // A name that is still being looked up must not hold up the end.
            runtime.shutdown_background();
        })?;
        Ok(Self { questions: Some(questions), calls: Some(calls), thread: Some(thread) })
    }

    /// Hands over `Probe`, `CheckReady` or `Call`. Does not wait.
    ///
    /// # Errors
    /// Gives the effect back when it was not taken.
    pub fn act(&self, effect: Effect) -> Result<(), NotTaken> {
        let to = match &effect {
            Effect::Probe { .. } | Effect::CheckReady { .. } => &self.questions,
            Effect::Call { .. } => &self.calls,
            Effect::Spawn { .. }
            | Effect::Look { .. }
            | Effect::Adopt { .. }
            | Effect::Signal { .. }
            | Effect::Measure(_)
            | Effect::Notify { .. }
            | Effect::Forget(_)
            | Effect::Leave => return Err(NotTaken::NotMine(Box::new(effect))),
        };
        let Some(to) = to else { return Err(NotTaken::Ended(Box::new(effect))) };
        to.try_send(effect).map_err(|refused| match refused {
            TrySendError::Full(effect) => NotTaken::Full(Box::new(effect)),
            TrySendError::Closed(effect) => NotTaken::Ended(Box::new(effect)),
        })
    }

    /// Gives up what is under way, and ends the thread.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        (self.questions, self.calls) = (None, None);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that asks agents panicked; please report it");
        }
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        self.end();
    }
}

/// Until nobody can ask any more.
async fn run(mut asked: mpsc::Receiver<Effect>, mut called: mpsc::Receiver<Effect>, emit: Box<dyn Fn(Input) + Send>) {
    let (mut questions, mut calls) = (JoinSet::new(), JoinSet::new());
    let clients = web::Clients::default();
    loop {
        tokio::select! {
            Some(done) = questions.join_next(), if !questions.is_empty() => told(done, &emit),
            Some(done) = calls.join_next(), if !calls.is_empty() => told(done, &emit),
            effect = asked.recv(), if questions.len() < QUESTIONS_AT_ONCE_MAX => match effect {
                Some(effect) => drop(questions.spawn(carry_out(effect, clients.clone()))),
                None => return,
            },
            effect = called.recv(), if calls.len() < CALLS_AT_ONCE_MAX => match effect {
                Some(effect) => drop(calls.spawn(carry_out(effect, clients.clone()))),
                None => return,
            },
        }
    }
}

fn told(done: Result<Option<Input>, tokio::task::JoinError>, emit: &dyn Fn(Input)) {
    match done {
        Ok(Some(input)) => emit(input),
        Ok(None) => {}
        Err(fault) => tracing::error!(%fault, "a question or call was lost; please report it"),
    }
}

async fn carry_out(effect: Effect, clients: web::Clients) -> Option<Input> {
    match effect {
        Effect::Probe { agent, check, timeout_ns } => {
            let Answer { good, said } = probe(&agent, check, Duration::from_nanos(timeout_ns), &clients).await;
            Some(Input::Probed { agent, good, said })
        }
        Effect::CheckReady { agent, incarnation, by } => {
            let Answer { good: up, said } = ready(&agent, by).await;
            Some(Input::ReadyChecked { agent, incarnation, up, said })
        }
        Effect::Call { intervention, step, key, agent, control, verb } => {
            let call = Call { intervention: &intervention, key: &key, agent: &agent, verb: &verb };
            let outcome = call.make(control).await;
            Some(Input::Called { intervention, step, outcome })
        }
        Effect::Spawn { .. }
        | Effect::Look { .. }
        | Effect::Adopt { .. }
        | Effect::Signal { .. }
        | Effect::Measure(_)
        | Effect::Notify { .. }
        | Effect::Forget(_)
        | Effect::Leave => None,
    }
}

async fn probe(agent: &AgentId, check: Check, timeout: Duration, clients: &web::Clients) -> Answer {
    match check {
        Check::Http(url) => web::get(&url, timeout, clients).await,
        Check::Tcp(address) => answer::connect(&address, timeout).await,
        Check::Command(argv) => by_command(agent, argv, timeout).await,
    }
}

async fn ready(agent: &AgentId, by: ReadyBy) -> Answer {
    match by {
        ReadyBy::Tcp(address) => answer::connect(&address, READY_TIMEOUT).await,
        ReadyBy::Command(argv) => by_command(agent, argv, READY_TIMEOUT).await,
        ReadyBy::Started | ReadyBy::Notify | ReadyBy::Beat => Answer::bad("it tells by itself that it is up"),
    }
}

async fn by_command(agent: &AgentId, argv: Vec<String>, timeout: Duration) -> Answer {
    match command::run(&argv, &[("HB_AGENT", agent.as_str())], timeout).await {
        Ran::NotStarted(why) => Answer::bad(why),
        Ran::Ended { status: Some(0), said } => Answer::good(if said.is_empty() { "status 0".into() } else { said }),
        Ran::Ended { status: Some(status), said } => Answer::bad(format!("status {status}: {said}")),
        Ran::Ended { status: None, said } => Answer::bad(format!("killed by a signal: {said}")),
        Ran::TimedOut => Answer::bad(format!("no answer within {} s", timeout.as_secs_f64())),
    }
}

/// One call of a control.
#[derive(Debug)]
struct Call<'a> {
    intervention: &'a InterventionId,
    key: &'a str,
    agent: &'a AgentId,
    verb: &'a str,
}

impl Call<'_> {
    async fn make(&self, control: Control) -> Called {
        match control {
            Control::Command { argv, timeout_sec, idempotent: _ } => self.run(&argv, seconds(timeout_sec)).await,
            Control::Webhook { url, timeout_sec, idempotent: _ } => self.post(&url, seconds(timeout_sec)).await,
        }
    }

    async fn run(&self, argv: &[String], timeout: Duration) -> Called {
        let argv: Vec<String> = argv.iter().map(|arg| self.fill(arg, str::to_owned)).collect();
        let env = [
            ("HB_KEY", self.key),
            ("HB_VERB", self.verb),
            ("HB_AGENT", self.agent.as_str()),
            ("HB_INTERVENTION", self.intervention.as_str()),
        ];
        match command::run(&argv, &env, timeout).await {
            Ran::NotStarted(why) => Called::Failed(why),
            Ran::Ended { status: Some(0), said } => Called::Done(said),
            Ran::Ended { status: Some(status), said } => Called::Failed(format!("status {status}: {said}")),
            Ran::Ended { status: None, said } => {
                Called::Unknown(format!("its command was killed by a signal before it said what it had done: {said}"))
            }
            Ran::TimedOut => Called::Unknown(format!(
                "its command had not ended after {} s and was killed; look whether it has done its work",
                timeout.as_secs_f64()
            )),
        }
    }

    async fn post(&self, url: &str, timeout: Duration) -> Called {
        let url = self.fill(url, web::percent);
        let body = serde_json::json!({
            "key": self.key,
            "verb": self.verb,
            "agent": self.agent,
            "intervention": self.intervention,
        });
        web::post(&url, self.key, body.to_string(), timeout).await
    }

    /// One pass, so that what is filled in is not looked through for further places.
    fn fill(&self, text: &str, quote: impl Fn(&str) -> String) -> String {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            let (before, from) = rest.split_at(open);
            filled.push_str(before);
            let places = [("{verb}", self.verb), ("{agent}", self.agent.as_str()), ("{key}", self.key)];
            match places.iter().find_map(|(place, value)| Some((from.strip_prefix(place)?, value))) {
                Some((after, value)) => {
                    filled.push_str(&quote(value));
                    rest = after;
                }
                None => {
                    filled.push('{');
                    rest = from.get(1..).unwrap_or_default();
                }
            }
        }
        filled + rest
    }
}

/// A time limit of a document; nonsense there is a second.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).ok().filter(|limit| !limit.is_zero()).unwrap_or(Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_once() {
        let (intervention, agent) = ("i-1".into(), AgentId::from("{key}"));
        let call = Call { intervention: &intervention, key: "k/1", agent: &agent, verb: "restart" };
        assert_eq!(call.fill("{verb} {agent} {x} {key}{", str::to_owned), "restart {key} {x} k/1{");
        assert_eq!(call.fill("http://h/{agent}/{key}", web::percent), "http://h/%7Bkey%7D/k%2F1");
    }

    #[test]
    fn limits_make_sense() {
        assert_eq!(seconds(f64::NAN), Duration::from_secs(1));
        assert_eq!(seconds(-1.0), Duration::from_secs(1));
        assert_eq!(seconds(0.5), Duration::from_millis(500));
    }
}
