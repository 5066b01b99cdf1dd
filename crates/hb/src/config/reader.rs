//! Takes values out of the tree by the table of keys: checks what is there, says what is wrong, gives the default else.

use std::path::PathBuf;

use super::fault::{Fault, Findings, SourceFile, nearest};
use super::keys::{self, KEYS, Key, Scope, Takes};
use super::raw::{Entry, Node, Null, Value, Written, at, cut};

/// Reads one watch, or the top of the file.
pub struct Reader<'a> {
    /// The file, for quoting.
    pub file: &'a SourceFile,
    /// The mapping that is read.
    pub own: &'a Node,
    /// The mapping that gives what `own` does not have.
    pub shared: Option<&'a Node>,
    /// What stands before a key's path in messages: `watches.bench.`.
    pub prefix: String,
    /// Where faults go.
    pub findings: &'a mut Findings,
}

/// The key's row of the table.
///
/// # Panics
/// For a path that is not in the table; the tests read every key.
fn row(path: &str) -> &'static Key {
    keys::find(path).expect("every key that is read stands in the table")
}

impl<'a> Reader<'a> {
    /// What stands behind a key, here or in the shared part.
    pub fn entry(&mut self, path: &str) -> Option<&'a Entry> {
        let inherits = row(path).scope != Scope::Own;
        let entry = below(self.own, path).or_else(|| below(self.shared.filter(|_| inherits)?, path))?;
        match entry.value.null() {
            None => Some(entry),
            Some(Null::Said) => None,
            Some(Null::Nothing) => {
                self.wrong(path, entry, &format!("`{path}` has no value"));
                None
            }
        }
    }

    /// Says that a value is not what its key takes.
    fn wrong(&mut self, path: &str, entry: &Entry, what: &str) {
        let key = row(path);
        let default = if key.default.is_empty() { String::new() } else { format!("; the default is {}", key.default) };
        let help = format!("`{path}` takes {}{default}", keys::expected(key.takes));
        self.fault(entry, path, what, &help);
    }

    /// A fault at an entry's value.
    pub fn fault(&mut self, entry: &Entry, path: &str, what: &str, help: &str) {
        let place = if entry.value.null() == Some(Null::Nothing) { entry.place } else { entry.value.place };
        let key = format!("{}{path}", self.prefix);
        self.findings.fault(at(self.file, place, &key, what, help));
    }

    /// A fault about a key that is missing: told where the mapping begins.
    pub fn missing(&mut self, path: &str, what: &str, help: &str) {
        let key = format!("{}{path}", self.prefix);
        self.findings.fault(at(self.file, self.own.place, &key, what, help));
    }

    /// A text; the default, or none.
    pub fn text(&mut self, path: &str) -> Option<String> {
        let default = || Some(row(path).default.to_owned()).filter(|text| !text.is_empty());
        let Some(entry) = self.entry(path) else { return default() };
        let Value::Scalar { text, .. } = &entry.value.value else {
            self.wrong(path, entry, &format!("`{path}` is {}", entry.value.describe()));
            return default();
        };
        if text.is_empty() && default().is_some() {
            self.wrong(path, entry, &format!("`{path}` is empty"));
        }
        if text.is_empty() { default() } else { Some(text.clone()) }
    }

    /// A name.
    pub fn name(&mut self, path: &str) -> Option<String> {
        let Some(entry) = self.entry(path) else { return self.text(path) };
        let text = scalar(&entry.value).unwrap_or_default();
        if is_name(text) {
            return Some(text.to_owned());
        }
        self.wrong(path, entry, &format!("{} is no name", entry.value.describe()));
        None
    }

    /// A path.
    pub fn path(&mut self, path: &str) -> Option<PathBuf> {
        self.text(path).map(PathBuf::from)
    }

    /// A flag.
    pub fn flag(&mut self, path: &str) -> bool {
        let default = row(path).default == "true";
        let Some(entry) = self.entry(path) else { return default };
        match plain(&entry.value) {
            Some("true" | "True" | "TRUE" | "yes" | "Yes" | "on" | "On") => true,
            Some("false" | "False" | "FALSE" | "no" | "No" | "off" | "Off") => false,
            Some(_) | None => {
                self.wrong(path, entry, &format!("{} is neither true nor false", entry.value.describe()));
                default
            }
        }
    }

    /// A number in the key's range; none where it is not given and has no default.
    pub fn number(&mut self, path: &str) -> Option<f64> {
        let default = row(path).default.parse().ok();
        let Some(entry) = self.entry(path) else { return default };
        let Some(number) = plain(&entry.value).and_then(finite) else {
            self.wrong(path, entry, &format!("{} is not a finite number", entry.value.describe()));
            return default;
        };
        if let Takes::Number { min, max } = row(path).takes
            && !(min..=max).contains(&number)
        {
            self.wrong(path, entry, &format!("{number} is out of range"));
            return default;
        }
        Some(number)
    }

    /// A number of seconds, as nanoseconds.
    pub fn nanoseconds(&mut self, path: &str) -> Option<i64> {
        self.number(path).map(nanoseconds)
    }

    /// A whole number in the key's range; the default where it is not given.
    pub fn whole(&mut self, path: &str) -> u64 {
        let default = row(path).default.parse().unwrap_or(0);
        let Some(entry) = self.entry(path) else { return default };
        let Some(number) = plain(&entry.value).and_then(|text| text.parse::<u64>().ok()) else {
            self.wrong(path, entry, &format!("{} is not a whole number", entry.value.describe()));
            return default;
        };
        if let Takes::Whole { min, max } = row(path).takes
            && !(min..=max).contains(&number)
        {
            self.wrong(path, entry, &format!("{number} is out of range"));
            return default;
        }
        number
    }

    /// A whole number for the places that count in memory.
    pub fn count(&mut self, path: &str) -> usize {
        usize::try_from(self.whole(path)).unwrap_or(usize::MAX)
    }

    /// A whole number below 2^32.
    pub fn whole32(&mut self, path: &str) -> u32 {
        u32::try_from(self.whole(path)).unwrap_or(u32::MAX)
    }

    /// One of the key's words.
    pub fn choice(&mut self, path: &str) -> &'static str {
        let Takes::Choice(words) = row(path).takes else { return "" };
        let default = row(path).default;
        let Some(entry) = self.entry(path) else { return default };
        let typed = scalar(&entry.value).unwrap_or_default();
        if let Some(word) = words.iter().find(|word| **word == typed) {
            return word;
        }
        self.no_such_word(path, entry, typed, words);
        default
    }

    /// Some of the key's words.
    pub fn choices(&mut self, path: &str) -> Vec<&'static str> {
        let Takes::Choices(words) = row(path).takes else { return Vec::new() };
        let Some(entry) = self.entry(path) else { return vec![row(path).default] };
        let items = match &entry.value.value {
            Value::List(items) => items.as_slice(),
            Value::Scalar { .. } => std::slice::from_ref(&entry.value),
            Value::Map(_) => {
                self.wrong(path, entry, &format!("`{path}` is a mapping"));
                return Vec::new();
            }
        };
        let mut chosen = Vec::new();
        for item in items {
            let typed = scalar(item).unwrap_or_default();
            match words.iter().find(|word| **word == typed) {
                Some(word) if chosen.contains(word) => {
                    self.item_fault(item, path, &format!("`{word}` stands here twice"), "keep one of the two");
                }
                Some(word) => chosen.push(*word),
                None => {
                    let what = format!("{} is none of {}", item.describe(), words.join(", "));
                    let help = nearest(typed, words.iter().copied());
                    let help = help.map(|word| format!("did you mean `{word}`?")).unwrap_or_default();
                    self.item_fault(item, path, &what, &help);
                }
            }
        }
        chosen
    }

    fn item_fault(&mut self, item: &Node, path: &str, what: &str, help: &str) {
        let key = format!("{}{path}", self.prefix);
        self.findings.fault(at(self.file, item.place, &key, what, help));
    }

    fn no_such_word(&mut self, path: &str, entry: &Entry, typed: &str, words: &[&str]) {
        let what = format!("{} is none of {}", entry.value.describe(), words.join(", "));
        let help = nearest(typed, words.iter().copied()).map(|word| format!("did you mean `{word}`?"));
        self.fault(entry, path, &what, &help.unwrap_or_default());
    }

    /// Program and arguments.
    pub fn argv(&mut self, path: &str) -> Option<Vec<String>> {
        let entry = self.entry(path)?;
        let argv: Option<Vec<String>> = match &entry.value.value {
            Value::Scalar { text, .. } => Some(vec!["sh".into(), "-c".into(), text.clone()]),
            Value::List(items) => items.iter().map(|item| scalar(item).map(str::to_owned)).collect(),
            Value::Map(_) => None,
        };
        match argv {
            Some(argv) if argv.iter().any(|word| !word.trim().is_empty()) => Some(argv),
            Some(_) | None => {
                self.wrong(path, entry, &format!("{} is no command", entry.value.describe()));
                None
            }
        }
    }
}

