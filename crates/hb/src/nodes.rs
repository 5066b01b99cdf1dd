//! Who runs: the cards of nodes on the board, which stands in the register beside the lease.
//!
//! Nothing rests on it but what people see, where commands ask, and the order in which nodes stand by.

use std::fs::{self, File};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use hb_api::NodeDoc;
use hb_core::journal::Hash;
use hb_core::node::view::Role;
use hb_daemon::{Poster, clock};
use hb_store::board::{Account, Board, BoardError, Card, Entry, Life, POST_EVERY, Roster};
use hb_store::register::dir::DirRegister;
use nix::fcntl::{Flock, FlockArg};

use crate::cli::Failure;
use crate::config::Config;
use crate::config::checked::{LeaseBackend, Place};
use crate::exit::Exit;
use crate::wire::stores;

/// How long it takes a reader that has just begun to see whether nodes of other hosts live: one post, and some for a slow one.
pub const SECOND_LOOK: Duration = POST_EVERY.saturating_add(Duration::from_millis(700));
/// Beside a journal in a folder, for as long as its node runs whose lease is elsewhere: nothing else in the folder shows that it works there.
const TENANTS: &str = "hb.tenants";
/// How often it is tried while somebody looks whether there are tenants.
const TRIES: u32 = 20;

/// Puts this node's card up, and gives its name another one where somebody else lives by it. Where the register cannot be used now
/// the card is put up later, under the wanted name.
///
/// # Errors
/// The name cannot be a node's; a thread cannot be started.
pub fn join(config: &mut Config) -> Result<Option<Poster>, Failure> {
    let deployment = deployment(config);
    let account = Account {
        priority: config.lease.priority,
        deployment: deployment.clone(),
        ..Account::new(env!("CARGO_PKG_VERSION"), clock::wall())
    };
    let mut board = match stores::register(config) {
        Ok(register) => Board::new(register),
        Err(failure) => {
            tracing::warn!("this node puts no card on the board of nodes: {}", failure.what);
            return Ok(None);
        }
    };
    match board.join(&config.node, &account) {
        Ok(name) => config.node = name,
        Err(BoardError::BadName(what)) => return Err(Failure::new(Exit::Config, what)),
        Err(error) => tracing::warn!("the board of nodes cannot be used yet: {error}"),
    }
    if let Err(refused) = alone(&mut board, &deployment) {
        if let Err(error) = board.leave() {
            tracing::warn!("this node's card stays on the board until it has stood still: {error}");
        }
        return Err(refused);
    }
    let poster = Poster::start(board, config.node.clone(), account);
    poster.map(Some).map_err(|error| Failure::new(Exit::Error, format!("a thread could not be started: {error}")))
}

/// How a card begins that says by their hashes which watches a node has.
const OF_WATCHES: &str = "watches:";
/// Of how many watches a card says so: those with the smallest hashes, so that two nodes with many in common name the same ones (B1).
const SAID_MAX: usize = 30;

/// Which watches a configuration has, in few letters; empty where it has none.
fn deployment(config: &Config) -> String {
    of_names(config.watches.iter().map(|watch| watch.settings.name.as_str()))
}

fn of_names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut hashes: Vec<String> = names.map(|name| Hash::of(name.as_bytes()).short()).collect();
    hashes.sort_unstable();
    hashes.truncate(SAID_MAX);
    if hashes.is_empty() { String::new() } else { format!("{OF_WATCHES}{}", hashes.join(".")) }
}

/// How the watches of another node stand to those of this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kinship {
    /// The same, or it cannot be told.
    Same,
    /// Some are the same: one configuration that is just being changed.
    Changed,
    /// None is.
    Strange,
}

fn kinship(ours: &str, theirs: &str) -> Kinship {
    if ours.is_empty() || theirs.is_empty() || ours == theirs {
        return Kinship::Same;
    }
    let (Some(ours), Some(theirs)) = (ours.strip_prefix(OF_WATCHES), theirs.strip_prefix(OF_WATCHES)) else {
        // A card of another version of this program says it otherwise.
        return Kinship::Changed;
    };
    if ours.split('.').any(|one| theirs.split('.').any(|other| one == other)) {
        Kinship::Changed
    } else {
        Kinship::Strange
    }
}

