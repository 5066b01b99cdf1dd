//! The only place that names backends: makes a running node out of a configuration.

mod announcer;
pub mod api;
mod decisions;
mod demo;
mod desk;
pub mod fleet;
mod halves;
mod health;
mod onlooker;
mod reported;
mod signals;
pub mod stores;
pub mod supervise;
pub mod sync;
mod systemd;
mod views;

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hb_actuators::{Secret, SinkSpec};
use hb_api::{Rooms, ServerHandle, ServerLimits};
use hb_core::journal::Hash;
use hb_core::supervise::input::{Declared, OnStop};
use hb_core::watch::baseline::Baseline;
use hb_core::watch::decision::Status;
use hb_daemon::parts::Documents;
use hb_daemon::poster::Desk;
use hb_daemon::{Bounds, Control, Ended, Mode, Parts, Poster, SinkParts, WatchParts};
use hb_store::baselines::Baselines;

use crate::cli::Failure;
use crate::config::checked::{Said, SinkConfig, WatchConfig};
use crate::config::fault::Fault;
use crate::config::{Config, Given, Loaded, load};
use crate::exit::Exit;
use crate::source::{self, Reading};

pub use demo::demo;
use halves::Running;
pub use health::serve_health;
use onlooker::DaemonOnlooker;
use reported::Reported;
use views::NodeViews;

/// How long a daemon runs, and what it ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DaemonMode {
    /// Until it is told to stop.
    Follow,
    /// Until every source has come to its end.
    Once(Gate),
}

/// Whether `--once` ends with the worst status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// It ends with 0 whatever was decided.
    Open,
    /// It ends with the number of the worst status.
    ByStatus,
}

/// Tries of a webhook before an alert is given up: with back-off up to five minutes, about a day.
const TRIES_MAX: u32 = 300;
/// The same for a node that ends with its sources: about a minute.
const TRIES_ONCE: u32 = 8;

/// Which halves of a configuration a command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Halves {
    /// Its watches.
    Watches,
    /// What it supervises, or what the API is told to.
    Supervisor,
    /// Both, as far as the configuration has them.
    Both,
}

/// Runs a node. `given` is what a reload (SIGHUP) reads again.
///
/// # Errors
/// Why it could not start, or ended otherwise than it was told.
pub fn run_node(given: &Given, loaded: Loaded, halves: Halves, mode: DaemonMode) -> Result<Exit, Failure> {
    let mut config = loaded.config;
    let watches = halves != Halves::Supervisor && !config.watches.is_empty();
    let supervises = halves == Halves::Supervisor || halves == Halves::Both && config.supervise.is_some();
    if !watches && !supervises {
        let file = config.file.as_deref().map_or_else(|| "the configuration".into(), |file| file.display().to_string());
        return Err(Failure::new(Exit::Config, format!("{file} has no watch"))
            .help("`hb supervisor` and `hb run` supervise what it declares; `source:` or `watches:` make a watch"));
    }
    // Before any other thread, so that all of them inherit the mask.
    let signals = signals::block()?;
    // It has its card until it is dropped, however this ends.
    let poster = crate::nodes::join(&mut config)?;
    let board = poster.as_ref().map(Poster::desk);
    let tenant = crate::nodes::settle(&config);
    if watches {
        sync::start::may_go_on(&config)?;
        sync::start::tell(&config);
    }
    let server = listen(&config)?;
    let address = server.as_ref().and_then(|listener| listener.local_addr().ok());
    let supervisor = supervises.then(|| supervise::supervise(&config)).transpose()?;
    let watch = watches.then(|| watch(&config, mode, board.clone())).transpose()?;
    let mut running = Running::new(watch, supervisor)?;
    running.handles.board = board;
    let copier = sync::periodic::Copier::start(&config, &running.handles)?;
    running.handles.copy = copier.as_ref().map(sync::periodic::Copier::state);
    let announcer = announcer::Announcer::start(&running.handles)?;
    let reloads = Reloads { given: given.clone(), config: Mutex::new(config.clone()) };
    let server = serve(server, &running, &config)?;
    if let Some(board) = &running.handles.board {
        board.add(|account| account.listen = address.filter(|_| server.is_some()));
    }
    announce(&config, server.as_ref());
    signals.attend(running.handles.clone(), reloads);
    let shared = running.handles.watch.as_ref().map(|(_, shared)| Arc::clone(shared));
    let told = systemd::Teller::start(Arc::new(DaemonOnlooker::new(&running.handles, &config)))?;
    let ended = running.join();
    let replaced = copier.and_then(sync::periodic::Copier::stop);
    if let Some(told) = told {
        told.stop();
    }
    if let Some(server) = server {
        server.stop();
    }
    if let Some(announcer) = announcer {
        announcer.stop();
    }
    drop((poster, tenant));
    match (replaced, &ended) {
        (Some(replaced), Ended::Drained) => Err(replaced),
        (_, ended) => finish(ended, mode, shared.as_deref()),
    }
}

