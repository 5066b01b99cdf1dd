//! The laws for one writer: J1, J2, J5, J6, and reading.

use hb_core::ids::{Seq, StreamName};
use hb_core::journal::Hash;
use hb_core::node::fact::Sealed;

use super::{Open, fill, sample};
use crate::port::{Appended, Begun, Journal, JournalError, Standing};
use crate::reader::{Follower, newest, read_sound};

fn stream(name: &str) -> StreamName {
    format!("watch/{name}").as_str().into()
}

/// J1, J3: what was appended is read back, by this handle and by a fresh one; streams do not mix.
pub fn appended_records_stand(open: Open<'_>) {
    let (one, other) = (stream("one"), stream("an/other"));
    let mut journal = open();
    assert_eq!(journal.head(&one).expect("an empty journal can be read"), None);
    assert_eq!(journal.read(&one, Seq(0), 10).expect("an empty journal can be read"), []);
    let records = fill(&mut *journal, &one, 5);
    fill(&mut *journal, &other, 2);
    for handle in [&mut *journal, &mut *open()] {
        assert_eq!(handle.head(&one), Ok(Some(Seq(4))), "J1");
        assert_eq!(handle.head(&other), Ok(Some(Seq(1))), "J1");
        assert_eq!(read_sound(handle, &one, Seq(0), 100).expect("J3"), records, "J3");
        assert_eq!(read_sound(handle, &one, Seq(3), 1).expect("J3"), records[3..4], "J3");
        assert_eq!(newest(handle, &one, 2).expect("J3"), records[3..], "J3");
        assert_eq!(newest(handle, &one, 99).expect("J3"), records, "J3");
        assert_eq!(handle.read(&one, Seq(5), 10), Ok(Vec::new()), "nothing comes after the head");
        assert_eq!(handle.read(&one, Seq(500), 10), Ok(Vec::new()), "nothing comes after the head");
    }
}

/// J2: a number that is taken is refused with what stands there; the same bytes again are the same success; no gaps.
pub fn numbers_are_given_once(open: Open<'_>) {
    let name = stream("once");
    let (mut journal, mut late) = (open(), open());
    assert_eq!(late.head(&name), Ok(None));
    let records = fill(&mut *journal, &name, 3);
    let foreign = sample(&name, Seq(1), "b", records[0].hash);
    let refused = Appended::Refused(Standing::Taken(records[1].bytes.clone()));
    assert_eq!(late.append(&name, Seq(1), &foreign.bytes), refused, "J2: another handle, with an old head");
    assert_eq!(journal.append(&name, Seq(1), &foreign.bytes), refused, "J2");
    assert_eq!(journal.append(&name, Seq(1), &records[1].bytes), Appended::Committed, "J5: equal bytes are our own");
    assert!(matches!(journal.append(&name, Seq(7), &foreign.bytes), Appended::Failed(_)), "J1: a gap");
    assert_eq!(journal.head(&name), Ok(Some(Seq(2))), "J2: nothing was changed");
    assert_eq!(read_sound(&mut *open(), &name, Seq(0), 9).expect("J2"), records, "J2: nothing was changed");
}

/// J6: what lies below the floor is gone, cannot be appended again, by anybody; the newest record stays.
pub fn trimming_never_reopens(open: Open<'_>) {
    let name = stream("trimmed");
    let (mut journal, mut late) = (open(), open());
    let records = fill(&mut *journal, &name, 10);
    assert_eq!(late.head(&name), Ok(Some(Seq(9))));
    assert!(matches!(journal.trim(&name, Seq(10)), Err(JournalError::Unavailable(_))), "J6: the newest record stays");
    assert_eq!(journal.floor(&name), Ok(Seq(0)));
    assert_eq!(journal.trim(&name, Seq(6)), Ok(6), "J6");
    assert_eq!(late.trim(&name, Seq(3)), Ok(0), "J6: a late trim never lowers the floor");
    for handle in [&mut *journal, &mut *late, &mut *open()] {
        assert_eq!(handle.floor(&name), Ok(Seq(6)), "J6");
        assert_eq!(handle.head(&name), Ok(Some(Seq(9))), "J6");
        for seq in [0, 3, 5] {
            let again = sample(&name, Seq(seq), "zombie", Hash::ZERO);
            let refused = Appended::Refused(Standing::BelowFloor(Seq(6)));
            assert_eq!(handle.append(&name, Seq(seq), &again.bytes), refused, "J6: record {seq}");
        }
        assert_eq!(read_sound(handle, &name, Seq(0), 99).expect("J6"), records[6..], "J6");
        assert_eq!(read_sound(handle, &name, Seq(6), 99).expect("J6"), records[6..], "J6");
    }
    let next = sample(&name, Seq(10), "a", records[9].hash);
    assert_eq!(late.append(&name, Seq(10), &next.bytes), Appended::Committed);
    assert_eq!(journal.trim(&name, Seq(10)), Ok(4), "J6: down to one record");
    assert_eq!(open().head(&name), Ok(Some(Seq(10))));
}

