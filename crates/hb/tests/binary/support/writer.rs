//! Somebody who writes telemetry for as long as a test lasts, about ten cycles a second.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::project::Project;
use super::random::Random;
use super::telemetry;

pub(crate) struct Writer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<u8>>>,
}

impl Writer {
    pub(crate) fn start(project: &Project) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (ended, path) = (Arc::clone(&stop), project.telemetry.clone());
        project.feed("");
        let thread = std::thread::spawn(move || {
            let mut file = OpenOptions::new().append(true).open(path).unwrap();
            let mut written = Vec::new();
            let mut pace = Random::seeded(3);
            for part in telemetry::recording(6_000, 20, 5).concat().chunks(497) {
                if ended.load(Ordering::Acquire) {
                    return written;
                }
                file.write_all(part).unwrap();
                written.extend_from_slice(part);
                std::thread::sleep(Duration::from_millis(pace.between(20, 40)));
            }
            panic!("the recording was too short for so long a test");
        });
        Self { stop, thread: Some(thread) }
    }

    /// Ends it; gives what it has written.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.stop.store(true, Ordering::Release);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}
