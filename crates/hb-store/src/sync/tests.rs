//! Copies that are cut, resumed, damaged, trimmed and contradicted.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hb_core::ids::{CycleNo, Epoch, NodeName, Seq, StreamName};
use hb_core::journal::{FORMAT, Hash, seal};
use hb_core::node::fact::{BaselineAdopted, Body, Record, Sealed};
use hb_core::time::Stamp;
use hb_core::watch::decision::BaselineRef;

use super::*;
use crate::atomic::{Disk, Op, Steps, Verdict};
use crate::blobs::DirBlobs;
use crate::conformance::{cycles, watch};
use crate::journal::dir::DirJournal;
use crate::journal::memory::{Inject, MemoryJournal};
use crate::port::{Appended, Blobs, Journal};
use crate::reader::read_sound;
use crate::verify::{Places, verify};

mod beginning;

fn stream() -> StreamName {
    StreamName::watch(&watch())
}

/// A journal in memory as a side, with documents in a folder.
fn side(name: &str, journal: &MemoryJournal, documents: &Path) -> Local {
    Local::new(name, Box::new(journal.clone()), Box::new(DirBlobs::open(documents)))
}

struct Pair {
    dir: tempfile::TempDir,
    from: MemoryJournal,
    to: MemoryJournal,
}

impl Pair {
    /// A source with so many decided cycles, and an empty copy.
    fn new(count: u64) -> Self {
        let mut pair = Self { dir: tempfile::tempdir().unwrap(), from: MemoryJournal::new(), to: MemoryJournal::new() };
        put(&mut pair.from, &cycles(count));
        pair
    }

    fn source(&self) -> Local {
        side("the source", &self.from, &self.dir.path().join("from"))
    }

    fn target(&self) -> Local {
        side("the copy", &self.to, &self.dir.path().join("to")).with_notes_in(&self.dir.path().join("to"))
    }

    fn copy(&self) -> Result<Copied, SyncError> {
        copy(&mut self.source(), &mut self.target(), &stream(), &mut |_| Ok(()))
    }

    /// Leaves the note that whoever copies leaves.
    fn noted(&self, copied: &Copied) {
        let heads = copied.head.clone().map(|head| (stream(), head)).into_iter().collect();
        let note = Note { format: NOTE_FORMAT, source: "x".into(), by: "a".into(), at: Stamp(5), heads };
        self.target().leave(&note).unwrap();
    }

    fn assert_equal(&mut self) {
        let name = stream();
        let ours = read_sound(&mut self.from, &name, Seq(0), 10_000).unwrap();
        assert_eq!(read_sound(&mut self.to, &name, Seq(0), 10_000).unwrap(), ours);
        assert_eq!(self.to.floor(&name), self.from.floor(&name));
    }
}

fn put(journal: &mut dyn Journal, records: &[Sealed]) {
    for sealed in records {
        let name = &sealed.record.stream;
        assert_eq!(journal.append(name, sealed.record.seq, &sealed.bytes), Appended::Committed);
    }
}

/// Records of a reign after `before`: it opens, and adopts a baseline now and then.
fn reign(before: &Sealed, node: &str, epoch: u64, count: u64) -> Vec<Sealed> {
    let mut prev = before.hash;
    let numbers = (before.record.seq.0 + 1..).take(usize::try_from(count).unwrap());
    numbers
        .map(|seq| {
            let opens = seq == before.record.seq.0 + 1;
            let body = if opens {
                Body::EpochOpened { lease: "file".into(), reason: "first start".into() }
            } else {
                let baseline = BaselineRef { tag: "golden".into(), version: 1, hash: Hash::of(b"a document") };
                Body::BaselineAdopted(BaselineAdopted { baseline, from_cycle: CycleNo(seq), reason: "learned".into() })
            };
            let sealed = seal(Record {
                format: FORMAT,
                stream: stream(),
                seq: Seq(seq),
                epoch: Epoch(epoch),
                at: Stamp(1_700_000_000_000_000_000),
                node: NodeName::from(node),
                prev,
                body,
            });
            prev = sealed.hash;
            sealed
        })
        .collect()
}

