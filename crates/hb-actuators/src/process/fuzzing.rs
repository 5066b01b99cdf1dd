//! See [`crate::fuzzing`].

use hb_core::supervise::input::Notified;

use super::{notify, proc};

/// What messages of `sd_notify` say, one after the other.
#[must_use]
pub fn notified<'a>(messages: impl IntoIterator<Item = &'a [u8]>) -> Vec<Notified> {
    let mut said = Vec::new();
    messages.into_iter().for_each(|message| notify::parse(message, &mut said));
    said
}

/// State, session and start of a process, of what `/proc/PID/stat` says.
#[must_use]
pub fn stat(bytes: &[u8]) -> Option<(u8, u32, u64)> {
    proc::parse(bytes).map(|stat| (stat.state, stat.session, stat.start_ticks))
}
