//! The register: a table of cells, changed by compare-and-set in one statement each.
//!
//! **Invariants.** A version is made of a counter of the schema and of chance: none comes again, also after a cell was removed. Changes
//! are told to those who wait by a notification that follows the change and says what stands there, unless that is long; one that is
//! lost costs at most [`RECHECK`], since cells are read again now and then, and nothing where its sender is gone. Notifications of two changes may come in either order:
//! one is believed only where its counter is larger than that of what is known. Whoever attends to a cell holds a lock on this handle's connection; it is taken again
//! when the connection is made again.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hb_core::journal::Hash;
use hb_store::register::{Cell, CellVersion, Register, RegisterError, Swapped, Woken, check, check_name};
use tokio::time::{Instant, sleep_until};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Notification, Row};

use super::fault::Fault;
use super::link::Link;
use super::schema::lock_key;
use super::target::PostgresTarget;
use super::watcher::{self, Sight, Watcher};
use crate::target::TargetError;

/// How long a cell that is waited for may go unread.
const RECHECK: Duration = Duration::from_secs(5);
/// Tells those who wait for a cell what stands there. A notification takes less than 8000 bytes; of more it says nothing, and they read.
const TELL: &str =
    "SELECT pg_notify($1, coalesce((SELECT c.version || ' ' || translate(encode(c.bytes, 'base64'), E'\\n', '')
    FROM @.cells c WHERE c.name = $2 AND octet_length(c.bytes) <= 5000), ''))";
/// How long somebody who attends waits for those who just look whether anybody does.
const ATTEND: Duration = Duration::from_millis(500);
/// The same after it was in vain: a machine that is gone keeps its lock until the server notices, and nobody waits for that.
const ATTEND_AGAIN: Duration = Duration::from_millis(1);

/// The cells of a schema. A handle has one connection, and a second one while it waits for a cell that it does not attend to.
#[derive(Debug)]
pub struct PostgresRegister {
    watching: Option<Watching>,
    link: Link,
    /// Cells that this handle attends to, and on which connection it has the lock.
    attending: BTreeMap<String, Option<u64>>,
    /// The last try to attend was in vain.
    in_vain: bool,
}

/// The one cell that is waited for.
#[derive(Debug)]
struct Watching {
    name: String,
    channel: String,
    /// Connection on which changes are told; none: not yet.
    serial: Option<u64>,
    /// What was read or told last, and when; none: it has to be read.
    known: Option<(Option<Cell>, Instant)>,
    watcher: Watcher,
}

impl PostgresRegister {
    /// Opens the register, making its tables when they are missing. A server that cannot be reached at the moment is no error.
    ///
    /// # Errors
    /// What has to be changed first, as with [`super::PostgresJournal::open`].
    pub fn open(target: &PostgresTarget) -> Result<Self, TargetError> {
        Ok(Self { watching: None, link: Link::open(target)?, attending: BTreeMap::new(), in_vain: false })
    }

    fn sql(&self, text: &str) -> String {
        text.replace("@.", &format!("{}.", self.link.target.quoted_schema()))
    }

    fn key(&self, name: &str) -> i64 {
        lock_key("attend", &format!("{}\0{name}", self.link.target.schema))
    }

    /// Name under which changes of a cell are told.
    fn channel(&self, name: &str) -> String {
        let hash = Hash::of(format!("{}\0{name}", self.link.target.schema).as_bytes()).to_string();
        format!("hb_{}", hash.chars().take(40).collect::<String>())
    }

