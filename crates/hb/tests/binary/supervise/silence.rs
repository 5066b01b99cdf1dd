//! A6: does hb's own downtime count against anybody?

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use hb_core::supervise::agent::Process;

use super::site::Site;
use super::sound::assert_sound;
use crate::support::until;

/// Seconds between two signs of life at most, as the agents of these tests are told.
const WATCHDOG: f64 = 1.0;

/// What the agents of these tests run: this test program itself, told to do nothing but this.
const SIGNS: &str = "supervise::silence::an_agent_that_gives_signs_of_life";

/// Gives signs of life for as long as somebody started it to do so.
#[test]
#[ignore = "the program of an agent, not a test"]
fn an_agent_that_gives_signs_of_life() {
    let Some(place) = std::env::var_os("NOTIFY_SOCKET").filter(|_| std::env::var_os("HB_AGENT").is_some()) else {
        return;
    };
    let socket = UnixDatagram::unbound().unwrap();
    // While hb is down nobody listens.
    let say = |what: &[u8]| drop(socket.send_to(what, &place));
    until("somebody listens", || socket.send_to(b"READY=1", &place).ok());
    // Not for ever, should the test be killed.
    for _ in 0..6_000 {
        say(b"WATCHDOG=1");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a6_s6_downtime_of_hb_is_nobodys_silence() {
    let program = std::env::current_exe().unwrap();
    let agents: String = (0..5)
        .map(|n| {
            format!(
                "  w{n}: {{process: {{command: [PROGRAM, '{}', --exact, {SIGNS}, --ignored], ready: {{by: notify}}, \
                 watchdog_sec: {WATCHDOG}}}}}\n",
                program.display()
            )
        })
        .collect();
    let site = Site::new(&format!("agents:\n{agents}"));
    let mut node = site.start("a");
    let before = site.calm(&mut node);
    for _ in 0..2 {
        node.kill();
        // Longer than three times what they may be silent: they speak, and nobody hears them.
        std::thread::sleep(Duration::from_secs_f64(WATCHDOG * 3.5));
        node = site.start("a");
        site.calm(&mut node);
        // And for longer than one of them is good for, so that nobody fails a little later.
        std::thread::sleep(Duration::from_secs_f64(WATCHDOG * 1.5));
        let after = site.calm(&mut node);
        for agent in before.state.agents.values() {
            let now = after.state.agents.get(agent.id()).unwrap();
            assert!(matches!(now.process, Process::Alive { adopted: true, .. }), "{now:#?}");
            assert_eq!((now.process.identity(), now.restarts.total), (agent.process.identity(), 0), "{}", agent.id());
        }
    }
    let bad =
        site.events().into_iter().find(|event| event.kind == "agent.unresponsive" || event.kind == "agent.exited");
    assert!(bad.is_none(), "{bad:?}");
    assert_eq!(node.stop(), 0);
    assert_sound(&site, &site.state().unwrap());
}
