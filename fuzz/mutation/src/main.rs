//! Mutation testing of hb-core: how many small changes of it does no test see?
//!
//! The mutants are those that cargo-mutants lists. Built one by one, five thousand of them would take days; here all are in one build, and each
//! is switched on by its number while the tests run that reach it. What cannot be had in this way (a mutant in a constant, a type that the
//! compiler refuses) is told by name, and is left to cargo-mutants itself.

mod answered;
mod building;
mod hunting;
mod list;
mod schema;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use hunting::Fate;
use list::Mutant;
use serde_json::json;

const USAGE: &str = "hb-mutation ROOT SCRATCH [--shard K/N] [--sample N] [--match TEXT] [--jobs N] [--test-seconds S] [--json FILE]";

struct Asked {
    root: PathBuf,
    scratch: PathBuf,
    shard: (usize, usize),
    /// So many of them, drawn at random, always the same.
    sample: usize,
    only: Option<String>,
    /// Mutants that are tried at the same time.
    jobs: usize,
    /// Tests that take longer by themselves are left out: what only they see counts as survived.
    test_seconds: f64,
    json: Option<PathBuf>,
}

fn asked() -> Option<Asked> {
    let mut words = std::env::args().skip(1);
    let (root, scratch) = (words.next()?.into(), words.next()?.into());
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let (sample, test_seconds) = (usize::MAX, f64::INFINITY);
    let mut asked = Asked { root, scratch, shard: (0, 1), sample, only: None, jobs, test_seconds, json: None };
    while let Some(word) = words.next() {
        let value = words.next()?;
        match word.as_str() {
            "--shard" => {
                let (k, n) = value.split_once('/')?;
                asked.shard = (k.parse().ok()?, n.parse().ok().filter(|n| *n > 0)?);
            }
            "--sample" => asked.sample = value.parse().ok()?,
            "--jobs" => asked.jobs = value.parse().ok().filter(|jobs| *jobs > 0)?,
            "--test-seconds" => asked.test_seconds = value.parse().ok()?,
            "--match" => asked.only = Some(value),
            "--json" => asked.json = Some(value.into()),
            _ => return None,
        }
    }
    Some(asked)
}

fn main() -> ExitCode {
    let Some(asked) = asked() else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    match run(&asked) {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("{what}");
            ExitCode::FAILURE
        }
    }
}

#[derive(Default)]
struct Tally {
    caught: usize,
    endless: usize,
    survived: Vec<String>,
    unreached: Vec<String>,
    /// On the list of those that nobody can see, with the reason.
    equivalent: BTreeMap<String, &'static str>,
    /// On that list, and caught all the same: the list is wrong.
    wrongly: Vec<String>,
}

impl Tally {
    fn tried(&self) -> usize {
        self.found() + self.survived.len() + self.unreached.len() + self.equivalent.len()
    }

    fn found(&self) -> usize {
        self.caught + self.endless
    }

    fn score(&self) -> f64 {
        100.0 * self.found() as f64 / self.tried().max(1) as f64
    }

    /// Between which figures the score of all lies with 95 %, when these are a sample of them (Wilson 1927).
    fn interval(&self) -> (f64, f64) {
        let (n, p, z) = (self.tried().max(1) as f64, self.score() / 100.0, 1.96_f64);
        let middle = (p + z * z / (2.0 * n)) / (1.0 + z * z / n);
        let half = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt() / (1.0 + z * z / n);
        (100.0 * (middle - half), 100.0 * (middle + half))
    }

    fn take(&mut self, mutant: &Mutant, fate: &Fate, reason: Option<&'static str>) {
        let name = mutant.name.clone();
        match (fate, reason) {
            (Fate::Caught | Fate::Endless, reason) => {
                if *fate == Fate::Caught {
                    self.caught += 1;
                } else {
                    self.endless += 1;
                }
                if reason.is_some() {
                    println!("CAUGHT, although it is on the list of equivalent ones: {name}");
                    self.wrongly.push(name);
                }
            }
            (Fate::Survived(_) | Fate::Unreached, Some(reason)) => {
                self.equivalent.insert(name, reason);
            }
            (Fate::Survived(count), None) => {
                println!("SURVIVED ({count} tests) {name}");
                self.survived.push(name);
            }
            (Fate::Unreached, None) => {
                println!("UNREACHED {name}");
                self.unreached.push(name);
            }
        }
    }
}

