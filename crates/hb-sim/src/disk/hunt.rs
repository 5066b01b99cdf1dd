//! Every cut of a scene, every disk that each may leave, and the same again for the start that follows.

use std::collections::HashSet;
use std::fmt;

use super::crash::{Wanted, after_power_loss, fingerprint};
use super::ledger::{Event, Ledger};
use super::work::{Scene, Stage};
use super::{Blow, Cut, Dice, Lie, SimDisk, Tree, recover};

/// Of a start that is itself cut so much fewer disks of each cut are tried: there are so many more cuts.
const AGAIN_SHARE: usize = 8;

/// What is looked for, and how far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hunt {
    /// What is done.
    pub scene: Scene,
    /// A planted defect.
    pub lie: Option<Lie>,
    /// At most so many disks of one power loss.
    pub most: usize,
    /// Of so many of a cut's disks the start that follows is cut again, at each of its steps.
    pub again: usize,
    /// Seed of the samples.
    pub seed: u64,
}

/// How much was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Places to cut.
    pub cuts: u64,
    /// Of those, how many whose disks were all tried.
    pub whole: u64,
    /// Starts on a disk that a cut left.
    pub starts: u64,
    /// The same, on disks that had been seen: not tried again.
    pub seen: u64,
    /// Faults of single steps.
    pub faults: u64,
}

impl Tally {
    /// Adds another's.
    pub fn add(&mut self, other: Self) {
        self.cuts += other.cuts;
        self.whole += other.whole;
        self.starts += other.starts;
        self.seen += other.seen;
        self.faults += other.faults;
    }
}

