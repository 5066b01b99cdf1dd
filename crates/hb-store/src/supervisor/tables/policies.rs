//! Policies: versions, which never change, and figures, which do with each evaluation.

use std::collections::BTreeMap;

use hb_core::ids::{Actor, PolicyName};
use hb_core::supervise::policy::{Policy, PolicyVersion};
use rusqlite::{Connection, Result, params};

use super::{Tables, json, word};
use crate::sqlite::{int, utc};

impl Tables {
    pub(super) fn write_policies(
        &mut self,
        tx: &Connection,
        changed: &BTreeMap<PolicyName, Option<Policy>>,
    ) -> Result<()> {
        for (name, policy) in changed {
            match policy {
                Some(policy) => {
                    self.versions(tx, policy)?;
                    figures(tx, policy)?;
                }
                None => {
                    delete_versions(tx, name)?;
                    tx.prepare_cached("DELETE FROM supervisor_policy_figures WHERE name = ?1")?
                        .execute([name.as_str()])?;
                    self.versions.remove(name);
                }
            }
        }
        Ok(())
    }

    fn versions(&mut self, tx: &Connection, policy: &Policy) -> Result<()> {
        let stands: Vec<_> = policy.versions.iter().map(|one| (one.version, one.approved_by.clone())).collect();
        if self.versions.get(&policy.name) == Some(&stands) {
            return Ok(());
        }
        delete_versions(tx, &policy.name)?;
        policy.versions.iter().try_for_each(|one| version(tx, &policy.name, one))?;
        self.versions.insert(policy.name.clone(), stands);
        Ok(())
    }
}

fn delete_versions(tx: &Connection, name: &PolicyName) -> Result<()> {
    tx.prepare_cached("DELETE FROM supervisor_policy_versions WHERE name = ?1")?.execute([name.as_str()]).map(|_| ())
}

fn version(tx: &Connection, name: &PolicyName, one: &PolicyVersion) -> Result<()> {
    tx.prepare_cached(
        "INSERT INTO supervisor_policy_versions (name, version, description, policy_type, definition, variables,
         created_by, created_at, dangerous, approved_by) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        name.as_str(),
        one.version,
        one.description,
        word(&one.policy_type),
        json(&one.definition),
        json(&one.variables),
        one.created_by.as_str(),
        utc(one.created_at),
        one.dangerous,
        one.approved_by.as_ref().map(Actor::as_str),
    ])
    .map(|_| ())
}

fn figures(tx: &Connection, policy: &Policy) -> Result<()> {
    tx.prepare_cached(
        "INSERT OR REPLACE INTO supervisor_policy_figures (name, origin, active, variables, effectiveness_score,
         total_evaluations, matches, successful_evaluations, held) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        policy.name.as_str(),
        word(&policy.origin),
        policy.active,
        json(&policy.variables),
        policy.effectiveness,
        int(policy.evaluations),
        int(policy.matches),
        int(policy.successes),
        policy.held.as_ref().map(json),
    ])
    .map(|_| ())
}
