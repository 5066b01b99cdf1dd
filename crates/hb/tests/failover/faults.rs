//! What goes wrong: drawn by a seed, done to a site, and undone.

use std::time::{Duration, Instant};

use hb_daemon::clock;
use nix::sys::signal::Signal;

use crate::pair::Site;
use crate::rack::Way;
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
    /// The machine of the active node is suspended by itself, or paused from outside, when all its clocks stand still too.
    Suspend,
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
    /// `kill -9` of the active node, and of the one that takes over once it has.
    KillHeir,
    /// The wall clock of a node jumps by minutes.
    JumpClock,
    /// The wall clock of a node goes too fast or too slowly for a while.
    DriftClock,
    /// A store stops, and goes on.
    HangStore,
    /// A store crashes, and is started again.
    CrashStore,
    /// All processes of a store are killed, and it is started again.
    KillStore,
    /// The journal's store takes nothing.
    RefuseStore,
    /// A store has no room at all.
    FillStore,
    /// A store's cable carries little.
    SlowStore,
    /// Answers of a store come late.
    LateAnswers,
    /// Answers of a store are lost.
    LoseAnswers,
    /// `kill -9` of the active node while a store hangs.
    KillWhileHung,
    /// The wall clock of the node that is to take over jumps while the active one is stopped.
    StopAndJump,
}

use Fault::*;

/// Those that can happen on one host.
pub(crate) const ON_ONE_HOST: &[Fault] =
    &[Kill, Stop, Suspend, Nap, KillStandby, KillAll, KillHeir, JumpClock, DriftClock, FillStore, StopAndJump];

/// Those of hosts and a folder that they share.
pub(crate) const WITH_A_LEASE: &[Fault] = &[
    Kill,
    Stop,
    Suspend,
    Nap,
    KillStandby,
    KillAll,
    KillHeir,
    JumpClock,
    DriftClock,
    CutLease,
    HangStore,
    CrashStore,
    KillStore,
    FillStore,
    SlowStore,
    LateAnswers,
    LoseAnswers,
    KillWhileHung,
    StopAndJump,
];

/// Those of hosts and servers.
pub(crate) const ON_MANY_HOSTS: &[Fault] = &[
    Kill,
    Stop,
    Suspend,
    Nap,
    Unplug,
    CutJournal,
    CutLease,
    KillStandby,
    KillAll,
    KillHeir,
    JumpClock,
    DriftClock,
    HangStore,
    CrashStore,
    KillStore,
    RefuseStore,
    FillStore,
    SlowStore,
    LateAnswers,
    LoseAnswers,
    KillWhileHung,
    StopAndJump,
];

impl Fault {
    /// Does it to the site and undoes it; gives how long a takeover took where that is what it asks for.
    pub(crate) fn happen(self, site: &mut Site, random: &mut Random) -> Option<Duration> {
        let active = site.active();
        let while_ = Duration::from_millis(random.between(100, 2_500));
        site.timeline.note(format!("{self:?}, for {while_:?} where it lasts; active is {}", site.members[active].name));
        match self {
            Kill => Some(kill(site, active).1),
            KillHeir => {
                let (heir, took) = kill(site, active);
                site.tend();
                site.kill(heir);
                Some(took)
            }
            KillAll => {
                (0..site.members.len()).for_each(|place| site.kill(place));
                None
            }
            KillStandby => {
                site.kill((active + 1) % site.members.len());
                None
            }
            Stop => Some(stop(site, active, while_, |_| {})),
            StopAndJump => {
                let (other, seconds) = ((active + 1) % site.members.len(), jump(random));
                Some(stop(site, active, while_, |site| set(site, other, seconds)))
            }
            Nap => {
                site.signal(active, Signal::SIGSTOP);
                site.look_on(while_ / 2);
                site.signal(active, Signal::SIGCONT);
                None
            }
            Suspend => {
                let slept = if random.one_in(2) { Slept::ByItself } else { Slept::FromOutside };
                Some(suspend(site, active, while_, slept))
            }
            Unplug => Some(unplug(site, active)),
            CutJournal | CutLease => {
                cut(self, site, active, random, while_);
                None
            }
            JumpClock => {
                let (place, seconds) = (random.between(0, site.members.len() as u64) as usize, jump(random));
                set(site, place, seconds);
                site.look_on(while_ / 4);
                None
            }
            DriftClock => {
                let place = random.between(0, site.members.len() as u64) as usize;
                drift(site, place, while_, if random.one_in(2) { 1 } else { -1 });
                None
            }
            HangStore | CrashStore | KillStore | RefuseStore | FillStore | SlowStore | LateAnswers | LoseAnswers
            | KillWhileHung => {
                crate::ill_stores::befall(self, site, random, while_);
                None
            }
        }
    }
}

