//! What is drawn, in every size, without a terminal.

use serde_json::json;

use super::super::happenings::Happening;
use super::super::picture::{AlarmLine, NodeLine, Silence, TakeoverLine};
use super::super::screen::Key;
use super::super::supervised::{self, InterventionLine, Supervision};
use super::super::verdict::Verdict;
use super::super::watches::WatchLine;
use super::super::{Picture, past::PastCycle};
use super::*;
use hb_core::time::Stamp;
use hb_core::watch::decision::Status;

const PLAIN: Look = Look { ink: Ink::Plain, letters: Letters::Unicode };
const ASCII: Look = Look { ink: Ink::Plain, letters: Letters::Ascii };
const COLOURED: Look = Look { ink: Ink::Coloured, letters: Letters::Unicode };

fn at(seconds: i64) -> Stamp {
    Stamp(1_800_000_000_000_000_000).plus_ns(seconds * 1_000_000_000)
}

fn node(name: &str, role: &str) -> NodeLine {
    let document = json!({"node": name, "role": role, "epoch": 4, "host": "bench", "listen": "127.0.0.1:9090"});
    let mut line = NodeLine::of(&document);
    line.says(&document);
    line
}

fn watch(name: &str, status: Status, headline: &str) -> WatchLine {
    let since = at(-180).to_string();
    let document = json!({"name": name, "cycle": 40, "status": status.as_str(), "headline": headline, "since_utc": since,
        "lag_seconds": 0.25, "source": {"state": "open"}, "drivers": ["temperature.0"]});
    let mut line = WatchLine::of(&document, &"a".into());
    let statuses = [Status::Pass, Status::PassWithDrift, Status::Fail, Status::NoData, Status::NoBaseline];
    line.past = (0..40)
        .map(|cycle| PastCycle {
            cycle,
            status: statuses[usize::try_from(cycle).unwrap() % 5],
            node: "a".into(),
            at: Some(at(0)),
            headline: headline.into(),
        })
        .collect();
    line
}

/// A picture with something of everything; `text` stands wherever others can put a text.
fn picture(text: &str) -> Picture {
    let agent = |id: &str, status: &str| json!({"id": id, "team_id": text, "status": status, "restart_count": 3, "said": text, "last_exit": text});
    let agents = [agent("web-1", "RUNNING"), agent("web-2", "FAILED"), agent(text, "SPAWNING")];
    let status = json!({"node": text, "presence": {"state": "active", "reasons": [text]}, "agents": {"all": 3, "up": 1, "failed": 1}});
    let intervention = json!({"id": "i-1", "intervention_type": "AGENT_RESTART", "target_id": text, "status": "COMPLETED",
        "reason": text, "requested_by": text, "created_at": at(-60).to_string()});
    let event = json!({"id": 7, "kind": text, "severity": "ERROR", "message": text, "about": {"agent": text}, "at": at(-5).to_string()});
    let mut silent = node(text, "standby");
    (silent.answer, silent.trouble) = (super::super::picture::Answer::Silent, text.into());
    let mut picture = Picture {
        silent: None,
        told_by: Some(text.into()),
        nodes: vec![node("a", "active"), silent],
        takeover: TakeoverLine::of(&json!({"node": "a", "epoch": 4, "from": {"node": text}, "why": text, "how": text,
            "took_seconds": 0.01, "at": at(-120).to_string()})),
        paused: Some(text.into()),
        watches: vec![watch("press", Status::PassWithDrift, text), watch(text, Status::Fail, "temperature.0 is 95 C")],
        alarms: vec![AlarmLine::of(&json!({"name": text, "what": text}))],
        supervision: Some(Supervision {
            teams: supervised::teams(&agents),
            interventions: vec![InterventionLine::of(&intervention)],
            ..Supervision::of(&status)
        }),
        happenings: vec![Happening::of_event(&event)],
        troubles: vec![text.into()],
        ..Picture::empty(at(0))
    };
    picture.verdict = Verdict::of(&picture);
    picture
}

fn drawn(screen: &mut Screen, look: Look, (width, height): (u16, u16)) -> Buffer {
    let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
    draw(screen, look, &mut buffer);
    buffer
}

fn shown(screen: &mut Screen, look: Look, size: (u16, u16)) -> String {
    text(&drawn(screen, look, size), look)
}

const EVIL: &str = "x\u{1b}[31m\u{1b}]0;owned\u{7}\u{9b}2J\r\n\u{8}\u{202e}y";

#[test]
fn nothing_that_others_say_reaches_the_terminal_as_a_command() {
    let mut screen = Screen::new(picture(EVIL));
    for section in Section::ALL {
        for keys in [&[][..], &[Key::Enter], &[Key::Letter('?')]] {
            screen.section = section;
            screen.front = Front::Lists;
            keys.iter().for_each(|key| assert_eq!(screen.key(*key), super::super::screen::Turn::Draw));
            for size in [(120, 50), (80, 24), (40, 12)] {
                let plain = shown(&mut screen, PLAIN, size);
                assert!(plain.contains('x'), "it is shown");
                let bad = plain.chars().find(|c| c.is_control() && *c != '\n' || *c == '\u{202e}');
                assert_eq!(bad, None, "{plain}");
                // With colour there are no escapes but those of colours.
                let coloured = shown(&mut screen, COLOURED, size);
                for part in coloured.split('\u{1b}').skip(1) {
                    let end = part.find('m').unwrap();
                    let fine = |c: char| c.is_ascii_digit() || c == ';';
                    assert!(part.starts_with('[') && part[1..end].chars().all(fine), "{part:?}");
                }
            }
        }
    }
    let document = serde_json::to_string(&picture(EVIL)).unwrap();
    assert!(!document.contains("\\u001b") && !document.chars().any(char::is_control), "{document}");
}

