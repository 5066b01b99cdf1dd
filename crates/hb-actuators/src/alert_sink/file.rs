//! Alerts as lines of a file.
//!
//! **Invariants.** A line is whole and on disk before its alert counts as delivered. What a crash left torn at the end is
//! closed by a line end and never continued. An alert whose line already stands among the newest is not written again.
//! The file and its [`KEPT`] predecessors (`FILE.1` is the newest of them) are each at most [`BYTES_MAX`] long plus one line.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hb_core::supervise::alert::Notification;
use hb_core::watch::alert::Alert;
use serde::Deserialize;

use super::document::AlertDoc;
use super::{AlertSink, Delivery, NotificationDoc, NotificationSink, SinkError};

/// Size at which the file is put aside.
const BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Files that are kept aside.
const KEPT: u32 = 3;
/// How long another writer is waited for, and how often it is tried.
const ALONE_MAX: Duration = Duration::from_secs(2);
const ALONE_EVERY: Duration = Duration::from_millis(2);
/// How much of the end is searched for the alert before it is written.
const TAIL_BYTES: u64 = 256 * 1024;

/// Appends each alert as one line of JSON.
#[derive(Debug)]
pub struct FileSink {
    name: String,
    path: PathBuf,
    folder: PathBuf,
    bytes_max: u64,
    /// A sync has failed: what the file shows may not be on disk, so a line found there proves nothing.
    doubtful: bool,
    /// The file, by device and number, whose name is known to be on disk: whoever made it may have died before he synced the folder.
    settled: Option<(u64, u64)>,
}

impl FileSink {
    /// The sink called `name` for the file at `path`.
    ///
    /// # Errors
    /// When the path names no file.
    pub fn new(name: &str, path: &Path) -> Result<Self, SinkError> {
        let folder = match (path.file_name(), path.parent()) {
            (Some(_), Some(folder)) if folder.as_os_str().is_empty() => PathBuf::from("."),
            (Some(_), Some(folder)) => folder.to_owned(),
            (None, _) | (_, None) => return Err(SinkError::NoFile(path.to_owned())),
        };
        Ok(Self {
            name: name.to_owned(),
            path: path.to_owned(),
            folder,
            bytes_max: BYTES_MAX,
            doubtful: false,
            settled: None,
        })
    }

    fn append(&mut self, key: &str, line: &str) -> io::Result<()> {
        let mut file = self.open_alone()?;
        let mut tail = Tail::read(&mut file)?;
        if !self.doubtful && (tail.holds(key) || (tail.whole && self.predecessor()?.holds(key))) {
            return self.sync(&file);
        }
        while tail.length >= self.bytes_max {
            // Whoever wrote its last line may have died before he synced it, and in a predecessor it counts.
            self.sync(&file)?;
            self.put_aside()?;
            // The new file is everybody's from the moment it is there: it may not be empty any more.
            file = self.open_alone()?;
            tail = Tail::read(&mut file)?;
        }
        let text = if tail.torn { format!("\n{line}\n") } else { format!("{line}\n") };
        file.seek(SeekFrom::Start(tail.length))?;
        if let Err(fault) = file.write_all(text.as_bytes()) {
            // Best effort: where it fails too, the next line closes the torn one.
            if let Err(second) = file.set_len(tail.length) {
                tracing::debug!(%second, "a torn alert line could not be taken back");
            }
            return Err(fault);
        }
        self.sync(&file)?;
        self.doubtful = false;
        Ok(())
    }

    /// Opens the file for nobody else to append to meanwhile: watches and supervisors may tell in the same one, and each looks where it ends.
    fn open_alone(&mut self) -> io::Result<File> {
        let until = Instant::now() + ALONE_MAX;
        loop {
            let file = self.open()?;
            match file.try_lock() {
                Ok(()) => {
                    let now = fs::metadata(&self.path).map(|found| (found.dev(), found.ino()));
                    let mine = file.metadata()?;
                    if now.is_ok_and(|now| now == (mine.dev(), mine.ino())) {
                        return Ok(file);
                    }
                }
                // A file system without locks has no second writer that we could exclude.
                Err(TryLockError::Error(fault)) if fault.kind() == io::ErrorKind::Unsupported => {
                    return Ok(file);
                }
                Err(TryLockError::Error(fault)) => return Err(fault),
                Err(TryLockError::WouldBlock) => {}
            }
            if Instant::now() >= until {
                return Err(io::Error::new(io::ErrorKind::WouldBlock, "somebody else keeps it locked"));
            }
            std::thread::sleep(ALONE_EVERY);
        }
    }

    fn sync(&mut self, file: &File) -> io::Result<()> {
        file.sync_data().inspect_err(|_| self.doubtful = true)
    }

