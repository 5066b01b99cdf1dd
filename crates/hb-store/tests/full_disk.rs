//! A disk that is really full, and one that is really read-only: a small tmpfs, where the system lets us mount one.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, in its helpers as well, and a skipped one says so"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

use hb_core::ids::{Seq, StreamName};
use hb_store::journal::dir::DirJournal;
use hb_store::port::{Appended, Journal};

/// A mounted tmpfs; unmounted when dropped.
struct Small {
    dir: tempfile::TempDir,
}

impl Small {
    /// Nothing when the system does not let us mount: then the test says so, and the same faults are only played by the
    /// hook before each step (`journal::dir`, `views`).
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"]).arg(dir.path()).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self { dir }),
            Ok(output) => {
                println!("SKIPPED, played by the hook only: mount: {}", String::from_utf8_lossy(&output.stderr));
                None
            }
            Err(error) => {
                println!("SKIPPED, played by the hook only: mount: {error}");
                None
            }
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("journal")
    }

    fn remount(&self, how: &str) {
        let output = Command::new("mount").args(["-o", how]).arg(self.dir.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(self.dir.path()).status().unwrap();
        assert!(unmounted.success());
    }
}

fn stream() -> StreamName {
    "watch/full".into()
}

fn fill(journal: &mut DirJournal, from: u64) -> (u64, String) {
    for number in from..10_000 {
        match journal.append(&stream(), Seq(number), &[b'x'; 2000]) {
            Appended::Committed => {}
            Appended::Failed(why) => return (number, why),
            other @ (Appended::Refused(_) | Appended::Unknown(_) | Appended::Stopped(_)) => {
                panic!("{number}: {other:?}")
            }
        }
    }
    panic!("never full")
}

fn whole(root: &Path) -> usize {
    let records = DirJournal::open(root).unwrap().read(&stream(), Seq(0), 10_000).unwrap();
    assert!(records.iter().all(|(_, bytes)| bytes.len() == 2000), "J3: a record is cut");
    records.len()
}

#[test]
fn j3_a_full_disk_refuses_with_advice_keeps_the_old_whole_and_goes_on_when_there_is_room() {
    let Some(small) = Small::mount() else { return };
    let ballast = small.dir.path().join("ballast");
    std::fs::write(&ballast, vec![0; 64 << 10]).unwrap();
    let mut journal = DirJournal::open(&small.path()).unwrap();
    let (full_at, why) = fill(&mut journal, 0);
    assert!(full_at > 10, "{full_at}");
    assert!(why.contains("free space") && why.contains("journal"), "{why}");
    assert_eq!(whole(&small.path()), usize::try_from(full_at).unwrap());
    assert!(matches!(journal.append(&stream(), Seq(full_at), &[b'x'; 2000]), Appended::Failed(_)));
    std::fs::remove_file(&ballast).unwrap();
    assert_eq!(journal.append(&stream(), Seq(full_at), &[b'x'; 2000]), Appended::Committed, "the same handle goes on");
    // Trimming makes room, although a floor has to be written first.
    let (full_at, _) = fill(&mut journal, full_at + 1);
    journal.trim(&stream(), Seq(full_at - 5)).unwrap();
    assert_eq!(journal.append(&stream(), Seq(full_at), &[b'x'; 2000]), Appended::Committed);
}

#[test]
fn j3_a_read_only_disk_refuses_with_advice_and_can_still_be_read() {
    let Some(small) = Small::mount() else { return };
    let mut journal = DirJournal::open(&small.path()).unwrap();
    for number in 0..3 {
        assert_eq!(journal.append(&stream(), Seq(number), &[b'x'; 2000]), Appended::Committed);
    }
    small.remount("remount,ro");
    let appended = journal.append(&stream(), Seq(3), &[b'x'; 2000]);
    assert!(matches!(&appended, Appended::Failed(why) if why.contains("remount")), "{appended:?}");
    assert_eq!(whole(&small.path()), 3);
    let mut other = DirJournal::open(&small.path()).unwrap();
    let appended = other.append(&stream(), Seq(3), &[b'x'; 2000]);
    assert!(matches!(&appended, Appended::Failed(why) if why.contains("remount")), "{appended:?}");
    small.remount("remount,rw");
    assert_eq!(journal.append(&stream(), Seq(3), &[b'x'; 2000]), Appended::Committed);
}
