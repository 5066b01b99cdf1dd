//! One place in a bucket, asked synchronously: a small runtime of its own does the waiting.
//!
//! **Invariants.** Every question has an end: [`Manner::patience`] bounds it, and the library's own retries are off, so that
//! nothing is sent twice without this crate knowing. What a put answered is one of four: done, refused by its condition,
//! certainly not done, or not known.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, Weak, mpsc};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use hb_store::atomic::READ_MAX;
use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    ClientOptions, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload, RetryConfig, UpdateVersion,
};
use tokio::runtime::Runtime;

use super::fault::{Fault, Kind, judge};
use super::http::{Connector, Meter, STATUS};
use super::target::{ObjectTarget, Service, Style};
use crate::target::{Manner, TargetError};

/// Most questions of one page that are under way at once (B1).
pub const PARALLEL: usize = 16;
/// How often a reading that failed is asked again within its patience.
const READ_TRIES: u32 = 6;
/// Pause before the first repetition; it doubles.
const PAUSE: Duration = Duration::from_millis(40);
/// A body may take this much longer for each of its MiB.
const PER_MIB: Duration = Duration::from_secs(1);

/// A place in a bucket. All places of one bucket share connections.
#[derive(Clone)]
pub struct Bucket(Arc<Inner>);

struct Inner {
    target: ObjectTarget,
    patience: Duration,
    line: Arc<Line>,
    thread: Arc<Thread>,
}

/// Connections and credentials, shared by everything that speaks with one bucket in one manner: a thousand watches fetch their
/// credentials once.
struct Line {
    store: Arc<dyn ObjectStore>,
    meter: Arc<Meter>,
}

impl Line {
    fn shared(target: &ObjectTarget, manner: &Manner, keys: Option<&Keys>) -> Result<Arc<Self>, TargetError> {
        static SHARED: Mutex<Vec<(LineKey, Weak<Line>)>> = Mutex::new(Vec::new());
        let key = (target.whole(), manner.patience, keys.cloned());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.retain(|(_, line)| line.strong_count() > 0);
        if let Some(line) = shared.iter().find(|(known, _)| *known == key).and_then(|(_, line)| line.upgrade()) {
            return Ok(line);
        }
        let meter = Arc::new(Meter::default());
        let line = Arc::new(Self { store: store(target, (manner, keys), &meter)?, meter });
        shared.push((key, Arc::downgrade(&line)));
        Ok(line)
    }
}

type LineKey = (ObjectTarget, Duration, Option<Keys>);

/// The one thread that all buckets of a process wait by.
struct Thread {
    /// Only [`Drop`] takes it.
    runtime: Option<Runtime>,
}

impl Thread {
    /// The thread that others use already, or a new one.
    fn shared() -> std::io::Result<Arc<Self>> {
        static SHARED: Mutex<Weak<Thread>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = shared.upgrade() {
            return Ok(thread);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("hb-object")
            .enable_all()
            .build()?;
        let thread = Arc::new(Self { runtime: Some(runtime) });
        *shared = Arc::downgrade(&thread);
        Ok(thread)
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Never waits: the last bucket may go within somebody else's runtime.
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bucket({})", self.0.target)
    }
}

/// Who asks, where the environment does not say it.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    /// Access key id.
    pub id: String,
    /// Secret access key. It is never shown.
    pub secret: String,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.id)
    }
}

/// Requests that were sent, by what they cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Requests {
    /// Puts.
    pub puts: u64,
    /// Pages of lists; they cost what puts cost.
    pub lists: u64,
    /// Gets, also of credentials.
    pub gets: u64,
    /// Deletions; most stores do not charge for them.
    pub deletes: u64,
}

/// What stands at a key.
#[derive(Debug, Clone)]
pub(super) struct Got {
    pub(super) bytes: Vec<u8>,
    pub(super) version: UpdateVersion,
}

/// What became of a put.
#[derive(Debug, Clone)]
pub(super) enum Put {
    Done(UpdateVersion),
    /// The store refused the condition: by its own account nothing was changed by this request.
    Refused(String),
    NotDone(String),
    Unknown(String),
}

