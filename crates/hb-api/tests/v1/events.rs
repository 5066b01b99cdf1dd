//! What happened: listed, and followed without gaps.

use serde_json::{Value, json};

use crate::support::{Follower, Served, until};

#[test]
fn events_are_listed_in_both_orders_and_filtered() {
    let served = Served::owned().main();
    served.agent("r1");
    let newest = served.get("/events?limit=2");
    let oldest = served.get("/events?limit=2&order=oldest");
    assert_eq!((&oldest["items"][0]["id"], &oldest["next"]), (&json!(0), &json!(1)));
    assert!(newest["items"][0]["id"].as_u64().unwrap() > newest["items"][1]["id"].as_u64().unwrap());
    let all = served.get("/events?limit=1000&order=oldest");
    let ids: Vec<u64> = all["items"].as_array().unwrap().iter().map(|event| event["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, (0..served.room.events_so_far()).collect::<Vec<_>>(), "without gaps");
    let about = served.get("/events?agent=r1");
    assert!(about["items"].as_array().unwrap().iter().all(|event| event["about"]["agent"] == "r1"));
    assert!(!served.get("/events?kind=supervisor.*")["items"].as_array().unwrap().is_empty());
    assert_eq!(served.get("/events?severity=CRITICAL")["items"], json!([]));
    assert_eq!(served.get("/events/0")["id"], 0);
    assert_eq!(served.get("/api/supervisor/events?process_id=r1&limit=1")["items"][0]["about"]["agent"], "r1");
    served.send("GET", "/events/99999", None).refused(404);
    served.send("GET", "/events/nonsense", None).refused(404);
}

#[test]
fn a_follower_gets_what_was_and_what_comes_each_once() {
    let served = Served::owned().main();
    let before = served.room.events_so_far();
    let mut follower = Follower::new(&served, "?after=0", None);
    for id in 1..before {
        assert_eq!(follower.next().unwrap().id, Some(id));
    }
    served.agent("r1");
    let sent = follower.next().unwrap();
    assert_eq!(sent.id, Some(before));
    let data: Value = serde_json::from_str(&sent.data).unwrap();
    assert_eq!((data["kind"].as_str().unwrap(), &data["id"]), (sent.kind.as_str(), &json!(before)));
    drop(follower);
    let all = served.room.events_so_far();
    let mut again = Follower::new(&served, "", Some(before));
    for id in before + 1..all {
        assert_eq!(again.next().unwrap().id, Some(id), "resumed after the last one that was seen");
    }
    served.post("/supervisors/main/pause", json!({})).must(200);
    assert_eq!(again.next().unwrap().id, Some(all));
}

#[test]
fn a_follower_from_now_on_may_filter_and_is_told_of_what_is_not_kept_any_more() {
    let served = Served::owned().main();
    let mut follower = Follower::new(&served, "?kind=supervisor.paused", None);
    served.agent("r1");
    served.post("/supervisors/main/pause", json!({})).must(200);
    assert_eq!(follower.next().unwrap().kind, "supervisor.paused");
    served.room.trim_events(2);
    let mut late = Follower::new(&served, "", Some(0));
    let gap = late.next().unwrap();
    assert_eq!((gap.kind.as_str(), gap.data.as_str()), ("gap", "{\"from\":1,\"to\":1}"));
    assert_eq!(late.next().unwrap().id, Some(2));
    let headers = [("Last-Event-ID", "yesterday")];
    assert_eq!(served.raw("GET", "/api/v1/events/stream", &headers, b"").refused(400), "Last-Event-ID");
}

#[test]
fn followers_are_bounded_and_end_with_the_server() {
    let served = Served::owned().main();
    let mut followers: Vec<Follower> = (0..hb_api::v1::STREAMS_MAX).map(|_| Follower::new(&served, "", None)).collect();
    let full = served.send("GET", "/events/stream", None);
    assert_eq!((full.status, full.header("retry-after")), (503, "1"));
    followers.pop();
    let place = until("a place", || {
        let answer = Follower::try_new(&served);
        answer.is_some().then_some(answer)
    });
    drop(place);
    let Served { server, .. } = served;
    server.stop();
    assert!(followers.iter_mut().all(|follower| follower.next().is_none()));
}
