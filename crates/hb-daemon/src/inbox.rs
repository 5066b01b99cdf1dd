//! What reaches the work loop, in order of precedence: news of the lease, control, data.
//!
//! Bounds (B1): [`CONTROL_MAX`] control events and [`DATA_MAX`] data events wait; a sender at the bound waits too, so a source
//! is read no faster than it is worked off. Nothing is dropped here.

use std::sync::Arc;
use std::time::Duration;

use hb_core::ids::{CycleNo, NodeName, WatchName};
use hb_core::time::Stamp;
use hb_core::watch::sample::Batch;
use hb_core::watch::settings::WatchSettings;
use hb_runtime::channel::{self, First, Receiver, Sender, bounded};
use hb_store::port::Orders;

use crate::keeper::Told;

/// Most control events waiting.
pub const CONTROL_MAX: usize = 256;
/// Most data events waiting, over all sources.
pub const DATA_MAX: usize = 16;

/// What is not data.
#[derive(Debug)]
pub enum Control {
    /// Stop after writing what is to be written.
    Stop {
        /// Why.
        reason: String,
    },
    /// Work on under other settings; each is that of a watch that runs already.
    Reload(Vec<Arc<WatchSettings>>),
    /// Somebody asks that another node goes on.
    Switchover {
        /// Which; whoever stands first in line where none is named.
        to: Option<NodeName>,
        /// Who asks.
        by: String,
        /// Why.
        reason: String,
        /// Where to tell what became of asking.
        answer: Answer,
    },
    /// Somebody asks that nobody takes over.
    Pause {
        /// Who asks.
        by: String,
        /// Why.
        reason: String,
        /// Where to tell what became of asking.
        answer: Answer,
    },
    /// Standbys may take over again.
    Resume {
        /// Who asks.
        by: String,
        /// Where to tell what became of asking.
        answer: Answer,
    },
    /// A sink took an alert or gave it up.
    Delivered {
        /// The watch.
        watch: WatchName,
        /// The alert's cycle.
        cycle: CycleNo,
        /// The sink.
        sink: String,
        /// Tries that it took.
        tries: u32,
        /// Why it was given up.
        given_up: Option<String>,
    },
}

/// Where the orders are told that stand after one was given, or why it was not.
#[derive(Debug, Clone, Default)]
pub struct Answer(Option<Sender<Result<Orders, String>>>);

impl Answer {
    /// Tells it, if anybody still listens.
    pub(crate) fn tell(&self, answer: Result<Orders, String>) {
        if let Some(out) = &self.0 {
            // Whoever has stopped waiting looks at the orders instead.
            let _gone = out.try_send(answer);
        }
    }
}

/// What a source gave. `generation` tells apart what was read before and after it was opened anew.
#[derive(Debug)]
pub(crate) struct Data {
    pub(crate) watch: WatchName,
    pub(crate) generation: u64,
    pub(crate) what: Fed,
}

/// See [`Data`].
#[derive(Debug)]
pub(crate) enum Fed {
    Batch(Batch),
    Idle(Stamp),
    Ended,
    Failed { looked_at: Stamp, why: String },
}

/// Sends control events to a running node.
#[derive(Debug, Clone)]
pub struct Remote(pub(crate) Sender<Control>);

impl Remote {
    /// Sends one; gives whether anybody still listens.
    #[must_use]
    pub fn send(&self, control: Control) -> bool {
        self.0.send(control).is_ok()
    }

    /// Asks that another node goes on. Gives the orders that stand then; what comes of it is in [`Orders::settled`] later.
    ///
    /// # Errors
    /// Why it was not ordered, or is not known to be.
    pub fn switchover(
        &self,
        to: Option<NodeName>,
        by: String,
        reason: String,
        patience: Duration,
    ) -> Result<Orders, String> {
        self.ask(patience, |answer| Control::Switchover { to, by, reason, answer })
    }

    /// Asks that nobody takes over until it is resumed.
    ///
    /// # Errors
    /// Why it was not ordered, or is not known to be.
    pub fn pause(&self, by: String, reason: String, patience: Duration) -> Result<Orders, String> {
        self.ask(patience, |answer| Control::Pause { by, reason, answer })
    }

    /// Lets standbys take over again.
    ///
    /// # Errors
    /// Why it was not ordered, or is not known to be.
    pub fn resume(&self, by: String, patience: Duration) -> Result<Orders, String> {
        self.ask(patience, |answer| Control::Resume { by, answer })
    }

