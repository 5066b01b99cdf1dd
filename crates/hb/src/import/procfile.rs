//! A Procfile: `name: a line for the shell`.

use hb_core::supervise::spec::{AgentSpec, RestartRule, RestartWhen};

use super::{AGENTS_MAX, Agent, Grade, Imported, agent_of, process_of, words};

/// What foreman gives to the first process, and what it adds for each further one.
const PORTS: (u64, u64) = (5000, 100);

/// Translates a Procfile; nothing of it is run.
///
/// # Errors
/// Every line that is no `name: command`, with its number.
pub fn translate(name: &str, text: &str) -> Result<Imported, Vec<(usize, String)>> {
    let (mut imported, mut faults) = (Imported::default(), Vec::new());
    for (index, line) in text.lines().enumerate() {
        let number = index.saturating_add(1);
        if let Some(what) = super::ini::unfit(line) {
            faults.push((number, what));
            continue;
        }
        let bare = line.trim();
        if bare.is_empty() || bare.starts_with('#') {
            continue;
        }
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let read = bare.split_once(':').map(|(key, command)| (key.trim(), command.trim()));
        let Some((key, command)) = read.filter(|(key, _)| !key.is_empty() && key.chars().all(fine)) else {
            faults.push((number, format!("`{}` is no `name: command`", super::ini::shortened(bare))));
            continue;
        };
        if command.is_empty() {
            faults.push((number, format!("`{key}` has no command")));
        } else if imported.agents.len() >= AGENTS_MAX {
            faults.push((number, format!("there are more than {AGENTS_MAX} processes")));
            break;
        } else {
            add((name, number), (key, command), &mut imported);
        }
    }
    if faults.is_empty() { Ok(imported) } else { Err(faults) }
}

fn add(place: (&str, usize), (key, command): (&str, &str), imported: &mut Imported) {
    let taken = imported.names();
    let id = imported.name(place, key, &taken);
    let mut process = process_of(argv(command));
    if command.contains("$PORT") || command.contains("${PORT") {
        let before = u64::try_from(imported.agents.len()).unwrap_or(0);
        let port = PORTS.0.saturating_add(before.saturating_mul(PORTS.1));
        process.env.insert("PORT".into(), port.to_string());
        imported.note(
            place,
            Grade::Differs,
            format!("{key}: hb gives out no ports; PORT is {port}, as foreman would have it"),
        );
    }
    if key == "release" {
        imported.note(
            place,
            Grade::Differs,
            "release: a host runs it once before the others; here it is an agent that ends",
        );
    }
    // Foreman restarts nothing; somebody who comes here wants it kept running. A release step ends by itself.
    let when = if key == "release" { RestartWhen::Never } else { RestartWhen::Always };
    let spec = AgentSpec { restart: RestartRule { when, ..RestartRule::default() }, ..agent_of(&id, process) };
    imported.agents.push(Agent { spec, file: place.0.to_owned(), line: place.1 });
}

/// The words of a line that needs no shell; else a shell with the line.
fn argv(command: &str) -> Vec<String> {
    let needs_shell = |c: char| "$`;&|<>*?[]{}()~#!\\\n".contains(c);
    let plain = words::split(command).ok().filter(|words| {
        let assigns = words.first().is_none_or(|word| word.contains('='));
        let built_in = words.first().is_some_and(|word| BUILT_IN.contains(&word.as_str()));
        !command.contains(needs_shell) && !assigns && !built_in
    });
    plain.unwrap_or_else(|| vec!["sh".to_owned(), "-c".to_owned(), command.to_owned()])
}

/// Words that mean something to a shell alone.
const BUILT_IN: [&str; 12] =
    ["cd", "exec", "export", "set", ".", "source", "ulimit", "umask", "if", "while", "for", "eval"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_program_can_be_given_is_told_with_its_line() {
        let told = translate("Procfile", "web: a\nworker: b\0c\n").unwrap_err();
        assert_eq!(told, [(2, "there is a NUL byte in it".to_owned())]);
        let told = crate::import::ini::read("[program:x]\ncommand=b\0c\n").unwrap_err();
        assert_eq!(told, [(2, "there is a NUL byte in it".to_owned())]);
    }

    const SAMPLE: &str = "# processes\nweb: bundle exec puma -p $PORT -C 'config/puma.rb'\nworker: bin/worker --queue 'a b'\n\
                          clock: RAILS_ENV=production bin/clock >> log/clock.log 2>&1\nrelease: bin/migrate\n";

    #[test]
    fn lines_become_agents_with_a_shell_where_one_is_needed() {
        let imported = translate("Procfile", SAMPLE).unwrap();
        let commands: Vec<&[String]> =
            imported.agents.iter().map(|agent| agent.spec.process.as_ref().unwrap().command.as_slice()).collect();
        assert_eq!(commands[0][..2], ["sh", "-c"]);
        assert_eq!(commands[1], ["bin/worker", "--queue", "a b"]);
        assert_eq!(commands[2][2], "RAILS_ENV=production bin/clock >> log/clock.log 2>&1");
        assert_eq!(commands[3], ["bin/migrate"]);
        assert_eq!(imported.agents[0].spec.process.as_ref().unwrap().env["PORT"], "5000");
        assert_eq!(imported.agents[3].spec.restart.when, RestartWhen::Never);
        assert!(imported.notes.iter().any(|note| note.line == 2 && note.what.contains("PORT is 5000")));
        assert!(imported.agents.iter().all(|agent| agent.spec.faults().is_empty()));
    }

    #[test]
    fn words_of_a_shell_need_one() {
        for line in ["cd app && run", "exec run", "A=1 run", "run | tee x", "run ~/x", "echo \"open"] {
            assert_eq!(argv(line), ["sh", "-c", line]);
        }
        assert_eq!(argv("run --x=1 \"a b\""), ["run", "--x=1", "a b"]);
    }

    #[test]
    fn every_line_that_is_none_is_told() {
        let faults = translate("Procfile", "web run\nok: run\nbad name: x\nempty:\n").unwrap_err();
        assert_eq!(faults.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 3, 4]);
    }
}
