//! Says in `output_dir/nodes` where a node that only supervises can be asked. One that watches says so with its views.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use hb_core::ids::NodeName;
use hb_core::node::view::Role;
use hb_daemon::clock;

use super::halves::Handles;
use super::onlooker::role;
use crate::cli::Failure;
use crate::config::Config;
use crate::exit::Exit;
use crate::nodes::{self, NodeFile};

/// How often it looks whether the role is another.
const EVERY: Duration = Duration::from_millis(200);

/// The thread that says it.
#[derive(Debug)]
pub(super) struct Announcer {
    on: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Announcer {
    pub(super) fn start(config: &Config, listen: Option<SocketAddr>, handles: &Handles) -> Result<Self, Failure> {
        let on = Arc::new(AtomicBool::new(true));
        let (go_on, office) = (Arc::clone(&on), handles.office.clone());
        let (dir, node) = (config.output_dir.clone(), config.node.clone());
        let run = move || {
            let mut said: Option<Role> = None;
            while go_on.load(Ordering::Acquire) {
                let now = office.as_ref().map(|office| role(office.picture().get().presence)).unwrap_or_default();
                if said != Some(now) {
                    say(&dir, &node, listen, now);
                    said = Some(now);
                }
                std::thread::park_timeout(EVERY);
            }
        };
        let thread = std::thread::Builder::new().name("announce".into()).spawn(run);
        let thread =
            thread.map_err(|error| Failure::new(Exit::Error, format!("a thread could not be started: {error}")))?;
        Ok(Self { on, thread })
    }

    pub(super) fn stop(self) {
        self.on.store(false, Ordering::Release);
        self.thread.thread().unpark();
        if self.thread.join().is_err() {
            tracing::error!("the thread that announces the node panicked; please report it");
        }
    }
}

fn say(dir: &Path, node: &NodeName, listen: Option<SocketAddr>, role: Role) {
    let file = NodeFile { node: node.clone(), pid: std::process::id(), listen, role, updated: clock::wall() };
    if let Err(error) = nodes::announce(dir, &file) {
        tracing::warn!("the node's file could not be written: {error}");
    }
}
