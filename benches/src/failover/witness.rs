//! Reads a journal as it grows, from outside of hb, and knows since when each record stands. In the end it tells whether all of it is whole.
//!
//! The telemetry is numbered (`site.rs`), so counts and sums of all cycles show that each reading was counted once.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

/// Where records can be read.
pub(crate) trait Place {
    /// Everything from that number on, in order, with the moment at which it was there, on the clock of `now`.
    ///
    /// # Errors
    /// The place cannot be read.
    fn from(&mut self, seq: u64) -> Result<Vec<(Vec<u8>, f64)>, String>;
}

/// A record.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Since when it stands, on the clock of `now`.
    pub(crate) at: f64,
    /// Who appended it.
    pub(crate) node: String,
    epoch: u64,
    /// What it decides.
    pub(crate) cycle: Option<Cycle>,
}

/// A cycle, as far as it matters here.
#[derive(Debug, Clone)]
pub(crate) struct Cycle {
    number: u64,
    /// When it ended, in seconds of Unix time.
    pub(crate) end: f64,
    readings: f64,
    sum: f64,
}

/// Whether a journal is whole.
#[derive(Debug, Clone, Default)]
pub(crate) struct Whole {
    cycles: u64,
    takeovers: usize,
    /// Takeovers that nobody had asked for and nothing had been done for: the machine was too busy for the TTL.
    pub(crate) needless: usize,
    lost: u64,
    twice: u64,
    fenced: u64,
    /// Readings that are in no cycle, or in two.
    readings_wrong: f64,
}

/// Reads along.
pub(crate) struct Witness {
    place: Box<dyn Place>,
    /// Every record since the beginning.
    pub(crate) seen: Vec<Seen>,
}

impl Witness {
    pub(crate) fn new(place: Box<dyn Place>) -> Self {
        Self { place, seen: Vec::new() }
    }

    /// Reads what is new.
    ///
    /// # Errors
    /// The place cannot be read, or what stands there is no record of that number.
    pub(crate) fn look(&mut self) -> Result<(), String> {
        let next = self.seen.len();
        for (bytes, at) in self.place.from(u64::try_from(next).unwrap_or(u64::MAX))? {
            let seq = u64::try_from(self.seen.len()).unwrap_or(u64::MAX);
            let seen = parse(&bytes, seq, at).ok_or_else(|| format!("record {seq} is none: {}", lossy(&bytes)))?;
            self.seen.push(seen);
        }
        Ok(())
    }

    /// How many cycles stand.
    pub(crate) fn cycles(&self) -> usize {
        self.seen.iter().filter(|seen| seen.cycle.is_some()).count()
    }

    /// Whose epoch the newest record opened or belongs to.
    pub(crate) fn writer(&self) -> Option<&str> {
        self.seen.last().map(|seen| seen.node.as_str())
    }

    /// Looks at everything.
    pub(crate) fn judge(&self) -> Whole {
        let mut whole = Whole::default();
        let mut owners: BTreeMap<u64, &str> = BTreeMap::new();
        let (mut epoch, mut next, mut readings, mut sum) = (0, 0, 0.0, 0.0);
        for seen in &self.seen {
            let owner = *owners.entry(seen.epoch).or_insert(&seen.node);
            whole.fenced += u64::from(seen.epoch < epoch || owner != seen.node);
            epoch = epoch.max(seen.epoch);
            let Some(cycle) = &seen.cycle else { continue };
            whole.cycles += 1;
            whole.twice += u64::from(cycle.number < next);
            whole.lost += cycle.number.saturating_sub(next);
            next = next.max(cycle.number + 1);
            readings += cycle.readings;
            sum += cycle.sum;
        }
        whole.takeovers = owners.len().saturating_sub(1);
        // Readings 0 to N-1, each once: only then both figures agree.
        whole.readings_wrong = (sum - readings * (readings - 1.0) / 2.0).abs();
        whole
    }
}

impl Whole {
    pub(crate) fn figures(&self) -> Value {
        let Self { cycles, takeovers, needless, lost, twice, fenced, readings_wrong } = self;
        json!({
            "cycles": cycles, "takeovers": takeovers, "needless": needless, "lost": lost, "twice": twice,
            "by_fenced": fenced, "readings_wrong": readings_wrong,
        })
    }

    pub(crate) fn told(&self) -> String {
        let Self { cycles, takeovers, needless, lost, twice, fenced, .. } = self;
        format!(
            "{cycles} cycles over {takeovers} takeovers ({needless} needless), {lost} lost, {twice} twice, {fenced} records by a fenced node"
        )
    }

    /// An error where anything was lost, doubled or written by whom it should not.
    pub(crate) fn sound(&self) -> Result<(), String> {
        let bad = self.lost + self.twice + self.fenced > 0 || self.readings_wrong > 0.5 || self.cycles == 0;
        if bad { Err(format!("the journal is not whole: {}", self.figures())) } else { Ok(()) }
    }
}

fn parse(bytes: &[u8], seq: u64, at: f64) -> Option<Seen> {
    let line = bytes.split(|byte| *byte == b'\n').next()?;
    let record: Value = serde_json::from_slice(line).ok()?;
    if record.get("seq")?.as_u64()? != seq {
        return None;
    }
    let body = record.get("body")?;
    let decided = body.get("kind")?.as_str()? == "cycle_decided";
    let cycle = if decided { Some(cycle(body.get("decision")?)?) } else { None };
    Some(Seen { at, node: record.get("node")?.as_str()?.to_owned(), epoch: record.get("epoch")?.as_u64()?, cycle })
}

fn cycle(decision: &Value) -> Option<Cycle> {
    let end: Timestamp = decision.pointer("/span/end")?.as_str()?.parse().ok()?;
    let columns = decision.pointer("/series/columns")?.as_array()?;
    let place = |name: &str| columns.iter().position(|column| column == name);
    let (n, mean) = (place("n")?, place("mean")?);
    let (mut readings, mut sum) = (0.0, 0.0);
    for row in decision.pointer("/series/rows")?.as_array()? {
        let figure = |at: usize| row.get(at).and_then(Value::as_f64);
        readings += figure(n)?;
        // Whole numbers were added up.
        sum += (figure(n)? * figure(mean)?).round();
    }
    let number = decision.get("cycle")?.as_u64()?;
    Some(Cycle { number, end: end.as_duration().as_secs_f64(), readings, sum })
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().take(200).collect()
}
