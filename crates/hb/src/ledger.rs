//! The versions behind a watch's baseline tag: a stream of the journal with many writers and no reign.
//!
//! **Invariants.** What holds is what the stream says, in its order. Whoever appends has read everything before: an append
//! by compare-and-set that comes second is refused, the stream read on, and the request judged anew (J2).

use std::collections::BTreeMap;

use hb_core::ids::{Epoch, NodeName, Seq, StreamName, WatchName};
use hb_core::journal::{FORMAT, Hash, Head, seal};
use hb_core::node::fact::{BaselineEvent, Body, Record, Sealed};
use hb_core::time::Stamp;
use hb_core::watch::baseline::{Gate, Provenance};
use hb_core::watch::decision::BaselineRef;
use hb_store::port::{Appended, Journal};
use hb_store::reader::Follower;
use serde::Serialize;

use crate::cli::Failure;
use crate::config::checked::Approval;
use crate::exit::Exit;

/// Most tries at an append while others are quicker (B1).
const RACES_MAX: usize = 64;

/// One version of a baseline.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Version {
    /// Version, tag and hash of its document.
    pub baseline: BaselineRef,
    /// When it was made.
    pub made_utc: Stamp,
    /// Where it comes from.
    pub provenance: Provenance,
    /// Series in it.
    pub series: u64,
    /// Its quality gates.
    pub gates: Vec<Gate>,
    /// The newest request, if any: who and why.
    pub requested: Option<(String, String)>,
    /// Who agreed with that request, and why.
    pub approved: Vec<(String, String)>,
    /// How often it was put in force.
    pub promotions: u32,
}

impl Version {
    /// Names of the gates that are closed.
    #[must_use]
    pub fn closed(&self) -> Vec<String> {
        self.gates.iter().filter(|gate| !gate.passed).map(|gate| gate.name.clone()).collect()
    }

    /// Whether somebody other than who asked has agreed.
    #[must_use]
    pub fn is_approved(&self) -> bool {
        !self.approved.is_empty()
    }
}

/// The stream as read so far.
#[derive(Debug)]
pub struct Ledger {
    stream: StreamName,
    tag: String,
    follower: Follower,
    head: Option<Head>,
    versions: BTreeMap<u32, Version>,
    in_force: Option<BaselineRef>,
}

/// What somebody wants, and who it is.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// Who.
    pub by: &'a str,
    /// Why.
    pub reason: &'a str,
}

/// Whether closed gates and missing approval are overridden.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    /// They hold.
    No,
    /// They are, and the record says so.
    Yes,
}

impl Ledger {
    /// Reads the stream of a watch's tag.
    ///
    /// # Errors
    /// Damage, or an unreadable journal.
    pub fn read(journal: &mut dyn Journal, watch: &WatchName, tag: &str) -> Result<Self, Failure> {
        let stream = StreamName::baseline(watch, tag);
        let floor = journal.floor(&stream)?;
        let follower = Follower::new(stream.clone(), floor);
        let mut ledger =
            Self { stream, tag: tag.to_owned(), follower, head: None, versions: BTreeMap::new(), in_force: None };
        ledger.catch_up(journal)?;
        Ok(ledger)
    }

    fn catch_up(&mut self, journal: &mut dyn Journal) -> Result<(), Failure> {
        loop {
            let records = self.follower.poll(journal)?;
            if records.is_empty() {
                return Ok(());
            }
            records.iter().for_each(|sealed| self.take(sealed));
        }
    }

    fn take(&mut self, sealed: &Sealed) {
        self.head = Some(sealed.head());
        let Body::BaselineEvent(event) = &sealed.record.body else { return };
        match event {
            BaselineEvent::Learned { baseline, provenance, series, gates } => {
                let version = Version {
                    baseline: baseline.clone(),
                    made_utc: sealed.record.at,
                    provenance: provenance.clone(),
                    series: *series,
                    gates: gates.clone(),
                    requested: None,
                    approved: Vec::new(),
                    promotions: 0,
                };
                self.versions.insert(baseline.version, version);
            }
            BaselineEvent::Requested { version, by, reason } => {
                if let Some(version) = self.versions.get_mut(version) {
                    version.requested = Some((by.clone(), reason.clone()));
                    version.approved.clear();
                }
            }
            BaselineEvent::Approved { version, by, reason } => {
                if let Some(version) = self.versions.get_mut(version) {
                    version.approved.push((by.clone(), reason.clone()));
                }
            }
            BaselineEvent::Promoted { baseline, .. } => {
                self.in_force = Some(baseline.clone());
                if let Some(version) = self.versions.get_mut(&baseline.version) {
                    version.promotions = version.promotions.saturating_add(1);
                }
            }
        }
    }

    /// Every version, oldest first.
    pub fn versions(&self) -> impl Iterator<Item = &Version> {
        self.versions.values()
    }

    /// What is in force.
    #[must_use]
    pub fn in_force(&self) -> Option<&BaselineRef> {
        self.in_force.as_ref()
    }

