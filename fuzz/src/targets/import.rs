//! Files of other supervisors: what they become is a configuration that holds.

use hb::config::fault::Findings;
use hb::config::{Files, Given, check};
use hb::import::supervisord::{self, Machine, Source};
use hb::import::{Imported, procfile, yaml};

use crate::input::Input;

/// One byte chooses the kind of file.
///
/// # Panics
/// When a fault or note stands on no line of the file, or what was made is no configuration of ours.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let kind = input.byte();
    let text = input.text();
    let lines = text.lines().count().max(1);
    if kind % 2 == 0 {
        match procfile::translate("Procfile", text) {
            Ok(imported) => made(&imported, lines),
            Err(faults) => assert!(!faults.is_empty() && faults.iter().all(|(line, _)| (1..=lines).contains(line))),
        }
        return;
    }
    let variable = |name: &str| (name == "HOME").then(|| "/srv/a".to_owned());
    let machine = Machine { variable: &variable, host: "h" };
    let source = Source { name: "supervisord.conf", here: "/etc", text };
    drop(supervisord::includes(&source, &machine));
    match supervisord::translate(&[source], &machine) {
        Ok(imported) => made(&imported, lines),
        Err(faults) => assert!(!faults.is_empty() && faults.iter().all(|(_, line, _)| *line <= lines), "{faults:?}"),
    }
}

fn made(imported: &Imported, lines: usize) {
    assert!(imported.notes.iter().all(|note| note.line <= lines));
    let text = yaml::write(imported, "hb import");
    let mut findings = Findings::default();
    let config = check::config("hb.yaml", text.as_bytes(), &Given::default(), &mut Files::default(), &mut findings);
    let faults: Vec<_> = findings.faults.iter().map(|fault| hb::config::fault::render(fault, HEADING)).collect();
    // A file without any agent is refused; it says so.
    assert!(imported.agents.is_empty() || (config.is_some() && faults.is_empty()), "{text}\n{faults:?}");
}

const HEADING: hb::config::fault::Heading = hb::config::fault::Heading::Error;
