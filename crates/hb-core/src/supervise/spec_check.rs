//! What is wrong with a specification that can be read: ranges, names, addresses, and what must not stand together.

use super::bounds::DOCUMENT_BYTES_MAX;
use super::desk::names;
use super::spec::{
    AgentSpec, BeatRule, Check, Control, Limits, ProbeSpec, ProcessSpec, ReadyBy, ResourceRule, RestartRule,
};

/// Signals that can be the first one of a stop.
pub const STOP_SIGNALS: [&str; 6] = ["TERM", "INT", "QUIT", "HUP", "USR1", "USR2"];
/// Seconds of any span in a specification: a year.
pub const SPAN_MAX_SEC: f64 = 31_536_000.0;
/// Restarts that a limit can allow: all of them are remembered.
pub const RESTARTS_MAX: u32 = 1_000;
/// Agents that one can depend on.
pub const DEPENDS_MAX: usize = 100;

/// Faults with the paths of the fields at fault.
type Faults = Vec<(String, String)>;

impl AgentSpec {
    /// Everything that is wrong with it: the path of the field (`process.stop.grace_sec`), and what it has to be.
    #[must_use]
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Faults::new();
        name(&mut faults, "id", self.id.as_str());
        let kinds = [self.process.is_some(), self.heartbeat.is_some(), self.probe.is_some()];
        if kinds.into_iter().filter(|there| *there).count() > 1 {
            add(&mut faults, "process", "an agent is one of process, heartbeat and probe, not several");
        }
        if let Some(process) = &self.process {
            of_process(&mut faults, process);
            if matches!(process.ready.by, ReadyBy::Beat) && self.beats.is_none() {
                add(&mut faults, "process.ready.by", "an agent that is up by its first beat needs `beats`");
            }
        }
        if let Some(control) = self.heartbeat.as_ref().and_then(|remote| remote.control.as_ref()) {
            of_control(&mut faults, "heartbeat.control", control);
        }
        if let Some(probe) = &self.probe {
            of_probe(&mut faults, probe);
        }
        of_restart(&mut faults, &self.restart);
        if let Some(beats) = &self.beats {
            of_beats(&mut faults, beats);
        }
        self.of_the_rest(&mut faults);
        faults
    }

    fn of_the_rest(&self, faults: &mut Faults) {
        if self.depends_on.len() > DEPENDS_MAX {
            add(faults, "depends_on", format!("at most {DEPENDS_MAX} agents"));
        }
        for (index, needed) in self.depends_on.iter().enumerate() {
            name(faults, &format!("depends_on[{index}]"), needed.as_str());
            if *needed == self.id {
                add(faults, &format!("depends_on[{index}]"), "an agent cannot depend on itself");
            }
            if self.depends_on.iter().take(index).any(|other| other == needed) {
                add(faults, &format!("depends_on[{index}]"), format!("{needed} stands here twice"));
            }
        }
        if let Some(watch) = &self.watch {
            plain(faults, "watch", watch.as_str());
        }
        if self.capacity == 0 {
            add(faults, "capacity", "at least 1");
        }
        for (path, words) in [("capabilities", &self.capabilities), ("tags", &self.tags)] {
            for (index, word) in words.iter().enumerate() {
                plain(faults, &format!("{path}[{index}]"), word);
            }
        }
        let bytes = serde_json::to_vec(self).map_or(usize::MAX, |bytes| bytes.len());
        if bytes > DOCUMENT_BYTES_MAX {
            add(faults, "metadata", format!("the whole specification has {bytes} bytes; at most {DOCUMENT_BYTES_MAX}"));
        }
    }
}

