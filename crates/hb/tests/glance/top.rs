//! `hb top` in a real terminal, on real nodes.

use std::fs;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::support::node::Node;
use crate::support::project::Project;

use crate::support::writer::Writer;
use crate::support::{GENEROUS, telemetry, until, within};
use crate::terminal::Terminal;

/// `hb top` of a project with these arguments.
fn command(project: &Project, more: &[&str]) -> Command {
    let mut command = project.command(&["top", "--interval", "0.2", "--config"]);
    command.arg(project.config()).args(more);
    command
}

/// A pair with a watch that decides; the first one is active.
fn pair(project: &Project) -> [Node; 2] {
    let mut a = project.start("a");
    a.wait_role("active");
    let mut b = project.start("b");
    b.wait_role("standby");
    [a, b]
}

fn settings() -> String {
    format!("{}lease: {{ttl_sec: 5}}\n", telemetry::SETTINGS)
}

/// What the program wrote last may not have been read yet.
fn given_back(top: &Terminal) {
    until("the terminal is given back", || top.is_given_back().then_some(()));
}

fn line<'a>(text: &'a str, word: &str) -> &'a str {
    text.lines().find(|line| line.trim_start().starts_with(word)).unwrap_or_default()
}

#[test]
fn the_screen_tells_a_pair_its_watches_and_a_takeover_without_a_key() {
    let project = Project::new(&settings());
    let _writer = Writer::start(&project);
    let [mut a, _b] = pair(&project);
    let mut top = Terminal::start(&command(&project, &[]), (100, 30));
    let text = top.shows("both nodes and a cycle", |text| {
        line(text, "a ").contains("active") && line(text, "b ").contains("standby") && !line(text, "default").is_empty()
    });
    assert!(text.contains("WATCH") && text.contains("EVENT") && text.contains("a active (epoch"), "{text}");
    assert!(top.screen().other && !top.screen().cursor && top.screen().coloured);
    a.kill();
    let text = top.shows("that b works and a does not answer", |text| {
        line(text, "b ").contains("active")
            && ["no answer", "down"].iter().any(|word| line(text, "a ").contains(word))
            && text.contains("took over from a")
    });
    assert!(text.contains("b active (epoch"), "{text}");
    top.types("q");
    assert!(top.ends().success());
    given_back(&top);
}

#[test]
fn named_nodes_are_asked_and_the_next_active_one_is_found_among_them() {
    let project = Project::new(&settings());
    let _writer = Writer::start(&project);
    let [mut a, mut b] = pair(&project);
    let urls = [&mut a, &mut b].map(|node| format!("http://{}", node.address()));
    let mut command = project.command(&["top", "-n", "0.2"]);
    for url in &urls {
        command.args(["--url", url]);
    }
    let mut top = Terminal::start(&command, (80, 24));
    top.shows("a at work", |text| text.contains("a active (epoch") && text.contains("1 standing by"));
    a.kill();
    top.shows("b at work", |text| text.contains("b active (epoch"));
    b.kill();
    let text = top.shows("that nobody answers", |text| text.contains("UNKNOWN") && text.contains("STALE"));
    assert!(text.contains("no node answers"), "what was known stays:\n{text}");
    assert!(text.contains("WATCH"), "{text}");
    top.types("\u{3}");
    assert!(top.ends().success(), "Ctrl-C");
}

#[test]
fn keys_do_what_the_help_says_and_sizes_change() {
    let project = Project::new(&settings());
    let _writer = Writer::start(&project);
    let [_a, _b] = pair(&project);
    let mut top = Terminal::start(&command(&project, &[]), (80, 24));
    top.shows("the nodes", |text| text.contains("a active (epoch"));
    top.types("?");
    top.shows("the help", |text| text.contains("it changes nothing") && text.contains("any key goes back"));
    top.types("x/zzz");
    top.shows("a filter", |text| text.contains("filter: zzz") && text.contains("nothing has the filter's words"));
    top.types("\u{1b}");
    top.shows("no filter", |text| !text.contains("filter: zzz") && text.contains("q quit"));
    top.types("1");
    top.types("\r");
    top.shows("a node", |text| text.contains("last contact") && text.contains("Esc goes back"));
    top.types("q");
    top.shows("the lists", |text| text.contains("q quit"));
    top.types("p");
    top.shows("a held picture", |text| text.contains("HELD at"));
    top.types("p");
    top.shows("a live picture", |text| !text.contains("HELD at"));
    for (width, height) in [(40, 10), (20, 5), (132, 50), (79, 24)] {
        top.resize(width, height);
        let text = top.shows("how it is, in another size", |text| {
            let first = text.lines().next().unwrap_or_default();
            ["WELL", "LOOK", "TROUBLE"].iter().any(|word| first.contains(word))
        });
        assert!(text.lines().all(|line| line.chars().count() <= usize::from(width)), "{text}");
    }
    top.signal(Signal::SIGTERM);
    assert!(top.ends().success());
    given_back(&top);
}

