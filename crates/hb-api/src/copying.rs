//! How the periodic copy of a node stands: for `/metrics`, `/ready` and the status.

use hb_core::time::Stamp;
use serde::Serialize;

use crate::exposition::{Exposition, Kind};

/// How the periodic copy stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Copying {
    /// Where to, without secrets.
    pub target: String,
    /// When the copy last was seen to hold everything that had been decided; wall clock of this node.
    pub last_success: Option<Stamp>,
    /// Seconds since then; while it never was, since this node began to copy.
    pub lag_seconds: f64,
    /// Records that this node has and the copy is not known to have; none before the copy was first seen.
    pub lag_records: Option<u64>,
    /// Records copied since the process started.
    pub records: u64,
    /// Copies that succeeded since the process started.
    pub successes: u64,
    /// Copies that failed since the process started.
    pub failures: u64,
    /// Why the newest one failed, if it did.
    pub error: Option<String>,
}

/// Puts the families into `/metrics`.
pub(crate) fn write(out: &mut Exposition, copying: &Copying) {
    out.family(
        "hb_copy_lag_seconds",
        Kind::Gauge,
        "Time since the copy last held everything that this node had decided.",
    );
    out.real("hb_copy_lag_seconds", &[], copying.lag_seconds);
    out.family("hb_copy_lag_records", Kind::Gauge, "Records that this node has and its copy is not known to have.");
    if let Some(records) = copying.lag_records {
        out.whole("hb_copy_lag_records", &[], records);
    }
    out.family("hb_copy_last_success_timestamp_seconds", Kind::Gauge, "When the copy last was complete, since 1970.");
    if let Some(at) = copying.last_success {
        out.real("hb_copy_last_success_timestamp_seconds", &[], seconds(at));
    }
    out.family("hb_copy_records_total", Kind::Counter, "Records copied.");
    out.whole("hb_copy_records_total", &[], copying.records);
    out.family("hb_copy_runs_total", Kind::Counter, "Copies by what became of them.");
    out.whole("hb_copy_runs_total", &[("outcome", "done")], copying.successes);
    out.whole("hb_copy_runs_total", &[("outcome", "failed")], copying.failures);
}

#[expect(clippy::cast_precision_loss, reason = "a wall clock in seconds, to a microsecond")]
fn seconds(at: Stamp) -> f64 {
    at.0 as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_that_has_never_been_complete_has_no_time_of_it() {
        let mut copying = Copying { failures: 2, lag_seconds: 7.5, ..Copying::default() };
        let shown = |copying: &Copying| {
            let mut out = Exposition::default();
            write(&mut out, copying);
            out.finish()
        };
        let text = shown(&copying);
        assert!(text.contains("\nhb_copy_lag_seconds 7.5\n"), "{text}");
        assert!(text.contains("\nhb_copy_runs_total{outcome=\"failed\"} 2\n"), "{text}");
        assert!(
            !text.contains("\nhb_copy_lag_records ") && !text.contains("\nhb_copy_last_success_timestamp_seconds ")
        );
        copying.lag_records = Some(3);
        copying.last_success = Some(Stamp(1_700_000_000_500_000_000));
        let text = shown(&copying);
        assert!(text.contains("\nhb_copy_lag_records 3\n"), "{text}");
        assert!(text.contains("hb_copy_last_success_timestamp_seconds 1700000000.5"), "{text}");
    }
}
