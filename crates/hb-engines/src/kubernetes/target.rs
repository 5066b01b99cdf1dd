//! Which API server, namespace and deployment: `kubernetes://NAMESPACE/NAME?…`. Inside a pod nothing more has to be said.

use std::path::{Path, PathBuf};

use hb_tls::{Identity, Roots};

use crate::address::{Address, check_host};
use crate::target::TargetError;

/// Where a pod finds its service account.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Most bytes of the name, so that names of objects have room for the cell.
const NAME_MAX: usize = 40;
/// Most bytes of a namespace (a DNS label).
const NAMESPACE_MAX: usize = 63;
const PARAMETERS: &[&str] = &["server", "token_file", "ca_file", "cert_file", "key_file"];

/// An API server and the Lease objects on it that are ours. Tokens are in files and are read when they are needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubernetesTarget {
    /// `https://HOST:PORT`, without a path.
    pub server: String,
    /// Namespace of the Lease objects.
    pub namespace: String,
    /// Name of this deployment of hb: the first part of the objects' names, and their label `hb/deployment`.
    pub name: String,
    /// File whose content is the token; it is read again when it may have changed.
    pub token_file: Option<PathBuf>,
    /// PEM file with the certificates to believe; the system's where there is none.
    pub ca_file: Option<PathBuf>,
    /// The certificate that this node shows.
    pub identity: Option<Identity>,
}

/// What a pod is told by Kubernetes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// `KUBERNETES_SERVICE_HOST`.
    pub host: Option<String>,
    /// `KUBERNETES_SERVICE_PORT`.
    pub port: Option<String>,
    /// The folder of its service account.
    pub account: PathBuf,
    /// Its namespace; what the service account's folder says where there is none.
    pub namespace: Option<String>,
}

impl Surroundings {
    /// Those of this process.
    #[must_use]
    pub fn here() -> Self {
        let told = |key: &str| std::env::var(key).ok().filter(|value| !value.is_empty());
        Self {
            host: told("KUBERNETES_SERVICE_HOST"),
            port: told("KUBERNETES_SERVICE_PORT_HTTPS").or_else(|| told("KUBERNETES_SERVICE_PORT")),
            account: ACCOUNT.into(),
            namespace: None,
        }
    }
}

impl KubernetesTarget {
    /// Understands an address.
    ///
    /// # Errors
    /// [`TargetError`] naming what is wrong.
    pub fn parse(url: &str) -> Result<Self, TargetError> {
        Self::parse_in(url, &Surroundings::here())
    }

    /// Whether an address can be understood, also where this is no pod: for a configuration that is checked before it is used.
    ///
    /// # Errors
    /// As [`KubernetesTarget::parse`].
    pub fn check(url: &str) -> Result<(), TargetError> {
        let host = Some("kubernetes.default.svc".to_owned());
        let namespace = Some("default".to_owned());
        let some_pod = Surroundings { host, port: None, account: ACCOUNT.into(), namespace };
        Self::parse_in(url, &some_pod).map(drop)
    }

    /// The same in surroundings that are given.
    ///
    /// # Errors
    /// As [`KubernetesTarget::parse`].
    pub fn parse_in(url: &str, around: &Surroundings) -> Result<Self, TargetError> {
        let mut address = Address::parse(url)?;
        let wrong = |what: String| TargetError(format!("Kubernetes address: {what}"));
        if address.scheme != "kubernetes" {
            return Err(wrong(format!("the scheme is {:?}, expected kubernetes", address.scheme)));
        }
        let said = address.take("server");
        let inside = said.is_none();
        let server = match said {
            Some(server) => server.trim_end_matches('/').to_owned(),
            None => in_cluster(around).map_err(wrong)?,
        };
        check_server(&server).map_err(wrong)?;
        let of_account = |file: &str| inside.then(|| around.account.join(file));
        let token_file = address.take_file("token_file")?.or_else(|| of_account("token"));
        let ca_file = address.take_file("ca_file")?.or_else(|| of_account("ca.crt"));
        let identity = match (address.take_file("cert_file")?, address.take_file("key_file")?) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some(Identity { certificate, key }),
            (Some(_), None) => return Err(wrong("cert_file= without key_file=".into())),
            (None, Some(_)) => return Err(wrong("key_file= without cert_file=".into())),
        };
        if server.starts_with("http://") && (token_file.is_some() || identity.is_some()) && !is_loopback(&server) {
            return Err(wrong("a token over http:// would cross the network readable: use https://".into()));
        }
        let namespace = match (&address.authority, &around.namespace) {
            (said, _) if !said.is_empty() => Ok(said.clone()),
            (_, Some(namespace)) if inside => Ok(namespace.clone()),
            (_, _) => own(&of_account("namespace")),
        };
        let namespace = namespace.map_err(wrong)?;
        let name = address.path.clone();
        check_label("namespace", &namespace, NAMESPACE_MAX).map_err(wrong)?;
        check_label("name", &name, NAME_MAX).map_err(wrong)?;
        address.done(PARAMETERS)?;
        Ok(Self { server, namespace, name, token_file, ca_file, identity })
    }

    pub(super) fn roots(&self) -> Roots<'_> {
        match &self.ca_file {
            _ if self.server.starts_with("http://") => Roots::None,
            Some(path) => Roots::File(path),
            None => Roots::System,
        }
    }
}

