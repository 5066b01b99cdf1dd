//! The API without a server: the same questions and answers within one process, for those who look at what is stored while no node serves it.

use std::net::{IpAddr, Ipv4Addr};

use axum::body::Body;
use axum::http::{Request, header};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;

use super::Api;

/// Most bytes of an answer (B1).
const ANSWER_MAX: usize = 64 << 20;

impl Api {
    /// Answers one request as a server on loopback would answer somebody without a token: the status, and the body.
    ///
    /// # Errors
    /// The request is none, or the answer is too long; in words.
    pub async fn answer(&self, verb: &str, path: &str, body: Option<Vec<u8>>) -> Result<(u16, Vec<u8>), String> {
        self.answer_with((verb, path), &[], body).await
    }

    /// The same with headers.
    ///
    /// # Errors
    /// As [`Self::answer`].
    pub async fn answer_with(
        &self,
        (verb, path): (&str, &str),
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Result<(u16, Vec<u8>), String> {
        let request = Request::builder().method(verb).uri(path).header(header::CONTENT_TYPE, "application/json");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let request = request.body(Body::from(body.unwrap_or_default())).map_err(|error| error.to_string())?;
        let router = self.router(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let Ok(response) = TowerToHyperService::new(router).call(request).await;
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), ANSWER_MAX).await.map_err(|error| error.to_string())?;
        Ok((status, body.to_vec()))
    }
}
