//! `cargo xtask torture`: real pairs and trios of the real binary on real stores, under faults that a seed draws, many sites at a time.
//!
//! The work is cut into rounds: one site, some dozens of faults, one judgement of everything that its nodes did. A round is a process of
//! the test binary `failover`, in namespaces of its own, so that rounds run side by side and leave nothing behind, however they end.

mod asked;
mod rounds;
mod verdict;

use std::collections::VecDeque;
use std::io::IsTerminal as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use asked::{Asked, Goal, Onward, Shown};
use rounds::{Plan, Round};
use verdict::Verdict;

use crate::servers;

/// Faults of one round at most: so many, that what went wrong is found soon and can be repeated soon.
const ROUND: usize = 40;
/// How often rounds are looked at.
const LOOK: Duration = Duration::from_millis(250);
/// How often a line is told where nobody looks at a terminal.
const TOLD: Duration = Duration::from_secs(30);

pub(crate) const USAGE: &str = "\
cargo xtask torture [--pair NAME|all] [--faults N | --minutes M] [--seed S] [--nodes 2|3] [--ttl SECONDS]
                    [--lanes K] [--folder DIR] [--binaries DIR] [--keep-going] [--json]

  --pair        dir+file, postgres+postgres, object+object, postgres+etcd, dir+etcd, object+kubernetes,
                supervisor, or all (default)
  --faults      faults of each pair (100)
  --minutes     instead: so long in all
  --seed        what is drawn; told at the end, and another one each time
  --nodes       how many work together; else mostly two, three in each third round
  --ttl         of the lease (1); a machine that is busy with other things needs more
  --lanes       rounds side by side (three for each processor: most of the time they wait)
  --folder      where rounds work (the folder of temporary files)
  --binaries    a folder with `hb` and the test binary `failover`, of an earlier run; else they are built
  --keep-going  do not stop at the first violation
  --json        the verdict as a document, on standard output
";

/// Runs it.
///
/// # Errors
/// A promise does not hold, or it could not be tried.
pub(crate) fn run(words: &[&str]) -> Result<(), String> {
    let asked = Asked::of(words)?;
    servers::install();
    let bench = Bench::set_up(&asked)?;
    eprintln!("seed {}; {} lanes; rounds work in {}", asked.seed, asked.lanes, bench.folder.display());
    let mut verdict = Verdict::new(asked.seed);
    work(&asked, &bench, &mut verdict)?;
    match asked.shown {
        Shown::Table => print!("{verdict}"),
        Shown::Json => println!("{}", verdict.json()),
    }
    verdict.end()
}

/// What rounds are started from.
struct Bench {
    folder: PathBuf,
    /// Copies: a build meanwhile changes nothing.
    test: PathBuf,
    hb: PathBuf,
    /// Takes the folder away, unless something is kept in it, when this process ends: see its input.
    _keeper: Child,
}

/// What the keeper does once its input ends, which it does with this process, however that ends. Rounds may be about to end.
const KEEPER: &str = r#"cat > /dev/null; [ -e "$1/keep" ] && exit
    for _ in 1 2 3 4 5 6 7 8 9 10; do rm -rf "$1" 2> /dev/null && exit; sleep 1; done"#;

impl Bench {
    fn set_up(asked: &Asked) -> Result<Self, String> {
        let (test, hb) = match &asked.binaries {
            Some(folder) => (folder.join("failover"), folder.join("hb")),
            None => build()?,
        };
        let base = asked.folder.clone().unwrap_or_else(|| std::env::temp_dir().join("hb-torture"));
        let folder = base.join(format!("{}-{}", asked.seed, std::process::id()));
        std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let copy = |from: &Path, name: &str| {
            let to = folder.join(name);
            std::fs::copy(from, &to).map(|_| to).map_err(|error| format!("{}: {error}", from.display()))
        };
        let (test, hb) = (copy(&test, "failover")?, copy(&hb, "hb")?);
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEPER, "keeper"]).arg(&folder);
        // Whoever ends this chore by Ctrl-C leaves this one.
        keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let keeper = keeper.spawn();
        let keeper = keeper.map_err(|error| format!("sh: {error}"))?;
        Ok(Self { folder, test, hb, _keeper: keeper })
    }
}

/// Builds the test binary; gives where it is, and the program beside it.
fn build() -> Result<(PathBuf, PathBuf), String> {
    eprintln!("── cargo test -p hb --test failover --no-run");
    let output = Command::new(env!("CARGO"))
        .args(["test", "--locked", "-p", "hb", "--test", "failover", "--no-run", "--message-format", "json"])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cargo: {error}"))?;
    if !output.status.success() {
        return Err("the tests do not build: see above".into());
    }
    let said = String::from_utf8_lossy(&output.stdout);
    let test = said.lines().rev().find_map(executable).ok_or("cargo names no test binary `failover`")?;
    let folder = test.parent().and_then(Path::parent).ok_or("the test binary is in no target folder")?;
    let hb = folder.join("hb");
    Ok((test, hb))
}

