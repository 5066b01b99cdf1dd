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

/// Spells from PASS to PASS with a FAIL in them: each is one group of alerts, on which the policy is to act once.
fn falls(reader: &Reader) -> u64 {
    let (mut count, mut acted) = (0_u64, false);
    for cycle in journal::cycles(&reader.records) {
        match cycle.decision.status {
            Status::Pass => acted = false,
            Status::Fail if !acted => {
                acted = true;
                count += 1;
            }
            Status::Fail | Status::PassWithDrift | Status::NoData | Status::NoBaseline => {}
        }
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
    let share = lines.len().div_ceil(rounds as usize);
    for chunk in lines.chunks(share) {
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
        let goal = falls(&reader);
        until("it is acted on", || {
            pair.both_run();
            let done = site.agent("right")?.incarnation > goal && site.open_interventions() == 0;
            done.then_some(())
        });
    }
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
    assert_eq!(completed.count() as u64, falls, "one restart for each spell: {:#?}", held_back(&site));
    assert_eq!(fold.state.interventions.iter().count() as u64, falls);
    let incarnations = |id: &str| site.agent(id).unwrap().incarnation;
    assert_eq!((incarnations("right"), incarnations("wrong"), site.starts_of("wrong").len()), (1 + falls, 1, 1));
    // One that was restarted at once again may not have come to write down that it was started.
    assert!(site.starts_of("right").len() as u64 <= 1 + falls);
    assert!(falls >= rounds / 2, "{falls} bad spells in {rounds} rounds");
    assert_sound(&site, &fold);
    println!(
        "join: {falls} bad spells, {kills} kills, {amid} of them amid the restart, {} replaced by a busy machine, all in {took:.1?}",
        pair.replaced
    );
}

/// Evaluations that held and set nothing off, though they had not held before.
fn held_back(site: &Site) -> Vec<String> {
    let mut found = Vec::new();
    for sealed in site.records() {
        for evaluation in sealed.record.body.evaluations() {
            let said = evaluation.action_taken.join("; ");
            if evaluation.decision && evaluation.interventions.is_empty() && !said.contains("it has held since") {
                found.push(format!("{} {} {:?}: {said}", evaluation.id, evaluation.trigger, evaluation.group));
            }
        }
    }
    found
}