    /// A change, and what tells of it, in one go.
    fn change(&mut self, name: &str, sql: &str, seen: Option<&CellVersion>, bytes: Option<&[u8]>) -> Swapped {
        self.attend_again();
        let (sql, tells, channel) = (self.sql(sql), self.sql(TELL), self.channel(name));
        let (seen, deadline) = (seen.map(|version| version.0.as_str()), self.link.deadline());
        let key = Some(self.key(name)).filter(|_| !self.attending.contains_key(name));
        let changed = self.link.ask(deadline, async |client| {
            let mut values: Vec<(&(dyn ToSql + Sync), Type)> =
                vec![(&name, Type::TEXT), (&seen, Type::TEXT), (&key, Type::INT8)];
            if let Some(bytes) = &bytes {
                values.push((bytes, Type::BYTEA));
            }
            let told = [(&channel as &(dyn ToSql + Sync), Type::TEXT), (&name, Type::TEXT)];
            // Not in the transaction of the change: notifying ones are committed one after the other by the whole server,
            // and would be held up by each other's flush.
            let tell = client.query_typed(&tells, &told);
            let (changed, told) = tokio::join!(client.query_typed_one(&sql, &values), tell);
            if let Err(fault) = told {
                tracing::debug!(%fault, "those who wait for a cell were not told");
            }
            changed
        });
        match changed {
            Ok(row) => swapped(&row).unwrap_or_else(|error| Swapped::Unknown(format!("{}: {error}", self.link.target))),
            Err(Fault::Broken(what)) => Swapped::Unknown(what),
            Err(Fault::Unusable(what) | Fault::Away(what) | Fault::Refused(_, what)) => Swapped::Failed(what),
        }
    }

    /// After the connection was made again: the locks are, too, where nobody has taken them meanwhile.
    fn attend_again(&mut self) {
        let serial = self.link.serial;
        let lost: Vec<String> =
            self.attending.iter().filter(|(_, at)| **at != Some(serial)).map(|(name, _)| name.clone()).collect();
        for name in lost {
            if let Err(fault) = self.attend_once(&name, Duration::from_millis(1)) {
                tracing::warn!(cell = name, %fault, "cannot be attended to: standbys will not see at once when this node ends");
            }
        }
    }

    fn attend_once(&mut self, name: &str, wait: Duration) -> Result<(), RegisterError> {
        let (key, most) = (self.key(name), i32::try_from(wait.as_millis()).unwrap_or(i32::MAX));
        let (sql, tells, channel) = (self.sql("SELECT @.attend($1, $2, $3)"), self.sql(TELL), self.channel(name));
        let deadline = self.link.deadline();
        let taken: Result<bool, Fault> = self.link.ask(deadline, async |client| {
            let values: [(&(dyn ToSql + Sync), Type); 3] =
                [(&name, Type::TEXT), (&key, Type::INT8), (&most, Type::INT4)];
            let told = [(&channel as &(dyn ToSql + Sync), Type::TEXT), (&name, Type::TEXT)];
            let tell = client.query_typed(&tells, &told);
            let (taken, told) = tokio::join!(client.query_typed_one(&sql, &values), tell);
            if let Err(fault) = told {
                tracing::debug!(%fault, "those who wait for a cell were not told");
            }
            taken?.try_get(0)
        });
        if taken.map_err(failed)? {
            let serial = self.link.serial;
            self.attending.insert(name.to_owned(), Some(serial));
            return Ok(());
        }
        Err(RegisterError(format!("{}: somebody else attends to {name}", self.link.target)))
    }

    /// Sees to it that changes of the cell are told, and that it was read since.
    fn listen(&mut self, name: &str) -> Result<(), RegisterError> {
        if self.watching.as_ref().is_none_or(|watching| watching.name != name) {
            self.turn_to(name)?;
        }
        let deadline = self.link.deadline();
        self.link.ready(deadline).map_err(failed)?;
        let serial = self.link.serial;
        let Some(watching) = &mut self.watching else { return Ok(()) };
        if watching.serial == Some(serial) {
            return Ok(());
        }
        (watching.serial, watching.known) = (None, None);
        let sql = format!("LISTEN {}", watching.channel);
        self.link.ask(deadline, async |client| client.batch_execute(&sql).await).map_err(failed)?;
        let serial = self.link.serial;
        self.watching.iter_mut().for_each(|watching| watching.serial = Some(serial));
        Ok(())
    }

