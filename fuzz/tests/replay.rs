//! Every seed, and a fixed number of changes of it, through its target. No fuzzer is needed, and the same changes are tried each time.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on says so by panicking"
)]

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use hb_fuzz::Target;
use hb_fuzz::targets::ALL;

/// Changes of each seed; `HB_FUZZ_CHANGES` asks for more.
const CHANGES: u64 = 8;
/// Longest input that a change makes.
const LENGTH_MAX: usize = 8_192;

/// A source of numbers that needs nothing else (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }
}

/// Words that matter to many readers.
const WORDS: [&[u8]; 12] = [
    b"null",
    b"-1",
    b"1e999",
    b"18446744073709551616",
    b"\"",
    b"{",
    b"[",
    b"\0",
    b"\xff",
    b"\n",
    b"\xef\xbb\xbf",
    b"0x",
];

fn change(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        match random.below(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 => bytes.truncate(at),
            2 => {
                let end = (at + random.below(16)).min(bytes.len());
                bytes.drain(at..end);
            }
            3 => drop(bytes.splice(at..at, WORDS[random.below(WORDS.len())].iter().copied())),
            4 => {
                let from = random.below(other.len() + 1);
                let to = (from + random.below(64)).min(other.len());
                drop(bytes.splice(at..at, other[from..to].iter().copied()));
            }
            _ => {
                let end = (at + random.below(32)).min(bytes.len());
                let again = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, again));
            }
        }
    }
    bytes.truncate(LENGTH_MAX);
}

fn seeds(target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

fn tried(target: &Target, place: &str, bytes: &[u8]) {
    let run = target.run;
    if catch_unwind(|| run(bytes)).is_err() {
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{}", target.name));
        fs::write(&file, bytes).unwrap();
        panic!("{}: {place}: {} (in {})", target.name, bytes.escape_ascii(), file.display());
    }
}

fn replay(name: &str) {
    let target = hb_fuzz::find(name).unwrap();
    let seeds = seeds(target);
    assert!(seeds.len() >= 3, "{name} has {} seeds", seeds.len());
    let changes = std::env::var("HB_FUZZ_CHANGES").ok().and_then(|text| text.parse().ok()).unwrap_or(CHANGES);
    let mut random = Random(name.bytes().fold(7, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte))));
    for (path, bytes) in &seeds {
        tried(target, &path.display().to_string(), bytes);
        for number in 0..changes {
            let (_, other) = &seeds[random.below(seeds.len())];
            let mut changed = bytes.clone();
            change(&mut changed, other, &mut random);
            tried(target, &format!("change {number} of {}", path.display()), &changed);
        }
    }
    tried(target, "nothing", &[]);
}

macro_rules! replays {
    ($($name:ident),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                replay(stringify!($name));
            }
        )*

        #[test]
        fn every_target_is_replayed() {
            let replayed = [$(stringify!($name)),*];
            assert!(ALL.iter().map(|target| target.name).eq(replayed), "one line for each target, in order");
        }
    };
}

replays! {
    addresses,
    api,
    baseline,
    checkpoint,
    config,
    engine_answers,
    expression,
    import,
    inject,
    lease,
    lines,
    message,
    names,
    notify,
    policy,
    record,
    rows,
    stamp,
    supervisor_records,
    sync_frames,
    syslog_stream,
    table,
    tokens,
    watch_records,
}

#[test]
fn all_seeds_take_less_than_two_megabytes() {
    let bytes: usize = ALL.iter().flat_map(seeds).map(|(_, bytes)| bytes.len()).sum();
    assert!(bytes < 2 << 20, "{bytes} bytes of seeds");
}
