//! A record in a few words, for whoever looks for what went wrong.

use hb_core::node::fact::Body;
use hb_core::time::Stamp;

use crate::kernel::BEGIN;

/// What a record says.
pub(super) fn of(body: &Body) -> String {
    let Body::CycleDecided(decided) = body else { return body.kind().to_owned() };
    let (decision, resume) = (&decided.decision, &decided.resume);
    let (counts, since) = (&decision.counts, |stamp: Stamp| stamp.since_ns(BEGIN) / 1_000_000);
    let reread = resume.reread.map_or_else(String::new, |place| format!(", read again to {place}"));
    format!(
        "cycle {}, {} of {} samples from {} to {} ms, late {}, future {}, delivered {}, pending {}; {:?} closed it at {}, read on from \
         {}{reread}",
        decision.cycle,
        decision.status,
        counts.window.total(),
        since(decision.span.start),
        since(decision.span.end),
        counts.late,
        counts.future,
        counts.delivered_total,
        counts.pending,
        decided.closed_by,
        resume.closed,
        resume.mark.position,
    )
}
