//! From what was typed to what it means: `raw` (a tree with places) -> `reader` and `keys` (one table) -> `checked`.
//!
//! All faults of a file, and of the files that it names, are told at once; with one of them nothing is started. Flags win
//! over the environment, the environment over the file.

pub mod check;
pub mod checked;
pub mod fault;
pub mod keys;
pub mod network;
pub mod policy;
pub mod raw;
pub mod reader;
pub mod reference;
pub mod registry;
pub mod schema;
pub mod shared;
pub mod supervise;
pub mod watch;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use hb_core::journal::Hash;

pub use checked::Config;
use fault::{Fault, Findings};

/// The configuration of `hb run` without a file: this machine, watched with its state beside where it was started.
pub const BUILT_IN: &str = "\
# What `hb run` does without a configuration: this machine, every ten seconds.
name: host
source: host
interval_sec: 10
output_dir: hb-data
db_path: hb-data/runs.db
";

/// Name under which the built-in configuration is quoted.
pub const BUILT_IN_NAME: &str = "(built in)";

/// The variables of the environment that say something about the configuration.
#[derive(Debug, Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The variables of this process that begin with `HB_`.
    #[must_use]
    pub fn of_process() -> Self {
        let ours = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            let name = name.into_string().ok().filter(|name| name.starts_with("HB_"))?;
            Some((name, value.to_string_lossy().into_owned()))
        };
        Self(std::env::vars_os().filter_map(ours).collect())
    }

    /// A variable, unless it is empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// With one more variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }
}

/// What is said about the configuration outside of its file.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// The file; none for the built-in configuration.
    pub file: Option<PathBuf>,
    /// `--node`.
    pub node: Option<String>,
    /// `--listen`.
    pub listen: Option<String>,
    /// The environment.
    pub environment: Environment,
}

/// A configuration that holds, and what is to be told about it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Keys that hb does in its own way.
    pub notices: Vec<Fault>,
}

/// Reads and checks everything.
///
/// # Errors
/// All faults of all files, with places.
pub fn load(given: &Given) -> Result<Loaded, Findings> {
    let mut files = Files::default();
    let mut findings = Findings::default();
    let config = match &given.file {
        None => check::config(BUILT_IN_NAME, BUILT_IN.as_bytes(), given, &mut files, &mut findings),
        Some(path) => match files.read(path) {
            Ok(bytes) => check::config(&path.display().to_string(), &bytes, given, &mut files, &mut findings),
            Err(fault) => {
                findings.fault(*fault);
                None
            }
        },
    };
    findings.sort();
    match config {
        Some(config) if findings.faults.is_empty() => {
            Ok(Loaded { config: Config { hash: files.hash(), ..config }, notices: findings.notices })
        }
        Some(_) | None => Err(findings),
    }
}

/// Reads files, and remembers what they held.
#[derive(Debug, Default)]
pub struct Files {
    hashes: Vec<u8>,
    given: Option<BTreeMap<PathBuf, Vec<u8>>>,
}

impl Files {
    /// These files in place of those on the disk.
    #[must_use]
    pub fn given(files: BTreeMap<PathBuf, Vec<u8>>) -> Self {
        Self { given: Some(files), ..Self::default() }
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// A fault that says why it cannot be read.
    pub fn read(&mut self, path: &Path) -> Result<Vec<u8>, Box<Fault>> {
        let name = path.display().to_string();
        let unreadable = |error: std::io::Error| {
            let help = "check the path (relative ones are relative to the working directory) and its permissions";
            Box::new(Fault::of_file(&name, &format!("cannot be read: {error}"), help))
        };
        let bytes = match &self.given {
            Some(given) => given.get(path).cloned().ok_or_else(|| unreadable(std::io::ErrorKind::NotFound.into()))?,
            None => contents(path).map_err(unreadable)?,
        };
        if bytes.len() > raw::FILE_BYTES_MAX {
            let what = format!("has more than the {} bytes that are read", raw::FILE_BYTES_MAX);
            return Err(Box::new(Fault::of_file(&name, &what, "is it the right file?")));
        }
        self.hashes.extend_from_slice(Hash::of(&bytes).to_string().as_bytes());
        Ok(bytes)
    }

    fn hash(&self) -> Hash {
        Hash::of(&self.hashes)
    }
}

/// What a file holds, but for what lies beyond the bound by more than a byte. Its length is not believed: that of a device is 0.
fn contents(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = u64::try_from(raw::FILE_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    std::fs::File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b1_what_has_no_end_is_read_up_to_the_bound() {
        let fault = Files::default().read(Path::new("/dev/zero")).unwrap_err();
        assert!(fault.what.contains("more than"), "{}", fault.what);
        let mut given = Files::given(BTreeMap::from([("a".into(), b"x".to_vec())]));
        assert_eq!(given.read(Path::new("a")).unwrap(), b"x");
        assert!(given.read(Path::new("/dev/zero")).unwrap_err().what.contains("cannot be read"));
    }
}