    fn ask(&self, patience: Duration, control: impl FnOnce(Answer) -> Control) -> Result<Orders, String> {
        let (out, told) = bounded(1);
        if self.0.send_timeout(control(Answer(Some(out))), patience).is_err() {
            return Err("the node has ended, or takes no more orders at the moment".into());
        }
        told.recv_timeout(patience)
            .unwrap_or_else(|_| Err(format!("no answer within {:.0} s; it may still be done", patience.as_secs_f64())))
    }
}

/// What came next.
#[derive(Debug)]
pub(crate) enum Next {
    Told(Told),
    Control(Control),
    Data(Data),
    Nothing,
}

/// The loop's side of both channels.
#[derive(Debug)]
pub(crate) struct Inbox {
    control: Receiver<Control>,
    data: Receiver<Data>,
    data_out: Sender<Data>,
    control_out: Sender<Control>,
    told: Receiver<Told>,
}

impl Inbox {
    pub(crate) fn new() -> Self {
        let (control_out, control) = bounded(CONTROL_MAX);
        let (data_out, data) = bounded(DATA_MAX);
        Self { control, data, data_out, control_out, told: Receiver::never() }
    }

    /// Listens to the keeper of the lease.
    pub(crate) fn listen(&mut self, told: Receiver<Told>) {
        self.told = told;
    }

    /// Listens to it no more.
    pub(crate) fn deafen(&mut self) {
        self.told = Receiver::never();
    }

    pub(crate) fn remote(&self) -> Remote {
        Remote(self.control_out.clone())
    }

    pub(crate) fn data_sender(&self) -> Sender<Data> {
        self.data_out.clone()
    }

    /// What the keeper has told, if it has.
    pub(crate) fn told(&self) -> Option<Told> {
        self.told.try_recv().ok()
    }

    /// Data events waiting.
    pub(crate) fn depth(&self) -> usize {
        self.data.len()
    }

    /// What does not wait for data, if there is any.
    fn urgent(&self) -> Option<Next> {
        if let Ok(told) = self.told.try_recv() {
            return Some(Next::Told(told));
        }
        self.control.try_recv().ok().map(Next::Control)
    }

    /// The next event, the most urgent first; waits at most `patience`.
    pub(crate) fn next(&self, patience: Duration) -> Next {
        if let Some(next) = self.urgent() {
            return next;
        }
        match channel::first(&self.told, &self.control, &self.data, patience) {
            First::A(told) => told.map_or(Next::Nothing, Next::Told),
            First::B(control) => control.map_or(Next::Nothing, Next::Control),
            First::C(data) => data.map_or(Next::Nothing, Next::Data),
            First::Nothing => Next::Nothing,
        }
    }

    /// The next event that is not data: while work is held up, data stays where it is.
    pub(crate) fn control_only(&self, patience: Duration) -> Next {
        if let Some(next) = self.urgent() {
            return next;
        }
        match channel::first(&self.told, &self.control, &Receiver::<()>::never(), patience) {
            First::A(told) => told.map_or(Next::Nothing, Next::Told),
            First::B(control) => control.map_or(Next::Nothing, Next::Control),
            First::C(_) | First::Nothing => Next::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idle(generation: u64) -> Data {
        Data { watch: "w".into(), generation, what: Fed::Idle(Stamp(0)) }
    }

    #[test]
    fn control_comes_before_data_and_data_keeps_its_order_and_its_bound() {
        let inbox = Inbox::new();
        let out = inbox.data_sender();
        for generation in 0..DATA_MAX as u64 {
            out.try_send(idle(generation)).unwrap();
        }
        assert!(out.try_send(idle(99)).is_err(), "B1: the inbox is full");
        assert_eq!(inbox.depth(), DATA_MAX);
        assert!(inbox.remote().send(Control::Stop { reason: "enough".into() }));
        assert!(matches!(inbox.next(Duration::ZERO), Next::Control(Control::Stop { .. })));
        assert!(matches!(inbox.control_only(Duration::ZERO), Next::Nothing));
        for generation in 0..DATA_MAX as u64 {
            assert!(matches!(inbox.next(Duration::ZERO), Next::Data(data) if data.generation == generation));
        }
        assert!(matches!(inbox.next(Duration::ZERO), Next::Nothing));
    }
}
