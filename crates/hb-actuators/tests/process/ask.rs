//! Questions and calls with real programs and real servers on loopback.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use hb_actuators::Asker;
use hb_core::supervise::input::{Called, Input};
use hb_core::supervise::spec::{Check, Control, ReadyBy};
use hb_core::supervise::step::Effect;

use crate::stage::{PATIENCE, lives, until};

fn asker() -> (Asker, Receiver<Input>) {
    let (emit, inputs) = channel();
    (Asker::start(Box::new(move |input| drop(emit.send(input)))).unwrap(), inputs)
}

fn probe(check: Check, seconds: u64) -> (bool, String) {
    let (asker, inputs) = asker();
    asker.act(Effect::Probe { agent: "a".into(), check, timeout_ns: seconds * 1_000_000_000 }).unwrap();
    match inputs.recv_timeout(PATIENCE).unwrap() {
        Input::Probed { agent, good, said } if agent.as_str() == "a" => (good, said),
        other => panic!("{other:?}"),
    }
}

fn call(control: Control) -> Called {
    let (asker, inputs) = asker();
    asker.act(call_effect(control)).unwrap();
    match inputs.recv_timeout(PATIENCE).unwrap() {
        Input::Called { step: 2, outcome, .. } => outcome,
        other => panic!("{other:?}"),
    }
}

fn call_effect(control: Control) -> Effect {
    Effect::Call {
        intervention: "i-7".into(),
        step: 2,
        key: "i-7/2/1".into(),
        agent: "a b".into(),
        control,
        verb: "restart".into(),
    }
}

fn command(script: &str, timeout_sec: f64) -> Control {
    let argv = ["sh", "-c", script, "sh", "{verb}", "{agent}", "{key}"].map(str::to_owned).into();
    Control::Command { argv, timeout_sec, idempotent: false }
}

/// Answers one request; gives what was asked.
fn server(answer: &'static str) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (send, receive) = channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = Vec::new();
        let mut buffer = [0u8; 4096];
        while !whole(&asked) {
            let read = stream.read(&mut buffer).unwrap();
            asked.extend_from_slice(&buffer[..read]);
        }
        // The other side may have what it needs before all is written.
        drop(stream.write_all(answer.as_bytes()));
        drop(send.send(String::from_utf8(asked).unwrap()));
        if answer.is_empty() {
            // Said nothing: the connection stays until the other side gives up.
            drop(stream.read(&mut buffer));
        }
    });
    (url, receive)
}

fn whole(asked: &[u8]) -> bool {
    let text = String::from_utf8_lossy(asked);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ").map(str::to_owned));
    body.len() >= length.map_or(0, |length| length.parse().unwrap())
}

fn webhook(url: String, timeout_sec: f64) -> Control {
    Control::Webhook { url, timeout_sec, idempotent: false }
}

