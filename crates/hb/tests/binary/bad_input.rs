//! What do rubbish, damage and the future do to it? They are counted and told, named, rebuilt or refused; never believed.

use std::fs;
use std::io::Write as _;

use hb_core::journal::Hash;
use hb_core::watch::sample::FaultCause;
use serde_json::Value;

use crate::support::journal;
use crate::support::project::{Project, told};
use crate::support::{setting, telemetry, until};

const SETTINGS: &str = "interval_sec: 10\nsilence_grace_sec: 7200\nalert_sinks: [file]\nreports: every\n";

fn good(at: u32) -> String {
    format!("{{\"ts\":{at},\"metric\":\"m\",\"value\":1}}\n")
}

// ---------------------------------------------------------------------- telemetry

#[test]
fn every_bad_line_is_counted_by_its_cause_and_told() {
    use FaultCause::{BadTime, Malformed, NoName, NoTime, NoValue, NotANumber, NotUtf8, NulByte};
    let lines: &[(&[u8], FaultCause)] = &[
        (b"garbage", Malformed),
        (b"{\"ts\":1700000001,\"metric\":\"m\",\"val", Malformed),
        (b"[1,2]", Malformed),
        (b"\0\0\0", NulByte),
        (b"{\"ts\":1700000001,\"metric\":\"m\0\",\"value\":1}", NulByte),
        (b"\xff\xfe{\"ts\":1}", NotUtf8),
        (b"{\"ts\":1700000001,\"metric\":\"\xc3\x28\",\"value\":1}", NotUtf8),
        (b"{\"ts\":1700000001,\"metric\":\"m\",\"value\":null}", NoValue),
        (b"{\"ts\":1700000001,\"metric\":\"m\"}", NoValue),
        (b"{\"ts\":1700000001,\"metric\":\"m\",\"value\":\"abc\"}", NotANumber),
        (b"{\"ts\":1700000001,\"metric\":\"m\",\"value\":{\"a\":1}}", NotANumber),
        (b"{\"ts\":1700000001,\"metric\":\"\",\"value\":3}", NoName),
        (b"{\"ts\":1700000001,\"value\":3}", NoName),
        (b"{\"metric\":\"m\",\"value\":3}", NoTime),
        (b"{\"ts\":\"x\",\"metric\":\"m\",\"value\":3}", BadTime),
        (b"{\"ts\":99999999999999999999,\"metric\":\"m\",\"value\":3}", BadTime),
    ];
    let project = Project::new(SETTINGS);
    project.feed(good(1_700_000_000));
    for (line, _) in lines {
        project.feed([line, &b"\n"[..]].concat());
    }
    project.feed("{\"ts\":1700000001,\"metric\":\"m\",\"value\":NaN}\n{\"ts\":1700000001,\"metric\":\"m\",\"value\":-Infinity}\n");
    project.feed(good(1_700_000_002));
    let output = project.once("a");
    let records = journal::read(&project.output);
    journal::assert_whole(&records);
    let counts = &journal::cycles(&records)[0].decision.counts;
    for cause in FaultCause::ALL {
        let wanted = lines.iter().filter(|(_, of)| *of == cause).count() as u64;
        assert_eq!(counts.faults.get(&cause).copied().unwrap_or(0), wanted, "{cause:?}");
    }
    assert_eq!((counts.window.samples, counts.window.not_finite), (2, 2));
    assert_eq!(counts.delivered_total, lines.len() as u64 + 4);
    // Told, each cause once, with file and line.
    let said = told(&output);
    let quoted: Vec<&str> = said.lines().filter(|line| line.contains("telemetry.jsonl:")).collect();
    for cause in [BadTime, Malformed, NoName, NoTime, NoValue, NotANumber, NotUtf8, NulByte] {
        let of_cause = quoted.iter().filter(|line| line.contains(cause.as_str())).count();
        assert_eq!(of_cause, 1, "{cause:?} is quoted once: {said}");
    }
    assert!(quoted.iter().any(|line| line.contains("telemetry.jsonl:2") && line.contains("garbage")), "{quoted:?}");
}

#[test]
fn b1_a_line_without_end_takes_no_memory() {
    let megabytes = setting("HB_LONG_LINE_MB", 64);
    let project = Project::new(SETTINGS);
    project.feed(good(1_700_000_000));
    let mut node = project.start("a");
    node.wait_role("active");
    let before = node.memory_kb("VmRSS").unwrap();
    let mut file = fs::OpenOptions::new().append(true).open(&project.telemetry).unwrap();
    let part = vec![b'x'; 1 << 20];
    for _ in 0..megabytes {
        file.write_all(&part).unwrap();
    }
    file.write_all(b"\n").unwrap();
    file.write_all((good(1_700_000_001) + &good(1_700_000_012)).as_bytes()).unwrap();
    let mut reader = journal::Reader::open(&project.output);
    until("the sample behind it is read", || {
        reader.poll();
        (reader.cycles() > 0).then_some(())
    });
    let peak = node.memory_kb("VmHWM").unwrap();
    let cycles = journal::cycles(&reader.records);
    let counts = &cycles[0].decision.counts;
    assert_eq!(counts.faults.get(&FaultCause::LineTooLong), Some(&1), "{counts:?}");
    assert_eq!(counts.window.samples, 2);
    assert!(peak < before + 32 * 1024, "{peak} kB at most after {before} kB, for a line of {megabytes} MB");
    println!("long line: {megabytes} MB in one line: {before} kB before, {peak} kB at most");
}

