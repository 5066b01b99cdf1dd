//! Two nodes that supervise together, and what they have in their care.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hb_core::ids::Epoch;
use hb_core::node::view::Role;
use hb_core::supervise::state::Fold;
use nix::sys::signal::Signal;

use super::assert_held;
use super::site::{Site, lives};
use super::wishes::Wishes;
use super::witness::Witness;
use crate::patience::Patience;
use crate::room::{Room, Small};
use crate::support::node::Node;
use crate::support::random::Random;
use crate::support::{setting, within};
use crate::timeline::Timeline;
use crate::wall::Wall;

/// Ends by which a service manager starts a node again: replaced, and what could not be written.
const STARTED_AGAIN: [i32; 3] = [75, 73, 69];
/// Those that policies restart when one of them dies.
pub(crate) const MEMBERS: [&str; 3] = ["m1", "m2", "m3"];
/// Those that hb restarts by itself.
pub(crate) const STAYING: [&str; 4] = ["s1", "s2", "s3", "s4"];
/// How long the other one may need to take over before it is looked whether it can at all.
const TRIED: Duration = Duration::from_secs(15);
/// Size of the file system of the database, in MB.
const DATABASE: u32 = 96;

/// Both nodes and everything around them.
pub(crate) struct Twins {
    pub(crate) nodes: [Node; 2],
    pub(crate) timeline: Timeline,
    pub(crate) walls: [Option<Wall>; 2],
    pub(crate) wishes: Wishes,
    witness: Witness,
    /// Times that a node was started again.
    restarts: usize,
    round: u64,
    pub(crate) site: Site,
    pub(crate) small: Option<Small>,
}

fn configuration(round: u64) -> String {
    let often = "restart: {max_restarts: 1000, backoff_sec: 0.02, backoff_max_sec: 0.05}";
    let agent = |id: &str| format!("  {id}: {{process: {{command: [PROGRAM, sleep, 6000]}}, {often}}}\n");
    let agents: String = MEMBERS.iter().chain(&STAYING).map(|id| agent(id)).collect();
    let policies: String = MEMBERS
        .iter()
        .map(|id| {
            format!(
                "  {id}-again:\n    when: alert.kind == 'died' and agent.team == 't'\n    actions: [{{type: restart_agent, target: {id}}}]\n"
            )
        })
        .collect();
    format!(
        "lease: {{ttl_sec: {}}}\n\
         supervisors:\n  main: {{config: {{alert_correlation_window: 1, mass_window: 0, max_interventions_per_hour: 100000, \
         policy_evaluation_interval: 1}}}}\n\
         agents:\n{agents}  turns: {{process: {{command: [PROGRAM, sleep, 6000], env: {{ROUND: {round}}}}}, {often}}}\n\
         teams:\n  t: {{members: [m1, m2, m3]}}\npolicies:\n{policies}",
        setting("HB_TORTURE_TTL", 1)
    )
}

/// The last lines of a log, the newest first.
fn tail(log: &str) -> Vec<String> {
    log.lines().rev().take(12).map(str::to_owned).collect()
}

fn launch(site: &Site, wall: Option<&Wall>, name: &str) -> Node {
    let mut command = site.project.command(&["supervisor", "--listen", "127.0.0.1:0"]);
    command.env("SITE", site.project.dir());
    wall.iter().for_each(|wall| wall.give(&mut command));
    Node::launch(&site.project, name, command)
}

impl Twins {
    pub(crate) fn start(room: Room) -> Self {
        let site = Site::new(&configuration(0));
        let small = (room == Room::Small).then(|| Small::of(&site.project.output, DATABASE));
        let walls = ["a", "b"].map(|name| Wall::right(site.project.dir(), name));
        let [a, b] = &walls;
        let nodes = [launch(&site, a.as_ref(), "a"), launch(&site, b.as_ref(), "b")];
        Self {
            nodes,
            timeline: Timeline::new("supervisor".into()),
            walls,
            wishes: Wishes::default(),
            witness: Witness::start(site.db()),
            restarts: 0,
            round: 0,
            site,
            small,
        }
    }

    /// Starts again what has ended, as a service manager does.
    pub(crate) fn tend(&mut self) {
        for place in 0..self.nodes.len() {
            let Some(status) = self.nodes[place].has_ended() else { continue };
            let name = self.nodes[place].name.clone();
            self.timeline.note(format!("{name} has ended with {status}"));
            if let Some(code) = status.code() {
                assert!(STARTED_AGAIN.contains(&code), "{name} ended with {code}:\n{}", self.nodes[place].log());
            }
            self.restarts += 1;
            self.nodes[place] = launch(&self.site, self.walls[place].as_ref(), &name);
            self.timeline.note(format!("{name} starts as process {}", self.nodes[place].pid()));
        }
    }

