//! Two or three nodes, one stream, a lease that may be granted to anybody at any moment, and a journal whose answers may be lost, late
//! or repeated.
//!
//! What a node may do is decided by hb's own `hb_core::lease`; the journal, the network, the outbox and what a node knows are modelled.
//! The lease here is as bad as can be: every stand-by node may be granted it at any moment, also while another one works. A node may be
//! paused between any two steps, since nothing makes it take its next one; it may crash, and start again from the journal.
//!
//! | promise | here |
//! |---|---|
//! | J1, J3 | what was acknowledged stands at its number, and is never another |
//! | J2, J5 | what a node knows is a beginning of the journal: it took nothing for done that was not, nor the reverse |
//! | H1 | each epoch is opened once, each larger than the one before; every record is of the newest epoch and of whoever opened it |
//! | W1 | cycles are decided in order, each once |
//! | W6 | nothing is told before its record stands; what is recorded and not told is told by whoever works |

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};

use hb_core::lease::{Lease, LeaseEvent};
use hb_core::time::Moment;

use super::search::Model;

/// The lease lies here, so until when it is good says nothing.
const UNTIL: Moment = Moment(u64::MAX);

/// The protocol as it is, and ways in which it could be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Variant {
    /// As it is.
    Sound,
    /// Whoever is granted the lease works at once, opens no epoch, and goes on after the newest record when it is refused.
    NoEpochCheck,
    /// Taking over opens the epoch that it found, not the next.
    EpochReused,
    /// An append replaces what stands at its number.
    BlindPut,
    /// An alert leaves when its cycle is decided, not when the record is durable.
    EffectBeforeRecord,
    /// An append without an answer counts as done.
    UnknownIsDone,
    /// An append without an answer counts as not done: the node reads to the end and decides the cycle again.
    UnknownIsDecidedAnew,
    /// Whoever takes over forgets what was recorded and not told.
    LostOutbox,
    /// A node that met a higher epoch reads on and goes on in its own.
    FencedGoesOn,
}

/// How large a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Nodes.
    pub nodes: u8,
    /// Cycles to decide.
    pub cycles: u8,
    /// How often the lease is granted.
    pub grants: u8,
    /// How often a node crashes.
    pub crashes: u8,
}

/// The protocol in a world of that size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protocol {
    /// Sound, or how not.
    pub variant: Variant,
    /// The world.
    pub size: Size,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Body {
    Opened,
    Cycle(u8),
    Told(u8),
    Closed,
}

