//! A project with agents. Whatever they start is ended with it, also when the test fails.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hb_core::ids::{AgentId, Epoch};
use hb_core::journal::Hash;
use hb_core::supervise::agent::{Agent, Identity, Lifecycle};
use hb_core::supervise::event::Event;
use hb_core::supervise::spec::Wanted;
use hb_core::supervise::state::{Fold, Record, Sealed};
use hb_store::supervisor::FILE;
use hb_store::supervisor::read::SupervisorReader;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rusqlite::{Connection, OpenFlags};

use crate::support::node::Node;
use crate::support::project::Project;
use crate::support::{until, within};

/// A program that writes down that it was started, and whether another one of its name was alive at the time; then it becomes what its
/// arguments say. The lock goes with the process, whatever that becomes. A killed predecessor may need a moment to be gone.
const PROGRAM: &str = r#"#!/bin/sh
exec 9>>"$SITE/lock.$HB_AGENT"
flock -w 2 9 || echo "$HB_AGENT $HB_INCARNATION $$" >>"$SITE/twice"
read -r stat </proc/$$/stat
echo "$HB_AGENT $HB_INCARNATION $stat" >>"$SITE/starts"
exec "$@"
"#;

/// One start, as the program itself wrote it down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) agent: String,
    pub(crate) incarnation: u64,
    pub(crate) pid: u32,
    pub(crate) ticks: u64,
}

pub(crate) struct Site {
    pub(crate) project: Project,
    /// The newest reign when a node was last started.
    before: AtomicU64,
}

impl Site {
    /// A node that only supervises; `yaml` is what stands beside `output_dir`. `PROGRAM` in it is the program above.
    pub(crate) fn new(yaml: &str) -> Self {
        let site = Self::on(Project::new(""));
        site.configure(yaml);
        site
    }

