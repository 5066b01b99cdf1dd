//! The views against the journal: damaged, ahead of it, or telling something else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hb_core::ids::{Seq, StreamName};
use serde_json::Value;

use super::{Finding, Findings, Known, ViewReport};
use crate::atomic::Disk;
use crate::baselines::Baselines;
use crate::blobs::{self, DirBlobs};
use crate::views::checkpoint::{self, Checkpoint};
use crate::views::{ViewError, history, runs};

type Streams = BTreeMap<StreamName, Known>;

/// The alerts of a folder, one document a line. The file sink writes them; here they are only read.
pub(super) const ALERTS: &str = "alerts.jsonl";

/// Views of one folder as read before the journal.
pub(super) struct Seen {
    dir: PathBuf,
    checkpoint: Result<Option<Checkpoint>, ViewError>,
    history: Result<Option<Vec<history::Line>>, ViewError>,
    alerts: Result<Option<Vec<u8>>, String>,
}

/// Reads the views of a folder.
pub(super) fn look(disk: &Disk, dir: &Path) -> Seen {
    Seen {
        dir: dir.to_path_buf(),
        checkpoint: checkpoint::load(disk, dir),
        history: history::read_lines(disk, dir),
        alerts: disk.read(&dir.join(ALERTS)).map_err(|fault| fault.to_string()),
    }
}

fn report(view: &'static str, file: PathBuf) -> ViewReport {
    ViewReport { view, file, checked: 0, findings: Findings::default() }
}

/// Holds them against the journal.
pub(super) fn judge(seen: Seen, known: &Streams) -> Vec<ViewReport> {
    let Seen { dir, checkpoint, history, alerts } = seen;
    vec![
        judge_checkpoint(dir.join(checkpoint::FILE), checkpoint, known),
        judge_history(dir.join(history::DIR).join(history::FILE), history, known),
        judge_alerts(dir.join(ALERTS), alerts),
    ]
}

const REBUILT: &str = "the next start of the daemon rebuilds it from the journal";

fn judge_checkpoint(file: PathBuf, seen: Result<Option<Checkpoint>, ViewError>, known: &Streams) -> ViewReport {
    let mut out = report("checkpoint", file);
    match seen {
        Err(error) => out.findings.push(Finding::fault(&out.file, &error.what)),
        Ok(None) if known.values().any(|known| known.newest_cycle.is_some()) => {
            out.findings.push(Finding::notice(&out.file, &format!("the checkpoint is missing; {REBUILT}")));
        }
        Ok(None) => {}
        Ok(Some(found)) => {
            out.checked = 1;
            let stream = StreamName::watch(&found.watch);
            out.findings.extend(against(&out.file, &stream, (found.seq, &found.hash.to_string()), known));
            let newest = known.get(&stream).and_then(|known| known.newest_cycle);
            if let Some(newest) = newest.filter(|newest| *newest > found.seq) {
                let text = format!("shows record {} while {newest} is decided; {REBUILT}", found.seq);
                out.findings.push(Finding::notice(&out.file, &text));
            }
        }
    }
    out
}

/// Whether the journal has that record with that hash.
fn against(file: &Path, stream: &StreamName, (seq, hash): (Seq, &str), known: &Streams) -> Vec<Finding> {
    let nothing = Known::default();
    let journal = known.get(stream).unwrap_or(&nothing);
    if seq < journal.floor {
        return Vec::new();
    }
    let first_missing = journal.head.map_or(Seq(0), Seq::next);
    if seq >= first_missing {
        let text = format!(
            "the journal of {stream} lacks its end: records {first_missing} to {seq} are missing; restore them from a \
             copy before starting hb, or see docs/ops/repair.md"
        );
        return vec![Finding::fault(file, &text).at(first_missing)];
    }
    match journal.hashes.get(&seq) {
        Some(found) if found.to_string() != hash => {
            let text = format!("tells another history than record {seq} of {stream}; {REBUILT}");
            vec![Finding::fault(file, &text).at(seq)]
        }
        // A record that is damaged itself is told with its stream.
        Some(_) | None => Vec::new(),
    }
}

impl Findings {
    fn extend(&mut self, findings: Vec<Finding>) {
        for finding in findings {
            self.push(finding);
        }
    }
}

