//! Rotation, truncation, replacement and restarts of the file source, on real files.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hb_core::watch::sample::FaultCause;
use hb_sources::conformance::{Delivered, read, read_on};
use hb_sources::file::{Begin, FileSource, FileSpec, Follow};
use hb_sources::format::Format;
use hb_sources::{Limits, Polled, Source as _, SourceError};
use proptest::prelude::*;

const LIMITS: Limits = Limits { names_max: 5, line_bytes_max: 200, batch_samples_max: 7 };

struct World {
    _folder: tempfile::TempDir,
    path: PathBuf,
    /// Next value to be written.
    next: u32,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.csv");
        Self { _folder: folder, path, next: 0 }
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        PathBuf::from(format!("{}{suffix}", self.path.display()))
    }

    fn append(&mut self, rows: u32) {
        let path = self.path.clone();
        self.append_to(&path, rows);
    }

    fn append_to(&mut self, path: &Path, rows: u32) {
        let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
        for _ in 0..rows {
            writeln!(file, "{},sensor,{}", self.next, self.next).unwrap();
            self.next += 1;
        }
    }

    fn source(&self) -> FileSource {
        self.source_from(Begin::Start)
    }

    fn source_from(&self, begin: Begin) -> FileSource {
        let spec = FileSpec { path: self.path.clone(), format: Format::default(), follow: Follow::Growing, begin };
        FileSource::new(spec, LIMITS)
    }

    fn all(&self) -> Vec<f64> {
        (0..self.next).map(f64::from).collect()
    }
}

fn go_on(all: &mut Delivered, source: &mut FileSource) {
    read_on(all, source, (LIMITS, Duration::ZERO), |_| false).unwrap();
}

fn sought(world: &World, all: &Delivered) -> FileSource {
    let mut source = world.source();
    source.seek(all.end.as_ref()).unwrap();
    source
}

#[test]
fn w4_nothing_is_lost_or_read_twice_when_a_file_is_renamed_while_it_is_read() {
    let mut world = World::new();
    world.append(30);
    let mut source = world.source();
    let mut all = read(&mut source, LIMITS, Duration::ZERO, |_| false).unwrap();
    // The writer writes on in the renamed file before it changes over.
    fs::rename(&world.path, world.beside(".1")).unwrap();
    let renamed = world.beside(".1");
    world.append_to(&renamed, 10);
    go_on(&mut all, &mut source);
    world.append_to(&renamed, 10);
    world.append(10);
    go_on(&mut all, &mut source);
    world.append(10);
    go_on(&mut all, &mut source);
    assert_eq!(all.values(), world.all());
    assert_eq!(all.causes(), []);
}

#[test]
fn w4_several_rotations_during_an_absence_are_all_read() {
    for first_rows in [3, 300] {
        let mut world = World::new();
        world.append(first_rows);
        let mut all = read(&mut world.source(), LIMITS, Duration::ZERO, |_| false).unwrap();
        world.append(5);
        for _ in 0..3 {
            for n in (1..4).rev() {
                let _absent = fs::rename(world.beside(&format!(".{n}")), world.beside(&format!(".{}", n + 1)));
            }
            fs::rename(&world.path, world.beside(".1")).unwrap();
            world.append(40);
        }
        let mut source = sought(&world, &all);
        go_on(&mut all, &mut source);
        assert_eq!(all.values(), world.all(), "{first_rows}");
        assert_eq!(all.causes(), []);
        // Every mark on the way leads to the same rest.
        for mark in all.marks.iter().step_by(11) {
            let mut source = world.source();
            source.seek(Some(mark)).unwrap();
            let rest = read(&mut source, LIMITS, Duration::ZERO, |_| false).unwrap();
            let wanted: Vec<_> = all.samples.iter().filter(|item| item.position >= mark.position).cloned().collect();
            assert_eq!(rest.samples, wanted, "{mark:?}");
        }
    }
}

#[test]
fn w4_a_file_compressed_while_it_is_read_does_not_hide_the_one_after_it() {
    let mut world = World::new();
    world.append(30);
    let mut source = world.source();
    let mut all = read(&mut source, LIMITS, Duration::ZERO, |_| false).unwrap();
    std::thread::sleep(Duration::from_millis(20));
    fs::write(world.beside(".2.gz"), "").unwrap();
    fs::rename(&world.path, world.beside(".2")).unwrap();
    fs::remove_file(world.beside(".2")).unwrap();
    let younger = world.beside(".1");
    world.append_to(&younger, 10);
    world.append(10);
    go_on(&mut all, &mut source);
    assert_eq!(all.values(), world.all());
}

