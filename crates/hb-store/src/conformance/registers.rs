//! What every register must obey, as checks that any backend can be put through.
//!
//! Each check panics with the law that was bent. A backend is given as a function that opens a fresh handle on the same, at first
//! empty, register: handles must not share state in memory, as two nodes do not.

mod attending;
#[cfg(test)]
mod bent;
mod race;
mod waiting;

pub use attending::abandonment_is_told;
pub use race::{one_swapper_wins, removal_races_with_writing};
pub use waiting::{no_wake_is_lost, waiting_ends_by_change_or_patience};

use std::collections::HashSet;
use std::time::Duration;

use crate::register::{CELL_MAX, Cell, CellVersion, NAME_MAX, Register, Swapped};

/// Opens a fresh handle on the register under test.
pub type Open<'a> = &'a (dyn Fn() -> Box<dyn Register> + Sync);

/// How often an answer that is not known, or a refusal for the moment, is met before the check gives up.
const TRIES: usize = 50;

/// Puts a backend through every law but [`abandonment_is_told`], which only some engines can; `open_fresh` makes a new empty
/// register and gives a function that opens it.
pub fn all<F>(open_fresh: impl Fn() -> F)
where
    F: Fn() -> Box<dyn Register> + Sync,
{
    swaps_compare(&open_fresh());
    versions_never_come_again(&open_fresh());
    bytes_come_back_as_they_went(&open_fresh());
    bounds_are_kept(&open_fresh());
    lists_are_by_name(&open_fresh());
    one_swapper_wins(&open_fresh());
    removal_races_with_writing(&open_fresh());
    waiting_ends_by_change_or_patience(&open_fresh());
    no_wake_is_lost(&open_fresh());
}

/// What stands in a cell.
fn read(register: &mut dyn Register, name: &str) -> Option<Cell> {
    register.read(name).unwrap_or_else(|error| panic!("{name} cannot be read: {error}"))
}

/// Swaps where nobody else does, so that every answer that is not known can be settled by reading; the version that stands then.
///
/// The bytes must differ from what stands there.
fn put(register: &mut dyn Register, name: &str, seen: Option<&CellVersion>, bytes: &[u8]) -> CellVersion {
    for _ in 0..TRIES {
        match register.swap(name, seen, bytes) {
            Swapped::Done(version) => return version,
            Swapped::Lost(Some(cell)) if cell.bytes == bytes => return cell.version,
            Swapped::Unknown(_) => match read(register, name) {
                Some(cell) if cell.bytes == bytes => return cell.version,
                Some(_) | None => pause(),
            },
            Swapped::Failed(_) => pause(),
            Swapped::Lost(there) => panic!("a swap of {name} that expected what stands there was lost to {there:?}"),
        }
    }
    panic!("a swap of {name} was not acknowledged in {TRIES} tries")
}

/// Removes where nobody else changes anything.
fn take(register: &mut dyn Register, name: &str, seen: &CellVersion) {
    for _ in 0..TRIES {
        match register.remove(name, seen) {
            Swapped::Done(version) => {
                assert_eq!(&version, seen, "a removal names the version that was removed");
                return;
            }
            Swapped::Lost(None) => return,
            Swapped::Unknown(_) | Swapped::Failed(_) => pause(),
            Swapped::Lost(there) => panic!("a removal of {name} that expected what stands there was lost to {there:?}"),
        }
    }
    panic!("a removal of {name} was not acknowledged in {TRIES} tries")
}

fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}

/// A swap that must be lost, and to what.
fn lost(swapped: Swapped, what: &str) -> Option<Cell> {
    match swapped {
        Swapped::Lost(there) => there,
        other @ (Swapped::Done(_) | Swapped::Unknown(_) | Swapped::Failed(_)) => {
            panic!("{what}: expected that it is lost, got {other:?}")
        }
    }
}

/// A swap or removal that expected another version changes nothing and says what stands there, to every handle.
pub fn swaps_compare(open: Open<'_>) {
    let (mut one, mut other) = (open(), open());
    assert_eq!(read(&mut *one, "a"), None, "a fresh register is empty");
    let first = put(&mut *one, "a", None, b"1");
    let standing = Some(Cell { bytes: b"1".to_vec(), version: first.clone() });
    for handle in [&mut *one, &mut *other, &mut *open()] {
        assert_eq!(read(handle, "a"), standing, "what was acknowledged is what every handle reads");
        assert_eq!(lost(handle.swap("a", None, b"x"), "making a cell that stands"), standing);
    }
    let second = put(&mut *other, "a", Some(&first), b"2");
    assert_ne!(first, second, "a change gives another version");
    let standing = Some(Cell { bytes: b"2".to_vec(), version: second.clone() });
    for handle in [&mut *one, &mut *other, &mut *open()] {
        assert_eq!(lost(handle.swap("a", Some(&first), b"x"), "a stale swap"), standing);
        assert_eq!(lost(handle.remove("a", &first), "a stale removal"), standing);
        assert_eq!(read(handle, "a"), standing, "what was lost changed nothing");
    }
    assert_eq!(lost(one.swap("b", Some(&second), b"x"), "a swap of a cell that is not there"), None);
    assert_eq!(lost(one.remove("b", &second), "a removal of a cell that is not there"), None);
    assert_eq!(read(&mut *other, "b"), None, "what was lost changed nothing");
    take(&mut *one, "a", &second);
    for handle in [&mut *one, &mut *other, &mut *open()] {
        assert_eq!(read(handle, "a"), None, "a removed cell is gone for every handle");
        assert_eq!(lost(handle.swap("a", Some(&second), b"x"), "a swap of a removed cell"), None);
    }
}

