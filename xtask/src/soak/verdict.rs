//! What came of it, for people and for programs.

use std::fmt;

use super::history::History;
use super::judge::{Finding, Verdict as Judged, judge, overall};

/// All of it.
pub(crate) struct Verdict {
    pub(crate) findings: Vec<Finding>,
    /// What must not happen, whatever is measured: `hb verify` finds something, a node ends by itself and is not replaced.
    broken: Vec<String>,
    seconds: f64,
    done: Vec<(&'static str, usize)>,
}

/// What is counted of what was done, by how it is told.
const DONE: [(&str, &str); 4] = [
    ("kill -9", "kills of a node"),
    ("switchover", "switchovers"),
    ("rotated", "rotations of the source"),
    ("ended by itself", "nodes that ended by themselves"),
];

impl Verdict {
    pub(crate) fn of(history: &History, broken: Vec<String>) -> Self {
        let count = |mark: &str| history.events.iter().filter(|event| event.what.contains(mark)).count();
        let done = DONE.iter().map(|(mark, told)| (*told, count(mark))).collect();
        Self { findings: judge(history), broken, seconds: history.length(), done }
    }

    /// What was done, in one line.
    pub(crate) fn told(&self) -> String {
        let done: Vec<String> = self.done.iter().map(|(what, count)| format!("{count} {what}")).collect();
        let broken =
            if self.broken.is_empty() { String::new() } else { format!("; BROKEN: {}", self.broken.join("; ")) };
        format!("{:.0} s by the clock; {}{broken}", self.seconds, done.join(", "))
    }

    /// The same as a document.
    pub(crate) fn json(&self) -> String {
        let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', " "));
        let number = |value: f64| if value.is_finite() { format!("{value:.4}") } else { "null".into() };
        let findings: Vec<String> = self
            .findings
            .iter()
            .map(|one| {
                format!(
                    "{{\"figure\":{},\"unit\":{},\"before\":{},\"after\":{},\"allowed\":{},\"verdict\":{}}}",
                    quoted(&one.what),
                    quoted(one.unit),
                    number(one.before),
                    number(one.after),
                    number(one.allowed),
                    quoted(&one.verdict.to_string())
                )
            })
            .collect();
        let broken: Vec<String> = self.broken.iter().map(|what| quoted(what)).collect();
        format!(
            "{{\"seconds\":{},\"verdict\":{},\"told\":{},\"broken\":[{}],\"findings\":[{}]}}",
            number(self.seconds),
            quoted(&overall(&self.findings).to_string()),
            quoted(&self.told()),
            broken.join(","),
            findings.join(",")
        )
    }

    /// Whether that is an end in good order: nothing drifts, nothing is broken. What could not be judged is told, and is no failure of a short run.
    ///
    /// # Errors
    /// What drifts or is broken.
    pub(crate) fn end(&self) -> Result<(), String> {
        let drifting = self.findings.iter().filter(|one| one.verdict == Judged::Drifts).map(|one| one.what.clone());
        let all: Vec<String> = self.broken.iter().cloned().chain(drifting).collect();
        if all.is_empty() { Ok(()) } else { Err(format!("soak: {}", all.join("; "))) }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.told())?;
        writeln!(f, "| figure | before | after | more by | allowed | |\n|---|---|---|---|---|---|")?;
        for one in &self.findings {
            let number = |value: f64| if value.is_finite() { format!("{value:.2} {}", one.unit) } else { "–".into() };
            let (before, after) = (number(one.before), number(one.after));
            let (growth, allowed) = (number(one.growth()), number(one.allowed));
            writeln!(f, "| {} | {before} | {after} | {growth} | {allowed} | {} |", one.what, one.verdict)?;
        }
        writeln!(f, "\nverdict: {}", overall(&self.findings))
    }
}
