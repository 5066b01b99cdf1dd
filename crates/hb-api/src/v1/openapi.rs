//! The OpenAPI 3.1 document, made of the table of routes and the schemas.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde_json::{Map, Value, json};

use hb_core::supervise::bounds::REQUEST_KEY_MAX;

use super::access::Needs;
use super::rate::Kind;
use super::schemas;
use super::table::{Gives, Route, Takes, Verb, routes};

/// Which OpenAPI it is.
const OPENAPI: &str = "3.1.0";

/// The document as it is served.
pub(super) fn text() -> String {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| document().to_string()).clone()
}

/// The document.
pub(super) fn document() -> Value {
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for route in routes() {
        paths.entry(route.full_path()).or_default().insert(route.verb.as_str().to_lowercase(), operation(route));
    }
    let mut rooms: Vec<&str> = routes().map(|route| route.room).collect();
    rooms.sort_unstable();
    rooms.dedup();
    json!({
        "openapi": OPENAPI,
        "info": {
            "title": "hb",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Agents, their supervisors, the policies that judge them and the interventions that come of it. An answer to a change is \
                            given when the change is durable. Errors have one shape: error, message, details.",
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": rooms.into_iter().map(|room| json!({"name": room})).collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "schemas": schemas::all(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    })
}

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

fn operation(route: &Route) -> Value {
    let security = match route.needs {
        Needs::Look | Needs::Beat => json!([{"token": []}, {}]),
        Needs::Role(_) => json!([{"token": []}]),
    };
    let body = |schema: &str, required: Value| json!({"required": required, "content": {"application/json": {"schema": reference(schema)}}});
    let mut operation = Map::new();
    match route.takes {
        Takes::Nothing => {}
        Takes::Json(schema) => drop(operation.insert("requestBody".to_owned(), body(schema, true.into()))),
        Takes::Maybe(schema) => drop(operation.insert("requestBody".to_owned(), body(schema, false.into()))),
    }
    let rest = json!({
        "operationId": route.name,
        "summary": route.says,
        "tags": [route.room],
        "security": security,
        "parameters": parameters(route),
        "responses": responses(route),
    });
    if let Value::Object(rest) = rest {
        operation.extend(rest);
    }
    Value::Object(operation)
}

fn parameters(route: &Route) -> Vec<Value> {
    let parts = route.path.split('/').filter_map(|part| part.strip_prefix('{').and_then(|part| part.strip_suffix('}')));
    let of_path = parts.map(|name| {
        let schema = match name {
            "event_id" | "evaluation_id" | "cycle" => schemas::parameter("number"),
            "version" => schemas::parameter("version"),
            _ => schemas::parameter("id"),
        };
        json!({"name": name, "in": "path", "required": true, "schema": schema})
    });
    let of_query = route.query.iter().map(|(name, schema, says)| {
        json!({"name": name, "in": "query", "required": false, "description": says, "schema": schemas::parameter(schema)})
    });
    let mut all: Vec<Value> = of_path.chain(of_query).collect();
    if route.versioned {
        all.push(json!({
            "name": "If-Match", "in": "header", "required": false, "schema": {"type": "string"},
            "description": "The ETag of the answer that the sender saw: refused with 412 when it is another by now.",
        }));
    }
    if route.kind == Kind::Change {
        all.push(json!({
            "name": super::call::IDEMPOTENCY_KEY, "in": "header", "required": false,
            "schema": {"type": "string", "minLength": 1, "maxLength": REQUEST_KEY_MAX, "pattern": "^[!-~]([ -~]*[!-~])?$"},
            "description": "A name for this request: sent again under the same name it is not carried out again, and answered as before, about the thing as it is by then.",
        }));
    }
    if route.verb == Verb::Get && matches!(route.gives, Gives::Json(_)) {
        all.push(json!({
            "name": "If-None-Match", "in": "header", "required": false, "schema": {"type": "string"},
            "description": "The ETag of an answer that the sender has: 304 while it is the same.",
        }));
    }
    if route.gives == Gives::Stream {
        all.push(json!({
            "name": "Last-Event-ID", "in": "header", "required": false, "schema": {"type": "string"},
            "description": "The number of the newest event that was seen.",
        }));
    }
    all
}

fn responses(route: &Route) -> Value {
    let json_of =
        |says: &str, schema: Value| json!({"description": says, "content": {"application/json": {"schema": schema}}});
    let (code, good) = match route.gives {
        Gives::Json(schema) => ("200", json_of("Done.", reference(schema))),
        Gives::List(schema) => ("200", json_of("A part of the list.", schemas::list_of(&reference(schema)))),
        Gives::Created(schema) => ("201", json_of("Made.", reference(schema))),
        Gives::Accepted(schema) => ("202", json_of("Begun.", reference(schema))),
        Gives::Nothing => ("204", json!({"description": "Done."})),
        Gives::Page => {
            ("200", json!({"description": "A page.", "content": {"text/html": {"schema": {"type": "string"}}}}))
        }
        Gives::Stream => (
            "200",
            json!({"description": "Events as they happen.", "content": {"text/event-stream": {"schema": {"type": "string"}}}}),
        ),
    };
    let mut all = Map::new();
    all.insert(code.to_owned(), good);
    if route.verb == Verb::Get && matches!(route.gives, Gives::Json(_)) {
        all.insert("304".to_owned(), json!({"description": "It is what the sender has."}));
    }
    let problem = |says: &str| json_of(says, reference("Problem"));
    let mut bad = vec![
        ("400", "It makes no sense: details.field says where, details.constraint what it had to be."),
        ("401", "It needs a token."),
        ("403", "It is not for them."),
        ("429", "Too often, or a bound was reached."),
        ("503", "This node cannot answer now; a standby names the active one in details.active."),
    ];
    // What is asked of nodes is not there where nothing is watched.
    if route.path.contains('{') || route.takes != Takes::Nothing || route.room == "nodes" {
        bad.push(("404", "There is none of that name."));
    }
    if route.verb != Verb::Get {
        bad.push(("409", "It does not go with what there is."));
        bad.push(("504", "It was taken, but is not durable yet."));
    }
    if route.versioned {
        bad.push(("412", "It was changed meanwhile."));
    }
    if route.takes != Takes::Nothing {
        bad.push(("408", "The body did not come in time."));
        bad.push(("413", "The body is too large."));
        bad.push(("415", "The body has to be JSON."));
    }
    for (code, says) in bad {
        all.insert(code.to_owned(), problem(says));
    }
    Value::Object(all)
}
