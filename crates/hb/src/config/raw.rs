//! What was typed: YAML as a tree in which every value knows its place. Nothing is judged here but the YAML itself.
//!
//! A typed deserializer stops at the first fault; all faults at once need the whole tree first. Scalars are kept as text,
//! so that a check can say what was typed and a name like `007` stays a name.

use std::collections::BTreeMap;

use granit_parser::{Event, Options, Parser, ScalarStyle, ScanError, Span};

use super::fault::{Fault, Findings, Place, SourceFile};

/// Largest file that is read, in bytes.
pub const FILE_BYTES_MAX: usize = 8 << 20;
/// Most values of a file, aliases written out.
const NODES_MAX: usize = 500_000;
/// Deepest nesting.
const DEPTH_MAX: usize = 32;
/// Most bytes that are not UTF-8 (or control characters) told one by one.
const BYTES_TOLD_MAX: usize = 20;

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it begins.
    pub place: Place,
    /// What it is.
    pub value: Value,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Text as typed, quotes and escapes resolved.
    Scalar {
        /// The text.
        text: String,
        /// Whether it was quoted (or a block): then it is text and nothing else.
        written: Written,
    },
    /// A list.
    List(Vec<Node>),
    /// Keys and values in the order of the file.
    Map(Vec<Entry>),
}

/// How a scalar was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// Without quotes: may be a number, a flag, null.
    Plain,
    /// In quotes or as a block: text.
    Quoted,
}

/// One key of a map with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub place: Place,
    /// Its value.
    pub value: Node,
}

impl Node {
    /// Its entries, when it is a map.
    #[must_use]
    pub fn entries(&self) -> Option<&[Entry]> {
        match &self.value {
            Value::Map(entries) => Some(entries),
            Value::Scalar { .. } | Value::List(_) => None,
        }
    }

    /// The value behind a key, when it is a map that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries()?.iter().find(|entry| entry.key == key)
    }

    /// Whether it is `null`, `~` or nothing at all.
    #[must_use]
    pub fn null(&self) -> Option<Null> {
        let Value::Scalar { text, written: Written::Plain } = &self.value else { return None };
        match text.as_str() {
            "" => Some(Null::Nothing),
            "~" | "null" | "Null" | "NULL" => Some(Null::Said),
            _ => None,
        }
    }

    /// What it is, for messages: "a list", "the text `x`".
    #[must_use]
    pub fn describe(&self) -> String {
        match (&self.value, self.null()) {
            (_, Some(Null::Nothing)) => "nothing".into(),
            (Value::Scalar { text, written: Written::Plain }, _) => format!("`{}`", cut(text)),
            (Value::Scalar { text, written: Written::Quoted }, _) => format!("the text \"{}\"", cut(text)),
            (Value::List(_), _) => "a list".into(),
            (Value::Map(_), _) => "a mapping".into(),
        }
    }
}

/// How a value was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Null {
    /// `null` or `~`.
    Said,
    /// Nothing after the colon.
    Nothing,
}

/// At most 60 characters of a text, control characters escaped.
#[must_use]
pub fn cut(text: &str) -> String {
    let short: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    if text.chars().count() > 60 { format!("{short}…") } else { short }
}

/// Reads a file's bytes into a tree. Faults of form go into `findings`; without a tree nothing else can be said.
pub fn parse(name: &str, bytes: &[u8], findings: &mut Findings) -> Option<(SourceFile, Node)> {
    if bytes.len() > FILE_BYTES_MAX {
        let what = format!("the file has {} bytes, more than the {FILE_BYTES_MAX} that are read", bytes.len());
        findings.fault(Fault::of_file(name, &what, "is it the right file?"));
        return None;
    }
    let text = String::from_utf8_lossy(bytes);
    let file = SourceFile::new(name, &text);
    if !bytes_are_text(bytes, &file, findings) {
        return None;
    }
    let before = findings.faults.len();
    let root = match Builder::new(&file, findings).build(&text) {
        Ok(root) => root,
        Err(error) => {
            findings.fault(syntax_fault(&file, &error));
            tabs(&file, &text, findings);
            return None;
        }
    };
    let Some(root) = root else {
        if findings.faults.len() == before {
            let help = "write at least `source:` and `path:`; `hb config reference` lists every key";
            findings.fault(Fault::of_file(name, "the file is empty", help));
        }
        return None;
    };
    Some((file, root))
}