/// `kill -9`; gives who took over, and how long that took.
fn kill(site: &mut Site, active: usize) -> (usize, Duration) {
    let (since, at) = (Instant::now(), clock::wall());
    site.kill(active);
    site.taken_over(active, since, at)
}

/// Stops a node until another has taken over and for a while longer; something may be done as soon as it has stopped.
fn stop(site: &mut Site, active: usize, longer: Duration, then: impl FnOnce(&mut Site)) -> Duration {
    let (since, at) = (Instant::now(), clock::wall());
    site.signal(active, Signal::SIGSTOP);
    then(site);
    let (_, took) = site.taken_over(active, since, at);
    site.look_on(longer);
    site.signal(active, Signal::SIGCONT);
    took
}

/// What a machine that sleeps knows of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slept {
    /// It did so by itself: its clocks have gone on.
    ByItself,
    /// It was paused as a virtual machine is: its clocks have stood still, and its wall clock is set right a moment later.
    FromOutside,
}

/// Lets a machine sleep until another node has taken over and for a while longer.
pub(crate) fn suspend(site: &mut Site, active: usize, longer: Duration, slept: Slept) -> Duration {
    let (since, at) = (Instant::now(), clock::wall());
    site.timeline.note(format!("it sleeps: {slept:?}"));
    // On one host for all the cable is everybody's.
    let alone = site.members.iter().filter(|member| member.host.name == site.members[active].host.name).count() == 1;
    if alone {
        site.members[active].host.unplug();
    }
    site.signal(active, Signal::SIGSTOP);
    let (_, took) = site.taken_over(active, since, at);
    site.look_on(longer);
    if slept == Slept::FromOutside {
        let seconds = since.elapsed().as_secs() as i64;
        site.members[active].wall.iter_mut().for_each(|wall| wall.stood_still(seconds));
    }
    if alone {
        site.members[active].host.plug();
    }
    site.signal(active, Signal::SIGCONT);
    if slept == Slept::FromOutside {
        site.look_on(Duration::from_millis(300));
        set(site, active, 0);
    }
    took
}

fn unplug(site: &mut Site, active: usize) -> Duration {
    let (since, at) = (Instant::now(), clock::wall());
    site.disturb();
    site.members[active].host.unplug();
    let (_, took) = site.taken_over(active, since, at);
    site.members[active].host.plug();
    site.disturb();
    site.timeline.note("its cable is back");
    took
}

fn cut(fault: Fault, site: &mut Site, active: usize, random: &mut Random, while_: Duration) {
    let store = if fault == CutJournal { site.stores.journal } else { site.stores.lease };
    let Some(store) = store else { return };
    let way = [Way::There, Way::Back, Way::Both][random.between(0, 3) as usize];
    site.timeline.note(format!("cut: {way:?}"));
    site.members[active].host.cut(&site.stores.all[store].host, way);
    site.look_on(while_);
    site.members[active].host.heal(&site.stores.all[store].host);
    site.timeline.note("it is whole again");
}

/// Where a clock jumps to, in seconds from the right time: back or forth by up to half an hour, sometimes right again.
fn jump(random: &mut Random) -> i64 {
    const TO: [i64; 9] = [0, 20, -20, 60, -60, 300, -300, 1_800, -1_800];
    TO[random.between(0, TO.len() as u64) as usize]
}

/// Sets a wall clock.
pub(crate) fn set(site: &mut Site, place: usize, seconds: i64) {
    let name = site.members[place].name;
    site.timeline.note(format!("the wall clock of {name} is {seconds} s ahead now"));
    site.members[place].wall.iter_mut().for_each(|wall| wall.set(seconds));
}

/// Lets a wall clock go a tenth too fast or too slowly.
fn drift(site: &mut Site, place: usize, while_: Duration, sign: i64) {
    let began = Instant::now();
    while began.elapsed() < while_ {
        site.look_on(Duration::from_millis(20));
        let off = sign * began.elapsed().min(while_).as_millis() as i64 / 10;
        site.members[place].wall.iter().for_each(|wall| wall.drift(off));
    }
    site.members[place].wall.iter().for_each(|wall| wall.drift(0));
}
