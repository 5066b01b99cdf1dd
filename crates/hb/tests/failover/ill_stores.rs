//! Faults of stores: each lasts for a while, and is undone.

use std::time::Duration;

use crate::door::Mood;
use crate::faults::Fault;
use crate::pair::Site;
use crate::stores::{Full, Refuses};
use crate::support::random::Random;

/// Lets it happen to one of the stores.
pub(crate) fn befall(fault: Fault, site: &mut Site, random: &mut Random, while_: Duration) {
    if site.stores.all.is_empty() {
        return folder(fault, site, while_);
    }
    let at = random.between(0, site.stores.all.len() as u64) as usize;
    let name = site.stores.all[at].host.name.clone();
    site.timeline.note(format!("it is {name} that it happens to"));
    match fault {
        Fault::HangStore => hang(site, at, while_),
        Fault::KillWhileHung => {
            let active = site.active();
            site.stores.all[at].hang();
            site.kill(active);
            site.look_on(while_);
            site.stores.all[at].go_on();
        }
        Fault::CrashStore => {
            site.stores.all[at].crash();
            site.look_on(while_ / 2);
            site.stores.all[at].start_again();
        }
        Fault::KillStore => {
            site.stores.all[at].kill();
            site.look_on(while_ / 2);
            site.stores.all[at].start_again();
        }
        Fault::RefuseStore => {
            let Some(journal) = site.stores.journal else { return };
            if site.stores.all[journal].refuse(Refuses::Everything) {
                site.look_on(while_);
                site.stores.all[journal].refuse(Refuses::Nothing);
            }
        }
        Fault::FillStore => fill(site, at, random, while_),
        Fault::SlowStore => slow(site, at, while_),
        Fault::LateAnswers => mood(site, at, Mood::Slow, while_),
        Fault::LoseAnswers => mood(site, at, Mood::Forgetful, while_),
        Fault::Kill
        | Fault::Stop
        | Fault::Suspend
        | Fault::Nap
        | Fault::Unplug
        | Fault::CutJournal
        | Fault::CutLease
        | Fault::KillStandby
        | Fault::KillAll
        | Fault::KillHeir
        | Fault::JumpClock
        | Fault::DriftClock
        | Fault::StopAndJump => panic!("{fault:?} is none of a store"),
    }
    site.timeline.note(format!("{name} is as before"));
}

/// Where the folder is all there is.
fn folder(fault: Fault, site: &mut Site, while_: Duration) {
    if fault == Fault::FillStore && site.fill_folder() {
        site.timeline.note("the folder is full");
        site.look_on(while_);
        site.empty_folder();
        site.timeline.note("the folder has room");
    }
}

fn hang(site: &mut Site, at: usize, while_: Duration) {
    site.stores.all[at].hang();
    site.look_on(while_);
    site.stores.all[at].go_on();
}

fn fill(site: &mut Site, at: usize, random: &mut Random, while_: Duration) {
    // A folder that nodes share is a store like the others.
    if site.stores.journal.is_none() && random.one_in(2) {
        return folder(Fault::FillStore, site, while_);
    }
    let full = if random.one_in(3) { Full::Log } else { Full::Data };
    let filled = site.stores.all[at].fill(full);
    site.timeline.note(if filled { format!("it is full: {full:?}") } else { "it cannot be full".to_owned() });
    site.look_on(while_);
    if filled {
        site.stores.all[at].empty();
    }
}

fn slow(site: &mut Site, at: usize, while_: Duration) {
    // Where the kernel cannot shape, this is no fault; the door's lateness is one in any case.
    if let Err(why) = site.stores.all[at].host.slow("256kbit") {
        site.timeline.note(why);
    }
    site.look_on(while_);
    site.stores.all[at].host.fast();
}

fn mood(site: &mut Site, at: usize, mood: Mood, while_: Duration) {
    if site.stores.all[at].mood(mood) {
        site.look_on(while_);
        site.stores.all[at].mood(Mood::Open);
    }
}
