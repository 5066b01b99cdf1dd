//! Who is signalled, and who never is.

use std::process::Command;

use hb_core::supervise::agent::{Exit, Identity};
use hb_core::supervise::input::Input;
use hb_core::supervise::step::Effect;
use serde_json::json;

use crate::stage::{Stage, lives, script, spec, stat, until};
use crate::stand_in;

/// The first numbers of processes that an agent has printed, each on a line.
fn numbers(stage: &Stage, agent: &str, count: usize) -> Vec<u32> {
    until("the numbers of its children", || {
        let log = stage.log(&agent.into());
        let whole = log.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let told = whole.map(|line| line.split_once("hb: ").map_or(line, |(_, told)| told).trim());
        let numbers: Vec<u32> = told.filter_map(|told| told.parse().ok()).collect();
        (numbers.len() >= count).then_some(numbers)
    })
}

fn gone(pids: &[u32]) {
    for pid in pids {
        until(&format!("the end of {pid}"), || (!lives(*pid)).then_some(()));
    }
}

#[test]
fn the_whole_group_gets_it() {
    let stage = Stage::new();
    let spec = script("group", "sleep 1000 & echo $!; sleep 1000 & echo $!; wait");
    let identity = stage.spawn(&spec).unwrap();
    let children = numbers(&stage, "group", 2);
    stage.signal(&spec.id, &identity, "TERM");
    assert_eq!(stage.exited(&identity), Exit::Signal(15));
    gone(&children);
}

#[test]
fn who_ignores_it_is_killed_with_all_that_is_his() {
    let stage = Stage::new();
    // What is ignored stays so when a program becomes another, and for its children.
    let mut command = ["sh", "-c", "trap '' TERM; exec \"$@\"", "sh"].map(str::to_owned).to_vec();
    command.extend(stand_in::command());
    let spec = spec("deaf", json!({"command": command, "env": stand_in::role("deaf")}));
    let identity = stage.spawn(&spec).unwrap();
    let children = numbers(&stage, "deaf", 2);
    stage.signal(&spec.id, &identity, "TERM");
    stage.act(Effect::Measure(vec![(spec.id.clone(), identity.clone())]));
    let used = stage.wait("Used", |input| match input {
        Input::Used(used) => Some(used.clone()),
        _ => None,
    });
    assert_eq!(used.len(), 1, "it lives on");
    assert!(used[0].1.memory_mb > 0.0 && used[0].1.open_files_percent > 0.0);
    stage.signal(&spec.id, &identity, "KILL");
    assert_eq!(stage.exited(&identity), Exit::Signal(9));
    gone(&children);
    until("it is counted", || (stage.hands.as_ref().unwrap().figures().left_over >= 1).then_some(()));
}

#[test]
fn who_is_stopped_ends_all_the_same() {
    let stage = Stage::new();
    let spec = script("stopped", "kill -STOP $$");
    let identity = stage.spawn(&spec).unwrap();
    until("it is stopped", || (stat(identity.pid)?[0] == "T").then_some(()));
    stage.signal(&spec.id, &identity, "TERM");
    assert_eq!(stage.exited(&identity), Exit::Signal(15));
}

#[test]
fn what_a_leader_leaves_behind_is_ended_whatever_ended_it() {
    let stage = Stage::new();
    let spec = spec("leaves", json!({"command": stand_in::command(), "env": stand_in::role("leaver")}));
    let identity = stage.spawn(&spec).unwrap();
    assert_eq!(stage.exited(&identity), Exit::Status(0));
    gone(&numbers(&stage, "leaves", 2));
}

#[test]
fn s2_a_number_that_was_given_to_somebody_else_is_never_signalled() {
    let stage = Stage::new();
    let mut stranger = Command::new("sleep").arg("1000").spawn().unwrap();
    let start: u64 = stat(stranger.id()).unwrap()[19].parse().unwrap();
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim().to_owned();
    let of = |start_ticks, boot: &str| Identity { pid: stranger.id(), start_ticks, boot: boot.to_owned() };
    let spec = script("reused", "sleep 1000");
    for identity in [of(start - 1, &boot), of(start + 1, &boot), of(start, "another boot")] {
        for signal in ["TERM", "KILL"] {
            stage.signal(&spec.id, &identity, signal);
            assert_eq!(stage.exited(&identity), Exit::Unknown);
        }
        stage.act(Effect::Adopt { agent: spec.id.clone(), identity: identity.clone(), spec: spec.clone() });
        assert_eq!(stage.exited(&identity), Exit::Unknown);
    }
    assert!(lives(stranger.id()));
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[test]
fn signals_that_there_are_not_reach_nobody() {
    let stage = Stage::new();
    let spec = spec("plain", json!({"command": ["sleep", "1000"]}));
    let identity = stage.spawn(&spec).unwrap();
    stage.signal(&spec.id, &identity, "NOSUCH");
    stage.signal(&spec.id, &identity, "USR1");
    assert_eq!(stage.exited(&identity), Exit::Signal(10));
}

#[test]
fn forgotten_agents_are_reaped_and_nothing_is_told() {
    let stage = Stage::new();
    let spec = script("forgotten", "sleep 1000");
    let identity = stage.spawn(&spec).unwrap();
    stage.act(Effect::Forget(spec.id.clone()));
    let other = stage.spawn(&script("other", "exit 0")).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(identity.pid.cast_signed()), nix::sys::signal::Signal::SIGKILL)
        .unwrap();
    until("it is reaped", || stat(identity.pid).is_none().then_some(()));
    stage.wait("the other's end", |input| match input {
        Input::Exited { identity: who, .. } => {
            assert_ne!(who, &identity, "told of somebody forgotten");
            (*who == other).then_some(())
        }
        _ => None,
    });
}