fn of_process(faults: &mut Faults, process: &ProcessSpec) {
    command(faults, "process.command", &process.command);
    for (key, value) in &process.env {
        if key.is_empty() || key.contains(['=', '\0']) {
            add(faults, "process.env", format!("{key:?} is no name of a variable: not empty, no `=`, no NUL"));
        }
        if value.contains('\0') {
            add(faults, &format!("process.env.{key}"), "no NUL");
        }
    }
    for (path, text) in [("process.cwd", &process.cwd), ("process.user", &process.user)] {
        if let Some(text) = text {
            plain(faults, path, text);
        }
    }
    of_limits(faults, &process.limits);
    if let Some(within) = process.ready.within_sec {
        span(faults, "process.ready.within_sec", within);
    }
    match &process.ready.by {
        ReadyBy::Started | ReadyBy::Notify | ReadyBy::Beat => {}
        ReadyBy::Tcp(at) => address(faults, "process.ready.by.tcp", at),
        ReadyBy::Command(argv) => command(faults, "process.ready.by.command", argv),
    }
    if !STOP_SIGNALS.contains(&process.stop.signal.as_str()) {
        let one_of = STOP_SIGNALS.join(", ");
        add(faults, "process.stop.signal", format!("one of {one_of}; {:?} is none of them", process.stop.signal));
    }
    span_or_zero(faults, "process.stop.grace_sec", process.stop.grace_sec);
    if !(1..=1_000_000).contains(&process.output.max_mb) {
        add(faults, "process.output.max_mb", "1 to 1000000");
    }
    if process.output.keep > 1_000 {
        add(faults, "process.output.keep", "0 to 1000");
    }
    of_resources(faults, &process.resources);
    if let Some(every) = process.watchdog_sec {
        span(faults, "process.watchdog_sec", every);
    }
}

fn of_limits(faults: &mut Faults, limits: &Limits) {
    let Limits { open_files, processes, core_mb: _, address_space_mb, cpu_sec, memory_mb, cpu_percent, tasks } = limits;
    let all = [
        ("open_files", *open_files),
        ("processes", *processes),
        ("address_space_mb", *address_space_mb),
        ("cpu_sec", *cpu_sec),
        ("memory_mb", *memory_mb),
        ("cpu_percent", cpu_percent.map(u64::from)),
        ("tasks", *tasks),
    ];
    for (key, _) in all.into_iter().filter(|(_, limit)| *limit == Some(0)) {
        add(faults, &format!("process.limits.{key}"), "at least 1; leave it out for no limit");
    }
}

fn of_resources(faults: &mut Faults, rule: &ResourceRule) {
    if rule.memory_mb == Some(0) {
        add(faults, "process.resources.memory_mb", "at least 1; leave it out for no limit");
    }
    if let Some(percent) = rule.cpu_percent {
        range(faults, "process.resources.cpu_percent", percent, (0.1, 1_000_000.0));
    }
    if let Some(seconds) = rule.cpu_for_sec {
        span_or_zero(faults, "process.resources.cpu_for_sec", seconds);
    }
    if let Some(percent) = rule.open_files_percent {
        range(faults, "process.resources.open_files_percent", percent, (0.1, 100.0));
    }
}

fn of_probe(faults: &mut Faults, probe: &ProbeSpec) {
    match &probe.check {
        Check::Http(at) => url(faults, "probe.check.http", at),
        Check::Tcp(at) => address(faults, "probe.check.tcp", at),
        Check::Command(argv) => command(faults, "probe.check.command", argv),
    }
    range(faults, "probe.every_sec", probe.every_sec, (0.1, SPAN_MAX_SEC));
    range(faults, "probe.timeout_sec", probe.timeout_sec, (0.001, SPAN_MAX_SEC));
    for (path, count) in [("probe.up_after", probe.up_after), ("probe.down_after", probe.down_after)] {
        if !(1..=1_000).contains(&count) {
            add(faults, path, format!("1 to 1000, not {count}"));
        }
    }
    if let Some(control) = &probe.control {
        of_control(faults, "probe.control", control);
    }
}

fn of_control(faults: &mut Faults, path: &str, control: &Control) {
    let timeout = match control {
        Control::Command { argv, timeout_sec, .. } => {
            command(faults, &format!("{path}.command.argv"), argv);
            ("command", *timeout_sec)
        }
        Control::Webhook { url: at, timeout_sec, .. } => {
            url(faults, &format!("{path}.webhook.url"), at);
            ("webhook", *timeout_sec)
        }
    };
    span(faults, &format!("{path}.{}.timeout_sec", timeout.0), timeout.1);
}

