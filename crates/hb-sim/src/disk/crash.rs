//! Every disk that power loss may leave of one, as far as there are not too many.
//!
//! What is chosen: for each name that was given or taken since its folder was last fsynced, one of the things that it has stood for
//! since; for each file with bytes that were not fsynced, how much of them is there, and what of that is zeros (a length that was
//! written before the data). Where there are at most as many combinations as asked for, all are given; of more, the corners and a
//! sample by seed.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use super::tree::{FileNode, Folder, Ino, Node, ROOT, Tree};

/// Smallest piece that a disk writes as a whole, in bytes.
const SECTOR: usize = 512;

/// A source of choices: `SplitMix64` (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The choices of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`; zero when that is zero.
    pub fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.roll() % end).unwrap_or(0)
    }
}

/// How many disks are wanted of one power loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// At most so many.
    pub most: usize,
    /// Seed of the sample, and of where files are torn.
    pub seed: u64,
}

/// What may be left.
#[derive(Debug)]
pub struct Left {
    /// The disks: all different.
    pub disks: Vec<Tree>,
    /// Whether these are all that the rules give with the ways of tearing that are tried.
    pub all: bool,
}

/// One name and what it may stand for: the last entry of `choices` is as it is now.
struct NameChoice {
    folder: Ino,
    name: String,
    /// With the number of the change that made it so; none: as it was durable.
    choices: Vec<(Option<u64>, Option<Ino>)>,
}

/// What was chosen for names of a folder.
type Names<'a> = BTreeMap<&'a str, Option<Ino>>;
/// What was chosen for files.
type Bytes<'a> = BTreeMap<Ino, &'a Arc<Vec<u8>>>;

struct Space<'a> {
    tree: &'a Tree,
    names: Vec<NameChoice>,
    /// What each choice needs: a change, by number, of a name, by place in `names`.
    needs: BTreeMap<u64, (usize, u64)>,
    /// Files with bytes that are not durable, and the ways in which they may be left.
    files: Vec<(Ino, Vec<Arc<Vec<u8>>>)>,
}

/// The disks that power loss may leave.
#[must_use]
pub fn after_power_loss(tree: &Tree, wanted: Wanted) -> Left {
    let mut dice = Dice::new(wanted.seed);
    let space = Space::of(tree, &mut dice);
    let sizes: Vec<usize> = space.sizes();
    let total = sizes.iter().try_fold(1_usize, |product, size| product.checked_mul(*size));
    let all = total.is_some_and(|total| total <= wanted.most);
    let mut seen = BTreeSet::new();
    let mut disks = Vec::new();
    let mut take = |picks: &[usize]| {
        if let Some(disk) = space.build(picks)
            && seen.insert(fingerprint(&disk))
        {
            disks.push(disk);
        }
    };
    if all {
        let mut picks = vec![0; sizes.len()];
        loop {
            take(&picks);
            if !advance(&mut picks, &sizes) {
                break;
            }
        }
        return Left { disks, all };
    }
    for corner in corners(&sizes) {
        take(&corner);
    }
    for _ in 0..wanted.most {
        let picks: Vec<usize> = sizes.iter().map(|size| dice.below(*size)).collect();
        take(&picks);
    }
    disks.truncate(wanted.most);
    Left { disks, all }
}

/// Nothing, everything, and each single name and file alone, against both.
fn corners(sizes: &[usize]) -> Vec<Vec<usize>> {
    let none = vec![0; sizes.len()];
    let whole: Vec<usize> = sizes.iter().map(|size| size.saturating_sub(1)).collect();
    let mut out = vec![none.clone(), whole.clone()];
    for (at, size) in sizes.iter().enumerate() {
        for (from, pick) in [(&none, size.saturating_sub(1)), (&whole, 0)] {
            let mut picks = from.clone();
            if let Some(place) = picks.get_mut(at) {
                *place = pick;
            }
            out.push(picks);
        }
    }
    out
}

fn advance(picks: &mut [usize], sizes: &[usize]) -> bool {
    for (pick, size) in picks.iter_mut().zip(sizes) {
        *pick += 1;
        if *pick < *size {
            return true;
        }
        *pick = 0;
    }
    false
}

impl<'a> Space<'a> {
    fn of(tree: &'a Tree, dice: &mut Dice) -> Self {
        let mut names: Vec<NameChoice> = Vec::new();
        let mut at: BTreeMap<(Ino, String), usize> = BTreeMap::new();
        let mut place_of: BTreeMap<u64, usize> = BTreeMap::new();
        for change in &tree.pending {
            let place = *at.entry((change.folder, change.name.clone())).or_insert_with(|| {
                let durable = tree.folder(change.folder).ok().and_then(|folder| folder.durable.get(&change.name));
                let choices = vec![(None, durable.copied())];
                names.push(NameChoice { folder: change.folder, name: change.name.clone(), choices });
                names.len() - 1
            });
            place_of.insert(change.id(), place);
            if let Some(name) = names.get_mut(place) {
                name.choices.push((Some(change.id()), change.to));
            }
        }
        let needs = tree.pending.iter().filter_map(|change| {
            let needed = change.needs?;
            Some((change.id(), (*place_of.get(&needed)?, needed)))
        });
        let files = tree.nodes.iter().enumerate().filter_map(|(ino, node)| match &**node {
            Node::File(file) if file.now != file.durable => Some((ino, torn(file, dice))),
            Node::File(_) | Node::Folder(_) => None,
        });
        let (needs, files) = (needs.collect(), files.collect());
        Self { tree, names, needs, files }
    }

