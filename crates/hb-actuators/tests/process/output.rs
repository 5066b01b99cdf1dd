//! Output of agents stays within its bounds, whatever they print.

use std::os::unix::fs::MetadataExt;

use hb_core::supervise::agent::Exit;
use hb_core::supervise::input::Input;
use serde_json::json;

use crate::stage::{PATIENCE, Stage, spec, until};

const MB: u64 = 1 << 20;

fn total(stage: &Stage) -> u64 {
    let files = std::fs::read_dir(&stage.log_dir).unwrap().filter_map(Result::ok);
    files.filter_map(|file| file.metadata().ok()).map(|found| found.size()).sum()
}

fn files(stage: &Stage) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(&stage.log_dir)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn b1_a_gigabyte_ends_bounded_and_what_is_missing_is_told() {
    let stage = Stage::new();
    let process = json!({"command": ["sh", "-c", "yes 0123456789abcdef | head -c 1000000000"], "output": {"max_mb": 4, "keep": 2}});
    let spec = spec("loud", process);
    let identity = stage.spawn(&spec).unwrap();
    let mut largest = 0;
    let began = std::time::Instant::now();
    let exit = loop {
        largest = largest.max(total(&stage));
        let ended = stage.poll(|input| match input {
            Input::Exited { identity: who, exit, .. } => (*who == identity).then_some(*exit),
            _ => None,
        });
        if let Some(exit) = ended {
            break exit;
        }
        assert!(began.elapsed() < PATIENCE * 5, "a gigabyte takes for ever");
        std::thread::sleep(std::time::Duration::from_millis(1));
    };
    let took = began.elapsed();
    assert_eq!(exit, Exit::Status(0));
    until("all is put aside", || (total(&stage) <= 4 * 5 * MB).then_some(()));
    // Between two renames one of them is missing.
    until("three files", || (files(&stage) == ["loud.log", "loud.log.1", "loud.log.2"]).then_some(()));
    let figures = stage.hands.as_ref().unwrap().figures();
    println!("1 GB in {took:?}: at most {} MB on disk; {figures:?}", largest / MB);
    assert!(figures.rotated > 0);
    // 12 MB are allowed; beyond it only what is written between two looks, which a machine that stands still makes more.
    assert!(largest < 1_000_000_000, "{largest}: nothing was bounded");
}

#[test]
fn a_quiet_agent_loses_nothing() {
    let stage = Stage::new();
    let script = "i=0; while [ $i -lt 3000 ]; do printf '%06d%01000d\\n' $i 0; i=$((i+1)); [ $((i % 30)) = 0 ] && sleep 0.05; done; exit 0";
    let spec = spec("calm", json!({"command": ["sh", "-c", script], "output": {"max_mb": 1, "keep": 9}}));
    let identity = stage.spawn(&spec).unwrap();
    assert_eq!(stage.exited(&identity), Exit::Status(0));
    until("it is put aside", || (stage.hands.as_ref().unwrap().figures().rotated > 0).then_some(()));
    until("the newest file is small", || {
        (std::fs::metadata(stage.log_dir.join("calm.log")).unwrap().size() <= MB).then_some(())
    });
    let dropped = stage.hands.as_ref().unwrap().figures().dropped_bytes;
    let mut names = files(&stage);
    // The oldest first: the largest number, and the file without a number last.
    names.sort_by_key(|name| {
        std::cmp::Reverse(name.rsplit_once("log.").map_or(0, |(_, number)| number.parse::<u32>().unwrap()))
    });
    let text: String = names.iter().map(|name| std::fs::read_to_string(stage.log_dir.join(name)).unwrap()).collect();
    let numbers: Vec<u32> =
        text.lines().filter(|line| line.len() == 1006).map(|line| line[..6].parse().unwrap()).collect();
    assert!(numbers.is_sorted());
    assert!(dropped > 0 || numbers.len() == 3000, "{} of 3000, and nothing is said to be missing", numbers.len());
}
