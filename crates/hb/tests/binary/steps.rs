//! Does it matter at which step hb dies? At every system call by which the real binary changes a file, of every thread and each in turn,
//! it is killed; whoever goes on decides what an undisturbed run decides, and nothing that people look at is torn.
//!
//! The kernel stops the process on its way into the call (`strace -e inject`), so the binary is the one that users have. `HB_STEPS_STRIDE`
//! (4) says that every so manieth step is tried, another residue for another seed; 1 tries all.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;

use hb_core::node::fact::Sealed;
use serde_json::Value;

use crate::support::project::{Project, told};
use crate::support::random::Random;
use crate::support::{journal, setting, telemetry};

/// Calls that change files, or say that they are to last.
const CALLS: &str = "write,pwrite64,writev,pwritev,fsync,fdatasync,ftruncate,link,linkat,rename,renameat,renameat2,unlink,unlinkat,\
                     mkdir,mkdirat,rmdir,fallocate";
/// Runs side by side.
const LANES: usize = 3;

/// One step: the so manieth call of that name, of whichever thread comes to it first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Step {
    call: String,
    nth: u64,
}

fn settings() -> String {
    format!("{}alert_sinks: [file]\n", telemetry::SETTINGS)
}

fn project(lines: &[u8]) -> Project {
    let project = Project::new(&settings());
    project.feed(lines);
    project
}

/// `hb daemon --once` under strace.
fn traced(project: &Project, more: &[&str]) -> std::process::ExitStatus {
    let inner = project.command(&["daemon", "--once", "--listen", "none", "--node", "a", "--config"]);
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o"]).arg(project.dir().join("trace")).args(more);
    command.arg(inner.get_program()).args(inner.get_args()).arg(project.config());
    command.current_dir(project.dir()).env_clear();
    let output = command.output().unwrap();
    output.status
}

/// All steps of an undisturbed run: of each call, up to the number that the busiest thread makes.
fn steps(lines: &[u8]) -> Vec<Step> {
    let project = project(lines);
    let status = traced(&project, &["-e", &format!("trace={CALLS}")]);
    assert!(status.success(), "strace: {status}");
    let trace = fs::read_to_string(project.dir().join("trace")).unwrap();
    let mut made: BTreeMap<(String, String), u64> = BTreeMap::new();
    for line in trace.lines().filter(|line| !line.contains("resumed>")) {
        let Some((thread, rest)) = line.split_once(char::is_whitespace) else { continue };
        let Some((call, _)) = rest.trim_start().split_once('(') else { continue };
        *made.entry((call.to_owned(), thread.to_owned())).or_default() += 1;
    }
    let mut most: BTreeMap<String, u64> = BTreeMap::new();
    for ((call, _), count) in made {
        let known = most.entry(call).or_default();
        *known = (*known).max(count);
    }
    most.into_iter().flat_map(|(call, count)| (1..=count).map(move |nth| Step { call: call.clone(), nth })).collect()
}

fn keys(project: &Project) -> BTreeSet<String> {
    let text = fs::read_to_string(project.output.join("alerts.jsonl")).unwrap_or_default();
    let whole = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    whole.map(|document| document["key"].as_str().unwrap().to_owned()).collect()
}

/// Kills hb at one step, lets another node go on, and compares. Gives whether the step was reached.
fn dies_at(step: &Step, lines: &[u8], undisturbed: &[Sealed], alerts: &BTreeSet<String>) -> bool {
    let project = project(lines);
    let inject = format!("inject={}:signal=KILL:when={}", step.call, step.nth);
    let status = traced(&project, &["-e", &format!("trace={}", step.call), "-e", &inject]);
    let reached = status.signal() == Some(9) || status.code() == Some(137);
    assert!(reached || status.success(), "{step:?}: {status}");
    let after = project.hb(&["daemon", "--once", "--listen", "none", "--node", "b"]);
    assert!(after.status.success(), "{step:?}: whoever goes on ended with {}:\n{}", after.status, told(&after));
    let records = journal::read(&project.output);
    journal::assert_whole(&records);
    journal::assert_same_decisions(&records, undisturbed);
    assert_eq!(keys(&project), *alerts, "{step:?}: alerts (W6)");
    let verified = project.hb(&["verify"]);
    assert!(verified.status.success(), "{step:?}: {}", told(&verified));
    reached
}

#[test]
fn j3_j4_w1_w6_every_step_of_the_real_binary_may_be_its_last() {
    if Command::new("strace").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "strace is missing: apt-get install strace");
        println!("NOT RUN: strace is missing: apt-get install strace");
        return;
    }
    let stride = setting("HB_STEPS_STRIDE", 4);
    let mut random = Random::told("steps");
    let lines = telemetry::recording(14, 12, 7).concat();
    let undisturbed = {
        let project = project(&lines);
        project.once("a");
        (journal::read(&project.output), keys(&project))
    };
    assert!(!undisturbed.1.is_empty(), "the recording has cycles that make an alert");
    let all = steps(&lines);
    let from = random.between(0, stride as u64 - 1) as usize;
    let chosen: Vec<&Step> = all.iter().skip(from).step_by(stride).collect();
    let lane = |lane: usize| {
        let mine = chosen.iter().skip(lane).step_by(LANES);
        mine.filter(|step| dies_at(step, &lines, &undisturbed.0, &undisturbed.1)).count()
    };
    let reached: usize = std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES).map(|at| scope.spawn(move || lane(at))).collect();
        lanes.into_iter().map(|lane| lane.join().unwrap()).sum()
    });
    let mut calls: BTreeMap<&str, u64> = BTreeMap::new();
    all.iter().for_each(|step| *calls.entry(&step.call).or_default() += 1);
    println!("steps: {} in all ({calls:?}), {} tried, {reached} of them reached", all.len(), chosen.len());
    assert!(
        reached * 10 >= chosen.len() * 6,
        "{reached} of {} steps were reached: the runs differ too much",
        chosen.len()
    );
}
