//! The laws of `hb_sources`, on every source and format.
#![expect(clippy::unwrap_used, clippy::unwrap_in_result, clippy::panic, reason = "tests")]

use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hb_core::watch::sample::FaultCause;
use hb_sources::command::{CommandSource, CommandSpec, OnSuccess, RestartPolicy};
use hb_sources::conformance::{Delivered, What, check, read, read_on};
use hb_sources::file::{Begin, FileSpec, Follow};
use hb_sources::format::{Format, FormatChoice, NoTime, TimeUnit};
use hb_sources::host::{Cpus, Filesystems, HostSource, HostSpec};
use hb_sources::replay::{ReplaySpec, Speed};
use hb_sources::stdin::StdinSource;
use hb_sources::{Limits, Polled, Source, SourceSpec, open};
use proptest::prelude::*;

const SMALL: Limits = Limits { names_max: 5, line_bytes_max: 200, batch_samples_max: 7 };

fn spec(path: &Path, choice: FormatChoice, follow: Follow) -> SourceSpec {
    let format = Format { choice, ..Format::default() };
    SourceSpec::File(FileSpec { path: path.to_owned(), format, follow, begin: Begin::Start })
}

fn check_text(text: &[u8], choice: FormatChoice, limits: Limits) -> Result<Delivered, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m");
    fs::write(&path, text).unwrap();
    for follow in [Follow::Growing, Follow::Complete] {
        // Arrival times differ from reading to reading; everything else must not.
        let SourceSpec::File(mut file) = spec(&path, choice, follow) else { unreachable!("a file") };
        file.format.no_time = NoTime::Fault;
        let spec = SourceSpec::File(file);
        let all = check(&mut || open(&spec, limits).unwrap(), limits, 60)?;
        if follow == Follow::Complete {
            assert!(all.complete);
            assert_eq!(all.end.as_ref().unwrap().position, text.len() as u64, "every byte is accounted for");
            return Ok(all);
        }
    }
    unreachable!("the loop returns")
}

/// The original reads such files, and takes the time of arrival.
#[test]
fn a_file_without_any_time_is_dated_by_arrival_and_one_line_without_it_is_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    for (text, samples, faults) in [
        ("metric,value\na,1\na,2\n", 2, 0),
        ("a,1\nb,2\n", 2, 0),
        ("{\"metric\":\"a\",\"value\":1}\n{\"metric\":\"a\",\"value\":2}\n", 2, 0),
        ("{\"ts\":1,\"metric\":\"a\",\"value\":1}\n{\"metric\":\"a\",\"value\":2}\n", 1, 1),
    ] {
        let path = folder.path().join("m");
        fs::write(&path, text).unwrap();
        let mut source = open(&spec(&path, FormatChoice::Auto, Follow::Complete), SMALL).unwrap();
        let all = read(&mut *source, SMALL, Duration::from_millis(20), |_| false).unwrap();
        assert_eq!((all.samples.len(), all.faults.len()), (samples, faults), "{text}");
    }
}

/// Lines of many kinds, deterministic; long enough to cross the fingerprint's boundary.
fn lines(header: &str, line: impl Fn(u32) -> String) -> String {
    let mut text = header.to_owned();
    for n in 0..200 {
        text.push_str(&line(n));
        text.push_str(if n % 17 == 3 { "\r\n" } else { "\n" });
    }
    text
}

