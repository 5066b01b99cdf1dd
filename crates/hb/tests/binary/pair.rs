//! What is a pair worth? The active one is killed and stopped again and again; the watch goes on, once and only once.

use std::time::{Duration, Instant};

use hb_core::ids::Seq;
use nix::sys::signal::Signal;

use crate::support::journal::{self, Reader};
use crate::support::node::Node;
use crate::support::project::Project;
use crate::support::random::Random;
use crate::support::readers::Readers;
use crate::support::writer::Writer;
use crate::support::{setting, spread, telemetry, until};

/// Number of the exit of a node that has been replaced.
const FENCED: i32 = 75;
/// A TTL so short that a stopped holder is soon replaced, and long enough for a busy machine. A holder that is killed is
/// replaced at once, whatever the TTL.
const SHORT_TTL: &str = "lease: {ttl_sec: 1}\n";

/// Two nodes of one project, and what they have written.
struct Pair<'a> {
    project: &'a Project,
    nodes: [Node; 2],
    reader: Reader,
    /// Times that a node was replaced although nobody had touched it: the machine was too busy.
    replaced: usize,
}

impl<'a> Pair<'a> {
    fn start(project: &'a Project) -> Self {
        let nodes = [project.start("a"), project.start("b")];
        let reader = Reader::open(&project.output);
        let mut pair = Self { project, nodes, reader, replaced: 0 };
        until("the first cycle", || {
            pair.reader.poll();
            (pair.reader.cycles() > 0).then_some(())
        });
        pair
    }

    /// Which of them wrote last.
    fn active(&mut self) -> usize {
        self.reader.poll();
        let newest = self.reader.records.last().unwrap().record.node.to_string();
        self.nodes.iter().position(|node| node.name == newest).unwrap()
    }

    /// Starts again whichever has ended with the number of a replaced node; any other end is a failure.
    fn runs(&mut self, place: usize) {
        if self.nodes[place].has_ended().is_some() {
            assert_eq!(self.nodes[place].exit_code(), FENCED, "{}", self.nodes[place].log());
            self.replaced += 1;
            self.restart(place);
        }
    }

    fn both_run(&mut self) {
        self.runs(0);
        self.runs(1);
    }

    fn restart(&mut self, place: usize) {
        let name = self.nodes[place].name.clone();
        self.nodes[place] = self.project.start(&name);
    }

    /// Waits for the first record of `other` after `seq`; gives how long that took.
    fn taken_over(&mut self, other: usize, seq: Seq, since: Instant) -> Duration {
        let name = self.nodes[other].name.clone();
        until(&format!("{name} takes over"), || {
            self.runs(other);
            self.reader.poll();
            let mut later = self.reader.records.iter().filter(|sealed| sealed.record.seq > seq);
            later.any(|sealed| sealed.record.node.as_str() == name).then(|| since.elapsed())
        })
    }

    fn head(&self) -> Seq {
        self.reader.records.last().unwrap().record.seq
    }

    /// Waits for `more` cycles.
    fn cycles(&mut self, more: usize) {
        let goal = self.reader.cycles() + more;
        until("the watch goes on", || {
            self.reader.poll();
            (self.reader.cycles() >= goal).then_some(())
        });
    }

    /// Waits until the second one stands by, so that what is measured is a takeover and not a start.
    fn warm(&mut self) -> usize {
        let pair = until("one is active and the other stands by", || {
            self.both_run();
            let active = self.active();
            let is = |node: &Node, role: &str| node.role().is_some_and(|is| is == role);
            let ready = is(&self.nodes[active], "active") && is(&self.nodes[1 - active], "standby");
            ready.then_some(active)
        });
        self.cycles(1);
        pair
    }
}

fn settings(lease: &str) -> String {
    format!("{}{lease}alert_sinks: [file]\n", telemetry::SETTINGS)
}

#[test]
fn w1_h1_h3_a_hundred_kills_of_the_active() {
    let kills = setting("HB_PAIR_KILLS", 100);
    let mut random = Random::told("pair kills");
    let project = Project::new(&settings(""));
    let writer = Writer::start(&project);
    let readers = Readers::start(&project.output);
    let mut pair = Pair::start(&project);
    let began = Instant::now();
    let mut latencies = Vec::new();
    while latencies.len() < kills {
        let active = pair.warm();
        std::thread::sleep(Duration::from_millis(random.between(0, 60)));
        if pair.active() != active || pair.nodes[active].has_ended().is_some() {
            continue;
        }
        let since = Instant::now();
        pair.nodes[active].kill();
        pair.reader.poll();
        let head = pair.head();
        latencies.push(pair.taken_over(1 - active, head, since));
        pair.restart(active);
    }
    println!("pair: kill -9 to the first record of the other: {}; all in {:.1?}", spread(latencies), began.elapsed());
    finish(pair, writer, readers);
}

#[test]
fn h1_h2_twenty_stops_of_the_active_leave_a_zombie_that_steps_down() {
    let stops = setting("HB_PAIR_STOPS", 20);
    let mut random = Random::told("pair stops");
    let project = Project::new(&settings(SHORT_TTL));
    let writer = Writer::start(&project);
    let readers = Readers::start(&project.output);
    let mut pair = Pair::start(&project);
    let began = Instant::now();
    let (mut latencies, mut ends) = (Vec::new(), Vec::new());
    while latencies.len() < stops {
        let active = pair.warm();
        std::thread::sleep(Duration::from_millis(random.between(0, 60)));
        if pair.active() != active || pair.nodes[active].has_ended().is_some() {
            continue;
        }
        pair.nodes[active].signal(Signal::SIGSTOP);
        let since = Instant::now();
        pair.reader.poll();
        let head = pair.head();
        latencies.push(pair.taken_over(1 - active, head, since));
        pair.cycles(random.between(0, 3) as usize);
        let (resumed, standing) = (Instant::now(), pair.reader.records.len());
        pair.nodes[active].signal(Signal::SIGCONT);
        assert_eq!(pair.nodes[active].exit_code(), FENCED, "{}", pair.nodes[active].log());
        ends.push(resumed.elapsed());
        pair.reader.poll();
        let name = &pair.nodes[active].name;
        let appended =
            pair.reader.records[standing..].iter().filter(|sealed| sealed.record.node.as_str() == name.as_str());
        assert_eq!(appended.count(), 0, "the zombie {name} appended something");
        pair.restart(active);
    }
    println!(
        "pair: SIGSTOP to the first record of the other: {}; SIGCONT to exit {FENCED}: {}; all in {:.1?}",
        spread(latencies),
        spread(ends),
        began.elapsed()
    );
    finish(pair, writer, readers);
}

/// Stops both, decides the rest, and compares with an undisturbed run over the same bytes.
fn finish(mut pair: Pair<'_>, writer: Writer, readers: Readers) {
    let active = pair.warm();
    let bytes = writer.finish();
    for place in [1 - active, active] {
        assert_eq!(pair.nodes[place].stop(), 0, "{}", pair.nodes[place].log());
    }
    pair.project.once("a");
    pair.reader.poll();
    let read = readers.finish();
    let records = &pair.reader.records;
    journal::assert_whole(records);
    let undisturbed = Project::new(&settings(""));
    undisturbed.feed(bytes);
    undisturbed.once("a");
    journal::assert_same_decisions(records, &journal::read(&undisturbed.output));
    println!(
        "pair: {} records, {} cycles, {} epochs, {} replaced by a busy machine, read {read:?}",
        records.len(),
        pair.reader.cycles(),
        records.last().unwrap().record.epoch,
        pair.replaced
    );
}
