//! Whether a store keeps its word, asked of the store itself before it is trusted: several askers at once, as nodes would be.
//!
//! What is found is what happened here and now; that a store did well today proves nothing, that it did badly proves enough.
//! Bounds (B1): [`ASKERS`] at once, [`ROUNDS`] rounds. What is written stands under `probe`: of the stream one record stays, of the cells at
//! most [`CELLS`] names come to be used, however often somebody asks.

use std::sync::{Barrier, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hb_core::ids::{Seq, StreamName};
use hb_core::journal::Hash;
use serde::Serialize;

use crate::port::{Appended, Blobs, Journal, JournalError, Standing};
use crate::register::nonce::nonce;
use crate::register::{Register, Swapped};

/// Askers at once.
pub const ASKERS: usize = 8;
/// Rounds of a race.
pub const ROUNDS: u64 = 12;
/// The stream that is written. What stands in it are no records of `hb`: whoever reads whole journals leaves it out.
pub const STREAM: &str = "probe";
/// Most names of cells: those that were removed leave a trace in some registers, which must not grow with every asking.
pub const CELLS: usize = 256;

/// What a check came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Good,
    /// It works, but somebody should know.
    Doubtful,
    /// It cannot be relied on.
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at, in few words.
    pub what: String,
    /// What it came to.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do; empty where there is nothing to do.
    pub advice: String,
}

impl Check {
    /// All is well.
    #[must_use]
    pub fn good(what: &str, found: impl Into<String>) -> Self {
        Self { what: what.into(), verdict: Verdict::Good, found: found.into(), advice: String::new() }
    }

    /// Somebody should know.
    #[must_use]
    pub fn doubtful(what: &str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { what: what.into(), verdict: Verdict::Doubtful, found: found.into(), advice: advice.into() }
    }

    /// It cannot be relied on.
    #[must_use]
    pub fn bad(what: &str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { what: what.into(), verdict: Verdict::Bad, found: found.into(), advice: advice.into() }
    }
}

const NOT_SAFE: &str = "two nodes could both believe that they decided a cycle: use another store";
const UNREACHED: &str = "see that it runs, that its address is right, and that this node may use it";

/// Opens one more handle.
pub type Opens<'a, T> = &'a (dyn Fn() -> Result<T, String> + Sync);

/// How long things took.
fn told(mut times: Vec<Duration>) -> String {
    times.sort();

    let at = |share: usize| times.get(times.len().saturating_sub(1) * share / 100).copied().unwrap_or_default();
    format!("{:.1} ms at the median, {:.1} ms at the worst", at(50).as_secs_f64() * 1e3, at(100).as_secs_f64() * 1e3)
}

/// What racing askers saw: per round how many won, and what else happened.
#[derive(Debug, Default)]
struct Race {
    wins: Vec<u64>,
    unclear: Vec<String>,
    times: Vec<Duration>,
}

impl Race {
    fn check(self, what: &str) -> Check {
        let doubles = (0..ROUNDS).filter(|round| self.wins.iter().filter(|won| *won == round).count() > 1).count();
        let nobody = (0..ROUNDS).filter(|round| !self.wins.contains(round)).count();
        if doubles > 0 {
            let found =
                format!("{doubles} of {ROUNDS} races had several winners: it looks first and writes afterwards");
            return Check::bad(what, found, NOT_SAFE);
        }
        if let Some(why) = self.unclear.first() {
            let found = format!("{} answers were no answers, the first: {why}", self.unclear.len());
            return Check::doubtful(what, found, "what is not known is read back; if this happens often, hb is slow");
        }
        if nobody > 0 {
            return Check::bad(what, format!("{nobody} of {ROUNDS} races had no winner"), UNREACHED);
        }
        Check::good(what, format!("{ASKERS} at once, {ROUNDS} races, one winner each; {}", told(self.times)))
    }
}

