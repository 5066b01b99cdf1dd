//! `hb health serve`: the same answers from outside the daemon (a sidecar), so that a hung or dead daemon is seen.
//!
//! It asks the daemon over HTTP and looks at the configuration, the checkpoint, the journal, the lease and the database itself. It looks on a
//! thread of its own, once a second; requests are answered from what was seen last.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hb_api::{Check, CycleLine, Liveness, Metrics, Onlooker, ServerLimits};
use hb_core::ids::{Epoch, NodeName, StreamName, WatchName};
use hb_core::node::fact::Body;
use hb_core::node::view::{Role, SourceView, Totals, View, WatchView};
use hb_daemon::clock;
use hb_store::port::Journal as _;
use hb_store::views::runs;
use nix::sys::signal::{SigSet, Signal};
use serde_json::Value;

use crate::ask::Place;
use crate::cli::{Failure, health};
use crate::config::{Config, Given, load};
use crate::exit::Exit;
use crate::{ask, nodes, stored};

/// How often everything is looked at.
const EVERY: Duration = Duration::from_secs(1);
/// How long the daemon may take to answer.
const PATIENCE: Duration = Duration::from_millis(800);
/// How long the looks themselves may hang (a dead mount) before `/live` says so.
const BOUND: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
struct Seen {
    view: Arc<View>,
    checks: Vec<Check>,
    daemon: Option<String>,
    recent: Vec<CycleLine>,
}

#[derive(Debug)]
struct Sidecar {
    seen: Mutex<Seen>,
    looked: Mutex<Instant>,
}

/// Serves until it is told to stop.
///
/// # Errors
/// Why it could not start.
pub fn serve_health(given: &Given, args: &health::Serve) -> Result<Exit, Failure> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGINT);
    let failed =
        |what: &str, error: &dyn std::fmt::Display| Failure::new(Exit::Unavailable, format!("{what}: {error}"));
    signals.thread_block().map_err(|error| failed("signals cannot be blocked", &error))?;
    let address = SocketAddr::new(args.bind, args.port);
    let listener = TcpListener::bind(address)
        .map_err(|error| failed(&format!("cannot listen on {address}"), &error).help("name another --port"))?;
    let sidecar = Arc::new(Sidecar { seen: Mutex::new(Seen::default()), looked: Mutex::new(Instant::now()) });
    let (looker, given) = (Arc::clone(&sidecar), given.clone());
    std::thread::Builder::new()
        .name("look".into())
        .spawn(move || {
            loop {
                let seen = look(&given);
                *looker.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
                *looker.looked.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
                std::thread::sleep(EVERY);
            }
        })
        .map_err(|error| failed("a thread could not be started", &error))?;
    let server = hb_api::spawn(listener, sidecar, ServerLimits::default())
        .map_err(|error| failed("health cannot be served", &error))?;
    tracing::info!("health is served on http://{}/", server.addr());
    let signal = signals.wait().map_err(|error| failed("signals cannot be waited for", &error))?;
    tracing::info!("{signal}: ending");
    server.stop();
    Ok(Exit::Ok)
}

fn look(given: &Given) -> Seen {
    let config = match load(given) {
        Ok(loaded) => loaded.config,
        Err(findings) => {
            let told: Vec<String> = findings.faults.iter().map(super::one_line).collect();
            let checks = vec![Check::failed("config", told.join("; "))];
            return Seen { checks, daemon: Some("the configuration cannot be read".into()), ..Seen::default() };
        }
    };
    let mut checks = vec![Check::passed("config")];
    checks.push(outcome("db", runs::check(&config.db_path).map_err(|error| error.what)));
    let (stored_view, recent) = match stored_view(&config) {
        Ok(found) => {
            checks.push(Check::passed("journal"));
            found
        }
        Err(what) => {
            checks.push(Check::failed("journal", what));
            (View::default(), Vec::new())
        }
    };
    let (view, daemon) = match asked(&config) {
        Ok((role, node, more)) => {
            checks.extend(more);
            (View { role, node: Some(node), ..stored_view }, None)
        }
        Err(why) => (stored_view, Some(why)),
    };
    checks.push(outcome("daemon", daemon.clone().map_or(Ok(()), Err)));
    Seen { view: Arc::new(view), checks, daemon, recent }
}

fn outcome(name: &str, state: Result<(), String>) -> Check {
    match state {
        Ok(()) => Check::passed(name),
        Err(what) => Check::failed(name, what),
    }
}

