//! How commands reach the supervisor of a configuration: the node that serves its API, or where none does, what `supervisor.db` says.
//!
//! Reading works either way, by the same questions and with the same documents: without a node they are put to the API over the database
//! within this process. Changing needs the active node.

mod stored;

pub use stored::recorded;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::ask::{self, Call, Lines, Place};
use crate::cli::{ConfigArgs, Failure};
use crate::config::Config;
use crate::exit::Exit;
use crate::nodes;
use stored::Stored;

/// How long a node may take to say what it is.
const GLANCE: Duration = Duration::from_secs(2);
/// How long an answer may take: longer than a node takes to say that it does not know.
const PATIENCE: Duration = Duration::from_secs(40);
/// After how long a silent stream counts as broken; a node says every 15 s that it lives.
const SILENCE: Duration = Duration::from_secs(40);
/// Rows that are asked for at once.
const PAGE: usize = 500;
/// Most bytes of a token.
const TOKEN_MAX: u64 = 4096;
/// Where the API stands.
const BASE: &str = "/api/v1";

/// Which supervisor, and who asks.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ReachArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Ask this node, and no other [default: HB_API_URL, else the nodes of the configuration's output_dir]
    #[arg(long, value_name = "URL", help_heading = "Reaching the node")]
    url: Option<String>,
    /// File with the token to show [default: HB_API_TOKEN, else `api.token` of the output_dir]
    #[arg(long, value_name = "FILE", help_heading = "Reaching the node")]
    token_file: Option<PathBuf>,
}

/// A node that serves the API.
#[derive(Debug, Clone)]
pub struct Live {
    place: Place,
    token: Option<String>,
}

/// Whoever can be asked.
pub enum Desk {
    /// A node.
    Live(Live),
    /// The database.
    Stored(Box<Stored>),
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Live(live) => f.debug_tuple("Live").field(&live.place).finish(),
            Self::Stored(_) => f.debug_tuple("Stored").finish_non_exhaustive(),
        }
    }
}

/// What the supervisors of a configuration add up to, from whoever can be asked; without a word about who that is.
///
/// # Errors
/// Nobody can be asked.
pub fn summary(config: &Config) -> Result<Value, Failure> {
    let (desk, _) = ReachArgs::default().either(config)?;
    let mut status = desk.get("/status")?;
    if let (Desk::Stored(_), Some(fields)) = (&desk, status.as_object_mut()) {
        // Nobody is there, not even one that stands by.
        fields.insert("presence".to_owned(), serde_json::json!({"state": "down"}));
    }
    Ok(status)
}

/// Whether something is supervised, or was.
#[must_use]
pub fn is_meant(config: &Config) -> bool {
    config.supervise.is_some() || crate::wire::supervise::db_path(&config.output_dir).is_file()
}

/// A node that answered, and what it said of itself.
struct Found {
    live: Live,
    node: String,
    presence: String,
}

/// What the nodes of an `output_dir` said.
#[derive(Default)]
struct Asked {
    found: Vec<Found>,
    refused: Option<Failure>,
    silent: Vec<String>,
}

impl ReachArgs {
    /// The configuration.
    ///
    /// # Errors
    /// Its faults, told.
    pub fn config(&self) -> Result<Config, Failure> {
        Ok(self.config.load()?.config)
    }

    /// Somebody who can be asked.
    ///
    /// # Errors
    /// Nobody can: no node answers, and there is no database.
    pub fn reading(&self) -> Result<Desk, Failure> {
        if let Some(live) = self.named()? {
            return Ok(Desk::Live(live));
        }
        let (desk, silent) = self.either(&self.config()?)?;
        if matches!(desk, Desk::Stored(_)) {
            let silent = silent.iter().map(|what| format!("    {what}\n")).collect::<String>();
            // Where standard error is closed, the documents say by themselves of when they are.
            let told = format!("hb: no node that supervises answers: this is what supervisor.db says\n{silent}");
            drop(std::io::stderr().lock().write_all(told.as_bytes()));
        }
        Ok(desk)
    }

