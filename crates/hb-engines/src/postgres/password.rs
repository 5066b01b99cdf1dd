//! Where a password comes from: the address, its `password_file`, `PGPASSWORD`, the file that `PGPASSFILE` names or `~/.pgpass`;
//! the first that has one. Files are read at each connection, so that a new password needs no restart.

use std::fmt;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::target::{Host, PostgresTarget};

/// Most bytes of a file with passwords.
const FILE_MAX: u64 = 1 << 20;

/// A password; it does not show itself.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(String);

impl Secret {
    pub(super) fn new(text: String) -> Self {
        Self(text)
    }

    /// The password itself.
    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// The password for one of the target's hosts, if there is one.
///
/// # Errors
/// Which file cannot be used and why.
pub(super) fn find(target: &PostgresTarget, host: &Host) -> Result<Option<Secret>, String> {
    if let Some(password) = &target.password {
        return Ok(Some(password.clone()));
    }
    if let Some(path) = &target.password_file {
        return first_line(path).map(Some);
    }
    if let Ok(password) = std::env::var("PGPASSWORD")
        && !password.is_empty()
    {
        return Ok(Some(Secret(password)));
    }
    if let Some(path) = std::env::var_os("PGPASSFILE").map(PathBuf::from) {
        return from_list(&path, target, host);
    }
    let usual = std::env::home_dir().map(|home| home.join(".pgpass"));
    match usual {
        Some(path) if path.is_file() => from_list(&path, target, host),
        Some(_) | None => Ok(None),
    }
}

fn first_line(path: &Path) -> Result<Secret, String> {
    let text = private(path)?;
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        return Err(format!("password_file {}: its first line is empty", path.display()));
    }
    Ok(Secret(line.to_owned()))
}

/// Lines `host:port:database:user:password`; `*` stands for all, `\` makes `:` and `\` plain.
fn from_list(path: &Path, target: &PostgresTarget, host: &Host) -> Result<Option<Secret>, String> {
    let text = private(path)?;
    let (name, port) = match host {
        Host::Tcp { name, port } => (name.as_str(), port.to_string()),
        Host::Socket { port, .. } => ("localhost", port.to_string()),
    };
    let wanted = [name, &port, &target.database, &target.user];
    let fits = |fields: &[String]| {
        fields.iter().zip(wanted).all(|(field, wanted)| field == "*" || field == wanted) && fields.len() == 5
    };
    let lines = text.lines().filter(|line| !line.starts_with('#')).map(fields);
    Ok(lines.into_iter().find(|fields| fits(fields)).and_then(|mut fields| fields.pop()).map(Secret))
}

fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            // The password is the rest, colons and all, as far as they are written with a backslash or not.
            ':' if fields.len() < 5 => fields.push(String::new()),
            '\\' => fields.last_mut().into_iter().for_each(|field| field.extend(letters.next())),
            _ => fields.last_mut().into_iter().for_each(|field| field.push(letter)),
        }
    }
    fields
}

/// A file that nobody but its owner can read.
fn private(path: &Path) -> Result<String, String> {
    let unusable = |what: String| format!("cannot use the passwords of {}: {what}", path.display());
    let file = std::fs::File::open(path).map_err(|fault| unusable(fault.to_string()))?;
    let about = file.metadata().map_err(|fault| unusable(fault.to_string()))?;
    if !about.is_file() {
        return Err(unusable("it is no file".into()));
    }
    // As libpq; a group may read what a container's platform puts in place.
    if about.permissions().mode() & 0o007 != 0 {
        return Err(unusable("everybody may read or change it: chmod 600 it".into()));
    }
    let mut text = String::new();
    file.take(FILE_MAX).read_to_string(&mut text).map_err(|fault| unusable(fault.to_string()))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Manner;

    fn file(dir: &Path, text: &str, mode: u32) -> PathBuf {
        let path = dir.join(format!("p{mode:o}"));
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn a_list_is_searched_from_the_top() {
        let dir = tempfile::tempdir().unwrap();
        let target = PostgresTarget::parse("postgres://ada@db1:5433/ops", Manner::default()).unwrap();
        let text = "# a list\ndb2:*:*:*:wrong\ndb1:5432:*:*:wrong\ndb1:5433:ops:ada:a\\:b:c\\\\d\n*:*:*:*:last\n";
        let path = file(dir.path(), text, 0o600);
        let found = from_list(&path, &target, &target.hosts[0]).unwrap().unwrap();
        assert_eq!(found.text(), "a:b:c\\d");
        let other = Host::Tcp { name: "x".into(), port: 1 };
        assert_eq!(from_list(&path, &target, &other).unwrap().unwrap().text(), "last");
        assert_eq!(format!("{found:?}"), "…");
    }

    #[test]
    fn a_file_that_everybody_can_read_is_refused_and_named() {
        let dir = tempfile::tempdir().unwrap();
        let open = file(dir.path(), "x\n", 0o644);
        let told = first_line(&open).unwrap_err();
        assert!(told.contains("chmod 600") && told.contains("p644"), "{told}");
        assert_eq!(first_line(&file(dir.path(), "x\ny\n", 0o640)).unwrap().text(), "x");
        assert!(first_line(&file(dir.path(), "\n", 0o600)).unwrap_err().contains("empty"));
        assert!(first_line(&dir.path().join("none")).is_err());
    }
}
