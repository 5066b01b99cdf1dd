//! What the next hb finds of what the one before has started (S2, S3).

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::sync::Arc;

use hb_core::supervise::agent::{Exit, Identity};
use hb_core::supervise::input::Input;
use hb_core::supervise::spec::AgentSpec;
use hb_core::supervise::step::Effect;

use crate::stage::{Stage, lives, look_effect, of_agent, script, stat, until};
use crate::stand_in;

fn adopt(stage: &Stage, spec: &Arc<AgentSpec>, identity: &Identity) {
    stage.act(Effect::Adopt { agent: spec.id.clone(), identity: identity.clone(), spec: Arc::clone(spec) });
    stage.wait("Adopted", |input| match input {
        Input::Adopted { identity: who, .. } => (who == identity).then_some(()),
        Input::Exited { identity: who, .. } => {
            assert_ne!(who, identity, "it is said to be gone");
            None
        }
        _ => None,
    });
}

fn found(stage: &Stage, spec: &Arc<AgentSpec>) -> Option<Identity> {
    stage.act(look_effect(spec, 1));
    stage.wait("Found", |input| match input {
        Input::Found { agent, identity, .. } if *agent == spec.id => Some(identity.clone()),
        _ => None,
    })
}

fn kill(pid: u32, signal: nix::sys::signal::Signal) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.cast_signed()), signal).unwrap();
}

/// A supervisor with its agents, killed without warning: who they are.
fn killed_supervisor(folder: &std::path::Path) -> Vec<Identity> {
    let mut first = stand_in::start("supervisor", folder);
    let lines = BufReader::new(first.stdout.take().unwrap()).lines().map_while(Result::ok);
    let told = lines.filter_map(|line| line.split_once("hb: ").map(|(_, told)| told.to_owned()));
    let identities = told.take_while(|told| told != "done").map(|told| serde_json::from_str(&told).unwrap()).collect();
    first.kill().unwrap();
    first.wait().unwrap();
    identities
}

/// Whether the kernel tells the status of somebody else's child (Linux 6.15 and later).
fn kernel_tells() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap(), numbers.next().unwrap()) >= (6, 15)
}

#[test]
fn s2_children_of_a_killed_hb_are_adopted_heard_and_their_end_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let identities = killed_supervisor(folder.path());
    assert_eq!(identities.len(), 20);
    let stage = Stage::at(folder.path());
    let specs: Vec<_> = (0..identities.len()).map(|number| script(&format!("a{number}"), "exit 0")).collect();
    for (spec, identity) in specs.iter().zip(&identities) {
        adopt(&stage, spec, identity);
        // Again: nothing changes.
        adopt(&stage, spec, identity);
    }
    assert_eq!(stage.hands.as_ref().unwrap().figures().started, 0);
    kill(identities[0].pid, nix::sys::signal::Signal::SIGUSR1);
    let exit = stage.exited(&identities[0]);
    assert!(exit == Exit::Status(37) || (exit == Exit::Unknown && !kernel_tells()), "{exit:?}");
    for (spec, identity) in specs.iter().zip(&identities).skip(1) {
        stage.signal(&spec.id, identity, "KILL");
        let exit = stage.exited(identity);
        assert!(exit == Exit::Signal(9) || (exit == Exit::Unknown && !kernel_tells()), "{exit:?}");
        until("it is gone", || (!lives(identity.pid)).then_some(()));
    }
}

#[test]
fn s2_what_was_started_and_not_recorded_is_found_by_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let identities = killed_supervisor(folder.path());
    // By the note, and by the environment where the note is lost.
    std::fs::remove_file(folder.path().join("run/a1.born")).unwrap();
    let stage = Stage::at(folder.path());
    for (number, identity) in identities.iter().enumerate() {
        let spec = script(&format!("a{number}"), "exit 0");
        assert_eq!(found(&stage, &spec).as_ref(), Some(identity));
        stage.end(&spec, identity);
        assert_eq!(found(&stage, &spec), None);
    }
    assert_eq!(found(&stage, &script("never", "exit 0")), None);
}

