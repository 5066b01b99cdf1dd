//! Telemetry whose event time runs faster than the clock: a plant with a day of its own, noise, and a fault now and then. The file is rotated.
//!
//! It says when each cycle could first be closed: when the first reading behind its end was written.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Length of a cycle in event time, in seconds.
pub(crate) const INTERVAL: u64 = 60;
/// Series of the plant.
const SERIES: u32 = 50;
/// Event time between two readings of a series, in seconds.
const STEP: u64 = 10;
/// Of so many cycles in a row the first three are bad ones.
const ILL_EVERY: u64 = 120;
/// Cycles before the first bad one.
const WELL_FIRST: u64 = 60;
const DAY: u64 = 86_400;

/// When the first reading behind the end of each span was written; the end as records say it.
pub(crate) type Ends = Arc<Mutex<BTreeMap<String, Instant>>>;

/// Somebody who writes it.
pub(crate) struct Tape {
    pub(crate) ends: Ends,
    stop: Arc<AtomicBool>,
    rotate: Arc<AtomicBool>,
    faults: Arc<AtomicU32>,
    thread: Option<JoinHandle<()>>,
}

impl Tape {
    /// Begins to write; what is dated last in `length` seconds of the clock is dated about now.
    ///
    /// # Errors
    /// The file cannot be made.
    pub(crate) fn start(folder: &Path, speed: u32, length: Duration) -> Result<Self, String> {
        let path = folder.join("telemetry.jsonl");
        File::create(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        let begin = now.saturating_sub(length.as_secs() * u64::from(speed) + DAY / 24) / INTERVAL * INTERVAL;
        let ends = Ends::default();
        let (stop, rotate, faults) = (Arc::default(), Arc::default(), Arc::default());
        let mut writer = Writer {
            path,
            begin,
            speed,
            ends: Arc::clone(&ends),
            stop: Arc::clone(&stop),
            rotate: Arc::clone(&rotate),
            faults: Arc::clone(&faults),
        };
        let thread = Some(std::thread::spawn(move || writer.run()));
        Ok(Self { ends, stop, rotate, faults, thread })
    }

    /// Has the file rotated before the next reading.
    pub(crate) fn rotate(&self) {
        self.rotate.store(true, Ordering::Release);
    }

    /// Times that it could not be written: none, or the run means nothing.
    pub(crate) fn faults(&self) -> u32 {
        self.faults.load(Ordering::Acquire)
    }
}

impl Drop for Tape {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // A panic of it was told when it happened.
            drop(thread.join());
        }
    }
}

struct Writer {
    path: PathBuf,
    /// Event time of the first reading, in seconds since 1970.
    begin: u64,
    speed: u32,
    ends: Ends,
    stop: Arc<AtomicBool>,
    rotate: Arc<AtomicBool>,
    faults: Arc<AtomicU32>,
}

impl Writer {
    fn run(&mut self) {
        let (began, mut number) = (Instant::now(), 0_u64);
        let mut random = Random(7);
        while !self.stop.load(Ordering::Acquire) {
            let event = Duration::from_secs(number * STEP);
            let due = began + event / self.speed;
            let Some(early) = due.checked_duration_since(Instant::now()).filter(|early| !early.is_zero()) else {
                let at = self.begin + number * STEP;
                let text = readings(number, at, &mut random);
                if self.put(at, &text).is_err() {
                    self.faults.fetch_add(1, Ordering::AcqRel);
                }
                number += 1;
                continue;
            };
            std::thread::sleep(early.min(Duration::from_millis(50)));
        }
    }

    fn put(&self, at: u64, text: &str) -> io::Result<()> {
        if self.rotate.swap(false, Ordering::AcqRel) {
            std::fs::rename(&self.path, self.path.with_extension("jsonl.1"))?;
        }
        let mut file = OpenOptions::new().append(true).create(true).open(&self.path)?;
        if at.is_multiple_of(INTERVAL) {
            let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
            ends.insert(utc(at), Instant::now());
        }
        file.write_all(text.as_bytes())
    }
}

/// One reading of every series.
fn readings(number: u64, at: u64, random: &mut Random) -> String {
    let cycle = number * STEP / INTERVAL;
    let ill = cycle >= WELL_FIRST && cycle % ILL_EVERY < 3;
    let hour = f64::from(u32::try_from(at % DAY).unwrap_or(0)) / 3_600.0;
    let season = (hour / 24.0 * std::f64::consts::TAU).sin();
    let mut text = String::new();
    for series in 0..SERIES {
        let fault = if ill && series == 0 { 60.0 } else { 0.0 };
        let value = 20.0 + f64::from(series) + 0.2 * season + random.noise() + fault;
        text.push_str(&format!(
            "{{\"ts\":{at},\"metric\":\"plant.sensor_{series:02}\",\"value\":{value:.3},\"unit\":\"C\"}}\n"
        ));
    }
    text
}

/// A time as records say it: whole seconds, in UTC.
fn utc(seconds: u64) -> String {
    // Days to a date by eras of 400 years (Hinnant, chrono-compatible low-level date algorithms).
    let days = seconds / DAY + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (seconds % DAY / 3_600, seconds % 3_600 / 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// SplitMix64.
struct Random(u64);

impl Random {
    /// About normal, with a standard deviation of 1.
    fn noise(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }

    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        f64::from(u32::try_from((z ^ (z >> 31)) >> 32).unwrap_or(0)) / 4_294_967_296.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_as_records_tell_them() {
        assert_eq!(utc(0), "1970-01-01T00:00:00Z");
        assert_eq!(utc(1_700_000_000), "2023-11-14T22:13:20Z");
        assert_eq!(utc(1_709_164_799), "2024-02-28T23:59:59Z");
        assert_eq!(utc(1_709_164_800), "2024-02-29T00:00:00Z");
        assert_eq!(utc(1_735_689_600), "2025-01-01T00:00:00Z");
    }

    #[test]
    fn a_reading_of_each_series_is_a_line_and_some_cycles_are_bad() {
        let text = readings(0, 1_700_000_040, &mut Random(1));
        assert_eq!(text.lines().count(), 50);
        assert!(text.starts_with(r#"{"ts":1700000040,"metric":"plant.sensor_00","value":"#), "{text}");
        let first = |number| {
            let text = readings(number, 1_700_000_040, &mut Random(1));
            text.split_once("value\":").and_then(|(_, rest)| rest.split(',').next()?.parse::<f64>().ok()).unwrap()
        };
        assert!(first(0) < 40.0 && first(120 * 6) > 60.0);
    }

    #[test]
    fn the_writer_keeps_pace_and_rotates() {
        let folder = std::env::temp_dir().join(format!("hb-soak-tape-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let tape = Tape::start(&folder, 1_000, Duration::from_secs(10)).unwrap();
        let file = folder.join("telemetry.jsonl");
        let lines = |path: &Path| std::fs::read_to_string(path).map_or(0, |text| text.lines().count());
        let patience = Instant::now() + Duration::from_secs(60);
        while lines(&file) < 500 && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(10));
        }
        tape.rotate();
        let old = folder.join("telemetry.jsonl.1");
        while (lines(&old) == 0 || lines(&file) == 0) && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(lines(&old) >= 500 && lines(&file) > 0);
        assert!(tape.ends.lock().unwrap().len() > 1 && tape.faults() == 0);
        drop(tape);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
