//! `hb import supervisord | procfile`: what another supervisor runs, as an `hb.yaml`.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::setup::{exit_of, tell};
use super::{Failure, Out};
use crate::config::{Environment, Given, load};
use crate::exit::Exit;
use crate::import::supervisord::{Machine, Source};
use crate::import::{Grade, Imported, procfile, supervisord, yaml};

/// Most files that one may include (B1).
const FILES_MAX: usize = 256;
/// Most bytes of one file (B1).
const FILE_BYTES_MAX: u64 = 1 << 20;

/// `hb import …`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Translate a supervisord.conf, and what it includes: programs become agents, groups become teams.
    Supervisord(Args),
    /// Translate a Procfile: each line becomes an agent.
    Procfile(Args),
}

/// Which file, and where to.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What is translated.
    file: PathBuf,
    /// Where the configuration is written; to standard output where not given. An existing file is not overwritten.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Agents, teams and notes as one JSON object instead.
    #[arg(long, conflicts_with = "out")]
    json: bool,
}

/// Carries it out.
///
/// # Errors
/// The file cannot be read or understood, each line told; or the configuration cannot be written.
pub fn run(command: &Command, out: &mut Out) -> Result<Exit, Failure> {
    let (args, word) = match command {
        Command::Supervisord(args) => (args, "supervisord"),
        Command::Procfile(args) => (args, "procfile"),
    };
    let imported = match command {
        Command::Supervisord(args) => of_supervisord(&args.file)?,
        Command::Procfile(args) => of_procfile(&args.file)?,
    };
    if imported.agents.is_empty() {
        notes_told(&imported);
        let what = format!("{}: there is no program in it that could be translated", args.file.display());
        return Err(Failure::new(Exit::Usage, what));
    }
    if args.json {
        return json(&imported, out).map(|()| Exit::Ok);
    }
    let text = yaml::write(&imported, &format!("hb import {word} {}", args.file.display()));
    match &args.out {
        None => out.text(format_args!("{text}"))?,
        Some(file) => write(file, &text)?,
    }
    out.finish()?;
    notes_told(&imported);
    match &args.out {
        Some(file) => checked(file, &imported, out),
        None => Ok(Exit::Ok),
    }
}

fn json(imported: &Imported, out: &mut Out) -> Result<(), Failure> {
    let agents: Vec<_> = imported.agents.iter().map(|agent| &agent.spec).collect();
    let teams: Vec<_> =
        imported.teams.iter().map(|team| serde_json::json!({"name": team.name, "members": team.members})).collect();
    out.json(&serde_json::json!({"agents": agents, "teams": teams, "notes": imported.notes}))
}

/// Notes on standard error, so that standard output is the configuration alone.
fn notes_told(imported: &Imported) {
    let mut text = String::new();
    for note in &imported.notes {
        let word = match note.grade {
            Grade::Differs => "differs",
            Grade::Lost => "lost",
        };
        text.push_str(&format!("{}:{}: {word}: {}\n", note.file, note.line, note.what));
    }
    // Where standard error is closed, the notes stand in the file as well.
    drop(std::io::stderr().lock().write_all(text.as_bytes()));
}

fn write(file: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        let help = if error.kind() == std::io::ErrorKind::AlreadyExists {
            "name another file, or move that one away"
        } else {
            ""
        };
        Failure::new(Exit::CannotWrite, format!("{}: {error}", file.display())).help(help)
    };
    let mut opened = std::fs::File::options().write(true).create_new(true).open(file).map_err(failed)?;
    opened.write_all(text.as_bytes()).and_then(|()| opened.sync_all()).map_err(failed)
}

/// What was written has to be sound: nobody is left with a file that does not start.
fn checked(file: &Path, imported: &Imported, out: &mut Out) -> Result<Exit, Failure> {
    let given = Given { file: Some(file.to_path_buf()), environment: Environment::of_process(), ..Given::default() };
    if let Err(findings) = load(&given) {
        let exit = exit_of(&findings, &given);
        tell(&findings);
        return Ok(exit);
    }
    let (agents, teams, notes) = (imported.agents.len(), imported.teams.len(), imported.notes.len());
    out.line(format_args!("{}: sound, {agents} agents, {teams} teams; {notes} notes", file.display()))?;
    Ok(Exit::Ok)
}

fn read(file: &Path) -> Result<String, Failure> {
    let unread = |why: String| Failure::new(Exit::Usage, format!("{}: {why}", file.display()));
    // Its length is not believed: that of a device is 0.
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(file).map_err(|error| unread(error.to_string()))?;
    opened.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| unread(error.to_string()))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(unread(format!("it has more than the {FILE_BYTES_MAX} bytes that are read")));
    }
    String::from_utf8(bytes).map_err(|error| unread(format!("byte {} is not UTF-8", error.utf8_error().valid_up_to())))
}

