//! A node as a side of a copy, over its API.
//!
//! Bounds (B1): a request takes at most [`PATIENCE`], an answer has at most the size of a page and one record. The token is read from
//! its file once and never shown. A certificate is always checked.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use hb_core::ids::{Seq, StreamName};
use hb_core::journal::Hash;
use hb_store::sync::{Note, Raw, Side, Standing, SyncError, frames};
use hb_tls::Roots;
use reqwest::blocking::{Client, ClientBuilder, RequestBuilder, Response};
use reqwest::redirect::Policy;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// How long one request may take: the other side may have to make a page of records durable.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// Most bytes of a document in JSON.
const JSON_MAX: usize = 16 << 20;
/// Most bytes of a file with a token.
const TOKEN_MAX: u64 = 4 << 10;

/// See the module.
pub(super) struct Peer {
    url: String,
    token: Option<String>,
    client: Client,
    /// Which baselines were listed; the other side lists them all at once.
    listed: Option<Vec<StreamName>>,
}

/// Whether a token may be sent without encryption to another host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plain {
    /// It is not sent.
    Refused,
    /// Somebody has said that the network can be trusted.
    Allowed,
}

/// Who it is.
#[derive(Debug, Deserialize)]
struct About {
    streams: Vec<StreamName>,
}

/// What it says went wrong.
#[derive(Debug, Deserialize)]
struct Problem {
    message: String,
}

impl Peer {
    /// A client of the node at `url`; nothing is asked yet.
    pub(super) fn open(
        url: &str,
        token_file: Option<&Path>,
        ca_file: Option<&Path>,
        plain: Plain,
    ) -> Result<Self, SyncError> {
        let roots = match (url.starts_with("https://"), ca_file) {
            (false, _) => Roots::None,
            (true, None) => Roots::System,
            (true, Some(path)) => Roots::File(path),
        };
        let refused = |what: String| SyncError::Refused(format!("{url}: {what}"));
        let tls = hb_tls::client(roots, None).map_err(refused)?;
        let client = ClientBuilder::new()
            .tls_backend_preconfigured(tls)
            // Nothing is followed: the token is for this node alone.
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT)
            .timeout(PATIENCE)
            .build()
            .map_err(|error| refused(error.to_string()))?;
        let token = token_file.map(token).transpose().map_err(SyncError::Refused)?;
        if token.is_some() && plain == Plain::Refused && in_clear(url) {
            return Err(SyncError::Refused(format!(
                "{url}: a token that may write every decision would cross the network for all to read; use https:// (a TLS proxy, or a tunnel \
                 that ends at 127.0.0.1), or say `?plain=allow` behind the address where the network itself is trusted"
            )));
        }
        Ok(Self { url: url.to_owned(), token, client, listed: None })
    }

    fn request(&self, method: Method, path: &str, query: &[(&str, String)]) -> RequestBuilder {
        // By hand: names hold slashes and more, and the client's own way of doing it is not built in.
        let mut url = format!("{}/api/v1/sync{path}", self.url);
        for (index, (key, value)) in query.iter().enumerate() {
            url.push(if index == 0 { '?' } else { '&' });
            url.push_str(key);
            url.push('=');
            encode(value, &mut url);
        }
        let request = self.client.request(method, url);
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends, and gives the answer where it is a good one; none where there is none.
    fn send(&self, request: RequestBuilder) -> Result<Option<Response>, SyncError> {
        let response =
            request.send().map_err(|error| SyncError::Unavailable(format!("{}: {}", self.url, chain(&error))))?;
        let status = response.status();
        if status.is_success() {
            return Ok(Some(response));
        }
        if status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let told = self.body(response, JSON_MAX).ok().and_then(|body| serde_json::from_slice::<Problem>(&body).ok());
        let told = told.map_or_else(|| format!("it answers {status}"), |problem| problem.message);
        let told: String = told.chars().take(2_000).collect();
        let what = format!("{}: {told}", self.url);
        Err(match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => SyncError::Refused(format!(
                "{what} (--token-file, or `?token_file=FILE` behind the address, takes a file with an ADMIN token of that node)"
            )),
            StatusCode::CONFLICT | StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => SyncError::Refused(what),
            StatusCode::UNPROCESSABLE_ENTITY => SyncError::Corrupt(what),
            StatusCode::INSUFFICIENT_STORAGE => SyncError::Unwritable(what),
            _ => SyncError::Unavailable(what),
        })
    }

    /// The same where there has to be an answer.
    fn must(&self, request: RequestBuilder) -> Result<Response, SyncError> {
        self.send(request)?.ok_or_else(|| {
            let what = "no copies are served there: is it a node of this version, with `listen` and a token?";
            SyncError::Refused(format!("{}: {what}", self.url))
        })
    }

    fn body(&self, response: Response, most: usize) -> Result<Vec<u8>, SyncError> {
        let mut bytes = Vec::new();
        let bound = u64::try_from(most).unwrap_or(u64::MAX);
        let read = response.take(bound.saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|error| SyncError::Unavailable(format!("{}: the answer broke off: {error}", self.url)))?;
        if bytes.len() > most {
            return Err(SyncError::Refused(format!("{}: its answer has more than {most} bytes", self.url)));
        }
        Ok(bytes)
    }

    fn json<T: DeserializeOwned>(&self, response: Response) -> Result<T, SyncError> {
        let bytes = self.body(response, JSON_MAX)?;
        serde_json::from_slice(&bytes)
            .map_err(|error| SyncError::Refused(format!("{}: its answer cannot be understood: {error}", self.url)))
    }

    fn of_its_own(&self, stream: &StreamName) -> SyncError {
        SyncError::Refused(format!(
            "{}: a node sets its own records aside, nobody else does it for it: stop hb there, and there run `hb checkpoint sync \
             --from` this node `--rebase` ({stream})",
            self.url
        ))
    }

    fn document_path(hash: Hash) -> String {
        format!("/documents/{hash}")
    }
}