    /// A node or the database, and why nodes that are known did not answer.
    fn either(&self, config: &Config) -> Result<(Desk, Vec<String>), Failure> {
        let asked = self.ask_nodes(config)?;
        if let Some(best) = asked.found.into_iter().min_by_key(|found| rank(&found.presence)) {
            return Ok((Desk::Live(best.live), asked.silent));
        }
        match asked.refused {
            Some(refused) => Err(refused),
            None => Ok((Desk::Stored(Box::new(Stored::open(config)?)), asked.silent)),
        }
    }

    /// Somebody who can be asked now, looked for without a word: for those who look again and again.
    ///
    /// # Errors
    /// Nobody answers.
    pub fn looking(&self) -> Result<Desk, Failure> {
        self.changing().map(Desk::Live)
    }

    /// The node that changes things.
    ///
    /// # Errors
    /// There is none.
    pub fn changing(&self) -> Result<Live, Failure> {
        if let Some(live) = self.named()? {
            return Ok(live);
        }
        let config = self.config()?;
        let asked = self.ask_nodes(&config)?;
        let standing_by = asked.found.iter().find(|found| found.presence == "standby").map(|found| found.node.clone());
        let best = asked.found.into_iter().filter(|found| found.presence != "standby");
        if let Some(best) = best.min_by_key(|found| rank(&found.presence)) {
            return Ok(best.live);
        }
        if let Some(refused) = asked.refused {
            return Err(refused);
        }
        let what = match standing_by {
            Some(node) => format!("node {node} stands by, and no active node answers: nothing can be changed now"),
            None => "no node that supervises answers: nothing can be changed".to_owned(),
        };
        let what = asked.silent.into_iter().fold(what, |what, silent| format!("{what}\n    {silent}"));
        Err(Failure::new(Exit::Unavailable, what)
            .help("`hb status` shows the nodes; `hb run` or `hb supervisor` starts one"))
    }

    /// The node that was named.
    fn named(&self) -> Result<Option<Live>, Failure> {
        let variable = || std::env::var("HB_API_URL").ok().filter(|url| !url.is_empty());
        let Some(url) = self.url.clone().or_else(variable) else { return Ok(None) };
        let place = Place::of_url(&url).map_err(|what| Failure::new(Exit::Usage, what))?;
        // A token of this machine's own node is shown to nobody else.
        Ok(Some(Live { place, token: self.token(None)? }))
    }

    fn token(&self, output_dir: Option<&Path>) -> Result<Option<String>, Failure> {
        token(self.token_file.as_deref(), output_dir)
    }

    fn ask_nodes(&self, config: &Config) -> Result<Asked, Failure> {
        let token = self.token(Some(&config.output_dir))?;
        let mut asked = Asked::default();
        let roster = match nodes::look(config) {
            Ok(roster) => roster,
            Err(failure) => return Ok(Asked { silent: vec![failure.what], ..asked }),
        };
        for card in roster.alive() {
            let node = card.node.as_str();
            let said = nodes::address(card).map_err(Silent::Down).and_then(|at| ask_node(&at, node, token.clone()));
            match said {
                Ok(Some(found)) => asked.found.push(found),
                Ok(None) => {}
                Err(Silent::Refused(failure)) => asked.refused = Some(failure),
                Err(Silent::Down(why)) => {
                    asked
                        .silent
                        .push(format!("node {node} (pid {} on {}): {why}", card.process.pid, card.process.host));
                }
            }
        }
        Ok(asked)
    }
}

/// The token to show: of that file, else HB_API_TOKEN, else of the node's own file where its `output_dir` is named.
///
/// # Errors
/// The file cannot be read, or there is no token in it that could be shown.
pub fn token(token_file: Option<&Path>, output_dir: Option<&Path>) -> Result<Option<String>, Failure> {
    let read = |path: &Path| {
        use std::io::Read as _;
        let mut text = String::new();
        std::fs::File::open(path)?.take(TOKEN_MAX).read_to_string(&mut text)?;
        Ok::<_, std::io::Error>(text)
    };
    let token = match (token_file, std::env::var("HB_API_TOKEN").ok().filter(|token| !token.is_empty())) {
        (Some(path), _) => {
            let unread = |error| Failure::new(Exit::Usage, format!("--token-file {}: {error}", path.display()));
            Some(read(path).map_err(unread)?)
        }
        (None, Some(token)) => Some(token),
        // One that is not there, or not ours to read, is not shown: whether one is needed, the node says.
        (None, None) => output_dir.and_then(|dir| read(&dir.join(crate::wire::api::TOKEN_FILE)).ok()),
    };
    let Some(token) = token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty()) else {
        return Ok(None);
    };
    if token.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(Failure::new(Exit::Usage, "the token has spaces or line ends in it")
            .help("a token file holds the token and nothing else"));
    }
    Ok(Some(token))
}

