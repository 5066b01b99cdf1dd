//! A node that starts: what it tells of the copy that it starts on; and whether it is the original of a copy that went on.

use hb_core::ids::StreamName;
use hb_core::node::fact::Body;
use hb_daemon::clock;
use hb_store::atomic::Disk;
use hb_store::reader::newest;
use hb_store::sync::{Note, Relation, SyncError, relate};

use super::run::{Direction, Ends, Job, Rebase, cycles_between};
use super::{Target, failure};
use crate::cli::Failure;
use crate::config::Config;
use crate::config::checked::WatchConfig;
use crate::exit::Exit;
use crate::wire::stores;

/// Records from the newest back in which the newest cycle is looked for.
const LOOK_MAX: usize = 64;

/// Tells how old the copy is on which this node starts, if it is one that nobody has gone on with.
pub(in crate::wire) fn tell(config: &Config) {
    let note = match Note::load(&Disk::new(), &config.output_dir) {
        Ok(Some(note)) => note,
        Ok(None) => return,
        Err(error) => return tracing::warn!("{error}"),
    };
    for watch in &config.watches {
        if let Err(what) = tell_of(config, watch, &note) {
            tracing::warn!("watch {}: how far the copy is behind cannot be told: {what}", watch.settings.name);
        }
    }
}

fn tell_of(config: &Config, watch: &WatchConfig, note: &Note) -> Result<(), String> {
    let stream = StreamName::watch(&watch.settings.name);
    let Some(noted) = note.heads.get(&stream) else { return Ok(()) };
    let mut journal = stores::journal(config).map_err(|failure| failure.what)?;
    let records = newest(&mut journal, &stream, LOOK_MAX).map_err(|error| error.to_string())?;
    if records.last().is_none_or(|sealed| sealed.hash != noted.hash) {
        // It has gone on since: no copy any more, but a journal of its own.
        return Ok(());
    }
    let now = clock::wall();
    let age = now.0.saturating_sub(note.at.0).max(0) / 1_000_000_000;
    let name = &watch.settings.name;
    let last = records.iter().rev().find_map(|sealed| match &sealed.record.body {
        Body::CycleDecided(decided) => Some(decided.decision.clone()),
        Body::EpochOpened { .. }
        | Body::AlertDelivered(_)
        | Body::BaselineAdopted(_)
        | Body::BaselineEvent(_)
        | Body::EpochClosed { .. } => None,
    });
    let Some(last) = last else {
        tracing::warn!("watch {name}: this is a copy of {}, made {age} s ago ({})", note.source, note.at);
        return Ok(());
    };
    let between = cycles_between(last.span.end, now, watch.settings.interval_ns);
    tracing::warn!(
        "watch {name}: this is a copy of {}, made {age} s ago ({}): it ends with cycle {} at {}, by the clock about {between} cycles \
         ago; what came after is decided again from the source, as far as it still gives it",
        note.source,
        note.at,
        last.cycle,
        last.span.end
    );
    Ok(())
}

/// Whether a node that keeps a copy elsewhere may go on: not where that copy has gone on by itself meanwhile. What cannot be
/// asked does not hold a node up.
///
/// # Errors
/// The copy has gone on, and who with it.
pub(in crate::wire) fn may_go_on(config: &Config) -> Result<(), Failure> {
    let Some(sync) = &config.sync else { return Ok(()) };
    let watches: Vec<&WatchConfig> = config.watches.iter().collect();
    match parted(config, &sync.to, &watches) {
        Ok(None) => Ok(()),
        Ok(Some(error)) => {
            let failure = failure(error);
            Err(Failure { exit: Exit::Fenced, what: format!("replaced by its copy: {}", failure.what), ..failure })
        }
        Err(error) => {
            tracing::warn!("whether the copy in {} has gone on by itself cannot be told: {error}", sync.to);
            Ok(())
        }
    }
}

/// How the copy has gone its own way, if it has and its epoch is not the lower one.
fn parted(config: &Config, to: &Target, watches: &[&WatchConfig]) -> Result<Option<SyncError>, SyncError> {
    if let Some(folder) = to.folder()
        && folder.join("journal").try_exists().is_ok_and(|there| !there)
    {
        return Ok(None);
    }
    let job = Job { config, target: to, direction: Direction::To, watches, rebase: Rebase::No };
    let mut ends = Ends::open(&job)?;
    for watch in watches {
        let stream = StreamName::watch(&watch.settings.name);
        match relate(&mut *ends.source, &mut *ends.target, &stream) {
            Ok(Relation::Even | Relation::Behind(_) | Relation::From(_)) => {}
            Err(error) if has_replaced(&error) => return Ok(Some(error)),
            Err(SyncError::Diverged(divergence)) => {
                tracing::warn!(
                    "{divergence}; the copy has the lower epoch: it is not brought up before it is re-based"
                );
            }
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Whether the copy has gone on, and the source has not opened a higher epoch since.
pub(super) fn has_replaced(error: &SyncError) -> bool {
    match error {
        SyncError::Ahead(_) => true,
        SyncError::Diverged(divergence) => divergence.target.newest.epoch >= divergence.source.newest.epoch,
        SyncError::Unavailable(_) | SyncError::Unwritable(_) | SyncError::Corrupt(_) | SyncError::Refused(_) => false,
    }
}

/// The same for a node at work: it steps down only before a higher epoch, for a mere copy may be asked about the wrong place.
pub(super) fn has_replaced_running(error: &SyncError) -> bool {
    match error {
        SyncError::Ahead(ahead) => ahead.source.as_ref().is_some_and(|source| ahead.target.newest.epoch > source.epoch),
        SyncError::Diverged(divergence) => divergence.target.newest.epoch > divergence.source.newest.epoch,
        SyncError::Unavailable(_) | SyncError::Unwritable(_) | SyncError::Corrupt(_) | SyncError::Refused(_) => false,
    }
}
