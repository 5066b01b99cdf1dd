//! A hook before every step on the file system, so that tests can let any one of them fail.

use std::path::Path;

use super::fault::Op;

/// What becomes of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is done.
    Go,
    /// It is not done, and fails with that error number.
    Fail(i32),
    /// It is done, but reported as failed with that error number: a lost reply.
    DoneButFail(i32),
}

/// Asked before every step.
pub trait Steps: Send + Sync {
    /// What shall become of it.
    fn before(&self, op: Op, path: &Path) -> Verdict;
}

/// Gives its verdict once, at the first step of a kind.
#[cfg(test)]
pub(crate) struct Script {
    op: Op,
    verdict: std::sync::Mutex<Option<Verdict>>,
}

#[cfg(test)]
impl Script {
    pub(crate) fn at(op: Op, verdict: Verdict) -> Self {
        Self { op, verdict: std::sync::Mutex::new(Some(verdict)) }
    }
}

#[cfg(test)]
impl Steps for Script {
    fn before(&self, op: Op, _: &Path) -> Verdict {
        if op == self.op { self.verdict.lock().unwrap().take().unwrap_or(Verdict::Go) } else { Verdict::Go }
    }
}