#[test]
fn j1_a_copy_has_the_same_records_and_takes_only_what_is_new() {
    let mut pair = Pair::new(700);
    let copied = pair.copy().unwrap();
    assert_eq!((copied.records, copied.head.as_ref().unwrap().seq), (700, Seq(699)));
    pair.assert_equal();
    assert_eq!(pair.copy().unwrap().records, 0, "nothing is new");
    put(&mut pair.from, &reign(cycles(700).last().unwrap(), "a", 2, 1));
    assert_eq!(pair.copy().unwrap().records, 1);
    pair.assert_equal();
    let nothing = Pair::new(0);
    let copied = nothing.copy().unwrap();
    assert_eq!((copied.records, copied.head), (0, None), "an empty stream has an empty copy");
}

#[test]
fn progress_is_told_by_pages_and_may_stop_it() {
    let mut pair = Pair::new(700);
    let mut told = Vec::new();
    let stopped = copy(&mut pair.source(), &mut pair.target(), &stream(), &mut |progress| {
        told.push((progress.records, progress.at, progress.to));
        if told.len() == 2 { Err(SyncError::Refused("enough".into())) } else { Ok(()) }
    });
    assert_eq!(stopped, Err(SyncError::Refused("enough".into())));
    assert!(told[0].0 <= PAGE_RECORDS as u64 && told[0].2 == Some(Seq(699)), "{told:?}");
    let (stood, _, _) = told[1];
    assert_eq!(pair.to.head(&stream()).unwrap(), told[1].1);
    assert_eq!(pair.copy().unwrap().records, 700 - stood, "it goes on where it stopped");
    pair.assert_equal();
}

#[test]
fn documents_come_before_the_records_that_name_them_and_missing_ones_are_told() {
    let mut pair = Pair::new(3);
    put(&mut pair.from, &reign(&cycles(3)[2], "a", 2, 3));
    let hash = Hash::of(b"a document");
    assert_eq!(pair.copy().unwrap().documents_missing, [hash]);
    let mut other = Pair::new(3);
    put(&mut other.from, &reign(&cycles(3)[2], "a", 2, 3));
    DirBlobs::open(&other.dir.path().join("from")).put(hash, b"a document").unwrap();
    // No record is appended: the document has to stand by then all the same.
    other.to.inject([Inject::Go, Inject::Go, Inject::Go, Inject::Go, Inject::Failed]);
    assert!(matches!(other.copy(), Err(SyncError::Unwritable(_))));
    assert_eq!(other.to.head(&stream()).unwrap(), Some(Seq(3)));
    let mut documents = DirBlobs::open(&other.dir.path().join("to"));
    assert_eq!(documents.get(hash).unwrap().as_deref(), Some(b"a document".as_slice()));
    let copied = other.copy().unwrap();
    assert_eq!((copied.documents, copied.documents_missing.len(), copied.records), (0, 0, 2));
    // One that is damaged in the copy is mended by the next copying that names it.
    std::fs::write(documents.path(hash), b"rubbish").unwrap();
    put(&mut other.from, &reign(&reign(&cycles(3)[2], "a", 2, 3)[2], "a", 3, 2));
    assert_eq!(other.copy().unwrap().documents, 1);
    assert!(documents.get(hash).unwrap().is_some());
    // One that is damaged in the source is told, and the record that names it does not come.
    let path = DirBlobs::open(&other.dir.path().join("from")).path(hash);
    std::fs::write(path, b"rubbish").unwrap();
    std::fs::remove_file(documents.path(hash)).unwrap();
    let newest = read_sound(&mut other.from, &stream(), Seq(7), 1).unwrap().pop().unwrap();
    put(&mut other.from, &reign(&newest, "a", 4, 2));
    let Err(SyncError::Corrupt(what)) = other.copy() else { panic!() };
    assert!(what.contains("the source") && what.contains("damaged"), "{what}");
}

#[test]
fn j5_appends_whose_end_is_unknown_are_read_back() {
    let mut pair = Pair::new(40);
    pair.to.inject([Inject::UnknownButDone, Inject::Go, Inject::UnknownButDone, Inject::UnknownNotDone]);
    assert!(matches!(pair.copy(), Err(SyncError::Unavailable(_))));
    assert_eq!(pair.to.head(&stream()).unwrap(), Some(Seq(2)));
    assert_eq!(pair.copy().unwrap().records, 37);
    pair.assert_equal();
}

/// Everything fails from one step on, as if the machine had died there.
struct DiesAt(AtomicU64);

impl Steps for DiesAt {
    fn before(&self, _: Op, _: &Path) -> Verdict {
        let left = self.0.load(Ordering::Relaxed);
        self.0.store(left.saturating_sub(1), Ordering::Relaxed);
        if left == 0 { Verdict::Fail(nix::libc::EIO) } else { Verdict::Go }
    }
}

