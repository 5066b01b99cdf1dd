//! What was asked for on the command line.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::USAGE;

/// Pairs of journal and lease, and what else is tried.
const PAIRS: [&str; 7] =
    ["dir+file", "postgres+postgres", "object+object", "postgres+etcd", "dir+etcd", "object+kubernetes", "supervisor"];

/// How much is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    /// Of each pair.
    Faults(usize),
    Minutes(u64),
}

/// What a violation leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Onward {
    Stop,
    KeepGoing,
}

/// How the verdict is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    Table,
    Json,
}

/// All of it.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) pairs: Vec<String>,
    pub(crate) goal: Goal,
    pub(crate) seed: u64,
    pub(crate) nodes: Option<usize>,
    /// Of the lease, in seconds.
    pub(crate) ttl: usize,
    pub(crate) lanes: usize,
    pub(crate) folder: Option<PathBuf>,
    /// Where `hb` and `failover` are; else they are built.
    pub(crate) binaries: Option<PathBuf>,
    pub(crate) onward: Onward,
    pub(crate) shown: Shown,
}

impl Goal {
    /// Whether the time for it is over.
    pub(crate) fn is_over(self, began: Instant) -> bool {
        matches!(self, Self::Minutes(minutes) if began.elapsed() >= Duration::from_secs(minutes * 60))
    }
}

impl Asked {
    /// Reads the words behind `torture`.
    ///
    /// # Errors
    /// What is wrong, and what is right.
    pub(crate) fn of(words: &[&str]) -> Result<Self, String> {
        let mut asked = Self {
            pairs: PAIRS.map(str::to_owned).to_vec(),
            goal: Goal::Faults(100),
            seed: SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| now.as_secs()),
            nodes: None,
            ttl: 1,
            lanes: std::thread::available_parallelism().map_or(2, usize::from) * 3,
            folder: None,
            binaries: None,
            onward: Onward::Stop,
            shown: Shown::Table,
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().copied().ok_or_else(|| format!("{word} needs a value\n\n{USAGE}"));
            match *word {
                "--pair" => asked.pairs = pairs(value()?)?,
                "--faults" => asked.goal = Goal::Faults(number(word, value()?)?),
                "--minutes" => asked.goal = Goal::Minutes(number(word, value()?)?),
                "--seed" => asked.seed = number(word, value()?)?,
                "--nodes" => asked.nodes = Some(number(word, value()?)?).filter(|nodes| (2..=3).contains(nodes)),
                "--ttl" => asked.ttl = number::<usize>(word, value()?)?.max(1),
                "--lanes" => asked.lanes = number::<usize>(word, value()?)?.max(1),
                "--folder" => asked.folder = Some(PathBuf::from(value()?)),
                "--binaries" => asked.binaries = Some(PathBuf::from(value()?)),
                "--keep-going" => asked.onward = Onward::KeepGoing,
                "--json" => asked.shown = Shown::Json,
                "--help" | "-h" => return Err(USAGE.into()),
                _ => return Err(format!("{word} is not known\n\n{USAGE}")),
            }
        }
        Ok(asked)
    }
}

fn pairs(name: &str) -> Result<Vec<String>, String> {
    if name == "all" {
        return Ok(PAIRS.map(str::to_owned).to_vec());
    }
    let asked: Vec<String> = name.split(',').map(str::to_owned).collect();
    match asked.iter().find(|pair| !PAIRS.contains(&pair.as_str())) {
        Some(unknown) => Err(format!("there is no pair {unknown}; there are: {}", PAIRS.join(", "))),
        None => Ok(asked),
    }
}

fn number<T: std::str::FromStr>(word: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{word} needs a whole number, not {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::{Asked, Goal};

    #[test]
    fn what_is_not_known_is_told_with_what_is() {
        let why = |words: &[&str]| Asked::of(words).unwrap_err();
        assert!(why(&["--pair", "dir+flie"]).contains("dir+file"));
        assert!(why(&["--faults", "many"]).contains("many"));
        assert!(why(&["--faults"]).contains("needs a value"));
        assert!(why(&["--fault", "3"]).contains("--faults"));
    }

    #[test]
    fn pairs_can_be_named_together() {
        let asked = Asked::of(&["--pair", "dir+etcd,supervisor", "--minutes", "2"]).unwrap();
        assert_eq!((asked.pairs.len(), asked.goal), (2, Goal::Minutes(2)));
    }
}
