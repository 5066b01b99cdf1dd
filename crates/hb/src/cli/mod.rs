//! The command line: one file per noun. Each command takes what was typed and gives an [`Exit`] or a [`Failure`].

pub mod agent;
pub mod alerts;
pub mod baseline;
pub mod checkpoint;
mod choice;
pub mod compare;
pub mod config;
pub mod daemon;
pub mod demo;
pub mod doctor;
mod document;
pub mod events;
pub mod health;
pub mod import;
pub mod inject;
pub mod intervention;
pub mod journal;
pub mod out;
pub mod pause;
pub mod policy;
pub mod rebalance;
pub mod replay;
pub mod run;
pub mod setup;
pub mod status;
pub mod supervisor;
pub mod switchover;
pub mod team;
pub(crate) mod told;
pub mod top;
pub mod verify;

use clap::{Parser, Subcommand};

use crate::exit::Exit;
use crate::log::LogFormat;
pub use out::{ColourWhen, Failure, Out};
pub use setup::ConfigArgs;

/// Watches live telemetry, compares it with what normal was, decides every cycle, and keeps deciding when its machine dies.
#[derive(Debug, Parser)]
#[command(name = "hb", version, max_term_width = 100)]
pub struct Cli {
    /// When to use colour; NO_COLOR in the environment means never.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", help_heading = "Everywhere")]
    color: ColourWhen,
    /// How the log on standard error looks; HB_LOG says how much of it (info, debug, hb_store=debug …).
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text", help_heading = "Everywhere")]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a node: everything in hb.yaml, or this machine's own telemetry where there is none.
    Run(run::Args),
    /// Run the watches of a configuration; started twice on one output_dir, it is a pair.
    Daemon(daemon::Args),
    /// Supervise the agents of a configuration, and nothing else; or ask and tell supervisors.
    Supervisor(supervisor::Args),
    /// Agents: list them, explain them, act on them.
    #[command(subcommand)]
    Agent(agent::Command),
    /// Teams of agents.
    #[command(subcommand)]
    Team(team::Command),
    /// Policies: check, compare and try them out, put them in force.
    #[command(subcommand)]
    Policy(policy::Command),
    /// Interventions: what is done about agents, and who agrees.
    #[command(subcommand)]
    Intervention(intervention::Command),
    /// Groups of alerts about agents.
    #[command(subcommand)]
    Alerts(alerts::Command),
    /// Show what happened to agents, and follow what happens.
    Events(events::Args),
    /// Serve health from outside of the daemon.
    #[command(subcommand)]
    Health(health::Command),
    /// Show what the nodes are, and what their watches have come to.
    Status(status::Args),
    /// The same live, in the terminal: is all well, who is active, what drifted since when, and what hb did about it.
    Top(top::Args),
    /// Let the active node hand over to another one, by plan.
    Switchover(switchover::Args),
    /// Spread watches evenly over the nodes that share them out (`lease.scope: watch`).
    Rebalance(rebalance::Args),
    /// For maintenance: until it is resumed, no standby takes over.
    Pause(pause::Args),
    /// End a pause.
    Resume(pause::ResumeArgs),
    /// Decided cycles, and the documents made of them.
    #[command(subcommand)]
    Checkpoint(checkpoint::Command),
    /// The records of the journal as they stand.
    #[command(subcommand)]
    Journal(journal::Command),
    /// Check everything that is stored; exits with 65 when something is damaged.
    Verify(verify::Args),
    /// Ask whether what hb stands on can be relied on: folder, journal, lease; exits with 14 when it cannot.
    Doctor(doctor::Args),
    /// Decide recorded cycles again from the source, and compare: exits with 15 when one differs.
    Replay(replay::Args),
    /// Versions of what normal is: learn, list, show, diff, request, approve, promote.
    #[command(subcommand)]
    Baseline(baseline::Command),
    /// Compare two recordings, series by series.
    Compare(compare::Args),
    /// Put a fault into a recording, to see what a watch makes of it.
    Inject(inject::Args),
    /// Check a configuration, or list every key of it.
    #[command(subcommand)]
    Config(config::Command),
    /// Translate what another supervisor runs into an hb.yaml.
    #[command(subcommand)]
    Import(import::Command),
    /// Show a pair on real telemetry in under a minute: learn, decide, lose the active, go on.
    Demo(demo::Args),
    /// Print completions for a shell.
    Completions(setup::Completions),
    /// Write man pages into a folder.
    Man(setup::Man),
}

/// Reads the command line and carries it out.
pub fn main() -> Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Ok };
            // A reader that went away is no failure of ours.
            drop(error.print());
            return exit;
        }
    };
    let mut out = Out::of_process(cli.color);
    let ended = carry_out(cli, &mut out).and_then(|exit| out.finish().map(|()| exit));
    ended.unwrap_or_else(|failure| failure.tell())
}

fn carry_out(cli: Cli, out: &mut Out) -> Result<Exit, Failure> {
    let format = cli.log_format;
    match cli.command {
        Command::Run(args) => {
            crate::log::start(format);
            run::run(&args, out)
        }
        Command::Daemon(args) => {
            crate::log::start(format);
            daemon::run(&args, out)
        }
        Command::Supervisor(args) => {
            if args.runs() {
                crate::log::start(format);
            }
            supervisor::run(&args, out)
        }
        Command::Agent(command) => agent::run(&command, out),
        Command::Team(command) => team::run(&command, out),
        Command::Policy(command) => policy::run(&command, out),
        Command::Intervention(command) => intervention::run(&command, out),
        Command::Alerts(command) => alerts::run(&command, out),
        Command::Events(args) => events::run(&args, out),
        Command::Health(command) => {
            crate::log::start(format);
            health::run(&command, out)
        }
        Command::Status(args) => status::run(&args, out),
        Command::Top(args) => top::run(&args, out),
        Command::Switchover(args) => switchover::run(&args, out),
        Command::Rebalance(args) => rebalance::run(&args, out),
        Command::Pause(args) => pause::run(&args, out),
        Command::Resume(args) => pause::resume(&args, out),
        Command::Checkpoint(command) => checkpoint::run(&command, out),
        Command::Journal(command) => journal::run(&command, out),
        Command::Verify(args) => verify::run(&args, out),
        Command::Doctor(args) => doctor::run(&args, out),
        Command::Replay(args) => replay::run(&args, out),
        Command::Baseline(command) => baseline::run(&command, out),
        Command::Compare(args) => compare::run(&args, out),
        Command::Inject(args) => inject::run(&args, out),
        Command::Config(command) => config::run(&command, out),
        Command::Import(command) => import::run(&command, out),
        Command::Demo(args) => crate::wire::demo(&args, out),
        Command::Completions(args) => setup::completions(&args, out),
        Command::Man(args) => setup::man(&args, out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_tree_is_sound() {
        Cli::command().debug_assert();
    }
}
