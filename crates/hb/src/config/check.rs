//! The whole file: what is about the node, and the list of its watches.

use std::net::SocketAddr;
use std::path::Path;

use hb_core::journal::Hash;
use hb_core::supervise::input::OnStop;

use super::checked::{Approval, Config, Listen, Said, WatchConfig};
use super::fault::{Findings, SourceFile};
use super::raw::{self, Node, Value, at, cut};
use super::reader::{Level, Reader, environment_fault, is_name, keys_known};
use super::watch::{self, Inherited};
use super::{Files, Given, policy, shared, supervise};

/// Checks a file's bytes. None when the file could not be read as YAML at all; else what it says, with defaults where
/// `findings` has faults.
pub fn config(name: &str, bytes: &[u8], given: &Given, files: &mut Files, findings: &mut Findings) -> Option<Config> {
    let (file, root) = raw::parse(name, bytes, findings)?;
    if root.entries().is_none() {
        let what = format!("the file holds {}, not a mapping of keys to values", root.describe());
        findings.fault(at(&file, root.place, "", &what, "write `key: value`, one a line"));
        return None;
    }
    let level = if root.get("watches").is_some() { Level::Top } else { Level::Flat };
    keys_known(&file, &root, level, "", findings);
    let mut config = node(&file, &root, given, findings);
    let mut watches = Watches { file: &file, root: &root, given, files, findings, config: &mut config };
    if level == Level::Top || !supervise::is_meant(&root) || watches_something(&root) {
        watches.read(level);
    }
    if supervise::is_meant(&root) {
        let names = config.watches.iter().map(|watch| watch.settings.name.to_string()).collect();
        let mut reader = Reader { file: &file, own: &root, shared: None, prefix: String::new(), findings };
        config.sinks = watch::sinks(&mut reader, &config.output_dir);
        config.supervise = Some(supervise::read(&file, &root, &names, findings));
    }
    Some(config)
}

/// Whether a file without `watches` that supervises something watches something too.
fn watches_something(root: &Node) -> bool {
    ["source", "path", "command", "broker", "topic", "name"].iter().any(|key| root.get(key).is_some())
}

/// Everything but the watches.
fn node(file: &SourceFile, root: &Node, given: &Given, findings: &mut Findings) -> Config {
    let mut reader = Reader { file, own: root, shared: None, prefix: String::new(), findings };
    let listen = listen(&mut reader, given);
    let node = node_name(&mut reader, given);
    let journal = shared::journal(&mut reader);
    let lease = shared::lease(&mut reader, &journal);
    let approval = if reader.flag("governance.require_approval") { Approval::Required } else { Approval::NotRequired };
    Config {
        file: given.file.clone(),
        hash: Hash::ZERO,
        node: node.into(),
        listen,
        output_dir: reader.path("output_dir").unwrap_or_default(),
        db_path: db_path(&mut reader, given),
        journal,
        lease,
        journal_keep_cycles: reader.whole("journal_keep_cycles"),
        approval,
        watches: Vec::new(),
        supervise: None,
        sinks: Vec::new(),
        on_stop: if reader.choice("on_stop") == "stop" { OnStop::Stop } else { OnStop::Leave },
        tokens_file: reader.path("tokens_file"),
        sync: shared::sync(&mut reader),
    }
}

fn db_path(reader: &mut Reader<'_>, given: &Given) -> std::path::PathBuf {
    let from_file = reader.text("db_path").unwrap_or_default();
    let typed = given.environment.get("HB_DB_PATH").map_or(from_file, str::to_owned);
    if typed.contains("://") {
        let (what, help) = ("this version of hb keeps runs in an SQLite file only", "give the path of a file");
        match reader.entry("db_path") {
            Some(entry) if given.environment.get("HB_DB_PATH").is_none() => reader.fault(entry, "db_path", what, help),
            Some(_) | None => reader.findings.fault(environment_fault("HB_DB_PATH", what, help)),
        }
    }
    typed.into()
}

fn node_name(reader: &mut Reader<'_>, given: &Given) -> String {
    let from_file = reader.name("node");
    match &given.node {
        None => from_file.unwrap_or_else(host_name),
        Some(name) if is_name(name) => name.clone(),
        Some(name) => {
            let help = "at most 64 letters, digits, `.`, `_`, `-`, the first a letter or digit";
            let what = format!("`{}` is no name for a node", cut(name));
            reader.findings.fault(super::fault::Fault::of_file("--node", &what, help));
            host_name()
        }
    }
}

/// The host's name, as far as it can be one of a node.
fn host_name() -> String {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default();
    let kept: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || "._-".contains(*c)).take(64).collect();
    if is_name(&kept) { kept } else { "node".into() }
}

