//! How requests leave: with our TLS, counted, and with the status that came back noted beside the error that the library makes
//! of it (412 and 409 are one error there, and mean different things here).

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hb_tls::Roots;
use object_store::ClientOptions;
use object_store::client::{HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService};
use reqwest::redirect::Policy;

use super::target::ObjectTarget;
use crate::target::{Manner, TargetError};

/// How long an idle connection is kept for the next request.
const IDLE: Duration = Duration::from_secs(60);

tokio::task_local! {
    /// Status of the newest answer within this question.
    pub(super) static STATUS: Cell<Option<u16>>;
}

/// How many requests left, by what they cost: stores charge about twelve times as much for the first kind.
#[derive(Debug, Default)]
pub(super) struct Meter {
    pub(super) puts: AtomicU64,
    pub(super) lists: AtomicU64,
    pub(super) gets: AtomicU64,
    pub(super) deletes: AtomicU64,
}

impl Meter {
    fn count(&self, request: &HttpRequest) {
        let query = request.uri().query().unwrap_or_default();
        let kind = match request.method().as_str() {
            "PUT" | "POST" => &self.puts,
            "DELETE" => &self.deletes,
            _ if query.contains("list-type=") || query.contains("comp=list") => &self.lists,
            _ => &self.gets,
        };
        kind.fetch_add(1, Ordering::Relaxed);
    }
}

/// Makes clients for the library.
#[derive(Debug)]
pub(super) struct Connector {
    client: reqwest::Client,
    meter: Arc<Meter>,
}

impl Connector {
    /// # Errors
    /// When TLS cannot be set up; names the file.
    pub(super) fn new(target: &ObjectTarget, manner: &Manner, meter: Arc<Meter>) -> Result<Self, TargetError> {
        let roots = target.ca_file.as_deref().map_or(Roots::System, Roots::File);
        let tls = hb_tls::client(roots, None).map_err(TargetError)?;
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            // A redirect means a wrong region: the library says so.
            .redirect(Policy::none())
            .connect_timeout(manner.patience)
            .pool_idle_timeout(IDLE)
            .build()
            .map_err(|fault| TargetError(format!("no HTTP client can be made: {fault}")))?;
        Ok(Self { client, meter })
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Noting { client: self.client.clone(), meter: Arc::clone(&self.meter) }))
    }
}

/// Counts every request, and notes the status of its answer.
#[derive(Debug)]
struct Noting {
    client: reqwest::Client,
    meter: Arc<Meter>,
}

impl HttpService for Noting {
    fn call<'life0, 'async_trait>(
        &'life0 self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'async_trait>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async move {
            note(None);
            self.meter.count(&request);
            let answer = HttpService::call(&self.client, request).await;
            if let Ok(answer) = &answer {
                note(Some(answer.status().as_u16()));
            }
            answer
        })
    }
}

fn note(status: Option<u16>) {
    // Credentials may be fetched outside of any question: nobody asks for their status.
    STATUS.try_with(|noted| noted.set(status)).unwrap_or_default();
}
