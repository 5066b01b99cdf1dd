//! The level of the newest cycles taken together: a step too small for any one cycle shows in their sum.
//!
//! The mean of `w` cycles scatters `sqrt(w)` times less than one of them does, so a step that lasts is found by the sum
//! where votes of single cycles would need it almost twice as large. No cycle adds more than [`CLIP`], and as many cycles
//! as would have to vote must lie on that side: one outlier, however far, proves nothing.
//!
//! Of each series only the distances of the `w - 1` cycles before are carried, in eighths of a standard deviation, one
//! printable character each, in the order of the baseline's series: two bytes of a record for each series, read back
//! exactly. **Invariant.** What is not carried (a series that was silent, a watch that begins) counts as no distance.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Most cycles taken together; a watch with more patience than that is judged by its votes alone.
pub const TOGETHER_MAX: u32 = 8;

/// With fewer series than this the share of false discoveries is kept as if there were so many, so that the rate of false
/// alarms has a bound, too: at most `fdr_q / TESTS_MIN` of the healthy series are raised by this test in a cycle.
pub const TESTS_MIN: usize = 200;

/// Distance in standard deviations beyond which a cycle adds nothing.
pub const CLIP: f64 = 3.5;

/// Distance from which on a cycle counts as lying on a side.
const SIDE: f64 = 1.0;

/// Steps in one standard deviation.
const STEPS: f64 = 8.0;

/// The character for no distance; 28 more on either side of it need no escape in JSON.
const NONE: u8 = b'?';

/// Distances of the cycles before, of all series of a baseline.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recent(Vec<i8>);

/// Cycles taken together, given the patience of a watch: as many as have a vote, if there is more than one.
#[must_use]
pub fn width(raise_of: u32) -> usize {
    if (2..=TOGETHER_MAX).contains(&raise_of) { usize::try_from(raise_of).unwrap_or(0) } else { 0 }
}

impl Recent {
    /// Those carried where they are of so many series and cycles before, else none yet.
    #[must_use]
    pub fn of(carried: &Self, series: usize, before: usize) -> Self {
        let all = series.saturating_mul(before);
        if carried.0.len() == all { carried.clone() } else { Self(vec![0; all]) }
    }

    /// Whether nothing is carried.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Distances of a series, by its place in the baseline, oldest first.
    #[must_use]
    pub fn get(&self, place: usize, before: usize) -> &[i8] {
        let start = place.saturating_mul(before);
        self.0.get(start..start.saturating_add(before)).unwrap_or_default()
    }

    /// Takes the newest cycle's distance of a series in, and lets go of its oldest.
    pub fn push(&mut self, place: usize, before: usize, distance: Option<f64>) {
        let start = place.saturating_mul(before);
        let Some(own) = self.0.get_mut(start..start.saturating_add(before)) else { return };
        own.rotate_left(usize::from(!own.is_empty()));
        if let Some(newest) = own.last_mut() {
            *newest = stored(distance.unwrap_or(0.0));
        }
    }
}

/// The mean distance of the cycles before and of the newest one, if enough of them, the newest among them, lie on its side.
#[must_use]
pub fn mean(before: &[i8], newest: f64, votes: u32) -> Option<f64> {
    let newest = newest.clamp(-CLIP, CLIP);
    let all = || before.iter().map(|stored| f64::from(*stored) / STEPS).chain([newest]);
    let cycles = u32::try_from(before.len()).unwrap_or(u32::MAX).saturating_add(1);
    let mean = all().sum::<f64>() / f64::from(cycles);
    let aside = |distance: &f64| distance * mean.signum() >= SIDE;
    let agreeing = all().filter(aside).count();
    (aside(&newest) && agreeing >= usize::try_from(votes).unwrap_or(usize::MAX)).then_some(mean)
}

#[expect(clippy::cast_possible_truncation, reason = "clamped to 28 steps on either side")]
fn stored(distance: f64) -> i8 {
    if distance.is_nan() { 0 } else { (distance.clamp(-CLIP, CLIP) * STEPS).round() as i8 }
}

impl Serialize for Recent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text: String = self.0.iter().map(|stored| char::from(NONE.saturating_add_signed(*stored))).collect();
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Recent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let most = stored(CLIP);
        let read = |byte: u8| {
            let steps = i8::try_from(i16::from(byte) - i16::from(NONE)).unwrap_or(i8::MAX);
            let known = (-most..=most).contains(&steps).then_some(steps);
            known.ok_or_else(|| D::Error::custom("`recent` has a character that is no distance"))
        };
        text.bytes().map(read).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_carried_in_order_and_read_back_exactly() {
        let mut recent = Recent::of(&Recent::default(), 3, 2);
        for distance in [1.0, -2.0, 99.0] {
            recent.push(1, 2, Some(distance));
        }
        recent.push(2, 2, Some(f64::NAN));
        recent.push(2, 2, None);
        recent.push(7, 2, Some(1.0));
        assert_eq!((recent.get(0, 2), recent.get(1, 2), recent.get(2, 2)), (&[0, 0][..], &[-16, 28][..], &[0, 0][..]));
        let text = serde_json::to_string(&recent).unwrap();
        assert_eq!(text, r#""??/[??""#);
        assert_eq!(serde_json::from_str::<Recent>(&text).unwrap(), recent);
        for bad in [r#""?\"""#, r#""\\""#, r#""é""#, r#"[1]"#] {
            assert!(serde_json::from_str::<Recent>(bad).is_err(), "{bad}");
        }
        // Another baseline or another patience: it begins again.
        assert_eq!(Recent::of(&recent, 3, 2), recent);
        assert_eq!(Recent::of(&recent, 3, 1), Recent(vec![0; 3]));
    }

    #[test]
    fn one_outlier_proves_nothing_and_two_that_disagree_neither() {
        assert_eq!(mean(&[0, 0], 1e9, 2), None);
        assert_eq!(mean(&[28, 0], 0.5, 2), None);
        assert_eq!(mean(&[28, -28], 1.5, 3), None);
        assert_eq!(mean(&[0, 14], 4.0, 2), Some(1.75));
        assert_eq!(mean(&[0, -14], f64::NEG_INFINITY, 2), Some(-1.75));
        assert_eq!(mean(&[14, 14], f64::NAN, 2), None);
    }

    #[test]
    fn only_watches_with_some_patience_take_cycles_together() {
        assert_eq!([0, 1, 2, 3, 8, 9, 32].map(width), [0, 0, 2, 3, 8, 0, 0]);
    }
}
