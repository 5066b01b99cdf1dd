//! Requests to the API, one after the other: paths, queries, headers and bodies, up to what the supervisor makes of them.

use std::cell::RefCell;
use std::sync::Arc;

use hb_api::{Access, Api};
use tokio::runtime::{Builder, Runtime};

use crate::Room;
use crate::input::Input;

/// Most requests.
const REQUESTS_MAX: usize = 4;
const TOKENS: &str = "owner ADMIN 0123456789abcdef0123456789abcdef\nop OPERATOR operator-0123456789\n\
    dev DEVELOPER developer-0123456789\nr1 AGENT agent-r1-0123456789\n";
const SHOWN: [&str; 5] = [
    "Bearer 0123456789abcdef0123456789abcdef",
    "Bearer operator-0123456789",
    "Bearer developer-0123456789",
    "Bearer agent-r1-0123456789",
    "",
];
const VERBS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

thread_local! {
    static RUNTIME: RefCell<Runtime> = Builder::new_current_thread().enable_time().build().expect("a runtime").into();
}

/// Requests, `\n\0\n` between them: a byte for the verb, one for who asks, the path up to a line feed, `If-Match` up to the next, the body.
///
/// # Panics
/// When an answer says that the server failed, or is none of ours.
pub fn run(data: &[u8]) {
    let access = Access::read(TOKENS).expect("sound tokens");
    let api = Api::new(Arc::new(Room::open()), access);
    let mut rest = data;
    for _ in 0..REQUESTS_MAX {
        let end = rest.windows(3).position(|window| window == b"\n\0\n");
        request(&api, rest.get(..end.unwrap_or(rest.len())).unwrap_or_default());
        let Some(end) = end else { break };
        rest = rest.get(end + 3..).unwrap_or_default();
    }
}

fn request(api: &Api, bytes: &[u8]) {
    let mut input = Input(bytes);
    let verb = input.one_of(&VERBS);
    let token = input.one_of(&SHOWN);
    let mut parts = input.0.splitn(3, |byte| *byte == b'\n');
    let path = Input(parts.next().unwrap_or_default()).text();
    let tag = Input(parts.next().unwrap_or_default()).text();
    let body = parts.next().unwrap_or_default();
    // A stream ends when its client does.
    if path.contains("events/stream") {
        return;
    }
    let mut headers = vec![("authorization", token), ("if-match", tag)];
    headers.retain(|(_, value)| !value.is_empty());
    let asked =
        RUNTIME.with(|runtime| runtime.borrow().block_on(api.answer_with((verb, path), &headers, Some(body.to_vec()))));
    // What is no request of HTTP at all reaches no server.
    let Ok((status, answer)) = asked else { return };
    assert!((200..500).contains(&status), "{verb} {path}: {status} {}", String::from_utf8_lossy(&answer));
    // What is no route has an answer of the server around the API.
    let no_route = answer.is_empty() && matches!(status, 404 | 405);
    if status >= 400 && path.starts_with("/api/v1") && !no_route {
        let problem: serde_json::Value = serde_json::from_slice(&answer).expect("a refusal is a document");
        let said = problem.pointer("/error/message").or_else(|| problem.get("message"));
        assert!(said.is_some_and(serde_json::Value::is_string), "{problem}");
    }
}
