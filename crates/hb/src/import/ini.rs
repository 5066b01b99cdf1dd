//! The form of a `supervisord.conf`: sections, keys, values that go on in indented lines, comments.

/// Most bytes of a file (B1).
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// A section with its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// What stands in the brackets.
    pub name: String,
    /// Line, from 1.
    pub line: usize,
    /// Keys in the order of the file.
    pub entries: Vec<Entry>,
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// In small letters.
    pub key: String,
    /// Without comments; further lines after a line end.
    pub value: String,
    /// Line, from 1.
    pub line: usize,
}

impl Section {
    /// The newest value of a key: of several, the last counts.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().rev().find(|entry| entry.key == key)
    }
}

/// Takes a file apart.
///
/// # Errors
/// Every line that is none of section, key and comment, with its number.
pub fn read(text: &str) -> Result<Vec<Section>, Vec<(usize, String)>> {
    let (mut sections, mut faults): (Vec<Section>, _) = (Vec::new(), Vec::new());
    for (index, line) in text.lines().enumerate() {
        let number = index.saturating_add(1);
        if let Some(what) = unfit(line) {
            faults.push((number, what));
            continue;
        }
        let bare = without_comment(line);
        if bare.trim().is_empty() {
            continue;
        }
        let open = sections.last_mut().and_then(|section| section.entries.last_mut());
        if let Some(entry) = open.filter(|_| bare.starts_with([' ', '\t'])) {
            entry.value.push('\n');
            entry.value.push_str(bare.trim());
        } else if let Some(rest) = bare.trim().strip_prefix('[') {
            match rest.split_once(']') {
                Some((name, _)) => {
                    sections.push(Section { name: name.trim().to_owned(), line: number, entries: Vec::new() });
                }
                None => faults.push((number, "the section is not closed: `]` is missing".to_owned())),
            }
        } else if let Some((key, value)) = bare.split_once(['=', ':']) {
            let entry = Entry { key: key.trim().to_lowercase(), value: value.trim().to_owned(), line: number };
            match sections.last_mut() {
                Some(section) => section.entries.push(entry),
                None => faults.push((number, format!("`{}` stands before the first section", entry.key))),
            }
        } else {
            faults.push((number, format!("`{}` is no `key = value`", shortened(bare.trim()))));
        }
    }
    if faults.is_empty() { Ok(sections) } else { Err(faults) }
}

/// What no argument of a program, and no path, can have in it.
pub(super) fn unfit(line: &str) -> Option<String> {
    line.contains('\0').then(|| "there is a NUL byte in it".to_owned())
}

/// A line without its comment: from its beginning, or from `;` or `#` behind a space.
fn without_comment(line: &str) -> &str {
    let trimmed = line.trim_start();
    if trimmed.starts_with([';', '#']) {
        return "";
    }
    let mut before = 'x';
    for (at, c) in line.char_indices() {
        if matches!(c, ';' | '#') && before.is_whitespace() {
            return line.get(..at).unwrap_or_default().trim_end();
        }
        before = c;
    }
    line.trim_end()
}

/// At most sixty characters, for messages.
pub(super) fn shortened(text: &str) -> String {
    let short: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    if text.chars().count() > 60 { format!("{short}…") } else { short }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_keys_further_lines_and_comments() {
        let text = "; head\n[program:a]\ncommand = run --x=1 ; why\nENVIRONMENT=A=\"1\",\n  B=\"2;3\"\n\n# c\nuser: me\nuser=you\n[x]\n";
        let sections = read(text).unwrap();
        let names: Vec<&str> = sections.iter().map(|section| section.name.as_str()).collect();
        assert_eq!(names, ["program:a", "x"]);
        let value = |key: &str| sections[0].get(key).map(|entry| (entry.value.as_str(), entry.line));
        assert_eq!(value("command"), Some(("run --x=1", 3)));
        assert_eq!(value("environment"), Some(("A=\"1\",\nB=\"2;3\"", 4)));
        assert_eq!(value("user"), Some(("you", 9)), "the last counts");
        assert_eq!(value("absent"), None);
    }

    #[test]
    fn every_line_that_is_none_of_them_is_told() {
        let faults = read("a = 1\n[open\n[s]\nnonsense\n").unwrap_err();
        let lines: Vec<usize> = faults.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [1, 2, 4]);
    }
}