#[test]
fn b1_names_without_end_are_bounded_and_counted() {
    let names = 300_000_u32;
    let project =
        Project::new(&format!("{SETTINGS}series_max: 20000\nreports: none\n").replace("reports: every\n", ""));
    let mut file = std::io::BufWriter::new(fs::File::create(&project.telemetry).unwrap());
    for number in 0..names {
        let at = 1_700_000_000.0 + f64::from(number) / f64::from(names) * 9.0;
        writeln!(file, "{{\"ts\":{at:.3},\"metric\":\"one.of.too.many.{number}\",\"value\":1}}").unwrap();
    }
    file.write_all(good(1_700_000_012).as_bytes()).unwrap();
    file.flush().unwrap();
    let mut node = project.start("a");
    let mut reader = journal::Reader::open(&project.output);
    until("the cycle", || {
        reader.poll();
        (reader.cycles() > 0).then_some(())
    });
    let peak = node.memory_kb("VmHWM").unwrap();
    let cycles = journal::cycles(&reader.records);
    let decision = &cycles[0].decision;
    assert_eq!(decision.counts.window.samples, 20_000);
    assert_eq!(decision.counts.window.too_many_series, u64::from(names) - 20_000);
    let dropped =
        node.get("/metrics").body.lines().any(|line| line.contains("too_many_series") && line.ends_with("280000"));
    assert!(dropped, "it is told");
    assert!(peak < 200 * 1024, "{peak} kB for {names} names");
    println!("names: {names} names, 20000 of them kept: {peak} kB at most");
}

#[test]
fn w4_time_that_runs_backwards_or_far_ahead_is_counted_and_told() {
    let project = Project::new(SETTINGS);
    let mut text = String::new();
    for step in 0..100_u32 {
        text += &good(1_700_000_000 + step);
        if step % 10 == 9 {
            // An hour back, a century ahead, before all time.
            text += &good(1_699_996_400 + step);
            text += "{\"ts\":4900000000,\"metric\":\"m\",\"value\":1}\n";
            text += "{\"ts\":-5000000000,\"metric\":\"m\",\"value\":1}\n";
        }
    }
    // From here on its clock is wrong for good.
    text.extend((0..100).rev().map(|step| good(1_700_000_000 + step)));
    project.feed(&text);
    project.once("a");
    let records = journal::read(&project.output);
    journal::assert_whole(&records);
    let cycles = journal::cycles(&records);
    assert_eq!(cycles.len(), 10);
    let sum = |count: &dyn Fn(&hb_core::watch::decision::Counts) -> u64| -> u64 {
        cycles.iter().map(|cycle| count(&cycle.decision.counts)).sum()
    };
    assert_eq!(sum(&|counts| counts.future), 10);
    // Ten an hour back, ten before all time, and of the last hundred all but those of the open cycle.
    assert_eq!(sum(&|counts| counts.late), 10 + 10 + 90);
    assert_eq!(sum(&|counts| counts.window.total()), 110);
    assert_eq!(cycles.last().unwrap().decision.counts.delivered_total, text.lines().count() as u64);
}

// ---------------------------------------------------------------------- state

fn decided() -> Project {
    let project = Project::new(&format!("{}alert_sinks: [file]\n", telemetry::SETTINGS));
    project.feed(telemetry::recording(20, 40, 9).concat());
    project.once("a");
    project
}

