//! Whether everything that is stored is what it should be: `hb verify`.
//!
//! **Invariants.** Nothing is changed. Every fault names its file, and its record or line where it has one, and what to do
//! (J4). A node may be at work meanwhile: views are read before the journal, so that the journal is never behind them.

mod learnt;
mod served;
mod streams;
mod supervisor;
mod views;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hb_core::ids::{Seq, StreamName};
use hb_core::journal::Hash;
use serde::Serialize;

use crate::atomic::Disk;
use crate::baselines::Baselines;
use crate::port::{Journal, JournalError};

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
    /// The supervisor's database, if there is one.
    pub supervisor: Option<PathBuf>,
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
    /// `checkpoint`, `history`, `alerts`, `baselines`, `db`, `supervisor`.
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

/// A journal that a server keeps.
pub struct Served<'a> {
    /// Opened.
    pub journal: &'a mut dyn Journal,
    /// The streams that are looked at: a server is not asked what else there is.
    pub streams: Vec<StreamName>,
    /// The documents beside it, if they are looked at.
    pub documents: Option<Baselines>,
}

/// Looks at everything.
///
/// # Errors
/// When the journal's folder cannot be read at all, or is not one.
pub fn verify(places: &Places) -> Result<VerifyReport, JournalError> {
    verify_on(&Disk::new(), places)
}

/// The same on another file system; databases are looked at on the real one.
///
/// # Errors
/// As [`verify`].
pub fn verify_on(disk: &Disk, places: &Places) -> Result<VerifyReport, JournalError> {
    let look = |disk: &Disk| {
        let (mut report, known) = streams::verify(disk, &places.journal)?;
        report.views.extend(places.documents.as_deref().map(|dir| views::baselines(disk, dir, &known)));
        Ok((report, known))
    };
    with_views(disk, places, look)
}

/// The same where a server keeps the journal; the views are in folders all the same.
///
/// # Errors
/// When the journal cannot be read at all.
pub fn verify_served(places: &Places, served: Served<'_>) -> Result<VerifyReport, JournalError> {
    let look = |_: &Disk| {
        let (mut report, known) = served::verify(served.journal, &served.streams)?;
        report.views.extend(served.documents.map(|documents| served::baselines(&documents, &known)));
        Ok((report, known))
    };
    with_views(&Disk::new(), places, look)
}

type Looked = (VerifyReport, BTreeMap<StreamName, Known>);

