//! The pieces that all pages are sent, each made once.
//!
//! **Invariants.** Pieces are numbered without gaps; a page that says which one it has seen last gets all that came after it, or the whole
//! picture anew where that is not kept any more. What only those may see who may look at the supervisor is marked so. Bounds (B1):
//! [`RING_MAX`] pieces of [`RING_BYTES_MAX`] bytes together are kept.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use hb_core::ids::WatchName;
use hb_core::node::view::{SourceView, View, WatchView};
use hb_core::watch::decision::BaselineRef;
use serde::Serialize;
use serde_json::json;

use super::picture::{BAND, NodePicture, WatchPicture};
use crate::onlooker::Onlooker;
use crate::v1::Api;

/// Most pieces that are kept.
const RING_MAX: usize = 4_096;
/// Most bytes of them together.
const RING_BYTES_MAX: usize = 8 << 20;
/// How often a picture of a node is told that differs in nothing but its clocks.
const CLOCKS_EVERY: Duration = Duration::from_secs(2);
/// By how much a watch's lag has to differ to be told for its own sake, in seconds.
const LAG_STEP: f64 = 1.0;

/// Who may see a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Eyes {
    /// Everybody whom the page is served to.
    All,
    /// Those who may look at the supervisor.
    Lookers,
}

#[derive(Debug)]
struct Piece {
    eyes: Eyes,
    bytes: Bytes,
}

/// What is known of a watch.
#[derive(Debug)]
struct Known {
    print: Print,
    told: String,
}

/// By what it is seen that there is something new about a watch.
#[derive(Debug, Clone, PartialEq)]
struct Print {
    seq: Option<hb_core::ids::Seq>,
    cycle: Option<hb_core::ids::CycleNo>,
    epoch: hb_core::ids::Epoch,
    source: SourceView,
    baseline: Option<BaselineRef>,
    undelivered: u64,
}

