//! What goes wrong with a question to etcd, and what it says about whether the question had an effect.

use serde_json::Value;

use super::target::EtcdTarget;
use crate::line::{Answer, Trouble};

/// How a question failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// It certainly had no effect; another member may do better.
    NotDone(String),
    /// It certainly had no effect, and no other member would answer otherwise.
    Refused(String),
    /// The login is not valid any more.
    Login(String),
    /// It may have had its effect.
    Unknown(String),
}

impl Fault {
    pub(super) fn into_text(self) -> String {
        match self {
            Self::NotDone(what) | Self::Refused(what) | Self::Login(what) | Self::Unknown(what) => what,
        }
    }

    /// What no answer at all means.
    pub(super) fn of_trouble(endpoint: &str, trouble: &Trouble) -> Self {
        let what = format!("etcd at {endpoint}: {trouble}");
        match trouble {
            Trouble::Unsent(_) => Self::NotDone(what),
            Trouble::Lost(_) => Self::Unknown(what),
        }
    }

    /// What an answer means that is no success.
    ///
    /// etcd checks leader, size, rights, space and login before or while it applies a change as a whole, and then changes nothing;
    /// whatever ran out of time or lost its leader on the way may still be applied.
    pub(super) fn of_answer(target: &EtcdTarget, endpoint: &str, answer: &Answer) -> Self {
        let said = message(&answer.body);
        let at = |what: String| format!("etcd at {endpoint}: {what}");
        let Some(said) = said else {
            let what = format!("HTTP status {} and nothing that etcd would say", answer.status);
            return match answer.status {
                404 | 405 => Self::Refused(at(format!(
                    "{what}: it has no JSON gateway under /v3 (etcd 3.4 or later, --enable-grpc-gateway)"
                ))),
                400..500 => Self::Refused(at(what)),
                _ => Self::Unknown(at(what)),
            };
        };
        let has = |part: &str| said.contains(part);
        if has("invalid auth token") || has("revision of auth store is old") {
            Self::Login(at(said))
        } else if has("user name is empty") {
            Self::Refused(at(match &target.user {
                None => "it wants a login: say user= and password_file= in the address".into(),
                Some(_) => said,
            }))
        } else if has("permission denied") {
            let user = target.user.as_ref().map_or("this certificate", |(user, _)| user.as_str());
            Self::Refused(at(format!("{user} may not read and write the keys under {}: {said}", target.prefix)))
        } else if has("authentication failed") {
            Self::Refused(at("user or password is wrong".into()))
        } else if has("database space exceeded") {
            Self::NotDone(at(
                "it is full (alarm NOSPACE) and takes no writes: compact, defragment, then `etcdctl alarm disarm`"
                    .into(),
            ))
        } else if has("corrupt") {
            Self::NotDone(at(format!("it found itself damaged (alarm CORRUPT): {said}")))
        } else if has("no leader") {
            Self::NotDone(at("its cluster has no leader at the moment".into()))
        } else if has("too many requests") || has("server is starting") || has("not capable") {
            Self::NotDone(at(said))
        } else if answer.status < 500
            && !has("timed out")
            && !has("leader changed")
            && !has("stopped")
            && !has("cancel")
        {
            Self::Refused(at(said))
        } else {
            Self::Unknown(at(said))
        }
    }
}

/// What etcd says, in any of its versions' forms.
fn message(body: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let text = |value: &Value| value.as_str().map(|text| text.trim_start_matches("etcdserver: ").to_owned());
    value.get("message").and_then(text).or_else(|| {
        let error = value.get("error")?;
        text(error).or_else(|| error.get("message").and_then(text))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(status: u16, body: &str) -> Fault {
        let target = EtcdTarget::parse("etcd://a/x").unwrap();
        Fault::of_answer(&target, "http://a:2379", &Answer { status, retry_after: None, body: body.into() })
    }

    #[test]
    fn refusals_are_told_from_what_may_have_happened() {
        let say = |text: &str| format!(r#"{{"error":"etcdserver: {text}","message":"etcdserver: {text}","code":0}}"#);
        for (status, body, expected) in [
            (503, say("no leader"), "NotDone"),
            (429, say("mvcc: database space exceeded"), "NotDone"),
            (429, say("too many requests"), "NotDone"),
            (403, say("permission denied"), "Refused"),
            (400, say("user name is empty"), "Refused"),
            (401, say("invalid auth token"), "Login"),
            (400, say("request is too large"), "Refused"),
            (503, say("request timed out"), "Unknown"),
            (503, say("request timed out, possibly due to previous leader failure"), "Unknown"),
            (503, say("leader changed"), "Unknown"),
            (503, say("server stopped"), "Unknown"),
            (408, "{\"error\":\"context canceled\"}".into(), "Unknown"),
            (502, "<html>bad gateway</html>".into(), "Unknown"),
            (404, "404 page not found".into(), "Refused"),
            (500, r#"{"error":{"grpc_code":14,"message":"etcdserver: no leader"}}"#.into(), "NotDone"),
        ] {
            let got = format!("{:?}", fault(status, &body));
            assert!(got.starts_with(expected), "{status} {body}: {got}");
        }
    }

    #[test]
    fn what_to_do_is_said() {
        let full = fault(429, r#"{"message":"etcdserver: mvcc: database space exceeded"}"#).into_text();
        assert!(full.contains("NOSPACE") && full.contains("disarm"), "{full}");
        let login = fault(400, r#"{"message":"etcdserver: user name is empty"}"#).into_text();
        assert!(login.contains("password_file"), "{login}");
    }
}
