//! Every key of `hb.yaml`, in one table: what it takes, its default, and which failure it is for. The parser, the check
//! for unknown keys and `hb config reference` all read this table, so that they cannot tell different stories.

/// Where a key may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// At the top of the file only: it is about the node.
    Node,
    /// In a watch; at the top of the file it is the default of all watches.
    Watch,
    /// In a watch, and not inherited from the top when the file has `watches`.
    Own,
    /// A key of the program whose configurations hb runs; read, told about and otherwise without effect.
    Legacy,
}

/// What a key takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Takes {
    /// Any text.
    Text,
    /// A name of letters, digits, `.`, `_`, `-`, at most 64 characters, not beginning with a dot or dash.
    Name,
    /// A path; relative ones are relative to the working directory.
    Path,
    /// true or false.
    Flag,
    /// A whole number in a range.
    Whole {
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
    },
    /// A number in a range.
    Number {
        /// Smallest.
        min: f64,
        /// Largest.
        max: f64,
    },
    /// One of some words.
    Choice(&'static [&'static str]),
    /// A list of some words.
    Choices(&'static [&'static str]),
    /// A program and its arguments: a list, or one text for the shell.
    Argv,
    /// `ADDRESS:PORT`, or `none`.
    Listen,
    /// Metrics as in a registry file.
    Metrics,
    /// A list of watches, or a mapping of names to watches.
    Watches,
    /// A mapping of names to documents that have a form of their own.
    Documents,
    /// Anything: a legacy key whose value has no effect.
    Anything,
}

/// One key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its name, with a dot where it stands in a group: `drift.fdr_q`.
    pub path: &'static str,
    /// Where it may stand.
    pub scope: Scope,
    /// What it takes.
    pub takes: Takes,
    /// Default as it would be typed; empty where there is none.
    pub default: &'static str,
    /// Unit of the value, where it has one.
    pub unit: &'static str,
    /// What it does, in one sentence; for a legacy key, what hb does instead.
    pub meaning: &'static str,
    /// The failure that it is for, in a few words.
    pub guards: &'static str,
}

const fn key(path: &'static str, scope: Scope, takes: Takes, default: &'static str) -> Key {
    Key { path, scope, takes, default, unit: "", meaning: "", guards: "" }
}

impl Key {
    const fn unit(self, unit: &'static str) -> Self {
        Self { unit, ..self }
    }

    const fn says(self, meaning: &'static str, guards: &'static str) -> Self {
        Self { meaning, guards, ..self }
    }
}

/// Sources of this version.
pub const SOURCES: &[&str] = &["host", "file", "file_replay", "replay", "command", "mqtt", "syslog", "kafka"];
/// Forms of telemetry.
pub const FORMATS: &[&str] = &[
    "auto",
    "jsonl",
    "csv",
    "wide",
    "custom_tabular",
    "syslog",
    "nasa_http_tsv",
    "pba_excel",
    "smap_msl",
    "cmapss",
    "cmapss_fd001",
    "cmapss_fd002",
    "cmapss_fd003",
    "cmapss_fd004",
];
/// Units of time.
pub const TIME_UNITS: &[&str] = &["seconds", "millis", "micros", "nanos"];
/// What to do with events without a time.
pub const NO_TIME: &[&str] = &["fault", "arrival"];
/// Where a new watch begins.
pub const BEGINS: &[&str] = &["start", "end"];
/// Sinks of alerts.
pub const SINKS: &[&str] = &["stdout", "file", "webhook"];
/// What becomes of running agents.
pub const ON_STOP: &[&str] = &["leave", "stop"];
/// Lease backends.
pub const LEASES: &[&str] = &["file", "postgres", "etcd", "kubernetes", "object", "external"];
/// What a holder does that cannot see its lease any more.
pub const ON_LOST: &[&str] = &["keep", "yield"];
/// What a lease is for.
pub const SCOPES: &[&str] = &["node", "watch"];
/// When a report is written.
pub const REPORTS: &[&str] = &["every", "changes", "failures", "none"];
/// When an alert is made.
pub const ALERT_ON: &[&str] = &["transitions", "not_pass", "every"];

use Scope::{Legacy, Node, Own, Watch};
use Takes::{
    Anything, Argv, Choice, Choices, Documents, Flag, Listen, Metrics, Name, Number, Path, Text, Watches, Whole,
};

