//! The program that supervisors are measured with. Its first act is one line in a file, with one write: when it came to be, on the clock that
//! does not jump, and who it is. Then it sleeps until it is killed.
//!
//! `hb-bench-child FILE NAME`

use std::io::Write as _;
use std::process::ExitCode;

use nix::time::{ClockId, clock_gettime};

fn main() -> ExitCode {
    let Ok(now) = clock_gettime(ClockId::CLOCK_MONOTONIC) else { return ExitCode::FAILURE };
    let mut arguments = std::env::args_os().skip(1);
    let (Some(file), Some(name)) = (arguments.next(), arguments.next()) else { return ExitCode::FAILURE };
    let line = format!("{}.{:09} {} {}\n", now.tv_sec(), now.tv_nsec(), std::process::id(), name.to_string_lossy());
    let written = std::fs::OpenOptions::new().append(true).create(true).open(file);
    if written.and_then(|mut file| file.write_all(line.as_bytes())).is_err() {
        return ExitCode::FAILURE;
    }
    loop {
        std::thread::park();
    }
}
