//! The join (Shows 7): telemetry goes bad, a policy restarts the right agent, once, with the active node killed in the middle.

use std::time::{Duration, Instant};

use hb_core::ids::WatchName;
use hb_core::supervise::intervention::InterventionStatus;
use hb_core::watch::decision::Status;

use super::site::Site;
use super::sound::assert_sound;
use crate::support::journal::{self, Reader};
use crate::support::node::Node;
use crate::support::project::Project;
use crate::support::random::Random;
use crate::support::{setting, telemetry, until};

/// Cycles of one round of the recording: a few good ones, three bad ones, good ones.
const ROUND: u64 = 18;
const FENCED: i32 = 75;

const SUPERVISED: &str = "\
supervisors:
  main: {config: {max_interventions_per_hour: 100000}}
agents:
  right: {watch: default, process: {command: [PROGRAM, sleep, 600]}, restart: {max_restarts: 1000}}
  wrong: {process: {command: [PROGRAM, sleep, 600]}}
policies:
  again:
    when: watch.status == 'FAIL' and agent.anomaly_score > 0
    actions: [{type: restart_agent, reason: \"${watch.drivers} of ${watch.name}\"}]
";

struct Pair<'a> {
    site: &'a Site,
    nodes: Vec<Node>,
    replaced: usize,
}

impl Pair<'_> {
    fn start(&self, name: &str) -> Node {
        self.site.launch(name, &["run", "--listen", "none"])
    }

    /// Starts again whichever has been replaced because the machine was too busy.
    fn both_run(&mut self) {
        for place in 0..self.nodes.len() {
            if self.nodes[place].has_ended().is_some() {
                assert_eq!(self.nodes[place].exit_code(), FENCED, "{}", self.nodes[place].log());
                self.replaced += 1;
                let name = self.nodes[place].name.clone();
                self.nodes[place] = self.start(&name);
            }
        }
    }

    fn kill(&mut self, name: &str) {
        let place = self.nodes.iter().position(|node| node.name == name).unwrap();
        self.nodes[place].kill();
        self.nodes[place] = self.start(name);
    }
}

fn fails(reader: &Reader) -> usize {
    let cycles = journal::cycles(&reader.records);
    cycles.iter().filter(|cycle| cycle.decision.status == Status::Fail).count()
}

/// Times that the watch came to FAIL from anything else: what the policy is to act on, once each.
fn falls(reader: &Reader) -> u64 {
    let (mut count, mut failed) = (0, false);
    for cycle in journal::cycles(&reader.records) {
        let fails = cycle.decision.status == Status::Fail;
        count += u64::from(fails && !failed);
        failed = fails;
    }
    count
}

#[test]
fn join_s4_w6_a_bad_cycle_restarts_the_right_agent_once_across_takeovers() {
    let rounds = setting("HB_SUPERVISE_ROUNDS", 20) as u64;
    let mut random = Random::told("join");
    let lines = telemetry::recording(rounds * ROUND + 4, 60, 11);
    let settings = telemetry::SETTINGS
        .replace("lateness_sec: 2\n", "lateness_sec: 2\nreports: none\n")
        .replace("reports: changes\n", "");
    let site = Site::on(Project::new(""));
    site.project.configure(&format!("{settings}alert_sinks: [file]\n{}", site.filled(SUPERVISED)));
    let mut pair = Pair { site: &site, nodes: Vec::new(), replaced: 0 };
    pair.nodes = vec![pair.start("a"), pair.start("b")];
    let mut reader = Reader::open(&site.project.output);
    let began = Instant::now();
    site.started("right", 1);
    site.started("wrong", 1);
    let (mut kills, mut amid) = (0, 0);
    // One bad spell for each: what comes while a restart is under way is covered by it.
    let share = lines.len() * ROUND as usize / (rounds * ROUND + 4) as usize;
    let (rounds_of, rest) = lines.split_at(share * rounds as usize);
    for chunk in rounds_of.chunks(share) {
        let failed = fails(&reader);
        site.project.feed(chunk.concat());
        until("the watch decides a bad cycle", || {
            pair.both_run();
            reader.poll();
            (fails(&reader) > failed).then_some(())
        });
        // Decisions are looked for five times a second: before it is seen, while it is acted on, and afterwards.
        std::thread::sleep(Duration::from_millis(random.between(0, 260)));
        let watching = reader.records.last().unwrap().record.node.to_string();
        let supervising = site.writer().unwrap().0;
        amid += usize::from(site.open_interventions() > 0);
        pair.kill(if random.one_in(4) { &watching } else { &supervising });
        kills += 1;
        let bad = journal::cycles(&reader.records).iter().rfind(|one| one.decision.status == Status::Fail).cloned();
        let bad = bad.unwrap().decision.cycle;
        until("it is acted on", || {
            pair.both_run();
            let seen = site.state()?.state.cursors.get(&WatchName::from("default"))?.cycle;
            (seen >= bad && site.open_interventions() == 0).then_some(())
        });
    }
    site.project.feed(rest.concat());
    // Everything that was decided has been taken in.
    let fold = until("the supervisor has seen the last cycle", || {
        pair.both_run();
        reader.poll();
        let last = journal::cycles(&reader.records).last()?.decision.cycle;
        let fold = site.state()?;
        let seen = fold.state.cursors.get(&WatchName::from("default"))?.cycle;
        let idle = site.open_interventions() == 0 && fold.state.agents.values().all(|agent| agent.lifecycle.is_up());
        (seen == last && last.0 >= rounds * ROUND && idle).then_some(fold)
    });
    let took = began.elapsed();
    for node in &mut pair.nodes {
        assert_eq!(node.stop(), 0, "{}", node.log());
    }
    reader.poll();
    journal::assert_whole(&reader.records);
    let falls = falls(&reader);
    let completed = fold.state.interventions.values().filter(|one| one.status == InterventionStatus::Completed);
    let (restarts, covered) = (completed.count() as u64, covered(&site));
    assert_eq!(fold.state.interventions.iter().count() as u64, restarts, "none failed");
    assert_eq!(restarts + covered, falls, "one restart for each fall, but for those that one covers");
    let incarnations = |id: &str| site.agent(id).unwrap().incarnation;
    assert_eq!((incarnations("wrong"), site.starts_of("wrong").len()), (1, 1));
    // A start that was lost with its hb never was: its number is skipped.
    assert!(incarnations("right") > restarts, "{} for {restarts} restarts", incarnations("right"));
    // One that was restarted at once again may not have come to write down that it was started.
    assert!(site.starts_of("right").len() as u64 <= 1 + restarts);
    assert!(falls >= rounds / 2, "{falls} falls in {rounds} rounds");
    assert_sound(&site, &fold);
    println!(
        "join: {falls} falls, {restarts} restarts, {covered} covered by one of these, {kills} kills, {amid} of them amid the restart, {} replaced by a busy machine, all in {took:.1?}",
        pair.replaced
    );
}

/// Evaluations that held and restarted nothing, because a restart was under way for the agent, or had been made for this group of alerts.
fn covered(site: &Site) -> u64 {
    let records = site.records();
    let evaluations = records.iter().flat_map(|sealed| sealed.record.body.evaluations());
    let held_back = evaluations.filter(|one| one.decision && one.interventions.is_empty());
    held_back.filter(|one| one.action_taken.join("; ").contains("not again, ")).count() as u64
}
