//! Where a bucket is: `s3://BUCKET/PREFIX?endpoint=URL&region=NAME&style=path|virtual`, `gs://BUCKET/PREFIX`,
//! `az://CONTAINER/PREFIX?account=NAME`, and `memory:NAME` for tests.
//!
//! Credentials never stand in an address: they come from the standard environment variables or the machine's own identity.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use reqwest::Url;

use crate::target::TargetError;

/// Most bytes of a prefix: keys of objects have 1,024 at most.
const PREFIX_MAX: usize = 400;

/// Which service, and what only that one needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Service {
    /// The S3 interface, whoever serves it.
    S3 {
        /// Region; `AWS_REGION`, else `us-east-1` where none is named.
        region: Option<String>,
        /// Whether the bucket is in the host name.
        style: Style,
    },
    /// Google Cloud Storage.
    Google,
    /// Azure Blob Storage.
    Azure {
        /// Storage account; `AZURE_STORAGE_ACCOUNT_NAME` where none is named.
        account: Option<String>,
    },
    /// In this process alone, for tests: whoever names the same one shares it.
    Memory,
}

/// How a bucket of S3 is addressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `https://ENDPOINT/BUCKET/KEY`: what every server understands.
    Path,
    /// `https://BUCKET.ENDPOINT/KEY`.
    Virtual,
}

/// A place in a bucket. Everything that `hb` writes lies below the prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectTarget {
    /// Which service.
    pub service: Service,
    /// Bucket, or container.
    pub bucket: String,
    /// Segments with `/` between them; may be empty.
    pub prefix: String,
    /// Where the service is, if not where its owner has it.
    pub endpoint: Option<String>,
    /// PEM file with the certificates to believe; the system's where there is none.
    pub ca_file: Option<PathBuf>,
}

impl ObjectTarget {
    /// Understands an address.
    ///
    /// # Errors
    /// [`TargetError`] naming what is wrong; no secret is repeated.
    pub fn parse(url: &str) -> Result<Self, TargetError> {
        parse(url).map_err(|why| TargetError(format!("{}: {why}", shown(url))))
    }

    /// The whole bucket.
    pub(super) fn whole(&self) -> Self {
        Self { prefix: String::new(), ..self.clone() }
    }

    /// A place below this one.
    #[must_use]
    pub fn below(&self, path: &str) -> Self {
        let parts = [self.prefix.as_str(), path.trim_matches('/')];
        let prefix = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
        Self { prefix, ..self.clone() }
    }
}

impl FromStr for ObjectTarget {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        Self::parse(text)
    }
}

/// What may be repeated of an address that could not be understood: nothing that may be a secret.
fn shown(text: &str) -> String {
    let end = text.find('?').unwrap_or(text.len());
    let end = if text.contains('@') { text.find("://").unwrap_or(0) } else { end };
    text.get(..end).unwrap_or_default().chars().take(120).collect()
}

fn parse(text: &str) -> Result<ObjectTarget, String> {
    if let Some(name) = text.strip_prefix("memory:") {
        check_segments("the name", name)?;
        return Ok(ObjectTarget {
            service: Service::Memory,
            bucket: name.to_owned(),
            prefix: String::new(),
            endpoint: None,
            ca_file: None,
        });
    }
    let url = Url::parse(text).map_err(|fault| {
        format!("this is no address of a bucket ({fault}); write s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX")
    })?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("credentials do not belong into an address: give them by environment variables".into());
    }
    if url.fragment().is_some() || url.port().is_some() {
        return Err(
            "neither a port nor a fragment belongs here; a server of your own is named by ?endpoint=http://HOST:PORT"
                .into(),
        );
    }
    let mut given = Given::read(&url)?;
    let service = match url.scheme() {
        "s3" => Service::S3 { region: given.take("region")?, style: style(given.take("style")?)? },
        "gs" => Service::Google,
        "az" => Service::Azure { account: given.take("account")? },
        other => return Err(format!("{other}: is no kind of bucket that is known; s3, gs and az are")),
    };
    let endpoint = given.take("endpoint")?.map(|endpoint| check_endpoint(&endpoint)).transpose()?;
    let ca_file = given.take("ca_file")?.map(PathBuf::from);
    given.nothing_left(url.scheme())?;
    let bucket = url.host_str().unwrap_or_default().to_owned();
    if bucket.is_empty() {
        return Err("no bucket is named".into());
    }
    let prefix = url.path().trim_matches('/').to_owned();
    if !prefix.is_empty() {
        check_segments("the prefix", &prefix)?;
    }
    Ok(ObjectTarget { service, bucket, prefix, endpoint, ca_file })
}

/// What stands behind the question mark.
struct Given(Vec<(String, String)>);

impl Given {
    fn read(url: &Url) -> Result<Self, String> {
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        for (at, (name, _)) in pairs.iter().enumerate() {
            if pairs.iter().skip(at.saturating_add(1)).any(|(other, _)| other == name) {
                return Err(format!("{name} is given twice"));
            }
        }
        Ok(Self(pairs))
    }

