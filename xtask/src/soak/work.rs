//! The run itself: what is done when, and what is looked at in between.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::asked::Asked;
use super::history::{Event, HEAD, History, Point};
use super::observer::{self, Before};
use super::site::Site;
use super::tape::{INTERVAL, Tape};
use super::wire::ask;
use super::witness::Witness;

/// With this begins an event that must not be.
pub(crate) const BROKEN: &str = "broken: ";
/// How long a first node may take until it works; a machine may be busy.
const BEGINNING: Duration = Duration::from_secs(120);
/// Ends of a node that a service manager answers by starting it again: replaced, and what could not be written or asked in time.
const STARTED_AGAIN: [i32; 3] = [75, 73, 69];
/// Share of the cycles that must have been seen decided: the rest is what was under way, and what was made up after kills.
const CYCLES_MIN: f64 = 0.9;
/// How often it is looked what is due.
const TICK: Duration = Duration::from_millis(100);

/// Something that is done to the pair, on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Kill(usize),
    Start(usize),
    Switch(usize),
    Rotate,
}

/// What is done when. The first node is killed once, early, and lives from then on; the other one is handed the work and killed nine times.
fn schedule(length: Duration) -> Vec<(Duration, Deed)> {
    let at = |share: f64| length.mul_f64(share);
    let pause = Duration::from_secs(3).min(length / 60);
    let mut deeds = vec![(at(0.04), Deed::Kill(0)), (at(0.04) + pause, Deed::Start(0))];
    for round in 1..10_u32 {
        let begin = 0.1 * f64::from(round);
        deeds.push((at(begin), Deed::Switch(1)));
        deeds.push((at(begin + 0.05), Deed::Kill(1)));
        deeds.push((at(begin + 0.05) + pause, Deed::Start(1)));
    }
    deeds.extend((0..12_u32).map(|number| (at((f64::from(number) + 0.5) / 12.0), Deed::Rotate)));
    deeds.sort_by_key(|(when, _)| *when);
    deeds
}

/// All that goes on.
struct Work {
    site: Site,
    tape: Tape,
    witness: Witness,
    began: Instant,
    before: [Before; 2],
    switchover: Option<Child>,
    history: History,
    table: BufWriter<File>,
    broken: Vec<String>,
}

/// Runs it; gives what was measured, and what must not have been.
///
/// # Errors
/// It could not be begun or written down.
pub(crate) fn run(asked: &Asked, folder: &Path, hb: &Path) -> Result<(History, Vec<String>), String> {
    let mut work = Work::begin(asked, folder, hb)?;
    eprintln!("everything is kept in {}", work.site.folder.display());
    let (step, mut looked) = (step(asked.length), Instant::now());
    let mut waiting = schedule(asked.length).into_iter().peekable();
    while work.began.elapsed() < asked.length {
        while let Some((_, deed)) = waiting.next_if(|(when, _)| *when <= work.began.elapsed()) {
            work.does(deed)?;
        }
        work.tend()?;
        if looked.elapsed() >= step {
            looked = Instant::now();
            work.look()?;
        }
        std::thread::sleep(TICK);
    }
    work.end(asked)
}

/// How often everything is looked at.
fn step(length: Duration) -> Duration {
    (length / 720).clamp(Duration::from_secs(1), Duration::from_secs(5))
}

impl Work {
    fn begin(asked: &Asked, folder: &Path, hb: &Path) -> Result<Self, String> {
        let mut site = Site::new(folder, hb)?;
        let table = site.folder.join("soak.csv");
        let mut table =
            File::create(&table).map(BufWriter::new).map_err(|error| format!("{}: {error}", table.display()))?;
        writeln!(table, "{HEAD}").map_err(cannot)?;
        let tape = Tape::start(&site.folder, asked.speed, asked.length)?;
        let nodes = site.nodes.iter().map(|node| node.address).collect();
        let witness = Witness::start(stream(&site.folder), tape.ends.clone(), nodes);
        site.start(0)?;
        works(&mut site)?;
        site.start(1)?;
        let (began, before) = (Instant::now(), [Before::default(), Before::default()]);
        let history = History::default();
        Ok(Self { site, tape, witness, began, before, switchover: None, history, table, broken: Vec::new() })
    }

    fn does(&mut self, deed: Deed) -> Result<(), String> {
        match deed {
            Deed::Kill(place) => {
                let name = self.site.nodes.get(place).map_or("?", |node| node.name);
                let role = if self.active() == Some(place) { "active" } else { "standby" };
                self.note(format!("kill -9 {name} ({role})"))?;
                self.site.kill(place);
            }
            Deed::Start(place) => self.start(place)?,
            Deed::Switch(to) => {
                let name = self.site.nodes.get(to).map_or("?", |node| node.name);
                if self.active() == Some(to) {
                    return self.note(format!("{name} works already: nothing is handed over"));
                }
                self.note(format!("switchover to {name}"))?;
                let mut command =
                    self.site.hb(&["switchover", "--to", name, "--wait", "30", "--by", "soak", "--reason", "by plan"]);
                let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
                self.switchover = Some(child.map_err(cannot)?);
            }
            Deed::Rotate => {
                self.note("the source's file is rotated")?;
                self.tape.rotate();
            }
        }
        Ok(())
    }

