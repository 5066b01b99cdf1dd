//! What an operator would put together without hb: a lock that starts a program, and an address that moves. The program appends to a file each
//! 5 ms. Nothing is recorded before, nobody is fenced, and what starts is not warm.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::Spread;
use super::host::{LINK, Machine};
use super::site::PATIENCE;
use crate::Bench;
use crate::child::{Kept, until};
use crate::supervise::stage::{end, now};
use crate::supervise::usage;

/// Between two lines of the program, in milliseconds.
const EVERY: &str = "5";

/// A program that starts another one when it may.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    words: Vec<String>,
    environment: Option<(&'static str, &'static str)>,
    /// What is before the program where program and arguments are one word.
    one_word: Option<&'static str>,
    few: Few,
}

/// Whether a takeover takes so long that a few have to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Few {
    No,
    Yes,
}

impl Peer {
    pub(crate) fn new<'a>(name: &'static str, words: impl IntoIterator<Item = &'a str>) -> Self {
        let words = words.into_iter().map(str::to_owned).collect();
        Self { name, words, environment: None, one_word: None, few: Few::No }
    }

    pub(crate) fn with(mut self, key: &'static str, value: &'static str) -> Self {
        self.environment = Some((key, value));
        self
    }

    pub(crate) fn in_one_word(mut self, before: &'static str) -> Self {
        self.one_word = Some(before);
        self
    }

    pub(crate) fn fewer(mut self) -> Self {
        self.few = Few::Yes;
        self
    }

    fn start(&self, bench: &Bench, folder: &Path, name: &str) -> Result<Kept, String> {
        let Some((program, arguments)) = self.words.split_first() else { return Err("no program".into()) };
        let mut command = Command::new(program);
        command.args(arguments).envs(self.environment).process_group(0);
        let file = folder.join("written");
        let child = [bench.child.as_path(), file.as_path(), Path::new(name), Path::new(EVERY)];
        match self.one_word {
            Some(before) => {
                let words: Vec<String> = child.iter().map(|word| word.display().to_string()).collect();
                command.arg(format!("{before}{}", words.join(" ")));
            }
            None => {
                command.args(child);
            }
        }
        Kept::start(&mut command, &folder.join(format!("{name}.log")))
    }
}

/// Ends a program with everything that it has started.
struct Group(Kept);

impl Group {
    fn kill(&mut self) {
        if let Ok(pid) = i32::try_from(self.0.0.id()) {
            // It has ended already where this fails.
            killpg(Pid::from_raw(pid), Signal::SIGKILL).unwrap_or_default();
        }
        self.0.kill();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// `kill -9` of all processes of the one that writes, until another one has written.
///
/// # Errors
/// The program is not installed, or nobody took over.
pub(crate) fn kills(bench: &Bench, peer: &Peer) -> Result<Spread, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let rounds = bench.size.pick(1, if peer.few == Few::Yes { 10 } else { 50 });
    let mut holder = Group(peer.start(bench, folder.path(), "w0")?);
    first(folder.path(), "w0")?;
    let mut took = Vec::new();
    for round in 1..=rounds {
        let name = format!("w{round}");
        let waiter = Group(peer.start(bench, folder.path(), &name)?);
        // Until it waits; and at any point of a renewal.
        std::thread::sleep(Duration::from_millis(600 + round * 137 % 700));
        let begun = now();
        holder.kill();
        took.push((first(folder.path(), &name)? - begun) * 1e3);
        holder = waiter;
    }
    Ok(Spread(took))
}

/// When somebody wrote first.
fn first(folder: &Path, name: &str) -> Result<f64, String> {
    let mark = format!(" {name}");
    until(&format!("{name} to write"), PATIENCE, || {
        let text = fs::read_to_string(folder.join("written")).ok()?;
        let line = text.lines().find(|line| line.ends_with(&mark))?;
        line.split(' ').next()?.parse().ok()
    })
}

/// keepalived on two machines with one link: `kill -9` of all processes of the one that has the address, until the other one has started its
/// program.
///
/// # Errors
/// It is not installed, or may not make network namespaces.
pub(crate) fn keepalived(bench: &Bench, rounds: u32) -> Result<Spread, String> {
    let mut took = Vec::new();
    for _ in 0..rounds {
        took.push(one_address(bench)?);
    }
    Ok(Spread(took))
}

fn one_address(bench: &Bench) -> Result<f64, String> {
    let folder = tempfile::Builder::new().prefix("hb-bench-").tempdir().map_err(|error| error.to_string())?;
    let machines = Machine::pair()?;
    let run = |machine: &Machine, name: &str, priority: u32| {
        let path = |what: &str| folder.path().join(format!("{name}.{what}"));
        let text = format!(
            "global_defs {{\n script_user root\n enable_script_security\n}}\nvrrp_instance hb {{\n state BACKUP\n interface {LINK}\n\
             virtual_router_id 51\n priority {priority}\n advert_int 1\n virtual_ipaddress {{\n 10.214.0.1/24\n }}\n\
             notify_master \"{child} {written} {name} {EVERY}\"\n}}\n",
            child = bench.child.display(),
            written = folder.path().join("written").display(),
        );
        fs::write(path("conf"), text).map_err(|error| error.to_string())?;
        let mut command = machine.command(Path::new("keepalived"));
        command.args(["--dont-fork", "--log-console", "--vrrp", "--use-file"]).arg(path("conf"));
        command.arg("--pid").arg(path("pid")).arg("--vrrp_pid").arg(path("vrrp"));
        Ok::<_, String>(Group(Kept::start(command.process_group(0), &path("log"))?))
    };
    let [one, other] = &machines;
    let mut holder = run(one, "w0", 100)?;
    let took = first(folder.path(), "w0").and_then(|_| {
        let waiter = run(other, "w1", 90)?;
        std::thread::sleep(Duration::from_millis(2_300));
        let begun = now();
        holder.kill();
        let took = first(folder.path(), "w1").map(|at| (at - begun) * 1e3);
        drop(waiter);
        took
    });
    // What keepalived has started is in groups of its own.
    usage::belonging_to(folder.path()).into_iter().for_each(end);
    took
}
