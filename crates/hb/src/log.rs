//! Logs: to standard error, filtered by `HB_LOG`, as text for people or JSON for collectors.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging. `HB_LOG` takes a level (`debug`) or filters by module (`info,hb_store=debug`); `info` where it is not
/// set. A filter that cannot be read is told and `info` is used. A second call has no effect.
pub fn start(format: LogFormat) {
    let asked = std::env::var("HB_LOG").ok().filter(|text| !text.is_empty());
    let parsed = asked.as_deref().map(EnvFilter::try_new);
    let (filter, fault) = match parsed {
        None => (EnvFilter::new("info"), None),
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (EnvFilter::new("info"), Some(error.to_string())),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Text => {
            let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            builder.with_ansi(colour).with_target(false).try_init().is_ok()
        }
        LogFormat::Json => builder.json().try_init().is_ok(),
    };
    if let (true, Some(fault)) = (started, fault) {
        tracing::warn!(%fault, "HB_LOG cannot be read: logging at info");
    }
}