/// Views first: the journal is never behind what was made of it.
fn with_views(
    disk: &Disk,
    places: &Places,
    look: impl FnOnce(&Disk) -> Result<Looked, JournalError>,
) -> Result<VerifyReport, JournalError> {
    let seen: Vec<views::Seen> = places.output_dirs.iter().map(|dir| views::look(disk, dir)).collect();
    let positions = places.db.as_deref().map(views::look_at_db);
    let (mut report, known) = look(disk)?;
    for seen in seen {
        report.views.extend(views::judge(seen, &known));
    }
    report.views.extend(positions.map(|positions| views::judge_db(positions, &known)));
    if let Some(found) = places.supervisor.as_deref().map(supervisor::verify) {
        report.streams.extend(found.stream);
        report.views.push(found.view);
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::conformance::{cycles, watch};
    use crate::journal::dir::DirJournal;
    use crate::journal::names;
    use crate::port::{Appended, Journal};
    use crate::views::runs::{DbSettings, RunsDb};
    use crate::views::{FileViews, ViewSettings};

    struct House {
        dir: tempfile::TempDir,
    }

    fn stream() -> StreamName {
        StreamName::watch(&watch())
    }

    impl House {
        fn new(count: u64) -> Self {
            let house = Self { dir: tempfile::tempdir().unwrap() };
            let mut journal = DirJournal::open(&house.places().journal).unwrap();
            let settings = ViewSettings { max_checkpoint_history: 50, max_report_dir_bytes: 0 };
            let mut views = FileViews::open(house.dir.path(), settings).unwrap();
            for sealed in cycles(count) {
                assert_eq!(journal.append(&stream(), sealed.record.seq, &sealed.bytes), Appended::Committed);
                assert_eq!(views.apply(&sealed, None).faults, []);
            }
            let mut db = RunsDb::open(&house.dir.path().join("runs.db"), DbSettings::default()).unwrap();
            db.catch_up(&mut journal, &stream()).unwrap();
            house
        }

        fn places(&self) -> Places {
            let dir = self.dir.path();
            Places {
                journal: dir.join("journal"),
                output_dirs: vec![dir.to_path_buf()],
                documents: Some(dir.to_path_buf()),
                db: Some(dir.join("runs.db")),
                supervisor: None,
            }
        }

        fn record(&self, seq: u64) -> PathBuf {
            self.places().journal.join("watch/bench").join(names::record_file(Seq(seq)))
        }

        fn verify(&self) -> VerifyReport {
            verify(&self.places()).unwrap()
        }

        /// The one fault, about that record, that says that.
        fn names(&self, seq: u64, says: &str) {
            let report = self.verify();
            let found = report.findings().find(|finding| {
                finding.grade == Grade::Fault && finding.seq == Some(Seq(seq)) && finding.what.contains(says)
            });
            let found = found.unwrap_or_else(|| panic!("{says}: {:#?}", report.findings().collect::<Vec<_>>()));
            assert!(!found.advice.is_empty());
            assert!(!report.sound());
        }
    }

    #[test]
    fn what_is_sound_is_called_sound() {
        let house = House::new(12);
        let report = house.verify();
        assert!(report.sound(), "{report:#?}");
        assert_eq!(report.findings().count(), 0, "{report:#?}");
        let found = &report.streams[0];
        assert_eq!((found.records, found.first, found.head), (12, Some(Seq(0)), Some(Seq(11))));
        let name = stream();
        DirJournal::open(&house.places().journal).unwrap().trim(&name, Seq(7)).unwrap();
        let report = house.verify();
        assert!(report.sound(), "{report:#?}");
        assert_eq!(report.streams[0].first, Some(Seq(7)));
        let empty = tempfile::tempdir().unwrap();
        let nowhere = Places {
            journal: empty.path().join("none"),
            output_dirs: Vec::new(),
            documents: None,
            db: None,
            supervisor: None,
        };
        assert_eq!(verify(&nowhere).unwrap(), VerifyReport::default());
    }

    #[test]
    fn j4_every_flipped_bit_and_every_cut_of_a_stored_record_is_named() {
        let root = tempfile::tempdir().unwrap();
        crate::conformance::fill(&mut DirJournal::open(root.path()).unwrap(), &stream(), 3);
        let path = root.path().join("watch/bench").join(names::record_file(Seq(1)));
        let bytes = fs::read(&path).unwrap();
        let places = Places {
            journal: root.path().to_path_buf(),
            output_dirs: Vec::new(),
            documents: None,
            db: None,
            supervisor: None,
        };
        let told = |what: &str, stored: &[u8]| {
            fs::write(&path, stored).unwrap();
            let report = verify(&places).unwrap();
            let named = report.findings().any(|finding| finding.file == path && finding.seq == Some(Seq(1)));
            assert!(named && !report.sound(), "{what}: {report:#?}");
            assert_eq!(report.streams[0].records, 2, "{what}: it is not read as data");
        };
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            told(&format!("bit {bit}"), &flipped);
        }
        for cut in 0..bytes.len() {
            told(&format!("cut at {cut}"), &bytes[..cut]);
        }
        fs::write(&path, &bytes).unwrap();
        assert!(verify(&places).unwrap().sound());
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]
        #[test]
        fn j4_whatever_overwrites_a_part_of_a_record_is_named(
            seq in 0_u64..4, at in proptest::prelude::any::<proptest::sample::Index>(),
            bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 1..40),
        ) {
            static ROOT: std::sync::OnceLock<tempfile::TempDir> = std::sync::OnceLock::new();
            let root = ROOT.get_or_init(|| {
                let root = tempfile::tempdir().unwrap();
                crate::conformance::fill(&mut DirJournal::open(root.path()).unwrap(), &stream(), 4);
                root
            });
            let path = root.path().join("watch/bench").join(names::record_file(Seq(seq)));
            let sound = fs::read(&path).unwrap();
            let mut stored = sound.clone();
            let at = at.index(stored.len());
            let end = (at + bytes.len()).min(stored.len());
            stored.splice(at..end, bytes);
            fs::write(&path, &stored).unwrap();
            let places =
                Places { journal: root.path().to_path_buf(), output_dirs: Vec::new(), documents: None, db: None, supervisor: None };
            let report = verify(&places).unwrap();
            fs::write(&path, &sound).unwrap();
            let named = report.findings().any(|finding| finding.file == path && finding.seq == Some(Seq(seq)));
            proptest::prop_assert_eq!(named, stored != sound);
        }
    }

    #[test]
    fn j4_missing_renamed_swapped_and_foreign_records_are_named() {
        let house = House::new(8);
        fs::remove_file(house.record(0)).unwrap();
        house.names(0, "missing");
        let house = House::new(8);
        fs::remove_file(house.record(4)).unwrap();
        house.names(4, "missing");
        let house = House::new(8);
        fs::copy(house.record(2), house.record(5)).unwrap();
        house.names(5, "holds record 2");
        let house = House::new(8);
        let other = crate::conformance::sample(&stream(), Seq(5), "b", Hash::of(b"elsewhere"));
        fs::write(house.record(5), other.bytes).unwrap();
        house.names(5, "predecessor");
        let house = House::new(8);
        fs::write(house.record(6), b"{}").unwrap();
        house.names(6, "cut short");
        let line = br#"{"format":99}"#;
        let newer = [line.as_slice(), b"\nblake3:", Hash::of(line).to_string().as_bytes(), b"\n"].concat();
        fs::write(house.record(6), newer).unwrap();
        house.names(6, "format 99");
    }

    #[test]
    fn j4_a_lost_end_is_seen_by_the_checkpoint_the_history_and_the_database() {
        let house = House::new(9);
        for seq in [6, 7, 8] {
            fs::remove_file(house.record(seq)).unwrap();
        }
        house.names(6, "records 6 to 8 are missing");
        let report = house.verify();
        for view in ["checkpoint", "history", "db"] {
            let found = report.views.iter().find(|found| found.view == view).unwrap();
            assert!(found.findings.faults > 0, "{view}: {report:#?}");
        }
        fs::remove_dir_all(house.places().journal).unwrap();
        house.names(0, "records 0 to 8 are missing");
    }

    #[test]
    fn leftovers_and_strays_are_noticed_but_no_fault() {
        let house = House::new(3);
        let journal = house.places().journal;
        for name in [".hb-1-1-1.tmp", "watch/bench/.hb-1-1-1.tmp", "watch/bench/notes.txt", "watch/stray", "stray"] {
            fs::write(journal.join(name), b"x").unwrap();
        }
        let report = house.verify();
        assert!(report.sound(), "{report:#?}");
        assert_eq!(report.findings().count(), 5, "{report:#?}");
    }

    /// A line as the file sink writes it.
    const ALERT: &str = concat!(
        r#"{"ts":"2023-11-14T22:13:30Z","severity":"FAIL","status":"FAIL","run_id":"bench/4","primary_issue":"fail","#,
        r#""report_path":null,"drift_metrics":["bus.voltage"],"key":"bench/4","watch":"bench","cycle":4,"#,
        r#""start_utc":"2023-11-14T22:13:20Z","end_utc":"2023-11-14T22:13:30Z","cause":"changed","before":"PASS","#,
        r#""headline":"FAIL: bus.voltage","since":"2023-11-14T22:13:20Z"}"#,
        "\n"
    );

    #[test]
    fn alerts_of_the_sink_are_sound_and_a_cut_one_is_noticed_with_its_line() {
        let house = House::new(6);
        let file = house.dir.path().join(views::ALERTS);
        let told = |text: &str| {
            fs::write(&file, text).unwrap();
            let report = house.verify();
            assert!(report.sound(), "{report:#?}");
            let checked = report.views.iter().find(|found| found.file == file).unwrap().checked;
            let found: Vec<_> = report.findings().map(|finding| (finding.file.clone(), finding.line)).collect();
            (checked, found)
        };
        assert_eq!(told(""), (0, vec![]));
        assert_eq!(told(&ALERT.repeat(2)), (2, vec![]));
        // The sink closes what a crash cut and goes on below it.
        let cut = &ALERT[..ALERT.len() / 2];
        assert_eq!(told(&format!("{ALERT}{cut}\n{ALERT}")), (3, vec![(file.clone(), Some(2))]));
        assert_eq!(told(&format!("{ALERT}{cut}")), (2, vec![(file.clone(), Some(2))]));
    }

    #[test]
    fn damaged_views_are_named_with_file_and_line() {
        let house = House::new(6);
        let dir = house.dir.path();
        fs::write(dir.join("daemon_checkpoint.json"), b"{\"last").unwrap();
        let history = dir.join("checkpoint_history/checkpoints.jsonl");
        let text = fs::read_to_string(&history).unwrap().replacen("PASS", "P\"SS", 3);
        fs::write(&history, text).unwrap();
        fs::create_dir(dir.join("baselines")).unwrap();
        let hash = Hash::of(b"something");
        fs::write(dir.join(format!("baselines/{hash}.json")), b"something else").unwrap();
        fs::write(dir.join("runs.db"), vec![0xA5; 9000]).unwrap();
        let report = house.verify();
        for (file, line) in [
            ("daemon_checkpoint.json", None),
            ("checkpoints.jsonl", Some(1)),
            ("checkpoints.jsonl", Some(3)),
            (".json", None),
            ("runs.db", None),
        ] {
            let found = report.findings().any(|finding| {
                finding.grade == Grade::Fault && finding.line == line && finding.file.to_string_lossy().ends_with(file)
            });
            assert!(found, "{file} {line:?}: {:#?}", report.findings().collect::<Vec<_>>());
        }
    }
}
