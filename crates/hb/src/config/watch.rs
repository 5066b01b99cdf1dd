//! One watch: its settings, its source, where it tells and what it keeps.

use std::path::Path;
use std::time::Duration;

use hb_core::journal::Hash;
use hb_core::watch::settings::{AlertOn, DriftSettings, LearnSettings, WatchSettings};

use hb_sources::file::Begin;
use hb_sources::format::{Format, FormatChoice, NoTime, TableForm, TimeUnit};

use super::checked::{Reports, SinkConfig, SourceConfig, WatchConfig};
use super::raw::cut;
use super::reader::{Reader, is_name, scalar};
use super::{Environment, Files, network, registry, schema};

/// What a watch gets from around it.
#[derive(Debug)]
pub struct Inherited<'a> {
    /// The environment.
    pub environment: &'a Environment,
    /// Folder of its views.
    pub view_dir: &'a Path,
    /// Its key, where watches are given by name.
    pub key: Option<&'a str>,
}

/// Reads one watch.
pub fn watch(
    reader: &mut Reader<'_>,
    inherited: &Inherited<'_>,
    policy_tag: Option<String>,
    files: &mut Files,
) -> WatchConfig {
    let mut settings = settings(reader, inherited, policy_tag);
    let registry = registry::of_watch(reader, inherited.environment, files);
    settings.registry = registry;
    let sinks = sinks(reader, inherited.view_dir);
    settings.alert.sinks = sinks.iter().map(|sink| sink.name().to_owned()).collect();
    let megabytes = reader.whole("max_report_dir_mb");
    let fields = schema::of_watch(reader, inherited.environment, files);
    // Decisions depend on it as on any other setting.
    settings.schema = (!fields.is_empty()).then(|| Hash::of(format!("{fields:?}").as_bytes()));
    let source = source(reader, settings.name.as_str());
    WatchConfig {
        settings,
        source,
        fields,
        sinks,
        view_dir: inherited.view_dir.to_owned(),
        reports: match reader.choice("reports") {
            "every" => Reports::Every,
            "failures" => Reports::Failures,
            "none" => Reports::None,
            _ => Reports::Changes,
        },
        max_checkpoint_history: reader.count("max_checkpoint_history"),
        report_bytes_max: (megabytes > 0).then(|| megabytes.saturating_mul(1_000_000)),
    }
}

fn settings(reader: &mut Reader<'_>, inherited: &Inherited<'_>, policy_tag: Option<String>) -> WatchSettings {
    let name = name(reader, inherited.key);
    let interval = reader.nanoseconds("interval_sec").unwrap_or(1).max(1);
    let mut settings = WatchSettings::named(&name, interval);
    settings.lateness_ns = reader.nanoseconds("lateness_sec").unwrap_or(settings.lateness_ns);
    settings.future_ns = reader.nanoseconds("future_sec").unwrap_or(settings.future_ns);
    settings.silence_grace_ns = reader.nanoseconds("silence_grace_sec").unwrap_or(settings.silence_grace_ns);
    settings.silent_cycles_max = reader.whole32("silent_cycles_max");
    settings.series_max = reader.count("series_max");
    settings.learn = learn(reader);
    settings.drift = drift(reader);
    settings.alert.on = match reader.choice("alert_on") {
        "every" => AlertOn::Every,
        "not_pass" => AlertOn::NotPass,
        _ => AlertOn::Transitions,
    };
    let said = reader.entry("baseline_tag").is_some();
    let tag = reader.name("baseline_tag");
    settings.baseline_tag = policy_tag.filter(|_| !said).or(tag).unwrap_or(settings.baseline_tag);
    settings
}

/// By the key under `watches`, by `name`, or `default`.
fn name(reader: &mut Reader<'_>, key: Option<&str>) -> String {
    let said = reader.entry("name");
    let own = reader.name("name");
    match (key, own) {
        (None, own) => own.unwrap_or_else(|| "default".into()),
        (Some(key), own) => {
            if let (Some(entry), Some(own)) = (said, &own)
                && own != key
            {
                let what = format!("the watch `{key}` says that its name is `{own}`");
                reader.fault(entry, "name", &what, "leave `name` out: its key names the watch");
            }
            if !is_name(key) {
                let what = format!("`{}` is no name for a watch", cut(key));
                let help = "at most 64 letters, digits, `.`, `_`, `-`, the first a letter or digit";
                reader.missing("name", &what, help);
            }
            key.to_owned()
        }
    }
}

