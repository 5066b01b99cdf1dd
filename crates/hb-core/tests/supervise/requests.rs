//! Requests with names of their own, notes of events, policies that are retired, tasks of beats, and where a watch is begun.

use hb_core::ids::{CycleNo, Seq};
use hb_core::supervise::bounds::REQUESTS_MAX;
use hb_core::supervise::input::{Beat, Command, Decision, Input, RequestKey, Ticket};
use hb_core::supervise::policy::document::PolicyDocument;
use hb_core::supervise::step::{Answer, Reply, Why};
use hb_core::time::Stamp;
use serde_json::{Value, json};

use super::house::House;
use super::stage::spec;

const AGENT: &str = r#"{"heartbeat":{}}"#;

fn once(key: &str, of: &str, command: Command) -> Command {
    Command::Once { key: RequestKey { key: key.into(), of: of.into() }, command: Box::new(command) }
}

fn register(id: &str) -> Command {
    Command::RegisterAgent(Box::new(spec(id, AGENT)))
}

fn why(reply: Reply) -> Why {
    reply.unwrap_err().why
}

#[test]
fn s4_a_named_request_is_carried_out_once_also_across_a_crash() {
    let mut house = House::with(json!({}), &[]);
    let first = house.ask(once("k1", "d1", register("r"))).unwrap();
    assert!(matches!(&first, Answer::Made { id, .. } if id == "r"));
    assert_eq!(why(house.ask(register("r"))), Why::Conflict, "without a name it is another request");
    assert_eq!(house.ask(once("k1", "d1", register("r"))), Ok(first.clone()));
    house.crash();
    let records = house.disk.0.len();
    assert_eq!(house.ask(once("k1", "d1", register("r"))), Ok(first), "the answer is as durable as the change");
    assert_eq!(house.disk.0.len(), records, "and nothing was changed");
    assert_eq!(
        why(house.ask(once("k1", "d2", register("other")))),
        Why::Conflict,
        "another request under the same name"
    );
    assert!(house.ask_as("operator:eve", once("k1", "d2", register("hers"))).is_ok(), "names belong to their senders");
    assert_eq!(why(house.ask(once("", "d", register("x")))), Why::Invalid);
    assert_eq!(why(house.ask(once(&"x".repeat(201), "d", register("x")))), Why::Invalid);
}

#[test]
fn s4_a_refusal_is_not_remembered_and_a_request_that_acts_acts_once() {
    let mut house = House::with(json!({}), &["w"]);
    assert_eq!(why(house.ask(once("k", "d", Command::StopAgent("later".into())))), Why::NotFound);
    house.agent("later", AGENT);
    assert!(house.ask(once("k", "d", Command::StopAgent("later".into()))).is_ok());
    let restart = || {
        let wanted = json!({"intervention_type": "AGENT_RESTART", "target_id": "w", "reason": "slow"});
        once("restart", "d", Command::Intervene(serde_json::from_value(wanted).unwrap()))
    };
    let begun = house.ask(restart()).unwrap();
    let again = house.ask(restart()).unwrap();
    assert_eq!(begun, again);
    assert_eq!(house.it.state().counters.intervention, 1, "one restart, however often it is asked for");
}

#[test]
fn b1_only_so_many_named_requests_are_remembered_the_oldest_goes_first() {
    let mut house = House::with(json!({}), &[]);
    house.agent("r", AGENT);
    for number in 0..=REQUESTS_MAX {
        house.ask(once(&format!("k{number}"), "d", Command::StartAgent("r".into()))).unwrap();
    }
    assert_eq!(house.it.state().requests.len(), REQUESTS_MAX);
    assert!(!house.it.state().requests.contains(&"operator:ada k0".to_owned()));
    let kept: Vec<u64> = house.it.state().requests.values().map(|one| one.number).collect();
    assert!(!kept.contains(&0) && kept.contains(&1) && kept.contains(&(REQUESTS_MAX as u64)));
}

#[test]
fn an_event_is_taken_note_of_by_another_event_that_names_it() {
    let mut house = House::with(json!({}), &[]);
    let next = house.it.state().counters.event;
    assert_eq!(why(house.ask(Command::AcknowledgeEvent { id: next, note: String::new() })), Why::NotFound);
    house.ask(Command::AcknowledgeEvent { id: 0, note: "known".into() }).unwrap();
    let told = house.disk.0.last().unwrap().record.body.events().to_vec();
    assert_eq!((told[0].kind.as_str(), &told[0].details["event"]), ("event.acknowledged", &json!(0)));
    assert!(told[0].message.ends_with("event 0: known"), "{}", told[0].message);
}

fn policy(threshold: f64) -> Value {
    json!({"name": "p", "when": format!("agent.anomaly_score >= {threshold}"), "actions": [{"type": "restart_agent"}]})
}

fn revise(threshold: f64, expect: Option<u64>) -> Command {
    let new = Box::new(PolicyDocument::read(&policy(threshold)).unwrap().into_new());
    Command::RevisePolicy { new, expect }
}

