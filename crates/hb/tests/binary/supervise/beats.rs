//! A6, A1: beats that come by HTTP. Does hb's own downtime count against those who sent them, and is what it acknowledged kept?

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::json;

use super::asking::exchange;
use super::site::Site;
use super::sound::assert_sound;
use crate::support::until;

/// Seconds for which a beat is good.
const TTL: f64 = 1.0;
const AGENTS: [&str; 4] = ["r0", "r1", "r2", "r3"];

/// Programs somewhere else that post their beats to wherever hb is, and go on when nobody answers.
struct Senders {
    address: Arc<Mutex<Option<SocketAddr>>>,
    stop: Arc<AtomicBool>,
    /// The newest beat of each that was acknowledged.
    acknowledged: Arc<Mutex<[u64; AGENTS.len()]>>,
    thread: Option<JoinHandle<()>>,
}

/// Whether it was acknowledged.
fn beat(place: SocketAddr, agent: &str, number: u64) -> bool {
    let beat = json!({"sequence_number": number, "status": "RUNNING", "current_task_id": format!("job {number}")});
    let told = exchange(place, ("POST", &format!("/agents/{agent}/beat")), &[], &beat);
    told.is_ok_and(|told| told.status == 200)
}

impl Senders {
    fn start() -> Self {
        let address: Arc<Mutex<Option<SocketAddr>>> = Arc::default();
        let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new([0; AGENTS.len()])));
        let (to, ended, heard) = (Arc::clone(&address), Arc::clone(&stop), Arc::clone(&acknowledged));
        let thread = std::thread::spawn(move || {
            let mut number = 0_u64;
            while !ended.load(Ordering::Acquire) {
                number += 1;
                // While hb is down nobody answers.
                if let Some(place) = *to.lock().unwrap() {
                    (0..AGENTS.len())
                        .filter(|at| beat(place, AGENTS[*at], number))
                        .for_each(|at| heard.lock().unwrap()[at] = number);
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        Self { address, stop, acknowledged, thread: Some(thread) }
    }

    fn to(&self, address: SocketAddr) {
        *self.address.lock().unwrap() = Some(address);
    }

    fn acknowledged(&self) -> [u64; AGENTS.len()] {
        *self.acknowledged.lock().unwrap()
    }

    /// Waits until each has been acknowledged so often since.
    fn heard(&self, more: u64) {
        let before = self.acknowledged();
        until("beats are acknowledged", || {
            let now = self.acknowledged();
            now.iter().zip(before).all(|(now, before)| *now >= before + more).then_some(())
        });
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Senders {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

#[test]
fn a1_a6_s6_beats_by_http_survive_a_kill_and_downtime_is_nobodys_silence() {
    let one =
        format!("{{heartbeat: {{}}, beats: {{idle_ttl_sec: {TTL}, running_ttl_sec: {TTL}, unresponsive_after: 3}}}}");
    let agents: String = AGENTS.iter().map(|id| format!("  {id}: {one}\n")).collect();
    let site = Site::new(&format!("agents:\n{agents}"));
    let mut senders = Senders::start();
    let mut node = site.serve("a");
    senders.to(node.address());
    senders.heard(1);
    site.calm(&mut node);
    for _ in 0..2 {
        node.kill();
        let before = senders.acknowledged();
        // Longer than it takes for somebody who is silent to count as failed.
        std::thread::sleep(Duration::from_secs_f64(TTL * 4.5));
        node = site.serve("a");
        senders.to(node.address());
        senders.heard(3);
        // And for as long as one of their beats is good, so that nobody fails a little later.
        std::thread::sleep(Duration::from_secs_f64(TTL * 1.5));
        senders.heard(1);
        for (at, id) in AGENTS.iter().enumerate() {
            let agent = site.agent(id).unwrap();
            assert!(agent.lifecycle.is_up(), "{agent:#?}");
            assert_eq!(agent.restarts.total, 0);
            assert!(agent.beats.sequence.is_some_and(|recorded| recorded <= senders.acknowledged()[at]));
            assert!(senders.acknowledged()[at] > before[at], "beats are taken again");
        }
    }
    let bad = |kind: &str| matches!(kind, "agent.unresponsive" | "agent.failed" | "agent.restarting");
    let bad = site.events().into_iter().find(|event| bad(&event.kind));
    assert!(bad.is_none(), "{bad:?}");
    // Silence that is theirs counts: the test would have seen it.
    senders.end();
    for id in AGENTS {
        until("silence is noticed", || site.told(id, "agent.unresponsive").first().map(drop));
    }
    assert_eq!(node.stop(), 0);
    assert_sound(&site, &site.state().unwrap());
}