fn race<T: Send>(open: Opens<'_, T>, ask: impl Fn(&mut T, usize, u64, &Mutex<Race>) + Sync) -> Result<Race, String> {
    let mut askers = (0..ASKERS).map(|_| open()).collect::<Result<Vec<T>, String>>()?;
    let (start, race) = (Barrier::new(ASKERS), Mutex::new(Race::default()));
    std::thread::scope(|scope| {
        for (number, asker) in askers.iter_mut().enumerate() {
            let (start, race, ask) = (&start, &race, &ask);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    start.wait();
                    ask(asker, number, round, race);
                    start.wait();
                }
            });
        }
    });
    Ok(race.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn note(race: &Mutex<Race>, act: impl FnOnce(&mut Race)) {
    act(&mut race.lock().unwrap_or_else(PoisonError::into_inner));
}

/// Asks a journal: appends in a row, races for numbers, what stands afterwards, trimming. Leaves one record.
#[must_use]
pub fn journal(open: Opens<'_, Box<dyn Journal>>) -> Vec<Check> {
    let stream: StreamName = STREAM.into();
    let mut out = Vec::new();
    let first = match begin(open, &stream) {
        Ok(first) => first,
        Err(why) => return vec![Check::bad("journal: opened and read", why, UNREACHED)],
    };
    let raced = race(open, |journal, asker, round, race| {
        let seq = Seq(first.0.saturating_add(round));
        let bytes = format!("probe {asker} {round} {}", nonce());
        let begun = Instant::now();
        let ended = journal.append(&stream, seq, bytes.as_bytes());
        note(race, |race| match ended {
            Appended::Committed => {
                race.wins.push(round);
                race.times.push(begun.elapsed());
            }
            Appended::Refused(Standing::Taken(_)) => {}
            other @ (Appended::Refused(_) | Appended::Unknown(_) | Appended::Failed(_) | Appended::Stopped(_)) => {
                race.unclear.push(format!("{other:?}"));
            }
        });
    });
    match raced {
        Ok(race) => out.push(race.check("journal: each number is given once")),
        Err(why) => out.push(Check::bad("journal: opened by several", why, UNREACHED)),
    }
    out.push(match clean(open, &stream) {
        Ok(()) => Check::good("journal: what is below the floor stays away", "trimmed, and refused afterwards"),
        Err(why) => Check::bad("journal: what is below the floor stays away", why, NOT_SAFE),
    });
    out
}

fn begin(open: Opens<'_, Box<dyn Journal>>, stream: &StreamName) -> Result<Seq, String> {
    let head = open()?.head(stream).map_err(|error| error.to_string())?;
    Ok(head.map_or(Seq(0), Seq::next))
}

/// Trims all but the newest, and sees whether another handle can still get in below.
fn clean(open: Opens<'_, Box<dyn Journal>>, stream: &StreamName) -> Result<(), String> {
    let told = |error: JournalError| error.to_string();
    let (mut one, mut late) = (open()?, open()?);
    let head = late.head(stream).map_err(told)?.ok_or("nothing stands there, although appends were acknowledged")?;
    one.trim(stream, head).map_err(told)?;
    let below = Seq(head.0.saturating_sub(1));
    match late.append(stream, below, b"probe too late") {
        Appended::Refused(_) | Appended::Failed(_) => Ok(()),
        _ if head == Seq(0) => Ok(()),
        other @ (Appended::Committed | Appended::Unknown(_) | Appended::Stopped(_)) => {
            Err(format!("record {below} was trimmed away, and an append to it ended as {other:?}"))
        }
    }
}

/// Asks a place of documents.
#[must_use]
pub fn blobs(open: Opens<'_, Box<dyn Blobs>>) -> Check {
    let what = "documents: what is put can be read";
    let bytes = b"hb doctor looks whether documents can be kept here";
    let hash = Hash::of(bytes);
    let asked = || -> Result<Option<Vec<u8>>, String> {
        open()?.put(hash, bytes).map_err(|error| error.to_string())?;
        open()?.get(hash).map_err(|error| error.to_string())
    };
    match asked() {
        Ok(Some(found)) if found == bytes => Check::good(what, "put by one handle, read by another"),
        Ok(found) => Check::bad(what, format!("{:?} bytes came back", found.map(|found| found.len())), UNREACHED),
        Err(why) => Check::bad(what, why, UNREACHED),
    }
}

/// Asks a register: races for one cell, stale versions, removal, and whether waiting ends by a change.
#[must_use]
pub fn register(open: Opens<'_, Box<dyn Register>>) -> Vec<Check> {
    let cell = cell_name();
    let mut out = Vec::new();
    let raced = race(open, |register, asker, round, race| {
        let seen = match register.read(&cell) {
            Ok(seen) => seen.map(|cell| cell.version),
            Err(error) => return note(race, |race| race.unclear.push(error.to_string())),
        };
        let begun = Instant::now();
        let ended = register.swap(&cell, seen.as_ref(), format!("{asker} {round}").as_bytes());
        note(race, |race| match ended {
            Swapped::Done(_) => {
                race.wins.push(round);
                race.times.push(begun.elapsed());
            }
            Swapped::Lost(_) => {}
            Swapped::Unknown(why) | Swapped::Failed(why) => race.unclear.push(why),
        });
    });
    match raced {
        // Who reads late sees the winner's and may win after it: only a stale version must never.
        Ok(race) => out.push(swaps(race)),
        Err(why) => return vec![Check::bad("register: opened by several", why, UNREACHED)],
    }
    out.push(stale(open, &cell));
    out.push(wakes(open, &cell));
    out
}

/// One of [`CELLS`] names by chance, so that two who ask at the same time hardly ever meet.
fn cell_name() -> String {
    format!("probe/{}", nonce().chars().take(2).collect::<String>())
}

fn swaps(race: Race) -> Check {
    let what = "register: swaps are answered";
    match race.unclear.first() {
        Some(why) => Check::doubtful(what, format!("{} were not, the first: {why}", race.unclear.len()), UNREACHED),
        None => Check::good(what, format!("{ASKERS} at once; {}", told(race.times))),
    }
}

/// All start from one version: exactly one may win.
fn stale(open: Opens<'_, Box<dyn Register>>, cell: &str) -> Check {
    let what = "register: of those who saw the same, one wins";
    let seen: Mutex<Vec<Option<crate::register::CellVersion>>> = Mutex::new(Vec::new());
    let read = || -> Result<(), String> {
        let version = open()?.read(cell).map_err(|error| error.to_string())?.map(|cell| cell.version);
        seen.lock().unwrap_or_else(PoisonError::into_inner).push(version);
        Ok(())
    };
    let turns = Barrier::new(ASKERS);
    let raced = read().and_then(|()| {
        race(open, |register, asker, round, race| {
            let version = seen.lock().unwrap_or_else(PoisonError::into_inner).last().cloned().flatten();
            turns.wait();
            let begun = Instant::now();
            match register.swap(cell, version.as_ref(), format!("{asker} {round} {}", nonce()).as_bytes()) {
                Swapped::Done(version) => {
                    note(race, |race| race.times.push(begun.elapsed()));
                    seen.lock().unwrap_or_else(PoisonError::into_inner).push(Some(version));
                    note(race, |race| race.wins.push(round));
                }
                Swapped::Lost(_) => {}
                Swapped::Unknown(why) | Swapped::Failed(why) => note(race, |race| race.unclear.push(why)),
            }
        })
    });
    match raced {
        Ok(race) => race.check(what),
        Err(why) => Check::bad(what, why, UNREACHED),
    }
}

fn wakes(open: Opens<'_, Box<dyn Register>>, cell: &str) -> Check {
    let what = "register: a change is noticed, and a cell can be removed";
    let asked = || -> Result<Duration, String> {
        let (mut waiter, mut changer) = (open()?, open()?);
        let seen = waiter.read(cell).map_err(|error| error.to_string())?.map(|cell| cell.version);
        let begun = Instant::now();
        match changer.swap(cell, seen.as_ref(), b"wake") {
            Swapped::Done(_) => {}
            other @ (Swapped::Lost(_) | Swapped::Unknown(_) | Swapped::Failed(_)) => return Err(format!("{other:?}")),
        }
        waiter.wait(cell, seen.as_ref(), Duration::from_secs(5)).map_err(|error| error.to_string())?;
        let took = begun.elapsed();
        let now = changer.read(cell).map_err(|error| error.to_string())?.ok_or("the cell is gone")?;
        match changer.remove(cell, &now.version) {
            Swapped::Done(_) => Ok(took),
            other @ (Swapped::Lost(_) | Swapped::Unknown(_) | Swapped::Failed(_)) => Err(format!("{other:?}")),
        }
    };
    match asked() {
        Ok(took) => Check::good(what, format!("after {:.0} ms", took.as_secs_f64() * 1e3)),
        Err(why) => Check::bad(what, why, UNREACHED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blobs::DirBlobs;
    use crate::journal::dir::DirJournal;
    use crate::journal::memory::MemoryJournal;
    use crate::register::memory::MemoryRegister;

    /// A store that looks first and writes afterwards, as some do.
    struct Looks(MemoryRegister);

    impl Register for Looks {
        fn read(&mut self, name: &str) -> Result<Option<crate::register::Cell>, crate::register::RegisterError> {
            self.0.read(name)
        }
        fn swap(&mut self, name: &str, seen: Option<&crate::register::CellVersion>, bytes: &[u8]) -> Swapped {
            let there = self.0.read(name).ok().flatten();
            if there.as_ref().map(|cell| &cell.version) != seen {
                return Swapped::Lost(there);
            }
            std::thread::sleep(Duration::from_millis(2));
            let now = self.0.read(name).ok().flatten().map(|cell| cell.version);
            self.0.swap(name, now.as_ref(), bytes)
        }
        fn remove(&mut self, name: &str, seen: &crate::register::CellVersion) -> Swapped {
            self.0.remove(name, seen)
        }
        fn list(
            &mut self,
            prefix: &str,
            most: usize,
        ) -> Result<Vec<(String, crate::register::Cell)>, crate::register::RegisterError> {
            self.0.list(prefix, most)
        }
        fn wait(
            &mut self,
            name: &str,
            seen: Option<&crate::register::CellVersion>,
            patience: Duration,
        ) -> Result<crate::register::Woken, crate::register::RegisterError> {
            self.0.wait(name, seen, patience)
        }
    }

    fn worst(checks: &[Check]) -> Vec<&Check> {
        checks.iter().filter(|check| check.verdict != Verdict::Good).collect()
    }

    #[test]
    fn j1_sound_stores_are_found_sound() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Ok(Box::new(DirJournal::open(dir.path()).unwrap()) as Box<dyn Journal>);
        for _ in 0..2 {
            let found = journal(&open);
            assert!(worst(&found).is_empty(), "{found:?}");
        }
        let journal = dir.path().to_path_buf();
        let places =
            crate::verify::Places { journal, output_dirs: Vec::new(), documents: None, db: None, supervisor: None };
        let report = crate::verify::verify(&places).unwrap();
        assert!(report.sound() && report.streams.is_empty(), "what was asked spoils nothing: {report:?}");
        let documents = || Ok(Box::new(DirBlobs::open(dir.path())) as Box<dyn Blobs>);
        assert_eq!(blobs(&documents).verdict, Verdict::Good);
        let cells = MemoryRegister::new();
        let found = register(&|| Ok(Box::new(cells.clone()) as Box<dyn Register>));
        assert!(worst(&found).is_empty(), "{found:?}");
    }

    #[test]
    fn h1_stores_that_look_and_then_write_are_found_out() {
        let cells = MemoryRegister::new();
        let found = register(&|| Ok(Box::new(Looks(cells.clone())) as Box<dyn Register>));
        assert!(worst(&found).iter().any(|check| check.verdict == Verdict::Bad), "{found:?}");
        // Each handle a journal of its own: every asker wins.
        let found = journal(&|| Ok(Box::new(MemoryJournal::new()) as Box<dyn Journal>));
        assert!(worst(&found).iter().any(|check| check.found.contains("several winners")), "{found:?}");
    }

    #[test]
    fn what_cannot_be_reached_is_told() {
        let found = journal(&|| Err("no route".into()));
        assert_eq!(worst(&found).len(), 1);
        assert!(found[0].found.contains("no route"));
    }
}
