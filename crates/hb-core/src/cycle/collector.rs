//! The machine that turns positions and event times into closed cycles.
//!
//! It is told of every item in order of position. A sample's fate is decided from its event time, its position and the
//! recorded horizons alone. Positions before `closed` have been accounted for by an earlier record: what is read there
//! again only fills the windows that are still open, and is not counted again. What waited in open cycles and has not been read again
//! yet is *owed*: the clock holds a cycle open for it a while longer, and what comes later than that is counted as late.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::lag::Lag;
use super::{ClosedBy, Resume};
use crate::mark::Mark;
use crate::time::{Now, Span, Stamp};

/// How many intervals longer the clock waits for a source that is to give again what waited in open cycles.
pub const REREAD_INTERVALS: i64 = 2;
/// Most horizons kept; more would need more than this many cycles within the allowed lateness.
pub const HORIZONS_MAX: usize = 1_024;

/// How event time is cut into cycles. All in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Length of a cycle.
    pub interval_ns: i64,
    /// How far behind the newest sample another may be.
    pub lateness_ns: i64,
    /// How far ahead of the wall clock a sample may be.
    pub future_ns: i64,
    /// How long after its end a silent cycle is held open.
    pub silence_grace_ns: i64,
    /// Most silent cycles in a row that are decided one by one.
    pub silent_cycles_max: u32,
}

/// What can be collected: it only has to say how much it holds.
pub trait Collects: Default {
    /// Items in it.
    fn total(&self) -> u64;
}

/// Where a sample goes.
#[derive(Debug)]
pub enum Place<'a, W> {
    /// Into this open cycle.
    Into(&'a mut W),
    /// Its cycle has been decided; counted, by this record or an earlier one.
    Late,
    /// Dated too far ahead; counted.
    Future,
}

/// Items that belong to no window, since the last close.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally<F: Ord> {
    /// Samples whose cycle had been decided.
    pub late: u64,
    /// The largest distance behind the end of their cycle.
    pub late_max_ns: i64,
    /// Samples dated too far ahead.
    pub future: u64,
    /// Items that were no samples.
    pub faults: BTreeMap<F, u64>,
}

/// A cycle that is closed and waits to be decided.
#[derive(Debug)]
pub struct Closing<W, F: Ord> {
    /// Its span; longer than the interval only for a leap in silence.
    pub span: Span,
    /// What fell into it.
    pub window: W,
    /// What fell nowhere since the close before.
    pub tally: Tally<F>,
    /// Everything delivered since the watch began.
    pub delivered: u64,
    /// Of that, what waits in later cycles.
    pub pending: u64,
    /// What closed it.
    pub by: ClosedBy,
    /// Where to read on.
    pub resume: Resume,
}

#[derive(Debug)]
struct Open<W> {
    index: i64,
    first: Mark,
    window: W,
}

/// The open cycles of a watch. `W` is what collects samples, `F` names causes of faults.
#[derive(Debug)]
pub struct Collector<W, F: Ord> {
    grid: Grid,
    /// Where cycle 0 of the grid starts, in `0..interval_ns`: not zero when the interval was changed on the way.
    origin_ns: i64,
    next: Option<i64>,
    anchored: bool,
    ended: bool,
    /// What stands before this position no cycle to come needs.
    from: u64,
    closed: u64,
    horizons: Vec<(u64, Stamp)>,
    max_at: Option<Stamp>,
    /// Something newer than all before has come since the source last said how far it is.
    advanced: bool,
    lag: Lag,
    /// Samples of earlier reigns that waited in open cycles and have not found their place again yet.
    owed: u64,
    /// When the settings were changed, until a record says so.
    reopened: Option<Stamp>,
    open: Vec<Open<W>>,
    tally: Tally<F>,
    delivered: u64,
    end: Mark,
    /// The cycle of the sample before: most samples fall where the last one fell.
    hot: (i64, Span),
    /// Its place among the open ones.
    hot_place: usize,
    /// The first event time at which the oldest open cycle is over.
    due_at: Stamp,
}

const NOWHERE: Span = Span { start: Stamp(i64::MAX), end: Stamp(i64::MIN) };

impl<W: Collects, F: Ord> Collector<W, F> {
    /// A new watch, beginning at position 0.
    #[must_use]
    pub fn new(grid: Grid, now: Now) -> Self {
        let mut collector = Self {
            grid,
            origin_ns: 0,
            next: None,
            anchored: false,
            ended: false,
            from: 0,
            closed: 0,
            horizons: Vec::new(),
            max_at: None,
            advanced: false,
            lag: Lag::unknown(),
            owed: 0,
            reopened: None,
            open: Vec::new(),
            tally: Tally { late: 0, late_max_ns: 0, future: 0, faults: BTreeMap::new() },
            delivered: 0,
            end: Mark::default(),
            hot: (0, NOWHERE),
            hot_place: 0,
            due_at: Stamp(i64::MAX),
        };
        collector.raise_horizon(0, now.wall);
        collector
    }