fn watch(config: &Config, mode: DaemonMode, board: Option<Arc<Desk>>) -> Result<hb_daemon::turn::Running, Failure> {
    stores::trust(config)?;
    if fleet::is_meant(config) {
        return fleet::start(config, as_mode(mode), board);
    }
    hb_daemon::start(parts(config, mode, board)?)
        .map_err(|error| Failure::new(Exit::Error, format!("a thread could not be started: {error}")))
}

fn finish(ended: &Ended, mode: DaemonMode, shared: Option<&hb_daemon::shared::Shared>) -> Result<Exit, Failure> {
    match ended {
        Ended::Drained => Ok(match mode {
            DaemonMode::Once(Gate::ByStatus) => shared.map_or(Exit::Ok, gate),
            DaemonMode::Once(Gate::Open) | DaemonMode::Follow => Exit::Ok,
        }),
        Ended::Fenced(what) => Err(Failure::new(Exit::Fenced, format!("fenced: {what}"))
            .help("another node goes on; restart this one and it stands by")),
        Ended::Corrupt(what) => Err(Failure::new(Exit::Corrupt, what.clone())
            .help("`hb verify` lists everything that is damaged; docs/ops/repair.md says what can be done")),
        Ended::Unfinished(what) => {
            Err(Failure::new(Exit::CannotWrite, format!("stopped, but not everything is written: {what}"))
                .help("nothing is lost: the next start decides from the last record on"))
        }
    }
}

/// The worst status of this run, as a number.
fn gate(shared: &hb_daemon::shared::Shared) -> Exit {
    let stats = shared.stats();
    let seen = |status: Status| stats.cycles.iter().any(|((_, name), count)| *name == status.as_str() && *count > 0);
    if seen(Status::Fail) {
        Exit::GateFail
    } else if seen(Status::NoData) {
        Exit::GateNoData
    } else if seen(Status::NoBaseline) && !seen(Status::Pass) && !seen(Status::PassWithDrift) {
        // While it still learns, a run has no baseline for a while; one that never had any has decided nothing.
        Exit::GateNoBaseline
    } else if seen(Status::PassWithDrift) {
        Exit::GateDrift
    } else {
        Exit::Ok
    }
}

/// A listener, before anything else starts: an address that is taken is told at once.
fn listen(config: &Config) -> Result<Option<TcpListener>, Failure> {
    let Some(address) = config.listen.address else { return Ok(None) };
    match (TcpListener::bind(address), config.listen.said) {
        (Ok(listener), _) => Ok(Some(listener)),
        (Err(error), Said::Explicit) => {
            let what = format!("cannot listen on {address}: {error}");
            Err(Failure::new(Exit::Unavailable, what).help("name another address with --listen ADDR:PORT, or `none`"))
        }
        (Err(error), Said::Default) => {
            let free = SocketAddr::new(address.ip(), 0);
            tracing::info!("{address} is taken ({error}): health is served on a free port");
            TcpListener::bind(free)
                .map(Some)
                .map_err(|error| Failure::new(Exit::Unavailable, format!("cannot listen on {free}: {error}")))
        }
    }
}

