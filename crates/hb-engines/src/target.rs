//! Where an engine is and how it is spoken to, as far as all of them have it in common.

use std::time::Duration;

use hb_tls::Identity;

/// Files and bounds of a connection; addresses are each engine's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manner {
    /// How long one question may take. An append that takes longer ends as unknown.
    pub patience: Duration,
    /// PEM file with the certificates to believe; the system's where there is none.
    pub ca_file: Option<std::path::PathBuf>,
    /// Who this node says that it is.
    pub identity: Option<Identity>,
    /// File whose first line is the password or token.
    pub password_file: Option<std::path::PathBuf>,
}

impl Default for Manner {
    fn default() -> Self {
        Self { patience: Duration::from_secs(2), ca_file: None, identity: None, password_file: None }
    }
}

/// Why an engine cannot be used at all, and what to do: a wrong address, a file that cannot be read, a refused password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TargetError(pub String);
