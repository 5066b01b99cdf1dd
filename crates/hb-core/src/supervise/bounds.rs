//! Every bound of the supervisor that is not a setting (B1). Reaching one is answered with a refusal or counted, and always told.

/// Agents of one stream.
pub const AGENTS_MAX: usize = 20_000;
/// Supervisors of one stream.
pub const SUPERVISORS_MAX: usize = 1_000;
/// Teams of one stream.
pub const TEAMS_MAX: usize = 5_000;
/// Policies of one stream.
pub const POLICIES_MAX: usize = 1_000;
/// Versions that are kept of a policy.
pub const POLICY_VERSIONS_MAX: usize = 50;
/// Nodes of a condition.
pub const CONDITION_NODES_MAX: usize = 200;
/// Depth of a condition.
pub const CONDITION_DEPTH_MAX: usize = 20;
/// Actions of a policy.
pub const ACTIONS_MAX: usize = 20;
/// Interventions that wait or are under way, in one supervisor; more are refused.
pub const INTERVENTIONS_OPEN_MAX: usize = 1_000;
/// Interventions that are over and still in the state; older ones are in the database only.
pub const INTERVENTIONS_OVER_MAX: usize = 1_000;
/// Groups of alerts that are open; beyond it the oldest is closed.
pub const GROUPS_OPEN_MAX: usize = 10_000;
/// Groups that are closed and still in the state.
pub const GROUPS_CLOSED_MAX: usize = 1_000;
/// Numbers of alerts that a group keeps.
pub const GROUP_ALERTS_MAX: usize = 100;
/// Notifications that wait for their sinks; beyond it the oldest goes, which is told.
pub const NOTIFICATIONS_MAX: usize = 1_000;
/// Closed memberships that a team keeps.
pub const MEMBERSHIPS_CLOSED_MAX: usize = 100;
/// Characters of one message of an agent.
pub const SAID_MAX: usize = 200;
/// Bytes of a specification, policy or other document.
pub const DOCUMENT_BYTES_MAX: usize = 256 * 1024;
/// Bytes of a condition as an expression.
pub const EXPRESSION_BYTES_MAX: usize = 64 * 1024;
/// Values in one list of a condition.
pub const CONDITION_LIST_MAX: usize = 1_000;
/// Requests under a name that are remembered; beyond it the oldest is forgotten, and could be carried out again.
pub const REQUESTS_MAX: usize = 4_096;
/// Characters of such a name.
pub const REQUEST_KEY_MAX: usize = 200;
/// Variables of a policy.
pub const VARIABLES_MAX: usize = 100;
