//! The file lease: lock, stamp, and what becomes of them when holders end or hang.

use hb_core::ids::Epoch;

use super::*;

const TTL: Duration = Duration::from_millis(600);

fn lease(dir: &Path, node: &str) -> FileLease {
    FileLease::open(dir, &node.into(), TTL).unwrap()
}

fn holder(node: &str, epoch: u64, progress: u64) -> Holder {
    Holder { node: node.into(), pid: std::process::id(), epoch: Epoch(epoch), progress }
}

fn granted(waited: Waited) -> (&'static str, String) {
    match waited {
        Waited::Granted { how, why } => (how, why),
        Waited::Held => panic!("held"),
    }
}

#[test]
fn first_start_held_then_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let (mut a, mut b) = (lease(dir.path(), "a"), lease(dir.path(), "b"));
    assert_eq!(granted(a.acquire(TTL).unwrap()), ("file", "first start".to_owned()));
    a.renew(&holder("a", 1, 1)).unwrap();
    assert_eq!(b.acquire(TTL / 3).unwrap(), Waited::Held);
    assert_eq!(b.holder().unwrap().unwrap().node, "a".into());
    a.release().unwrap();
    assert_eq!(granted(b.acquire(TTL).unwrap()), ("file", "a gave it back".to_owned()));
}

#[test]
fn h2_a_holder_without_progress_loses_the_lease_although_it_holds_the_lock() {
    let dir = tempfile::tempdir().unwrap();
    let (mut a, mut b) = (lease(dir.path(), "a"), lease(dir.path(), "b"));
    granted(a.acquire(TTL).unwrap());
    a.renew(&holder("a", 1, 1)).unwrap();
    assert_eq!(b.acquire(TTL / 2).unwrap(), Waited::Held);
    a.renew(&holder("a", 1, 2)).unwrap();
    assert_eq!(b.acquire(TTL * 4 / 5).unwrap(), Waited::Held, "progress starts the TTL anew");
    let (how, why) = granted(b.acquire(TTL * 2).unwrap());
    assert_eq!(how, "file-ttl");
    assert!(why.contains("a (process") && why.contains("no progress"), "{why}");
    b.renew(&holder("b", 2, 1)).unwrap();
    let error = a.renew(&holder("a", 1, 3)).unwrap_err().to_string();
    assert!(error.contains("epoch 2"), "{error}");
}

/// Which file the stamp is.
fn stamp_file(dir: &Path) -> u64 {
    std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(dir.join("hb.lease")).unwrap())
}

#[test]
fn h2_a_holder_that_only_counts_on_writes_its_stamp_in_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let (mut a, mut b) = (lease(dir.path(), "a"), lease(dir.path(), "b"));
    granted(a.acquire(TTL).unwrap());
    a.renew(&holder("a", 1, 11)).unwrap();
    // Held open, so that its number cannot come again for another file.
    let kept = std::fs::File::open(dir.path().join("hb.lease")).unwrap();
    let first = stamp_file(dir.path());
    for progress in [12, 13] {
        a.renew(&holder("a", 1, progress)).unwrap();
        assert_eq!(stamp_file(dir.path()), first);
        assert_eq!(b.holder().unwrap().unwrap().progress, progress, "and whoever looks sees it");
    }
    // What is more than that comes whole: whoever still reads the file before sees all of what it said.
    a.renew(&holder("a", 2, 14)).unwrap();
    assert_ne!(stamp_file(dir.path()), first);
    assert_eq!(a.holder().unwrap().unwrap(), holder("a", 2, 14));
    a.renew(&holder("a", 2, 100)).unwrap();
    assert_eq!(a.holder().unwrap().unwrap(), holder("a", 2, 100), "a longer count has no room there");
    drop(kept);
}

#[test]
fn h2_the_stamp_of_one_that_took_over_is_not_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let (mut a, mut b) = (lease(dir.path(), "a"), lease(dir.path(), "b"));
    granted(a.acquire(TTL).unwrap());
    a.renew(&holder("a", 1, 1)).unwrap();
    assert_eq!(granted(b.acquire(TTL * 4).unwrap()).0, "file-ttl");
    b.renew(&holder("b", 2, 1)).unwrap();
    a.renew(&holder("a", 1, 2)).unwrap_err();
    assert_eq!(b.holder().unwrap().unwrap(), holder("b", 2, 1));
    // Nor that of another process of its name and number, in another container.
    std::fs::write(
        dir.path().join("hb.lease"),
        Stamp { holder: holder("a", 7, 1), locked: true, released: false, ttl_ms: Some(600) }.to_bytes(),
    )
    .unwrap();
    let strange = std::fs::File::open(dir.path().join("hb.lease")).unwrap();
    let file = stamp_file(dir.path());
    a.renew(&holder("a", 1, 3)).unwrap();
    assert_ne!(stamp_file(dir.path()), file);
    drop(strange);
}

