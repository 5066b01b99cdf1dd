//! The one place where HTTP clients are made.

use hb_tls::Roots;
use reqwest::blocking::ClientBuilder;
use reqwest::redirect::{Attempt, Policy};

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

fn config(speaks: Speaks) -> Result<rustls::ClientConfig, String> {
    let roots = match speaks {
        Speaks::Http => Roots::None,
        Speaks::Https => Roots::System,
    };
    hb_tls::client(roots, None)
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

/// Only to the same scheme, host and port, and only where the request stays what it was: other redirects turn a POST into a
/// GET, and what was to be told would be lost while the answer says 200.
fn follow(attempt: Attempt) -> reqwest::redirect::Action {
    let keeps = matches!(attempt.status().as_u16(), 307 | 308);
    let home = attempt.previous().first().is_some_and(|first| first.origin() == attempt.url().origin());
    if keeps && home && attempt.previous().len() <= REDIRECTS_MAX { attempt.follow() } else { attempt.stop() }
}