#[test]
fn probes_say_yes_and_no_with_what_was_found() {
    let (url, _asked) = server("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n");
    let (good, said) = probe(Check::Http(url), 60);
    assert!(good && said.contains("302"), "{said}");
    let (url, _asked) = server("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
    let (good, said) = probe(Check::Http(format!("{url}/health?token=secret")), 60);
    assert!(!good && said.contains("503") && !said.contains("secret"), "{said}");
    let (url, _asked) = server("");
    let (good, said) = probe(Check::Http(url), 1);
    assert!(!good && said.contains("no answer within 1 s"), "{said}");
    assert!(!probe(Check::Http("ftp://h".into()), 1).0);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    assert!(probe(Check::Tcp(address.clone()), 60).0);
    drop(listener);
    let (good, said) = probe(Check::Tcp(address), 60);
    assert!(!good && said.contains("refused"), "{said}");
    let sh = |script: &str| Check::Command(["sh", "-c", script].map(str::to_owned).into());
    assert_eq!(probe(sh("echo fine"), 60), (true, "fine".into()));
    assert_eq!(probe(sh("echo not well >&2; exit 3"), 60), (false, "status 3: not well".into()));
    assert!(!probe(sh("sleep 1000"), 1).0);
    assert!(!probe(Check::Command(vec!["no-such-program".into()]), 60).0);
    // More than anybody wants to read does not hold it up.
    assert!(probe(sh("yes | head -c 10000000"), 60).0);
}

#[test]
fn ready_checks_are_answered_for_their_incarnation() {
    let (asker, inputs) = asker();
    let by = ReadyBy::Command(vec!["true".into()]);
    asker.act(Effect::CheckReady { agent: "a".into(), incarnation: 5, by }).unwrap();
    match inputs.recv_timeout(PATIENCE).unwrap() {
        Input::ReadyChecked { incarnation: 5, up: true, .. } => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn s4_a_call_of_a_program_is_done_failed_or_unknown() {
    assert_eq!(
        call(command("echo $1 $2 $3 $HB_KEY $HB_VERB $HB_AGENT $HB_INTERVENTION", 60.0)),
        Called::Done("restart a b i-7/2/1 i-7/2/1 restart a b i-7".into())
    );
    assert_eq!(call(command("echo no; exit 4", 60.0)), Called::Failed("status 4: no".into()));
    assert!(matches!(call(command("kill -9 $$", 60.0)), Called::Unknown(_)));
    let nothing = Control::Command { argv: vec!["/no/such".into()], timeout_sec: 1.0, idempotent: false };
    assert!(matches!(call(nothing), Called::Failed(_)));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let hangs = format!("sleep 1000 & echo $! > {}; wait", file.display());
    assert!(matches!(call(command(&hangs, 2.0)), Called::Unknown(why) if why.contains("2 s")));
    let grandchild: u32 = until("its number", || std::fs::read_to_string(&file).ok()?.trim().parse().ok());
    until("the whole group is gone", || (!lives(grandchild)).then_some(()));
}

#[test]
fn s4_a_call_over_http_is_done_failed_or_unknown() {
    let (url, asked) = server("HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(call(webhook(format!("{url}/{{verb}}/{{agent}}"), 60.0)), Called::Done("ok".into()));
    let asked = asked.recv_timeout(PATIENCE).unwrap();
    assert!(asked.starts_with("POST /restart/a%20b HTTP/1.1\r\n"), "{asked}");
    assert!(asked.to_lowercase().contains("idempotency-key: i-7%2f2%2f1\r\n"), "{asked}");
    let body: serde_json::Value = serde_json::from_str(asked.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(body, serde_json::json!({"key": "i-7/2/1", "verb": "restart", "agent": "a b", "intervention": "i-7"}));
    let outcome = |answer| call(webhook(server(answer).0, 60.0));
    assert!(matches!(outcome("HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\n\r\n"), Called::Failed(_)));
    assert!(matches!(
        outcome("HTTP/1.1 307 Temporary\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"),
        Called::Failed(_)
    ));
    assert!(matches!(outcome("HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n"), Called::Unknown(_)));
    assert!(matches!(outcome("HTTP/1.1 "), Called::Unknown(_)));
    assert!(matches!(call(webhook(server("").0, 1.0)), Called::Unknown(_)));
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert!(matches!(call(webhook(format!("http://{free}/"), 60.0)), Called::Failed(_)));
    assert!(matches!(call(webhook("nonsense".into(), 60.0)), Called::Failed(_)));
}

#[test]
fn ends_while_something_is_under_way() {
    let (asker, inputs) = asker();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    asker.act(call_effect(command(&format!("echo $$ > {}; sleep 1000", file.display()), 600.0))).unwrap();
    let pid: u32 = until("its number", || std::fs::read_to_string(&file).ok()?.trim().parse().ok());
    asker.stop();
    until("it is killed", || (!lives(pid)).then_some(()));
    assert!(inputs.try_recv().is_err());
}
