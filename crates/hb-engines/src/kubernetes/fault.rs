//! What goes wrong with a question to an API server, and what it says about whether the question had an effect.

use std::time::Duration;

use serde::Deserialize;

use super::target::KubernetesTarget;
use crate::line::{Answer, Trouble};

/// What may be done with a Lease object, in the words of roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Delete,
}

impl Verb {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }

    pub(super) fn changes(self) -> bool {
        matches!(self, Self::Create | Self::Update | Self::Delete)
    }
}

/// How a question failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// The object is not there.
    Absent,
    /// It has another version, or is there already.
    Conflict,
    /// What the question referred to is too old: begin anew.
    Gone(String),
    /// The token is not taken.
    Login(String),
    /// The server asks to be left alone for a while; nothing was done.
    Busy(String, Duration),
    /// It certainly had no effect.
    NotDone(String),
    /// It may have had its effect.
    Unknown(String),
}

impl Fault {
    pub(super) fn into_text(self) -> String {
        match self {
            Self::Absent => "the Lease is not there".into(),
            Self::Conflict => "the Lease has another version".into(),
            Self::Gone(what) | Self::Login(what) | Self::Busy(what, _) | Self::NotDone(what) | Self::Unknown(what) => {
                what
            }
        }
    }

    /// What no answer at all means.
    pub(super) fn of_trouble(target: &KubernetesTarget, trouble: &Trouble) -> Self {
        let what = format!("API server {}: {trouble}", target.server);
        match trouble {
            Trouble::Unsent(_) => Self::NotDone(what),
            Trouble::Lost(_) => Self::Unknown(what),
        }
    }

    /// What an answer means that is no success.
    pub(super) fn of_answer(target: &KubernetesTarget, verb: Verb, object: &str, answer: &Answer) -> Self {
        let status: Status = serde_json::from_slice(&answer.body).unwrap_or_default();
        let said = if status.message.is_empty() { format!("HTTP status {}", answer.status) } else { status.message };
        let at = |what: String| format!("API server {}: {what}", target.server);
        let verb_name = verb.as_str();
        match answer.status {
            // Only a server that names the object knows that it is not there; anything else is a wrong address or namespace.
            404 if status.reason == "NotFound" && status.details.name == object && verb != Verb::Create => Self::Absent,
            404 => Self::NotDone(at(format!("{said} (no such server, namespace or kind)"))),
            409 if matches!(status.reason.as_str(), "Conflict" | "AlreadyExists") => Self::Conflict,
            410 => Self::Gone(at(said)),
            401 => Self::Login(at(match &target.token_file {
                Some(file) => format!("the token in {} is not taken: {said}", file.display()),
                None => format!("it wants to know who asks: say token_file= or cert_file=: {said}"),
            })),
            403 => Self::NotDone(at(format!(
                "the right to {verb_name} leases in namespace {} is missing; a role for that is in packaging/kubernetes: {said}",
                target.namespace
            ))),
            429 => {
                let asked = answer.retry_after.or(status.details.retry_after_seconds.map(Duration::from_secs));
                Self::Busy(at(format!("it is busy: {said}")), asked.unwrap_or(Duration::from_secs(1)))
            }
            400..500 => Self::NotDone(at(said)),
            _ => Self::Unknown(at(said)),
        }
    }
}

/// What the server says of a failure.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    pub(super) message: String,
    pub(super) reason: String,
    pub(super) code: u16,
    details: Details,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Details {
    name: String,
    retry_after_seconds: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::target::Surroundings;

    fn fault(verb: Verb, status: u16, body: &str) -> Fault {
        let url = "kubernetes://lab/hb?server=https://k8s&token_file=/t";
        let target = KubernetesTarget::parse_in(url, &Surroundings::default()).unwrap();
        Fault::of_answer(&target, verb, "hb.a", &Answer { status, retry_after: None, body: body.into() })
    }

    #[test]
    fn refusals_are_told_from_what_may_have_happened() {
        let absent = r#"{"reason":"NotFound","message":"leases \"hb.a\" not found","details":{"name":"hb.a"}}"#;
        assert_eq!(fault(Verb::Get, 404, absent), Fault::Absent);
        let elsewhere = r#"{"reason":"NotFound","message":"namespaces \"lab\" not found","details":{"name":"lab"}}"#;
        assert!(matches!(fault(Verb::Create, 404, elsewhere), Fault::NotDone(_)));
        assert!(matches!(fault(Verb::Get, 404, "404 page not found"), Fault::NotDone(_)));
        assert_eq!(fault(Verb::Update, 409, r#"{"reason":"Conflict"}"#), Fault::Conflict);
        assert_eq!(fault(Verb::Create, 409, r#"{"reason":"AlreadyExists"}"#), Fault::Conflict);
        assert!(matches!(fault(Verb::Update, 500, "{}"), Fault::Unknown(_)));
        assert!(matches!(fault(Verb::Update, 504, r#"{"reason":"Timeout"}"#), Fault::Unknown(_)));
        assert!(matches!(fault(Verb::Watch, 410, r#"{"reason":"Expired"}"#), Fault::Gone(_)));
        let busy = r#"{"reason":"TooManyRequests","details":{"retryAfterSeconds":3}}"#;
        assert!(matches!(fault(Verb::Update, 429, busy), Fault::Busy(_, wait) if wait == Duration::from_secs(3)));
    }

    #[test]
    fn what_is_missing_is_named() {
        let said = fault(Verb::Update, 403, r#"{"reason":"Forbidden","message":"forbidden"}"#).into_text();
        assert!(said.contains("right to update leases in namespace lab"), "{said}");
        let said = fault(Verb::Get, 401, r#"{"message":"Unauthorized"}"#).into_text();
        assert!(said.contains("/t is not taken"), "{said}");
    }
}