/// The entry behind a path of one or two steps.
fn below<'n>(node: &'n Node, path: &str) -> Option<&'n Entry> {
    match path.split_once('.') {
        Some((group, leaf)) => node.get(group)?.value.get(leaf),
        None => node.get(path),
    }
}

/// The text of a scalar, quoted or not.
#[must_use]
pub fn scalar(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Scalar { text, .. } => Some(text),
        Value::List(_) | Value::Map(_) => None,
    }
}

/// The text of a scalar without quotes.
#[must_use]
pub fn plain(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Scalar { text, written: Written::Plain } => Some(text),
        Value::Scalar { .. } | Value::List(_) | Value::Map(_) => None,
    }
}

/// A finite decimal number.
#[must_use]
pub fn finite(text: &str) -> Option<f64> {
    let decimal = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    text.parse::<f64>().ok().filter(|number| decimal && number.is_finite())
}

/// Seconds as nanoseconds, rounded; held at the largest.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "casts from float to integer saturate")]
pub fn nanoseconds(seconds: f64) -> i64 {
    (seconds * 1e9).round() as i64
}

/// Whether a text can name a watch, a node or a tag: it becomes part of file names.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let begins = text.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    begins && text.len() <= 64 && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

/// Which keys a mapping may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The top of a file without `watches`.
    Flat,
    /// The top of a file with `watches`.
    Top,
    /// One of `watches`.
    Watch,
}