#[test]
fn w4_a_file_copied_and_cut_during_an_absence_is_found_in_its_copy() {
    let mut world = World::new();
    world.append(200);
    let mut all = read(&mut world.source(), LIMITS, Duration::ZERO, |_| false).unwrap();
    world.append(20);
    fs::copy(&world.path, world.beside("-20261122")).unwrap();
    fs::write(&world.path, "").unwrap();
    world.append(7);
    let mut source = sought(&world, &all);
    go_on(&mut all, &mut source);
    assert_eq!(all.values(), world.all());
    assert_eq!(all.causes(), []);
}

#[test]
fn w4_a_file_cut_while_it_is_read_goes_on_and_the_possible_loss_is_told() {
    let mut world = World::new();
    world.append(20);
    let mut source = world.source();
    let mut all = read(&mut source, LIMITS, Duration::ZERO, |_| false).unwrap();
    OpenOptions::new().write(true).open(&world.path).unwrap().set_len(0).unwrap();
    world.append(5);
    go_on(&mut all, &mut source);
    assert_eq!(all.values(), world.all());
    assert_eq!(all.causes(), [FaultCause::Gap]);
    assert!(all.quotes[0].contains("m.csv: truncated after"), "{:?}", all.quotes);
    // After a restart it is not told again, and nothing is read twice.
    world.append(5);
    let mut source = sought(&world, &all);
    go_on(&mut all, &mut source);
    assert_eq!(all.values(), world.all());
    assert_eq!(all.causes(), [FaultCause::Gap]);
}

#[test]
fn w4_a_file_cut_and_rewritten_longer_is_noticed() {
    let mut world = World::new();
    world.append(20);
    let mut source = world.source();
    let mut all = read(&mut source, LIMITS, Duration::ZERO, |_| false).unwrap();
    fs::write(&world.path, "").unwrap();
    world.append(200);
    go_on(&mut all, &mut source);
    assert_eq!(all.values(), world.all());
    assert_eq!(all.causes(), [FaultCause::Gap]);
}

#[test]
fn w4_a_file_that_is_gone_after_an_absence_is_told_as_a_gap() {
    let mut world = World::new();
    world.append(20);
    let mut all = read(&mut world.source(), LIMITS, Duration::ZERO, |_| false).unwrap();
    fs::remove_file(&world.path).unwrap();
    let mut source = sought(&world, &all);
    let error = source.next(Duration::ZERO).unwrap_err();
    assert!(matches!(&error, SourceError::Retry(text) if text.contains("m.csv")), "{error}");
    world.append(3);
    go_on(&mut all, &mut source);
    assert_eq!(all.values(), world.all());
    assert_eq!(all.causes(), [FaultCause::Gap]);
}

#[test]
fn another_file_with_the_same_header_is_not_taken_for_the_one_read_before() {
    let world = World::new();
    let rows = |from: u32, to: u32| {
        (from..to).fold("ts,metric,value\n".to_owned(), |text, n| text + &format!("{n},sensor,{n}\n"))
    };
    fs::write(&world.path, rows(10, 20)).unwrap();
    let mut all = read(&mut world.source(), LIMITS, Duration::ZERO, |_| false).unwrap();
    // Beside the old one first, so that it cannot get its inode number.
    fs::write(world.beside(".new"), rows(20, 60)).unwrap();
    fs::rename(world.beside(".new"), &world.path).unwrap();
    let mut source = sought(&world, &all);
    go_on(&mut all, &mut source);
    assert_eq!(all.values(), (10..60).map(f64::from).collect::<Vec<_>>());
    assert_eq!(all.causes(), [FaultCause::Gap]);
}

#[test]
fn an_unfinished_line_of_a_renamed_file_is_read_or_told() {
    let mut world = World::new();
    world.append(2);
    fs::write(&world.path, "0,a,0\n1,a,1\n2,a,").unwrap();
    let mut source = world.source();
    let mut all = read(&mut source, LIMITS, Duration::ZERO, |_| false).unwrap();
    fs::rename(&world.path, world.beside(".1")).unwrap();
    fs::write(&world.path, "3,a,3\n").unwrap();
    go_on(&mut all, &mut source);
    assert_eq!((all.values(), all.causes()), (vec![0.0, 1.0, 3.0], vec![FaultCause::CutShort]));
}

#[test]
fn what_is_no_readable_file_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let error = |name: &str| {
        let spec = FileSpec {
            path: folder.path().join(name),
            format: Format::default(),
            follow: Follow::Complete,
            begin: Begin::Start,
        };
        FileSource::new(spec, LIMITS).next(Duration::ZERO).unwrap_err().to_string()
    };
    assert!(error("").contains("directory"), "{}", error(""));
    fs::write(folder.path().join("m.gz"), b"\x1f\x8b\x08\0abc").unwrap();
    assert!(error("m.gz").contains("m.gz is compressed (gzip)"));
    assert!(error("absent").contains("absent"));
    nix::unistd::mkfifo(&folder.path().join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(error("fifo").contains("fifo is no regular file"), "{}", error("fifo"));
}

