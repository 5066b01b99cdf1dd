//! What the best possible test could find: the most powerful one at the rate of false alarms that is allowed.
//!
//! A known change `s` in Gaussian noise of known covariance `C` is found by no test of size `a` more often than by the
//! likelihood ratio's, `P(|N(d, 1)| > z)` with `d² = s' C⁻¹ s` and `z` the two-sided normal quantile of `a` (lemma of Neyman
//! and Pearson 1933; Kay, *Detection Theory*, 1998, section 4.3; two-sided, because the direction is not known).
#![expect(clippy::cast_precision_loss, reason = "simulated figures")]
#![allow(dead_code, clippy::allow_attributes, reason = "each user needs another part")]

use hb_core::watch::detect::student;

use crate::nulls::Kind;

/// False alarms allowed per series and cycle.
pub(crate) const ALLOWED: f64 = 1e-3;

/// Cycles within which a step is to be found.
pub(crate) const CYCLES: u32 = 3;

/// Size of a test that may use up what [`CYCLES`] cycles are allowed.
fn size() -> f64 {
    ALLOWED * f64::from(CYCLES)
}

/// Share of steps of `step` standard deviations that the best test finds within [`CYCLES`] cycles of `samples` readings when it
/// knows everything of the series but the step's direction: its mean, its covariance, its season and its newest reading.
pub(crate) fn known(kind: Kind, step: f64, samples: u64) -> f64 {
    let readings = samples as f64 * f64::from(CYCLES);
    let information = match kind {
        Kind::Iid | Kind::NearZero => readings,
        Kind::Ar5 => autoregressive(0.5, readings),
        Kind::Ar9 => autoregressive(0.9, readings),
        Kind::Load => autoregressive(0.999, readings),
        // Its noise has a third of the standard deviation that the step is measured in.
        Kind::Season => readings * 9.0,
        // Variance-stabilised, of five counts a reading.
        Kind::Counter => readings * (2.0 * ((5.0 + step * 5.0_f64.sqrt()).sqrt() - 5.0_f64.sqrt()) / step).powi(2),
        // No reading of a shifted lognormal lies below the shift, no shifted count is whole, no constant moves by chance.
        Kind::Lognormal | Kind::Poisson | Kind::Constant => f64::INFINITY,
    };
    let distance = step * information.sqrt();
    let z = normal_quantile(size());
    beyond(z - distance) + beyond(z + distance)
}

/// Information of `n` readings of an AR(1) process of variance one about a step of its mean, the reading before being known:
/// innovations have the variance `1 - f²`, the step shows whole in the first and as `1 - f` in each further one. For long
/// windows this is `n (1 - f) / (1 + f)`.
pub(crate) fn autoregressive(f: f64, n: f64) -> f64 {
    (1.0 + (n - 1.0) * (1.0 - f).powi(2)) / (1.0 - f * f)
}

/// The same for a test that must learn mean and scatter from the means of `windows` windows: the two-sample t test, the most
/// powerful one that does not depend on where the series lies and how wide it scatters (Lehmann, *Testing Statistical
/// Hypotheses*, section 6.4). Only of kinds whose window means are normal.
pub(crate) fn learned(kind: Kind, step: f64, samples: u64, windows: u32) -> Option<f64> {
    let f: f64 = match kind {
        Kind::Iid | Kind::NearZero => 0.0,
        Kind::Ar5 => 0.5,
        Kind::Ar9 => 0.9,
        Kind::Lognormal | Kind::Poisson | Kind::Constant | Kind::Season | Kind::Counter | Kind::Load => return None,
    };
    let (n, k, m) = (samples as f64, f64::from(windows), f64::from(CYCLES));
    // Variance of the mean of n readings of an AR(1) process.
    let variance = ((1.0 + f) / (1.0 - f) - 2.0 * f * (1.0 - f.powf(n)) / (n * (1.0 - f).powi(2))) / n;
    let distance = step / (variance * (1.0 / k + 1.0 / m)).sqrt();
    let df = k + m - 2.0;
    Some(noncentral(distance, student::critical(size(), df), df))
}

/// `P(|T| > c)` of the noncentral t distribution: the normal's, averaged over the scatter of the estimated deviation.
fn noncentral(distance: f64, c: f64, df: f64) -> f64 {
    let (mut sum, mut weights) = (0.0, 0.0);
    for step in 1..4000_u32 {
        let s = f64::from(step) / 1000.0;
        // Density of the estimated standard deviation, up to a factor.
        let weight = ((df - 1.0) * s.ln() - df * s * s / 2.0).exp();
        sum += weight * (beyond(c * s - distance) + beyond(c * s + distance));
        weights += weight;
    }
    sum / weights
}

/// Probability that a standard normal variable is larger than `x`: half of the two-sided tail of a t with very many degrees of
/// freedom.
fn beyond(x: f64) -> f64 {
    let tail = student::two_sided(x, 1e5) / 2.0;
    if x >= 0.0 { tail } else { 1.0 - tail }
}

fn normal_quantile(two_sided: f64) -> f64 {
    student::critical(two_sided, 1e5)
}