impl Level {
    fn allows(self, scope: Scope) -> bool {
        match (self, scope) {
            (_, Scope::Watch | Scope::Legacy) | (Self::Flat | Self::Top, Scope::Node) => true,
            (Self::Flat | Self::Watch, Scope::Own) => true,
            (Self::Watch, Scope::Node) | (Self::Top, Scope::Own) => false,
        }
    }
}

/// Names every key that is unknown, misplaced, or of the original and done differently here.
pub fn keys_known(file: &SourceFile, node: &Node, level: Level, prefix: &str, findings: &mut Findings) {
    for entry in node.entries().unwrap_or_default() {
        if !keys::is_group(&entry.key) {
            key_known(file, entry, (&entry.key, level, prefix), findings);
            continue;
        }
        let Some(leaves) = entry.value.entries() else {
            if entry.value.null() != Some(Null::Said) {
                let leaves = leaves_of(&entry.key).join(", ");
                let what = format!("`{}` is {}", entry.key, entry.value.describe());
                let help = format!("it takes a mapping of {leaves}");
                findings.fault(at(file, entry.value.place, &format!("{prefix}{}", entry.key), &what, &help));
            }
            continue;
        };
        for leaf in leaves {
            key_known(file, leaf, (&format!("{}.{}", entry.key, leaf.key), level, prefix), findings);
        }
    }
}

fn leaves_of(group: &str) -> Vec<&'static str> {
    KEYS.iter().filter_map(|key| key.path.strip_prefix(group)?.strip_prefix('.')).collect()
}

fn key_known(file: &SourceFile, entry: &Entry, (path, level, prefix): (&str, Level, &str), findings: &mut Findings) {
    let told = |what: &str, help: &str| at(file, entry.place, &format!("{prefix}{path}"), what, help);
    match keys::find(path) {
        Some(key) if !level.allows(key.scope) => {
            let (what, help) = match key.scope {
                Scope::Own => (format!("`{path}` belongs to one watch"), "move it into one of the `watches`"),
                Scope::Node | Scope::Watch | Scope::Legacy => {
                    (format!("`{path}` is about the node"), "move it to the top of the file")
                }
            };
            findings.fault(told(&what, help));
        }
        Some(key) if key.scope == Scope::Legacy && !key.meaning.starts_with("see ") => {
            findings.notice(told(&format!("`{path}` is done differently here: {}", key.meaning), ""));
        }
        Some(_) => {}
        None => findings.fault(told(&format!("unknown key `{}`", cut(path)), &advice(path, level))),
    }
}

fn advice(path: &str, level: Level) -> String {
    let (group, leaf) = path.split_once('.').map_or(("", path), |(group, leaf)| (group, leaf));
    let allowed = || KEYS.iter().filter(|key| level.allows(key.scope) && key.scope != Scope::Legacy);
    if !group.is_empty()
        && let Some(word) = nearest(leaf, leaves_of(group))
    {
        return format!("did you mean `{word}`?");
    }
    let tops = allowed().map(|key| key.path.split('.').next().unwrap_or(key.path));
    if let Some(word) = nearest(leaf, tops) {
        return format!("did you mean `{word}`?");
    }
    let leaves = allowed().filter_map(|key| key.path.split_once('.').map(|(_, leaf)| leaf));
    match nearest(leaf, leaves).and_then(|leaf| KEYS.iter().find(|key| key.path.ends_with(&format!(".{leaf}")))) {
        Some(key) => format!("did you mean `{}`?", key.path.replacen('.', ": ", 1)),
        None => "`hb config reference` lists every key".into(),
    }
}

/// A fault about an environment variable.
#[must_use]
pub fn environment_fault(variable: &str, what: &str, help: &str) -> Fault {
    Fault::of_file(&format!("environment variable {variable}"), what, help)
}
