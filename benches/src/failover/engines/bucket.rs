//! A bucket in memory, behind one lock: whatever is asked under a condition is decided at one moment, as S3 promises it.
//!
//! It knows since when each record stands: that is the moment at which the put was done, not that at which somebody looked.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::http::{Answer, Handler, Request, serve};
use super::{Engine, Kind, Place, Way, listening};
use crate::failover::peers::Peer;
use crate::failover::site::WATCH;
use crate::supervise::stage::now;

/// Most names of one page of a list.
const PAGE: usize = 1000;

#[derive(Debug, Clone)]
struct Object {
    bytes: Vec<u8>,
    e_tag: String,
    /// When it was put.
    at: f64,
}

type Objects = Arc<Mutex<BTreeMap<String, Object>>>;

pub(super) struct Bucket {
    objects: Objects,
    port: u16,
}

impl Bucket {
    pub(super) fn start(near: Option<Ipv4Addr>) -> Result<Self, String> {
        let objects = Objects::default();
        let kept = Arc::clone(&objects);
        let handler: Handler = Arc::new(move |request| answer(&mut held(&kept), request));
        let port = serve(&listening(near), &handler)?;
        Ok(Self { objects, port })
    }
}

impl Engine for Bucket {
    fn kind(&self) -> Kind {
        Kind::Object
    }

    fn address(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), self.port))
    }

    fn settings(&self, way: Way<'_>, ttl: f64) -> String {
        let at = way.at.map(|at| at.to_string()).unwrap_or_default();
        let place = way.place;
        format!(
            "journal_url: \"s3://bucket/{place}?endpoint=http://{at}&region=us-east-1\"\nlease: {{ttl_sec: {ttl}}}\n"
        )
    }

    fn environment(&self) -> Vec<(&'static str, &'static str)> {
        vec![("AWS_ACCESS_KEY_ID", "bench"), ("AWS_SECRET_ACCESS_KEY", "bench")]
    }

    fn journal(&self, place: &str, _folder: &Path) -> Result<Box<dyn Place>, String> {
        Ok(Box::new(Records { objects: Arc::clone(&self.objects), prefix: format!("{place}/journal/watch/{WATCH}") }))
    }

    fn peers(&self) -> Vec<Peer> {
        // No program of a distribution takes a lock in a bucket.
        Vec::new()
    }
}

struct Records {
    objects: Objects,
    prefix: String,
}

impl Place for Records {
    fn from(&mut self, seq: u64) -> Result<Vec<(Vec<u8>, f64)>, String> {
        let objects = held(&self.objects);
        let there = |seq: u64| objects.get(&format!("{}/{seq:020}.rec", self.prefix));
        Ok((seq..).map_while(there).map(|object| (object.bytes.clone(), object.at)).collect())
    }
}

fn held(objects: &Objects) -> MutexGuard<'_, BTreeMap<String, Object>> {
    objects.lock().unwrap_or_else(PoisonError::into_inner)
}

fn answer(objects: &mut BTreeMap<String, Object>, request: Request) -> Answer {
    let key = request.path.trim_start_matches('/').split_once('/').map_or("", |(_, key)| key).to_owned();
    match request.method.as_str() {
        "PUT" => put(objects, key, request),
        "DELETE" => {
            objects.remove(&key);
            Answer::Whole { status: 204, headers: Vec::new(), body: Vec::new() }
        }
        "GET" if request.query.contains_key("list-type") => list(objects, &request),
        "GET" | "HEAD" => match objects.get(&key) {
            None => refuse(404, "NoSuchKey"),
            Some(object) => {
                let dated = ("last-modified", "Wed, 21 Oct 2015 07:28:00 GMT".to_owned());
                let body = object.bytes.clone();
                Answer::Whole { status: 200, headers: vec![("etag", object.e_tag.clone()), dated], body }
            }
        },
        _ => refuse(501, "NotImplemented"),
    }
}

fn put(objects: &mut BTreeMap<String, Object>, key: String, request: Request) -> Answer {
    let there = objects.get(&key).map(|object| object.e_tag.as_str());
    let must_not_be = request.headers.get("if-none-match").is_some_and(|value| value == "*");
    match (request.headers.get("if-match"), there) {
        (Some(_), None) => return refuse(404, "NoSuchKey"),
        (Some(wanted), Some(there)) if wanted != there => return refuse(412, "PreconditionFailed"),
        (None, Some(_)) if must_not_be => return refuse(412, "PreconditionFailed"),
        _ => {}
    }
    // As in S3: equal bodies have equal ETags.
    let mut hasher = DefaultHasher::new();
    request.body.hash(&mut hasher);
    let e_tag = format!("\"{:016x}\"", hasher.finish());
    objects.insert(key, Object { bytes: request.body, e_tag: e_tag.clone(), at: now() });
    Answer::Whole { status: 200, headers: vec![("etag", e_tag)], body: Vec::new() }
}

fn list(objects: &BTreeMap<String, Object>, request: &Request) -> Answer {
    let given = |name: &str| request.query.get(name).cloned().unwrap_or_default();
    let (prefix, after) = (given("prefix"), given("start-after").max(given("continuation-token")));
    let mut below = objects.iter().filter(|(key, _)| key.starts_with(&prefix) && **key > after);
    let mut xml = String::from("<?xml version=\"1.0\"?><ListBucketResult>");
    let mut last = String::new();
    for (key, object) in below.by_ref().take(PAGE) {
        xml.push_str(&format!(
            "<Contents><Key>{key}</Key><LastModified>2015-10-21T07:28:00.000Z</LastModified><ETag>{}</ETag><Size>{}</Size></Contents>",
            object.e_tag.replace('"', "&quot;"),
            object.bytes.len()
        ));
        last.clone_from(key);
    }
    let more = below.next().is_some();
    xml.push_str(&format!("<IsTruncated>{more}</IsTruncated>"));
    if more {
        xml.push_str(&format!("<NextContinuationToken>{last}</NextContinuationToken>"));
    }
    xml.push_str("</ListBucketResult>");
    Answer::Whole { status: 200, headers: vec![("content-type", "application/xml".into())], body: xml.into_bytes() }
}

fn refuse(status: u16, code: &str) -> Answer {
    let xml = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{code}</Message></Error>");
    Answer::Whole { status, headers: vec![("content-type", "application/xml".into())], body: xml.into_bytes() }
}