    fn start(&mut self, place: usize) -> Result<(), String> {
        // It may have been started already, because it had ended before it could be killed.
        if self.site.nodes.get(place).is_some_and(|node| node.child.is_none()) {
            self.site.start(place)?;
            if let Some(before) = self.before.get_mut(place) {
                *before = Before::default();
            }
        }
        Ok(())
    }

    /// Sees what has ended by itself.
    fn tend(&mut self) -> Result<(), String> {
        for place in 0..self.site.nodes.len() {
            let Some(status) = self.site.has_ended(place) else { continue };
            let name = self.site.nodes.get(place).map_or("?", |node| node.name);
            self.note(format!("{name} ended by itself with {status}"))?;
            if !status.code().is_some_and(|code| STARTED_AGAIN.contains(&code)) {
                self.breaks(format!("{name} ended with {status}: see {name}.log"))?;
            }
            self.start(place)?;
        }
        let ended = self.switchover.as_mut().and_then(|child| child.try_wait().ok().flatten());
        if let Some(status) = ended {
            self.switchover = None;
            if !status.success() {
                self.note(format!("handing over was given up with {status}"))?;
            }
        }
        Ok(())
    }

    /// Takes all figures.
    fn look(&mut self) -> Result<(), String> {
        for place in 0..self.site.nodes.len() {
            let Some((node, before)) = self.site.nodes.get(place).zip(self.before.get_mut(place)) else { continue };
            let Some(child) = &node.child else { continue };
            let Some(mut figures) = observer::process(child.id()) else { continue };
            let (name, life) = (node.name, node.life);
            figures.extend(observer::node(node.address, before));
            self.take(name, life, figures)?;
        }
        let mut figures = observer::folder(&self.site.folder.join("out"), &stream(&self.site.folder));
        figures.extend(observer::machine(&self.site.folder));
        self.take("site", 0, figures)?;
        for (when, figure, value) in self.witness.take() {
            let at = when.saturating_duration_since(self.began).as_secs_f64();
            self.put(Point { at, who: "site".into(), life: 0, figure: figure.into(), value })?;
        }
        self.table.flush().map_err(cannot)
    }

    fn take(&mut self, who: &str, life: u32, figures: observer::Figures) -> Result<(), String> {
        let at = self.began.elapsed().as_secs_f64();
        figures.into_iter().try_for_each(|(figure, value)| self.put(Point { at, who: who.into(), life, figure, value }))
    }

    fn put(&mut self, point: Point) -> Result<(), String> {
        writeln!(self.table, "{point}").map_err(cannot)?;
        self.history.points.push(point);
        Ok(())
    }

    fn note(&mut self, what: impl Into<String>) -> Result<(), String> {
        let event = Event { at: self.began.elapsed().as_secs_f64(), what: what.into() };
        writeln!(self.table, "{event}").map_err(cannot)?;
        eprintln!("{:6.0} s: {}", event.at, event.what);
        self.history.events.push(event);
        Ok(())
    }

    fn breaks(&mut self, what: String) -> Result<(), String> {
        self.note(format!("{BROKEN}{what}"))?;
        self.broken.push(what);
        Ok(())
    }

    fn active(&self) -> Option<usize> {
        let is = |address| ask(address, "GET", "/active", "").is_ok_and(|answer| answer.status == 200);
        self.site.nodes.iter().position(|node| node.child.is_some() && is(node.address))
    }

    /// Everything ends in good order, and what is left is looked over.
    fn end(mut self, asked: &Asked) -> Result<(History, Vec<String>), String> {
        self.look()?;
        let (cycles, beats) = (self.witness.cycles(), self.witness.beats());
        let seconds = asked.length.as_secs_f64() * f64::from(asked.speed);
        let expected = seconds / f64::from(u32::try_from(INTERVAL).unwrap_or(u32::MAX));
        let seen = f64::from(u32::try_from(cycles).unwrap_or(u32::MAX));
        self.note(format!(
            "{cycles} cycles were seen decided of about {expected:.0}; {beats} beats were acknowledged"
        ))?;
        if seen < expected * CYCLES_MIN {
            self.breaks(format!("only {cycles} of about {expected:.0} cycles were decided"))?;
        }
        if self.tape.faults() > 0 {
            self.breaks(format!("the source could not be written {} times", self.tape.faults()))?;
        }
        let active = self.active();
        for ended in self.site.finish(active) {
            self.breaks(ended)?;
        }
        let verified = self.site.hb(&["verify"]).output().map_err(cannot)?;
        if !verified.status.success() {
            self.breaks(format!("hb verify ended with {}: {}", verified.status, said(&verified)))?;
        }
        let left = left(&self.site.folder);
        if !left.is_empty() {
            self.breaks(format!("agents that outlived the pair, which was told to stop them: {}", left.join(", ")))?;
        }
        self.table.flush().map_err(cannot)?;
        Ok((self.history, self.broken))
    }
}