/// Names every byte that is not text. Such a file is not read further.
fn bytes_are_text(bytes: &[u8], file: &SourceFile, findings: &mut Findings) -> bool {
    let mut sound = true;
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate().take(1_000_000) {
        for (column, what) in odd_bytes(line) {
            sound = false;
            let place = Place { line: index.saturating_add(1), column, width: 1 };
            let help = "the file must be UTF-8 text; nothing of it is used until it is";
            if findings.faults.len() < BYTES_TOLD_MAX {
                findings.fault(at(file, place, "", &what, help));
            }
        }
    }
    sound
}

fn odd_bytes(line: &[u8]) -> Vec<(usize, String)> {
    let mut odd = Vec::new();
    let mut column = 1_usize;
    for chunk in line.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() && c != '\t' && c != '\r' {
                odd.push((column, format!("control character U+{:04X}", u32::from(c))));
            }
            column = column.saturating_add(1);
        }
        if let Some(byte) = chunk.invalid().first() {
            odd.push((column, format!("byte 0x{byte:02x} is not UTF-8")));
            column = column.saturating_add(1);
        }
    }
    odd
}

fn syntax_fault(file: &SourceFile, error: &ScanError) -> Fault {
    let marker = error.marker();
    let place = Place { line: marker.line(), column: marker.col().saturating_add(1), width: 1 };
    at(file, place, "", &format!("not YAML: {}", error.info()), "")
}

/// Names the lines that a tab makes unreadable.
fn tabs(file: &SourceFile, text: &str, findings: &mut Findings) {
    for (index, line) in text.lines().enumerate() {
        let indent: &str = line.split(|c: char| c != ' ' && c != '\t').next().unwrap_or_default();
        if let Some(column) = indent.find('\t') {
            let place = Place { line: index.saturating_add(1), column: column.saturating_add(1), width: 1 };
            findings.fault(at(file, place, "", "a tab in the indentation", "YAML allows spaces only: replace the tab"));
        }
    }
}

/// A fault at a place.
#[must_use]
pub fn at(file: &SourceFile, place: Place, key: &str, what: &str, help: &str) -> Fault {
    Fault {
        file: file.name.clone(),
        place: Some(place),
        key: key.to_owned(),
        what: what.to_owned(),
        help: help.to_owned(),
        quote: file.line(place.line).to_owned(),
    }
}

/// Whether an event stands for nothing that was typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Empty {
    Yes,
    No,
}

/// A collection that is not closed yet.
struct Open {
    anchor: usize,
    node: Node,
    key: Option<(String, Place)>,
    /// Lines of the keys met, so that a second one is found without looking through all.
    lines: BTreeMap<String, usize>,
}

struct Builder<'a> {
    file: &'a SourceFile,
    findings: &'a mut Findings,
    open: Vec<Open>,
    anchors: BTreeMap<usize, (Node, usize)>,
    nodes: usize,
    root: Option<Node>,
}

impl<'a> Builder<'a> {
    fn new(file: &'a SourceFile, findings: &'a mut Findings) -> Self {
        Self { file, findings, open: Vec::new(), anchors: BTreeMap::new(), nodes: 0, root: None }
    }