fn of_restart(faults: &mut Faults, rule: &RestartRule) {
    if rule.max_restarts > RESTARTS_MAX {
        add(faults, "restart.max_restarts", format!("0 to {RESTARTS_MAX}, not {}", rule.max_restarts));
    }
    span(faults, "restart.within_sec", rule.within_sec);
    span_or_zero(faults, "restart.backoff_sec", rule.backoff_sec);
    span_or_zero(faults, "restart.backoff_max_sec", rule.backoff_max_sec);
    if rule.backoff_max_sec < rule.backoff_sec {
        add(faults, "restart.backoff_max_sec", format!("at least backoff_sec, which is {}", rule.backoff_sec));
    }
    range(faults, "restart.jitter", rule.jitter, (0.0, 0.5));
    span_or_zero(faults, "restart.reset_after_sec", rule.reset_after_sec);
}

fn of_beats(faults: &mut Faults, rule: &BeatRule) {
    let ttls = [("beats.idle_ttl_sec", rule.idle_ttl_sec), ("beats.running_ttl_sec", rule.running_ttl_sec)];
    for (path, ttl) in ttls {
        if let Some(ttl) = ttl {
            range(faults, path, ttl, (0.1, SPAN_MAX_SEC));
        }
    }
    span(faults, "beats.first_within_sec", rule.first_within_sec);
    if rule.degraded_after == 0 {
        add(faults, "beats.degraded_after", "at least 1");
    }
    if rule.unresponsive_after < rule.degraded_after || rule.unresponsive_after == 0 {
        add(faults, "beats.unresponsive_after", format!("at least degraded_after, which is {}", rule.degraded_after));
    }
}

fn add(faults: &mut Faults, path: &str, what: impl Into<String>) {
    faults.push((path.to_owned(), what.into()));
}

fn name(faults: &mut Faults, path: &str, text: &str) {
    if !names::is_id(text) {
        add(faults, path, format!("{}; {text:?} is not", names::RULE));
    }
}

fn plain(faults: &mut Faults, path: &str, text: &str) {
    if text.is_empty() || text.contains('\0') {
        add(faults, path, "not empty, no NUL");
    }
}

fn command(faults: &mut Faults, path: &str, argv: &[String]) {
    if argv.first().is_none_or(String::is_empty) {
        add(faults, path, "the program and its arguments, at least the program");
    }
    if argv.iter().any(|word| word.contains('\0')) {
        add(faults, path, "no NUL");
    }
}