    fn take(&mut self, name: &str) -> Result<Option<String>, String> {
        let Some(at) = self.0.iter().position(|(given, _)| given == name) else { return Ok(None) };
        let (_, value) = self.0.swap_remove(at);
        if value.is_empty() {
            return Err(format!("{name} is empty"));
        }
        Ok(Some(value))
    }

    fn nothing_left(self, scheme: &str) -> Result<(), String> {
        let Some((name, _)) = self.0.into_iter().next() else { return Ok(()) };
        let known = match scheme {
            "s3" => "endpoint, region, style and ca_file",
            "az" => "endpoint, account and ca_file",
            _ => "endpoint and ca_file",
        };
        Err(format!(
            "{name} is no parameter of {scheme}: {known} may be given; credentials come by environment variables"
        ))
    }
}

fn style(given: Option<String>) -> Result<Style, String> {
    match given.as_deref() {
        None | Some("path") => Ok(Style::Path),
        Some("virtual") => Ok(Style::Virtual),
        Some(other) => Err(format!("style is path or virtual, not {other}")),
    }
}

fn check_endpoint(text: &str) -> Result<String, String> {
    let wrong = || "endpoint has to be http://HOST:PORT or https://HOST:PORT".to_owned();
    let url = Url::parse(text).map_err(|_| wrong())?;
    let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    if !matches!(url.scheme(), "http" | "https") || !plain || url.host_str().is_none() {
        return Err(wrong());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

fn check_segments(what: &str, text: &str) -> Result<(), String> {
    let sound = |segment: &str| {
        segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'='))
            && segment.bytes().any(|byte| byte != b'.')
    };
    if text.len() > PREFIX_MAX {
        return Err(format!("{what} has {} bytes, at most {PREFIX_MAX} are allowed", text.len()));
    }
    if !text.split('/').all(sound) {
        return Err(format!(
            "{what} has to be segments of letters, digits, '.', '_', '-' and '=', with '/' between them"
        ));
    }
    Ok(())
}

impl fmt::Display for ObjectTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.service {
            Service::S3 { .. } => "s3://",
            Service::Google => "gs://",
            Service::Azure { .. } => "az://",
            Service::Memory => "memory:",
        };
        write!(f, "{scheme}{}", self.bucket)?;
        if !self.prefix.is_empty() {
            write!(f, "/{}", self.prefix)?;
        }
        if let Some(endpoint) = &self.endpoint {
            write!(f, " at {endpoint}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Result<ObjectTarget, String> {
        text.parse().map_err(|error: TargetError| error.0)
    }

    #[test]
    fn addresses_are_understood_whole() {
        let s3 = target("s3://hb-journal/plant/a?endpoint=http://127.0.0.1:9000/&region=eu-west-1").unwrap();
        assert_eq!(s3.service, Service::S3 { region: Some("eu-west-1".into()), style: Style::Path });
        assert_eq!((s3.bucket.as_str(), s3.prefix.as_str()), ("hb-journal", "plant/a"));
        assert_eq!(s3.endpoint.as_deref(), Some("http://127.0.0.1:9000"));
        assert_eq!(s3.to_string(), "s3://hb-journal/plant/a at http://127.0.0.1:9000");
        assert_eq!(s3.below("/lease/").prefix, "plant/a/lease");
        assert_eq!(target("gs://b").unwrap().below("x").prefix, "x");
        assert_eq!(target("gs://b?ca_file=/ca.pem").unwrap().ca_file, Some("/ca.pem".into()));
        assert_eq!(target("az://c/p?account=acc").unwrap().service, Service::Azure { account: Some("acc".into()) });
        assert_eq!(target("memory:one").unwrap().to_string(), "memory:one");
        let virtual_hosted = target("s3://b?style=virtual").unwrap().service;
        assert_eq!(virtual_hosted, Service::S3 { region: None, style: Style::Virtual });
    }

    #[test]
    fn what_is_not_known_is_refused_and_named() {
        for (text, names) in [
            ("s3://b/p?regoin=x", "regoin"),
            ("gs://b?region=x", "region is no parameter of gs"),
            ("s3://b?region=a&region=b", "region is given twice"),
            ("s3://b?region=", "region is empty"),
            ("s3://b?style=odd", "style is path or virtual"),
            ("s3://b?endpoint=ftp://x", "endpoint has to be"),
            ("s3:///p", "no bucket"),
            ("s3://b/a b", "segments"),
            ("s3://b:99/p", "port"),
            ("ftp://b/p", "ftp:"),
            ("nothing", "no address of a bucket"),
            ("memory:", "segments"),
        ] {
            let error = target(text).unwrap_err();
            assert!(error.contains(names), "{text}: {error}");
        }
    }

    #[test]
    fn secrets_are_refused_and_not_repeated() {
        for text in ["s3://id:hunter2@b/p", "s3://b/p?secret_access_key=hunter2", "s3://b?endpoint=http://u:hunter2@h"]
        {
            let error = target(text).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
