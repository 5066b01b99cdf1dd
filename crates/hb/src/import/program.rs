//! One `[program:NAME]`: key by key, for each of its processes.

use std::collections::{BTreeMap, BTreeSet};

use hb_core::supervise::spec::{AgentSpec, Output, ProcessSpec, RestartRule, RestartWhen, StopRule, Wanted};
use hb_core::supervise::spec_check::{RESTARTS_MAX, SPAN_MAX_SEC, STOP_SIGNALS};

use super::ini::{Entry, Section};
use super::supervisord::{Machine, Read, common};
use super::{AGENTS_MAX, Agent, Grade, Imported, agent_of, process_of, words};

/// Largest file of output, in megabytes, and most of them.
const OUTPUT_MAX: (u64, u32) = (1_000_000, 1_000);

/// A program being translated.
struct Program<'a> {
    file: &'a Read<'a>,
    section: &'a Section,
    name: &'a str,
    machine: &'a Machine<'a>,
    shared: &'a BTreeMap<String, String>,
}

/// Translates a program; gives the names of its agents.
pub(super) fn translate(
    file: &Read<'_>,
    section: &Section,
    name: &str,
    (shared, machine): (&BTreeMap<String, String>, &Machine<'_>),
    imported: &mut Imported,
) -> Vec<String> {
    let program = Program { file, section, name, machine, shared };
    let (count, first) = (program.number("numprocs", 1, imported), program.number("numprocs_start", 0, imported));
    let room = AGENTS_MAX.saturating_sub(imported.agents.len());
    let numbers = first..first.saturating_add(count);
    let mut made = Vec::new();
    for number in numbers.clone().take(room) {
        if let Some(spec) = program.agent(number, count, imported) {
            made.push(spec.id.to_string());
            let file = file.source.name.to_owned();
            imported.agents.push(Agent { spec, file, line: section.line });
        }
    }
    if usize::try_from(count).map_or(true, |count| count > room) {
        let what = format!("[{}] has {count} processes: there is room for {AGENTS_MAX} agents in all", section.name);
        imported.note((file.source.name, section.line), Grade::Lost, what);
    }
    program.others(imported);
    made
}

impl Program<'_> {
    fn place(&self, entry: &Entry) -> (&str, usize) {
        (self.file.source.name, entry.line)
    }

    fn differs(&self, entry: &Entry, what: impl std::fmt::Display, imported: &mut Imported) {
        imported.note(self.place(entry), Grade::Differs, format!("{}: {what}", entry.key));
    }

    fn lost(&self, entry: &Entry, what: impl std::fmt::Display, imported: &mut Imported) {
        imported.note(self.place(entry), Grade::Lost, format!("{}: {what}", entry.key));
    }

    fn number(&self, key: &str, default: u64, imported: &mut Imported) -> u64 {
        let Some(entry) = self.section.get(key) else { return default };
        entry.value.trim().parse().unwrap_or_else(|_| {
            self.lost(
                entry,
                format_args!("`{}` is no whole number: {default} is taken", entry.value.escape_debug()),
                imported,
            );
            default
        })
    }

    /// A value with everything put in that is known.
    fn filled(&self, entry: &Entry, (number, count): (u64, u64), imported: &mut Imported) -> Option<String> {
        let value = |name: &str| match name {
            "program_name" | "group_name" => Some(self.name.to_owned()),
            "process_num" => Some(number.to_string()),
            "numprocs" => Some(count.to_string()),
            name => common(name, &self.file.source, self.machine),
        };
        if entry.value.contains("%(ENV_") {
            let what = "what %(ENV_…)s stands for was taken from the present environment, once";
            self.differs(entry, what, imported);
        }
        match words::expand(&entry.value, &value) {
            Ok(filled) => Some(filled),
            Err(what) => {
                self.lost(entry, what, imported);
                None
            }
        }
    }

    fn agent(&self, number: u64, count: u64, imported: &mut Imported) -> Option<AgentSpec> {
        let at = (number, count);
        let Some(entry) = self.section.get("command") else {
            let what = format!("[{}] has no command: it is left out", self.section.name);
            imported.note((self.file.source.name, self.section.line), Grade::Lost, what);
            return None;
        };
        let command = match words::split(&self.filled(entry, at, imported)?) {
            Ok(command) if !command.is_empty() => command,
            Ok(_) => {
                self.lost(entry, "it is empty: this program is left out", imported);
                return None;
            }
            Err(what) => {
                self.lost(entry, format_args!("{what}: this program is left out"), imported);
                return None;
            }
        };
        let wanted = match self.section.get("process_name") {
            Some(entry) => self.filled(entry, at, imported)?,
            None => self.name.to_owned(),
        };
        let taken: BTreeSet<String> = imported.names();
        let id = imported.name((self.file.source.name, self.section.line), &wanted, &taken);
        let process = ProcessSpec {
            env: self.environment(at, imported),
            cwd: self.section.get("directory").and_then(|entry| self.filled(entry, at, imported)),
            user: self.section.get("user").and_then(|entry| self.user(entry, at, imported)),
            stop: self.stop(imported),
            output: self.output(imported),
            command,
            ..process_of(Vec::new())
        };
        Some(AgentSpec { restart: self.restart(imported), wanted: self.wanted(imported), ..agent_of(&id, process) })
    }

    fn user(&self, entry: &Entry, at: (u64, u64), imported: &mut Imported) -> Option<String> {
        let user = self.filled(entry, at, imported)?;
        match user.split_once(':') {
            Some((user, group)) => {
                self.lost(
                    entry,
                    format_args!("the group `{}`: hb takes that of the user", group.escape_debug()),
                    imported,
                );
                Some(user.to_owned())
            }
            None => Some(user),
        }
    }

    fn environment(&self, at: (u64, u64), imported: &mut Imported) -> BTreeMap<String, String> {
        let mut env = self.shared.clone();
        if let Some(entry) = self.section.get("environment")
            && let Some(filled) = self.filled(entry, at, imported)
        {
            match words::environment(&filled) {
                Ok(own) => env.extend(own),
                Err(what) => self.lost(entry, what, imported),
            }
        }
        env
    }

    fn wanted(&self, imported: &mut Imported) -> Wanted {
        let Some(entry) = self.section.get("autostart") else { return Wanted::Up };
        match words::truth(&entry.value) {
            Some(true) => Wanted::Up,
            Some(false) => Wanted::Down,
            None => {
                self.lost(entry, "it is neither true nor false: true is taken", imported);
                Wanted::Up
            }
        }
    }

    fn seconds(&self, entry: &Entry, imported: &mut Imported) -> Option<f64> {
        let seconds = entry.value.trim().parse::<f64>().ok().filter(|seconds| (0.0..=SPAN_MAX_SEC).contains(seconds));
        if seconds.is_none() {
            let what = format!(
                "`{}` is no number of seconds from 0 to {SPAN_MAX_SEC}: the default is taken",
                entry.value.escape_debug()
            );
            self.lost(entry, what, imported);
        }
        seconds
    }

    fn restart(&self, imported: &mut Imported) -> RestartRule {
        let mut rule = RestartRule { when: RestartWhen::OnFailure, ..RestartRule::default() };
        if let Some(entry) = self.section.get("autorestart") {
            rule.when = match (entry.value.trim().to_lowercase().as_str(), words::truth(&entry.value)) {
                ("unexpected", _) => RestartWhen::OnFailure,
                (_, Some(true)) => RestartWhen::Always,
                (_, Some(false)) => RestartWhen::Never,
                (_, None) => {
                    self.lost(entry, "it is none of true, false and unexpected: unexpected is taken", imported);
                    RestartWhen::OnFailure
                }
            };
        }
        if let Some(entry) = self.section.get("exitcodes")
            && rule.when == RestartWhen::OnFailure
            && entry.value.trim() != "0"
        {
            let what =
                format!("exitcodes {}: hb takes 0 alone as an end that is no failure", entry.value.escape_debug());
            imported.note(self.place(entry), Grade::Lost, what);
        }
        if let Some(entry) = self.section.get("startretries") {
            let retries = self.number("startretries", 3, imported);
            rule.max_restarts = u32::try_from(retries).unwrap_or(u32::MAX).min(RESTARTS_MAX);
            let what = format!(
                "it is `max_restarts: {}` now, which counts every restart within {} s and not failed starts in a row",
                rule.max_restarts, rule.within_sec
            );
            self.differs(entry, what, imported);
        }
        if let Some(entry) = self.section.get("startsecs")
            && let Some(seconds) = self.seconds(entry, imported)
        {
            rule.reset_after_sec = seconds;
            let what = "it is `reset_after_sec` now: after so long up, waits before restarts begin anew";
            self.differs(entry, what, imported);
        }
        rule
    }

    fn stop(&self, imported: &mut Imported) -> StopRule {
        let mut rule = StopRule::default();
        if let Some(entry) = self.section.get("stopwaitsecs") {
            rule.grace_sec = self.seconds(entry, imported).unwrap_or(rule.grace_sec);
        }
        if let Some(entry) = self.section.get("stopsignal") {
            match words::signal(&entry.value).as_str() {
                "KILL" => {
                    rule.grace_sec = 0.0;
                    self.differs(
                        entry,
                        "KILL: it is `grace_sec: 0` now, which kills right after the first signal",
                        imported,
                    );
                }
                signal if STOP_SIGNALS.contains(&signal) => rule.signal = signal.to_owned(),
                signal => {
                    let one_of = STOP_SIGNALS.join(", ");
                    self.lost(
                        entry,
                        format_args!("{} is none of {one_of}: TERM is taken", signal.escape_debug()),
                        imported,
                    );
                }
            }
        }
        rule
    }

    fn output(&self, imported: &mut Imported) -> Output {
        let mut output = Output::default();
        if let Some(entry) = self.section.get("stdout_logfile_maxbytes") {
            match words::bytes(&entry.value) {
                Some(0) => {
                    output.max_mb = OUTPUT_MAX.0;
                    self.differs(entry, format_args!("hb bounds every file: {} MB", OUTPUT_MAX.0), imported);
                }
                Some(bytes) => {
                    output.max_mb = bytes.div_ceil(1 << 20).clamp(1, OUTPUT_MAX.0);
                    if output.max_mb.checked_mul(1 << 20) != Some(bytes) {
                        self.differs(entry, format_args!("whole megabytes: {}", output.max_mb), imported);
                    }
                }
                None => self.lost(entry, "it is no size", imported),
            }
        }
        if let Some(entry) = self.section.get("stdout_logfile_backups") {
            let keep = self.number("stdout_logfile_backups", u64::from(output.keep), imported);
            output.keep = u32::try_from(keep).unwrap_or(u32::MAX).min(OUTPUT_MAX.1);
            if u64::from(output.keep) != keep {
                self.differs(entry, format_args!("at most {}", OUTPUT_MAX.1), imported);
            }
        }
        output
    }

    /// Keys that have no place of their own, each with what stands in for it.
    fn others(&self, imported: &mut Imported) {
        for entry in &self.section.entries {
            let value = entry.value.trim();
            let (grade, what) = match entry.key.as_str() {
                "command"
                | "process_name"
                | "numprocs"
                | "numprocs_start"
                | "directory"
                | "user"
                | "environment"
                | "autostart"
                | "autorestart"
                | "exitcodes"
                | "startretries"
                | "startsecs"
                | "stopsignal"
                | "stopwaitsecs"
                | "stdout_logfile_maxbytes"
                | "stdout_logfile_backups" => continue,
                "stopasgroup" | "killasgroup" | "redirect_stderr" if words::truth(value) == Some(true) => continue,
                "stopasgroup" | "killasgroup" => {
                    (Grade::Differs, "hb signals the whole group of a process, always".to_owned())
                }
                "redirect_stderr" => {
                    (Grade::Differs, "hb puts standard output and standard error into one file, always".to_owned())
                }
                "stdout_logfile" | "stderr_logfile" => {
                    let what = format!(
                        "{value}: output stands in output_dir/supervisor/logs/AGENT.log; `hb agent logs AGENT` shows it"
                    );
                    (Grade::Differs, what)
                }
                "stderr_logfile_maxbytes" | "stderr_logfile_backups" => {
                    (Grade::Differs, "there is one file for both outputs, bounded as standard output was".to_owned())
                }
                "priority" => {
                    (Grade::Lost, "hb starts by `depends_on`, not by numbers: say what this program needs".to_owned())
                }
                "umask" => (
                    Grade::Lost,
                    "hb has no umask of its own: agents inherit the one that hb was started with".to_owned(),
                ),
                "stdout_syslog" | "stderr_syslog" => (Grade::Lost, "hb writes output to files only".to_owned()),
                "stdout_capture_maxbytes"
                | "stderr_capture_maxbytes"
                | "stdout_events_enabled"
                | "stderr_events_enabled" => (Grade::Lost, "hb makes no events of output".to_owned()),
                "serverurl" => (Grade::Lost, "hb gives agents no SUPERVISOR_SERVER_URL".to_owned()),
                _ => (Grade::Lost, "hb does not know this key".to_owned()),
            };
            imported.note(self.place(entry), grade, format!("{}: {what}", entry.key));
        }
    }
}
