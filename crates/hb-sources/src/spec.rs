//! What a configuration can say of a source, and how it is opened.

use crate::command::{CommandSource, CommandSpec};
use crate::file::{FileSource, FileSpec, Follow};
use crate::format::Format;
use crate::host::{HostSource, HostSpec};
use crate::kafka::{KafkaSource, KafkaSpec};
use crate::mqtt::{MqttSource, MqttSpec};
use crate::replay::{ReplaySource, ReplaySpec, Speed};
use crate::stdin::StdinSource;
use crate::syslog::{SyslogSource, SyslogSpec};
use crate::table::{self, TableSource};
use crate::{Limits, Source, SourceError};

/// Where telemetry is to come from.
#[derive(Debug, Clone, PartialEq)]
pub enum SourceSpec {
    /// A file, growing or complete.
    File(FileSpec),
    /// Standard input.
    Stdin(Format),
    /// This machine.
    Host(HostSpec),
    /// A recorded file at a speed.
    Replay(ReplaySpec),
    /// What a program prints.
    Command(CommandSpec),
    /// Messages of an MQTT broker.
    Mqtt(MqttSpec),
    /// Records of a Kafka topic.
    Kafka(KafkaSpec),
    /// Syslog that is received.
    Syslog(SyslogSpec),
}

impl SourceSpec {
    /// The source in a few words: `file metrics.jsonl (growing)`.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::File(file) => {
                let follow = match file.follow {
                    Follow::Growing => "growing",
                    Follow::Complete => "complete",
                };
                format!("file {} ({follow})", file.path.display())
            }
            Self::Stdin(_) => "standard input".to_owned(),
            #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
            Self::Host(host) => format!("this host, every {} s", host.step_ns as f64 / 1e9),
            Self::Replay(replay) => {
                let speed = match replay.speed {
                    Speed::Own => "at its own speed".to_owned(),
                    Speed::Factor(factor) => format!("{factor} times as fast"),
                    Speed::Unpaced => "as fast as it goes".to_owned(),
                };
                format!("replay of {} {speed}", replay.path.display())
            }
            Self::Command(command) => format!("command {}", command.argv.join(" ")),
            Self::Mqtt(mqtt) => format!("MQTT topic {} at {}", mqtt.topic, mqtt.broker.place()),
            Self::Kafka(kafka) => format!("Kafka topic {} at {}", kafka.topic, kafka.brokers.join(",")),
            Self::Syslog(syslog) => format!("syslog at {}", syslog.listen.place()),
        }
    }
}

/// A file, as lines or as a table.
pub(crate) fn of_file(file: FileSpec, limits: Limits) -> Box<dyn Source> {
    match table::form(&file.format) {
        Some(form) => Box::new(TableSource::new(file, form, limits)),
        None => Box::new(FileSource::new(file, limits)),
    }
}

/// Opens a source at the place where a new watch begins. What is only missing for now is told by [`Source::next`].
///
/// # Errors
/// [`SourceError::Invalid`] when it can never be read.
pub fn open(spec: &SourceSpec, limits: Limits) -> Result<Box<dyn Source>, SourceError> {
    Ok(match spec {
        SourceSpec::File(file) => of_file(file.clone(), limits),
        SourceSpec::Stdin(format) | SourceSpec::Command(CommandSpec { format, .. })
            if table::form(format).is_some() =>
        {
            return Err(SourceError::Invalid("a table is read from a file: give its path".to_owned()));
        }
        SourceSpec::Stdin(format) => Box::new(
            StdinSource::new(*format, limits)
                .map_err(|error| SourceError::Invalid(format!("cannot use standard input: {error}")))?,
        ),
        SourceSpec::Host(host) => Box::new(HostSource::new(host.clone(), limits)?),
        SourceSpec::Replay(replay) => Box::new(ReplaySource::new(replay.clone(), limits)?),
        SourceSpec::Command(command) if command.argv.is_empty() => {
            return Err(SourceError::Invalid("a command source needs a program: argv is empty".to_owned()));
        }
        SourceSpec::Command(command) => Box::new(CommandSource::new(command.clone(), limits)),
        SourceSpec::Mqtt(mqtt) => Box::new(MqttSource::new(mqtt.clone(), limits)),
        SourceSpec::Kafka(kafka) => Box::new(KafkaSource::new(kafka.clone(), limits)),
        SourceSpec::Syslog(syslog) => Box::new(SyslogSource::new(syslog.clone(), limits)),
    })
}
