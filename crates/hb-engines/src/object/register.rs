//! The register in a bucket: one object per cell, changed by `If-Match` (a generation, in GCS).
//!
//! **Invariants.** A version never comes again (see [`super::cell`]). A change is put under a word of its own, so that it is known again
//! whatever became of the answer: putting it twice is harmless. Lost is only said when ours is certainly not among what happened.
//!
//! Costs: a look is one get; a change is one put where this handle saw the version itself, and one get more where not, or where it was lost.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hb_store::register::nonce::nonce;
use hb_store::register::{Cell, CellVersion, Hears, Register, RegisterError, Swapped, Woken, check, check_name};
use object_store::{PutMode, UpdateVersion};

use super::bucket::{Bucket, Put};
use super::cell::{Envelope, Id, State};
use super::names;

/// How often a change is put whose answers are lost, or that meets others.
const TRIES: u32 = 5;
/// Pause before the second try; it doubles.
const PAUSE: Duration = Duration::from_millis(30);
/// Most cells of which the version is remembered; then all are forgotten, which costs a get each (B1).
const HELD_MAX: usize = 4096;
/// Most names that a list may have, removed cells included (B1).
const LIST_MAX: usize = 20_000;
/// [`Register::wait`] asks once in this time, however often it is called.
pub const ASK_EVERY: Duration = Duration::from_secs(1);
/// So many questions may come at once after a pause.
const BURST: u32 = 3;

/// A register in a bucket.
#[derive(Debug)]
pub struct ObjectRegister {
    bucket: Bucket,
    held: BTreeMap<String, Held>,
    pace: Pace,
}

/// What stands in the store, as this handle saw it last.
#[derive(Debug, Clone)]
struct Held {
    id: Id,
    state: State,
    /// What the store calls it; nothing where it did not say.
    version: Option<UpdateVersion>,
}

/// Bounds the questions of waiting.
#[derive(Debug)]
struct Pace {
    saved: Duration,
    at: Instant,
}

impl Pace {
    fn save(&mut self) {
        let now = Instant::now();
        self.saved = self.saved.saturating_add(now.duration_since(self.at)).min(ASK_EVERY * BURST);
        self.at = now;
    }

    /// Whether one may be asked now; it is then taken as asked.
    fn spend(&mut self) -> bool {
        self.save();
        match self.saved.checked_sub(ASK_EVERY) {
            Some(left) => {
                self.saved = left;
                true
            }
            None => false,
        }
    }
}

/// A change on its way.
struct Change<'a> {
    name: &'a str,
    seen: Option<&'a CellVersion>,
    nonce: String,
    state: State,
    bytes: &'a [u8],
}

/// What reading back says of a change.
enum Told {
    Ours(Id),
    /// What was to be replaced still stands, or what may be replaced as well.
    Again(Option<Held>),
    Lost(Option<Cell>),
    Doubt(String),
}

impl ObjectRegister {
    /// The register of that place; nothing is asked before it is used.
    #[must_use]
    pub fn new(bucket: Bucket) -> Self {
        let pace = Pace { saved: ASK_EVERY * BURST, at: Instant::now() };
        Self { bucket, held: BTreeMap::new(), pace }
    }

    /// The place.
    #[must_use]
    pub fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    fn shown(&self, name: &str) -> String {
        format!("{} of {}", self.bucket.shown(&names::cell(name)), self.bucket.target())
    }

    fn hold(&mut self, name: &str, held: Held) {
        if self.held.len() >= HELD_MAX && !self.held.contains_key(name) {
            self.held.clear();
        }
        self.held.insert(name.to_owned(), held);
    }

    /// Asks what stands there.
    fn look(&mut self, name: &str) -> Result<Option<(Held, Envelope)>, String> {
        let found = self.bucket.get(&names::cell(name)).map_err(|fault| fault.what)?;
        let Some(found) = found else {
            self.held.remove(name);
            return Ok(None);
        };
        let envelope = Envelope::decode(found.bytes, found.version.e_tag.as_deref());
        let held = Held { id: envelope.id.clone(), state: envelope.state, version: Some(found.version) };
        self.hold(name, held.clone());
        Ok(Some((held, envelope)))
    }