#[test]
fn a_policy_is_revised_only_from_what_its_author_saw() {
    let mut house = House::with(json!({}), &[]);
    assert_eq!(why(house.ask(revise(0.5, None))), Why::NotFound, "there is nothing to revise");
    house.policy(policy(0.5), &["main"]);
    assert!(house.ask(revise(0.6, Some(1))).is_ok());
    assert_eq!(why(house.ask(revise(0.7, Some(1)))), Why::Stale);
    assert_eq!(why(house.ask(Command::RetirePolicy { name: "p".into(), expect: Some(1) })), Why::Stale);
    assert_eq!(house.it.state().policies.get(&"p".into()).unwrap().versions.len(), 2);
}

#[test]
fn a_retired_policy_does_nothing_keeps_its_numbers_and_can_be_brought_back() {
    let mut house = House::with(json!({}), &[]);
    house.policy(policy(0.5), &["main"]);
    house.ask(Command::RetirePolicy { name: "p".into(), expect: None }).unwrap();
    house.crash();
    let state = |house: &House| house.it.state().policies.get(&"p".into()).unwrap().clone();
    assert!(state(&house).retired_at.is_some() && state(&house).active.is_none());
    assert!(!house.it.state().supervisors.get(&"main".into()).unwrap().has_on_duty(&"p".into()));
    assert_eq!(why(house.ask(Command::ActivatePolicy { name: "p".into(), version: 1 })), Why::Conflict);
    let assign =
        |enabled| Command::AssignPolicy { supervisor: "main".into(), policy: "p".into(), priority: 1, enabled };
    assert_eq!(why(house.ask(assign(true))), Why::Conflict);
    assert!(house.ask(Command::RetirePolicy { name: "p".into(), expect: None }).is_ok(), "it is so already");
    // The same text brings it back as it was; another one gets the next number.
    house.ask(revise(0.5, None)).unwrap();
    assert!(state(&house).retired_at.is_none() && state(&house).versions.len() == 1);
    house.ask(Command::RetirePolicy { name: "p".into(), expect: None }).unwrap();
    house.ask(revise(0.6, None)).unwrap();
    assert_eq!(state(&house).versions.last().unwrap().version, 2);
    assert!(house.ask(assign(true)).is_ok());
}

#[test]
fn what_an_agent_works_at_is_kept() {
    let mut house = House::with(json!({}), &[]);
    house.agent("r", AGENT);
    let beat = |sequence, task: Option<&str>| {
        let beat =
            Beat { agent: "r".into(), sequence, status: None, task: task.map(str::to_owned), metrics: [].into() };
        Input::Beat { ticket: Ticket(1), beat }
    };
    house.say(beat(1, Some("job 7")));
    assert_eq!(house.it.state().agents.get(&"r".into()).unwrap().beats.task.as_deref(), Some("job 7"));
    house.say(beat(2, None));
    assert_eq!(house.it.state().agents.get(&"r".into()).unwrap().beats.task, None, "the newest beat counts");
}

fn decided(seq: u64) -> Input {
    Input::Decision(Box::new(Decision {
        watch: "bench".into(),
        seq: Seq(seq),
        cycle: CycleNo(seq),
        status: "FAIL".into(),
        end: Stamp(0),
        drivers: Vec::new(),
    }))
}

#[test]
fn join_where_a_watch_is_begun_is_durable_before_its_first_decision() {
    let mut house = House::with(json!({}), &[]);
    house.agent("r", r#"{"heartbeat":{},"watch":"bench"}"#);
    let following = |after| Input::Following { watch: "bench".into(), after: Seq(after) };
    house.say(following(4));
    house.crash();
    let cursor = |house: &House| house.it.state().cursors.get(&"bench".into()).map(|cursor| cursor.seq);
    assert_eq!(cursor(&house), Some(Seq(4)), "a start after a crash goes on from there, and skips nothing");
    // A later start that would begin elsewhere does not move it, neither forth nor back.
    house.say(following(9));
    house.say(following(1));
    assert_eq!(cursor(&house), Some(Seq(4)));
    let readings = |house: &House| house.it.state().agents.get(&"r".into()).unwrap().anomaly.consecutive;
    house.say_all(vec![decided(3), decided(4)]);
    assert_eq!(readings(&house), 0, "what came before is not taken in");
    house.say_all(vec![decided(5), decided(5), decided(6)]);
    house.crash();
    house.say_all(vec![following(3), decided(5), decided(6), decided(7)]);
    assert_eq!((readings(&house), cursor(&house)), (3, Some(Seq(7))), "each exactly once");
}

#[test]
fn join_a_watch_that_nobody_names_is_begun_anew() {
    let mut house = House::with(json!({}), &[]);
    house.agent("r", r#"{"heartbeat":{},"watch":"bench"}"#);
    house.say(Input::Following { watch: "bench".into(), after: Seq(4) });
    let name = |watch: &str| {
        let spec = Box::new(spec("r", &format!(r#"{{"heartbeat":{{}},"watch":{watch}}}"#)));
        Command::RespecifyAgent { spec, expect: None }
    };
    house.ask(name("null")).unwrap();
    assert!(house.it.state().cursors.is_empty(), "what it decides meanwhile is held against nobody");
    house.crash();
    assert!(house.it.state().cursors.is_empty());
    house.ask(name("\"bench\"")).unwrap();
    house.say(Input::Following { watch: "bench".into(), after: Seq(90) });
    house.say_all(vec![decided(89), decided(90), decided(91)]);
    assert_eq!(house.it.state().agents.get(&"r".into()).unwrap().anomaly.consecutive, 1);
}
