//! What people ask of the supervisor by its API, and what they were answered: what was acknowledged must stand at the end (S1, S7), what
//! was not may or may not have come about, and what is asked for again under the same key is done once (S4).

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use hb_core::supervise::state::Fold;
use serde_json::{Value, json};

use super::asking::{Told, exchange};
use super::site::Site;
use super::twins::MEMBERS;
use crate::support::random::Random;

/// Most supervisors that are made.
const LINES: u64 = 12;

/// All that was asked for.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    /// Supervisors by name, whether each is known to be there, and what its wanted state is if that is known.
    lines: BTreeMap<String, Line>,
    /// Restarts by key: of whom, and the intervention once it is known.
    restarts: BTreeMap<String, (String, Option<String>)>,
    /// How many of each sort of answer came.
    pub(crate) answered: BTreeMap<String, usize>,
}

#[derive(Debug, Default)]
struct Line {
    made: Made,
    /// None: an answer was lost, or it was never changed.
    wanted: Option<&'static str>,
}

#[derive(Debug, Default, PartialEq)]
enum Made {
    #[default]
    Perhaps,
    Surely,
}

impl Wishes {
    /// Asks for something; that nobody answers is no fault.
    pub(crate) fn ask(&mut self, site: &Site, address: SocketAddr, random: &mut Random) {
        match random.between(0, 3) {
            0 => self.make(site, address, random),
            1 => self.turn(site, address, random),
            _ => self.restart(site, address, random),
        }
    }

    fn make(&mut self, site: &Site, address: SocketAddr, random: &mut Random) {
        let name = format!("line-{}", random.between(0, LINES));
        let answer = self.send((site, address), "/supervisors", &[], &json!({"name": name}));
        let line = self.lines.entry(name.clone()).or_default();
        match answer {
            // Made now, or by a request before whose answer was lost.
            Some(Told { status: 201 | 409, .. }) => line.made = Made::Surely,
            Some(Told { status: 503 | 504, .. }) | None => {}
            Some(told) => panic!("S1: {name} was refused: {told:?}"),
        }
    }

    fn turn(&mut self, site: &Site, address: SocketAddr, random: &mut Random) {
        let there: Vec<String> =
            self.lines.iter().filter(|(_, line)| line.made == Made::Surely).map(|(name, _)| name.clone()).collect();
        let Some(name) = there.get(random.between(0, there.len().max(1) as u64) as usize) else { return };
        let (verb, wanted) = if random.one_in(2) { ("pause", "PAUSED") } else { ("resume", "ACTIVE") };
        let answer = self.send((site, address), &format!("/supervisors/{name}/{verb}"), &[], &Value::Null);
        let line = self.lines.get_mut(name).unwrap();
        match answer {
            Some(Told { status: 200..=299, .. }) => line.wanted = Some(wanted),
            // It is so already.
            Some(Told { status: 409, .. }) => {}
            Some(Told { status: 404, body, .. }) => panic!("S1: {name} was acknowledged and is gone: {body}"),
            // It may have come about, or come about yet.
            Some(_) | None => line.wanted = None,
        }
    }

    fn restart(&mut self, site: &Site, address: SocketAddr, random: &mut Random) {
        // One of those asked before, or a new one.
        let known = self.restarts.len() as u64;
        let number = if known > 0 && random.one_in(3) { random.between(0, known) } else { known };
        let key = format!("restart {number:04}");
        let agent = MEMBERS[(number % MEMBERS.len() as u64) as usize].to_owned();
        let path = format!("/agents/{agent}/restart");
        let answer = self.send((site, address), &path, &[("Idempotency-Key", &key)], &json!({"reason": "torture"}));
        let (_, before) = self.restarts.entry(key.clone()).or_insert((agent, None));
        let Some(told) = answer.filter(|told| told.status == 202) else { return };
        let id = told.body["id"].as_str().expect("an intervention has a name").to_owned();
        match before {
            Some(before) => assert_eq!(*before, id, "S4: {key} was carried out twice"),
            None => *before = Some(id),
        }
    }

    fn send(
        &mut self,
        (site, address): (&Site, SocketAddr),
        path: &str,
        more: &[(&str, &str)],
        body: &Value,
    ) -> Option<Told> {
        let token = std::fs::read_to_string(site.project.output.join("api.token")).ok()?;
        let bearer = format!("Bearer {}", token.trim());
        let mut headers = vec![("Authorization", bearer.as_str())];
        headers.extend_from_slice(more);
        let answer = exchange(address, ("POST", path), &headers, body);
        let said = answer.as_ref().map_or_else(|error| format!("{:?}", error.kind()), |told| told.status.to_string());
        *self.answered.entry(said).or_default() += 1;
        answer.ok()
    }

    /// What was acknowledged stands.
    pub(crate) fn assert_granted(&self, fold: &Fold) {
        let standing: BTreeMap<&str, String> = fold
            .state
            .supervisors
            .values()
            .map(|one| (one.name.as_str(), format!("{:?}", one.wanted).to_uppercase()))
            .collect();
        for (name, line) in self.lines.iter().filter(|(_, line)| line.made == Made::Surely) {
            let is = standing.get(name.as_str()).unwrap_or_else(|| panic!("S1: {name} was acknowledged and is gone"));
            if let Some(wanted) = line.wanted {
                assert_eq!(is, wanted, "S7: what is wanted of {name} was acknowledged");
            }
        }
        let known = || self.restarts.iter().filter_map(|(key, (agent, id))| Some((key, agent, id.as_ref()?)));
        let mut ids = BTreeSet::new();
        for (key, _, id) in known() {
            assert!(ids.insert(id), "S4: {id} answers two requests, {key} too");
        }
        for (key, agent, id) in known() {
            let one = fold.state.interventions.values().find(|one| one.id.as_str() == id);
            let one = one.unwrap_or_else(|| panic!("S1: {id} for {key} was acknowledged and is gone"));
            assert_eq!(one.target_id, *agent, "S4: {id} is another one's");
        }
    }
}

/// Does it notice? What was acknowledged, and is not there.
mod noticed {
    use hb_core::supervise::state::Fold;

    use super::{Line, Made, Wishes};

    #[test]
    fn s1_what_was_perhaps_done_may_be_missing() {
        let mut wishes = Wishes::default();
        wishes.lines.insert("line-1".into(), Line::default());
        wishes.restarts.insert("restart 0000".into(), ("m1".into(), None));
        wishes.assert_granted(&Fold::default());
    }

    #[test]
    #[should_panic(expected = "S1: line-1 was acknowledged and is gone")]
    fn s1_a_supervisor_that_was_acknowledged_and_is_gone_is_noticed() {
        let mut wishes = Wishes::default();
        wishes.lines.insert("line-1".into(), Line { made: Made::Surely, wanted: None });
        wishes.assert_granted(&Fold::default());
    }

    #[test]
    #[should_panic(expected = "S1: i-7 for restart 0000 was acknowledged and is gone")]
    fn s1_an_intervention_that_was_acknowledged_and_is_gone_is_noticed() {
        let mut wishes = Wishes::default();
        wishes.restarts.insert("restart 0000".into(), ("m1".into(), Some("i-7".into())));
        wishes.assert_granted(&Fold::default());
    }

    #[test]
    #[should_panic(expected = "S4: i-7 answers two requests")]
    fn s4_one_intervention_for_two_requests_is_noticed() {
        let mut wishes = Wishes::default();
        for key in ["restart 0000", "restart 0001"] {
            wishes.restarts.insert(key.into(), ("m1".into(), Some("i-7".into())));
        }
        wishes.assert_granted(&Fold::default());
    }
}
