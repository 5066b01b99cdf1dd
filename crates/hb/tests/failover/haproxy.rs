//! HAProxy in front of two nodes, with the configuration that is documented: a client asks all the time, through ten failovers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hb_daemon::clock;
use nix::sys::signal::Signal;

use crate::pair::{Plan, Site};
use crate::rack::Host;
use crate::stores::Pair;
use crate::support::project::told;
use crate::support::{http, setting, spread};

/// The one that is documented.
const CONFIGURATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/haproxy/hb.cfg");
/// Failovers.
const FAILOVERS: usize = 10;
const PORT: u16 = 8080;

/// A running HAProxy. It ends with the value.
struct Proxy {
    child: Child,
    address: SocketAddr,
}

impl Proxy {
    /// None, told, where it is not installed.
    fn start(host: &Host, nodes: [SocketAddr; 2]) -> Option<Self> {
        let program = ["/usr/sbin/haproxy", "/usr/bin/haproxy"].into_iter().find(|path| Path::new(path).is_file());
        let Some(program) = program else {
            assert!(std::env::var_os("CI").is_none(), "HAProxy is missing: apt-get install haproxy");
            eprintln!("NOT RUN: HAProxy is missing (apt-get install haproxy, or run `cargo xtask test` as root)");
            return None;
        };
        let address = SocketAddr::new(host.address.into(), PORT);
        let mut command = Command::new(program);
        // In the foreground, so that it ends with us.
        command.args(["-db", "-f", CONFIGURATION]).env("HB_VIP", address.to_string());
        command.env("HB_NODE_A", nodes[0].to_string()).env("HB_NODE_B", nodes[1].to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = host.within(move || command.spawn().unwrap());
        Some(Self { child, address })
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What came of questions, by what was answered: the role of who answered, a status, or that nothing came.
type Tally = Arc<Mutex<BTreeMap<String, usize>>>;

/// Somebody who asks all the time.
struct Client {
    tally: Tally,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Client {
    fn start(address: SocketAddr) -> Self {
        let (tally, stop) = (Tally::default(), Arc::new(AtomicBool::new(false)));
        let (count, ended) = (Arc::clone(&tally), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            while !ended.load(Ordering::Acquire) {
                let said = ask(address).map_or_else(|what| what, |(_, role)| role);
                *count.lock().unwrap().entry(said).or_default() += 1;
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        Self { tally, stop, thread: Some(thread) }
    }

    fn finish(mut self) -> BTreeMap<String, usize> {
        self.stop.store(true, Ordering::Release);
        self.thread.take().unwrap().join().unwrap();
        self.tally.lock().unwrap().clone()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

/// Name and role of who answers, or what came instead.
fn ask(address: SocketAddr) -> Result<(String, String), String> {
    let answer = http::get(address, "/v1/status").map_err(|error| format!("no answer: {:?}", error.kind()))?;
    if answer.status != 200 {
        return Err(format!("status {}", answer.status));
    }
    let document = answer.json();
    let text = |key: &str| document[key].as_str().unwrap_or("?").to_owned();
    Ok((text("node"), text("role")))
}

/// Waits until this node, as the active one, answers the client.
fn answers(site: &mut Site, proxy: &Proxy, place: usize) {
    let name = site.members[place].name;
    site.until("the active node answers behind the proxy", |_| {
        (ask(proxy.address) == Ok((name.to_owned(), "active".to_owned()))).then_some(())
    });
}

#[test]
fn haproxy_sends_every_question_to_the_active_node_through_ten_failovers() {
    let Some(mut site) = Site::start("haproxy", Pair::PostgresPostgres, &Plan::default()) else { return };
    let host = site.more("vip");
    let nodes = [0, 1].map(|place| site.address(place));
    let Some(proxy) = Proxy::start(&host, nodes) else { return };
    let active = site.warm();
    answers(&mut site, &proxy, active);
    let client = Client::start(proxy.address);
    let mut latencies = Vec::new();
    for number in 0..setting("HB_FAILOVER_PROXY", FAILOVERS) {
        let active = site.warm();
        answers(&mut site, &proxy, active);
        let (since, at) = (Instant::now(), clock::wall());
        match number % 3 {
            0 => site.kill(active),
            1 => site.signal(active, Signal::SIGSTOP),
            _ => {
                let output = site.hb(active, &["switchover", "--wait", "60"]);
                assert!(output.status.success(), "{}", told(&output));
            }
        }
        let (other, _) = site.taken_over(active, since, at);
        answers(&mut site, &proxy, other);
        latencies.push(since.elapsed());
        if number % 3 == 1 {
            site.signal(active, Signal::SIGCONT);
        }
    }
    let tally = client.finish();
    println!("haproxy: {} failovers, until the other answered: {}", latencies.len(), spread(latencies));
    println!("haproxy: what the client was answered: {tally:?}");
    let active = tally.get("active").copied().unwrap_or(0);
    let others = tally.values().sum::<usize>() - active;
    assert!(active > FAILOVERS && active > 2 * others, "{tally:?}");
    site.finish();
}