    fn build(mut self, text: &str) -> Result<Option<Node>, ScanError> {
        let mut options = Options::default();
        options.flow_nesting_limit = DEPTH_MAX;
        options.block_nesting_limit = DEPTH_MAX;
        options.set_emit_comments(false);
        let mut documents = 0_usize;
        for next in Parser::new_from_str_with_options(text, options) {
            let (event, span) = next?;
            if matches!(event, Event::DocumentStart(..)) {
                documents = documents.saturating_add(1);
                if documents == 2 {
                    self.fault(place(&span), "a second YAML document in one file", "keep one document per file");
                }
            }
            if documents <= 1 {
                let empty = if span.is_empty() { Empty::Yes } else { Empty::No };
                self.event(&event, place(&span), empty);
            }
            if self.nodes > NODES_MAX {
                self.fault(place(&span), "more values than are read from one file", "is it the right file?");
                return Ok(None);
            }
        }
        Ok(self.root)
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the parser's events are not ours, and may grow")]
    fn event(&mut self, event: &Event<'_>, place: Place, empty: Empty) {
        if let Some(tag) = event.tag() {
            let what = format!("the tag `{}` is not read", cut(&tag.original()));
            self.fault(place, &what, "write the value without a tag; quote it where it is text");
        }
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let written = if *style == ScalarStyle::Plain { Written::Plain } else { Written::Quoted };
                // The parser says `~` where nothing stands.
                let nothing = *style == ScalarStyle::Plain && empty == Empty::Yes;
                let text = if nothing { String::new() } else { text.clone().into_owned() };
                let node = Node { place, value: Value::Scalar { text, written } };
                let size = size(&node);
                self.put(*anchor, node, size);
            }
            Event::SequenceStart(_, anchor, _) => self.push(*anchor, place, Value::List(Vec::new())),
            Event::MappingStart(_, anchor, _) => self.push(*anchor, place, Value::Map(Vec::new())),
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.open.pop() {
                    let size = size(&open.node);
                    self.put(open.anchor, open.node, size);
                }
            }
            Event::Alias(id) => match self.anchors.get(id).cloned() {
                Some((node, size)) => {
                    self.nodes = self.nodes.saturating_add(size);
                    self.put(0, Node { place, ..node }, size);
                }
                None => self.fault(place, "an alias of a value that holds it", "write the value out"),
            },
            _ => {}
        }
    }

    fn push(&mut self, anchor: usize, place: Place, value: Value) {
        self.nodes = self.nodes.saturating_add(1);
        self.open.push(Open { anchor, node: Node { place, value }, key: None, lines: BTreeMap::new() });
    }

    fn put(&mut self, anchor: usize, node: Node, size: usize) {
        self.nodes = self.nodes.saturating_add(1);
        if anchor != 0 && self.nodes <= NODES_MAX {
            self.anchors.insert(anchor, (node.clone(), size));
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return;
        };
        match (&mut open.node.value, open.key.take()) {
            (Value::List(list), _) => list.push(node),
            (Value::Map(entries), Some((key, place))) => {
                let first = open.lines.get(&key).copied();
                open.lines.entry(key.clone()).or_insert(place.line);
                entries.push(Entry { key: key.clone(), place, value: node });
                if let Some(line) = first {
                    let what = format!("the key `{}` stands here a second time", cut(&key));
                    self.fault(place, &what, &format!("it was first given in line {line}: keep one of the two"));
                }
            }
            (Value::Map(_), None) => match node.value {
                Value::Scalar { text, .. } => open.key = Some((text, node.place)),
                Value::List(_) | Value::Map(_) => {
                    open.key = Some((String::new(), node.place));
                    self.fault(node.place, "a key that is no text", "keys are single words");
                }
            },
            (Value::Scalar { .. }, _) => {}
        }
    }

    fn fault(&mut self, place: Place, what: &str, help: &str) {
        self.findings.fault(at(self.file, place, "", what, help));
    }
}

fn size(node: &Node) -> usize {
    match &node.value {
        Value::Scalar { text, .. } => room(text),
        Value::List(list) => list.iter().map(size).fold(1, usize::saturating_add),
        Value::Map(entries) => {
            let sizes = entries.iter().map(|entry| room(&entry.key).saturating_add(size(&entry.value)));
            sizes.fold(1, usize::saturating_add)
        }
    }
}

