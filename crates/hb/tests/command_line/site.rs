//! A folder with a configuration, and nodes of it that supervise real programs. Everything is ended when its test forgets it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// How long something may take before a test gives up; a loaded machine is slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// Looks again and again until there is something.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}: not within {} s", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What a command came to.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn lines(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub(crate) fn document(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {} {}", self.out, self.err))
    }
}

/// A folder with an `hb.yaml`.
pub(crate) struct Site {
    // Before the folder, which goes last.
    nodes: Vec<Node>,
    /// Shown when it is asked whether a node answers.
    pub(crate) token: Option<&'static str>,
    dir: tempfile::TempDir,
}

pub(crate) struct Node {
    name: String,
    child: Child,
}

impl Site {
    pub(crate) fn new(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("hb.yaml"), format!("output_dir: out\ndb_path: out/runs.db\n{config}")).unwrap();
        Self { nodes: Vec::new(), token: None, dir }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hb"));
        command.args(args).current_dir(self.dir.path()).env("NO_COLOR", "1");
        for variable in ["HB_LOG", "HB_API_URL", "HB_API_TOKEN"] {
            command.env_remove(variable);
        }
        command
    }

    /// Runs `hb …` to its end.
    pub(crate) fn hb(&self, args: &[&str]) -> Ran {
        self.hb_as(None, args)
    }

    /// The same with a token.
    pub(crate) fn hb_as(&self, token: Option<&str>, args: &[&str]) -> Ran {
        let mut command = self.command(args);
        command.envs(token.map(|token| ("HB_API_TOKEN", token)));
        let ran = command.stdin(Stdio::null()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ran { code: ran.status.code().unwrap_or(-1), out: text(ran.stdout), err: text(ran.stderr) }
    }

    /// Runs `hb …` and holds that it went well.
    pub(crate) fn ok(&self, args: &[&str]) -> Ran {
        let ran = self.hb(args);
        assert_eq!(ran.code, 0, "hb {args:?}: {}{}", ran.out, ran.err);
        ran
    }

    /// Starts a node by these words, and waits until it answers and one is active.
    pub(crate) fn node(&mut self, name: &str, words: &[&str]) {
        let log =
            || File::options().create(true).append(true).open(self.dir.path().join(format!("{name}.log"))).unwrap();
        let mut command = self.command(words);
        command.args(["--node", name, "--listen", "127.0.0.1:0"]).env("HB_LOG", "info");
        let child = command.stdin(Stdio::null()).stdout(log()).stderr(log()).spawn().unwrap();
        self.nodes.push(Node { name: name.to_owned(), child });
        until(&format!("{name} answers"), || {
            let status = serde_json::from_str::<Value>(&self.hb_as(self.token, &["status", "--json"]).out).ok()?;
            let mut nodes = status.get("nodes")?.as_array()?.iter();
            let named = |node: &Value| node.get("node").is_some_and(|node| node == name);
            let answers = nodes.any(|node| named(node) && node.get("silent").is_none());
            // Until the first has begun nothing can be changed.
            (answers && status.pointer("/supervisors/presence")? == "active").then_some(())
        });
    }

    fn place(&self, name: &str) -> usize {
        self.nodes.iter().position(|node| node.name == name).unwrap()
    }

    /// `kill -9` of a node; its agents go on.
    pub(crate) fn kill(&mut self, name: &str) {
        let mut node = self.nodes.remove(self.place(name));
        node.child.kill().unwrap();
        node.child.wait().unwrap();
    }

    /// Waits until a node has ended by itself.
    pub(crate) fn ended(&mut self, name: &str) -> Option<i32> {
        let mut node = self.nodes.remove(self.place(name));
        let status = until(&format!("{name} ends"), || {
            let ended = node.child.try_wait();
            ended.unwrap_or_else(|error| panic!("{name}: {error}"))
        });
        status.code()
    }

    /// An agent as it is.
    pub(crate) fn agent(&self, id: &str) -> Value {
        self.ok(&["agent", "show", id, "--json"]).document()
    }

    /// Waits until an agent stands there.
    pub(crate) fn stands(&self, id: &str, status: &str) -> Value {
        until(&format!("{id} is {status}"), || {
            let ran = self.hb(&["agent", "show", id, "--json"]);
            serde_json::from_str(&ran.out)
                .ok()
                .filter(|agent: &Value| agent.get("status").is_some_and(|now| now == status))
        })
    }

    /// Starts `hb …` with its standard output in a file.
    pub(crate) fn watching(&mut self, name: &str, args: &[&str]) -> PathBuf {
        let path = self.dir.path().join(name);
        let child = self
            .command(args)
            .stdin(Stdio::null())
            .stdout(File::create(&path).unwrap())
            .stderr(File::create(path.with_extension("err")).unwrap())
            .spawn()
            .unwrap();
        self.nodes.push(Node { name: name.to_owned(), child });
        path
    }

    /// Ends every program that was started in this folder, whoever it belongs to.
    fn sweep(&self) {
        let here = fs::canonicalize(self.dir.path()).unwrap_or_default();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let pid = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
            let Some(pid) = pid.filter(|_| fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == here)) else {
                continue;
            };
            // It may have ended by itself meanwhile.
            kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap_or_default();
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            // It may have ended by itself.
            drop(node.child.kill());
            drop(node.child.wait());
        }
        self.sweep();
    }
}
