//! What other nodes may ask of this one for a copy, and put into it.
//!
//! **Invariants.** Nothing is written here while this node is anything but a standby, nor into a journal that others may work with: one on
//! a server, or a folder in which another node is active. What is sent is checked by the same code that checks what is copied at
//! hand.

use std::sync::{Arc, Mutex, PoisonError};

use hb_api::Access;
use hb_api::v1::sync::{Asked, Copies, Given, Refusal, SyncApi, Why};
use hb_core::node::view::Role;
use hb_daemon::clock;
use hb_daemon::shared::Shared;
use hb_store::sync::{Local, Note, Raw, Side, SyncError, frames};
use serde_json::json;

use super::rebase;
use super::target::own;
use crate::config::Config;
use crate::config::checked::{LeaseBackend, Place};
use crate::nodes;

/// This node as others see it.
struct NodeCopies {
    config: Config,
    shared: Arc<Shared>,
    /// One for all: they come one at a time.
    side: Mutex<Option<Local>>,
}

/// The routes of a node that decides.
pub(in crate::wire) fn api(config: &Config, shared: &Arc<Shared>, access: Access) -> SyncApi {
    let copies = NodeCopies { config: config.clone(), shared: Arc::clone(shared), side: Mutex::new(None) };
    SyncApi::new(Arc::new(copies), access)
}

impl NodeCopies {
    fn may_write(&self) -> Result<(), Refusal> {
        let view = self.shared.view();
        let role = view.role;
        if role == Role::Standby {
            // Where nodes share watches out, those of others are worked for too.
            let message = match view.holders.as_ref().and_then(|holders| holders.values().next()) {
                Some(holder) => format!("node {holder} works for watches here: nobody writes records for it"),
                None => match self.others()? {
                    Some(why) => format!("the journal of node {} {why}", self.config.node),
                    None => return Ok(()),
                },
            };
            return Err(Refusal { why: Why::Conflict, message });
        }
        let message = format!("node {} is {}: nobody writes its records for it", self.config.node, role.as_str());
        Err(Refusal { why: Why::Conflict, message })
    }

    /// Who else may work with this node's journal while this node stands by.
    fn others(&self) -> Result<Option<String>, Refusal> {
        if let Place::Server(server) = &self.config.journal {
            return Ok(Some(format!("is at {server}, where other nodes may work: copy to that address itself")));
        }
        if matches!(self.config.lease.backend, LeaseBackend::Server(_)) {
            // The board is that of all the nodes of the lease, and whoever is active there may be the one that sends.
            return Ok(None);
        }
        let roster = nodes::look_in(&self.config.output_dir)
            .map_err(|failure| Refusal { why: Why::Unavailable, message: failure.what })?;
        let active = nodes::here(&roster).find(|card| card.account.role == Role::Active);
        Ok(active.map(|card| format!("is in {}, where {} is active", self.config.output_dir.display(), card.node)))
    }

    fn with(&self, asked: Asked) -> Result<Given, SyncError> {
        let mut held = self.side.lock().unwrap_or_else(PoisonError::into_inner);
        let side = match &mut *held {
            Some(side) => side,
            None => {
                let aside = rebase::folder_name(clock::wall());
                held.insert(own(&self.config, &aside)?.called(format!("node {}", self.config.node)))
            }
        };
        let given = answer(side, &self.config, self.shared.role(), asked);
        if matches!(given, Err(SyncError::Unavailable(_) | SyncError::Unwritable(_))) {
            // The file system may have been mounted anew.
            *held = None;
        }
        given
    }
}

fn answer(side: &mut Local, config: &Config, role: Role, asked: Asked) -> Result<Given, SyncError> {
    let document = |found: Option<Vec<u8>>| found.map_or(Given::Nothing, Given::Bytes);
    Ok(match asked {
        Asked::Streams => {
            let streams = side.streams()?.unwrap_or_else(|| of_config(config));
            let streams: Vec<_> = streams.into_iter().filter(|name| copied(name.as_str())).collect();
            Given::Json(json!({"format": 1, "node": config.node, "role": role, "streams": streams}))
        }
        Asked::Standing(stream) => {
            let standing = side.standing(&stream)?;
            Given::Json(json!({"floor": standing.floor, "head": standing.head}))
        }
        Asked::Records(stream, from, most) => Given::Bytes(frames::encode(&side.read(&stream, from, most)?)),
        Asked::Append(stream, body) => {
            side.append(&stream, page(&body)?)?;
            Given::Done
        }
        Asked::Begin(stream, seen, body) => {
            side.begin(&stream, seen, page(&body)?)?;
            Given::Done
        }
        Asked::Trim(stream, floor) => Given::Json(json!({"removed": side.trim(&stream, floor)?})),
        Asked::Document(hash) => document(side.document(hash)?),
        Asked::HasDocument(hash) => {
            if side.has_document(hash)? {
                Given::Done
            } else {
                Given::Nothing
            }
        }
        Asked::Keep(hash, bytes) => {
            side.keep(hash, &bytes)?;
            Given::Done
        }
        Asked::Note => document(side.note()?.map(|note| note.to_bytes())),
        Asked::Leave(bytes) => {
            let note = Note::parse(&bytes).map_err(SyncError::Corrupt)?;
            side.leave(&note)?;
            Given::Done
        }
    })
}

fn page(body: &[u8]) -> Result<Vec<Raw>, SyncError> {
    frames::decode(body).map_err(|what| SyncError::Corrupt(format!("what was sent is no page of records: {what}")))
}

fn copied(stream: &str) -> bool {
    stream.starts_with("watch/") || stream.starts_with("baseline/")
}

/// The streams of the configuration, where the journal cannot list its own.
fn of_config(config: &Config) -> Vec<hb_core::ids::StreamName> {
    let of = |watch: &crate::config::checked::WatchConfig| {
        hb_store::sync::of_watch(&watch.settings.name, &watch.settings.baseline_tag, None)
    };
    config.watches.iter().flat_map(of).collect()
}

impl Copies for NodeCopies {
    fn answer(&self, asked: Asked) -> Result<Given, Refusal> {
        match &asked {
            Asked::Append(..) | Asked::Begin(..) | Asked::Trim(..) | Asked::Keep(..) | Asked::Leave(_) => {
                self.may_write()?;
            }
            Asked::Streams
            | Asked::Standing(_)
            | Asked::Records(..)
            | Asked::Document(_)
            | Asked::HasDocument(_)
            | Asked::Note => {}
        }
        self.with(asked).map_err(|error| {
            let why = match error {
                SyncError::Unavailable(_) => Why::Unavailable,
                SyncError::Unwritable(_) => Why::Unwritable,
                SyncError::Corrupt(_) => Why::Corrupt,
                SyncError::Refused(_) | SyncError::Ahead(_) | SyncError::Diverged(_) => Why::Conflict,
            };
            Refusal { why, message: error.to_string() }
        })
    }

    fn body_max(&self) -> usize {
        frames::BODY_MAX
    }
}
