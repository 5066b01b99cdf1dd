//! What agents say on their notify sockets.

use hb_core::supervise::input::{Input, Notified};
use hb_core::supervise::step::Effect;
use serde_json::json;

use crate::stage::{Stage, spec};
use crate::stand_in;

fn heard(stage: &Stage, expected: &Notified) {
    stage.wait(&format!("{expected:?}"), |input| match input {
        Input::Notified { agent, what } if agent.as_str() == "speaker" && what == expected => Some(()),
        _ => None,
    });
}

#[test]
fn agents_are_heard_also_by_the_next_hb_and_strangers_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::at(folder.path());
    let process = json!({"command": stand_in::command(), "env": stand_in::role("speaker"), "ready": {"by": "notify"}, "watchdog_sec": 60.0});
    let spec = spec("speaker", process);
    let identity = stage.spawn(&spec).unwrap();
    heard(&stage, &Notified::Ready);
    heard(&stage, &Notified::Status("at work".into()));
    heard(&stage, &Notified::Watchdog);
    let stranger = std::os::unix::net::UnixDatagram::unbound().unwrap();
    stranger.send_to(b"STATUS=I am not of its session", stage.run_dir.join("speaker.notify")).unwrap();
    crate::stage::until("it is counted", || (stage.hands.as_ref().unwrap().figures().unheard > 0).then_some(()));
    drop(stage);
    let stage = Stage::at(folder.path());
    stage.act(Effect::Adopt { agent: spec.id.clone(), identity: identity.clone(), spec: spec.clone() });
    heard(&stage, &Notified::Watchdog);
    stage.end(&spec, &identity);
    stage.act(Effect::Forget(spec.id.clone()));
    crate::stage::until("its files are gone", || {
        let left = std::fs::read_dir(&stage.run_dir).unwrap().filter_map(Result::ok);
        (left.filter(|entry| entry.file_name().to_string_lossy().starts_with("speaker")).count() == 0).then_some(())
    });
}