fn serve(listener: Option<TcpListener>, running: &Running, config: &Config) -> Result<Option<ServerHandle>, Failure> {
    let Some(listener) = listener else { return Ok(None) };
    let onlooker = Arc::new(DaemonOnlooker::new(&running.handles, config));
    let rooms = Rooms { api: api::api(config, &running.handles)?, sync: api::copies(config, &running.handles)? };
    hb_api::spawn_with(listener, onlooker, rooms, ServerLimits::default())
        .map(Some)
        .map_err(|error| Failure::new(Exit::Unavailable, format!("health cannot be served: {error}")))
}

fn announce(config: &Config, server: Option<&ServerHandle>) {
    let page =
        server.map_or_else(|| "no page is served".to_owned(), |server| format!("page http://{}/", server.addr()));
    let watches: Vec<String> = config
        .watches
        .iter()
        .map(|watch| format!("{} ({})", watch.settings.name, source::spec(&watch.source, Reading::Follow).describe()))
        .collect();
    let agents = config.supervise.as_ref().map_or(0, |declared| declared.agents.len());
    let supervised = (agents > 0).then(|| format!("{agents} agents"));
    let work = watches.into_iter().chain(supervised).collect::<Vec<_>>().join(", ");
    tracing::info!("node {}: {work}; {page}; state in {}", config.node, config.output_dir.display());
}

fn parts(config: &Config, mode: DaemonMode, board: Option<Arc<Desk>>) -> Result<Parts, Failure> {
    let mode = as_mode(mode);
    let watches = config.watches.iter().map(|watch| watch_parts(watch, mode)).collect::<Result<_, _>>()?;
    let baselines = stores::baselines(config)?;
    Ok(Parts {
        node: config.node.clone(),
        watches,
        journal: stores::journal(config)?,
        lease: stores::lease(config)?,
        board,
        documents: Box::new(Kept(baselines.clone())),
        views: Box::new(NodeViews::open(config, baselines)),
        mode,
        bounds: bounds(config),
    })
}

fn as_mode(mode: DaemonMode) -> Mode {
    match mode {
        DaemonMode::Follow => Mode::Serve,
        DaemonMode::Once(_) => Mode::Once,
    }
}

fn bounds(config: &Config) -> Bounds {
    Bounds {
        lease_ttl: config.lease.ttl,
        follow_every: stores::follow_every(config),
        on_lost: config.lease.on_lost,
        priority: config.lease.priority,
        journal_records: config.journal_keep_cycles,
        ..Bounds::default()
    }
}

fn watch_parts(watch: &WatchConfig, mode: Mode) -> Result<WatchParts, Failure> {
    let (tries_max, reading) = match mode {
        Mode::Serve => (TRIES_MAX, Reading::Follow),
        Mode::Once => (TRIES_ONCE, Reading::ToEnd),
    };
    let opened = watch.clone();
    let open = Box::new(move || source::open(&opened, reading));
    let reported = |parts: SinkParts| SinkParts { sink: Box::new(Reported::new(parts.sink, watch)), ..parts };
    let sinks = watch.sinks.iter().map(|sink| sink_parts(sink, tries_max).map(reported)).collect::<Result<_, _>>()?;
    Ok(WatchParts { settings: Arc::new(watch.settings.clone()), source: open, sinks })
}

fn sink_parts(sink: &SinkConfig, tries_max: u32) -> Result<SinkParts, Failure> {
    let name = sink.name().to_owned();
    let spec = match sink {
        SinkConfig::Stdout => SinkSpec::Stdout,
        SinkConfig::File(path) => SinkSpec::File { path: path.clone() },
        SinkConfig::Webhook { url, secret_file } => SinkSpec::Webhook {
            url: Secret::new(url.as_str()),
            secret: secret_file.as_deref().map(secret).transpose()?,
            timeout: Duration::from_secs(10),
        },
    };
    let sink = hb_actuators::alert_sink::build(&name, &spec)
        .map_err(|error| Failure::new(Exit::Config, format!("sink {name}: {error}")))?;
    Ok(SinkParts { name, sink, tries_max })
}