/// Whether what is sent there can be read on the way.
fn in_clear(url: &str) -> bool {
    let Some(host) = url.strip_prefix("http://") else { return false };
    let named = host.parse::<std::net::SocketAddr>().map(|address| address.ip());
    let bare = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    match named.or(bare) {
        Ok(address) => !address.is_loopback(),
        Err(_) => host.split(':').next() != Some("localhost"),
    }
}

/// Reads a token, of which nobody else may know.
fn token(path: &Path) -> Result<String, String> {
    let failed = |what: String| format!("the token file {}: {what}", path.display());
    let file = std::fs::File::open(path).map_err(|error| failed(error.to_string()))?;
    let mut text = String::new();
    file.take(TOKEN_MAX).read_to_string(&mut text).map_err(|error| failed(error.to_string()))?;
    let token = text.lines().next().unwrap_or_default().trim();
    if token.is_empty() || !token.chars().all(|c| c.is_ascii_graphic()) {
        return Err(failed("its first line is no token".into()));
    }
    Ok(token.to_owned())
}

fn encode(value: &str, into: &mut String) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            into.push(char::from(byte));
        } else {
            into.push_str(&format!("%{byte:02X}"));
        }
    }
}

/// An error with what is behind it.
fn chain(fault: &reqwest::Error) -> String {
    let mut text = fault.to_string();
    let mut inner = std::error::Error::source(fault);
    while let Some(cause) = inner {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        inner = cause.source();
    }
    text
}

fn of(stream: &StreamName) -> (&'static str, String) {
    ("stream", stream.to_string())
}

impl Side for Peer {
    fn name(&self) -> &str {
        &self.url
    }

    fn streams(&mut self) -> Result<Option<Vec<StreamName>>, SyncError> {
        if self.listed.is_none() {
            let about: About = self.json(self.must(self.request(Method::GET, "", &[]))?)?;
            self.listed = Some(about.streams);
        }
        Ok(self.listed.clone())
    }

    fn standing(&mut self, stream: &StreamName) -> Result<Standing, SyncError> {
        self.json(self.must(self.request(Method::GET, "/standing", &[of(stream)]))?)
    }

    fn read(&mut self, stream: &StreamName, from: Seq, most: usize) -> Result<Vec<Raw>, SyncError> {
        let query = [of(stream), ("from", from.to_string()), ("most", most.to_string())];
        let body = self.body(self.must(self.request(Method::GET, "/records", &query))?, frames::BODY_MAX)?;
        frames::decode(&body)
            .map_err(|what| SyncError::Unavailable(format!("{}: its answer is no page of records: {what}", self.url)))
    }

    fn append(&mut self, stream: &StreamName, page: Vec<Raw>) -> Result<(), SyncError> {
        let request = self.request(Method::POST, "/records", &[of(stream)]).body(frames::encode(&page));
        self.must(request).map(drop)
    }

    fn begin(&mut self, stream: &StreamName, seen: Option<Seq>, page: Vec<Raw>) -> Result<(), SyncError> {
        let mut query = vec![of(stream)];
        query.extend(seen.map(|seen| ("seen", seen.to_string())));
        self.must(self.request(Method::POST, "/begin", &query).body(frames::encode(&page))).map(drop)
    }