/// Whether nodes live here that do not belong to this one. Nodes of other hosts are looked at twice before that is said of them.
fn alone(board: &mut Board, deployment: &str) -> Result<(), Failure> {
    // What cannot be read now is told by the poster: nobody is kept from working by the board.
    let Ok(mut roster) = board.roster() else { return Ok(()) };
    if strangers(&roster, deployment).any(|entry| entry.life == Life::Unclear) {
        std::thread::sleep(SECOND_LOOK);
        let Ok(again) = board.roster() else { return Ok(()) };
        roster = again;
    }
    if let Some(entry) = strangers(&roster, deployment).find(|entry| entry.life == Life::Alive) {
        let (node, host) = (&entry.card.node, &entry.card.process.host);
        let what =
            format!("node {node} of host {host} shares this lease and watches nothing of what this configuration does");
        return Err(Failure::new(Exit::Refused, what).help(
            "whichever of the two is active would decide its own watches alone: two configurations need two places (another `output_dir`, \
             schema, prefix or name). Where this is the new form of the same one, stop or reload the nodes with the old one first",
        ));
    }
    for entry in others(&roster, deployment, Kinship::Changed) {
        tracing::warn!(
            "node {} of host {} shares this lease and does not have the same watches: whichever is active decides its own alone. While a \
             configuration is being changed, give all nodes the new one",
            entry.card.node,
            entry.card.process.host
        );
    }
    Ok(())
}

fn others<'a>(roster: &'a Roster, deployment: &'a str, kin: Kinship) -> impl Iterator<Item = &'a Entry> {
    let of = move |entry: &&Entry| {
        !entry.own && entry.life != Life::Gone && kinship(deployment, &entry.card.account.deployment) == kin
    };
    roster.nodes.iter().filter(of)
}

/// Nodes that share this register and watch something else: one of the two would never be decided.
fn strangers<'a>(roster: &'a Roster, deployment: &'a str) -> impl Iterator<Item = &'a Entry> {
    others(roster, deployment, Kinship::Strange)
}

/// A board to read, which makes nothing where nothing is; none where no node was ever started.
///
/// # Errors
/// The register cannot be opened.
pub fn reader(config: &Config) -> Result<Option<Board>, Failure> {
    match &config.lease.backend {
        LeaseBackend::Server(_) => stores::register(config).map(|register| Some(Board::new(register))),
        LeaseBackend::File | LeaseBackend::External => folder(&config.output_dir),
    }
}

fn folder(output_dir: &Path) -> Result<Option<Board>, Failure> {
    let dir = output_dir.join(stores::REGISTER_DIR);
    if !dir.is_dir() {
        return Ok(None);
    }
    let register = DirRegister::open(&dir).map_err(|error| Failure::new(Exit::Unavailable, error.to_string()))?;
    Ok(Some(Board::new(Box::new(register))))
}

/// Every node, at one look: nodes of other hosts may be alive or not.
///
/// # Errors
/// The register cannot be read.
pub fn look(config: &Config) -> Result<Roster, Failure> {
    read(reader(config)?)
}

/// Every node whose card is in the register of a folder.
///
/// # Errors
/// It cannot be read.
pub fn look_in(output_dir: &Path) -> Result<Roster, Failure> {
    read(folder(output_dir)?)
}

fn read(board: Option<Board>) -> Result<Roster, Failure> {
    let Some(mut board) = board else { return Ok(Roster::default()) };
    board.roster().map_err(unreadable)
}

/// The board cannot be used, told.
#[must_use]
pub fn unreadable(error: BoardError) -> Failure {
    Failure::new(Exit::Unavailable, format!("the nodes cannot be told: {error}"))
        .help("`hb doctor` says what is wrong with the place that the lease stands in")
}

/// Processes of this host that live; their cards.
pub fn here(roster: &Roster) -> impl Iterator<Item = &Card> {
    let here = |card: &&Card| card.process.pid != std::process::id() && card.process.ended() == Some(false);
    roster.nodes.iter().map(|entry| &entry.card).filter(here)
}

/// Where a node can be asked from here, as `HOST:PORT`.
///
/// # Errors
/// Why it cannot, in words.
pub fn address(card: &Card) -> Result<String, String> {
    let Some(listen) = card.account.listen else { return Err("it serves nothing: start it with --listen".into()) };
    let (any, here) = (listen.ip().is_unspecified(), card.process.is_here());
    if any && here {
        let loopback = match listen.ip() {
            IpAddr::V4(_) => IpAddr::from([127, 0, 0, 1]),
            IpAddr::V6(_) => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
        };
        return Ok(SocketAddr::new(loopback, listen.port()).to_string());
    }
    if any {
        return Ok(format!("{}:{}", card.process.host, listen.port()));
    }
    if listen.ip().is_loopback() && !here {
        let host = &card.process.host;
        return Err(format!(
            "it listens on {listen} of {host} alone: start it with --listen and an address of that host"
        ));
    }
    Ok(listen.to_string())
}

fn life(life: Life) -> &'static str {
    match life {
        Life::Alive => "alive",
        Life::Gone => "gone",
        Life::Unclear => "unclear",
    }
}

