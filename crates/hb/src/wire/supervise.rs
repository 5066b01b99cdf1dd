//! A running supervisor out of a configuration: its database, its lease, its hands.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, bounded};
use hb_actuators::ask::Asker;
use hb_actuators::process::{Hands, HandsSettings, NotTaken, is_mine};
use hb_actuators::{Secret, SinkSpec, Teller, TellerSink, alert_sink};
use hb_core::ids::{Seq, StreamName};
use hb_core::journal::Head;
use hb_core::supervise::alert::Notification;
use hb_core::supervise::bounds::AGENTS_MAX;
use hb_core::supervise::input::Input;
use hb_core::supervise::state::Sealed;
use hb_core::supervise::step::Effect;
use hb_daemon::supervise::{Bounds, Hand, Keeper, MakeHand, Running, SupervisorParts, start};
use hb_store::lease::file::FileLease;
use hb_store::port::{Appended, JournalError, Lease};
use hb_store::supervisor::{FILE, SupervisorDb, Trouble};

use super::decisions::Decided;
use super::{TRIES_MAX, secret, stores};
use crate::cli::Failure;
use crate::config::Config;
use crate::config::checked::{LeaseBackend, SinkConfig};
use crate::exit::Exit;

/// Name of the stream of a node's supervisor.
pub const STREAM: &str = "main";
/// Folder of the supervisor's lease and of its agents' output, below `output_dir`.
const DIR: &str = "supervisor";

/// Where the database of a configuration's supervisor stands.
#[must_use]
pub fn db_path(output_dir: &Path) -> PathBuf {
    output_dir.join(FILE)
}

/// Where the output of agents stands.
#[must_use]
pub fn log_dir(output_dir: &Path) -> PathBuf {
    output_dir.join(DIR).join("logs")
}

/// The folder of the lease, made where there is none.
///
/// # Errors
/// It cannot be made.
pub(crate) fn lease_dir(output_dir: &Path) -> Result<PathBuf, Failure> {
    let dir = output_dir.join(DIR);
    std::fs::create_dir_all(&dir)
        .map_err(|error| Failure::new(Exit::CannotWrite, format!("{}: {error}", dir.display())))?;
    Ok(dir)
}

/// Starts the supervisor of a configuration.
///
/// # Errors
/// Why it could not be started.
pub(super) fn supervise(config: &Config) -> Result<Running, Failure> {
    let dir = lease_dir(&config.output_dir)?;
    let db = open(&db_path(&config.output_dir))?;
    let journal = stores::journal(config)?;
    let sinks = config.sinks.iter().map(|sink| sink.name().to_owned()).collect();
    let declared = config.supervise.clone().unwrap_or_default();
    let decisions = Decided::new(journal, &declared);
    let parts = SupervisorParts {
        node: config.node.clone(),
        stream: StreamName::supervisor(STREAM),
        keeper: Box::new(Kept { db }),
        lease: lease(config, &dir)?,
        hand: hand(config)?,
        sinks,
        declared,
        decisions: Box::new(decisions),
        bounds: Bounds { lease_ttl: config.lease.ttl, ..Bounds::default() },
    };
    start(parts).map_err(|error| Failure::new(Exit::Error, format!("the supervisor could not be started: {error}")))
}

/// How long a node that starts waits for others to let go of the database: several may begin at the same moment, and one of them makes it.
const OPEN_PATIENCE: Duration = Duration::from_secs(30);

fn open(path: &Path) -> Result<SupervisorDb, Failure> {
    let until = Instant::now() + OPEN_PATIENCE;
    let opened = loop {
        match SupervisorDb::open(path) {
            Err(error) if error.trouble == Trouble::Locked && Instant::now() < until => {
                tracing::info!("{error}");
                std::thread::sleep(Duration::from_millis(100));
            }
            other => break other,
        }
    };
    opened.map_err(|error| {
        let exit = match error.trouble {
            Trouble::Corrupt | Trouble::NotADatabase | Trouble::Newer => Exit::Corrupt,
            Trouble::Foreign => Exit::Corrupt,
            Trouble::MissingFolder
            | Trouble::MissingFile
            | Trouble::Locked
            | Trouble::Full
            | Trouble::ReadOnly
            | Trouble::Unreadable
            | Trouble::Network
            | Trouble::Io
            | Trouble::Rule
            | Trouble::Other => Exit::CannotWrite,
        };
        Failure::new(exit, error.to_string())
    })
}

