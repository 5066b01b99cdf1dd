//! Reads sources to their ends and keeps what they gave, by name and absolute position.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use std::fmt::Write as _;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hb_core::watch::sample::{Batch, FaultCause, NewName};
use hb_sources::file::{Begin, FileSource, FileSpec, Follow};
use hb_sources::format::Format;
use hb_sources::{Limits, Polled, Source};

/// All that a source gave.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Got {
    names: Vec<NewName>,
    /// Position, name, time, value.
    pub samples: Vec<(u64, String, i64, f64)>,
    /// Position, cause.
    pub faults: Vec<(u64, FaultCause)>,
    pub quotes: Vec<Arc<str>>,
}

impl Got {
    pub fn values(&self) -> Vec<f64> {
        self.samples.iter().map(|sample| sample.3).collect()
    }

    pub fn take(&mut self, batch: Batch) {
        if batch.reset {
            self.names.clear();
        }
        self.names.extend(batch.names);
        for sample in batch.samples {
            let name = &self.names[sample.slot as usize];
            let name = name.unit.as_ref().map_or_else(|| name.name.to_string(), |unit| format!("{} {unit}", name.name));
            self.samples.push((batch.start.position + u64::from(sample.offset), name, sample.at.0, sample.value));
        }
        for fault in batch.faults {
            self.faults.push((batch.start.position + u64::from(fault.offset), fault.cause));
            self.quotes.extend(fault.quote);
        }
    }
}

pub fn file(path: &Path, follow: Follow) -> Box<dyn Source> {
    file_as(path, follow, Format::default())
}

pub fn file_as(path: &Path, follow: Follow, format: Format) -> Box<dyn Source> {
    let spec = FileSpec { path: path.to_owned(), format, follow, begin: Begin::Start };
    Box::new(FileSource::new(spec, Limits::default()))
}

/// Reads to the end of a complete source.
pub fn read_all(source: &mut dyn Source) -> Got {
    let mut got = Got::default();
    loop {
        match source.next(Duration::ZERO).unwrap() {
            Polled::Batch(batch) => got.take(batch),
            Polled::Idle { .. } => panic!("a complete source is never idle"),
            Polled::End { .. } => return got,
        }
    }
}

/// Reads until there is nothing more at the moment.
pub fn read_idle(source: &mut dyn Source, got: &mut Got) {
    while let Polled::Batch(batch) = source.next(Duration::ZERO).unwrap() {
        got.take(batch);
    }
}

/// Events of one series; value and time are the number.
pub fn jsonl(numbers: Range<u32>) -> String {
    numbers.fold(String::new(), |mut text, n| {
        writeln!(text, r#"{{"ts":{n},"metric":"a","value":{n}}}"#).unwrap();
        text
    })
}