/// Why a node did not say what it is.
enum Silent {
    Refused(Failure),
    Down(String),
}

/// Asks a node what it is; none when it does not supervise.
fn ask_node(address: &str, node: &str, token: Option<String>) -> Result<Option<Found>, Silent> {
    let place = Place::of_url(address).map_err(Silent::Down)?;
    let path = format!("{BASE}/status");
    let call = Call { path: &path, token: token.as_deref(), ..Call::default() };
    let answer = ask::call(&place, &call, GLANCE).map_err(Silent::Down)?;
    if answer.status == 404 {
        return Ok(None);
    }
    if matches!(answer.status, 401 | 403) {
        return Err(Silent::Refused(problem(answer.status, &answer.body, &path)));
    }
    let document: Value = serde_json::from_slice(&answer.body).map_err(|error| Silent::Down(error.to_string()))?;
    // Another process may have the port by now.
    if document.get("node").and_then(Value::as_str) != Some(node) {
        return Err(Silent::Down(format!("{address}: somebody else answers there")));
    }
    let presence = document.get("presence").and_then(|presence| presence.get("state")?.as_str());
    let presence = presence.unwrap_or_default().to_owned();
    Ok(Some(Found { live: Live { place, token }, node: node.to_owned(), presence }))
}

fn rank(presence: &str) -> u8 {
    match presence {
        "active" | "paused" | "degraded" => 0,
        "recovering" | "starting" => 1,
        "stopping" => 2,
        _ => 3,
    }
}

/// A part of a path with everything escaped that means something in one.
#[must_use]
pub fn escaped(part: &str) -> String {
    let mut out = String::with_capacity(part.len());
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Values of a query; what is absent is not asked for.
#[derive(Debug, Clone, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// With one more value, where there is one.
    #[must_use]
    pub fn with(mut self, key: &str, value: Option<impl std::fmt::Display>) -> Self {
        self.0.extend(value.map(|value| (key.to_owned(), value.to_string())));
        self
    }

    /// A path with this query.
    #[must_use]
    pub fn at(&self, path: &str) -> String {
        let pairs: Vec<String> = self.0.iter().map(|(key, value)| format!("{key}={}", escaped(value))).collect();
        if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
    }

    fn on(&self, path: &str) -> String {
        format!("{BASE}{}", self.at(path))
    }
}

/// What an answer says, or why there is none.
fn read(status: u16, body: &[u8], path: &str) -> Result<Value, Failure> {
    match status {
        204 => Ok(Value::Null),
        200..=299 => serde_json::from_slice(body)
            .map_err(|error| Failure::new(Exit::Unavailable, format!("{path}: the answer is no JSON: {error}"))),
        _ => Err(problem(status, body, path)),
    }
}

fn problem(status: u16, body: &[u8], path: &str) -> Failure {
    let document: Value = serde_json::from_slice(body).unwrap_or_default();
    let message = document.get("message").and_then(Value::as_str);
    let message = message.map_or_else(|| format!("{path}: the node answers {status}"), str::to_owned);
    let exit = match status {
        400 | 404 | 405 | 413 | 415 => Exit::Usage,
        401 | 403 | 409 | 412 => Exit::Refused,
        429 | 503 => Exit::Unavailable,
        _ => Exit::Error,
    };
    let failure = Failure::new(exit, message);
    match status {
        401 => failure.help("--token-file FILE, or HB_API_TOKEN; a node without a tokens_file keeps its owner's token in output_dir/api.token"),
        405 => failure.help("is the node of the same version as this hb?"),
        _ => failure,
    }
}

