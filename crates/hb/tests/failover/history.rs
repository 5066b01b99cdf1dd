//! What must hold of what nodes did, whatever happened to them: judged from the journal, from what readers saw of it meanwhile, and from
//! what a webhook was told.
//!
//! The laws look at plain data, so that they can be shown to notice what breaks them: see the module `laws`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use hb_core::node::fact::{Body, Sealed};

/// A record, as far as the laws look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fact {
    pub(crate) seq: u64,
    pub(crate) epoch: u64,
    pub(crate) node: String,
    pub(crate) prev: String,
    pub(crate) hash: String,
    /// Nanoseconds since 1970.
    pub(crate) at: i64,
    pub(crate) what: What,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    Opened,
    Closed,
    /// A cycle, its span in nanoseconds, and the key of its alert where it makes one.
    Decided {
        cycle: u64,
        span: (i64, i64),
        alert: Option<String>,
    },
    /// An alert arrived, or was given up.
    Settled {
        cycle: u64,
    },
    Other,
}

/// What a webhook was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) key: String,
    pub(crate) at: i64,
    /// The whole document.
    pub(crate) said: String,
}

/// All that is known of a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    /// What stands at the end, by number.
    pub(crate) facts: Vec<Fact>,
    /// Hash of each record that somebody has read while it went on.
    pub(crate) seen: BTreeMap<u64, String>,
    pub(crate) heard: Vec<Heard>,
    /// When something happened by which the answer to an alert could be lost, in order: whoever does not know that it was told tells it again.
    pub(crate) disturbed: Vec<i64>,
    /// How far wall clocks of nodes may be off, in nanoseconds, where they are compared with the test's.
    pub(crate) slack: i64,
}

/// How long before a first telling that was answered in vain its reason may have begun, in nanoseconds: longer than anybody waits for an answer.
const REASON: i64 = 30_000_000_000;

/// A law that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Breach {
    pub(crate) law: &'static str,
    pub(crate) what: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.law, self.what)
    }
}

impl From<&Sealed> for Fact {
    fn from(sealed: &Sealed) -> Self {
        let record = &sealed.record;
        let what = match &record.body {
            Body::EpochOpened { .. } => What::Opened,
            Body::EpochClosed { .. } => What::Closed,
            Body::CycleDecided(decided) => What::Decided {
                cycle: decided.decision.cycle.0,
                span: (decided.decision.span.start.0, decided.decision.span.end.0),
                alert: decided.alert.as_ref().map(|alert| alert.key.clone()),
            },
            Body::AlertDelivered(settled) => What::Settled { cycle: settled.cycle.0 },
            Body::BaselineAdopted(_) | Body::BaselineEvent(_) => What::Other,
        };
        Self {
            seq: record.seq.0,
            epoch: record.epoch.0,
            node: record.node.to_string(),
            prev: record.prev.to_string(),
            hash: sealed.hash.to_string(),
            at: record.at.0,
            what,
        }
    }
}

impl History {
    /// Every law that does not hold, in the order of the records.
    pub(crate) fn breaches(&self) -> Vec<Breach> {
        let mut breaches = Breaches::default();
        self.numbers(&mut breaches);
        self.reigns(&mut breaches);
        self.cycles(&mut breaches);
        self.alerts(&mut breaches);
        self.repetitions(&mut breaches);
        breaches.0
    }

    /// Numbers without gaps, one content each, each after the one before (J1, J4); what was read once stands (J1, J3).
    fn numbers(&self, breaches: &mut Breaches) {
        let mut before: Option<&Fact> = None;
        for (number, fact) in (0_u64..).zip(&self.facts) {
            if fact.seq != number {
                breaches.add("J1", format!("record {} stands where {number} should", fact.seq));
                break;
            }
            if before.is_some_and(|before| before.hash != fact.prev) {
                breaches.add("J4", format!("record {} does not follow the one before it", fact.seq));
            }
            before = Some(fact);
        }
        let standing: BTreeMap<u64, &str> = self.facts.iter().map(|fact| (fact.seq, fact.hash.as_str())).collect();
        for (seq, hash) in &self.seen {
            match standing.get(seq) {
                Some(now) if now == hash => {}
                Some(_) => breaches.add("J1", format!("record {seq} is not what it was when it was read")),
                None => breaches.add("J3", format!("record {seq} was read, and is gone")),
            }
        }
    }

