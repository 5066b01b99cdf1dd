//! The configuration as it holds: every value checked, every default filled in. Only [`super::load`] makes one.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use hb_core::ids::NodeName;
use hb_core::journal::Hash;
use hb_core::supervise::input::{Declared, OnStop};
use hb_core::watch::settings::WatchSettings;
use hb_daemon::parts::OnLost;
use hb_engines::target::Kind;
use hb_sources::file::Begin;
use hb_sources::format::Format;
use hb_sources::kafka::KafkaSpec;
use hb_sources::mqtt::MqttSpec;
use hb_sources::syslog::SyslogSpec;

use crate::wire::sync::Target;

/// Everything that a node runs by.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The file that it came from; none for the built-in watch of this host.
    pub file: Option<PathBuf>,
    /// Hash of that file's bytes and of all files that it names, to see whether a reload changes anything.
    pub hash: Hash,
    /// Name of this node.
    pub node: NodeName,
    /// Where health, metrics and the page are served.
    pub listen: Listen,
    /// Folder of everything that is kept.
    pub output_dir: PathBuf,
    /// SQLite file.
    pub db_path: PathBuf,
    /// Where journal and baseline documents stand.
    pub journal: Place,
    /// Who may try.
    pub lease: LeaseConfig,
    /// Decided cycles kept in the journal.
    pub journal_keep_cycles: u64,
    /// Whether a promotion needs somebody else's approval.
    pub approval: Approval,
    /// The watches, each name once; none only where something is supervised.
    pub watches: Vec<WatchConfig>,
    /// What is supervised; none where the file says nothing about it.
    pub supervise: Option<Declared>,
    /// Where the supervisor tells people.
    pub sinks: Vec<SinkConfig>,
    /// What becomes of running agents when hb is told to stop.
    pub on_stop: OnStop,
    /// Who may use the API.
    pub tokens_file: Option<PathBuf>,
    /// The copy that is kept up elsewhere.
    pub sync: Option<SyncConfig>,
}

/// The copy that is kept up elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncConfig {
    /// Where.
    pub to: Target,
    /// How often.
    pub every: Duration,
}

/// Where to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen {
    /// The address; none: nothing is served.
    pub address: Option<SocketAddr>,
    /// Whether somebody asked for it. A default that is taken gives way to any free port; what was asked for does not.
    pub said: Said,
}

/// Whether a value was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// By flag, environment or file.
    Explicit,
    /// By nobody.
    Default,
}

/// Where something stands that several hosts share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In `output_dir`.
    Folder,
    /// On a server.
    Server(Server),
}

/// A server by its address.
#[derive(Clone, PartialEq, Eq)]
pub struct Server {
    /// What it is.
    pub kind: Kind,
    /// Its address, which may hold a password.
    pub url: String,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Server {
    /// The address without what may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.url.split_once("://").unwrap_or(("", &self.url));
        let address = rest.split('?').next().unwrap_or_default();
        let (user, host) = address.rsplit_once('@').unwrap_or(("", address));
        let user = user.split(':').next().filter(|user| !user.is_empty());
        let at = user.map(|user| format!("{user}@")).unwrap_or_default();
        write!(f, "{scheme}://{at}{host}")
    }
}

/// How a node gets the right to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseConfig {
    /// Who says.
    pub backend: LeaseBackend,
    /// How long a holder may show no progress.
    pub ttl: Duration,
    /// Which standby goes first: the largest; 0 never takes over.
    pub priority: u8,
    /// What a holder does that cannot see its lease any more.
    pub on_lost: OnLost,
    /// What a lease is for.
    pub scope: LeaseScope,
    /// Most watches that this node works for, where each has a lease.
    pub watches_max: usize,
}

/// Who says which node may try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseBackend {
    /// A lock in `output_dir`.
    File,
    /// A document on a server.
    Server(Server),
    /// Somebody else.
    External,
}

/// What a lease is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseScope {
    /// The node and all its watches.
    Node,
    /// One watch.
    Watch,
}

/// Whether a promotion needs somebody else's approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Approval {
    /// It does.
    Required,
    /// It does not.
    NotRequired,
}

/// One watch.
#[derive(Debug, Clone, PartialEq)]
pub struct WatchConfig {
    /// What it decides by.
    pub settings: WatchSettings,
    /// Where its telemetry comes from.
    pub source: SourceConfig,
    /// Names, units and factors of its telemetry.
    pub fields: Vec<FieldMapping>,
    /// Where its alerts go; names as in `settings.alert.sinks`.
    pub sinks: Vec<SinkConfig>,
    /// Folder of its checkpoint, history, reports and alerts.
    pub view_dir: PathBuf,
    /// When reports are written.
    pub reports: Reports,
    /// Newest checkpoints kept in the history.
    pub max_checkpoint_history: usize,
    /// Size of the reports folder in bytes; none is no bound.
    pub report_bytes_max: Option<u64>,
}

/// Where telemetry comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum SourceConfig {
    /// This machine.
    Host {
        /// Time between two looks, in whole milliseconds.
        step: Duration,
    },
    /// A growing file; `-` is standard input.
    File {
        /// The file.
        path: PathBuf,
        /// How its lines are read.
        format: Format,
        /// Where a new watch begins.
        begin: Begin,
    },
    /// A recorded file at some speed.
    Replay {
        /// The file.
        path: PathBuf,
        /// How its lines are read.
        format: Format,
        /// 1 as recorded, 0 as fast as it can be read.
        speed: f64,
    },
    /// A program's output.
    Command {
        /// Program and arguments.
        argv: Vec<String>,
        /// How its lines are read.
        format: Format,
    },
    /// Messages of an MQTT broker.
    Mqtt(MqttSpec),
    /// Records of a Kafka topic.
    Kafka(KafkaSpec),
    /// Syslog that is received.
    Syslog(SyslogSpec),
}

/// One line of a telemetry schema's `field_mapping`.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldMapping {
    /// Name in the telemetry; told apart first exactly, then without regard to case.
    pub raw: String,
    /// Name to decide under.
    pub canonical: String,
    /// Unit of the reading once the factor is applied; none: as the telemetry says.
    pub unit: Option<String>,
    /// What readings are multiplied with.
    pub factor: f64,
}

/// Where alerts go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SinkConfig {
    /// Standard output, a line each.
    Stdout,
    /// `alerts.jsonl` in the view folder.
    File(PathBuf),
    /// An HTTP address.
    Webhook {
        /// The address.
        url: String,
        /// File with the secret that signs.
        secret_file: Option<PathBuf>,
    },
}

impl SinkConfig {
    /// Its name in records and settings.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::File(_) => "file",
            Self::Webhook { .. } => "webhook",
        }
    }
}

/// When reports are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reports {
    /// Every cycle.
    Every,
    /// When the status changes or an alert is made.
    Changes,
    /// On FAIL.
    Failures,
    /// Never.
    None,
}

impl Config {
    /// The watch of that name.
    #[must_use]
    pub fn watch(&self, name: &str) -> Option<&WatchConfig> {
        self.watches.iter().find(|watch| watch.settings.name.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_without_secrets() {
        let shown = |url: &str| Server { kind: Kind::Postgres, url: url.into() }.to_string();
        assert_eq!(shown("postgres://hb:pa@ss@db:5432/hb?password=x"), "postgres://hb@db:5432/hb");
        assert_eq!(shown("s3://bucket/prefix?endpoint=http://x"), "s3://bucket/prefix");
    }
}
