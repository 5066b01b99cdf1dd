//! The one place where HTTP clients are made: one TLS library, one provider, one choice of roots.

use std::sync::Arc;

use reqwest::blocking::ClientBuilder;
use reqwest::redirect::{Attempt, Policy};
use rustls::{ClientConfig, RootCertStore};

/// Most redirects that a request follows.
const REDIRECTS_MAX: usize = 3;

/// What a client will speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    /// Plain HTTP; needs no roots, and works where there are none.
    Http,
    /// HTTPS: the system's roots, or the ones built in where the system has none.
    Https,
}

/// A client builder with our TLS and our rule for redirects.
///
/// # Errors
/// When the provider cannot serve the protocol versions, in words.
pub(crate) fn client(speaks: Speaks) -> Result<ClientBuilder, String> {
    Ok(ClientBuilder::new().tls_backend_preconfigured(config(speaks)?).redirect(Policy::custom(follow)))
}

/// The same for those who ask many at once; redirects are theirs to rule.
///
/// # Errors
/// As [`client`].
pub(crate) fn asking(speaks: Speaks) -> Result<reqwest::ClientBuilder, String> {
    Ok(reqwest::ClientBuilder::new().tls_backend_preconfigured(config(speaks)?))
}

fn config(speaks: Speaks) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|fault| format!("TLS cannot be set up: {fault}"))?
        .with_root_certificates(roots(speaks))
        .with_no_client_auth())
}

/// An error with what is behind it; the outermost alone says little more than "error sending request".
pub(crate) fn chain(fault: &dyn std::error::Error) -> String {
    let mut text = fault.to_string();
    let mut inner = fault.source();
    while let Some(cause) = inner {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        inner = cause.source();
    }
    text
}

fn roots(speaks: Speaks) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    if speaks == Speaks::Http {
        return roots;
    }
    let system = rustls_native_certs::load_native_certs();
    for fault in &system.errors {
        tracing::warn!(%fault, "a certificate store of the system could not be read");
    }
    let (taken, ignored) = roots.add_parsable_certificates(system.certs);
    if taken == 0 {
        tracing::warn!(ignored, "the system has no usable root certificates: the ones built into hb are used");
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

/// Only to the same scheme, host and port, and only where the request stays what it was: other redirects turn a POST into a
/// GET, and what was to be told would be lost while the answer says 200.
fn follow(attempt: Attempt) -> reqwest::redirect::Action {
    let keeps = matches!(attempt.status().as_u16(), 307 | 308);
    let home = attempt.previous().first().is_some_and(|first| first.origin() == attempt.url().origin());
    if keeps && home && attempt.previous().len() <= REDIRECTS_MAX { attempt.follow() } else { attempt.stop() }
}
