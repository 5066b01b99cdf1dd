//! A member of etcd, with its defaults: it syncs what it writes.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::folder::Records;
use super::{Engine, Kind, Place, Way, listening, program};
use crate::child::{Kept, until};
use crate::failover::peers::Peer;
use crate::web;

pub(super) struct Etcd {
    _process: Kept,
    _folder: tempfile::TempDir,
    port: u16,
}

impl Etcd {
    pub(super) fn start(near: Option<Ipv4Addr>) -> Result<Self, String> {
        let etcd = program("etcd").ok_or("etcd is missing (apt-get install etcd-server etcd-client)")?;
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let (port, peer) = (web::free_port()?.port(), web::free_port()?);
        let clients: Vec<String> = listening(near).iter().map(|ip| format!("http://{ip}:{port}")).collect();
        let clients = clients.join(",");
        let peer = format!("http://{peer}");
        let mut command = Command::new(etcd);
        command
            .args(["--name", "m", "--initial-cluster", &format!("m={peer}"), "--log-level", "error", "--logger", "zap"])
            .args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer, "--data-dir"])
            .arg(folder.path().join("m"));
        let process = Kept::start(&mut command, &folder.path().join("log"))?;
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        until("etcd", Duration::from_secs(60), || {
            let health = web::get(address, "/health")?;
            (health.get("health")? == "true").then_some(())
        })?;
        Ok(Self { _process: process, _folder: folder, port })
    }
}

impl Engine for Etcd {
    fn kind(&self) -> Kind {
        Kind::Etcd
    }

    fn address(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), self.port))
    }

    fn settings(&self, way: Way<'_>, ttl: f64) -> String {
        let at = way.at.map(|at| at.to_string()).unwrap_or_default();
        format!("lease: {{backend: etcd, url: \"etcd://{at}/hb/{}\", ttl_sec: {ttl}}}\n", way.place)
    }

    fn journal(&self, _place: &str, folder: &Path) -> Result<Box<dyn Place>, String> {
        Ok(Box::new(Records::of(folder)))
    }

    fn peers(&self) -> Vec<Peer> {
        let at = format!("--endpoints=http://127.0.0.1:{}", self.port);
        let lock = |name, more: &[&str], key| {
            let words = ["etcdctl", &at, "lock"].into_iter().chain(more.iter().copied()).chain([key]);
            Peer::new(name, words).with("ETCDCTL_API", "3")
        };
        vec![
            lock("etcdctl lock --ttl=2", &["--ttl=2"], "two"),
            // Ten seconds each: a few of them tell.
            lock("etcdctl lock", &[], "ten").fewer(),
        ]
    }
}
