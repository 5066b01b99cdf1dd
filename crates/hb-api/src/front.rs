//! Who answers a request? Beats their room at once, everything else the router.
//!
//! Nearly all that a large fleet sends is beats, and what a router costs is most of what a beat costs. A beat passes the same guard and the same
//! checks as by the router, in the same order; whatever is not plainly one goes there.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use axum::response::{IntoResponse as _, Response};
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

use crate::guard::{Hosts, harden, refusal};
use crate::v1::{Api, Problem, Reach, is_api_beat};

/// What a connection asks.
#[derive(Clone)]
pub(crate) struct Front {
    app: TowerToHyperService<Router>,
    beats: Option<Arc<Beats>>,
}

/// What a beat passes.
struct Beats {
    api: Api,
    hosts: Hosts,
    reach: Reach,
}

impl Front {
    /// Before this router, for a server at `address` that answers to these names.
    pub(crate) fn new(app: Router, api: Option<&Api>, address: IpAddr, names: &[String]) -> Self {
        let beats = |api: &Api| {
            Arc::new(Beats { api: api.clone(), hosts: Hosts::new(address, names), reach: Reach::of(address) })
        };
        Self { app: TowerToHyperService::new(app), beats: api.filter(|api| api.supervises()).map(beats) }
    }
}

impl Service<Request<Incoming>> for Front {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        match (&self.beats, agent(&request)) {
            (Some(beats), Some(agent)) => {
                let beats = Arc::clone(beats);
                Box::pin(async move { Ok(beats.answer(agent, request).await) })
            }
            (None, _) | (_, None) => Box::pin(self.app.call(request)),
        }
    }
}

impl Beats {
    async fn answer(&self, agent: String, request: Request<Incoming>) -> Response {
        let mut response = match refusal(&self.hosts, request.headers()) {
            Some((code, error, message)) => Problem::new(code, error, message).into_response(),
            None => self.api.beat(agent, request.map(Body::new), self.reach).await,
        };
        harden(response.headers_mut());
        response
    }
}

/// Whose beat a request is; nobody's where that is not plain to see.
fn agent<B>(request: &Request<B>) -> Option<String> {
    if request.method() == Method::POST { is_api_beat(request.uri().path()).map(str::to_owned) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_plainly_a_beat_goes_to_the_router() {
        let of = |method: Method, path: &str| agent(&Request::builder().method(method).uri(path).body(()).unwrap());
        assert_eq!(of(Method::POST, "/api/v1/agents/a-1/beat?x=1"), Some("a-1".to_owned()), "its query is looked at");
        for path in [
            "/api/v1/agents//beat",
            "/api/v1/agents/a/b/beat",
            "/api/v1/agents/a%2fb/beat",
            "/api/v1/agents/a/beat/",
            "/api/v1/agents/a/beats",
            "/api/v1/agents/beat",
            "/v1/agents/a/beat",
        ] {
            assert_eq!(of(Method::POST, path), None, "{path}");
        }
        assert_eq!(of(Method::GET, "/api/v1/agents/a-1/beat"), None);
    }
}
