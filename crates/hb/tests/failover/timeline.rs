//! What happened when, for whoever has to understand a failure.

use std::time::Instant;

/// Most lines that are kept; the oldest go.
const KEPT: usize = 4_000;

pub(crate) struct Timeline {
    title: String,
    began: Instant,
    lines: Vec<(f64, String)>,
}

impl Timeline {
    pub(crate) fn new(title: String) -> Self {
        Self { title, began: Instant::now(), lines: Vec::new() }
    }

    pub(crate) fn note(&mut self, what: impl Into<String>) {
        if self.lines.len() >= KEPT {
            self.lines.drain(..KEPT / 2);
        }
        self.lines.push((self.began.elapsed().as_secs_f64(), what.into()));
    }
}

impl Drop for Timeline {
    fn drop(&mut self) {
        if std::thread::panicking() || std::env::var_os("HB_FAILOVER_TOLD").is_some() {
            eprintln!("--- {}:", self.title);
            for (at, what) in &self.lines {
                eprintln!("{at:10.3} s  {what}");
            }
        }
    }
}
