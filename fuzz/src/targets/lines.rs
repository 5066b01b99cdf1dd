//! Lines of telemetry in every format: the laws of sources, and that it does not matter in which pieces they come.

use hb_sources::Limits;
use hb_sources::format::{Format, FormatChoice, NoTime, TimeUnit};
use hb_sources::fuzzing;

use crate::input::{Input, pieces};

const CHOICES: [FormatChoice; 6] = [
    FormatChoice::Auto,
    FormatChoice::Jsonl,
    FormatChoice::Csv,
    FormatChoice::WideCsv,
    FormatChoice::Syslog,
    FormatChoice::NasaHttp,
];
const UNITS: [TimeUnit; 4] = [TimeUnit::Seconds, TimeUnit::Millis, TimeUnit::Micros, TimeUnit::Nanos];

/// Four bytes choose how it is read, the rest is what is read.
///
/// # Panics
/// When a law of sources is broken, or pieces change what is read.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let choice = input.one_of(&CHOICES);
    let time_unit = input.one_of(&UNITS);
    let no_time = input.one_of(&[NoTime::Usual, NoTime::Fault, NoTime::Arrival]);
    let format = Format { choice, time_unit, no_time };
    let seed = input.byte();
    let rest = input.0;
    // Few names (a request has four) and short lines, so that both bounds are met.
    for limits in [Limits::default(), Limits { names_max: 4, line_bytes_max: 120, batch_samples_max: 5 }] {
        let whole = fuzzing::lines(format, limits, [rest]).expect("a law of sources is broken");
        let parts = fuzzing::lines(format, limits, pieces(rest, seed)).expect("a law of sources is broken in pieces");
        assert_eq!(whole.samples, parts.samples, "samples in pieces");
        assert_eq!(whole.faults, parts.faults, "faults in pieces");
        assert!(whole.quotes.iter().chain(&parts.quotes).all(|quote| quote.len() <= 200), "quotes are short");
        let lines = rest.iter().filter(|byte| **byte == b'\n').count() + 1;
        // A row of a wide table has a sample or a fault a cell, any other line one of them.
        assert!(whole.samples.len() + whole.faults.len() <= rest.len() + lines, "items are bounded by the input");
    }
}
