//! A copy of the crate with all mutants in it, built. Mutants that the compiler refuses are taken out, round by round.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::list::Mutant;
use crate::schema::{self, Ids};

/// File of the mutants that the compiler refuses.
const REFUSED: &str = "refused.json";
/// Most rounds of taking out what the compiler refuses.
const ROUNDS_MAX: usize = 40;

/// What was built.
pub struct Built {
    /// Each program of tests.
    pub programs: Vec<PathBuf>,
    /// Numbers by which mutants are switched on.
    pub ids: Ids,
    /// Mutants that are not in it, and why.
    pub left_out: BTreeMap<usize, String>,
}

/// Copies the crate and builds it with these mutants.
///
/// # Errors
/// The copy cannot be made, or cannot be built for another reason than its mutants.
pub fn build(root: &Path, scratch: &Path, mutants: &[Mutant]) -> Result<Built, String> {
    let mut left_out = remembered(scratch, mutants);
    let arms: BTreeSet<usize> =
        mutants.iter().enumerate().filter(|(_, one)| one.genre == "MatchArm").map(|(number, _)| number).collect();
    for round in 1..=ROUNDS_MAX {
        copy(root, scratch, mutants)?;
        let (ids, lines) = instrument(root, scratch, mutants, &mut left_out)?;
        // A check tells as much as a build does, in a fraction of its time.
        let compiled = match compile(scratch, &["check", "--lib"])? {
            Compiled::Programs(_) => {
                remember(scratch, mutants, &left_out)?;
                compile(scratch, &["test", "--no-run", "--tests"])?
            }
            faults @ Compiled::Faults(_) => faults,
        };
        match compiled {
            Compiled::Programs(programs) => return Ok(Built { programs, ids, left_out }),
            Compiled::Faults(faults) => {
                let before = left_out.len();
                for (file, line, message) in &faults {
                    blame(&lines, &arms, (file, *line), message, &mut left_out);
                }
                eprintln!("round {round}: {} faults, {} mutants taken out", faults.len(), left_out.len() - before);
                if left_out.len() == before {
                    let shown: Vec<String> = faults
                        .iter()
                        .take(5)
                        .map(|(file, line, message)| format!("{file}:{line}: {message}"))
                        .collect();
                    return Err(format!("the copy cannot be built:\n{}", shown.join("\n")));
                }
            }
        }
    }
    Err(format!("still mutants that cannot be built after {ROUNDS_MAX} rounds"))
}

/// What an earlier run found that the compiler refuses, so that it is not found out again.
fn remembered(scratch: &Path, mutants: &[Mutant]) -> BTreeMap<usize, String> {
    let text = fs::read_to_string(scratch.join(REFUSED)).unwrap_or_default();
    let names: BTreeMap<String, String> = serde_json::from_str(&text).unwrap_or_default();
    let known = |(number, mutant): (usize, &Mutant)| Some((number, names.get(&mutant.name)?.clone()));
    mutants.iter().enumerate().filter_map(known).collect()
}

fn remember(scratch: &Path, mutants: &[Mutant], left_out: &BTreeMap<usize, String>) -> Result<(), String> {
    let names: BTreeMap<&str, &str> =
        left_out.iter().map(|(number, why)| (mutants[*number].name.as_str(), why.as_str())).collect();
    let text = serde_json::to_string_pretty(&names).map_err(|error| error.to_string())?;
    put(&scratch.join(REFUSED), text.as_bytes())
}

/// Writes a file unless that stands in it already, so that it is not built again.
fn put(path: &Path, bytes: &[u8]) -> Result<(), String> {
    if fs::read(path).is_ok_and(|standing| standing == bytes) {
        return Ok(());
    }
    fs::write(path, bytes).map_err(|error| format!("{}: {error}", path.display()))
}

/// Mutants by the line of the changed file on which they stand, in characters of the line.
type Lines = BTreeMap<(String, usize), Vec<usize>>;

fn blame(
    lines: &Lines,
    arms: &BTreeSet<usize>,
    (file, line): (&str, usize),
    message: &str,
    left_out: &mut BTreeMap<usize, String>,
) {
    // What has no mutant on its own line belongs to the one above; a match that misses something lost an arm below.
    let (first, last) = ((file.to_owned(), 0), (file.to_owned(), usize::MAX));
    let at = match message.starts_with("non-exhaustive patterns") {
        true => lines
            .range((file.to_owned(), line)..=last)
            .find(|(_, numbers)| numbers.iter().any(|one| arms.contains(one))),
        false => lines.range(first..=(file.to_owned(), line)).next_back(),
    };
    for number in at.into_iter().flat_map(|(_, numbers)| numbers) {
        left_out.entry(*number).or_insert_with(|| format!("not in this build: {message}"));
    }
}

fn copy(root: &Path, scratch: &Path, mutants: &[Mutant]) -> Result<(), String> {
    let told = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    // What gets mutants, and the library's root, is written when they are in it.
    let mut written: BTreeSet<PathBuf> = mutants.iter().map(|mutant| root.join(&mutant.file)).collect();
    written.insert(root.join("crates/hb-core/src/lib.rs"));
    copy_folder(&root.join("crates/hb-core"), &scratch.join("crates/hb-core"), &written)?;
    let manifest = fs::read_to_string(root.join("Cargo.toml")).map_err(|error| told(root, error))?;
    let manifest: String = manifest
        .lines()
        .filter(|line| !(line.contains("path = \"crates/") && !line.starts_with("hb-core")))
        .filter(|line| !line.starts_with("default-members") && !line.starts_with("exclude"))
        .map(|line| if line.starts_with("members = ") { "members = [\"crates/hb-core\"]" } else { line })
        .flat_map(|line| [line, "\n"])
        .collect();
    // Faster tests; what overflows still panics.
    let manifest = manifest + "\n[profile.dev.package.hb-core]\nopt-level = 1\n";
    put(&scratch.join("Cargo.toml"), manifest.as_bytes())?;
    let lock = scratch.join("Cargo.lock");
    if !lock.exists() {
        fs::copy(root.join("Cargo.lock"), &lock).map_err(|error| told(&lock, error))?;
    }
    Ok(())
}

