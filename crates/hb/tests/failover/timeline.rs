//! What happened when, for whoever has to understand a failure.

use std::fs::File;
use std::io::Write as _;
use std::time::Instant;

use crate::teller;

/// Most lines that are kept; the oldest go.
const KEPT: usize = 4_000;

pub(crate) struct Timeline {
    title: String,
    began: Instant,
    lines: Vec<(f64, String)>,
    /// Of a round of torture, where it is read.
    file: Option<File>,
}

impl Timeline {
    pub(crate) fn new(title: String) -> Self {
        let file = teller::folder().map(|folder| File::create(folder.join("timeline")).unwrap());
        Self { title, began: Instant::now(), lines: Vec::new(), file }
    }

    pub(crate) fn note(&mut self, what: impl Into<String>) {
        let (at, what) = (self.began.elapsed().as_secs_f64(), what.into());
        if let Some(file) = &mut self.file {
            writeln!(file, "{at:10.3} s  {what}").unwrap();
        }
        if self.lines.len() >= KEPT {
            self.lines.drain(..KEPT / 2);
        }
        self.lines.push((at, what));
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
