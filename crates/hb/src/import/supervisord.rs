//! `supervisord.conf`: programs become agents, groups become teams, everything else is told.

use std::collections::{BTreeMap, BTreeSet};

use super::ini::{self, Section};
use super::{Grade, Imported, Team, program, words};

/// A configuration file as it was read.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Its name, for messages.
    pub name: &'a str,
    /// Its folder: `%(here)s`.
    pub here: &'a str,
    /// What stands in it.
    pub text: &'a str,
}

/// What is known of the machine.
pub struct Machine<'a> {
    /// A variable of the environment: `%(ENV_NAME)s`.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// Its name: `%(host_node_name)s`.
    pub host: &'a str,
}

impl std::fmt::Debug for Machine<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine").field("host", &self.host).finish_non_exhaustive()
    }
}

/// A line, from 1, and what is to be said about it.
pub type Numbered = (usize, String);

/// A file and its sections.
pub(super) struct Read<'a> {
    pub(super) source: Source<'a>,
    pub(super) sections: Vec<Section>,
}

/// The patterns of `[include] files`, each with its line.
///
/// # Errors
/// The lines that cannot be read.
pub fn includes(source: &Source<'_>, machine: &Machine<'_>) -> Result<Vec<Numbered>, Vec<Numbered>> {
    let sections = ini::read(source.text)?;
    let entries =
        sections.iter().filter(|section| section.name == "include").filter_map(|section| section.get("files"));
    let mut patterns = Vec::new();
    for entry in entries {
        let value = |name: &str| common(name, source, machine);
        let filled = words::expand(&entry.value, &value).map_err(|what| vec![(entry.line, what)])?;
        patterns.extend(filled.split_whitespace().map(|pattern| (entry.line, pattern.to_owned())));
    }
    Ok(patterns)
}

/// What `%(name)s` stands for everywhere.
pub(super) fn common(name: &str, source: &Source<'_>, machine: &Machine<'_>) -> Option<String> {
    match name {
        "here" => Some(source.here.to_owned()),
        "host_node_name" => Some(machine.host.to_owned()),
        _ => name.strip_prefix("ENV_").and_then(|name| (machine.variable)(name)),
    }
}

