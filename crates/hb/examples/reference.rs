//! Writes the documents that the program knows best: `cargo xtask docs` calls it with a folder.

#![expect(clippy::print_stderr, reason = "a chore talks to the person who started it")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::CommandFactory as _;
use hb::cli::Cli;
use hb_api::v1::seam::Standing;
use hb_api::{AlertOutcome, Copying, Latency, Metrics, QueueDepth, WatchMetrics, exposition, families};
use hb_core::ids::{CycleNo, Epoch, Seq};
use hb_core::node::view::{Alarm, SourceView, Totals, View, WatchView};
use hb_core::supervise::Presence;
use hb_core::time::Stamp;

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("name a folder");
        return ExitCode::FAILURE;
    };
    let pages = [
        ("cli.md", command_line()),
        ("configuration.md", hb::config::reference::markdown()),
        ("metrics.md", metrics()),
        ("api.md", hb_api::v1::reference::markdown()),
        ("ops/exit-codes.md", hb::exit::markdown()),
    ];
    for (name, text) in pages {
        if let Err(error) = put(&folder.join(name), &text) {
            eprintln!("{name}: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn put(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, text)
}

fn command_line() -> String {
    let mut text =
        String::from("# Commands\n\nThis page is made by `cargo xtask docs` from what `hb COMMAND --help` says.\n");
    let mut root = Cli::command().term_width(100).disable_help_subcommand(true);
    root.build();
    page(&root, "hb", &mut text);
    text
}

/// One command and those below it.
fn page(command: &clap::Command, path: &str, text: &mut String) {
    let mut shown = command.clone().term_width(100);
    if path != "hb" {
        // What holds everywhere is said once.
        shown = shown.mut_args(|arg| if arg.is_global_set() { arg.hide(true) } else { arg });
    }
    let help = shown.render_long_help().to_string();
    writeln!(text, "\n## `{path}`\n\n```text").expect("writing into a String cannot fail");
    for line in help.trim_end().lines() {
        writeln!(text, "{}", line.trim_end()).expect("writing into a String cannot fail");
    }
    text.push_str("```\n");
    for below in command.get_subcommands().filter(|below| !below.is_hide_set() && below.get_name() != "help") {
        page(below, &format!("{path} {}", below.get_name()), text);
    }
}

/// Families of `/metrics`, read out of what a node with one of everything shows.
fn metrics() -> String {
    let mut one = Metrics::default();
    let mut watch = WatchMetrics::new("w".into());
    watch.dropped.insert("not_finite", 0);
    one.watches.push(watch);
    one.alerts.push(AlertOutcome { sink: "s".into(), outcome: "delivered", count: 0 });
    one.queues.push(QueueDepth { queue: "q".into(), depth: 0, bound: 1 });
    one.journal_heads.push(("watch/w".into(), Seq(0)));
    one.view_errors.push(("v".into(), 0));
    one.copying = Some(Box::new(Copying { lag_records: Some(0), last_success: Some(Stamp(0)), ..Copying::default() }));
    one.supervisor = Some(Box::new(one_standing()));
    let text = exposition(&one, &one_view()) + &families();
    let mut page = String::from(
        "# Metrics\n\nThis page is made by `cargo xtask docs` from what `/metrics` says: Prometheus text format 0.0.4.\n\
         Counters count since the process started.\n\n| metric | kind | labels | meaning |\n|---|---|---|---|\n",
    );
    let mut help = "";
    for line in text.lines() {
        if let Some((_, words)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            help = words;
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let labels = labels(&text, name);
            writeln!(page, "| `{name}` | {kind} | {labels} | {help} |").expect("writing into a String cannot fail");
        }
    }
    page
}

/// A supervisor with one trouble.
fn one_standing() -> Standing {
    Standing {
        node: "a".into(),
        presence: Presence::Running,
        epoch: Epoch(1),
        agents: [("up", 0), ("degraded", 0), ("spawning", 0), ("failed", 0), ("quarantined", 0), ("terminated", 0)],
        supervisors: 0,
        paused: 0,
        interventions_open: 0,
        groups_open: 0,
        restarts: 0,
        evaluations: 0,
        events: 0,
        notifications_dropped: 0,
        troubles: vec![("database".into(), String::new())],
        takeover_seconds: 0.0,
        recovered_seconds: Some(0.0),
        commit_latency: Latency::default(),
        commits: 0,
        uptime_seconds: 0.0,
        hung_seconds: None,
    }
}

/// A node with one watch and one alarm.
fn one_view() -> View {
    let watch = WatchView {
        name: "w".into(),
        cycle: Some(CycleNo(0)),
        status: None,
        last: None,
        seq: None,
        epoch: Epoch(1),
        lag_seconds: 0.0,
        source: SourceView::Open,
        baseline: None,
        undelivered: 0,
        totals: Totals::default(),
    };
    let alarm = Alarm { name: "a".into(), what: String::new(), since: Stamp(0), count: 1 };
    View { watches: vec![watch], alarms: vec![alarm], ..View::default() }
}

/// Names of the labels that a family's first sample has.
fn labels(text: &str, family: &str) -> String {
    let sample = text.lines().find_map(|line| line.strip_prefix(family)?.strip_prefix('{'));
    let Some(sample) = sample else { return String::new() };
    let inside = sample.split('}').next().unwrap_or_default();
    let names: Vec<String> =
        inside.split("\",").filter_map(|pair| pair.split('=').next()).map(|name| format!("`{name}`")).collect();
    names.join(", ")
}
