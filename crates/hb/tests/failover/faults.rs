//! What goes wrong: drawn by a seed, done to a site, and undone.

use std::time::{Duration, Instant};

use hb_daemon::clock;
use nix::sys::signal::Signal;

use crate::door::Mood;
use crate::pair::Site;
use crate::rack::Way;
use crate::stores::Refuses;
use crate::support::random::Random;

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// `kill -9` of the active node.
    Kill,
    /// SIGSTOP of the active node until another has taken over, and a while longer.
    Stop,
    /// SIGSTOP of the active node for less than anybody notices, or a little more.
    Nap,
    /// The cable of the active node is pulled.
    Unplug,
    /// What the active node sends to the journal's store is lost, or what comes back.
    CutJournal,
    /// The same between the active node and the lease's store.
    CutLease,
    /// `kill -9` of a standby.
    KillStandby,
    /// `kill -9` of all nodes.
    KillAll,
    /// A store stops, and goes on.
    HangStore,
    /// A store crashes, and is started again.
    CrashStore,
    /// The journal's store takes nothing.
    RefuseStore,
    /// A store's cable carries little.
    SlowStore,
    /// Answers of a store come late.
    LateAnswers,
    /// Answers of a store are lost.
    LoseAnswers,
}

/// Those that can happen on one host.
pub(crate) const ON_ONE_HOST: &[Fault] = &[Fault::Kill, Fault::Stop, Fault::Nap, Fault::KillStandby, Fault::KillAll];

/// Those of hosts and a folder that they share.
pub(crate) const WITH_A_LEASE: &[Fault] = &[
    Fault::Kill,
    Fault::Stop,
    Fault::Nap,
    Fault::KillStandby,
    Fault::CutLease,
    Fault::HangStore,
    Fault::CrashStore,
    Fault::SlowStore,
    Fault::LoseAnswers,
];

/// Those of hosts and servers.
pub(crate) const ON_MANY_HOSTS: &[Fault] = &[
    Fault::Kill,
    Fault::Stop,
    Fault::Nap,
    Fault::Unplug,
    Fault::CutJournal,
    Fault::CutLease,
    Fault::KillStandby,
    Fault::KillAll,
    Fault::HangStore,
    Fault::CrashStore,
    Fault::RefuseStore,
    Fault::SlowStore,
    Fault::LateAnswers,
    Fault::LoseAnswers,
];

impl Fault {
    /// Does it to the site and undoes it; gives how long a takeover took where that is what it asks for.
    pub(crate) fn happen(self, site: &mut Site, random: &mut Random) -> Option<Duration> {
        let active = site.active();
        let while_ = Duration::from_millis(random.between(100, 2_500));
        site.timeline.note(format!("{self:?}, for {while_:?} where it lasts; active is {}", site.members[active].name));
        match self {
            Self::Kill => {
                let (since, at) = (Instant::now(), clock::wall());
                site.kill(active);
                Some(site.taken_over(active, since, at).1)
            }
            Self::KillAll => {
                (0..site.members.len()).for_each(|place| site.kill(place));
                None
            }
            Self::KillStandby => {
                site.kill((active + 1) % site.members.len());
                None
            }
            Self::Stop => Some(stop(site, active, while_)),
            Self::Nap => {
                site.signal(active, Signal::SIGSTOP);
                site.look_on(while_ / 2);
                site.signal(active, Signal::SIGCONT);
                None
            }
            Self::Unplug => Some(unplug(site, active)),
            Self::CutJournal | Self::CutLease => {
                cut(self, site, active, random, while_);
                None
            }
            Self::HangStore
            | Self::CrashStore
            | Self::RefuseStore
            | Self::SlowStore
            | Self::LateAnswers
            | Self::LoseAnswers => {
                self.befall(site, random, while_);
                None
            }
        }
    }

    /// Those of stores.
    fn befall(self, site: &mut Site, random: &mut Random, while_: Duration) {
        if site.stores.all.is_empty() {
            return;
        }
        let at = random.between(0, site.stores.all.len() as u64) as usize;
        let name = site.stores.all[at].host.name.clone();
        site.timeline.note(format!("it is {name} that it happens to"));
        match self {
            Self::HangStore => {
                site.stores.all[at].hang();
                site.look_on(while_);
                site.stores.all[at].go_on();
            }
            Self::CrashStore => {
                site.stores.all[at].crash();
                site.look_on(while_ / 2);
                site.stores.all[at].start_again();
            }
            Self::RefuseStore => {
                let Some(journal) = site.stores.journal else { return };
                if site.stores.all[journal].refuse(Refuses::Everything) {
                    site.look_on(while_);
                    site.stores.all[journal].refuse(Refuses::Nothing);
                }
            }
            Self::SlowStore => {
                // Where the kernel cannot shape, this is no fault; the door's lateness is one in any case.
                if let Err(why) = site.stores.all[at].host.slow("256kbit") {
                    site.timeline.note(why);
                }
                site.look_on(while_);
                site.stores.all[at].host.fast();
            }
            Self::LateAnswers | Self::LoseAnswers => {
                let mood = if self == Self::LateAnswers { Mood::Slow } else { Mood::Forgetful };
                if site.stores.all[at].mood(mood) {
                    site.look_on(while_);
                    site.stores.all[at].mood(Mood::Open);
                }
            }
            Self::Kill
            | Self::Stop
            | Self::Nap
            | Self::Unplug
            | Self::CutJournal
            | Self::CutLease
            | Self::KillStandby
            | Self::KillAll => panic!("{self:?} is none of a store"),
        }
        site.timeline.note(format!("{name} is as before"));
    }
}

/// Stops a node until another has taken over and for a while longer.
fn stop(site: &mut Site, active: usize, longer: Duration) -> Duration {
    let (since, at) = (Instant::now(), clock::wall());
    site.signal(active, Signal::SIGSTOP);
    let (_, took) = site.taken_over(active, since, at);
    site.look_on(longer);
    site.signal(active, Signal::SIGCONT);
    took
}

fn unplug(site: &mut Site, active: usize) -> Duration {
    let (since, at) = (Instant::now(), clock::wall());
    site.members[active].host.unplug();
    let (_, took) = site.taken_over(active, since, at);
    site.members[active].host.plug();
    site.timeline.note("its cable is back");
    took
}

fn cut(fault: Fault, site: &mut Site, active: usize, random: &mut Random, while_: Duration) {
    let store = if fault == Fault::CutJournal { site.stores.journal } else { site.stores.lease };
    let Some(store) = store else { return };
    let way = [Way::There, Way::Back, Way::Both][random.between(0, 3) as usize];
    site.timeline.note(format!("cut: {way:?}"));
    site.members[active].host.cut(&site.stores.all[store].host, way);
    site.look_on(while_);
    site.members[active].host.heal(&site.stores.all[store].host);
    site.timeline.note("it is whole again");
}