fn address(faults: &mut Faults, path: &str, at: &str) {
    let sound = at.rsplit_once(':').is_some_and(|(host, port)| {
        let bracketed = host.starts_with('[') && host.ends_with(']') && host.len() > 2;
        let bare = !host.is_empty() && !host.contains([':', '[', ']', '/', ' ', '\0']);
        (bracketed || bare) && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if !sound {
        add(faults, path, format!("HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080; {at:?} is not"));
    }
}

fn url(faults: &mut Faults, path: &str, at: &str) {
    let rest = at.strip_prefix("http://").or_else(|| at.strip_prefix("https://"));
    let host = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    if host.is_none_or(str::is_empty) || at.contains(|one: char| one.is_whitespace() || one.is_control()) {
        add(faults, path, format!("a URL with http:// or https:// and a host; {at:?} is not"));
    }
}

fn span(faults: &mut Faults, path: &str, seconds: f64) {
    range(faults, path, seconds, (0.001, SPAN_MAX_SEC));
}

fn span_or_zero(faults: &mut Faults, path: &str, seconds: f64) {
    range(faults, path, seconds, (0.0, SPAN_MAX_SEC));
}

/// NaN and infinities are in no range.
fn range(faults: &mut Faults, path: &str, value: f64, (least, most): (f64, f64)) {
    if !(least..=most).contains(&value) {
        add(faults, path, format!("{least} to {most}, not {value}"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn paths(document: Value) -> Vec<String> {
        let spec: AgentSpec = serde_json::from_value(document).unwrap();
        spec.faults().into_iter().map(|(path, _)| path).collect()
    }

    #[test]
    fn the_least_and_a_full_specification_are_sound() {
        assert!(paths(json!({"id": "remote"})).is_empty());
        assert!(paths(json!({"id": "w.1", "process": {"command": ["/bin/true"]}})).is_empty());
        let full = json!({
            "id": "api", "type": "monitor", "depends_on": ["db", "queue"], "capacity": 4, "watch": "api-latency",
            "process": {
                "command": ["/usr/bin/api", "--port", "80"], "env": {"A": "b"}, "cwd": "/srv", "user": "www",
                "limits": {"open_files": 100, "memory_mb": 10}, "ready": {"by": {"tcp": "[::1]:80"}, "within_sec": 5.0},
                "stop": {"signal": "INT", "grace_sec": 0.0}, "watchdog_sec": 2.5,
                "resources": {"memory_mb": 2048, "cpu_percent": 80.0, "open_files_percent": 80.0}
            },
            "beats": {"idle_ttl_sec": 10.0, "degraded_after": 1, "unresponsive_after": 1},
            "restart": {"max_restarts": 0, "backoff_sec": 0.0, "jitter": 0.5}
        });
        assert!(paths(full).is_empty());
        let probe = json!({"id": "p", "probe": {"check": {"http": "https://host/health"}, "every_sec": 0.5}});
        assert!(paths(probe).is_empty());
    }

    #[test]
    fn every_fault_is_told_at_once_with_its_path() {
        let found = paths(json!({
            "id": "../etc", "capacity": 0, "depends_on": ["a", "a", "../etc"], "heartbeat": {},
            "process": {
                "command": [], "env": {"A=B": "x", "C": "\u{0}"}, "cwd": "", "ready": {"by": {"tcp": "nowhere"}, "within_sec": 0.0},
                "stop": {"signal": "SIGTERM", "grace_sec": -1.0}, "limits": {"tasks": 0},
                "output": {"max_mb": 0, "keep": 1}, "resources": {"cpu_percent": 0.0}, "watchdog_sec": 0.0
            },
            "restart": {"jitter": 0.9, "within_sec": 0.0, "backoff_sec": 9.0, "backoff_max_sec": 3.0},
            "beats": {"running_ttl_sec": 0.0, "degraded_after": 3, "unresponsive_after": 2, "first_within_sec": 0.0}
        }));
        let expected = [
            "id",
            "process",
            "process.command",
            "process.env",
            "process.env.C",
            "process.cwd",
            "process.limits.tasks",
            "process.ready.within_sec",
            "process.ready.by.tcp",
            "process.stop.signal",
            "process.stop.grace_sec",
            "process.output.max_mb",
            "process.resources.cpu_percent",
            "process.watchdog_sec",
            "restart.within_sec",
            "restart.backoff_max_sec",
            "restart.jitter",
            "beats.running_ttl_sec",
            "beats.first_within_sec",
            "beats.unresponsive_after",
            "depends_on[1]",
            "depends_on[2]",
            "depends_on[2]",
            "capacity",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_no_number_is_in_no_range() {
        let mut spec: AgentSpec = serde_json::from_value(json!({"id": "a"})).unwrap();
        for nonsense in [f64::NAN, f64::INFINITY, -0.1, 1e300] {
            spec.restart.within_sec = nonsense;
            assert_eq!(spec.faults().len(), 1, "{nonsense}");
        }
    }

    #[test]
    fn addresses_urls_and_names_are_what_they_say() {
        for (at, sound) in
            [("h:1", true), ("h:0", false), ("h:65536", false), (":1", false), ("::1:80", false), ("h", false)]
        {
            let mut faults = Faults::new();
            address(&mut faults, "x", at);
            assert_eq!(faults.is_empty(), sound, "{at}");
        }
        for (at, sound) in [
            ("http://h", true),
            ("https://h/p?q", true),
            ("http:///p", false),
            ("ftp://h", false),
            ("http://h /", false),
        ] {
            let mut faults = Faults::new();
            url(&mut faults, "x", at);
            assert_eq!(faults.is_empty(), sound, "{at}");
        }
        for (text, sound) in
            [("a-b_c.9", true), ("", false), ("ä", false), ("a/b", false), ("-rf", false), ("..", false)]
        {
            let mut faults = Faults::new();
            name(&mut faults, "x", text);
            assert_eq!(faults.is_empty(), sound, "{text}");
        }
        let mut faults = Faults::new();
        name(&mut faults, "x", &"a".repeat(65));
        assert_eq!(faults.len(), 1);
    }
}
