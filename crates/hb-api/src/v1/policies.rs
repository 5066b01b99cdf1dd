//! Policies: made, compared, tried out, agreed to, put in force and on duty; and the log of their evaluations.

use std::time::Instant;

use axum::http::StatusCode;
use hb_core::ids::{AgentId, PolicyName, SupervisorId};
use hb_core::supervise::input::{Command, NewPolicy};
use hb_core::supervise::policy::context::Given;
use hb_core::supervise::policy::document::PolicyDocument;
use hb_core::supervise::policy::simulate::{Question, Simulation};
use hb_core::supervise::policy::{Assignment, Policy, diff};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::call::{self, Call, Listed, Outcome, ok};
use super::problem::Problem;
use super::rate::Kind;
use super::shapes::policy::{EffectivenessDoc, PolicyDoc, PolicyLine, VersionDoc};
use super::supervisors;
use super::table::{AFTER, BASE, Gives, LIMIT, LOOK, ORDER, Parameter, RULE, Route, SKIP, Takes, Verb};
use hb_core::supervise::history::EvaluationFilter;

const ROOM: Route = Route { room: "policies", ..LOOK };
const ACT: Route = Route { room: "policies", gives: Gives::Json("Policy"), ..RULE };
const EVALUATIONS: [Parameter; 5] = [
    AFTER,
    LIMIT,
    ORDER,
    ("agent", "text", "Only those about this agent."),
    ("decision", "truth", "Only those whose condition held, or did not."),
];

