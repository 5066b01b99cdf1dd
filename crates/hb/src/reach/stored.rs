//! The API over `supervisor.db`, for when no node serves it. Nothing is changed, and a writer is not waited for.

use std::path::PathBuf;

use hb_api::v1::seam::{Answered, ConfigStanding, Elsewhere, Look, NotTaken, Standing, Supervisors};
use hb_api::{Access, Anonymous, Api};
use hb_core::ids::{GroupId, InterventionId, NodeName, StreamName};
use hb_core::journal::{self, Hash};
use hb_core::node::latency::Latency;
use hb_core::supervise::agent::Lifecycle;
use hb_core::supervise::alert::AlertGroup;
use hb_core::supervise::event::Event;
use hb_core::supervise::history::{EvaluationFilter, EventFilter, GroupFilter, InterventionFilter, Page};
use hb_core::supervise::input::{Beat, Command, OnStop, Person};
use hb_core::supervise::intervention::Intervention;
use hb_core::supervise::policy::Evaluation;
use hb_core::supervise::state::{Body, Fold, Record, State};
use hb_core::supervise::tree::WantedLifecycle;
use hb_core::supervise::{Presence, Supervision};
use hb_core::time::Now;
use hb_daemon::clock;
use hb_store::supervisor::read::SupervisorReader;
use serde_json::Value;

use crate::cli::Failure;
use crate::config::Config;
use crate::exit::Exit;
use crate::wire::supervise::{STREAM, db_path};

/// The database, ready to be asked.
pub struct Stored {
    api: Api,
    runtime: tokio::runtime::Runtime,
}

impl Stored {
    /// Opens the database of a configuration.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn open(config: &Config) -> Result<Self, Failure> {
        let path = there(config)?;
        let supervisors = FileSupervisors {
            node: config.node.clone(),
            supervision: supervision(config, &path)?,
            path,
            config: (config.file.clone(), config.hash),
        };
        // Nobody knows this token: nothing can be changed here.
        let access = Access::owner("", Anonymous::Reads);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.map_err(|error| Failure::new(Exit::Error, format!("cannot begin to read: {error}")))?;
        Ok(Self { api: Api::new(std::sync::Arc::new(supervisors), access), runtime })
    }

    /// Answers a question as a node would.
    ///
    /// # Errors
    /// It could not be put.
    pub fn answer(&self, verb: &str, path: &str, body: Option<&Value>) -> Result<(u16, Vec<u8>), Failure> {
        let body = body.map(|body| body.to_string().into_bytes());
        let answered = self.runtime.block_on(self.api.answer(verb, path, body));
        answered.map_err(|what| Failure::new(Exit::Error, format!("{path}: {what}")))
    }
}

/// What was last recorded in the database of a configuration, as a standby sees it.
///
/// # Errors
/// There is none, it cannot be read, or is damaged.
pub fn recorded(config: &Config) -> Result<Supervision, Failure> {
    let path = there(config)?;
    supervision(config, &path)
}

fn there(config: &Config) -> Result<PathBuf, Failure> {
    let path = db_path(&config.output_dir);
    if path.is_file() {
        return Ok(path);
    }
    let what = format!("no node that supervises answers, and there is no {}", path.display());
    let help = "nothing has been supervised yet with this configuration, or `output_dir` is relative to another folder";
    Err(Failure::new(Exit::Unavailable, what).help(help))
}

fn supervision(config: &Config, path: &std::path::Path) -> Result<Supervision, Failure> {
    let reader = SupervisorReader::open(path).map_err(|error| {
        let damaged = matches!(
            error.trouble,
            hb_store::supervisor::Trouble::Corrupt | hb_store::supervisor::Trouble::NotADatabase
        );
        Failure::new(if damaged { Exit::Corrupt } else { Exit::Unavailable }, error.to_string())
    })?;
    let Fold { head, epoch, state } = reader.state()?;
    let stream = StreamName::supervisor(STREAM);
    let mut supervision = Supervision::new(config.node.clone(), stream.clone());
    if let Some(head) = head {
        // All of it as the one record that a standby reads first: what it adds up to is the same.
        supervision.follow(journal::seal(Record {
            format: journal::FORMAT,
            stream,
            seq: head.seq,
            epoch,
            at: clock::wall(),
            node: config.node.clone(),
            prev: Hash::ZERO,
            body: Body::Snapshot { changes: state.whole() },
        }));
    }
    Ok(supervision)
}

struct FileSupervisors {
    node: NodeName,
    path: PathBuf,
    supervision: Supervision,
    config: (Option<PathBuf>, Hash),
}