    /// Waits for another cell than before.
    fn turn_to(&mut self, name: &str) -> Result<(), RegisterError> {
        if let Some(before) = self.watching.take() {
            let sql = format!("UNLISTEN {}", before.channel);
            let deadline = self.link.deadline();
            self.link.ask(deadline, async |client| client.batch_execute(&sql).await).map_err(failed)?;
        }
        let (key, channel) = (self.key(name), self.channel(name));
        let watcher = Watcher::start(&self.link.runtime, &self.link, name, key);
        self.watching = Some(Watching { name: name.to_owned(), channel, serial: None, known: None, watcher });
        Ok(())
    }

    /// What stands there, read if it is not known.
    fn stands(&mut self, name: &str, trust: Trust) -> Result<Option<Cell>, RegisterError> {
        let known = self.watching.as_ref().and_then(|watching| watching.known.clone());
        if let (Trust::Known, Some((cell, at))) = (trust, known)
            && at.elapsed() < RECHECK
        {
            return Ok(cell);
        }
        let cell = self.read(name)?;
        let known = Some((cell.clone(), Instant::now()));
        self.watching.iter_mut().for_each(|watching| watching.known.clone_from(&known));
        Ok(cell)
    }

    /// Whether the cell is certainly not as it was seen. What is known may be older than what was seen: then it is read.
    fn differs(&mut self, name: &str, seen: Option<&CellVersion>, trust: Trust) -> Result<bool, RegisterError> {
        let stands = self.stands(name, trust)?;
        let version = stands.as_ref().map(|cell| &cell.version);
        if version == seen || later(version, seen) {
            return Ok(version != seen);
        }
        Ok(self.stands(name, Trust::Read)?.as_ref().map(|cell| &cell.version) != seen)
    }

    /// Whether whoever attended to the cell is gone, and it stands as it was seen.
    fn is_gone(&mut self, name: &str, seen: Option<&CellVersion>) -> Result<bool, RegisterError> {
        let wanted = Sight::Gone(seen.cloned());
        let told = self.watching.as_ref().is_some_and(|watching| watching.watcher.sight() == wanted);
        if !told || self.attending.contains_key(name) {
            return Ok(false);
        }
        // The watcher saw it some time ago: somebody may attend by now.
        let (sql, key) = (self.sql("SELECT seen, stands FROM @.sight($1, $2)"), self.key(name));
        let now = self.link.ask_again(async |client| {
            watcher::sight(&client.query_typed_one(&sql, &[(&name, Type::TEXT), (&key, Type::INT8)]).await?)
        });
        let gone = now.map_err(failed)? == wanted;
        if !gone {
            self.watching.iter().for_each(|watching| watching.watcher.poke());
        }
        Ok(gone)
    }

    /// Whether whoever attended is gone and left the cell otherwise than it was seen: a process that is killed between a change and what
    /// tells of it leaves nobody told.
    fn left_untold(&mut self, name: &str, seen: Option<&CellVersion>) -> Result<bool, RegisterError> {
        let sight = self.watching.as_ref().map(|watching| watching.watcher.sight());
        if !matches!(sight, Some(Sight::Gone(stood)) if stood.as_ref() != seen) {
            return Ok(false);
        }
        let differs = self.stands(name, Trust::Read)?.as_ref().map(|cell| &cell.version) != seen;
        if !differs {
            // What the watcher saw is over.
            self.watching.iter().for_each(|watching| watching.watcher.poke());
        }
        Ok(differs)
    }

    /// Looks at what has come meanwhile.
    fn take_news(&mut self) {
        let Some(watching) = &mut self.watching else { return };
        let Some((_, session)) = self.link.session() else { return };
        let mut ours = session.overflow.swap(false, Ordering::AcqRel);
        let overflow = ours;
        while let Ok(news) = session.news.try_recv() {
            if news.channel() == watching.channel {
                watching.take_in(news.payload());
                ours = true;
            }
        }
        if overflow {
            watching.known = None;
        }
        if ours {
            watching.watcher.poke();
        }
    }