pub(super) const ROUTES: &[Route] = &[
    Route {
        path: "/policies",
        name: "list_policies",
        says: "Policies, by name.",
        query: &[
            SKIP,
            LIMIT,
            ("active", "truth", "Only those in force, or those that are not."),
            ("retired", "truth", "Those that are retired; where it is not said, those that are not."),
        ],
        gives: Gives::List("PolicyLine"),
        call: |call| Box::pin(list(call)),
        ..ROOM
    },
    Route {
        path: "/policies",
        name: "create_policy",
        says: "Makes a policy, or a new version of one. It is checked whole, and not in force before it is activated. \
               Supervisors that it names have it on duty with its priority.",
        takes: Takes::Json("PolicyDocument"),
        gives: Gives::Created("Policy"),
        call: |call| Box::pin(create(call)),
        ..ACT
    },
    Route {
        path: "/policies/{policy_id}",
        name: "get_policy",
        says: "All of a policy, with its versions.",
        gives: Gives::Json("Policy"),
        call: |call| Box::pin(get(call)),
        ..ROOM
    },
    Route {
        verb: Verb::Put,
        path: "/policies/{policy_id}",
        name: "update_policy",
        says: "Makes a new version of a policy that exists.",
        takes: Takes::Json("PolicyChange"),
        versioned: true,
        call: |call| Box::pin(update(call)),
        ..ACT
    },
    Route {
        verb: Verb::Delete,
        path: "/policies/{policy_id}",
        name: "retire_policy",
        says: "Retires it: out of force and off duty everywhere. Its versions and what was decided by them stay to be read, and another \
               version brings it back.",
        versioned: true,
        gives: Gives::Nothing,
        call: |call| Box::pin(retire(call)),
        ..ACT
    },
    Route {
        path: "/policies/{policy_id}/versions",
        name: "list_policy_versions",
        says: "Its versions, oldest first.",
        gives: Gives::List("PolicyVersion"),
        call: |call| Box::pin(versions(call)),
        ..ROOM
    },
    Route {
        path: "/policies/{policy_id}/versions/{version}",
        name: "get_policy_version",
        says: "One version.",
        gives: Gives::Json("PolicyVersion"),
        call: |call| Box::pin(version(call)),
        ..ROOM
    },
    Route {
        path: "/policies/{policy_id}/diff",
        name: "diff_policy",
        says: "What is different between two versions: from the one in force to the newest, where it is not said.",
        query: &[("from", "version", "The first."), ("to", "version", "The second.")],
        gives: Gives::Json("PolicyDiff"),
        call: |call| Box::pin(compare(call)),
        ..ROOM
    },
    Route {
        path: "/policies/{policy_id}/effectiveness",
        name: "get_policy_effectiveness",
        says: "What was learned about it.",
        gives: Gives::Json("PolicyEffectiveness"),
        call: |call| Box::pin(effectiveness(call)),
        ..ROOM
    },
    Route {
        verb: Verb::Post,
        path: "/policies/{policy_id}/simulate",
        name: "simulate_policy",
        says: "What it would do about an agent as it is, or if things were as supposed. Nothing comes of it.",
        kind: Kind::Simulate,
        takes: Takes::Maybe("Supposition"),
        gives: Gives::Json("Simulation"),
        call: |call| Box::pin(simulate(call)),
        ..ROOM
    },
    Route {
        path: "/policies/{policy_id}/approve",
        name: "approve_policy",
        says: "Somebody other than its author agrees to a dangerous version.",
        takes: Takes::Maybe("Version"),
        call: |call| Box::pin(with_version(call, |name, version| Command::ApprovePolicy { name, version })),
        ..ACT
    },
    Route {
        path: "/policies/{policy_id}/activate",
        name: "activate_policy",
        says: "Puts a version in force; the newest, where it is not said.",
        takes: Takes::Maybe("Version"),
        call: |call| Box::pin(with_version(call, |name, version| Command::ActivatePolicy { name, version })),
        ..ACT
    },
    Route {
        path: "/policies/{policy_id}/rollback",
        name: "roll_back_policy",
        says: "Puts an older version in force; the one before the one in force, where it is not said.",
        takes: Takes::Maybe("Version"),
        call: |call| Box::pin(roll_back(call)),
        ..ACT
    },
    Route {
        path: "/policies/{policy_id}/deactivate",
        name: "deactivate_policy",
        says: "Puts none in force.",
        call: |call| Box::pin(deactivate(call)),
        ..ACT
    },
    Route {
        verb: Verb::Put,
        path: "/policies/{policy_id}/held",
        name: "settle_held_change",
        says: "Takes over a change of its figures that was held, or drops it.",
        takes: Takes::Json("Acceptance"),
        call: |call| Box::pin(settle(call)),
        ..ACT
    },
    Route {
        path: "/policies/{policy_id}/evaluations",
        name: "list_evaluations_of_policy",
        says: "Evaluations of a policy with their decision paths, the newest first.",
        query: &EVALUATIONS,
        gives: Gives::List("Evaluation"),
        call: |call| Box::pin(evaluations_of_policy(call)),
        ..ROOM
    },
    Route {
        path: "/supervisors/{supervisor_id}/policies",
        name: "list_assignments",
        says: "Policies of a supervisor, on duty and off it, in the order in which they are evaluated.",
        gives: Gives::List("Assignment"),
        call: |call| Box::pin(assignments(call)),
        ..ROOM
    },
    Route {
        path: "/supervisors/{supervisor_id}/policies",
        name: "assign_policy",
        says: "Puts a policy on duty, changes its priority, or takes it off duty.",
        takes: Takes::Json("NewAssignment"),
        gives: Gives::List("Assignment"),
        call: |call| Box::pin(assign(call)),
        ..ACT
    },
    Route {
        verb: Verb::Delete,
        path: "/supervisors/{supervisor_id}/policies/{policy_id}",
        name: "unassign_policy",
        says: "Takes a policy off duty.",
        gives: Gives::List("Assignment"),
        call: |call| Box::pin(unassign(call)),
        ..ACT
    },
    Route {
        path: "/supervisors/{supervisor_id}/evaluations",
        name: "list_evaluations_of_supervisor",
        says: "Evaluations for a supervisor with their decision paths, the newest first.",
        query: &EVALUATIONS,
        gives: Gives::List("Evaluation"),
        call: |call| Box::pin(evaluations_of_supervisor(call)),
        ..ROOM
    },
    Route {
        path: "/evaluations/{evaluation_id}",
        name: "get_evaluation",
        says: "One evaluation with its decision path.",
        gives: Gives::Json("Evaluation"),
        call: |call| Box::pin(evaluation(call)),
        ..ROOM
    },
];

