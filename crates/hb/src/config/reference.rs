//! `hb config reference`: the table of keys, for people, for programs and for the manual.

use std::fmt::Write as _;

use serde::Serialize;

use super::keys::{self, KEYS, Key, Scope};
use super::registry::METRIC_KEYS;

/// One key as `hb config reference --json` gives it.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Its name, with a dot where it stands in a group.
    pub key: &'static str,
    /// `node`, `watch` or `legacy`.
    pub scope: &'static str,
    /// What it takes.
    pub takes: String,
    /// Default as it would be typed; none where there is none.
    pub default: Option<&'static str>,
    /// Unit, where it has one.
    pub unit: Option<&'static str>,
    /// What it does.
    pub meaning: &'static str,
    /// The failure that it is for.
    pub guards: Option<&'static str>,
}

fn some(text: &'static str) -> Option<&'static str> {
    Some(text).filter(|text| !text.is_empty())
}

/// Every key.
#[must_use]
pub fn rows() -> Vec<Row> {
    KEYS.iter().map(row).collect()
}

fn row(key: &'static Key) -> Row {
    let scope = match key.scope {
        Scope::Node => "node",
        Scope::Watch | Scope::Own => "watch",
        Scope::Legacy => "legacy",
    };
    Row {
        key: key.path,
        scope,
        takes: keys::expected(key.takes),
        default: some(key.default),
        unit: some(key.unit),
        meaning: key.meaning,
        guards: some(key.guards),
    }
}

/// The reference as Markdown: what a terminal shows and what the manual holds.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from(INTRODUCTION);
    for (scope, head) in [("node", "The node"), ("watch", "A watch"), ("legacy", "Keys of the original")] {
        write(&mut text, format_args!("\n## {head}\n\n"));
        if scope == "legacy" {
            write(&mut text, format_args!("{LEGACY}\n"));
        }
        for row in rows().iter().filter(|row| row.scope == scope) {
            section(&mut text, row);
        }
    }
    write(&mut text, format_args!("\n## A metric of the registry\n\n{REGISTRY}\n"));
    for key in METRIC_KEYS {
        write(
            &mut text,
            format_args!(
                "- `{}`: {} Takes {}.
",
                key.name, key.meaning, key.takes
            ),
        );
    }
    text
}

fn section(text: &mut String, row: &Row) {
    if row.scope == "legacy" {
        write(text, format_args!("- `{}`: {}.\n", row.key, row.meaning));
        return;
    }
    let unit = row.unit.map(|unit| format!(" {unit}")).unwrap_or_default();
    let default = row.default.map_or_else(String::new, |default| format!(" Default: `{default}`{unit}."));
    let guards = row.guards.map_or_else(String::new, |guards| format!(" Against: {guards}."));
    write(text, format_args!("- `{}`: {} Takes {}.{default}{guards}\n", row.key, row.meaning, row.takes));
}

fn write(text: &mut String, part: std::fmt::Arguments<'_>) {
    text.write_fmt(part).expect("writing into a String cannot fail");
}

const INTRODUCTION: &str = "\
# Configuration reference

This page is made by `hb config reference` from the table that the program itself reads.

A file is YAML. With one watch it may be flat: all keys at the top. With several, `watches` holds them, and watch keys at
the top are their defaults. A key with a dot stands in a group: `drift.fdr_q` is written `drift: {fdr_q: 0.05}`. Relative
paths are relative to the working directory. Unknown keys, wrong types and values out of range are refused, all at once,
before anything starts. Flags win over the environment (`HB_DB_PATH`, `HB_METRIC_REGISTRY`, `HB_TELEMETRY_SCHEMA`,
`HB_BASELINE_POLICY`, `HB_PROGRAM`, `HB_OPERATING_MODE`, `HB_HEALTH_PORT`), the environment over the file.
";

const LEGACY: &str = "\
Files of the program that hb takes over from are read as they are. These keys are accepted, told about at the start and
have no effect; `source: file_replay` is `file`.
";

const REGISTRY: &str = "\
`metric_registry` names a file with `metrics`, and where needed `programs.<program>.metrics` and
`mode_overrides.<mode>.metrics`, which are laid over key by key; `metrics` of the watch is laid over last.
";
