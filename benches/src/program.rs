//! The program that supervisors are measured with. Its first act is one line in a file, with one write: when it came to be, on the clock that
//! does not jump, and who it is. Then it sleeps until it is killed; or writes such a line again and again, as a program that is active.
//!
//! `hb-bench-child FILE NAME [EVERY_MS]`

use std::fs::File;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(file), Some(name)) = (arguments.next(), arguments.next()) else { return ExitCode::FAILURE };
    let every = arguments.next().and_then(|text| text.to_str()?.parse().ok()).map(Duration::from_millis);
    let Ok(mut file) = File::options().append(true).create(true).open(file) else { return ExitCode::FAILURE };
    loop {
        let Ok(now) = clock_gettime(ClockId::CLOCK_MONOTONIC) else { return ExitCode::FAILURE };
        let line = format!("{}.{:09} {} {}\n", now.tv_sec(), now.tv_nsec(), std::process::id(), name.to_string_lossy());
        if file.write_all(line.as_bytes()).is_err() {
            return ExitCode::FAILURE;
        }
        match every {
            Some(pause) => std::thread::sleep(pause),
            None => loop {
                std::thread::park();
            },
        }
    }
}
