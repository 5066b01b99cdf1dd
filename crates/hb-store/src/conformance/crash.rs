//! Crash points: an append is cut at every one of its steps on the file system (J3, J5).
//!
//! What power loss takes is played by a double of the disk: it remembers which bytes and which names have been fsynced,
//! and takes back the rest, in the worst way: un-fsynced names go, un-fsynced bytes of names that stay are emptied.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use hb_core::ids::{Seq, StreamName};
use hb_core::journal::Hash;

use super::sample;
use crate::atomic::{Disk, Op, Steps, Verdict};
use crate::journal::dir::DirJournal;
use crate::port::{Appended, Journal};
use crate::reader::read_sound;

const EIO: i32 = 5;
const ENOSPC: i32 = 28;
const EROFS: i32 = 30;

/// How the machine stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Death {
    /// `kill -9`: what the kernel has stays.
    Kill,
    /// Power: what was not fsynced goes.
    Power,
}

/// Counts steps and stops at one of them; from there nothing is done any more.
#[derive(Default)]
struct Cut {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    steps: usize,
    stop_at: Option<usize>,
    fail: Option<(usize, Verdict)>,
    /// A kind of fsync that does nothing, as on a disk that lies.
    lies: Option<Op>,
    /// Names given or taken since their folder was fsynced.
    unsynced: BTreeMap<PathBuf, Op>,
    /// Files whose bytes are not fsynced.
    dirty: BTreeMap<PathBuf, ()>,
    log: Vec<(Op, PathBuf)>,
}

impl Cut {
    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Steps for Cut {
    fn before(&self, op: Op, path: &Path) -> Verdict {
        self.with(|state| {
            let step = state.steps;
            state.steps += 1;
            state.log.push((op, path.to_path_buf()));
            if state.stop_at.is_some_and(|stop| step >= stop) {
                return Verdict::Fail(EIO);
            }
            if let Some((at, verdict)) = state.fail
                && at == step
            {
                return verdict;
            }
            state.note(op, path);
            Verdict::Go
        })
    }
}

impl State {
    fn note(&mut self, op: Op, path: &Path) {
        if self.lies == Some(op) {
            return;
        }
        match op {
            Op::Create | Op::Write => {
                self.unsynced.entry(path.to_path_buf()).or_insert(op);
                self.dirty.insert(path.to_path_buf(), ());
            }
            Op::CreateDir => {
                self.unsynced.insert(path.to_path_buf(), op);
            }
            Op::Link | Op::Rename => {
                self.unsynced.insert(path.to_path_buf(), op);
                // The bytes are those of the temporary file beside: dirty if that one is.
                if self.dirty.keys().any(|temp| temp.parent() == path.parent()) {
                    self.dirty.insert(path.to_path_buf(), ());
                }
            }
            Op::SyncFile => {
                self.dirty.remove(path);
            }
            Op::SyncDir => self.unsynced.retain(|name, _| name.parent() != Some(path)),
            Op::Unlink | Op::Read | Op::List | Op::Look => {}
        }
    }

