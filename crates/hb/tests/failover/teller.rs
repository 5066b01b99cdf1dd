//! How a round of `cargo xtask torture` and the chore itself talk: over files in a folder of the round.
//!
//! `told` gets a line for everything that is done (`fault KIND MILLISECONDS|-`, `done CYCLES RECORDS EPOCHS ALERTS`, `violation WHAT`),
//! `timeline` what happened when; when `enough` is there, no further fault is begun. The folder of a round that fails is left as it was
//! at that moment: the process ends at once, without tidying up.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

/// Who tells; the default tells nobody.
#[derive(Default)]
pub(crate) struct Teller {
    folder: Option<PathBuf>,
    told: Option<File>,
}

/// Exit of a round that found something.
const FOUND: i32 = 101;

/// The folder of the round, if this is one.
pub(crate) fn folder() -> Option<PathBuf> {
    std::env::var_os("HB_TORTURE_FOLDER").map(PathBuf::from)
}

impl Teller {
    /// Of the round that this process is: from now on the first panic ends it, and so does the end of whoever started it.
    pub(crate) fn of_round() -> Self {
        let folder = folder().expect("the folder of a round");
        let told = File::options().create(true).append(true).open(folder.join("told")).unwrap();
        let (at_end, keep) = (told.try_clone().unwrap(), folder.clone());
        let say = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            say(panic);
            let what = panic.payload_as_str().unwrap_or("a panic").lines().take(8).collect::<Vec<_>>().join(" | ");
            // Nobody is left who could be told that this failed.
            drop(writeln!(&at_end, "violation {what}"));
            crate::room::keep(&keep);
            std::process::exit(FOUND);
        }));
        std::thread::spawn(|| {
            // Its end is the end of whoever started this.
            drop(std::io::stdin().read(&mut [0]));
            std::process::exit(FOUND);
        });
        Self { folder: Some(folder), told: Some(told) }
    }

    /// Whether no further fault is wanted.
    pub(crate) fn is_enough(&self) -> bool {
        self.folder.as_ref().is_some_and(|folder| folder.join("enough").try_exists().unwrap_or_default())
    }

    /// A fault was borne.
    pub(crate) fn fault(&mut self, kind: &str, took: Option<Duration>) {
        let took = took.map_or("-".to_owned(), |took| took.as_millis().to_string());
        self.tell(&format!("fault {kind} {took}"));
    }

    /// All was judged, and is as it must be.
    pub(crate) fn done(&mut self, cycles: usize, records: usize, epochs: u64, alerts: usize) {
        self.tell(&format!("done {cycles} {records} {epochs} {alerts}"));
    }

    fn tell(&mut self, line: &str) {
        if let Some(told) = &mut self.told {
            writeln!(told, "{line}").expect("the folder of a round can be written");
        }
    }
}