    /// What a change replaces: nothing at all, or what stands there; or how the change has ended already.
    fn base(&mut self, change: &Change<'_>) -> Result<Option<Held>, Swapped> {
        let known = self.held.get(change.name).filter(|held| held.version.is_some());
        let Some(seen) = change.seen else {
            return Ok(known.filter(|held| held.state == State::Gone).cloned());
        };
        if let Some(held) = known
            && held.state == State::There
            && held.id.version() == *seen
        {
            return Ok(Some(held.clone()));
        }
        match self.look(change.name) {
            Err(what) => Err(Swapped::Failed(format!("{}: {what}", self.shown(change.name)))),
            Ok(Some((held, envelope))) if envelope.state == State::There && held.id.version() == *seen => {
                Ok(Some(held))
            }
            Ok(found) => Err(Swapped::Lost(found.and_then(|(_, envelope)| cell(envelope)))),
        }
    }

    fn change(&mut self, change: &Change<'_>) -> Swapped {
        let mut base = match self.base(change) {
            Ok(base) => base,
            Err(ended) => return ended,
        };
        let began = Instant::now();
        let mut doubt: Option<String> = None;
        for tried in 0..TRIES {
            match self.put(change, base.as_ref()) {
                (Put::Done(version), id) => {
                    let version = Some(version).filter(|version| version.e_tag.is_some() || version.version.is_some());
                    self.hold(change.name, Held { id: id.clone(), state: change.state, version });
                    return Swapped::Done(id.version());
                }
                (Put::NotDone(what), _) => {
                    let what = format!("{}: {what}", self.shown(change.name));
                    return if doubt.is_some() { Swapped::Unknown(what) } else { Swapped::Failed(what) };
                }
                (Put::Refused(_), _) => {}
                (Put::Unknown(what), _) => doubt = Some(what),
            }
            match self.read_back(change, base.as_ref(), doubt.as_deref()) {
                Told::Ours(id) => return Swapped::Done(id.version()),
                Told::Lost(cell) => return Swapped::Lost(cell),
                Told::Doubt(what) => return Swapped::Unknown(format!("{}: {what}", self.shown(change.name))),
                Told::Again(again) => base = again,
            }
            let pause = PAUSE * 2_u32.pow(tried);
            if began.elapsed() + pause >= self.bucket.patience() {
                break;
            }
            std::thread::sleep(pause);
        }
        let what = doubt.unwrap_or_else(|| "the store refuses the change, and shows what it was to replace".to_owned());
        Swapped::Unknown(format!("{}: {what}", self.shown(change.name)))
    }

    fn put(&self, change: &Change<'_>, base: Option<&Held>) -> (Put, Id) {
        let number = base.map_or(1, |held| held.id.number.saturating_add(1));
        let id = Id { number, nonce: change.nonce.clone() };
        let envelope = Envelope {
            id: id.clone(),
            after: base.map(|held| held.id.clone()),
            state: change.state,
            bytes: change.bytes.to_vec(),
        };
        let mode = base.and_then(|held| held.version.clone()).map_or(PutMode::Create, PutMode::Update);
        (self.bucket.put(&names::cell(change.name), &envelope.encode(), mode), id)
    }

    /// A put was refused or lost: what stands there tells what became of it.
    fn read_back(&mut self, change: &Change<'_>, base: Option<&Held>, doubt: Option<&str>) -> Told {
        let found = match self.look(change.name) {
            Ok(found) => found,
            Err(what) => {
                let first = doubt.map_or_else(|| "refused".to_owned(), str::to_owned);
                return Told::Doubt(format!("{first}; it could not be read back: {what}"));
            }
        };
        let Some((held, envelope)) = found else {
            // Objects of cells are never removed by us.
            return match (change.seen, doubt) {
                (None, _) => Told::Again(None),
                (Some(_), None) => Told::Lost(None),
                (Some(_), Some(what)) => Told::Doubt(format!("{what}; and the object is gone")),
            };
        };
        if held.id.nonce == change.nonce {
            return Told::Ours(held.id);
        }
        if let Some(after) = envelope.after.as_ref().filter(|after| after.nonce == change.nonce) {
            // It was done, and others have gone on from it.
            return Told::Ours(after.clone());
        }
        if base.is_some_and(|base| base.id == held.id) {
            return Told::Again(Some(held));
        }
        let directly = envelope.after.as_ref() == base.map(|base| &base.id);
        if let Some(what) = doubt.filter(|_| !directly) {
            return Told::Doubt(format!("{what}; others have changed it since, more than once"));
        }
        if change.seen.is_none() && held.state == State::Gone {
            return Told::Again(Some(held));
        }
        Told::Lost(cell(envelope))
    }
}

