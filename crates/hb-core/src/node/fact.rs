//! What the records of the journal say. The form of a record stands in [`crate::journal`].

use std::fmt;
use std::sync::Arc;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::cycle::{ClosedBy, Resume};
use crate::ids::{CycleNo, WatchName};
use crate::journal::Hash;
use crate::watch::alert::{Alert, Episode};
use crate::watch::baseline::{Gate, Provenance};
use crate::watch::decide::Carry;
use crate::watch::decision::{BaselineRef, Decision};

/// A record of `hb`.
pub type Record = crate::journal::Record<Body>;
/// A record of `hb` with its bytes.
pub type Sealed = crate::journal::Sealed<Body>;

/// What a record says. In JSON its kind comes first: see its `Deserialize`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Body {
    /// A node took the stream over; every smaller epoch is fenced from here.
    EpochOpened {
        /// What gave the right to try: `file`, `file-ttl`, `external` …
        lease: String,
        /// Why it changed hands, in words.
        reason: String,
    },
    /// A cycle of a watch was decided.
    CycleDecided(Arc<CycleDecided>),
    /// An alert reached a sink, or was given up.
    AlertDelivered(AlertDelivered),
    /// A watch decides against another baseline from the next cycle on.
    BaselineAdopted(BaselineAdopted),
    /// Something happened to the versions of a baseline tag (streams `baseline/WATCH/TAG`).
    BaselineEvent(BaselineEvent),
    /// The writer stopped writing of its own will.
    EpochClosed {
        /// Why.
        reason: String,
    },
}

impl Body {
    /// The kind as it stands in documents.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::EpochOpened { .. } => "epoch_opened",
            Self::CycleDecided(_) => "cycle_decided",
            Self::AlertDelivered(_) => "alert_delivered",
            Self::BaselineAdopted(_) => "baseline_adopted",
            Self::BaselineEvent(_) => "baseline_event",
            Self::EpochClosed { .. } => "epoch_closed",
        }
    }
}

/// Reads straight into place. The derived way reads all of a tagged value into a tree first, to look for its kind in it: for a
/// cycle of 100,000 series that tree takes several times the room of the cycle.
impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(BodyVisitor)
    }
}

struct BodyVisitor;

impl<'de> Visitor<'de> for BodyVisitor {
    type Value = Body;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what a record says, its `kind` first")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Body, A::Error> {
        #[derive(Deserialize)]
        struct Opened {
            lease: String,
            reason: String,
        }
        #[derive(Deserialize)]
        struct Closed {
            reason: String,
        }
        let kind = match map.next_entry::<String, String>()? {
            Some((key, kind)) if key == "kind" => kind,
            Some((key, _)) => return Err(A::Error::custom(format!("it begins with `{key}` instead of its `kind`"))),
            None => return Err(A::Error::missing_field("kind")),
        };
        let fields = MapAccessDeserializer::new(map);
        Ok(match kind.as_str() {
            "epoch_opened" => {
                let Opened { lease, reason } = Opened::deserialize(fields)?;
                Body::EpochOpened { lease, reason }
            }
            "cycle_decided" => Body::CycleDecided(Arc::new(CycleDecided::deserialize(fields)?)),
            "alert_delivered" => Body::AlertDelivered(AlertDelivered::deserialize(fields)?),
            "baseline_adopted" => Body::BaselineAdopted(BaselineAdopted::deserialize(fields)?),
            "baseline_event" => Body::BaselineEvent(BaselineEvent::deserialize(fields)?),
            "epoch_closed" => {
                let Closed { reason } = Closed::deserialize(fields)?;
                Body::EpochClosed { reason }
            }
            other => return Err(A::Error::custom(format!("`{other}` is no kind of record that this version knows"))),
        })
    }
}