fn name(call: &Call) -> PolicyName {
    call.part("policy_id").into()
}

fn unknown(name: &PolicyName) -> Problem {
    Problem::not_found("policy", name.as_str())
}

/// Looks at one policy.
async fn with<T: Send + 'static>(call: &Call, look: impl FnOnce(&Policy) -> T + Send + 'static) -> Result<T, Problem> {
    let name = name(call);
    let wanted = name.clone();
    let found = call.look(move |supervision| supervision.state().policies.get(&wanted).map(look)).await?;
    found.ok_or_else(|| unknown(&name))
}

async fn find(call: &Call, name: PolicyName) -> Result<PolicyDoc, Problem> {
    let wanted = name.clone();
    let found = call.look(move |supervision| {
        supervision.state().policies.get(&wanted).map(|policy| PolicyDoc::of(supervision, policy))
    });
    found.await?.ok_or_else(|| unknown(&name))
}

async fn list(call: Call) -> Outcome {
    let (part, active, retired) = (call.skip()?, call.truth("active")?, call.truth("retired")?.unwrap_or(false));
    let listed = call.look(move |supervision| {
        let all = supervision.state().policies.values();
        let all = all.filter(|policy| policy.retired_at.is_some() == retired);
        let all = all.filter(|policy| active.is_none_or(|active| policy.active.is_some() == active));
        Listed::of(all, part, |policy| PolicyLine::of(supervision, policy))
    });
    ok(&listed.await?)
}

async fn get(call: Call) -> Outcome {
    let found = find(&call, name(&call)).await?;
    call::tagged(&found, found.newest())
}

/// Makes a version by this command, and puts the policy on duty where the document says.
async fn accept(
    call: &Call,
    document: PolicyDocument,
    command: impl FnOnce(Box<NewPolicy>) -> Command,
) -> Result<(PolicyDoc, Vec<String>), Problem> {
    let (name, priority, supervisors) = (document.name.clone(), document.priority, document.supervisors.clone());
    let known = call.look({
        let supervisors = supervisors.clone();
        move |supervision| {
            let unknown = supervisors.into_iter().find(|id| !supervision.state().supervisors.contains(id));
            unknown.map(|id| supervisors::unknown(&id))
        }
    });
    if let Some(problem) = known.await? {
        return Err(problem);
    }
    let (_, mut notes) = call::made(call.want(command(Box::new(document.into_new()))).await?);
    for supervisor in supervisors {
        let assigned = Command::AssignPolicy { supervisor, policy: name.clone(), priority, enabled: true };
        notes.extend(call::made(call.want(assigned).await?).1);
    }
    notes.dedup();
    Ok((find(call, name).await?, notes))
}

fn document(value: &Value) -> Result<PolicyDocument, Problem> {
    PolicyDocument::read(value).map_err(|faults| Problem::policy(&faults))
}

async fn create(call: Call) -> Outcome {
    let document = document(&call.value()?)?;
    let location = format!("{BASE}/policies/{}", document.name);
    let (found, notes) = accept(&call, document, Command::AcceptPolicy).await?;
    let version = found.newest();
    call::created_version(&call::noted(found, notes), &location, version)
}

async fn update(call: Call) -> Outcome {
    let name = name(&call);
    let mut value = call.value()?;
    if let Value::Object(map) = &mut value {
        map.entry("name").or_insert_with(|| name.as_str().into());
    }
    let document = document(&value)?;
    if document.name != name {
        return Err(Problem::invalid("the body names another policy than the path").field("name", "that of the path"));
    }
    let expect = call.expected()?;
    let (found, notes) = accept(&call, document, |new| Command::RevisePolicy { new, expect }).await?;
    let version = found.newest();
    call::tagged(&call::noted(found, notes), version)
}