impl Print {
    fn of(watch: &WatchView) -> Self {
        Self {
            seq: watch.seq,
            cycle: watch.cycle,
            epoch: watch.epoch,
            source: watch.source.clone(),
            baseline: watch.baseline.clone(),
            undelivered: watch.undelivered,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Hub {
    /// Tells this process from others at the same address.
    boot: u64,
    ring: VecDeque<Piece>,
    bytes: usize,
    next: u64,
    node: (String, String),
    node_at: Instant,
    watches: BTreeMap<WatchName, (Known, f64)>,
}

impl Hub {
    pub(super) fn new(boot: u64) -> Self {
        let (node, watches) = ((String::new(), String::new()), BTreeMap::new());
        Self { boot, ring: VecDeque::new(), bytes: 0, next: 0, node, node_at: Instant::now(), watches }
    }

    /// The number that the next piece will have.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Adds a piece.
    pub(super) fn push(&mut self, eyes: Eyes, event: &str, data: &str) {
        let bytes = Bytes::from(format!("id: {:x}-{}\nevent: {event}\ndata: {data}\n\n", self.boot, self.next));
        self.next = self.next.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes.len());
        self.ring.push_back(Piece { eyes, bytes });
        while self.ring.len() > RING_MAX || self.bytes > RING_BYTES_MAX {
            let Some(oldest) = self.ring.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(oldest.bytes.len());
        }
    }

    /// The number behind a `Last-Event-ID` of this process.
    pub(super) fn resumed(&self, id: &str) -> Option<u64> {
        let (boot, number) = id.trim().split_once('-')?;
        let number: u64 = number.parse().ok()?;
        (u64::from_str_radix(boot, 16).ok()? == self.boot && number < self.next).then(|| number.saturating_add(1))
    }

    /// What those with such eyes are to be sent from a piece on, at most so many bytes of it, and the number after that; `None` where a part of it is
    /// not kept any more.
    pub(super) fn since(&self, from: u64, eyes: Eyes, most: usize) -> Option<(Vec<u8>, u64)> {
        let oldest = self.next.saturating_sub(self.ring.len() as u64);
        let skip = usize::try_from(from.checked_sub(oldest)?).ok()?;
        let (mut out, mut to) = (Vec::new(), from);
        for piece in self.ring.iter().skip(skip) {
            if out.len() > most {
                break;
            }
            to = to.saturating_add(1);
            if piece.eyes <= eyes {
                out.extend_from_slice(&piece.bytes);
            }
        }
        Some((out, to))
    }

    /// Everything that is known of node and watches, as the piece before the next one.
    pub(super) fn picture(&self) -> Vec<u8> {
        let mut text = match self.next.checked_sub(1) {
            Some(number) => format!("id: {:x}-{number}\nevent: picture\ndata: {{\"node\":", self.boot),
            None => "event: picture\ndata: {\"node\":".to_owned(),
        };
        text.push_str(if self.node.0.is_empty() { "null" } else { &self.node.0 });
        text.push_str(",\"watches\":[");
        for (place, (known, _)) in self.watches.values().enumerate() {
            if place > 0 {
                text.push(',');
            }
            text.push_str(&known.told);
        }
        text.push_str("]}\n\n");
        text.into_bytes()
    }

    /// Looks at everything once, and adds what is new.
    pub(super) fn look(&mut self, onlooker: &dyn Onlooker, api: Option<&Api>) {
        let view = onlooker.view();
        self.look_at_node(&NodePicture::of(onlooker, &view, api));
        self.look_at_watches(onlooker, &view);
    }

    fn look_at_node(&mut self, picture: &NodePicture) {
        let (told, still) = (text(picture), text(&picture.still()));
        let clocks = told != self.node.0 && self.node_at.elapsed() >= CLOCKS_EVERY;
        if still != self.node.1 || clocks {
            self.push(Eyes::All, "node", &told);
            self.node = (told, still);
            self.node_at = Instant::now();
        }
    }

    fn look_at_watches(&mut self, onlooker: &dyn Onlooker, view: &View) {
        for watch in &view.watches {
            let print = Print::of(watch);
            let near =
                |lag: f64| lag.total_cmp(&watch.lag_seconds).is_eq() || (lag - watch.lag_seconds).abs() <= LAG_STEP;
            if self.watches.get(&watch.name).is_some_and(|(known, lag)| known.print == print && near(*lag)) {
                continue;
            }
            let recent = onlooker.recent(&watch.name, BAND);
            let told = text(&WatchPicture::of(watch, &recent));
            self.push(Eyes::All, "watch", &told);
            self.watches.insert(watch.name.clone(), (Known { print, told }, watch.lag_seconds));
        }
        if self.watches.len() > view.watches.len() {
            let gone: Vec<WatchName> =
                self.watches.keys().filter(|name| !view.watches.iter().any(|it| it.name == **name)).cloned().collect();
            for name in gone {
                self.watches.remove(&name);
                self.push(Eyes::All, "unwatch", &json!({"name": name}).to_string());
            }
        }
    }
}

fn text<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|fault| {
        tracing::error!(%fault, "a picture for the page could not be written as JSON");
        "null".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(found: Option<(Vec<u8>, u64)>) -> String {
        String::from_utf8(found.unwrap().0).unwrap()
    }

    #[test]
    fn whoever_comes_again_gets_what_came_meanwhile_and_nothing_twice() {
        let mut hub = Hub::new(0xab);
        for number in 0..5 {
            hub.push(Eyes::All, "watch", &number.to_string());
        }
        let from = hub.resumed("ab-2").unwrap();
        let (bytes, to) = hub.since(from, Eyes::All, 1 << 20).unwrap();
        let told = String::from_utf8(bytes).unwrap();
        assert_eq!((told.matches("id: ").count(), to), (2, 5), "{told}");
        assert!(told.starts_with("id: ab-3\nevent: watch\ndata: 3\n\n"), "{told}");
        assert_eq!(hub.since(5, Eyes::All, 1), Some((Vec::new(), 5)));
        for strange in ["ac-2", "ab-5", "ab", "2", "", "ab-x", "ab-18446744073709551616"] {
            assert_eq!(hub.resumed(strange), None, "{strange}");
        }
    }

    #[test]
    fn what_is_for_lookers_is_sent_to_nobody_else() {
        let mut hub = Hub::new(1);
        hub.push(Eyes::Lookers, "event", "secret");
        hub.push(Eyes::All, "node", "open");
        let others = text_of(hub.since(0, Eyes::All, 1 << 20));
        assert!(others.contains("open") && !others.contains("secret"), "{others}");
        assert!(text_of(hub.since(0, Eyes::Lookers, 1 << 20)).contains("secret"));
    }

    #[test]
    fn b1_what_is_kept_is_bounded_and_a_gap_is_seen() {
        let mut hub = Hub::new(1);
        for _ in 0..RING_MAX + 10 {
            hub.push(Eyes::All, "watch", "{}");
        }
        assert!(hub.since(9, Eyes::All, 1).is_none(), "a part of it is gone");
        assert!(hub.since(10, Eyes::All, 1).is_some());
        hub.push(Eyes::All, "watch", &"x".repeat(RING_BYTES_MAX + 1));
        assert!(hub.ring.is_empty() && hub.bytes == 0, "one that is larger than all room is not kept");
        assert!(hub.since(hub.next(), Eyes::All, 1).is_some());
    }
}