fn document(roster: &Roster, entry: &Entry) -> NodeDoc {
    let Card { node, process, posted, account, .. } = &entry.card;
    let age = clock::wall().as_seconds() - posted.as_seconds();
    // The lag of one that is gone grows no more by its own account.
    let since = if account.role == Role::Standby { age.max(0.0) } else { 0.0 };
    let gone = entry.life == Life::Gone;
    NodeDoc {
        node: node.clone(),
        role: if gone { "down" } else { account.role.as_str() },
        life: life(entry.life),
        supervises: account.supervises.filter(|_| !gone),
        host: process.host.clone(),
        pid: process.pid,
        listen: account.listen,
        priority: account.priority,
        epoch: account.epoch,
        version: account.version.clone(),
        started: account.started,
        last_contact: *posted,
        last_contact_seconds: age.max(0.0),
        watches_active: if gone { 0 } else { account.watches.active },
        watches_standing_by: if gone { 0 } else { account.watches.standing_by },
        records: account.watches.records,
        lag_records: roster.records().saturating_sub(account.watches.records),
        lag_seconds: account.watches.lag_seconds + if gone { since } else { 0.0 },
        takeover: account.takeover.clone(),
        trouble: account.trouble.clone(),
        silent: None,
    }
}

/// What is told of every node.
#[must_use]
pub fn documents(roster: &Roster) -> Vec<NodeDoc> {
    roster.nodes.iter().map(|entry| document(roster, entry)).collect()
}

/// A node's right to work in a folder, among others of its kind; it ends with its process.
#[derive(Debug)]
pub struct Tenant {
    _shared: Flock<File>,
}

/// Says in a folder that a node works there whose lease is elsewhere; nothing where its lease is in the folder itself.
#[must_use]
pub fn settle(config: &Config) -> Option<Tenant> {
    let elsewhere = matches!(config.lease.backend, LeaseBackend::Server(_)) && config.journal == Place::Folder;
    if !elsewhere {
        return None;
    }
    let path = config.output_dir.join(TENANTS);
    for _ in 0..TRIES {
        let file = match fs::create_dir_all(&config.output_dir)
            .and_then(|()| File::options().create(true).append(true).open(&path))
        {
            Ok(file) => file,
            Err(error) => {
                tracing::warn!(
                    "{} cannot be opened: copies may not see that a node works here: {error}",
                    path.display()
                );
                return None;
            }
        };
        if let Ok(shared) = Flock::lock(file, FlockArg::LockSharedNonblock) {
            return Some(Tenant { _shared: shared });
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    tracing::warn!("{} cannot be locked: copies may not see that a node works here", path.display());
    None
}

/// Whether nodes work in a folder whose leases are elsewhere.
#[must_use]
pub fn has_tenants(output_dir: &Path) -> bool {
    let Ok(file) = File::options().append(true).open(output_dir.join(TENANTS)) else { return false };
    Flock::lock(file, FlockArg::LockExclusiveNonblock).is_err()
}

#[cfg(test)]
mod tests {
    use hb_store::register::memory::MemoryRegister;

    use super::*;

    #[test]
    fn nodes_with_other_watches_are_refused_and_those_of_a_changed_configuration_are_not() {
        let of = |names: &[&str]| of_names(names.iter().copied());
        let told = |names: &[&str]| Account { deployment: of(names), ..Account::new("1", clock::wall()) };
        let start = |theirs: &[&str], ours: &[&str]| {
            let register = MemoryRegister::new();
            let mut other = Board::new(Box::new(register.clone()));
            other.join(&"a".into(), &told(theirs)).unwrap();
            let mut own = Board::new(Box::new(register));
            own.join(&"b".into(), &told(ours)).unwrap();
            alone(&mut own, &of(ours))
        };
        let refused = start(&["press", "oven"], &["lathe"]).unwrap_err();
        assert!(
            refused.what.contains("node a") && refused.what.contains("watches nothing of what"),
            "{}",
            refused.what
        );
        for (theirs, ours) in [
            (&["press"][..], &["press"][..]),
            (&["press"], &["press", "oven"]),
            (&["press", "oven"], &["oven", "lathe"]),
            (&[], &["lathe"]),
            (&["press"], &[]),
        ] {
            assert!(start(theirs, ours).is_ok(), "{theirs:?} and {ours:?}");
        }
        assert_eq!(kinship(&of(&["lathe"]), "0123456789ab"), Kinship::Changed, "a card of an older version");
        let many: Vec<String> = (0..1_000).map(|number| format!("watch{number}")).collect();
        let said = |range: std::ops::Range<usize>| of_names(many[range].iter().map(String::as_str));
        assert!(said(0..1_000).len() < 500, "as much as a card holds");
        assert_eq!(kinship(&said(0..1_000), &said(100..1_000)), Kinship::Changed);
    }
}
