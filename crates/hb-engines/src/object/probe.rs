//! Whether a store keeps its word: asked before anything is trusted to it.
//!
//! Several servers that speak S3 ignore the conditions of a put, or check them first and act later, which shows only when many ask at once.
//! So each condition is tried one after the other, and then raced for. What is put lies below `probe/` and is removed again.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hb_store::register::nonce::nonce;
use object_store::{PutMode, UpdateVersion};
use serde::{Deserialize, Serialize};

use super::bucket::{Bucket, Put, Requests};
use super::fault::Fault;

/// How many ask at once.
const RACERS: usize = 8;
/// How many objects the check of lists puts.
const LISTED: usize = 5;

/// How long is looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// At every start: about 120 requests.
    Short,
    /// When somebody asks: about 600 requests.
    Full,
}

impl Depth {
    fn rounds(self) -> usize {
        match self {
            Self::Short => 3,
            Self::Full => 20,
        }
    }
}

/// What a check says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The store did what it has to.
    Sound,
    /// It could not be told: no connection, no permission.
    NotKnown,
    /// The store does what would lose records: it must not be used.
    Unsound,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Short name, with `-` between words.
    pub name: String,
    /// What was done.
    pub done: String,
    /// What was found.
    pub found: String,
    /// What that means.
    pub verdict: Verdict,
    /// What to do; empty where nothing is to be done.
    pub advice: String,
}

/// Everything that a probe found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Which place, without any secret.
    pub target: String,
    /// In the order in which they were done. After one that is not sound, the others are still done.
    pub checks: Vec<Check>,
    /// Middle of the times that single puts took, in milliseconds.
    pub put_ms: Option<f64>,
    /// The same of gets.
    pub get_ms: Option<f64>,
    /// What it cost.
    pub requests: Requests,
}

impl Report {
    /// The worst of all checks.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.checks.iter().map(|check| check.verdict).max().unwrap_or(Verdict::NotKnown)
    }
}

/// Why a store is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// It breaks its word. No later attempt helps.
    #[error("{0}")]
    Unsound(String),
    /// It could not be told; it may be later.
    #[error("{0}")]
    NotKnown(String),
}

/// The short form, for every start: whether the store may be used. What was found sound is not asked again by this process.
///
/// # Errors
/// [`Untrusted`], with what was found and what to do.
pub fn trust(bucket: &Bucket) -> Result<(), Untrusted> {
    static SOUND: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let place = bucket.target().whole().to_string();
    if SOUND.lock().unwrap_or_else(PoisonError::into_inner).contains(&place) {
        return Ok(());
    }
    let report = probe(bucket, Depth::Short);
    let told = |verdict: Verdict| {
        let faults = report.checks.iter().filter(|check| check.verdict == verdict);
        let faults: Vec<String> =
            faults.map(|check| format!("{}: {}, {}; {}", check.name, check.done, check.found, check.advice)).collect();
        faults.join(". ")
    };
    match report.verdict() {
        Verdict::Sound => {
            SOUND.lock().unwrap_or_else(PoisonError::into_inner).insert(place);
            Ok(())
        }
        Verdict::NotKnown => {
            Err(Untrusted::NotKnown(format!("{} could not be tried: {}", report.target, told(Verdict::NotKnown))))
        }
        Verdict::Unsound => Err(Untrusted::Unsound(format!(
            "{} does not keep its word, so it is not used: {}",
            report.target,
            told(Verdict::Unsound)
        ))),
    }
}

/// Tries everything that the journal and the register need of a store.
#[must_use]
pub fn probe(bucket: &Bucket, depth: Depth) -> Report {
    let before = bucket.requests();
    let mut probe = Probe {
        bucket,
        folder: format!("probe/{}", nonce()),
        rounds: depth.rounds(),
        keys: Vec::new(),
        puts: Vec::new(),
        gets: Vec::new(),
    };
    let checks = vec![
        probe.check("create-once", "put an object if there was none, twice", Probe::create_once),
        probe.check(
            "update-known-version",
            "changed an object by its version, then by the version before",
            Probe::update_known,
        ),
        probe.check("racing-creators", "let eight create one object at once, again and again", Probe::race_creators),
        probe.check(
            "racing-updates",
            "let eight change one object by its version at once, again and again",
            Probe::race_updates,
        ),
        probe.check(
            "read-after-write",
            "read objects directly after they were put, changed and removed",
            Probe::read_after_write,
        ),
        probe.check(
            "list-after-write",
            "listed objects directly after they were put and removed",
            Probe::list_after_write,
        ),
        probe.check("remove", "removed what was put", Probe::clean),
    ];
    let (put_ms, get_ms) = (middle(&mut probe.puts), middle(&mut probe.gets));
    let after = bucket.requests();
    let requests = Requests {
        puts: after.puts.saturating_sub(before.puts),
        lists: after.lists.saturating_sub(before.lists),
        gets: after.gets.saturating_sub(before.gets),
        deletes: after.deletes.saturating_sub(before.deletes),
    };
    Report { target: bucket.target().to_string(), checks, put_ms, get_ms, requests }
}