fn secret(path: &Path) -> Result<Secret, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::new(Exit::Config, format!("the webhook's secret cannot be read from {}: {error}", path.display()))
    })?;
    Ok(Secret::new(text.trim()))
}

/// A fault of the configuration on one line.
fn one_line(fault: &Fault) -> String {
    let place = fault.place.map(|place| format!(":{}:{}", place.line, place.column)).unwrap_or_default();
    format!("{}{place}: {} {}", fault.file, fault.what, fault.help)
}

/// Baseline documents of a folder.
#[derive(Debug)]
struct Kept(Baselines);

impl Documents for Kept {
    fn put(&mut self, hash: Hash, bytes: &[u8]) -> Result<(), String> {
        self.0.put_bytes(hash, bytes).map_err(|error| error.to_string())
    }

    fn get(&mut self, hash: Hash) -> Result<Arc<Baseline>, String> {
        self.0.get(hash).map_err(|error| error.to_string())
    }

    fn lend(&mut self, hash: Hash, document: &Arc<Baseline>) {
        self.0.lend(hash, document);
    }
}

/// Reads the configuration again when asked to.
#[derive(Debug)]
struct Reloads {
    given: Given,
    config: Mutex<Config>,
}

impl Reloads {
    /// What becomes of running agents.
    fn on_stop(&self) -> OnStop {
        self.config.lock().unwrap_or_else(PoisonError::into_inner).on_stop
    }

    /// The control event of a reload, or why it is refused; the node works on as before then.
    fn read(&self) -> Result<(Control, Declared), String> {
        let loaded = load(&self.given).map_err(|findings| {
            let told: Vec<String> = findings.faults.iter().map(one_line).collect();
            told.join("; ")
        })?;
        let mut config = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        let fixed = fixed_parts(&config, &loaded.config);
        if !fixed.is_empty() {
            return Err(format!("{} cannot be changed while running: restart to change it", fixed.join(", ")));
        }
        let before = config.watches.clone();
        *config = loaded.config;
        let changed = config.watches.iter().filter(|watch| !before.contains(watch));
        let changed = changed.map(|watch| Arc::new(watch.settings.clone())).collect();
        Ok((Control::Reload(changed), config.supervise.clone().unwrap_or_default()))
    }
}

/// What a reload would change that only a restart can.
fn fixed_parts(old: &Config, new: &Config) -> Vec<&'static str> {
    let names = |config: &Config| config.watches.iter().map(|watch| watch.settings.name.clone()).collect::<Vec<_>>();
    let outside = |config: &Config| {
        let outside = |watch: &WatchConfig| (watch.source.clone(), watch.sinks.clone(), watch.fields.clone());
        config.watches.iter().map(outside).collect::<Vec<_>>()
    };
    let views = |config: &Config| {
        let views = |watch: &WatchConfig| {
            (watch.view_dir.clone(), watch.reports, watch.max_checkpoint_history, watch.report_bytes_max)
        };
        config.watches.iter().map(views).collect::<Vec<_>>()
    };
    let tags = |config: &Config| config.watches.iter().map(|w| w.settings.baseline_tag.clone()).collect::<Vec<_>>();
    [
        ("node", old.node != new.node),
        ("listen", old.listen != new.listen),
        ("output_dir", old.output_dir != new.output_dir),
        ("db_path", old.db_path != new.db_path),
        ("lease", old.lease != new.lease),
        ("alert_sinks of the supervisor", old.sinks != new.sinks),
        ("tokens_file", old.tokens_file != new.tokens_file),
        ("sync", old.sync != new.sync),
        ("journal retention", old.journal_keep_cycles != new.journal_keep_cycles),
        ("the set of watches", names(old) != names(new)),
        ("source, sinks or telemetry_schema", names(old) == names(new) && outside(old) != outside(new)),
        ("reports and histories", names(old) == names(new) && views(old) != views(new)),
        ("baseline_tag", names(old) == names(new) && tags(old) != tags(new)),
    ]
    .into_iter()
    .filter_map(|(what, changed)| changed.then_some(what))
    .collect()
}
