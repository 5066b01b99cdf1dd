//! Hosts made of network namespaces, on one switch; and what can happen to their cables.
//!
//! **Invariants.** A namespace has no name and no mount: it is held by a descriptor of this process and by what runs in it, and goes
//! with them. One rack stands at a time; the bridge and the desk (the address of the test itself) are those of the process.

use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd as _;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use nix::sched::{CloneFlags, setns, unshare};

/// Where the test itself sits.
pub(crate) const DESK: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 254);
/// An address of Ethernet that nobody has: what is sent there is lost without a word.
const NOWHERE: &str = "02:00:00:00:de:ad";
const SWITCH: &str = "hbswitch";

static TURN: Mutex<()> = Mutex::new(());
static YARD: OnceLock<Result<File, String>> = OnceLock::new();

/// A switch that hosts are put on.
pub(crate) struct Rack {
    hosts: u8,
    _turn: MutexGuard<'static, ()>,
}

/// One machine. What is started within its network stays there.
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) address: Ipv4Addr,
    network: File,
    /// Our end of its cable.
    port: String,
}

/// Which questions and answers get lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Whatever this host sends to the other.
    There,
    /// Whatever the other sends to this host.
    Back,
    /// Both.
    Both,
}

impl Rack {
    /// A switch without hosts; none, told loudly, where namespaces cannot be had. The calling thread is at the desk from now on.
    pub(crate) fn open(test: &str) -> Option<Self> {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        match YARD.get_or_init(yard) {
            Ok(yard) => {
                enter(yard);
                Some(Self { hosts: 0, _turn: turn })
            }
            Err(why) => {
                assert!(std::env::var_os("CI").is_none(), "{test} needs network namespaces: {why}");
                eprintln!("NOT RUN {test}: no network namespaces: {why}");
                println!("NOT RUN {test}: no network namespaces: {why}");
                None
            }
        }
    }

    /// One more machine.
    pub(crate) fn host(&mut self, name: &str) -> Host {
        self.hosts += 1;
        let network = std::thread::scope(|scope| scope.spawn(namespace).join().unwrap()).unwrap();
        // Also of a rack before this one, whose namespaces the kernel may still be taking down.
        static CABLES: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let port = format!("hb{}", CABLES.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        let address = Ipv4Addr::new(10, 77, 0, self.hosts);
        let place = format!("/proc/{}/fd/{}", std::process::id(), network.as_raw_fd());
        let host = Host { name: name.to_owned(), address, network, port };
        run("ip", &["link", "add", &host.port, "type", "veth", "peer", "name", "eth0", "netns", &place]).unwrap();
        run("ip", &["link", "set", &host.port, "master", SWITCH, "up"]).unwrap();
        host.ip(&["link", "set", "lo", "up"]);
        host.ip(&["address", "add", &format!("{address}/24"), "dev", "eth0"]);
        host.ip(&["link", "set", "eth0", "up"]);
        host
    }
}

impl Host {
    /// Does something within its network.
    pub(crate) fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let there = scope.spawn(|| {
                enter(&self.network);
                work()
            });
            there.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    fn ip(&self, arguments: &[&str]) {
        self.within(|| run("ip", arguments)).unwrap_or_else(|why| panic!("{}: {why}", self.name));
    }

    /// Pulls its cable: nothing arrives, nothing leaves, and nobody is told.
    pub(crate) fn unplug(&self) {
        run("ip", &["link", "set", &self.port, "nomaster"]).unwrap();
    }

    /// Puts it back.
    pub(crate) fn plug(&self) {
        run("ip", &["link", "set", &self.port, "master", SWITCH]).unwrap();
    }

    /// What is sent between the two is lost without a word.
    pub(crate) fn cut(&self, other: &Self, way: Way) {
        if way != Way::Back {
            self.lose(other.address);
        }
        if way != Way::There {
            other.lose(self.address);
        }
    }

    /// What is sent between the two arrives again.
    pub(crate) fn heal(&self, other: &Self) {
        self.find(other.address);
        other.find(self.address);
    }

    fn lose(&self, address: Ipv4Addr) {
        self.ip(&["neigh", "replace", &address.to_string(), "lladdr", NOWHERE, "dev", "eth0", "nud", "permanent"]);
    }

    fn find(&self, address: Ipv4Addr) {
        // There is no entry where that way was whole.
        drop(self.within(|| run("ip", &["neigh", "del", &address.to_string(), "dev", "eth0"])));
    }

    /// Its cable carries so much, both ways; an error where the kernel cannot.
    pub(crate) fn slow(&self, rate: &str) -> Result<(), String> {
        let shape = |device: &str| {
            run(
                "tc",
                &["qdisc", "replace", "dev", device, "root", "tbf", "rate", rate, "burst", "3000", "latency", "3s"],
            )
        };
        shape(&self.port)?;
        self.within(|| shape("eth0"))
    }

    /// Its cable carries everything at once again.
    pub(crate) fn fast(&self) {
        // Where it was not slow there is nothing to undo.
        drop(run("tc", &["qdisc", "del", "dev", &self.port, "root"]));
        drop(self.within(|| run("tc", &["qdisc", "del", "dev", "eth0", "root"])));
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // With one end the other one goes, and with it the address, which the next rack gives to somebody else.
        drop(run("ip", &["link", "del", &self.port]));
    }
}

/// The namespace of the switch and the desk.
fn yard() -> Result<File, String> {
    let yard = std::thread::scope(|scope| scope.spawn(namespace).join().unwrap()).map_err(|error| error.to_string())?;
    std::thread::scope(|scope| {
        let built = scope.spawn(|| {
            enter(&yard);
            run("ip", &["link", "set", "lo", "up"])?;
            run("ip", &["link", "add", SWITCH, "type", "bridge"])?;
            run("ip", &["address", "add", &format!("{DESK}/24"), "dev", SWITCH])?;
            run("ip", &["link", "set", SWITCH, "up"])
        });
        built.join().unwrap()
    })?;
    Ok(yard)
}

/// Makes a namespace; the calling thread is in it.
fn namespace() -> io::Result<File> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    File::open("/proc/thread-self/ns/net")
}

fn enter(network: &File) {
    setns(network, CloneFlags::CLONE_NEWNET).expect("a namespace that this process holds can be entered by it");
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() { Ok(()) } else { Err(format!("{program} {}: {said}", arguments.join(" "))) }
}