fn of_procfile(file: &Path) -> Result<Imported, Failure> {
    let name = file.display().to_string();
    let mut imported = procfile::translate(&name, &read(file)?)
        .map_err(|faults| told(faults.into_iter().map(|(line, what)| (name.clone(), line, what)).collect()))?;
    let beside = file.with_file_name(".env");
    if beside.is_file() {
        let what = "foreman reads it; hb does not: put what is in it under `env`, or start hb with it";
        imported.note((&beside.display().to_string(), 0), Grade::Lost, what);
    }
    Ok(imported)
}

/// Faults on standard error, one a line.
fn told(faults: Vec<(String, usize, String)>) -> Failure {
    let lines: Vec<String> = faults.into_iter().map(|(file, line, what)| format!("{file}:{line}: {what}")).collect();
    Failure::new(Exit::Usage, lines.join("\n")).help("nothing was translated")
}

fn of_supervisord(file: &Path) -> Result<Imported, Failure> {
    let host = nix::unistd::gethostname().ok().and_then(|host| host.into_string().ok()).unwrap_or_default();
    let variable = |name: &str| std::env::var(name).ok();
    let machine = Machine { variable: &variable, host: &host };
    let whole = std::path::absolute(file).unwrap_or_else(|_| file.to_path_buf());
    let here = whole.parent().map_or_else(|| ".".to_owned(), |dir| dir.display().to_string());
    let name = file.display().to_string();
    let first = read(file)?;
    let source = Source { name: &name, here: &here, text: &first };
    let faults = |faults: Vec<(usize, String)>| {
        told(faults.into_iter().map(|(line, what)| (name.clone(), line, what)).collect())
    };
    let patterns = supervisord::includes(&source, &machine).map_err(faults)?;
    let (mut files, mut missing): (BTreeSet<PathBuf>, Vec<(usize, String)>) = (BTreeSet::new(), Vec::new());
    for (line, pattern) in patterns {
        let found = matching(&Path::new(&here).join(&pattern))?;
        if found.is_empty() {
            missing.push((line, format!("include: no file is named by {}", pattern.escape_debug())));
        }
        files.extend(found);
    }
    if files.len() > FILES_MAX {
        return Err(Failure::new(Exit::Usage, format!("{name} includes more than {FILES_MAX} files")));
    }
    let mut texts = Vec::new();
    for file in files {
        texts.push((file.display().to_string(), read(&file)?));
    }
    let more = texts.iter().map(|(name, text)| Source { name, here: &here, text });
    let sources: Vec<Source<'_>> = std::iter::once(source).chain(more).collect();
    let mut imported = supervisord::translate(&sources, &machine).map_err(told)?;
    for (line, what) in missing {
        imported.note((&name, line), Grade::Lost, what);
    }
    Ok(imported)
}

/// Files that a path with `*` and `?` in its last part names, by name.
fn matching(pattern: &Path) -> Result<Vec<PathBuf>, Failure> {
    let (Some(dir), Some(last)) = (pattern.parent(), pattern.file_name().and_then(|name| name.to_str())) else {
        return Ok(Vec::new());
    };
    let Ok(entries) = std::fs::read_dir(dir) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| Failure::new(Exit::Usage, format!("{}: {error}", dir.display())))?.path();
        let fits = path.file_name().and_then(|name| name.to_str()).is_some_and(|name| fits(last, name));
        if fits && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Whether a name is one that a pattern of `*` and `?` names; files that begin with a point are named by name only.
fn fits(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut from) = (0, 0);
    // Where the newest star stands, and up to where it has taken letters.
    let mut star: Option<(usize, usize)> = None;
    while from < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(c) if *c == '?' || name.get(from) == Some(c) => (at, from) = (at + 1, from + 1),
            Some(_) | None => match star {
                Some((place, taken)) => {
                    star = Some((place, taken + 1));
                    (at, from) = (place + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern.get(at..).is_some_and(|rest| rest.iter().all(|c| *c == '*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b1_what_has_no_end_is_read_up_to_the_bound() {
        assert!(read(Path::new("/dev/zero")).unwrap_err().what.contains("more than"));
    }

    #[test]
    fn patterns_name_files() {
        for (pattern, name, expected) in [
            ("*.conf", "a.conf", true),
            ("*.conf", ".a.conf", false),
            ("*.conf", "a.conf.bak", false),
            ("a?c*", "abc", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("x", "x", true),
            ("", "x", false),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }
}