const fn seconds(min: f64, max: f64) -> Takes {
    Number { min, max }
}

const DAY: f64 = 86_400.0;

/// Every key.
pub const KEYS: &[Key] = &[
    // the node
    key("node", Node, Name, "")
        .says("Name of this node in records, leases and logs; the host's name where not given.", "telling two nodes apart"),
    key("listen", Node, Listen, "127.0.0.1:9090").says(
        "Where health, metrics and the page are served; where not given and taken, any free port is used and told.",
        "a hung or unready node that nobody notices",
    ),
    key("output_dir", Node, Path, "daemon_output").says(
        "Folder of journal, lease, checkpoint, history, reports and alerts; made when missing; one per pair of nodes.",
        "losing what was decided",
    ),
    key("db_path", Node, Path, "runs.db")
        .says("SQLite file with runs, metrics and baselines, a view of the journal that can be rebuilt.", "questions over many runs"),
    key("journal_keep_cycles", Node, Whole { min: 10, max: 10_000_000 }, "100000")
        .unit("cycles")
        .says("Decided cycles kept in the journal; older ones are trimmed.", "a journal that fills the disk"),
    key("journal_url", Node, Text, "").says(
        "Where journal and baselines stand when several hosts share them: postgres://…, s3://…, gs://…, az://…; `output_dir` where not given (docs/engines).",
        "losing a host with what it decided",
    ),
    key("lease.backend", Node, Choice(LEASES), "").says(
        "Who says which node may try: a lock in `output_dir` (file), a server, or `external` where something else starts only one; where not given, what keeps the journal.",
        "two nodes deciding at once",
    ),
    key("lease.url", Node, Text, "").says(
        "Where the lease stands: postgres://…, etcd://…, kubernetes://…, s3://…; `journal_url` where not given.",
        "two nodes deciding at once",
    ),
    key("lease.ttl_sec", Node, seconds(0.2, 3_600.0), "3").unit("s").says(
        "How long an active node may show no progress before a standby takes over.",
        "an active node that hangs or is stopped",
    ),
    key("lease.priority", Node, Whole { min: 0, max: 100 }, "50").says(
        "Of several standbys that with the largest goes first; 0 never takes over.",
        "the small machine taking over from the large one",
    ),
    key("lease.on_lost", Node, Choice(ON_LOST), "keep").says(
        "What an active node does that cannot see its lease: `keep` working while its journal takes records, or `yield` before another may try.",
        "an outage of the lease store that stops what works",
    ),
    key("lease.scope", Node, Choice(SCOPES), "node").says(
        "One lease for the node, or one for each watch, so that nodes share the watches out among them.",
        "one node that cannot carry all watches",
    ),
    key("lease.watches_max", Node, Whole { min: 1, max: 100_000 }, "100000")
        .unit("watches")
        .says("Most watches that this node works for, with `lease.scope: watch`.", "a small node given too much"),
    key("governance.require_approval", Node, Flag, "false")
        .says("Promoting a baseline needs the approval of somebody other than who asked.", "one person redefining normal"),
    key("watches", Node, Watches, "")
        .says("Several watches, by list or by name; watch keys at the top are their defaults.", "one process per series group"),
    // what is supervised
    key("supervisors", Node, Documents, "")
        .says("Supervisors by name, in a tree; one called `main` where none is named (docs/supervisor.md).", "nobody acting on what is wrong"),
    key("agents", Node, Documents, "")
        .says("What is supervised: programs to run, programs that send beats, services to ask (docs/supervisor.md).", "a program that ended, hangs or lies"),
    key("teams", Node, Documents, "").says("Agents that belong together (docs/supervisor.md).", "a herd that restarts in step"),
    key("policies", Node, Documents, "")
        .says("What is done about what, when (docs/supervisor.md).", "acting too late, too often or at all"),
    key("on_stop", Node, Choice(ON_STOP), "leave").says(
        "What becomes of running agents when hb is told to stop by SIGTERM: `leave` them to the next start, or `stop` them.",
        "an upgrade that takes everything down",
    ),
    key("sync.to", Node, Text, "").says(
        "Where a copy of what this node decides is kept up: a folder, http://HOST:PORT?token_file=FILE of a node, postgres://…, s3://… (docs/ops/copy.md).",
        "losing everything with a host that shares nothing",
    ),
    key("sync.every_sec", Node, seconds(1.0, DAY), "60")
        .unit("s")
        .says("How often that copy is brought up.", "deciding too much again after a takeover"),
    key("tokens_file", Node, Path, "").says(
        "File with who may use the API: lines of NAME ROLE TOKEN; where not given, `output_dir/api.token` is made for the owner.",
        "strangers who restart things",
    ),
    // the source
    key("name", Own, Name, "default").says("Name of the watch; its stream in the journal.", "mixing up watches"),
    key("source", Watch, Choice(SOURCES), "").says(
        "Where telemetry comes from; where not given: `command` with `command`, `file` with `path`, else `host`.",
        "watching nothing",
    ),
    key("path", Own, Path, "").says(
        "File of the sources `file` and `replay`, `-` is standard input; of `syslog` a file, a socket (/dev/log) or udp://, tcp:// with ADDRESS:PORT.",
        "watching nothing",
    ),
    key("command", Own, Argv, "")
        .says("Program of the source `command`: a list of arguments, or one text given to `sh -c`.", "telemetry that no file has"),
    key("broker", Watch, Text, "").says(
        "Broker of the source `mqtt`, HOST:PORT or mqtt[s]://USER@HOST:PORT?password_file=FILE&ca_file=FILE; of `kafka` HOST:PORT, several with commas; on localhost where not given.",
        "telemetry that no file has",
    ),
    key("topic", Own, Text, "")
        .says("Topics of the source `mqtt`, with the wildcards `+` and `#`, hb/metrics/# where not given; topic of the source `kafka`.", "watching nothing"),
    key("qos", Watch, Whole { min: 0, max: 2 }, "1")
        .says("Quality of service of the source `mqtt`; from 1 on the broker keeps what is published while no node reads; 2 is read as 1.", "messages lost over a restart"),
    key("speed", Watch, Number { min: 0.0, max: 1e6 }, "1")
        .unit("x")
        .says("Speed of the source `replay`: 1 as recorded, 0 as fast as it can be read.", "rehearsing with old recordings"),
    key("format", Watch, Choice(FORMATS), "auto")
        .says("Form of the telemetry; `auto` looks at the first line.", "a recording that looks like another form"),
    key("step_sec", Watch, seconds(0.01, 3_600.0), "").unit("s").says(
        "Time between two looks of the source `host`; a thirtieth of an interval, at most 1 s, where not given.",
        "short spikes between looks",
    ),
    key("time_unit", Watch, Choice(TIME_UNITS), "seconds")
        .says("What numbers mean as times: since 1970, in this unit.", "a recording in milliseconds read as seconds"),
    key("no_time", Watch, Choice(NO_TIME), "").says(
        "What an event without a time is: a `fault`, or read at its `arrival`; where not given: `arrival` for programs and standard input, else `fault`.",
        "deciding differently when read again",
    ),
    key("begin", Watch, Choice(BEGINS), "start")
        .says("Where a new watch of a `file` or a Kafka topic begins: at its `start`, or at its `end`.", "deciding a year of old telemetry first"),
    // cycles
    key("interval_sec", Watch, seconds(0.001, 31.0 * DAY), "300")
        .unit("s")
        .says("Length of a cycle, in event time.", "noticing too late"),
    key("lateness_sec", Watch, seconds(0.0, DAY), "0")
        .unit("s")
        .says("How far behind the newest sample another may be and still be counted.", "samples out of order"),
    key("future_sec", Watch, seconds(0.0, 365.0 * DAY), "10")
        .unit("s")
        .says("How far ahead of the wall clock a sample may be dated.", "one wrong clock making all else late"),
    key("silence_grace_sec", Watch, seconds(0.0, DAY), "").unit("s").says(
        "How long after its end a silent cycle is held open; half an interval, at least 1 s and at most 10 s, where not given.",
        "a source that has gone quiet",
    ),
    key("silent_cycles_max", Watch, Whole { min: 1, max: 1_000_000 }, "1000")
        .unit("cycles")
        .says("A leap in event time over more cycles than this is decided as one NO_DATA cycle.", "a clock that leaps by years"),
    key("series_max", Watch, Whole { min: 1, max: 10_000_000 }, "100000")
        .unit("series")
        .says("Most series in one cycle; samples of further ones are counted as dropped.", "names without end eating memory"),
    // what is known of the series
    key("metric_registry", Watch, Path, "")
        .says("File with aliases, units, limits and invariants of metrics.", "limits that statistics cannot know"),
    key("metrics", Watch, Metrics, "")
        .says("The same, written in place; entries here win over the file's, metric by metric.", "a second file for two limits"),
    key("program", Watch, Text, "")
        .says("Which `programs.<p>.metrics` of the registry apply.", "limits of another product"),
    key("operating_mode", Watch, Text, "")
        .says("Which `mode_overrides.<mode>.metrics` of the registry apply.", "limits of another mode"),
    key("telemetry_schema", Watch, Path, "")
        .says("File with `field_mapping`: raw names to canonical names, units and factors.", "names and units that differ by device"),
    // baseline and drift
    key("baseline_tag", Watch, Name, "golden").says("Tag of the baseline to decide against.", "comparing with the wrong normal"),
    key("learn.auto", Watch, Flag, "true")
        .says("Learn a first baseline by itself where the tag has none.", "NO_BASELINE for ever"),
    key("learn.cycles", Watch, Whole { min: 3, max: 100_000 }, "30")
        .unit("cycles")
        .says("Cycles that a baseline is learned from.", "a normal made of too little"),
    key("learn.samples_min", Watch, Whole { min: 1, max: 1_000_000_000 }, "30")
        .unit("samples")
        .says("Quality gate: fewest samples of a series.", "a normal made of too little"),
    key("learn.span_min_sec", Watch, seconds(0.0, 3_650.0 * DAY), "0")
        .unit("s")
        .says("Quality gate: shortest span of event time.", "a normal of one quiet minute"),
    key("learn.unstable_share_max", Watch, Number { min: 0.0, max: 1.0 }, "0.2")
        .says("Quality gate: largest share of series whose two halves disagree.", "learning while something changes"),
    key("learn.stale_after_sec", Watch, seconds(0.0, 36_500.0 * DAY), "2592000")
        .unit("s")
        .says("A baseline older than this is told as stale; 0 is never.", "a normal of last year"),
    key("drift.statistics", Watch, Flag, "true")
        .says("Tests of level, spread and rate; limits of the registry hold in any case.", "changes that no limit knows"),
    key("drift.fdr_q", Watch, Number { min: 0.000_001, max: 0.5 }, "0.05")
        .says("Share of false discoveries allowed among the series named in one cycle.", "false alarms over many series"),
    key("drift.raise_m", Watch, Whole { min: 1, max: 32 }, "2")
        .unit("cycles")
        .says("Cycles out of `raise_of` in which a rule must be broken before drift is raised.", "flapping"),
    key("drift.raise_of", Watch, Whole { min: 1, max: 32 }, "3").unit("cycles").says("See `raise_m`; 2 to 8 of them are also judged together.", "flapping"),
    key("drift.clear_after", Watch, Whole { min: 1, max: 1_000 }, "3")
        .unit("cycles")
        .says("Clean cycles in a row before drift is cleared.", "flapping"),
    key("drift.effect_sd", Watch, Number { min: 0.0, max: 1_000.0 }, "0.25")
        .unit("sd")
        .says("Smallest distance that counts, in standard deviations of the readings.", "alarms about nothing that matters"),
    key("drift.effect_percent", Watch, Number { min: 0.0, max: 1e6 }, "5")
        .unit("%")
        .says(
            "Smallest distance that counts, in per cent of the baseline, whichever is reached; a level that wanders must reach both.",
            "alarms about nothing that matters",
        ),
    key("drift.range_factor", Watch, Number { min: 1.0, max: 1_000.0 }, "1.5")
        .unit("x")
        .says("How far outside the range of the baseline's own windows a figure must be.", "telemetry that wanders by nature"),
    key("drift.trend", Watch, Flag, "true").says("Early warning of slow drift.", "a change too slow for any one cycle"),
    key("drift.distribution", Watch, Flag, "false")
        .says("Compare distributions of every series, not only of those with `ks_threshold`.", "a change of shape alone"),
    // telling
    key("alert_on", Watch, Choice(ALERT_ON), "transitions")
        .says("On which cycles an alert is made.", "a pager that nobody heeds any more"),
    key("alert_sinks", Watch, Choices(SINKS), "stdout").says("Where alerts go.", "a failure that nobody hears of"),
    key("webhook_url", Watch, Text, "")
        .says("Address of the sink `webhook`, http or https.", "a failure that nobody hears of"),
    key("webhook_secret_file", Watch, Path, "")
        .says("File with the secret that webhooks are signed with (HMAC-SHA256).", "forged alerts"),
    // views
    key("reports", Watch, Choice(REPORTS), "changes")
        .says("On which cycles a report is written: every one, changes of status, failures, none.", "reports that fill the disk"),
    key("max_checkpoint_history", Watch, Whole { min: 1, max: 1_000_000 }, "50")
        .unit("lines")
        .says("Newest checkpoints kept in `checkpoint_history/checkpoints.jsonl`.", "a history without end"),
    key("max_report_dir_mb", Watch, Whole { min: 0, max: 100_000_000 }, "500")
        .unit("MB")
        .says("Size of the reports folder above which the oldest reports go; 0 is no bound.", "reports that fill the disk"),
    // keys of the original that hb does differently
    key("window_sec", Legacy, Anything, "")
        .says("a cycle's window is the cycle: `interval_sec` long, each sample in exactly one", ""),
    key("baseline_policy", Legacy, Path, "").says(
        "of the policy file only `tag` and `governance.require_approval` are taken; a baseline is always asked for by its tag",
        "",
    ),
    key("circuit_breaker.failure_threshold", Legacy, Anything, "")
        .says("there is no breaker: a source that fails is tried again with back-off, and its cycles are decided NO_DATA", ""),
    key("circuit_breaker.window_sec", Legacy, Anything, "").says("see `circuit_breaker.failure_threshold`", ""),
    key("circuit_breaker.open_sec", Legacy, Anything, "").says("see `circuit_breaker.failure_threshold`", ""),
    key("backpressure.max_events", Legacy, Anything, "")
        .says("no sample is dropped for load: the source is read no faster than it is decided, memory grows with series only", ""),
    key("backpressure.mode", Legacy, Anything, "").says("see `backpressure.max_events`", ""),
    key("backpressure.max_metrics", Legacy, Anything, "").says("series are bounded by `series_max`", ""),
    key("evidence_pack_on_fail", Legacy, Anything, "")
        .says("the journal keeps the evidence of every cycle; `reports: failures` writes a report on each failure", ""),
    key("evidence_pack_always", Legacy, Anything, "")
        .says("the journal keeps the evidence of every cycle; `reports: every` writes a report on each", ""),
    key("max_audit_log_mb", Legacy, Anything, "").says("the journal is the audit log; `journal_keep_cycles` bounds it", ""),
];