/// Translates the first file and those that it includes.
///
/// # Errors
/// Every line that cannot be read, with its file.
pub fn translate(sources: &[Source<'_>], machine: &Machine<'_>) -> Result<Imported, Vec<(String, usize, String)>> {
    let (mut read, mut faults) = (Vec::new(), Vec::new());
    for source in sources {
        match ini::read(source.text) {
            Ok(sections) => read.push(Read { source: *source, sections }),
            Err(found) => faults.extend(found.into_iter().map(|(line, what)| (source.name.to_owned(), line, what))),
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let mut imported = Imported::default();
    let shared = shared_environment(&read, machine, &mut imported);
    // Names of the agents of each program.
    let mut made: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in &read {
        doubles(file, &mut imported);
        for section in &file.sections {
            section_of(file, section, (&shared, machine), &mut made, &mut imported);
        }
    }
    groups(&read, &made, &mut imported);
    order(&read, &mut imported);
    Ok(imported)
}

/// Keys that stand twice: the last one counts, as it did there.
fn doubles(file: &Read<'_>, imported: &mut Imported) {
    for section in &file.sections {
        let mut seen = BTreeSet::new();
        for entry in section.entries.iter().rev() {
            if !seen.insert(entry.key.as_str()) {
                let what =
                    format!("`{}` stands in [{}] again further down, and that one counts", entry.key, section.name);
                imported.note((file.source.name, entry.line), Grade::Differs, what);
            }
        }
    }
}

/// `environment` of `[supervisord]`, which every program has.
fn shared_environment(read: &[Read<'_>], machine: &Machine<'_>, imported: &mut Imported) -> BTreeMap<String, String> {
    let mut shared = BTreeMap::new();
    for file in read {
        let sections = file.sections.iter().filter(|section| section.name == "supervisord");
        for entry in sections.filter_map(|section| section.get("environment")) {
            let value = |name: &str| common(name, &file.source, machine);
            match words::expand(&entry.value, &value).and_then(|text| words::environment(&text)) {
                Ok(found) => shared.extend(found),
                Err(what) => imported.note((file.source.name, entry.line), Grade::Lost, format!("environment: {what}")),
            }
        }
    }
    shared
}

type Around<'a> = (&'a BTreeMap<String, String>, &'a Machine<'a>);

fn section_of(
    file: &Read<'_>,
    section: &Section,
    around: Around<'_>,
    made: &mut BTreeMap<String, Vec<String>>,
    imported: &mut Imported,
) {
    let (kind, name) = section.name.split_once(':').unwrap_or((&section.name, ""));
    match kind {
        "program" => {
            let agents = program::translate(file, section, name.trim(), around, imported);
            made.entry(name.trim().to_owned()).or_default().extend(agents);
        }
        "group" | "include" => {}
        "supervisord" => own(file, section, imported),
        "supervisorctl" => {
            lost(file, section, "`hb agent`, `hb events` and `hb supervisor` stand in for supervisorctl", imported);
        }
        "unix_http_server" | "inet_http_server" => {
            lost(
                file,
                section,
                "hb has an API of its own: `listen` and `tokens_file` say where and for whom",
                imported,
            );
        }
        "rpcinterface" => lost(file, section, "hb has an API of its own, and no XML-RPC", imported),
        "eventlistener" => {
            let what = "hb runs no event listeners: follow `hb events -f --json`, or `/api/v1/events/stream`, or use alert_sinks";
            lost(file, section, what, imported);
        }
        "fcgi-program" => {
            lost(file, section, "hb holds no sockets for FastCGI programs: this program is not translated", imported)
        }
        _ => lost(file, section, "hb does not know this section", imported),
    }
}

fn lost(file: &Read<'_>, section: &Section, what: &str, imported: &mut Imported) {
    imported.note((file.source.name, section.line), Grade::Lost, format!("[{}]: {what}", section.name));
}

/// Settings of supervisord itself, each with what stands in for it.
fn own(file: &Read<'_>, section: &Section, imported: &mut Imported) {
    for entry in &section.entries {
        let (grade, what) = match entry.key.as_str() {
            "environment" => continue,
            "nodaemon" => (Grade::Differs, "hb stays in the foreground: a service manager runs it"),
            "logfile" | "logfile_maxbytes" | "logfile_backups" | "loglevel" | "silent" => {
                (Grade::Differs, "hb writes its log to standard error; HB_LOG says how much")
            }
            "childlogdir" => (Grade::Differs, "output of agents stands in output_dir/supervisor/logs"),
            "pidfile" => (Grade::Differs, "hb needs no pid file: output_dir is locked by its lease"),
            "user" => (Grade::Lost, "start hb as that user, or give each agent `user`"),
            "minfds" => (Grade::Lost, "give agents `limits: {open_files: …}`"),
            "minprocs" => (Grade::Lost, "give agents `limits: {processes: …}`"),
            "directory" => (Grade::Lost, "give agents `cwd`, or start hb there"),
            "umask" => (Grade::Lost, "hb has no umask of its own: agents inherit the one that hb was started with"),
            "strip_ansi" | "nocleanup" | "identifier" => (Grade::Lost, "there is no such thing here"),
            _ => (Grade::Lost, "hb does not know this key"),
        };
        imported.note((file.source.name, entry.line), grade, format!("{}: {what}", entry.key));
    }
}

/// Groups as teams; a program with several processes is one too, as it is there.
fn groups(read: &[Read<'_>], made: &BTreeMap<String, Vec<String>>, imported: &mut Imported) {
    let (mut teams, mut member_of): (Vec<Team>, BTreeMap<String, String>) = (Vec::new(), BTreeMap::new());
    for file in read {
        for section in file.sections.iter() {
            let Some(name) = section.name.strip_prefix("group:") else { continue };
            let taken: BTreeSet<String> = teams.iter().map(|team| team.name.clone()).collect();
            let name = imported.name((file.source.name, section.line), name.trim(), &taken);
            let mut members = Vec::new();
            for entry in &section.entries {
                match entry.key.as_str() {
                    "programs" => {
                        let place = (file.source.name, entry.line);
                        let around = (made, &mut member_of);
                        members.extend(of_group(place, &entry.value, &name, around, imported));
                    }
                    "priority" => {
                        let what = "priority of a group: hb starts by `depends_on`, not by numbers";
                        imported.note((file.source.name, entry.line), Grade::Lost, what);
                    }
                    other => {
                        let what = format!("`{other}` of a group: hb does not know this key");
                        imported.note((file.source.name, entry.line), Grade::Lost, what);
                    }
                }
            }
            teams.push(Team { name, members });
        }
    }
    for (program, agents) in made {
        let free = agents.iter().all(|agent| !member_of.contains_key(agent));
        let named = teams.iter().any(|team| team.name == *program) || !crate::config::reader::is_name(program);
        if agents.len() > 1 && free && !named {
            teams.push(Team { name: program.clone(), members: agents.clone() });
        }
    }
    imported.teams = teams;
}

/// Agents of the programs that a group names.
fn of_group(
    place: (&str, usize),
    programs: &str,
    team: &str,
    (made, member_of): (&BTreeMap<String, Vec<String>>, &mut BTreeMap<String, String>),
    imported: &mut Imported,
) -> Vec<String> {
    let mut members = Vec::new();
    for program in programs.split([',', '\n']).map(str::trim).filter(|name| !name.is_empty()) {
        let Some(agents) = made.get(program) else {
            let what = format!("there is no program `{}` to be in this group", program.escape_debug());
            imported.note(place, Grade::Lost, what);
            continue;
        };
        for agent in agents {
            if let Some(other) = member_of.get(agent) {
                let what = format!("`{agent}` is in {other} already, and an agent is in one team at most");
                imported.note(place, Grade::Lost, what);
            } else {
                member_of.insert(agent.clone(), team.to_owned());
                members.push(agent.clone());
            }
        }
    }
    members
}

/// Notes in the order of the files and their lines.
fn order(read: &[Read<'_>], imported: &mut Imported) {
    let rank = |file: &str| read.iter().position(|one| one.source.name == file).unwrap_or(usize::MAX);
    imported.notes.sort_by_key(|note| (rank(&note.file), note.line));
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = r#"; a realistic one
[unix_http_server]
file = /run/supervisor.sock

[supervisord]
logfile = /var/log/supervisord.log
minfds = 4096
environment = REGION="eu",LANG="C.UTF-8"
frobnicate = 1

[program:api]
command = /srv/api/bin/api --port=80%(process_num)02d --name "%(program_name)s api" ; the thing
process_name = %(program_name)s_%(process_num)02d
numprocs = 3
directory = /srv/api
user = www-data
autorestart = unexpected
exitcodes = 0,2
startretries = 5
startsecs = 10
stopsignal = INT
stopwaitsecs = 25
stopasgroup = true
environment = LANG="de_DE.UTF-8",TOKEN="%(ENV_TOKEN)s"
stdout_logfile = /var/log/api.log
stdout_logfile_maxbytes = 50MB
stdout_logfile_backups = 7
redirect_stderr = true
priority = 200

[program:mailer]
command = python mailer.py --queue 'a b'
autostart = false
autorestart = true
umask = 022
priority = 300

[program:once]
command = /bin/true
autorestart = false
stopsignal = KILL

[program:broken]
command = /bin/echo "open

[eventlistener:memmon]
command = memmon

[group:web]
programs = api,mailer,nobody
priority = 999
"#;

    fn import(text: &str) -> Imported {
        let source = Source { name: "s.conf", here: "/etc/s", text };
        let machine = Machine { variable: &|name| (name == "TOKEN").then(|| "t".to_owned()), host: "box" };
        translate(&[source], &machine).unwrap()
    }

    #[test]
    fn programs_are_agents_and_groups_are_teams() {
        let imported = import(SAMPLE);
        let names: Vec<String> = imported.agents.iter().map(|agent| agent.spec.id.to_string()).collect();
        assert_eq!(names, ["api_00", "api_01", "api_02", "mailer", "once"]);
        let api = imported.agents[1].spec.process.as_ref().unwrap();
        assert_eq!(api.command, ["/srv/api/bin/api", "--port=8001", "--name", "api api"]);
        assert_eq!((api.cwd.as_deref(), api.user.as_deref()), (Some("/srv/api"), Some("www-data")));
        assert_eq!((api.stop.signal.as_str(), api.stop.grace_sec), ("INT", 25.0));
        assert_eq!((api.output.max_mb, api.output.keep), (50, 7));
        assert_eq!(api.env["LANG"], "de_DE.UTF-8", "the program's own wins");
        assert_eq!((api.env["REGION"].as_str(), api.env["TOKEN"].as_str()), ("eu", "t"));
        let spec = &imported.agents[1].spec;
        assert_eq!((spec.restart.max_restarts, spec.restart.reset_after_sec), (5, 10.0));
        assert_eq!(spec.restart.when, hb_core::supervise::spec::RestartWhen::OnFailure);
        assert_eq!(imported.agents[3].spec.wanted, hb_core::supervise::spec::Wanted::Down);
        assert_eq!(imported.agents[4].spec.restart.when, hb_core::supervise::spec::RestartWhen::Never);
        assert!(imported.agents.iter().all(|agent| agent.spec.faults().is_empty()));
        let web =
            Team { name: "web".into(), members: ["api_00", "api_01", "api_02", "mailer"].map(String::from).into() };
        assert_eq!(imported.teams, [web]);
    }

    #[test]
    fn what_cannot_be_translated_is_told_line_by_line() {
        let imported = import(SAMPLE);
        let told = |stands: &str, wanted: &str| {
            let line = SAMPLE.lines().position(|line| line.starts_with(stands)).unwrap() + 1;
            let mut here = imported.notes.iter().filter(|note| note.line == line);
            assert!(here.any(|note| note.what.contains(wanted)), "{stands}: {wanted}\n{:#?}", imported.notes);
        };
        for (stands, wanted) in [
            ("[unix_http_server]", "API of its own"),
            ("logfile", "HB_LOG"),
            ("minfds", "open_files"),
            ("frobnicate", "does not know"),
            ("exitcodes", "0 alone"),
            ("startretries", "max_restarts: 5"),
            ("startsecs", "reset_after_sec"),
            ("environment = LANG", "ENV_"),
            ("stdout_logfile =", "/var/log/api.log"),
            ("priority = 200", "depends_on"),
            ("umask", "umask"),
            ("stopsignal = KILL", "grace_sec: 0"),
            ("command = /bin/echo", "not closed"),
            ("[eventlistener", "event listeners"),
            ("programs", "no program `nobody`"),
            ("priority = 999", "depends_on"),
        ] {
            told(stands, wanted);
        }
    }

    #[test]
    fn several_processes_without_a_group_are_a_team() {
        let imported = import(
            "[program:w]\ncommand=/bin/w\nnumprocs=2\nnumprocs_start=5\nprocess_name=%(program_name)s%(process_num)d\n",
        );
        assert_eq!(imported.teams, [Team { name: "w".into(), members: vec!["w5".into(), "w6".into()] }]);
        let unnamed = import("[program:w]\ncommand=/bin/w\nnumprocs=2\n");
        let names: Vec<String> = unnamed.agents.iter().map(|agent| agent.spec.id.to_string()).collect();
        assert_eq!(names, ["w", "w-2"], "names that would be the same are told apart");
        assert!(unnamed.notes.iter().any(|note| note.what.contains("`w-2` now")));
    }

    #[test]
    fn files_that_are_included_are_named() {
        let text = "[include]\nfiles = conf.d/*.conf %(here)s/more.ini\n";
        let source = Source { name: "s.conf", here: "/etc/s", text };
        let machine = Machine { variable: &|_| None, host: "box" };
        let found = includes(&source, &machine).unwrap();
        assert_eq!(found, [(2, "conf.d/*.conf".to_owned()), (2, "/etc/s/more.ini".to_owned())]);
        assert!(translate(&[Source { text: "[open\n", ..source }], &machine).is_err());
    }
}
