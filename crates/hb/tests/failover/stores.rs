//! The stores of a pair of journal and lease, each on a host of its own, and what can happen to them.

use std::process::Command;
use std::time::Duration;

use hb_engines::object::{Bucket, Keys, ObjectJournal};
use hb_engines::target::{Kind, Manner};
use hb_store::journal::dir::DirJournal;
use hb_store::port::Journal;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::door::{Door, Mood};
use crate::etcd::Etcd;
use crate::pair::BOUND;
use crate::rack::{Host, Rack};
use crate::room::{Room, Small};
use crate::support::within;
use crate::{kubernetes, object, postgres};

/// Key of the bucket, and its secret.
pub(crate) const KEY: &str = "test";

/// Where journal and lease are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pair {
    DirFile,
    PostgresPostgres,
    ObjectObject,
    PostgresEtcd,
    DirEtcd,
    ObjectKubernetes,
}

impl Pair {
    pub(crate) const ALL: [Self; 6] = [
        Self::DirFile,
        Self::PostgresPostgres,
        Self::ObjectObject,
        Self::PostgresEtcd,
        Self::DirEtcd,
        Self::ObjectKubernetes,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::DirFile => "dir+file",
            Self::PostgresPostgres => "postgres+postgres",
            Self::ObjectObject => "object+object",
            Self::PostgresEtcd => "postgres+etcd",
            Self::DirEtcd => "dir+etcd",
            Self::ObjectKubernetes => "object+kubernetes",
        }
    }

    /// Whether nodes share a folder.
    pub(crate) fn shares_folder(self) -> bool {
        matches!(self, Self::DirFile | Self::DirEtcd)
    }
}

/// A store on its host.
pub(crate) struct Store {
    /// Goes first, and with it what its processes hold.
    server: Server,
    pub(crate) host: Host,
}

enum Server {
    Postgres { server: postgres::Server, small: Option<Small> },
    Etcd { etcd: Option<Etcd>, door: Door },
    Bucket { server: object::Server, door: Door },
    Api { api: Option<kubernetes::Api>, door: Door },
}

impl Store {
    /// Starts one; none where its program is missing, which is told.
    pub(crate) fn start(kind: Kind, rack: &mut Rack, room: Room) -> Option<Self> {
        let host = rack.host(kind.as_str());
        let server = match kind {
            Kind::Postgres => {
                let (server, small) = database(&host, room)?;
                Server::Postgres { server, small }
            }
            Kind::Etcd => {
                let quota: &[&str] = if room == Room::Small { &["--quota-backend-bytes", QUOTA] } else { &[] };
                let etcd = host.within(|| Etcd::start(1, quota))?;
                let door = Door::of(&host, etcd.port(0));
                Server::Etcd { etcd: Some(etcd), door }
            }
            Kind::Object => {
                let server = host.within(|| object::Server::start(object::Lie::None));
                let door = Door::of(&host, server.port());
                Server::Bucket { server, door }
            }
            Kind::Kubernetes => {
                let api = host.within(kubernetes::Api::start);
                let door = Door::of(&host, api.port);
                Server::Api { api: Some(api), door }
            }
        };
        Some(Self { server, host })
    }

    /// Its address, as a configuration has it.
    pub(crate) fn url(&self) -> String {
        match &self.server {
            Server::Postgres { server, .. } => {
                format!("postgres://hb@{}:{}/ops?sslmode=disable&schema=lab", self.host.address, server.port)
            }
            Server::Etcd { door, .. } => format!("etcd://{}/hb/lab", door.address()),
            Server::Bucket { door, .. } => {
                format!("s3://bucket/lab?endpoint=http://{}&region=us-east-1", door.address())
            }
            Server::Api { door, .. } => format!("kubernetes://lab/pair?server=http://{}", door.address()),
        }
    }

