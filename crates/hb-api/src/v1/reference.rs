//! The API as a page of documentation: the rules that hold for all of it, and the table of routes.

use std::fmt::Write as _;

use hb_core::supervise::input::Role;

use super::access::Needs;
use super::table::{Gives, Route, Takes, routes};

const RULES: &str = "\
# API

This page is made by `cargo xtask docs` from the table of routes. A node that supervises serves the API beside its health, at `listen`;
`/api/v1/openapi.json` is the same as an OpenAPI 3.1 document, with every schema.

## Who may

- Where no `tokens_file` is configured, `output_dir/api.token` is made for the owner (readable by the owner alone): its token may everything. On loopback,
  looking and beating need no token then; beyond loopback everything does.
- A `tokens_file` has lines of NAME ROLE TOKEN, and comments that begin with `#`. It must not be readable by everybody. Everything needs a token then.
- Tokens are shown as `Authorization: Bearer TOKEN`. `DEVELOPER` looks and simulates; `OPERATOR` also starts, stops, pauses and asks for interventions; `ADMIN` also
  rules policies and agrees to interventions; `AGENT` hands in beats of the agent that its NAME is, or of any where the NAME is `*`.
- The audit log names who it was as `token:NAME`. Values of environments are shown to `OPERATOR` and `ADMIN` only.
- Requests that name a foreign `Host` or `Origin` are refused, as for all pages of hb.

## What holds everywhere

- An answer to a change is given when the change is durable. 504 says that it was taken and is not durable yet: look before trying again.
- Errors have one shape: `error` (a word for programs), `message` (what is wrong and what to do), `details` with `field` and `constraint`, and `faults` where a document
  has several, each with its path and its place.
- Statuses: 400 it makes no sense, 401 no token, 403 not for them, 404 no such thing, 409 it does not go with what there is, 412 changed meanwhile, 413 too large,
  415 not JSON, 429 too often or a bound is reached, 503 busy, or this node stands by: `details.active` names the one to ask.
- Lists have `items`, and `next` when there is more: `skip` for what there is now, `after` for history. `limit` is 1 to 1000, 100 where it is not said.
- Unknown fields and unknown parameters are refused. A body has at most 256 KB.
- `ETag` of what can be changed begins with its version; `If-Match` with it refuses to change what somebody else has changed meanwhile. That is
  looked at by the supervisor with the change itself: of two who saw the same version one is told 412.
- `If-None-Match` with the `ETag` of an answer to a look gives 304 as long as nothing in it is another.
- A change with an `Idempotency-Key` (up to 200 printable characters) is carried out once, however often it is sent, by whichever node, and across
  crashes: what it came to is on record with the change. Sent again it is answered as before, about the thing as it is by then, with
  `Idempotency-Replayed: true`. Another request under the same key is refused with 409. A refusal is not remembered. Keys belong to the token; the
  newest 4096 are remembered.
- Tokens are read again with the configuration: by SIGHUP, or `POST /api/v1/config/reload`.
- A standby answers questions from what it has read along, at most a moment behind.
- Events are followed by server-sent events; there is no WebSocket: who follows has nothing to say, and what `supervisor:status`, `:processes`, `:events` and
  `:shutdown` told apart is told apart by `kind` (`supervisor.*`, `agent.*`, …).
- `/api/v1/events/stream` sends events as they happen, without gaps; `Last-Event-ID` resumes. An `event: gap` says that events were asked for which are not kept any more.
- A beat's `checksum`, where it has one, is the SHA-256 of the rest as JSON with sorted keys, in hexadecimal digits.

## Routes
";

/// The page.
#[must_use]
pub fn markdown() -> String {
    let mut page = RULES.to_owned();
    let mut rooms: Vec<&str> = Vec::new();
    for route in routes() {
        if !rooms.contains(&route.room) {
            rooms.push(route.room);
        }
    }
    for room in rooms {
        write!(page, "\n### {room}\n\n| route | needs | takes | gives | |\n|---|---|---|---|---|\n")
            .expect("writing to a string does not fail");
        for route in routes().filter(|route| route.room == room) {
            line(&mut page, route);
        }
    }
    page
}

fn line(page: &mut String, route: &Route) {
    let needs = match route.needs {
        Needs::Look => "DEVELOPER",
        Needs::Beat | Needs::Role(Role::Agent) => "AGENT",
        Needs::Role(Role::Developer) => "DEVELOPER",
        Needs::Role(Role::Operator) => "OPERATOR",
        Needs::Role(Role::Admin) => "ADMIN",
    };
    let takes = match route.takes {
        Takes::Nothing => String::new(),
        Takes::Json(schema) => schema.to_owned(),
        Takes::Maybe(schema) => format!("{schema}?"),
    };
    let gives = match route.gives {
        Gives::Json(schema) => format!("200 {schema}"),
        Gives::List(schema) => format!("200 list of {schema}"),
        Gives::Created(schema) => format!("201 {schema}"),
        Gives::Accepted(schema) => format!("202 {schema}"),
        Gives::Nothing => "204".to_owned(),
        Gives::Stream => "200 events".to_owned(),
        Gives::Page => "200 page".to_owned(),
    };
    let query: Vec<String> = route.query.iter().map(|(name, _, _)| format!("`{name}`")).collect();
    let query = if query.is_empty() { String::new() } else { format!(" Parameters: {}.", query.join(", ")) };
    let (verb, path, says) = (route.verb.as_str(), route.full_path(), route.says);
    writeln!(page, "| `{verb} {path}` | {needs} | {takes} | {gives} | {says}{query} |")
        .expect("writing to a string does not fail");
}
