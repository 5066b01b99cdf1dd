//! Prometheus and Grafana: the rules and the dashboard that are packaged, on a real Prometheus that scrapes a pair.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use hb::ask::{self, Call};
use hb::reach::escaped;
use serde_json::Value;

use crate::support::node::Node;
use crate::support::project::{Project, told};
use crate::support::writer::Writer;
use crate::support::{GENEROUS, telemetry, until};

/// What is packaged.
const PACKAGED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/grafana");

/// A program of Prometheus; none, told, where it is not installed.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{name} is missing: apt-get install prometheus");
        println!("NOT RUN: {name} is missing (apt-get install prometheus, or run `cargo xtask test` as root)");
    }
    found
}

/// A running Prometheus. It ends with the value.
struct Prometheus {
    child: Child,
    log: PathBuf,
    address: SocketAddr,
}

impl Prometheus {
    /// One that scrapes these nodes every second.
    fn start(program: &Path, folder: &Path, nodes: &mut [Node]) -> Self {
        let targets: Vec<String> = nodes.iter_mut().map(|node| format!("\"{}\"", node.address())).collect();
        let config = folder.join("prometheus.yaml");
        let text = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [\"{PACKAGED}/hb-rules.yaml\"]\n\
             scrape_configs:\n  - job_name: hb\n    static_configs:\n      - targets: [{}]\n",
            targets.join(", ")
        );
        fs::write(&config, text).unwrap();
        let log = folder.join("prometheus.log");
        let mut command = Command::new(program);
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.tsdb.path={}", folder.join("series").display()));
        command.arg("--web.listen-address=127.0.0.1:0");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log).unwrap());
        let child = command.spawn().unwrap();
        let said = log.clone();
        let address = until("Prometheus listens", move || {
            let text = fs::read_to_string(&said).ok()?;
            let line = text.lines().find(|line| line.contains("msg=\"Listening on\""))?;
            line.split("address=").nth(1)?.trim().parse().ok()
        });
        // It listens before it answers.
        until("Prometheus answers", || ask::get(address, "/-/ready", GENEROUS).ok());
        Self { child, log, address }
    }

    fn get(&self, path: &str) -> Value {
        let call = Call { path, ..Call::default() };
        let answer = ask::call(&self.address.into(), &call, GENEROUS).unwrap();
        let document: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(document["status"], "success", "{path}: {document}\n{}", fs::read_to_string(&self.log).unwrap());
        document["data"].clone()
    }

    /// The rows of an answer.
    fn ask(&self, question: &str) -> Vec<Value> {
        self.get(&format!("/api/v1/query?query={}", escaped(question)))["result"].as_array().unwrap().clone()
    }

    /// Whether an alert is there, and how it stands.
    fn alert(&self, name: &str) -> Option<String> {
        let alerts = self.get("/api/v1/alerts");
        let mut alerts = alerts["alerts"].as_array().unwrap().iter();
        Some(alerts.find(|alert| alert["labels"]["alertname"] == name)?["state"].as_str()?.to_owned())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn prometheus_rules_are_sound_and_fire_when_they_should() {
    let Some(promtool) = program("promtool") else { return };
    for arguments in [
        ["check", "rules", "hb-rules.yaml"],
        ["test", "rules", "hb-rules.test.yaml"],
        ["check", "config", "prometheus.yaml"],
    ] {
        let output = Command::new(&promtool).current_dir(PACKAGED).args(arguments).output().unwrap();
        assert!(output.status.success(), "promtool {arguments:?}: {}", told(&output));
    }
}

/// Every question of the dashboard, with what Grafana puts in; by the panel that asks it.
fn questions() -> Vec<(String, String)> {
    let text = fs::read_to_string(Path::new(PACKAGED).join("hb-dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let filled = |text: &str| {
        text.replace("$__rate_interval", "10s")
            .replace("$__interval", "10s")
            .replace("$job", "hb")
            .replace("$watch", ".*")
    };
    let panels = dashboard["panels"].as_array().unwrap();
    let mut found = Vec::new();
    for panel in panels {
        for target in panel["targets"].as_array().into_iter().flatten() {
            found.push((panel["title"].as_str().unwrap().to_owned(), filled(target["expr"].as_str().unwrap())));
        }
    }
    assert!(found.len() > 40, "{}", found.len());
    found
}

/// Panels that have something to show of a pair that only watches and has had no trouble.
const SHOWN: [&str; 12] = [
    "Active node",
    "Standing by",
    "Watches not passing",
    "Status of each watch",
    "Lag behind the source",
    "Cycles by status",
    "Role of each node",
    "Epoch",
    "Making a record durable",
    "Queues",
    "Journal",
    "Memory",
];

#[test]
fn prometheus_scrapes_a_pair_answers_the_dashboard_and_sees_a_takeover() {
    let Some(prometheus) = program("prometheus") else { return };
    let project = Project::new(&format!("{}lease: {{ttl_sec: 5}}\n", telemetry::SETTINGS));
    let _writer = Writer::start(&project);
    let mut a = project.start("a");
    a.wait_role("active");
    let mut b = project.start("b");
    b.wait_role("standby");
    let mut nodes = [a, b];
    let prometheus = Prometheus::start(&prometheus, project.dir(), &mut nodes);
    until("both are scraped", || (prometheus.ask("up == 1").len() == 2).then_some(()));
    for (panel, question) in questions() {
        if SHOWN.contains(&panel.as_str()) {
            let shown = || (!prometheus.ask(&question).is_empty()).then_some(());
            until(&format!("{panel} has something to show: {question}"), shown);
        } else {
            prometheus.ask(&question);
        }
    }
    let active = prometheus.ask("hb_epoch and on (job, instance) hb_role{role=\"active\"} == 1");
    assert_eq!(active[0]["metric"]["instance"], nodes[0].address().to_string());
    // It is pending for a moment where the standby was scraped before the active node.
    until("the rules say that somebody is active", || prometheus.alert("HbNobodyActive").is_none().then_some(()));
    assert_eq!(prometheus.alert("HbTookOver"), None);
    nodes[0].kill();
    let other = nodes[1].address().to_string();
    until("the other one is active by Prometheus's word", || {
        let active = prometheus.ask("hb_role{role=\"active\"} == 1");
        (active.len() == 1 && active[0]["metric"]["instance"] == other).then_some(())
    });
    until("the rules tell of a takeover", || (prometheus.alert("HbTookOver")? == "firing").then_some(()));
    until("and of the node that is down", || prometheus.alert("HbNodeDown"));
    until("and that nobody stands by", || prometheus.alert("HbNobodyStandsBy"));
}