#[test]
fn s3_who_died_while_nobody_looked_is_told_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let spec = script("a", "sleep 1000 & sleep 1000");
    let stage = Stage::at(folder.path());
    let identity = stage.spawn(&spec).unwrap();
    until("its children", || (of_agent(&spec.id).len() == 3).then_some(()));
    drop(stage);
    kill(identity.pid, nix::sys::signal::Signal::SIGKILL);
    // Still our child: whoever starts an hb anew is not its parent, so that is undone here.
    until("it is a zombie", || (stat(identity.pid)?[0] == "Z").then_some(()));
    let stage = Stage::at(folder.path());
    stage.act(Effect::Adopt { agent: spec.id.clone(), identity: identity.clone(), spec: spec.clone() });
    assert_eq!(stage.exited(&identity), Exit::Signal(9));
    until("nothing is left", || of_agent(&spec.id).is_empty().then_some(()));
    // And once more, for one that is looked for.
    let spec = script("b", "sleep 1000 & sleep 1000");
    let identity = stage.spawn(&spec).unwrap();
    until("its children", || (of_agent(&spec.id).len() == 3).then_some(()));
    drop(stage);
    kill(identity.pid, nix::sys::signal::Signal::SIGKILL);
    until("it is a zombie", || (stat(identity.pid)?[0] == "Z").then_some(()));
    let stage = Stage::at(folder.path());
    assert_eq!(found(&stage, &spec), None);
    until("nothing is left", || of_agent(&spec.id).is_empty().then_some(()));
}

/// Processes that one has as children and that are still what it is.
fn on_their_way(parent: u32) -> Vec<u32> {
    let pids = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| stat(*pid).is_some_and(|fields| fields[1] == parent.to_string())).collect()
}

#[test]
fn s2_a_child_that_is_not_its_program_yet_when_hb_is_killed_is_waited_for_and_found() {
    let folder = tempfile::tempdir().unwrap();
    let run_dir = folder.path().join("run");
    std::fs::create_dir(&run_dir).unwrap();
    // The child writes its note here, and cannot go on before somebody reads.
    let pipe = run_dir.join("stuck.born");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut first = stand_in::start("stuck", folder.path());
    let child = until("the child", || on_their_way(first.id()).first().copied());
    first.kill().unwrap();
    first.wait().unwrap();
    let lock = std::fs::File::open(run_dir.join("starting.lock")).unwrap();
    assert!(lock.try_lock().is_err(), "nobody is on his way");
    assert!(lives(child) && of_agent(&"stuck".into()).is_empty(), "it shows its key before it is its program");
    let stage = std::thread::scope(|scope| {
        let second = scope.spawn(|| Stage::at(folder.path()));
        let told = std::fs::read_to_string(&pipe).unwrap();
        assert!(told.starts_with("hb born 1\n"), "{told}");
        second.join().unwrap()
    });
    std::fs::remove_file(&pipe).unwrap();
    let spec = script("stuck", "exit 0");
    let identity = found(&stage, &spec).unwrap();
    assert_eq!((identity.pid, of_agent(&spec.id)), (child, vec![child]));
    stage.end(&spec, &identity);
}

#[test]
fn s2_an_hb_killed_at_any_moment_of_its_starts_leaves_no_child_unfound() {
    // Moments spread by the time that one start takes on this machine, whatever that is: each round waits for one more number.
    for round in 0..12u32 {
        let folder = tempfile::tempdir().unwrap();
        let mut first = stand_in::start("restless", folder.path());
        let lines = BufReader::new(first.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut numbers =
            lines.filter_map(|line| line.split_once("hb: ").and_then(|(_, told)| told.parse::<u64>().ok()));
        let reached = numbers.by_ref().find(|number| *number >= u64::from(4 + round)).unwrap();
        // Within the next start or two.
        (0..round * 800).for_each(|_| std::hint::spin_loop());
        first.kill().unwrap();
        first.wait().unwrap();
        let last = numbers.last().unwrap_or(reached);
        let stage = Stage::at(folder.path());
        let specs: Vec<_> = (0..=last).map(|number| script(&format!("r{number}"), "exit 0")).collect();
        let known: Vec<_> = specs.iter().map(|spec| found(&stage, spec)).collect();
        for (spec, known) in specs.iter().zip(&known) {
            let there: BTreeSet<u32> = of_agent(&spec.id).into_iter().collect();
            let expected: BTreeSet<u32> = known.iter().map(|identity| identity.pid).collect();
            assert_eq!(there, expected, "{} of {last}, round {round}", spec.id);
        }
        for (spec, identity) in specs.iter().zip(known).filter_map(|(spec, known)| Some((spec, known?))) {
            stage.end(spec, &identity);
        }
    }
}
