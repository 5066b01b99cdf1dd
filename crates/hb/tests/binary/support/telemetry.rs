//! Recordings with everything in them that telemetry does to people: disorder, repetition, lateness, NaN, wrong units, rubbish.

use super::random::Random;

/// When recordings begin: 2023-11-14T22:13:20Z, in seconds.
pub(crate) const START: u64 = 1_700_000_000;
/// Length of a cycle in the settings below, in seconds.
pub(crate) const INTERVAL: u64 = 10;

/// Settings that go with [`recording`]. No cycle is ever closed for silence within a test, so that an undisturbed run
/// decides the same; every cycle that does not pass makes an alert.
pub(crate) const SETTINGS: &str = "\
interval_sec: 10
lateness_sec: 2
silence_grace_sec: 7200
learn: {cycles: 8}
alert_on: not_pass
reports: changes
metrics:
  temperature.0: {unit: C, fail_threshold: 30}
  pressure: {unit: bar, invariant_min: 0.5}
";

/// A recording of `cycles` cycles with about `per_cycle` lines each. Every line is one item, each ends with a newline.
pub(crate) fn recording(cycles: u64, per_cycle: u64, seed: u64) -> Vec<Vec<u8>> {
    let mut random = Random::seeded(seed);
    let mut lines = Vec::new();
    for cycle in 0..cycles {
        // Cycles 12 to 14, 30 to 32 and so on are bad ones.
        let health = if cycle >= 12 && (12..15).contains(&(cycle % 18)) { Health::Ill } else { Health::Well };
        for step in 0..per_cycle {
            let at = (START + cycle * INTERVAL) as f64 + step as f64 * INTERVAL as f64 / per_cycle as f64;
            one(&mut lines, &mut random, at, health);
        }
    }
    lines
}

#[derive(Clone, Copy, PartialEq)]
enum Health {
    Well,
    Ill,
}

fn one(lines: &mut Vec<Vec<u8>>, random: &mut Random, at: f64, health: Health) {
    let series = random.between(0, 12);
    let noise = random.noise();
    let (name, unit, value) = match series {
        0 if health == Health::Ill => ("temperature.0".to_owned(), "C", 95.0 + noise),
        0..=7 => (format!("temperature.{series}"), "C", 20.0 + noise),
        8..=10 => (format!("load.{series}"), "W", 500.0 + 10.0 * noise),
        _ => ("pressure".to_owned(), "bar", 1.0 + 0.1 * noise),
    };
    let at = match random.between(0, 1_000) {
        // Out of order, within what is allowed.
        0..50 => at - 1.5,
        // Late by far.
        50..55 => at - 35.0,
        // A century ahead.
        55..57 => at + 3.2e9,
        _ => at,
    };
    let line = match random.between(0, 1_000) {
        0..4 => format!("{{\"ts\":{at:.3},\"metric\":\"{name}\",\"value\":NaN}}"),
        4..6 => format!("{{\"ts\":{at:.3},\"metric\":\"{name}\",\"value\":\"Infinity\",\"unit\":\"{unit}\"}}"),
        6..9 => format!("{{\"ts\":{at:.3},\"metric\":\"{name}\",\"value\":{value:.4},\"unit\":\"furlong\"}}"),
        9..12 => format!("{{\"ts\":{at:.3},\"metric\":\"{name}\",\"val"),
        12..14 => format!("{{\"ts\":{at:.3},\"value\":{value:.4}}}"),
        14..16 => format!("{{\"metric\":\"{name}\",\"value\":{value:.4},\"ts\":\"yesterday\"}}"),
        16..18 => "what is this?".to_owned(),
        18..20 => "caf\u{e9} {\"ts\":1}".to_owned(),
        _ => format!("{{\"ts\":{at:.3},\"metric\":\"{name}\",\"value\":{value:.4},\"unit\":\"{unit}\"}}"),
    };
    let mut bytes = line.into_bytes();
    if random.one_in(700) {
        let place = random.between(0, bytes.len() as u64) as usize;
        bytes[place] = if random.one_in(2) { 0xff } else { 0 };
    }
    bytes.push(b'\n');
    // Repeated, at once or not.
    if random.one_in(60) {
        lines.push(bytes.clone());
    }
    lines.push(bytes);
}