/// A decided cycle with all that a new holder needs to go on after it. The newest one of a stream is a snapshot: nothing
/// before it is needed, so trimming never loses state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CycleDecided {
    /// The watch.
    pub watch: WatchName,
    /// What was decided.
    pub decision: Decision,
    /// Hash of the decision's bytes: two nodes that decide the same have the same digest, whatever their epochs.
    pub digest: Hash,
    /// What closed the cycle.
    pub closed_by: ClosedBy,
    /// Where the source is read on from.
    pub resume: Resume,
    /// What detectors carry into the next cycle.
    pub carry: Carry,
    /// Where the watch's learning stands: cycles taken since it began, none when it does not learn.
    pub learning: Option<u32>,
    /// The baseline in force after this cycle.
    pub baseline: Option<BaselineRef>,
    /// The alert that this cycle makes, if any.
    pub alert: Option<Alert>,
    /// The episode that it belongs to.
    pub episode: Episode,
    /// Alerts that have not reached every sink yet, this cycle's own included; oldest first, at most [`UNDELIVERED_MAX`].
    pub undelivered: Vec<Undelivered>,
}

impl CycleDecided {
    /// Whether a baseline was in force whose document could not be had, so that the cycle was decided without it.
    #[must_use]
    pub fn without_its_baseline(&self) -> bool {
        self.baseline.is_some() && self.decision.baseline.is_none()
    }
}

/// Most alerts of a watch under way at a time; beyond it the oldest are given up, which is told (B1).
pub const UNDELIVERED_MAX: usize = 1_000;

/// An alert with the sinks that have not taken it yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undelivered {
    /// The alert.
    pub alert: Alert,
    /// Sinks that it still has to reach.
    pub sinks: Vec<String>,
}

/// An alert reached a sink, or was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertDelivered {
    /// Cycle of the alert.
    pub cycle: CycleNo,
    /// The sink.
    pub sink: String,
    /// Tries that it took.
    pub tries: u32,
    /// Set when it was given up: why.
    pub given_up: Option<String>,
}

/// A watch decides against another baseline from the next cycle on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BaselineAdopted {
    /// Which.
    pub baseline: BaselineRef,
    /// First cycle that is decided against it.
    pub from_cycle: CycleNo,
    /// Why: learned, or promoted and by whom.
    pub reason: String,
}

/// Something happened to the versions of a baseline tag.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum BaselineEvent {
    /// A version was made.
    Learned {
        /// Version, tag and hash of the document.
        baseline: BaselineRef,
        /// Where it comes from.
        provenance: Provenance,
        /// Series in it.
        series: u64,
        /// Its quality gates.
        gates: Vec<Gate>,
    },
    /// Somebody asks for it to be put in force.
    Requested {
        /// Version.
        version: u32,
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// Somebody else agrees.
    Approved {
        /// Version.
        version: u32,
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// It is put in force; the newest promotion of a tag counts.
    Promoted {
        /// Version, tag and hash.
        baseline: BaselineRef,
        /// Who.
        by: String,
        /// Why.
        reason: String,
        /// Gates that were closed and overridden, by name.
        forced: Vec<String>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::CycleNo;

    #[test]
    fn j4_every_kind_is_read_back_as_it_was_written() {
        let baseline = BaselineRef { tag: "golden".into(), version: 2, hash: Hash::of(b"x") };
        let bodies = [
            Body::EpochOpened { lease: "file".into(), reason: "first start".into() },
            Body::AlertDelivered(AlertDelivered { cycle: CycleNo(3), sink: "file".into(), tries: 1, given_up: None }),
            Body::BaselineAdopted(BaselineAdopted {
                baseline: baseline.clone(),
                from_cycle: CycleNo(4),
                reason: "learned".into(),
            }),
            Body::BaselineEvent(BaselineEvent::Promoted {
                baseline,
                by: "me".into(),
                reason: "better".into(),
                forced: vec!["stable".into()],
            }),
            Body::EpochClosed { reason: "told to stop".into() },
        ];
        for body in bodies {
            let text = serde_json::to_string(&body).unwrap();
            assert!(text.starts_with(&format!(r#"{{"kind":"{}""#, body.kind())), "{text}");
            assert_eq!(serde_json::from_str::<Body>(&text).unwrap(), body);
        }
    }

    #[test]
    fn what_is_no_body_is_told() {
        let told = |text: &str| serde_json::from_str::<Body>(text).unwrap_err().to_string();
        assert!(told("{}").contains("missing field `kind`"));
        assert!(told(r#"{"reason":"x","kind":"epoch_closed"}"#).contains("begins with `reason`"));
        assert!(told(r#"{"kind":"unheard_of"}"#).contains("`unheard_of` is no kind"));
        assert!(told(r#"{"kind":"epoch_opened","lease":"file"}"#).contains("missing field `reason`"));
    }
}