/// What the daemons of this output folder say: the active one's role, or a standby's where there is no active one.
fn asked(config: &Config) -> Result<(Role, NodeName, Vec<Check>), String> {
    let mut best: Option<(Role, NodeName, Vec<Check>)> = None;
    let mut why = format!("no node has announced itself in {}", config.output_dir.display());
    let roster = nodes::look(config).map_err(|failure| failure.what)?;
    for card in roster.alive() {
        match nodes::address(card).and_then(|address| ask_node(&Place::of_url(&address)?)) {
            Ok((role, checks)) if best.is_none() || role == Role::Active => {
                best = Some((role, card.node.clone(), checks));
            }
            Ok(_) => {}
            Err(what) => why = format!("node {}: {what}", card.node),
        }
    }
    best.ok_or(why)
}

fn ask_node(place: &Place) -> Result<(Role, Vec<Check>), String> {
    ask::get_of(place, "/live", PATIENCE).map_err(|what| format!("{what} to /live: it hangs or is dead"))?;
    let status = ask::get_of(place, "/v1/status", PATIENCE)?;
    let status: Value = serde_json::from_slice(&status).map_err(|error| error.to_string())?;
    let role = status.get("role").cloned().unwrap_or(Value::Null);
    let role: Role = serde_json::from_value(role).map_err(|error| format!("/v1/status has no role: {error}"))?;
    let ready = match ask::get_of(place, "/ready", PATIENCE) {
        Ok(_) => Check::passed("ready"),
        Err(what) => Check::failed("ready", format!("the daemon is not ready: {what}")),
    };
    Ok((role, vec![ready]))
}

fn stored_view(config: &Config) -> Result<(View, Vec<CycleLine>), String> {
    let mut journal = stored::journal(config).map_err(|failure| failure.what)?;
    let mut watches = Vec::new();
    let mut recent = Vec::new();
    for watch in &config.watches {
        let name = &watch.settings.name;
        let stream = StreamName::watch(name);
        let head = journal.head(&stream).map_err(|error| error.to_string())?;
        let newest = stored::newest(&mut journal, &stream, |sealed| match &sealed.record.body {
            Body::CycleDecided(decided) => Some((CycleLine::of(sealed), decided.clone(), sealed.record.epoch)),
            Body::EpochOpened { .. }
            | Body::AlertDelivered(_)
            | Body::BaselineAdopted(_)
            | Body::BaselineEvent(_)
            | Body::EpochClosed { .. } => None,
        })
        .map_err(|failure| failure.what)?;
        let (line, last, epoch) = match newest {
            Some((line, last, epoch)) => (line, Some(last), epoch),
            None => (None, None, Epoch(0)),
        };
        recent.extend(line);
        let lag = last.as_ref().map_or(0.0, |last| clock::wall().as_seconds() - last.decision.span.end.as_seconds());
        watches.push(WatchView {
            name: name.clone(),
            cycle: last.as_ref().map(|last| last.decision.cycle),
            status: last.as_ref().map(|last| last.decision.status),
            seq: head,
            epoch,
            lag_seconds: lag.max(0.0),
            source: SourceView::Closed,
            baseline: last.as_ref().and_then(|last| last.baseline.clone()),
            undelivered: last.as_ref().map_or(0, |last| last.undelivered.len() as u64),
            totals: Totals::default(),
            last,
        });
    }
    let epoch = watches.iter().map(|watch| watch.epoch).max().unwrap_or_default();
    Ok((View { role: Role::Standby, epoch, watches, ..View::default() }, recent))
}

impl Onlooker for Sidecar {
    fn view(&self) -> Arc<View> {
        Arc::clone(&self.seen.lock().unwrap_or_else(PoisonError::into_inner).view)
    }

    fn checks(&self) -> Vec<Check> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).checks.clone()
    }

    /// Alive while a daemon answers that it is.
    fn liveness(&self) -> Liveness {
        let since = self.looked.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
        let daemon = self.seen.lock().unwrap_or_else(PoisonError::into_inner).daemon.clone();
        let hung = since > BOUND;
        let reason = if hung { Some("looking at the daemon's files hangs".to_owned()) } else { daemon };
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Liveness { alive: reason.is_none(), reason, since_progress_ms: ms(since), bound_ms: ms(BOUND) }
    }

    fn metrics(&self) -> Metrics {
        Metrics::default()
    }

    fn recent(&self, watch: &WatchName, newest: usize) -> Vec<CycleLine> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.recent.iter().filter(|line| line.watch == *watch).take(newest).cloned().collect()
    }
}
