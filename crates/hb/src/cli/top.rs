//! `hb top`: the operator's picture at a glance.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use super::{ConfigArgs, Failure, Out};
use crate::ask::Place;
use crate::exit::Exit;
use crate::reach;
use crate::top::{self, Letters, Look, Reader, Target, Targets};

/// Most nodes that can be named (B1).
const URLS_MAX: usize = 64;
/// How often nodes can be asked, in seconds.
const INTERVALS: std::ops::RangeInclusive<f64> = 0.2..=3_600.0;
/// Size of a frame where there is no terminal that has one.
const SIZE: (u16, u16) = (80, 24);
/// Largest size of a frame that can be asked for (B1).
const SIDE_MAX: u16 = 1_000;

/// `hb top`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Ask the node at this place; given several times, several: whoever is active of them is told
    /// [default: HB_API_URL, else the nodes of the configuration]
    #[arg(long, value_name = "URL", help_heading = "Reaching the nodes")]
    url: Vec<String>,
    /// File with the token to show [default: HB_API_TOKEN, else `api.token` of the output_dir]
    #[arg(long, value_name = "FILE", help_heading = "Reaching the nodes")]
    token_file: Option<PathBuf>,
    /// Seconds between two looks.
    #[arg(long, short = 'n', value_name = "SECONDS", default_value_t = 1.0)]
    interval: f64,
    /// One frame as text, in the size of the terminal or of COLUMNS and LINES; exits with 69 when no node answers.
    #[arg(long)]
    once: bool,
    /// One picture as a JSON object: the verdict and everything that the screen shows; exits with 69 when no node answers.
    #[arg(long, conflicts_with = "once")]
    json: bool,
    /// Draw with ASCII alone; by itself where the locale is not UTF-8.
    #[arg(long)]
    ascii: bool,
}

/// Carries it out.
///
/// # Errors
/// The configuration has faults; there is no terminal to draw on; no node answers `--once` or `--json`.
pub fn run(args: &Args, out: &mut Out) -> Result<Exit, Failure> {
    if !INTERVALS.contains(&args.interval) {
        let (least, most) = (INTERVALS.start(), INTERVALS.end());
        return Err(Failure::new(Exit::Usage, format!("--interval takes {least} to {most} seconds")));
    }
    let (targets, token) = args.targets()?;
    let letters = if args.ascii || !utf8() { Letters::Ascii } else { Letters::Unicode };
    let look = Look::new(out.ink(), letters);
    let mut reader = Reader::new(targets, token);
    if args.json || args.once {
        return once(args, look, &mut reader, out);
    }
    if !std::io::stdout().is_terminal() {
        return Err(Failure::new(Exit::Usage, "hb top draws on a terminal, and standard output is none")
            .help("`hb top --once` prints one frame, `hb top --json` one picture"));
    }
    top::live(reader, look, Duration::from_secs_f64(args.interval))
}

fn once(args: &Args, look: Look, reader: &mut Reader, out: &mut Out) -> Result<Exit, Failure> {
    let picture = reader.round();
    let answered = picture.silent.is_none();
    if args.json {
        out.json(&picture)?;
    } else {
        out.text(format_args!("{}", top::frame(picture, look, size())))?;
    }
    Ok(if answered { Exit::Ok } else { Exit::Unavailable })
}

/// Of the terminal, or as the environment says.
fn size() -> (u16, u16) {
    let said = |name: &str| std::env::var(name).ok()?.parse::<u16>().ok().filter(|side| (1..=SIDE_MAX).contains(side));
    let drawn = std::io::stdout().is_terminal().then(|| ratatui::crossterm::terminal::size().ok()).flatten();
    let (width, height) = drawn.filter(|(width, height)| *width > 0 && *height > 0).unwrap_or(SIZE);
    (said("COLUMNS").unwrap_or(width).min(SIDE_MAX), said("LINES").unwrap_or(height).min(SIDE_MAX))
}

/// Whether the locale says that letters are UTF-8.
fn utf8() -> bool {
    let said = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = said("LC_ALL").or_else(|| said("LC_CTYPE")).or_else(|| said("LANG"));
    locale.is_some_and(|locale| locale.to_ascii_lowercase().replace('-', "").contains("utf8"))
}

impl Args {
    fn targets(&self) -> Result<(Targets, Option<String>), Failure> {
        let mut urls = self.url.clone();
        if urls.is_empty() {
            urls.extend(std::env::var("HB_API_URL").ok().filter(|url| !url.is_empty()));
        }
        if urls.len() > URLS_MAX {
            return Err(Failure::new(Exit::Usage, format!("at most {URLS_MAX} nodes can be named")));
        }
        if urls.is_empty() {
            let config = self.config.load()?.config;
            let token = reach::token(self.token_file.as_deref(), Some(&config.output_dir))?;
            return Ok((Targets::Board(Box::new(config)), token));
        }
        for url in &urls {
            Place::check_url(url).map_err(|what| Failure::new(Exit::Usage, what))?;
        }
        // A token of this machine's own node is shown to nobody else.
        let token = reach::token(self.token_file.as_deref(), None)?;
        Ok((Targets::Named(urls.iter().map(|url| Target::at(url)).collect()), token))
    }
}
