//! Other programs: started, timed, ended. What a child has cost is read from this process's account of ended children.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What a program cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    /// Seconds on the clock.
    pub(crate) wall: f64,
    /// Seconds of processors, user and system.
    pub(crate) cpu: f64,
}

/// A program, bound to one processor where `taskset` is installed.
pub(crate) fn pinned(program: &Path) -> Command {
    if Command::new("taskset").arg("--version").output().is_ok_and(|answer| answer.status.success()) {
        let mut command = Command::new("taskset");
        command.args(["-c", "0"]).arg(program);
        command
    } else {
        Command::new(program)
    }
}

/// Runs a program to its end, and gives what it said.
///
/// # Errors
/// It cannot be started, or ends badly: with what it said.
pub(crate) fn said(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What programs cost on average, run one after the other. The kernel gives processor time in hundredths of a second, so short
/// programs are run often.
///
/// # Errors
/// As [`said`].
pub(crate) fn cost(commands: &mut [Command]) -> Result<Cost, String> {
    let before = children_cpu()?;
    let begun = Instant::now();
    for command in &mut *commands {
        said(command)?;
    }
    let runs = u32::try_from(commands.len()).map_or(f64::NAN, f64::from);
    Ok(Cost { wall: begun.elapsed().as_secs_f64() / runs, cpu: (children_cpu()? - before).max(0.01) / runs })
}

/// Seconds that children which have ended have used: fields 16 and 17 of `/proc/self/stat`, in hundredths.
fn children_cpu() -> Result<f64, String> {
    let stat = std::fs::read_to_string("/proc/self/stat").map_err(|error| format!("/proc/self/stat: {error}"))?;
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: Vec<f64> = after_name.split_whitespace().skip(13).take(2).filter_map(|n| n.parse().ok()).collect();
    let [user, system] = ticks.as_slice() else { return Err("/proc/self/stat has another form".into()) };
    Ok((user + system) / 100.0)
}

/// A child that is killed when it is let go of.
#[derive(Debug)]
pub(crate) struct Kept(pub(crate) Child);

impl Kept {
    /// Starts a program without a terminal; what it logs goes to `log`.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<Self, String> {
        let file = std::fs::File::create(log).map_err(|error| format!("{}: {error}", log.display()))?;
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).spawn();
        child.map(Self).map_err(|error| format!("{command:?}: {error}"))
    }

    /// SIGKILL, and waits for the end.
    pub(crate) fn kill(&mut self) {
        // Both fail only when it has ended already.
        drop(self.0.kill());
        drop(self.0.wait());
    }

    /// A figure of `/proc/PID/status` in kilobytes, like `VmHWM`.
    pub(crate) fn kilobytes(&self, name: &str) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).ok()?;
        let line = status.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse().ok()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Asks again and again until there is an answer.
///
/// # Errors
/// There was none in time.
pub(crate) fn until<T>(what: &str, patience: Duration, mut ask: impl FnMut() -> Option<T>) -> Result<T, String> {
    let end = Instant::now() + patience;
    loop {
        if let Some(answer) = ask() {
            return Ok(answer);
        }
        if Instant::now() > end {
            return Err(format!("waited {} s for {what} in vain", patience.as_secs()));
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// The middle one.
pub(crate) fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The largest one.
pub(crate) fn worst(figures: &[f64]) -> f64 {
    figures.iter().copied().fold(f64::NAN, f64::max)
}