fn learn(reader: &mut Reader<'_>) -> LearnSettings {
    LearnSettings {
        auto: reader.flag("learn.auto"),
        cycles: reader.whole32("learn.cycles"),
        samples_min: reader.whole("learn.samples_min"),
        span_min_ns: reader.nanoseconds("learn.span_min_sec").unwrap_or(0),
        unstable_share_max: reader.number("learn.unstable_share_max").unwrap_or(0.0),
        stale_after_ns: reader.nanoseconds("learn.stale_after_sec").unwrap_or(0),
    }
}

fn drift(reader: &mut Reader<'_>) -> DriftSettings {
    let (raise_m, raise_of) = (reader.whole32("drift.raise_m"), reader.whole32("drift.raise_of"));
    if raise_m > raise_of {
        let what = format!("`drift.raise_m` is {raise_m}, more than the {raise_of} cycles of `drift.raise_of`");
        let help = "drift could never be raised: make `raise_m` at most `raise_of`";
        match reader.entry("drift.raise_m").or_else(|| reader.entry("drift.raise_of")) {
            Some(entry) => reader.fault(entry, "drift.raise_m", &what, help),
            None => reader.missing("drift.raise_m", &what, help),
        }
    }
    DriftSettings {
        statistics: reader.flag("drift.statistics"),
        fdr_q: reader.number("drift.fdr_q").unwrap_or(0.0),
        raise_m,
        raise_of,
        clear_after: reader.whole32("drift.clear_after"),
        effect_sd: reader.number("drift.effect_sd").unwrap_or(0.0),
        effect_percent: reader.number("drift.effect_percent").unwrap_or(0.0),
        range_factor: reader.number("drift.range_factor").unwrap_or(1.0),
        trend: reader.flag("drift.trend"),
        distribution: reader.flag("drift.distribution"),
    }
}

fn source(reader: &mut Reader<'_>, watch: &str) -> SourceConfig {
    let (path, argv) = (reader.path("path"), reader.argv("command"));
    let said = reader.entry("source").is_some();
    let kind = match (said, reader.choice("source")) {
        (true, kind) => kind,
        (false, _) if argv.is_some() => "command",
        (false, _) if path.is_some() => "file",
        (false, _) => "host",
    };
    // Read whatever the source: a value that is wrong is told also where it would have no effect.
    let (step, speed, begin) = (step(reader), reader.number("speed").unwrap_or(1.0), begin(reader));
    let broker = network::said(reader);
    useless(reader, kind);
    let piped = matches!(kind, "command" | "mqtt") || path.as_deref() == Some(Path::new("-"));
    let usual = match (kind, piped) {
        ("syslog" | "kafka", _) => NoTime::Usual,
        (_, true) => NoTime::Arrival,
        (_, false) => NoTime::Fault,
    };
    let format = format(reader, usual);
    let path = path.unwrap_or_else(|| {
        if uses(kind).contains(&"path") && kind != "syslog" {
            let help = "say which file, or `-` for standard input";
            reader.missing("path", &format!("the source `{kind}` needs a `path`"), help);
        }
        Path::new("").to_owned()
    });
    match kind {
        "file" | "file_replay" => SourceConfig::File { path, format, begin },
        "replay" => SourceConfig::Replay { path, format, speed },
        "command" => {
            if argv.is_none() && reader.entry("command").is_none() {
                reader.missing("command", "the source `command` needs a `command`", "say which program to run");
            }
            SourceConfig::Command { argv: argv.unwrap_or_default(), format }
        }
        "syslog" => network::syslog(reader, format, begin),
        "kafka" => SourceConfig::Kafka(network::kafka(reader, broker, format, begin)),
        "mqtt" => SourceConfig::Mqtt(network::mqtt(reader, broker, watch, format)),
        _ => SourceConfig::Host { step },
    }
}

/// Time between two looks at the host, in whole milliseconds.
fn step(reader: &mut Reader<'_>) -> Duration {
    let interval = reader.number("interval_sec").unwrap_or(1.0);
    let seconds = reader.number("step_sec").unwrap_or_else(|| (interval / 30.0).clamp(0.01, 1.0));
    Duration::from_secs_f64((seconds * 1e3).round().max(1.0) / 1e3)
}