    /// The same on a project with a watch, whose configuration stays.
    pub(crate) fn on(project: Project) -> Self {
        let site = Self { project, before: AtomicU64::new(0) };
        fs::write(site.program(), PROGRAM).unwrap();
        fs::set_permissions(site.program(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        site
    }

    /// Writes the configuration anew.
    pub(crate) fn configure(&self, yaml: &str) {
        let output = self.project.output.display();
        fs::write(self.project.config(), format!("output_dir: {output}\n{}", self.filled(yaml))).unwrap();
    }

    /// With the program's place put in.
    pub(crate) fn filled(&self, yaml: &str) -> String {
        yaml.replace("PROGRAM", &self.program().display().to_string())
    }

    fn program(&self) -> PathBuf {
        self.project.dir().join("program")
    }

    /// `hb supervisor` that serves nothing.
    pub(crate) fn start(&self, name: &str) -> Node {
        self.launch(name, &["supervisor", "--listen", "none"])
    }

    /// `hb supervisor` on a free port.
    pub(crate) fn serve(&self, name: &str) -> Node {
        self.launch(name, &["supervisor", "--listen", "127.0.0.1:0"])
    }

    /// `hb ARGS` as a node.
    pub(crate) fn launch(&self, name: &str, args: &[&str]) -> Node {
        self.before.store(self.epoch().unwrap_or(Epoch(0)).0, Ordering::SeqCst);
        let mut command = self.project.command(args);
        command.env("SITE", self.project.dir());
        Node::launch(&self.project, name, command)
    }

    /// Where the database is.
    pub(crate) fn db(&self) -> PathBuf {
        self.project.output.join(FILE)
    }

    /// The database, to be read.
    pub(crate) fn sql(&self) -> Option<Connection> {
        let connection = Connection::open_with_flags(self.db(), OpenFlags::SQLITE_OPEN_READ_WRITE).ok()?;
        connection.busy_timeout(Duration::from_secs(10)).ok()?;
        Some(connection)
    }

    /// What is recorded, restored from the records as hb does it; none before the first.
    pub(crate) fn state(&self) -> Option<Fold> {
        let fold = SupervisorReader::open(&self.db()).ok()?.state().ok()?;
        fold.head.is_some().then_some(fold)
    }

    /// Every record that stands, in order.
    pub(crate) fn records(&self) -> Vec<Sealed> {
        let Some(sql) = self.sql() else { return Vec::new() };
        // Another one may be making the file at this very moment.
        let Ok(mut all) = sql.prepare("SELECT bytes FROM journal ORDER BY seq") else { return Vec::new() };
        let rows = all.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap();
        rows.map(|bytes| Record::decode(&bytes.unwrap()).unwrap()).collect()
    }

    /// Every event that stands, in order.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.records().iter().flat_map(|sealed| sealed.record.body.events().to_vec()).collect()
    }

    /// Events of a kind about an agent.
    pub(crate) fn told(&self, agent: &str, kind: &str) -> Vec<Event> {
        let about = |event: &Event| event.about.agent.as_ref().is_some_and(|id| id.as_str() == agent);
        self.events().into_iter().filter(|event| event.kind == kind && about(event)).collect()
    }

    /// An agent as it is recorded.
    pub(crate) fn agent(&self, id: &str) -> Option<Agent> {
        SupervisorReader::open(&self.db()).ok()?.agent(&AgentId::from(id)).ok()?
    }

    /// All agents as they are recorded.
    pub(crate) fn agents(&self) -> Vec<Agent> {
        let reader = SupervisorReader::open(&self.db()).ok();
        reader.and_then(|reader| reader.agents(None, 1_000).ok()).unwrap_or_default()
    }

    /// Whether there are agents, each as it is to be.
    fn all_at_rest(&self) -> bool {
        let agents = self.agents();
        !agents.is_empty() && agents.iter().all(at_rest)
    }

    /// The newest reign.
    pub(crate) fn epoch(&self) -> Option<Epoch> {
        let sql = self.sql()?;
        sql.query_row("SELECT epoch FROM applied", [], |row| row.get(0))
            .ok()
            .map(|epoch: i64| Epoch(epoch.unsigned_abs()))
    }

    /// Interventions that wait or are under way.
    pub(crate) fn open_interventions(&self) -> i64 {
        let text = "SELECT count(*) FROM supervisor_interventions WHERE status IN ('PENDING', 'APPROVED', 'EXECUTING', 'IN_DOUBT')";
        self.sql().and_then(|sql| sql.query_row(text, [], |row| row.get(0)).ok()).unwrap_or_default()
    }

    /// The node that wrote last, and its reign.
    pub(crate) fn writer(&self) -> Option<(String, Epoch)> {
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, Epoch(row.get::<_, i64>(1)?.unsigned_abs())));
        self.sql()?.query_row("SELECT node, epoch FROM applied", [], read).ok()
    }

    /// Waits until an agent is recorded to be so.
    pub(crate) fn agent_is(&self, id: &str, what: &str, wanted: impl Fn(&Agent) -> bool) -> Agent {
        let mut last = None;
        let found = within(crate::support::GENEROUS, || {
            last = self.agent(id);
            last.clone().filter(&wanted)
        });
        found.unwrap_or_else(|| panic!("agent {id} never was {what}: {last:#?}"))
    }

    /// Waits until an agent is up; gives its process.
    pub(crate) fn up(&self, id: &str) -> Identity {
        let agent = self.agent_is(id, "up", |agent| agent.lifecycle.is_up() && agent.process.identity().is_some());
        agent.process.identity().unwrap().clone()
    }

    /// Waits until everybody that is wanted is up and nothing is under way, in the reign of the node that was started last.
    pub(crate) fn calm(&self, node: &mut Node) -> Fold {
        self.calm_after(Epoch(self.before.load(Ordering::SeqCst)), node)
    }

    /// The same in a reign after this one.
    pub(crate) fn calm_after(&self, before: Epoch, node: &mut Node) -> Fold {
        let calm = within(crate::support::GENEROUS, || {
            assert!(node.has_ended().is_none(), "{} has ended:\n{}", node.name, node.log());
            // Cheaply first: this is asked often.
            let rests = self.epoch()? > before && self.open_interventions() == 0 && self.all_at_rest();
            if rests { self.state().filter(|fold| fold.state.agents.values().all(at_rest)) } else { None }
        });
        let open = || self.agents().into_iter().filter(|agent| !at_rest(agent)).collect::<Vec<_>>();
        calm.unwrap_or_else(|| {
            panic!("it never came to rest: {} interventions, {:#?}", self.open_interventions(), open())
        })
    }

    /// Waits until the node that was started last has opened its reign.
    pub(crate) fn reign(&self) -> Fold {
        until("a reign is opened", || {
            self.epoch().filter(|epoch| *epoch > Epoch(self.before.load(Ordering::SeqCst)))?;
            self.state()
        })
    }

    /// Starts as the programs wrote them down.
    pub(crate) fn starts(&self) -> Vec<Start> {
        let text = fs::read_to_string(self.project.dir().join("starts")).unwrap_or_default();
        text.lines().map(start).collect()
    }

    /// Starts of one agent.
    pub(crate) fn starts_of(&self, agent: &str) -> Vec<Start> {
        self.starts().into_iter().filter(|start| start.agent == agent).collect()
    }

    /// Waits until an agent has written down so many starts.
    pub(crate) fn started(&self, agent: &str, times: usize) -> Start {
        until(&format!("{times} starts of {agent}"), || self.starts_of(agent).get(times.checked_sub(1)?).cloned())
    }

    /// Agents that found another one of their name alive.
    pub(crate) fn twice(&self) -> String {
        fs::read_to_string(self.project.dir().join("twice")).unwrap_or_default()
    }

    /// Where hb has sockets and notes of agents: `/run` or what stands for it.
    fn run_dir(&self) -> PathBuf {
        let name = Hash::of(self.project.output.as_os_str().as_encoded_bytes()).short();
        let user = nix::unistd::getuid();
        let base = if user.is_root() { PathBuf::from("/run") } else { std::env::temp_dir() };
        base.join(format!("hb-{user}")).join(name)
    }

    /// Ends everything that agents have started: what has this site in its environment.
    pub(crate) fn end_all(&self) {
        let mark = format!("SITE={}", self.project.dir().display());
        let ended = within(Duration::from_secs(30), || {
            let left: Vec<i32> = processes().filter(|pid| is_of(*pid, &mark)).collect();
            for pid in &left {
                // It fails only for one that is gone.
                kill(Pid::from_raw(*pid), Signal::SIGKILL).unwrap_or_default();
            }
            left.is_empty().then_some(())
        });
        if ended.is_none() {
            eprintln!("processes with {mark} cannot be ended");
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for event in self.sql().iter().flat_map(newest) {
                eprintln!("{event}");
            }
        }
        self.end_all();
        fs::remove_dir_all(self.run_dir()).unwrap_or_default();
    }
}

