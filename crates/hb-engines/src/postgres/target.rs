//! Where a database is, and what a connection to it is made of.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use hb_tls::{Identity, Roots};
use tokio_postgres::Config;
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::password::{self, Secret};
use crate::target::{Manner, TargetError};

/// Shortest time between two signs of life on an idle connection.
const KEEPALIVE: Duration = Duration::from_secs(1);
/// Signs of life that may stay unanswered.
const KEEPALIVE_MISSES: u32 = 3;

/// Whether a connection is encrypted. With TLS, the server's certificate and name are always checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// Never.
    Disable,
    /// Where the server offers it. Whoever can change what is sent can prevent it.
    Prefer,
    /// Always.
    Require,
}

/// One server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    /// Over the network.
    Tcp {
        /// Name or address.
        name: String,
        /// Port.
        port: u16,
    },
    /// By a socket in a folder.
    Socket {
        /// The folder.
        folder: PathBuf,
        /// The number in the socket's name.
        port: u16,
    },
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { name, port } if name.contains(':') => write!(f, "[{name}]:{port}"),
            Self::Tcp { name, port } => write!(f, "{name}:{port}"),
            Self::Socket { folder, port } => write!(f, "{}/.s.PGSQL.{port}", folder.display()),
        }
    }
}

/// A schema of a database, and how it is reached. What it shows of itself has no password in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresTarget {
    pub(super) hosts: Vec<Host>,
    pub(super) user: String,
    pub(super) database: String,
    pub(super) schema: String,
    pub(super) tls: TlsMode,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) identity: Option<Identity>,
    pub(super) password: Option<Secret>,
    pub(super) password_file: Option<PathBuf>,
    pub(super) application: String,
    pub(super) manner: Manner,
}

impl fmt::Display for PostgresTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<String> = self.hosts.iter().map(ToString::to_string).collect();
        write!(f, "postgres://{}@{}/{}?schema={}", self.user, hosts.join(","), self.database, self.schema)
    }
}

impl PostgresTarget {
    /// Reads `postgres://USER[:PASSWORD]@HOST[:PORT][,HOST2…]/DATABASE?…`. Parameters: `schema` (`hb` where none is named),
    /// `sslmode` (`verify-full`), `ca_file`, `cert_file`, `key_file`, `password_file`, `host` (folder of a socket),
    /// `application_name`.
    ///
    /// # Errors
    /// What cannot be meant, without the password.
    pub fn parse(url: &str, manner: Manner) -> Result<Self, TargetError> {
        super::url::parse(url, manner)
    }

    /// How long one question may take.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.manner.patience
    }

    /// The schema that everything stands in.
    #[must_use]
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// The schema as it stands in statements. Its letters were checked when the address was read.
    pub(super) fn quoted_schema(&self) -> String {
        format!("\"{}\"", self.schema)
    }

    /// What makes TLS for it; reads the files that are named.
    pub(super) fn connector(&self) -> Result<MakeRustlsConnect, TargetError> {
        let roots = match (self.tls, &self.ca_file) {
            (TlsMode::Disable, _) => Roots::None,
            (TlsMode::Prefer | TlsMode::Require, None) => Roots::System,
            (TlsMode::Prefer | TlsMode::Require, Some(path)) => Roots::File(path),
        };
        let config = hb_tls::client(roots, self.identity.as_ref());
        config.map(MakeRustlsConnect::new).map_err(|what| TargetError(format!("{self}: {what}")))
    }

    /// A connection to one of the hosts, with a mark that only a session of its own shows.
    pub(super) fn config(&self, host: &Host, mark: &str) -> Result<Config, String> {
        let mut config = Config::new();
        match host {
            Host::Tcp { name, port } => config.host(name).port(*port),
            Host::Socket { folder, port } => config.host_path(folder).port(*port),
        };
        config
            .user(&self.user)
            .dbname(&self.database)
            .application_name(&self.application)
            .options(format!("-c {}={mark}", super::session::MARK))
            .ssl_mode(match self.tls {
                TlsMode::Disable => SslMode::Disable,
                TlsMode::Prefer => SslMode::Prefer,
                TlsMode::Require => SslMode::Require,
            })
            .connect_timeout(self.manner.patience)
            .tcp_user_timeout(self.manner.patience)
            .keepalives_idle(KEEPALIVE)
            .keepalives_interval(KEEPALIVE)
            .keepalives_retries(KEEPALIVE_MISSES);
        if let Some(password) = password::find(self, host)? {
            config.password(password.text());
        }
        Ok(config)
    }
}