#[test]
fn j3_a_copy_that_is_cut_at_any_step_is_a_sound_beginning_and_goes_on_from_there() {
    let mut pair = Pair::new(4);
    put(&mut pair.from, &reign(&cycles(4)[3], "a", 2, 2));
    DirBlobs::open(&pair.dir.path().join("from")).put(Hash::of(b"a document"), b"a document").unwrap();
    pair.from.trim(&stream(), Seq(2)).unwrap();
    let wanted = read_sound(&mut pair.from, &stream(), Seq(0), 99).unwrap();
    let mut step = 0;
    loop {
        let dir = tempfile::tempdir().unwrap();
        let dies = Arc::new(DiesAt(AtomicU64::new(step)));
        let disk = Disk::with_steps(Arc::<DiesAt>::clone(&dies));
        let cut = Local::folder_on(disk, dir.path(), "x")
            .and_then(|mut target| copy(&mut pair.source(), &mut target, &stream(), &mut |_| Ok(())));
        let mut after = DirJournal::open(&dir.path().join("journal")).unwrap();
        let stands = read_sound(&mut after, &stream(), Seq(0), 99).unwrap();
        assert_eq!(stands, wanted[..stands.len()], "step {step}: a sound beginning");
        let mut again = Local::folder(dir.path(), "x").unwrap();
        copy(&mut pair.source(), &mut again, &stream(), &mut |_| Ok(())).unwrap();
        assert_eq!(read_sound(&mut after, &stream(), Seq(0), 99).unwrap(), wanted, "step {step}: it goes on");
        assert_eq!(after.floor(&stream()).unwrap(), Seq(2));
        let places = Places {
            journal: dir.path().join("journal"),
            output_dirs: Vec::new(),
            documents: None,
            db: None,
            supervisor: None,
        };
        let report = verify(&places).unwrap();
        let document = DirBlobs::open(dir.path()).get(Hash::of(b"a document")).unwrap();
        assert_eq!(document.as_deref(), Some(b"a document".as_slice()), "step {step}");
        assert!(report.sound(), "step {step}: {:#?}", report.findings().collect::<Vec<_>>());
        if cut.is_ok() {
            break;
        }
        step += 1;
    }
    assert!(step > 40, "only {step} steps");
}

#[test]
fn j4_damage_is_refused_and_named_with_its_side() {
    let name = stream();
    let mut pair = Pair::new(12);
    let sound = pair.from.read(&name, Seq(7), 1).unwrap().pop().unwrap().1;
    for place in [0, sound.len() / 2, sound.len() - 2] {
        let mut flipped = sound.clone();
        flipped[place] ^= 4;
        let pair = Pair::new(12);
        pair.from.damage(&name, Seq(7), Some(flipped));
        let Err(SyncError::Corrupt(what)) = pair.copy() else { panic!("byte {place}") };
        assert!(what.contains("the source") && what.contains("record 7"), "{what}");
        // The page with the damage is not copied at all; nothing of it is half there.
        assert_eq!(pair.to.clone().head(&name).unwrap(), None);
    }
    pair.from.damage(&name, Seq(7), None);
    assert!(matches!(pair.copy(), Err(SyncError::Corrupt(_))), "a missing record");
    let pair = Pair::new(12);
    pair.copy().unwrap();
    pair.to.damage(&name, Seq(11), Some(sound));
    let Err(SyncError::Corrupt(what)) = pair.copy() else { panic!() };
    assert!(what.contains("the copy") && what.contains("record 11"), "{what}");
    // A record of another journal, sound in itself, does not follow.
    let foreign = Pair::new(4);
    foreign.from.damage(&name, Seq(3), Some(crate::conformance::sample(&name, Seq(3), "z", Hash::ZERO).bytes));
    let Err(SyncError::Corrupt(what)) = foreign.copy() else { panic!() };
    assert!(what.contains("record 3") && what.contains("does not follow"), "{what}");
}