/// J6: a copy may go on above its newest record, once its floor says so; what lies below can never come back.
pub fn copies_begin_at_a_floor(open: Open<'_>) {
    let (empty, behind, ahead) = (stream("empty"), stream("behind"), stream("ahead"));
    let (mut journal, mut late) = (open(), open());
    fill(&mut *journal, &behind, 3);
    let whole = fill(&mut *journal, &ahead, 9);
    assert_eq!(late.head(&behind), Ok(Some(Seq(2))));
    let first = |name: &StreamName| {
        let first = sample(name, Seq(7), "a", Hash::of(b"before"));
        let second = sample(name, Seq(8), "a", first.hash);
        [(Seq(7), first.bytes), (Seq(8), second.bytes)]
    };
    // What was seen does not stand any more, or not yet: nothing is changed.
    for (name, seen, stands) in
        [(&empty, Some(Seq(2)), None), (&behind, Some(Seq(1)), Some(Seq(2))), (&behind, None, Some(Seq(2)))]
    {
        assert_eq!(journal.begin(name, seen, &first(name)), Ok(Begun::Moved(stands)), "J2: {name}");
        assert_eq!((journal.floor(name), journal.head(name)), (Ok(Seq(0)), Ok(stands)), "J2: {name}");
    }
    assert!(journal.begin(&ahead, Some(Seq(8)), &first(&ahead)).is_err(), "J1: it reaches further already");
    for (name, seen) in [(&empty, None), (&behind, Some(Seq(2)))] {
        assert_eq!(journal.begin(name, seen, &first(name)), Ok(Begun::Done), "J6: {name}");
        let moved = Ok(Begun::Moved(Some(Seq(8))));
        assert_eq!(late.begin(name, seen, &first(name)), moved, "J2: a late one changes nothing: {name}");
    }
    assert_eq!(journal.floor(&ahead), Ok(Seq(0)), "J6: a stream that reaches up to it is left as it is");
    assert_eq!(read_sound(&mut *late, &ahead, Seq(0), 99).expect("J6"), whole, "J6");
    for name in [&empty, &behind] {
        for handle in [&mut *journal, &mut *late, &mut *open()] {
            assert_eq!(handle.floor(name), Ok(Seq(7)), "J6: {name}");
            assert_eq!(handle.head(name), Ok(Some(Seq(8))), "J6: {name}");
            assert_eq!(handle.read(name, Seq(0), 9), Ok(first(name).to_vec()), "J6: {name}");
            let below = sample(name, Seq(3), "zombie", Hash::ZERO);
            let refused = Appended::Refused(Standing::BelowFloor(Seq(7)));
            assert_eq!(handle.append(name, Seq(3), &below.bytes), refused, "J6: {name}");
            let gap = sample(name, Seq(10), "a", Hash::ZERO);
            assert!(matches!(handle.append(name, Seq(10), &gap.bytes), Appended::Failed(_)), "J1: a gap in {name}");
        }
        let first = sample(name, Seq(7), "a", Hash::of(b"before"));
        let second = sample(name, Seq(8), "a", first.hash);
        let third = sample(name, Seq(9), "a", second.hash);
        let other = sample(name, Seq(7), "b", Hash::of(b"before"));
        let refused = Appended::Refused(Standing::Taken(first.bytes.clone()));
        assert_eq!(journal.append(name, Seq(7), &other.bytes), refused, "J2: {name}");
        assert_eq!(late.append(name, Seq(9), &third.bytes), Appended::Committed, "J1: {name}");
        assert_eq!(read_sound(&mut *open(), name, Seq(0), 9).expect("J6"), [first, second, third], "J6: {name}");
    }
}

/// Everything that a follower has not seen yet, page by page.
fn all_new(follower: &mut Follower, journal: &mut dyn Journal) -> Vec<Sealed> {
    let mut all = Vec::new();
    loop {
        let page = follower.poll(journal).expect("H4");
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

/// What a follower makes of records.
fn seen(records: &[Sealed]) -> Vec<Sealed> {
    records.iter().map(|sealed| Sealed { bytes: Vec::new(), ..sealed.clone() }).collect()
}

/// H4: a follower sees every record once, in order, also past records that were trimmed before it came.
pub fn follower_keeps_up(open: Open<'_>) {
    let name = stream("followed");
    let (mut writer, mut reader) = (open(), open());
    let mut follower = Follower::new(name.clone(), Seq(0));
    assert_eq!(follower.poll(&mut *reader), Ok(Vec::new()));
    let records = fill(&mut *writer, &name, 4);
    assert_eq!(all_new(&mut follower, &mut *reader), seen(&records), "H4");
    assert_eq!(follower.poll(&mut *reader), Ok(Vec::new()));
    let mut prev = records[3].hash;
    for number in 4..9 {
        let next = sample(&name, Seq(number), "a", prev);
        prev = next.hash;
        assert_eq!(writer.append(&name, Seq(number), &next.bytes), Appended::Committed);
        if number == 4 {
            assert_eq!(follower.poll(&mut *reader).expect("H4"), seen(&[next]), "H4");
        }
    }
    assert_eq!(writer.trim(&name, Seq(7)), Ok(7));
    let seqs: Vec<Seq> = all_new(&mut follower, &mut *reader).iter().map(|sealed| sealed.record.seq).collect();
    assert_eq!(seqs, [Seq(7), Seq(8)], "H4");
    assert_eq!(follower.skipped(), 2);
    let unlinked = sample(&name, Seq(9), "a", Hash::ZERO);
    assert_eq!(writer.append(&name, Seq(9), &unlinked.bytes), Appended::Committed, "the journal moves bytes");
    assert!(matches!(follower.poll(&mut *reader), Err(JournalError::Corrupt(_))), "J4: it does not follow");
}