    fn open(&mut self) -> io::Result<File> {
        regular(&self.path)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        let file = match options.open(&self.path) {
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => {
                options.create(true).truncate(false).open(&self.path)?
            }
            opened => opened?,
        };
        let mine = file.metadata()?;
        let mine = Some((mine.dev(), mine.ino()));
        if self.settled != mine {
            File::open(&self.folder)?.sync_all()?;
            self.settled = mine;
        }
        Ok(file)
    }

    /// The end of the file put aside last.
    fn predecessor(&self) -> io::Result<Tail> {
        match File::open(self.aside(1)) {
            Ok(mut file) => Tail::read(&mut file),
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(Tail::empty()),
            Err(fault) => Err(fault),
        }
    }

    fn put_aside(&self) -> io::Result<()> {
        for number in (1..KEPT).rev() {
            absent_is_fine(fs::rename(self.aside(number), self.aside(number + 1)))?;
        }
        absent_is_fine(fs::rename(&self.path, self.aside(1)))
    }

    fn aside(&self, number: u32) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    }
}

fn absent_is_fine(renamed: io::Result<()>) -> io::Result<()> {
    match renamed {
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Opening a pipe for writing would wait for a reader, perhaps for ever.
fn regular(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(found) if found.is_file() => Ok(()),
        Ok(_) => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")),
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(fault) => Err(fault),
    }
}

/// The end of a file.
struct Tail {
    length: u64,
    bytes: Vec<u8>,
    /// Whether `bytes` is all of it.
    whole: bool,
    /// Whether its last line has no end.
    torn: bool,
}

#[derive(Deserialize)]
struct KeyOnly<'a> {
    #[serde(borrow)]
    key: std::borrow::Cow<'a, str>,
}

impl Tail {
    fn empty() -> Self {
        Self { length: 0, bytes: Vec::new(), whole: true, torn: false }
    }

    fn read(file: &mut File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        let start = length.saturating_sub(TAIL_BYTES);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        let torn = bytes.last().is_some_and(|last| *last != b'\n');
        Ok(Self { length, bytes, whole: start == 0, torn })
    }

    /// Whether a whole line of that key stands here. A torn line does not count, whatever it looks like.
    fn holds(&self, key: &str) -> bool {
        let lines = self.bytes.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
        lines.rev().any(|line| serde_json::from_slice::<KeyOnly<'_>>(line).is_ok_and(|found| found.key == key))
    }
}

impl AlertSink for FileSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn deliver(&mut self, alert: &Alert, report: Option<&str>) -> Delivery {
        self.write(&alert.key, &AlertDoc::new(alert, report).to_line())
    }
}

impl NotificationSink for FileSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn tell(&mut self, notification: &Notification) -> Delivery {
        self.write(&notification.key, &NotificationDoc::new(notification).to_line())
    }
}

impl FileSink {
    fn write(&mut self, key: &str, line: &str) -> Delivery {
        match self.append(key, line) {
            Ok(()) => Delivery::Done,
            Err(fault) => Delivery::retry(format!("{}: {fault}", self.path.display())),
        }
    }
}

