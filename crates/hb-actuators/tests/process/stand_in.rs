//! This program in another role: a test starts it again as a supervisor that will be killed, or as an agent that speaks.

use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hb_core::supervise::input::Input;

use crate::stage::{self, Stage, script, spawn_effect};

const ROLE: &str = "HB_TEST_ROLE";
const FOLDER: &str = "HB_TEST_FOLDER";

/// How this program is started for a role.
pub(crate) fn command() -> Vec<String> {
    let own = std::env::current_exe().unwrap().to_str().unwrap().to_owned();
    [own.as_str(), "stand_in::stand_in", "--exact", "--nocapture", "--test-threads=1"].map(str::to_owned).into()
}

/// Starts it in a role, with its output for us to read.
pub(crate) fn start(role: &str, folder: &std::path::Path) -> Child {
    let command = command();
    let mut child = Command::new(&command[0]);
    child.args(&command[1..]).env(ROLE, role).env(FOLDER, folder).env(stage::KEYS_OF, stage::keys());
    child.stdout(Stdio::piped()).stderr(Stdio::null()).stdin(Stdio::null()).spawn().unwrap()
}

pub(crate) fn role(name: &str) -> serde_json::Value {
    serde_json::json!({ROLE: name})
}

#[test]
fn stand_in() {
    let Ok(role) = std::env::var(ROLE) else { return };
    match role.as_str() {
        "supervisor" => supervisor(20),
        "restless" => restless(),
        "stuck" => {
            let stage = Stage::at(std::env::var_os(FOLDER).unwrap().as_ref());
            stage.act(spawn_effect(&script("stuck", "exec sleep 1000"), 1));
            std::thread::sleep(Duration::from_secs(600));
        }
        "speaker" => speaker(),
        "leaver" => family(),
        "deaf" => {
            family();
            std::thread::sleep(Duration::from_secs(600));
        }
        other => panic!("no role {other}"),
    }
}

/// A line that the other side finds among those of the test harness.
fn tell(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "hb: {line}").unwrap();
    out.flush().unwrap();
}

/// Starts some agents, tells who they are, and waits to be killed.
fn supervisor(count: u32) {
    let stage = Stage::at(std::env::var_os(FOLDER).unwrap().as_ref());
    for number in 0..count {
        let spec = script(&format!("a{number}"), "trap 'exit 37' USR1; echo up; while :; do sleep 0.05; done");
        let identity = stage.spawn(&spec).unwrap();
        tell(&serde_json::to_string(&identity).unwrap());
    }
    tell("done");
    std::thread::sleep(Duration::from_secs(600));
}

/// Starts one agent after the other, telling each number before it begins, until it is killed.
fn restless() {
    let stage = Stage::at(std::env::var_os(FOLDER).unwrap().as_ref());
    for number in 0..100_000 {
        tell(&number.to_string());
        stage.act(spawn_effect(&script(&format!("r{number}"), "exec sleep 1000"), 1));
        if number % 4 == 3 {
            // Not so far ahead of the hands that all of it would be given up with the queue.
            stage.wait("the start", |input| {
                matches!(input, Input::Spawned { agent, .. } if agent.as_str() == format!("r{number}")).then_some(())
            });
        }
    }
}

/// Has two children, one of them in a group of its own, in the same session, and does not wait for them.
#[expect(clippy::zombie_processes, reason = "that is what it is for")]
fn family() {
    use std::os::unix::process::CommandExt;
    let mut sleeper = Command::new("sleep");
    sleeper.arg("1000");
    let same = sleeper.spawn().unwrap();
    let apart = sleeper.process_group(0).spawn().unwrap();
    tell(&same.id().to_string());
    tell(&apart.id().to_string());
}

/// Speaks on its notify socket until it is killed.
fn speaker() {
    let path = std::env::var_os("NOTIFY_SOCKET").unwrap();
    let socket = UnixDatagram::unbound().unwrap();
    socket.send_to(b"READY=1\nSTATUS=at work", &path).unwrap();
    loop {
        // Nobody is there to hear between two supervisors.
        drop(socket.send_to(b"WATCHDOG=1", &path));
        std::thread::sleep(Duration::from_millis(20));
    }
}