impl Live {
    /// Wants something; gives the answer.
    ///
    /// # Errors
    /// It was refused, or there was no answer.
    pub fn send(&self, verb: &str, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let path = format!("{BASE}{path}");
        let bytes = body.map(|body| body.to_string().into_bytes());
        let call = Call { verb, path: &path, token: self.token.as_deref(), body: bytes.as_deref(), last_event: None };
        let answer = ask::call(&self.place, &call, PATIENCE).map_err(|what| {
            let failure = Failure::new(Exit::Unavailable, what);
            if verb == "GET" { failure } else { failure.help("it may have been done: look before you repeat it") }
        })?;
        read(answer.status, &answer.body, &path)
    }

    /// Follows events from the one after `last` on, or from now on.
    ///
    /// # Errors
    /// The outer one: it was refused. The inner one: the node does not answer now.
    pub fn follow(&self, query: &Query, last: Option<u64>) -> Result<Result<Lines, String>, Failure> {
        let path = query.on("/events/stream");
        let call = Call { path: &path, token: self.token.as_deref(), last_event: last, ..Call::default() };
        match ask::follow(&self.place, &call, SILENCE) {
            Ok((200, lines)) => Ok(Ok(lines)),
            Ok((status @ (429 | 503), lines)) => Ok(Err(problem(status, &lines.rest(), &path).what)),
            Ok((status, lines)) => Err(problem(status, &lines.rest(), &path)),
            Err(why) => Ok(Err(why)),
        }
    }
}

impl Desk {
    /// One document.
    ///
    /// # Errors
    /// It is not there, or cannot be had.
    pub fn get(&self, path: &str) -> Result<Value, Failure> {
        self.find(path, &Query::default())
    }

    /// The same with a query.
    ///
    /// # Errors
    /// As above.
    pub fn find(&self, path: &str, query: &Query) -> Result<Value, Failure> {
        self.ask("GET", &query.on(path), None)
    }

    /// A question that carries a document and changes nothing.
    ///
    /// # Errors
    /// As above.
    pub fn suppose(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.ask("POST", &format!("{BASE}{path}"), Some(body))
    }

    fn ask(&self, verb: &str, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        match self {
            Self::Live(live) => live.send(verb, path.strip_prefix(BASE).unwrap_or(path), body),
            Self::Stored(stored) => {
                let (status, answer) = stored.answer(verb, path, body)?;
                read(status, &answer, path)
            }
        }
    }

    /// A list of what there is now, page by page, at most `most` of it; and how many there are in all.
    ///
    /// # Errors
    /// It cannot be had.
    pub fn list(&self, path: &str, query: &Query, most: usize) -> Result<(Vec<Value>, usize), Failure> {
        let (items, total) = self.pages(path, query, "skip", most, &mut |_| true)?;
        Ok((items, total.unwrap_or(0)))
    }

    /// A list of history, page by page, at most `most` of it, for as long as `go_on` likes what comes.
    ///
    /// # Errors
    /// It cannot be had.
    pub fn history(
        &self,
        path: &str,
        query: &Query,
        most: usize,
        go_on: &mut dyn FnMut(&Value) -> bool,
    ) -> Result<Vec<Value>, Failure> {
        Ok(self.pages(path, query, "after", most, go_on)?.0)
    }

    #[expect(clippy::too_many_arguments, reason = "both kinds of lists in one")]
    fn pages(
        &self,
        path: &str,
        query: &Query,
        from: &str,
        most: usize,
        go_on: &mut dyn FnMut(&Value) -> bool,
    ) -> Result<(Vec<Value>, Option<usize>), Failure> {
        let (mut items, mut next, mut total) = (Vec::new(), None::<u64>, None);
        while items.len() < most {
            let limit = most.saturating_sub(items.len()).min(PAGE);
            let part = self.find(path, &query.clone().with("limit", Some(limit)).with(from, next))?;
            total = part.get("total").and_then(Value::as_u64).and_then(|total| usize::try_from(total).ok());
            next = part.get("next").and_then(Value::as_u64);
            let found = part.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
            let whole = found.len();
            items.extend(found.into_iter().take_while(|item| go_on(item)));
            if next.is_none() || whole == 0 || items.last().is_some_and(|item| !go_on(item)) {
                break;
            }
        }
        Ok((items, total))
    }
}
