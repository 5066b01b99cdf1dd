//! The parts of the page as they are handed out: compressed once, and known by a tag, so that a browser takes each once.

use std::collections::BTreeMap;
use std::io::Write as _;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};

macro_rules! modules {
    ($($path:literal),* $(,)?) => {
        /// The modules of the page, by where they are found below `/page/`.
        pub(super) const MODULES: &[(&str, &str)] = &[$(($path, include_str!($path))),*];
    };
}

modules![
    "js/main.js",
    "js/actions.js",
    "js/api.js",
    "js/band.js",
    "js/chart.js",
    "js/dialog.js",
    "js/dom.js",
    "js/failover.js",
    "js/format.js",
    "js/keys.js",
    "js/list.js",
    "js/router.js",
    "js/session.js",
    "js/sign.js",
    "js/store.js",
    "js/stream.js",
    "js/supervised.js",
    "js/theme.js",
    "js/timeline.js",
    "js/verdict.js",
    "js/views/agent.js",
    "js/views/events.js",
    "js/views/health.js",
    "js/views/intervention.js",
    "js/views/overview.js",
    "js/views/policy.js",
    "js/views/supervisor.js",
    "js/views/watch.js",
];

/// The style sheets.
const STYLES: &[(&str, &str)] = &[("theme.css", include_str!("theme.css")), ("page.css", include_str!("page.css"))];

/// One part, ready to be sent.
#[derive(Debug)]
pub(super) struct Packed {
    kind: &'static str,
    plain: Bytes,
    gzip: Bytes,
    tag: HeaderValue,
}

impl Packed {
    pub(super) fn of(kind: &'static str, text: impl Into<Bytes>) -> Self {
        let plain = text.into();
        let digest: String = Sha256::digest(&plain).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let tag = HeaderValue::from_str(&format!("\"{digest}\"")).expect("hexadecimal digits are ASCII");
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        let written = encoder.write_all(&plain).and_then(|()| encoder.finish());
        let gzip = written.expect("writing to memory does not fail").into();
        Self { kind, plain, gzip, tag }
    }

    /// The part for who asks with these headers.
    pub(super) fn answer(&self, headers: &HeaderMap) -> Response {
        let of_sender = |name| headers.get(name).and_then(|value| HeaderValue::to_str(value).ok()).unwrap_or_default();
        let tag = self.tag.to_str().unwrap_or_default();
        let shared = [
            (header::ETAG, self.tag.clone()),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            (header::VARY, HeaderValue::from_static("Accept-Encoding")),
            (header::CONTENT_TYPE, HeaderValue::from_static(self.kind)),
        ];
        if of_sender(header::IF_NONE_MATCH).split(',').any(|known| known.trim() == tag) {
            return (StatusCode::NOT_MODIFIED, shared).into_response();
        }
        let zipped = of_sender(header::ACCEPT_ENCODING).split(',').any(|coding| coding.trim().starts_with("gzip"));
        if zipped {
            let coding = [(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"))];
            return (shared, coding, self.gzip.clone()).into_response();
        }
        (shared, self.plain.clone()).into_response()
    }

    /// Bytes that go over the line.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.gzip.len()
    }
}

/// All parts but the page itself.
#[derive(Debug)]
pub(super) struct Shelf(BTreeMap<&'static str, Packed>);

impl Shelf {
    pub(super) fn stocked() -> Self {
        let pack = |kind: &'static str| {
            move |(path, text): &(&'static str, &'static str)| (*path, Packed::of(kind, text.as_bytes()))
        };
        let styles = STYLES.iter().map(pack("text/css; charset=utf-8"));
        let modules = MODULES.iter().map(pack("text/javascript; charset=utf-8"));
        Self(styles.chain(modules).collect())
    }

    pub(super) fn get(&self, path: &str) -> Option<&Packed> {
        self.0.get(path)
    }

    /// The modules, the first one first.
    pub(super) fn modules(&self) -> impl Iterator<Item = &'static str> {
        MODULES.iter().map(|(path, _)| *path)
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.0.values().map(Packed::bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn a_part_is_sent_once_and_compressed_for_who_takes_it() {
        let packed = Packed::of("text/css", "a".repeat(1000));
        let zipped = packed.answer(&with(header::ACCEPT_ENCODING, "br, gzip;q=0.5"));
        assert_eq!(zipped.headers()[header::CONTENT_ENCODING], "gzip");
        let plain = packed.answer(&HeaderMap::new());
        assert!(plain.headers().get(header::CONTENT_ENCODING).is_none());
        let tag = plain.headers()[header::ETAG].to_str().unwrap().to_owned();
        assert_eq!(packed.answer(&with(header::IF_NONE_MATCH, &tag)).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(packed.answer(&with(header::IF_NONE_MATCH, "\"x\"")).status(), StatusCode::OK);
    }
}
