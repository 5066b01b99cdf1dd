//! What an error looks like: `{error, message, details}` with the right status, whatever went wrong.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hb_core::supervise::policy::fault::Fault;
use hb_core::supervise::step::{Refusal, Why};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::seam::Elsewhere;

/// Whether a path is one of the API, whose errors have this shape.
pub(crate) fn is_api(path: &str) -> bool {
    path.starts_with("/api/") || path == "/api"
}

/// Why a request was not answered as it was meant.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    error: &'static str,
    message: String,
    details: Map<String, Value>,
    /// What stands beside the three.
    top: Map<String, Value>,
}

#[derive(Serialize)]
struct Body<'a> {
    error: &'a str,
    message: &'a str,
    details: &'a Map<String, Value>,
    #[serde(flatten)]
    top: &'a Map<String, Value>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, error: &'static str, message: impl Into<String>) -> Self {
        Self { status, error, message: message.into(), details: Map::new(), top: Map::new() }
    }

    pub(crate) fn detail(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.details.insert(key.to_owned(), value.into());
        self
    }

    /// Stands beside error, message and details.
    pub(crate) fn top(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.top.insert(key.to_owned(), value.into());
        self
    }

    /// Because of this field, which had to be so.
    pub(crate) fn field(self, field: impl Into<String>, constraint: impl Into<String>) -> Self {
        self.detail("field", field.into()).detail("constraint", constraint.into())
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", message)
    }

    pub(crate) fn not_found(what: &str, id: &str) -> Self {
        let id: String = id.chars().take(100).collect();
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("there is no {what} {id}")).field(what, "a known one")
    }

    pub(crate) fn busy(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message)
    }

    /// This node stands by; the body names the one that does not.
    pub(crate) fn standby(elsewhere: Option<Elsewhere>) -> Self {
        let problem = |message: String| Self::new(StatusCode::SERVICE_UNAVAILABLE, "standby", message);
        match elsewhere {
            Some(other) => {
                let place = other.address.clone().unwrap_or_else(|| format!("node {}", other.node));
                let message = format!("this node stands by: ask the active one, {place}");
                problem(message).detail("active", json!(other))
            }
            None => problem("this node stands by, and no other has said that it is active: try again soon".into()),
        }
    }

    /// All faults of a policy, each with its path and place.
    pub(crate) fn policy(faults: &[Fault]) -> Self {
        let message = faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        let problem = Self::invalid(message).detail("faults", json!(faults));
        match faults.first() {
            Some(first) => {
                let constraint = first.expected.as_deref().unwrap_or(&first.message).to_owned();
                problem.field(first.path.clone(), constraint)
            }
            None => problem,
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let (status, error) = match refusal.why {
            Why::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Why::Invalid => (StatusCode::BAD_REQUEST, "invalid"),
            Why::Conflict => (StatusCode::CONFLICT, "conflict"),
            Why::Forbidden => (StatusCode::FORBIDDEN, "forbidden"),
            Why::Stale => (StatusCode::PRECONDITION_FAILED, "stale"),
            Why::TooMany => (StatusCode::TOO_MANY_REQUESTS, "too_many"),
        };
        let problem = Self::new(status, error, refusal.message);
        let problem = match refusal.field {
            Some(field) => problem.detail("field", field),
            None => problem,
        };
        match refusal.constraint {
            Some(constraint) => problem.detail("constraint", constraint),
            None => problem,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = Body { error: self.error, message: &self.message, details: &self.details, top: &self.top };
        let mut text = serde_json::to_string(&body).expect("texts and JSON values can be written as JSON");
        text.push('\n');
        let json = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        let mut response = (self.status, json, text).into_response();
        let headers = response.headers_mut();
        match self.status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"hb\""));
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}