fn cannot(error: impl Display) -> String {
    format!("it cannot be gone on with: {error}")
}

fn said(output: &Output) -> String {
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    text.lines().take(3).collect::<Vec<_>>().join("; ")
}

fn stream(folder: &Path) -> std::path::PathBuf {
    folder.join("out/journal/watch/plant")
}

/// Waits until the first node works.
fn works(site: &mut Site) -> Result<(), String> {
    let patience = Instant::now() + BEGINNING;
    let address = site.nodes.first().map(|node| node.address).ok_or("there is no node")?;
    while Instant::now() < patience {
        if ask(address, "GET", "/active", "").is_ok_and(|answer| answer.status == 200) {
            return Ok(());
        }
        if let Some(status) = site.has_ended(0) {
            let log = fs::read_to_string(site.folder.join("a.log")).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(10).collect();
            return Err(format!("the first node ended with {status}:\n{}", tail.join("\n")));
        }
        std::thread::sleep(TICK);
    }
    Err(format!("the first node did not work within {} s", BEGINNING.as_secs()))
}

/// Processes that have the sign of this run, by what they are.
fn left(folder: &Path) -> Vec<String> {
    let sign = format!("HB_SOAK={}", folder.display());
    let script = r#"for process in /proc/[0-9]*; do
        tr '\0' '\n' < "$process/environ" 2> /dev/null | grep -qxF "$1" && tr '\0' ' ' < "$process/cmdline" && echo; done; true"#;
    let output = Command::new("sh").args(["-c", script, "left", &sign]).stderr(Stdio::null()).output();
    let output = output.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soak::judge::{Verdict, judge, overall};

    #[test]
    fn one_process_lives_through_the_second_half_and_the_other_node_is_killed_while_it_works() {
        let deeds = schedule(Duration::from_secs(3_600));
        let of = |wanted: Deed| {
            deeds.iter().filter(|(_, deed)| *deed == wanted).map(|(when, _)| when.as_secs()).collect::<Vec<_>>()
        };
        assert_eq!(of(Deed::Kill(0)), [144]);
        assert_eq!((of(Deed::Kill(1)).len(), of(Deed::Switch(1)).len(), of(Deed::Rotate).len()), (9, 9, 12));
        assert!(of(Deed::Switch(1)).iter().zip(of(Deed::Kill(1))).all(|(switch, kill)| kill - switch == 180));
        assert!(deeds.is_sorted_by_key(|(when, _)| *when));
        assert_eq!((step(Duration::from_secs(3_600)).as_secs(), step(Duration::from_secs(60)).as_secs()), (5, 1));
    }

    /// The program beside the tests, which a build of the workspace makes.
    fn program() -> Option<std::path::PathBuf> {
        let own = std::env::current_exe().unwrap();
        own.ancestors().map(|folder| folder.join("hb")).find(|hb| hb.is_file())
    }

    #[test]
    fn a_pair_is_soaked_for_a_minute_and_what_came_of_it_is_drawn() {
        let Some(hb) = program() else {
            assert!(std::env::var_os("CI").is_none(), "hb is built with the workspace");
            println!("NOT RUN: no hb beside the tests: cargo build -p hb");
            return;
        };
        let folder = std::env::temp_dir().join(format!("hb-soak-test-{}", std::process::id()));
        let asked = Asked { folder: Some(folder.clone()), ..Asked::of(&["--minutes", "1"]).unwrap() };
        let (history, broken) = run(&asked, &folder, &hb).unwrap();
        // A machine that is busy with other things decides late: then fewer cycles are seen.
        let late = |what: &&String| !what.starts_with("only ");
        assert!(!broken.iter().any(|what| late(&what)), "{broken:?}; kept in {}", folder.display());
        let read = History::read(&fs::read_to_string(folder.join("soak.csv")).unwrap()).unwrap();
        assert_eq!((read.points.len(), read.events.len()), (history.points.len(), history.events.len()));
        for figure in ["rss_mb", "anon_mb", "descriptors", "threads", "api_ms", "active"] {
            assert!(!history.line("a", figure).is_empty() && !history.line("b", figure).is_empty(), "{figure}");
        }
        for figure in [
            "disk.journal_mb",
            "disk.supervisor.db_mb",
            "records",
            "record_ms",
            "beat_ms",
            super::super::judge::CONTROL,
        ] {
            assert!(!history.line("site", figure).is_empty(), "{figure}");
        }
        assert_eq!(history.lines("a", "rss_mb").len(), 2, "it was killed once");
        assert!(
            history.events.iter().any(|event| event.what.starts_with("kill -9 a (active)")),
            "{:?}",
            history.events
        );
        assert!(
            matches!(overall(&judge(&history)), Verdict::Open(_) | Verdict::Drifts),
            "a minute shows no absence of drift"
        );
        fs::remove_dir_all(folder).unwrap();
    }
}
