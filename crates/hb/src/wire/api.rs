//! The API over the running supervisor and its database; and who may use it.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use hb_api::v1::seam::{Answered, ConfigStanding, Elsewhere, Look, NotTaken, Standing, Supervisors};
use hb_api::v1::sync::SyncApi;
use hb_api::v1::watching::Watching;
use hb_api::{Access, Anonymous, Api};
use hb_core::ids::{GroupId, InterventionId, NodeName};
use hb_core::journal::Hash;
use hb_core::node::view::Role;
use hb_core::supervise::Presence;
use hb_core::supervise::alert::AlertGroup;
use hb_core::supervise::event::Event;
use hb_core::supervise::history::{EvaluationFilter, EventFilter, GroupFilter, InterventionFilter, Page};
use hb_core::supervise::input::{Beat, Command, OnStop, Person};
use hb_core::supervise::intervention::Intervention;
use hb_core::supervise::policy::Evaluation;
use hb_core::time::Now;
use hb_daemon::clock;
use hb_daemon::supervise::{Busy, Office};
use hb_store::supervisor::read::SupervisorReader;

use super::desk::Desk;
use super::halves::Handles;
use super::supervise::db_path;
use super::sync;
use crate::cli::Failure;
use crate::config::Config;
use crate::exit::Exit;
use crate::nodes;

/// The owner's token, below `output_dir`, where no `tokens_file` is given.
pub const TOKEN_FILE: &str = "api.token";
/// Random bytes of it.
const TOKEN_RANDOM: usize = 32;
/// Most bytes of a `tokens_file` (B1).
const TOKENS_BYTES_MAX: u64 = 8 << 20;

/// The API of a node.
///
/// # Errors
/// The tokens cannot be read or made.
pub(super) fn api(config: &Config, handles: &Handles) -> Result<Option<Api>, Failure> {
    if handles.office.is_none() && handles.watch.is_none() {
        return Ok(None);
    }
    let access = match access(config.tokens_file.as_deref(), &config.output_dir) {
        Err(failure) if failure.exit == Exit::CannotWrite && handles.office.is_none() => {
            tracing::warn!("no API of watches is served: {}", failure.what);
            return Ok(None);
        }
        access => access?,
    };
    let supervisors = handles.office.clone().map(|office| NodeSupervisors {
        node: config.node.clone(),
        office,
        handles: handles.clone(),
        output_dir: config.output_dir.clone(),
        readers: Mutex::new(Vec::new()),
        began: Instant::now(),
        config: (config.file.clone(), config.hash),
    });
    let supervisors = supervisors.map(|supervisors| Arc::new(supervisors) as Arc<dyn Supervisors>);
    let watching = handles.watch.as_ref().map(|(remote, _)| {
        let desk: Arc<dyn Watching> = Arc::new(Desk::new(config, remote.clone()));
        desk
    });
    let api = Api::of(supervisors, watching, access);
    let (again, tokens_file, output_dir) = (api.clone(), config.tokens_file.clone(), config.output_dir.clone());
    handles.reloads.tokens_by(Box::new(move || {
        again.admit(access_again(tokens_file.as_deref(), &output_dir)?);
        Ok(())
    }));
    Ok(Some(api))
}

/// Who may use the API, as it stands in the files.
fn access(tokens_file: Option<&Path>, output_dir: &Path) -> Result<Access, Failure> {
    match tokens_file {
        Some(path) => tokens(path),
        None => owner(output_dir),
    }
}

/// The same once more, for a reload.
fn access_again(tokens_file: Option<&Path>, output_dir: &Path) -> Result<Access, String> {
    access(tokens_file, output_dir).map_err(|failure| failure.what)
}

