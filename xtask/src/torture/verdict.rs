//! What came of all rounds, for people and for programs.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Instant;

use super::Bench;
use super::rounds::{Round, Told};

/// Lines of a timeline that are shown with a violation.
const SHOWN: usize = 60;

/// What was tried of a pair.
#[derive(Debug, Default)]
struct Tally {
    rounds: usize,
    kinds: BTreeMap<String, usize>,
    /// In milliseconds.
    takeovers: Vec<u64>,
    cycles: u64,
    records: u64,
    epochs: u64,
    alerts: u64,
    violations: usize,
    /// Rounds that the machine gave too little time.
    starved: usize,
}

/// Everything that is known so far.
pub(crate) struct Verdict {
    seed: u64,
    began: Instant,
    pairs: BTreeMap<String, Tally>,
    violations: Vec<Violation>,
}

struct Violation {
    pair: String,
    what: String,
    seed: u64,
    command: String,
    folder: String,
}

impl Tally {
    fn faults(&self) -> usize {
        self.kinds.values().sum()
    }

    /// Median and largest, in milliseconds.
    fn spread(&self) -> Option<(u64, u64)> {
        let mut all = self.takeovers.clone();
        all.sort_unstable();
        Some((*all.get(all.len() / 2)?, *all.last()?))
    }
}

impl Verdict {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, began: Instant::now(), pairs: BTreeMap::new(), violations: Vec::new() }
    }

    /// Takes what rounds have told.
    pub(crate) fn add(&mut self, told: Vec<(String, Told)>) {
        for (pair, one) in told {
            let tally = self.pairs.entry(pair).or_default();
            match one {
                Told::Fault { kind, took } => {
                    *tally.kinds.entry(kind).or_default() += 1;
                    tally.takeovers.extend(took);
                }
                Told::Done([cycles, records, epochs, alerts]) => {
                    tally.cycles += cycles;
                    tally.records += records;
                    tally.epochs += epochs;
                    tally.alerts += alerts;
                }
                // It is counted when the round has ended.
                Told::Violation(_) => {}
            }
        }
    }

    /// A round has ended. What is whole is taken away; what is not is kept, and told at once.
    pub(crate) fn close(&mut self, round: &Round, bench: &Bench) {
        let tally = self.pairs.entry(round.plan.pair.clone()).or_default();
        tally.rounds += 1;
        if round.was_starved() {
            tally.starved += 1;
            drop(std::fs::remove_dir_all(&round.folder));
            return;
        }
        let Some(what) = round.fault() else {
            // What cannot be taken away now goes with the whole folder.
            drop(std::fs::remove_dir_all(&round.folder));
            return;
        };
        tally.violations += 1;
        // That this fails shows in the folder's being gone.
        drop(std::fs::write(bench.folder.join("keep"), ""));
        let violation = Violation {
            pair: round.plan.pair.clone(),
            what,
            seed: round.plan.seed,
            command: round.plan.command(),
            folder: round.folder.display().to_string(),
        };
        eprintln!("\n{}\n{violation}", round.timeline(SHOWN));
        self.violations.push(violation);
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }

    /// Where it stands, in one line.
    pub(crate) fn line(&self, under_way: usize) -> String {
        let sum = |figure: fn(&Tally) -> usize| self.pairs.values().map(figure).sum::<usize>();
        let each: Vec<String> = self.pairs.iter().map(|(pair, tally)| format!("{pair} {}", tally.faults())).collect();
        format!(
            "{:>5} s: {} faults ({}), {} takeovers, {} records judged, {} violations; {under_way} rounds under way",
            self.began.elapsed().as_secs(),
            sum(Tally::faults),
            each.join(", "),
            sum(|tally| tally.takeovers.len()),
            self.pairs.values().map(|tally| tally.records).sum::<u64>(),
            self.violations.len(),
        )
    }

    /// What the chore ends with.
    ///
    /// # Errors
    /// A promise does not hold.
    pub(crate) fn end(&self) -> Result<(), String> {
        let starved: usize = self.pairs.values().map(|tally| tally.starved).sum();
        match (self.violations.len(), starved) {
            (0, 0) => Ok(()),
            (0, _) => Err(format!("{starved} rounds came to no judgement: the machine is too busy")),
            (violations, _) => Err(format!("{violations} violations")),
        }
    }

    /// All of it as a document.
    pub(crate) fn json(&self) -> String {
        let pairs: Vec<String> = self.pairs.iter().map(|(pair, tally)| document(pair, tally)).collect();
        let violations: Vec<String> = self.violations.iter().map(Violation::json).collect();
        format!(
            "{{\"seed\":{},\"seconds\":{},\"pairs\":[{}],\"violations\":[{}]}}",
            self.seed,
            self.began.elapsed().as_secs(),
            pairs.join(","),
            violations.join(",")
        )
    }
}

