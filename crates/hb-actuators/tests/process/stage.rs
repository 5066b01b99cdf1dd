//! Hands on a stage of their own, and what they say.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use hb_actuators::process::{Hands, HandsSettings};
use hb_core::ids::AgentId;
use hb_core::supervise::agent::{Exit, Identity};
use hb_core::supervise::input::Input;
use hb_core::supervise::spec::AgentSpec;
use hb_core::supervise::step::Effect;

/// How long anything may take on a slow, loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Stage {
    pub(crate) hands: Option<Hands>,
    inputs: Receiver<Input>,
    /// Told, and not asked for yet.
    told: RefCell<VecDeque<Input>>,
    pub(crate) run_dir: PathBuf,
    pub(crate) log_dir: PathBuf,
    /// Removed with the stage.
    #[expect(dead_code, reason = "held for its end")]
    folder: Option<tempfile::TempDir>,
    #[expect(dead_code, reason = "held for its end")]
    logs: Option<tempfile::TempDir>,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let stage = Self::at(folder.path());
        Self { folder: Some(folder), ..stage }
    }

    /// The same with the run folder in memory, as it is in `/run`, where there is such a place.
    pub(crate) fn in_memory() -> Self {
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let (folder, logs) = (folder.unwrap(), tempfile::tempdir().unwrap());
        let stage = Self::with(folder.path().join("run"), logs.path().join("log"));
        Self { folder: Some(folder), logs: Some(logs), ..stage }
    }

    /// Hands in folders that somebody else may have used before.
    pub(crate) fn at(folder: &Path) -> Self {
        Self::with(folder.join("run"), folder.join("log"))
    }

    fn with(run_dir: PathBuf, log_dir: PathBuf) -> Self {
        let (emit, inputs) = channel();
        let settings = HandsSettings { run_dir: run_dir.clone(), log_dir: log_dir.clone(), node: "test".into() };
        // Nobody listens any more when a test is over.
        let hands = Hands::start(settings, Box::new(move |input| drop(emit.send(input)))).unwrap();
        Self { hands: Some(hands), inputs, told: RefCell::default(), run_dir, log_dir, folder: None, logs: None }
    }

    pub(crate) fn act(&self, effect: Effect) {
        self.hands.as_ref().unwrap().act(effect).unwrap();
    }

    /// The next thing told that `pick` takes; the others stay for later.
    pub(crate) fn wait<T>(&self, what: &str, mut pick: impl FnMut(&Input) -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        let mut at = 0;
        loop {
            let mut told = self.told.borrow_mut();
            while at < told.len() {
                if let Some(found) = pick(&told[at]) {
                    told.remove(at);
                    return found;
                }
                at += 1;
            }
            let left = until.saturating_duration_since(Instant::now());
            match self.inputs.recv_timeout(left) {
                Ok(input) => told.push_back(input),
                Err(_) => panic!("waited in vain for {what}; told were {told:?}"),
            }
        }
    }

    /// The same without waiting.
    pub(crate) fn poll<T>(&self, mut pick: impl FnMut(&Input) -> Option<T>) -> Option<T> {
        let mut told = self.told.borrow_mut();
        told.extend(self.inputs.try_iter());
        let at = told.iter().position(|input| pick(input).is_some())?;
        told.remove(at).and_then(|input| pick(&input))
    }

    pub(crate) fn spawn(&self, spec: &Arc<AgentSpec>) -> Result<Identity, String> {
        self.spawn_as(spec, 1)
    }

    pub(crate) fn spawn_as(&self, spec: &Arc<AgentSpec>, number: u64) -> Result<Identity, String> {
        self.act(spawn_effect(spec, number));
        self.wait("Spawned", |input| match input {
            Input::Spawned { agent, incarnation, identity } if *agent == spec.id && *incarnation == number => {
                Some(Ok(identity.clone()))
            }
            Input::SpawnFailed { agent, error, .. } if *agent == spec.id => Some(Err(error.clone())),
            _ => None,
        })
    }

    pub(crate) fn exited(&self, identity: &Identity) -> Exit {
        self.wait("Exited", |input| match input {
            Input::Exited { identity: who, exit, .. } if who == identity => Some(*exit),
            _ => None,
        })
    }

    pub(crate) fn signal(&self, agent: &AgentId, identity: &Identity, signal: &str) {
        self.act(Effect::Signal { agent: agent.clone(), identity: identity.clone(), signal: signal.into() });
    }

    /// Kills an agent and waits until it is gone.
    pub(crate) fn end(&self, spec: &AgentSpec, identity: &Identity) {
        self.signal(&spec.id, identity, "KILL");
        self.exited(identity);
    }

    pub(crate) fn log(&self, agent: &AgentId) -> String {
        std::fs::read_to_string(self.log_dir.join(format!("{agent}.log"))).unwrap_or_default()
    }

    /// The log of an agent once it holds this.
    pub(crate) fn log_with(&self, agent: &AgentId, text: &str) -> String {
        until(&format!("{text:?} in the log of {agent}"), || Some(self.log(agent)).filter(|log| log.contains(text)))
    }
}

/// Nobody else's, also not of an earlier run whose programs may still be there.
pub(crate) fn key(agent: &AgentId, number: u64) -> String {
    format!("{}/{agent}/{number}", keys())
}

/// Its beginning, the same in a stand-in as in its test.
pub(crate) fn keys() -> &'static str {
    static KEYS: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
        std::env::var(KEYS_OF)
            .unwrap_or_else(|_| format!("supervisor/test-{}-{:?}", std::process::id(), Instant::now()))
    });
    &KEYS
}

/// Variable that tells it to a stand-in.
pub(crate) const KEYS_OF: &str = "HB_TEST_KEYS";

/// Processes of an agent that are there.
pub(crate) fn of_agent(agent: &AgentId) -> Vec<u32> {
    with_environment(&format!("HB_SPAWN_KEY={}", key(agent, 1)))
}

pub(crate) fn spawn_effect(spec: &Arc<AgentSpec>, number: u64) -> Effect {
    Effect::Spawn {
        agent: spec.id.clone(),
        incarnation: number,
        key: key(&spec.id, number),
        spec: Arc::clone(spec),
        recovering: false,
    }
}

pub(crate) fn look_effect(spec: &Arc<AgentSpec>, number: u64) -> Effect {
    let key = key(&spec.id, number);
    Effect::Look { agent: spec.id.clone(), incarnation: number, key, spec: Arc::clone(spec) }
}

/// A process agent of these fields.
pub(crate) fn spec(id: &str, process: serde_json::Value) -> Arc<AgentSpec> {
    serde_json::from_value(serde_json::json!({"id": id, "process": process})).map(Arc::new).unwrap()
}

/// A process agent that is a shell script.
pub(crate) fn script(id: &str, script: &str) -> Arc<AgentSpec> {
    spec(id, serde_json::json!({"command": ["sh", "-c", script]}))
}

/// Waits for a state of the world.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Whether a process is there and is not merely waiting to be reaped.
pub(crate) fn lives(pid: u32) -> bool {
    stat(pid).is_some_and(|fields| fields[0] != "Z")
}

/// Fields of `/proc/PID/stat` from the state on.
pub(crate) fn stat(pid: u32) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(text.rsplit_once(')')?.1.split_ascii_whitespace().map(str::to_owned).collect())
}

/// Numbers of all processes whose environment holds this.
fn with_environment(text: &str) -> Vec<u32> {
    let pids = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let holds = |pid: &u32| {
        let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environ.split(|byte| *byte == 0).any(|pair| pair == text.as_bytes())
    };
    pids.filter(holds).filter(|pid| lives(*pid)).collect()
}