async fn retire(call: Call) -> Outcome {
    let expect = call.expected()?;
    call.want(Command::RetirePolicy { name: name(&call), expect }).await?;
    call::gone()
}

async fn versions(call: Call) -> Outcome {
    let all =
        |policy: &Policy| policy.versions.iter().map(|version| VersionDoc::of(policy, version)).collect::<Vec<_>>();
    let all = with(&call, all).await?;
    ok(&json!({"items": all, "total": all.len()}))
}

async fn version(call: Call) -> Outcome {
    let text = call.part("version").to_owned();
    let number: Option<u32> = text.parse().ok();
    let found = with(&call, move |policy| {
        number.and_then(|number| policy.version(number)).map(|version| VersionDoc::of(policy, version))
    });
    call::single(&found.await?.ok_or_else(|| Problem::not_found("version", &text))?)
}

fn wanted_version(call: &Call, key: &str) -> Result<Option<u32>, Problem> {
    Ok(call.number(key)?.map(|number| u32::try_from(number).unwrap_or(u32::MAX)))
}

async fn compare(call: Call) -> Outcome {
    let (from, to) = (wanted_version(&call, "from")?, wanted_version(&call, "to")?);
    let found = with(&call, move |policy| {
        let oldest = || policy.versions.first();
        let from = match from {
            Some(version) => policy.version(version).ok_or(version)?,
            None => policy.in_force().or_else(oldest).ok_or(0_u32)?,
        };
        let to = match to {
            Some(version) => policy.version(version).ok_or(version)?,
            None => policy.versions.last().ok_or(0_u32)?,
        };
        Ok::<_, u32>(diff::diff(from, to))
    });
    ok(&found.await?.map_err(|version| Problem::not_found("version", &version.to_string()))?)
}

async fn effectiveness(call: Call) -> Outcome {
    ok(&with(&call, EffectivenessDoc::of).await?)
}

/// What is supposed.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Supposition {
    agent_id: Option<AgentId>,
    supervisor_id: Option<SupervisorId>,
    version: Option<u32>,
    context: Value,
}

#[derive(Serialize)]
struct Simulated {
    #[serde(flatten)]
    simulation: Simulation,
    duration_ms: f64,
}

async fn simulate(call: Call) -> Outcome {
    let Supposition { agent_id, supervisor_id, version, context } = call.json()?;
    Given::read(&context).map(drop).map_err(|faults| Problem::policy(&faults))?;
    let (name, now) = (name(&call), call.now().wall);
    let simulated = call.look(move |supervision| {
        let began = Instant::now();
        let given = Given::read(&context).unwrap_or_default();
        let (supervisor, agent) = (supervisor_id.as_ref(), agent_id.as_ref());
        let question = Question { policy: Some(&name), version, supervisor, agent, given };
        let simulation = supervision.simulate(&question, now)?;
        Ok(Simulated { simulation, duration_ms: began.elapsed().as_secs_f64() * 1e3 })
    });
    ok(&simulated.await?.map_err(|refusal: hb_core::supervise::step::Refusal| Problem::from(refusal))?)
}

/// Which version.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct VersionBody {
    version: Option<u32>,
}

async fn with_version(call: Call, command: fn(PolicyName, u32) -> Command) -> Outcome {
    let VersionBody { version } = call.json()?;
    let version = match version {
        Some(version) => version,
        None => with(&call, |policy| policy.versions.last().map_or(0, |newest| newest.version)).await?,
    };
    put(call, version, command).await
}

async fn put(call: Call, version: u32, command: fn(PolicyName, u32) -> Command) -> Outcome {
    let name = name(&call);
    let (_, notes) = call::made(call.want(command(name.clone(), version)).await?);
    let found = find(&call, name).await?;
    let newest = found.newest();
    call::tagged(&call::noted(found, notes), newest)
}

