//! Recordings into which faults are put.

use hb_sources::format::{Format, FormatChoice};
use hb_sources::inject::{InjectedFault, Injection, Selection, inject};

use crate::input::Input;

/// Three bytes choose format, fault and share.
///
/// # Panics
/// When the same seed makes another recording, or lines come from nowhere.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let choice = input.one_of(&[
        FormatChoice::Auto,
        FormatChoice::Jsonl,
        FormatChoice::Csv,
        FormatChoice::WideCsv,
        FormatChoice::Syslog,
        FormatChoice::NasaHttp,
    ]);
    let fault = match input.byte() % 12 {
        0 => InjectedFault::ValueCorruption { noise_scale: 2.0, offset: -1.0 },
        1 => InjectedFault::TimeSkew { seconds: 1e9 },
        2 => InjectedFault::StuckAt { value: None },
        3 => InjectedFault::Spike { scale: 1e300, every: Some(2) },
        4 => InjectedFault::SensorDrift { per_row: 0.1 },
        5 => InjectedFault::UnitMixup { factor: 1e3 },
        6 => InjectedFault::Duplication { count: 3 },
        7 => InjectedFault::Reorder { lines: 2 },
        8 => InjectedFault::SchemaChange,
        9 => InjectedFault::Drop,
        10 => InjectedFault::Gap { rows: 2 },
        _ => InjectedFault::Nan,
    };
    let share = f64::from(input.byte()) / 255.0;
    let plan = Injection {
        fault,
        selection: Selection { share, ..Selection::default() },
        seed: 7,
        format: Format { choice, ..Format::default() },
    };
    let once = || {
        let mut out = Vec::new();
        let report = inject(input.0, &mut out, &plan).expect("memory takes everything");
        (out, report)
    };
    let (out, report) = once();
    assert_eq!(once(), (out.clone(), report.clone()), "the same seed makes the same recording");
    let lines = input.0.split_inclusive(|byte| *byte == b'\n').count();
    assert_eq!(report.lines, lines as u64, "lines read");
    assert!(
        report.changed + report.removed + report.moved <= report.lines
            && report.first.iter().all(|change| change.text.len() <= 200)
    );
    if report.changed + report.removed + report.added + report.moved == 0 {
        assert_eq!(out, input.0, "what is not changed keeps every byte");
    }
}
