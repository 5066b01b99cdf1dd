//! `hb pause` and `hb resume`: maintenance, during which nobody takes over.

use hb_daemon::clock;
use hb_daemon::fleet::Ask;
use hb_store::port::{Order, Orders, Pause};

use super::baseline::Who;
use super::out::Paint;
use super::{ConfigArgs, Failure, Out};
use crate::exit::Exit;
use crate::wire::{fleet, stores};

/// `hb pause`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    who: Who,
    /// What is asked of the nodes, as one JSON object.
    #[arg(long)]
    json: bool,
}

/// `hb resume`.
#[derive(Debug, clap::Args)]
pub struct ResumeArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// What is asked of the nodes, as one JSON object.
    #[arg(long)]
    json: bool,
}

/// Until it is resumed, no standby takes over; the active node works on.
///
/// # Errors
/// The configuration has faults, or the lease cannot be told.
pub fn run(args: &Args, out: &mut Out) -> Result<Exit, Failure> {
    let config = args.config.load()?.config;
    let pause = Pause { by: args.who.name(), reason: args.who.reason().to_owned(), at: clock::wall() };
    let orders = match fleet::is_meant(&config) {
        true => fleet::office(&config)?.ask(Ask::Pause(pause)).map_err(|why| fleet::unusable(&why))?,
        false => stores::lease(&config)?.order(Order::Pause(pause))?,
    };
    if args.json { json(&orders, out) } else { tell(&orders, out) }
}

/// Ends a pause.
///
/// # Errors
/// The configuration has faults, or the lease cannot be told.
pub fn resume(args: &ResumeArgs, out: &mut Out) -> Result<Exit, Failure> {
    let config = args.config.load()?.config;
    let orders = match fleet::is_meant(&config) {
        true => fleet::office(&config)?.ask(Ask::Resume).map_err(|why| fleet::unusable(&why))?,
        false => stores::lease(&config)?.order(Order::Resume)?,
    };
    if args.json { json(&orders, out) } else { tell(&orders, out) }
}

fn json(orders: &Orders, out: &mut Out) -> Result<Exit, Failure> {
    out.json(orders).map(|()| Exit::Ok)
}

fn tell(orders: &Orders, out: &mut Out) -> Result<Exit, Failure> {
    if let Some(pause) = &orders.pause {
        let painted = out.painted("paused", Paint::Warn);
        out.line(format_args!("{painted} by {}: {}; nobody takes over until `hb resume`", pause.by, pause.reason))?;
    } else {
        out.line(format_args!("standbys take over again"))?;
    }
    Ok(Exit::Ok)
}
