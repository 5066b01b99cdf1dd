//! The journal's folder: every record decoded, chained and under its own name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hb_core::ids::{Seq, StreamName};
use hb_core::journal::ChainCheck;
use hb_core::node::fact::{Record, Sealed};

use super::learnt::Learnt;
use super::{Finding, Findings, Known, StreamReport, VerifyReport};
use crate::atomic::{Disk, Fault, is_temp};
use crate::journal::dir::check_layout;
use crate::journal::names::{self, FLOOR_SUFFIX, FLOORS, FORMAT_FILE, RECORD_SUFFIX};
use crate::port::JournalError;

const LEFTOVER: &str = "a temporary file of a writer that died; hb removes it after an hour";
const STRAY: &str = "not a file of hb; move it elsewhere";

#[expect(clippy::needless_pass_by_value, reason = "reads as a conversion in map_err")]
fn unavailable(fault: Fault) -> JournalError {
    JournalError::Unavailable(fault.to_string())
}

/// Reads the whole journal.
pub(super) fn verify(disk: &Disk, root: &Path) -> Result<(VerifyReport, BTreeMap<StreamName, Known>), JournalError> {
    let mut report = VerifyReport::default();
    let mut known = BTreeMap::new();
    let kinds = disk.names(root).map_err(unavailable)?;
    match disk.read(&root.join(FORMAT_FILE)).map_err(unavailable)? {
        Some(bytes) => check_layout(root, &bytes)?,
        None if kinds.is_empty() => return Ok((report, known)),
        None => {
            let text = "the layout marker is missing; hb writes it with its next record";
            report.journal.push(Finding::notice(&root.join(FORMAT_FILE), text));
        }
    }
    for kind in sorted(kinds) {
        let dir = root.join(&kind);
        if kind == FORMAT_FILE {
            continue;
        }
        if is_temp(&kind) {
            report.journal.push(Finding::notice(&dir, LEFTOVER));
            continue;
        }
        let listed = match disk.names(&dir) {
            Ok(listed) => listed,
            Err(fault) if fault.not_a_folder() => {
                report.journal.push(Finding::notice(&dir, STRAY));
                continue;
            }
            Err(fault) => return Err(unavailable(fault)),
        };
        for name in sorted(listed) {
            let Some(stream) = names::stream_of(&kind, &name) else {
                report.journal.push(Finding::notice(&dir.join(&name), STRAY));
                continue;
            };
            if stream.as_str() == crate::probe::STREAM {
                // What `hb doctor` wrote to see whether the journal keeps its word: no records of anybody.
                continue;
            }
            let mut reading = Reading::new(disk, dir.join(&name), stream.clone());
            match reading.run() {
                Ok(()) => {}
                Err(fault) if fault.not_a_folder() => {
                    report.journal.push(Finding::notice(&dir.join(&name), STRAY));
                    continue;
                }
                Err(fault) => return Err(unavailable(fault)),
            }
            known.insert(stream, reading.learnt.known(reading.report.head));
            report.streams.push(reading.report);
        }
    }
    Ok((report, known))
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

struct Reading<'a> {
    disk: &'a Disk,
    dir: PathBuf,
    report: StreamReport,
    learnt: Learnt,
    /// After damage there is nothing to link to.
    check: Option<ChainCheck>,
}

impl<'a> Reading<'a> {
    fn new(disk: &'a Disk, dir: PathBuf, stream: StreamName) -> Self {
        let findings = Findings::default();
        let report = StreamReport { stream, records: 0, floor: Seq(0), first: None, head: None, findings };
        Self { disk, dir, report, learnt: Learnt::default(), check: None }
    }

