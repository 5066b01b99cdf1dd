//! The journal: a record is inserted under a primary key, in one statement that locks its stream and looks at its floor.
//!
//! **Invariants.** A record that is acknowledged was flushed by the server (J3). An append that has no answer is `Unknown` (J5), and
//! until the server has settled it, nothing is read from that stream: it would not be seen although it comes. A handle to
//! which the server once acknowledged a record that is now missing (a replica took over that did not have it) has stopped.

use std::collections::{BTreeMap, BTreeSet};

use hb_core::ids::{Seq, StreamName};
use hb_store::port::{Appended, Begun, Entry, Journal, JournalError, Standing, new_floor};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::fault::Fault;
use super::link::Link;
use super::target::PostgresTarget;
use crate::target::TargetError;

/// Most bytes of a record.
pub const RECORD_MAX: usize = 64 << 20;
/// Records that one transaction removes at most, so that nobody waits long for it.
pub const TRIM_STEP: u64 = 256;
/// How often writers may meet before an append gives up.
const MEETINGS: u32 = 5;

/// A journal in a schema of a database.
#[derive(Debug)]
pub struct PostgresJournal {
    link: Link,
    /// Newest record of a stream that was acknowledged to this handle.
    acknowledged: BTreeMap<StreamName, Seq>,
    /// Streams with an append that the server may still be at.
    unsettled: BTreeSet<StreamName>,
    stopped: Option<String>,
}

/// What the server says of an append.
struct Ending {
    ended: String,
    floor: Seq,
    head: Option<Seq>,
    there: Option<Vec<u8>>,
}

impl PostgresJournal {
    /// Opens the journal, making its tables when they are missing. A server that cannot be reached at the moment is no error:
    /// it is tried again with each question.
    ///
    /// # Errors
    /// What has to be changed first: files, password, rights, a schema of another program or of a newer hb.
    pub fn open(target: &PostgresTarget) -> Result<Self, TargetError> {
        let link = Link::open(target)?;
        Ok(Self { link, acknowledged: BTreeMap::new(), unsettled: BTreeSet::new(), stopped: None })
    }

    /// Why this handle has stopped writing for good, if it has.
    #[must_use]
    pub fn stopped(&self) -> Option<&str> {
        self.stopped.as_deref()
    }

    fn sql(&self, text: &str) -> String {
        text.replace("@.", &format!("{}.", self.link.target.quoted_schema()))
    }

    fn readable(&self) -> Result<(), JournalError> {
        self.stopped.clone().map_or(Ok(()), |why| Err(JournalError::Stopped(why)))
    }

    /// Waits for an append of which nothing was heard: it holds its stream until it is done or given up.
    fn settle(&mut self, stream: &StreamName) -> Result<(), JournalError> {
        self.readable()?;
        if !self.unsettled.contains(stream) {
            return Ok(());
        }
        let (sql, name) = (self.sql("SELECT @.hold($1)"), stream.as_str());
        let held = self.link.ask_again(async |client| client.query_typed_one(&sql, &[(&name, Type::TEXT)]).await);
        held.map_err(|fault| {
            unavailable(fault.at(&format!("whether an append to {stream} was done cannot be told yet")))
        })?;
        self.unsettled.remove(stream);
        Ok(())
    }

    fn append_once(&mut self, stream: &StreamName, seq: i64, bytes: &[u8]) -> Result<Ending, Fault> {
        let sql = self.sql("SELECT ended, standing_floor, standing_head, there FROM @.append($1, $2, $3)");
        let (name, deadline) = (stream.as_str(), self.link.deadline());
        let row = self.link.ask(deadline, async |client| {
            client.query_typed_one(&sql, &[(&name, Type::TEXT), (&seq, Type::INT8), (&bytes, Type::BYTEA)]).await
        })?;
        // It is committed, whatever is wrong with what was answered.
        ending(&row).map_err(|error| Fault::Broken(format!("{}: {error}", self.link.target)))
    }

    /// Told that a record would leave a gap: was one before it acknowledged to this handle?
    fn gap(&mut self, stream: &StreamName, seq: Seq, head: Option<Seq>) -> Appended {
        let target = &self.link.target;
        match self.acknowledged.get(stream) {
            Some(known) if head.is_none_or(|head| head < *known) => {
                let what = format!(
                    "{target}: record {known} of {stream} was acknowledged and is gone, the newest is {}: an older copy of the \
                     server has taken its place; start hb again to go on from what stands, see docs/engines/postgres.md",
                    head.map_or_else(|| "none".into(), |head| head.to_string())
                );
                self.stopped = Some(what.clone());
                Appended::Stopped(what)
            }
            Some(_) | None => Appended::Failed(format!("{target}: record {seq} would leave a gap in {stream}")),
        }
    }

    fn ended(&mut self, stream: &StreamName, seq: Seq, ending: Ending) -> Appended {
        match (ending.ended.as_str(), ending.there) {
            ("done", _) => {
                self.acknowledged.insert(stream.clone(), seq);
                Appended::Committed
            }
            ("taken", Some(there)) => Appended::Refused(Standing::Taken(there)),
            ("below", _) => Appended::Refused(Standing::BelowFloor(ending.floor)),
            ("gap", _) => self.gap(stream, seq, ending.head),
            (other, _) => Appended::Unknown(format!("{}: an append ended as {other:?}", self.link.target)),
        }
    }
}