/// As how many values a text counts where an alias writes it out again: a long one takes more room than a short one.
fn room(text: &str) -> usize {
    1_usize.saturating_add(text.len() / 64)
}

fn place(span: &Span) -> Place {
    let (line, column) = (span.start.line(), span.start.col().saturating_add(1));
    let same_line = span.end.line() == line;
    let width = if same_line { span.end.col().saturating_sub(span.start.col()).max(1) } else { 1 };
    Place { line, column, width }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> (Option<Node>, Vec<String>) {
        let mut findings = Findings::default();
        let node = parse("t.yaml", text.as_bytes(), &mut findings).map(|(_, node)| node);
        let told = findings.faults.iter().map(|fault| {
            let place = fault.place.unwrap_or_default();
            format!("{}:{}: {}", place.line, place.column, fault.what)
        });
        (node, told.collect())
    }

    #[test]
    fn every_value_knows_its_place() {
        let (root, told) = tree("a: 1\nb:\n  - x\n  - \"007\"\n");
        assert!(told.is_empty());
        let root = root.unwrap();
        let b = root.get("b").unwrap();
        assert_eq!((b.place.line, b.place.column), (2, 1));
        let Value::List(list) = &b.value.value else { panic!("a list") };
        assert_eq!((list[1].place.line, list[1].place.column, list[1].place.width), (4, 5, 5));
        assert_eq!(list[1].describe(), "the text \"007\"");
    }

    #[test]
    fn duplicate_keys_tabs_bytes_and_documents_are_named() {
        assert_eq!(tree("a: 1\nb: 2\na: 3\n").1, ["3:1: the key `a` stands here a second time"]);
        assert!(tree("a:\n\tb: 1\n").1.iter().any(|line| line == "2:1: a tab in the indentation"));
        assert_eq!(tree("---\na: 1\n---\nb: 1\n").1, ["3:1: a second YAML document in one file"]);
        assert!(tree("").1[0].contains("empty") && tree("# only words\n").1[0].contains("empty"));
        let mut findings = Findings::default();
        assert!(parse("t", b"ok: 1\npath: a\xffb\0\n", &mut findings).is_none());
        let told: Vec<_> = findings.faults.iter().map(|fault| fault.what.as_str()).collect();
        assert_eq!(told, ["byte 0xff is not UTF-8", "control character U+0000"]);
        assert_eq!(findings.faults[0].place.map(|place| (place.line, place.column)), Some((2, 8)));
    }

    #[test]
    fn b1_aliases_cannot_blow_a_file_up() {
        assert_eq!(tree("a: &x [1, 2]\nb: *x\n").0.unwrap().get("b").unwrap().value.describe(), "a list");
        let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for level in 1..12 {
            let before = level - 1;
            let list = vec![format!("*a{before}"); 10].join(",");
            bomb.push_str(&format!("a{level}: &a{level} [{list}]\n"));
        }
        let (root, told) = tree(&bomb);
        assert!(root.is_none() && told[0].contains("more values than are read"), "{told:?}");
        // A long text takes its room with every alias.
        let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), vec!["*a"; 10_000].join(","));
        let (root, told) = tree(&long);
        assert!(root.is_none() && told[0].contains("more values than are read"), "{told:?}");
        assert!(!tree(&"[".repeat(10_000)).1.is_empty());
        assert!(!tree("a: &x [*x]\n").1.is_empty());
    }

    #[test]
    fn garbage_of_any_kind_is_a_fault_and_never_a_panic() {
        for text in [
            "{",
            "a: [1",
            "- a\nb: 1",
            "a: 'x",
            "? [a]\n: b",
            "a: !!python/object x",
            "%YAML 9",
            "a: *nope",
            "\u{feff}a: 1\u{feff}: x",
        ] {
            let (_, told) = tree(text);
            assert!(!told.is_empty(), "{text:?}");
        }
    }
}
