//! The operator's page: whoever opens it in the night knows within five seconds whether all is well, and can act.
//!
//! It is a handful of hand-written modules, served as they stand by every node, without anything from elsewhere. The server only hands it out; what it
//! shows comes from `/v1/stream` and the API. Without a script there is the plain page.
//!
//! | question | file |
//! |---|---|
//! | What stands in the page before anything has come? | `index.html` |
//! | Which colours, in light and dark? | `theme.css`, shared with reports |
//! | How does it know what happens? | `js/stream.js`, `js/store.js` |
//! | What becomes of it when its node dies? | `js/failover.js` |
//! | What may an operator do, and how is it confirmed? | `js/actions.js`, `js/dialog.js` |
//! | How is a view drawn? | `js/views/` |

pub(crate) mod plain;
mod shelf;

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::exposition::{Exposition, Kind};
use crate::roster::NodeDoc;
use shelf::{Packed, Shelf};

/// The page's icon.
pub(crate) const ICON: &str = include_str!("icon.svg");
/// What stands in the page before anything has come.
const SHELL: &str = include_str!("index.html");
/// Where the modules are named that the browser may fetch before it has read those that need them.
const PRELOADS: &str = "<!-- preloads -->";
/// Most other nodes that the page may ask whether they are active.
const KIN_MAX: usize = 16;

static SHELF: LazyLock<Shelf> = LazyLock::new(Shelf::stocked);

/// The page, the first time; made once.
static PACKED: LazyLock<Packed> = LazyLock::new(|| {
    let modules = SHELF.modules().map(|path| format!("<link rel=\"modulepreload\" href=\"/page/{path}\">\n"));
    Packed::of("text/html; charset=utf-8", SHELL.replace(PRELOADS, &modules.collect::<String>()))
});

/// The page itself. It may ask the nodes of its configuration whether they are active, and nobody else anything.
pub(crate) fn shell(nodes: &[NodeDoc], headers: &HeaderMap) -> Response {
    let mut response = PACKED.answer(headers);
    if let Ok(policy) = HeaderValue::from_str(&policy(nodes)) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

fn policy(nodes: &[NodeDoc]) -> String {
    let places = nodes.iter().filter_map(|node| node.listen).filter(|listen| !listen.ip().is_unspecified());
    let kin: String = places.take(KIN_MAX).map(|listen| format!(" http://{listen}")).collect();
    format!(
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'{kin}; img-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'"
    )
}

/// A part of the page.
pub(crate) async fn asset(Path(path): Path<String>, headers: HeaderMap) -> Response {
    match SHELF.get(&path) {
        Some(packed) => packed.answer(&headers),
        None => {
            let path: String = path.chars().take(200).collect();
            crate::routes::error(StatusCode::NOT_FOUND, &format!("the page has no part {path:?}")).into_response()
        }
    }
}

/// The page's part of `/metrics`.
pub(crate) fn exposition(pages: u64) -> String {
    let mut out = Exposition::default();
    out.family("hb_pages", Kind::Gauge, "Pages that follow this node.");
    out.whole("hb_pages", &[], pages);
    out.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of everything that the page loads, compressed.
    const BYTES_MAX: usize = 150_000;

    #[test]
    fn the_page_is_small_and_names_every_part_of_itself() {
        let all = SHELF.bytes() + PACKED.bytes();
        assert!(all < BYTES_MAX, "{all} bytes");
        let shell = SHELL.replace(PRELOADS, "");
        assert!(SHELL.contains(PRELOADS) && !shell.contains("style=") && !shell.contains("onclick"));
        for part in shell.split(['"', '\'']).filter_map(|text| text.strip_prefix("/page/")) {
            assert!(SHELF.get(part).is_some(), "{part} is not on the shelf");
        }
    }

    #[test]
    fn every_module_that_another_needs_is_on_the_shelf() {
        for (path, text) in shelf::MODULES {
            for line in text.lines().filter(|line| line.starts_with("import ") || line.starts_with("} from ")) {
                let Some(named) = line.split('"').nth(1) else { continue };
                let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                let found = match named.strip_prefix("../") {
                    Some(rest) => format!("{}/{rest}", folder.rsplit_once('/').map_or("", |(above, _)| above)),
                    None => format!("{folder}/{}", named.trim_start_matches("./")),
                };
                assert!(SHELF.get(&found).is_some(), "{path} needs {found}");
            }
        }
    }

    #[test]
    fn the_page_may_ask_its_own_nodes_and_nobody_else() {
        assert!(policy(&[]).contains("connect-src 'self';"));
    }
}