    /// Goes on after a decided cycle: `delivered` is what had been delivered by its close, `pending` what of that waited in later cycles,
    /// `reopened` the wall clock at which the new reign began. The source is to be read from `resume.mark`.
    #[must_use]
    pub fn resume(grid: Grid, resume: &Resume, (delivered, pending): (u64, u64), reopened: Stamp) -> Self {
        let mut collector = Self::new(grid, Now::default());
        collector.origin_ns = resume.next_start.0.rem_euclid(grid.interval_ns);
        collector.next = Some(collector.index_of(resume.next_start));
        collector.anchored = resume.anchored;
        collector.ended = resume.ended;
        collector.from = resume.mark.position;
        collector.closed = resume.closed;
        collector.horizons.clone_from(&resume.horizons);
        let held = grid.lateness_ns.saturating_add(grid.silence_grace_ns);
        let slow = grid.interval_ns.saturating_add(held);
        collector.lag = Lag::recorded(resume.lag_ns, grid.silence_grace_ns.saturating_neg(), slow);
        collector.delivered = delivered;
        collector.owed = pending;
        collector.end = resume.mark.clone();
        collector.raise_horizon(resume.closed, reopened);
        collector.set_due();
        collector
    }

    /// Lets the next record say that reading began anew then, under other settings.
    pub fn reopened(&mut self, at: Stamp) {
        self.reopened = Some(at);
    }

    fn set_due(&mut self) {
        let end = self.next.filter(|_| self.anchored).map(|next| self.start_of(next.saturating_add(1)));
        self.due_at = end.map_or(Stamp(i64::MAX), |end| end.plus_ns(self.grid.lateness_ns));
    }

    fn index_of(&self, at: Stamp) -> i64 {
        at.0.saturating_sub(self.origin_ns).div_euclid(self.grid.interval_ns)
    }

    fn start_of(&self, index: i64) -> Stamp {
        Stamp(index.saturating_mul(self.grid.interval_ns).saturating_add(self.origin_ns))
    }

    /// Start of the cycle that is decided next, once there is one.
    #[must_use]
    pub fn next_start(&self) -> Option<Stamp> {
        self.next.map(|index| self.start_of(index))
    }

    /// The newest event time placed since the source was opened.
    #[must_use]
    pub fn max_at(&self) -> Option<Stamp> {
        self.max_at
    }

    /// Everything before this position has been accounted for.
    #[must_use]
    pub fn closed(&self) -> u64 {
        self.closed
    }

    /// The open windows, oldest first.
    pub fn windows(&mut self) -> impl Iterator<Item = &mut W> {
        self.open.iter_mut().map(|open| &mut open.window)
    }

    /// The event clock at wall time `wall`: where the source would be now if it went on as before.
    #[must_use]
    pub fn event_clock(&self, wall: Stamp) -> Stamp {
        wall.plus_ns(self.lag.ns().saturating_neg())
    }

    fn raise_horizon(&mut self, position: u64, wall: Stamp) {
        let ahead = [self.grid.interval_ns, self.grid.lateness_ns, self.grid.silence_grace_ns, self.grid.future_ns];
        let horizon = ahead.iter().fold(wall, |stamp, ns| stamp.plus_ns(*ns));
        // Never lower: what was within reach when it was read first must be so when it is read again.
        if self.horizons.last().is_none_or(|(_, last)| *last < horizon) {
            self.horizons.retain(|(from, _)| *from != position || *from < self.closed);
            self.horizons.push((position, horizon));
        }
        let excess = self.horizons.len().saturating_sub(HORIZONS_MAX);
        self.horizons.drain(..excess);
    }

    fn horizon(&self, position: u64) -> Stamp {
        let after = self.horizons.partition_point(|(from, _)| *from <= position);
        let place = after.saturating_sub(1);
        self.horizons.get(place).map_or(Stamp(i64::MAX), |(_, horizon)| *horizon)
    }

    #[inline]
    fn too_far(&self, position: u64, at: Stamp) -> bool {
        // The newest horizon is the farthest but holds only from its position on.
        match self.horizons.last() {
            Some((from, horizon)) if position >= *from => at > *horizon,
            Some(_) | None => at > self.horizon(position),
        }
    }

    /// Closes the oldest open cycle if a sample at `position`, dated `at`, says that its time is over. To be called again
    /// until it gives nothing, and before the sample is placed.
    #[inline]
    pub fn due(&mut self, position: u64, token: &Arc<str>, at: Stamp, now: Now) -> Option<Closing<W, F>> {
        if at < self.due_at || position < self.closed {
            return None;
        }
        self.due_slow(position, token, at, now)
    }

