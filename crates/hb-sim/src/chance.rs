//! Where all chance of a simulated world comes from: one seed.
//!
//! xoshiro256** (Blackman, Vigna 2018), seeded by splitmix64 (Steele, Lea, Flood 2014).

/// A stream of numbers that a seed decides.
#[derive(Debug, Clone)]
pub struct Chance([u64; 4]);

/// One step of splitmix64: a good mixture of a number.
#[must_use]
pub fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

impl Chance {
    /// The stream of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let word = |place: u64| mixed(seed.wrapping_add(place.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        Self([word(0), word(1), word(2), word(3)])
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.0;
        let given = b.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        given
    }

    /// One below `bound`; zero where that is zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.number()).wrapping_mul(u128::from(bound));
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// One of `least..=most`.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least.saturating_add(self.below(most.saturating_sub(least).saturating_add(1)))
    }

    /// Whether something happens that happens `ppm` times in a million.
    pub fn hits(&mut self, ppm: u32) -> bool {
        ppm > 0 && self.below(1_000_000) < u64::from(ppm)
    }

    /// A wait for something that happens every `mean` on average, and whenever it likes: from a 64th of that to four times.
    pub fn wait(&mut self, mean: u64) -> u64 {
        // The product of two even distributions has a long tail, as waits have, and a bound.
        let (a, b) = (self.between(128, 2_048), self.between(128, 2_048));
        (mean / 1_024).saturating_mul(a).saturating_mul(b) / 1_024
    }

    /// One of these.
    pub fn one_of<T: Copy, const N: usize>(&mut self, all: [T; N]) -> T {
        const { assert!(N > 0, "one of nothing is nothing") };
        let place = self.index(N);
        *all.get(place).or(all.first()).expect("there is at least one")
    }

    /// Which of so many, by `below`, as an index.
    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_and_another_one_others() {
        let numbers = |seed| {
            let mut chance = Chance::new(seed);
            (0..100).map(|_| chance.number()).collect::<Vec<_>>()
        };
        assert_eq!(numbers(7), numbers(7));
        assert_ne!(numbers(7), numbers(8));
    }

    #[test]
    fn numbers_stay_within_their_bounds_and_reach_them() {
        let mut chance = Chance::new(1);
        let given: std::collections::BTreeSet<u64> = (0..1_000).map(|_| chance.between(3, 7)).collect();
        assert_eq!(given.into_iter().collect::<Vec<_>>(), [3, 4, 5, 6, 7]);
        assert!(!chance.hits(0) && chance.hits(1_000_000) && chance.below(0) == 0);
        assert!((0..1_000).all(|_| (16_000..=4_096_000).contains(&chance.wait(1_024_000))));
    }
}
