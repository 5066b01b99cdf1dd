//! A2, A3: are children found again, and only they?

use std::fs;
use std::process::{Command, Stdio};

use hb_core::supervise::agent::{Agent, Exit, Process};
use nix::sys::signal::Signal;

use super::site::{Site, lives, signal};
use super::sound::assert_sound;
use crate::support::mount::not_run;
use crate::support::project::{HB, told};
use crate::support::until;

#[test]
fn a2_s2_children_are_adopted_with_their_numbers_none_twice_none_killed() {
    let agents: String =
        (0..20).map(|n| format!("  w{n}: {{process: {{command: [PROGRAM, sleep, 600]}}}}\n")).collect();
    let site = Site::new(&format!("agents:\n{agents}"));
    let mut node = site.start("a");
    site.calm(&mut node);
    for n in 0..20 {
        site.started(&format!("w{n}"), 1);
    }
    for round in 0..5 {
        let before = site.state().unwrap();
        node.kill();
        node = site.start("a");
        // Those that are up without having been looked at are not taken for adopted.
        until("a reign in which all are adopted", || {
            let fold = site.state().filter(|fold| fold.epoch > before.epoch)?;
            let adopted = |agent: &Agent| {
                matches!(agent.process, Process::Alive { adopted: true, .. }) && agent.lifecycle.is_up()
            };
            fold.state.agents.values().all(adopted).then_some(())
        });
        let after = site.calm(&mut node);
        for agent in before.state.agents.values() {
            let now = after.state.agents.get(agent.id()).unwrap();
            assert_eq!(agent.process.identity(), now.process.identity(), "round {round}: {}", agent.id());
            assert_eq!((agent.incarnation, agent.restarts.total), (now.incarnation, now.restarts.total));
        }
    }
    assert_eq!(site.starts().len(), 20, "nobody was started again");
    assert_eq!(node.stop(), 0);
    assert_sound(&site, &site.state().unwrap());
}

#[test]
fn a2_s2_a_number_that_was_given_to_a_stranger_is_nobodys() {
    // In a process namespace of its own, where the next number can be chosen.
    let site = Site::new("agents:\n  a: {process: {command: [PROGRAM, sleep, 600]}}\n");
    let script = r#"
        hb() { "$HB" supervisor --listen none --node a --config hb.yaml >>hb.log 2>&1 & hb=$!; }
        waits() { n=0; until [ "$(wc -l <starts 2>/dev/null || echo 0)" -ge "$1" ]; do sleep 0.05; n=$((n+1)); [ $n -lt 1200 ] || exit 9; done; }
        hb; waits 1
        # What is written down is recorded too: the start itself comes before.
        agent=$(cut -d' ' -f3 starts)
        kill -9 $hb; kill -9 $agent; wait $hb
        while [ -d /proc/$agent ]; do sleep 0.01; done
        echo $((agent-1)) >/proc/sys/kernel/ns_last_pid || exit 8
        sleep 600 & stranger=$!
        [ $stranger = $agent ] || exit 7
        hb; waits 2
        kill -0 $stranger && echo "stranger $stranger lives"
        [ "$(cut -d' ' -f1 <starts | sort | uniq -c | tr -dc 0-9)" = 2 ] && echo "started again once"
        kill $hb; wait $hb; echo "hb ended with $?"
    "#;
    let output = Command::new("unshare")
        .args(["--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", script])
        .env("HB", HB)
        .env("SITE", site.project.dir())
        .current_dir(site.project.dir())
        .stdin(Stdio::null())
        .output();
    let output = match output {
        Ok(output) if output.status.code() == Some(1) => return not_run("a2 reused pid", &told(&output)),
        Ok(output) if output.status.code() == Some(8) => return not_run("a2 reused pid", "numbers cannot be chosen"),
        Ok(output) => output,
        Err(error) => return not_run("a2 reused pid", &error.to_string()),
    };
    let log = fs::read_to_string(site.project.dir().join("hb.log")).unwrap_or_default();
    let said = told(&output);
    assert!(output.status.success(), "{}\n{said}\n{log}", output.status);
    for wanted in ["lives", "started again once", "hb ended with 0"] {
        assert!(said.contains(wanted), "{wanted}: {said}\n{log}");
    }
    let ends = site.told("a", "agent.exited");
    assert_eq!(ends.len(), 1, "its death was found once: {ends:#?}");
}

#[test]
fn a3_s3_a_child_that_died_meanwhile_is_handled_once() {
    let site = Site::new(
        "agents:\n  \
         killed: {process: {command: [PROGRAM, sleep, 600]}, restart: {backoff_sec: 0.1}}\n  \
         three: {process: {command: [PROGRAM, sh, -c, 'until [ -e go ]; do sleep 0.02; done; exit 3']}, restart: {when: never}}\n  \
         zero: {process: {command: [PROGRAM, sh, -c, 'until [ -e go ]; do sleep 0.02; done']}, restart: {when: on_failure}}\n  \
         stays: {process: {command: [PROGRAM, sleep, 600]}}\n",
    );
    let mut node = site.start("a");
    site.calm(&mut node);
    let [killed, three, zero] = ["killed", "three", "zero"].map(|id| {
        site.started(id, 1);
        site.up(id)
    });
    node.kill();
    signal(&killed, Signal::SIGKILL);
    fs::write(site.project.dir().join("go"), "").unwrap();
    until("they are gone", || [&killed, &three, &zero].iter().all(|one| !lives(Some(one))).then_some(()));
    let mut node = site.start("a");
    site.started("killed", 2);
    let ended = |id: &str| site.agent_is(id, "found dead", |agent| agent.exit.is_some()).exit.unwrap();
    let (killed, three, zero) = (ended("killed"), ended("three"), ended("zero"));
    // Children of a dead hb are somebody else's: their status is told where the kernel keeps it, and never made up.
    for (id, exit, exact) in
        [("killed", killed, Exit::Signal(9)), ("three", three, Exit::Status(3)), ("zero", zero, Exit::Status(0))]
    {
        assert!(exit == exact || exit == Exit::Unknown, "{id}: {exit:?}");
        println!("a3: {id} {}", exit.in_words());
        assert_eq!(ends(&site, id), 1, "{id}");
    }
    // And once more: nothing of it is handled a second time.
    node.kill();
    let mut node = site.start("a");
    site.reign();
    site.agent_is("stays", "adopted", |agent| matches!(agent.process, Process::Alive { adopted: true, .. }));
    site.agent_is("killed", "adopted", |agent| matches!(agent.process, Process::Alive { adopted: true, .. }));
    for id in ["killed", "three", "zero"] {
        assert_eq!(ends(&site, id), 1, "{id}");
    }
    assert_eq!(site.starts_of("stays").len(), 1);
    assert_eq!(site.starts_of("three").len(), 1, "it is not to be started again");
    assert_eq!(node.stop(), 0);
    assert_sound(&site, &site.state().unwrap());
}

/// How often the end of an agent's process was handled.
fn ends(site: &Site, agent: &str) -> usize {
    site.told(agent, "agent.exited").len() + site.told(agent, "agent.finished").len()
}