impl Bucket {
    /// Opens the place; nothing is asked of it yet.
    ///
    /// # Errors
    /// What is missing or wrong: a certificate, a region, credentials that cannot be read.
    pub fn open(target: &ObjectTarget, manner: &Manner) -> Result<Self, TargetError> {
        Self::open_with(target, manner, None)
    }

    /// The same with keys that are given here instead of by the environment; of use for the S3 interface alone.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_as(target: &ObjectTarget, manner: &Manner, keys: &Keys) -> Result<Self, TargetError> {
        Self::open_with(target, manner, Some(keys))
    }

    fn open_with(target: &ObjectTarget, manner: &Manner, keys: Option<&Keys>) -> Result<Self, TargetError> {
        let line = Line::shared(target, manner, keys)?;
        let thread = Thread::shared().map_err(|fault| TargetError(format!("no thread can be started: {fault}")))?;
        Ok(Self(Arc::new(Inner { target: target.clone(), patience: manner.patience, line, thread })))
    }

    /// Where this is.
    #[must_use]
    pub fn target(&self) -> &ObjectTarget {
        &self.0.target
    }

    /// Requests sent so far to this bucket by everybody in this process who speaks with it in the same manner. None are counted in memory.
    #[must_use]
    pub fn requests(&self) -> Requests {
        let read = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        let Meter { puts, lists, gets, deletes } = &*self.0.line.meter;
        Requests { puts: read(puts), lists: read(lists), gets: read(gets), deletes: read(deletes) }
    }

    pub(super) fn patience(&self) -> Duration {
        self.0.patience
    }

    /// Key as people see it.
    pub(super) fn shown(&self, key: &str) -> String {
        let target = &self.0.target;
        if target.prefix.is_empty() { key.to_owned() } else { format!("{}/{key}", target.prefix) }
    }

    /// What stands at a key.
    pub(super) fn get(&self, key: &str) -> Result<Option<Got>, Fault> {
        let (asker, path) = (self.asker(), self.path(key)?);
        self.run(async move { asker.get(path).await })?
    }

    /// What stands at keys, asked [`PARALLEL`] at a time, in their order.
    pub(super) fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Got>>, Fault> {
        if let [key] = keys {
            return Ok(vec![self.get(key)?]);
        }
        let paths = keys.iter().map(|key| self.path(key)).collect::<Result<Vec<_>, _>>()?;
        let asker = self.asker();
        self.run(async move {
            let each = paths.into_iter().map(|path| {
                let asker = asker.clone();
                async move { asker.get(path).await }
            });
            let found: Vec<_> = futures_util::stream::iter(each).buffered(PARALLEL).collect().await;
            found.into_iter().collect()
        })?
    }

    /// Puts bytes, once: a request that failed is not repeated here.
    pub(super) fn put(&self, key: &str, bytes: &[u8], mode: PutMode) -> Put {
        let path = match self.path(key) {
            Ok(path) => path,
            Err(fault) => return Put::NotDone(fault.what),
        };
        let payload = PutPayload::from(bytes.to_vec());
        let asker = self.asker();
        match self.run(async move { asker.put(path, payload, mode).await }) {
            Ok(put) => put,
            Err(fault) => Put::Unknown(fault.what),
        }
    }

    /// Puts each of the bodies at one key, all at once; for those who want to know what comes of it.
    pub(super) fn put_at_once(&self, key: &str, bodies: &[String], mode: &PutMode) -> Result<Vec<Put>, Fault> {
        let (asker, path) = (self.asker(), self.path(key)?);
        let (bodies, mode) = (bodies.to_vec(), mode.clone());
        self.run(async move {
            let puts = bodies.into_iter().map(|body| asker.put(path.clone(), PutPayload::from(body), mode.clone()));
            futures_util::future::join_all(puts).await
        })
    }

    /// Last parts of the keys below a folder, at most `most`, in no order.
    pub(super) fn list(&self, folder: &str, most: usize) -> Result<Vec<String>, Fault> {
        let (asker, path) = (self.asker(), self.path(folder)?);
        self.run(async move { asker.list(path, most).await })?
    }

    /// Removes keys, [`PARALLEL`] at a time; those that are not there are no fault.
    pub(super) fn remove(&self, keys: &[String]) -> Result<(), Fault> {
        let paths = keys.iter().map(|key| self.path(key)).collect::<Result<Vec<_>, _>>()?;
        let asker = self.asker();
        self.run(async move {
            let each = paths.into_iter().map(|path| {
                let asker = asker.clone();
                async move { asker.remove(path).await }
            });
            let ends: Vec<_> = futures_util::stream::iter(each).buffer_unordered(PARALLEL).collect().await;
            ends.into_iter().collect()
        })?
    }

    fn asker(&self) -> Asker {
        Asker { store: Arc::clone(&self.0.line.store), limit: self.0.patience / 2, patience: self.0.patience }
    }

    fn path(&self, key: &str) -> Result<Path, Fault> {
        Path::parse(self.shown(key)).map_err(|fault| Fault { kind: Kind::Never, what: format!("{key}: {fault}") })
    }

    fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Result<T, Fault> {
        let ended = || Fault { kind: Kind::Unsure, what: "the thread that speaks with the store has ended".to_owned() };
        let runtime = self.0.thread.runtime.as_ref().ok_or_else(ended)?;
        let (answer, answered) = mpsc::sync_channel(1);
        runtime.spawn(async move {
            // Nobody listens any more only when the process is ending.
            answer.send(work.await).unwrap_or_default();
        });
        answered.recv().map_err(|_| ended())
    }
}