fn copy_folder(from: &Path, to: &Path, but: &BTreeSet<PathBuf>) -> Result<(), String> {
    let told = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    fs::create_dir_all(to).map_err(|error| told(to, error))?;
    for entry in fs::read_dir(from).map_err(|error| told(from, error))? {
        let entry = entry.map_err(|error| told(from, error))?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_folder(&path, &target, but)?;
        } else if !but.contains(&path) {
            put(&target, &fs::read(&path).map_err(|error| told(&path, error))?)?;
        }
    }
    Ok(())
}

/// Puts the mutants that are still wanted into the copy.
fn instrument(
    root: &Path,
    scratch: &Path,
    mutants: &[Mutant],
    left_out: &mut BTreeMap<usize, String>,
) -> Result<(Ids, Lines), String> {
    let (mut next, mut ids, mut lines) = (1, Ids::new(), Lines::new());
    let files: BTreeSet<&str> = mutants.iter().map(|mutant| mutant.file.as_str()).collect();
    for file in files {
        let text = fs::read_to_string(root.join(file)).map_err(|error| format!("{file}: {error}"))?;
        let wanted: Vec<(usize, &Mutant)> = mutants
            .iter()
            .enumerate()
            .filter(|(number, mutant)| mutant.file == file && !left_out.contains_key(number))
            .collect();
        let made = schema::make(&text, &wanted, &mut next, &mut ids).map_err(|error| format!("{file}: {error}"))?;
        left_out.extend(made.left_out.into_iter().map(|(number, why)| (number, why.to_owned())));
        let numbers: BTreeMap<u32, Vec<usize>> = wanted.iter().fold(BTreeMap::new(), |mut all, (number, _)| {
            if let Some((_, first)) = ids.get(number) {
                all.entry(*first).or_insert_with(Vec::new).push(*number);
            }
            all
        });
        let of_id: BTreeMap<u32, usize> = ids.iter().map(|(number, (id, _))| (*id, *number)).collect();
        for (line, text) in (1..).zip(made.text.lines()) {
            // A line that is one mutant's own.
            let own = text.split_once(" => ").and_then(|(id, _)| of_id.get(&id.parse::<u32>().ok()?));
            if let Some(number) = own.filter(|_| text.ends_with(',')) {
                lines.entry((file.to_owned(), line)).or_default().push(*number);
                continue;
            }
            for call in text.split("crate::hbm(").skip(1) {
                let first = call.split(',').next().and_then(|first| first.parse::<u32>().ok());
                let there = first.and_then(|first| numbers.get(&first)).into_iter().flatten();
                lines.entry((file.to_owned(), line)).or_default().extend(there);
            }
        }
        put(&scratch.join(file), made.text.as_bytes())?;
    }
    let library = "crates/hb-core/src/lib.rs";
    let text = fs::read_to_string(root.join(library)).map_err(|error| format!("{library}: {error}"))?;
    put(&scratch.join(library), (text + include_str!("switch.rs.txt")).as_bytes())?;
    Ok((ids, lines))
}

enum Compiled {
    Programs(Vec<PathBuf>),
    /// File, line, message.
    Faults(Vec<(String, usize, String)>),
}

#[derive(Deserialize)]
struct Message {
    reason: String,
    message: Option<Diagnostic>,
    executable: Option<PathBuf>,
    target: Option<Unit>,
}

#[derive(Deserialize)]
struct Unit {
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Diagnostic {
    level: String,
    message: String,
    spans: Vec<At>,
    #[serde(default)]
    children: Vec<Diagnostic>,
}

#[derive(Deserialize)]
struct At {
    file_name: String,
    line_start: usize,
    is_primary: bool,
}

fn compile(scratch: &Path, what: &[&str]) -> Result<Compiled, String> {
    let output = Command::new("cargo")
        .args(what)
        .args(["--package", "hb-core", "--message-format=json", "--quiet"])
        .env("RUSTFLAGS", "--cap-lints=warn -Awarnings")
        .env_remove("CARGO_TARGET_DIR")
        .current_dir(scratch)
        .output()
        .map_err(|error| format!("cargo: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let messages = text.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok());
    let (mut programs, mut faults) = (Vec::new(), Vec::new());
    for message in messages {
        let runs =
            message.target.as_ref().is_some_and(|unit| unit.kind.iter().all(|kind| kind == "lib" || kind == "test"));
        if let Some(program) = message.executable.filter(|_| message.reason == "compiler-artifact" && runs) {
            programs.push(program);
        }
        let Some(diagnostic) = message.message.filter(|diagnostic| diagnostic.level == "error") else { continue };
        let children = diagnostic.children.iter().flat_map(|child| &child.spans);
        let mut spans: Vec<&At> = diagnostic.spans.iter().chain(children).collect();
        spans.sort_by_key(|span| !span.is_primary);
        faults.extend(spans.first().map(|span| (span.file_name.clone(), span.line_start, diagnostic.message.clone())));
    }
    if output.status.success() {
        return Ok(Compiled::Programs(programs));
    }
    if faults.is_empty() {
        return Err(format!("cargo failed: {}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(Compiled::Faults(faults))
}
