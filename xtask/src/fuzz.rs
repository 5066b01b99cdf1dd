//! `cargo xtask fuzz`: drives the targets of `fuzz/` by coverage, one after the other.
//!
//! The fuzzer is libFuzzer, which the toolchain's own instrumentation feeds: no other toolchain is needed. What a run finds worth keeping
//! stays in `target/fuzz/corpus`; `--keep` puts a smallest selection of it among the seeds.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

const USAGE: &str = "\
cargo xtask fuzz [TARGET …] [--executions N | --minutes M] [--json] [--keep]

  TARGET          names of targets; without any: all of them
  --executions N  inputs for each target (default 1000000)
  --minutes M     minutes for each target in place of a number of inputs
  --json          the verdict as JSON
  --keep          afterwards put what reaches more code than the seeds do among the seeds
  --list          only the names
";

/// How the compiler counts edges and tells what is compared, for libFuzzer.
const INSTRUMENTED: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-simplifycfg-branch-fold-threshold=0";
/// Longest input, in bytes.
const LENGTH_MAX: &str = "-max_len=8192";
/// Seconds of processor time after which an input counts as one that hangs.
const HANGS_AFTER: &str = "-timeout=20";
/// Megabytes beyond which memory counts as without bound.
const MEMORY_MAX: &str = "-rss_limit_mb=2048";

#[derive(Debug, Default)]
struct Asked {
    targets: Vec<String>,
    bound: Option<String>,
    json: bool,
    keep: bool,
    list: bool,
}

/// What came of one target.
#[derive(Debug, Default)]
struct Verdict {
    target: String,
    executions: u64,
    edges: u64,
    inputs: u64,
    per_second: u64,
    peak_mb: u64,
    seconds: u64,
    /// What brought it down.
    found: Option<String>,
}

/// Runs what is asked for.
///
/// # Errors
/// What is asked for makes no sense, the targets cannot be built, or one of them was brought down.
pub(crate) fn run(root: &Path, words: &[&str]) -> Result<(), String> {
    let asked = asked(words)?;
    let known = targets(root)?;
    if asked.list {
        known.iter().for_each(|name| println!("{name}"));
        return Ok(());
    }
    if let Some(unknown) = asked.targets.iter().find(|name| !known.contains(name)) {
        return Err(format!("there is no target {unknown}; there are {}", known.join(", ")));
    }
    let chosen = if asked.targets.is_empty() { known } else { asked.targets.clone() };
    build(root, &chosen)?;
    let mut verdicts = Vec::new();
    for target in &chosen {
        let verdict = drive(root, target, &asked)?;
        println!("{}", line(&verdict));
        verdicts.push(verdict);
        if asked.keep {
            keep(root, target)?;
        }
    }
    show(&verdicts, &asked);
    match verdicts.iter().filter(|verdict| verdict.found.is_some()).count() {
        0 => Ok(()),
        many => Err(format!("{many} of {} targets were brought down", verdicts.len())),
    }
}

fn asked(words: &[&str]) -> Result<Asked, String> {
    let mut asked = Asked::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut number = || {
            let value = words.next().and_then(|value| value.replace('_', "").parse::<u64>().ok());
            value.filter(|value| *value > 0).ok_or_else(|| format!("{word} takes a number\n\n{USAGE}"))
        };
        match *word {
            "--executions" => asked.bound = Some(format!("-runs={}", number()?)),
            "--minutes" => asked.bound = Some(format!("-max_total_time={}", number()?.saturating_mul(60))),
            "--json" => asked.json = true,
            "--keep" => asked.keep = true,
            "--list" => asked.list = true,
            name if !name.starts_with('-') => asked.targets.push(name.to_owned()),
            _ => return Err(USAGE.to_owned()),
        }
    }
    Ok(asked)
}

/// The names of all targets: their files.
fn targets(root: &Path) -> Result<Vec<String>, String> {
    let folder = root.join("fuzz/libfuzzer/src/bin");
    let entries = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut names: Vec<String> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".rs").map(str::to_owned))
        .collect();
    names.sort();
    Ok(names)
}

fn place(root: &Path) -> PathBuf {
    std::env::var_os("HB_FUZZ_DIR").map_or_else(|| root.join("target/fuzz"), PathBuf::from)
}

