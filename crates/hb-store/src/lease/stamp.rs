//! The progress stamp beside the lock, and how long it has stood still.
//!
//! **Invariants.** Only durations on this node's own clock that runs through suspend are compared, counted from when this
//! node first saw the stamp as it is. A stamp that cannot be read counts as held, like any other, until that duration is
//! over. A holder's stamp is written in its place as long as it only counts on: making a file and giving it the name, four times per TTL,
//! was most of what a node did while nothing happened. A reader who sees some digits of the old count and some of the new has seen progress, which
//! there was; everything else comes whole, under the name, in a file of its own. Who has taken over has put such a file there, and is not
//! written over.

use std::path::Path;
use std::time::Duration;

use hb_core::journal::Hash;
use serde::{Deserialize, Serialize};

use crate::atomic::{Disk, Durability, Fault};
use crate::port::Holder;

/// File of the stamp, in `output_dir`.
pub(super) const STAMP_FILE: &str = "hb.lease";

/// The stamp as a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    /// Who.
    #[serde(flatten)]
    pub(super) holder: Holder,
    /// Whether the holder has the lock; if not, it took over from one that hung, and the lock says nothing about it.
    pub(super) locked: bool,
    /// Set when the holder gave the lease back.
    pub(super) released: bool,
    /// How long the holder says that it may show no progress; none in stamps of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ttl_ms: Option<u64>,
}

/// What stands in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    /// No stamp.
    Nothing,
    /// A stamp.
    Stamp(Stamp),
    /// Something else, by its hash; its bytes for keeping aside.
    Unreadable(Hash, Vec<u8>),
}

/// Reads the stamp.
pub(super) fn look(disk: &Disk, dir: &Path) -> Result<Seen, Fault> {
    Ok(match disk.read(&dir.join(STAMP_FILE))? {
        None => Seen::Nothing,
        Some(bytes) => read(bytes),
    })
}

/// What a stamp's bytes say.
pub(super) fn read(bytes: Vec<u8>) -> Seen {
    match serde_json::from_slice(&bytes) {
        Ok(stamp) => Seen::Stamp(stamp),
        Err(_) => Seen::Unreadable(Hash::of(&bytes), bytes),
    }
}

/// Writes the stamp of one who goes on as before: in place of one that differs in its progress alone. Gives whether that is what stood there.
pub(super) fn count_on(disk: &Disk, dir: &Path, stamp: &Stamp) -> bool {
    let before = |there: &[u8]| match read(there.to_vec()) {
        Seen::Stamp(before) => before.with_progress(stamp.holder.progress) == *stamp,
        Seen::Nothing | Seen::Unreadable(..) => false,
    };
    // Where it fails, all of it is written anew: what is told is what comes of that.
    disk.amend(&dir.join(STAMP_FILE), &stamp.to_bytes(), &before).unwrap_or(false)
}

/// Writes the stamp.
pub(super) fn show(disk: &Disk, dir: &Path, stamp: &Stamp) -> Result<(), Fault> {
    disk.replace(dir, STAMP_FILE, &stamp.to_bytes(), Durability::View)
}

/// Longest TTL of another node that is believed; one that asks for more is waited for that long.
const TTL_MAX: Duration = Duration::from_secs(3600);

impl Stamp {
    /// The TTL that the holder goes by, where it says so.
    pub(super) fn ttl(&self) -> Option<Duration> {
        self.ttl_ms.map(|ms| Duration::from_millis(ms).min(TTL_MAX))
    }

    fn with_progress(self, progress: u64) -> Self {
        Self { holder: Holder { progress, ..self.holder }, ..self }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).expect("a stamp is plain data with string keys");
        bytes.push(b'\n');
        bytes
    }
}

/// Time on this node's clock that runs through suspend.
pub(crate) fn boottime() -> Duration {
    Duration::from_nanos(hb_runtime::clock::moment().0)
}

/// How long what a holder shows has stood still; `S` is what is compared.
#[derive(Debug)]
pub(super) struct Watch<S> {
    ttl: Duration,
    seen: Option<S>,
    since: Duration,
    looked: Duration,
}

impl<S: PartialEq> Watch<S> {
    pub(super) fn new(ttl: Duration) -> Self {
        Self { ttl, seen: None, since: Duration::ZERO, looked: Duration::ZERO }
    }

    /// Takes what is seen at `now`; answers how long it has stood so.
    ///
    /// A waiter that was itself paused (a suspended host) gives the holder a third of the TTL to show life: it may have
    /// been paused as well.
    pub(super) fn judge(&mut self, seen: S, now: Duration) -> Duration {
        let third = self.ttl / 3;
        if self.seen.as_ref() == Some(&seen) {
            if now.saturating_sub(self.looked) > third {
                self.since = self.since.max(now.saturating_sub(self.ttl.saturating_sub(third)));
            }
        } else {
            self.seen = Some(seen);
            self.since = now;
        }
        self.looked = now;
        now.saturating_sub(self.since)
    }

    pub(super) fn forget(&mut self) {
        self.seen = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(progress: u64) -> Seen {
        let holder = Holder { node: "a".into(), pid: 1, epoch: hb_core::ids::Epoch(1), progress };
        Seen::Stamp(Stamp { holder, locked: true, released: false, ttl_ms: None })
    }

    #[test]
    fn h2_only_a_stamp_that_stands_still_ages() {
        let ms = Duration::from_millis;
        let mut watch = Watch::new(ms(3000));
        assert_eq!(watch.judge(stamp(1), ms(100)), ms(0));
        assert_eq!(watch.judge(stamp(1), ms(900)), ms(800));
        assert_eq!(watch.judge(stamp(2), ms(1000)), ms(0));
        assert_eq!(watch.judge(stamp(2), ms(1900)), ms(900));
        assert_eq!(watch.judge(Seen::Unreadable(Hash::of(b"x"), b"x".to_vec()), ms(2000)), ms(0));
        assert_eq!(watch.judge(Seen::Unreadable(Hash::of(b"x"), b"x".to_vec()), ms(2500)), ms(500));
    }

    #[test]
    fn stamps_of_older_versions_are_read_and_older_versions_read_ours() {
        let old = br#"{"node":"a","pid":1,"epoch":1,"progress":7,"locked":true,"released":false}"#;
        let stamp: Stamp = serde_json::from_slice(old).unwrap();
        assert_eq!((stamp.holder.progress, stamp.ttl()), (7, None));
        let said = |ttl_ms| Stamp { ttl_ms: Some(ttl_ms), ..stamp.clone() };
        assert_eq!(said(u64::MAX).ttl(), Some(TTL_MAX), "nobody is waited for for ever");
        #[derive(Deserialize)]
        struct Before {
            #[serde(flatten)]
            holder: Holder,
            locked: bool,
        }
        let before: Before = serde_json::from_slice(&said(3000).to_bytes()).unwrap();
        assert_eq!((before.holder.progress, before.locked), (7, true));
    }

    #[test]
    fn a_waiter_that_was_paused_gives_the_holder_a_third_of_the_ttl() {
        let ms = Duration::from_millis;
        let mut watch = Watch::new(ms(3000));
        watch.judge(stamp(1), ms(0));
        assert_eq!(watch.judge(stamp(1), ms(3_600_000)), ms(2000));
        assert_eq!(watch.judge(stamp(1), ms(3_600_900)), ms(2900));
        assert_eq!(watch.judge(stamp(1), ms(3_601_000)), ms(3000));
    }
}