#[test]
fn a_stamp_that_cannot_be_read_counts_as_held_for_one_ttl_and_is_kept_aside() {
    let dir = tempfile::tempdir().unwrap();
    let (mut a, mut b) = (lease(dir.path(), "a"), lease(dir.path(), "b"));
    granted(a.acquire(TTL).unwrap());
    std::fs::write(dir.path().join("hb.lease"), b"\0garbage").unwrap();
    assert_eq!(b.acquire(TTL / 2).unwrap(), Waited::Held);
    assert_eq!(granted(b.acquire(TTL * 2).unwrap()).0, "file-ttl");
    assert_eq!(std::fs::read(dir.path().join("hb.lease.unreadable")).unwrap(), b"\0garbage");
}

#[test]
fn where_the_kernel_is_not_to_be_waited_in_the_lock_is_asked_for_again_and_again() {
    let dir = tempfile::tempdir().unwrap();
    let (mut a, mut b) = (lease(dir.path(), "a"), lease(dir.path(), "b"));
    b.polls = true;
    granted(a.acquire(TTL).unwrap());
    a.renew(&holder("a", 1, 1)).unwrap();
    assert_eq!(b.acquire(TTL / 3).unwrap(), Waited::Held);
    assert!(b.waiter.is_none());
    drop(a);
    let (how, why) = granted(b.acquire(TTL).unwrap());
    assert_eq!(how, "file");
    assert!(why.contains("ended"), "{why}");
}

#[test]
fn a_third_node_does_not_take_the_lock_from_one_that_took_over_by_ttl() {
    let dir = tempfile::tempdir().unwrap();
    let (mut a, mut b, mut c) = (lease(dir.path(), "a"), lease(dir.path(), "b"), lease(dir.path(), "c"));
    granted(a.acquire(TTL).unwrap());
    a.renew(&holder("a", 1, 1)).unwrap();
    assert_eq!(granted(b.acquire(TTL * 2).unwrap()).0, "file-ttl");
    b.renew(&holder("b", 2, 1)).unwrap();
    assert_eq!(c.acquire(TTL / 3).unwrap(), Waited::Held);
    drop(a);
    for progress in 2..8 {
        assert_eq!(c.acquire(TTL / 3).unwrap(), Waited::Held);
        b.renew(&holder("b", 2, progress)).unwrap();
    }
    assert!(b.lock.is_some(), "the one that works has the lock in the end");
    drop(b);
    assert_eq!(granted(c.acquire(TTL * 2).unwrap()).0, "file");
}

#[test]
fn h2_nodes_whose_ttl_differs_go_by_the_longer_of_both() {
    let dir = tempfile::tempdir().unwrap();
    let mut patient = FileLease::open(dir.path(), &"a".into(), TTL * 20).unwrap();
    let mut hasty = lease(dir.path(), "b");
    granted(patient.acquire(TTL).unwrap());
    patient.renew(&holder("a", 1, 1)).unwrap();
    assert_eq!(hasty.acquire(TTL * 3).unwrap(), Waited::Held, "the holder has 20 times as long by its own account");
    assert_eq!(hasty.told_ttl, Some(TTL * 20), "and that is told");
    // The other way round the one that waits has the longer one.
    let dir = tempfile::tempdir().unwrap();
    let mut hasty = lease(dir.path(), "a");
    let mut patient = FileLease::open(dir.path(), &"b".into(), TTL * 20).unwrap();
    granted(hasty.acquire(TTL).unwrap());
    hasty.renew(&holder("a", 1, 1)).unwrap();
    assert_eq!(patient.acquire(TTL * 3).unwrap(), Waited::Held);
}

#[test]
fn a_pause_that_cannot_be_read_any_more_holds_for_those_who_know_of_it_and_for_no_others() {
    let dir = tempfile::tempdir().unwrap();
    let (mut a, mut b) = (lease(dir.path(), "a"), lease(dir.path(), "b"));
    granted(a.acquire(TTL).unwrap());
    a.renew(&holder("a", 1, 1)).unwrap();
    let pause = crate::port::Pause { by: "ada".into(), reason: "disks".into(), at: hb_core::time::Stamp(0) };
    a.order(Order::Pause(pause)).unwrap();
    assert!(b.orders().unwrap().pause.is_some());
    std::fs::write(dir.path().join(ORDERS_FILE), b"garbage").unwrap();
    drop(a);
    assert_eq!(b.acquire(TTL * 2).unwrap(), Waited::Held, "it knows of the pause");
    let mut c = lease(dir.path(), "c");
    let told = c.orders().unwrap_err().to_string();
    assert!(told.contains(ORDERS_FILE) && told.contains("put it right"), "{told}");
    granted(c.acquire(TTL * 2).unwrap());
}