fn ending(row: &Row) -> Result<Ending, tokio_postgres::Error> {
    Ok(Ending {
        ended: row.try_get(0)?,
        floor: number(row.try_get::<_, Option<i64>>(1)?.unwrap_or_default()),
        head: row.try_get::<_, Option<i64>>(2)?.map(number),
        there: row.try_get(3)?,
    })
}

/// Columns are checked to be no less than nothing.
fn number(value: i64) -> Seq {
    Seq(u64::try_from(value).unwrap_or_default())
}

pub(super) fn unavailable(fault: Fault) -> JournalError {
    JournalError::Unavailable(fault.to_string())
}

impl Journal for PostgresJournal {
    fn head(&mut self, stream: &StreamName) -> Result<Option<Seq>, JournalError> {
        self.settle(stream)?;
        let (sql, name) = (self.sql("SELECT max(seq) FROM @.records WHERE stream = $1"), stream.as_str());
        let head: Option<i64> = self
            .link
            .ask_again(async |client| client.query_typed_one(&sql, &[(&name, Type::TEXT)]).await?.try_get(0))
            .map_err(unavailable)?;
        Ok(head.map(number))
    }

    fn append(&mut self, stream: &StreamName, seq: Seq, bytes: &[u8]) -> Appended {
        if let Some(why) = &self.stopped {
            return Appended::Stopped(why.clone());
        }
        let Some(at) = i64::try_from(seq.0).ok().filter(|_| bytes.len() <= RECORD_MAX) else {
            return Appended::Failed(format!(
                "{}: record {seq} of {stream} has {} bytes, at most {RECORD_MAX} are taken",
                self.link.target,
                bytes.len()
            ));
        };
        let mut meetings = 0;
        loop {
            match self.append_once(stream, at, bytes) {
                Ok(ending) => return self.ended(stream, seq, ending),
                Err(fault) if fault.met() && meetings < MEETINGS => meetings += 1,
                Err(Fault::Broken(what)) => {
                    self.unsettled.insert(stream.clone());
                    return Appended::Unknown(what);
                }
                Err(Fault::Unusable(what) | Fault::Away(what) | Fault::Refused(_, what)) => {
                    return Appended::Failed(what);
                }
            }
        }
    }

    fn read(&mut self, stream: &StreamName, from: Seq, most: usize) -> Result<Vec<(Seq, Vec<u8>)>, JournalError> {
        self.settle(stream)?;
        let Ok(from) = i64::try_from(from.0) else { return Ok(Vec::new()) };
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        // One statement: floor, head and records are of one moment.
        let sql = self.sql(
            "WITH s AS MATERIALIZED (SELECT
               greatest($2, coalesce((SELECT floor FROM @.streams WHERE stream = $1), 0)) AS beginning,
               (SELECT max(seq) FROM @.records WHERE stream = $1) AS head)
             SELECT s.beginning, s.head, r.seq, r.bytes FROM s LEFT JOIN LATERAL
               (SELECT seq, bytes FROM @.records WHERE stream = $1 AND seq >= s.beginning ORDER BY seq LIMIT $3) r
             ON true ORDER BY r.seq",
        );
        let name = stream.as_str();
        let page = self.link.ask_again(async |client| {
            let values = [(&name as _, Type::TEXT), (&from as _, Type::INT8), (&most as _, Type::INT8)];
            page(&client.query_typed(&sql, &values).await?)
        });
        let page = page.map_err(unavailable)?;
        let mut expected = page.beginning;
        for (seq, _) in &page.records {
            if *seq != expected {
                return Err(self.missing(stream, expected));
            }
            expected = expected.next();
        }
        let short = i64::try_from(page.records.len()).is_ok_and(|count| count < most);
        if short && page.head.is_some_and(|head| head >= expected) {
            return Err(self.missing(stream, expected));
        }
        Ok(page.records)
    }

    fn trim(&mut self, stream: &StreamName, floor: Seq) -> Result<u64, JournalError> {
        let mut removed = 0_u64;
        loop {
            let step = self.trim_step(stream, floor)?;
            removed = removed.saturating_add(step);
            if step < TRIM_STEP {
                return Ok(removed);
            }
        }
    }

    fn floor(&mut self, stream: &StreamName) -> Result<Seq, JournalError> {
        self.settle(stream)?;
        let (sql, name) = (self.sql("SELECT max(floor) FROM @.streams WHERE stream = $1"), stream.as_str());
        let floor: Option<i64> = self
            .link
            .ask_again(async |client| client.query_typed_one(&sql, &[(&name, Type::TEXT)]).await?.try_get(0))
            .map_err(unavailable)?;
        Ok(floor.map_or(Seq(0), number))
    }

    fn begin(&mut self, stream: &StreamName, seen: Option<Seq>, first: &[Entry]) -> Result<Begun, JournalError> {
        let floor = new_floor(stream, seen, first)?;
        self.readable()?;
        self.settle(stream)?;
        let numbers = first.iter().map(|(seq, bytes)| Ok((i64::try_from(seq.0)?, bytes.as_slice())));
        let Ok(records) = numbers.collect::<Result<Vec<_>, std::num::TryFromIntError>>() else {
            return Err(JournalError::Unavailable(format!("{stream}: {floor} is no number that a record can have")));
        };
        let sql = Beginning {
            hold: self.sql("SELECT @.hold($1)"),
            head: self.sql("SELECT max(seq) FROM @.records WHERE stream = $1"),
            begin: self.sql("SELECT @.begin_at($1, $2)"),
            append: self.sql("SELECT ended FROM @.append($1, $2, $3)"),
        };
        let deadline = self.link.deadline();
        // Not again by itself after a broken connection: it may be done.
        let begun = self.link.ask(deadline, async |client| sql.run(client, stream.as_str(), seen, &records).await);
        begun.map_err(unavailable)
    }
}