    /// Epochs never fall, each is of one node, begins with its opening (H1, H3), and nothing of it comes after its end (H1).
    fn reigns(&self, breaches: &mut Breaches) {
        let mut newest = 0;
        let mut owners: BTreeMap<u64, &str> = BTreeMap::new();
        let mut closed: BTreeSet<u64> = BTreeSet::new();
        for Fact { seq, epoch, node, what, .. } in &self.facts {
            if *epoch < newest {
                breaches
                    .add("H1", format!("record {seq}: {node} wrote in epoch {epoch} after {newest} had been opened"));
            }
            newest = newest.max(*epoch);
            match owners.get(epoch) {
                Some(owner) if owner != node => {
                    breaches.add("H1", format!("record {seq}: {node} wrote in epoch {epoch}, which is {owner}'s"));
                }
                Some(_) => {}
                None if *what != What::Opened => {
                    breaches.add("H3", format!("record {seq} is the first of epoch {epoch} and does not open it"));
                }
                None => {}
            }
            owners.entry(*epoch).or_insert(node);
            if closed.contains(epoch) {
                breaches.add("H1", format!("record {seq} comes after epoch {epoch} was closed"));
            }
            if *what == What::Closed {
                closed.insert(*epoch);
            }
        }
    }

    /// Each cycle once, in order (W1), without a gap in time (W3).
    fn cycles(&self, breaches: &mut Breaches) {
        let (mut next, mut end) = (0, None);
        for fact in &self.facts {
            let What::Decided { cycle, span, .. } = &fact.what else { continue };
            if *cycle != next {
                breaches.add("W1", format!("record {} decides cycle {cycle}, {next} was due", fact.seq));
            }
            if end.is_some_and(|end| end != span.0) {
                breaches.add("W3", format!("time is missing or doubled before cycle {cycle}"));
            }
            (next, end) = (cycle + 1, Some(span.1));
        }
    }

    /// An alert is told again only for a reason: a new reign, which cannot know, or something by which the answer could be lost (W6).
    fn repetitions(&self, breaches: &mut Breaches) {
        let mut told: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
        for heard in &self.heard {
            told.entry(&heard.key).or_default().push(heard.at);
        }
        let opened = |made: u64, last: i64| {
            let later = self.facts.iter().filter(move |fact| fact.seq > made && fact.at - self.slack <= last);
            later.filter(|fact| fact.what == What::Opened).count()
        };
        for fact in &self.facts {
            let What::Decided { alert: Some(key), .. } = &fact.what else { continue };
            let Some(times) = told.get(key.as_str()) else { continue };
            let (first, last) = (times[0], times[times.len() - 1]);
            let lost = self.disturbed.iter().filter(|at| (first - REASON..=last).contains(*at)).count();
            let reasons = opened(fact.seq, last) + lost;
            if times.len() > 1 + reasons {
                breaches
                    .add("W6", format!("{key} was told {} times, with {reasons} reasons to do so again", times.len()));
            }
        }
    }

    /// Nothing is told that is not recorded before; every alert is told; however often, it says the same (W6).
    fn alerts(&self, breaches: &mut Breaches) {
        let mut made: BTreeMap<&str, (&Fact, u64)> = BTreeMap::new();
        for fact in &self.facts {
            match &fact.what {
                What::Decided { cycle, alert: Some(key), .. } if made.insert(key, (fact, *cycle)).is_some() => {
                    breaches.add("W6", format!("the key {key} belongs to two alerts"));
                }
                What::Settled { cycle } if !made.values().any(|(_, alerted)| alerted == cycle) => {
                    breaches.add("W6", format!("record {}: cycle {cycle} made no alert that could arrive", fact.seq));
                }
                What::Opened | What::Closed | What::Decided { .. } | What::Settled { .. } | What::Other => {}
            }
        }
        let mut told: BTreeMap<&str, &str> = BTreeMap::new();
        for heard in &self.heard {
            match made.get(heard.key.as_str()) {
                None => breaches.add("W6", format!("{} was told and is not recorded", heard.key)),
                Some((fact, _)) if heard.at + self.slack < fact.at => {
                    breaches.add("W6", format!("{} was told before record {} was made", heard.key, fact.seq));
                }
                Some(_) => {}
            }
            if told.insert(&heard.key, &heard.said).is_some_and(|before| before != heard.said) {
                breaches.add("W6", format!("{} was told twice and said two things", heard.key));
            }
        }
        for key in made.keys().filter(|key| !told.contains_key(*key)) {
            breaches.add("W6", format!("{key} was never told"));
        }
    }
}

/// Most breaches that are named.
const NAMED: usize = 50;

#[derive(Default)]
struct Breaches(Vec<Breach>);

impl Breaches {
    fn add(&mut self, law: &'static str, what: String) {
        if self.0.len() < NAMED {
            self.0.push(Breach { law, what });
        }
    }
}
