//! Whether everything that is stored is what it should be: `hb verify`.
//!
//! **Invariants.** Nothing is changed. Every fault names its file, and its record or line where it has one, and what to do
//! (J4). A node may be at work meanwhile: views are read before the journal, so that the journal is never behind them.

mod streams;
mod views;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hb_core::ids::{Seq, StreamName};
use hb_core::journal::Hash;
use serde::Serialize;

use crate::atomic::Disk;
use crate::port::JournalError;

/// Most findings that one stream or view names; the rest is counted (B1).
pub const NAMED_MAX: usize = 1000;

/// What to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// Root of the folder journal.
    pub journal: PathBuf,
    /// Folders with views of a watch.
    pub output_dirs: Vec<PathBuf>,
    /// The folder that the baseline documents stand below, if they are looked at; watches share them.
    pub documents: Option<PathBuf>,
    /// The database, if there is one.
    pub db: Option<PathBuf>,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// Something is lost or damaged.
    Fault,
    /// Untidy or behind, but nothing is lost: hb sees to it itself, or it is not hb's.
    Notice,
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad.
    pub grade: Grade,
    /// The file.
    pub file: PathBuf,
    /// The record, where it is about one.
    pub seq: Option<Seq>,
    /// The line, from 1, where it is about one.
    pub line: Option<usize>,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub advice: String,
}

impl Finding {
    fn fault(file: &Path, text: &str) -> Self {
        let (what, advice) =
            text.rsplit_once("; ").unwrap_or((text, "restore it from a copy, or see docs/ops/repair.md"));
        Self {
            grade: Grade::Fault,
            file: file.to_path_buf(),
            seq: None,
            line: None,
            what: what.to_owned(),
            advice: advice.to_owned(),
        }
    }

    fn notice(file: &Path, text: &str) -> Self {
        Self { grade: Grade::Notice, ..Self::fault(file, text) }
    }

    fn at(self, seq: Seq) -> Self {
        Self { seq: Some(seq), ..self }
    }

    fn on_line(self, line: usize) -> Self {
        Self { line: Some(line), ..self }
    }
}

/// Findings, of which only so many are named.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Findings {
    /// The first of them.
    pub named: Vec<Finding>,
    /// How many more there are.
    pub unnamed: u64,
    /// How many of all are faults.
    pub faults: u64,
}

impl Findings {
    fn push(&mut self, finding: Finding) {
        self.faults = self.faults.saturating_add(u64::from(finding.grade == Grade::Fault));
        if self.named.len() < NAMED_MAX {
            self.named.push(finding);
        } else {
            self.unnamed = self.unnamed.saturating_add(1);
        }
    }
}

/// One stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StreamReport {
    /// Its name.
    pub stream: StreamName,
    /// Sound records.
    pub records: u64,
    /// Smallest number that may stand.
    pub floor: Seq,
    /// First record that stands.
    pub first: Option<Seq>,
    /// Newest record that stands.
    pub head: Option<Seq>,
    /// What is wrong.
    pub findings: Findings,
}

/// One view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ViewReport {
    /// `checkpoint`, `history`, `alerts`, `baselines`, `db`.
    pub view: &'static str,
    /// Its file or folder.
    pub file: PathBuf,
    /// Documents, lines or streams looked at.
    pub checked: u64,
    /// What is wrong.
    pub findings: Findings,
}

/// Everything.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct VerifyReport {
    /// Findings about the journal's folder as a whole.
    pub journal: Findings,
    /// By name.
    pub streams: Vec<StreamReport>,
    /// In no special order.
    pub views: Vec<ViewReport>,
}

impl VerifyReport {
    /// Whether there is no fault; notices do not count.
    #[must_use]
    pub fn sound(&self) -> bool {
        self.faults() == 0
    }

    /// How many faults there are.
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.all().map(|findings| findings.faults).sum()
    }

    /// Every finding that is named.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.all().flat_map(|findings| &findings.named)
    }

    fn all(&self) -> impl Iterator<Item = &Findings> {
        let streams = self.streams.iter().map(|stream| &stream.findings);
        std::iter::once(&self.journal).chain(streams).chain(self.views.iter().map(|view| &view.findings))
    }
}

/// What is known of a stream after reading it.
#[derive(Debug, Default)]
struct Known {
    head: Option<Seq>,
    floor: Seq,
    hashes: BTreeMap<Seq, Hash>,
    /// Newest decided cycle.
    newest_cycle: Option<Seq>,
    /// Baselines that a watch may still be asked for.
    baselines: Vec<Hash>,
}

/// Looks at everything.
///
/// # Errors
/// When the journal's folder cannot be read at all, or is not one.
pub fn verify(places: &Places) -> Result<VerifyReport, JournalError> {
    let disk = Disk::new();
    let seen: Vec<views::Seen> = places.output_dirs.iter().map(|dir| views::look(&disk, dir)).collect();
    let positions = places.db.as_deref().map(views::look_at_db);
    let (mut report, known) = streams::verify(&disk, &places.journal)?;
    for seen in seen {
        report.views.extend(views::judge(seen, &known));
    }
    report.views.extend(places.documents.as_deref().map(|dir| views::baselines(dir, &known)));
    report.views.extend(positions.map(|positions| views::judge_db(positions, &known)));
    Ok(report)
}
