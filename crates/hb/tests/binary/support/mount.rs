//! File systems that fill up and turn read-only. They need root; where there is none, a test says that it was not run.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A mount, undone at the end.
pub(crate) struct Mount(PathBuf);

fn run(program: &str, args: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(args).output().map_err(|error| format!("{program}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() { Ok(()) } else { Err(format!("{program} {}: {said}", args.join(" "))) }
}

fn name(dir: &Path) -> &str {
    dir.to_str().expect("folders of tests have plain names")
}

impl Mount {
    /// A file system of its own, of `megabytes`, at `dir`, which is made.
    pub(crate) fn small(dir: &Path, megabytes: u32) -> Result<Self, String> {
        std::fs::create_dir_all(dir).map_err(|error| error.to_string())?;
        run("mount", &["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs", name(dir)])?;
        Ok(Self(dir.to_owned()))
    }

    /// The same folder over itself, read-only.
    pub(crate) fn read_only(dir: &Path) -> Result<Self, String> {
        let name = name(dir);
        run("mount", &["--bind", name, name])?;
        let mount = Self(dir.to_owned());
        // While somebody has a file open for writing it is busy.
        let tried = super::within(super::GENEROUS, || match run("mount", &["-o", "remount,bind,ro", name]) {
            Err(why) if why.contains("busy") => None,
            ended => Some(ended),
        });
        tried.unwrap_or_else(|| Err(format!("{name} is busy all the time")))?;
        Ok(mount)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Err(what) = run("umount", &["-l", name(&self.0)]) {
            eprintln!("{what}");
        }
    }
}

/// Says that a test was not run, and why.
pub(crate) fn not_run(test: &str, why: &str) {
    println!("NOT RUN {test}: {why}");
}
