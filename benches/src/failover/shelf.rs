//! The journals of many watches, read from outside of hb: in a folder, or in PostgreSQL.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use jiff::Timestamp;
use serde_json::Value;

use super::engines::{Engine, Kind};
use super::witness::Place;
use crate::supervise::stage::now;

/// A record of a watch: its number and its bytes.
pub(crate) type Found = (String, u64, Vec<u8>);

/// Journals of many watches.
pub(crate) trait Shelf {
    /// What stands there of each of these watches from that number on, in order.
    ///
    /// # Errors
    /// It cannot be read.
    fn from(&mut self, wanted: &BTreeMap<String, u64>) -> Result<Vec<Found>, String>;

    /// One watch's journal by itself.
    ///
    /// # Errors
    /// It cannot be read.
    fn stream(&mut self, watch: &str) -> Result<Box<dyn Place>, String>;
}

/// Whose a record is, and when the cycle ended that it decides, if it decides one: in seconds of Unix time.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) node: String,
    pub(crate) end: Option<f64>,
}

/// What matters of a record.
pub(crate) fn head(bytes: &[u8]) -> Option<Head> {
    let record: Value = serde_json::from_slice(bytes.split(|byte| *byte == b'\n').next()?).ok()?;
    let end = record.pointer("/body/decision/span/end").and_then(Value::as_str).map(str::parse::<Timestamp>);
    let end = end.transpose().ok()?.map(|end| end.as_duration().as_secs_f64());
    Some(Head { node: record.get("node")?.as_str()?.to_owned(), end })
}

/// The journals of a site on that engine.
///
/// # Errors
/// No session can be had.
pub(crate) fn open(engine: &dyn Engine, folder: &Path) -> Result<Box<dyn Shelf>, String> {
    if engine.kind() != Kind::Postgres {
        return Ok(Box::new(Files(folder.join("shared").join("journal").join("watch"))));
    }
    let at = engine.address().ok_or("the server has no address")?;
    Ok(Box::new(Rows::open(&format!("postgres://postgres@{at}/ops"))?))
}

struct Files(PathBuf);

/// The records of one stream as files, from a number on.
fn read(folder: &Path, from: u64) -> Result<Vec<(u64, Vec<u8>)>, String> {
    let mut found = Vec::new();
    for seq in from.. {
        let path = folder.join(format!("{seq:020}.rec"));
        match std::fs::read(&path) {
            Ok(bytes) => found.push((seq, bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => break,
            Err(error) => return Err(format!("{}: {error}", path.display())),
        }
    }
    Ok(found)
}

impl Shelf for Files {
    fn from(&mut self, wanted: &BTreeMap<String, u64>) -> Result<Vec<Found>, String> {
        let mut found = Vec::new();
        for (watch, from) in wanted {
            let records = read(&self.0.join(watch), *from)?;
            found.extend(records.into_iter().map(|(seq, bytes)| (watch.clone(), seq, bytes)));
        }
        Ok(found)
    }

    fn stream(&mut self, watch: &str) -> Result<Box<dyn Place>, String> {
        let records = read(&self.0.join(watch), 0)?;
        Ok(Box::new(Known(records.into_iter().map(|(_, bytes)| bytes).collect())))
    }
}

/// What stood there when it was read.
struct Known(Vec<Vec<u8>>);

impl Place for Known {
    fn from(&mut self, seq: u64) -> Result<Vec<(Vec<u8>, f64)>, String> {
        let from = usize::try_from(seq).unwrap_or(usize::MAX);
        Ok(self.0.iter().skip(from).map(|bytes| (bytes.clone(), now())).collect())
    }
}

/// Line behind each answer.
const END: &str = "end of the answer";

/// A session of `psql`.
struct Rows {
    session: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Rows {
    fn open(url: &str) -> Result<Self, String> {
        let mut command = Command::new("psql");
        command.args(["-X", "-q", "-A", "-t", url]);
        // Until a node has made the tables, each question ends with an error and no rows.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut session = command.spawn().map_err(|error| format!("psql: {error}"))?;
        let (Some(ask), Some(answers)) = (session.stdin.take(), session.stdout.take()) else {
            return Err("psql has no input".into());
        };
        Ok(Self { session, ask, answers: BufReader::new(answers) })
    }

    fn rows(&mut self, question: &str) -> Result<Vec<Found>, String> {
        let question = format!("{question};\n\\echo {END}\n");
        self.ask.write_all(question.as_bytes()).map_err(|error| format!("psql: {error}"))?;
        let mut found = Vec::new();
        loop {
            let mut line = String::new();
            let size = self.answers.read_line(&mut line).map_err(|error| format!("psql: {error}"))?;
            match line.trim() {
                _ if size == 0 => return Err("psql has ended".into()),
                END => return Ok(found),
                row => found.push(parse(row).ok_or_else(|| format!("psql answers no record: {row:.80}"))?),
            }
        }
    }
}

fn parse(row: &str) -> Option<Found> {
    let mut fields = row.split('|');
    let (stream, seq, hex) = (fields.next()?, fields.next()?, fields.next()?);
    let bytes = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok());
    Some((stream.strip_prefix("watch/")?.to_owned(), seq.parse().ok()?, bytes.collect::<Option<_>>()?))
}

impl Shelf for Rows {
    fn from(&mut self, wanted: &BTreeMap<String, u64>) -> Result<Vec<Found>, String> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let values: Vec<String> = wanted.iter().map(|(watch, from)| format!("('watch/{watch}',{from})")).collect();
        self.rows(&format!(
            "SELECT w.stream, r.seq, encode(r.bytes, 'hex') FROM (VALUES {}) w(stream, start) CROSS JOIN LATERAL \
             (SELECT seq, bytes FROM many.records r WHERE r.stream = w.stream AND r.seq >= w.start ORDER BY seq) r",
            values.join(",")
        ))
    }

    fn stream(&mut self, watch: &str) -> Result<Box<dyn Place>, String> {
        let records = self.from(&BTreeMap::from([(watch.to_owned(), 0)]))?;
        Ok(Box::new(Known(records.into_iter().map(|(_, _, bytes)| bytes).collect())))
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        drop(self.session.kill());
        drop(self.session.wait());
    }
}