    fn run(&mut self) -> Result<(), Fault> {
        let mut seqs = Vec::new();
        for name in sorted(self.disk.names(&self.dir)?) {
            match names::number(&name, RECORD_SUFFIX) {
                Some(seq) => seqs.push(seq),
                None if name == FLOORS => {}
                None if is_temp(&name) => self.note(Finding::notice(&self.dir.join(&name), LEFTOVER)),
                None => self.note(Finding::notice(&self.dir.join(&name), STRAY)),
            }
        }
        // Read after the records: what was trimmed meanwhile lies below it.
        self.report.floor = self.floor()?;
        self.learnt.known.floor = self.report.floor;
        seqs.sort();
        let mut expected = self.report.floor;
        for seq in seqs {
            if seq < self.report.floor {
                let text = "a record below the floor, left by a writer that died; the next trim removes it";
                self.note(Finding::notice(&self.path(seq), text).at(seq));
                continue;
            }
            self.missing(expected, seq);
            expected = seq.next();
            self.record(seq)?;
        }
        Ok(())
    }

    fn path(&self, seq: Seq) -> PathBuf {
        self.dir.join(names::record_file(seq))
    }

    fn note(&mut self, finding: Finding) {
        self.report.findings.push(finding);
    }

    fn missing(&mut self, from: Seq, to: Seq) {
        if from < to {
            self.check = None;
        }
        let mut seq = from;
        while seq < to {
            let text =
                "the record is missing although later ones stand; restore it from a copy, or see docs/ops/repair.md";
            self.note(Finding::fault(&self.path(seq), text).at(seq));
            seq = seq.next();
        }
    }

    fn record(&mut self, seq: Seq) -> Result<(), Fault> {
        let path = self.path(seq);
        let bytes = match self.disk.read(&path) {
            Ok(Some(bytes)) => bytes,
            // Trimmed since the folder was listed.
            Ok(None) if seq < self.floor()? => return Ok(()),
            Ok(None) => {
                self.missing(seq, seq.next());
                return Ok(());
            }
            Err(fault) => {
                self.note(Finding::fault(&path, &fault.to_string()).at(seq));
                self.check = None;
                return Ok(());
            }
        };
        self.report.first = self.report.first.or(Some(seq));
        self.report.head = Some(seq);
        let sealed = match Record::decode(&bytes) {
            Ok(sealed) => sealed,
            Err(damage) => {
                self.note(Finding::fault(&path, &damage.to_string()).at(seq));
                self.check = None;
                return Ok(());
            }
        };
        if sealed.record.stream != self.report.stream || sealed.record.seq != seq {
            let text = format!(
                "the file was renamed or copied: it holds record {} of {}; give it its own name back",
                sealed.record.seq, sealed.record.stream
            );
            self.note(Finding::fault(&path, &text).at(seq));
            self.check = None;
            return Ok(());
        }
        self.sound(seq, sealed);
        Ok(())
    }

    fn sound(&mut self, seq: Seq, sealed: Sealed) {
        let mut check = self.check.unwrap_or_else(|| ChainCheck::from(seq));
        if let Err(broken) = check.push(&sealed) {
            let text =
                format!("{broken}; one of the two was replaced: restore both from a copy, or see docs/ops/repair.md");
            self.note(Finding::fault(&self.path(seq), &text).at(seq));
            check = ChainCheck::after(sealed.head());
        }
        self.check = Some(check);
        self.report.records = self.report.records.saturating_add(1);
        self.learnt.learn(seq, sealed);
    }

    /// The largest floor; each is an empty file whose name says it.
    fn floor(&mut self) -> Result<Seq, Fault> {
        let dir = self.dir.join(FLOORS);
        let mut largest = Seq(0);
        for name in self.disk.names(&dir)? {
            let path = dir.join(&name);
            let Some(floor) = names::number(&name, FLOOR_SUFFIX) else {
                let text = if is_temp(&name) { LEFTOVER } else { STRAY };
                self.note(Finding::notice(&path, text));
                continue;
            };
            match self.disk.read(&path)? {
                // Replaced by a larger one meanwhile.
                None => continue,
                Some(bytes) if bytes.is_empty() => {}
                Some(_) => {
                    let text =
                        "a floor is an empty file, this one is not; see whether its number is below the first record";
                    self.note(Finding::fault(&path, text));
                }
            }
            largest = largest.max(floor);
        }
        Ok(largest)
    }
}
