//! Taking the lease, showing progress, giving it back.

use hb_core::ids::Epoch;

use super::document::{Content, Document, Mark, Seen};
use super::judging::Free;
use super::{LEASE_CELL, RegisterLease, TRIES, UNREADABLE_CELL, failed};
use crate::lease::stamp::boottime;
use crate::port::{Holder, LeaseError, Waited};
use crate::register::{Cell, CellVersion, Swapped};

/// Our holding.
#[derive(Debug)]
pub(super) struct Mine {
    session: String,
    /// What stands in the cell, as far as we know.
    version: Option<CellVersion>,
    how: String,
    attended: bool,
    epoch: Epoch,
    progress: u64,
}

fn shown_ms() -> u64 {
    u64::try_from(boottime().as_millis()).unwrap_or(u64::MAX)
}

impl RegisterLease {
    pub(super) fn ttl_ms(&self) -> u64 {
        u64::try_from(self.ttl.as_millis()).unwrap_or(u64::MAX)
    }

    /// Our document as it shall stand.
    fn document(&self, mine: &Mine) -> Document {
        let holder = Mark {
            node: self.node.clone(),
            pid: hb_runtime::world::pid(),
            session: mine.session.clone(),
            epoch: mine.epoch,
            progress: mine.progress,
            shown_ms: shown_ms(),
        };
        Document {
            holder: Some(holder),
            how: mine.how.clone(),
            attended: mine.attended,
            released: self.letting_go,
            orders: self.orders.clone(),
            ..Document::new(self.ttl_ms())
        }
    }

    /// Takes the lease if it still is as it was seen.
    pub(super) fn claim(&mut self, free: &Free) -> Result<Option<Waited>, LeaseError> {
        let seen = self.seen();
        if let Content::Unreadable(bytes) = &seen.content {
            self.keep_aside(bytes);
        }
        self.sessions = self.sessions.saturating_add(1);
        let mine = Mine {
            session: format!("{}-{}", self.me, self.sessions),
            version: None,
            how: free.how.to_owned(),
            // Whoever hangs attends still, and a machine that is gone does for the engine: that is waited for after the claim, if at all.
            attended: free.how != self.names.expired && self.attend(),
            // Not ours yet, but never smaller than what stood there.
            epoch: seen.last().map_or(Epoch(0), |mark| mark.epoch),
            progress: 0,
        };
        let bytes = self.document(&mine).to_bytes();
        match self.register.swap(LEASE_CELL, seen.version.as_ref(), &bytes) {
            Swapped::Done(version) => {
                self.observe(Some(Cell { bytes, version: version.clone() }));
                self.mine = Some(Mine { version: Some(version), ..mine });
                self.tell(None);
                Ok(Some(Waited::Granted { how: free.how, why: free.why.clone() }))
            }
            Swapped::Lost(cell) => {
                self.register.leave(LEASE_CELL);
                self.observe(cell);
                Ok(None)
            }
            // The next look shows what became of it; one that shows our session is a grant.
            Swapped::Unknown(_) => {
                let looked = self.look();
                // One that does not know is no holder: whoever is must be able to attend. What turns out to be ours attends anew.
                if looked.is_err() || !self.is_own(self.seen().document()) {
                    self.register.leave(LEASE_CELL);
                }
                looked.map(|()| None)
            }
            Swapped::Failed(why) => {
                self.register.leave(LEASE_CELL);
                Err(LeaseError(why))
            }
        }
    }

    /// Goes on with what stands there as our own claim.
    pub(super) fn adopt(&mut self) -> Waited {
        let seen = self.seen();
        if let Some((document, mark)) = seen.document().and_then(|all| all.holder.as_ref().map(|mark| (all, mark))) {
            let Mark { session, epoch, progress, .. } = mark.clone();
            let (how, attended) = (document.how.clone(), document.attended);
            self.mine = Some(Mine { session, version: seen.version.clone(), how, attended, epoch, progress });
        }
        self.tell(None);
        Waited::Granted { how: self.names.free, why: "its claim went through although no answer came".to_owned() }
    }

    fn attend(&mut self) -> bool {
        match self.register.attend(LEASE_CELL) {
            Ok(()) => true,
            Err(error) => {
                tracing::debug!(%error, "the lease goes by progress alone for now");
                false
            }
        }
    }

    /// Shows progress.
    pub(super) fn show(&mut self, me: &Holder) -> Result<(), LeaseError> {
        if self.mine.is_none() {
            return Err(LeaseError(format!("{} does not hold the lease", self.node)));
        }
        // Costs nothing while it does; a connection that came back attends anew.
        let attended = self.attend();
        self.put(|mine| {
            (mine.attended, mine.epoch, mine.progress) = (attended, me.epoch, me.progress);
        })
    }