    /// Waits for news of any kind, until a moment.
    fn hear(&mut self, until: Instant) {
        let Some(watching) = &mut self.watching else { return };
        let Some((runtime, session)) = self.link.session() else { return };
        let heard = runtime.block_on(async {
            tokio::select! {
                news = session.news.recv() => Heard::News(news),
                () = watching.watcher.change() => Heard::Nothing,
                () = sleep_until(until) => Heard::Nothing,
            }
        });
        match heard {
            Heard::News(Some(news)) if news.channel() == watching.channel => {
                watching.take_in(news.payload());
                watching.watcher.poke();
            }
            // The connection has ended: the next look makes another one.
            Heard::News(None) => self.link.hang_up(),
            Heard::News(Some(_)) | Heard::Nothing => {}
        }
    }
}

/// What ended waiting for news.
enum Heard {
    /// The server told something; none: the connection has ended.
    News(Option<Notification>),
    /// Something else.
    Nothing,
}

/// Whether what is known of a cell will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// It will.
    Known,
    /// It is read again.
    Read,
}

impl Watching {
    /// Takes in what a notification says; one that says nothing means that it has to be read.
    fn take_in(&mut self, payload: &str) {
        let Some(cell) = told(payload) else {
            self.known = None;
            return;
        };
        let known = self.known.as_ref().and_then(|(known, _)| known.as_ref()).map(|known| &known.version);
        if known.is_none() || later(Some(&cell.version), known) {
            self.known = Some((Some(cell), Instant::now()));
        }
    }
}

/// The cell that a notification tells of, if it does.
fn told(payload: &str) -> Option<Cell> {
    let (version, bytes) = payload.split_once(' ')?;
    let version = CellVersion(version.to_owned());
    counter(&version)?;
    Some(Cell { bytes: STANDARD.decode(bytes).ok()?, version })
}

/// The number of a version, which grows from change to change on one server.
fn counter(version: &CellVersion) -> Option<u64> {
    version.0.split_once('.')?.0.parse().ok()
}

/// Whether one version is certainly of a later change than the other.
fn later(one: Option<&CellVersion>, other: Option<&CellVersion>) -> bool {
    let number = |version: Option<&CellVersion>| version.and_then(counter);
    number(one).zip(number(other)).is_some_and(|(one, other)| one > other)
}

fn failed(fault: Fault) -> RegisterError {
    RegisterError(fault.to_string())
}

fn swapped(row: &Row) -> Result<Swapped, tokio_postgres::Error> {
    let (ended, version): (String, Option<String>) = (row.try_get(0)?, row.try_get(1)?);
    let (version, bytes) = (version.map(CellVersion), row.try_get::<_, Option<Vec<u8>>>(2)?);
    Ok(match (ended.as_str(), version, bytes) {
        ("done", Some(version), _) => Swapped::Done(version),
        ("lost", Some(version), Some(bytes)) => Swapped::Lost(Some(Cell { bytes, version })),
        ("lost", _, _) => Swapped::Lost(None),
        (other, _, _) => Swapped::Unknown(format!("a swap ended as {other:?}")),
    })
}

impl Register for PostgresRegister {
    fn read(&mut self, name: &str) -> Result<Option<Cell>, RegisterError> {
        check_name(name).map_err(RegisterError)?;
        let sql = self.sql("SELECT version, bytes FROM @.cells WHERE name = $1");
        let found = self.link.ask_again(async |client| {
            let row = client.query_typed_opt(&sql, &[(&name, Type::TEXT)]).await?;
            row.map(|row| Ok(Cell { version: CellVersion(row.try_get(0)?), bytes: row.try_get(1)? })).transpose()
        });
        found.map_err(failed)
    }

    fn swap(&mut self, name: &str, seen: Option<&CellVersion>, bytes: &[u8]) -> Swapped {
        if let Err(why) = check(name, bytes) {
            return Swapped::Failed(why);
        }
        self.change(name, "SELECT ended, stands, holds FROM @.swap($1, $2, $3, $4)", seen, Some(bytes))
    }

    fn remove(&mut self, name: &str, seen: &CellVersion) -> Swapped {
        if let Err(why) = check_name(name) {
            return Swapped::Failed(why);
        }
        self.change(name, "SELECT ended, stands, holds FROM @.remove($1, $2, $3)", Some(seen), None)
    }

