//! The register in a folder: the laws, damage, full disks, sleepers.

use std::sync::{Arc, Mutex};

use nix::libc;

use super::*;
use crate::atomic::{Op, Steps, Verdict};
use crate::conformance::registers;

fn fresh(hears: Hears) -> impl Fn() -> Box<dyn Register> + Sync {
    let dir = tempfile::tempdir().unwrap();
    move || {
        let mut register = DirRegister::open(dir.path()).unwrap();
        register.hears = hears;
        Box::new(register) as Box<dyn Register>
    }
}

#[test]
fn it_obeys_every_law_of_a_register() {
    registers::all(|| fresh(Hears::Told));
}

#[test]
fn it_obeys_every_law_where_it_has_to_look_again_and_again() {
    registers::all(|| fresh(Hears::Asks));
}

fn put(register: &mut DirRegister, seen: Option<&CellVersion>, bytes: &[u8]) -> CellVersion {
    match register.swap("a", seen, bytes) {
        Swapped::Done(version) => version,
        other @ (Swapped::Lost(_) | Swapped::Unknown(_) | Swapped::Failed(_)) => panic!("{other:?}"),
    }
}

#[test]
fn old_versions_go_but_for_a_few_and_a_removed_cell_keeps_its_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let mut register = DirRegister::open(dir.path()).unwrap();
    let mut version = put(&mut register, None, b"0");
    for round in 1..40_u8 {
        version = put(&mut register, Some(&version), &[round]);
    }
    let there = |register: &DirRegister| register.numbers(&dir.path().join("a")).unwrap().len();
    assert_eq!(there(&register), 9, "one that stands and those behind it");
    assert!(matches!(register.remove("a", &version), Swapped::Done(_)));
    let next = put(&mut register, None, b"again");
    assert!(next.0.starts_with("42."), "{next:?}");
}

#[test]
fn a_damaged_version_is_a_cell_that_can_be_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let mut register = DirRegister::open(dir.path()).unwrap();
    put(&mut register, None, b"0");
    std::fs::write(dir.path().join("a").join(form::file_name(1)), b"\0\0torn").unwrap();
    let cell = register.read("a").unwrap().unwrap();
    assert_eq!(cell.bytes, b"\0\0torn");
    put(&mut register, Some(&cell.version), b"mended");
    assert_eq!(register.read("a").unwrap().unwrap().bytes, b"mended");
}

/// Lets others swap just before one links its version, as if it had slept since it looked.
struct Sleeper {
    dir: PathBuf,
    swaps: Mutex<u8>,
}

impl Steps for Sleeper {
    fn before(&self, op: Op, _: &Path) -> Verdict {
        let swaps = std::mem::take(&mut *self.swaps.lock().unwrap());
        if op == Op::Link {
            let mut other = DirRegister::open(&self.dir).unwrap();
            for round in 0..swaps {
                let seen = other.read("a").unwrap().map(|cell| cell.version);
                put(&mut other, seen.as_ref(), &[round]);
            }
        } else {
            *self.swaps.lock().unwrap() = swaps;
        }
        Verdict::Go
    }
}

#[test]
fn one_that_slept_since_it_looked_never_undoes_what_others_did() {
    for swaps in [1, 2, 7, 8, 9, 10, 30] {
        let dir = tempfile::tempdir().unwrap();
        put(&mut DirRegister::open(dir.path()).unwrap(), None, b"first");
        let steps = Arc::new(Sleeper { dir: dir.path().to_path_buf(), swaps: Mutex::new(swaps) });
        let mut late = DirRegister::open_with(dir.path(), Disk::with_steps(steps)).unwrap();
        let seen = late.read("a").unwrap().map(|cell| cell.version);
        let swapped = late.swap("a", seen.as_ref(), b"zombie");
        assert!(matches!(swapped, Swapped::Lost(_) | Swapped::Unknown(_)), "{swaps}: {swapped:?}");
        let stands = DirRegister::open(dir.path()).unwrap().read("a").unwrap().unwrap();
        assert_eq!(stands.bytes, [swaps - 1], "{swaps}");
    }
}

#[test]
fn lost_replies_and_full_disks_are_told_as_what_they_are() {
    struct Once(Op, Mutex<Option<Verdict>>);
    impl Steps for Once {
        fn before(&self, op: Op, path: &Path) -> Verdict {
            let ours = op == self.0 && path.to_string_lossy().contains("/a");
            if ours { self.1.lock().unwrap().take().unwrap_or(Verdict::Go) } else { Verdict::Go }
        }
    }
    for (op, verdict, done) in [
        (Op::Create, Verdict::Fail(libc::ENOSPC), false),
        (Op::Write, Verdict::Fail(libc::EDQUOT), false),
        (Op::SyncFile, Verdict::Fail(libc::EIO), false),
        (Op::Link, Verdict::DoneButFail(libc::EIO), true),
        (Op::Link, Verdict::DoneButFail(libc::EEXIST), true),
        (Op::SyncDir, Verdict::DoneButFail(libc::EIO), true),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let first = put(&mut DirRegister::open(dir.path()).unwrap(), None, b"first");
        let steps = Arc::new(Once(op, Mutex::new(Some(verdict))));
        let mut register = DirRegister::open_with(dir.path(), Disk::with_steps(steps)).unwrap();
        let swapped = register.swap("a", Some(&first), b"second");
        let stands = DirRegister::open(dir.path()).unwrap().read("a").unwrap().unwrap().bytes;
        match swapped {
            Swapped::Failed(why) => assert!(!done && stands == b"first", "{op:?}: {why}"),
            Swapped::Done(_) | Swapped::Unknown(_) => assert!(done && stands == b"second", "{op:?}"),
            Swapped::Lost(there) => panic!("{op:?}: {there:?}"),
        }
    }
}
