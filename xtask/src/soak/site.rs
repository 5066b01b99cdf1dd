//! A pair of nodes on one folder, what they watch and what is in their care.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::judge::NODES;
use super::tape::INTERVAL;

/// By this what belongs to a run is known in its environment; the value is its folder.
const SIGN: &str = "HB_SOAK";
/// Agents that send beats.
pub(crate) const ROBOTS: [&str; 3] = ["robot-1", "robot-2", "robot-3"];
/// How long nodes may take to end in good order.
const ENDING: Duration = Duration::from_secs(60);

/// What ends everything that has the sign, once its input ends, which it does with this process, however that ends.
const KEEPER: &str = r#"cat > /dev/null
    for _ in 1 2 3; do
        for process in /proc/[0-9]*; do
            [ "${process#/proc/}" = "$$" ] && continue
            tr '\0' '\n' < "$process/environ" 2> /dev/null | grep -qxF "HB_SOAK=$1" && kill -9 "${process#/proc/}"
        done
        sleep 1
    done"#;

/// One node.
pub(crate) struct Node {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    pub(crate) child: Option<Child>,
    /// Which process of it this is, from 1.
    pub(crate) life: u32,
}

/// All of it.
pub(crate) struct Site {
    pub(crate) folder: PathBuf,
    pub(crate) nodes: Vec<Node>,
    hb: PathBuf,
    _keeper: Child,
}

/// `hb.yaml`. Bounds are such that a day reaches them before its half is over.
fn configuration(folder: &Path) -> String {
    let folder = folder.display();
    let often = "restart: {max_restarts: 1000, within_sec: 60, backoff_sec: 0.2, backoff_max_sec: 1}";
    let sign = format!("env: {{{SIGN}: \"{folder}\"}}");
    let mut text = format!(
        "output_dir: {folder}/out\ndb_path: {folder}/out/runs.db\non_stop: stop\nlease: {{ttl_sec: 10}}\n\
         journal_keep_cycles: 200\nmax_checkpoint_history: 50\nmax_report_dir_mb: 4\nreports: every\n\
         name: plant\nsource: file\npath: {folder}/telemetry.jsonl\ninterval_sec: {INTERVAL}\nlearn: {{cycles: 20, samples_min: 20}}\n\
         silence_grace_sec: 7200\nalert_on: not_pass\nalert_sinks: [file]\n\
         metrics:\n  plant.sensor_00: {{unit: C, fail_threshold: 60}}\nagents:\n"
    );
    for (id, command) in [
        ("steady-1", "[sleep, \"1000000\"]"),
        ("steady-2", "[sleep, \"1000000\"]"),
        ("frail-1", "[sh, -c, \"sleep 7; exit 3\"]"),
        ("frail-2", "[sh, -c, \"sleep 23; kill -9 $$\"]"),
        ("talker", "[sh, -c, \"while :; do head -c 30000 /dev/zero | tr '\\\\0' x; echo; sleep 1; done\"]"),
    ] {
        let output = if id == "talker" { ", output: {max_mb: 1, keep: 2}" } else { "" };
        text.push_str(&format!("  {id}: {{process: {{command: {command}, {sign}{output}}}, {often}}}\n"));
    }
    for robot in ROBOTS {
        text.push_str(&format!("  {robot}: {{heartbeat: {{}}, beats: {{idle_ttl_sec: 60, running_ttl_sec: 60}}}}\n"));
    }
    text.push_str("  asked: {probe: {check: {command: [\"true\"]}, every_sec: 5}}\n");
    text.push_str("  watched: {process: {command: [sleep, \"1000000\"], SIGN}, watch: plant, RESTART}\n");
    text = text.replace("SIGN", &sign).replace("RESTART", often);
    text.push_str(
        "teams:\n  line: {members: [steady-1, steady-2]}\npolicies:\n  restart-what-fails:\n    \
         when: agent.anomaly_score >= 0.8 and agent.consecutive_anomalous_readings >= 3\n    actions: [{type: restart_agent}]\n",
    );
    text
}

