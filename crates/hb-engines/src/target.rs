//! Where an engine is and how it is spoken to, as far as all of them have it in common.

use std::time::Duration;

/// Kinds of engines, by the scheme of their addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `postgres://`, `postgresql://`.
    Postgres,
    /// `s3://`, `gs://`, `az://`.
    Object,
    /// `etcd://`, `etcds://`.
    Etcd,
    /// `kubernetes://`.
    Kubernetes,
}

impl Kind {
    /// Every kind with its schemes.
    pub const ALL: [(Self, &'static [&'static str]); 4] = [
        (Self::Postgres, &["postgres", "postgresql"]),
        (Self::Object, &["s3", "gs", "az", "memory"]),
        (Self::Etcd, &["etcd", "etcds"]),
        (Self::Kubernetes, &["kubernetes"]),
    ];

    /// The kind that an address names, if its scheme is one of ours.
    #[must_use]
    pub fn of(url: &str) -> Option<Self> {
        let (scheme, _) = url.split_once(':')?;
        Self::ALL.iter().find(|(_, schemes)| schemes.contains(&scheme)).map(|(kind, _)| *kind)
    }

    /// Whether journals and documents can stand there. The others are for leases.
    #[must_use]
    pub fn keeps_journals(self) -> bool {
        matches!(self, Self::Postgres | Self::Object)
    }

    /// As the lease's backend is called.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Object => "object",
            Self::Etcd => "etcd",
            Self::Kubernetes => "kubernetes",
        }
    }
}

/// Bounds of a connection that are not part of its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manner {
    /// How long one question may take. An append that takes longer ends as unknown.
    pub patience: Duration,
}

impl Default for Manner {
    fn default() -> Self {
        Self { patience: Duration::from_secs(2) }
    }
}

/// Why an engine cannot be used at all, and what to do: a wrong address, a file that cannot be read, a refused password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TargetError(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_by_their_schemes() {
        assert_eq!(Kind::of("postgres://a/b"), Some(Kind::Postgres));
        assert_eq!(Kind::of("s3://bucket/x"), Some(Kind::Object));
        assert_eq!(Kind::of("etcd://a:2379/x"), Some(Kind::Etcd));
        assert_eq!(Kind::of("/srv/journal"), None);
        assert_eq!(Kind::of("mysql://a"), None);
    }
}