/// The right to supervise.
///
/// # Errors
/// The lease cannot be used.
pub(crate) fn lease(config: &Config, dir: &Path) -> Result<Box<dyn Lease>, Failure> {
    match &config.lease.backend {
        // Its database and the programs are this host's, whoever shares the watches.
        LeaseBackend::File | LeaseBackend::Server(_) => FileLease::open(dir, &config.node, config.lease.ttl)
            .map(|lease| Box::new(lease) as Box<dyn Lease>)
            .map_err(|error| Failure::new(Exit::CannotWrite, error.to_string())),
        LeaseBackend::External => Ok(Box::new(hb_store::lease::external::ExternalLease::default())),
    }
}

/// Where sockets and notes of agents stand: on a file system that does not outlive the machine, one folder per `output_dir`.
fn run_dir(config: &Config) -> PathBuf {
    let whole = std::path::absolute(&config.output_dir).unwrap_or_else(|_| config.output_dir.clone());
    let name = hb_core::journal::Hash::of(whole.as_os_str().as_encoded_bytes()).short();
    let user = nix::unistd::getuid();
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|dir| dir.is_dir() && !user.is_root());
    let base = if user.is_root() { Some(PathBuf::from("/run")) } else { runtime };
    let base = base.filter(|dir| dir.is_dir()).unwrap_or_else(std::env::temp_dir);
    base.join(format!("hb-{user}")).join(name)
}

fn hand(config: &Config) -> Result<MakeHand, Failure> {
    let sinks = config.sinks.iter().map(teller_sink).collect::<Result<Vec<_>, _>>()?;
    let seed = u64::from(std::process::id());
    let settings =
        HandsSettings { run_dir: run_dir(config), log_dir: log_dir(&config.output_dir), node: config.node.clone() };
    Ok(Box::new(move |emit| {
        let (of_hands, of_asker) = (Arc::clone(&emit), Arc::clone(&emit));
        let hands = Hands::start(settings, Box::new(move |input| of_hands(input)))?;
        let asker = Asker::start(Box::new(move |input| of_asker(input)))?;
        let teller = Teller::start(sinks, seed, Arc::clone(&emit))?;
        let refused = Refused::start(emit)?;
        Ok(Box::new(NodeHand { hands: Some(hands), asker: Some(asker), teller: Some(teller), refused })
            as Box<dyn Hand>)
    }))
}

fn teller_sink(sink: &SinkConfig) -> Result<TellerSink, Failure> {
    let spec = match sink {
        SinkConfig::Stdout => SinkSpec::Stdout,
        SinkConfig::File(path) => SinkSpec::File { path: path.clone() },
        SinkConfig::Webhook { url, secret_file } => SinkSpec::Webhook {
            url: Secret::new(url.as_str()),
            secret: secret_file.as_deref().map(secret).transpose()?,
            timeout: alert_sink::WEBHOOK_TIMEOUT,
        },
    };
    let name = sink.name();
    alert_sink::notification::build(name, &spec)
        .map(|sink| TellerSink { sink, tries_max: TRIES_MAX })
        .map_err(|error| Failure::new(Exit::Config, format!("sink {name}: {error}")))
}

/// The database as the loop sees it.
struct Kept {
    db: SupervisorDb,
}

impl Keeper for Kept {
    fn follow(&mut self, head: Option<Head>, each: &mut dyn FnMut(Sealed)) -> Result<(), JournalError> {
        let mut after = head;
        if after.is_none() {
            after = self.db.restore(each)?.head;
        }
        while self.db.follow(after, each).map(|followed| {
            after = followed.head;
            followed.more
        })? {}
        Ok(())
    }

    fn commit(&mut self, records: &[Arc<Sealed>]) -> Appended {
        self.db.commit(records)
    }

    fn trim(&mut self, floor: Seq) -> Result<u64, JournalError> {
        self.db.trim(floor).map(|trimmed| trimmed.removed)
    }
}

