//! Which process, exactly: so that one on this host that has ended is known to have ended, and a pid that came again is not taken
//! for it.

use std::fs;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

/// A process, across hosts and containers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its id, in its own namespace.
    pub pid: u32,
    /// The name of its host.
    pub host: String,
    /// The boot of its host, and the namespace of its ids; empty where the system does not say.
    pub boot: String,
    /// When it was started, in ticks since that boot; zero where the system does not say.
    pub ticks: u64,
}

/// That of this process, which keeps both for as long as it lives; none where the system does not say.
fn boot() -> &'static str {
    static BOOT: OnceLock<String> = OnceLock::new();
    BOOT.get_or_init(|| {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id");
        let space = fs::read_link("/proc/self/ns/pid");
        match (boot, space) {
            (Ok(boot), Ok(space)) => format!("{} {}", boot.trim(), space.display()),
            (_, _) => String::new(),
        }
    })
}

/// When a process was started; none when there is none of that id.
fn ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold anything, so fields are counted from its closing bracket: state is the third of all, the start is the 22nd.
    let (_, fields) = stat.rsplit_once(')')?;
    let state = fields.split_ascii_whitespace().next()?;
    // A zombie has ended.
    if state == "Z" || state == "X" {
        return None;
    }
    fields.split_ascii_whitespace().nth(19)?.parse().ok()
}

impl Process {
    /// This one.
    #[must_use]
    pub fn this() -> Self {
        let pid = std::process::id();
        let host =
            nix::unistd::gethostname().map_or_else(|_| "?".to_owned(), |name| name.to_string_lossy().into_owned());
        Self { pid, host, boot: boot().to_owned(), ticks: ticks(pid).unwrap_or(0) }
    }

    /// Whether it runs on this host, in whichever container.
    #[must_use]
    pub fn is_here(&self) -> bool {
        let (here, there) = (boot(), &self.boot);
        match (here.split_once(' '), there.split_once(' ')) {
            (Some((here, _)), Some((there, _))) => here == there,
            (_, _) => self.host == Self::this().host,
        }
    }

    /// Whether it is known to have ended: none when that cannot be told from here.
    #[must_use]
    pub fn ended(&self) -> Option<bool> {
        let here = boot();
        if here.is_empty() || here != self.boot || self.ticks == 0 {
            return None;
        }
        Some(ticks(self.pid) != Some(self.ticks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_of_this_host_are_known_exactly() {
        let this = Process::this();
        assert_eq!(this.ended(), Some(false));
        assert!(this.is_here() && !Process { boot: "other space".into(), ..this.clone() }.is_here());
        assert_eq!(Process { ticks: this.ticks + 1, ..this.clone() }.ended(), Some(true), "its pid came again");
        assert_eq!(Process { boot: "other".into(), ..this.clone() }.ended(), None);
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let ticks = ticks(child.id()).unwrap();
        let process = Process { pid: child.id(), ticks, ..this };
        assert_eq!(process.ended(), Some(false));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(process.ended(), Some(true));
    }
}
