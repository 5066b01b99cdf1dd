//! A real etcd of its own for a test: one member or three, on free ports of the loopback, with its state in a folder of its own.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

/// How long a cluster may take to start or to find a leader.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running cluster. It ends with the value.
pub(crate) struct Etcd {
    folder: tempfile::TempDir,
    members: Vec<Member>,
    program: PathBuf,
    options: Vec<String>,
    /// How clients speak: `http` or `https`.
    scheme: &'static str,
}

struct Member {
    client: u16,
    peer: u16,
    child: Option<Child>,
}

/// Where the program is; none where it is not installed. In CI that is a failure, elsewhere it is told.
fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("etcd")).find(|path| path.is_file());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "etcd is missing: apt-get install etcd-server");
        eprintln!("NOT RUN: etcd is missing (apt-get install etcd-server, or run `cargo xtask test` as root)");
    }
    found
}

impl Etcd {
    /// Starts a cluster and waits until it has a leader; none where there is no such program.
    pub(crate) fn start(members: usize, options: &[&str]) -> Option<Self> {
        Self::start_over("http", members, options)
    }

    /// The same with TLS for clients; the options name its files.
    pub(crate) fn start_with_tls(options: &[&str]) -> Option<Self> {
        Self::start_over("https", 1, options)
    }

    fn start_over(scheme: &'static str, members: usize, options: &[&str]) -> Option<Self> {
        let program = program()?;
        for _ in 0..10 {
            let options = options.iter().map(|option| (*option).to_owned()).collect();
            let folder = tempfile::tempdir().unwrap();
            let mut etcd = Self { folder, members: ports(members), program: program.clone(), options, scheme };
            for index in 0..members {
                etcd.spawn(index);
            }
            // A port that somebody else took meanwhile ends a member at once.
            if etcd.lives() {
                return Some(etcd);
            }
        }
        panic!("no ports for etcd");
    }

    /// Port of a member.
    pub(crate) fn port(&self, index: usize) -> u16 {
        self.members[index].client
    }

    /// Starts a member, with whatever its folder has.
    pub(crate) fn spawn(&mut self, index: usize) {
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let cluster: Vec<String> =
            self.members.iter().enumerate().map(|(at, member)| format!("m{at}={}", url(member.peer))).collect();
        let member = &self.members[index];
        let clients = format!("{}://127.0.0.1:{}", self.scheme, member.client);
        let child = Command::new(&self.program)
            .args(["--name", &format!("m{index}"), "--initial-cluster", &cluster.join(",")])
            .args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients])
            .args(["--listen-peer-urls", &url(member.peer), "--initial-advertise-peer-urls", &url(member.peer)])
            .args(["--unsafe-no-fsync", "--log-level", "error", "--logger", "zap"])
            .args(&self.options)
            .arg("--data-dir")
            .arg(self.folder.path().join(format!("m{index}")))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.members[index].child = Some(child);
    }

    /// Whether every member is healthy; false when one has ended.
    fn lives(&mut self) -> bool {
        let until = Instant::now() + PATIENCE;
        for index in 0..self.members.len() {
            while !self.healthy(index) {
                assert!(Instant::now() < until, "member {index} of etcd finds no leader");
                let child = self.members[index].child.as_mut().unwrap();
                if child.try_wait().unwrap().is_some() {
                    return false;
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
        true
    }

    /// Waits until a member answers again. One that ended meanwhile, because a connection of somebody else's had its port, is started again.
    pub(crate) fn await_healthy(&mut self, index: usize) {
        let (until, mut ended) = (Instant::now() + PATIENCE, None);
        while !self.healthy(index) {
            assert!(Instant::now() < until, "member {index} of etcd does not come back; it ended: {ended:?}");
            thread::sleep(Duration::from_millis(20));
            let status = self.members[index].child.as_mut().and_then(|child| child.try_wait().unwrap());
            if status.is_some() {
                ended = status;
                self.spawn(index);
            }
        }
    }

    fn healthy(&self, index: usize) -> bool {
        if self.scheme == "https" {
            // Whoever has no certificate is not let in; that it listens must do.
            return std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, self.port(index))).is_ok();
        }
        let asked = client(2).get(format!("http://127.0.0.1:{}/health", self.port(index))).send();
        asked.is_ok_and(|answer| answer.text().is_ok_and(|text| text.contains("true")))
    }

    /// Asks the gateway as an operator would.
    pub(crate) fn ask(&self, path: &str, body: &Value, token: Option<&str>) -> Value {
        let mut request = client(30).post(format!("http://127.0.0.1:{}/v3/{path}", self.port(0))).json(body);
        if let Some(token) = token {
            request = request.header("Authorization", token);
        }
        request.send().unwrap().json().unwrap()
    }

    /// Which member leads.
    pub(crate) fn leader(&self) -> usize {
        let until = Instant::now() + PATIENCE;
        loop {
            for index in 0..self.members.len() {
                if self.leads(index) {
                    return index;
                }
            }
            assert!(Instant::now() < until, "etcd has no leader");
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn leads(&self, index: usize) -> bool {
        let url = format!("http://127.0.0.1:{}/v3/maintenance/status", self.port(index));
        let Ok(answer) = client(2).post(url).json(&json!({})).send() else { return false };
        let Ok(status) = answer.json::<Value>() else { return false };
        let leader = status["leader"].as_str().unwrap_or("0");
        leader != "0" && status["header"]["member_id"].as_str() == Some(leader)
    }

    /// Sends a signal to a member.
    pub(crate) fn signal(&self, index: usize, signal: Signal) {
        let child = self.members[index].child.as_ref().unwrap();
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
    }

    /// Ends a member as `kill -9` does.
    pub(crate) fn kill(&mut self, index: usize) {
        if let Some(mut child) = self.members[index].child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for index in 0..self.members.len() {
            self.kill(index);
        }
    }
}

fn client(seconds: u64) -> reqwest::blocking::Client {
    reqwest::blocking::Client::builder()
        .tls_backend_preconfigured(hb_tls::client(hb_tls::Roots::None, None).unwrap())
        .no_proxy()
        .timeout(Duration::from_secs(seconds))
        .build()
        .unwrap()
}

fn ports(members: usize) -> Vec<Member> {
    // Held together, so that no two are the same.
    let held: Vec<_> = (0..members * 2).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).collect();
    let ports: Vec<u16> = held.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
    ports.chunks(2).map(|pair| Member { client: pair[0], peer: pair[1], child: None }).collect()
}

/// The address of some ports, with a prefix.
pub(crate) fn address(ports: &[u16], rest: &str) -> String {
    let hosts: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    format!("etcd://{}/{rest}", hosts.join(","))
}

/// A file with a line in a folder.
pub(crate) fn file(folder: &Path, line: &str) -> PathBuf {
    let path = folder.join("password");
    std::fs::write(&path, format!("{line}\n")).unwrap();
    path
}