fn middle(times: &mut [Duration]) -> Option<f64> {
    times.sort();
    times.get(times.len() / 2).map(|time| time.as_secs_f64() * 1000.0)
}

struct Probe<'a> {
    bucket: &'a Bucket,
    folder: String,
    rounds: usize,
    /// What has to be removed.
    keys: Vec<String>,
    puts: Vec<Duration>,
    gets: Vec<Duration>,
}

/// How a check did not end well.
enum Bad {
    Lies(String),
    NotKnown(String),
}

impl From<Fault> for Bad {
    fn from(fault: Fault) -> Self {
        Self::NotKnown(fault.what)
    }
}

const LIAR: &str = "use another store, or a newer version of this one: with it two nodes could both believe that they wrote the same record";
const FIRST: &str =
    "see that the store can be reached and that its policy allows what docs/engines/object.md lists, then try again";

impl Probe<'_> {
    fn check(&mut self, name: &str, done: &str, act: impl FnOnce(&mut Self) -> Result<String, Bad>) -> Check {
        let (found, verdict, advice) = match act(self) {
            Ok(found) => (found, Verdict::Sound, ""),
            Err(Bad::NotKnown(found)) => (found, Verdict::NotKnown, FIRST),
            Err(Bad::Lies(found)) => (found, Verdict::Unsound, LIAR),
        };
        Check { name: name.to_owned(), done: done.to_owned(), found, verdict, advice: advice.to_owned() }
    }

    fn key(&mut self, name: &str) -> String {
        let key = format!("{}/{name}", self.folder);
        self.keys.push(key.clone());
        key
    }

    fn put(&mut self, key: &str, bytes: &str, mode: PutMode) -> Put {
        let began = Instant::now();
        let put = self.bucket.put(key, bytes.as_bytes(), mode);
        self.puts.push(began.elapsed());
        put
    }

    /// A put that has to go through.
    fn must_put(&mut self, key: &str, bytes: &str, mode: PutMode) -> Result<UpdateVersion, Bad> {
        match self.put(key, bytes, mode) {
            Put::Done(version) => Ok(version),
            Put::Refused(what) => Err(Bad::Lies(format!("a put whose condition held was refused: {what}"))),
            Put::NotDone(what) if what.contains("does not know conditional writes") => Err(Bad::Lies(what)),
            Put::NotDone(what) | Put::Unknown(what) => Err(Bad::NotKnown(what)),
        }
    }

    /// A put that has to be refused by its condition.
    fn must_refuse(&mut self, key: &str, bytes: &str, mode: PutMode, what: &str) -> Result<(), Bad> {
        match self.put(key, bytes, mode) {
            Put::Refused(_) => Ok(()),
            Put::Done(_) => Err(Bad::Lies(format!("{what} went through"))),
            Put::NotDone(why) if why.contains("does not know conditional writes") => Err(Bad::Lies(why)),
            Put::NotDone(why) | Put::Unknown(why) => Err(Bad::NotKnown(why)),
        }
    }

    fn read(&mut self, key: &str) -> Result<Option<(String, UpdateVersion)>, Bad> {
        let began = Instant::now();
        let got = self.bucket.get(key)?;
        self.gets.push(began.elapsed());
        Ok(got.map(|got| (String::from_utf8_lossy(&got.bytes).into_owned(), got.version)))
    }

    fn must_stand(&mut self, key: &str, bytes: Option<&str>, when: &str) -> Result<(), Bad> {
        let there = self.read(key)?.map(|(there, _)| there);
        if there.as_deref() == bytes {
            return Ok(());
        }
        let named = |bytes: Option<&str>| bytes.map_or_else(|| "nothing".to_owned(), |bytes| format!("`{bytes}`"));
        Err(Bad::Lies(format!("{when}, {} was read instead of {}", named(there.as_deref()), named(bytes))))
    }

    fn create_once(&mut self) -> Result<String, Bad> {
        let key = self.key("once");
        self.must_put(&key, "first", PutMode::Create)?;
        self.must_refuse(
            &key,
            "second",
            PutMode::Create,
            "a put of an object that stood already (`If-None-Match: *`)",
        )?;
        self.must_stand(&key, Some("first"), "after the second was refused")?;
        Ok("the second was refused, and the first stands".into())
    }

    fn update_known(&mut self) -> Result<String, Bad> {
        let key = self.key("known");
        self.must_put(&key, "1", PutMode::Create)?;
        let Some((_, first)) = self.read(&key)? else {
            return Err(Bad::Lies("an object that was put is not there".into()));
        };
        if first.e_tag.is_none() && first.version.is_none() {
            return Err(Bad::Lies("the store gives no version (ETag) of an object".into()));
        }
        self.must_put(&key, "2", PutMode::Update(first.clone()))?;
        self.must_refuse(
            &key,
            "3",
            PutMode::Update(first.clone()),
            "a change by a version that was replaced (`If-Match`)",
        )?;
        self.must_stand(&key, Some("2"), "after the change was refused")?;
        let absent = self.key("absent");
        self.must_refuse(&absent, "1", PutMode::Update(first), "a change of an object that is not there")?;
        self.must_stand(&absent, None, "after that")?;
        Ok("the stale change was refused, and the object is as it was".into())
    }

    /// Lets all ask at once; exactly one may win, and what it put has to stand.
    fn race(&mut self, key: &str, modes: &PutMode, round: usize) -> Result<(), Bad> {
        let bodies: Vec<String> = (0..RACERS).map(|racer| format!("racer {racer} of round {round}")).collect();
        let puts = self.bucket.put_at_once(key, &bodies, modes)?;
        let stands = self.read(key)?.map(|(there, _)| there);
        let mut winners = Vec::new();
        let mut unclear = None;
        for (put, body) in puts.into_iter().zip(&bodies) {
            match put {
                Put::Done(_) => winners.push(body.clone()),
                Put::Refused(_) => {}
                Put::NotDone(what) | Put::Unknown(what) => unclear = Some(what),
            }
        }
        match (winners.as_slice(), unclear) {
            ([_, _, ..], _) => Err(Bad::Lies(format!(
                "in round {} of {}, {} of {RACERS} were told that theirs was done",
                round + 1,
                self.rounds,
                winners.len()
            ))),
            ([winner], _) if stands.as_deref() == Some(winner) => Ok(()),
            ([_], _) => Err(Bad::Lies(format!("in round {}, what the winner put does not stand", round + 1))),
            // Ends that are not known may hide the winner: then one of those has to stand.
            ([], Some(_)) if stands.is_some_and(|stands| bodies.contains(&stands)) => Ok(()),
            ([], Some(what)) => Err(Bad::NotKnown(what)),
            ([], None) => Err(Bad::Lies(format!("in round {}, all of {RACERS} were refused", round + 1))),
        }
    }

    fn race_creators(&mut self) -> Result<String, Bad> {
        for round in 0..self.rounds {
            let key = self.key(&format!("race-{round}"));
            self.race(&key, &PutMode::Create, round)?;
        }
        Ok(format!("one winner in each of {} rounds", self.rounds))
    }

    fn race_updates(&mut self) -> Result<String, Bad> {
        let key = self.key("raced");
        self.must_put(&key, "0", PutMode::Create)?;
        for round in 0..self.rounds {
            let Some((_, version)) = self.read(&key)? else {
                return Err(Bad::Lies("an object that was put is not there".into()));
            };
            self.race(&key, &PutMode::Update(version), round)?;
        }
        Ok(format!("one winner in each of {} rounds", self.rounds))
    }

    fn read_after_write(&mut self) -> Result<String, Bad> {
        for round in 0..self.rounds {
            let key = self.key(&format!("read-{round}"));
            // First when there is nothing: a store may remember that.
            self.must_stand(&key, None, "before anything was put")?;
            self.must_put(&key, "1", PutMode::Create)?;
            let Some((there, version)) = self.read(&key)? else {
                return Err(Bad::Lies("an object that was just put was not found".into()));
            };
            if there != "1" {
                return Err(Bad::Lies(format!("an object that was just put read `{there}`")));
            }
            self.must_put(&key, "2", PutMode::Update(version))?;
            self.must_stand(&key, Some("2"), "directly after a change")?;
            self.bucket.remove(std::slice::from_ref(&key))?;
            self.must_stand(&key, None, "directly after it was removed")?;
        }
        Ok(format!("every one of {} objects read as it was put", self.rounds))
    }

    fn list_after_write(&mut self) -> Result<String, Bad> {
        let folder = format!("{}/list", self.folder);
        let keys: Vec<String> = (0..LISTED).map(|number| self.key(&format!("list/{number}"))).collect();
        for (at, key) in keys.iter().enumerate() {
            self.must_put(key, "1", PutMode::Create)?;
            let listed = self.bucket.list(&folder, LISTED * 2)?.len();
            if listed != at + 1 {
                return Err(Bad::Lies(format!("after {} puts, {listed} objects were listed", at + 1)));
            }
        }
        self.bucket.remove(&keys)?;
        let left = self.bucket.list(&folder, LISTED * 2)?.len();
        if left > 0 {
            return Err(Bad::Lies(format!("{left} objects were listed after they were removed")));
        }
        Ok("every list was complete".into())
    }

    fn clean(&mut self) -> Result<String, Bad> {
        let keys = std::mem::take(&mut self.keys);
        self.bucket.remove(&keys)?;
        let left = self.bucket.list(&self.folder, 1)?.len();
        if left > 0 {
            return Err(Bad::NotKnown(format!("something is left below {}", self.bucket.shown(&self.folder))));
        }
        Ok("nothing is left".into())
    }
}