/// Whether the file can be written: it or its folder is there and may be changed. Nothing is created.
pub(super) fn check(path: &Path) -> Result<(), String> {
    let sink = FileSink::new("check", path).map_err(|fault| fault.to_string())?;
    let told = |fault: io::Error| format!("{}: {fault}", path.display());
    regular(path).map_err(told)?;
    match OpenOptions::new().write(true).open(path) {
        Ok(_) => Ok(()),
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => match fs::metadata(&sink.folder) {
            Ok(folder) if !folder.is_dir() => Err(format!("{} is not a folder", sink.folder.display())),
            Ok(folder) if folder.permissions().readonly() => Err(format!("{} is read-only", sink.folder.display())),
            Ok(_) => Ok(()),
            Err(fault) => Err(format!("{}: {fault}: create the folder", sink.folder.display())),
        },
        Err(fault) => Err(told(fault)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::document::tests::alert;
    use super::*;

    fn sink(folder: &Path) -> FileSink {
        FileSink::new("file", &folder.join("alerts.jsonl")).unwrap()
    }

    fn keys(path: &Path) -> Vec<String> {
        let text = fs::read_to_string(path).unwrap();
        text.lines()
            .filter_map(|line| serde_json::from_str::<KeyOnly<'_>>(line).ok())
            .map(|found| found.key.into_owned())
            .collect()
    }

    #[test]
    fn j3_many_writers_of_one_file_leave_whole_lines_of_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alerts.jsonl");
        // Small enough that the file is put aside under the hands of the others.
        let write = &|writer: u64| {
            let mut sink = FileSink { bytes_max: 20_000, ..FileSink::new("file", &path).unwrap() };
            for number in 0..25 {
                let told = crate::alert_sink::notification::tests::notification(writer * 100 + number);
                while sink.tell(&told) != Delivery::Done {}
            }
        };
        std::thread::scope(|scope| (0..4).for_each(|writer| drop(scope.spawn(move || write(writer)))));
        let aside = fs::read_to_string(folder.path().join("alerts.jsonl.1")).unwrap_or_default();
        let lines = aside + &fs::read_to_string(&path).unwrap();
        let found: std::collections::BTreeSet<String> =
            lines.lines().map(|line| serde_json::from_str::<KeyOnly<'_>>(line).unwrap().key.into_owned()).collect();
        assert_eq!((found.len(), lines.lines().count()), (100, 100));
    }

    #[test]
    fn w6_a_repeated_alert_is_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alerts.jsonl");
        for cycle in [1, 2, 2, 1, 3] {
            // Another sink each time: what a new holder knows of the file is the file.
            assert_eq!(sink(folder.path()).deliver(&alert(cycle), Some("/r")), Delivery::Done);
        }
        assert_eq!(keys(&path), ["bench/1", "bench/2", "bench/3"]);
    }

    #[test]
    fn j3_a_torn_line_is_closed_and_written_again_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alerts.jsonl");
        assert_eq!(sink(folder.path()).deliver(&alert(1), None), Delivery::Done);
        let whole = fs::read(&path).unwrap();
        assert_eq!(sink(folder.path()).deliver(&alert(2), None), Delivery::Done);
        let both = fs::read(&path).unwrap();
        // Wherever a crash cuts the second line, its alert ends up whole once, and the first stays as it was.
        for cut in whole.len()..both.len() {
            fs::write(&path, &both[..cut]).unwrap();
            assert_eq!(sink(folder.path()).deliver(&alert(2), None), Delivery::Done);
            let after = fs::read(&path).unwrap();
            assert!(after.starts_with(&whole) && after.ends_with(b"}\n"), "cut at {cut}");
            // A cut that leaves all but the line end leaves a line that parses once it is closed; twice is allowed there.
            let found = keys(&path);
            assert_eq!(found.first().map(String::as_str), Some("bench/1"));
            let repeated = found.iter().filter(|key| *key == "bench/2").count();
            assert!(repeated == 1 || (repeated == 2 && cut == both.len() - 1), "cut at {cut}: {found:?}");
        }
    }

    #[test]
    fn b1_files_are_bounded_and_a_repetition_across_rotation_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alerts.jsonl");
        let mut sink = sink(folder.path());
        sink.bytes_max = 2_000;
        for cycle in 0..100 {
            assert_eq!(sink.deliver(&alert(cycle), None), Delivery::Done);
            assert_eq!(sink.deliver(&alert(cycle), None), Delivery::Done);
        }
        let mut found = Vec::new();
        let names = ["alerts.jsonl.3", "alerts.jsonl.2", "alerts.jsonl.1", "alerts.jsonl"];
        for name in names {
            let path = folder.path().join(name);
            assert!(fs::metadata(&path).unwrap().len() < 2_500, "{name}");
            found.extend(keys(&path));
        }
        let newest: Vec<String> = (100 - found.len()..100).map(|cycle| format!("bench/{cycle}")).collect();
        assert_eq!(found, newest, "the newest, in order, each once");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), names.len());
        // The newest alert of the file put aside is known in the empty file after it.
        fs::rename(&path, folder.path().join("alerts.jsonl.1")).unwrap();
        assert_eq!(sink.deliver(&alert(99), None), Delivery::Done);
        assert_eq!(keys(&path), [""; 0]);
    }

    #[test]
    fn foreign_lines_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alerts.jsonl");
        fs::write(&path, b"\xff\x00 not json\n{\"key\":7}\n").unwrap();
        assert_eq!(sink(folder.path()).deliver(&alert(1), None), Delivery::Done);
        let bytes = fs::read(&path).unwrap();
        assert!(bytes.starts_with(b"\xff\x00 not json\n{\"key\":7}\n{\"ts\":"));
    }

    #[test]
    fn what_cannot_be_written_is_told_and_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let gone = folder.path().join("gone");
        let Delivery::Retry { why, .. } = sink(&gone).deliver(&alert(1), None) else { panic!("delivered nowhere") };
        assert!(why.contains("gone/alerts.jsonl"), "{why}");
        assert!(check(&gone.join("alerts.jsonl")).unwrap_err().contains("create the folder"));
        fs::create_dir(folder.path().join("alerts.jsonl")).unwrap();
        assert!(matches!(sink(folder.path()).deliver(&alert(1), None), Delivery::Retry { .. }));
        assert!(check(&folder.path().join("alerts.jsonl")).unwrap_err().contains("not a regular file"));
        assert_eq!(check(&folder.path().join("other.jsonl")), Ok(()));
        assert!(FileSink::new("file", Path::new("/")).is_err());
    }
}
