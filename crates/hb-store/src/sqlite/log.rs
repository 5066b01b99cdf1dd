//! Whether a write-ahead log is whole, before SQLite reads it: SQLite itself stops at the first frame whose checksum is wrong, and says
//! nothing of what it leaves out.
//!
//! One transaction is under way at a time, and the one before it was fsynced. So at most one commit can lie behind a frame that was not
//! written wholly; where there are more, what was acknowledged has been damaged (J4).

use std::path::Path;

use super::{OpenError, Trouble, log_of};

const HEADER: usize = 32;
const FRAME: usize = 24;
/// Looks that are taken while somebody begins the log anew.
const LOOKS: u32 = 5;

/// Refuses a file whose log has lost acknowledged commits.
pub(super) fn look(path: &Path) -> Result<(), OpenError> {
    let log = log_of(path);
    for _ in 0..LOOKS {
        let Some(broken) = std::fs::read(&log).ok().and_then(|bytes| broken_at(&bytes)) else { return Ok(()) };
        // Somebody may have been writing that very frame, or have begun the log anew: then the next look is another.
        if std::fs::read(&log).ok().and_then(|bytes| broken_at(&bytes)).is_some_and(|again| again.same_as(&broken)) {
            let what = format!(
                "is damaged: frame {} of its log ({}) is not what was written, and {} commits after it would be lost",
                broken.frame,
                log.display(),
                broken.commits
            );
            return Err(OpenError::new(Trouble::Corrupt, path, what));
        }
    }
    Ok(())
}

#[derive(Debug, PartialEq)]
struct Broken {
    salts: Vec<u8>,
    frame: usize,
    commits: usize,
}

impl Broken {
    fn same_as(&self, other: &Self) -> bool {
        self.salts == other.salts && self.frame == other.frame
    }
}

/// The first frame that is not what was written, if acknowledged commits lie behind it.
fn broken_at(bytes: &[u8]) -> Option<Broken> {
    let header = bytes.get(..HEADER)?;
    let read: Read = match word(header, 0)? {
        0x377F_0683 => u32::from_be_bytes,
        0x377F_0682 => u32::from_le_bytes,
        _ => return None,
    };
    let page = usize::try_from(word(header, 8)?).ok().filter(|page| (512..=65_536).contains(page))?;
    let salts = header.get(16..24)?;
    let mut sums = sum((0, 0), header.get(..24)?, read);
    if (word(header, 24)?, word(header, 28)?) != sums {
        return None;
    }
    let mut broken: Option<Broken> = None;
    for (number, frame) in bytes.get(HEADER..)?.chunks_exact(FRAME.saturating_add(page)).enumerate() {
        if frame.get(8..16)? != salts {
            // Left from before the log was begun anew.
            broken.as_ref()?;
            continue;
        }
        let commit = word(frame, 4)? != 0;
        match &mut broken {
            Some(broken) => broken.commits = broken.commits.saturating_add(usize::from(commit)),
            None => {
                sums = sum(sum(sums, frame.get(..8)?, read), frame.get(FRAME..)?, read);
                if (word(frame, 16)?, word(frame, 20)?) != sums {
                    broken = Some(Broken { salts: salts.to_vec(), frame: number, commits: usize::from(commit) });
                }
            }
        }
    }
    broken.filter(|broken| broken.commits > 1)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let four: [u8; 4] = bytes.get(at..at.saturating_add(4))?.try_into().ok()?;
    Some(u32::from_be_bytes(four))
}

/// Words as the machine that wrote the log has them.
type Read = fn([u8; 4]) -> u32;

/// SQLite's own checksum, over pairs of words.
fn sum((mut first, mut second): (u32, u32), bytes: &[u8], read: Read) -> (u32, u32) {
    for pair in bytes.chunks_exact(8) {
        if let [a, b, c, d, e, f, g, h] = *pair {
            first = first.wrapping_add(read([a, b, c, d])).wrapping_add(second);
            second = second.wrapping_add(read([e, f, g, h])).wrapping_add(first);
        }
    }
    (first, second)
}
