//! A running daemon. It is killed when its test forgets it.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use hb_store::board::{Board, Card};
use hb_store::register::dir::DirRegister;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::http::{self, Answer};
use super::project::Project;
use super::{until, within};

pub(crate) struct Node {
    pub(crate) name: String,
    child: Child,
    /// Where its card is, if its lease is a file.
    register: PathBuf,
    log: PathBuf,
    ended: Option<ExitStatus>,
}

impl Node {
    pub(crate) fn start(project: &Project, name: &str) -> Self {
        Self::start_with(project, name, &["--listen", "127.0.0.1:0"])
    }

    pub(crate) fn start_with(project: &Project, name: &str, more: &[&str]) -> Self {
        let mut command = project.command(&["daemon"]);
        command.args(more);
        Self::launch(project, name, command)
    }

    /// `hb …` as a node of this name and of this project.
    pub(crate) fn launch(project: &Project, name: &str, mut command: Command) -> Self {
        let log = project.dir().join(format!("{name}.log"));
        let file = || File::options().create(true).append(true).open(&log).unwrap();
        command.args(["--node", name, "--config"]).arg(project.config()).stdout(file()).stderr(file());
        command.env("HB_LOG", "info").stdin(Stdio::null());
        let child = command.spawn().unwrap();
        let register = project.output.join("register");
        Self { name: name.to_owned(), child, register, log, ended: None }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything that it and its predecessors of that name have said.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The card of this very process, if it has put one up.
    pub(crate) fn card(&self) -> Option<Card> {
        if !self.register.is_dir() {
            return None;
        }
        let roster = Board::new(Box::new(DirRegister::open(&self.register).ok()?)).roster().ok()?;
        let mut cards = roster.nodes.into_iter().map(|entry| entry.card);
        cards.find(|card| card.process.pid == self.pid() && card.node.as_str() == self.name)
    }

    /// Where it serves health.
    pub(crate) fn address(&mut self) -> SocketAddr {
        until(&format!("the address of {}", self.name), || {
            self.must_run();
            self.card()?.account.listen
        })
    }

    pub(crate) fn get(&mut self, path: &str) -> Answer {
        let address = self.address();
        http::get(address, path).unwrap_or_else(|error| panic!("{} does not answer {path}: {error}", self.name))
    }

    /// What it says that it is, if it answers.
    pub(crate) fn role(&self) -> Option<String> {
        let listen = self.card()?.account.listen?;
        Some(http::get(listen, "/v1/status").ok()?.json()["role"].as_str()?.to_owned())
    }

    pub(crate) fn wait_role(&mut self, role: &str) {
        until(&format!("{} is {role}", self.name), || {
            self.must_run();
            (self.role()? == role).then_some(())
        });
    }

    fn must_run(&mut self) {
        if let Some(status) = self.has_ended() {
            panic!("{} has ended with {status}:\n{}", self.name, self.log());
        }
    }

    pub(crate) fn has_ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().unwrap();
        }
        self.ended
    }

    pub(crate) fn signal(&self, signal: Signal) {
        assert!(self.ended.is_none(), "{} has ended: its number may be somebody else's", self.name);
        kill(Pid::from_raw(i32::try_from(self.pid()).unwrap()), signal).unwrap();
    }

    /// `kill -9`, and its end is waited for.
    pub(crate) fn kill(&mut self) {
        if self.has_ended().is_none() {
            self.child.kill().unwrap();
            let status = self.child.wait().unwrap();
            self.ended = Some(status);
        }
    }

    /// The number that it ends with by itself.
    pub(crate) fn exit_code(&mut self) -> i32 {
        let name = self.name.clone();
        let status = until(&format!("{name} ends"), || self.has_ended());
        status.code().unwrap_or_else(|| panic!("{name} was ended by signal {:?}:\n{}", status.signal(), self.log()))
    }

    /// SIGTERM, and the number that it ends with.
    pub(crate) fn stop(&mut self) -> i32 {
        self.signal(Signal::SIGTERM);
        self.exit_code()
    }

    /// A figure of `/proc/PID/status` in kB; none once it has ended.
    pub(crate) fn memory_kb(&self, key: &str) -> Option<u64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?;
        text.lines()
            .find_map(|line| line.strip_prefix(key)?.trim_start_matches(':').split_whitespace().next()?.parse().ok())
    }

    /// Processor time that it has taken, in hundredths of a second.
    pub(crate) fn cpu_ticks(&self) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        // Behind the name, which may hold anything: fields 14 and 15, user and system.
        let fields: Vec<&str> = text.rsplit_once(')').unwrap().1.split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }

    /// Number of its thread of that name.
    pub(crate) fn thread(&self, name: &str) -> Pid {
        let dir = format!("/proc/{}/task", self.pid());
        let found = within(super::GENEROUS, || {
            fs::read_dir(&dir).ok()?.flatten().find_map(|task| {
                let comm = fs::read_to_string(task.path().join("comm")).ok()?;
                (comm.trim_end() == name).then(|| task.file_name().to_str()?.parse().ok()).flatten()
            })
        });
        Pid::from_raw(found.unwrap_or_else(|| panic!("{} has no thread {name}", self.name)))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let failed = std::thread::panicking();
        self.kill();
        if failed {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(30).collect();
            eprintln!("--- the end of what {} said:", self.name);
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}
