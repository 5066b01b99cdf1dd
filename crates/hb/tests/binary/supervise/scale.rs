//! A12: how long is it from the start of hb until everybody is monitored again?

use std::fmt::Write as _;
use std::time::Instant;

use hb_core::supervise::agent::Process;

use super::site::Site;
use crate::support::{setting, until};

#[test]
fn a12_s8_all_are_monitored_again_after_a_kill() {
    let agents = setting("HB_SUPERVISE_AGENTS", 1_000);
    let mut yaml = "agents:\n".to_owned();
    for n in 0..agents {
        writeln!(yaml, "  w{n}: {{process: {{command: [sleep, 600]}}}}").unwrap();
    }
    let site = Site::new(&yaml);
    let count = |what: &str| {
        let text = format!("SELECT count(*) FROM agents WHERE {what}");
        site.sql().and_then(|sql| sql.query_row(&text, [], |row| row.get::<_, i64>(0)).ok()).unwrap_or(0)
    };
    let wanted = i64::try_from(agents).unwrap();
    let began = Instant::now();
    let mut node = site.start("a");
    until("all are up", || (count("status IN ('IDLE', 'RUNNING')") == wanted).then_some(()));
    let started = began.elapsed();
    let before = site.state().unwrap();
    node.kill();
    let began = Instant::now();
    let mut node = site.start("a");
    let adopted = "doc ->> '$.process.alive.adopted' = 1 AND status IN ('IDLE', 'RUNNING')";
    until("all are adopted", || (count(adopted) == wanted).then_some(()));
    let resumed = began.elapsed();
    let after = site.state().unwrap();
    for agent in before.state.agents.values() {
        let now = after.state.agents.get(agent.id()).unwrap();
        assert!(matches!(now.process, Process::Alive { adopted: true, .. }));
        assert_eq!(agent.process.identity(), now.process.identity(), "{}", agent.id());
    }
    let memory = node.memory_kb("VmRSS").unwrap();
    assert_eq!(node.stop(), 0);
    println!(
        "supervise: {agents} agents started in {started:.1?}; after kill -9, from exec until all are adopted and monitored: {resumed:.1?} \
         (debug build); {memory} kB"
    );
}