/// The machine that the toolchain builds for. Named, so that build scripts are not instrumented.
fn host() -> Result<String, String> {
    let output = Command::new("rustc").arg("-vV").output().map_err(|error| format!("rustc: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| "rustc does not say what it builds for".into())
}

fn build(root: &Path, targets: &[String]) -> Result<(), String> {
    let begun = Instant::now();
    eprintln!("── building {} targets for the fuzzer; the first time takes several minutes", targets.len());
    let mut command = Command::new(env!("CARGO"));
    command.args(["build", "--release", "--quiet", "--target", &host()?]);
    command.args(targets.iter().flat_map(|target| ["--bin", target]));
    command.current_dir(root.join("fuzz/libfuzzer")).env("RUSTFLAGS", INSTRUMENTED);
    command.env("CARGO_TARGET_DIR", place(root).join("build")).stdin(Stdio::null());
    let status = command.status().map_err(|error| format!("cargo: {error}"))?;
    if !status.success() {
        return Err("the targets cannot be built (a C++ compiler is needed for libFuzzer): see above".into());
    }
    eprintln!("── built in {} s", begun.elapsed().as_secs());
    Ok(())
}

fn program(root: &Path, target: &str) -> Result<PathBuf, String> {
    Ok(place(root).join("build").join(host()?).join("release").join(target))
}

/// The folder for inputs that are found, and that of the seeds.
fn folders(root: &Path, target: &str) -> Result<(PathBuf, PathBuf), String> {
    let (found, seeds) = (place(root).join("corpus").join(target), root.join("fuzz/corpus").join(target));
    for folder in [&found, &seeds] {
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    Ok((found, seeds))
}

fn drive(root: &Path, target: &str, asked: &Asked) -> Result<Verdict, String> {
    let (found, seeds) = folders(root, target)?;
    let artifacts = place(root).join("found");
    fs::create_dir_all(&artifacts).map_err(|error| format!("{}: {error}", artifacts.display()))?;
    let bound = asked.bound.clone().unwrap_or_else(|| "-runs=1000000".into());
    let begun = Instant::now();
    let mut child = Command::new(program(root, target)?)
        .args([LENGTH_MAX, HANGS_AFTER, MEMORY_MAX, "-print_final_stats=1", &bound])
        .arg(format!("-artifact_prefix={}/{target}-", artifacts.display()))
        .args([&found, &seeds])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{target}: {error}"))?;
    let mut verdict = Verdict { target: target.to_owned(), ..Verdict::default() };
    let mut last = String::new();
    for text in
        child.stderr.take().into_iter().flat_map(|stderr| BufReader::new(stderr).split(b'\n').map_while(Result::ok))
    {
        let text = String::from_utf8_lossy(&text).into_owned();
        verdict.take(&text);
        if text.contains("panicked at") || text.contains("ERROR: libFuzzer") || text.starts_with("Test unit written") {
            eprintln!("{target}: {text}");
            last = text;
        } else if text.contains("pulse") || text.contains("REDUCE") && verdict.executions.is_multiple_of(16) {
            eprint!(
                "\r{target}: {} executions, {} edges, {} /s   ",
                verdict.executions, verdict.edges, verdict.per_second
            );
            std::io::stderr().flush().map_err(|error| error.to_string())?;
        }
    }
    eprintln!();
    let status = child.wait().map_err(|error| format!("{target}: {error}"))?;
    verdict.seconds = begun.elapsed().as_secs();
    if !status.success() {
        verdict.found = Some(if last.is_empty() { status.to_string() } else { last });
    }
    Ok(verdict)
}

impl Verdict {
    /// Takes a line of the fuzzer: `#123 NEW cov: 5 ft: 6 corp: 7/89b exec/s: 10 rss: 11Mb …`, or `stat::NAME: VALUE`.
    fn take(&mut self, text: &str) {
        if let Some((name, value)) = text.strip_prefix("stat::").and_then(|rest| rest.split_once(':')) {
            let Ok(value) = value.trim().parse() else { return };
            match name {
                "number_of_executed_units" => self.executions = value,
                "average_exec_per_sec" => self.per_second = value,
                "peak_rss_mb" => self.peak_mb = value,
                _ => {}
            }
            return;
        }
        let Some(rest) = text.strip_prefix('#') else { return };
        let words: Vec<&str> = rest.split_ascii_whitespace().collect();
        if let Some(count) = words.first().and_then(|word| word.parse().ok()) {
            self.executions = count;
        }
        for pair in words.windows(2) {
            let [name, value] = pair else { continue };
            let digits: String = value.chars().take_while(char::is_ascii_digit).collect();
            let Ok(value) = digits.parse() else { continue };
            match *name {
                "cov:" => self.edges = value,
                "corp:" => self.inputs = value,
                "exec/s:" => self.per_second = value,
                "rss:" => self.peak_mb = self.peak_mb.max(value),
                _ => {}
            }
        }
    }

    fn json(&self) -> String {
        let Self { target, executions, edges, inputs, per_second, peak_mb, seconds, found } = self;
        let found = found.as_ref().map_or_else(|| "null".to_owned(), |text| format!("\"{}\"", text.escape_default()));
        format!(
            "{{\"target\":\"{target}\",\"executions\":{executions},\"edges\":{edges},\"inputs\":{inputs},\
             \"per_second\":{per_second},\"peak_mb\":{peak_mb},\"seconds\":{seconds},\"found\":{found}}}"
        )
    }
}

fn line(verdict: &Verdict) -> String {
    let Verdict { target, executions, edges, inputs, per_second, peak_mb, seconds, found } = verdict;
    let word = found.as_ref().map_or("nothing found", |_| "FOUND");
    format!(
        "{target:20} {executions:>10} executions {seconds:>6} s {per_second:>7}/s {edges:>6} edges {inputs:>6} inputs {peak_mb:>5} MB  {word}"
    )
}

fn show(verdicts: &[Verdict], asked: &Asked) {
    if asked.json {
        let all: Vec<String> = verdicts.iter().map(Verdict::json).collect();
        println!("[{}]", all.join(",\n "));
        return;
    }
    println!("\n| target | executions | edges | a second | peak memory | found |\n|---|---|---|---|---|---|");
    for verdict in verdicts {
        let Verdict { target, executions, edges, per_second, peak_mb, found, .. } = verdict;
        let found = found.as_deref().unwrap_or("nothing");
        println!("| {target} | {executions} | {edges} | {per_second} | {peak_mb} MB | {found} |");
    }
}

/// Puts what reaches more than the seeds do among them, as few and as small as they can be.
fn keep(root: &Path, target: &str) -> Result<(), String> {
    let (found, seeds) = folders(root, target)?;
    let status = Command::new(program(root, target)?)
        .args(["-merge=1", LENGTH_MAX, HANGS_AFTER, MEMORY_MAX])
        .args([&seeds, &found])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .map_err(|error| format!("{target}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{target}: its inputs cannot be put together: {status}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_fuzzer_says_is_understood() {
        let mut verdict = Verdict::default();
        verdict.take("#2048\tpulse  cov: 512 ft: 900 corp: 40/12Kb lim: 80 exec/s: 1024 rss: 61Mb");
        assert_eq!((verdict.executions, verdict.edges, verdict.inputs), (2048, 512, 40));
        verdict.take("stat::number_of_executed_units: 4096");
        verdict.take("stat::peak_rss_mb:                 70");
        verdict.take("Done 4096 runs in 3 second(s)");
        assert_eq!((verdict.executions, verdict.per_second, verdict.peak_mb), (4096, 1024, 70));
        assert!(verdict.json().contains("\"executions\":4096") && line(&verdict).contains("nothing found"));
    }

    #[test]
    fn what_is_asked_for_is_understood() {
        let read = asked(&["lines", "--executions", "10_000", "--json"]).unwrap();
        assert_eq!(
            (read.targets, read.bound.as_deref(), read.json),
            (vec!["lines".to_owned()], Some("-runs=10000"), true)
        );
        assert_eq!(asked(&["--minutes", "2"]).unwrap().bound.as_deref(), Some("-max_total_time=120"));
        for wrong in [&["--executions"][..], &["--minutes", "0"], &["--nonsense"]] {
            assert!(asked(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn each_target_has_a_program_and_seeds() {
        let root = crate::root();
        let library = fs::read_to_string(root.join("fuzz/src/targets/mod.rs")).unwrap();
        for name in targets(&root).unwrap() {
            assert!(library.contains(&format!("name: \"{name}\"")), "{name} is not in fuzz/src/targets/mod.rs");
            assert!(root.join("fuzz/corpus").join(&name).is_dir(), "{name} has no seeds");
        }
        assert_eq!(library.matches("name: \"").count(), targets(&root).unwrap().len());
    }
}