#[test]
fn the_whole_is_told_on_a_screen_of_80_by_24() {
    let mut screen = Screen::new(picture("why"));
    let text = shown(&mut screen, PLAIN, (80, 24));
    assert!(text.lines().count() <= 24 && text.lines().all(|line| width(line) <= 80), "{text}");
    for told in [
        "TROUBLE",
        "a active (epoch 4)",
        "press",
        "DRIFT",
        "FAIL",
        "took over",
        "last intervention",
        "web-2",
        "FAILED",
        "NODE",
        "WATCH",
        "TEAM",
        "EVENT",
        "q quit",
    ] {
        assert!(text.contains(told), "{told}:\n{text}");
    }
    let past = "▁▄█╳░▁▄█╳░";
    assert!(text.contains(past), "{text}");
}

#[test]
fn any_size_is_drawn_and_the_first_line_says_how_it_is() {
    for look in [PLAIN, ASCII, COLOURED] {
        let mut screen = Screen::new(picture("why"));
        for height in 0..30 {
            for width in [0, 1, 2, 5, 12, 20, 39, 40, 60, 79, 132] {
                let text = shown(&mut screen, look, (width, height));
                if width >= 20 && height >= 1 {
                    assert!(text.lines().next().unwrap().contains("TROUBLE"), "{width} by {height}: {text}");
                }
            }
        }
    }
    let ascii = shown(&mut Screen::new(picture("why")), ASCII, (80, 24));
    assert!(ascii.is_ascii(), "{ascii}");
    let twelve = shown(&mut Screen::new(picture("why")), PLAIN, (40, 12));
    assert!(twelve.contains("✖ FAIL") && twelve.contains("active") && twelve.contains("EVENT"), "{twelve}");
}

#[test]
fn nothing_is_told_by_colour_alone() {
    // Without colour every status and every state of a node looks different still.
    let words = |status| super::super::rows::status(Some(status));
    let all: Vec<_> = Status::ALL.into_iter().map(words).collect();
    for look in [PLAIN, ASCII] {
        for (index, status) in Status::ALL.into_iter().enumerate() {
            let others = Status::ALL.into_iter().skip(index + 1);
            assert!(others.clone().all(|other| look.cycle(other) != look.cycle(status)));
            assert!(all[index + 1..].iter().all(|other| other.1 != all[index].1));
        }
    }
    let buffer = drawn(&mut Screen::new(picture("why")), PLAIN, (80, 24));
    assert!(buffer.content().iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
    let buffer = drawn(&mut Screen::new(picture("why")), COLOURED, (80, 24));
    assert!(buffer.content().iter().any(|cell| cell.fg == Color::Red));
}

#[test]
fn old_held_and_missing_pictures_say_so() {
    let silent = Picture { silent: Some(Silence { last_answer: Some(at(-30)) }), ..picture("why") };
    let silent = Picture { verdict: Verdict::of(&silent), ..silent };
    let told = shown(&mut Screen::new(silent), PLAIN, (80, 24));
    assert!(told.contains("UNKNOWN") && told.contains("STALE") && told.contains("no node answers since"), "{told}");
    let mut empty = Picture::empty(at(0));
    empty.verdict = Verdict::of(&empty);
    let told = shown(&mut Screen::new(empty), PLAIN, (80, 24));
    assert!(told.contains("UNKNOWN") && told.contains("nothing yet"), "{told}");
    let mut screen = Screen::new(picture("why"));
    screen.drawn = Some(at(60));
    assert!(shown(&mut screen, PLAIN, (80, 24)).contains("STALE 60s old"));
    screen.key(Key::Letter('p'));
    assert!(shown(&mut screen, PLAIN, (80, 24)).contains("HELD at"));
}

#[test]
fn all_of_a_row_is_told_and_can_be_read_to_its_end() {
    let mut screen = Screen::new(picture("why"));
    screen.key(Key::Enter);
    let first = shown(&mut screen, PLAIN, (80, 24));
    assert!(first.contains("driven by") && first.contains("more below"), "{first}");
    screen.key(Key::End);
    let last = shown(&mut screen, PLAIN, (80, 24));
    assert!(last.contains("       0  PASS") && !last.contains("more below"), "{last}");
    for size in [(20, 6), (7, 3), (200, 80)] {
        shown(&mut screen, PLAIN, size);
    }
    screen.take(Picture::empty(at(0)));
    assert!(shown(&mut screen, PLAIN, (80, 24)).contains("is not there any more"));
}

#[test]
fn five_thousand_agents_and_a_thousand_watches_are_drawn() {
    let agents: Vec<_> = (0..5_000)
        .map(
            |number| json!({"id": format!("a{number:04}"), "team_id": format!("t{}", number % 50), "status": "FAILED"}),
        )
        .collect();
    let mut many = picture("why");
    many.supervision = Some(Supervision { teams: supervised::teams(&agents), ..Supervision::default() });
    many.watches = (0..1_000).map(|number| watch(&format!("w{number:03}"), Status::Pass, "as it was")).collect();
    many.verdict = Verdict::of(&many);
    let mut screen = Screen::new(many);
    screen.key(Key::End);
    let text = shown(&mut screen, PLAIN, (80, 24));
    assert!(text.contains("w999") && text.contains("of 1000"), "{text}");
}
