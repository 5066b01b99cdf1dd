//! See [`crate::fuzzing`].

use super::EtcdTarget;
use super::fault::Fault;
use super::wire::{LoggedIn, Ranged, Transacted, watched};
use crate::follow::Said;
use crate::line::Answer;

/// Reads an answer in each of the ways in which one may be read, and as a fault with this status; gives how many bytes were found in it.
#[must_use]
pub fn etcd_answer(target: &EtcdTarget, status: u16, body: &[u8]) -> usize {
    let ranged = serde_json::from_slice::<Ranged>(body)
        .map_or(0, |ranged| ranged.kvs.iter().map(|pair| pair.key.len() + pair.value.len()).sum::<usize>());
    let standing = serde_json::from_slice::<Transacted>(body)
        .ok()
        .and_then(Transacted::standing)
        .map_or(0, |pair| pair.key.len() + pair.value.len());
    let token = serde_json::from_slice::<LoggedIn>(body).map_or(0, |login| login.token.len());
    let fault = Fault::of_answer(target, "e", &Answer { status, retry_after: None, body: body.to_vec() });
    drop(fault.into_text());
    ranged.max(standing).max(token)
}

/// Reads a line of a watch: whether it tells of a cell.
///
/// # Errors
/// Why the watch is over.
pub fn etcd_watch(line: &[u8]) -> Result<bool, String> {
    watched(line).map(|said| match said {
        Said::Now(cell) => cell.is_some(),
        Said::Alive => false,
    })
}
