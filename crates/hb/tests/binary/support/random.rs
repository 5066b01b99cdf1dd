//! Numbers that look random and can be had again: the seed is printed by whoever draws from it.

/// SplitMix64.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// The seed of `HB_TEST_SEED`, else the clock's; told, so that a failure can be repeated.
    pub(crate) fn told(test: &str) -> Self {
        let seed = match std::env::var("HB_TEST_SEED") {
            Ok(text) => text.parse().expect("HB_TEST_SEED is a whole number"),
            Err(_) => std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64,
        };
        println!("{test}: HB_TEST_SEED={seed}");
        Self(seed)
    }

    /// Always the same.
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From `low` up to but not including `high`.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low)
    }

    /// True once in `n` times.
    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.next().is_multiple_of(n)
    }

    /// From -1 to 1, with a hump in the middle.
    pub(crate) fn noise(&mut self) -> f64 {
        let mut draw = || f64::from((self.next() >> 40) as u32) / f64::from(1_u32 << 24);
        draw() + draw() - 1.0
    }
}
