//! What the address of a copy means: a folder, another node, a database or bucket.

use std::fmt;
use std::path::{Path, PathBuf};

use hb_engines::target::Kind;
use hb_store::port::{Blobs, Journal};
use hb_store::sync::{Local, Side, SyncError};

use super::peer::{Peer, Plain};
use crate::cli::Failure;
use crate::config::Config;
use crate::config::checked::{Place, Server};
use crate::wire::stores;

/// Where a copy is made to, or from.
#[derive(Clone, PartialEq, Eq)]
pub enum Target {
    /// An `output_dir`.
    Folder(PathBuf),
    /// A node, by its API.
    Peer {
        /// `http://HOST:PORT` or `https://…`.
        url: String,
        /// File with the token.
        token_file: Option<PathBuf>,
        /// PEM file with the certificates to believe; the system's where there is none.
        ca_file: Option<PathBuf>,
        /// Whether the token may be sent over `http://` to another host.
        plain: Plain,
    },
    /// A database or bucket.
    Server(Server),
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Target {
    /// Without anything that may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "{}", path.display()),
            Self::Peer { url, .. } => f.write_str(url),
            Self::Server(server) => write!(f, "{server}"),
        }
    }
}

impl Target {
    /// Reads an address: a path, `http[s]://HOST:PORT?token_file=FILE&ca_file=FILE&plain=allow`, or that of a database or bucket.
    ///
    /// # Errors
    /// What is wrong with it; never a secret.
    pub fn parse(typed: &str) -> Result<Self, String> {
        let Some((scheme, _)) = typed.split_once("://") else {
            return if typed.is_empty() { Err("it is empty".into()) } else { Ok(Self::Folder(typed.into())) };
        };
        if matches!(scheme, "http" | "https") {
            return peer(typed);
        }
        match Kind::of(typed) {
            Some(kind) if kind.keeps_journals() => Ok(Self::Server(Server { kind, url: typed.to_owned() })),
            Some(kind) => Err(format!("{} is for leases, it keeps no journal", kind.as_str())),
            None => Err(format!(
                "`{}://` is nothing that hb copies to: a folder, http://HOST:PORT of a node, postgres://, s3://, gs:// or az://",
                scheme.escape_debug()
            )),
        }
    }

    /// The same with the token of that file, where the target is a node.
    ///
    /// # Errors
    /// It is none.
    pub fn with_token_file(self, path: &Path) -> Result<Self, String> {
        match self {
            Self::Peer { url, ca_file, plain, .. } => {
                Ok(Self::Peer { url, token_file: Some(path.to_path_buf()), ca_file, plain })
            }
            Self::Folder(_) | Self::Server(_) => Err(format!("{self} takes no token: --token-file is for nodes")),
        }
    }

    /// Its folder, where it is one.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Self::Folder(path) => Some(path),
            Self::Peer { .. } | Self::Server(_) => None,
        }
    }

    /// Opens it, for copies of what this configuration decides. What is set aside there goes to a folder of that name.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(&self, config: &Config, aside: &str) -> Result<Box<dyn Side>, SyncError> {
        match self {
            Self::Folder(path) => Ok(Box::new(Local::folder(path, aside)?)),
            Self::Peer { url, token_file, ca_file, plain } => {
                Ok(Box::new(Peer::open(url, token_file.as_deref(), ca_file.as_deref(), *plain)?))
            }
            Self::Server(server) => {
                let (journal, blobs) = on_server(config, server)?;
                Ok(Box::new(Local::new(server.to_string(), journal, blobs)))
            }
        }
    }
}

/// What this configuration itself has decided, as a side.
pub(super) fn own(config: &Config, aside: &str) -> Result<Local, SyncError> {
    match &config.journal {
        Place::Folder => Local::folder(&config.output_dir, aside),
        Place::Server(server) => {
            let (journal, blobs) = on_server(config, server)?;
            Ok(Local::new(server.to_string(), journal, blobs).with_notes_in(&config.output_dir))
        }
    }
}

/// Journal and documents of a database or bucket: the one place where an address becomes those for a copy.
fn on_server(config: &Config, server: &Server) -> Result<Kept, SyncError> {
    let there = Config { journal: Place::Server(server.clone()), ..config.clone() };
    let told = |failure: Failure| SyncError::Unavailable(failure.what);
    Ok((stores::journal(&there).map_err(told)?, stores::blobs(&there).map_err(told)?))
}

/// A journal and the documents that its records name.
type Kept = (Box<dyn Journal>, Box<dyn Blobs>);

fn peer(typed: &str) -> Result<Target, String> {
    let (address, query) = typed.split_once('?').unwrap_or((typed, ""));
    let url = address.trim_end_matches('/').to_owned();
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    if rest.contains('@') {
        return Err("an address of a node holds no password: name a file with `?token_file=FILE`".into());
    }
    if rest.is_empty() || !rest.chars().all(fine) {
        return Err("a node is http://HOST:PORT or https://HOST:PORT, with nothing behind it".into());
    }
    let (mut token_file, mut ca_file, mut plain) = (None, None, Plain::Refused);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("token_file", path)) => token_file = Some(PathBuf::from(path)),
            Some(("ca_file", path)) => ca_file = Some(PathBuf::from(path)),
            Some(("plain", "allow")) => plain = Plain::Allowed,
            Some(("plain", _)) => return Err("`plain` can only be `allow`".into()),
            Some((key, _)) => {
                return Err(format!("`{}` is nothing of a node: token_file, ca_file, plain", key.escape_debug()));
            }
            None => return Err("behind `?` stand token_file=FILE, ca_file=FILE and plain=allow, joined by &".into()),
        }
    }
    Ok(Target::Peer { url, token_file, ca_file, plain })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_told_by_their_form_and_shown_without_secrets() {
        assert_eq!(Target::parse("/srv/hb copy"), Ok(Target::Folder("/srv/hb copy".into())));
        assert_eq!(Target::parse("copy"), Ok(Target::Folder("copy".into())));
        let peer = Target::parse("https://b:9090/?token_file=/etc/hb/token&ca_file=ca.pem").unwrap();
        let wanted = Target::Peer {
            url: "https://b:9090".into(),
            token_file: Some("/etc/hb/token".into()),
            ca_file: Some("ca.pem".into()),
            plain: Plain::Refused,
        };
        assert_eq!((peer.to_string(), peer), ("https://b:9090".to_owned(), wanted));
        let database = Target::parse("postgres://hb:secret@db/hb").unwrap();
        assert_eq!(format!("{database} {database:?}"), "postgres://hb@db/hb postgres://hb@db/hb");
        for (typed, what) in [
            ("", "empty"),
            ("etcd://x", "keeps no journal"),
            ("ftp://x", "nothing that hb copies to"),
            ("http://", "HOST:PORT"),
            ("http://a/b", "HOST:PORT"),
            ("http://u:secret@a:1", "no password"),
            ("http://a:1?token=secret", "token_file"),
            ("http://a:1?plain=yes", "allow"),
        ] {
            let told = Target::parse(typed).unwrap_err();
            assert!(told.contains(what) && !told.contains("secret"), "{typed}: {told}");
        }
        let peer = Target::parse("http://b:9090").unwrap().with_token_file(Path::new("t")).unwrap();
        assert!(matches!(peer, Target::Peer { token_file: Some(path), .. } if path == Path::new("t")));
        assert!(Target::parse("x").unwrap().with_token_file(Path::new("t")).is_err());
    }
}