    fn sizes(&self) -> Vec<usize> {
        let names = self.names.iter().map(|name| name.choices.len());
        names.chain(self.files.iter().map(|(_, ways)| ways.len())).collect()
    }

    /// The disk of these choices; none where one of them needs another that was not made.
    fn build(&self, picks: &[usize]) -> Option<Tree> {
        let (of_names, of_files) = picks.split_at_checked(self.names.len())?;
        let mut chosen: BTreeMap<Ino, Names<'_>> = BTreeMap::new();
        for (name, pick) in self.names.iter().zip(of_names) {
            let (change, to) = *name.choices.get(*pick)?;
            if let Some((place, needed)) = change.and_then(|change| self.needs.get(&change)) {
                let there = self.names.get(*place)?.choices.get(*of_names.get(*place)?)?;
                if there.0.is_none_or(|there| there < *needed) {
                    return None;
                }
            }
            chosen.entry(name.folder).or_default().insert(&name.name, to);
        }
        let bytes: Bytes<'_> = self
            .files
            .iter()
            .zip(of_files)
            .map(|((ino, ways), pick)| Some((*ino, ways.get(*pick)?)))
            .collect::<Option<_>>()?;
        let mut out = Tree::default();
        let mut made = BTreeMap::new();
        self.copy(ROOT, (&chosen, &bytes), (&mut out, &mut made))?;
        out.mounted = out.nodes.len();
        Some(out)
    }

    /// Puts a folder with all that is in it into another tree, where everything is durable.
    fn copy(
        &self,
        from: Ino,
        (chosen, bytes): (&BTreeMap<Ino, Names<'_>>, &Bytes<'_>),
        (out, made): (&mut Tree, &mut BTreeMap<Ino, Ino>),
    ) -> Option<Ino> {
        if let Some(there) = made.get(&from) {
            return Some(*there);
        }
        let ino = if from == ROOT { ROOT } else { out.nodes.len() };
        made.insert(from, ino);
        if from != ROOT {
            out.nodes.push(Arc::new(Node::Folder(Folder::default())));
        }
        let node = match self.tree.node(from).ok()? {
            Node::File(file) => {
                let left = bytes.get(&from).map_or(&file.durable, |left| *left);
                let fate = super::tree::Fate::Waits;
                Node::File(FileNode { now: Arc::clone(left), durable: Arc::clone(left), fate })
            }
            Node::Folder(folder) => {
                let mut names = folder.durable.clone();
                for (name, to) in chosen.get(&from).into_iter().flatten() {
                    match to {
                        Some(to) => names.insert((*name).to_owned(), *to),
                        None => names.remove(*name),
                    };
                }
                let mut copied = BTreeMap::new();
                for (name, there) in names {
                    copied.insert(name, self.copy(there, (chosen, bytes), (out, made))?);
                }
                Node::Folder(Folder { now: copied.clone(), durable: copied })
            }
        };
        *out.nodes.get_mut(ino)? = Arc::new(node);
        Some(ino)
    }
}

/// The ways in which a file may be left whose last bytes were not fsynced. The first is the durable one, the last is whole.
fn torn(file: &FileNode, dice: &mut Dice) -> Vec<Arc<Vec<u8>>> {
    let (durable, now) = (&file.durable, &file.now);
    let (from, to) = (durable.len(), now.len());
    let cut = |at: usize| now.get(..at).unwrap_or(now).to_vec();
    let zeroed = |range: std::ops::Range<usize>| {
        let mut bytes = now.to_vec();
        if let Some(hole) = bytes.get_mut(range) {
            hole.fill(0);
        }
        bytes
    };
    let length = to.saturating_sub(from);
    let (half, anywhere) = (from + length / 2, from + dice.below(length));
    let sector = (from + 1).next_multiple_of(SECTOR).min(to);
    let ways = [
        durable.to_vec(),
        cut(from + length.min(1)),
        cut(half),
        cut(anywhere),
        cut(sector),
        cut(to.saturating_sub(1).max(from)),
        zeroed(from..to),
        zeroed(sector..to),
        zeroed(from..sector),
        zeroed(half..to),
        zeroed(anywhere..to),
        now.to_vec(),
    ];
    let mut out: Vec<Arc<Vec<u8>>> = Vec::new();
    for way in ways {
        if !out.iter().any(|there| **there == way) {
            out.push(Arc::new(way));
        }
    }
    out
}

/// What tells one disk from another: the names of temporary files do not.
pub(super) fn fingerprint(tree: &Tree) -> u64 {
    let mut hasher = DefaultHasher::new();
    hash_node(tree, ROOT, &mut hasher);
    hasher.finish()
}

fn hash_node(tree: &Tree, at: Ino, hasher: &mut DefaultHasher) {
    match tree.node(at) {
        Ok(Node::File(file)) => file.now.hash(hasher),
        Ok(Node::Folder(folder)) => {
            folder.now.len().hash(hasher);
            for (name, ino) in &folder.now {
                let temporary = hb_store::atomic::is_temp(name);
                if temporary {
                    "temporary".hash(hasher)
                } else {
                    name.hash(hasher)
                }
                hash_node(tree, *ino, hasher);
            }
        }
        Err(_) => {}
    }
}
