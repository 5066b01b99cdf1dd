//! Supervisors of processes, hb and its peers, measured from outside by the same rules.
//!
//! | question | file |
//! |---|---|
//! | How is each supervisor set up? | `kits.rs` |
//! | What runs, and when did it begin? | `stage.rs` |
//! | What does a process use? | `usage.rs` |
//! | How soon is a dead child running again? | `again.rs` |
//! | What do 1,000 children cost? | `crowd.rs` |
//! | What does a killed supervisor find again? | `adopt.rs` |
//! | What do 5,000 agents that beat cost? | `fleet.rs` |

pub(crate) mod adopt;
pub(crate) mod again;
pub(crate) mod crowd;
pub(crate) mod fleet;
mod kits;
pub(crate) mod stage;
pub(crate) mod usage;

/// The `share` quantile of some figures, by the nearest rank.
pub(crate) fn quantile(figures: &[f64], share: f64) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a rank")]
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// What the machine was doing beside: the load of the last minute.
pub(crate) fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(f64::NAN)
}
