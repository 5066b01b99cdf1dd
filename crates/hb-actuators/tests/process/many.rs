//! A thousand children: no thread or process of ours for each, little memory, and figures for whoever wants to see them.

use std::time::Instant;

use hb_core::supervise::input::Input;
use hb_core::supervise::step::Effect;
use serde_json::json;

use crate::stage::{Stage, spawn_effect, spec};

/// Kilobytes of a line of a file of `/proc/self`.
fn own_kb(file: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/self/{file}")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_ascii_whitespace().next().unwrap().parse().unwrap()
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

/// Processor time of ours so far, in ticks of 10 ms.
fn ticks() -> u64 {
    let fields = crate::stage::stat(std::process::id()).unwrap();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

fn crowd(count: usize) {
    // Where the folder of sockets and notes should be: in memory.
    let stage = Stage::in_memory();
    let specs: Vec<_> =
        (0..count).map(|number| spec(&format!("c{number}"), json!({"command": ["/bin/sleep", "1000"]}))).collect();
    // One first, so that what is made once is not counted for each.
    let first = spec("first", json!({"command": ["/bin/sleep", "1000"]}));
    let one = stage.spawn(&first).unwrap();
    let (kb, had) = (own_kb("smaps_rollup", "Pss:"), threads());
    let began = Instant::now();
    specs.iter().for_each(|spec| stage.act(spawn_effect(spec, 1)));
    let mut identities = Vec::new();
    for _ in 0..count {
        identities.push(stage.wait("Spawned", |input| match input {
            Input::Spawned { agent, identity, .. } => Some((agent.clone(), identity.clone())),
            Input::SpawnFailed { error, .. } => panic!("{error}"),
            _ => None,
        }));
    }
    let took = began.elapsed();
    let each = own_kb("smaps_rollup", "Pss:").saturating_sub(kb) as f64 / count as f64;
    assert_eq!(threads(), had, "a thread for each");
    let before = ticks();
    std::thread::sleep(std::time::Duration::from_secs(2));
    let idle = ticks() - before;
    stage.act(Effect::Measure(identities.clone()));
    let measured = Instant::now();
    let used = stage.wait("Used", |input| match input {
        Input::Used(used) => Some(used.len()),
        _ => None,
    });
    assert_eq!(used, count);
    let measured = measured.elapsed();
    let ended = Instant::now();
    for (agent, identity) in &identities {
        stage.signal(agent, identity, "KILL");
    }
    for (_, identity) in &identities {
        stage.exited(identity);
    }
    println!(
        "{count} children: started in {took:?} ({:?} each), {each:.2} KB each, {idle} ticks of 10 ms in 2 s idle, measured in {measured:?}, ended in {:?}",
        took / u32::try_from(count).unwrap(),
        ended.elapsed()
    );
    assert!(each < 12.0, "{each} KB for each child");
    stage.end(&first, &one);
}

#[test]
fn b1_many_children_need_no_thread_and_little_memory() {
    crowd(200);
}

/// `cargo test -p hb-actuators --test process -- --ignored --nocapture many`
#[test]
#[ignore = "takes a machine of its own; gives the figures of SPECIFICATION.md"]
fn figures_of_a_thousand() {
    crowd(1000);
    latencies(300);
}

/// From the effect to `Spawned`, and from a death to `Exited`.
fn latencies(rounds: usize) {
    let stage = Stage::in_memory();
    let spec = spec("one", json!({"command": ["/bin/sleep", "1000"]}));
    let (mut starts, mut deaths) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let began = Instant::now();
        let identity = stage.spawn(&spec).unwrap();
        starts.push(began.elapsed());
        let pid = nix::unistd::Pid::from_raw(identity.pid.cast_signed());
        let began = Instant::now();
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
        stage.exited(&identity);
        deaths.push(began.elapsed());
    }
    for (what, times) in [("effect to Spawned", &mut starts), ("kill to Exited", &mut deaths)] {
        times.sort();
        println!(
            "{what}: p50 {:?}, p99 {:?}, max {:?}",
            times[rounds / 2],
            times[rounds * 99 / 100],
            times[rounds - 1]
        );
    }
}
