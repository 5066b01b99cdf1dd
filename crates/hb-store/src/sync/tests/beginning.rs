//! Copies that begin anew or take the place of another history: at no moment is there less than before.

use super::*;

/// A source that goes on, and is copied by somebody else, between two looks.
struct Moving {
    inner: Local,
    then: Option<Box<dyn FnOnce() + Send>>,
}

impl Side for Moving {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn standing(&mut self, stream: &StreamName) -> Result<Standing, SyncError> {
        let standing = self.inner.standing(stream);
        if let Some(then) = self.then.take() {
            then();
        }
        standing
    }

    fn streams(&mut self) -> Result<Option<Vec<StreamName>>, SyncError> {
        self.inner.streams()
    }

    fn read(&mut self, stream: &StreamName, from: Seq, most: usize) -> Result<Vec<Raw>, SyncError> {
        self.inner.read(stream, from, most)
    }

    fn append(&mut self, stream: &StreamName, page: Vec<Raw>) -> Result<(), SyncError> {
        self.inner.append(stream, page)
    }

    fn begin(&mut self, stream: &StreamName, seen: Option<Seq>, page: Vec<Raw>) -> Result<(), SyncError> {
        self.inner.begin(stream, seen, page)
    }

    fn trim(&mut self, stream: &StreamName, floor: Seq) -> Result<u64, SyncError> {
        self.inner.trim(stream, floor)
    }

    fn document(&mut self, hash: Hash) -> Result<Option<Vec<u8>>, SyncError> {
        self.inner.document(hash)
    }

    fn has_document(&mut self, hash: Hash) -> Result<bool, SyncError> {
        self.inner.has_document(hash)
    }

    fn keep(&mut self, hash: Hash, bytes: &[u8]) -> Result<(), SyncError> {
        self.inner.keep(hash, bytes)
    }

    fn note(&mut self) -> Result<Option<Note>, SyncError> {
        self.inner.note()
    }

    fn leave(&mut self, note: &Note) -> Result<(), SyncError> {
        self.inner.leave(note)
    }

    fn beside(&mut self, stream: &StreamName) -> Result<Box<dyn Side>, SyncError> {
        self.inner.beside(stream)
    }

    fn forget_beside(&mut self, stream: &StreamName) -> Result<(), SyncError> {
        self.inner.forget_beside(stream)
    }

    fn swap(&mut self, stream: &StreamName) -> Result<String, SyncError> {
        self.inner.swap(stream)
    }
}

#[test]
fn a_copy_that_somebody_else_brings_up_meanwhile_has_not_gone_on_by_itself() {
    let pair = Pair::new(5);
    pair.copy().unwrap();
    let more = reign(&cycles(5)[4], "a", 2, 4);
    let (mut from, mut to) = (pair.from.clone(), pair.to.clone());
    let then = Box::new(move || {
        put(&mut from, &more);
        put(&mut to, &more);
    });
    let mut source = Moving { inner: pair.source(), then: Some(then) };
    assert_eq!(relate(&mut source, &mut pair.target(), &stream()), Ok(Relation::Even));
    // The source is trimmed just after it was looked at, further than the copy had come.
    let mut pair = Pair::new(30);
    let copied = pair.copy().unwrap();
    pair.noted(&copied);
    put(&mut pair.from, &reign(&cycles(30)[29], "a", 2, 30));
    let mut from = pair.from.clone();
    let then = Box::new(move || {
        from.trim(&stream(), Seq(50)).unwrap();
    });
    let mut source = Moving { inner: pair.source(), then: Some(then) };
    let copied = copy(&mut source, &mut pair.target(), &stream(), &mut |_| Ok(())).unwrap();
    assert_eq!((copied.began_at, copied.records), (Some(Seq(50)), 10));
    pair.assert_equal();
}

