//! What was imported, written as an `hb.yaml` that people go on editing: only what is not the default, each agent with its origin.

use std::fmt::Write as _;

use hb_core::supervise::spec::{AgentSpec, Output, ProcessSpec, RestartRule, RestartWhen, StopRule, Wanted};

use super::{Grade, Imported};

/// The file. `command` is what made it, for its first line.
#[must_use]
pub fn write(imported: &Imported, command: &str) -> String {
    let mut text = format!(
        "# Made by `{}`. Check it with `hb config check`, then run it with `hb supervisor`.\n",
        comment(command)
    );
    if !imported.notes.is_empty() {
        text.push_str("#\n# Not as it was:\n");
    }
    for note in &imported.notes {
        let word = match note.grade {
            Grade::Differs => "differs",
            Grade::Lost => "LOST",
        };
        put(&mut text, format_args!("#   {}:{}: {word}: {}", comment(&note.file), note.line, comment(&note.what)));
    }
    text.push_str("\noutput_dir: hb-data\ndb_path: hb-data/runs.db\n\nagents:\n");
    for agent in &imported.agents {
        put(&mut text, format_args!("  {}: # {}:{}", scalar(agent.spec.id.as_str()), comment(&agent.file), agent.line));
        self::agent(&mut text, &agent.spec);
    }
    if !imported.teams.is_empty() {
        text.push_str("\nteams:\n");
    }
    for team in &imported.teams {
        put(&mut text, format_args!("  {}:\n    members: {}", scalar(&team.name), list(&team.members)));
    }
    text
}

fn put(text: &mut String, line: std::fmt::Arguments<'_>) {
    text.write_fmt(line).and_then(|()| text.write_char('\n')).expect("writing into a String cannot fail");
}

fn agent(text: &mut String, spec: &AgentSpec) {
    if let Some(process) = &spec.process {
        self::process(text, process);
    }
    let rule = restart(&spec.restart);
    if !rule.is_empty() {
        put(text, format_args!("    restart: {{{}}}", rule.join(", ")));
    }
    if spec.wanted == Wanted::Down {
        put(text, format_args!("    wanted: down"));
    }
}

fn process(text: &mut String, process: &ProcessSpec) {
    put(text, format_args!("    process:\n      command: {}", list(&process.command)));
    for (key, value) in [("cwd", &process.cwd), ("user", &process.user)] {
        if let Some(value) = value {
            put(text, format_args!("      {key}: {}", scalar(value)));
        }
    }
    if !process.env.is_empty() {
        put(text, format_args!("      env:"));
        for (key, value) in &process.env {
            put(text, format_args!("        {}: {}", scalar(key), quoted(value)));
        }
    }
    let StopRule { signal, grace_sec } = &process.stop;
    if process.stop != StopRule::default() {
        put(text, format_args!("      stop: {{signal: {}, grace_sec: {grace_sec}}}", scalar(signal)));
    }
    let Output { max_mb, keep } = process.output;
    if process.output != Output::default() {
        put(text, format_args!("      output: {{max_mb: {max_mb}, keep: {keep}}}"));
    }
}

fn restart(rule: &RestartRule) -> Vec<String> {
    let default = RestartRule::default();
    let mut parts = Vec::new();
    if rule.when != default.when {
        let when = match rule.when {
            RestartWhen::Always => "always",
            RestartWhen::OnFailure => "on_failure",
            RestartWhen::Never => "never",
        };
        parts.push(format!("when: {when}"));
    }
    if rule.max_restarts != default.max_restarts {
        parts.push(format!("max_restarts: {}", rule.max_restarts));
    }
    #[expect(clippy::float_cmp, reason = "whether it is the very default")]
    if rule.reset_after_sec != default.reset_after_sec {
        parts.push(format!("reset_after_sec: {}", rule.reset_after_sec));
    }
    parts
}

fn list(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| scalar(word)).collect();
    format!("[{}]", words.join(", "))
}

/// A text as it may stand anywhere: without quotes only where nobody could take it for anything else.
fn scalar(text: &str) -> String {
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let fine = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-'));
    let word = matches!(
        text.to_ascii_lowercase().as_str(),
        "true" | "false" | "yes" | "no" | "on" | "off" | "null" | "y" | "n" | "nan" | "inf"
    );
    if begins && fine && !word { text.to_owned() } else { quoted(text) }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                write!(out, "\\u{:04X}", u32::from(c)).expect("writing into a String cannot fail");
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A text as it may stand in a comment.
fn comment(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_are_quoted_where_they_could_be_mistaken() {
        for plain in ["run", "/bin/x-1", "a.b_c"] {
            assert_eq!(scalar(plain), plain);
        }
        for (text, expected) in [
            ("8080", "\"8080\""),
            ("yes", "\"yes\""),
            ("-c", "\"-c\""),
            ("", "\"\""),
            ("a: b", "\"a: b\""),
            ("a\"\\\n\u{7}", "\"a\\\"\\\\\\n\\u0007\""),
        ] {
            assert_eq!(scalar(text), expected);
        }
    }
}
