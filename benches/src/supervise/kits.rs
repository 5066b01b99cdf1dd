//! How each supervisor is set up: with its defaults, but for hb, which is told not to wait before a restart.
//!
//! Peers are taken from `PATH`, as the distribution or npm installed them; who is not there is said to be absent.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::stage::{Service, Stage};
use crate::Bench;
use crate::child::Kept;

/// One supervisor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kit {
    /// Its name.
    pub(crate) name: &'static str,
    /// The program that has to be there.
    program: &'static str,
    prepare: fn(&Path, &[Service]) -> Result<Command, String>,
}

/// hb's rivals on one host that restart at once or nearly so.
pub(crate) const PEERS: [Kit; 4] = [
    Kit { name: "runit", program: "runsvdir", prepare: runit },
    Kit { name: "s6", program: "s6-svscan", prepare: s6 },
    Kit { name: "supervisord", program: "supervisord", prepare: supervisord },
    Kit { name: "pm2", program: "pm2", prepare: pm2 },
];

impl Kit {
    /// Whether it is installed.
    pub(crate) fn is_there(&self) -> bool {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(self.program).is_file())
    }

    /// Starts it over all services of a stage.
    ///
    /// # Errors
    /// It cannot be set up or started.
    pub(crate) fn start(&self, stage: &Stage) -> Result<Kept, String> {
        let mut command = (self.prepare)(stage.path(), &stage.services)?;
        Kept::start(command.current_dir("/"), &stage.path().join("supervisor.log"))
    }
}

/// Starts hb over all services of a stage; what else is in its file goes first.
///
/// # Errors
/// It cannot be set up or started.
pub(crate) fn hb(bench: &Bench, stage: &Stage, head: &str) -> Result<Kept, String> {
    let mut text = format!("output_dir: {}\n{head}", stage.path().join("out").display());
    if !stage.services.is_empty() {
        text.push_str("agents:\n");
    }
    for Service { name, command } in &stage.services {
        let restart = "{backoff_sec: 0, max_restarts: 1000, within_sec: 1}";
        writeln!(text, "  {name}: {{process: {{command: {}}}, restart: {restart}}}", json!(command))
            .map_err(|error| error.to_string())?;
    }
    let config = stage.path().join("hb.yaml");
    write(&config, &text)?;
    again(bench, stage)
}

/// Starts hb once more over what there is.
///
/// # Errors
/// It cannot be started.
pub(crate) fn again(bench: &Bench, stage: &Stage) -> Result<Kept, String> {
    let mut command = Command::new(&bench.hb);
    command.args(["supervisor", "--config"]).arg(stage.path().join("hb.yaml"));
    Kept::start(&mut command, &stage.path().join("supervisor.log"))
}

fn runit(folder: &Path, services: &[Service]) -> Result<Command, String> {
    let services = run_scripts(folder, services)?;
    let mut command = Command::new("runsvdir");
    command.arg("-P").arg(services);
    Ok(command)
}

fn s6(folder: &Path, services: &[Service]) -> Result<Command, String> {
    let services = run_scripts(folder, services)?;
    let mut command = Command::new("s6-svscan");
    command.args(["-c", "2000"]).arg(services);
    Ok(command)
}

/// A folder for each service, with a script `run` that becomes the program.
fn run_scripts(folder: &Path, services: &[Service]) -> Result<PathBuf, String> {
    let all = folder.join("sv");
    for Service { name, command } in services {
        let own = all.join(name);
        fs::create_dir_all(&own).map_err(|error| error.to_string())?;
        let run = own.join("run");
        write(&run, &format!("#!/bin/sh\nexec {}\n", command.join(" ")))?;
        fs::set_permissions(&run, fs::Permissions::from_mode(0o755)).map_err(|error| error.to_string())?;
    }
    Ok(all)
}

fn supervisord(folder: &Path, services: &[Service]) -> Result<Command, String> {
    let here = folder.display();
    let mut text = format!(
        "[supervisord]\nlogfile={here}/sd.log\npidfile={here}/sd.pid\nchildlogdir={here}\nminfds=8192\nminprocs=200\nnodaemon=true\n"
    );
    for Service { name, command } in services {
        writeln!(text, "[program:{name}]\ncommand={}", command.join(" ")).map_err(|error| error.to_string())?;
    }
    let config = folder.join("supervisord.conf");
    write(&config, &text)?;
    let mut command = Command::new("supervisord");
    command.arg("-c").arg(config);
    Ok(command)
}

fn pm2(folder: &Path, services: &[Service]) -> Result<Command, String> {
    let app = |Service { name, command }: &Service| {
        json!({
            "name": name, "script": command.first(), "args": command.get(1..), "interpreter": "none",
            "exec_mode": "fork", "vizion": false, "pmx": false,
        })
    };
    let config = folder.join("ecosystem.config.json");
    write(&config, &json!({"apps": services.iter().map(app).collect::<Vec<_>>()}).to_string())?;
    let mut command = Command::new("pm2");
    command.env("HOME", folder).env("PM2_HOME", folder.join(".pm2"));
    command.env("PM2_DISABLE_VERSION_CHECK", "true").env("PM2_DISCRETE_MODE", "true");
    command.arg("start").arg(config);
    Ok(command)
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