fn judge_history(file: PathBuf, seen: Result<Option<Vec<history::Line>>, ViewError>, known: &Streams) -> ViewReport {
    let mut out = report("history", file);
    let lines = match seen {
        Ok(lines) => lines.unwrap_or_default(),
        Err(error) => {
            out.findings.push(Finding::fault(&out.file, &error.what));
            return out;
        }
    };
    let mut before: Option<Seq> = None;
    for (number, line) in (1_usize..).zip(lines) {
        out.checked = out.checked.saturating_add(1);
        match line {
            Err(why) => {
                let text = format!("the line is damaged ({why}); {REBUILT}");
                out.findings.push(Finding::fault(&out.file, &text).on_line(number));
            }
            Ok(found) => {
                if before.is_some_and(|before| found.seq <= before) {
                    let text = format!("the line is out of order; {REBUILT}");
                    out.findings.push(Finding::fault(&out.file, &text).on_line(number));
                }
                before = Some(found.seq);
                let stream = StreamName::watch(&found.watch);
                let told = against(&out.file, &stream, (found.seq, &found.hash.to_string()), known);
                out.findings.extend(told.into_iter().map(|finding| finding.on_line(number)).collect());
            }
        }
    }
    out
}

fn judge_alerts(file: PathBuf, seen: Result<Option<Vec<u8>>, String>) -> ViewReport {
    let mut out = report("alerts", file);
    let bytes = match seen {
        Ok(bytes) => bytes.unwrap_or_default(),
        Err(why) => {
            out.findings.push(Finding::fault(&out.file, &why));
            return out;
        }
    };
    for (number, line) in (1_usize..).zip(bytes.split(|byte| *byte == b'\n')) {
        if line.is_empty() {
            continue;
        }
        out.checked = out.checked.saturating_add(1);
        if serde_json::from_slice::<Value>(line).is_err() {
            let text = "the line is damaged or was cut; the alert itself stands in the record of its cycle";
            out.findings.push(Finding::notice(&out.file, text).on_line(number));
        }
    }
    out
}

/// The baseline documents: each has the hash that it is called by, and those in force are there.
pub(super) fn baselines(disk: &Disk, dir: &Path, known: &Streams) -> ViewReport {
    let files = DirBlobs::open_on(disk.clone(), dir);
    let documents = Baselines::over(Box::new(files.clone()));
    let folder = dir.join(blobs::DIR);
    let mut out = report("baselines", folder.clone());
    let (hashes, foreign) = match files.list() {
        Ok(listed) => listed,
        Err(error) => {
            out.findings.push(Finding::fault(&folder, &error.to_string()));
            return out;
        }
    };
    for name in foreign {
        out.findings.push(Finding::notice(&folder.join(name), "not a baseline document; move it elsewhere"));
    }
    let wanted = known.values().flat_map(|known| &known.baselines).copied();
    let mut all: Vec<_> = hashes.into_iter().chain(wanted).collect();
    all.sort();
    all.dedup();
    for hash in all {
        out.checked = out.checked.saturating_add(1);
        if let Err(error) = documents.read(hash) {
            out.findings.push(Finding::fault(&files.path(hash), &error.0));
        }
    }
    out
}

/// The database as read before the journal.
pub(super) struct DbSeen {
    file: PathBuf,
    broken: Result<Vec<String>, ViewError>,
    positions: Result<Vec<(StreamName, Seq, String)>, ViewError>,
}

/// Reads the whole database.
pub(super) fn look_at_db(path: &Path) -> DbSeen {
    DbSeen { file: path.to_path_buf(), broken: runs::integrity(path), positions: runs::positions(path) }
}

/// Holds it against the journal.
pub(super) fn judge_db(seen: DbSeen, known: &Streams) -> ViewReport {
    let mut out = report("db", seen.file);
    let broken = match seen.broken {
        Ok(broken) => broken,
        Err(error) => {
            out.findings.push(Finding::fault(&out.file, &error.what));
            return out;
        }
    };
    for line in broken {
        let text = format!("{line}; move the file aside and start hb: it is rebuilt from the journal");
        out.findings.push(Finding::fault(&out.file, &text));
    }
    let positions = match seen.positions {
        Ok(positions) => positions,
        Err(error) => {
            out.findings.push(Finding::fault(&out.file, &error.what));
            return out;
        }
    };
    for (stream, seq, hash) in positions {
        out.checked = out.checked.saturating_add(1);
        out.findings.extend(against(&out.file, &stream, (seq, &hash), known));
        if let Some(head) = known.get(&stream).and_then(|known| known.head).filter(|head| *head > seq) {
            let text = format!("has {stream} up to record {seq} of {head}; hb catches up by itself");
            out.findings.push(Finding::notice(&out.file, &text));
        }
    }
    out
}
