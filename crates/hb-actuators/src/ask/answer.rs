//! A yes or no with what was found, and the simplest question: whether a port accepts a connection.

use std::time::Duration;

use crate::process::readable;

/// What a question came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) good: bool,
    pub(super) said: String,
}

impl Answer {
    pub(super) fn good(said: String) -> Self {
        Self { good: true, said: readable(said.as_bytes()) }
    }

    pub(super) fn bad(said: impl Into<String>) -> Self {
        Self { good: false, said: readable(said.into().as_bytes()) }
    }
}

/// Whether `ADDRESS:PORT` accepts a connection.
pub(super) async fn connect(address: &str, timeout: Duration) -> Answer {
    match tokio::time::timeout(timeout, tokio::net::TcpStream::connect(address)).await {
        Ok(Ok(_)) => Answer::good(format!("{address} accepts connections")),
        Ok(Err(fault)) => Answer::bad(format!("{address}: {fault}")),
        Err(_) => Answer::bad(format!("{address}: no connection within {} s", timeout.as_secs_f64())),
    }
}