    /// Its journal, read from the desk.
    fn journal(&self) -> Box<dyn Journal> {
        let manner = Manner { patience: Duration::from_secs(10) };
        match &self.server {
            Server::Postgres { .. } => hb_engines::open::journal(Kind::Postgres, &self.url(), manner).unwrap(),
            Server::Bucket { .. } => {
                let keys = Keys { id: KEY.into(), secret: KEY.into() };
                Box::new(ObjectJournal::new(Bucket::open_as(&self.url().parse().unwrap(), &manner, &keys).unwrap()))
            }
            Server::Etcd { .. } | Server::Api { .. } => panic!("it keeps no journal"),
        }
    }

    /// It stops in the middle of whatever it does, and says nothing.
    pub(crate) fn hang(&self) {
        match &self.server {
            Server::Postgres { server, .. } => signal_family(server, Signal::SIGSTOP),
            Server::Etcd { etcd, .. } => etcd.iter().for_each(|etcd| etcd.signal(0, Signal::SIGSTOP)),
            Server::Bucket { door, .. } | Server::Api { door, .. } => door.set(Mood::Deaf),
        }
    }

    /// It goes on.
    pub(crate) fn go_on(&self) {
        match &self.server {
            Server::Postgres { server, .. } => signal_family(server, Signal::SIGCONT),
            Server::Etcd { etcd, .. } => etcd.iter().for_each(|etcd| etcd.signal(0, Signal::SIGCONT)),
            // What came in meanwhile was thrown away: connections that stand are of no use to anybody.
            Server::Bucket { door, .. } | Server::Api { door, .. } => {
                door.set(Mood::Shut);
                door.set(Mood::Open);
            }
        }
    }

    /// It ends as a machine does that loses power, for people who look from outside.
    pub(crate) fn crash(&mut self) {
        match &mut self.server {
            Server::Postgres { server, .. } => server.end(Signal::SIGQUIT),
            Server::Etcd { etcd, .. } => etcd.iter_mut().for_each(|etcd| etcd.kill(0)),
            Server::Bucket { door, .. } => door.set(Mood::Shut),
            Server::Api { api, .. } => api.iter_mut().for_each(kubernetes::Api::stop),
        }
    }

    /// All its processes are killed at once.
    pub(crate) fn kill(&mut self) {
        match &mut self.server {
            Server::Postgres { server, .. } => {
                signal_family(server, Signal::SIGKILL);
                server.end(Signal::SIGKILL);
            }
            Server::Etcd { .. } | Server::Bucket { .. } | Server::Api { .. } => self.crash(),
        }
    }

    /// It is really full; false where it cannot be.
    pub(crate) fn fill(&self, full: Full) -> bool {
        match &self.server {
            Server::Postgres { server, small } => {
                let filled = small.as_ref().is_some_and(Small::fill);
                if filled && full == Full::Log {
                    // What is written next needs a new file of its log, and PostgreSQL ends for want of it.
                    drop(server.sql_until_killed("SELECT pg_switch_wal()").wait());
                }
                filled
            }
            Server::Etcd { etcd, .. } => self.host.within(|| etcd.as_ref().is_some_and(fill_etcd)),
            Server::Bucket { .. } => self.refuse(Refuses::Everything),
            Server::Api { .. } => false,
        }
    }

    /// There is room again.
    pub(crate) fn empty(&mut self) {
        match &self.server {
            Server::Postgres { server, small } => {
                small.iter().for_each(Small::empty);
                if !settles(server) {
                    self.start_again();
                }
            }
            Server::Etcd { etcd, .. } => self.host.within(|| etcd.iter().for_each(empty_etcd)),
            Server::Bucket { .. } => drop(self.refuse(Refuses::Nothing)),
            Server::Api { .. } => {}
        }
    }

    /// It is started again, with what it kept.
    pub(crate) fn start_again(&mut self) {
        match &mut self.server {
            Server::Postgres { server, .. } => {
                let server = &*server;
                assert!(self.host.within(|| server.run()), "PostgreSQL does not start: {}", server.log());
            }
            Server::Etcd { etcd, .. } => {
                let mut cluster = etcd.take().unwrap();
                *etcd = Some(self.host.within(move || {
                    cluster.spawn(0);
                    cluster.await_healthy(0);
                    cluster
                }));
            }
            Server::Bucket { door, .. } => door.set(Mood::Open),
            Server::Api { api, .. } => {
                let mut server = api.take().unwrap();
                *api = Some(self.host.within(move || {
                    server.start_again();
                    server
                }));
            }
        }
    }

