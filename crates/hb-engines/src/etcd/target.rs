//! Where an etcd cluster is: `etcd://HOST:2379[,HOST:2379…]/PREFIX?…`.

use std::path::PathBuf;

use hb_tls::{Identity, Roots};

use crate::address::{Address, check_host};
use crate::target::TargetError;

/// Port of etcd where none is said.
const PORT: u16 = 2379;
/// Most members that may be named.
const MEMBERS_MAX: usize = 16;
/// Under which keys the cells stand where nothing is said.
const PREFIX: &str = "hb";
/// Most bytes of the prefix.
const PREFIX_MAX: usize = 200;
/// What may stand behind `?`.
const PARAMETERS: &[&str] = &["tls", "ca_file", "cert_file", "key_file", "user", "password_file"];

/// A cluster, and how it is spoken to. Passwords are in files and are read when they are needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdTarget {
    /// `http://HOST:PORT` or `https://…`, in the order in which they are tried.
    pub endpoints: Vec<String>,
    /// Before every key, with a slash at both ends.
    pub prefix: String,
    /// PEM file with the certificates to believe; the system's where there is none.
    pub ca_file: Option<PathBuf>,
    /// The certificate that this node shows.
    pub identity: Option<Identity>,
    /// Name of the user, and the file whose first line is the password.
    pub user: Option<(String, PathBuf)>,
}

impl EtcdTarget {
    /// Understands an address: `etcds://`, or `tls=on`, or any file of TLS make it HTTPS.
    ///
    /// # Errors
    /// [`TargetError`] naming what is wrong; no secret is repeated.
    pub fn parse(url: &str) -> Result<Self, TargetError> {
        let mut address = Address::parse(url)?;
        let wrong = |what: String| TargetError(format!("etcd address: {what}"));
        let always = match address.scheme.as_str() {
            "etcd" => false,
            "etcds" => true,
            other => return Err(wrong(format!("the scheme is {other:?}, expected etcd or etcds"))),
        };
        let said = match address.take("tls").as_deref() {
            None => None,
            Some("on") => Some(true),
            Some("off") => Some(false),
            Some(other) => return Err(wrong(format!("tls={other}, expected on or off"))),
        };
        let ca_file = address.take_file("ca_file")?;
        let identity = match (address.take_file("cert_file")?, address.take_file("key_file")?) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some(Identity { certificate, key }),
            (Some(_), None) => return Err(wrong("cert_file= without key_file=".into())),
            (None, Some(_)) => return Err(wrong("key_file= without cert_file=".into())),
        };
        let files = ca_file.is_some() || identity.is_some();
        if said == Some(false) && (always || files) {
            return Err(wrong("tls=off beside etcds:// or files of TLS".into()));
        }
        let user = match (address.take("user"), address.take_file("password_file")?) {
            (None, None) => None,
            (Some(user), Some(file)) if !user.is_empty() => Some((user, file)),
            (Some(user), _) if user.is_empty() => return Err(wrong("user= is empty".into())),
            (Some(_), _) => return Err(wrong("user= without password_file=".into())),
            (None, Some(_)) => return Err(wrong("password_file= without user=".into())),
        };
        let scheme = if always || files || said == Some(true) { "https" } else { "http" };
        let endpoints = endpoints(scheme, &address.authority).map_err(wrong)?;
        let prefix = prefix(&address.path).map_err(wrong)?;
        address.done(PARAMETERS)?;
        Ok(Self { endpoints, prefix, ca_file, identity, user })
    }

    /// The same cluster with other keys: those below `path` within the prefix.
    #[must_use]
    pub fn below(&self, path: &str) -> Self {
        let mut target = self.clone();
        target.prefix = format!("{}{}/", self.prefix, path.trim_matches('/'));
        target
    }

    pub(super) fn roots(&self) -> Roots<'_> {
        match &self.ca_file {
            Some(path) => Roots::File(path),
            None if self.endpoints.iter().any(|endpoint| endpoint.starts_with("https")) => Roots::System,
            None => Roots::None,
        }
    }
}

fn endpoints(scheme: &str, authority: &str) -> Result<Vec<String>, String> {
    let mut out: Vec<String> = Vec::new();
    for host in authority.split(',') {
        check_host(host)?;
        let ported = host.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
        let endpoint = if ported { format!("{scheme}://{host}") } else { format!("{scheme}://{host}:{PORT}") };
        if out.contains(&endpoint) {
            return Err(format!("{host} is named twice"));
        }
        out.push(endpoint);
    }
    if out.len() > MEMBERS_MAX {
        return Err(format!("{} members are named, at most {MEMBERS_MAX} can be", out.len()));
    }
    Ok(out)
}

fn prefix(path: &str) -> Result<String, String> {
    let path = if path.is_empty() { PREFIX } else { path };
    let sound = |segment: &str| {
        !segment.is_empty()
            && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
    };
    if path.len() > PREFIX_MAX || !path.split('/').all(sound) {
        return Err(format!(
            "the prefix {path:?} is not made of letters, digits, '.', '_', '-' and '/', or has more than {PREFIX_MAX} bytes"
        ));
    }
    Ok(format!("/{path}/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_understood() {
        let target = EtcdTarget::parse("etcd://a,b:1,[::1]/x/y").unwrap();
        assert_eq!(target.endpoints, ["http://a:2379", "http://b:1", "http://[::1]:2379"]);
        assert_eq!((target.prefix.as_str(), target.roots()), ("/x/y/", Roots::None));
        assert_eq!(target.below("lab").prefix, "/x/y/lab/");
        let target = EtcdTarget::parse("etcds://a?user=hb&password_file=/run/secret").unwrap();
        assert_eq!((target.endpoints[0].as_str(), target.prefix.as_str()), ("https://a:2379", "/hb/"));
        assert_eq!(target.user, Some(("hb".into(), "/run/secret".into())));
        assert_eq!(target.roots(), Roots::System);
        let target = EtcdTarget::parse("etcd://a/?ca_file=/ca&cert_file=/c&key_file=/k").unwrap();
        assert!(target.endpoints[0].starts_with("https://") && target.identity.is_some());
        assert!(EtcdTarget::parse("etcd://a/?tls=on").unwrap().endpoints[0].starts_with("https://"));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (url, expected) in [
            ("http://a/x", "expected etcd"),
            ("etcd:///x", "HOST"),
            ("etcd://a,a/x", "twice"),
            ("etcd://a:0/x", "HOST"),
            ("etcd://a/x y", "prefix"),
            ("etcd://a//x//y", "prefix"),
            ("etcd://a/x?tls=maybe", "on or off"),
            ("etcds://a/x?tls=off", "tls=off"),
            ("etcd://a/x?tls=off&ca_file=/ca", "tls=off"),
            ("etcd://a/x?cert_file=/c", "key_file"),
            ("etcd://a/x?key_file=/k", "cert_file"),
            ("etcd://a/x?user=hb", "password_file"),
            ("etcd://a/x?password_file=/p", "user="),
            ("etcd://a/x?user=&password_file=/p", "empty"),
            ("etcd://a/x?ttl=3", "ttl is not known"),
        ] {
            let said = EtcdTarget::parse(url).unwrap_err().0;
            assert!(said.contains(expected), "{url}: {said}");
        }
    }
}