    fn lose_power(&self) {
        for path in self.dirty.keys() {
            if path.is_file() {
                fs::write(path, b"").expect("the double of the disk can empty a file");
            }
        }
        // Deepest first, so that folders are empty when their turn comes.
        for (path, op) in self.unsynced.iter().rev() {
            let gone = match op {
                Op::CreateDir => fs::remove_dir_all(path),
                Op::Create
                | Op::Write
                | Op::SyncFile
                | Op::Link
                | Op::Rename
                | Op::Unlink
                | Op::SyncDir
                | Op::Read
                | Op::List
                | Op::Look => fs::remove_file(path),
            };
            if let Err(error) = gone {
                assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{}", path.display());
            }
        }
    }
}

fn name() -> StreamName {
    "watch/crash".into()
}

fn filled(root: &Path, before: u64) -> Hash {
    let mut journal = DirJournal::open(root).expect("the journal opens");
    super::fill(&mut journal, &name(), before).last().map_or(Hash::ZERO, |sealed| sealed.hash)
}

/// J3: stopped before any of its steps, by `kill -9` or by power loss, an append is afterwards wholly there or wholly
/// absent, all that was acknowledged before stands, and the next append goes on. Gives back how many points were tried.
pub fn every_crash_point_of_an_append(scratch: &Path) -> usize {
    crash_points(scratch, None)
}

fn crash_points(scratch: &Path, lies: Option<Op>) -> usize {
    let mut tried = 0;
    for death in [Death::Kill, Death::Power] {
        for before in [0, 1] {
            for stop in 0.. {
                let root = scratch.join(format!("{death:?}-{before}-{stop}"));
                let finished = crash_once(&root, before, stop, (death, lies));
                tried += 1;
                if finished {
                    break;
                }
            }
        }
    }
    tried
}

/// One append, stopped before step `stop`; whether it was over before that.
fn crash_once(root: &Path, before: u64, stop: usize, (death, lies): (Death, Option<Op>)) -> bool {
    let prev = filled(root, before);
    let record = sample(&name(), Seq(before), "a", prev);
    let cut = Arc::new(Cut::default());
    let disk = Disk::with_steps(Arc::<Cut>::clone(&cut));
    cut.with(|state| (state.stop_at, state.lies) = (Some(stop), lies));
    let appended =
        DirJournal::open_on(disk, root).map(|mut journal| journal.append(&name(), Seq(before), &record.bytes));
    let acknowledged = appended == Ok(Appended::Committed);
    let finished = cut.with(|state| {
        if death == Death::Power {
            state.lose_power();
        }
        state.steps <= stop
    });
    let what = format!("J3: {death:?} before step {stop} of an append after {before} records");
    let mut journal = DirJournal::open(root).unwrap_or_else(|error| panic!("{what}: {error}"));
    let stands = read_sound(&mut journal, &name(), Seq(0), 100).unwrap_or_else(|error| panic!("{what}: {error}"));
    let wanted = usize::try_from(before).expect("a small number");
    assert!(stands.len() == wanted || stands.get(wanted) == Some(&record), "{what}: {stands:?}");
    assert!(!acknowledged || stands.len() == wanted + 1, "{what}: acknowledged and lost");
    assert_eq!(journal.append(&name(), Seq(before), &record.bytes), Appended::Committed, "{what}: again");
    let next = sample(&name(), Seq(before + 1), "b", record.hash);
    assert_eq!(journal.append(&name(), Seq(before + 1), &next.bytes), Appended::Committed, "{what}: next");
    finished
}

/// J5: whatever step of an append fails, however, its answer is true; after a failed fsync the handle never writes again,
/// after any other fault the same handle goes on. Gives back how many faults were tried.
pub fn every_fault_of_an_append(scratch: &Path) -> usize {
    let mut tried = 0;
    let verdicts = [Verdict::Fail(ENOSPC), Verdict::Fail(EROFS), Verdict::Fail(EIO), Verdict::DoneButFail(EIO)];
    for verdict in verdicts {
        for before in [0, 1] {
            for at in 0.. {
                let root = scratch.join(format!("fault-{tried}"));
                tried += 1;
                if !fault_once(&root, before, (at, verdict)) {
                    break;
                }
            }
        }
    }
    tried
}

/// One append of which one step fails; whether there was such a step.
fn fault_once(root: &Path, before: u64, (at, verdict): (usize, Verdict)) -> bool {
    let prev = filled(root, before);
    let record = sample(&name(), Seq(before), "a", prev);
    let cut = Arc::new(Cut::default());
    let disk = Disk::with_steps(Arc::<Cut>::clone(&cut));
    let mut journal = DirJournal::open_on(disk, root).expect("nothing fails yet");
    let begun = cut.with(|state| state.steps);
    cut.with(|state| state.fail = Some((begun + at, verdict)));
    let appended = journal.append(&name(), Seq(before), &record.bytes);
    let (ended, failed) = cut.with(|state| {
        state.fail = None;
        (state.steps, state.log.get(begun + at).cloned())
    });
    let what = format!("J5: {verdict:?} at step {at} ({failed:?}) after {before} records: {appended:?}");
    let stands = DirJournal::open(root).and_then(|mut other| other.head(&name()));
    let is_there = stands == Ok(Some(Seq(before)));
    match &appended {
        Appended::Committed => assert!(is_there, "{what}"),
        Appended::Failed(_) | Appended::Stopped(_) => assert!(!is_there, "{what}"),
        Appended::Unknown(_) => {}
        Appended::Refused(_) => panic!("{what}"),
    }
    // To look at a folder that cannot be written, or that is not there yet, is no reason to stop: nothing of ours can be lost there.
    let nothing = verdict == Verdict::Fail(EROFS) || (before == 0 && matches!(verdict, Verdict::DoneButFail(_)));
    let looked = nothing && appended == Appended::Committed;
    if failed.as_ref().is_some_and(|(op, _)| op.is_sync()) && !looked {
        assert!(journal.stopped().is_some(), "{what}: goes on after a failed fsync");
        let again = journal.append(&name(), Seq(before), &record.bytes);
        assert!(matches!(again, Appended::Stopped(_)), "{what}: then {again:?}");
        assert!(journal.head(&name()).is_err(), "{what}: claims to know what stands");
    } else {
        assert_eq!(journal.append(&name(), Seq(before), &record.bytes), Appended::Committed, "{what}: again");
    }
    begun + at < ended
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negative_control_a_disk_that_lies_about_fsync_is_caught() {
        for lies in [Op::SyncFile, Op::SyncDir] {
            let scratch = tempfile::tempdir().unwrap();
            let caught = std::panic::catch_unwind(|| crash_points(scratch.path(), Some(lies)));
            assert!(caught.is_err(), "the crash points do not notice a missing {lies:?}");
        }
    }
}