/// The asynchronous side.
#[derive(Clone)]
struct Asker {
    store: Arc<dyn ObjectStore>,
    limit: Duration,
    patience: Duration,
}

impl Asker {
    async fn within<T>(
        limit: Duration,
        work: impl Future<Output = object_store::Result<T>> + Send,
    ) -> Result<T, Fault> {
        STATUS
            .scope(std::cell::Cell::new(None), async {
                match tokio::time::timeout(limit, work).await {
                    Ok(Ok(done)) => Ok(done),
                    Ok(Err(error)) => Err(judge(&error, STATUS.with(std::cell::Cell::get))),
                    Err(_) => {
                        let what = format!("no answer within {:.1} s", limit.as_secs_f64());
                        Err(Fault { kind: Kind::Unsure, what })
                    }
                }
            })
            .await
    }

    /// Asks again after faults that may pass, while there is patience.
    async fn again<T, F>(&self, ask: impl Fn() -> F + Send + Sync) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, Fault>> + Send,
    {
        let began = Instant::now();
        let mut tries = 0;
        loop {
            let fault = match ask().await {
                Ok(done) => return Ok(done),
                Err(fault) => fault,
            };
            tries += 1;
            let pause = PAUSE * 2_u32.pow(tries);
            if !fault.may_pass() || tries >= READ_TRIES || began.elapsed() + pause >= self.patience {
                return Err(fault);
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn get(&self, path: Path) -> Result<Option<Got>, Fault> {
        match self.again(|| self.get_once(path.clone())).await {
            Ok(got) => Ok(Some(got)),
            Err(Fault { kind: Kind::Missing, .. }) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    async fn get_once(&self, path: Path) -> Result<Got, Fault> {
        let found = Self::within(self.limit, self.store.get(&path)).await?;
        let version = UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
        let size = found.meta.size;
        if size > READ_MAX {
            let what = format!("{path}: it has {size} bytes, at most {READ_MAX} are read: it is none of hb's");
            return Err(Fault { kind: Kind::Never, what });
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0).min(1 << 20));
        let mut body = found.into_stream();
        // Each piece has its own limit: what comes slowly still comes.
        while let Some(piece) = Self::within(self.limit, async { body.next().await.transpose() }).await? {
            bytes.extend_from_slice(&piece);
            if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > size {
                break;
            }
        }
        if u64::try_from(bytes.len()).ok() != Some(size) {
            let what = format!("{path}: {} of {size} bytes came", bytes.len());
            return Err(Fault { kind: Kind::Unsure, what });
        }
        Ok(Got { bytes, version })
    }

    async fn put(&self, path: Path, payload: PutPayload, mode: PutMode) -> Put {
        let mib = u32::try_from(payload.content_length() >> 20).unwrap_or(u32::MAX);
        let limit = self.limit.saturating_add(PER_MIB.saturating_mul(mib));
        let options = PutOptions { mode, ..PutOptions::default() };
        match Self::within(limit, self.store.put_opts(&path, payload, options)).await {
            Ok(done) => Put::Done(UpdateVersion { e_tag: done.e_tag, version: done.version }),
            Err(Fault { kind: Kind::Condition, what }) => Put::Refused(what),
            Err(Fault { kind: Kind::Missing | Kind::Never, what }) => Put::NotDone(what),
            Err(Fault { kind: Kind::Unsure, what }) => Put::Unknown(what),
        }
    }

    async fn list(&self, folder: Path, most: usize) -> Result<Vec<String>, Fault> {
        self.again(|| self.list_once(folder.clone(), most)).await
    }

    async fn list_once(&self, folder: Path, most: usize) -> Result<Vec<String>, Fault> {
        let mut names = Vec::new();
        let mut page = self.store.list(Some(&folder));
        while names.len() < most {
            // Each page has its own limit: a long list is not a slow store.
            let Some(found) = Self::within(self.limit, async { page.next().await.transpose() }).await? else { break };
            let below = found.location.prefix_match(&folder).map(|parts| {
                let parts: Vec<String> = parts.map(|part| part.as_ref().to_owned()).collect();
                parts.join("/")
            });
            names.extend(below);
        }
        Ok(names)
    }

    async fn remove(&self, path: Path) -> Result<(), Fault> {
        let ask = || {
            let path = path.clone();
            async move { Self::within(self.limit, self.store.delete(&path)).await }
        };
        match self.again(ask).await {
            Ok(()) | Err(Fault { kind: Kind::Missing, .. }) => Ok(()),
            Err(fault) => Err(fault),
        }
    }
}

/// Stores in memory, by name.
static IN_MEMORY: Mutex<BTreeMap<String, Arc<InMemory>>> = Mutex::new(BTreeMap::new());

fn store(
    target: &ObjectTarget,
    (manner, keys): (&Manner, Option<&Keys>),
    meter: &Arc<Meter>,
) -> Result<Arc<dyn ObjectStore>, TargetError> {
    let refused = |error: object_store::Error| TargetError(format!("{target}: {error}"));
    let retry = RetryConfig { max_retries: 0, ..RetryConfig::default() };
    let plain = target.endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://"));
    let options = ClientOptions::new().with_allow_http(plain);
    let connector = || Connector::new(target, manner, Arc::clone(meter));
    Ok(match &target.service {
        Service::Memory => {
            let mut stores = IN_MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::<InMemory>::clone(stores.entry(target.bucket.clone()).or_default())
        }
        Service::S3 { region, style } => {
            let mut builder = AmazonS3Builder::from_env()
                .with_bucket_name(&target.bucket)
                .with_virtual_hosted_style_request(*style == Style::Virtual)
                .with_conditional_put(S3ConditionalPut::ETagMatch)
                // Not every server that speaks S3 knows the deletion of many; single ones cost nothing and need no other right.
                .with_disable_bulk_delete(true)
                .with_client_options(options)
                .with_retry(retry)
                .with_http_connector(connector()?);
            if let Some(region) = region {
                builder = builder.with_region(region);
            }
            if let Some(keys) = keys {
                builder = builder.with_access_key_id(&keys.id).with_secret_access_key(&keys.secret);
            }
            if let Some(endpoint) = &target.endpoint {
                builder = builder.with_endpoint(endpoint);
            }
            Arc::new(builder.build().map_err(refused)?)
        }
        Service::Google => {
            let mut builder = GoogleCloudStorageBuilder::from_env()
                .with_bucket_name(&target.bucket)
                .with_client_options(options)
                .with_retry(retry)
                .with_http_connector(connector()?);
            if let Some(endpoint) = &target.endpoint {
                builder = builder.with_base_url(endpoint);
            }
            Arc::new(builder.build().map_err(refused)?)
        }
        Service::Azure { account } => {
            let mut builder = MicrosoftAzureBuilder::from_env()
                .with_container_name(&target.bucket)
                .with_client_options(options)
                .with_retry(retry)
                .with_http_connector(connector()?);
            if let Some(account) = account {
                builder = builder.with_account(account);
            }
            if let Some(endpoint) = &target.endpoint {
                builder = builder.with_endpoint(endpoint.clone());
            }
            Arc::new(builder.build().map_err(refused)?)
        }
    })
}
