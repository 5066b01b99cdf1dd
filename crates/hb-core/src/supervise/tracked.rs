//! A map that knows which of its entries were touched since they were last written down.

use std::collections::{BTreeMap, BTreeSet};

/// Entities by key. Whoever takes one for writing marks it; [`Tracked::take`] gives the marked ones, to be recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct Tracked<K, V> {
    all: BTreeMap<K, V>,
    touched: BTreeSet<K>,
}

impl<K, V> Default for Tracked<K, V> {
    fn default() -> Self {
        Self { all: BTreeMap::new(), touched: BTreeSet::new() }
    }
}

impl<K: Ord + Clone, V: Clone> Tracked<K, V> {
    /// One of them.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&V> {
        self.all.get(key)
    }

    /// One of them for writing: it is recorded with the step.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let found = self.all.get_mut(key)?;
        self.touched.insert(key.clone());
        Some(found)
    }

    /// One of them for writing what may be lost: it is recorded with whatever touches it next.
    pub fn get_unrecorded(&mut self, key: &K) -> Option<&mut V> {
        self.all.get_mut(key)
    }

    /// Puts one in; gives what was there.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.touched.insert(key.clone());
        self.all.insert(key, value)
    }

    /// Takes one out; its absence is recorded.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let gone = self.all.remove(key)?;
        self.touched.insert(key.clone());
        Some(gone)
    }

    /// Whether it is there.
    #[must_use]
    pub fn contains(&self, key: &K) -> bool {
        self.all.contains_key(key)
    }

    /// All of them, by key.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.all.iter()
    }

    /// All keys.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &K> {
        self.all.keys()
    }

    /// All values, by key.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> {
        self.all.values()
    }

    /// Entries from `key` on, for pages.
    pub fn from(&self, key: &K) -> impl Iterator<Item = (&K, &V)> {
        self.all.range(key.clone()..)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether something was touched since the last [`Tracked::take`].
    #[must_use]
    pub fn is_touched(&self) -> bool {
        !self.touched.is_empty()
    }

    /// What was touched, as it stands now: `None` for what is gone.
    pub fn take(&mut self) -> BTreeMap<K, Option<V>> {
        std::mem::take(&mut self.touched).into_iter().map(|key| (key.clone(), self.all.get(&key).cloned())).collect()
    }

    /// Everything, as changes to nothing.
    #[must_use]
    pub fn whole(&self) -> BTreeMap<K, Option<V>> {
        self.all.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect()
    }

    /// Takes over what was recorded; marks nothing.
    pub fn apply(&mut self, changes: BTreeMap<K, Option<V>>) {
        for (key, value) in changes {
            match value {
                Some(value) => self.all.insert(key, value),
                None => self.all.remove(&key),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s1_what_was_touched_is_told_once_and_applies() {
        let mut left: Tracked<u8, u8> = Tracked::default();
        let mut right = Tracked::default();
        left.insert(1, 10);
        left.insert(2, 20);
        right.apply(left.take());
        *left.get_mut(&1).unwrap() = 11;
        left.remove(&2);
        assert_eq!(left.remove(&3), None);
        let changes = left.take();
        assert_eq!(changes, BTreeMap::from([(1, Some(11)), (2, None)]));
        right.apply(changes);
        assert!(!left.is_touched() && left.take().is_empty());
        assert_eq!(left, right);
    }
}