/// Which keys say where a source of that kind is.
fn uses(kind: &str) -> &'static [&'static str] {
    match kind {
        "file" | "file_replay" | "replay" | "syslog" => &["path"],
        "command" => &["command"],
        "mqtt" => &["broker", "topic", "qos"],
        "kafka" => &["broker", "topic"],
        _ => &[],
    }
}

/// Tells of keys that say where another kind of source is. Files of the original name its broker whatever the source.
fn useless(reader: &mut Reader<'_>, kind: &str) {
    if kind.is_empty() {
        return;
    }
    for key in ["path", "command", "broker", "topic", "qos"] {
        let Some(entry) = reader.entry(key).filter(|_| !uses(kind).contains(&key)) else { continue };
        let what = format!("the source `{kind}` has no use for `{key}`");
        let empty = scalar(&entry.value).is_some_and(str::is_empty);
        match key {
            "path" | "command" if !empty => {
                reader.fault(entry, key, &what, "remove it, or say another `source`");
            }
            // Said for all watches at once, it is for those that have a use for it.
            _ if reader.own.get(key).is_none() => {}
            _ => {
                let key = format!("{}{key}", reader.prefix);
                reader.findings.notice(super::raw::at(reader.file, entry.place, &key, &what, ""));
            }
        }
    }
}

/// The form that one of [`super::keys::FORMATS`] names.
#[must_use]
pub fn form(word: &str) -> FormatChoice {
    match word {
        "jsonl" => FormatChoice::Jsonl,
        "csv" => FormatChoice::Csv,
        "wide" | "custom_tabular" => FormatChoice::WideCsv,
        "syslog" => FormatChoice::Syslog,
        "nasa_http_tsv" => FormatChoice::NasaHttp,
        "pba_excel" => FormatChoice::Table(TableForm::PbaExcel),
        "smap_msl" => FormatChoice::Table(TableForm::SmapMsl),
        "cmapss" | "cmapss_fd001" | "cmapss_fd002" | "cmapss_fd003" | "cmapss_fd004" => {
            FormatChoice::Table(TableForm::Cmapss)
        }
        _ => FormatChoice::Auto,
    }
}

fn format(reader: &mut Reader<'_>, no_time: NoTime) -> Format {
    let choice = form(reader.choice("format"));
    let time_unit = match reader.choice("time_unit") {
        "millis" => TimeUnit::Millis,
        "micros" => TimeUnit::Micros,
        "nanos" => TimeUnit::Nanos,
        _ => TimeUnit::Seconds,
    };
    let no_time = match reader.choice("no_time") {
        "fault" => NoTime::Fault,
        "arrival" => NoTime::Arrival,
        _ => no_time,
    };
    Format { choice, time_unit, no_time }
}

fn begin(reader: &mut Reader<'_>) -> Begin {
    match reader.choice("begin") {
        "end" => Begin::End,
        _ => Begin::Start,
    }
}

/// Where alerts go.
pub(super) fn sinks(reader: &mut Reader<'_>, view_dir: &Path) -> Vec<SinkConfig> {
    let names = reader.choices("alert_sinks");
    let url = reader.text("webhook_url");
    let secret_file = reader.path("webhook_secret_file");
    if let (Some(entry), Some(url)) = (reader.entry("webhook_url"), &url) {
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        if rest.is_none_or(|rest| rest.is_empty() || rest.contains(char::is_whitespace)) {
            let what = format!("`{}` is no address of a webhook", cut(url));
            reader.fault(entry, "webhook_url", &what, "it begins with http:// or https://");
        }
        if !names.contains(&"webhook") {
            let notice = super::raw::at(
                reader.file,
                entry.place,
                &format!("{}webhook_url", reader.prefix),
                "`webhook_url` has no effect: `alert_sinks` does not name `webhook`",
                "",
            );
            reader.findings.notice(notice);
        }
    }
    let mut sinks = Vec::new();
    for name in names {
        match (name, &url) {
            ("file", _) => sinks.push(SinkConfig::File(view_dir.join("alerts.jsonl"))),
            ("webhook", Some(url)) => {
                sinks.push(SinkConfig::Webhook { url: url.clone(), secret_file: secret_file.clone() });
            }
            ("webhook", None) => {
                let help = "add `webhook_url: https://…`, or take `webhook` out of `alert_sinks`";
                reader.missing("webhook_url", "the sink `webhook` needs a `webhook_url`", help);
            }
            _ => sinks.push(SinkConfig::Stdout),
        }
    }
    sinks
}
