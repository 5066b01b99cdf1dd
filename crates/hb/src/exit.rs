//! With what number `hb` ends, and what a service manager or script is to do about it.

use std::fmt::Write as _;

use serde::Serialize;

/// How a command ended. The number is `self as u8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// It did what it was asked.
    Ok = 0,
    /// It did not, for a reason that none of the others names.
    Error = 1,
    /// The command line is wrong, or an input file cannot be read.
    Usage = 2,
    /// The configuration is wrong.
    Config = 3,
    /// The metric registry or telemetry schema is wrong.
    Registry = 4,
    /// `--gate`: a cycle was PASS_WITH_DRIFT, none was worse.
    GateDrift = 10,
    /// `--gate`: a cycle was FAIL.
    GateFail = 11,
    /// `--gate`: a cycle was NO_DATA, none was FAIL.
    GateNoData = 12,
    /// `--gate`: a cycle was NO_BASELINE, none was FAIL or NO_DATA.
    GateNoBaseline = 13,
    /// It was refused: a gate is closed, approval or a token is missing, or it does not go with what there is.
    Refused = 14,
    /// What was recomputed differs from what is recorded.
    Differs = 15,
    /// The journal, or something kept in it, is damaged.
    Corrupt = 65,
    /// No daemon, no journal or no source to ask.
    Unavailable = 69,
    /// Something could not be written.
    CannotWrite = 73,
    /// Another node has opened a higher epoch: start again, as standby.
    Fenced = 75,
    /// Ended by a second SIGINT or SIGTERM.
    Interrupted = 130,
}

/// One row of the table.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Row {
    /// The number.
    pub code: u8,
    /// Its name in code.
    pub name: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// What to do.
    pub advice: &'static str,
}

impl Exit {
    /// Every exit, by number.
    pub const ALL: [Self; 16] = [
        Self::Ok,
        Self::Error,
        Self::Usage,
        Self::Config,
        Self::Registry,
        Self::GateDrift,
        Self::GateFail,
        Self::GateNoData,
        Self::GateNoBaseline,
        Self::Refused,
        Self::Differs,
        Self::Corrupt,
        Self::Unavailable,
        Self::CannotWrite,
        Self::Fenced,
        Self::Interrupted,
    ];

    /// The number.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Its row.
    #[must_use]
    pub fn row(self) -> Row {
        let (name, meaning, advice) = match self {
            Self::Ok => ("ok", "It did what it was asked; a daemon was told to stop and did.", "Nothing."),
            Self::Error => ("error", "It did not, for a reason that no other number names.", "Read the message."),
            Self::Usage => (
                "usage",
                "The command line is wrong, or an input file cannot be read or understood.",
                "`hb COMMAND --help`; do not restart.",
            ),
            Self::Config => (
                "config",
                "The configuration is wrong; nothing was started.",
                "`hb config check FILE` names every fault; do not restart.",
            ),
            Self::Registry => (
                "registry",
                "The metric registry or the telemetry schema is wrong; nothing was started.",
                "`hb config check FILE` names every fault; do not restart.",
            ),
            Self::GateDrift => {
                ("gate_drift", "`--gate`: the worst cycle was PASS_WITH_DRIFT.", "Decide by your policy.")
            }
            Self::GateFail => ("gate_fail", "`--gate`: the worst cycle was FAIL.", "Stop the pipeline."),
            Self::GateNoData => ("gate_no_data", "`--gate`: the worst cycle was NO_DATA.", "Look at the source."),
            Self::GateNoBaseline => (
                "gate_no_baseline",
                "`--gate`: the worst cycle was NO_BASELINE.",
                "Learn a baseline first: `hb baseline learn`.",
            ),
            Self::Refused => (
                "refused",
                "It was refused: a quality gate is closed, approval or a token is missing, or it does not go with what there is.",
                "See what was told: approve, show a token, or for baselines `--force` with a `--reason`.",
            ),
            Self::Differs => (
                "differs",
                "What was recomputed differs from what is recorded.",
                "See which cycle: the source's bytes or the settings have changed since.",
            ),
            Self::Corrupt => (
                "corrupt",
                "The journal, or something kept in it, is damaged; file and record are named.",
                "docs/ops/repair.md; do not restart before.",
            ),
            Self::Unavailable => (
                "unavailable",
                "No daemon, no journal or no source to ask.",
                "Check `output_dir` and whether a daemon runs; a restart may help.",
            ),
            Self::CannotWrite => (
                "cannot_write",
                "Something could not be written: disk full, read-only, no permission.",
                "Make room or give permission; the old state is whole.",
            ),
            Self::Fenced => (
                "fenced",
                "Another node has opened a higher epoch: this one has been replaced.",
                "Restart: it comes up as standby.",
            ),
            Self::Interrupted => (
                "interrupted",
                "A second SIGINT or SIGTERM ended it before it had finished.",
                "Nothing: what was acknowledged is kept.",
            ),
        };
        Row { code: self.code(), name, meaning, advice }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// The table as Markdown: `docs/ops/exit-codes.md`.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from(
        "# Exit codes\n\nThis page is made by `hb config exit-codes`.\n\n\
         | code | name | meaning | what to do |\n|---|---|---|---|\n",
    );
    for exit in Exit::ALL {
        let row = exit.row();
        writeln!(text, "| {} | {} | {} | {} |", row.code, row.name, row.meaning, row.advice)
            .expect("writing into a String cannot fail");
    }
    text.push_str(
        "\nFor systemd: `Restart=always` with `RestartPreventExitStatus=2 3 4 65` starts a fenced node again as standby and\n\
         leaves one alone that no restart can help.\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_has_its_own_number_and_stands_in_the_table() {
        let codes: Vec<u8> = Exit::ALL.iter().map(|exit| exit.code()).collect();
        assert!(codes.windows(2).all(|pair| pair[0] < pair[1]), "{codes:?}");
        let page = markdown();
        assert!(Exit::ALL.iter().all(|exit| page.contains(&format!("| {} |", exit.code()))));
    }

    #[test]
    fn every_exit_is_produced_somewhere() {
        let mut sources = String::new();
        let mut folders = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if !path.ends_with("exit.rs") {
                    sources.push_str(&std::fs::read_to_string(path).unwrap());
                }
            }
        }
        for exit in Exit::ALL {
            assert!(sources.contains(&format!("Exit::{exit:?}")), "nothing ends with {exit:?}");
        }
    }
}