#[test]
fn laws_jsonl() {
    let text = lines("", |n| match n % 9 {
        3 => String::new(),
        4 => format!("garbage {n}"),
        5 => format!(r#"{{"value":"x","ts":{n},"name":"m{}"}}"#, n % 4),
        6 => format!(r#"{{"value":{n}e0, "ts":"2023-11-14T00:00:{:02}Z","name":"m{}"}}"#, n % 60, n % 4),
        7 => format!(r#"{{"ts":{n},"metric":"m{}","value":{}}}"#, n % 4, "9".repeat(300)),
        _ => format!(r#"{{"ts":{n}.5,"metric":"m{}","value":{n},"unit":"u{}"}}"#, n % 12, n % 2),
    });
    for limits in [SMALL, Limits { names_max: 1, ..SMALL }, Limits::default()] {
        let all = check_text(text.as_bytes(), FormatChoice::Auto, limits).unwrap();
        assert_eq!(all.samples.len() + all.faults.len() + text.lines().filter(|l| l.is_empty()).count(), 200);
    }
}

#[test]
fn laws_csv_events() {
    for header in ["", "ts,metric,value\n", "\u{feff}ts,metric,value\r\n"] {
        let text = lines(header, |n| match n % 7 {
            3 => format!(r#"{n}.25,"m,""{}""",-{n}e1"#, n % 4),
            4 => format!("{n}"),
            5 => format!("{n},,5"),
            6 => format!(r#"{{"ts":{n},"metric":"j","value":1}}"#),
            _ => format!("{n}.5,m{},{n}.75", n % 3),
        });
        let all = check_text(text.as_bytes(), FormatChoice::Auto, SMALL).unwrap();
        assert_eq!(all.samples.len() + all.faults.len(), 200, "{header:?}");
        assert_eq!(all.causes().iter().filter(|cause| **cause == FaultCause::NoName).count(), 28);
        assert!(all.samples.iter().any(|item| format!("{item:?}").contains("m,\\\"")));
    }
}

#[test]
fn laws_wide_csv() {
    let text = lines("time,a [bar],b,c\n", |n| match n % 6 {
        3 => format!("{n},1"),
        4 => format!("{n},,x,{n}"),
        5 => format!("yesterday,1,2,{n}"),
        _ => format!("2023-11-14T00:{:02}:{:02}Z,{n}.5,,-{n}", n / 60, n % 60),
    });
    let all = check_text(text.as_bytes(), FormatChoice::Auto, SMALL).unwrap();
    assert_eq!(all.causes().iter().filter(|cause| **cause == FaultCause::Columns).count(), 33);
    assert_eq!(all.causes().iter().filter(|cause| **cause == FaultCause::BadTime).count(), 33);
    assert_eq!(all.causes().iter().filter(|cause| **cause == FaultCause::NotANumber).count(), 33);
    assert_eq!(all.samples.len(), 101 * 2 + 33);
}

#[test]
fn the_three_column_form_is_ts_metric_value() {
    // The original read `ts,metric,value` as `metric,value,unit`.
    let read = |text: &str| check_text(text.as_bytes(), FormatChoice::Auto, SMALL).unwrap();
    assert_eq!(read("1700000000,cpu,5\n").values(), [5.0]);
    assert_eq!(read("1700000000,17,5\n").causes(), [FaultCause::Malformed], "wide CSV without its header");
    assert_eq!(read("cpu,5,%\n").causes(), [FaultCause::NoTime]);
    assert_eq!(read("cpu,5\n").causes(), [FaultCause::NoTime]);
    assert_eq!(read("metric,value,unit,tags\ncpu,5,%,\n").causes(), [FaultCause::NoTime]);
    assert_eq!(read("Metric,Current,Unit,timestamp\ncpu,5,%,1\n").values(), [5.0]);
    assert_eq!(read("1700000000,cpu,5,%,extra\n").values(), [5.0]);
    assert_eq!(read("garbage\n1,a,2\n").values(), [2.0], "a bad first line decides no more than it must");
}

#[test]
fn settings_decide_units_of_time_and_arrival() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m");
    fs::write(&path, "{\"ts\":1700000000123,\"metric\":\"a\",\"value\":1}\n{\"metric\":\"a\",\"value\":2}\n").unwrap();
    let format = Format { time_unit: TimeUnit::Millis, no_time: NoTime::Arrival, ..Format::default() };
    let spec = SourceSpec::File(FileSpec { path, format, follow: Follow::Complete, begin: Begin::Start });
    let all = read(&mut *open(&spec, SMALL).unwrap(), SMALL, Duration::ZERO, |_| false).unwrap();
    assert_eq!(all.values(), [1.0, 2.0]);
    assert!(format!("{:?}", all.samples[0]).contains("1700000000123000000"));
    assert_eq!(open(&spec, SMALL).unwrap().rereads(), hb_sources::Rereads::No);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]

    #[test]
    fn j4_arbitrary_bytes_never_panic_and_are_all_accounted_for(
        pieces in prop::collection::vec(prop_oneof![
            3 => "\\PC{0,30}".prop_map(String::into_bytes),
            2 => prop::collection::vec(any::<u8>(), 0..40),
            3 => "\\{\"(ts|metric|value|unit|time)\":(\"?[a-z0-9.:TZ-]{0,12}\"?|null|NaN|-?[0-9.e]{0,9})(,\"(metric|value|name)\":\"?[a-z0-9]{0,4}\"?){0,2}\\}?"
                .prop_map(String::into_bytes),
            3 => "([a-z0-9.\" ]{0,6},){0,4}[0-9.]{0,5}".prop_map(String::into_bytes),
            1 => Just(vec![b'y'; 300]),
            1 => Just(b"ts,metric,value".to_vec()),
            1 => Just(b"time,a,b".to_vec()),
        ], 0..40),
        choice in prop_oneof![
            Just(FormatChoice::Auto), Just(FormatChoice::Jsonl), Just(FormatChoice::Csv), Just(FormatChoice::WideCsv)
        ],
    ) {
        let text = pieces.join(&b"\n"[..]);
        let all = check_text(&text, choice, SMALL).map_err(TestCaseError::fail)?;
        if choice == FormatChoice::Jsonl {
            let mut lines: Vec<&[u8]> = text.split(|b| *b == b'\n').collect();
            if let Some(first) = lines.first_mut() {
                *first = first.strip_prefix("\u{feff}".as_bytes()).unwrap_or(first);
            }
            let blank = |line: &[u8]| line.trim_ascii().is_empty() && line.len() <= SMALL.line_bytes_max;
            let told = lines.iter().filter(|line| !blank(line)).count();
            prop_assert_eq!(all.samples.len() + all.faults.len(), told);
        }
    }
}

fn pipe() -> (File, OwnedFd) {
    let (reader, writer) = std::io::pipe().unwrap();
    (File::from(OwnedFd::from(writer)), reader.into())
}

#[test]
fn laws_standard_input() {
    let (mut writer, reader) = pipe();
    let mut source = StdinSource::of(reader, Format::default(), SMALL);
    writer.write_all(b"{\"ts\":1,\"metric\":\"a\",\"value\":1}\n{\"ts\":2,").unwrap();
    let first = read(&mut source, SMALL, Duration::from_millis(20), |_| false).unwrap();
    assert_eq!(first.values(), [1.0]);
    assert!(!first.complete);
    writer.write_all(b"\"metric\":\"a\",\"value\":2}\nx\n{\"ts\":3,\"metric\":\"a\",\"value\":3}").unwrap();
    drop(writer);
    let first_mark = first.marks[0].clone();
    let mut rest = first;
    read_on(&mut rest, &mut source, (SMALL, Duration::from_millis(20)), |_| false).unwrap();
    assert!(rest.complete);
    assert_eq!((rest.values(), rest.causes()), (vec![1.0, 2.0, 3.0], vec![FaultCause::Malformed]));
    assert_eq!(rest.quotes, ["stdin:3: x"]);
    // What has been read is gone, and that is told.
    source.seek(Some(&first_mark)).unwrap();
    let again = read(&mut source, SMALL, Duration::ZERO, |_| false).unwrap();
    assert_eq!(again.causes(), [FaultCause::Gap]);
    assert_eq!(again.end.unwrap().position, rest.end.unwrap().position);
}

fn command(script: &str, on_success: OnSuccess) -> CommandSource {
    let restart =
        RestartPolicy { on_success, delay_first: Duration::from_millis(30), delay_max: Duration::from_millis(100) };
    let argv = ["sh", "-c", script].map(str::to_owned).to_vec();
    CommandSource::new(CommandSpec { argv, format: Format::default(), restart }, SMALL)
}

fn until_end(source: &mut dyn Source) -> Delivered {
    let mut all = Delivered::default();
    let began = std::time::Instant::now();
    while began.elapsed() < Duration::from_secs(10) {
        match source.next(Duration::from_millis(50)).unwrap() {
            Polled::Batch(batch) => all.take(batch, SMALL).unwrap(),
            Polled::Idle { .. } => {}
            Polled::End { .. } => return all,
        }
    }
    panic!("no end after ten seconds");
}

#[test]
fn laws_command() {
    let script = r#"for i in 1 2 3 4 5 6 7 8 9; do echo "$i,a,$i"; done; printf 10,a,10"#;
    let all = until_end(&mut command(script, OnSuccess::End));
    assert_eq!(all.values(), (1..=10).map(f64::from).collect::<Vec<_>>());
}

#[test]
fn what_cannot_be_read_again_needs_no_times() {
    let before = jiff::Timestamp::now().as_nanosecond();
    let all = until_end(&mut command("echo temperature,21.5", OnSuccess::End));
    assert_eq!(all.values(), [21.5]);
    let What::Sample(_, _, at, _) = all.samples[0].what else { panic!("a sample") };
    assert!(i128::from(at) >= before && i128::from(at) <= jiff::Timestamp::now().as_nanosecond());
}

#[test]
fn a_command_that_exits_is_started_again_and_positions_go_on() {
    let mut source = command("echo 1,a,1", OnSuccess::Restart);
    let mut all = Delivered::default();
    for _ in 0..200 {
        if let Polled::Batch(batch) = source.next(Duration::from_millis(50)).unwrap() {
            all.take(batch, SMALL).unwrap();
        }
        if all.samples.len() >= 3 {
            break;
        }
    }
    assert_eq!(all.samples.iter().map(|item| item.position).collect::<Vec<_>>(), [0, 6, 12]);
}

#[test]
fn a_command_that_fails_is_told_with_what_it_said() {
    let mut source = command("echo 1,a,1; echo no such sensor >&2; exit 3", OnSuccess::End);
    let mut errors = Vec::new();
    let mut samples = 0;
    for _ in 0..100 {
        match source.next(Duration::from_millis(20)) {
            Ok(Polled::Batch(batch)) => samples += batch.samples.len(),
            Ok(_) => {}
            Err(error) => errors.push(error.to_string()),
        }
        if samples >= 2 {
            break;
        }
    }
    assert!(samples >= 2 && errors[0].contains("no such sensor") && errors[0].contains('3'), "{samples} {errors:?}");
}

#[test]
fn b1_a_command_ends_with_its_source_even_if_it_ignores_being_asked() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let script = format!("trap '' TERM; echo $$ > {}; echo 1,a,1; while :; do sleep 0.05; done", file.display());
    let mut source = command(&script, OnSuccess::End);
    read(&mut source, SMALL, Duration::from_secs(5), |all| !all.samples.is_empty()).unwrap();
    let pid = fs::read_to_string(&file).unwrap();
    let proc = PathBuf::from(format!("/proc/{}", pid.trim()));
    assert!(proc.try_exists().unwrap());
    drop(source);
    assert!(!proc.try_exists().unwrap());
}

fn fixture(root: &Path, ticks: u64) {
    for folder in ["net", "pressure", "self"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    let put = |name: &str, text: String| fs::write(root.join(name), text).unwrap();
    put(
        "stat",
        format!("cpu  {} 0 100 {} 0 0 0 0 0 0\ncpu0 junk\nctxt {}\nprocs_running 2\n", 100 + ticks, 800, 5 * ticks),
    );
    put("loadavg", "0.50 0.25 nonsense 1/100 5\n".to_owned());
    put("meminfo", "MemTotal: 1000 kB\nMemAvailable: 250 kB\nbroken\nDirty: x kB\n".to_owned());
    put(
        "diskstats",
        format!(" 8 0 sda 1 0 {} 0 2 0 8 0 0 50 0\n 8 1 sda1 1 0 8 0 2 0 8 0 0 50 0\n 7 0 loop0 1\n", 8 * ticks),
    );
    put("net/dev", format!("Inter-|\n face |\n lo: 1\n eth0: {} 1 0 0 0 0 0 0 5 1 0 0 0 0 0 0\n", 1000 * ticks));
    put("pressure/io", format!("some avg10=1.50 avg60=0 avg300=0 total={}\nfull avg10=\n", 10 * ticks));
}

#[test]
fn laws_host() {
    let folder = tempfile::tempdir().unwrap();
    fixture(folder.path(), 1);
    let spec = HostSpec {
        step_ns: 20_000_000,
        cpus: Cpus::Each,
        filesystems: Filesystems::Local,
        proc_root: folder.path().to_owned(),
    };
    let mut source = HostSource::new(spec, Limits::default()).unwrap();
    let mut later =
        read(&mut source, Limits::default(), Duration::from_secs(2), |all| !all.samples.is_empty()).unwrap();
    let mark = later.end.clone().unwrap();
    let names =
        |all: &Delivered| all.samples.iter().map(|item| format!("{:?}", item.what)).collect::<Vec<_>>().join(" ");
    let has = |all: &Delivered, name: &str| names(all).contains(name);
    assert!(has(&later, "\"load.1m\"") && has(&later, "\"mem.used_share\", Some(\"%\")") && !has(&later, "disk."));
    fixture(folder.path(), 2);
    read_on(&mut later, &mut source, (Limits::default(), Duration::from_secs(2)), |all| {
        names(all).contains("net.eth0.rx")
    })
    .unwrap();
    for name in [
        "cpu.user",
        "cpu.busy",
        "disk.sda.read",
        "disk.sda.util",
        "net.eth0.tx",
        "pressure.io.some",
        "pressure.io.some.stall",
    ] {
        assert!(has(&later, &format!("\"{name}\"")), "{name} in {}", names(&later));
    }
    assert!(!has(&later, "sda1") && !has(&later, "loop0") && !has(&later, "net.lo"));
    // Ticks not taken are one gap.
    std::thread::sleep(Duration::from_millis(100));
    source.seek(Some(&mark)).unwrap();
    let again = read(&mut source, Limits::default(), Duration::from_secs(2), |all| !all.samples.is_empty()).unwrap();
    assert_eq!(again.causes(), [FaultCause::Gap]);
    assert!(again.quotes[0].contains("ticks were not taken"), "{:?}", again.quotes);
}

#[test]
fn the_real_host_is_looked_at_cheaply() {
    let mut source =
        open(&SourceSpec::Host(HostSpec { step_ns: 10_000_000, ..HostSpec::default() }), Limits::default()).unwrap();
    let all = read(&mut *source, Limits::default(), Duration::from_secs(2), |all| all.marks.len() > 200).unwrap();
    assert!(all.values().iter().all(|value| value.is_finite()) && !all.samples.is_empty());
}

#[test]
fn laws_replay_and_its_pace() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.csv");
    fs::write(&path, lines("ts,metric,value\n", |n| format!("{}.{:02},a{},{n}", n / 100, n % 100, n % 3))).unwrap();
    let replay = |speed| {
        let spec = SourceSpec::Replay(ReplaySpec { path: path.clone(), format: Format::default(), speed });
        open(&spec, SMALL)
    };
    check(&mut || replay(Speed::Unpaced).unwrap(), SMALL, 50).unwrap();
    // Two seconds of recording, ten times as fast.
    let mut paced = replay(Speed::Factor(10.0)).unwrap();
    let began = std::time::Instant::now();
    let all = until_end(&mut *paced);
    assert_eq!(all.samples.len(), 200);
    assert!(began.elapsed() >= Duration::from_millis(180), "{:?}", began.elapsed());
    assert!(replay(Speed::Factor(0.0)).is_err() && replay(Speed::Factor(f64::NAN)).is_err());
}