async fn roll_back(call: Call) -> Outcome {
    let VersionBody { version } = call.json()?;
    let before = with(&call, move |policy| {
        let active = policy.active?;
        let older = policy.versions.iter().rev().map(|one| one.version).find(|one| *one < active);
        version.filter(|version| *version < active).or_else(|| older.filter(|_| version.is_none()))
    });
    let before = before.await?;
    // What was rolled back under this name is not looked for again.
    let Some(before) = before.or_else(|| call.again().then_some(0)) else {
        let message = "there is no such older version than the one in force";
        return Err(
            Problem::new(StatusCode::CONFLICT, "conflict", message).field("version", "one before the one in force")
        );
    };
    put(call, before, |name, version| Command::ActivatePolicy { name, version }).await
}

async fn deactivate(call: Call) -> Outcome {
    let name = name(&call);
    call.want(Command::DeactivatePolicy(name.clone())).await?;
    let found = find(&call, name).await?;
    let newest = found.newest();
    call::tagged(&found, newest)
}

/// Whether a held change is taken over.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Acceptance {
    accept: bool,
}

async fn settle(call: Call) -> Outcome {
    let Acceptance { accept } = call.json()?;
    let name = name(&call);
    call.want(Command::SettleHeld { name: name.clone(), accept }).await?;
    ok(&find(&call, name).await?)
}

// ---------------------------------------------------------------------- on duty

async fn assigned(call: &Call) -> Outcome {
    let id = supervisors::id(call);
    let wanted = id.clone();
    let found =
        call.look(move |supervision| supervision.state().supervisors.get(&wanted).map(|one| one.policies.clone()));
    let mut policies: Vec<Assignment> = found.await?.ok_or_else(|| supervisors::unknown(&id))?;
    policies.sort_by(|a, b| b.priority.cmp(&a.priority).then_with(|| a.policy.cmp(&b.policy)));
    ok(&json!({"items": policies, "total": policies.len()}))
}

async fn assignments(call: Call) -> Outcome {
    assigned(&call).await
}

/// A policy to be put on duty.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewAssignment {
    #[serde(alias = "policy")]
    policy_id: PolicyName,
    #[serde(default)]
    priority: i32,
    #[serde(default = "on")]
    enabled: bool,
}

fn on() -> bool {
    true
}

async fn assign(call: Call) -> Outcome {
    let NewAssignment { policy_id: policy, priority, enabled } = call.json()?;
    call.want(Command::AssignPolicy { supervisor: supervisors::id(&call), policy, priority, enabled }).await?;
    assigned(&call).await
}

async fn unassign(call: Call) -> Outcome {
    let (supervisor, policy) = (supervisors::id(&call), name(&call));
    call.want(Command::AssignPolicy { supervisor, policy, priority: 0, enabled: false }).await?;
    assigned(&call).await
}

// ---------------------------------------------------------------------- evaluations

async fn evaluations(call: &Call, filter: EvaluationFilter) -> Outcome {
    let (agent, decision) = (call.asked("agent").map(AgentId::from), call.truth("decision")?);
    let (filter, page) = (EvaluationFilter { agent, decision, ..filter }, call.page()?);
    let found = call.history(move |supervisors| supervisors.evaluations(&filter, page)).await?;
    ok(&Listed::page(found, page.limit, |one| Some(one.id)))
}

async fn evaluations_of_policy(call: Call) -> Outcome {
    with(&call, |_| ()).await?;
    evaluations(&call, EvaluationFilter { policy: Some(name(&call)), ..EvaluationFilter::default() }).await
}

async fn evaluations_of_supervisor(call: Call) -> Outcome {
    let supervisor = Some(call.known_supervisor(supervisors::id(&call)).await?);
    evaluations(&call, EvaluationFilter { supervisor, ..EvaluationFilter::default() }).await
}

async fn evaluation(call: Call) -> Outcome {
    let text = call.part("evaluation_id").to_owned();
    let number = text.parse().ok().filter(|number| i64::try_from(*number).is_ok());
    let number: u64 = number.ok_or_else(|| Problem::not_found("evaluation", &text))?;
    let found = call.history(move |supervisors| supervisors.evaluation(number)).await?;
    call::single(&found.ok_or_else(|| Problem::not_found("evaluation", &text))?)
}