/// A promise that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The scene.
    pub scene: Scene,
    /// Where it was cut, first cut first.
    pub path: Vec<String>,
    /// What does not hold; begins with the promise's id.
    pub what: String,
    /// How many starts it took to find it.
    pub starts: u64,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} (scene {}, start {})", self.what, self.scene.name(), self.starts)?;
        for step in &self.path {
            writeln!(f, "  {step}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Found {}

struct Search {
    hunt: Hunt,
    tally: Tally,
    seen: HashSet<(u64, u64)>,
    dice: Dice,
}

/// Plays the scene once, and starts on every disk that every cut of it may leave.
///
/// # Errors
/// The first promise that does not hold.
pub fn hunt(hunt: Hunt) -> Result<Tally, Box<Found>> {
    let disk = SimDisk::default().lying(hunt.lie).recording();
    let mut stage = Stage::open(&disk, Ledger::new(&disk));
    let played = stage.play(hunt.scene);
    let mut search = Search { hunt, tally: Tally::default(), seen: HashSet::new(), dice: Dice::new(hunt.seed) };
    if let Err(what) = played {
        return Err(search.found(Vec::new(), format!("the scene itself does not go through: {what}")));
    }
    search.cuts(&disk.cuts(), stage.ledger.events(), &[], Depth::First)?;
    Ok(search.tally)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    First,
    Second,
}

impl Search {
    fn found(&self, path: Vec<String>, what: String) -> Box<Found> {
        Box::new(Found { scene: self.hunt.scene, path, what, starts: self.tally.starts })
    }

    fn cuts(&mut self, cuts: &[Cut], events: &[Event], path: &[String], depth: Depth) -> Result<(), Box<Found>> {
        for (number, cut) in cuts.iter().enumerate() {
            self.tally.cuts += 1;
            let events = events.get(..cut.events).unwrap_or(events);
            let told = |how: &str| {
                let mut path = path.to_vec();
                path.push(format!("{how} at step {number}, before: {}", cut.before));
                path
            };
            // The process dies; what it did, the kernel has.
            self.start(&cut.tree, events, &told("killed"), (depth, true))?;
            let most = if depth == Depth::First { self.hunt.most } else { (self.hunt.most / AGAIN_SHARE).max(4) };
            let wanted = Wanted { most, seed: self.dice.roll() };
            let left = after_power_loss(&cut.tree, wanted);
            self.tally.whole += u64::from(left.all);
            let picked: HashSet<usize> = (0..self.hunt.again).map(|_| self.dice.below(left.disks.len())).collect();
            for (at, disk) in left.disks.iter().enumerate() {
                self.start(disk, events, &told("power lost"), (depth, picked.contains(&at)))?;
            }
        }
        Ok(())
    }

    /// One start on a disk; and where it is wanted, it is itself cut at every step.
    fn start(
        &mut self,
        tree: &Tree,
        events: &[Event],
        path: &[String],
        (depth, deeper): (Depth, bool),
    ) -> Result<(), Box<Found>> {
        let deeper = deeper && depth == Depth::First && self.hunt.again > 0;
        let disk = SimDisk::of(tree.clone()).lying(self.hunt.lie);
        let ledger = Ledger::after(events, &disk);
        if !self.seen.insert((fingerprint(tree), ledger.fingerprint())) && !deeper {
            self.tally.seen += 1;
            return Ok(());
        }
        self.tally.starts += 1;
        let disk = if deeper { disk.recording() } else { disk };
        let ledger = recover(self.hunt.scene, &disk, events).map_err(|what| self.found(path.to_vec(), what))?;
        if deeper {
            self.cuts(&disk.cuts(), ledger.events(), path, Depth::Second)?;
        }
        Ok(())
    }
}

/// Plays the scene again and again, with another step failing each time in another way; then the power is lost. What the store said was
/// done has to stand all the same.
///
/// # Errors
/// The first promise that does not hold.
pub fn faults(hunt: Hunt, blows: &[Blow]) -> Result<Tally, Box<Found>> {
    let mut search = Search { hunt, tally: Tally::default(), seen: HashSet::new(), dice: Dice::new(hunt.seed) };
    for blow in blows {
        for at in 0.. {
            let disk = SimDisk::default().lying(hunt.lie).struck(at, *blow);
            let mut stage = Stage::open(&disk, Ledger::new(&disk));
            // Whether the scene went through says nothing: the store may bear the fault, or tell it.
            let played = stage.play(hunt.scene);
            if disk.steps() <= at {
                break;
            }
            search.tally.faults += 1;
            let told = match played {
                Ok(()) => "which was borne".to_owned(),
                Err(what) => format!("which was told: {what}"),
            };
            let path = [format!("{blow:?} at step {at}, {told}"), "power lost at the end".to_owned()];
            let wanted = Wanted { most: hunt.most, seed: search.dice.roll() };
            let events = stage.ledger.events().to_vec();
            for disk in after_power_loss(&disk.tree(), wanted).disks {
                search.start(&disk, &events, &path, (Depth::Second, false))?;
            }
        }
    }
    Ok(search.tally)
}

/// Flips bits of everything that stands after the scene, one at a time: whoever reads is told, never given other bytes (J4). `per_file`
/// bits of each file are tried. Gives how many, and of how many `hb verify` names the file.
///
/// # Errors
/// The first bit that was read as data, or that verify passes over in a record or document.
pub fn flips(scene: Scene, per_file: usize, seed: u64) -> Result<u64, String> {
    let disk = SimDisk::default();
    Stage::open(&disk, Ledger::new(&disk)).play(scene)?;
    let mut dice = Dice::new(seed);
    let mut tried = 0;
    for (path, bytes) in disk.tree().files() {
        let aside = path.starts_with(super::work::ASIDE);
        if aside || !(path.ends_with(".rec") || path.ends_with(".json") && path.contains("/baselines/")) {
            continue;
        }
        for _ in 0..per_file {
            let bit = dice.below(bytes.len() * 8);
            let mut tree = disk.tree();
            tree.flip(path.as_ref(), bit).map_err(|error| format!("{path}: {error}"))?;
            let report = recover::examined(&SimDisk::of(tree).mount(), Vec::new());
            let named = report.is_ok_and(|report| report.findings().any(|found| found.file.ends_with(name_of(&path))));
            if !named {
                return Err(format!("J4: bit {bit} of {path} is flipped, and hb verify does not name the file"));
            }
            tried += 1;
        }
    }
    Ok(tried)
}

fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(scene: Scene) -> Hunt {
        Hunt { scene, lie: None, most: 48, again: 0, seed: 0 }
    }

    #[test]
    fn j1_j3_j4_j6_w6_whatever_power_loss_leaves_at_any_step_all_that_was_promised_stands() {
        for scene in Scene::ALL {
            let tally = hunt(wanted(scene)).unwrap_or_else(|found| panic!("{found}"));
            assert!(tally.cuts > 40 && tally.starts > 50, "{}: {tally:?}", scene.name());
        }
    }

    #[test]
    fn j3_j6_a_start_that_is_itself_cut_at_any_step_loses_nothing_either() {
        for scene in [Scene::Journal, Scene::Register] {
            let again = Hunt { again: 1, most: 6, ..wanted(scene) };
            let tally = hunt(again).unwrap_or_else(|found| panic!("{found}"));
            assert!(tally.cuts > 1000, "{tally:?}");
        }
    }

    #[test]
    fn j5_whatever_step_fails_what_was_called_done_stands_after_power_loss() {
        for scene in Scene::ALL {
            let blows = [Blow::Fails(5), Blow::Fails(28), Blow::DoneButFails(5), Blow::Short];
            let tally = faults(Hunt { most: 8, ..wanted(scene) }, &blows).unwrap_or_else(|found| panic!("{found}"));
            assert!(tally.faults > 200, "{}: {tally:?}", scene.name());
        }
    }

    #[test]
    fn j4_flipped_bits_of_records_and_documents_are_named() {
        assert!(flips(Scene::Documents, 20, 0).unwrap() >= 100);
    }

    #[test]
    fn negative_control_each_planted_defect_is_caught() {
        let lies = [
            (Lie::NoFileSync, Scene::Journal),
            (Lie::NoFileSync, Scene::Copy),
            (Lie::NoFolderSync, Scene::Journal),
            (Lie::NameBeforeFileSync, Scene::Journal),
            (Lie::NoFolderSyncOf("floors"), Scene::Journal),
            (Lie::NoFolderSyncOf("baselines"), Scene::Documents),
            (Lie::NoFolderSyncOf("lease"), Scene::Register),
        ];
        for (lie, scene) in lies {
            let caught = hunt(Hunt { lie: Some(lie), ..wanted(scene) });
            assert!(caught.is_err(), "{lie:?} goes unnoticed in {}", scene.name());
        }
    }
}