/// Versions never come again: not with equal bytes, not after a removal; so whoever saw an old one always loses.
pub fn versions_never_come_again(open: Open<'_>) {
    let (mut one, mut other) = (open(), open());
    let mut given = HashSet::new();
    let mut seen: Option<CellVersion> = None;
    for round in 0..12_u8 {
        // Bytes repeat: two of them, in turn.
        let bytes = [round % 2];
        let handle = if round % 3 == 0 { &mut *other } else { &mut *one };
        let version = put(handle, "a", seen.as_ref(), &bytes);
        assert!(given.insert(version.clone()), "version {version:?} came again with equal bytes");
        for old in given.iter().filter(|old| **old != version) {
            assert!(lost(handle.swap("a", Some(old), b"zombie"), "an old version").is_some());
        }
        seen = Some(version);
        if round % 4 == 3
            && let Some(version) = seen.take()
        {
            take(handle, "a", &version);
            assert_eq!(lost(handle.swap("a", Some(&version), b"zombie"), "a removed version"), None);
        }
    }
}

/// All bytes are kept as they are; no bytes are not the same as no cell.
pub fn bytes_come_back_as_they_went(open: Open<'_>) {
    let mut register = open();
    let all: Vec<u8> = (0..=255).collect();
    let full: Vec<u8> = (0..CELL_MAX).map(|at| u8::try_from(at % 251).unwrap_or(0)).collect();
    for (name, bytes) in [("all", all.as_slice()), ("none", b""), ("full", full.as_slice())] {
        let version = put(&mut *register, name, None, bytes);
        assert!(
            read(&mut *open(), name) == Some(Cell { bytes: bytes.to_vec(), version }),
            "{name}: other bytes came back"
        );
    }
}

/// Names and sizes have bounds: what is beyond them is refused in words, and changes nothing.
pub fn bounds_are_kept(open: Open<'_>) {
    let mut register = open();
    let failed = |swapped: Swapped, what: &str| match swapped {
        Swapped::Failed(why) => assert!(!why.is_empty(), "{what}: a refusal says why"),
        other @ (Swapped::Done(_) | Swapped::Lost(_) | Swapped::Unknown(_)) => panic!("{what}: {other:?}"),
    };
    failed(register.swap("large", None, &vec![7; CELL_MAX + 1]), "a cell that is too large");
    assert_eq!(read(&mut *register, "large"), None, "what was refused changed nothing");
    let version = put(&mut *register, "large", None, b"small");
    failed(register.swap("large", Some(&version), &vec![7; CELL_MAX + 1]), "a cell that is too large");
    assert_eq!(read(&mut *register, "large").map(|cell| cell.bytes), Some(b"small".to_vec()));
    let longest = format!("{}/{}", "n".repeat(99), "m".repeat(NAME_MAX - 100));
    put(&mut *register, &longest, None, b"1");
    assert_eq!(read(&mut *open(), &longest).map(|cell| cell.bytes), Some(b"1".to_vec()), "the longest name");
    let too_long = "n".repeat(NAME_MAX + 1);
    for name in ["", "/", "a/", "/a", "a//b", "..", "../a", "a/..", ".", "a b", "a\n", "ä", "a\0", too_long.as_str()] {
        failed(register.swap(name, None, b"x"), name);
        assert!(register.read(name).is_err(), "{name:?} is no name and cannot be read");
    }
}

/// A list has every cell whose name begins so, by name, no more than asked for; removed ones are not in it.
pub fn lists_are_by_name(open: Open<'_>) {
    let (mut one, mut other) = (open(), open());
    assert_eq!(one.list("", 10), Ok(Vec::new()), "a fresh register is empty");
    let mut versions = Vec::new();
    for name in ["node/b", "node", "node/a", "lease", "node/B-1.x_y", "nodes/z", "node/c/d"] {
        versions.push((name, put(&mut *one, name, None, name.as_bytes())));
    }
    let cell = |name: &str| {
        let (_, version) = versions.iter().find(|(other, _)| *other == name).expect("it was put");
        (name.to_owned(), Cell { bytes: name.as_bytes().to_vec(), version: version.clone() })
    };
    for handle in [&mut *one, &mut *other] {
        let below = ["node/B-1.x_y", "node/a", "node/b", "node/c/d"].map(cell).to_vec();
        assert_eq!(handle.list("node/", 10), Ok(below.clone()), "by name, with versions");
        assert_eq!(handle.list("node/", 2).as_deref(), Ok(&below[..2]), "no more than asked for");
        assert_eq!(handle.list("node/a", 10), Ok(vec![cell("node/a")]));
        assert_eq!(handle.list("other/", 10), Ok(Vec::new()));
        assert_eq!(handle.list("", 100).map(|all| all.len()), Ok(versions.len()), "every cell");
    }
    let (_, gone) = cell("node/a");
    take(&mut *other, "node/a", &gone.version);
    assert_eq!(one.list("node/a", 10), Ok(Vec::new()), "a removed cell is in no list");
}
