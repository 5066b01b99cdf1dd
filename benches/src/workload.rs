//! Telemetry to measure with: made, not recorded, and the same every time.
//!
//! A thousand series of a plant at 10 Hz each: mean, slow sine of one standard deviation over a minute, Gaussian noise; one series in a
//! hundred steps up by five standard deviations half-way.

use std::f64::consts::TAU;
use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

/// Readings a second of event time, over all series.
const RATE: f64 = 10_000.0;
/// Event time of the first one.
const BEGIN: f64 = 1_700_000_000.0;

/// Splitmix64: small, and the same everywhere.
#[derive(Debug)]
struct Random(u64);

impl Random {
    /// From 0 up to 1.
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let top = u32::try_from((z ^ (z >> 31)) >> 32).unwrap_or(0);
        f64::from(top) / 4_294_967_296.0
    }

    /// Mean 0, standard deviation 1 (Box and Muller).
    fn gauss(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (TAU * self.uniform()).cos()
    }
}

#[derive(Debug)]
struct Series {
    name: String,
    mean: f64,
    sd: f64,
    phase: f64,
    drifts: bool,
}

fn series(count: usize) -> Vec<Series> {
    let mut random = Random(1);
    let one = |index: usize| {
        let mean = 1.0 + 499.0 * random.uniform();
        Series {
            name: format!("plant{:02}.line{}.sensor_{index:04}", index / 50, index / 10 % 5),
            mean,
            sd: mean * (0.01 + 0.04 * random.uniform()),
            phase: TAU * random.uniform(),
            drifts: index % 100 == 37,
        }
    };
    (0..count).map(one).collect()
}

/// Makes a file of JSON lines, unless it is there.
///
/// # Errors
/// It cannot be written.
pub(crate) fn json_lines(folder: &Path, lines: u64, count: usize) -> Result<PathBuf, String> {
    let path = folder.join(format!("{lines}-lines-{count}-series.jsonl"));
    if path.is_file() {
        return Ok(path);
    }
    let written = write_json_lines(&path, lines, count);
    written.map(|()| path.clone()).map_err(|error| format!("{}: {error}", path.display()))
}

fn write_json_lines(path: &Path, lines: u64, count: usize) -> std::io::Result<()> {
    let series = series(count);
    let noise: Vec<f64> = noise();
    let beside = path.with_extension("part");
    let mut out = BufWriter::with_capacity(1 << 20, File::create(&beside)?);
    let mut at = (0u64..lines).zip(series.iter().enumerate().cycle());
    let draws = noise.iter().cycle();
    for (((k, (index, one)), draw), seconds) in at.by_ref().zip(draws).zip(times(count)) {
        let wave = (one.phase + TAU * seconds / 60.0).sin();
        let step = if one.drifts && k >= lines / 2 { 5.0 } else { 0.0 };
        // A prime length of the noise table and the index keep series apart.
        let sign = if index % 2 == 0 { 1.0 } else { -1.0 };
        let value = one.mean + one.sd * (wave + sign * draw + step);
        let at = BEGIN + seconds;
        writeln!(out, "{{\"ts\":{at:.3},\"metric\":\"{}\",\"value\":{value:.4}}}", one.name)?;
    }
    out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
    std::fs::rename(beside, path)
}

/// What of a file has not been copied yet.
#[derive(Debug)]
pub(crate) struct Rest(BufReader<File>);

/// Copies the first lines of a file: a source that is still being written.
///
/// # Errors
/// It cannot be read or written.
pub(crate) fn begin_with(whole: &Path, begun: &Path, lines: u64) -> Result<Rest, String> {
    let copied = || {
        let mut from = BufReader::with_capacity(1 << 20, File::open(whole)?);
        let mut to = BufWriter::with_capacity(1 << 20, File::create(begun)?);
        let mut line = Vec::new();
        for _ in 0..lines {
            line.clear();
            from.read_until(b'\n', &mut line)?;
            to.write_all(&line)?;
        }
        to.flush().map(|()| Rest(from))
    };
    copied().map_err(|error: std::io::Error| format!("{} from {}: {error}", begun.display(), whole.display()))
}

impl Rest {
    /// Writes it behind the lines that are there.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub(crate) fn append_to(&mut self, begun: &Path) -> Result<(), String> {
        let appended = File::options().append(true).open(begun).and_then(|mut to| std::io::copy(&mut self.0, &mut to));
        appended.map(drop).map_err(|error| format!("{}: {error}", begun.display()))
    }
}

/// Event times from 0 on: all series ten times a second, whatever their number.
fn times(count: usize) -> impl Iterator<Item = f64> {
    let rate = if count > 1_000 { as_f64(count) / 10.0 } else { RATE };
    (0u32..).map(move |k| f64::from(k) / rate)
}

fn as_f64(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

fn noise() -> Vec<f64> {
    let mut random = Random(2);
    (0..65_537).map(|_| random.gauss()).collect()
}

/// Makes a wide table: a time and six series, ten rows a second.
///
/// # Errors
/// It cannot be written.
pub(crate) fn wide_table(folder: &Path, rows: u64, seed: u64) -> Result<PathBuf, String> {
    let path = folder.join(format!("{rows}-rows-{seed}.csv"));
    if path.is_file() {
        return Ok(path);
    }
    write_wide_table(&path, rows, seed).map(|()| path.clone()).map_err(|error| format!("{}: {error}", path.display()))
}

fn write_wide_table(path: &Path, rows: u64, seed: u64) -> std::io::Result<()> {
    let series = series(6);
    let mut random = Random(seed);
    let beside = path.with_extension("part");
    let mut out = BufWriter::with_capacity(1 << 20, File::create(&beside)?);
    write!(out, "ts")?;
    for one in &series {
        write!(out, ",{}", one.name)?;
    }
    writeln!(out)?;
    for (_, tenths) in (0..rows).zip(0u32..) {
        write!(out, "{:.1}", BEGIN + f64::from(tenths) / 10.0)?;
        for one in &series {
            write!(out, ",{:.4}", one.mean + one.sd * random.gauss())?;
        }
        writeln!(out)?;
    }
    out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
    std::fs::rename(beside, path)
}
