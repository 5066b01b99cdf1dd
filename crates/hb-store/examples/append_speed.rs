//! How fast records become durable in a folder: `append_speed DIR [RECORDS] [BYTES]`.
//!
//! Prints records per second, microseconds per append (median, 95th percentile, worst), and fsyncs per append.
#![expect(clippy::print_stdout, reason = "its whole purpose is to print figures")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use hb_core::ids::{Seq, StreamName};
use hb_store::atomic::{Disk, Op, Steps, Verdict};
use hb_store::journal::dir::DirJournal;
use hb_store::port::{Appended, Journal};

#[derive(Default)]
struct Fsyncs(AtomicU64);

impl Steps for Fsyncs {
    fn before(&self, op: Op, _: &Path) -> Verdict {
        self.0.fetch_add(u64::from(op.is_sync()), Ordering::Relaxed);
        Verdict::Go
    }
}

fn main() -> Result<(), String> {
    let mut args = std::env::args().skip(1);
    let dir = PathBuf::from(args.next().ok_or("usage: append_speed DIR [RECORDS] [BYTES]")?);
    let number = |text: Option<String>, default: u64| match text {
        None => Ok(default),
        Some(text) => text.parse::<u64>().map_err(|error| format!("{text}: {error}")),
    };
    let records = number(args.next(), 500)?.max(1);
    let size = usize::try_from(number(args.next(), 2000)?).map_err(|error| error.to_string())?;
    let fsyncs = Arc::new(Fsyncs::default());
    let steps = Arc::<Fsyncs>::clone(&fsyncs);
    let mut journal = DirJournal::open_on(Disk::with_steps(steps), &dir).map_err(|error| error.to_string())?;
    let stream = StreamName::from("watch/append-speed");
    let first = journal.head(&stream).map_err(|error| error.to_string())?.map_or(Seq(0), Seq::next);
    append(&mut journal, &stream, first, size)?;
    fsyncs.0.store(0, Ordering::Relaxed);
    let mut seq = first;
    let mut micros = Vec::new();
    let begun = Instant::now();
    for _ in 0..records {
        seq = seq.next();
        let at = Instant::now();
        append(&mut journal, &stream, seq, size)?;
        micros.push(at.elapsed().as_micros());
    }
    let total = begun.elapsed().as_secs_f64();
    micros.sort_unstable();
    let at =
        |share: usize| micros.get(micros.len().saturating_sub(1).saturating_mul(share) / 100).copied().unwrap_or(0);
    let per_append = fsyncs.0.load(Ordering::Relaxed) / records;
    println!(
        "{records} records of {size} bytes: {:.0} records/s",
        f64::from(u32::try_from(records).unwrap_or(u32::MAX)) / total
    );
    println!("append: median {} us, p95 {} us, worst {} us; {per_append} fsyncs each", at(50), at(95), at(100));
    Ok(())
}

fn append(journal: &mut DirJournal, stream: &StreamName, seq: Seq, size: usize) -> Result<(), String> {
    match journal.append(stream, seq, &vec![b'x'; size]) {
        Appended::Committed => Ok(()),
        other @ (Appended::Refused(_) | Appended::Unknown(_) | Appended::Failed(_) | Appended::Stopped(_)) => {
            Err(format!("{seq}: {other:?}"))
        }
    }
}
