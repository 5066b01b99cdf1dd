//! Who looks all the time: when records come to stand in the journal, and how long agents wait for the answer to a beat.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::observer::milliseconds;
use super::site::ROBOTS;
use super::tape::Ends;
use super::wire::ask;

/// How often it is looked whether the next record stands.
const LOOK: Duration = Duration::from_millis(5);
/// After so long without the next number it is looked which numbers there are: what comes too fast may have been trimmed.
const LOST: Duration = Duration::from_secs(20);
/// Between two beats of an agent.
const BEAT: Duration = Duration::from_secs(2);

/// What was seen since it was last asked: the time, the figure's name, its value.
pub(crate) type Seen = Arc<Mutex<Vec<(Instant, &'static str, f64)>>>;

/// Both of them.
pub(crate) struct Witness {
    seen: Seen,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    /// Cycles that were seen to be decided.
    cycles: Arc<AtomicU64>,
    /// Beats that were acknowledged.
    beats: Arc<AtomicU64>,
}

impl Witness {
    /// Looks at the stream's folder, and beats to whichever of the nodes takes it.
    pub(crate) fn start(stream: PathBuf, ends: Ends, nodes: Vec<SocketAddr>) -> Self {
        let (seen, stop, cycles, beats) = (Seen::default(), Arc::default(), Arc::default(), Arc::default());
        let mut reader = Reader { stream, ends, seen: Arc::clone(&seen), cycles: Arc::clone(&cycles), next: 0 };
        let (ended, also) = (Arc::clone(&stop), Arc::clone(&stop));
        let (told, acknowledged) = (Arc::clone(&seen), Arc::clone(&beats));
        let threads = vec![
            std::thread::spawn(move || reader.run(&ended)),
            std::thread::spawn(move || beat(&nodes, &told, &acknowledged, &also)),
        ];
        Self { seen, stop, threads, cycles, beats }
    }

    /// What was seen since the last time.
    pub(crate) fn take(&self) -> Vec<(Instant, &'static str, f64)> {
        std::mem::take(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn cycles(&self) -> u64 {
        self.cycles.load(Ordering::Acquire)
    }

    pub(crate) fn beats(&self) -> u64 {
        self.beats.load(Ordering::Acquire)
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            // A panic of it was told when it happened.
            drop(thread.join());
        }
    }
}

struct Reader {
    stream: PathBuf,
    ends: Ends,
    seen: Seen,
    cycles: Arc<AtomicU64>,
    next: u64,
}

impl Reader {
    fn run(&mut self, stop: &AtomicBool) {
        let mut since = Instant::now();
        while !stop.load(Ordering::Acquire) {
            let path = self.stream.join(format!("{:020}.rec", self.next));
            match fs::read_to_string(&path) {
                Ok(text) => {
                    self.record(&text);
                    self.next += 1;
                    since = Instant::now();
                }
                Err(_) if since.elapsed() > LOST => {
                    self.next = newest(&self.stream).map_or(self.next, |newest| self.next.max(newest));
                    since = Instant::now();
                }
                Err(_) => std::thread::sleep(LOOK),
            }
        }
    }

    fn record(&self, text: &str) {
        let Some(end) = end(text) else { return };
        self.cycles.fetch_add(1, Ordering::AcqRel);
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let closed = ends.remove(end);
        // What lies before it was never the end of a cycle.
        *ends = ends.split_off(end);
        drop(ends);
        if let Some(closed) = closed {
            let seen = (Instant::now(), "record_ms", milliseconds(closed));
            self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
        }
    }
}

/// The end of the span of a decided cycle; nothing of another record.
fn end(text: &str) -> Option<&str> {
    let (_, decision) = text.split_once(r#""kind":"cycle_decided""#)?;
    let (_, span) = decision.split_once(r#""span":{"#)?;
    let (_, end) = span.split_once(r#""end":""#)?;
    end.split('"').next()
}

/// The largest number of a record.
fn newest(stream: &Path) -> Option<u64> {
    let names = fs::read_dir(stream).ok()?.flatten().map(|entry| entry.path());
    let records = names.filter(|path| path.extension().is_some_and(|end| end == "rec"));
    records.filter_map(|path| path.file_stem()?.to_str()?.parse().ok()).max()
}

/// Beats of all agents that send some, in turn. An agent goes on with its number when nobody takes it.
fn beat(nodes: &[SocketAddr], seen: &Seen, acknowledged: &AtomicU64, stop: &AtomicBool) {
    let mut numbers = [0_u64; ROBOTS.len()];
    let mut liked = 0;
    while !stop.load(Ordering::Acquire) {
        for (robot, number) in ROBOTS.iter().zip(&mut numbers) {
            std::thread::sleep(BEAT / 3);
            *number += 1;
            let body = format!(r#"{{"sequence_number":{number},"status":"RUNNING"}}"#);
            for _ in 0..nodes.len() {
                let Some(to) = nodes.get(liked) else { break };
                let begun = Instant::now();
                if ask(*to, "POST", &format!("/api/v1/agents/{robot}/beat"), &body)
                    .is_ok_and(|answer| answer.status == 200)
                {
                    acknowledged.fetch_add(1, Ordering::AcqRel);
                    let beat = (Instant::now(), "beat_ms", milliseconds(begun));
                    seen.lock().unwrap_or_else(PoisonError::into_inner).push(beat);
                    break;
                }
                liked = (liked + 1) % nodes.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_cycle_is_read_from_its_record() {
        let text = r#"{"seq":5,"body":{"kind":"cycle_decided","watch":"plant","decision":{"cycle":3,"span":{"start":"2023-11-14T22:13:20Z","end":"2023-11-14T22:14:20Z"},"status":"PASS"}}}"#;
        assert_eq!(end(text), Some("2023-11-14T22:14:20Z"));
        assert_eq!(end(r#"{"body":{"kind":"epoch_opened","span":{"end":"x"}}}"#), None);
    }
}