impl Body {
    fn words(self) -> String {
        match self {
            Self::Opened => "the epoch is opened".to_owned(),
            Self::Cycle(cycle) => format!("cycle {cycle} is decided"),
            Self::Told(cycle) => format!("the alert of cycle {cycle} was told"),
            Self::Closed => "the epoch is closed".to_owned(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Rec {
    node: u8,
    epoch: u8,
    /// Tells one attempt to reign from another: bytes of records are never the same by chance.
    attempt: u8,
    body: Body,
}

/// What records add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Fold {
    head: usize,
    epoch: u8,
    cycles: u8,
    /// Cycles whose alert is recorded and not told, a bit each.
    untold: u8,
}

impl Fold {
    fn push(&mut self, rec: &Rec) {
        self.head += 1;
        self.epoch = self.epoch.max(rec.epoch);
        match rec.body {
            Body::Cycle(cycle) => {
                self.cycles = self.cycles.max(cycle + 1);
                self.untold |= 1 << cycle;
            }
            Body::Told(cycle) => self.untold &= !(1 << cycle),
            Body::Opened | Body::Closed => {}
        }
    }

    fn of(records: &[Rec]) -> Self {
        let mut fold = Self::default();
        records.iter().for_each(|rec| fold.push(rec));
        fold
    }
}

/// What became of the append that a node waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Way {
    Idle,
    /// Asked; with the answer on its way once there is one.
    Asked(usize, Rec, Option<Answer>),
    /// No answer came.
    Unknown(usize, Rec),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Answer {
    Committed,
    Refused,
}

/// hb's own lease, by its place in the transition table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place(Lease);

impl Hash for Place {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(&self.0).hash(state);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Process {
    Up,
    Down,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Node {
    process: Process,
    place: Place,
    fold: Fold,
    reign: u8,
    attempt: u8,
    way: Way,
    /// Alerts set free and not told yet, a bit each.
    tell: u8,
}

impl Node {
    fn fresh(process: Process) -> Self {
        Self {
            process,
            place: Place(Lease::Standby),
            fold: Fold::default(),
            reign: 0,
            attempt: 0,
            way: Way::Idle,
            tell: 0,
        }
    }
}

/// Everything at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    journal: Vec<Rec>,
    /// Requests on the network: each may arrive at any moment, more than once, or never.
    flying: BTreeSet<(usize, Rec)>,
    nodes: Vec<Node>,
    grants: u8,
    crashes: u8,
    /// A promise that was broken by the step that led here.
    broken: Option<&'static str>,
}

impl World {
    fn node(&mut self, at: usize, change: impl FnOnce(&mut Node)) {
        if let Some(node) = self.nodes.get_mut(at) {
            change(node);
        }
    }

    fn turn(&mut self, at: usize, event: LeaseEvent) {
        let next = self.nodes.get(at).and_then(|node| node.place.0.on(event));
        match next {
            Some(next) => self.node(at, |node| node.place = Place(next)),
            None => self.broken = Some("H1: the lease met an event that is impossible where it stands"),
        }
    }

    /// Sends an append of what follows what the node knows.
    fn ask(&mut self, at: usize, body: Body) {
        let Some(node) = self.nodes.get(at) else { return };
        let rec = Rec { node: name(at), epoch: node.reign, attempt: node.attempt, body };
        let seq = node.fold.head;
        self.flying.insert((seq, rec));
        self.node(at, |node| node.way = Way::Asked(seq, rec, None));
    }

    fn stand_by(&mut self, at: usize) {
        self.node(at, |node| (node.way, node.tell) = (Way::Idle, 0));
    }

    /// An alert reaches the world.
    fn tell(&mut self, cycle: u8) {
        if !self.journal.iter().any(|rec| rec.body == Body::Cycle(cycle)) {
            self.broken = Some("W6: an alert left before its cycle's record stood");
        }
    }
}

fn name(at: usize) -> u8 {
    u8::try_from(at).unwrap_or(u8::MAX)
}

/// Takes a step, in words and as a change of the world.
type Offer<'a> = dyn FnMut(&str, &dyn Fn(&mut World)) + 'a;

impl Protocol {
    /// A request arrives at the journal.
    fn land(&self, world: &mut World, (seq, rec): (usize, Rec)) {
        let answer = match world.journal.get_mut(seq) {
            None => {
                world.journal.push(rec);
                Answer::Committed
            }
            Some(there) if *there == rec => Answer::Committed,
            Some(there) if self.variant == Variant::BlindPut => {
                *there = rec;
                world.broken = Some("J1: a number that was taken got another content");
                Answer::Committed
            }
            Some(_) => Answer::Refused,
        };
        world.node(rec.node.into(), |node| {
            if node.way == Way::Asked(seq, rec, None) {
                node.way = Way::Asked(seq, rec, Some(answer));
            }
        });
    }

    /// A node learns that its append is done.
    fn committed(&self, world: &mut World, at: usize, (seq, rec): (usize, Rec)) {
        if world.journal.get(seq) != Some(&rec) {
            world.broken = Some("J3: an append counts as done that is not in the journal");
        }
        let early = self.variant == Variant::EffectBeforeRecord;
        world.node(at, |node| {
            node.way = Way::Idle;
            node.fold.push(&rec);
            if let Body::Cycle(cycle) = rec.body
                && !early
            {
                node.tell |= 1 << cycle;
            }
        });
        match rec.body {
            Body::Opened => {
                world.turn(at, LeaseEvent::Opened);
                let forgets = self.variant == Variant::LostOutbox;
                world.node(at, |node| node.tell = if forgets { 0 } else { node.fold.untold });
            }
            Body::Closed => {
                world.turn(at, LeaseEvent::Released);
                world.stand_by(at);
            }
            Body::Cycle(_) | Body::Told(_) => {}
        }
    }

    /// A node learns that another record stands at its number.
    fn refused(&self, world: &mut World, at: usize) {
        let goes_on = matches!(self.variant, Variant::FencedGoesOn | Variant::NoEpochCheck);
        let place = world.nodes.get(at).map_or(Lease::Standby, |node| node.place.0);
        match place {
            Lease::Opening { .. } | Lease::HandingOver { .. } => {
                world.turn(at, LeaseEvent::Overtaken);
                world.stand_by(at);
            }
            Lease::Held { .. } if goes_on => {
                let fold = Fold::of(&world.journal);
                world.node(at, |node| (node.way, node.fold, node.tell) = (Way::Idle, fold, fold.untold));
            }
            Lease::Held { .. } | Lease::Draining { .. } | Lease::Standby | Lease::Fenced => {
                world.turn(at, LeaseEvent::Fenced);
                world.stand_by(at);
            }
        }
    }

    fn granted(&self, world: &mut World, at: usize) {
        world.grants -= 1;
        world.turn(at, LeaseEvent::Granted { until: UNTIL });
        let by = u8::from(self.variant != Variant::EpochReused);
        let attempt = world.grants;
        world.node(at, |node| (node.reign, node.attempt) = (node.fold.epoch + by, attempt));
        if self.variant == Variant::NoEpochCheck {
            world.turn(at, LeaseEvent::Opened);
            world.node(at, |node| node.tell = node.fold.untold);
        } else {
            world.ask(at, Body::Opened);
        }
    }

    /// The append without an answer is looked at before anything else (J5).
    fn unknown(&self, world: &mut World, at: usize, (seq, rec): (usize, Rec)) {
        if self.variant == Variant::UnknownIsDone {
            return self.committed(world, at, (seq, rec));
        }
        if self.variant == Variant::UnknownIsDecidedAnew {
            let (fold, cycles) = (Fold::of(&world.journal), world.nodes.get(at).map_or(0, |node| node.fold.cycles));
            return world.node(at, |node| (node.way, node.fold) = (Way::Idle, Fold { cycles, ..fold }));
        }
        match world.journal.get(seq) {
            Some(there) if *there == rec => self.committed(world, at, (seq, rec)),
            Some(_) => self.refused(world, at),
            None => {
                world.flying.insert((seq, rec));
                world.node(at, |node| node.way = Way::Asked(seq, rec, None));
            }
        }
    }

    /// What a node that is up can do next.
    fn of_node(&self, world: &World, at: usize, node: &Node, out: &mut Vec<(String, World)>) {
        let mut step = |what: &str, change: &dyn Fn(&mut World)| {
            let mut next = world.clone();
            change(&mut next);
            out.push((format!("{} {what}", letter(at)), next));
        };
        match node.way {
            Way::Asked(seq, rec, answer) => {
                match answer {
                    Some(Answer::Committed) => step("hears: done", &|next| self.committed(next, at, (seq, rec))),
                    Some(Answer::Refused) => step("hears: refused", &|next| self.refused(next, at)),
                    None => {}
                }
                step("hears nothing", &|next| next.node(at, |node| node.way = Way::Unknown(seq, rec)));
            }
            Way::Unknown(seq, rec) => {
                step("reads back", &|next| self.unknown(next, at, (seq, rec)));
            }
            Way::Idle => self.of_idle(world, at, node, &mut step),
        }
        if matches!(node.place.0, Lease::Opening { .. } | Lease::Held { .. }) {
            step("finds its lease lapsed", &|next| {
                next.turn(at, LeaseEvent::Lapsed);
                next.stand_by(at);
            });
        }
        if world.crashes > 0 {
            step("crashes", &|next| {
                next.crashes -= 1;
                next.node(at, |node| *node = Node::fresh(Process::Down));
            });
        }
    }

    fn decides(&self, world: &mut World, at: usize, cycle: u8) {
        if self.variant == Variant::EffectBeforeRecord {
            world.tell(cycle);
        }
        world.ask(at, Body::Cycle(cycle));
    }

    fn of_idle(&self, world: &World, at: usize, node: &Node, step: &mut Offer<'_>) {
        match node.place.0 {
            Lease::Standby => {
                if node.fold.head < world.journal.len() {
                    let fold = Fold::of(&world.journal);
                    step("reads to the head", &|next| next.node(at, |node| node.fold = fold));
                }
                if world.grants > 0 {
                    step("is granted the lease", &|next| self.granted(next, at));
                }
            }
            Lease::Held { .. } => {
                for cycle in (0..self.size.cycles).filter(|cycle| node.tell & (1 << cycle) != 0) {
                    step(&format!("tells the alert of cycle {cycle}"), &|next| {
                        next.tell(cycle);
                        next.node(at, |node| node.tell &= !(1 << cycle));
                        next.ask(at, Body::Told(cycle));
                    });
                }
                if node.fold.cycles < self.size.cycles {
                    let cycle = node.fold.cycles;
                    step(&format!("decides cycle {cycle}"), &|next| self.decides(next, at, cycle));
                }
                if world.grants > 0 {
                    step("hands over", &|next| {
                        next.turn(at, LeaseEvent::HandOver);
                        next.ask(at, Body::Closed);
                    });
                }
            }
            Lease::Fenced => step("ends with 75 and is started again", &|next| {
                next.node(at, |node| *node = Node::fresh(Process::Up));
            }),
            Lease::Opening { .. } | Lease::Draining { .. } | Lease::HandingOver { .. } => {}
        }
    }
}

fn letter(at: usize) -> char {
    char::from(b'A'.saturating_add(name(at)))
}

impl Model for Protocol {
    type State = World;

    fn begin(&self) -> World {
        let Size { nodes, grants, crashes, .. } = self.size;
        let nodes = (0..nodes).map(|_| Node::fresh(Process::Up)).collect();
        World { journal: Vec::new(), flying: BTreeSet::new(), nodes, grants, crashes, broken: None }
    }

    fn steps(&self, world: &World, out: &mut Vec<(String, World)>) {
        for (seq, rec) in &world.flying {
            let mut next = world.clone();
            self.land(&mut next, (*seq, *rec));
            if next != *world {
                let (who, epoch, what) = (letter(rec.node.into()), rec.epoch, rec.body.words());
                out.push((format!("the journal gets {who}'s record {seq} in epoch {epoch}: {what}"), next));
            }
        }
        for (at, node) in world.nodes.iter().enumerate() {
            match node.process {
                Process::Up => self.of_node(world, at, node, out),
                Process::Down => {
                    let mut next = world.clone();
                    next.node(at, |node| node.process = Process::Up);
                    out.push((format!("{} is started again", letter(at)), next));
                }
            }
        }
    }

    fn check(&self, world: &World) -> Result<(), String> {
        if let Some(broken) = world.broken {
            return Err(broken.to_owned());
        }
        one_writer(&world.journal)?;
        for (at, node) in world.nodes.iter().enumerate() {
            let Some(known) = world.journal.get(..node.fold.head) else {
                return Err(format!("J3: {} knows {} records, the journal has fewer", letter(at), node.fold.head));
            };
            if Fold::of(known) != node.fold {
                return Err(format!("J5: what {} knows is not what the journal says", letter(at)));
            }
            let works = matches!(node.place.0, Lease::Held { .. }) && node.way == Way::Idle;
            if works && node.fold.untold & !node.tell != 0 {
                return Err(format!("W6: an alert is recorded, {} works, and nobody will ever tell it", letter(at)));
            }
        }
        Ok(())
    }
}

/// Epochs grow, each has one writer, cycles are in order (H1, W1).
fn one_writer(journal: &[Rec]) -> Result<(), String> {
    let (mut epoch, mut writer, mut cycles) = (0, None, 0);
    for (seq, rec) in journal.iter().enumerate() {
        match rec.body {
            Body::Opened if rec.epoch <= epoch => {
                return Err(format!("H1: record {seq} opens epoch {} after epoch {epoch}", rec.epoch));
            }
            Body::Opened => (epoch, writer) = (rec.epoch, Some(rec.node)),
            Body::Cycle(_) | Body::Told(_) | Body::Closed => {}
        }
        if (rec.epoch, Some(rec.node)) != (epoch, writer) {
            let who = letter(rec.node.into());
            return Err(format!(
                "H1: record {seq} is by {who} in epoch {}, although epoch {epoch} was opened",
                rec.epoch
            ));
        }
        if let Body::Cycle(cycle) = rec.body {
            if cycle != cycles {
                return Err(format!("W1: record {seq} decides cycle {cycle}, due was {cycles}"));
            }
            cycles += 1;
        }
    }
    Ok(())
}