    /// Waits, while nodes are tended, until `look` gives something.
    fn until<T>(&mut self, what: &str, mut look: impl FnMut(&mut Self) -> Option<T>) -> T {
        let mut patience = Patience::default();
        loop {
            self.tend();
            if let Some(found) = look(self) {
                return found;
            }
            if patience.is_over() {
                let tails: Vec<_> = self.nodes.iter().map(|node| tail(&node.log())).collect();
                panic!("{}: {what}; {tails:#?}; agents: {:#?}", patience.said(), self.site.agents());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Which of them wrote last.
    pub(crate) fn active(&self) -> Option<(usize, Epoch)> {
        let (name, epoch) = self.site.writer()?;
        Some((self.nodes.iter().position(|node| node.name == name)?, epoch))
    }

    fn role(&self, place: usize) -> Option<Role> {
        Some(self.nodes[place].card()?.account.role)
    }

    /// Waits until one works, the other one stands by, and everybody in their care is up; gives which works, and its reign.
    pub(crate) fn warm(&mut self) -> (usize, Epoch) {
        let warm = self.until("one works, the other one stands by, and all agents are up", |twins| {
            let (active, epoch) = twins.active()?;
            let agents = twins.site.agents();
            let up = agents.iter().all(|agent| agent.lifecycle.is_up() && lives(agent.process.identity()));
            let ready = up
                && agents.len() == MEMBERS.len() + STAYING.len() + 1
                && twins.role(active) == Some(Role::Active)
                && twins.role(1 - active) == Some(Role::Standby);
            ready.then_some((active, epoch))
        });
        self.timeline.note(format!("all is well, {} works", self.nodes[warm.0].name));
        warm
    }

    /// Waits for a newer reign of another than `place`; none when somebody who is stopped holds the database.
    pub(crate) fn taken_over(&mut self, place: usize, before: Epoch, since: Instant) -> Option<Duration> {
        let took = within(TRIED, || {
            let (active, epoch) = self.active()?;
            std::thread::sleep(Duration::from_millis(5));
            (active != place && epoch > before).then(|| since.elapsed())
        });
        self.timeline
            .note(took.map_or("nobody has taken over".to_owned(), |took| format!("taken over after {took:.1?}")));
        took
    }

    /// Somebody asks for a change; nobody need answer.
    pub(crate) fn wish(&mut self, random: &mut Random) {
        let Some((active, _)) = self.active() else { return };
        let Some(address) = self.address(active) else { return };
        self.wishes.ask(&self.site, address, random);
    }

    /// Where a node serves.
    pub(crate) fn address(&self, place: usize) -> Option<SocketAddr> {
        self.nodes[place].card()?.account.listen
    }

    /// Another configuration, which both are told of.
    pub(crate) fn reload(&mut self) {
        self.round += 1;
        self.timeline.note(format!("configuration {}", self.round));
        // At once, as whoever deploys a configuration does: a node may be starting.
        let (fresh, file) = (self.site.project.dir().join("hb.yaml.new"), self.site.project.config());
        let output = self.site.project.output.display();
        let text = format!("output_dir: {output}\n{}", self.site.filled(&configuration(self.round)));
        std::fs::write(&fresh, text).unwrap();
        std::fs::rename(fresh, file).unwrap();
        for place in 0..self.nodes.len() {
            if self.nodes[place].has_ended().is_none() {
                self.nodes[place].signal(Signal::SIGHUP);
            }
        }
    }

    /// Everything comes to rest and ends; gives the last state, how many records stand, and how often nodes were started again.
    pub(crate) fn finish(mut self) -> (Fold, usize, usize) {
        // What was declared while nobody could hear it is heard at a start.
        for place in 0..self.nodes.len() {
            self.nodes[place].kill();
        }
        self.warm();
        let round = self.round.to_string();
        self.until("the last configuration is in force, and nothing is under way", |twins| {
            let turns = twins.site.agent("turns")?;
            let process = turns.spec.process.as_ref()?;
            let latest = process.env.get("ROUND") == Some(&round) && turns.lifecycle.is_up();
            (latest && twins.site.open_interventions() == 0).then_some(())
        });
        let (active, epoch) = self.warm();
        let fold = self.site.calm_after(Epoch(epoch.0 - 1), &mut self.nodes[active]);
        for place in [1 - active, active] {
            let code = self.nodes[place].stop();
            assert!(
                [0, 75].contains(&code),
                "{} ended with {code}: {}",
                self.nodes[place].name,
                self.nodes[place].log()
            );
        }
        for node in &self.nodes {
            self.timeline.note(format!("what {} said:\n{}", node.name, node.log()));
        }
        let (seen, site) = (self.witness.finish(), self.site);
        let records = site.records();
        let standing: BTreeMap<u64, &[u8]> = records.iter().map(|one| (one.record.seq.0, &*one.bytes)).collect();
        for (seq, bytes) in &seen {
            assert_eq!(standing.get(seq), Some(&bytes.as_slice()), "S1: record {seq} was read, and is another now");
        }
        assert_held(&site, &fold);
        self.wishes.assert_granted(&fold);
        println!("supervisor: {} records witnessed, answers {:?}", seen.len(), self.wishes.answered);
        (fold, records.len(), self.restarts)
    }
}