impl Site {
    /// The folder with its configuration; nothing runs yet.
    ///
    /// # Errors
    /// What could not be made.
    pub(crate) fn new(folder: &Path, hb: &Path) -> Result<Self, String> {
        let told = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
        fs::create_dir_all(folder).map_err(|error| told(folder, error))?;
        let folder = folder.canonicalize().map_err(|error| told(folder, error))?;
        if folder.join("out").try_exists().map_err(|error| told(&folder, error))? {
            return Err(format!("{}: a run has been made here; name another folder", folder.display()));
        }
        // A build meanwhile changes nothing.
        let own = folder.join("hb");
        fs::copy(hb, &own).map_err(|error| told(hb, error))?;
        let config = folder.join("hb.yaml");
        fs::write(&config, configuration(&folder)).map_err(|error| told(&config, error))?;
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEPER, "keeper"]).arg(&folder).stdin(Stdio::piped());
        // Whoever ends this chore by Ctrl-C leaves this one.
        let keeper = keeper.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0).spawn();
        let keeper = keeper.map_err(|error| format!("sh: {error}"))?;
        let mut nodes = Vec::new();
        for name in NODES {
            nodes.push(Node { name, address: free()?, child: None, life: 0 });
        }
        Ok(Self { folder, nodes, hb: own, _keeper: keeper })
    }

    /// `hb ARGS --config hb.yaml`.
    pub(crate) fn hb(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.hb);
        command.args(args).arg("--config").arg(self.folder.join("hb.yaml")).current_dir(&self.folder);
        command.env(SIGN, &self.folder).stdin(Stdio::null());
        command
    }

    /// Starts a node; what it logs goes on in its file.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn start(&mut self, place: usize) -> Result<(), String> {
        let Some((name, address)) = self.nodes.get(place).map(|node| (node.name, node.address.to_string())) else {
            return Ok(());
        };
        let path = self.folder.join(format!("{name}.log"));
        let log = File::options().append(true).create(true).open(&path);
        let log = log.map_err(|error| format!("{}: {error}", path.display()))?;
        let mut command = self.hb(&["run", "--node", name, "--listen", &address]);
        // Ctrl-C is for this chore: the keeper ends the nodes.
        let child = command.stdout(Stdio::null()).stderr(log).process_group(0).spawn();
        let child = child.map_err(|error| format!("{}: {error}", self.hb.display()))?;
        if let Some(node) = self.nodes.get_mut(place) {
            node.child = Some(child);
            node.life += 1;
        }
        Ok(())
    }

    /// `kill -9`, and waits for the end.
    pub(crate) fn kill(&mut self, place: usize) {
        if let Some(mut child) = self.nodes.get_mut(place).and_then(|node| node.child.take()) {
            // Both fail only when it has ended already.
            drop(child.kill());
            drop(child.wait());
        }
    }

    /// How a node ended, if it did by itself.
    pub(crate) fn has_ended(&mut self, place: usize) -> Option<ExitStatus> {
        let node = self.nodes.get_mut(place)?;
        let status = node.child.as_mut()?.try_wait().ok()??;
        node.child = None;
        Some(status)
    }

    /// Has both end in good order, the standby first; tells how each ended.
    pub(crate) fn finish(&mut self, active: Option<usize>) -> Vec<String> {
        let mut places: Vec<usize> = (0..self.nodes.len()).collect();
        places.sort_by_key(|place| Some(*place) == active);
        places.into_iter().filter_map(|place| self.stop(place)).collect()
    }

    /// Has one end; tells how, unless in good order.
    fn stop(&mut self, place: usize) -> Option<String> {
        let node = self.nodes.get_mut(place)?;
        let mut child = node.child.take()?;
        // Where it cannot be told to end it has ended.
        drop(Command::new("kill").args(["-TERM", &child.id().to_string()]).status());
        let patience = Instant::now() + ENDING;
        while Instant::now() < patience {
            match child.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(50)),
                Ok(Some(status)) if status.success() => return None,
                Ok(Some(status)) => return Some(format!("{} ended with {status}", node.name)),
                Err(error) => return Some(format!("{}: {error}", node.name)),
            }
        }
        drop(child.kill());
        drop(child.wait());
        Some(format!("{} did not end within {} s of SIGTERM", node.name, ENDING.as_secs()))
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        (0..self.nodes.len()).for_each(|place| self.kill(place));
    }
}

/// An address of the loopback that nobody listens at.
fn free() -> Result<SocketAddr, String> {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).map_err(|error| error.to_string())
}
