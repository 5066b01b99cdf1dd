//! `hb agent logs`: what a process wrote. The files are read where they stand, whether a node runs or not.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::{Failure, Out};
use crate::config::reader::is_name;
use crate::exit::Exit;
use crate::reach::ReachArgs;
use crate::wire::supervise::log_dir;

/// Pause between two looks at a file that is followed.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Files that were put aside, at most (B1).
const FILES_MAX: u32 = 1_000;
/// Bytes of a line beyond which it is shown in pieces (B1).
const LINE_MAX: u64 = 1 << 20;

/// `hb agent logs`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    reach: ReachArgs,
    /// Which agent.
    id: String,
    /// Go on with what it writes.
    #[arg(long, short)]
    follow: bool,
    /// How many of the newest lines.
    #[arg(long, short = 'n', default_value_t = 50, value_name = "N")]
    number: usize,
}

/// Carries it out.
pub(super) fn run(args: &Args, out: &mut Out) -> Result<Exit, Failure> {
    let config = args.reach.config()?;
    if !is_name(&args.id) {
        return Err(Failure::new(Exit::Usage, format!("`{}` is no name of an agent", args.id.escape_debug())));
    }
    let path = log_dir(&config.output_dir).join(format!("{}.log", args.id));
    if !path.is_file() {
        let what = format!("there is no {}: {} has written nothing on this machine", path.display(), args.id);
        return Err(Failure::new(Exit::Unavailable, what)
            .help("only agents that are processes write here; `hb agent list` shows them"));
    }
    let unread =
        |path: &Path, error: std::io::Error| Failure::new(Exit::Unavailable, format!("{}: {error}", path.display()));
    let (lines, end) = newest(&path, args.number).map_err(|error| unread(&path, error))?;
    for line in lines {
        out.bytes(&line)?;
    }
    if args.follow {
        out.finish()?;
        follow(&path, end, out).map_err(|error| match error {
            Broken::Read(error) => unread(&path, error),
            Broken::Told(failure) => failure,
        })?;
    }
    Ok(Exit::Ok)
}

/// How far a file was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shown {
    inode: u64,
    bytes: u64,
}

/// The newest lines of a file and of those that were put aside before it, oldest first; and how far that was.
fn newest(path: &Path, most: usize) -> std::io::Result<(VecDeque<Vec<u8>>, Shown)> {
    let mut kept: VecDeque<Vec<u8>> = VecDeque::new();
    let mut shown = Shown { inode: 0, bytes: 0 };
    let aside = (1..=FILES_MAX).map(|number| PathBuf::from(format!("{}.{number}", path.display())));
    // The present file first; older ones only as long as lines are missing.
    for (nth, file) in std::iter::once(path.to_path_buf()).chain(aside).enumerate() {
        if kept.len() >= most && nth > 0 {
            break;
        }
        let opened = match File::open(&file) {
            Ok(opened) => opened,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && nth > 0 => break,
            Err(error) => return Err(error),
        };
        let inode = opened.metadata()?.ino();
        let (lines, bytes) = tail(opened, most.saturating_sub(kept.len()))?;
        if nth == 0 {
            shown = Shown { inode, bytes };
        }
        for line in lines.into_iter().rev() {
            kept.push_front(line);
        }
    }
    Ok((kept, shown))
}

/// The newest lines of one file, and its bytes.
fn tail(file: File, most: usize) -> std::io::Result<(VecDeque<Vec<u8>>, u64)> {
    let (mut lines, mut bytes, mut reader) = (VecDeque::new(), 0_u64, BufReader::new(file));
    loop {
        let mut line = Vec::new();
        let read = (&mut reader).take(LINE_MAX).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok((lines, bytes));
        }
        bytes = bytes.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        lines.push_back(line);
        if lines.len() > most {
            lines.pop_front();
        }
    }
}

enum Broken {
    Read(std::io::Error),
    Told(Failure),
}

/// Goes on from there. A file that became shorter was put aside under the program's hands: it is shown from its beginning.
fn follow(path: &Path, mut shown: Shown, out: &mut Out) -> Result<(), Broken> {
    loop {
        match File::open(path) {
            Ok(mut file) => {
                let metadata = file.metadata().map_err(Broken::Read)?;
                if metadata.ino() != shown.inode || metadata.len() < shown.bytes {
                    shown = Shown { inode: metadata.ino(), bytes: 0 };
                }
                file.seek(SeekFrom::Start(shown.bytes)).map_err(Broken::Read)?;
                let mut chunk = vec![0_u8; 64 << 10];
                loop {
                    let read = file.read(&mut chunk).map_err(Broken::Read)?;
                    if read == 0 {
                        break;
                    }
                    out.bytes(chunk.get(..read).unwrap_or_default()).map_err(Broken::Told)?;
                    shown.bytes = shown.bytes.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
                }
                out.finish().map_err(Broken::Told)?;
            }
            // It was forgotten, or begins anew in a moment.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Broken::Read(error)),
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lines_come_from_files_put_aside_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        std::fs::write(&path, "5\n6\nhalf").unwrap();
        std::fs::write(dir.path().join("a.log.1"), "3\n4\n").unwrap();
        std::fs::write(dir.path().join("a.log.2"), "1\n2\n").unwrap();
        let told = |most| {
            let (lines, shown) = newest(&path, most).unwrap();
            assert_eq!(shown.bytes, 8);
            String::from_utf8(lines.into_iter().flatten().collect()).unwrap()
        };
        assert_eq!(told(2), "6\nhalf");
        assert_eq!(told(4), "4\n5\n6\nhalf");
        assert_eq!(told(100), "1\n2\n3\n4\n5\n6\nhalf");
        assert_eq!(told(0), "");
    }
}
