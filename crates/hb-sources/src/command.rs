//! What a program prints.
//!
//! The program is started without a shell, in a process group of its own, with nothing on its standard input. It is started
//! when the source is first read, ended with the source, and started again by policy when it exits.
//!
//! **Invariants.** At most one program runs; what it printed before it exited is delivered before its exit is told.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use hb_core::mark::Mark;
use nix::poll::{PollFd, PollFlags};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::format::Format;
use crate::stream::{More, Stream, readable, wait};
use crate::{Limits, Polled, Rereads, Source, SourceError, wall};

/// What happens when the program exits with status 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnSuccess {
    /// The source is complete.
    End,
    /// It is started again after the first delay of the back-off.
    #[default]
    Restart,
}

/// When the program is started again. After a failure the delay doubles from `delay_first` up to `delay_max`; a run that
/// lasted longer than `delay_max` starts the row anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestartPolicy {
    /// What exit status 0 means.
    pub on_success: OnSuccess,
    /// First delay.
    pub delay_first: Duration,
    /// Longest delay.
    pub delay_max: Duration,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self { on_success: OnSuccess::Restart, delay_first: Duration::from_secs(1), delay_max: Duration::from_secs(60) }
    }
}

/// A program to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandSpec {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// How its lines are read.
    pub format: Format,
    /// When it is started again.
    pub restart: RestartPolicy,
}

/// Most of the program's standard error that is kept for messages, in bytes.
const STDERR_BYTES_MAX: usize = 2048;

/// How long the program has to end when asked, before it is killed.
const END_GRACE: Duration = Duration::from_millis(500);

/// How often an ending program is looked at.
const END_STEP: Duration = Duration::from_millis(5);

#[derive(Debug)]
struct Running {
    child: Child,
    output: File,
    errors: Option<File>,
    since: Instant,
    output_ended: bool,
}

#[derive(Debug)]
enum State {
    /// To be started at this time; why it does not run, when that is to be told.
    Due(Instant, Option<String>),
    Running(Running),
    /// It exited with status 0 and is not started again.
    Complete,
}

/// Reads a program's output.
#[derive(Debug)]
pub struct CommandSource {
    spec: CommandSpec,
    stream: Stream,
    state: State,
    stderr: VecDeque<u8>,
    failures: u32,
}

impl CommandSource {
    /// A source that will start the program when it is first read.
    #[must_use]
    pub fn new(spec: CommandSpec, limits: Limits) -> Self {
        let stream = Stream::new("command", label(&spec.argv), spec.format, limits);
        let state = State::Due(Instant::now(), None);
        Self { spec, stream, state, stderr: VecDeque::new(), failures: 0 }
    }

    fn start(&mut self) -> Result<(), SourceError> {
        let Some((program, arguments)) = self.spec.argv.split_first() else {
            return Err(SourceError::Invalid("a command source needs a program: argv is empty".to_owned()));
        };
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        self.stderr.clear();
        let spawned = command.spawn().and_then(|mut child| {
            let output = child.stdout.take().map(OwnedFd::from).map(File::from);
            let errors = child.stderr.take().map(OwnedFd::from).map(File::from);
            let output = output.ok_or_else(|| io::Error::other("the program has no standard output"))?;
            Ok(Running { child, output, errors, since: Instant::now(), output_ended: false })
        });
        match spawned {
            Ok(running) => {
                self.stream.restart_layout();
                self.state = State::Running(running);
                Ok(())
            }
            Err(error) => {
                let why = format!("cannot start {program}: {error}");
                let delay = self.back_off(Duration::ZERO);
                self.state = State::Due(Instant::now() + delay, Some(why.clone()));
                Err(SourceError::Retry(why))
            }
        }
    }

    /// The delay after a failure of a run that lasted `ran`.
    fn back_off(&mut self, ran: Duration) -> Duration {
        if ran > self.spec.restart.delay_max {
            self.failures = 0;
        }
        let delay = self.spec.restart.delay_first.saturating_mul(1 << self.failures.min(20));
        self.failures = self.failures.saturating_add(1);
        delay.min(self.spec.restart.delay_max)
    }

    /// One look at the running program.
    fn look(&mut self) -> Result<Option<Polled>, SourceError> {
        let State::Running(running) = &mut self.state else { return Ok(None) };
        let cannot =
            |error: io::Error| SourceError::Retry(format!("cannot read from {}: {error}", label(&self.spec.argv)));
        collect(&mut running.errors, &mut self.stderr);
        if !running.output_ended {
            let (batch, more) = self.stream.pull(&running.output).map_err(cannot)?;
            running.output_ended = more == More::Never;
            if let Some(batch) = batch {
                return Ok(Some(Polled::Batch(batch)));
            }
            if !running.output_ended {
                return Ok(None);
            }
        }
        if let Some(batch) = self.stream.last_line() {
            return Ok(Some(Polled::Batch(batch)));
        }
        let Some(status) = running.child.try_wait().map_err(cannot)? else { return Ok(None) };
        collect(&mut running.errors, &mut self.stderr);
        let ran = running.since.elapsed();
        self.exited(status, ran).map(Some)
    }