#[test]
fn the_terminal_is_given_back_for_a_stop_and_taken_again() {
    let project = Project::new(&settings());
    let _writer = Writer::start(&project);
    let [_a, _b] = pair(&project);
    let mut top = Terminal::start(&command(&project, &[]), (80, 24));
    for way in [Stop::Signal, Stop::Key] {
        top.shows("the nodes", |text| text.contains("a active (epoch") && text.contains("q quit"));
        match way {
            Stop::Signal => top.signal(Signal::SIGTSTP),
            Stop::Key => top.types("\u{1a}"),
        }
        until("it is stopped", || (top.state() == 'T').then_some(()));
        given_back(&top);
        top.signal(Signal::SIGCONT);
        until("the terminal is taken again", || (top.screen().other && !top.is_given_back()).then_some(()));
    }
    top.types("q");
    assert!(top.ends().success());
    given_back(&top);
}

enum Stop {
    Signal,
    Key,
}

#[test]
fn without_colour_there_is_none_and_without_a_terminal_there_is_one_frame() {
    let project = Project::new(&settings());
    let _writer = Writer::start(&project);
    let [_a, _b] = pair(&project);
    let mut plain = command(&project, &[]);
    plain.env("NO_COLOR", "1");
    let mut top = Terminal::start(&plain, (80, 24));
    top.shows("the nodes", |text| text.contains("a active (epoch"));
    assert!(!top.screen().coloured, "{:?}", top.written());
    top.types("q");
    assert!(top.ends().success());

    let refused = command(&project, &[]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--once"));

    let once = command(&project, &["--once"]).env("COLUMNS", "90").env("LINES", "30").output().unwrap();
    let text = String::from_utf8(once.stdout).unwrap();
    assert!(once.status.success() && text.contains("a active (epoch") && !text.contains('\u{1b}'), "{text}");
    assert!(text.lines().count() <= 30 && text.lines().all(|line| line.chars().count() <= 90), "{text}");

    let json = command(&project, &["--json"]).output().unwrap();
    let document: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    let active: Vec<_> = document["nodes"].as_array().unwrap().iter().filter(|node| node["role"] == "active").collect();
    assert_eq!((active.len(), &active[0]["node"]), (1, &"a".into()), "{document}");
    assert!(document["verdict"]["level"].is_string() && document["watches"][0]["past"].is_array(), "{document}");
}

#[test]
fn where_no_node_answers_that_is_said_with_a_number() {
    let project = Project::new(&settings());
    for form in ["--once", "--json"] {
        let output = command(&project, &[form]).output().unwrap();
        assert_eq!(output.status.code(), Some(69), "{form}");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("no node answers"), "{form}: {text}");
    }
    let closed = project.command(&["top", "--once", "--url", "http://127.0.0.1:1"]).output().unwrap();
    assert_eq!(closed.status.code(), Some(69));
    let wrong = project.command(&["top", "--once", "--url", "https://x"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
}

/// Names are others' words: of agents, and in what programs say.
#[test]
fn what_a_node_says_cannot_move_the_cursor() {
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in server.incoming().map_while(Result::ok) {
            answer(stream);
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_hb"));
    command.current_dir(folder.path()).args(["top", "-n", "0.2", "--url", &format!("http://{address}")]);
    let mut top = Terminal::start(&command, (80, 24));
    // Whatever the screen does not know makes it panic.
    let text = top.shows("the watch", |text| text.contains("press") && text.contains("FAIL"));
    assert!(text.contains('\u{fffd}'), "{text}");
    let title = within(GENEROUS / 30, || top.written().contains("\u{1b}]").then_some(()));
    assert_eq!(title, None, "a title was set");
    top.types("\r");
    top.shows("all of it", |text| text.contains("driven by"));
    top.types("q");
    top.shows("the lists", |text| text.contains("q quit"));
    top.types("q");
    assert!(top.ends().success());
    drop(fs::remove_dir_all(folder.path()));
}

/// A node that says evil things.
fn answer(mut stream: std::net::TcpStream) {
    use std::io::{Read as _, Write as _};
    let evil = "\\u001b[2J\\u001b]0;owned\\u0007\\u009b31m\\u202e";
    let mut asked = [0_u8; 4096];
    let Ok(length) = stream.read(&mut asked) else { return };
    let asked = String::from_utf8_lossy(&asked[..length]).into_owned();
    let body = match asked.split(' ').nth(1).unwrap_or_default() {
        "/v1/status" => format!(
            "{{\"node\":\"n{evil}\",\"role\":\"active\",\"epoch\":3,\"alarms\":[{{\"name\":\"{evil}\",\"what\":\"{evil}\"}}],\"nodes\":[],\
             \"watches\":[{{\"name\":\"press{evil}\",\"cycle\":4,\"status\":\"FAIL\",\"headline\":\"{evil}\",\"drivers\":[\"{evil}\"]}}]}}"
        ),
        "/live" => "{\"status\":\"up\"}".to_owned(),
        "/ready" => format!("{{\"ready\":false,\"checks\":{{\"{evil}\":\"{evil}\"}}}}"),
        _ => "{}".to_owned(),
    };
    let status = if body == "{}" { "404 Not Found" } else { "200 OK" };
    let text = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    // Whoever asked may have gone away.
    drop(stream.write_all(text.as_bytes()));
}