#[test]
fn a_watch_can_begin_at_the_end() {
    let mut world = World::new();
    world.append(20);
    let mut source = world.source_from(Begin::End);
    let mut all = read(&mut source, LIMITS, Duration::ZERO, |_| false).unwrap();
    assert_eq!(all.values(), [0.0; 0]);
    world.append(2);
    go_on(&mut all, &mut source);
    assert_eq!(all.values(), [20.0, 21.0]);
}

#[test]
fn marks_that_are_none_are_refused() {
    let mut world = World::new();
    world.append(1);
    let mut all = read(&mut world.source(), LIMITS, Duration::ZERO, |_| false).unwrap();
    let mark = all.end.as_mut().unwrap();
    for token in ["x", "{}", r#"{"kind":"host"}"#, r#"{"kind":"file","ino":1,"base":99,"length":0,"hash":0}"#] {
        mark.token = token.into();
        assert!(matches!(world.source().seek(Some(mark)), Err(SourceError::Invalid(_))), "{token}");
    }
}

#[test]
fn w3_an_idle_source_says_when_it_looked() {
    let mut world = World::new();
    world.append(1);
    let mut source = world.source();
    read(&mut source, LIMITS, Duration::ZERO, |_| false).unwrap();
    let began = std::time::Instant::now();
    let Ok(Polled::Idle { looked_at, .. }) = source.next(Duration::from_millis(60)) else { panic!("idle") };
    assert!(began.elapsed() >= Duration::from_millis(60));
    assert!(looked_at.0 > 1_700_000_000_000_000_000);
}

#[test]
fn w4_nothing_is_lost_while_a_writer_writes_and_rotates_at_the_same_time() {
    const ROWS: u32 = 20_000;
    let mut world = World::new();
    world.append(1);
    let mut source = world.source();
    let mut all = read(&mut source, LIMITS, Duration::ZERO, |_| false).unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for turn in 0.. {
                world.append(137);
                if world.next >= ROWS {
                    return;
                }
                if turn % 3 == 0 {
                    fs::rename(&world.path, world.beside(&format!("-{turn:05}"))).unwrap();
                }
            }
        });
        let mut turn = 0;
        while !writer.is_finished() {
            go_on(&mut all, &mut source);
            turn += 1;
            if turn % 5 == 0 {
                // A restart, from the mark alone.
                source.seek(all.end.as_ref()).unwrap();
            }
        }
        writer.join().unwrap();
    });
    go_on(&mut all, &mut source);
    assert_eq!(all.causes(), []);
    let (got, wanted) = (all.values(), world.all());
    let differs = got.iter().zip(&wanted).position(|(got, wanted)| got.to_bits() != wanted.to_bits());
    assert_eq!((got.len(), differs), (wanted.len(), None));
}

#[derive(Debug, Clone)]
enum Act {
    Append(u32),
    Rotate,
    Restart,
    RestartAnywhere(prop::sample::Index),
    Read,
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(80) })]

    #[test]
    fn w4_every_row_is_read_once_whatever_rotates_and_restarts(acts in prop::collection::vec(prop_oneof![
        4 => (1..40_u32).prop_map(Act::Append),
        2 => Just(Act::Rotate),
        2 => Just(Act::Restart),
        1 => any::<prop::sample::Index>().prop_map(Act::RestartAnywhere),
        4 => Just(Act::Read),
    ], 1..40)) {
        let mut world = World::new();
        world.append(1);
        let mut source = world.source();
        let mut all = read(&mut source, LIMITS, Duration::ZERO, |_| false).unwrap();
        let mut rotated = 0;
        for act in acts {
            match act {
                Act::Append(rows) => world.append(rows),
                Act::Rotate => {
                    for n in (1..=rotated).rev() {
                        fs::rename(world.beside(&format!(".{n}")), world.beside(&format!(".{}", n + 1))).unwrap();
                    }
                    fs::rename(&world.path, world.beside(".1")).unwrap();
                    rotated += 1;
                    world.append(1);
                }
                Act::Restart => source = sought(&world, &all),
                Act::RestartAnywhere(index) => {
                    let mark = index.get(&all.marks).clone();
                    all.samples.retain(|item| item.position < mark.position);
                    all.marks.retain(|known| known.position <= mark.position);
                    all.end = Some(mark);
                    source = sought(&world, &all);
                }
                Act::Read => read_on(&mut all, &mut source, (LIMITS, Duration::ZERO), |_| false).map_err(TestCaseError::fail)?,
            }
        }
        read_on(&mut all, &mut source, (LIMITS, Duration::ZERO), |_| false).map_err(TestCaseError::fail)?;
        prop_assert_eq!(all.values(), world.all());
        prop_assert_eq!(all.causes(), vec![]);
    }
}
