//! The thread of the hands: waits for deaths, messages and effects, and does each at once; long walks are done in slices between them.

mod finding;

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, TryRecvError};
use hb_core::ids::AgentId;
use hb_core::supervise::agent::Identity;
use hb_core::supervise::input::{Input, Usage};
use hb_core::supervise::spec::{AgentSpec, ProcessSpec};
use hb_core::supervise::step::Effect;
use hb_sys::{Note, Stack};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::EventFd;

use self::finding::There;
use super::cgroup::{self, Cgroups};
use super::end::{self, Child};
use super::fence::Fence;
use super::notify::{self, Ear};
use super::output::Outputs;
use super::scan::{Guard, Scan, Sweep, Wanted};
use super::start::{self, Own, Start};
use super::table::{Table, Token, Watched};
use super::{Counts, HandsSettings, look, proc, usage};

/// Events that are taken in one go.
const EVENTS_AT_ONCE: usize = 256;
/// Effects that are carried out before deaths are looked for again.
const EFFECTS_AT_ONCE: usize = 16;
/// Processes that are measured in one go.
const MEASURED_AT_ONCE: usize = 16;
/// Milliseconds until processes that are becoming programs are looked at again.
const BECOMING_MS: u8 = 1;
/// How often a slice of a walk waits for effects.
const PUT_OFF_MAX: u32 = 32;
/// How long after a death its session is swept; its group is killed at once.
const SWEEP_AFTER: Duration = Duration::from_millis(50);
/// When something that the system refused for want of means is tried again.
const POSTPONED: Duration = Duration::from_millis(200);

/// A measurement under way.
#[derive(Debug, Default)]
struct Measure {
    waiting: VecDeque<(AgentId, Identity)>,
    done: Vec<(AgentId, Usage)>,
}

/// What the thread has.
pub(super) struct Worker {
    settings: HandsSettings,
    boot: String,
    inbox: Receiver<Effect>,
    wake: Arc<EventFd>,
    counts: Arc<Counts>,
    emit: Box<dyn Fn(Input) + Send>,
    fence: Fence,
    own: Own,
    null: OwnedFd,
    stack: Stack,
    outputs: Outputs,
    cgroups: Cgroups,
    table: Table,
    /// The walk under way, and what waits for the next.
    scan: Option<Scan>,
    soon: bool,
    /// How often it was put off since its last slice.
    put_off: u32,
    sweeps: Vec<Sweep>,
    /// When the walk for these begins.
    sweep_at: Instant,
    looks: Vec<Wanted>,
    measures: VecDeque<Measure>,
    /// What could not be done, and when it is tried again.
    postponed: Vec<Effect>,
    postponed_to: Instant,
}