/// Flag, then environment (the port alone), then file, then default.
fn listen(reader: &mut Reader<'_>, given: &Given) -> Listen {
    let entry = reader.entry("listen");
    let said = if entry.is_some() { Said::Explicit } else { Said::Default };
    let typed = reader.text("listen").unwrap_or_default();
    let from_file = parse_listen(&typed);
    if let (Err(what), Some(entry)) = (&from_file, entry) {
        reader.fault(entry, "listen", what, "`listen` takes ADDRESS:PORT, like 127.0.0.1:9090, or none");
    }
    let mut listen = Listen { address: from_file.unwrap_or(None), said };
    if let Some(port) = given.environment.get("HB_HEALTH_PORT") {
        match (port.parse::<u16>(), listen.address) {
            (Ok(port), Some(address)) => {
                listen = Listen { address: Some(SocketAddr::new(address.ip(), port)), said: Said::Explicit };
            }
            (Ok(_), None) => {}
            (Err(_), _) => {
                let what = format!("`{}` is no port", cut(port));
                reader.findings.fault(environment_fault("HB_HEALTH_PORT", &what, "a number from 0 to 65535"));
            }
        }
    }
    match given.listen.as_deref().map(parse_listen) {
        None => listen,
        Some(Ok(address)) => Listen { address, said: Said::Explicit },
        Some(Err(what)) => {
            let help = "ADDRESS:PORT, like 127.0.0.1:9090, or none";
            reader.findings.fault(super::fault::Fault::of_file("--listen", &what, help));
            listen
        }
    }
}

/// An address, or none for "none".
fn parse_listen(text: &str) -> Result<Option<SocketAddr>, String> {
    if text == "none" {
        return Ok(None);
    }
    let written_out = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    let written_out = written_out.or_else(|| text.strip_prefix(':').map(|port| format!("0.0.0.0:{port}")));
    let address = written_out.as_deref().unwrap_or(text);
    address.parse().map(Some).map_err(|_| format!("`{}` is no address with a port", cut(text)))
}

/// Reads the watches into a configuration.
struct Watches<'a> {
    file: &'a SourceFile,
    root: &'a Node,
    given: &'a Given,
    files: &'a mut Files,
    findings: &'a mut Findings,
    config: &'a mut Config,
}

impl<'a> Watches<'a> {
    fn read(&mut self, level: Level) {
        if level == Level::Flat {
            let view_dir = self.config.output_dir.clone();
            self.watch(self.root, None, None, &view_dir);
            return;
        }
        let Some(entry) = self.root.get("watches") else { return };
        let before = self.findings.faults.len();
        match &entry.value.value {
            Value::List(list) => list.iter().for_each(|node| self.one(node, None)),
            Value::Map(named) => named.iter().for_each(|entry| self.one(&entry.value, Some(&entry.key))),
            Value::Scalar { .. } => {}
        }
        if self.config.watches.is_empty() && self.findings.faults.len() == before {
            let what = "`watches` names no watch";
            let help = "write a list of watches, or a mapping of names to watches";
            self.findings.fault(at(self.file, entry.value.place, "watches", what, help));
        }
    }

    fn one(&mut self, node: &'a Node, name: Option<&str>) {
        let told = name.map_or_else(|| named(node), str::to_owned);
        let prefix = if told.is_empty() { "watches.".into() } else { format!("watches.{told}.") };
        if node.entries().is_none() {
            let what = format!("a watch is a mapping of keys to values, this is {}", node.describe());
            self.findings.fault(at(self.file, node.place, prefix.trim_end_matches('.'), &what, ""));
            return;
        }
        keys_known(self.file, node, Level::Watch, &prefix, self.findings);
        let dir = self.config.output_dir.join("watches").join(&told);
        self.watch(node, Some(self.root), Some((&prefix, name)), &dir);
    }

    fn watch(&mut self, own: &'a Node, shared: Option<&'a Node>, place: Option<(&str, Option<&str>)>, dir: &Path) {
        let (prefix, key) = place.unwrap_or_default();
        let inherited = Inherited { environment: &self.given.environment, view_dir: dir, key };
        let mut reader = Reader { file: self.file, own, shared, prefix: prefix.to_owned(), findings: self.findings };
        let policy = policy::read(&mut reader, &self.given.environment, self.files);
        if policy.approval == Some(Approval::Required) {
            self.config.approval = Approval::Required;
        }
        let watch = watch::watch(&mut reader, &inherited, policy.tag, self.files);
        self.add(watch, own, prefix);
    }

    fn add(&mut self, watch: WatchConfig, own: &Node, prefix: &str) {
        let name = &watch.settings.name;
        if self.config.watches.iter().any(|other| other.settings.name == *name) {
            let what = format!("two watches are called `{name}`");
            let place = own.get("name").map_or(own.place, |entry| entry.value.place);
            let help = "give each watch a `name` of its own";
            self.findings.fault(at(self.file, place, &format!("{prefix}name"), &what, help));
        }
        self.config.watches.push(watch);
    }
}

/// The name that a watch of a list gives itself, as far as it can be told at this point.
fn named(node: &Node) -> String {
    let typed = node.get("name").and_then(|entry| super::reader::scalar(&entry.value)).unwrap_or("default");
    if is_name(typed) { typed.to_owned() } else { String::new() }
}