    /// It takes nothing more, and says so; false where it has no such state.
    pub(crate) fn refuse(&self, refuses: Refuses) -> bool {
        match &self.server {
            Server::Postgres { server, .. } => {
                let value = if refuses == Refuses::Everything { "on" } else { "off" };
                server.sql("postgres", &format!("ALTER SYSTEM SET default_transaction_read_only = {value}"));
                server.sql("postgres", "SELECT pg_reload_conf()");
                true
            }
            Server::Bucket { server, .. } => {
                let many = if refuses == Refuses::Everything { 10_000 } else { 0 };
                server.forget_plans();
                server.plan("PUT", (0..many).map(|_| object::Fault::NotDone(507)));
                true
            }
            Server::Etcd { .. } | Server::Api { .. } => false,
        }
    }

    /// What passes its door; false where it has none.
    pub(crate) fn mood(&self, mood: Mood) -> bool {
        match &self.server {
            Server::Postgres { .. } => false,
            Server::Etcd { door, .. } | Server::Bucket { door, .. } | Server::Api { door, .. } => {
                door.set(mood);
                true
            }
        }
    }

    /// What it wrote down, for whoever has to understand a failure.
    pub(crate) fn log(&self) -> String {
        match &self.server {
            Server::Postgres { server, .. } => server.log(),
            Server::Etcd { .. } | Server::Bucket { .. } | Server::Api { .. } => String::new(),
        }
    }
}

/// What a store does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refuses {
    Everything,
    Nothing,
}

/// Of what a database has too little room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// Of what it stores: it says so.
    Data,
    /// Of its own log: it ends.
    Log,
}

/// Most that etcd may hold where it is to be filled, in bytes.
const QUOTA: &str = "12000000";
/// What it is filled with: so many values of so many bytes.
const JUNK: (usize, usize) = (24, 900_000);
/// Size of the file system of a small PostgreSQL, in MB: its empty database takes a quarter of it.
const DATABASE: u32 = 200;

/// Puts values until there is an alarm; whether it came.
fn fill_etcd(etcd: &Etcd) -> bool {
    let value = base64(&vec![b'x'; JUNK.1]);
    let full = |number: usize| {
        let key = base64(format!("/junk/{number:03}").as_bytes());
        let said = etcd.ask("kv/put", &json!({"key": key, "value": value}), None);
        said.to_string().contains("space exceeded")
    };
    (0..JUNK.0).any(full)
}

/// Takes the values away, gives the room back, and ends the alarm, as an operator does.
fn empty_etcd(etcd: &Etcd) {
    let range = json!({"key": base64(b"/junk/"), "range_end": base64(b"/junk0")});
    let gone = etcd.ask("kv/deleterange", &range, None);
    let revision = gone["header"]["revision"].as_str().expect("every answer has one").to_owned();
    etcd.ask("kv/compaction", &json!({"revision": revision, "physical": true}), None);
    etcd.ask("maintenance/defragment", &json!({}), None);
    let alarms = etcd.ask("maintenance/alarm", &json!({"action": "GET"}), None);
    for alarm in alarms["alarms"].as_array().into_iter().flatten() {
        let member = alarm["memberID"].clone();
        etcd.ask("maintenance/alarm", &json!({"action": "DEACTIVATE", "memberID": member, "alarm": "NOSPACE"}), None);
    }
}

