//! Keeps pages of other origins out, and what is shown harmless.
//!
//! A browser on the operator's machine can be led to ask a server on loopback by a foreign page (DNS rebinding): such a
//! request names a foreign `Host`. And a script of a foreign page names its own `Origin`. Both are refused. Probes and
//! scrapers, which name an address or no host at all, pass. One path is open to the pages of the other nodes of the same
//! configuration: whether this node is active, so that a page whose node has died finds the one that goes on.

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::onlooker::Onlooker;
use crate::roster::NodeDoc;
use crate::v1::{Problem, is_api};

/// Which `Host` a request may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Hosts {
    /// The server listens beyond loopback and no names were given: whatever name leads here.
    Any,
    /// `localhost`, addresses, and these names.
    Named(Arc<[String]>),
}

impl Hosts {
    /// The hosts for a server at `address`, with names from the settings.
    pub(crate) fn new(address: IpAddr, names: &[String]) -> Self {
        if names.is_empty() && !address.is_loopback() {
            Self::Any
        } else {
            Self::Named(names.iter().map(|name| name.to_ascii_lowercase()).collect())
        }
    }

    fn admit(&self, host: &str) -> bool {
        let Self::Named(names) = self else { return true };
        let name = without_port(host).to_ascii_lowercase();
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        bare.parse::<IpAddr>().is_ok() || name == "localhost" || name.ends_with(".localhost") || names.contains(&name)
    }
}

/// `name`, `name:port`, `[v6]:port`, `[v6]` or a bare `v6`, without the port.
fn without_port(host: &str) -> &str {
    let Some((name, port)) = host.rsplit_once(':') else { return host };
    let bare_v6 = name.contains(':') && !name.ends_with(']');
    if bare_v6 || !port.bytes().all(|byte| byte.is_ascii_digit()) { host } else { name }
}

/// What a request passes.
#[derive(Clone)]
pub(crate) struct Gate {
    hosts: Hosts,
    onlooker: Arc<dyn Onlooker>,
}

impl Gate {
    /// The gate of a server that answers to these hosts.
    pub(crate) fn new(hosts: Hosts, onlooker: Arc<dyn Onlooker>) -> Self {
        Self { hosts, onlooker }
    }

    /// The origin of a page of another node that asks what such pages may ask.
    fn kin(&self, request: &Request) -> Option<HeaderValue> {
        if request.uri().path() != "/active" || !matches!(*request.method(), Method::GET | Method::HEAD) {
            return None;
        }
        let origin = request.headers().get(header::ORIGIN)?;
        let (_, authority) = origin.to_str().ok()?.split_once("://")?;
        let nodes = self.onlooker.nodes();
        nodes.iter().any(|node| is_of(node, authority)).then(|| origin.clone())
    }
}

/// Whether pages of that authority are those of a node.
fn is_of(node: &NodeDoc, authority: &str) -> bool {
    let Some(listen) = node.listen else { return false };
    let name = without_port(authority);
    let same_port = authority.rsplit_once(':').and_then(|(_, port)| port.parse().ok()) == Some(listen.port());
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse::<IpAddr>().ok();
    let here = address.is_some_and(|address| address.is_loopback()) || name.eq_ignore_ascii_case("localhost");
    let of_loopback = here && (listen.ip().is_loopback() || listen.ip().is_unspecified());
    same_port && (address == Some(listen.ip()) || of_loopback || name.eq_ignore_ascii_case(&node.host))
}

/// Lets a request through or refuses it, and puts the security headers on every answer.
pub(crate) async fn guard(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let kin = gate.kin(&request);
    if kin.is_some() {
        request.headers_mut().remove(header::ORIGIN);
    }
    let mut response = match refusal(&gate.hosts, request.headers()) {
        Some((code, error, message)) if is_api(request.uri().path()) => {
            Problem::new(code, error, message).into_response()
        }
        Some((code, _, message)) => crate::routes::error(code, message),
        None => next.run(request).await,
    };
    harden(response.headers_mut());
    if let Some(origin) = kin {
        response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("Origin"));
    }
    response
}

/// Why a request is not let in: the status, a word for programs, and what to do.
pub(crate) fn refusal(hosts: &Hosts, headers: &HeaderMap) -> Option<(StatusCode, &'static str, &'static str)> {
    let host = match headers.get(header::HOST).map(HeaderValue::to_str) {
        None => None,
        Some(Ok(host)) => Some(host),
        Some(Err(_)) => return Some((StatusCode::BAD_REQUEST, "invalid", "the Host header is not text")),
    };
    if host.is_some_and(|host| !hosts.admit(host)) {
        let what = "this server does not answer to that host name: ask it by its address, or as localhost";
        return Some((StatusCode::MISDIRECTED_REQUEST, "foreign_host", what));
    }
    let foreign = headers.get(header::ORIGIN).is_some_and(|origin| !same_origin(origin, host));
    foreign.then_some((StatusCode::FORBIDDEN, "foreign_origin", "requests of another origin's pages are refused"))
}

fn same_origin(origin: &HeaderValue, host: Option<&str>) -> bool {
    let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, authority)| authority);
    authority.is_some_and(|authority| host.is_some_and(|host| host.eq_ignore_ascii_case(authority)))
}

const HARDENING: [(HeaderName, &str); 7] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
];

/// What every answer begins with; made once, because copying it costs less than making it.
static HARDENED: LazyLock<HeaderMap> = LazyLock::new(|| {
    let mut headers = HeaderMap::with_capacity(HARDENING.len() * 2);
    headers.extend(HARDENING.map(|(name, value)| (name, HeaderValue::from_static(value))));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers
});

/// Puts the security headers on an answer; what it says of itself stays.
pub(crate) fn harden(headers: &mut HeaderMap) {
    let own = std::mem::replace(headers, HARDENED.clone());
    headers.extend(own);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_answers_to_addresses_localhost_and_given_names_only() {
        let hosts = Hosts::new("127.0.0.1".parse().unwrap(), &["Bench.Example".to_owned()]);
        for good in [
            "127.0.0.1:9090",
            "127.0.0.1",
            "localhost:1",
            "LOCALHOST",
            "[::1]:9090",
            "[::1]",
            "bench.example:80",
            "a.localhost",
        ] {
            assert!(hosts.admit(good), "{good}");
        }
        for bad in
            ["evil.example", "evil.example:9090", "localhost.evil.example", "127.0.0.1.evil.example", "", "xlocalhost"]
        {
            assert!(!hosts.admit(bad), "{bad}");
        }
        assert!(Hosts::new("0.0.0.0".parse().unwrap(), &[]).admit("hb.internal:9090"));
    }

    #[test]
    fn origins_are_compared_with_the_host() {
        let same = |origin: &'static str, host| same_origin(&HeaderValue::from_static(origin), host);
        assert!(same("http://localhost:9090", Some("localhost:9090")));
        assert!(!same("http://localhost:9091", Some("localhost:9090")));
        assert!(!same("null", Some("localhost:9090")));
        assert!(!same("http://evil.example", None));
    }
}
