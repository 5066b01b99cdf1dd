//! A journal that a server keeps: the same questions, asked through its port, stream by stream as the configuration names them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hb_core::ids::{Seq, StreamName};
use hb_core::journal::{ChainCheck, Hash};
use hb_core::node::fact::{Record, Sealed};

use super::learnt::Learnt;
use super::{Finding, Findings, Known, StreamReport, VerifyReport, ViewReport};
use crate::baselines::Baselines;
use crate::port::{Journal, JournalError};

/// Reads every stream from its floor on.
pub(super) fn verify(
    journal: &mut dyn Journal,
    streams: &[StreamName],
) -> Result<(VerifyReport, BTreeMap<StreamName, Known>), JournalError> {
    let (mut report, mut known) = (VerifyReport::default(), BTreeMap::new());
    for stream in streams {
        let (told, found) = Reading::new(stream, journal)?.run(journal)?;
        report.streams.push(told);
        known.insert(stream.clone(), found);
    }
    Ok((report, known))
}

/// The documents that may still be asked for.
pub(super) fn baselines(documents: &Baselines, known: &BTreeMap<StreamName, Known>) -> ViewReport {
    let mut wanted: Vec<Hash> = known.values().flat_map(|known| &known.baselines).copied().collect();
    wanted.sort();
    wanted.dedup();
    let file = PathBuf::from("baselines");
    let mut out = ViewReport { view: "baselines", file, checked: 0, findings: Findings::default() };
    for hash in wanted {
        out.checked = out.checked.saturating_add(1);
        if let Err(error) = documents.read(hash) {
            out.findings.push(Finding::fault(Path::new(&format!("baselines/{hash}")), &error.0));
        }
    }
    out
}

struct Reading {
    report: StreamReport,
    learnt: Learnt,
    check: ChainCheck,
    next: Seq,
}

impl Reading {
    fn new(stream: &StreamName, journal: &mut dyn Journal) -> Result<Self, JournalError> {
        let floor = journal.floor(stream)?;
        let findings = Findings::default();
        let report = StreamReport { stream: stream.clone(), records: 0, floor, first: None, head: None, findings };
        Ok(Self { report, learnt: Learnt::from(floor), check: ChainCheck::from(floor), next: floor })
    }

    fn run(mut self, journal: &mut dyn Journal) -> Result<(StreamReport, Known), JournalError> {
        let head = journal.head(&self.report.stream)?;
        while head.is_some_and(|head| self.next <= head) {
            match journal.read(&self.report.stream, self.next, 1) {
                Ok(page) => match page.into_iter().next() {
                    Some((seq, bytes)) => self.record(seq, &bytes),
                    // Trimmed up to the head meanwhile.
                    None => break,
                },
                Err(JournalError::Corrupt(what)) => self.skip(&what),
                Err(error) => return Err(error),
            }
        }
        let known = self.learnt.known(self.report.head);
        Ok((self.report, known))
    }

    fn fault(&mut self, seq: Seq, what: &str) {
        let name = format!("{}/{seq}", self.report.stream);
        self.report.findings.push(Finding::fault(Path::new(&name), what).at(seq));
    }

    /// A record that cannot be had: what comes behind it has nothing to link to.
    fn skip(&mut self, what: &str) {
        let seq = self.next;
        self.fault(seq, what);
        self.next = seq.next();
        self.check = ChainCheck::from(self.next);
    }

    fn record(&mut self, seq: Seq, bytes: &[u8]) {
        if seq > self.next {
            // Trimmed meanwhile.
            self.check = ChainCheck::from(seq);
        }
        self.next = seq.next();
        self.report.first = self.report.first.or(Some(seq));
        self.report.head = Some(seq);
        let sealed: Sealed = match Record::decode(bytes) {
            Ok(sealed) => sealed,
            Err(damage) => {
                self.fault(seq, &damage.to_string());
                self.check = ChainCheck::from(self.next);
                return;
            }
        };
        if sealed.record.stream != self.report.stream || sealed.record.seq != seq {
            let what = format!("it is record {} of {}", sealed.record.seq, sealed.record.stream);
            self.fault(seq, &what);
            self.check = ChainCheck::from(self.next);
            return;
        }
        if let Err(broken) = self.check.push(&sealed) {
            self.fault(seq, &format!("{broken}; one of the two was replaced: restore both from a copy"));
            self.check = ChainCheck::after(sealed.head());
        }
        self.sound(seq, sealed);
    }

    fn sound(&mut self, seq: Seq, sealed: Sealed) {
        self.report.records = self.report.records.saturating_add(1);
        self.learnt.learn(seq, sealed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::{fill, sample};
    use crate::journal::memory::MemoryJournal;

    #[test]
    fn j4_what_a_server_keeps_is_read_and_what_does_not_follow_is_named() {
        let stream: StreamName = "watch/served".into();
        let mut journal = MemoryJournal::new();
        let records = fill(&mut journal, &stream, 4);
        let (report, known) = verify(&mut journal, std::slice::from_ref(&stream)).unwrap();
        assert!(report.sound());
        assert_eq!((report.streams[0].records, known[&stream].head), (4, Some(Seq(3))));
        let unlinked = sample(&stream, Seq(4), "a", Hash::ZERO);
        assert_eq!(journal.append(&stream, Seq(4), &unlinked.bytes), crate::port::Appended::Committed);
        assert_eq!(journal.append(&stream, Seq(5), b"garbage"), crate::port::Appended::Committed);
        let (report, _) = verify(&mut journal, std::slice::from_ref(&stream)).unwrap();
        let named: Vec<_> = report.findings().map(|finding| finding.seq).collect();
        assert_eq!(named, [Some(Seq(4)), Some(Seq(5))], "{report:?}");
        assert_eq!(records.len(), 4);
    }
}