/// Everything that acts.
struct NodeHand {
    hands: Option<Hands>,
    asker: Option<Asker>,
    teller: Option<Teller>,
    refused: Refused,
}

/// Most starts that were refused and are not told yet (B1): an agent has one start under way at most, so there is room for all.
const REFUSED_MAX: usize = AGENTS_MAX;

/// Tells of starts that were not taken, from a thread of its own: the loop that wanted them must not wait for itself.
struct Refused {
    tell: Option<Sender<Input>>,
    thread: Option<JoinHandle<()>>,
}

impl Refused {
    fn start(emit: Arc<dyn Fn(Input) + Send + Sync>) -> std::io::Result<Self> {
        let (tell, told) = bounded(REFUSED_MAX);
        let run = move || told.iter().for_each(|input| emit(input));
        let thread = std::thread::Builder::new().name("not-taken".into()).spawn(run)?;
        Ok(Self { tell: Some(tell), thread: Some(thread) })
    }

    fn tell(&self, input: Input) {
        if let Some(Err(error)) = self.tell.as_ref().map(|tell| tell.try_send(input)) {
            tracing::error!("a start that was not taken cannot be told: {error}");
        }
    }

    fn stop(&mut self) {
        self.tell = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that tells of refused starts panicked; please report it");
        }
    }
}

impl NodeHand {
    /// What cannot be taken must not be waited for for ever: a start has failed then; for anything else the core asks again or its time
    /// limit passes.
    fn not_taken(&self, refused: NotTaken) {
        let (NotTaken::Full(effect) | NotTaken::NotMine(effect) | NotTaken::Ended(effect)) = refused;
        tracing::error!("an act was not taken for want of room: {effect:?}");
        if let Effect::Spawn { agent, incarnation, .. } = *effect {
            let error = "too many acts wait: tried again by the restart rule".to_owned();
            self.refused.tell(Input::SpawnFailed { agent, incarnation, error });
        }
    }
}

impl Hand for NodeHand {
    fn act(&self, effect: Effect) {
        let taken = match (&self.hands, &self.asker) {
            (Some(hands), _) if is_mine(&effect) => hands.act(effect),
            (_, Some(asker)) => asker.act(effect),
            (_, None) => Err(NotTaken::Ended(Box::new(effect))),
        };
        if let Err(refused) = taken {
            self.not_taken(refused);
        }
    }

    fn tell(&self, notification: Notification, sinks: &BTreeSet<String>) {
        if let Some(teller) = &self.teller {
            teller.tell(notification, sinks);
        }
    }

    fn stop(&mut self) {
        if let Some(hands) = self.hands.take() {
            hands.stop();
        }
        if let Some(asker) = self.asker.take() {
            asker.stop();
        }
        if let Some(teller) = self.teller.take() {
            teller.stop();
        }
        self.refused.stop();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::channel;

    use super::*;

    fn failed(number: u64) -> Input {
        Input::SpawnFailed { agent: "a".into(), incarnation: number, error: String::new() }
    }

    #[test]
    fn b1_refused_starts_are_told_in_order_by_one_thread_which_never_holds_up_the_loop() {
        let (heard, hear) = channel();
        let (gate, seen) = (Arc::new(Mutex::new(())), Mutex::new(heard));
        let (held, closed) = (Arc::clone(&gate), gate.lock().unwrap());
        let emit = move |input: Input| {
            drop(held.lock().unwrap());
            let Input::SpawnFailed { incarnation, .. } = input else { panic!("{input:?}") };
            seen.lock().unwrap().send((incarnation, std::thread::current().id())).unwrap();
        };
        let mut refused = Refused::start(Arc::new(emit)).unwrap();
        // Nobody takes any of them, and whoever tells does not wait.
        (0..1_000).for_each(|number| refused.tell(failed(number)));
        drop(closed);
        refused.stop();
        let told: Vec<_> = hear.try_iter().collect();
        assert_eq!(told.iter().map(|(number, _)| *number).collect::<Vec<_>>(), (0..1_000).collect::<Vec<_>>());
        assert!(told.iter().all(|(_, thread)| *thread == told[0].1), "one thread for all");
    }
}
