//! From what a configuration says of a source to the source itself, its names and units put right on the way.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hb_core::mark::Mark;
use hb_core::watch::sample::{Batch, NewName};
use hb_sources::command::{CommandSpec, OnSuccess, RestartPolicy};
use hb_sources::file::{FileSpec, Follow};
use hb_sources::host::HostSpec;
use hb_sources::replay::{ReplaySpec, Speed};
use hb_sources::spec::{SourceSpec, open as open_spec};
use hb_sources::{Limits, Polled, Rereads, Source, SourceError};

use crate::config::checked::{FieldMapping, SourceConfig, WatchConfig};

/// How far a source is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// For as long as there is something to come.
    Follow,
    /// To its end (`--once`, `replay`, `learn`).
    ToEnd,
}

/// What the source is, in the words of the crate that reads it.
#[must_use]
pub fn spec(config: &SourceConfig, reading: Reading) -> SourceSpec {
    match config {
        SourceConfig::Host { step } => {
            let step_ns = i64::try_from(step.as_nanos()).unwrap_or(i64::MAX);
            SourceSpec::Host(HostSpec { step_ns, ..HostSpec::default() })
        }
        SourceConfig::File { path, format, .. } if path == Path::new("-") => SourceSpec::Stdin(*format),
        SourceConfig::File { path, format, begin } => {
            let follow = match reading {
                Reading::Follow => Follow::Growing,
                Reading::ToEnd => Follow::Complete,
            };
            SourceSpec::File(FileSpec { path: path.clone(), format: *format, follow, begin: *begin })
        }
        SourceConfig::Replay { path, format, speed } => {
            let speed = match (reading, speed) {
                (Reading::ToEnd, _) => Speed::Unpaced,
                (Reading::Follow, speed) if *speed <= 0.0 => Speed::Unpaced,
                (Reading::Follow, speed) if (*speed - 1.0).abs() < f64::EPSILON => Speed::Own,
                (Reading::Follow, speed) => Speed::Factor(*speed),
            };
            SourceSpec::Replay(ReplaySpec { path: path.clone(), format: *format, speed })
        }
        SourceConfig::Command { argv, format } => {
            let on_success = match reading {
                Reading::Follow => OnSuccess::Restart,
                Reading::ToEnd => OnSuccess::End,
            };
            let restart = RestartPolicy { on_success, ..RestartPolicy::default() };
            SourceSpec::Command(CommandSpec { argv: argv.clone(), format: *format, restart })
        }
        SourceConfig::Mqtt(mqtt) => SourceSpec::Mqtt(mqtt.clone()),
        SourceConfig::Kafka(kafka) => SourceSpec::Kafka(kafka.clone()),
        SourceConfig::Syslog(syslog) => SourceSpec::Syslog(syslog.clone()),
    }
}

/// Opens the source of a watch, with its telemetry schema applied.
///
/// # Errors
/// [`SourceError::Invalid`] when it can never be read.
pub fn open(watch: &WatchConfig, reading: Reading) -> Result<Box<dyn Source>, SourceError> {
    let inner = open_spec(&spec(&watch.source, reading), Limits::default())?;
    if watch.fields.is_empty() {
        return Ok(inner);
    }
    Ok(Box::new(Mapped::new(inner, &watch.fields)))
}

/// A source whose names, units and values go through a telemetry schema: names exactly first, then without regard to
/// case; readings are multiplied by the field's factor, and are in the field's unit afterwards.
///
/// **Invariants.** Positions, marks, faults and order are those of the source within.
pub struct Mapped {
    inner: Box<dyn Source>,
    exact: BTreeMap<String, FieldMapping>,
    folded: BTreeMap<String, FieldMapping>,
    /// By slot: what readings are multiplied with.
    factors: Vec<f64>,
}

impl Mapped {
    /// The source `inner`, seen through `fields`.
    #[must_use]
    pub fn new(inner: Box<dyn Source>, fields: &[FieldMapping]) -> Self {
        let exact = fields.iter().map(|field| (field.raw.clone(), field.clone())).collect();
        let mut folded = BTreeMap::new();
        for field in fields {
            folded.entry(field.raw.to_lowercase()).or_insert_with(|| field.clone());
        }
        Self { inner, exact, folded, factors: Vec::new() }
    }

    fn field(&self, name: &str) -> Option<&FieldMapping> {
        self.exact.get(name).or_else(|| self.folded.get(&name.to_lowercase()))
    }

    fn mapped(&mut self, name: &NewName) -> NewName {
        let Some(field) = self.field(&name.name) else {
            self.factors.push(1.0);
            return name.clone();
        };
        let unit = field.unit.as_deref().map(Arc::from).or_else(|| name.unit.clone());
        let (mapped, factor) = (NewName { name: field.canonical.as_str().into(), unit }, field.factor);
        self.factors.push(factor);
        mapped
    }

    fn batch(&mut self, mut batch: Batch) -> Batch {
        if batch.reset {
            self.factors.clear();
        }
        let names = std::mem::take(&mut batch.names);
        batch.names = names.iter().map(|name| self.mapped(name)).collect();
        for sample in &mut batch.samples {
            let slot = usize::try_from(sample.slot).unwrap_or(usize::MAX);
            sample.value *= self.factors.get(slot).copied().unwrap_or(1.0);
        }
        batch
    }
}

impl Source for Mapped {
    fn next(&mut self, patience: Duration) -> Result<Polled, SourceError> {
        match self.inner.next(patience)? {
            Polled::Batch(batch) => Ok(Polled::Batch(self.batch(batch))),
            other @ (Polled::Idle { .. } | Polled::End { .. }) => Ok(other),
        }
    }

    fn seek(&mut self, mark: Option<&Mark>) -> Result<(), SourceError> {
        self.inner.seek(mark)
    }

    fn rereads(&self) -> Rereads {
        self.inner.rereads()
    }

    fn release(&mut self, mark: &Mark) {
        self.inner.release(mark);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hb_sources::file::Begin;
    use hb_sources::format::Format;

    #[test]
    fn names_units_and_values_go_through_the_schema() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.csv");
        std::fs::write(&path, "timestamp,metric,value,unit\n1,pwr,2,kW\n2,PWR,3,kW\n3,other,4,m\n").unwrap();
        let field = FieldMapping { raw: "pwr".into(), canonical: "power".into(), unit: Some("W".into()), factor: 1e3 };
        let file = SourceConfig::File { path, format: Format::default(), begin: Begin::Start };
        let inner = open_spec(&spec(&file, Reading::ToEnd), Limits::default()).unwrap();
        let mut source = Mapped::new(inner, &[field]);
        let Polled::Batch(batch) = source.next(Duration::from_secs(1)).unwrap() else { panic!("a batch") };
        let names: Vec<_> = batch.names.iter().map(|name| (&*name.name, name.unit.as_deref())).collect();
        assert_eq!(names, [("power", Some("W")), ("power", Some("W")), ("other", Some("m"))]);
        let values: Vec<f64> = batch.samples.iter().map(|sample| sample.value).collect();
        assert_eq!(values, [2_000.0, 3_000.0, 4.0]);
    }
}