    fn due_slow(&mut self, position: u64, token: &Arc<str>, at: Stamp, now: Now) -> Option<Closing<W, F>> {
        self.read_again();
        let next = self.next.filter(|_| self.anchored)?;
        if self.too_far(position, at) {
            return None;
        }
        let over = self.index_of(at.plus_ns(self.grid.lateness_ns.saturating_neg()));
        let here = Mark { position, token: Arc::clone(token) };
        (over > next).then(|| self.close(over, here, ClosedBy::Watermark, now))
    }

    /// Finds the place of a sample and counts it.
    #[inline]
    pub fn place(&mut self, position: u64, token: &Arc<str>, at: Stamp) -> Place<'_, W> {
        let again = position < self.closed;
        if !again {
            self.read_again();
            self.delivered += 1;
        } else if position < self.from {
            // How far ahead it could be dated is not known any more: its place was found by an earlier record, whatever it looks like now.
            return Place::Late;
        }
        if self.too_far(position, at) {
            self.tally.future += u64::from(!again);
            return Place::Future;
        }
        let index = if self.hot.1.holds(at) { self.hot.0 } else { self.warm(at) };
        let next = self.anchor(index);
        if index < next {
            // What is read again and was owed is counted once all has been read again.
            if !again {
                self.tally.late += 1;
                let behind = self.start_of(next).since_ns(at);
                self.tally.late_max_ns = self.tally.late_max_ns.max(behind);
            }
            return Place::Late;
        }
        if again {
            self.owed = self.owed.saturating_sub(1);
        }
        if self.max_at.is_none_or(|max| at > max) {
            (self.max_at, self.advanced) = (Some(at), true);
        }
        Place::Into(self.window(index, position, token))
    }

    /// The open cycle of the sample before, with the times that belong to it: a sample at `position` or behind it that is dated
    /// within them goes there, neither late nor too far ahead, and closes nothing. Nothing when more than its time is to be
    /// looked at. What is put there is to be told with [`Self::counted`].
    pub fn lane(&mut self, position: u64) -> Option<(Span, &mut W)> {
        let horizon = self.horizons.last().filter(|(from, _)| position >= *from && position >= self.closed)?.1;
        let (index, span) = self.hot;
        self.next.filter(|next| self.anchored && index >= *next)?;
        let open = self.open.get_mut(self.hot_place).filter(|open| open.index == index)?;
        let end = span.end.min(self.due_at).min(horizon);
        Some((Span { start: span.start, end }, &mut open.window))
    }

    /// Counts samples put into a [`Self::lane`], dated up to `newest`.
    pub fn counted(&mut self, samples: u64, newest: Stamp) {
        self.read_again();
        self.delivered += samples;
        if samples > 0 && self.max_at.is_none_or(|max| newest > max) {
            (self.max_at, self.advanced) = (Some(newest), true);
        }
    }

    fn warm(&mut self, at: Stamp) -> i64 {
        let index = self.index_of(at);
        self.hot = (index, Span { start: self.start_of(index), end: self.start_of(index.saturating_add(1)) });
        index
    }

    /// The first sample ever says where the grid begins, unless silence before it has led up to it.
    #[inline]
    fn anchor(&mut self, index: i64) -> i64 {
        match self.next {
            Some(next) if self.anchored => next,
            Some(_) | None => self.anchor_first(index),
        }
    }

    fn anchor_first(&mut self, index: i64) -> i64 {
        self.anchored = true;
        let next = match self.next {
            Some(next) if (0..=i64::from(self.grid.silent_cycles_max)).contains(&index.saturating_sub(next)) => next,
            Some(_) | None => index,
        };
        self.next = Some(next);
        self.set_due();
        next
    }

    #[inline]
    #[expect(clippy::indexing_slicing, reason = "the index was just found or inserted")]
    fn window(&mut self, index: i64, position: u64, token: &Arc<str>) -> &mut W {
        if self.open.get(self.hot_place).is_some_and(|open| open.index == index) {
            return &mut self.open[self.hot_place].window;
        }
        let place = match self.open.iter().position(|open| open.index >= index) {
            Some(place) if self.open[place].index == index => place,
            found => {
                let place = found.unwrap_or(self.open.len());
                let first = Mark { position, token: Arc::clone(token) };
                self.open.insert(place, Open { index, first, window: W::default() });
                place
            }
        };
        self.hot_place = place;
        &mut self.open[place].window
    }

    /// Counts an item that is no sample.
    pub fn fault(&mut self, position: u64, cause: F) {
        if position >= self.closed {
            self.delivered += 1;
            *self.tally.faults.entry(cause).or_insert(0) += 1;
        }
    }

    /// Told after a batch: everything before `end` has been delivered. Where nothing newer than all before came with it, the event clock
    /// goes on with the wall clock: what is late, or dated too far ahead, holds up no cycle.
    pub fn read_to(&mut self, end: &Mark, now: Now) {
        self.end.clone_from(end);
        self.ended = false;
        if end.position >= self.closed {
            self.read_again();
        }
        if let Some(max_at) = self.max_at.filter(|_| std::mem::take(&mut self.advanced)) {
            self.lag.met(max_at, now);
        }
    }

    /// Told that at wall time `looked_at` nothing stood beyond `end`: closes the oldest cycle if the event clock has passed
    /// it. To be called again until it gives nothing.
    pub fn idle(&mut self, looked_at: Stamp, now: Now) -> Option<Closing<W, F>> {
        let clock = self.lag.looked(looked_at, now);
        let Some(next) = self.next else {
            self.next = Some(self.index_of(clock));
            return None;
        };
        let mut held = self.grid.lateness_ns.saturating_add(self.grid.silence_grace_ns);
        if self.rereads() {
            held = held.saturating_add(self.grid.interval_ns.saturating_mul(REREAD_INTERVALS));
        }
        let over = self.index_of(clock.plus_ns(held.saturating_neg()));
        let end = self.end.clone();
        (over > next && !self.ended).then(|| self.close(over, end, ClosedBy::Clock, now))
    }

    /// Everything has been read again: what has not found its place came after its cycle was decided, or the source does not have it any more.
    #[inline]
    fn read_again(&mut self) {
        self.tally.late += std::mem::take(&mut self.owed);
    }

    /// Whether the source has still to give again what waits in open cycles.
    fn rereads(&self) -> bool {
        self.owed > 0 && self.end.position < self.closed
    }

    /// Told that the source is complete: closes the oldest open cycle. To be called again until it gives nothing; the last
    /// one says [`Resume::ended`]. A watch that never saw anything closes one cycle at the wall clock, so that it says so.
    pub fn finish(&mut self, now: Now) -> Option<Closing<W, F>> {
        let end = self.end.clone();
        if self.next.is_none() {
            self.next = Some(self.index_of(now.wall));
            self.ended = true;
            return Some(self.close(i64::MAX, end, ClosedBy::End, now));
        }
        let newest = self.open.last()?.index;
        self.ended = self.open.len() == 1 && self.next == Some(newest);
        Some(self.close(newest.saturating_add(1), end, ClosedBy::End, now))
    }

    /// Closes the cycle `next`; `over` is the first one whose time is not over yet.
    fn close(&mut self, over: i64, here: Mark, by: ClosedBy, now: Now) -> Closing<W, F> {
        let reread = self.rereads().then_some(self.end.position);
        let next = self.next.unwrap_or(0);
        let front = self.open.first().map(|open| open.index);
        let window = if front == Some(next) { self.open.remove(0).window } else { W::default() };
        let after = if front == Some(next) || by == ClosedBy::End && front.is_none() {
            next.saturating_add(1)
        } else {
            self.after_silence(next, over.min(front.unwrap_or(over)))
        };
        self.next = Some(after);
        self.hot = (0, NOWHERE);
        self.hot_place = 0;
        self.set_due();
        self.closed = self.closed.max(here.position);
        self.raise_horizon(self.closed, now.wall);
        let mark = self.open.iter().map(|open| &open.first).min_by_key(|mark| mark.position).cloned().unwrap_or(here);
        let needed = self.horizons.partition_point(|(from, _)| *from <= mark.position).saturating_sub(1);
        self.horizons.drain(..needed);
        let empty = Tally { late: 0, late_max_ns: 0, future: 0, faults: BTreeMap::new() };
        Closing {
            span: Span { start: self.start_of(next), end: self.start_of(after) },
            window,
            tally: std::mem::replace(&mut self.tally, empty),
            delivered: self.delivered,
            pending: self.open.iter().map(|open| open.window.total()).sum::<u64>().saturating_add(self.owed),
            by,
            resume: Resume {
                mark,
                closed: self.closed,
                lag_ns: self.lag.ns(),
                anchored: self.anchored,
                next_start: self.start_of(after),
                horizons: self.horizons.clone(),
                ended: self.ended,
                reread,
                reopened: self.reopened.take(),
            },
        }
    }

    /// The cycle after a silent one: the next, or the end of a leap that would take too many silent cycles.
    fn after_silence(&self, next: i64, over: i64) -> i64 {
        if over.saturating_sub(next) > i64::from(self.grid.silent_cycles_max) { over } else { next.saturating_add(1) }
    }
}

#[cfg(test)]
mod tests;
