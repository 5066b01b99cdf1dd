//! Runs a program to its end or its time limit, and keeps the beginning of what it printed.
//!
//! **Invariants.** The program leads a process group of its own, which is killed when the time is up or nobody waits any more. At most [`SAID_BYTES`] of
//! its output are kept; the rest is read and thrown away, so it never waits for us.

use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

use crate::process::{NOT_INHERITED, readable};

/// Most bytes of output that are kept.
const SAID_BYTES: usize = 1024;
/// How long the rest of the output is waited for once the program has ended: its children may hold it open for ever.
const REST: Duration = Duration::from_millis(100);

/// What a run came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ran {
    /// It did not begin; why.
    NotStarted(String),
    /// It ended.
    Ended {
        /// Its exit status; none when a signal ended it.
        status: Option<i32>,
        /// The beginning of what it printed.
        said: String,
    },
    /// Its time was up, and its group was killed.
    TimedOut,
}

/// Runs it.
pub(super) async fn run(argv: &[String], env: &[(&str, &str)], timeout: Duration) -> Ran {
    let Some((program, args)) = argv.split_first() else { return Ran::NotStarted("the command is empty".into()) };
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in NOT_INHERITED {
        command.env_remove(name);
    }
    command.envs(env.iter().copied()).process_group(0).kill_on_drop(true);
    let child = match command.spawn() {
        Ok(child) => child,
        Err(fault) => {
            return Ran::NotStarted(format!("{program:?} cannot be run: {fault}: install it, or correct the command"));
        }
    };
    let mut group = Group(child);
    let said = Arc::new(Mutex::new(Vec::new()));
    let reader = read(group.0.stdout.take(), group.0.stderr.take(), Arc::clone(&said));
    let reading = tokio::spawn(reader);
    let ended = tokio::time::timeout(timeout, group.0.wait()).await;
    let Ok(ended) = ended else {
        reading.abort();
        return Ran::TimedOut;
    };
    let abort = reading.abort_handle();
    if tokio::time::timeout(REST, reading).await.is_err() {
        abort.abort();
    }
    let said = readable(&said.lock().unwrap_or_else(PoisonError::into_inner));
    match ended {
        Ok(status) => Ran::Ended { status: status.code(), said },
        Err(fault) => Ran::Ended { status: None, said: format!("its end cannot be learned: {fault}") },
    }
}

async fn read(out: Option<impl AsyncRead + Unpin>, err: Option<impl AsyncRead + Unpin>, said: Arc<Mutex<Vec<u8>>>) {
    tokio::join!(keep(out, &said), keep(err, &said));
}

async fn keep(from: Option<impl AsyncRead + Unpin>, said: &Mutex<Vec<u8>>) {
    let Some(mut from) = from else { return };
    let mut buffer = [0u8; SAID_BYTES];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        let room = SAID_BYTES.saturating_sub(said.len()).min(read);
        said.extend_from_slice(buffer.get(..room).unwrap_or_default());
    }
}

/// A program with its group. Its number is its own until it was waited for.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        let Some(pid) = self.0.id().and_then(|pid| i32::try_from(pid).ok()) else { return };
        if let Err(fault) = killpg(Pid::from_raw(pid), Signal::SIGKILL) {
            tracing::debug!(%fault, pid, "a group could not be killed");
        }
    }
}