    fn trim(&mut self, stream: &StreamName, floor: Seq) -> Result<u64, SyncError> {
        let response = self.must(self.request(Method::POST, "/trim", &[of(stream), ("floor", floor.to_string())]))?;
        let gone: BTreeMap<String, u64> = self.json(response)?;
        Ok(gone.get("removed").copied().unwrap_or(0))
    }

    fn document(&mut self, hash: Hash) -> Result<Option<Vec<u8>>, SyncError> {
        let found = self.send(self.request(Method::GET, &Self::document_path(hash), &[]))?;
        let Some(response) = found else { return Ok(None) };
        let bytes = self.body(response, frames::BODY_MAX)?;
        if Hash::of(&bytes) == hash {
            return Ok(Some(bytes));
        }
        Err(SyncError::Corrupt(format!("{}: what it gives as document {hash} has another hash", self.url)))
    }

    fn has_document(&mut self, hash: Hash) -> Result<bool, SyncError> {
        Ok(self.send(self.request(Method::HEAD, &Self::document_path(hash), &[]))?.is_some())
    }

    fn keep(&mut self, hash: Hash, bytes: &[u8]) -> Result<(), SyncError> {
        let request = self.request(Method::PUT, &Self::document_path(hash), &[]).body(bytes.to_vec());
        self.must(request).map(drop)
    }

    fn note(&mut self) -> Result<Option<Note>, SyncError> {
        let found = self.send(self.request(Method::GET, "/note", &[]))?;
        found.map(|response| self.json(response)).transpose()
    }

    fn leave(&mut self, note: &Note) -> Result<(), SyncError> {
        self.must(self.request(Method::PUT, "/note", &[]).body(note.to_bytes())).map(drop)
    }

    fn beside(&mut self, stream: &StreamName) -> Result<Box<dyn Side>, SyncError> {
        Err(self.of_its_own(stream))
    }

    fn forget_beside(&mut self, stream: &StreamName) -> Result<(), SyncError> {
        Err(self.of_its_own(stream))
    }

    fn swap(&mut self, stream: &StreamName) -> Result<String, SyncError> {
        Err(self.of_its_own(stream))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_read_from_their_file_and_faults_do_not_show_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        assert!(token(&path).unwrap_err().contains("token file"));
        std::fs::write(&path, "0123456789abcdef\nmore\n").unwrap();
        assert_eq!(token(&path).unwrap(), "0123456789abcdef");
        std::fs::write(&path, "secret with\tblanks\n").unwrap();
        let told = token(&path).unwrap_err();
        assert!(told.contains("no token") && !told.contains("secret"), "{told}");
        std::fs::write(&path, "\n").unwrap();
        assert!(token(&path).is_err());
    }

    #[test]
    fn a_token_does_not_cross_a_network_in_clear_unless_that_is_wanted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "0123456789abcdef\n").unwrap();
        for url in
            ["http://b.example:9090", "http://10.0.0.7:9090", "http://[fd00::7]:9090", "http://127.0.0.1.example:1"]
        {
            let Err(SyncError::Refused(told)) = Peer::open(url, Some(&path), None, Plain::Refused) else {
                panic!("{url}")
            };
            assert!(told.contains("https://") && told.contains("plain=allow") && !told.contains("0123"), "{told}");
            assert!(Peer::open(url, Some(&path), None, Plain::Allowed).is_ok(), "{url}");
            assert!(Peer::open(url, None, None, Plain::Refused).is_ok(), "{url}: nothing secret is sent");
        }
        for url in ["http://127.0.0.1:9090", "http://[::1]:9090", "http://localhost:9090", "http://127.0.0.1"] {
            assert!(Peer::open(url, Some(&path), None, Plain::Refused).is_ok(), "{url}");
        }
    }

    #[test]
    fn names_of_streams_travel_as_they_are() {
        let mut text = String::new();
        encode("watch/a b&c=d/ü", &mut text);
        assert_eq!(text, "watch/a%20b%26c%3Dd/%C3%BC");
    }

    #[test]
    fn nobody_there_may_be_somebody_later() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let told = Peer::open(&url, None, None, Plain::Refused).unwrap().standing(&"watch/a".into());
        assert!(matches!(told, Err(SyncError::Unavailable(what)) if what.starts_with(&url)));
        assert!(
            Peer::open("https://x", None, Some(Path::new("nowhere.pem")), Plain::Refused).is_err(),
            "certificates are checked"
        );
    }
}
