//! What reaches the work loop, in order of precedence: control before data.
//!
//! Bounds (B1): [`CONTROL_MAX`] control events and [`DATA_MAX`] data events wait; a sender at the bound waits too, so a source
//! is read no faster than it is worked off. Nothing is dropped here.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded, select};
use hb_core::ids::{CycleNo, WatchName};
use hb_core::time::Stamp;
use hb_core::watch::sample::Batch;
use hb_core::watch::settings::WatchSettings;

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
}

/// What came next.
#[derive(Debug)]
pub(crate) enum Next {
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
}

impl Inbox {
    pub(crate) fn new() -> Self {
        let (control_out, control) = bounded(CONTROL_MAX);
        let (data_out, data) = bounded(DATA_MAX);
        Self { control, data, data_out, control_out }
    }

    pub(crate) fn remote(&self) -> Remote {
        Remote(self.control_out.clone())
    }

    pub(crate) fn data_sender(&self) -> Sender<Data> {
        self.data_out.clone()
    }

    /// Data events waiting.
    pub(crate) fn depth(&self) -> usize {
        self.data.len()
    }

    /// The next event, control first; waits at most `patience`.
    pub(crate) fn next(&self, patience: Duration) -> Next {
        match self.control.try_recv() {
            Ok(control) => return Next::Control(control),
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => {}
        }
        select! {
            recv(self.control) -> control => control.map_or(Next::Nothing, Next::Control),
            recv(self.data) -> data => data.map_or(Next::Nothing, Next::Data),
            default(patience) => Next::Nothing,
        }
    }

    /// The next control event only: while work is held up, data stays where it is.
    pub(crate) fn control_only(&self, patience: Duration) -> Next {
        match self.control.recv_timeout(patience) {
            Ok(control) => Next::Control(control),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Next::Nothing,
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
