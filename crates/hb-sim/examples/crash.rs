//! Cuts the store at every step that it does on a disk, and starts it on every disk that each cut may leave: `cargo xtask sim crash`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it talks to the person who started it")]

use std::process::ExitCode;
use std::time::Instant;

use hb_sim::disk::{Blow, Hunt, Lie, Scene, Tally, faults, flips, hunt};

const USAGE: &str = "\
crash [--seeds N] [--disks N] [--again N] [--scene NAME]

  --seeds N     samples with so many seeds, where there are too many disks to try all; default 1
  --disks N     at most so many disks of one cut; default 256; of a start that is cut itself an eighth
  --again N     the start that follows is cut too, on so many disks of each cut; default 1
  --scene NAME  only one: journal, documents, views, register, copy, set aside
";
const EIO: i32 = 5;
const ENOSPC: i32 = 28;
/// Bits that are flipped in each file.
const BITS: usize = 40;

struct Asked {
    seeds: u64,
    disks: usize,
    again: usize,
    scene: Option<Scene>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(asked) = read(&arguments) else {
        eprint!("{USAGE}");
        return ExitCode::FAILURE;
    };
    match run(&asked) {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("{what}");
            ExitCode::FAILURE
        }
    }
}

fn read(arguments: &[String]) -> Option<Asked> {
    let mut asked = Asked { seeds: 1, disks: 256, again: 1, scene: None };
    for pair in arguments.chunks(2) {
        let [key, value] = pair else { return None };
        match key.as_str() {
            "--seeds" => asked.seeds = value.parse().ok()?,
            "--disks" => asked.disks = value.parse().ok()?,
            "--again" => asked.again = value.parse().ok()?,
            "--scene" => asked.scene = Some(Scene::ALL.into_iter().find(|scene| scene.name() == value)?),
            _ => return None,
        }
    }
    Some(asked)
}

fn run(asked: &Asked) -> Result<(), String> {
    println!("{:10} {:>9} {:>9} {:>9} {:>9} {:>8} {:>9}", "scene", "cuts", "whole", "starts", "seen", "s", "starts/s");
    let mut total = Tally::default();
    let begun = Instant::now();
    for scene in Scene::ALL.into_iter().filter(|scene| asked.scene.is_none_or(|only| only == *scene)) {
        let (mut tally, begun) = (Tally::default(), Instant::now());
        for seed in 0..asked.seeds {
            let wanted = Hunt { scene, lie: None, most: asked.disks, again: asked.again, seed };
            tally.add(hunt(wanted).map_err(|found| format!("seed {seed}: {found}"))?);
        }
        row(scene.name(), tally, begun);
        total.add(tally);
    }
    row("all", total, begun);
    struck(asked)?;
    planted(asked)
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn row(name: &str, tally: Tally, begun: Instant) {
    let seconds = begun.elapsed().as_secs_f64();
    let rate = tally.starts as f64 / seconds.max(0.001);
    let Tally { cuts, whole, starts, seen, .. } = tally;
    println!("{name:10} {cuts:>9} {whole:>9} {starts:>9} {seen:>9} {seconds:>8.2} {rate:>9.0}");
}

/// Single steps that fail, and bits that flip.
fn struck(asked: &Asked) -> Result<(), String> {
    let blows = [Blow::Fails(EIO), Blow::Fails(ENOSPC), Blow::DoneButFails(EIO), Blow::Short];
    let mut tally = Tally::default();
    let mut bits = 0;
    for scene in Scene::ALL.into_iter().filter(|scene| asked.scene.is_none_or(|only| only == *scene)) {
        let wanted = Hunt { scene, lie: None, most: asked.disks.min(64), again: 0, seed: 0 };
        tally.add(faults(wanted, &blows).map_err(|found| found.to_string())?);
        bits += flips(scene, BITS, 0)?;
    }
    println!(
        "single faults (EIO, ENOSPC, done but EIO, short write): {} with {} starts, none broke a promise",
        tally.faults, tally.starts
    );
    println!("flipped bits in records and documents: {bits}, each named by hb verify");
    Ok(())
}

/// Planted defects: each has to be caught.
fn planted(asked: &Asked) -> Result<(), String> {
    let lies = [
        ("no fsync of files", Lie::NoFileSync, Scene::Journal),
        ("no fsync of folders", Lie::NoFolderSync, Scene::Journal),
        ("name before fsync", Lie::NameBeforeFileSync, Scene::Journal),
        ("no fsync of the floors' folder", Lie::NoFolderSyncOf("floors"), Scene::Journal),
        ("no fsync of the documents' folder", Lie::NoFolderSyncOf("baselines"), Scene::Documents),
        ("no fsync of the register's cell", Lie::NoFolderSyncOf("lease"), Scene::Register),
        ("no fsync of files, in a copy", Lie::NoFileSync, Scene::Copy),
    ];
    for (name, lie, scene) in lies {
        let wanted = Hunt { scene, lie: Some(lie), most: asked.disks, again: 0, seed: 0 };
        match hunt(wanted) {
            Ok(_) => return Err(format!("planted defect `{name}` was not caught")),
            Err(found) => print!("planted: {name}: caught: {found}"),
        }
    }
    Ok(())
}