fn cell(envelope: Envelope) -> Option<Cell> {
    let version = envelope.id.version();
    (envelope.state == State::There).then_some(Cell { bytes: envelope.bytes, version })
}

impl Register for ObjectRegister {
    fn read(&mut self, name: &str) -> Result<Option<Cell>, RegisterError> {
        check_name(name).map_err(RegisterError)?;
        match self.look(name) {
            Ok(found) => Ok(found.and_then(|(_, envelope)| cell(envelope))),
            Err(what) => Err(RegisterError(format!("{}: {what}", self.shown(name)))),
        }
    }

    fn swap(&mut self, name: &str, seen: Option<&CellVersion>, bytes: &[u8]) -> Swapped {
        if let Err(what) = check(name, bytes) {
            return Swapped::Failed(what);
        }
        self.change(&Change { name, seen, nonce: nonce(), state: State::There, bytes })
    }

    fn remove(&mut self, name: &str, seen: &CellVersion) -> Swapped {
        if let Err(what) = check_name(name) {
            return Swapped::Failed(what);
        }
        match self.change(&Change { name, seen: Some(seen), nonce: nonce(), state: State::Gone, bytes: &[] }) {
            Swapped::Done(_) => Swapped::Done(seen.clone()),
            other @ (Swapped::Lost(_) | Swapped::Unknown(_) | Swapped::Failed(_)) => other,
        }
    }

    fn list(&mut self, prefix: &str, most: usize) -> Result<Vec<(String, Cell)>, RegisterError> {
        let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
        if !folder.is_empty() {
            check_name(folder).map_err(RegisterError)?;
        }
        let below = if folder.is_empty() { names::CELLS.to_owned() } else { names::cell(folder) };
        let told = |what: String| RegisterError(format!("{}: {what}", self.bucket.target()));
        let found = self.bucket.list(&below, LIST_MAX).map_err(|fault| told(fault.what))?;
        let mut all: Vec<String> = found
            .into_iter()
            .map(|name| if folder.is_empty() { name } else { format!("{folder}/{name}") })
            .filter(|name| name.starts_with(prefix))
            .collect();
        all.sort();
        let mut cells = Vec::new();
        let mut rest = all.as_slice();
        // Removed cells still have objects: it is asked on until there are enough.
        while cells.len() < most && !rest.is_empty() {
            let (page, more) = rest.split_at(rest.len().min(most - cells.len()));
            rest = more;
            let keys: Vec<String> = page.iter().map(|name| names::cell(name)).collect();
            let got = self.bucket.get_many(&keys).map_err(|fault| told(fault.what))?;
            for (name, got) in page.iter().zip(got) {
                let envelope = got.map(|got| Envelope::decode(got.bytes, got.version.e_tag.as_deref()));
                cells.extend(envelope.and_then(cell).map(|cell| (name.clone(), cell)));
            }
        }
        Ok(cells)
    }

    fn wait(&mut self, name: &str, seen: Option<&CellVersion>, patience: Duration) -> Result<Woken, RegisterError> {
        check_name(name).map_err(RegisterError)?;
        let until = Instant::now() + patience;
        loop {
            // Whoever has no patience wants a look, now.
            if (self.pace.spend() || patience.is_zero()) && self.read(name)?.map(|cell| cell.version).as_ref() != seen {
                return Ok(Woken::Changed);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Woken::Patience);
            }
            std::thread::sleep(left.min(ASK_EVERY));
        }
    }

    fn hears(&self) -> Hears {
        Hears::Asks
    }
}
