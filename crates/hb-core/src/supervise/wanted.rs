//! What people and `hb.yaml` want to be made: the documents of supervisors, teams, policies and interventions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::intervention::{InterventionType, TargetType};
use super::policy::{Definition, PolicyType, Variable};
use super::tree::{MemberRole, SupervisorConfig};
use crate::ids::{AgentId, PolicyName, SupervisorId, TeamId};

/// A supervisor to be made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewSupervisor {
    /// Its id; made of the name when absent.
    #[serde(default)]
    pub id: Option<SupervisorId>,
    /// 1 to 255 characters; unique below its parent.
    pub name: String,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// The one above.
    #[serde(default, alias = "parent")]
    pub parent_id: Option<SupervisorId>,
    /// Settings.
    #[serde(default)]
    pub config: SupervisorConfig,
    /// Teams are made later, but agents named here must exist: a first team of them is made.
    #[serde(default)]
    pub agents: Vec<AgentId>,
}

/// A team to be made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewTeam {
    /// Its id; made of the name when absent.
    #[serde(default)]
    pub id: Option<TeamId>,
    /// Who looks after it; the one root when absent.
    #[serde(default, alias = "supervisor")]
    pub supervisor_id: Option<SupervisorId>,
    /// Unique in its supervisor.
    pub name: String,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// What it is for.
    #[serde(default)]
    pub objective: String,
    /// First members.
    #[serde(default)]
    pub members: Vec<NewMember>,
}

/// A member to be added: a name, or a name with its role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum NewMember {
    /// As a plain member.
    Agent(AgentId),
    /// With a role.
    Full {
        /// Who.
        agent: AgentId,
        /// As what.
        #[serde(default)]
        role: MemberRole,
        /// Whatever its owner wants to keep with it.
        #[serde(default)]
        metadata: BTreeMap<String, Value>,
    },
}

/// A version of a policy to be made. It has been read and checked: its condition is sound.
#[derive(Debug, Clone, PartialEq)]
pub struct NewPolicy {
    /// Its name.
    pub name: PolicyName,
    /// For people.
    pub description: String,
    /// What it is about.
    pub policy_type: PolicyType,
    /// Condition and actions.
    pub definition: Definition,
    /// Figures.
    pub variables: BTreeMap<String, Variable>,
}

/// An intervention that somebody asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewIntervention {
    /// Whose agents they are; found by the target when absent.
    #[serde(default)]
    pub supervisor_id: Option<SupervisorId>,
    /// What.
    pub intervention_type: InterventionType,
    /// To what.
    #[serde(default = "an_agent")]
    pub target_type: TargetType,
    /// To which.
    pub target_id: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// Parameters.
    #[serde(default)]
    pub action_details: BTreeMap<String, Value>,
    /// A person has to agree, although nothing else asks for it.
    #[serde(default)]
    pub approval_required: bool,
    /// Seconds between two members.
    #[serde(default)]
    pub stagger_seconds: Option<f64>,
    /// An emergency: every step must have an undo, which runs when a step fails.
    #[serde(default)]
    pub emergency: bool,
    /// Said a second time for what cannot be taken back (SHUTDOWN, DELETE).
    #[serde(default)]
    pub confirm: bool,
}

fn an_agent() -> TargetType {
    TargetType::Agent
}
