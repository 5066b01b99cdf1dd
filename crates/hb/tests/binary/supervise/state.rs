//! A1: is what was acknowledged still there after `kill -9` at any moment?

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hb_core::supervise::agent::Agent;
use hb_core::supervise::state::{Body, Fold};
use nix::sys::signal::Signal;
use rusqlite::Connection;

use super::site::Site;
use super::sound::{assert_sound, assert_starts};
use crate::support::random::Random;
use crate::support::{setting, spread};

/// Looks at the database all the time, as somebody who is told of each change: what it has seen was acknowledged.
struct Witness {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<BTreeMap<u64, Vec<u8>>>>,
}

impl Witness {
    fn start(site: &Site) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (ended, path) = (Arc::clone(&stop), site.db());
        let thread = std::thread::spawn(move || {
            let mut seen = BTreeMap::new();
            while !ended.load(Ordering::Acquire) {
                if path.try_exists().unwrap() {
                    look(&path, &mut seen).unwrap_or_default();
                }
                std::thread::sleep(Duration::from_millis(3));
            }
            seen
        });
        Self { stop, thread: Some(thread) }
    }

    fn finish(mut self) -> BTreeMap<u64, Vec<u8>> {
        self.stop.store(true, Ordering::Release);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

fn look(path: &std::path::Path, seen: &mut BTreeMap<u64, Vec<u8>>) -> rusqlite::Result<()> {
    let sql = Connection::open(path)?;
    let after = seen.last_key_value().map_or(-1, |(seq, _)| seq.cast_signed());
    let mut fresh = sql.prepare("SELECT seq, bytes FROM journal WHERE seq > ?1 ORDER BY seq")?;
    let rows = fresh.query_map([after], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?)))?;
    for row in rows {
        let (seq, bytes) = row?;
        seen.insert(seq.cast_unsigned(), bytes);
    }
    Ok(())
}

/// Programs that stay, programs that end at once again and again, and one that is another with each reading of the configuration.
fn configuration(round: u64) -> String {
    let mut yaml = "agents:\n".to_owned();
    for stays in ["s1", "s2", "s3"] {
        writeln!(yaml, "  {stays}: {{process: {{command: [PROGRAM, sleep, 600]}}}}").unwrap();
    }
    for crashes in ["c1", "c2", "c3"] {
        writeln!(
            yaml,
            "  {crashes}: {{process: {{command: [PROGRAM, sh, -c, 'sleep 0.0{}; exit 3']}}, \
             restart: {{max_restarts: 1000, backoff_sec: 0.02, backoff_max_sec: 0.1}}}}",
            crashes.len() * 2
        )
        .unwrap();
    }
    writeln!(yaml, "  turns: {{process: {{command: [PROGRAM, sleep, 600], env: {{ROUND: {round}}}}}}}").unwrap();
    if round.is_multiple_of(2) {
        writeln!(yaml, "  odd: {{process: {{command: [PROGRAM, sleep, 600]}}}}").unwrap();
    }
    yaml
}

#[test]
fn a1_s1_a_hundred_kills_lose_nothing_that_was_acknowledged() {
    let kills = setting("HB_SUPERVISE_KILLS", 150) * 2 / 3;
    let mut random = Random::told("supervise kills");
    let site = Site::new(&configuration(0));
    let witness = Witness::start(&site);
    let (began, mut round) = (Instant::now(), 0);
    let (mut lives, mut before) = (Vec::new(), None::<Fold>);
    for _ in 0..kills {
        let mut node = site.start("a");
        // Some die while they start, most at work.
        let life = if random.one_in(4) { random.between(0, 60) } else { random.between(60, 300) };
        let reload = random.one_in(2);
        std::thread::sleep(Duration::from_millis(life / 2));
        if reload && life > 100 {
            round += 1;
            site.configure(&configuration(round));
            node.signal(Signal::SIGHUP);
        }
        std::thread::sleep(Duration::from_millis(life / 2));
        node.kill();
        lives.push(Duration::from_millis(life));
        let after = site.state();
        assert_grown(before.as_ref(), after.as_ref());
        before = after;
    }
    // Without those that crash all the time it comes to rest.
    site.configure(
        &configuration(round).lines().filter(|line| !line.starts_with("  c")).collect::<Vec<_>>().join("\n"),
    );
    let mut node = site.start("a");
    site.agent_is("turns", "as declared last", |agent| turn_of(agent) == round.to_string());
    site.agent_is("turns", "up", |agent| agent.lifecycle.is_up());
    let fold = site.calm(&mut node);
    let took = began.elapsed();
    let seen = witness.finish();
    assert_eq!(node.stop(), 0, "{}", node.log());

    let records = site.records();
    for (seq, bytes) in &seen {
        let stands = records.iter().find(|sealed| sealed.record.seq.0 == *seq);
        assert_eq!(stands.map(|sealed| &sealed.bytes), Some(bytes), "record {seq} was acknowledged and is another now");
    }
    let opened = records.iter().filter(|sealed| matches!(sealed.record.body, Body::EpochOpened { .. })).count();
    assert_starts(&site, &fold);
    assert_sound(&site, &site.state().unwrap());
    println!(
        "supervise: {kills} kills in {took:.1?} (lives {}), {} records, {} of them witnessed, {opened} epochs, {round} reloads, {} starts",
        spread(lives),
        records.len(),
        seen.len(),
        site.starts().len()
    );
}

/// The reading of the configuration that an agent is of.
fn turn_of(agent: &Agent) -> &str {
    agent.spec.process.as_ref().and_then(|process| process.env.get("ROUND")).map_or("", String::as_str)
}

/// Nothing runs backwards across a kill.
fn assert_grown(before: Option<&Fold>, after: Option<&Fold>) {
    let Some(before) = before else { return };
    let after = after.expect("what was recorded is gone");
    let (old, new) = (before.state.counters, after.state.counters);
    assert!(new.event >= old.event && new.restarts >= old.restarts && after.epoch >= before.epoch);
    for agent in before.state.agents.values() {
        let Some(now) = after.state.agents.get(agent.id()) else { continue };
        assert!(now.incarnation >= agent.incarnation, "{}: {} < {}", agent.id(), now.incarnation, agent.incarnation);
        assert!(now.restarts.total >= agent.restarts.total, "{}", agent.id());
    }
}