    /// One version.
    ///
    /// # Errors
    /// There is none of that number.
    pub fn version(&self, number: u32) -> Result<&Version, Failure> {
        let known = || self.versions.keys().map(u32::to_string).collect::<Vec<_>>().join(", ");
        self.versions.get(&number).ok_or_else(|| {
            let what = format!("the tag {} has no version {number}", self.tag);
            let help = if self.versions.is_empty() {
                "it has none yet: `hb baseline learn`".into()
            } else {
                format!("it has {}", known())
            };
            Failure::new(Exit::Usage, what).help(help)
        })
    }

    /// Adds a version; its document is durable already.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub fn learned(
        &mut self,
        journal: &mut dyn Journal,
        node: &NodeName,
        (hash, provenance, series, gates): (Hash, &Provenance, u64, &[Gate]),
    ) -> Result<BaselineRef, Failure> {
        self.append(journal, node, |ledger| {
            let next = ledger.versions.keys().max().map_or(1, |newest| newest.saturating_add(1));
            let baseline = BaselineRef { tag: ledger.tag.clone(), version: next, hash };
            Ok((
                BaselineEvent::Learned {
                    baseline: baseline.clone(),
                    provenance: provenance.clone(),
                    series,
                    gates: gates.to_vec(),
                },
                baseline,
            ))
        })
    }

    /// Asks for a version to be put in force.
    ///
    /// # Errors
    /// There is no such version, or the journal cannot be written.
    pub fn request(
        &mut self,
        journal: &mut dyn Journal,
        node: &NodeName,
        version: u32,
        wish: Wish<'_>,
    ) -> Result<(), Failure> {
        self.append(journal, node, |ledger| {
            ledger.version(version)?;
            Ok((BaselineEvent::Requested { version, by: wish.by.into(), reason: wish.reason.into() }, ()))
        })
    }

    /// Agrees with a request.
    ///
    /// # Errors
    /// There is no request, or it is one's own (four eyes); the journal cannot be written.
    pub fn approve(
        &mut self,
        journal: &mut dyn Journal,
        node: &NodeName,
        version: u32,
        wish: Wish<'_>,
    ) -> Result<(), Failure> {
        self.append(journal, node, |ledger| {
            let Some((asked_by, _)) = &ledger.version(version)?.requested else {
                let what = format!("nobody has asked for version {version}");
                return Err(
                    Failure::new(Exit::Refused, what).help(format!("`hb baseline request {version} --reason …` first"))
                );
            };
            if asked_by.trim().eq_ignore_ascii_case(wish.by.trim()) {
                let what = format!("version {version} was asked for by {asked_by}, who cannot approve it as well");
                return Err(Failure::new(Exit::Refused, what).help("somebody else has to: four eyes"));
            }
            Ok((BaselineEvent::Approved { version, by: wish.by.into(), reason: wish.reason.into() }, ()))
        })
    }

    /// Puts a version in force; running nodes adopt it at their next cycle. Gives the names of what was overridden.
    ///
    /// # Errors
    /// A gate is closed or approval is missing, and nothing was forced; the journal cannot be written.
    pub fn promote(
        &mut self,
        journal: &mut dyn Journal,
        node: &NodeName,
        (version, force, approval): (u32, Force, Approval),
        wish: Wish<'_>,
    ) -> Result<Vec<String>, Failure> {
        self.append(journal, node, |ledger| {
            let found = ledger.version(version)?;
            let mut held = found.closed();
            if approval == Approval::Required && !found.is_approved() {
                held.push("approval".into());
            }
            if !held.is_empty() && force == Force::No {
                return Err(refused(found, &held));
            }
            let event = BaselineEvent::Promoted {
                baseline: found.baseline.clone(),
                by: wish.by.into(),
                reason: wish.reason.into(),
                forced: held.clone(),
            };
            Ok((event, held))
        })
    }

    /// Appends what `judge` comes to, which is asked anew whenever somebody else was quicker.
    fn append<T>(
        &mut self,
        journal: &mut dyn Journal,
        node: &NodeName,
        judge: impl Fn(&Self) -> Result<(BaselineEvent, T), Failure>,
    ) -> Result<T, Failure> {
        for _ in 0..RACES_MAX {
            self.catch_up(journal)?;
            let (event, answer) = judge(self)?;
            let sealed = self.next(event, node);
            match journal.append(&self.stream, sealed.record.seq, &sealed.bytes) {
                Appended::Committed => {
                    self.catch_up(journal)?;
                    return Ok(answer);
                }
                Appended::Refused(_) => {}
                Appended::Unknown(_) => {
                    // Read back before anything else (J5): ours may stand there.
                    let stands = hb_store::reader::read_sound(journal, &self.stream, sealed.record.seq, 1)?;
                    if stands.first().is_some_and(|found| found.hash == sealed.hash) {
                        self.catch_up(journal)?;
                        return Ok(answer);
                    }
                }
                Appended::Failed(why) | Appended::Stopped(why) => {
                    return Err(Failure::new(Exit::CannotWrite, why));
                }
            }
        }
        let what = format!("{} could not be appended to in {RACES_MAX} tries", self.stream);
        Err(Failure::new(Exit::Unavailable, what).help("others are always quicker: try again"))
    }

    fn next(&self, event: BaselineEvent, node: &NodeName) -> Sealed {
        seal(Record {
            format: FORMAT,
            stream: self.stream.clone(),
            seq: self.head.map_or(Seq(0), |head| head.seq.next()),
            epoch: Epoch(0),
            at: hb_daemon::clock::wall(),
            node: node.clone(),
            prev: self.head.map_or(Hash::ZERO, |head| head.hash),
            body: Body::BaselineEvent(event),
        })
    }
}