/// The key of that path.
#[must_use]
pub fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// Whether keys stand in a group of that name.
#[must_use]
pub fn is_group(name: &str) -> bool {
    KEYS.iter().any(|key| key.path.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
}

/// What is expected, in words.
#[must_use]
pub fn expected(takes: Takes) -> String {
    match takes {
        Text => "a text".into(),
        Name => "a name of at most 64 letters, digits, `.`, `_`, `-` that begins with a letter or digit".into(),
        Path => "a path".into(),
        Flag => "true or false".into(),
        Whole { min, max } => format!("a whole number from {min} to {max}"),
        Number { min, max } => format!("a number from {} to {}", short(min), short(max)),
        Choice(words) => format!("one of {}", words.join(", ")),
        Choices(words) => format!("a list of {}", words.join(", ")),
        Argv => "a list of program and arguments, or one text for the shell".into(),
        Listen => "ADDRESS:PORT, like 127.0.0.1:9090, or none".into(),
        Metrics => "a mapping of metric names to their settings".into(),
        Watches => "a list of watches, or a mapping of names to watches".into(),
        Documents => "a mapping of names to documents".into(),
        Anything => "anything".into(),
    }
}

fn short(number: f64) -> String {
    let text = number.to_string();
    if text.len() > 12 { format!("{number:e}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_keeps_its_budget_and_says_what_each_key_is_for() {
        // Settings, that is: a key that holds named documents is none, these have a form of their own.
        let live = KEYS.iter().filter(|key| key.scope != Legacy && key.takes != Documents).count();
        assert!(live <= 70, "{live} keys: leave one out before adding another");
        for (index, key) in KEYS.iter().enumerate() {
            assert!(!key.meaning.is_empty(), "{}", key.path);
            assert!(key.scope == Legacy || !key.guards.is_empty(), "{}", key.path);
            assert!(!KEYS[..index].iter().any(|other| other.path == key.path), "{} stands twice", key.path);
        }
    }
}
