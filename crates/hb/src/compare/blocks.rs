//! Means of blocks of consecutive samples: at most [`MOST`] of them, however many samples there are.
//!
//! When there are too many, neighbours are joined and blocks are twice as long from then on. Means of long blocks are close
//! to independent also where samples are not.

/// Most blocks kept; at least half of that many are, once there were so many samples.
pub(super) const MOST: usize = 64;

#[derive(Debug, Clone)]
pub(super) struct Blocks {
    size: u32,
    n: u32,
    sum: f64,
    means: Vec<f64>,
}

impl Default for Blocks {
    fn default() -> Self {
        Self { size: 1, n: 0, sum: 0.0, means: Vec::new() }
    }
}

impl Blocks {
    #[inline]
    pub(super) fn push(&mut self, value: f64) {
        self.sum += value;
        self.n = self.n.saturating_add(1);
        if self.n >= self.size {
            self.close();
        }
    }

    fn close(&mut self) {
        self.means.push(self.sum / f64::from(self.size));
        (self.sum, self.n) = (0.0, 0);
        if self.means.len() >= MOST {
            let joined = self.means.chunks(2).map(|pair| pair.iter().sum::<f64>() / 2.0);
            self.means = joined.collect();
            self.size = self.size.saturating_mul(2);
        }
    }

    /// Means of the full blocks.
    pub(super) fn means(&self) -> &[f64] {
        &self.means
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_stay_bounded_and_keep_the_mean() {
        let mut blocks = Blocks::default();
        (0..100_000_u32).for_each(|n| blocks.push(f64::from(n % 10)));
        let means = blocks.means();
        assert!((MOST / 2..MOST).contains(&means.len()), "{}", means.len());
        let mean = means.iter().sum::<f64>() / f64::from(u32::try_from(means.len()).unwrap());
        assert!((mean - 4.5).abs() < 0.01, "{mean}");
    }
}
