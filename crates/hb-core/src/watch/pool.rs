//! A bounded choice of the samples of all windows, for comparing distributions.

use super::detect::distribution;
use super::tally::Tally;

/// Most samples of one series that are pooled from all windows.
pub(super) const POOL_MAX: usize = 1024;

/// Windows pooled before distances are taken: before that the pool itself is still noise.
const POOLED_FIRST: u32 = 5;

/// Samples of all windows, and how far each window was from those before it.
#[derive(Debug, Clone, Default)]
pub(super) struct Pool {
    windows: u32,
    seen: u64,
    state: u64,
    pub(super) values: Vec<f64>,
    pub(super) distances: Tally,
}

impl Pool {
    pub(super) fn push(&mut self, kept: &[f64]) {
        if self.windows >= POOLED_FIRST
            && let Some(distance) = distribution::distance(kept, &self.sorted())
        {
            self.distances.push(distance);
        }
        self.windows = self.windows.saturating_add(1);
        kept.iter().for_each(|value| self.offer(*value));
    }

    /// Algorithm R (Vitter 1985) with the generator SplitMix64, seeded by nothing: the same choice everywhere.
    fn offer(&mut self, value: f64) {
        self.seen = self.seen.saturating_add(1);
        if self.values.len() < POOL_MAX {
            self.values.push(value);
            return;
        }
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let draw = (z ^ (z >> 31)) % self.seen;
        if let Some(slot) = usize::try_from(draw).ok().and_then(|draw| self.values.get_mut(draw)) {
            *slot = value;
        }
    }

    pub(super) fn sorted(&self) -> Vec<f64> {
        let mut values = self.values.clone();
        values.sort_unstable_by(f64::total_cmp);
        values
    }
}
