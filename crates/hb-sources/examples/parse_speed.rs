//! Lines a second that the file source reads: `parse_speed FILE [REPETITIONS]`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it prints its measurement")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use hb_sources::file::{Begin, FileSource, FileSpec, Follow};
use hb_sources::format::Format;
use hb_sources::{Limits, Polled, Source as _};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(path) = arguments.next() else {
        eprintln!("usage: parse_speed FILE [REPETITIONS]");
        return ExitCode::from(2);
    };
    let repetitions: u32 = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(3);
    for _ in 0..repetitions {
        let spec = FileSpec {
            path: path.clone().into(),
            format: Format::default(),
            follow: Follow::Complete,
            begin: Begin::Start,
        };
        let mut source = FileSource::new(spec, Limits::default());
        let started = Instant::now();
        let (mut samples, mut faults, mut sum) = (0_usize, 0_usize, 0.0);
        let bytes = loop {
            match source.next(Duration::ZERO) {
                Ok(Polled::Batch(batch)) => {
                    samples += batch.samples.len();
                    faults += batch.faults.len();
                    sum += batch.samples.iter().map(|sample| sample.value).sum::<f64>();
                }
                Ok(Polled::Idle { .. }) => {}
                Ok(Polled::End { mark }) => break mark.position,
                Err(error) => {
                    eprintln!("{error}");
                    return ExitCode::FAILURE;
                }
            }
        };
        let seconds = started.elapsed().as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let (rate, volume) = (samples as f64 / seconds / 1e6, bytes as f64 / seconds / 1e6);
        println!("{samples} samples, {faults} faults, {rate:.2} M samples/s, {volume:.0} MB/s, sum {sum:.3}");
    }
    ExitCode::SUCCESS
}