/// As etcd's gateway wants bytes.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for part in bytes.chunks(3) {
        let word = part.iter().chain(&[0, 0]).take(3).fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
        for place in 0..4 {
            let letter = LETTERS[(word >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= part.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

/// All stores of a pair.
pub(crate) struct Stores {
    pub(crate) all: Vec<Store>,
    /// Which of them keeps the journal, and which the lease; none where it is the folder.
    pub(crate) journal: Option<usize>,
    pub(crate) lease: Option<usize>,
}

impl Stores {
    pub(crate) fn start(pair: Pair, rack: &mut Rack, room: Room) -> Option<Self> {
        let (kinds, journal, lease): (&[Kind], _, _) = match pair {
            Pair::DirFile => (&[], None, None),
            Pair::PostgresPostgres => (&[Kind::Postgres], Some(0), Some(0)),
            Pair::ObjectObject => (&[Kind::Object], Some(0), Some(0)),
            Pair::PostgresEtcd => (&[Kind::Postgres, Kind::Etcd], Some(0), Some(1)),
            Pair::DirEtcd => (&[Kind::Etcd], None, Some(0)),
            Pair::ObjectKubernetes => (&[Kind::Object, Kind::Kubernetes], Some(0), Some(1)),
        };
        let all = kinds.iter().map(|kind| Store::start(*kind, rack, room)).collect::<Option<Vec<_>>>()?;
        Some(Self { all, journal, lease })
    }

    /// Lines of a configuration.
    pub(crate) fn settings(&self, lease: &str) -> String {
        let mut text = String::new();
        if let Some(at) = self.journal {
            text.push_str(&format!("journal_url: \"{}\"\n", self.all[at].url()));
        }
        let url = self.lease.map(|at| format!("url: \"{}\", ", self.all[at].url())).unwrap_or_default();
        text.push_str(&format!("lease: {{{url}{lease}}}\n"));
        text
    }

    /// The journal as one sees it from the desk; the folder of its records where it is one.
    pub(crate) fn reader(&self, folder: &std::path::Path) -> Box<dyn Journal> {
        match self.journal {
            Some(at) => self.all[at].journal(),
            None => Box::new(DirJournal::open(&folder.join("journal")).unwrap()),
        }
    }
}

/// A PostgreSQL that everybody on the rack may ask, and what its data is on.
fn database(host: &Host, room: Room) -> Option<(postgres::Server, Option<Small>)> {
    // Its log takes little room, and is not kept.
    let settings = "listen_addresses=*\nmin_wal_size=32MB\nmax_wal_size=48MB\nwal_recycle=off";
    let server = host.within(|| postgres::Server::start(settings))?;
    let data = server.folder().join("data");
    std::fs::write(data.join("pg_hba.conf"), "local all all trust\nhost all all 10.77.0.0/24 trust\n").unwrap();
    if room == Room::Ample {
        server.sql("postgres", "SELECT pg_reload_conf()");
        return Some((server, None));
    }
    server.end(Signal::SIGINT);
    let aside = server.folder().join("data.made");
    std::fs::rename(&data, &aside).unwrap();
    let small = Small::of(&data, DATABASE);
    let moved = Command::new("cp").arg("-a").arg(aside.join(".")).arg(&data).status();
    assert!(moved.is_ok_and(|status| status.success()), "the database cannot be moved");
    std::fs::remove_dir_all(aside).unwrap();
    assert!(host.within(|| server.run()), "PostgreSQL does not start: {}", server.log());
    Some((server, Some(small)))
}

/// Whether it goes on by itself, once it has recovered; false when it has ended.
fn settles(server: &postgres::Server) -> bool {
    let settled = within(BOUND, || {
        let answers = || server.sql_until_killed("SELECT 1").wait().is_ok_and(|status| status.success());
        let ended = !server.folder().join("data/postmaster.pid").try_exists().unwrap();
        if ended { Some(false) } else { answers().then_some(true) }
    });
    settled.unwrap_or_else(|| panic!("PostgreSQL neither ends nor answers: {}", server.log()))
}

/// A signal to a server and all that it has started.
fn signal_family(server: &postgres::Server, signal: Signal) {
    let pid = std::fs::read_to_string(server.folder().join("data/postmaster.pid")).unwrap();
    let pid = pid.lines().next().unwrap().to_owned();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    for pid in std::iter::once(pid.as_str()).chain(children.split_whitespace()) {
        // One that has just ended needs no signal.
        kill(Pid::from_raw(pid.parse().unwrap()), signal).unwrap_or_default();
    }
}
