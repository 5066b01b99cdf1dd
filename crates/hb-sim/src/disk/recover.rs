//! The next start: the store's real code opens whatever the cut left, is asked whether all that was promised stands, and goes on.
//!
//! **Invariants.** Nothing here knows how the disk came about. A promise that is broken is an `Err` that begins with its id.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use hb_core::ids::{Seq, StreamName};
use hb_core::journal::Hash;
use hb_core::node::fact::{Body, Sealed};
use hb_store::atomic::Disk;
use hb_store::blobs::DirBlobs;
use hb_store::conformance::sample;
use hb_store::journal::dir::DirJournal;
use hb_store::port::{Blobs, Journal, JournalError};
use hb_store::reader::read_sound;
use hb_store::register::Register;
use hb_store::verify::{Grade, Places, VerifyReport, verify_on};
use hb_store::views::checkpoint::{self, Checkpoint};
use hb_store::views::{FileViews, reports};

use super::ledger::{Event, Expected};
use super::work::{ASIDE, CELL, JOURNAL, OUT, SETTINGS, Scene, Stage, document, report, stream, tag};
use super::{Ledger, SimDisk};

/// Most records that are read of a stream: more than any scene has.
const ALL: usize = 1000;

/// Starts on a disk after these events: checks that what was promised stands, goes on, and checks again. Gives everything that was
/// promised by then.
///
/// # Errors
/// The promise that does not hold, with its id.
pub fn recover(scene: Scene, disk: &SimDisk, events: &[Event]) -> Result<Ledger, String> {
    let mut stage = Stage::open(disk, Ledger::after(events, disk));
    let expected = stage.ledger.expected();
    sound("J4", &stage.disk, Vec::new())?;
    match scene {
        Scene::Journal | Scene::Documents | Scene::Views => {
            stands(&stage.disk, Path::new(JOURNAL), &expected)?;
            documents(&stage.disk, &expected)?;
            go_on(&mut stage, scene, &expected)?;
        }
        Scene::Register => swap_on(&mut stage, &expected)?,
        Scene::Copy => {
            stands(&stage.disk, Path::new(JOURNAL), &expected)?;
            documents(&stage.disk, &expected)?;
            let source = stage.source()?;
            stage.copy(&source).map_err(|what| format!("J3: the copy does not go on: {what}"))?;
        }
        Scene::Aside => aside(&mut stage, &expected)?,
    }
    let expected = stage.ledger.expected();
    stands(&stage.disk, Path::new(JOURNAL), &expected).or_else(|what| match scene {
        // What was set aside is read where it went.
        Scene::Aside => Ok(()),
        Scene::Journal | Scene::Documents | Scene::Views | Scene::Register | Scene::Copy => {
            Err(format!("after going on: {what}"))
        }
    })?;
    let dirs = if scene == Scene::Views { vec![PathBuf::from(OUT)] } else { Vec::new() };
    sound("J4: after going on", &stage.disk, dirs)?;
    Ok(stage.ledger)
}

/// `hb verify` finds no fault.
fn sound(law: &str, disk: &Disk, output_dirs: Vec<PathBuf>) -> Result<(), String> {
    let report = examined(disk, output_dirs).map_err(|error| format!("{law}: hb verify: {error}"))?;
    match report.findings().find(|found| found.grade == Grade::Fault) {
        Some(fault) => Err(format!("{law}: hb verify: {}: {}", fault.file.display(), fault.what)),
        None => Ok(()),
    }
}

/// What `hb verify` says.
pub(super) fn examined(disk: &Disk, output_dirs: Vec<PathBuf>) -> Result<VerifyReport, JournalError> {
    let (journal, documents) = (PathBuf::from(JOURNAL), Some(PathBuf::from(OUT)));
    verify_on(disk, &Places { journal, output_dirs, documents, db: None, supervisor: None })
}

/// A stream as it stands: its floor and everything from there on, decoded and chained.
fn read(journal: &mut DirJournal, stream: &StreamName) -> Result<(Seq, Vec<Sealed>), JournalError> {
    let floor = journal.floor(stream)?;
    let head = journal.head(stream)?;
    let records = read_sound(journal, stream, floor, ALL)?;
    let newest = records.last().map(|sealed| sealed.record.seq);
    if newest != head {
        let what = format!("{stream}: its head is said to be {head:?}, the newest record read is {newest:?}");
        return Err(JournalError::Corrupt(what));
    }
    Ok((floor, records))
}

/// Every record that was acknowledged stands, and none that nobody wrote (J1, J3, J6).
fn stands(disk: &Disk, root: &Path, expected: &Expected) -> Result<(), String> {
    let mut journal = DirJournal::open_on(disk.clone(), root).map_err(|error| format!("J4: {error}"))?;
    let streams: BTreeSet<&StreamName> = expected.records.keys().chain(expected.floors.keys()).collect();
    for stream in streams {
        let (floor, records) = read(&mut journal, stream).map_err(|error| format!("J4: {error}"))?;
        let (least, most) = expected.floors.get(stream).copied().unwrap_or_default();
        if floor < least || floor > most {
            return Err(format!("J6: {stream}: its floor is {floor}, which should be between {least} and {most}"));
        }
        let wanted = expected.certain.iter().filter(|(of, seq)| of == stream && *seq >= floor);
        let found: BTreeSet<Seq> = records.iter().map(|sealed| sealed.record.seq).collect();
        if let Some((_, lost)) = wanted.into_iter().find(|(_, seq)| !found.contains(seq)) {
            return Err(format!("J3: {stream}: record {lost} was acknowledged and is not there (floor {floor})"));
        }
        let none = Vec::new();
        for sealed in &records {
            let seq = sealed.record.seq;
            let may = expected.records.get(stream).and_then(|numbers| numbers.get(&seq)).unwrap_or(&none);
            if !may.contains(&sealed.bytes) {
                return Err(format!("J1: {stream}: record {seq} is none of the {} that were written there", may.len()));
            }
        }
    }
    Ok(())
}