/// It is as it is to be.
fn at_rest(agent: &Agent) -> bool {
    let wanted = agent.wanted == Wanted::Up && agent.lifecycle != Lifecycle::Quarantined && !agent.restarts.given_up;
    let lives = agent.spec.process.is_none() || lives(agent.process.identity());
    if wanted { agent.lifecycle.is_up() && lives } else { agent.process.identity().is_none() }
}

/// The newest events, for people.
fn newest(sql: &Connection) -> Vec<String> {
    let text = "SELECT timestamp || ' ' || coalesce(process_id, '') || ' ' || event_type || ': ' || message \
                FROM supervisor_events ORDER BY id DESC LIMIT 60";
    let read = || -> rusqlite::Result<Vec<String>> {
        let mut all = sql.prepare(text)?;
        all.query_map([], |row| row.get(0))?.collect()
    };
    let mut lines = read().unwrap_or_default();
    lines.reverse();
    lines
}

fn start(line: &str) -> Start {
    let (head, stat) = line.split_at(line.find('(').unwrap_or_else(|| panic!("no start: {line}")));
    let [agent, incarnation, pid] = head.split_whitespace().collect::<Vec<_>>()[..] else { panic!("no start: {line}") };
    Start {
        agent: agent.to_owned(),
        incarnation: incarnation.parse().unwrap(),
        pid: pid.parse().unwrap(),
        ticks: ticks(stat).unwrap(),
    }
}

/// Start of a process in clock ticks, from `/proc/PID/stat`: field 22.
fn ticks(stat: &str) -> Option<u64> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

fn processes() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn is_of(pid: i32, mark: &str) -> bool {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|one| one == mark.as_bytes())
}

/// Whether a process lives: this very one, and not only its number.
pub(crate) fn lives(identity: Option<&Identity>) -> bool {
    identity.is_some_and(|identity| {
        let stat = fs::read_to_string(format!("/proc/{}/stat", identity.pid)).unwrap_or_default();
        let dead = stat
            .rsplit_once(')')
            .is_some_and(|(_, rest)| matches!(rest.trim_start().as_bytes().first(), Some(b'Z' | b'X')));
        ticks(&stat) == Some(identity.start_ticks) && !dead
    })
}

/// Sends a signal to the process of an agent, if it lives.
pub(crate) fn signal(identity: &Identity, signal: Signal) {
    if lives(Some(identity)) {
        // It may end at this very moment.
        kill(Pid::from_raw(i32::try_from(identity.pid).unwrap()), signal).unwrap_or_default();
    }
}
