//! A real PostgreSQL of its own for a test process, on a free port of the loopback, with its data in a folder of its own.
//!
//! A keeper process holds it: when the test process ends, however it does, the keeper ends the server and removes its folder.

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use hb_engines::postgres::PostgresTarget;
use hb_engines::target::Manner;
use tempfile::TempDir;

/// How long a server may take to start or to end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// What ends the server and takes its folder away once its own input ends. A server that is started again has another number.
const KEEPER: &str = r#"cat > /dev/null
    pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null) && kill -QUIT "$pid" && kill -CONT "$pid" && while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
    rm -rf "$1""#;

/// A running server. Its folder goes with the test process.
pub(crate) struct Server {
    bin: PathBuf,
    folder: PathBuf,
    pub(crate) port: u16,
    settings: String,
    postmaster: Mutex<Option<Child>>,
    /// Ends with its input, and that with this value.
    _keeper: Child,
}

/// Folder of the programs; none where they are not installed. In CI that is a failure, elsewhere it is told.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = versions.map(|entry| entry.path().join("bin")).collect();
    found.sort();
    found.splice(0..0, std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
    found.retain(|folder| ["initdb", "postgres", "psql"].iter().all(|program| folder.join(program).is_file()));
    let newest = found.pop();
    if newest.is_none() {
        assert!(std::env::var_os("CI").is_none(), "PostgreSQL is missing: apt-get install postgresql");
        eprintln!("NOT RUN: PostgreSQL is missing (apt-get install postgresql, or run `cargo xtask test` as root)");
    }
    newest
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

impl Server {
    /// Starts one with more settings; none where there is no such program.
    pub(crate) fn start(settings: &str) -> Option<Self> {
        let bin = programs()?;
        let folder = TempDir::new().unwrap().keep();
        std::os::unix::fs::chown(&folder, owner(), None).unwrap();
        let keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(&folder)
            .stdin(Stdio::piped())
            // Whoever ends the tests by a signal to all of them leaves this one.
            .process_group(0)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let data = folder.join("data");
        let made = as_its_user(&bin.join("initdb"))
            .args(["--no-sync", "--no-locale", "--encoding=UTF8", "--username=postgres", "--auth=trust", "-D"])
            .arg(&data)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let access = "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n\
                      hostnossl all secretive 127.0.0.1/32 scram-sha-256\nhostnossl all all 127.0.0.1/32 trust\n";
        std::fs::write(data.join("pg_hba.conf"), access).unwrap();
        let mut server =
            Self { bin, folder, port: 0, settings: settings.to_owned(), postmaster: Mutex::new(None), _keeper: keeper };
        let started = (0..10).any(|_| {
            server.port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
            server.run()
        });
        assert!(started, "no port for PostgreSQL: {}", server.log());
        server.sql("postgres", "CREATE ROLE hb LOGIN");
        server.sql("postgres", "CREATE ROLE secretive LOGIN PASSWORD 'open sesame'");
        server.sql("postgres", "CREATE ROLE stranger LOGIN");
        server.sql("postgres", "CREATE DATABASE ops OWNER hb");
        Some(server)
    }

    /// Runs the server in its folder; whether it came up.
    pub(crate) fn run(&self) -> bool {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.folder.join("log")).unwrap();
        let mut command = as_its_user(&self.bin.join("postgres"));
        command.arg("-D").arg(self.folder.join("data")).args(["-p", &self.port.to_string()]);
        let sockets = format!("unix_socket_directories={}", self.folder.display());
        for setting in ["listen_addresses=127.0.0.1", "max_connections=60", "shared_buffers=16MB", &sockets] {
            command.args(["-c", setting]);
        }
        for setting in self.settings.lines() {
            command.args(["-c", setting]);
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        *self.postmaster.lock().unwrap() = Some(child);
        let until = Instant::now() + PATIENCE;
        while !self.answers() {
            assert!(Instant::now() < until, "PostgreSQL does not come up: {}", self.log());
            if self.postmaster.lock().unwrap().as_mut().unwrap().try_wait().unwrap().is_some() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        true
    }

    /// Waits until the server answers again.
    pub(crate) fn wait_until_up(&self) {
        let until = Instant::now() + PATIENCE;
        while !self.answers() {
            assert!(Instant::now() < until, "PostgreSQL does not come back: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn answers(&self) -> bool {
        let asked = self.psql("postgres").args(["-c", "SELECT 1"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
        asked.unwrap().success()
    }

    /// Ends the server by a signal: `SIGINT` is an orderly end, `SIGQUIT` none, `SIGKILL` that of the machine.
    pub(crate) fn end(&self, signal: nix::sys::signal::Signal) {
        let mut child = self.postmaster.lock().unwrap().take().unwrap();
        self.signal(signal, child.id());
        child.wait().unwrap();
        if signal == nix::sys::signal::Signal::SIGKILL {
            // Its children end by themselves once they see it; a new server waits for them.
            std::fs::remove_file(self.folder.join("data/postmaster.pid")).unwrap_or_default();
        }
    }

    fn signal(&self, signal: nix::sys::signal::Signal, pid: u32) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap()), signal).unwrap();
    }

    /// Stops or resumes every process of the server.
    pub(crate) fn signal_all(&self, signal: nix::sys::signal::Signal) {
        let postmaster = self.postmaster.lock().unwrap().as_ref().unwrap().id();
        let children = Command::new("ps").args(["-o", "pid=", "--ppid", &postmaster.to_string()]).output().unwrap();
        let children = String::from_utf8(children.stdout).unwrap();
        for pid in children.split_whitespace().map(|pid| pid.parse().unwrap()).chain([postmaster]) {
            self.signal(signal, pid);
        }
    }

    fn psql(&self, database: &str) -> Command {
        let mut command = Command::new(self.bin.join("psql"));
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-h"]);
        command.arg(&self.folder).args(["-p", &self.port.to_string(), database]).stdin(Stdio::null());
        command
    }

    /// A statement of the administrator.
    pub(crate) fn sql(&self, database: &str, statement: &str) -> String {
        let output = self.psql(database).args(["-c", statement]).output().unwrap();
        assert!(output.status.success(), "{statement}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// A statement that goes on until it is killed.
    pub(crate) fn sql_until_killed(&self, statement: &str) -> Child {
        self.psql("ops").args(["-c", statement]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// What the server wrote down.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Gives a file of its folder to the user that the server runs as.
    pub(crate) fn own(&self, name: &str) {
        std::os::unix::fs::chown(self.folder.join(name), owner(), None).unwrap();
    }

    /// The folder that all of it is in.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Address of a schema, over TCP.
    pub(crate) fn url(&self, schema: &str) -> String {
        format!("postgres://hb@127.0.0.1:{}/ops?sslmode=disable&schema={schema}", self.port)
    }
}

/// Who may write in the folder.
fn owner() -> Option<u32> {
    let user = nix::unistd::User::from_name("postgres").unwrap().filter(|_| nix::unistd::geteuid().is_root());
    user.map(|user| user.uid.as_raw())
}

/// The server that the tests of one process share; none where there is no PostgreSQL.
pub(crate) fn shared() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER.get_or_init(|| Server::start("")).as_ref()
}

/// A name that no other test of this process has.
pub(crate) fn fresh_schema() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("s{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A target by its address. The patience is long: the machine may be busy.
pub(crate) fn target(url: &str) -> PostgresTarget {
    patient(url, Duration::from_secs(20))
}

/// The same with another patience.
pub(crate) fn patient(url: &str, patience: Duration) -> PostgresTarget {
    PostgresTarget::parse(url, Manner { patience }).unwrap()
}