    /// Shows that the lease was given back, unless somebody else has it already.
    pub(super) fn let_go(&mut self) -> Result<(), LeaseError> {
        if self.mine.is_none() {
            self.look()?;
            if !self.is_own(self.seen().document()) {
                self.letting_go = false;
                return Ok(());
            }
            // It was not taken before; as what stands there says.
            drop(self.adopt());
        }
        let shown = self.put(|_| {});
        let done = match shown {
            Ok(()) => Ok(()),
            Err(_) if self.seen().last().is_some_and(|mark| !mark.session.starts_with(&self.me)) => Ok(()),
            Err(error) => Err(error),
        };
        self.letting_go = done.is_err();
        self.mine = None;
        done
    }

    /// Changes our document against everybody else who changes the cell.
    fn put(&mut self, change: impl FnOnce(&mut Mine)) -> Result<(), LeaseError> {
        let Some(mut mine) = self.mine.take() else { return Ok(()) };
        change(&mut mine);
        let done = self.put_mine(&mut mine);
        self.mine = Some(mine);
        done
    }

    fn put_mine(&mut self, mine: &mut Mine) -> Result<(), LeaseError> {
        for _ in 0..TRIES {
            let bytes = self.document(mine).to_bytes();
            match self.register.swap(LEASE_CELL, mine.version.as_ref(), &bytes) {
                Swapped::Done(version) => {
                    mine.version = Some(version.clone());
                    self.observe(Some(Cell { bytes, version }));
                    return Ok(());
                }
                Swapped::Lost(cell) => {
                    self.observe(cell);
                    self.reconcile(mine)?;
                }
                Swapped::Unknown(why) => {
                    let cell = self.register.read(LEASE_CELL).map_err(|error| LeaseError(format!("{why}; {error}")))?;
                    let through = cell.as_ref().is_some_and(|cell| cell.bytes == bytes);
                    self.observe(cell);
                    self.reconcile(mine)?;
                    if through {
                        return Ok(());
                    }
                }
                Swapped::Failed(why) => return Err(LeaseError(why)),
            }
        }
        Err(LeaseError("the lease changes faster than it can be renewed".to_owned()))
    }

    /// Something else stands there than we put: orders, another holder, garbage. Whether our document goes in its place.
    fn reconcile(&mut self, mine: &mut Mine) -> Result<(), LeaseError> {
        let Seen { version, content } = self.seen();
        match content {
            Content::Nothing => {}
            Content::Unreadable(bytes) => self.keep_aside(&bytes),
            Content::Document(document) => {
                if let Some(other) = document.holder.as_ref().filter(|other| other.session != mine.session) {
                    self.yield_to(other, &document, mine.epoch)?;
                }
            }
        }
        mine.version = version;
        Ok(())
    }

    /// Another one is or was there.
    fn yield_to(&mut self, other: &Mark, document: &Document, epoch: Epoch) -> Result<(), LeaseError> {
        let Mark { node, pid, epoch: theirs, .. } = other;
        if *theirs > epoch {
            return Err(LeaseError(format!("{node} (process {pid}) works in epoch {theirs}, this node is in {epoch}")));
        }
        let still = self.watch.judge(self.seen().sight(), boottime());
        if self.letting_go || (!document.released && still < self.ttl) {
            let what =
                format!("{node} (process {pid}) took the lease over, and shows no larger epoch than {epoch} yet");
            return Err(LeaseError(what));
        }
        tracing::warn!(%node, pid, "the one that took the lease over does not use it: it is ours again");
        Ok(())
    }

    /// Keeps bytes that are no lease. That it fails must not keep anybody from working.
    fn keep_aside(&mut self, bytes: &[u8]) {
        let kept = self.register.read(UNREADABLE_CELL).map_err(failed).map(|there| {
            if there.as_ref().is_some_and(|there| there.bytes == bytes) {
                return None;
            }
            match self.register.swap(UNREADABLE_CELL, there.map(|there| there.version).as_ref(), bytes) {
                Swapped::Done(_) | Swapped::Lost(_) => None,
                Swapped::Unknown(why) | Swapped::Failed(why) => Some(why),
            }
        });
        match kept {
            Ok(None) => tracing::warn!(cell = UNREADABLE_CELL, "a lease that could not be read is kept there"),
            Ok(Some(why)) | Err(LeaseError(why)) => tracing::warn!(why, "a lease that could not be read is not kept"),
        }
    }
}