/// Every document that was kept, or is named by a record, stands.
fn documents(disk: &Disk, expected: &Expected) -> Result<(), String> {
    let mut blobs = DirBlobs::open_on(disk.clone(), Path::new(OUT));
    for (hash, bytes) in &expected.documents {
        match blobs.get(*hash) {
            Ok(Some(there)) if there == *bytes => {}
            Ok(_) => return Err(format!("J3: document {hash} was kept and is not there")),
            Err(error) => return Err(format!("J4: {error}")),
        }
    }
    Ok(())
}

/// A node takes over: opens its epoch, lets go what the one before wanted to let go, shows what is decided.
fn go_on(stage: &mut Stage, scene: Scene, expected: &Expected) -> Result<(), String> {
    let name = if scene == Scene::Documents { tag() } else { stream() };
    let refused = |what: String| format!("J3: the journal does not go on: {what}");
    if scene == Scene::Views {
        show(stage)?;
    }
    let journal = stage.journal()?;
    let (_, records) = read(journal, &name).map_err(|error| refused(error.to_string()))?;
    let head = records.last();
    if let (Some((_, most)), Some(head)) = (expected.floors.get(&name), head)
        && head.record.seq >= *most
    {
        stage.trim(&name, *most).map_err(refused)?;
    }
    let (seq, prev) = head.map_or((Seq(0), Hash::ZERO), |head| (head.record.seq.next(), head.hash));
    stage.append(&sample(&name, seq, "b", prev)).map_err(refused)?;
    if scene == Scene::Documents {
        stage.keep(&document(1)).map_err(refused)?;
    }
    Ok(())
}

/// The views are made again, and say what the journal says; one of them that could be read before told no more than the journal (W6).
fn show(stage: &mut Stage) -> Result<(), String> {
    let disk = stage.disk.clone();
    let (_, records) = read(stage.journal()?, &stream()).map_err(|error| format!("J4: {error}"))?;
    let known = |found: &Checkpoint| records.iter().any(|sealed| sealed.hash == found.hash);
    if let Ok(Some(found)) = checkpoint::load(&disk, Path::new(OUT))
        && !known(&found)
    {
        return Err(format!("W6: the checkpoint shows record {}, which is not in the journal", found.seq));
    }
    let mut views =
        FileViews::open_on(disk.clone(), Path::new(OUT), SETTINGS).map_err(|error| format!("W6: {error}"))?;
    let rebuild = |views: &mut FileViews| views.rebuild(&records).map_err(|error| format!("W6: {error}"));
    rebuild(&mut views)?;
    let again = rebuild(&mut views)?;
    if !again.is_empty() {
        return Err(format!("W6: the views are not made again at once: {again:?}"));
    }
    let decided = records.iter().rfind(|sealed| matches!(sealed.record.body, Body::CycleDecided(_)));
    if views.checkpoint().map(|shown| shown.hash) != decided.map(|sealed| sealed.hash) {
        return Err("W6: the checkpoint that was made again is not of the newest cycle".to_owned());
    }
    for (sealed, number) in records.iter().zip(0..) {
        whole_report(&disk, sealed, number)?;
    }
    Ok(())
}

/// A report that is pointed at is whole, or none.
fn whole_report(disk: &Disk, sealed: &Sealed, number: u64) -> Result<(), String> {
    let Body::CycleDecided(cycle) = &sealed.record.body else { return Ok(()) };
    let page = reports::page(Path::new(OUT), &cycle.watch, cycle.decision.cycle);
    let wanted = report(number);
    match disk.read(&page) {
        Ok(None) => Ok(()),
        Ok(Some(found)) if found == wanted.html.as_bytes() => Ok(()),
        Ok(Some(_)) => Err(format!("W6: {} is damaged and stays so", page.display())),
        Err(fault) => Err(fault.to_string()),
    }
}

/// The cell holds what was put there last, and takes the next.
fn swap_on(stage: &mut Stage, expected: &Expected) -> Result<(), String> {
    let refused = |what: String| format!("J3: the register does not go on: {what}");
    let mut register = stage.register().map_err(refused)?;
    let found = register.read(CELL).map_err(|error| refused(error.to_string()))?.map(|cell| cell.bytes);
    let nothing = BTreeSet::from([None]);
    if !expected.cells.get(CELL).unwrap_or(&nothing).contains(&found) {
        return Err(format!("J3: cell {CELL} holds {found:?}, which was not put there last"));
    }
    stage.swap(&mut register, Some(b"the next one".to_vec())).map_err(refused)
}

/// What was to be set aside stands in one place, whole, and the other is free.
fn aside(stage: &mut Stage, expected: &Expected) -> Result<(), String> {
    let here = stands(&stage.disk, Path::new(JOURNAL), expected);
    let there = stands(&stage.disk, Path::new(ASIDE), expected);
    let unwritten = expected.certain.is_empty();
    match (&here, &there) {
        (Ok(()), Ok(())) if unwritten => {}
        (Ok(()), Ok(())) => return Err("J1: the stream stands in both places".to_owned()),
        (Ok(()), Err(_)) | (Err(_), Ok(())) => {}
        (Err(what), Err(_)) => return Err(format!("{what}; and not where it was to be set aside")),
    }
    Ok(())
}