#[test]
fn damaged_documents_are_rebuilt_at_the_next_start() {
    let project = decided();
    let checkpoint = project.output.join("daemon_checkpoint.json");
    let history = project.output.join("checkpoint_history").join("checkpoints.jsonl");
    let (good_checkpoint, good_history) = (fs::read(&checkpoint).unwrap(), fs::read(&history).unwrap());
    let mut other = good_checkpoint.clone();
    let place = other.windows(9).position(|text| text == b"\"cycle\": ").unwrap() + 9;
    other[place] = b'7';
    let half = &good_history[..good_history.len() / 2];
    let cases: [(&str, [&[u8]; 2]); 5] = [
        ("missing", [b"", b""]),
        ("empty", [b"", b""]),
        ("garbage", [b"{\"last_cycle_utc\": \xff", b"\0\0\0garbage\n"]),
        ("cut", [&good_checkpoint[..40], half]),
        ("sound, but of another cycle", [&other, &good_history[good_history.len() / 2..]]),
    ];
    for (what, contents) in cases {
        for (path, bytes) in [&checkpoint, &history].into_iter().zip(contents) {
            match what {
                "missing" => fs::remove_file(path).unwrap(),
                _ => fs::write(path, bytes).unwrap(),
            }
        }
        let verified = project.hb(&["verify"]);
        let output = project.once("a");
        let said = told(&output);
        assert!(said.contains("daemon_checkpoint.json") && said.contains("rebuilt"), "{what}: it is told: {said}");
        assert!(said.contains("checkpoints.jsonl"), "{what}: {said}");
        assert_eq!(json(&fs::read(&checkpoint).unwrap()), json(&good_checkpoint), "{what}");
        assert_eq!(fs::read(&history).unwrap(), good_history, "{what}");
        if what != "missing" {
            assert_eq!(verified.status.code(), Some(65), "{what}: {}", told(&verified));
        }
        assert_eq!(project.hb(&["verify"]).status.code(), Some(0), "{what}: sound again");
    }
}

/// Records of other kinds may lie between the newest cycle and the head: here those of many short reigns.
#[test]
fn documents_are_rebuilt_however_far_back_the_newest_cycle_lies() {
    let project = Project::new(&format!("{}alert_sinks: [file]\nmax_checkpoint_history: 1\n", telemetry::SETTINGS));
    project.feed(telemetry::recording(3, 10, 9).concat());
    for _ in 0..40 {
        project.once("a");
    }
    let checkpoint = project.output.join("daemon_checkpoint.json");
    let good = fs::read(&checkpoint).unwrap();
    fs::remove_file(&checkpoint).unwrap();
    project.once("a");
    assert_eq!(json(&fs::read(&checkpoint).unwrap()), json(&good));
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// Starts a daemon that must refuse; gives its number and what it says.
fn refused(project: &Project) -> (Option<i32>, String) {
    let output = project.hb(&["daemon", "--listen", "none", "--node", "a"]);
    (output.status.code(), told(&output))
}

#[test]
fn j4_a_damaged_newest_record_is_refused_by_name() {
    let project = decided();
    let head = journal::read(&project.output).len() as u64 - 1;
    let path = project.record(head);
    let whole = fs::read(&path).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 3] ^= 0x20;
    for (what, bytes) in [("flipped", &flipped[..]), ("cut", &whole[..whole.len() / 2]), ("empty", b"")] {
        fs::write(&path, bytes).unwrap();
        let (code, said) = refused(&project);
        assert_eq!(code, Some(65), "{what}: {said}");
        assert!(said.contains(&format!("{head:020}.rec")) && said.contains("watch/default"), "{what}: {said}");
        assert!(said.contains("repair"), "what to do: {said}");
        assert_eq!(fs::read(&path).unwrap(), bytes, "{what}: it is left as it is");
    }
    fs::write(&path, whole).unwrap();
    project.once("a");
}

#[test]
fn j4_a_missing_record_is_refused_by_name() {
    let project = decided();
    let head = journal::read(&project.output).len() as u64 - 1;
    let path = project.record(head - 1);
    let aside = path.with_extension("aside");
    fs::rename(&path, &aside).unwrap();
    let (code, said) = refused(&project);
    assert_eq!(code, Some(65), "{said}");
    assert!(said.contains(&format!("{:020}.rec", head - 1)), "{said}");
    fs::rename(&aside, &path).unwrap();
    project.once("a");
}

#[test]
fn a_newer_format_is_refused_with_advice() {
    let project = decided();
    let head = journal::read(&project.output).len() as u64 - 1;
    let path = project.record(head);
    let whole = fs::read_to_string(&path).unwrap();
    let line = whole.lines().next().unwrap().replacen("\"format\":1", "\"format\":2", 1);
    fs::write(&path, format!("{line}\nblake3:{}\n", Hash::of(line.as_bytes()))).unwrap();
    let (code, said) = refused(&project);
    assert_eq!(code, Some(65), "{said}");
    assert!(said.contains("format 2") && said.contains("use a newer hb"), "{said}");
    fs::write(&path, whole).unwrap();

    let layout = project.output.join("journal").join("format");
    for (content, says) in [("hb-journal 2\n", "use a newer hb"), ("some other program's file\n", "no journal of hb")] {
        fs::write(&layout, content).unwrap();
        let (code, said) = refused(&project);
        assert_eq!(code, Some(65), "{said}");
        assert!(said.contains("journal/format") && said.contains(says), "{said}");
    }
    fs::write(&layout, "hb-journal 1\n").unwrap();
    project.once("a");
    assert_eq!(project.hb(&["verify"]).status.code(), Some(0));
}
