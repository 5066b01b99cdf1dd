//! A PostgreSQL with its defaults, and a session of `psql` that reads the journal.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use super::{Engine, Kind, Place, Way, listening, program};
use crate::child::{Kept, said, until};
use crate::failover::peers::Peer;
use crate::failover::site::WATCH;
use crate::supervise::stage::now;
use crate::web;

/// How long the server may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Postgres {
    bin: PathBuf,
    folder: tempfile::TempDir,
    port: u16,
    process: Kept,
}

impl Postgres {
    pub(super) fn start(near: Option<Ipv4Addr>) -> Result<Self, String> {
        let bin = programs().ok_or("PostgreSQL is missing (apt-get install postgresql)")?;
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let root = nix::unistd::geteuid().is_root();
        let user = nix::unistd::User::from_name("postgres").ok().flatten().filter(|_| root);
        chown(folder.path(), user.map(|user| user.uid.as_raw()), None).map_err(|error| error.to_string())?;
        let data = folder.path().join("data");
        said(
            as_its_user(&bin.join("initdb"))
                .args(["--no-sync", "--no-locale", "--encoding=UTF8", "--username=postgres", "--auth=trust", "-D"])
                .arg(&data),
        )?;
        let access = "local all all trust\nhost all all 127.0.0.1/32 trust\nhost all all 10.213.0.0/16 trust\n";
        std::fs::write(data.join("pg_hba.conf"), access).map_err(|error| error.to_string())?;
        let port = web::free_port()?.port();
        let addresses: Vec<String> = listening(near).iter().map(ToString::to_string).collect();
        let mut command = as_its_user(&bin.join("postgres"));
        command.arg("-D").arg(&data).args(["-p", &port.to_string()]);
        command.args(["-c", &format!("listen_addresses={}", addresses.join(","))]);
        command.args(["-c", &format!("unix_socket_directories={}", folder.path().display())]);
        let process = Kept::start(&mut command, &folder.path().with_extension("log"))?;
        let server = Self { bin, folder, port, process };
        until("PostgreSQL", PATIENCE, || said(server.psql("postgres").args(["-c", "SELECT 1"])).ok())?;
        said(server.psql("postgres").args(["-c", "CREATE DATABASE ops"]))?;
        Ok(server)
    }

    /// Over the server's socket.
    fn psql(&self, database: &str) -> Command {
        let mut command = Command::new(self.bin.join("psql"));
        command.args(["-X", "-q", "-A", "-t", "-U", "postgres", "-h"]);
        command.arg(self.folder.path()).args(["-p", &self.port.to_string(), "-d", database]);
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // An orderly end, so that its processes and shared memory go too.
        if let Ok(pid) = i32::try_from(self.process.0.id()) {
            let pid = nix::unistd::Pid::from_raw(pid);
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap_or_default();
            let ended = until("PostgreSQL to end", PATIENCE, || self.process.0.try_wait().ok().flatten());
            drop(ended);
        }
        // It stands beside the folder, which belongs to another user.
        std::fs::remove_file(self.folder.path().with_extension("log")).unwrap_or_default();
    }
}

impl Engine for Postgres {
    fn kind(&self) -> Kind {
        Kind::Postgres
    }

    fn address(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), self.port))
    }

    fn settings(&self, way: Way<'_>, ttl: f64) -> String {
        let at = way.at.map(|at| at.to_string()).unwrap_or_default();
        let schema = schema(way.place);
        format!(
            "journal_url: \"postgres://postgres@{at}/ops?sslmode=disable&schema={schema}\"\nlease: {{ttl_sec: {ttl}}}\n"
        )
    }

    fn journal(&self, place: &str, _folder: &Path) -> Result<Box<dyn Place>, String> {
        Ok(Box::new(Rows::open(self.psql("ops"), &schema(place))?))
    }

    fn peers(&self) -> Vec<Peer> {
        let port = self.port.to_string();
        let session = ["psql", "-X", "-q", "-h", "127.0.0.1", "-p", &port, "-U", "postgres", "-d", "ops"];
        let lock = ["-c", "SELECT pg_advisory_lock(42)", "-c"];
        vec![Peer::new("psql, advisory lock", session.into_iter().chain(lock)).in_one_word("\\! ")]
    }
}

/// Names of schemas have no dots.
fn schema(place: &str) -> String {
    place.replace('.', "_")
}

fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = versions.map(|entry| entry.path().join("bin")).collect();
    found.sort();
    found.extend(program("postgres").and_then(|path| path.parent().map(Path::to_owned)));
    found.retain(|folder| ["initdb", "postgres", "psql"].iter().all(|name| folder.join(name).is_file()));
    found.pop()
}

/// PostgreSQL does not run as root.
fn as_its_user(program: &Path) -> Command {
    if !nix::unistd::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
    command
}

/// Line behind each answer.
const END: &str = "end of the answer";

/// The rows of a stream.
struct Rows {
    session: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
    table: String,
}

impl Rows {
    fn open(mut command: Command, schema: &str) -> Result<Self, String> {
        // Until a node has made the tables, each question ends with an error and no rows.
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut session = command.spawn().map_err(|error| format!("psql: {error}"))?;
        let (Some(ask), Some(answers)) = (session.stdin.take(), session.stdout.take()) else {
            return Err("psql has no input".into());
        };
        Ok(Self { session, ask, answers: BufReader::new(answers), table: format!("{schema}.records") })
    }
}

impl Place for Rows {
    fn from(&mut self, seq: u64) -> Result<Vec<(Vec<u8>, f64)>, String> {
        let question = format!(
            "SELECT encode(bytes, 'hex') FROM {} WHERE stream = 'watch/{WATCH}' AND seq >= {seq} ORDER BY seq;\n\\echo {END}\n",
            self.table
        );
        self.ask.write_all(question.as_bytes()).map_err(|error| format!("psql: {error}"))?;
        let mut found = Vec::new();
        loop {
            let mut line = String::new();
            let size = self.answers.read_line(&mut line).map_err(|error| format!("psql: {error}"))?;
            match line.trim() {
                _ if size == 0 => return Err("psql has ended".into()),
                END => return Ok(found),
                hex => found.push((bytes(hex).ok_or("psql answers no bytes")?, now())),
            }
        }
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        drop(self.session.kill());
        drop(self.session.wait());
    }
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()).collect()
}