    fn exited(&mut self, status: ExitStatus, ran: Duration) -> Result<Polled, SourceError> {
        let looked_at = wall::now();
        if status.success() {
            self.failures = 0;
            return Ok(match self.spec.restart.on_success {
                OnSuccess::End => {
                    self.state = State::Complete;
                    Polled::End { mark: self.stream.mark() }
                }
                OnSuccess::Restart => {
                    self.state = State::Due(Instant::now() + self.spec.restart.delay_first, None);
                    Polled::Idle { mark: self.stream.mark(), looked_at }
                }
            });
        }
        let delay = self.back_off(ran);
        let said = String::from_utf8_lossy(self.stderr.make_contiguous()).trim().escape_debug().to_string();
        let said = if said.is_empty() { "nothing on standard error".to_owned() } else { said };
        let why = format!(
            "{} ended with {status}; it is started again in {delay:?}; it said: {said}",
            label(&self.spec.argv)
        );
        self.state = State::Due(Instant::now() + delay, Some(why.clone()));
        Err(SourceError::Retry(why))
    }

    /// Waits until the program prints, exits or `left` is over.
    fn await_news(&self, left: Duration) -> Result<(), SourceError> {
        let State::Running(running) = &self.state else { return Ok(()) };
        if running.output_ended {
            thread::sleep(left.min(END_STEP));
            return Ok(());
        }
        let mut fds = vec![PollFd::new(running.output.as_fd(), PollFlags::POLLIN)];
        fds.extend(running.errors.as_ref().map(|errors| PollFd::new(errors.as_fd(), PollFlags::POLLIN)));
        wait(&mut fds, left).map_err(|e| SourceError::Retry(format!("cannot wait for {}: {e}", label(&self.spec.argv))))
    }
}

impl Source for CommandSource {
    fn next(&mut self, patience: Duration) -> Result<Polled, SourceError> {
        let deadline = Instant::now() + patience;
        if let Some(gap) = self.stream.gap() {
            return Ok(Polled::Batch(gap));
        }
        loop {
            let looked_at = wall::now();
            let left = deadline.saturating_duration_since(Instant::now());
            match &self.state {
                State::Complete => return Ok(Polled::End { mark: self.stream.mark() }),
                State::Due(due, why) => {
                    let wait = due.saturating_duration_since(Instant::now());
                    if wait <= left {
                        thread::sleep(wait);
                        self.start()?;
                        continue;
                    }
                    thread::sleep(left);
                    return match why {
                        Some(why) => Err(SourceError::Retry(why.clone())),
                        None => Ok(Polled::Idle { mark: self.stream.mark(), looked_at }),
                    };
                }
                State::Running(_) => {
                    if let Some(polled) = self.look()? {
                        return Ok(polled);
                    }
                    if left.is_zero() {
                        return Ok(Polled::Idle { mark: self.stream.mark(), looked_at });
                    }
                    self.await_news(left)?;
                }
            }
        }
    }

    fn seek(&mut self, mark: Option<&Mark>) -> Result<(), SourceError> {
        self.stream.seek(mark)
    }

    fn rereads(&self) -> Rereads {
        Rereads::No
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Ok(group) = i32::try_from(self.child.id()).map(Pid::from_raw) else { return };
        // A child that has been waited for has no pid any more that is ours to signal.
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        // Fails only when the group is gone already.
        if killpg(group, Signal::SIGTERM).is_ok() {
            let deadline = Instant::now() + END_GRACE;
            while matches!(self.child.try_wait(), Ok(None)) {
                if Instant::now() >= deadline {
                    break;
                }
                thread::sleep(END_STEP);
            }
        }
        if matches!(self.child.try_wait(), Ok(None)) {
            if let Err(error) = killpg(group, Signal::SIGKILL) {
                tracing::warn!(%error, pid = self.child.id(), "cannot kill the program of a source");
                return;
            }
            if let Err(error) = self.child.wait() {
                tracing::warn!(%error, pid = self.child.id(), "cannot wait for the program of a source");
            }
        }
    }
}

/// Takes what is on standard error without waiting; keeps the newest bytes.
fn collect(errors: &mut Option<File>, kept: &mut VecDeque<u8>) {
    // Bounded: a program that writes errors faster than they are read must not keep its output from being read.
    const ROUNDS_MAX: usize = 64;
    let mut bytes = [0; 4096];
    for _ in 0..ROUNDS_MAX {
        let Some(file) = errors else { return };
        if !matches!(readable(file, Duration::ZERO), Ok(true)) {
            return;
        }
        match file.read(&mut bytes) {
            Ok(0) => *errors = None,
            Ok(count) => {
                kept.extend(bytes.iter().take(count));
                let surplus = kept.len().saturating_sub(STDERR_BYTES_MAX);
                kept.drain(..surplus);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => *errors = None,
        }
    }
}

fn label(argv: &[String]) -> String {
    format!("command {}", argv.first().map_or("", String::as_str))
}