/// What copies of a node that decides may ask of it. Where no token can be kept nobody may: that holds up nothing else.
///
/// # Errors
/// The tokens cannot be read.
pub(super) fn copies(config: &Config, handles: &Handles) -> Result<Option<SyncApi>, Failure> {
    let Some((_, shared)) = &handles.watch else { return Ok(None) };
    match access(config.tokens_file.as_deref(), &config.output_dir) {
        Ok(access) => {
            let api = sync::serve::api(config, shared, access);
            let (again, tokens_file, dir) = (api.clone(), config.tokens_file.clone(), config.output_dir.clone());
            handles.reloads.tokens_by(Box::new(move || {
                again.admit(access_again(tokens_file.as_deref(), &dir)?);
                Ok(())
            }));
            Ok(Some(api))
        }
        Err(failure) if failure.exit == Exit::CannotWrite => {
            tracing::warn!("nothing is served to copies of this node: {}", failure.what);
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}

/// Reads who may use the API.
fn tokens(path: &Path) -> Result<Access, Failure> {
    let failed = |what: String| Failure::new(Exit::Config, format!("tokens_file {}: {what}", path.display()));
    let file = fs::File::open(path).map_err(|error| failed(error.to_string()))?;
    let metadata = file.metadata().map_err(|error| failed(error.to_string()))?;
    if metadata.mode() & 0o007 != 0 {
        return Err(failed("everybody on this machine can read or write it".into())
            .help(format!("chmod 600 {}", path.display())));
    }
    let mut text = String::new();
    file.take(TOKENS_BYTES_MAX).read_to_string(&mut text).map_err(|error| failed(error.to_string()))?;
    Access::read(&text)
        .map_err(|what| failed(what).help("lines are NAME ROLE TOKEN; ROLE is AGENT, DEVELOPER, OPERATOR or ADMIN"))
}

/// The owner's token, made when there is none: only whoever can read it may change something.
fn owner(output_dir: &Path) -> Result<Access, Failure> {
    let path = output_dir.join(TOKEN_FILE);
    let failed = |error: io::Error| Failure::new(Exit::CannotWrite, format!("{}: {error}", path.display()));
    let token = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => make_token(&path).map_err(failed)?,
        Err(error) => return Err(failed(error)),
    };
    let token = token.trim();
    let mode = fs::metadata(&path).map_err(failed)?.mode();
    if mode & 0o077 != 0 {
        return Err(Failure::new(
            Exit::Config,
            format!("{}: others than its owner can read or write it", path.display()),
        )
        .help(format!("remove it, and it is made anew at the next start: rm {}", path.display())));
    }
    if token.len() < hb_api::v1::TOKEN_BYTES_MIN {
        return Err(Failure::new(Exit::Config, format!("{}: there is no token in it", path.display()))
            .help(format!("remove it, and it is made anew at the next start: rm {}", path.display())));
    }
    Ok(Access::owner(token, Anonymous::Reads))
}

/// Makes the file whole or not at all; when another node has made it meanwhile, that one counts.
fn make_token(path: &Path) -> io::Result<String> {
    let mut random = [0_u8; TOKEN_RANDOM];
    fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    let token: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    let beside = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(format!("{token}\n").as_bytes())?;
    file.sync_all()?;
    let linked = fs::hard_link(&beside, path);
    fs::remove_file(&beside)?;
    match linked {
        Ok(()) => Ok(token),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => fs::read_to_string(path),
        Err(error) => Err(error),
    }
}

/// The running supervisor as the API sees it.
struct NodeSupervisors {
    node: NodeName,
    office: Office,
    handles: Handles,
    output_dir: PathBuf,
    /// Connections that are free; at most as many as questions are asked at once.
    readers: Mutex<Vec<SupervisorReader>>,
    began: Instant,
    /// The file of the start, and what stood in it then.
    config: (Option<PathBuf>, Hash),
}

impl NodeSupervisors {
    fn read<T>(
        &self,
        ask: impl FnOnce(&SupervisorReader) -> Result<T, hb_store::port::JournalError>,
    ) -> Result<T, String> {
        let free = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let reader = match free {
            Some(reader) => reader,
            None => SupervisorReader::open(&db_path(&self.output_dir)).map_err(|error| error.to_string())?,
        };
        // One that failed is not used again: the file may have been put back from a backup.
        let found = ask(&reader).map_err(|error| error.to_string())?;
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
        Ok(found)
    }
}

fn busy(busy: Busy) -> NotTaken {
    match busy {
        Busy::Full => NotTaken::Full,
        Busy::Ended => NotTaken::Ended,
    }
}

impl Supervisors for NodeSupervisors {
    fn now(&self) -> Now {
        clock::now()
    }

    fn command(&self, person: Person, command: Command, answered: Answered) -> Result<(), NotTaken> {
        self.office.command(person, command, answered).map_err(busy)
    }

    fn beat(&self, beat: Beat, answered: Answered) -> Result<(), NotTaken> {
        self.office.beat(beat, answered).map_err(busy)
    }

    fn look(&self, look: Look) -> Result<(), NotTaken> {
        self.office.look(look).map_err(busy)
    }

    fn standing(&self) -> Standing {
        standing(&self.node, &self.office, self.began)
    }

    fn presence(&self) -> Presence {
        self.office.picture().presence()
    }

    fn next_event(&self) -> u64 {
        // A standby's loop numbers nothing; what it has read along is in its picture.
        self.office.picture().next_event().max(self.office.picture().get().events)
    }

    fn shutdown(&self, agents: OnStop, reason: &str) {
        self.handles.stop(agents, reason);
    }

    fn config(&self) -> ConfigStanding {
        let (file, hash) = &self.config;
        let reload = self.handles.reloads.now();
        ConfigStanding {
            file: file.as_ref().map(|file| file.display().to_string()),
            hash: file.as_ref().map(|_| reload.hash.unwrap_or(*hash).to_string()),
            refused: reload.refused,
        }
    }

    fn reload(&self) -> Result<(), String> {
        self.handles.reloads.ask()
    }

    fn elsewhere(&self) -> Option<Elsewhere> {
        let seen = self.handles.board.as_ref()?.seen();
        let mut others = seen.roster.alive().filter(|card| card.node != self.node);
        let active = others.find(|card| card.account.supervises == Some(Role::Active))?;
        let address = nodes::address(active).ok().map(|address| format!("http://{address}"));
        Some(Elsewhere { node: active.node.clone(), address })
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

/// What a supervisor's process is doing, from its picture.
pub(super) fn standing(node: &NodeName, office: &Office, began: Instant) -> Standing {
    let (picture, pulse) = (office.picture().get(), office.picture().pulse());
    let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let agents = picture.agents;
    Standing {
        node: node.clone(),
        presence: picture.presence,
        epoch: picture.epoch,
        agents: [
            ("up", count(agents.up)),
            ("degraded", count(agents.degraded)),
            ("spawning", count(agents.spawning)),
            ("failed", count(agents.failed)),
            ("quarantined", count(agents.quarantined)),
            ("terminated", count(agents.terminated)),
        ],
        supervisors: count(picture.supervisors),
        paused: count(picture.paused),
        interventions_open: count(picture.interventions_open),
        groups_open: count(picture.groups_open),
        restarts: picture.restarts,
        evaluations: picture.evaluations,
        events: picture.events,
        notifications_dropped: picture.notifications_dropped,
        troubles: picture.troubles,
        takeover_seconds: picture.takeover_seconds,
        recovered_seconds: picture.recovered_seconds,
        commit_latency: picture.commit_latency,
        commits: picture.commits,
        uptime_seconds: began.elapsed().as_secs_f64(),
        hung_seconds: (pulse.since > pulse.bound).then_some(pulse.since.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_owners_token_is_made_once_for_the_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(TOKEN_FILE);
        owner(dir.path()).unwrap();
        let token = fs::read_to_string(&path).unwrap();
        assert_eq!((token.trim().len(), fs::metadata(&path).unwrap().mode() & 0o777), (2 * TOKEN_RANDOM, 0o600));
        owner(dir.path()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), token, "the second start finds that of the first");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(owner(dir.path()).unwrap_err().what.contains("others than its owner"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "\n").unwrap();
        assert!(owner(dir.path()).unwrap_err().what.contains("no token"));
    }

    #[test]
    fn a_tokens_file_that_everybody_can_read_is_refused_with_advice() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        assert!(tokens(&path).is_err(), "there is none");
        fs::write(&path, "ada ADMIN 0123456789abcdef\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
        let refused = tokens(&path).unwrap_err();
        assert!(refused.what.contains("everybody") && refused.help.starts_with("chmod 600"), "{refused:?}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(format!("{:?}", tokens(&path).unwrap()).contains("1 tokens"));
        fs::write(&path, "ada KING 0123456789abcdef\n").unwrap();
        let refused = tokens(&path).unwrap_err();
        assert!(refused.what.contains("line 1") && !refused.what.contains("0123456789abcdef"), "{refused:?}");
    }
}