fn refused(version: &Version, held: &[String]) -> Failure {
    let details = version.gates.iter().filter(|gate| !gate.passed);
    let told: Vec<String> = details.map(|gate| format!("{}: {}", gate.name, gate.detail)).collect();
    let what = format!("version {} is not put in force: {} not open", version.baseline.version, held.join(", "));
    let advice = if held.iter().any(|gate| gate == "approval") {
        "`hb baseline request` and, by somebody else, `hb baseline approve`; or --force with a --reason"
    } else {
        "learn from more or calmer cycles; or --force with a --reason"
    };
    let help = if told.is_empty() { advice.to_owned() } else { format!("{}\n    {advice}", told.join("\n    ")) };
    Failure::new(Exit::Refused, what).help(help)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hb_core::time::Span;
    use hb_store::journal::dir::DirJournal;

    fn version(dir: &std::path::Path, gates: &[Gate]) -> (DirJournal, Ledger) {
        let mut journal = DirJournal::open(dir).unwrap();
        let mut ledger = Ledger::read(&mut journal, &"w".into(), "golden").unwrap();
        let span = Span { start: Stamp(0), end: Stamp(10) };
        let provenance =
            Provenance { from: "test".into(), span, windows: 1, window_ns: 10, samples: 1, by: "ann".into() };
        let made = ledger.learned(&mut journal, &"n".into(), (Hash::of(b"doc"), &provenance, 1, gates)).unwrap();
        assert_eq!(made.version, 1);
        (journal, ledger)
    }

    const ANN: Wish<'static> = Wish { by: "ann", reason: "new firmware" };
    const BOB: Wish<'static> = Wish { by: "bob", reason: "looked at it" };

    #[test]
    fn nobody_approves_their_own_request() {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, mut ledger) = version(dir.path(), &[]);
        let node = "n".into();
        let asked = (1, Force::No, Approval::Required);
        assert_eq!(ledger.approve(&mut journal, &node, 1, BOB).unwrap_err().exit, Exit::Refused);
        ledger.request(&mut journal, &node, 1, ANN).unwrap();
        assert_eq!(ledger.approve(&mut journal, &node, 1, Wish { by: " ANN", ..ANN }).unwrap_err().exit, Exit::Refused);
        assert_eq!(ledger.promote(&mut journal, &node, asked, ANN).unwrap_err().exit, Exit::Refused);
        ledger.approve(&mut journal, &node, 1, BOB).unwrap();
        assert!(ledger.promote(&mut journal, &node, asked, ANN).unwrap().is_empty());
        assert_eq!(ledger.in_force().map(|baseline| baseline.version), Some(1));
    }

    #[test]
    fn closed_gates_gate_and_force_is_recorded() {
        let dir = tempfile::tempdir().unwrap();
        let gate = Gate { name: "samples".into(), passed: false, detail: "3 of 30".into() };
        let (mut journal, mut ledger) = version(dir.path(), &[gate]);
        let node = "n".into();
        let refused = ledger.promote(&mut journal, &node, (1, Force::No, Approval::NotRequired), ANN).unwrap_err();
        assert!(refused.help.contains("3 of 30"), "{refused:?}");
        let forced = ledger.promote(&mut journal, &node, (1, Force::Yes, Approval::Required), ANN).unwrap();
        assert_eq!(forced, ["samples", "approval"]);
    }

    #[test]
    fn j2_two_writers_make_two_versions() {
        let dir = tempfile::tempdir().unwrap();
        let (_first, mut stale) = version(dir.path(), &[]);
        let mut second = DirJournal::open(dir.path()).unwrap();
        let mut ledger = Ledger::read(&mut second, &"w".into(), "golden").unwrap();
        let provenance = stale.version(1).unwrap().provenance.clone();
        let made = ledger.learned(&mut second, &"m".into(), (Hash::of(b"other"), &provenance, 1, &[])).unwrap();
        let mut third = DirJournal::open(dir.path()).unwrap();
        let late = stale.learned(&mut third, &"n".into(), (Hash::of(b"third"), &provenance, 1, &[])).unwrap();
        assert_eq!((made.version, late.version), (2, 3));
    }
}