/// The program of a line of cargo's, if it is the one that is wanted.
fn executable(line: &str) -> Option<PathBuf> {
    let (_, rest) = line.split_once("\"executable\":\"")?;
    let (path, _) = rest.split_once('"')?;
    let name = Path::new(path).file_name()?.to_str()?;
    name.starts_with("failover-").then(|| PathBuf::from(path))
}

/// Starts rounds until all that is wanted is done, or something was found.
fn work(asked: &Asked, bench: &Bench, verdict: &mut Verdict) -> Result<(), String> {
    let mut waiting = plans(asked);
    let (mut under_way, began) = (Vec::<Round>::new(), Instant::now());
    let mut told = Instant::now();
    let mut number = 0;
    loop {
        let over = asked.goal.is_over(began) || (!verdict.is_clean() && asked.onward == Onward::Stop);
        while !over && under_way.len() < asked.lanes {
            let Some(plan) = waiting.next() else { break };
            under_way.push(Round::start(plan, number, bench)?);
            number += 1;
        }
        if over {
            under_way.iter().for_each(Round::enough);
        }
        std::thread::sleep(LOOK);
        for round in &mut under_way {
            verdict.add(round.look());
        }
        let (ended, going): (Vec<Round>, Vec<Round>) = under_way.into_iter().partition(Round::has_ended);
        under_way = going;
        for round in ended {
            verdict.close(&round, bench);
        }
        let stop = !verdict.is_clean() && asked.onward == Onward::Stop;
        if stop || under_way.is_empty() && (over || waiting.is_empty()) {
            eprintln!();
            return Ok(());
        }
        if std::io::stderr().is_terminal() {
            eprint!("\r\x1b[K{}", verdict.line(under_way.len()));
        } else if told.elapsed() > TOLD {
            told = Instant::now();
            eprintln!("{}", verdict.line(under_way.len()));
        }
    }
}

/// Rounds that are still to be started.
struct Plans {
    listed: VecDeque<Plan>,
    /// For ever, one pair after the other.
    endless: Option<(Vec<String>, usize)>,
    seed: u64,
    nodes: Option<usize>,
    ttl: usize,
}

impl Plans {
    fn plan(&self, pair: &str, number: usize, faults: usize) -> Plan {
        let nodes = self.nodes.unwrap_or(if number % 3 == 2 { 3 } else { 2 });
        // The first round has the seed that was asked for, so that one that failed can be repeated alone.
        Plan {
            pair: pair.to_owned(),
            nodes,
            ttl: self.ttl,
            faults,
            seed: self.seed.wrapping_add(number as u64 * 7_919),
        }
    }

    fn next(&mut self) -> Option<Plan> {
        if let Some((pairs, number)) = &mut self.endless {
            let (pair, at) = (pairs.get(*number % pairs.len().max(1))?.clone(), *number);
            *number += 1;
            return Some(self.plan(&pair, at, ROUND));
        }
        self.listed.pop_front()
    }

    fn is_empty(&self) -> bool {
        self.endless.is_none() && self.listed.is_empty()
    }
}

fn plans(asked: &Asked) -> Plans {
    let mut plans =
        Plans { listed: VecDeque::new(), endless: None, seed: asked.seed, nodes: asked.nodes, ttl: asked.ttl };
    match asked.goal {
        Goal::Minutes(_) => plans.endless = Some((asked.pairs.clone(), 0)),
        Goal::Faults(goal) => {
            let sizes: Vec<usize> = (0..goal).step_by(ROUND).map(|done| ROUND.min(goal - done)).collect();
            // Pairs take turns, so that a run that is broken off has seen all of them.
            let all = sizes.iter().flat_map(|size| asked.pairs.iter().map(move |pair| (pair, *size)));
            plans.listed = all.enumerate().map(|(number, (pair, size))| plans.plan(pair, number, size)).collect();
        }
    }
    plans
}

#[cfg(test)]
mod tests {
    use super::{Asked, executable, plans};

    #[test]
    fn a_round_that_failed_can_be_repeated_alone() {
        let many = Asked::of(&["--pair", "all", "--faults", "100", "--seed", "5"]).unwrap();
        let mut many = plans(&many);
        let all: Vec<_> = std::iter::from_fn(|| many.next()).collect();
        assert_eq!(all.iter().map(|plan| plan.faults).sum::<usize>(), 700);
        let failed = &all[9];
        let (seed, nodes, faults) = (failed.seed.to_string(), failed.nodes.to_string(), failed.faults.to_string());
        let words = ["--pair", &failed.pair, "--seed", &seed, "--nodes", &nodes, "--faults", &faults];
        let mut again = plans(&Asked::of(&words).unwrap());
        assert_eq!(again.next().as_ref(), Some(failed));
        assert!(again.is_empty());
    }

    #[test]
    fn the_test_binary_is_found_in_what_cargo_says() {
        let line = r#"{"reason":"compiler-artifact","executable":"/t/debug/deps/failover-0a1b","fresh":true}"#;
        assert_eq!(executable(line).unwrap().to_str(), Some("/t/debug/deps/failover-0a1b"));
        assert_eq!(executable(r#"{"executable":"/t/debug/hb"}"#), None);
        assert_eq!(executable(r#"{"executable":null}"#), None);
    }
}
