//! What a seed makes of a world: how many nodes, how long, how fast, and what goes wrong.

use hb_core::time::SECOND_NS;
use hb_core::watch::settings::{AlertOn, WatchSettings};
use hb_daemon::{Bounds, OnLost};

use crate::chance::{Chance, mixed};
use crate::fault::{Fault, Mix};
use crate::kernel::SECOND;
use crate::planted::Planted;

/// How the lease's store tells of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Engine {
    /// It tells; else it is asked.
    pub tells: bool,
    /// It notices when the process has gone that attends to a cell.
    pub notices: bool,
}

/// A world to be run.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Decides everything.
    pub seed: u64,
    /// How many nodes share the watches.
    pub nodes: usize,
    /// How many watches they have.
    pub watches: usize,
    /// Length of a cycle, in nanoseconds.
    pub interval: u64,
    /// How late samples may be, in nanoseconds.
    pub lateness: u64,
    /// How far apart samples are, in nanoseconds.
    pub sample_every: u64,
    /// For how long things go wrong, in nanoseconds.
    pub rough: u64,
    /// For how long nothing does afterwards, in nanoseconds.
    pub calm: u64,
    /// What goes wrong.
    pub mix: Mix,
    /// Rhythms of the nodes.
    pub bounds: Bounds,
    /// The lease's store.
    pub engine: Engine,
    /// A fault of hb that is put in to see whether it is found.
    pub planted: Option<Planted>,
}

fn seconds(seconds: u64) -> std::time::Duration {
    std::time::Duration::from_secs(seconds)
}

impl Plan {
    /// The short world of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let mut chance = Chance::new(mixed(seed ^ 0x0070_6c61_6e00));
        let ttl = chance.one_of([4, 8, 12, 20]);
        let interval = chance.one_of([10, 15, 20, 30]);
        let nodes = chance.one_of([2, 3, 3, 3]);
        let bounds = Bounds {
            lease_ttl: seconds(ttl),
            on_lost: if chance.hits(500_000) { OnLost::Keep } else { OnLost::Yield },
            follow_every: std::time::Duration::from_millis(chance.one_of([500, 1_000, 2_000])),
            source_rest: std::time::Duration::from_millis(chance.one_of([0, 500, 2_000])),
            journal_records: chance.one_of([500, 10_000]),
            ..Bounds::default()
        };
        let quick = chance.hits(80_000);
        let engine = Engine { tells: chance.hits(600_000), notices: chance.hits(500_000) };
        let plan = Self {
            seed,
            nodes,
            watches: 1 + chance.index(2),
            interval: interval * SECOND,
            lateness: chance.one_of([0, 0, 2, 5]) * SECOND,
            sample_every: chance.one_of([1, 2, 3]) * SECOND,
            rough: chance.between(60, 240) * SECOND,
            calm: (40 + 5 * ttl + 3 * interval) * SECOND,
            mix: Mix::drawn(&mut chance),
            bounds,
            engine,
            planted: None,
        };
        if quick { plan.with_many_cycles() } else { plan }
    }

    /// The same with cycles so short that journals grow beyond their bound.
    fn with_many_cycles(self) -> Self {
        let bounds = Bounds { journal_records: 500, source_rest: std::time::Duration::ZERO, ..self.bounds };
        let rough = 500 * SECOND;
        Self { interval: SECOND, sample_every: SECOND / 4, lateness: 0, watches: 1, rough, bounds, ..self }
    }

    /// The long world of three nodes by which speed is measured: rhythms as in production, and everything goes wrong now and then.
    #[must_use]
    pub fn long(seed: u64, hours: u64) -> Self {
        let plan = Self::of(seed);
        let faults =
            [Fault::Kill, Fault::Stop, Fault::CutJournal, Fault::CutLease, Fault::Switchover, Fault::ClockJump];
        let mix = faults.iter().fold(Mix::CALM, |mix, fault| mix.with(*fault, 900_000));
        let mix = [Fault::AnswerLost, Fault::RequestLost, Fault::EffectTwice]
            .iter()
            .fold(mix, |mix, fault| mix.with(*fault, 100));
        let bounds = Bounds {
            lease_ttl: seconds(30),
            on_lost: OnLost::Keep,
            follow_every: seconds(5),
            source_rest: seconds(5),
            journal_records: 500,
            ..Bounds::default()
        };
        Self {
            nodes: 3,
            watches: 1,
            interval: 60 * SECOND,
            lateness: 0,
            sample_every: 15 * SECOND,
            rough: hours * 3_600 * SECOND,
            calm: 400 * SECOND,
            mix,
            bounds,
            engine: Engine { tells: true, notices: false },
            ..plan
        }
    }

    /// The settings of a watch; `limits` counts how often they were changed since.
    #[must_use]
    pub fn settings(&self, watch: usize, limits: u64) -> WatchSettings {
        let ns = |nanoseconds: u64| i64::try_from(nanoseconds).unwrap_or(i64::MAX);
        let mut settings = WatchSettings::named(&format!("w{watch}"), ns(self.interval));
        settings.lateness_ns = ns(self.lateness);
        settings.future_ns = 10 * SECOND_NS;
        settings.silence_grace_ns = 5 * SECOND_NS;
        settings.learn.cycles = 3;
        settings.learn.samples_min = 4;
        settings.alert.on = if watch == 0 { AlertOn::Every } else { AlertOn::Transitions };
        settings.alert.sinks = vec!["pager".into()];
        settings.drift.effect_percent = 5.0 + f64::from(u32::try_from(limits % 7).unwrap_or(0));
        settings
    }

    /// When everything ends, in nanoseconds since the world began.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.rough.saturating_add(self.calm)
    }

    /// The plan in one line.
    #[must_use]
    pub fn line(&self) -> String {
        let faults: Vec<&str> = self.mix.on().map(Fault::word).collect();
        let planted = self.planted.map(|planted| format!(", planted {}", planted.word())).unwrap_or_default();
        format!(
            "{} nodes, {} watches, cycles of {} s, ttl {} s, {:?}, {:?}, rough {} s, faults: {}{planted}",
            self.nodes,
            self.watches,
            self.interval / SECOND,
            self.bounds.lease_ttl.as_secs(),
            self.bounds.on_lost,
            self.engine,
            self.rough / SECOND,
            if faults.is_empty() { "none".to_owned() } else { faults.join(" ") }
        )
    }
}