impl Worker {
    pub(super) fn new(
        settings: HandsSettings,
        inbox: Receiver<Effect>,
        wake: Arc<EventFd>,
        counts: Arc<Counts>,
        emit: Box<dyn Fn(Input) + Send>,
    ) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&*wake, EpollEvent::new(EpollFlags::EPOLLIN, Token::Wake.to_data()))?;
        let outputs = Outputs::start(&settings.log_dir, Arc::clone(&counts.output))?;
        let fence = Fence::take(&settings.run_dir)?;
        Ok(Self {
            boot: proc::boot()?,
            inbox,
            wake,
            counts,
            emit,
            fence,
            own: Own::take(),
            null: std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?.into(),
            stack: Stack::new(),
            outputs,
            cgroups: Cgroups::find(settings.node.as_str()),
            table: Table::new(epoll),
            scan: None,
            soon: false,
            put_off: 0,
            sweeps: Vec::new(),
            sweep_at: Instant::now(),
            looks: Vec::new(),
            measures: VecDeque::new(),
            postponed: Vec::new(),
            postponed_to: Instant::now(),
            settings,
        })
    }

    pub(super) fn run(mut self) {
        let mut events = [EpollEvent::empty(); EVENTS_AT_ONCE];
        loop {
            let count = match self.table.epoll().wait(&mut events, self.timeout()) {
                Ok(count) => count,
                Err(Errno::EINTR) => 0,
                Err(fault) => {
                    tracing::error!(%fault, "the hands cannot wait for anything any more");
                    return;
                }
            };
            for event in events.iter().take(count) {
                match Token::from_data(event.data()) {
                    Token::Wake => self.woken(),
                    Token::Process(number) => self.ended(number),
                    Token::Ear(number) => self.hear(number),
                }
            }
            if !self.effects() {
                return;
            }
            self.take_up_again();
            self.outputs.pass_on();
            self.walk_when_there_is_time();
            self.measure();
            self.counts.watched.store(self.table.len() as u64, Ordering::Relaxed);
        }
    }

    /// Not at all while there is work, a moment for what need not be at once, else for ever.
    fn timeout(&self) -> EpollTimeout {
        let busy = !self.inbox.is_empty() || !self.measures.is_empty();
        match &self.scan {
            _ if busy => EpollTimeout::ZERO,
            Some(_) if self.soon => EpollTimeout::from(BECOMING_MS),
            Some(_) => EpollTimeout::ZERO,
            None if !self.looks.is_empty() => EpollTimeout::ZERO,
            None => self.later(),
        }
    }

    /// Until the next thing that was put off.
    fn later(&self) -> EpollTimeout {
        let sweep = (!self.sweeps.is_empty()).then_some(self.sweep_at);
        let postponed = (!self.postponed.is_empty()).then_some(self.postponed_to);
        let Some(next) = sweep.into_iter().chain(postponed).min() else { return EpollTimeout::NONE };
        let left = next.saturating_duration_since(Instant::now());
        EpollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(EpollTimeout::ZERO)
    }

    /// Has the session of an ended leader emptied. Not at once: whoever is to be started again comes first.
    fn sweep(&mut self, sweep: Sweep) {
        if self.sweeps.is_empty() {
            self.sweep_at = Instant::now() + SWEEP_AFTER;
        }
        self.sweeps.push(sweep);
    }

    /// Whoever is to be started goes before the walk, which is put off so often at most.
    fn walk_when_there_is_time(&mut self) {
        self.put_off += 1;
        if self.inbox.is_empty() || self.put_off > PUT_OFF_MAX {
            self.put_off = 0;
            self.walk();
        }
    }

    fn woken(&self) {
        match self.wake.read() {
            Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(fault) => tracing::error!(%fault, "the hands cannot be woken"),
        }
    }

    /// Carries out some. Gives whether to go on.
    fn effects(&mut self) -> bool {
        for _ in 0..EFFECTS_AT_ONCE {
            match self.inbox.try_recv() {
                Ok(effect) => self.act(effect),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
        true
    }

    fn act(&mut self, effect: Effect) {
        match effect {
            Effect::Spawn { agent, incarnation, key, spec, recovering } => {
                let mut env = told(&agent, incarnation, &key);
                env.extend(recovering.then(|| ("HB_RECOVERY", "1".into())));
                match self.spawn(&agent, &key, &spec, env) {
                    Ok(identity) => (self.emit)(Input::Spawned { agent, incarnation, identity }),
                    Err(error) => (self.emit)(Input::SpawnFailed { agent, incarnation, error }),
                }
            }
            Effect::Look { agent, incarnation, key, spec } => self.look(agent, incarnation, key, spec),
            Effect::Adopt { agent, identity, spec } => self.adopt(agent, identity, spec),
            Effect::Signal { agent, identity, signal } => self.signal(agent, identity, &signal),
            Effect::Measure(waiting) => {
                self.measures.push_back(Measure { waiting: waiting.into(), done: Vec::new() });
            }
            Effect::Forget(agent) => self.forget(&agent),
            Effect::CheckReady { .. }
            | Effect::Probe { .. }
            | Effect::Call { .. }
            | Effect::Notify { .. }
            | Effect::Leave => tracing::error!(?effect, "an effect that is not for the hands"),
        }
    }

    fn forget(&mut self, agent: &AgentId) {
        self.table.forget(agent);
        self.outputs.forget(agent);
        self.looks.retain(|wanted| wanted.agent != *agent);
        self.postponed.retain(|effect| !concerns(effect, agent));
        if let Some(scan) = &mut self.scan {
            scan.forget(agent);
        }
        look::forget(&self.settings.run_dir, agent);
    }

    /// Starts a program; nothing is left where it fails.
    fn spawn(
        &mut self,
        agent: &AgentId,
        key: &str,
        spec: &AgentSpec,
        env: Vec<(&'static str, OsString)>,
    ) -> Result<Identity, String> {
        let process = spec.process.as_deref().ok_or("it is not an agent with a `process`")?;
        let usable = !agent.as_str().starts_with('.') && agent.as_str().bytes().all(|byte| byte != b'/' && byte > b' ');
        if !usable {
            return Err(format!("the name {agent:?} cannot be the name of a file: use letters, digits, `.`, `_`, `-`"));
        }
        let output = self.outputs.open(agent).map_err(|fault| format!("its output cannot be opened: {fault}"))?;
        let group = cgroup::asked(&process.limits).then(|| self.cgroups.prepare(agent.as_str(), &process.limits));
        let (dir, procs) = group.transpose()?.map_or((None, None), |ready| (Some(ready.dir), Some(ready.procs)));
        let env = self.with_ear(agent, process, env)?;
        let stdin = self.null.try_clone().map_err(|fault| format!("/dev/null: {fault}"))?;
        let note = Note { path: look::path(&self.settings.run_dir, agent)?, head: look::head(key, &self.boot) };
        let launch = start::launch(&self.own, Start { process, env, stdin, output, cgroup: procs, note })?;
        let started = self
            .fence
            .within(|| launch.start(&mut self.stack))
            .map_err(|_| "another hb has taken over the run folder: this one starts nothing any more".to_owned())?;
        let program = std::path::Path::new(std::ffi::OsStr::from_bytes(launch.program.as_bytes()));
        let launched = started.map_err(|fault| start::explain(&fault, process, program))?;
        if !launched.noted {
            tracing::warn!(%agent, "its note could not be written to the run folder: after a crash it is found by its environment alone");
        }
        let stat = proc::stat(launched.pid);
        let start_ticks = stat.as_ref().map_or(0, |stat| stat.start_ticks);
        let identity = Identity { pid: launched.pid, start_ticks, boot: self.boot.clone() };
        let watched = watched(agent, &identity, launched.pidfd, dir);
        let watching = match stat {
            Ok(_) => self.table.watch(watched).map_err(|(watched, fault)| (watched, fault.to_string())),
            // Without its start time nobody could tell it from another later.
            Err(fault) => Err((watched, fault.to_string())),
        };
        if let Err((watched, fault)) = watching {
            undo(&watched);
            return Err(format!("it cannot be watched: {fault}"));
        }
        self.outputs.keep(agent, &process.output);
        if let Some(ear) = self.table.ear_of(agent) {
            ear.leader = Some(identity.pid);
        }
        self.counts.started.fetch_add(1, Ordering::Relaxed);
        Ok(identity)
    }

    /// Makes sure that an agent that needs one has a notify socket, without anything in it that an earlier process has said.
    fn with_ear(
        &mut self,
        agent: &AgentId,
        process: &ProcessSpec,
        mut env: Vec<(&'static str, OsString)>,
    ) -> Result<Vec<(&'static str, OsString)>, String> {
        if !notify::needed(process) {
            return Ok(env);
        }
        self.listen(agent, process, None).map_err(|fault| format!("its notify socket cannot be made: {fault}"))?;
        if let Some(ear) = self.table.ear_of(agent) {
            ear.drain();
            env.push(("NOTIFY_SOCKET", ear.path().into()));
        }
        if let Some(seconds) = process.watchdog_sec {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast saturates")]
            let micros = (seconds * 1e6) as u64;
            env.push(("WATCHDOG_USEC", micros.to_string().into()));
        }
        Ok(env)
    }

    fn listen(&mut self, agent: &AgentId, process: &ProcessSpec, leader: Option<u32>) -> io::Result<()> {
        if self.table.ear_of(agent).is_none() {
            let ear = Ear::open(&self.settings.run_dir, agent, start::uid(process))?;
            self.table.listen(ear)?;
        }
        if let Some(ear) = self.table.ear_of(agent) {
            ear.leader = leader;
        }
        Ok(())
    }

    /// Does something later that cannot be done now, for want of descriptors or memory. Not knowing is no answer: an agent that is said to be gone is
    /// started again.
    fn postpone(&mut self, effect: Effect) {
        if self.postponed.is_empty() {
            self.postponed_to = Instant::now() + POSTPONED;
        }
        self.postponed.push(effect);
    }

    fn take_up_again(&mut self) {
        if !self.postponed.is_empty() && Instant::now() >= self.postponed_to {
            for effect in std::mem::take(&mut self.postponed) {
                self.act(effect);
            }
        }
    }

    fn signal(&mut self, agent: AgentId, identity: Identity, name: &str) {
        let Some(signal) = number(name) else {
            return tracing::error!(%agent, name, "there is no such signal; nothing was sent");
        };
        if !self.fence.holds() {
            return tracing::error!(%agent, "another hb has taken over the run folder: this one signals nobody any more");
        }
        // Somebody who is not watched is watched from now on, so that his end is told.
        match self.watch_found(&agent, &identity, None) {
            There::Yes => {}
            There::No => return self.gone(agent, identity, None),
            There::Unknown => return self.postpone(Effect::Signal { agent, identity, signal: name.to_owned() }),
        }
        if let Some(watched) = self.table.find(&identity) {
            send(watched, signal);
        }
    }

    /// A process has ended: what is left of its group is killed at once, its end is told, and its session is swept later.
    fn ended(&mut self, number: u64) {
        let Some(watched) = self.table.take(number) else { return };
        let Watched { agent, identity, fd, cgroup, forgotten, .. } = watched;
        let (exit, child) = end::how(fd.as_fd(), identity.pid, identity.start_ticks);
        if let Err(fault) = end::signal_group(fd.as_fd(), identity.pid, nix::libc::SIGKILL, Some(child)) {
            tracing::debug!(%agent, %fault, "what is left of a group could not be killed");
        }
        if let Some(dir) = &cgroup {
            kill_cgroup(&agent, dir);
        }
        let session = identity.pid;
        if !forgotten {
            (self.emit)(Input::Exited { agent: agent.clone(), identity, exit });
        }
        let guard = match child {
            Child::Ours => Guard::Pinned(fd),
            Child::Foreign => Guard::Before(proc::ticks_now()),
        };
        self.sweep(Sweep { session, agent, guard, cgroup, passes: 0 });
    }

    fn hear(&mut self, number: u64) {
        let Some(ear) = self.table.ear(number) else { return };
        let (heard, agent) = (ear.hear().heard, ear.agent().clone());
        self.counts.unheard.fetch_add(heard.refused, Ordering::Relaxed);
        for what in heard.said {
            (self.emit)(Input::Notified { agent: agent.clone(), what });
        }
    }

    /// Measures a few; tells when all of one effect are measured.
    fn measure(&mut self) {
        let Some(measure) = self.measures.front_mut() else { return };
        for _ in 0..MEASURED_AT_ONCE {
            let Some((agent, identity)) = measure.waiting.pop_front() else { break };
            let Some(watched) = self.table.find(&identity) else { continue };
            if let Some((usage, seen)) = usage::measure(identity.pid, identity.start_ticks, watched.seen) {
                watched.seen = Some(seen);
                measure.done.push((agent, usage));
            }
        }
        if measure.waiting.is_empty()
            && let Some(measure) = self.measures.pop_front()
        {
            (self.emit)(Input::Used(measure.done));
        }
    }
}

fn watched(agent: &AgentId, identity: &Identity, fd: OwnedFd, cgroup: Option<std::path::PathBuf>) -> Watched {
    Watched { agent: agent.clone(), identity: identity.clone(), fd, cgroup, seen: None, forgotten: false }
}

/// What each program is told of itself.
fn told(agent: &AgentId, incarnation: u64, key: &str) -> Vec<(&'static str, OsString)> {
    vec![
        ("HB_SPAWN_KEY", key.into()),
        ("HB_AGENT", agent.as_str().into()),
        ("HB_INCARNATION", incarnation.to_string().into()),
    ]
}

/// A child that cannot be watched must not run.
fn undo(watched: &Watched) {
    if let Err(fault) =
        end::signal_group(watched.fd.as_fd(), watched.identity.pid, nix::libc::SIGKILL, Some(Child::Ours))
    {
        tracing::error!(agent = %watched.agent, %fault, "a child that cannot be watched cannot be killed either");
    }
    end::wait(watched.fd.as_fd());
}

/// To the whole group. A stopped process would not see a signal to end before it goes on.
fn send(watched: &Watched, signal: i32) {
    let kill = signal == nix::libc::SIGKILL;
    let signals = [Some(signal), (!kill).then_some(nix::libc::SIGCONT)];
    for signal in signals.into_iter().flatten() {
        if let Err(fault) = end::signal_group(watched.fd.as_fd(), watched.identity.pid, signal, None) {
            tracing::warn!(agent = %watched.agent, signal, %fault, "it cannot be signalled");
        }
    }
    if kill && let Some(dir) = &watched.cgroup {
        kill_cgroup(&watched.agent, dir);
    }
}

/// Whether an effect that was put off is about this agent.
fn concerns(effect: &Effect, whom: &AgentId) -> bool {
    match effect {
        Effect::Look { agent, .. } | Effect::Adopt { agent, .. } | Effect::Signal { agent, .. } => agent == whom,
        Effect::Spawn { .. }
        | Effect::CheckReady { .. }
        | Effect::Probe { .. }
        | Effect::Measure(_)
        | Effect::Call { .. }
        | Effect::Notify { .. }
        | Effect::Forget(_)
        | Effect::Leave => false,
    }
}

fn kill_cgroup(agent: &AgentId, dir: &std::path::Path) {
    if let Err(fault) = cgroup::kill(dir) {
        tracing::warn!(%agent, %fault, "its control group cannot be killed");
    }
}

/// `TERM`, `SIGTERM`, …
fn number(name: &str) -> Option<i32> {
    let name = name.strip_prefix("SIG").unwrap_or(name);
    format!("SIG{name}").parse::<nix::sys::signal::Signal>().ok().map(|signal| signal as i32)
}
