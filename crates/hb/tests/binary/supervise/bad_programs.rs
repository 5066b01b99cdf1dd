//! What of programs that behave badly? Each has a defined, bounded end, and the others go on.

use std::fs;
use std::path::Path;

use hb_core::supervise::agent::{Exit, Identity, Process};

use super::site::{Site, lives};
use super::sound::assert_sound;
use crate::support::{setting, until};

/// One that is well, beside whatever is bad.
const WELL: &str = "  well: {process: {command: [PROGRAM, sleep, 600]}}\n";

fn once(more: &str) -> String {
    format!("agents:\n{WELL}  bad: {{{more}, restart: {{when: never}}}}\n")
}

#[test]
fn programs_that_cannot_be_executed_are_told_in_words_and_given_up() {
    let site = Site::new("");
    let plain = site.project.dir().join("plain");
    fs::write(&plain, "no program").unwrap();
    let rule = "restart: {max_restarts: 2, backoff_sec: 0.02, backoff_max_sec: 0.02}";
    let bad = [
        ("missing", "/nowhere/at/all".to_owned(), "does not exist"),
        ("plain", plain.display().to_string(), "may not be executed"),
        ("folder", "/usr".to_owned(), "folder"),
        ("path", "no-such-program-in-path".to_owned(), "no program"),
    ];
    let agents: String = bad
        .iter()
        .map(|(id, command, _)| format!("  {id}: {{process: {{command: ['{command}']}}, {rule}}}\n"))
        .collect();
    site.configure(&format!("agents:\n{WELL}{agents}"));
    let mut node = site.start("a");
    for (id, _, says) in bad {
        let agent = site.agent_is(id, "given up", |agent| agent.restarts.given_up);
        assert_eq!((agent.restarts.total, &agent.process), (2, &Process::Absent), "{agent:#?}");
        let told: Vec<_> = site.told(id, "agent.spawn.failed").into_iter().map(|event| event.message).collect();
        assert_eq!(told.len(), 3, "{told:#?}");
        assert!(told.iter().all(|message| message.contains(says)), "{told:#?}");
    }
    site.up("well");
    assert_eq!(node.stop(), 0);
    assert_sound(&site, &site.state().unwrap());
}

#[test]
fn a_program_that_forks_and_ends_has_ended_and_what_it_left_goes_with_it() {
    let script = "sleep 600 & echo $! >>$SITE/left; setsid sleep 600 & echo $! >>$SITE/left; exit 0";
    let site = Site::new(&once(&format!("process: {{command: [PROGRAM, sh, -c, '{script}']}}")));
    let mut node = site.start("a");
    let agent = site.agent_is("bad", "ended", |agent| agent.exit.is_some());
    assert_eq!(agent.exit, Some(Exit::Status(0)));
    let left = numbers(&site.project.dir().join("left"));
    assert_eq!(left.len(), 2);
    until("what stayed in its session is gone", || {
        (!Path::new(&format!("/proc/{}", left[0])).try_exists().unwrap()).then_some(())
    });
    site.up("well");
    assert_eq!(node.stop(), 0);
    assert_sound(&site, &site.state().unwrap());
}

#[test]
fn grandchildren_go_with_a_program_that_is_stopped() {
    let script =
        "sh -c \"sleep 600 & echo \\$! >>$SITE/left; wait\" & echo $! >>$SITE/left; echo $$ >>$SITE/left; wait";
    let site =
        Site::new(&format!("on_stop: stop\n{}", once(&format!("process: {{command: [PROGRAM, sh, -c, '{script}']}}"))));
    let mut node = site.start("a");
    let left = until("all of them run", || {
        let all = numbers(&site.project.dir().join("left"));
        (all.len() == 3).then_some(all)
    });
    assert_eq!(node.stop(), 0, "{}", node.log());
    let gone = |pid: &u32| !lives_at_all(*pid);
    until("all of them are gone", || left.iter().all(gone).then_some(()));
    assert_sound(&site, &site.state().unwrap());
}

#[test]
fn a_program_that_ignores_sigterm_is_killed_when_its_grace_is_over() {
    let script = "trap \"\" TERM; echo x >>$SITE/ready; while :; do sleep 0.05; done";
    let process = format!("process: {{command: [PROGRAM, sh, -c, '{script}'], stop: {{grace_sec: 0.3}}}}");
    let site = Site::new(&format!("on_stop: stop\n{}", once(&process)));
    let mut node = site.start("a");
    until("it ignores SIGTERM", || site.project.dir().join("ready").try_exists().unwrap().then_some(()));
    let bad = site.up("bad");
    assert_eq!(node.stop(), 0, "{}", node.log());
    assert!(!lives(Some(&bad)));
    assert_eq!(site.agent("bad").unwrap().exit, Some(Exit::Signal(9)));
    assert_eq!(site.told("bad", "agent.killed").len(), 1);
    assert_sound(&site, &site.state().unwrap());
}

#[test]
fn a_program_that_prints_without_end_fills_its_files_and_no_more() {
    let megabytes = setting("HB_SUPERVISE_OUTPUT_MB", 200);
    let process = format!(
        "process: {{command: [PROGRAM, sh, -c, 'head -c {megabytes}M /dev/zero; echo printed >>$SITE/printed; exec sleep 600'], \
         output: {{max_mb: 1, keep: 2}}}}"
    );
    let site = Site::new(&once(&process));
    let mut node = site.start("a");
    let logs = site.project.output.join("supervisor").join("logs");
    let mut most = 0;
    until("all of it is printed", || {
        most = most.max(bytes(&logs));
        site.project.dir().join("printed").try_exists().unwrap().then_some(())
    });
    // Three files of one megabyte, each put aside as large as the burst had made it by the time that it was looked at.
    let most_at_rest = until("its files are cut to their bound", || Some(bytes(&logs)).filter(|size| *size <= 9 << 20));
    let memory = node.memory_kb("VmRSS").unwrap();
    println!(
        "a program printed {megabytes} MB: its files took {most} bytes at most, {most_at_rest} in the end; hb takes {memory} kB"
    );
    site.up("well");
    site.up("bad");
    assert_eq!(node.stop(), 0);
    assert_sound(&site, &site.state().unwrap());
}

fn bytes(dir: &Path) -> u64 {
    fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|file| file.metadata().ok())
        .map(|file| file.len())
        .sum()
}

fn numbers(file: &Path) -> Vec<u32> {
    fs::read_to_string(file).unwrap_or_default().lines().filter_map(|line| line.parse().ok()).collect()
}

/// Whether a number is that of a process that is not over.
fn lives_at_all(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let ticks = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(19)?.parse().ok());
    ticks.is_some_and(|start_ticks| lives(Some(&Identity { pid, start_ticks, boot: String::new() })))
}
