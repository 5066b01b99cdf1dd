//! Somebody who looks at the database all the time: what it has read was acknowledged to somebody, and must stand (S1).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

/// How often it looks.
const LOOK: Duration = Duration::from_millis(15);

/// The onlooker. It ends with the value.
pub(crate) struct Witness {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<BTreeMap<u64, Vec<u8>>>>,
}

impl Witness {
    pub(crate) fn start(db: PathBuf) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut seen = BTreeMap::new();
            while !ended.load(Ordering::Acquire) {
                if db.try_exists().unwrap_or_default() {
                    // It may be busy, or full; the next look sees more.
                    look(&db, &mut seen).unwrap_or_default();
                }
                std::thread::sleep(LOOK);
            }
            seen
        });
        Self { stop, thread: Some(thread) }
    }

    /// Every record that it has read, by number.
    pub(crate) fn finish(mut self) -> BTreeMap<u64, Vec<u8>> {
        self.stop.store(true, Ordering::Release);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

fn look(db: &Path, seen: &mut BTreeMap<u64, Vec<u8>>) -> rusqlite::Result<()> {
    let sql = Connection::open_with_flags(db, rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let after = seen.last_key_value().map_or(-1, |(seq, _)| seq.cast_signed());
    let mut fresh = sql.prepare("SELECT seq, bytes FROM journal WHERE seq > ?1 ORDER BY seq")?;
    let rows = fresh.query_map([after], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?)))?;
    for row in rows {
        let (seq, bytes) = row?;
        seen.insert(seq.cast_unsigned(), bytes);
    }
    Ok(())
}
