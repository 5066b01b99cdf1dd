//! `hb inject`: a recording with a fault in it. The same seed makes the same faults.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use hb_sources::format::Format;
use hb_sources::inject::{InjectError, InjectReport, InjectedFault, Injection, Selection, inject};

use super::{Failure, Out};
use crate::exit::Exit;

/// `hb inject`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which fault.
    #[arg(long, value_name = "FAULT")]
    fault: Fault,
    /// The recording; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// Where the faulty one goes; `-` is standard output. An existing file is not overwritten.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Where chance begins.
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    size: Size,
    /// What was done, as one JSON object on standard error.
    #[arg(long)]
    json: bool,
}

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Fault {
    /// Noise on the value, and an offset (--noise-scale, --offset).
    ValueCorruption,
    /// The value comes under another key, or the row has one more cell.
    SchemaChange,
    /// The clock of the sensor is off (--skew-seconds).
    TimeSkew,
    /// The value does not change any more (--value).
    StuckAt,
    /// One value is too large (--scale, --repeat-spike).
    Spike,
    /// The value moves away, row by row (--drift-per-row).
    SensorDrift,
    /// A row comes several times (--count).
    Duplication,
    /// Rows are missing here and there (--share).
    Drop,
    /// Rows are missing in one piece (--count).
    Gap,
    /// The value is not a number.
    Nan,
    /// A row comes late by --count lines.
    Reorder,
    /// The value is in another unit, and nobody says so (--scale).
    UnitMixup,
}

/// Which rows.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Which rows")]
pub struct Which {
    /// Of this series only.
    #[arg(long, value_name = "NAME")]
    metric: Option<String>,
    /// Not the first N of them.
    #[arg(long, default_value_t = 0, value_name = "N")]
    skip: u64,
    /// At most N of the rest.
    #[arg(long, value_name = "N")]
    rows: Option<u64>,
    /// Each with this probability.
    #[arg(long, default_value_t = 1.0, value_name = "P")]
    share: f64,
}

/// How large.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "How large")]
pub struct Size {
    /// Standard deviation of the noise, as a share of the value.
    #[arg(long, default_value_t = 0.1, value_name = "X")]
    noise_scale: f64,
    /// What is added to every value.
    #[arg(long, default_value_t = 0.0, value_name = "X", allow_negative_numbers = true)]
    offset: f64,
    /// The value that it is stuck at; the first of each series where not given.
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    value: Option<f64>,
    /// How many times too large.
    #[arg(long, default_value_t = 2.0, value_name = "X", allow_negative_numbers = true)]
    scale: f64,
    /// Seconds by which the clock is off; negative is slow.
    #[arg(long, default_value_t = 60.0, value_name = "X", allow_negative_numbers = true)]
    skew_seconds: f64,
    /// What is added per row.
    #[arg(long, default_value_t = 0.01, value_name = "X", allow_negative_numbers = true)]
    drift_per_row: f64,
    /// How many.
    #[arg(long, default_value_t = 2, value_name = "N")]
    count: u32,
    /// A spike again after N rows.
    #[arg(long, value_name = "N")]
    repeat_spike: Option<u64>,
}

impl Args {
    fn plan(&self) -> Injection {
        let size = &self.size;
        let fault = match self.fault {
            Fault::ValueCorruption => {
                InjectedFault::ValueCorruption { noise_scale: size.noise_scale, offset: size.offset }
            }
            Fault::SchemaChange => InjectedFault::SchemaChange,
            Fault::TimeSkew => InjectedFault::TimeSkew { seconds: size.skew_seconds },
            Fault::StuckAt => InjectedFault::StuckAt { value: size.value },
            Fault::Spike => InjectedFault::Spike { scale: size.scale, every: size.repeat_spike },
            Fault::SensorDrift => InjectedFault::SensorDrift { per_row: size.drift_per_row },
            Fault::Duplication => InjectedFault::Duplication { count: size.count },
            Fault::Drop => InjectedFault::Drop,
            Fault::Gap => InjectedFault::Gap { rows: u64::from(size.count) },
            Fault::Nan => InjectedFault::Nan,
            Fault::Reorder => InjectedFault::Reorder { lines: size.count },
            Fault::UnitMixup => InjectedFault::UnitMixup { factor: size.scale },
        };
        let which = &self.which;
        let (metric, skip, rows) = (which.metric.clone(), which.skip, which.rows);
        let selection = Selection { metric, skip, rows, share: which.share };
        Injection { fault, selection, seed: self.seed, format: Format::default() }
    }
}

/// Carries it out.
///
/// # Errors
/// The plan makes no sense; a file cannot be read or written.
pub fn run(args: &Args, out: &mut Out) -> Result<Exit, Failure> {
    let stdin_stdout = Path::new("-");
    let input: Box<dyn Read> = if args.input == stdin_stdout {
        Box::new(std::io::stdin())
    } else {
        let opened = File::open(&args.input);
        Box::new(opened.map_err(|error| Failure::new(Exit::Usage, format!("{}: {error}", args.input.display())))?)
    };
    let output: Box<dyn Write> = if args.output == stdin_stdout {
        Box::new(std::io::stdout())
    } else {
        let created = File::create_new(&args.output);
        Box::new(
            created.map_err(|error| Failure::new(Exit::CannotWrite, format!("{}: {error}", args.output.display())))?,
        )
    };
    let input = BufReader::with_capacity(1 << 20, input);
    let report = inject(input, BufWriter::with_capacity(1 << 20, output), &args.plan()).map_err(failure)?;
    tell(&report, args, out)
}

fn failure(error: InjectError) -> Failure {
    match error {
        InjectError::Io { error, .. } if error.kind() == std::io::ErrorKind::BrokenPipe => Failure::new(Exit::Ok, ""),
        InjectError::Plan(what) => Failure::new(Exit::Usage, what),
        InjectError::Io { .. } => Failure::new(Exit::CannotWrite, error.to_string()),
    }
}

/// On standard error: standard output may be the recording.
fn tell(report: &InjectReport, args: &Args, out: &mut Out) -> Result<Exit, Failure> {
    out.finish()?;
    let text = if args.json {
        serde_json::to_string(report).map_err(|error| Failure::new(Exit::Error, error.to_string()))?
    } else {
        let mut text = format!(
            "{} lines read: {} changed, {} left out, {} added, {} moved, {} unreadable and left as they are",
            report.lines, report.changed, report.removed, report.added, report.moved, report.unreadable
        );
        for change in report.first.iter().take(3) {
            text.push_str(&format!("\n  line {} {}: {}", change.line, change.what, change.text));
        }
        text
    };
    // Where standard error is closed, the recording is all that was asked for.
    drop(std::io::stderr().lock().write_all(format!("{text}\n").as_bytes()));
    Ok(Exit::Ok)
}
