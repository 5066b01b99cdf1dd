//! Trusts: the one place where TLS is set up. One library, one provider, one choice of roots.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};

/// Whose certificates a client believes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Roots<'a> {
    /// Nobody's: the client will speak without TLS. Works where there are no certificates at all.
    None,
    /// The system's, or the ones built in where the system has none.
    System,
    /// Those of a PEM file alone.
    File(&'a Path),
}

/// Who the client says that it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// PEM file with its certificate, and those between it and the root.
    pub certificate: PathBuf,
    /// PEM file with its private key.
    pub key: PathBuf,
}

/// A configuration for clients.
///
/// # Errors
/// Which file cannot be used and why, or why TLS cannot be set up.
pub fn client(roots: Roots<'_>, identity: Option<&Identity>) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|fault| format!("TLS cannot be set up: {fault}"))?
        .with_root_certificates(trusted(roots)?);
    match identity {
        None => Ok(builder.with_no_client_auth()),
        Some(identity) => identified(builder, identity),
    }
}

fn identified(
    builder: ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>,
    identity: &Identity,
) -> Result<ClientConfig, String> {
    let chain = certificates(&identity.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&identity.key)
        .map_err(|fault| format!("cannot use the key {}: {fault}", identity.key.display()))?;
    builder.with_client_auth_cert(chain, key).map_err(|fault| {
        format!("{} and {} do not go together: {fault}", identity.certificate.display(), identity.key.display())
    })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let unusable = |why: String| format!("cannot use {}: {why}", path.display());
    let found: Vec<_> =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(|fault| unusable(fault.to_string()))?;
    if found.is_empty() { Err(unusable("it has no certificate".into())) } else { Ok(found) }
}

fn trusted(roots: Roots<'_>) -> Result<RootCertStore, String> {
    match roots {
        Roots::None => Ok(RootCertStore::empty()),
        Roots::System => Ok(of_the_system()),
        Roots::File(path) => {
            let mut store = RootCertStore::empty();
            for certificate in certificates(path)? {
                store.add(certificate).map_err(|fault| format!("cannot use {}: {fault}", path.display()))?;
            }
            Ok(store)
        }
    }
}

fn of_the_system() -> RootCertStore {
    let mut store = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    for fault in &system.errors {
        tracing::warn!(%fault, "a certificate store of the system could not be read");
    }
    let (taken, ignored) = store.add_parsable_certificates(system.certs);
    if taken == 0 {
        tracing::warn!(ignored, "the system has no usable root certificates: the ones built into hb are used");
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    store
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_cannot_be_used_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        assert!(client(Roots::File(&path), None).unwrap_err().contains("ca.pem"));
        std::fs::write(&path, "nothing of use\n").unwrap();
        assert!(client(Roots::File(&path), None).unwrap_err().contains("no certificate"));
        client(Roots::None, None).unwrap();
        client(Roots::System, None).unwrap();
    }
}
