//! One recording, read to its end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hb_core::time::{Span, Stamp};
use hb_core::watch::registry::Names;
use hb_core::watch::sample::{Batch, FaultCause, Sample};
use hb_core::watch::summary::SeriesSummary;
use hb_core::watch::units::Conversion;
use hb_core::watch::window::{Admission, Keep, Window};
use hb_sources::file::{Begin, FileSpec, Follow};
use hb_sources::format::Format;
use hb_sources::spec::{SourceSpec, open};
use hb_sources::{Limits, Polled, Source, SourceError};

use super::blocks::Blocks;
use super::{Figures, Recording};
use crate::cli::Failure;
use crate::exit::Exit;

/// Most series of one recording (B1); samples of further ones are counted.
const SERIES_MAX: usize = 200_000;
/// Most quotes of faults.
const QUOTES_MAX: usize = 10;

/// What was read.
#[derive(Debug)]
pub struct Side {
    /// Series by name.
    pub(super) series: BTreeMap<Arc<str>, Read>,
    /// What it comes to.
    pub recording: Recording,
}

/// One series.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) summary: SeriesSummary,
    pub(super) blocks: Blocks,
}

impl Read {
    pub(super) fn figures(&self) -> Figures {
        let SeriesSummary { n, mean, sd, min, max, .. } = self.summary;
        Figures { n, mean, sd, min, max }
    }
}

/// Reads a recording in any form, or a folder that has one (`metrics.csv`, `metrics_normalized.csv`).
///
/// # Errors
/// It cannot be read.
pub fn read(path: &Path, format: Format, names: &Names) -> Result<Side, Failure> {
    let file = file_of(path)?;
    let spec = SourceSpec::File(FileSpec { path: file.clone(), format, follow: Follow::Complete, begin: Begin::Start });
    let unreadable = |error: SourceError| Failure::new(Exit::Usage, error.to_string());
    let mut source = open(&spec, Limits::default()).map_err(unreadable)?;
    let mut reader = Reader::new(names);
    while let Some(batch) = next(source.as_mut()).map_err(unreadable)? {
        reader.batch(&batch);
    }
    Ok(reader.finish(&file))
}

fn next(source: &mut dyn Source) -> Result<Option<Batch>, SourceError> {
    loop {
        match source.next(Duration::from_secs(1))? {
            Polled::Batch(batch) => return Ok(Some(batch)),
            Polled::Idle { .. } => {}
            Polled::End { .. } => return Ok(None),
        }
    }
}

fn file_of(path: &Path) -> Result<PathBuf, Failure> {
    let told = |what: String| Failure::new(Exit::Usage, format!("{}: {what}", path.display()));
    let meta = std::fs::metadata(path).map_err(|error| told(error.to_string()))?;
    if !meta.is_dir() {
        return Ok(path.to_owned());
    }
    let inside = ["metrics.csv", "metrics_normalized.csv"].map(|name| path.join(name));
    inside.into_iter().find(|file| file.is_file()).ok_or_else(|| told("the folder has no metrics.csv".into()))
}

/// Where the samples of one name go.
#[derive(Debug, Clone, Copy)]
struct Slot {
    index: usize,
    /// None where the unit cannot be converted.
    conversion: Option<Conversion>,
}

struct Reader<'a> {
    names: &'a Names,
    slots: Vec<Slot>,
    index: BTreeMap<Arc<str>, usize>,
    units: Vec<Arc<str>>,
    window: Window,
    blocks: Vec<Blocks>,
    faults: BTreeMap<FaultCause, u64>,
    quotes: Vec<String>,
    span: Option<Span>,
}

impl<'a> Reader<'a> {
    fn new(names: &'a Names) -> Self {
        Self {
            names,
            slots: Vec::new(),
            index: BTreeMap::new(),
            units: Vec::new(),
            window: Window::default(),
            blocks: Vec::new(),
            faults: BTreeMap::new(),
            quotes: Vec::new(),
            span: None,
        }
    }

    fn batch(&mut self, batch: &Batch) {
        if batch.reset {
            self.slots.clear();
        }
        for name in &batch.names {
            let slot = self.slot(&name.name, name.unit.as_deref());
            self.slots.push(slot);
        }
        for sample in &batch.samples {
            self.sample(*sample);
        }
        for fault in &batch.faults {
            let count = self.faults.entry(fault.cause).or_default();
            *count = count.saturating_add(1);
            if let (1, Some(quote)) = (*count, &fault.quote)
                && self.quotes.len() < QUOTES_MAX
            {
                self.quotes.push(format!("{} ({})", quote, fault.cause.as_str()));
            }
        }
    }

    fn slot(&mut self, name: &str, unit: Option<&str>) -> Slot {
        let resolved = self.names.resolve(name, unit);
        let fresh = self.index.len();
        let index = *self.index.entry(resolved.name).or_insert(fresh);
        if index == fresh {
            self.units.push(resolved.unit.clone().unwrap_or_default());
            self.blocks.push(Blocks::default());
        }
        if let Err(fault) = &resolved.conversion
            && self.quotes.len() < QUOTES_MAX
        {
            self.quotes.push(format!("readings of `{name}` dropped: {fault}"));
        }
        Slot { index, conversion: resolved.conversion.ok() }
    }

    #[inline]
    fn sample(&mut self, sample: Sample) {
        const RULE: Admission = Admission { series_max: SERIES_MAX, keep: Keep::Samples };
        let slot = usize::try_from(sample.slot).ok().and_then(|slot| self.slots.get(slot));
        let Some(slot) = slot.copied() else { return };
        let Some(conversion) = slot.conversion else {
            self.window.push_unit_fault(slot.index, RULE);
            return;
        };
        let value = conversion.apply(sample.value);
        self.window.push(slot.index, sample.at, value, RULE);
        if value.is_finite() {
            if let Some(blocks) = self.blocks.get_mut(slot.index) {
                blocks.push(value);
            }
            let span = self.span.get_or_insert(Span { start: sample.at, end: sample.at });
            (span.start, span.end) = (span.start.min(sample.at), span.end.max(sample.at));
        }
    }

    fn finish(self, file: &Path) -> Side {
        let counts = self.window.counts;
        let mut series = BTreeMap::new();
        for (name, index) in self.index {
            let (Some(moments), Some(blocks)) = (self.window.get(index), self.blocks.get(index)) else { continue };
            let unit = self.units.get(index).cloned().unwrap_or_default();
            let summary = SeriesSummary::of(Arc::clone(&name), unit, moments);
            if summary.n > 0 {
                series.insert(name, Read { summary, blocks: blocks.clone() });
            }
        }
        let mut dropped: BTreeMap<String, u64> =
            self.faults.iter().map(|(cause, count)| (cause.as_str().to_owned(), *count)).collect();
        let others = [
            ("not_finite", counts.not_finite),
            ("repeated", counts.repeated),
            ("unit", counts.unit),
            ("too_many_series", counts.too_many_series),
        ];
        dropped.extend(others.iter().filter(|(_, count)| *count > 0).map(|(name, count)| ((*name).to_owned(), *count)));
        let recording = Recording {
            path: file.display().to_string(),
            samples: counts.samples,
            dropped,
            quotes: self.quotes,
            series: u64::try_from(series.len()).unwrap_or(u64::MAX),
            span: self.span.map(|span| Span { start: span.start, end: Stamp(span.end.0) }),
        };
        Side { series, recording }
    }
}