#[test]
fn j6_a_copy_follows_the_floor_and_begins_anew_where_it_fell_below() {
    let name = stream();
    let mut pair = Pair::new(30);
    pair.from.trim(&name, Seq(10)).unwrap();
    let copied = pair.copy().unwrap();
    assert_eq!((copied.records, copied.began_at), (20, Some(Seq(10))), "a trimmed source from the start");
    pair.assert_equal();
    pair.noted(&copied);
    put(&mut pair.from, &reign(&cycles(30)[29], "a", 2, 10));
    pair.from.trim(&name, Seq(20)).unwrap();
    let copied = pair.copy().unwrap();
    assert_eq!((copied.records, copied.began_at, copied.trimmed), (10, None, 10), "the floor is followed");
    pair.assert_equal();
    pair.noted(&copied);
    let newest = read_sound(&mut pair.from, &name, Seq(39), 1).unwrap().pop().unwrap();
    let more = reign(&newest, "a", 3, 30);
    put(&mut pair.from, &more);
    pair.from.trim(&name, Seq(40)).unwrap();
    let linked = pair.copy().unwrap();
    assert_eq!(
        (linked.records, linked.began_at),
        (30, None),
        "the floor's record names the copy's newest as the one before"
    );
    pair.assert_equal();
    pair.noted(&linked);
    put(&mut pair.from, &reign(more.last().unwrap(), "a", 4, 10));
    pair.from.trim(&name, Seq(75)).unwrap();
    let anew = pair.copy().unwrap();
    assert_eq!((anew.records, anew.began_at), (5, Some(Seq(75))));
    pair.assert_equal();
}

#[test]
fn a_copy_below_the_floor_that_may_have_written_something_of_its_own_is_not_thrown_away() {
    let name = stream();
    let mut pair = Pair::new(5);
    let copied = pair.copy().unwrap();
    pair.noted(&copied);
    put(&mut pair.to, &reign(&cycles(5)[4], "b", 2, 3));
    put(&mut pair.from, &reign(&cycles(5)[4], "a", 2, 40));
    pair.from.trim(&name, Seq(30)).unwrap();
    let Err(SyncError::Diverged(divergence)) = pair.copy() else { panic!() };
    assert_eq!((divergence.common, divergence.target.newest.seq), (None, Seq(7)));
    assert!(divergence.to_string().contains("longer ago than both still know"), "{divergence}");
    assert_eq!(pair.to.head(&name).unwrap(), Some(Seq(7)), "nothing was changed");
}

#[test]
fn two_histories_are_never_merged_and_told_apart_also_by_equal_epochs() {
    let mut pair = Pair::new(500);
    pair.copy().unwrap();
    let last = cycles(500).pop().unwrap();
    put(&mut pair.from, &reign(&last, "a", 2, 9));
    put(&mut pair.to, &reign(&last, "b", 2, 4));
    let Err(SyncError::Diverged(divergence)) = pair.copy() else { panic!() };
    assert_eq!(divergence.common, Some(Seq(499)));
    assert_eq!((&divergence.source.side, &divergence.target.side), (&"the source".into(), &"the copy".into()));
    assert_eq!(divergence.newer(), None, "the same epoch on both");
    let told = divergence.to_string();
    for part in ["after record 499", "records 500 to 508, by node a in epoch 2", "records 500 to 503, by node b"] {
        assert!(told.contains(part), "{told}");
    }
    assert_eq!(pair.to.head(&stream()).unwrap(), Some(Seq(503)), "nothing was changed");
    // The other way round the copy would be longer.
    let Err(SyncError::Diverged(back)) = copy(&mut pair.target(), &mut pair.source(), &stream(), &mut |_| Ok(()))
    else {
        panic!()
    };
    assert_eq!((back.common, &back.source.side), (Some(Seq(499)), &"the copy".into()));
    let newest = read_sound(&mut pair.to, &stream(), Seq(503), 1).unwrap().pop().unwrap();
    put(&mut pair.to, &reign(&newest, "b", 3, 2));
    let Err(SyncError::Diverged(divergence)) = pair.copy() else { panic!() };
    assert_eq!(divergence.newer().map(|tail| tail.side.as_str()), Some("the copy"));
}

#[test]
fn a_copy_that_went_on_is_told_as_that() {
    let mut pair = Pair::new(5);
    pair.copy().unwrap();
    put(&mut pair.to, &reign(&cycles(5)[4], "b", 2, 3));
    let Err(SyncError::Ahead(ahead)) = pair.copy() else { panic!() };
    assert_eq!(ahead.target.first.as_ref().map(|first| (first.seq, first.epoch)), Some((Seq(5), Epoch(2))));
    assert!(ahead.to_string().contains("node b in epoch 2"), "{ahead}");
    assert_eq!(copy(&mut pair.target(), &mut pair.source(), &stream(), &mut |_| Ok(())).unwrap().records, 3);
    pair.assert_equal();
    let empty = Pair::new(0);
    let full = Pair::new(3);
    let ahead = copy(&mut empty.source(), &mut full.source(), &stream(), &mut |_| Ok(()));
    assert!(matches!(ahead, Err(SyncError::Ahead(_))), "an empty source does not empty a copy");
}