fn in_cluster(around: &Surroundings) -> Result<String, String> {
    let host = around.host.as_ref().ok_or(
        "this is no pod (KUBERNETES_SERVICE_HOST is not set): say server=https://HOST:PORT, token_file= and ca_file=",
    )?;
    let port = around.port.as_deref().unwrap_or("443");
    // A bare IPv6 address is written in brackets.
    Ok(if host.contains(':') && !host.starts_with('[') {
        format!("https://[{host}]:{port}")
    } else {
        format!("https://{host}:{port}")
    })
}

fn check_server(server: &str) -> Result<(), String> {
    let host = server.strip_prefix("https://").or_else(|| server.strip_prefix("http://"));
    let host = host.ok_or_else(|| format!("server={server}, expected https://HOST:PORT"))?;
    check_host(host).map_err(|what| format!("server=: {what}"))
}

fn is_loopback(server: &str) -> bool {
    let host = server.trim_start_matches("http://");
    host.starts_with("127.0.0.1") || host.starts_with("[::1]") || host == "localhost" || host.starts_with("localhost:")
}

/// The pod's own namespace.
fn own(file: &Option<PathBuf>) -> Result<String, String> {
    let file: &Path = file.as_deref().ok_or("no namespace is named: kubernetes://NAMESPACE/NAME")?;
    let text = std::fs::read_to_string(file)
        .map_err(|fault| format!("no namespace is named, and {} cannot be read: {fault}", file.display()))?;
    Ok(text.trim().to_owned())
}

fn check_label(what: &str, text: &str, most: usize) -> Result<(), String> {
    let sound = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    let ends = |byte: Option<u8>| byte.is_some_and(|byte| byte != b'-');
    if sound && ends(text.bytes().next()) && ends(text.bytes().next_back()) && text.len() <= most {
        return Ok(());
    }
    Err(format!(
        "the {what} {text:?} is not made of at most {most} small letters, digits and '-' (not at its ends): kubernetes://NAMESPACE/NAME"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(account: &Path) -> Surroundings {
        Surroundings {
            host: Some("10.0.0.1".into()),
            port: Some("443".into()),
            account: account.into(),
            namespace: None,
        }
    }

    #[test]
    fn a_pod_needs_to_say_nothing_but_its_name() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("namespace"), "lab\n").unwrap();
        let target = KubernetesTarget::parse_in("kubernetes:///bench", &pod(dir.path())).unwrap();
        assert_eq!((target.server.as_str(), target.namespace.as_str()), ("https://10.0.0.1:443", "lab"));
        assert_eq!(target.token_file, Some(dir.path().join("token")));
        assert_eq!(target.ca_file, Some(dir.path().join("ca.crt")));
        let other = KubernetesTarget::parse_in("kubernetes://other/bench", &pod(dir.path())).unwrap();
        assert_eq!(other.namespace, "other");
        let mut six = pod(dir.path());
        six.host = Some("fd00::1".into());
        assert_eq!(KubernetesTarget::parse_in("kubernetes:///bench", &six).unwrap().server, "https://[fd00::1]:443");
    }

    #[test]
    fn addresses_of_pods_are_checked_anywhere() {
        assert_eq!(KubernetesTarget::check("kubernetes:///bench"), Ok(()));
        assert!(KubernetesTarget::check("kubernetes:///Bench").is_err());
        assert!(
            KubernetesTarget::check("kubernetes:///bench?server=https://a").unwrap_err().0.contains("no namespace")
        );
    }

    #[test]
    fn outside_everything_is_said() {
        let url = "kubernetes://lab/bench?server=https://k8s:6443&token_file=/t&ca_file=/c";
        let target = KubernetesTarget::parse_in(url, &Surroundings::default()).unwrap();
        assert_eq!((target.server.as_str(), target.token_file), ("https://k8s:6443", Some("/t".into())));
        let proxied = "kubernetes://lab/bench?server=http://127.0.0.1:8001";
        let target = KubernetesTarget::parse_in(proxied, &Surroundings::default()).unwrap();
        assert_eq!((target.token_file.clone(), target.roots()), (None, Roots::None));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (url, expected) in [
            ("etcd://lab/bench", "expected kubernetes"),
            ("kubernetes://lab/bench", "no pod"),
            ("kubernetes:///bench?server=https://a", "no namespace"),
            ("kubernetes://lab/?server=https://a", "name"),
            ("kubernetes://lab/Bench?server=https://a", "small letters"),
            ("kubernetes://lab/a/b?server=https://a", "small letters"),
            ("kubernetes://lab/-a?server=https://a", "small letters"),
            ("kubernetes://lab/a?server=a:1", "https://HOST"),
            ("kubernetes://lab/a?server=https://a/b", "HOST"),
            ("kubernetes://lab/a?server=http://far:1&token_file=/t", "readable"),
            ("kubernetes://lab/a?server=https://a&cert_file=/c", "key_file"),
            ("kubernetes://lab/a?server=https://a&context=x", "context is not known"),
        ] {
            let said = KubernetesTarget::parse_in(url, &Surroundings::default()).unwrap_err().0;
            assert!(said.contains(expected), "{url}: {said}");
        }
    }
}