fn document(pair: &str, tally: &Tally) -> String {
    let kinds: Vec<String> = tally.kinds.iter().map(|(kind, count)| format!("{}:{count}", quoted(kind))).collect();
    let Tally { rounds, cycles, records, epochs, alerts, violations, .. } = tally;
    let (median, max) = tally.spread().unwrap_or_default();
    format!(
        "{{\"pair\":{},\"rounds\":{rounds},\"faults\":{},\"kinds\":{{{}}},\"takeovers\":{},\"takeover_ms\":{{\"median\":{median},\
         \"max\":{max}}},\"cycles\":{cycles},\"records\":{records},\"epochs\":{epochs},\"alerts\":{alerts},\"starved\":{},\"violations\":{violations}}}",
        quoted(pair),
        tally.faults(),
        kinds.join(","),
        tally.takeovers.len(),
        tally.starved
    )
}

impl Violation {
    fn json(&self) -> String {
        let Self { pair, what, seed, command, folder } = self;
        let [pair, what, command, folder] = [pair, what, command, folder].map(|text| quoted(text));
        format!("{{\"pair\":{pair},\"what\":{what},\"seed\":{seed},\"command\":{command},\"folder\":{folder}}}")
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pair, what, seed, command, folder } = self;
        writeln!(f, "VIOLATION on {pair}, seed {seed}: {what}")?;
        writeln!(f, "  all of it is kept in {folder} (log, timeline, tmp/*/*.log of the nodes, the journal)")?;
        write!(f, "  again, with the same faults at other moments: {command}")
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads = ["pair", "rounds", "faults", "takeovers", "median", "largest", "cycles", "records", "epochs"];
        writeln!(
            f,
            "{:18} {:>6} {:>7} {:>9} {:>8} {:>8} {:>8} {:>8} {:>7} {:>8} {:>10}",
            heads[0],
            heads[1],
            heads[2],
            heads[3],
            heads[4],
            heads[5],
            heads[6],
            heads[7],
            heads[8],
            "alerts",
            "violations"
        )?;
        for (pair, tally) in &self.pairs {
            let Tally { rounds, cycles, records, epochs, alerts, violations, .. } = tally;
            let (median, largest) = tally.spread().map_or(("-".into(), "-".into()), |(median, largest)| {
                (format!("{:.1} s", median as f64 / 1e3), format!("{:.1} s", largest as f64 / 1e3))
            });
            writeln!(
                f,
                "{pair:18} {rounds:>6} {:>7} {:>9} {median:>8} {largest:>8} {cycles:>8} {records:>8} {epochs:>7} {alerts:>8} {violations:>10}",
                tally.faults(),
                tally.takeovers.len()
            )?;
        }
        writeln!(f, "\nfaults by kind:")?;
        for (pair, tally) in &self.pairs {
            let kinds: Vec<String> = tally.kinds.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
            writeln!(f, "  {pair}: {}", kinds.join(", "))?;
        }
        for (pair, tally) in self.pairs.iter().filter(|(_, tally)| tally.starved > 0) {
            writeln!(f, "{pair}: {} rounds came to no judgement, the machine was too busy", tally.starved)?;
        }
        for violation in &self.violations {
            writeln!(f, "\n{violation}")?;
        }
        let faults: usize = self.pairs.values().map(Tally::faults).sum();
        let (violations, seconds) = (self.violations.len(), self.began.elapsed().as_secs());
        writeln!(f, "\nseed {}: {faults} faults in {seconds} s, {violations} violations", self.seed)
    }
}

/// As JSON has text.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            '\n' => out.push_str("\\n"),
            control if control.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::{Told, Verdict, quoted};

    #[test]
    fn what_was_tried_is_added_up() {
        let mut verdict = Verdict::new(7);
        let fault = |took| Told::Fault { kind: "Kill".into(), took };
        let told = [fault(Some(30)), fault(Some(10)), fault(None), Told::Done([5, 9, 2, 1])];
        verdict.add(told.map(|one| ("dir+file".to_owned(), one)).to_vec());
        let document = verdict.json();
        for part in
            ["\"faults\":3", "\"Kill\":3", "\"takeovers\":2", "\"max\":30", "\"records\":9", "\"violations\":[]"]
        {
            assert!(document.contains(part), "{part}: {document}");
        }
        assert!(verdict.to_string().contains("3 faults"));
        assert_eq!(verdict.end(), Ok(()));
    }

    #[test]
    fn text_is_quoted() {
        assert_eq!(quoted("a \"b\"\n\\\u{1}"), r#""a \"b\"\n\\\u0001""#);
    }
}