#[test]
fn what_lost_is_set_aside_whole_and_the_other_history_taken() {
    let name = stream();
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let last = cycles(6).pop().unwrap();
    for (dir, node, epoch) in [(&from, "b", 3), (&to, "a", 2)] {
        let mut journal = DirJournal::open(&dir.path().join("journal")).unwrap();
        put(&mut journal, &cycles(6));
        put(&mut journal, &reign(&last, node, epoch, 4));
    }
    let mut lost = DirJournal::open(&to.path().join("journal")).unwrap();
    let kept = read_sound(&mut lost, &name, Seq(0), 99).unwrap();
    let mut source = Local::folder(from.path(), "").unwrap();
    let mut target = Local::folder(to.path(), "now").unwrap();
    assert_eq!(target.streams().unwrap().unwrap().as_slice(), std::slice::from_ref(&name));
    let diverged = copy(&mut source, &mut target, &name, &mut |_| Ok(()));
    assert!(matches!(diverged, Err(SyncError::Diverged(_))));
    assert_eq!(copy_beside(&mut source, &mut target, &name, &mut |_| Ok(())).unwrap().records, 10);
    assert_eq!(read_sound(&mut lost, &name, Seq(0), 99).unwrap(), kept, "until then it stands as it was");
    let place = target.swap(&name).unwrap();
    assert!(place.ends_with("set-aside/now/journal/watch/bench"), "{place}");
    assert_eq!(copy(&mut source, &mut target, &name, &mut |_| Ok(())).unwrap().records, 0);
    let mut theirs = DirJournal::open(&from.path().join("journal")).unwrap();
    let mut ours = DirJournal::open(&to.path().join("journal")).unwrap();
    let all = read_sound(&mut theirs, &name, Seq(0), 99).unwrap();
    assert_eq!(read_sound(&mut ours, &name, Seq(0), 99).unwrap(), all);
    let mut aside = DirJournal::open(&to.path().join("set-aside/now/journal")).unwrap();
    assert_eq!(read_sound(&mut aside, &name, Seq(0), 99).unwrap(), kept, "everything is kept, and can be read");
    assert!(target.swap(&name).is_err(), "what stands there is not replaced");
    assert_eq!(read_sound(&mut ours, &name, Seq(0), 99).unwrap(), all);
    let pair = Pair::new(1);
    assert!(matches!(pair.target().beside(&name), Err(SyncError::Refused(_))));
}

#[test]
fn memory_does_not_grow_with_a_stream() {
    // Records of half a page: a page holds no more than three of them.
    let name: StreamName = "watch/large".into();
    let (mut from, to) = (MemoryJournal::new(), MemoryJournal::new());
    let dir = tempfile::tempdir().unwrap();
    let mut prev = Hash::ZERO;
    for seq in 0..8 {
        let reason = "x".repeat(PAGE_BYTES / 2);
        let sealed = seal(Record {
            format: FORMAT,
            stream: name.clone(),
            seq: Seq(seq),
            epoch: Epoch(1),
            at: Stamp(0),
            node: "a".into(),
            prev,
            body: Body::EpochOpened { lease: "file".into(), reason },
        });
        prev = sealed.hash;
        assert_eq!(from.append(&name, Seq(seq), &sealed.bytes), Appended::Committed);
    }
    let mut pages = 0;
    let mut source = side("a", &from, dir.path());
    copy(&mut source, &mut side("b", &to, dir.path()), &name, &mut |_| {
        pages += 1;
        Ok(())
    })
    .unwrap();
    assert!(pages >= 3, "{pages} pages");
    assert!(source.read(&name, Seq(0), PAGE_RECORDS).unwrap().len() <= 3);
}

#[test]
fn the_streams_of_a_watch_are_its_tags_and_then_its_own() {
    let listed: Vec<StreamName> =
        ["baseline/a/old", "baseline/a/b/x", "baseline/ab/x", "watch/a", "watch/c"].map(StreamName::from).into();
    let names = |listed| of_watch(&"a".into(), "golden", listed).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(Some(listed.as_slice())), ["baseline/a/golden", "baseline/a/old", "watch/a"]);
    assert_eq!(names(None), ["baseline/a/golden", "watch/a"]);
}
