//! Mutation testing of hb-core: how many small changes of it does no test see?
//!
//! The mutants are those that cargo-mutants lists. Built one by one, five thousand of them would take days; here all are in one build, and each
//! is switched on by its number while the tests run that reach it. What cannot be had in this way (a mutant in a constant, a type that the
//! compiler refuses) is told by name, and is left to cargo-mutants itself.

mod building;
mod hunting;
mod list;
mod schema;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use hunting::Fate;
use list::Mutant;
use serde_json::json;

const USAGE: &str = "hb-mutation ROOT SCRATCH [--shard K/N] [--match TEXT] [--json FILE]";

struct Asked {
    root: PathBuf,
    scratch: PathBuf,
    shard: (usize, usize),
    only: Option<String>,
    json: Option<PathBuf>,
}

fn asked() -> Option<Asked> {
    let mut words = std::env::args().skip(1);
    let (root, scratch) = (words.next()?.into(), words.next()?.into());
    let mut asked = Asked { root, scratch, shard: (0, 1), only: None, json: None };
    while let Some(word) = words.next() {
        let value = words.next()?;
        match word.as_str() {
            "--shard" => {
                let (k, n) = value.split_once('/')?;
                asked.shard = (k.parse().ok()?, n.parse().ok().filter(|n| *n > 0)?);
            }
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
}

impl Tally {
    fn tried(&self) -> usize {
        self.caught + self.endless + self.survived.len() + self.unreached.len()
    }

    fn score(&self) -> f64 {
        100.0 * (self.caught + self.endless) as f64 / self.tried().max(1) as f64
    }
}

fn run(asked: &Asked) -> Result<(), String> {
    std::fs::create_dir_all(&asked.scratch).map_err(|error| error.to_string())?;
    let mutants = list::list(&asked.root)?;
    eprintln!("{} mutants; building them into one copy", mutants.len());
    let built = building::build(&asked.root, &asked.scratch, &mutants)?;
    eprintln!("{} are in the build, {} are not; looking what tests reach", built.ids.len(), built.left_out.len());
    let tests = hunting::survey(&built.programs, &asked.scratch)?;
    let seconds: f64 = tests.iter().map(|test| test.seconds).sum();
    eprintln!("{} tests, {seconds:.0} s", tests.len());
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
    let wanted = spread(wanted);
    let (begun, mut tally) = (Instant::now(), Tally::default());
    for (done, (number, (id, site))) in wanted.iter().enumerate() {
        let mutant = &mutants[**number];
        let reaching = sites.get(site).map_or(&[][..], Vec::as_slice);
        match hunting::hunt(*id, mutant, reaching)? {
            Fate::Caught => tally.caught += 1,
            Fate::Endless => tally.endless += 1,
            Fate::Survived(count) => {
                println!("SURVIVED ({count} tests) {}", mutant.name);
                tally.survived.push(mutant.name.clone());
            }
            Fate::Unreached => {
                println!("UNREACHED {}", mutant.name);
                tally.unreached.push(mutant.name.clone());
            }
        }
        if (done + 1) % 50 == 0 {
            let (score, took) = (tally.score(), begun.elapsed().as_secs());
            eprintln!("{} of {} mutants, {score:.1} %, {took} s", done + 1, wanted.len());
            save(asked, &tally, &built.left_out, &mutants, wanted.len())?;
        }
    }
    println!(
        "mutants {} · caught {} · endless {} · survived {} · unreached {} · score {:.1} % · not in the build {}",
        tally.tried(),
        tally.caught,
        tally.endless,
        tally.survived.len(),
        tally.unreached.len(),
        tally.score(),
        built.left_out.len()
    );
    save(asked, &tally, &built.left_out, &mutants, wanted.len())
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
        "survived": tally.survived,
        "unreached": tally.unreached,
        "not_in_the_build": left,
    });
    write(path, &format!("{document:#}\n"))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
