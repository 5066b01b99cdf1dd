//! Names: from what a source calls a series to what the watch calls it, once per name instead of once per sample.
//!
//! **Invariants.** What is remembered here is a cache: forgetting it changes no decision, so a restart cannot either.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::watch::registry::Names;
use crate::watch::sample::NewName;
use crate::watch::units::Conversion;
use crate::watch::window::Keep;

/// What a slot of the source stands for. Small, because it is looked at for every sample.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    /// Index of the series, [`NOT_YET`] before its first sample.
    pub(super) index: usize,
    /// How to bring its readings to the series' unit; nothing where they cannot be.
    pub(super) conversion: Option<Conversion>,
    /// Whether its samples are kept.
    pub(super) keep: Keep,
    /// Tells names and units that feed the same series apart.
    pub(super) feeder: u32,
}

/// A slot that has not been looked up since its series was forgotten.
pub(super) const NOT_YET: usize = usize::MAX;

/// The series of a watch by index and by name, and the source's slots.
#[derive(Debug, Default)]
pub(super) struct Series {
    names: Vec<Arc<str>>,
    by_name: BTreeMap<Arc<str>, usize>,
    slots: Vec<Slot>,
    raw: Vec<NewName>,
    /// By slot: unit of the readings after conversion; empty where none is known.
    units: Vec<Arc<str>>,
}

impl Series {
    /// Series known at the moment.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// Voids all slots: the source announces its names anew.
    pub(super) fn void(&mut self) {
        self.slots.clear();
        self.raw.clear();
        self.units.clear();
    }

    /// Takes a batch's names in.
    pub(super) fn announce(&mut self, names: &[NewName]) {
        self.raw.extend_from_slice(names);
        self.slots.extend(names.iter().map(|name| Slot {
            index: NOT_YET,
            conversion: None,
            keep: Keep::Moments,
            feeder: feeder(name),
        }));
        self.units.resize(self.slots.len(), Arc::default());
    }

    /// What a slot stands for; nothing for a slot that was never announced.
    #[inline]
    pub(super) fn slot(&mut self, slot: u32, known: &Names) -> Option<Slot> {
        let place = usize::try_from(slot).ok()?;
        if self.slots.get(place)?.index == NOT_YET {
            self.look_up(place, known);
        }
        self.slots.get(place).copied()
    }

    /// What a slot stands for, if that has been looked up.
    #[inline]
    pub(super) fn known(&self, slot: u32) -> Option<&Slot> {
        self.slots.get(usize::try_from(slot).ok()?)
    }

    /// Unit of a slot's readings after conversion; empty where none is known.
    pub(super) fn unit(&self, slot: u32) -> Arc<str> {
        usize::try_from(slot).ok().and_then(|place| self.units.get(place)).cloned().unwrap_or_default()
    }

    fn look_up(&mut self, place: usize, known: &Names) {
        let Some(name) = self.raw.get(place) else { return };
        let resolved = known.resolve(&name.name, name.unit.as_deref());
        let index = self.index(&resolved.name);
        let Some(slot) = self.slots.get_mut(place) else { return };
        (slot.index, slot.conversion, slot.keep) = (index, resolved.conversion.ok(), resolved.keep);
        if let Some(unit) = self.units.get_mut(place) {
            *unit = resolved.unit.unwrap_or_default();
        }
    }

    fn index(&mut self, name: &Arc<str>) -> usize {
        if let Some(index) = self.by_name.get(name) {
            return *index;
        }
        let index = self.names.len();
        self.names.push(Arc::clone(name));
        self.by_name.insert(Arc::clone(name), index);
        index
    }

    /// Name and index of every series, sorted by name.
    pub(super) fn sorted(&self) -> impl Iterator<Item = (&Arc<str>, usize)> {
        self.by_name.iter().map(|(name, index)| (name, *index))
    }

    /// Name of a series.
    pub(super) fn name(&self, index: usize) -> String {
        self.names.get(index).map_or_else(String::new, ToString::to_string)
    }

    /// What the source called a slot, with its unit.
    pub(super) fn raw(&self, slot: u32) -> Option<&NewName> {
        usize::try_from(slot).ok().and_then(|place| self.raw.get(place))
    }

    /// Forgets every series that `keep` does not ask for; gives the new index of each old one, and how many remain.
    pub(super) fn forget(&mut self, keep: impl Fn(usize) -> bool) -> (Vec<Option<usize>>, usize) {
        let mut remaining = 0_usize;
        let places: Vec<Option<usize>> = (0..self.names.len())
            .map(|old| {
                keep(old).then(|| {
                    remaining = remaining.saturating_add(1);
                    remaining.saturating_sub(1)
                })
            })
            .collect();
        let old = std::mem::take(&mut self.names);
        self.by_name.clear();
        for (name, place) in old.into_iter().zip(&places) {
            if let Some(place) = place {
                self.by_name.insert(Arc::clone(&name), *place);
                self.names.push(name);
            }
        }
        self.slots.iter_mut().for_each(|slot| slot.index = NOT_YET);
        (places, remaining)
    }
}

fn feeder(name: &NewName) -> u32 {
    // FNV-1a over name and unit: equal ones feed alike, whatever their slots.
    let unit = name.unit.iter().flat_map(|unit| unit.bytes());
    let hash = name
        .name
        .bytes()
        .chain([0])
        .chain(unit)
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash.max(1)
}