#[test]
fn j3_a_new_beginning_cut_at_any_step_leaves_what_was_there_or_what_comes() {
    let mut pair = Pair::new(4);
    let before = read_sound(&mut pair.from, &stream(), Seq(0), 99).unwrap();
    put(&mut pair.from, &reign(&cycles(4)[3], "a", 2, 9));
    pair.from.trim(&stream(), Seq(8)).unwrap();
    let after = read_sound(&mut pair.from, &stream(), Seq(0), 99).unwrap();
    let mut step = 0;
    loop {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("journal");
        put(&mut DirJournal::open(&root).unwrap(), &before);
        let heads = [(stream(), written_of(&before[3]))].into_iter().collect();
        let note = Note { format: NOTE_FORMAT, source: "x".into(), by: "a".into(), at: Stamp(5), heads };
        Local::folder(dir.path(), "x").unwrap().leave(&note).unwrap();
        let dies = Arc::new(DiesAt(AtomicU64::new(step)));
        let disk = Disk::with_steps(Arc::<DiesAt>::clone(&dies));
        let cut = Local::folder_on(disk, dir.path(), "x")
            .and_then(|mut target| copy(&mut pair.source(), &mut target, &stream(), &mut |_| Ok(())));
        let stands = read_sound(&mut DirJournal::open(&root).unwrap(), &stream(), Seq(0), 99).unwrap();
        assert!(stands == before || stands == after, "step {step}: {} records", stands.len());
        let mut again = Local::folder(dir.path(), "x").unwrap();
        copy(&mut pair.source(), &mut again, &stream(), &mut |_| Ok(())).unwrap();
        let stands = read_sound(&mut DirJournal::open(&root).unwrap(), &stream(), Seq(0), 99).unwrap();
        assert_eq!(stands, after, "step {step}: it goes on");
        if cut.is_ok() {
            break;
        }
        step += 1;
    }
    assert!(step > 40, "only {step} steps");
}

#[test]
fn j3_a_history_that_takes_the_place_of_another_is_there_first_at_any_step() {
    let mut pair = Pair::new(4);
    let lost: Vec<Sealed> = cycles(4).into_iter().chain(reign(&cycles(4)[3], "b", 2, 2)).collect();
    put(&mut pair.from, &reign(&cycles(4)[3], "a", 2, 5));
    let wanted = read_sound(&mut pair.from, &stream(), Seq(0), 99).unwrap();
    let mut step = 0;
    loop {
        let dir = tempfile::tempdir().unwrap();
        let (root, kept) = (dir.path().join("journal"), dir.path().join("set-aside"));
        put(&mut DirJournal::open(&root).unwrap(), &lost);
        let dies = Arc::new(DiesAt(AtomicU64::new(step)));
        let cut =
            Local::folder_on(Disk::with_steps(Arc::<DiesAt>::clone(&dies)), dir.path(), "x").and_then(|mut target| {
                copy_beside(&mut pair.source(), &mut target, &stream(), &mut |_| Ok(()))?;
                target.swap(&stream())
            });
        let stands = read_sound(&mut DirJournal::open(&root).unwrap(), &stream(), Seq(0), 99).unwrap();
        assert!(stands == lost || stands == wanted, "step {step}: {} records", stands.len());
        if stands == lost {
            let mut again = Local::folder(dir.path(), "y").unwrap();
            assert_eq!(
                copy_beside(&mut pair.source(), &mut again, &stream(), &mut |_| Ok(()))
                    .map(|done| done.head.map(|head| head.seq)),
                Ok(Some(Seq(8)))
            );
            again.swap(&stream()).unwrap();
            let stands = read_sound(&mut DirJournal::open(&root).unwrap(), &stream(), Seq(0), 99).unwrap();
            assert_eq!(stands, wanted, "step {step}: it goes on");
        }
        // Nothing that was decided is gone, wherever it stands.
        let places = [kept.join("x/journal"), kept.join("y/journal"), dir.path().join("journal.beside/lost")];
        let found = places.iter().any(|place| {
            let journal = DirJournal::open(place);
            journal
                .is_ok_and(|mut journal| read_sound(&mut journal, &stream(), Seq(0), 99).is_ok_and(|all| all == lost))
        });
        assert!(found, "step {step}: the history that lost is kept");
        if cut.is_ok() {
            break;
        }
        step += 1;
    }
    assert!(step > 60, "only {step} steps");
}

#[test]
fn j2_a_new_beginning_does_not_come_between_a_node_and_its_records() {
    let name = stream();
    let mut pair = Pair::new(5);
    let copied = pair.copy().unwrap();
    pair.noted(&copied);
    put(&mut pair.from, &reign(&cycles(5)[4], "a", 2, 40));
    pair.from.trim(&name, Seq(30)).unwrap();
    // A node begins to work on the copy just before it is begun anew.
    let mut target = pair.target();
    let seen = target.standing(&name).unwrap().head.map(|head| head.seq);
    let page = pair.source().read(&name, Seq(30), 5).unwrap();
    put(&mut pair.to, &reign(&cycles(5)[4], "b", 2, 1));
    let Err(SyncError::Refused(what)) = target.begin(&name, seen, page) else { panic!() };
    assert!(what.contains("newest is record 5") && what.contains("nothing was changed"), "{what}");
    assert_eq!((pair.to.head(&name), pair.to.floor(&name)), (Ok(Some(Seq(5))), Ok(Seq(0))));
}

fn written_of(sealed: &Sealed) -> Written {
    let record = &sealed.record;
    Written { seq: record.seq, hash: sealed.hash, epoch: record.epoch, node: record.node.clone(), at: record.at }
}
