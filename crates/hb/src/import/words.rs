//! Words as `supervisord` reads them: command lines, environments, `%(name)s`, sizes, signals.

use std::collections::BTreeMap;

/// A command line as its words, as a POSIX shell would split it; nothing else of a shell is done.
///
/// # Errors
/// A quotation that is not closed, or a lone backslash at the end.
pub(super) fn split(line: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word): (Vec<String>, Option<String>) = (Vec::new(), None);
    let mut letters = line.chars();
    while let Some(c) = letters.next() {
        match c {
            c if c.is_whitespace() => words.extend(word.take()),
            '\'' | '"' => quoted(c, &mut letters, word.get_or_insert_default())?,
            '\\' => {
                let next = letters.next().ok_or("there is a lone backslash at its end")?;
                word.get_or_insert_default().push(next);
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

fn quoted(quote: char, letters: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), String> {
    loop {
        match letters.next() {
            None => return Err(format!("a {quote} is not closed")),
            Some(c) if c == quote => return Ok(()),
            Some('\\') if quote == '"' => match letters.next() {
                Some(c @ ('"' | '\\')) => word.push(c),
                Some(c) => word.extend(['\\', c]),
                None => return Err(format!("a {quote} is not closed")),
            },
            Some(c) => word.push(c),
        }
    }
}

/// `KEY="value",OTHER=value`.
///
/// # Errors
/// What is no such pair.
pub(super) fn environment(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut all = BTreeMap::new();
    let mut rest = text.trim_matches(|c: char| c.is_whitespace() || c == ',');
    while !rest.is_empty() {
        let (key, after) =
            rest.split_once('=').ok_or_else(|| format!("`{}` is no KEY=value", super::ini::shortened(rest)))?;
        let after = after.trim_start();
        let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''));
        let (value, left) = match quote {
            Some(quote) => after
                .strip_prefix(quote)
                .and_then(|inner| inner.split_once(quote))
                .ok_or_else(|| format!("the value of {} is not closed by {quote}", key.trim()))?,
            None => after.split_once([',', '\n']).unwrap_or((after, "")),
        };
        all.insert(key.trim().to_owned(), if quote.is_some() { value } else { value.trim() }.to_owned());
        rest = left.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
    }
    Ok(all)
}

/// Puts values in for `%(name)s`, `%(name)02d` and `%%`.
///
/// # Errors
/// The name that has no value, or what is no such form.
pub(super) fn expand(text: &str, value: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('%') {
            out.push('%');
            rest = after;
            continue;
        }
        let wrong = || format!("`%{}` is no %(name)s", super::ini::shortened(after));
        let (name, after) = after.strip_prefix('(').and_then(|after| after.split_once(')')).ok_or_else(wrong)?;
        let end = after.find(['s', 'd']).ok_or_else(wrong)?;
        let (width, after) = after.split_at_checked(end).ok_or_else(wrong)?;
        let found = value(name).ok_or_else(|| format!("what `%({name})s` stands for is not known here"))?;
        out.push_str(&padded(&found, width).ok_or_else(wrong)?);
        rest = after.get(1..).unwrap_or_default();
    }
    out.push_str(rest);
    Ok(out)
}

/// Widest form that is made.
const WIDTH_MAX: usize = 20;

fn padded(found: &str, width: &str) -> Option<String> {
    if width.is_empty() {
        return Some(found.to_owned());
    }
    let fill = if width.starts_with('0') { '0' } else { ' ' };
    let width: usize = width.parse().ok().filter(|width| *width <= WIDTH_MAX)?;
    let missing = width.saturating_sub(found.chars().count());
    Some(format!("{}{found}", fill.to_string().repeat(missing)))
}

/// `50MB` in bytes.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let text = text.trim().to_uppercase();
    let units = [("KB", 1_u64 << 10), ("MB", 1 << 20), ("GB", 1 << 30)];
    let unit = units.into_iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, bytes)));
    let (number, unit) = unit.unwrap_or((text.as_str(), 1));
    number.trim().parse::<u64>().ok()?.checked_mul(unit)
}

/// `true`, `yes`, `on`, `1` and their opposites.
pub(super) fn truth(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// The name of a signal without `SIG`, of a name or a number.
pub(super) fn signal(text: &str) -> String {
    let text = text.trim().to_uppercase();
    match text.as_str() {
        "1" => "HUP".into(),
        "2" => "INT".into(),
        "3" => "QUIT".into(),
        "9" => "KILL".into(),
        "10" => "USR1".into(),
        "12" => "USR2".into(),
        "15" => "TERM".into(),
        other => other.strip_prefix("SIG").unwrap_or(other).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines_are_split_as_a_shell_would() {
        assert_eq!(
            split(r#"/bin/x -c "a \"b\" \n" 'c d'e f\ g """#).unwrap(),
            ["/bin/x", "-c", "a \"b\" \\n", "c de", "f g", ""]
        );
        assert!(split("a 'b").unwrap_err().contains("not closed"));
        assert!(split("a \\").is_err());
        assert!(split("  ").unwrap().is_empty());
    }

    #[test]
    fn environments_have_quoted_and_plain_values() {
        let all = environment("A=\"1,2\", B='x y'\nC=plain,D=\"\"").unwrap();
        let all: Vec<(&str, &str)> = all.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(all, [("A", "1,2"), ("B", "x y"), ("C", "plain"), ("D", "")]);
        assert!(environment("A=\"1").is_err());
        assert!(environment("nothing").is_err());
        assert!(environment(" ").unwrap().is_empty());
    }

    #[test]
    fn forms_are_filled_in() {
        let value = |name: &str| match name {
            "process_num" => Some("7".to_owned()),
            "program_name" => Some("web".to_owned()),
            _ => None,
        };
        let filled = |text: &str| expand(text, &value);
        assert_eq!(filled("%(program_name)s_%(process_num)02d 100%%").unwrap(), "web_07 100%");
        assert_eq!(filled("%(process_num)3d").unwrap(), "  7");
        assert!(filled("%(nobody)s").unwrap_err().contains("nobody"));
        for wrong in ["%", "%x", "%(program_name", "%(program_name)999999999d", "50% of"] {
            assert!(filled(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_truths_and_signals() {
        assert_eq!((bytes("50MB"), bytes("1 kb"), bytes("0"), bytes("x")), (Some(50 << 20), Some(1024), Some(0), None));
        assert_eq!((truth("Yes"), truth("0"), truth("maybe")), (Some(true), Some(false), None));
        assert_eq!((signal("sigint"), signal("9"), signal("TERM")), ("INT".into(), "KILL".into(), "TERM".into()));
    }
}
