//! Which tests reach a mutant, and which of them it does not survive.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Seconds of processor time that tests may take with a mutant, however fast they are without.
const SECONDS_MIN: f64 = 10.0;
/// How many times as long as without it.
const TIMES: f64 = 10.0;
/// Seconds of tests that are tried first, the fastest.
const FIRST: f64 = 0.5;
/// Most kilobytes of memory that tests may take.
const MEMORY_KB: u64 = 6 << 20;

/// One test.
#[derive(Debug, Clone)]
pub struct Test {
    pub program: PathBuf,
    pub name: String,
    /// How long it takes, in seconds.
    pub seconds: f64,
    /// The sites that it reaches.
    pub reaches: Vec<u32>,
}

/// What became of a mutant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// A test failed.
    Caught,
    /// The tests did not end.
    Endless,
    /// All tests that reach it passed.
    Survived(usize),
    /// No test reaches it.
    Unreached,
}

fn limited(program: &Path, seconds: f64) -> Command {
    let mut command = Command::new("sh");
    let script = format!("ulimit -t {} -v {MEMORY_KB}; exec \"$0\" \"$@\"", seconds.ceil().max(1.0));
    command.arg("-c").arg(script).arg(program);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Tests look for their material beside the manifest, which is told when they are built.
    command.env("RUST_BACKTRACE", "0").env("PROPTEST_FORK", "false");
    command
}

/// Runs every test once by itself, and notes how long it takes and what it reaches. Those that fail are told and left out: what only they would see
/// counts as survived.
///
/// # Errors
/// The tests cannot be listed.
pub fn survey(programs: &[PathBuf], scratch: &Path) -> Result<Vec<Test>, String> {
    let mut tests = Vec::new();
    for program in programs {
        let listed =
            Command::new(program).args(["--list", "--format", "terse"]).output().map_err(|error| error.to_string())?;
        let listed = String::from_utf8_lossy(&listed.stdout);
        for name in listed.lines().filter_map(|line| line.strip_suffix(": test")) {
            let file = scratch.join("reached");
            drop(fs::remove_file(&file));
            let begun = Instant::now();
            let plain = limited(program, 600.0).args(["--exact", name, "--test-threads", "1"]).status();
            let seconds = begun.elapsed().as_secs_f64();
            let noted = limited(program, 1_800.0)
                .args(["--exact", name, "--test-threads", "1"])
                .env("HBM_REACHED", &file)
                .status();
            if !plain.is_ok_and(|status| status.success()) || !noted.is_ok_and(|status| status.success()) {
                println!("LEFT OUT {name}: it fails without any mutant");
                continue;
            }
            let reached = fs::read_to_string(&file).unwrap_or_default();
            let reaches = reached.lines().filter_map(|line| line.parse().ok()).collect();
            tests.push(Test { program: program.clone(), name: name.to_owned(), seconds, reaches });
        }
    }
    tests.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    Ok(tests)
}

/// Tests by the site that they reach, the fastest first.
#[must_use]
pub fn by_site(tests: &[Test]) -> BTreeMap<u32, Vec<&Test>> {
    let mut sites: BTreeMap<u32, Vec<&Test>> = BTreeMap::new();
    for test in tests {
        for site in &test.reaches {
            sites.entry(*site).or_default().push(test);
        }
    }
    sites
}

/// Runs the tests that reach a mutant, the fastest first, until one fails.
///
/// # Errors
/// The tests cannot be started.
pub fn hunt(id: u32, tests: &[&Test]) -> Result<Fate, String> {
    if tests.is_empty() {
        return Ok(Fate::Unreached);
    }
    let mut sum = 0.0;
    let (first, rest): (Vec<&Test>, Vec<&Test>) = tests.iter().copied().partition(|test| {
        sum += test.seconds;
        sum <= FIRST
    });
    for group in [first, rest] {
        let mut programs: Vec<(&Path, Vec<&Test>)> = Vec::new();
        for test in group {
            match programs.iter_mut().find(|(program, _)| *program == test.program) {
                Some((_, tests)) => tests.push(test),
                None => programs.push((&test.program, vec![test])),
            }
        }
        for (program, tests) in programs {
            match run(id, program, &tests)? {
                Fate::Survived(_) => {}
                fate => return Ok(fate),
            }
        }
    }
    Ok(Fate::Survived(tests.len()))
}

fn run(id: u32, program: &Path, tests: &[&Test]) -> Result<Fate, String> {
    let usual: f64 = tests.iter().map(|test| test.seconds).sum();
    let bound = SECONDS_MIN.max(usual * TIMES);
    let mut child = limited(program, bound)
        .args(["--exact", "--test-threads", "1"])
        .args(tests.iter().map(|test| test.name.as_str()))
        .env("HBM", id.to_string())
        .spawn()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    // What waits takes no processor time; nothing in hb-core waits, so this is only for mutants of the machine's own making.
    let patience = Duration::from_secs_f64(bound * 60.0);
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
            return Ok(fate(status, tests.len()));
        }
        if begun.elapsed() > patience {
            child.kill().and_then(|()| child.wait()).map_err(|error| error.to_string())?;
            return Ok(Fate::Endless);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn fate(status: ExitStatus, tests: usize) -> Fate {
    use std::os::unix::process::ExitStatusExt as _;
    // SIGXCPU and SIGKILL: the processor time is used up.
    match (status.success(), status.signal()) {
        (true, _) => Fate::Survived(tests),
        (false, Some(24 | 9)) => Fate::Endless,
        (false, _) => Fate::Caught,
    }
}
