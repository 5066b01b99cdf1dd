//! What was asked for on the command line.

use std::path::PathBuf;
use std::time::Duration;

use super::USAGE;

/// How what came of it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    Table,
    Json,
}

/// All of it.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// How long it takes by the clock.
    pub(crate) length: Duration,
    /// How many times as fast as the clock event time runs.
    pub(crate) speed: u32,
    /// The program; else it is built.
    pub(crate) hb: Option<PathBuf>,
    pub(crate) folder: Option<PathBuf>,
    /// A table of a run before, to be judged and drawn again.
    pub(crate) table: Option<PathBuf>,
    pub(crate) shown: Shown,
}

impl Asked {
    /// Reads the words behind `soak`.
    ///
    /// # Errors
    /// What is wrong, and what is right.
    pub(crate) fn of(words: &[&str]) -> Result<Self, String> {
        let hour = Duration::from_secs(3_600);
        let mut asked = Self { length: hour, speed: 24, hb: None, folder: None, table: None, shown: Shown::Table };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().copied().ok_or_else(|| format!("{word} needs a value\n\n{USAGE}"));
            match *word {
                "--hours" => asked.length = length(word, value()?, 3_600.0)?,
                "--minutes" => asked.length = length(word, value()?, 60.0)?,
                "--speed" => asked.speed = speed(value()?)?,
                "--hb" => asked.hb = Some(PathBuf::from(value()?)),
                "--folder" => asked.folder = Some(PathBuf::from(value()?)),
                "--judge" => asked.table = Some(PathBuf::from(value()?)),
                "--json" => asked.shown = Shown::Json,
                "--help" | "-h" => return Err(USAGE.into()),
                _ => return Err(format!("{word} is not known\n\n{USAGE}")),
            }
        }
        Ok(asked)
    }
}

fn length(word: &str, text: &str, unit: f64) -> Result<Duration, String> {
    let seconds = text.parse().ok().map(|number: f64| number * unit).filter(|seconds| (30.0..=2.6e6).contains(seconds));
    let seconds = seconds.ok_or_else(|| format!("{word} needs a length from 30 s to 30 days, not {text:?}"))?;
    Ok(Duration::from_secs_f64(seconds))
}

fn speed(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| (1..=1_000).contains(number));
    number.ok_or_else(|| format!("--speed needs a whole number from 1 to 1000, not {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_in_an_hour_where_nothing_else_is_said() {
        let asked = Asked::of(&[]).unwrap();
        assert_eq!((asked.length.as_secs(), asked.speed, asked.shown), (3_600, 24, Shown::Table));
        assert_eq!(Asked::of(&["--minutes", "1.5", "--json"]).unwrap().length.as_secs(), 90);
    }

    #[test]
    fn what_is_wrong_is_told_with_what_is_right() {
        let why = |words: &[&str]| Asked::of(words).unwrap_err();
        assert!(why(&["--hours", "0"]).contains("30 s"));
        assert!(why(&["--hours", "NaN"]).contains("30 s"));
        assert!(why(&["--speed", "0"]).contains("1 to 1000"));
        assert!(why(&["--hour"]).contains("--hours"));
        assert!(why(&["--folder"]).contains("needs a value"));
    }
}