    fn list(&mut self, prefix: &str, most: usize) -> Result<Vec<(String, Cell)>, RegisterError> {
        let sql = self.sql(
            "SELECT name, version, bytes FROM @.cells WHERE name >= $1 AND starts_with(name, $1) ORDER BY name LIMIT $2",
        );
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let found = self.link.ask_again(async |client| {
            let rows = client.query_typed(&sql, &[(&prefix, Type::TEXT), (&most, Type::INT8)]).await?;
            let cell = |row: &Row| {
                Ok((row.try_get(0)?, Cell { version: CellVersion(row.try_get(1)?), bytes: row.try_get(2)? }))
            };
            rows.iter().map(cell).collect()
        });
        found.map_err(failed)
    }

    fn wait(&mut self, name: &str, seen: Option<&CellVersion>, patience: Duration) -> Result<Woken, RegisterError> {
        check_name(name).map_err(RegisterError)?;
        let until = Instant::now() + patience;
        // Who does not wait, asks.
        let mut trust = if patience.is_zero() { Trust::Read } else { Trust::Known };
        loop {
            self.listen(name)?;
            self.attend_again();
            self.take_news();
            if self.differs(name, seen, trust)? || self.left_untold(name, seen)? {
                return Ok(Woken::Changed);
            }
            if self.is_gone(name, seen)? {
                return Ok(Woken::Abandoned("the connection of whoever attended to it has ended".into()));
            }
            if Instant::now() >= until {
                return Ok(Woken::Patience);
            }
            trust = Trust::Known;
            self.hear(until);
        }
    }

    fn told(&mut self, name: &str) -> Result<Option<Cell>, RegisterError> {
        let known = self.watching.as_ref().filter(|watching| watching.name == name);
        match known.and_then(|watching| watching.known.clone()) {
            Some((cell, _)) => Ok(cell),
            None => self.read(name),
        }
    }

    fn attend(&mut self, name: &str) -> Result<(), RegisterError> {
        check_name(name).map_err(RegisterError)?;
        let deadline = self.link.deadline();
        self.link.ready(deadline).map_err(failed)?;
        if self.attending.get(name) == Some(&Some(self.link.serial)) {
            return Ok(());
        }
        let attended = self.attend_once(name, if self.in_vain { ATTEND_AGAIN } else { ATTEND });
        self.in_vain = attended.is_err();
        attended
    }

    fn leave(&mut self, name: &str) {
        if !self.attending.contains_key(name) {
            return;
        }
        // Without the lock it may be somebody else's by now.
        self.attend_again();
        if self.attending.remove(name) != Some(Some(self.link.serial)) {
            return;
        }
        let (key, deadline) = (self.key(name), self.link.deadline());
        let sql = self.sql("DELETE FROM @.attending WHERE name = $1");
        // First the row, then the lock: a free lock with a row is that of somebody who is gone.
        let left = self.link.ask(deadline, async |client| {
            client.query_typed(&sql, &[(&name, Type::TEXT)]).await?;
            client.query_typed("SELECT pg_advisory_unlock($1)", &[(&key, Type::INT8)]).await
        });
        if let Err(fault) = left {
            // With the connection the lock goes.
            tracing::debug!(%fault, "leaving a cell was not answered");
            self.link.hang_up();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> CellVersion {
        CellVersion(text.to_owned())
    }

    #[test]
    fn notifications_say_what_stands_there_or_nothing() {
        let cell = Cell { bytes: b"hi".to_vec(), version: version("12.ab") };
        assert_eq!(told("12.ab aGk="), Some(cell));
        assert_eq!(told("12.ab "), Some(Cell { bytes: Vec::new(), version: version("12.ab") }), "an empty cell");
        for nothing in ["", "12.ab", "x.ab aGk=", "12 aGk=", "12.ab !"] {
            assert_eq!(told(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn only_a_larger_counter_is_certainly_later() {
        let is_later = |one: &str, other: &str| later(Some(&version(one)), Some(&version(other)));
        assert!(is_later("10.a", "9.z"));
        assert!(!is_later("9.z", "10.a") && !is_later("9.a", "9.b") && !is_later("x", "9.b"));
        assert!(!later(None, Some(&version("1.a"))) && !later(Some(&version("1.a")), None));
    }
}
