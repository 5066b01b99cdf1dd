//! Baselines of the watches: their documents, and the versions behind their tags.

use std::sync::Arc;
use std::time::Duration;

use hb_core::ids::WatchName;
use hb_core::node::step::{Input, Learned};
use hb_core::node::view::Role;
use hb_core::time::Moment;
use hb_core::watch::settings::WatchSettings;

use super::Loop;
use crate::clock::{self, ns};
use crate::tags::Tag;

/// How often the baseline tags are read.
const TAGS_EVERY: Duration = Duration::from_millis(500);
/// The same for a node that stands by.
const TAGS_AHEAD_EVERY: Duration = Duration::from_secs(2);
/// Who made the baselines that watches learn by themselves.
const AUTO: &str = "auto";

impl Loop {
    pub(super) fn load_documents(&mut self) {
        for (watch, reference) in self.node.wanted() {
            let document = self.documents.get(reference.hash).map_err(|why| {
                format!("watch {watch}: baseline {} version {}: {why}", reference.tag, reference.version)
            });
            let step = self.node.handle(Input::Document(reference.hash, document), clock::now());
            self.carry_out(step);
        }
    }

    /// Reads the tags while standing by, so that a takeover has little left to read.
    pub(super) fn read_tags_ahead(&mut self) {
        let now = clock::moment();
        if now < self.tags_at {
            return;
        }
        self.tags_at = now.plus_ns(ns(TAGS_AHEAD_EVERY));
        for watch in self.watches.keys().cloned().collect::<Vec<_>>() {
            if let Err(why) = self.read_versions(&watch) {
                tracing::debug!("standing by, the versions of {watch} cannot be read: {why}");
            }
        }
    }

    /// Adopts what was promoted meanwhile.
    pub(super) fn read_tags(&mut self) {
        let now = clock::moment();
        if now < self.tags_at || self.node.role() != Role::Active || !self.committer.is_empty() {
            return;
        }
        self.tags_at = now.plus_ns(ns(TAGS_EVERY));
        // One that could not be read when the work began is asked for until it can.
        self.load_documents();
        let names: Vec<WatchName> = self.watches.keys().cloned().collect();
        for watch in names {
            if let Err(why) = self.read_tag(&watch) {
                self.shared.check(&format!("baseline.{watch}"), Err(why));
            } else {
                self.shared.check(&format!("baseline.{watch}"), Ok(()));
            }
        }
    }

    fn read_tag(&mut self, watch: &WatchName) -> Result<(), String> {
        self.read_versions(watch)?;
        self.find_unnoted(watch);
        let Some(work) = self.watches.get_mut(watch) else { return Ok(()) };
        work.tag.settle(&self.name, &mut *self.journal)?;
        let Some((reference, reason)) = work.tag.promoted.clone().filter(|_| work.tag.owed) else { return Ok(()) };
        if self.node.baseline(watch).is_none_or(|(_, in_force)| in_force != reference) {
            // Owed until its document can be had.
            let document = self.documents.get(reference.hash)?;
            let had = Input::Document(reference.hash, Ok(Arc::clone(&document)));
            let step = self.node.handle(had, clock::now());
            self.carry_out(step);
            let step = self.node.handle(Input::Promoted { watch, reference, document, reason }, clock::now());
            self.carry_out(step);
        }
        if let Some(work) = self.watches.get_mut(watch) {
            work.tag.owed = false;
        }
        Ok(())
    }

    /// Reads a watch's tag, so that the next version gets a number of its own.
    pub(super) fn read_versions(&mut self, watch: &WatchName) -> Result<(), String> {
        let Some(work) = self.watches.get_mut(watch) else { return Ok(()) };
        work.tag.poll(&mut *self.journal).map_err(|error| error.to_string())?;
        let step = self.node.handle(Input::Versions(watch, work.tag.newest), clock::now());
        self.carry_out(step);
        Ok(())
    }

    /// What is in force may have been learned by a node that ended before it could note it. Its gates were open, or it would
    /// not be in force; their figures are gone with that node.
    fn find_unnoted(&mut self, watch: &WatchName) {
        let Some((document, reference)) = self.node.baseline(watch) else { return };
        let Some(work) = self.watches.get_mut(watch) else { return };
        if document.provenance.by != AUTO || work.tag.unnoted.is_some() || !work.tag.lacks(&reference) {
            return;
        }
        let provenance = document.provenance.clone();
        let reason = format!("learned by itself from {}", provenance.from);
        let (watch, series) = (watch.clone(), document.series.len() as u64);
        work.tag.unnoted = Some(Box::new(Learned { watch, reference, provenance, series, gates: Vec::new(), reason }));
    }

    /// Reads along the tag that the settings name, from its beginning when it is another one than before.
    pub(super) fn follow_tag(&mut self, settings: &WatchSettings) {
        let Some(work) = self.watches.get_mut(&settings.name) else { return };
        let tag = Tag::new(&settings.name, &settings.baseline_tag);
        if !work.tag.same(&tag) {
            work.tag = tag;
            self.tags_at = Moment(0);
        }
    }
}
