//! Another machine: a network namespace with a link that can be cut, so that nobody on the other side hears of it.
//!
//! A process holds the namespace, and with its end everything of it goes: nothing stays behind on the machine.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::child::{Kept, said, until};

/// Name of the link on the side of another machine.
pub(crate) const LINK: &str = "far0";

/// A machine.
#[derive(Debug)]
pub(crate) struct Machine(Kept);

impl Machine {
    /// Makes one without any link.
    ///
    /// # Errors
    /// That takes root, and util-linux.
    fn new() -> Result<Self, String> {
        if !nix::unistd::geteuid().is_root() {
            return Err("network namespaces take root".into());
        }
        let holder = Kept::start(Command::new("unshare").args(["--net", "sleep", "infinity"]), Path::new("/dev/null"))?;
        let own = std::fs::read_link("/proc/self/ns/net").map_err(|error| error.to_string())?;
        let space = format!("/proc/{}/ns/net", holder.0.id());
        until("a network namespace", Duration::from_secs(10), || {
            std::fs::read_link(&space).is_ok_and(|link| link != own).then_some(())
        })?;
        Ok(Self(holder))
    }

    /// Two of them with a link between them.
    ///
    /// # Errors
    /// As [`Host::new`].
    pub(crate) fn pair() -> Result<[Self; 2], String> {
        let pair = [Self::new()?, Self::new()?];
        let [one, other] = pair.each_ref().map(Self::id);
        let link = ["name", LINK, "netns", &one, "type", "veth", "peer", "name", LINK, "netns", &other];
        said(Command::new("ip").args(["link", "add"]).args(link))?;
        for (machine, address) in pair.iter().zip(["10.214.0.2/24", "10.214.0.3/24"]) {
            machine.ip(&["addr", "add", address, "dev", LINK])?;
            machine.ip(&["link", "set", "lo", "up"])?;
            machine.ip(&["link", "set", LINK, "up"])?;
        }
        Ok(pair)
    }

    fn id(&self) -> String {
        self.0.0.id().to_string()
    }

    /// A program that runs there; its process is the one that is started.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.id())).arg(program);
        command
    }

    fn ip(&self, arguments: &[&str]) -> Result<(), String> {
        said(self.command(Path::new("ip")).args(arguments)).map(drop)
    }
}

/// A machine with a link to this one.
#[derive(Debug)]
pub(crate) struct Host {
    machine: Machine,
    /// This side's address.
    pub(crate) near: Ipv4Addr,
    /// Its own address.
    pub(crate) far: Ipv4Addr,
}

impl Host {
    /// Makes one.
    ///
    /// # Errors
    /// That takes root, and iproute2.
    pub(crate) fn new() -> Result<Self, String> {
        let machine = Machine::new()?;
        let pid = machine.0.0.id();
        // A net of four addresses, one for each process number as far as they reach: several of these may run.
        let [.., high, low] = (pid % (1 << 14) * 4).to_be_bytes();
        let (near, far) = (Ipv4Addr::new(10, 213, high, low + 1), Ipv4Addr::new(10, 213, high, low + 2));
        let (name, space) = (format!("hbb{pid}"), pid.to_string());
        said(Command::new("ip").args(["link", "add", &name, "type", "veth", "peer", "name", LINK, "netns", &space]))?;
        said(Command::new("ip").args(["addr", "add", &format!("{near}/30"), "dev", &name]))?;
        said(Command::new("ip").args(["link", "set", &name, "up"]))?;
        machine.ip(&["addr", "add", &format!("{far}/30"), "dev", LINK])?;
        machine.ip(&["link", "set", "lo", "up"])?;
        let host = Self { machine, near, far };
        host.mend()?;
        Ok(host)
    }

    /// A program that runs there.
    pub(crate) fn command(&self, program: &Path) -> Command {
        self.machine.command(program)
    }

    /// Cuts its link.
    ///
    /// # Errors
    /// `ip` failed.
    pub(crate) fn cut(&self) -> Result<(), String> {
        self.machine.ip(&["link", "set", LINK, "down"])
    }

    /// Makes its link whole.
    ///
    /// # Errors
    /// `ip` failed.
    pub(crate) fn mend(&self) -> Result<(), String> {
        self.machine.ip(&["link", "set", LINK, "up"])
    }
}