impl FileSupervisors {
    fn read<T>(
        &self,
        ask: impl FnOnce(&SupervisorReader) -> Result<T, hb_store::port::JournalError>,
    ) -> Result<T, String> {
        let reader = SupervisorReader::open(&self.path).map_err(|error| error.to_string())?;
        ask(&reader).map_err(|error| error.to_string())
    }
}

impl Supervisors for FileSupervisors {
    fn now(&self) -> Now {
        clock::now()
    }

    fn command(&self, _: Person, _: Command, _: Answered) -> Result<(), NotTaken> {
        Err(NotTaken::Ended)
    }

    fn beat(&self, _: Beat, _: Answered) -> Result<(), NotTaken> {
        Err(NotTaken::Ended)
    }

    fn look(&self, look: Look) -> Result<(), NotTaken> {
        look(&self.supervision);
        Ok(())
    }

    fn standing(&self) -> Standing {
        standing(self.node.clone(), &self.supervision)
    }

    fn next_event(&self) -> u64 {
        self.supervision.state().counters.event
    }

    fn shutdown(&self, _: OnStop, _: &str) {}

    fn config(&self) -> ConfigStanding {
        let (file, hash) = &self.config;
        ConfigStanding {
            file: file.as_ref().map(|file| file.display().to_string()),
            hash: file.as_ref().map(|_| hash.to_string()),
            refused: None,
        }
    }

    fn reload(&self) -> Result<(), String> {
        Err("no node runs that could read it again".to_owned())
    }

    fn elsewhere(&self) -> Option<Elsewhere> {
        None
    }

    fn events(&self, filter: &EventFilter, page: Page) -> Result<Vec<Event>, String> {
        self.read(|reader| reader.events(filter, page))
    }

    fn event(&self, id: u64) -> Result<Option<Event>, String> {
        self.read(|reader| reader.event(id))
    }

    fn evaluations(&self, filter: &EvaluationFilter, page: Page) -> Result<Vec<Evaluation>, String> {
        self.read(|reader| reader.evaluations(filter, page))
    }

    fn evaluation(&self, id: u64) -> Result<Option<Evaluation>, String> {
        self.read(|reader| reader.evaluation(id))
    }

    fn interventions(&self, filter: &InterventionFilter, page: Page) -> Result<Vec<Intervention>, String> {
        self.read(|reader| reader.interventions(filter, page))
    }

    fn intervention(&self, id: &InterventionId) -> Result<Option<Intervention>, String> {
        self.read(|reader| reader.intervention(id))
    }

    fn groups(&self, filter: &GroupFilter, page: Page) -> Result<Vec<AlertGroup>, String> {
        self.read(|reader| reader.groups(filter, page))
    }

    fn group(&self, id: &GroupId) -> Result<Option<AlertGroup>, String> {
        self.read(|reader| reader.group(id))
    }
}

/// What the state adds up to.
fn standing(node: NodeName, supervision: &Supervision) -> Standing {
    let state: &State = supervision.state();
    let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let agents =
        |wanted: &[Lifecycle]| count(state.agents.values().filter(|agent| wanted.contains(&agent.lifecycle)).count());
    let standing = || state.supervisors.values().filter(|one| one.wanted != WantedLifecycle::Terminated);
    Standing {
        node,
        presence: Presence::Standby,
        epoch: supervision.epoch(),
        agents: [
            ("up", agents(&[Lifecycle::Idle, Lifecycle::Running])),
            ("degraded", agents(&[Lifecycle::Degraded])),
            ("spawning", agents(&[Lifecycle::Spawning])),
            ("failed", agents(&[Lifecycle::Failed])),
            ("quarantined", agents(&[Lifecycle::Quarantined])),
            ("terminated", agents(&[Lifecycle::Terminated])),
        ],
        supervisors: count(standing().count()),
        paused: count(standing().filter(|one| one.wanted == WantedLifecycle::Paused).count()),
        interventions_open: count(state.interventions.values().filter(|one| !one.status.is_over()).count()),
        groups_open: count(state.groups.values().filter(|group| group.resolved_at.is_none()).count()),
        restarts: state.counters.restarts,
        evaluations: state.counters.evaluation,
        events: state.counters.event,
        notifications_dropped: state.counters.notifications_dropped,
        troubles: Vec::new(),
        takeover_seconds: 0.0,
        recovered_seconds: None,
        commit_latency: Latency::default(),
        commits: 0,
        uptime_seconds: 0.0,
        hung_seconds: None,
    }
}