fn run(asked: &Asked) -> Result<(), String> {
    std::fs::create_dir_all(&asked.scratch).map_err(|error| error.to_string())?;
    let mutants = list::list(&asked.root)?;
    let (reasons, stale) = answered::answered(&asked.root, &mutants)?;
    stale.iter().for_each(|entry| println!("NO SUCH MUTANT any more, in equivalent.txt: {entry}"));
    eprintln!("{} mutants; building them into one copy", mutants.len());
    let built = building::build(&asked.root, &asked.scratch, &mutants)?;
    eprintln!("{} are in the build, {} are not; looking what tests reach", built.ids.len(), built.left_out.len());
    let mut tests = hunting::survey(&built.programs, &asked.scratch)?;
    let seconds: f64 = tests.iter().map(|test| test.seconds).sum();
    eprintln!("{} tests, {seconds:.0} s", tests.len());
    let all = tests.len();
    tests.retain(|test| test.seconds <= asked.test_seconds);
    if tests.len() < all {
        println!("{} tests that take more than {} s are left out", all - tests.len(), asked.test_seconds);
    }
    let sites = hunting::by_site(&tests);
    let (shard, shards) = asked.shard;
    let wanted: Vec<(&usize, &(u32, u32))> = built
        .ids
        .iter()
        .filter(|(number, _)| asked.only.as_ref().is_none_or(|text| mutants[**number].name.contains(text)))
        .enumerate()
        .filter(|(place, _)| place % shards == shard)
        .map(|(_, one)| one)
        .collect();
    let mut wanted = spread(wanted);
    wanted.truncate(asked.sample);
    let tally = try_all(asked, &wanted, &mutants, &sites, &reasons, &built.left_out)?;
    let (low, high) = tally.interval();
    println!(
        "mutants {} · caught {} · endless {} · survived {} · unreached {} · equivalent {} · score {:.1} % ({low:.1} to {high:.1}) · not in the build {}",
        tally.tried(),
        tally.caught,
        tally.endless,
        tally.survived.len(),
        tally.unreached.len(),
        tally.equivalent.len(),
        tally.score(),
        built.left_out.len()
    );
    save(asked, &tally, &built.left_out, &mutants, wanted.len())
}

/// Tries them, so many at a time.
fn try_all(
    asked: &Asked,
    wanted: &[(&usize, &(u32, u32))],
    mutants: &[Mutant],
    sites: &BTreeMap<u32, Vec<&hunting::Test>>,
    reasons: &BTreeMap<usize, &'static str>,
    left_out: &BTreeMap<usize, String>,
) -> Result<Tally, String> {
    let begun = Instant::now();
    let (next, tally) = (AtomicUsize::new(0), Mutex::new(Tally::default()));
    let one = || -> Result<(), String> {
        while let Some((number, (id, site))) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mutant = &mutants[**number];
            let fate = hunting::hunt(*id, sites.get(site).map_or(&[][..], Vec::as_slice))?;
            let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
            tally.take(mutant, &fate, reasons.get(*number).copied());
            if tally.tried() % 50 == 0 {
                let (score, took) = (tally.score(), begun.elapsed().as_secs());
                eprintln!("{} of {} mutants, {score:.1} %, {took} s", tally.tried(), wanted.len());
                save(asked, &tally, left_out, mutants, wanted.len())?;
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..asked.jobs).map(|_| scope.spawn(one)).collect();
        all.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })?;
    Ok(tally.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// In another order, always the same, so that a run that is broken off has tried a fair sample.
fn spread<T>(mut all: Vec<T>) -> Vec<T> {
    let mut state: u64 = 7;
    for at in (1..all.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        all.swap(at, (state >> 33) as usize % (at + 1));
    }
    all
}

fn save(
    asked: &Asked,
    tally: &Tally,
    left_out: &BTreeMap<usize, String>,
    mutants: &[Mutant],
    wanted: usize,
) -> Result<(), String> {
    let Some(path) = &asked.json else { return Ok(()) };
    let left: BTreeMap<&str, &str> =
        left_out.iter().map(|(number, why)| (mutants[*number].name.as_str(), why.as_str())).collect();
    let document = json!({
        "mutants": mutants.len(),
        "wanted": wanted,
        "tried": tally.tried(),
        "caught": tally.caught,
        "endless": tally.endless,
        "score_percent": tally.score(),
        "interval_percent": tally.interval(),
        "equivalent": tally.equivalent,
        "equivalent_and_caught": tally.wrongly,
        "survived": tally.survived,
        "unreached": tally.unreached,
        "not_in_the_build": left,
    });
    write(path, &format!("{document:#}\n"))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