/// What a new beginning asks, in one transaction.
struct Beginning {
    hold: String,
    head: String,
    begin: String,
    append: String,
}

impl Beginning {
    async fn run(
        &self,
        client: &Client,
        stream: &str,
        seen: Option<Seq>,
        records: &[(i64, &[u8])],
    ) -> Result<Begun, tokio_postgres::Error> {
        client.batch_execute("BEGIN").await?;
        let done = self.within(client, stream, seen, records).await;
        match done {
            Ok(Begun::Done) => client.batch_execute("COMMIT").await.map(|()| Begun::Done),
            other => client.batch_execute("ROLLBACK").await.and(other),
        }
    }

    /// The stream is held from the first question on, so nobody appends between them.
    async fn within(
        &self,
        client: &Client,
        stream: &str,
        seen: Option<Seq>,
        records: &[(i64, &[u8])],
    ) -> Result<Begun, tokio_postgres::Error> {
        let floor: i64 = client.query_typed_one(&self.hold, &[(&stream, Type::TEXT)]).await?.try_get(0)?;
        let head: Option<i64> = client.query_typed_one(&self.head, &[(&stream, Type::TEXT)]).await?.try_get(0)?;
        let head = head.map(number);
        let Some((first, _)) = records.first().filter(|(first, _)| head == seen && floor <= *first) else {
            return Ok(Begun::Moved(head));
        };
        client.query_typed_one(&self.begin, &[(&stream, Type::TEXT), (first, Type::INT8)]).await?;
        for (seq, bytes) in records {
            let values = [(&stream as _, Type::TEXT), (seq as _, Type::INT8), (bytes as _, Type::BYTEA)];
            let ended: String = client.query_typed_one(&self.append, &values).await?.try_get(0)?;
            if ended != "done" {
                return Ok(Begun::Moved(head));
            }
        }
        Ok(Begun::Done)
    }
}

/// A part of a stream as it stood at one moment.
struct Page {
    beginning: Seq,
    head: Option<Seq>,
    records: Vec<(Seq, Vec<u8>)>,
}

fn page(rows: &[Row]) -> Result<Page, tokio_postgres::Error> {
    let mut page = Page { beginning: Seq(0), head: None, records: Vec::new() };
    for row in rows {
        page.beginning = number(row.try_get(0)?);
        page.head = row.try_get::<_, Option<i64>>(1)?.map(number);
        if let (Some(seq), Some(bytes)) = (row.try_get::<_, Option<i64>>(2)?, row.try_get::<_, Option<Vec<u8>>>(3)?) {
            page.records.push((number(seq), bytes));
        }
    }
    Ok(page)
}

impl PostgresJournal {
    fn missing(&self, stream: &StreamName, seq: Seq) -> JournalError {
        JournalError::Corrupt(format!(
            "{}, stream {stream}, record {seq} is missing; restore it from a backup, or see docs/ops/repair.md",
            self.link.target
        ))
    }

    fn trim_step(&mut self, stream: &StreamName, floor: Seq) -> Result<u64, JournalError> {
        self.readable()?;
        let above = || {
            JournalError::Unavailable(format!(
                "floor {floor} is above the newest record of {stream}: nothing was trimmed"
            ))
        };
        let at = i64::try_from(floor.0).map_err(|_| above())?;
        let (sql, name) = (self.sql("SELECT ended, removed FROM @.trim($1, $2, $3)"), stream.as_str());
        let most = i64::try_from(TRIM_STEP).unwrap_or(i64::MAX);
        let deadline = self.link.deadline();
        // Not again by itself after a broken connection: what was removed would be counted as none.
        let (ended, removed): (String, i64) = self
            .link
            .ask(deadline, async |client| {
                let values = [(&name as _, Type::TEXT), (&at as _, Type::INT8), (&most as _, Type::INT8)];
                let row = client.query_typed_one(&sql, &values).await?;
                Ok((row.try_get(0)?, row.try_get(1)?))
            })
            .map_err(unavailable)?;
        if ended == "above" { Err(above()) } else { Ok(u64::try_from(removed).unwrap_or_default()) }
    }
}
