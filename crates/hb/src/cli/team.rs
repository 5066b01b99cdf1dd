//! `hb team …`: agents that belong together.

use serde_json::{Value, json};

use super::intervention::{Wait, told as intervention_told};
use super::out::Cell;
use super::told::{self, Doc as _, Form, heads};
use super::{Failure, Out, choice};
use crate::exit::Exit;
use crate::reach::{Query, ReachArgs, escaped};

/// `hb team …`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List teams and how many of their members are up.
    List(List),
    /// Show a team and its members.
    Show(choice::One),
    /// Make a team.
    Create(Create),
    /// Forget a team; its members are free.
    Delete(One),
    /// Add a member; an agent is a member of one team at most.
    Add(Add),
    /// Close a membership.
    Remove(Remove),
    /// Restart the members one after another, as an intervention to which somebody else has to agree.
    Restart(Restart),
}

/// `hb team list`.
#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    reach: ReachArgs,
    /// Only those of this supervisor.
    #[arg(long, value_name = "ID")]
    supervisor: Option<String>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// One team.
#[derive(Debug, clap::Args)]
pub struct One {
    #[command(flatten)]
    reach: ReachArgs,
    /// Which team.
    id: String,
}

/// `hb team create`.
#[derive(Debug, clap::Args)]
pub struct Create {
    #[command(flatten)]
    reach: ReachArgs,
    /// Its name; its id is made of it.
    name: String,
    /// First members.
    members: Vec<String>,
    /// Who looks after it.
    #[arg(long, value_name = "ID", default_value = "main")]
    supervisor: String,
    /// What it is for.
    #[arg(long, value_name = "TEXT", default_value = "")]
    objective: String,
    /// For people.
    #[arg(long, value_name = "TEXT", default_value = "")]
    description: String,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// `hb team add`.
#[derive(Debug, clap::Args)]
pub struct Add {
    #[command(flatten)]
    reach: ReachArgs,
    /// Which team.
    id: String,
    /// Which agents.
    #[arg(required = true)]
    agents: Vec<String>,
    /// As what: lead, member, trainee.
    #[arg(long, value_name = "ROLE", default_value = "member")]
    role: String,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// `hb team remove`.
#[derive(Debug, clap::Args)]
pub struct Remove {
    #[command(flatten)]
    reach: ReachArgs,
    /// Which team.
    id: String,
    /// Which agents.
    #[arg(required = true)]
    agents: Vec<String>,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// `hb team restart`.
#[derive(Debug, clap::Args)]
pub struct Restart {
    #[command(flatten)]
    reach: ReachArgs,
    /// Which team.
    id: String,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Seconds between two members.
    #[arg(long, value_name = "SECONDS")]
    stagger: Option<f64>,
    #[command(flatten)]
    wait: Wait,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// Carries it out.
///
/// # Errors
/// The configuration has faults; nobody can be asked; the node refuses.
pub fn run(command: &Command, out: &mut Out) -> Result<Exit, Failure> {
    match command {
        Command::List(args) => list(args, out),
        Command::Show(args) => {
            let team = args.reach.reading()?.get(&format!("/teams/{}", escaped(&args.id)))?;
            whole(&team, args.json.into(), out)
        }
        Command::Create(args) => create(args, out),
        Command::Delete(args) => {
            args.reach.changing()?.send("DELETE", &format!("/teams/{}", escaped(&args.id)), None)?;
            out.line(format_args!("team {} is forgotten; its members are free", args.id))?;
            Ok(Exit::Ok)
        }
        Command::Add(args) => add(args, out),
        Command::Remove(args) => remove(args, out),
        Command::Restart(args) => restart(args, out),
    }
}

fn list(args: &List, out: &mut Out) -> Result<Exit, Failure> {
    let path = args.supervisor.as_ref().map(|id| format!("/supervisors/{}/teams", escaped(id)));
    let path = path.unwrap_or_else(|| "/teams".to_owned());
    let (teams, _) = args.reach.reading()?.list(&path, &Query::default(), usize::MAX)?;
    if args.json {
        told::json_lines(&teams, out)?;
        return Ok(Exit::Ok);
    }
    let mut rows = vec![heads(&["team", "supervisor", "members", "up", "objective"])];
    for team in &teams {
        rows.push(vec![
            Cell::text(team.text("id")),
            Cell::text(team.text("supervisor_id")),
            Cell::figure(team.count("member_count")),
            Cell::figure(team.count("active_count")),
            Cell::text(team.text("objective")),
        ]);
    }
    out.table(&rows)?;
    Ok(Exit::Ok)
}

fn whole(team: &Value, form: Form, out: &mut Out) -> Result<Exit, Failure> {
    if form == Form::Json {
        out.json(team)?;
        return Ok(Exit::Ok);
    }
    let (up, all) = (team.count("active_count"), team.count("member_count"));
    out.line(format_args!("team {} of supervisor {}: {up} of {all} up", team.text("id"), team.text("supervisor_id")))?;
    told::field("objective", &team.text("objective"), out)?;
    told::field("description", &team.text("description"), out)?;
    let mut rows = vec![heads(&["agent", "role", "since"])];
    for member in team.items("members") {
        rows.push(vec![
            Cell::text(member.text("agent")),
            Cell::text(member.text("role")),
            Cell::figure(told::ago(member.stamp("joined_at"))),
        ]);
    }
    out.table(&rows)?;
    told::notes(team, out)?;
    Ok(Exit::Ok)
}

fn create(args: &Create, out: &mut Out) -> Result<Exit, Failure> {
    let body = json!({
        "name": args.name, "objective": args.objective, "description": args.description, "members": args.members,
    });
    let live = args.reach.changing()?;
    let team = live.send("POST", &format!("/supervisors/{}/teams", escaped(&args.supervisor)), Some(&body))?;
    whole(&team, args.json.into(), out)
}

fn add(args: &Add, out: &mut Out) -> Result<Exit, Failure> {
    let live = args.reach.changing()?;
    let path = format!("/teams/{}/members", escaped(&args.id));
    let mut team = Value::Null;
    for agent in &args.agents {
        team = live.send("POST", &path, Some(&json!({"agent_id": agent, "role": args.role.to_uppercase()})))?;
    }
    whole(&team, args.json.into(), out)
}

fn remove(args: &Remove, out: &mut Out) -> Result<Exit, Failure> {
    let live = args.reach.changing()?;
    let mut team = Value::Null;
    for agent in &args.agents {
        team = live.send("DELETE", &format!("/teams/{}/members/{}", escaped(&args.id), escaped(agent)), None)?;
    }
    whole(&team, args.json.into(), out)
}

fn restart(args: &Restart, out: &mut Out) -> Result<Exit, Failure> {
    let live = args.reach.changing()?;
    let body = json!({
        "intervention_type": "TEAM_RESTART", "target_type": "TEAM", "target_id": args.id,
        "reason": args.reason.as_deref().unwrap_or_default(), "stagger_seconds": args.stagger,
    });
    let asked = live.send("POST", "/interventions", Some(&body))?;
    intervention_told(&live, vec![asked], (&args.wait, "COMPLETED"), args.json.into(), out)
}
